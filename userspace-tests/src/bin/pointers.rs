//! Every pointer argument of the event calls, wrong in every way: the error is EFAULT, and nothing has changed but what
//! Linux changes.

use libsyscall::abi::Errno;
use libsyscall::abi::event::*;
use libsyscall::abi::fcntl::{O_CLOEXEC, O_NONBLOCK};
use libsyscall::abi::nr;
use libsyscall::calls::event::{Timespec, eventfd_read, eventfd_write};
use libsyscall::calls::raw;
use std::mem;
use std::process::ExitCode;
use std::ptr;
use userspace_tests::{Fd, Status, child, tests};

fn main() -> ExitCode {
    userspace_tests::run(tests![
        control,
        wait_events,
        wait_events_in_part,
        wait_mask,
        wait_timeout,
        busy_poll_parameters,
        eventfd_buffers,
        timerfd_settings,
        timerfd_buffer,
        timerfd_ticks,
        signalfd_set,
        signalfd_buffer,
        poll_entries,
        poll_timeout_and_mask,
        select_sets,
        select_timeout_and_mask,
        pipe_array,
        pipe_read,
        pipe_write,
        pipe_pieces,
        send_by_pidfd,
        wait_by_pidfd,
    ])
}

const PAGE: usize = 4096;

/// What a call does with what its pointer shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Reads,
    Writes,
}
use Access::{Reads, Writes};

/// Addresses at which `size` bytes can't be accessed, with what is wrong about them. They stay so while the program runs.
fn wrong(size: usize, access: Access) -> Vec<(&'static str, usize)> {
    let [whole, read_only, hidden] = pages();
    let mut wrong = vec![
        ("null", 0),
        ("null and a bit", 8),
        ("unmapped", whole + PAGE),
        ("not accessible", hidden),
        ("half unmapped", whole + PAGE - size / 2),
        ("the last byte of all", usize::MAX),
        ("kernel", 0xffff_8000_0000_1000),
        // Not canonical on x86_64; on aarch64 above what a user address may be.
        ("no address", 0x00f0_0000_0000_0000),
    ];
    if access == Writes {
        wrong.push(("read-only", read_only));
    }
    wrong
}

/// A page that is followed by a hole, one to be read only, and one not to be touched.
fn pages() -> [usize; 3] {
    use std::sync::OnceLock;
    static PAGES: OnceLock<[usize; 3]> = OnceLock::new();
    *PAGES.get_or_init(|| {
        let map = |len, access| {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            // SAFETY: new memory, at a place of the kernel's choice.
            let address = unsafe { libc::mmap(ptr::null_mut(), len, access, flags, -1, 0) };
            assert_ne!(address, libc::MAP_FAILED);
            address as usize
        };
        let whole = map(2 * PAGE, libc::PROT_READ | libc::PROT_WRITE);
        // The hole stays mapped without access, so that nothing else comes to lie there.
        let hole = ptr::with_exposed_provenance_mut(whole + PAGE);
        // SAFETY: the second page is ours and nothing is in it.
        assert_eq!(unsafe { libc::mprotect(hole, PAGE, libc::PROT_NONE) }, 0);
        [whole, map(PAGE, libc::PROT_READ), map(PAGE, libc::PROT_NONE)]
    })
}

/// A system call that the tests expect to be refused, or to touch only what they give it.
fn call<const N: usize>(number: usize, arguments: [usize; N]) -> Result<usize, Errno> {
    // SAFETY: the addresses are buffers of the tests, or no memory that anything is in.
    unsafe { raw(number, arguments) }
}

fn number(fd: &Fd) -> usize {
    fd.0 as usize
}

/// Semantics 13, 16, 17.
fn control() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(1, 0));
    for (what, address) in wrong(size_of::<EpollEvent>(), Reads) {
        let control = |operation: i32| {
            call(
                nr::EPOLL_CTL,
                [number(&epoll), operation as usize, number(&event), address],
            )
        };
        assert_eq!(control(EPOLL_CTL_ADD), Err(Errno::EFAULT), "{what}");
        assert_eq!(epoll.control(EPOLL_CTL_MOD, &event, EPOLLIN), Err(Errno::ENOENT));
        epoll.add(&event, EPOLLIN);
        assert_eq!(control(EPOLL_CTL_MOD), Err(Errno::EFAULT), "{what}");
        assert_eq!(epoll.ready(), [(event.0 as u64, EPOLLIN)]);
        assert_eq!(control(99), Err(Errno::EFAULT), "{what}");
        assert_eq!(control(EPOLL_CTL_DEL), Ok(0), "{what}");
    }
}

