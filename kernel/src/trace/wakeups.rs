//! The trace of wake-ups (`trace_wakeups` on the kernel's command line): who woke whom, by which descriptor and bits,
//! through which epolls, and how long it took until the woken thread ran.
//!
//! ```text
//! wakeup 1.234567890: 2/3 "pong" wakes 2/2 "ping": fd 7 EPOLLIN through epoll 3 in epoll_pwait; runs after 12345 ns
//! ```
//!
//! Who wakes a thread leaves it a note, and the woken thread prints it when it runs: it holds no lock then, and knows what
//! it waited for. A note has the numbers of the interests that the wake-up came through ([`event::trace`]); the thread
//! turns them into descriptors, from the epoll it waits at inwards.

use super::{EVENT_BITS, flags};
use crate::arch::{MAX_CPUS, cpu};
use crate::println;
use crate::task::{self, Thread};
use crate::time::now_ns;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use event::trace::Step;
use event::{EventMask, Pollable};
use libsyscall::abi::nr;
use libsyscall::abi::time::NANOSECONDS;
use sync::SpinLock;

static ON: AtomicBool = AtomicBool::new(false);

/// Starts the trace if the command line asks for it.
pub fn init() {
    if crate::boot::command_line::parameters().trace_wakeups {
        event::trace::start(step);
        ON.store(true, Relaxed);
    }
}

#[inline]
pub fn is_on() -> bool {
    ON.load(Relaxed)
}

/// Who wakes.
#[derive(Clone, Copy, Debug)]
pub enum Waker {
    /// The running thread: process, thread and name.
    Thread(i32, i32, [u8; 16]),
    Timer,
    Device,
}

/// Interests that a wake-up has come through, the innermost epoll's first. Epolls nest five deep.
#[derive(Clone, Copy, Debug)]
struct Path {
    steps: [(u32, EventMask); 6],
    len: usize,
}

/// What a CPU is about that wakes somebody. Nothing else runs there meanwhile: interrupts are masked in the kernel.
struct Here {
    path: Path,
    /// The interrupt that is handled, if one is.
    interrupt: Option<Waker>,
}

static CPUS: [SpinLock<Here>; MAX_CPUS] = [const {
    SpinLock::new(Here {
        path: Path {
            steps: [(0, EventMask::empty()); 6],
            len: 0,
        },
        interrupt: None,
    })
}; MAX_CPUS];

/// A wake-up goes into an epoll, or comes back out of it.
fn step(step: Step) {
    let path = &mut CPUS[cpu::id()].lock().path;
    match step {
        Step::Enter(interest, events) => {
            if let Some(place) = path.steps.get_mut(path.len) {
                *place = (interest, events);
            }
            path.len += 1;
        }
        Step::Leave => path.len -= 1,
    }
}

/// Runs an interrupt's handler, which wakes in the interrupt's name and not in that of the thread below.
pub fn from(waker: Waker, handler: impl FnOnce()) {
    if !is_on() {
        return handler();
    }
    CPUS[cpu::id()].lock().interrupt = Some(waker);
    handler();
    CPUS[cpu::id()].lock().interrupt = None;
}

/// Left with a thread by who wakes it.
pub struct Note {
    at_ns: u64,
    waker: Waker,
    /// The token and the bits, where a wait queue woke it.
    cause: Option<(u32, EventMask)>,
    path: Path,
}

impl Note {
    pub fn new(cause: Option<(u32, EventMask)>) -> Note {
        let here = CPUS[cpu::id()].lock();
        let (path, interrupt) = (here.path, here.interrupt);
        drop(here);
        let running =
            || task::with_current(|thread| Waker::Thread(thread.process.pid, thread.tid(), thread.name_bytes()));
        Note {
            at_ns: now_ns(),
            waker: interrupt.unwrap_or_else(running),
            cause,
            path,
        }
    }

    /// Prints the note of the running thread. It `slept`, or was still awake when it was woken.
    pub fn print(&self, woken: &Thread, slept: bool) {
        let waited_ns = now_ns() - self.at_ns;
        // A String can't fail to be written to.
        let mut line = String::new();
        let _ = self.describe(&mut line, woken);
        if slept {
            println!("{line}; runs after {waited_ns} ns");
        } else {
            println!("{line}; was awake");
        }
    }

