//! epoll_wait(2): what the ready list has is delivered, or somebody sleeps until it has something.

use super::Epoll;
use crate::block_on::block_on_and_leave;
use crate::{Blocked, EventMask, Sleeper};
use alloc::sync::Arc;
use core::hint::cold_path;
use libsyscall::abi::Errno;
use sync::atomic::Ordering;

/// A place for an event in the array that epoll_wait(2) fills. Who has one may fill it, so that nothing else asks for room.
pub trait Place: Copy {
    /// Takes an event: what is ready, and the interest's data. The next place, if there is one.
    fn put(self, events: EventMask, data: u64) -> Result<Option<Self>, Errno>;
}

impl Epoll {
    /// Delivers what is ready to `place` and those behind it. How many; an error of [`Place::put`] only where it met the first,
    /// and the event it did not take is reported again (semantics 51).
    ///
    /// An edge-triggered or one-shot interest leaves the list before its readiness is asked:
    ///
    /// | harvest | waker |
    /// |---|---|
    /// | takes the interest off the list | |
    /// | asks readiness: IN | |
    /// | | more data; not on the list, so queued again |
    /// | delivers IN | |
    ///
    /// The other way round the second wake-up would find it on the list, and the edge be lost with its removal. A
    /// level-triggered one that is ready has to be on the list anyway: it stays, and only its place changes. Where it is not
    /// ready, a wake-up since it was asked keeps it there ([`ReadyList::drop_idle`]).
    #[inline(always)]
    pub fn harvest(&self, mut place: impl Place) -> Result<usize, Errno> {
        let interests = self.interests.lock();
        let mut ready = self.ready.lock();
        // Each interest at most once: those put back, and those that come meanwhile, wait behind the ones there are.
        let mut left = ready.len();
        let mut delivered = 0;
        while let Some((number, mask)) = ready.turn() {
            let leaves = mask.intersects(EventMask::ET | EventMask::ONESHOT);
            if leaves {
                ready.unlink_last(number);
            }
            let Some(interest) = interests.slab.get(number) else {
                break;
            };
            let ready_now;
            (ready, ready_now) = self.ask(ready, interest);
            left -= 1;
            let events = ready_now & mask;
            debug_assert!(!events.intersects(EventMask::PRIVATE));
            if !events.is_empty() {
                let next = match place.put(events, interest.data.get()) {
                    Ok(next) => next,
                    Err(error) => {
                        cold_path();
                        ready.put_back(interest.number);
                        self.settle(&ready);
                        return if delivered == 0 { Err(error) } else { Ok(delivered) };
                    }
                };
                delivered += 1;
                if mask.contains(EventMask::ONESHOT) {
                    ready.disable(interest.number);
                }
                let Some(next) = next else {
                    break;
                };
                place = next;
            } else if !leaves {
                ready.drop_idle(interest.number, !interest.answers_at_once);
            }
            if left == 0 {
                break;
            }
        }
        self.settle(&ready);
        Ok(delivered)
    }

    /// Whether the ready list has anything on it. An interest that another thread has in hand counts: it may be put back
    /// without a wake-up, and who looked away meanwhile would sleep over it.
    ///
    /// | poll(2) on this epoll | epoll_wait(2) |
    /// |---|---|
    /// | takes the only interest off the list | |
    /// | asks readiness: IN | finds the list empty: must not sleep |
    /// | puts it back | |
    ///
    /// Asked without a lock. Who is about to sleep has entered itself before asking, and a waker sets the flag before it
    /// looks for sleepers: [`WaitQueue::add`] says why one of them sees the other.
    #[inline]
    pub fn has_ready(&self) -> bool {
        self.pending.load(Ordering::Relaxed)
    }

    /// epoll_wait(2): delivers what is ready to `place` and those behind it, or sleeps until something is. Who is to sleep, and
    /// the deadline in nanoseconds (0: does not), is asked for when nothing is ready: it costs a look at the clock.
    #[inline]
    pub fn wait<'a, S: Sleeper + 'static>(
        &self,
        place: impl Place,
        sleeper: impl FnOnce() -> (&'a Arc<S>, Option<u64>),
    ) -> Result<usize, Errno> {
        let result = match self.harvest(place) {
            Ok(0) => match sleeper() {
                (_, Some(0)) => Ok(0),
                (sleeper, deadline_ns) => self.sleep(place, sleeper, deadline_ns),
            },
            result => result,
        };
        // One wake-up brought one thread; what it left on the list (level-triggered interests, events past its maximum) is
        // another's to see (semantics 86, 88).
        if !self.sleepers.is_empty() && self.has_ready() {
            self.sleepers.wake(EventMask::IN);
        }
        result
    }

    /// The part of a wait that takes time. Apart, so that what is ready at once pays nothing for it.
    #[inline(never)]
    fn sleep<S: Sleeper + 'static>(
        &self,
        place: impl Place,
        sleeper: &Arc<S>,
        deadline_ns: Option<u64>,
    ) -> Result<usize, Errno> {
        let interest = EventMask::IN | EventMask::EXCLUSIVE;
        // `wait` tells the next one where anything is left.
        let attempt = || {
            let found = self.has_ready().then(|| self.harvest(place))?;
            (found != Ok(0)).then_some(found)
        };
        match block_on_and_leave(&self.sleepers, interest, sleeper, deadline_ns, attempt) {
            Ok(result) => result,
            Err(Blocked::TimedOut) => Ok(0),
            Err(Blocked::Interrupted) => Err(Errno::EINTR),
            Err(Blocked::OutOfMemory) => Err(Errno::ENOMEM),
        }
    }
}
