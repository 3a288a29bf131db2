//! The system-call trace (`trace` on the kernel's command line): a line a call as strace(1) prints it, with the arguments
//! of the event family decoded and others as numbers.
//!
//! Wake-ups have a trace of their own, in [`wakeups`].
//!
//! A kernel that traces has another table of calls, so one that does not pays nothing.

pub mod wakeups;

use crate::boot::command_line::parameters;
use crate::mm::user;
use crate::println;
use crate::syscall::table::{self, Entry};
use crate::syscall::{Call, FIRST_INSIDE_ERROR};
use alloc::string::String;
use core::fmt::Write;
use libsyscall::abi::{Errno, nr};

/// Begins to trace what the command line asks for.
pub fn init() {
    if parameters().trace {
        table::trace();
    }
    wakeups::init();
}

/// Makes a call, and prints it. A call that never returns (exit, or one that is killed) is printed when it begins.
#[cold]
#[inline(never)]
pub fn traced(call: &mut Call, entry: Entry) -> isize {
    let number = call.frame.syscall_number();
    let (pid, tid) = (call.thread().process.pid, call.thread().tid());
    let mut line = String::new();
    // A String can't fail to be written to.
    let _ = write!(line, "[{pid} {tid}] ");
    match nr::name(number) {
        Some(name) => line.push_str(name),
        None => drop(write!(line, "syscall_{number}")),
    }
    if matches!(number, nr::EXIT | nr::EXIT_GROUP) {
        println!("{line}({}) = ?", call.int(0));
        return entry(&mut call.frame);
    }
    let arguments = [0, 1, 2, 3, 4, 5].map(|n| call.arg(n));
    let before = decode(number, &arguments, None);
    let value = entry(&mut call.frame);
    let result = Errno::result(value);
    line.push_str(&decode_after(number, &arguments, before, result));
    match result {
        Ok(value) if is_address(number) => println!("{line} = {value:#x}"),
        Ok(value) => println!("{line} = {}", value as isize),
        Err(error) if error.number() >= FIRST_INSIDE_ERROR => println!("{line} = ? {}", error.name()),
        Err(error) => println!("{line} = -1 {} ({error})", error.name()),
    }
    value
}

/// Calls whose result is an address.
fn is_address(number: usize) -> bool {
    matches!(number, nr::MMAP | nr::MREMAP | nr::BRK)
}

/// How an argument is shown.
#[derive(Clone, Copy)]
enum Shape {
    Int,
    Hex,
    /// A path or other NUL-terminated text.
    Text,
    /// A descriptor number; AT_FDCWD by name.
    Descriptor,
    EpollOperation,
    /// A struct epoll_event, or a null pointer.
    EpollEvent,
    /// An array of them that the call fills: as many as it returned.
    EpollEvents,
    /// A struct pollfd array whose length is the next argument.
    PollFds,
    Timespec,
    Flags(&'static [(u64, &'static str)]),
    FutexOperation,
    /// Bytes the caller gives; their count is the next argument.
    Bytes,
    /// Bytes the call fills: as many as it returned.
    BytesOut,
}

use Shape::*;

const EFD_FLAGS: &[(u64, &str)] = &[
    (1, "EFD_SEMAPHORE"),
    (0o4000, "EFD_NONBLOCK"),
    (0o2000000, "EFD_CLOEXEC"),
];
const EPOLL_FLAGS: &[(u64, &str)] = &[(0o2000000, "EPOLL_CLOEXEC")];
const OPEN_FLAGS: &[(u64, &str)] = &[
    (1, "O_WRONLY"),
    (2, "O_RDWR"),
    (0o100, "O_CREAT"),
    (0o200, "O_EXCL"),
    (0o1000, "O_TRUNC"),
    (0o2000, "O_APPEND"),
    (0o4000, "O_NONBLOCK"),
    (0o2000000, "O_CLOEXEC"),
];
const EVENT_BITS: &[(u64, &str)] = &[
    (0x1, "EPOLLIN"),
    (0x2, "EPOLLPRI"),
    (0x4, "EPOLLOUT"),
    (0x8, "EPOLLERR"),
    (0x10, "EPOLLHUP"),
    (0x40, "EPOLLRDNORM"),
    (0x80, "EPOLLRDBAND"),
    (0x100, "EPOLLWRNORM"),
    (0x200, "EPOLLWRBAND"),
    (0x400, "EPOLLMSG"),
    (0x2000, "EPOLLRDHUP"),
    (1 << 28, "EPOLLEXCLUSIVE"),
    (1 << 29, "EPOLLWAKEUP"),
    (1 << 30, "EPOLLONESHOT"),
    (1 << 31, "EPOLLET"),
];