fn pwait(epoll: &Fd, events: usize, room: usize, timeout_ms: i32, mask: usize) -> Result<usize, Errno> {
    call(
        nr::EPOLL_PWAIT,
        [number(epoll), events, room, timeout_ms as usize, mask, 8],
    )
}

/// Semantics 50, 51.
fn wait_events() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    epoll.add(&event, EPOLLIN | EPOLLET);
    for (what, address) in wrong(size_of::<EpollEvent>(), Writes) {
        let beyond = matches!(what, "kernel" | "no address" | "the last byte of all");
        let quiet = if beyond { Err(Errno::EFAULT) } else { Ok(0) };
        assert_eq!(pwait(&epoll, address, 1, 0, 0), quiet, "{what}, nothing ready");
        eventfd_write(event.0, 1).expect("write");
        for timeout_ms in [0, 1000, -1] {
            assert_eq!(pwait(&epoll, address, 1, timeout_ms, 0), Err(Errno::EFAULT), "{what}");
        }
        // The edge is not lost, and there is one of it.
        assert_eq!((epoll.events(), epoll.events()), (EPOLLIN, 0), "{what}");
    }
}

/// Semantics 51: what could be written counts, and the rest stays.
fn wait_events_in_part() {
    let epoll = Fd::epoll();
    let files: Vec<_> = (0..3).map(|_| Fd::eventfd(0, 0)).collect();
    files.iter().for_each(|file| epoll.add(file, EPOLLIN | EPOLLET));
    files.iter().for_each(|file| eventfd_write(file.0, 1).expect("write"));
    let end = pages()[0] + PAGE;
    for room in [1, 0, 1] {
        let address = end - room * size_of::<EpollEvent>() - 4;
        let expected = if room > 0 { Ok(room) } else { Err(Errno::EFAULT) };
        assert_eq!(pwait(&epoll, address, 3, 0, 0), expected);
    }
    assert_eq!(epoll.ready(), [(files[2].0 as u64, EPOLLIN)]);
}

fn entry(fd: &Fd) -> PollFd {
    PollFd {
        fd: fd.0,
        events: EPOLLIN as u16,
        revents: 0,
    }
}

/// Semantics 55.
fn wait_mask() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(1, 0));
    epoll.add(&event, EPOLLIN | EPOLLET);
    let mut events = [EpollEvent::default()];
    let buffer = events.as_mut_ptr() as usize;
    for (what, address) in wrong(8, Reads) {
        if address != 0 {
            assert_eq!(pwait(&epoll, buffer, 1, 0, address), Err(Errno::EFAULT), "{what}");
            // The mask is looked at first.
            assert_eq!(pwait(&Fd(-1), buffer, 0, 0, address), Err(Errno::EFAULT), "{what}");
        }
    }
    assert_eq!(epoll.events(), EPOLLIN);
}

/// Semantics 56.
fn wait_timeout() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(1, 0));
    epoll.add(&event, EPOLLIN | EPOLLET);
    let mut events = [EpollEvent::default()];
    let buffer = events.as_mut_ptr() as usize;
    for (what, address) in wrong(size_of::<Timespec>(), Reads) {
        if address != 0 {
            for fd in [&epoll, &Fd(-1)] {
                let result = call(nr::EPOLL_PWAIT2, [number(fd), buffer, 1, address, 0, 8]);
                assert_eq!(result, Err(Errno::EFAULT), "{what}");
            }
        }
    }
    assert_eq!(epoll.events(), EPOLLIN);
}

/// ioctl_eventpoll(2).
fn busy_poll_parameters() {
    const SET: usize = 0x4008_8a01;
    const GET: usize = 0x8008_8a02;
    let epoll = Fd::epoll();
    for (command, access) in [(SET, Reads), (GET, Writes)] {
        for (what, address) in wrong(8, access) {
            let result = call(nr::IOCTL, [number(&epoll), command, address]);
            assert_eq!(result, Err(Errno::EFAULT), "{what}");
        }
    }
}

