//! poll(2), select(2) and their kind, over the same wait queues as epoll.

use super::Call;
use super::table::{Line, line};
use super::time::{read_timespec, write_timespec};
#[cfg(target_arch = "x86_64")]
use super::time::{relative_deadline, timespec_ns, timeval};
use crate::file::OpenFile;
use crate::mm::user;
use crate::task::Thread;
use crate::time;
use alloc::sync::Arc;
use alloc::vec::Vec;
#[cfg(target_arch = "x86_64")]
use core::sync::atomic::Ordering::Relaxed;
use event::{Blocked, EventMask, PollItem};
use libsyscall::abi::epoll::PollFd;
use libsyscall::abi::{Errno, nr};

pub const CALLS: &[Line] = &[
    line(nr::PPOLL, ppoll),
    line(nr::PSELECT6, pselect6),
    #[cfg(target_arch = "x86_64")]
    line(nr::POLL, poll),
    #[cfg(target_arch = "x86_64")]
    line(nr::SELECT, select),
];

/// The signal mask argument of the p-calls: null is none, and its size then does not matter. EINVAL, EFAULT.
pub fn read_mask(address: usize, size: usize) -> Result<Option<u64>, Errno> {
    if address == 0 {
        return Ok(None);
    }
    if size != size_of::<u64>() {
        return Err(Errno::EINVAL);
    }
    user::read(address).map(Some)
}

/// A timespec argument as a deadline: null is for ever, zero only looks. EFAULT, EINVAL.
pub fn read_deadline(address: usize) -> Result<Option<u64>, Errno> {
    if address == 0 {
        return Ok(None);
    }
    Ok(match read_timespec(address)? {
        0 => Some(0),
        timeout_ns => Some(time::now_ns().saturating_add(timeout_ns)),
    })
}

/// Runs `f` with another signal mask in place. Where a signal ends it, its handler runs before the old one is back.
pub fn with_mask<R>(thread: &Arc<Thread>, mask: Option<u64>, f: impl FnOnce() -> Result<R, Errno>) -> Result<R, Errno> {
    let Some(mask) = mask else { return f() };
    thread.begin_temporary_mask(mask);
    let result = f();
    thread.end_temporary_mask(matches!(result, Err(Errno::EINTR | Errno::ERESTARTNOHAND)));
    result
}

/// Objects to poll; the descriptions stay open for as long.
#[derive(Default)]
struct Polled {
    items: Vec<PollItem>,
    open: Vec<Arc<OpenFile>>,
}

/// What a file without wait queue is ready for, always (semantics 159).
const ALWAYS_READY: EventMask = EventMask::READABLE.union(EventMask::WRITABLE);

impl Polled {
    fn with_capacity(capacity: usize) -> Result<Polled, Errno> {
        let mut polled = Polled::default();
        polled.items.try_reserve_exact(capacity).map_err(|_| Errno::ENOMEM)?;
        polled.open.try_reserve_exact(capacity).map_err(|_| Errno::ENOMEM)?;
        Ok(polled)
    }

    /// Adds a descriptor; one that is not open reports NVAL.
    fn push(&mut self, thread: &Thread, fd: i32, interest: EventMask) {
        let Ok(open) = thread.files().get(fd) else {
            return self.items.push(PollItem::settled(EventMask::NVAL));
        };
        self.items.push(match open.file.share().pollable() {
            Some(source) => PollItem::new(source, interest, fd as u32),
            None => PollItem::settled(ALWAYS_READY & interest),
        });
        self.open.push(open);
    }

    /// Waits. A signal is ERESTARTNOHAND: EINTR to a program with a handler.
    fn wait(&mut self, thread: &Arc<Thread>, deadline_ns: Option<u64>) -> Result<usize, Errno> {
        event::poll(&mut self.items, thread, deadline_ns).map_err(|blocked| match blocked {
            Blocked::Interrupted => Errno::ERESTARTNOHAND,
            other => other.errno(),
        })
    }
}

fn poll_fds(call: &Call, deadline_ns: Option<u64>) -> Result<usize, Errno> {
    let (address, count) = (call.arg(0), call.uint(1) as usize);
    if count > call.thread().process.file_limit() {
        return Err(Errno::EINVAL);
    }
    let mut polled = Polled::with_capacity(count)?;
    for at in 0..count {
        let PollFd { fd, events, .. } = user::read(address + at * size_of::<PollFd>())?;
        if fd < 0 {
            polled.items.push(PollItem::settled(EventMask::empty()));
        } else {
            polled.push(
                call.thread(),
                fd,
                (EventMask::from_bits_truncate(u32::from(events as u16)) - EventMask::PRIVATE) | EventMask::ALWAYS,
            );
        }
    }
    let result = polled.wait(call.thread(), deadline_ns);
    for (at, item) in polled.items.iter().enumerate() {
        let field = core::mem::offset_of!(PollFd, revents);
        user::write(address + at * size_of::<PollFd>() + field, &(item.ready.bits() as u16))?;
    }
    result
}

/// The timeout is a number, so one that a stop interrupts goes on to the deadline it had.
#[cfg(target_arch = "x86_64")]
fn poll(call: &mut Call) -> Result<usize, Errno> {
    let deadline_ns = match call.int(2) {
        0 => Some(0),
        timeout_ms @ 1.. => Some(relative_deadline(call, timeout_ms as u64 * 1_000_000)),
        _ => None,
    };
    let result = poll_fds(call, deadline_ns);
    if result == Err(Errno::ERESTARTNOHAND) {
        call.thread()
            .restart_deadline_ns
            .store(deadline_ns.unwrap_or(0), Relaxed);
        return Err(Errno::ERESTART_RESTARTBLOCK);
    }
    result
}