/// The arguments of a call; those past the list are not printed. A call not listed prints all six as numbers.
fn shapes(number: usize) -> &'static [Shape] {
    #[cfg(target_arch = "x86_64")]
    match number {
        nr::EPOLL_WAIT => return &[Descriptor, EpollEvents, Int, Int],
        nr::EPOLL_CREATE => return &[Int],
        nr::EVENTFD => return &[Int],
        nr::POLL => return &[PollFds, Int, Int],
        nr::PIPE => return &[Hex],
        nr::OPEN => return &[Text, Flags(OPEN_FLAGS), Hex],
        nr::ARCH_PRCTL => return &[Hex, Hex],
        nr::FORK | nr::VFORK => return &[],
        _ => {}
    }
    match number {
        nr::EPOLL_CREATE1 => &[Flags(EPOLL_FLAGS)],
        nr::EPOLL_CTL => &[Descriptor, EpollOperation, Descriptor, EpollEvent],
        nr::EPOLL_PWAIT => &[Descriptor, EpollEvents, Int, Int, Hex, Int],
        nr::EPOLL_PWAIT2 => &[Descriptor, EpollEvents, Int, Timespec, Hex, Int],
        nr::EVENTFD2 => &[Int, Flags(EFD_FLAGS)],
        nr::PPOLL => &[PollFds, Int, Timespec, Hex, Int],
        nr::TIMERFD_CREATE => &[Int, Hex],
        nr::READ | nr::RECVFROM => &[Descriptor, BytesOut, Int],
        nr::WRITE | nr::SENDTO => &[Descriptor, Bytes, Int],
        nr::CLOSE | nr::DUP => &[Descriptor],
        nr::FUTEX => &[Hex, FutexOperation, Int, Hex, Hex, Hex],
        nr::OPENAT => &[Descriptor, Text, Flags(OPEN_FLAGS), Hex],
        nr::READLINKAT | nr::NEWFSTATAT | nr::STATX => &[Descriptor, Text, Hex, Hex, Hex],
        nr::EXECVE => &[Text, Hex, Hex],
        nr::CHDIR => &[Text],
        nr::MMAP => &[Hex, Int, Hex, Hex, Descriptor, Hex],
        nr::MUNMAP | nr::MPROTECT | nr::MADVISE => &[Hex, Int, Hex],
        nr::BRK => &[Hex],
        nr::FCNTL | nr::IOCTL => &[Descriptor, Int, Hex],
        nr::PIPE2 => &[Hex, Flags(OPEN_FLAGS)],
        nr::SOCKET | nr::SOCKETPAIR => &[Int, Hex, Int, Hex],
        nr::BIND | nr::CONNECT => &[Descriptor, Hex, Int],
        nr::LISTEN | nr::SHUTDOWN => &[Descriptor, Int],
        nr::ACCEPT4 => &[Descriptor, Hex, Hex, Hex],
        nr::MQ_OPEN => &[Text, Flags(OPEN_FLAGS), Hex, Hex],
        nr::MQ_UNLINK => &[Text],
        nr::MQ_TIMEDSEND => &[Descriptor, Bytes, Int, Int, Timespec],
        nr::MQ_TIMEDRECEIVE => &[Descriptor, BytesOut, Int, Hex, Timespec],
        nr::NANOSLEEP => &[Timespec, Hex],
        nr::CLOCK_NANOSLEEP => &[Int, Int, Timespec, Hex],
        nr::CLOCK_GETTIME => &[Int, Hex],
        nr::KILL | nr::TKILL => &[Int, Int],
        nr::TGKILL => &[Int, Int, Int],
        nr::WAIT4 => &[Int, Hex, Hex, Hex],
        nr::GETPID | nr::GETTID | nr::GETPPID | nr::SCHED_YIELD | nr::RT_SIGRETURN => &[],
        _ => &[Hex; 6],
    }
}

/// The arguments in parentheses. `result` is how many the call filled, `None` before it was made: then what it fills is
/// left out (a mark stands there), what it is given is read now, because the call may change it.
fn decode(number: usize, arguments: &[usize; 6], result: Option<usize>) -> String {
    let mut out = String::from("(");
    for (index, &shape) in shapes(number).iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        let next = arguments.get(index + 1).copied().unwrap_or(0);
        let _ = show(&mut out, shape, arguments[index], next, result);
    }
    out.push(')');
    out
}

/// What [`decode`] gave before the call, or, where the call fills something, what is there now.
fn decode_after(number: usize, arguments: &[usize; 6], before: String, result: Result<usize, Errno>) -> String {
    let fills = shapes(number)
        .iter()
        .any(|shape| matches!(shape, EpollEvents | BytesOut | PollFds));
    match result {
        Ok(count) if fills => decode(number, arguments, Some(count)),
        _ => before,
    }
}

const SHOWN_BYTES: usize = 32;
const SHOWN_EVENTS: usize = 16;