/// Semantics 119, 125, 136: a read that fails has taken the count; a write that fails has added nothing.
fn eventfd_buffers() {
    let event = Fd::eventfd(0, EFD_NONBLOCK);
    for (what, address) in wrong(8, Writes) {
        eventfd_write(event.0, 3).expect("write");
        let read = |size| call(nr::READ, [number(&event), address, size]);
        // The whole range has to be below the kernel's, before anything else is looked at.
        let beyond = matches!(what, "kernel" | "no address" | "the last byte of all");
        if !beyond {
            assert_eq!(read(7), Err(Errno::EINVAL), "{what}");
        }
        assert_eq!(read(8), Err(Errno::EFAULT), "{what}");
        let left = if beyond { Ok(3) } else { Err(Errno::EAGAIN) };
        assert_eq!(eventfd_read(event.0), left, "{what}");
    }
    for (what, address) in wrong(8, Reads) {
        assert_eq!(
            call(nr::WRITE, [number(&event), address, 8]),
            Err(Errno::EFAULT),
            "{what}"
        );
        assert_eq!(eventfd_read(event.0), Err(Errno::EAGAIN), "{what}");
    }
}

const SETTING: usize = 32;

fn timer() -> Fd {
    // SAFETY: numbers in, a descriptor out.
    let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) };
    Fd(userspace_tests::checked(fd).expect("timerfd_create"))
}

/// Interval and value in seconds, as timerfd_gettime(2) gives them.
fn setting(timer: &Fd) -> [i64; 4] {
    let mut now = [0; 4];
    let address = now.as_mut_ptr() as usize;
    assert_eq!(call(nr::TIMERFD_GETTIME, [number(timer), address]), Ok(0));
    now
}

/// timerfd_settime(2): a new setting that can't be read changes nothing; where the old one can't be written, the new one
/// holds.
fn timerfd_settings() {
    let timer = timer();
    let new = [1000i64, 0, 5000, 0];
    let new = new.as_ptr() as usize;
    for (what, address) in wrong(SETTING, Reads) {
        let result = call(nr::TIMERFD_SETTIME, [number(&timer), 0, address, 0]);
        assert_eq!(result, Err(Errno::EFAULT), "{what}");
        assert_eq!(setting(&timer), [0; 4], "{what}");
    }
    for (what, address) in wrong(SETTING, Writes) {
        let gettime = call(nr::TIMERFD_GETTIME, [number(&timer), address]);
        assert_eq!(gettime, Err(Errno::EFAULT), "{what}");
        if address != 0 {
            let settime = call(nr::TIMERFD_SETTIME, [number(&timer), 0, new, address]);
            assert_eq!(settime, Err(Errno::EFAULT), "{what}");
            assert_eq!(setting(&timer)[0], 1000, "{what}");
            let off = [0i64; 4];
            let off = off.as_ptr() as usize;
            assert_eq!(call(nr::TIMERFD_SETTIME, [number(&timer), 0, off, 0]), Ok(0));
        }
    }
}

/// A read that fails has taken the expirations.
fn timerfd_buffer() {
    let (timer, epoll) = (timer(), Fd::epoll());
    epoll.add(&timer, EPOLLIN);
    for (what, address) in wrong(8, Writes) {
        let new = [0i64, 0, 0, 1];
        let new = new.as_ptr() as usize;
        assert_eq!(call(nr::TIMERFD_SETTIME, [number(&timer), 0, new, 0]), Ok(0));
        assert_eq!(epoll.wait(-1, 1).expect("epoll_wait").len(), 1);
        let result = call(nr::READ, [number(&timer), address, 8]);
        // What of the count went in counts as read, alone among these files; a copy may also go in at once or not at all.
        let in_part = what == "half unmapped" && result == Ok(4);
        assert!(in_part || result == Err(Errno::EFAULT), "{what}: {result:?}");
        let beyond = matches!(what, "kernel" | "no address" | "the last byte of all");
        assert_eq!(epoll.events() != 0, beyond, "{what}");
    }
}

fn timerfd_ticks() {
    const SET_TICKS: usize = 0x4008_5400;
    let (timer, epoll) = (timer(), Fd::epoll());
    epoll.add(&timer, EPOLLIN);
    for (what, address) in wrong(8, Reads) {
        let result = call(nr::IOCTL, [number(&timer), SET_TICKS, address]);
        assert_eq!(result, Err(Errno::EFAULT), "{what}");
    }
    assert_eq!(epoll.events(), 0);
}

/// Semantics 179.
fn signalfd_set() {
    let mask = 1u64 << 9;
    let create = |fd: i32, address| call(nr::SIGNALFD4, [fd as usize, address, 8, O_CLOEXEC as usize]);
    let fd = Fd(create(-1, &raw const mask as usize).expect("signalfd4") as i32);
    for (what, address) in wrong(8, Reads) {
        for target in [-1, fd.0, 999] {
            assert_eq!(create(target, address), Err(Errno::EFAULT), "{what}");
        }
    }
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.0)).expect("read");
    assert!(text.ends_with("sigmask:\t0000000000000200\n"), "{text}");
}