/// The calls that take their timeout by address write back what is left of it, whatever their result (semantics 162), but
/// for one that only looked. Where it can't be written the call can't be taken up again after a stop, and that is all.
fn with_time_left(
    result: Result<usize, Errno>,
    deadline_ns: Option<u64>,
    write: impl FnOnce(u64) -> Result<(), Errno>,
) -> Result<usize, Errno> {
    let Some(deadline_ns @ 1..) = deadline_ns else {
        return result;
    };
    let written = write(deadline_ns.saturating_sub(time::now_ns()));
    match result {
        Err(Errno::ERESTARTNOHAND) if written.is_err() => Err(Errno::EINTR),
        result => result,
    }
}

fn ppoll(call: &mut Call) -> Result<usize, Errno> {
    let deadline_ns = read_deadline(call.arg(2))?;
    let mask = read_mask(call.arg(3), call.arg(4))?;
    let result = with_mask(call.thread(), mask, || poll_fds(call, deadline_ns));
    with_time_left(result, deadline_ns, |left_ns| write_timespec(call.arg(2), left_ns))
}

/// What each of select's three sets asks for (semantics 164).
const SETS: [EventMask; 3] = [
    EventMask::IN
        .union(EventMask::RDNORM)
        .union(EventMask::RDBAND)
        .union(EventMask::HUP)
        .union(EventMask::ERR),
    EventMask::OUT
        .union(EventMask::WRNORM)
        .union(EventMask::WRBAND)
        .union(EventMask::ERR),
    EventMask::PRI,
];

/// Bits of one word of an fd_set.
const WORD_BITS: usize = 64;

/// The three sets as bit maps, `None` for a null pointer.
type Sets = [Option<Vec<u64>>; 3];

fn read_set(address: usize, words: usize) -> Result<Option<Vec<u64>>, Errno> {
    if address == 0 {
        return Ok(None);
    }
    let mut set = Vec::new();
    set.try_reserve_exact(words).map_err(|_| Errno::ENOMEM)?;
    for at in 0..words {
        set.push(user::read(address + at * size_of::<u64>())?);
    }
    Ok(Some(set))
}

fn has(set: &Option<Vec<u64>>, fd: usize) -> bool {
    set.as_ref()
        .is_some_and(|words| words[fd / WORD_BITS] >> (fd % WORD_BITS) & 1 != 0)
}

/// select(2) on arguments 0 to 3. The sets are written only when it succeeds.
fn select_fds(call: &Call, deadline_ns: Option<u64>) -> Result<usize, Errno> {
    let count = usize::try_from(call.int(0)).map_err(|_| Errno::EINVAL)?;
    // Descriptors past the table's largest can't be open: no more than that is looked at.
    let count = count.min(call.thread().files().capacity());
    let words = count.div_ceil(WORD_BITS);
    let addresses = [call.arg(1), call.arg(2), call.arg(3)];
    let mut sets: Sets = [None, None, None];
    for (set, address) in sets.iter_mut().zip(addresses) {
        *set = read_set(address, words)?;
    }
    let mut polled = Polled::default();
    let mut numbers = Vec::new();
    for fd in 0..count {
        let mut interest = EventMask::empty();
        for (set, mask) in sets.iter().zip(SETS) {
            if has(set, fd) {
                interest |= mask;
            }
        }
        if interest.is_empty() {
            continue;
        }
        polled.items.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        polled.open.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        numbers.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        polled.push(call.thread(), fd as i32, interest);
        numbers.push(fd);
        if polled.items.last().is_some_and(|item| item.ready == EventMask::NVAL) {
            return Err(Errno::EBADF);
        }
    }
    polled.wait(call.thread(), deadline_ns)?;
    let mut total = 0;
    for ((set, mask), address) in sets.iter_mut().zip(SETS).zip(addresses) {
        let Some(asked) = set else { continue };
        let mut answer = asked.clone();
        answer.fill(0);
        for (item, &fd) in polled.items.iter().zip(&numbers) {
            let bit = 1 << (fd % WORD_BITS);
            if asked[fd / WORD_BITS] & bit != 0 && item.ready.intersects(mask) {
                answer[fd / WORD_BITS] |= bit;
                total += 1;
            }
        }
        for (at, word) in answer.iter().enumerate() {
            user::write(address + at * size_of::<u64>(), word)?;
        }
    }
    Ok(total)
}

/// The timeout is a timeval, whose microseconds may be more than a second.
#[cfg(target_arch = "x86_64")]
fn select(call: &mut Call) -> Result<usize, Errno> {
    let address = call.arg(4);
    let deadline_ns = if address == 0 {
        None
    } else {
        let [seconds, microseconds]: [i64; 2] = user::read(address)?;
        let seconds = seconds.checked_add(microseconds / 1_000_000).ok_or(Errno::EINVAL)?;
        match timespec_ns([seconds, microseconds % 1_000_000 * 1000])? {
            0 => Some(0),
            timeout_ns => Some(time::now_ns().saturating_add(timeout_ns)),
        }
    };
    let result = select_fds(call, deadline_ns);
    with_time_left(result, deadline_ns, |left_ns| user::write(address, &timeval(left_ns)))
}

/// The sixth argument points to the mask's address and size (semantics 165).
fn pselect6(call: &mut Call) -> Result<usize, Errno> {
    let [mask, size]: [usize; 2] = if call.arg(5) == 0 {
        [0, 0]
    } else {
        user::read(call.arg(5))?
    };
    let deadline_ns = read_deadline(call.arg(4))?;
    let mask = read_mask(mask, size)?;
    let result = with_mask(call.thread(), mask, || select_fds(call, deadline_ns));
    with_time_left(result, deadline_ns, |left_ns| write_timespec(call.arg(4), left_ns))
}