fn show(out: &mut String, shape: Shape, value: usize, next: usize, result: Option<usize>) -> core::fmt::Result {
    match shape {
        Int => write!(out, "{}", value as i32),
        Hex => write!(out, "{value:#x}"),
        Descriptor if value as i32 == -100 => write!(out, "AT_FDCWD"),
        Descriptor => write!(out, "{}", value as i32),
        Text => match user::read_path(value) {
            Ok(text) => write!(out, "\"{}\"", text.escape_ascii()),
            Err(_) => write!(out, "{value:#x}"),
        },
        Flags(names) => flags(out, value as u64, names),
        EpollOperation => match value {
            1 => write!(out, "EPOLL_CTL_ADD"),
            2 => write!(out, "EPOLL_CTL_DEL"),
            3 => write!(out, "EPOLL_CTL_MOD"),
            _ => write!(out, "{value:#x}"),
        },
        EpollEvent => match epoll_event(value) {
            Some((events, data)) => event(out, events, data),
            None => write!(out, "{value:#x}"),
        },
        EpollEvents => {
            let Some(count) = result else {
                return write!(out, "{value:#x}");
            };
            write!(out, "[")?;
            for index in 0..count.min(SHOWN_EVENTS) {
                if let Some((events, data)) = epoll_event(value + index * EPOLL_EVENT_SIZE) {
                    write!(out, "{}", if index == 0 { "" } else { ", " })?;
                    event(out, events, data)?;
                }
            }
            write!(out, "{}]", if count > SHOWN_EVENTS { ", ..." } else { "" })
        }
        PollFds => {
            write!(out, "[")?;
            for index in 0..next.min(SHOWN_EVENTS) {
                let Ok([fd, events]) = user::read::<[i32; 2]>(value + index * 8) else {
                    break;
                };
                write!(
                    out,
                    "{}{{fd={fd}, events={:#x}",
                    if index == 0 { "" } else { ", " },
                    events & 0xffff
                )?;
                if result.is_some() {
                    write!(out, ", revents={:#x}", (events >> 16) & 0xffff)?;
                }
                write!(out, "}}")?;
            }
            write!(out, "]")
        }
        Timespec => match user::read::<[i64; 2]>(value) {
            Ok([seconds, nanoseconds]) => write!(out, "{{tv_sec={seconds}, tv_nsec={nanoseconds}}}"),
            Err(_) if value == 0 => write!(out, "NULL"),
            Err(_) => write!(out, "{value:#x}"),
        },
        FutexOperation => {
            const NAMES: [&str; 11] = [
                "WAIT",
                "WAKE",
                "FD",
                "REQUEUE",
                "CMP_REQUEUE",
                "WAKE_OP",
                "LOCK_PI",
                "UNLOCK_PI",
                "TRYLOCK_PI",
                "WAIT_BITSET",
                "WAKE_BITSET",
            ];
            let private = if value & 128 != 0 { "_PRIVATE" } else { "" };
            let clock = if value & 256 != 0 { "|FUTEX_CLOCK_REALTIME" } else { "" };
            match NAMES.get(value & 127) {
                Some(name) => write!(out, "FUTEX_{name}{private}{clock}"),
                None => write!(out, "{value:#x}"),
            }
        }
        Bytes => bytes(out, value, next),
        BytesOut => match result {
            Some(count) => bytes(out, value, count),
            None => write!(out, "{value:#x}"),
        },
    }
}

fn bytes(out: &mut String, address: usize, len: usize) -> core::fmt::Result {
    let mut buffer = [0; SHOWN_BYTES];
    let shown = &mut buffer[..len.min(SHOWN_BYTES)];
    match user::read_bytes(address, shown) {
        Ok(()) => write!(
            out,
            "\"{}\"{}",
            shown.escape_ascii(),
            if len > SHOWN_BYTES { "..." } else { "" }
        ),
        Err(_) => write!(out, "{address:#x}"),
    }
}

fn flags(out: &mut String, value: u64, names: &[(u64, &str)]) -> core::fmt::Result {
    let mut left = value;
    let mut separator = "";
    for (bit, name) in names {
        if value & bit != 0 {
            write!(out, "{separator}{name}")?;
            separator = "|";
            left &= !bit;
        }
    }
    if left != 0 || separator.is_empty() {
        write!(out, "{separator}{left:#x}")?;
    }
    Ok(())
}

/// struct epoll_event: packed on x86_64 only.
const EPOLL_EVENT_SIZE: usize = if cfg!(target_arch = "x86_64") { 12 } else { 16 };

fn epoll_event(address: usize) -> Option<(u32, u64)> {
    let events = user::read(address).ok()?;
    let data = user::read(address + EPOLL_EVENT_SIZE - 8).ok()?;
    Some((events, data))
}

fn event(out: &mut String, events: u32, data: u64) -> core::fmt::Result {
    write!(out, "{{")?;
    flags(out, u64::from(events), EVENT_BITS)?;
    write!(out, ", {data:#x}}}")
}
