//! The only blocking loop: try, register, try again, sleep.

use crate::{EventMask, Sleeper, Unparked, WaitQueue};
use alloc::sync::Arc;
use libsyscall::abi::Errno;

/// Why a blocking operation ended without a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    TimedOut,
    Interrupted,
    /// No memory to register with.
    OutOfMemory,
}

impl Blocked {
    /// The error of a call that a signal restarts if its handler wants that, and whose time limit is EAGAIN.
    pub fn errno(self) -> Errno {
        match self {
            Blocked::TimedOut => Errno::EAGAIN,
            Blocked::Interrupted => Errno::ERESTARTSYS,
            Blocked::OutOfMemory => Errno::ENOMEM,
        }
    }
}

/// Repeats `attempt` until it gives something, sleeping in `queue` in between. `interest` is what the attempt waits for,
/// with [`EventMask::EXCLUSIVE`] where one waiter is enough for one event.
///
/// An exclusive waiter may be chosen at the instant it gives up; nobody else has then heard of the event. So it leaves the
/// queue first, after which it can't be chosen, and tries a last time: a wake-up that found it still there is answered.
///
/// | waiter | waker |
/// |---|---|
/// | park: timed out | |
/// | | makes the object ready, chooses this waiter |
/// | leaves the queue | |
/// | last attempt: takes the event | |
///
/// And it may be chosen again while it leaves with what an earlier wake-up brought. What comes then is another's:
///
/// | waiter | waker | another waiter |
/// |---|---|---|
/// | attempt: takes the first event | | sleeps |
/// | | second event: chooses this waiter, tells nobody else | |
/// | leaves the queue, and finds that it was told | | |
/// | passes that on | | wakes: takes the second event |
pub fn block_on<T, S: Sleeper + 'static>(
    queue: &WaitQueue,
    interest: EventMask,
    sleeper: &Arc<S>,
    deadline_ns: Option<u64>,
    attempt: impl FnMut() -> Option<T>,
) -> Result<T, Blocked> {
    let result = block_on_and_leave(queue, interest, sleeper, deadline_ns, attempt);
    if interest.contains(EventMask::EXCLUSIVE) && sleeper.is_notified() {
        queue.pass_on(interest.difference(EventMask::PRIVATE));
    }
    result
}

/// [`block_on`] for who looks itself, afterwards, whether anything is left for another exclusive waiter.
pub(crate) fn block_on_and_leave<T, S: Sleeper + 'static>(
    queue: &WaitQueue,
    interest: EventMask,
    sleeper: &Arc<S>,
    deadline_ns: Option<u64>,
    mut attempt: impl FnMut() -> Option<T>,
) -> Result<T, Blocked> {
    if let Some(value) = attempt() {
        return Ok(value);
    }
    let entry = queue
        .add(sleeper.clone(), 0, interest)
        .map_err(|_| Blocked::OutOfMemory)?;
    let gave_up = loop {
        if let Some(value) = attempt() {
            queue.remove(entry);
            return Ok(value);
        }
        match sleeper.park(deadline_ns) {
            Unparked::Woken => {}
            Unparked::TimedOut => break Blocked::TimedOut,
            Unparked::Interrupted => break Blocked::Interrupted,
        }
    };
    queue.remove(entry);
    attempt().ok_or(gave_up)
}