/// A read that fails has taken the signal.
fn signalfd_buffer() {
    const LEN: usize = 128;
    let mask = 1u64 << (libc::SIGUSR1 - 1);
    let mask = &raw const mask as usize;
    assert_eq!(call(nr::RT_SIGPROCMASK, [libc::SIG_BLOCK as usize, mask, 0, 8]), Ok(0));
    let flags = (O_CLOEXEC | O_NONBLOCK) as usize;
    let fd = Fd(call(nr::SIGNALFD4, [usize::MAX, mask, 8, flags]).expect("signalfd4") as i32);
    let mut bytes = [0; LEN];
    for (what, address) in wrong(LEN, Writes) {
        // SAFETY: the signal is blocked.
        assert_eq!(unsafe { libc::raise(libc::SIGUSR1) }, 0);
        assert_eq!(
            call(nr::READ, [number(&fd), address, LEN]),
            Err(Errno::EFAULT),
            "{what}"
        );
        let beyond = matches!(what, "kernel" | "no address" | "the last byte of all");
        let left = if beyond { Ok(LEN) } else { Err(Errno::EAGAIN) };
        assert_eq!(fd.read(&mut bytes), left, "{what}");
    }
    assert_eq!(
        call(nr::RT_SIGPROCMASK, [libc::SIG_UNBLOCK as usize, mask, 0, 8]),
        Ok(0)
    );
}

/// Semantics 156: entries are read, and their results written, whatever the result.
fn poll_entries() {
    let now = Timespec::default();
    let now = &raw const now as usize;
    for (what, address) in wrong(size_of::<PollFd>(), Reads) {
        assert_eq!(call(nr::PPOLL, [address, 1, now, 0, 8]), Err(Errno::EFAULT), "{what}");
    }
    // A page of zeroes is an entry for descriptor 0 that asks for nothing, and takes no result.
    let read_only = pages()[1];
    assert_eq!(call(nr::PPOLL, [read_only, 1, now, 0, 8]), Err(Errno::EFAULT));
    // The first of two entries is there, and not touched.
    let (event, end) = (Fd::eventfd(1, 0), pages()[0] + PAGE);
    let first = ptr::with_exposed_provenance_mut::<PollFd>(end - size_of::<PollFd>());
    // SAFETY: within the page that can be written, where nobody else looks.
    unsafe {
        first.write(PollFd {
            revents: 77,
            ..entry(&event)
        })
    };
    assert_eq!(call(nr::PPOLL, [first as usize, 2, now, 0, 8]), Err(Errno::EFAULT));
    // SAFETY: as above.
    assert_eq!(unsafe { first.read() }.revents, 77);
    assert_eq!(call(nr::PPOLL, [first as usize, 1, now, 0, 8]), Ok(1));
}

/// Semantics 162.
fn poll_timeout_and_mask() {
    let event = Fd::eventfd(1, 0);
    let mut entries = [entry(&event)];
    let entries = entries.as_mut_ptr() as usize;
    let now = Timespec::default();
    for (what, address) in wrong(16, Reads) {
        if address != 0 {
            let timeout = call(nr::PPOLL, [entries, 1, address, 0, 8]);
            assert_eq!(timeout, Err(Errno::EFAULT), "{what}");
        }
    }
    for (what, address) in wrong(8, Reads) {
        if address != 0 {
            let mask = call(nr::PPOLL, [entries, 1, &raw const now as usize, address, 8]);
            assert_eq!(mask, Err(Errno::EFAULT), "{what}");
        }
    }
}

/// Semantics 163.
fn select_sets() {
    let event = Fd::eventfd(1, 0);
    let now = Timespec::default();
    let now = &raw const now as usize;
    for place in 1..=3 {
        for (what, address) in wrong(8, Reads) {
            if address != 0 {
                let mut reads = [1u64 << event.0];
                let mut arguments = [64, reads.as_mut_ptr() as usize, 0, 0, now, 0];
                arguments[place] = address;
                assert_eq!(call(nr::PSELECT6, arguments), Err(Errno::EFAULT), "{what}");
                assert_eq!(reads, [1 << event.0]);
            }
        }
        // An empty set that can't be written is found out when the answer comes.
        let mut arguments = [64, 0, 0, 0, now, 0];
        arguments[place] = pages()[1];
        assert_eq!(call(nr::PSELECT6, arguments), Err(Errno::EFAULT));
    }
    // Without descriptors no set is looked at.
    assert_eq!(call(nr::PSELECT6, [0, 8, 8, 8, now, 0]), Ok(0));
}