    fn describe(&self, out: &mut String, woken: &Thread) -> core::fmt::Result {
        let (seconds, ns) = (self.at_ns / NANOSECONDS, self.at_ns % NANOSECONDS);
        write!(out, "wakeup {seconds}.{ns:09}: ")?;
        match self.waker {
            Waker::Thread(pid, tid, name) => thread(out, pid, tid, &name)?,
            Waker::Timer => out.push_str("timer"),
            Waker::Device => out.push_str("device"),
        }
        out.push_str(" wakes ");
        thread(out, woken.process.pid, woken.tid(), &woken.name_bytes())?;
        out.push(':');
        let call = woken.call().filter(|_| woken.process.pid != 0);
        if let (Some((number, arguments)), Some((token, events))) = (call, self.cause)
            && let Some(fd) = waited_at(number, arguments[0], token)
        {
            self.describe_files(out, woken, fd, events)?;
        }
        match call.and_then(|(number, _)| nr::name(number)) {
            Some(name) => write!(out, " in {name}"),
            None => write!(out, " in the kernel"),
        }
    }

    /// Descriptor, bits and epolls, from the object outwards.
    fn describe_files(&self, out: &mut String, woken: &Thread, outermost: i32, events: EventMask) -> core::fmt::Result {
        let steps = &self.path.steps[..self.path.len.min(self.path.steps.len())];
        let fds = descriptors(woken, outermost, steps);
        let events = steps.first().map_or(events, |&(_, events)| events);
        for (number, fd) in fds.iter().rev().enumerate() {
            out.push_str(if number == 0 { " fd " } else { " through epoll " });
            match fd {
                Some(fd) => write!(out, "{fd}")?,
                // Closed since.
                None => out.push('?'),
            }
            if number == 0 {
                out.push(' ');
                flags(out, u64::from(events.bits()), EVENT_BITS)?;
            }
        }
        Ok(())
    }
}

/// The descriptor whose wait queue a thread waits in, if its call has one: a call's first argument, or of several the one
/// that poll gave as its token.
fn waited_at(number: usize, first: usize, token: u32) -> Option<i32> {
    #[cfg(target_arch = "x86_64")]
    match number {
        nr::EPOLL_WAIT => return Some(first as i32),
        nr::POLL | nr::SELECT => return Some(token as i32),
        _ => {}
    }
    match number {
        nr::EPOLL_PWAIT | nr::EPOLL_PWAIT2 => Some(first as i32),
        nr::READ | nr::READV | nr::WRITE | nr::WRITEV | nr::CONNECT | nr::ACCEPT | nr::ACCEPT4 => Some(first as i32),
        nr::RECVFROM | nr::RECVMSG | nr::SENDTO | nr::SENDMSG => Some(first as i32),
        nr::PPOLL | nr::PSELECT6 => Some(token as i32),
        _ => None,
    }
}

/// The descriptor that a thread waits at, and those of the interests from there inwards; `None` for one that is gone.
fn descriptors(woken: &Thread, outermost: i32, steps: &[(u32, EventMask)]) -> Vec<Option<i32>> {
    let mut fds = alloc::vec![Some(outermost)];
    let open = woken.files().get(outermost).ok();
    let mut at = open
        .as_ref()
        .and_then(|open| open.epoll())
        .map(|epoll| epoll.clone() as Arc<dyn Pollable>);
    for &(interest, _) in steps.iter().rev() {
        let inner = at
            .as_ref()
            .and_then(|at| at.as_epoll())
            .and_then(|epoll| epoll.interest(interest));
        let (fd, source) = inner.unzip();
        fds.push(fd);
        at = source;
    }
    fds
}

fn thread(out: &mut String, pid: i32, tid: i32, name: &[u8; 16]) -> core::fmt::Result {
    let len = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
    write!(out, "{pid}/{tid} \"{}\"", name[..len].escape_ascii())
}
