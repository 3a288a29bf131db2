//! The traits that join what can be ready, who wants to know, and who sleeps.

use crate::epoll::Epoll;
use crate::{EventMask, WaitQueue};

/// Something with readiness: a pipe's end, a socket, an eventfd, an epoll.
pub trait Pollable: Send + Sync {
    /// What is ready now, and none of [`EventMask::PRIVATE`]. Never sleeps, never wakes; may take the object's own lock.
    fn readiness(&self) -> EventMask;

    /// Whether [`Pollable::readiness`] takes no lock: an epoll then keeps its ready list's while it asks.
    fn answers_at_once(&self) -> bool {
        false
    }

    /// Woken after every change that may have added a bit, with the bits, after the object's lock is dropped.
    fn wait_queue(&self) -> &WaitQueue;

    /// The bits of its queue's wake-ups that are about it: less than all where objects share a queue.
    fn told_of(&self) -> EventMask {
        EventMask::all()
    }

    /// The epoll behind it, if it is one: for the checks of nesting.
    fn as_epoll(&self) -> Option<&Epoll> {
        None
    }
}

/// Whether a wake-up was used: ends the search for an exclusive waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    No,
    Yes,
}

/// Who can stand in a wait queue: a thread, or an epoll for one of its interests.
pub trait Waiter: Send + Sync {
    /// `token` is the number given when it was added. Queues and returns: it is called under the queue's lock, and
    /// may be called from an interrupt. `No` where the waiter had a wake-up already that it has not seen yet.
    fn wake(&self, token: u32, events: EventMask) -> Woken;
}

/// Why [`Sleeper::park`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unparked {
    /// Woken, or for no reason: look again.
    Woken,
    TimedOut,
    /// A signal is to be handled.
    Interrupted,
}

/// A waiter that can sleep: a thread.
pub trait Sleeper: Waiter {
    /// Sleeps until its `wake` is called, `deadline_ns` (of the monotonic clock) has passed or a signal waits. A wake-up
    /// since the last return is not lost: it makes this return at once.
    fn park(&self, deadline_ns: Option<u64>) -> Unparked;

    /// Whether its `wake` was called and `park` has not returned since.
    fn is_notified(&self) -> bool;
}