/// Semantics 163, 165.
fn select_timeout_and_mask() {
    let now = Timespec::default();
    let now = &raw const now as usize;
    for (what, address) in wrong(16, Reads) {
        if address != 0 {
            let timeout = call(nr::PSELECT6, [0, 0, 0, 0, address, 0]);
            assert_eq!(timeout, Err(Errno::EFAULT), "{what}");
            let pair = call(nr::PSELECT6, [0, 0, 0, 0, now, address]);
            assert_eq!(pair, Err(Errno::EFAULT), "{what}");
        }
    }
    for (what, address) in wrong(8, Reads) {
        if address != 0 {
            let pair = [address, 8];
            let mask = call(nr::PSELECT6, [0, 0, 0, 0, now, pair.as_ptr() as usize]);
            assert_eq!(mask, Err(Errno::EFAULT), "{what}");
        }
    }
}

/// Semantics 168: no descriptors are left behind.
fn pipe_array() {
    let lowest = || Fd::eventfd(0, 0).0;
    let before = lowest();
    for (what, address) in wrong(8, Writes) {
        assert_eq!(call(nr::PIPE2, [address, 0]), Err(Errno::EFAULT), "{what}");
        assert_eq!(lowest(), before, "{what}");
    }
}

/// A read that fails takes nothing.
fn pipe_read() {
    let (read, write) = Fd::pipe();
    for (what, address) in wrong(16, Writes) {
        write.write(b"sixteen bytes...").expect("write");
        assert_eq!(
            call(nr::READ, [number(&read), address, 16]),
            Err(Errno::EFAULT),
            "{what}"
        );
        let mut bytes = [0; 32];
        assert_eq!(read.read(&mut bytes), Ok(16), "{what}");
        assert_eq!(&bytes[..16], b"sixteen bytes...");
    }
}

/// A write that fails adds nothing, be the pipe empty or not.
fn pipe_write() {
    let (read, write) = Fd::pipe();
    let mut bytes = [0; 64];
    for (what, address) in wrong(16, Reads) {
        let bad = || call(nr::WRITE, [number(&write), address, 16]);
        assert_eq!(bad(), Err(Errno::EFAULT), "{what}");
        assert_eq!(read.read(&mut bytes), Err(Errno::EAGAIN), "{what}");
        write.write(b"x").expect("write");
        assert_eq!(bad(), Err(Errno::EFAULT), "{what}");
        assert_eq!(read.read(&mut bytes), Ok(1), "{what}");
    }
}

/// Of a transfer in several pieces those that went whole count.
fn pipe_pieces() {
    let (read, write) = Fd::pipe();
    let end = pages()[0] + PAGE;
    // One page, and the next is not there.
    assert_eq!(call(nr::WRITE, [number(&write), end - PAGE, 2 * PAGE]), Ok(PAGE));
    write.write(&[7; 100]).expect("write");
    assert_eq!(call(nr::READ, [number(&read), end - PAGE, 2 * PAGE]), Ok(PAGE));
    let mut bytes = [0; 200];
    assert_eq!(read.read(&mut bytes), Ok(100));
    assert_eq!(bytes[..100], [7; 100]);
}

fn open_process(pid: i32) -> Fd {
    Fd(call(nr::PIDFD_OPEN, [pid as usize, 0]).expect("pidfd_open") as i32)
}

fn send_by_pidfd() {
    let own = open_process(std::process::id() as i32);
    for (what, address) in wrong(128, Reads) {
        // Half of the structure is more than is read of it at first.
        if address != 0 && what != "half unmapped" {
            let result = call(
                nr::PIDFD_SEND_SIGNAL,
                [number(&own), libc::SIGTERM as usize, address, 0],
            );
            assert_eq!(result, Err(Errno::EFAULT), "{what}");
        }
    }
}

/// waitid(2), P_PIDFD: the child has been waited for, though nobody could be told.
fn wait_by_pidfd() {
    for (what, address) in wrong(mem::size_of::<libc::siginfo_t>(), Writes) {
        // Half of the structure is more than is written of it.
        if address == 0 || what == "half unmapped" {
            continue;
        }
        let child = child(|| 4);
        let fd = open_process(child.0);
        let wait = |info| call(nr::WAITID, [3, number(&fd), info, libc::WEXITED as usize, 0]);
        assert_eq!(wait(address), Err(Errno::EFAULT), "{what}");
        assert_eq!(wait(0), Err(Errno::ECHILD), "{what}");
        // The address counts before the error.
        assert_eq!(wait(address), Err(Errno::EFAULT), "{what}");
    }
    assert_eq!(child(|| 4).wait(), Status::Exited(4));
}
