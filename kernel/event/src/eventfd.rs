//! eventfd(2): a counter that can be waited for.

use crate::{EventMask, Pollable, WaitQueue};
use libsyscall::abi::Errno;
use sync::atomic::{AtomicU64, Ordering};

/// The counter's largest value; 2^64 - 1 is the mark of an overflow (semantics 129).
pub const COUNT_MAX: u64 = u64::MAX - 1;

pub struct EventFd {
    /// Changed by compare-and-exchange: nothing else has to change with it.
    count: AtomicU64,
    /// EFD_SEMAPHORE: a read takes 1.
    semaphore: bool,
    queue: WaitQueue,
}

impl EventFd {
    pub fn new(count: u32, semaphore: bool) -> EventFd {
        EventFd {
            count: AtomicU64::new(count.into()),
            semaphore,
            queue: WaitQueue::new(),
        }
    }

    /// What a read gives; `None` while the counter is 0.
    #[inline(always)]
    pub fn try_read(&self) -> Option<u64> {
        let mut count = self.count.load(Ordering::Relaxed);
        loop {
            let taken = match count {
                0 => return None,
                _ if self.semaphore => 1,
                all => all,
            };
            match self.change(count, count - taken) {
                Ok(()) => {
                    self.queue.wake(EventMask::OUT);
                    return Some(taken);
                }
                Err(now) => count = now,
            }
        }
    }

    /// Adds the whole of `value`; `None` while there is no room for it, EINVAL for 2^64 - 1. A write of 0 changes
    /// nothing and wakes all the same (semantics 128).
    #[inline(always)]
    pub fn try_write(&self, value: u64) -> Option<Result<(), Errno>> {
        if value == u64::MAX {
            return Some(Err(Errno::EINVAL));
        }
        let mut count = self.count.load(Ordering::Relaxed);
        loop {
            if value > COUNT_MAX - count {
                return None;
            }
            match self.change(count, count + value) {
                Ok(()) => {
                    self.queue.wake(EventMask::IN);
                    return Some(Ok(()));
                }
                Err(now) => count = now,
            }
        }
    }

    /// Sets the counter to `new` if it is `old` still; what it is where it is not.
    #[inline]
    fn change(&self, old: u64, new: u64) -> Result<(), u64> {
        let changed = self
            .count
            .compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed);
        changed.map(|_| ())
    }

    /// The counter now, for fdinfo.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    pub fn is_semaphore(&self) -> bool {
        self.semaphore
    }
}

impl Pollable for EventFd {
    #[inline]
    fn readiness(&self) -> EventMask {
        match self.count.load(Ordering::Acquire) {
            1..COUNT_MAX => EventMask::IN | EventMask::OUT,
            0 => EventMask::OUT,
            COUNT_MAX => EventMask::IN,
            u64::MAX => EventMask::IN | EventMask::ERR,
        }
    }

    #[inline]
    fn answers_at_once(&self) -> bool {
        true
    }

    #[inline]
    fn wait_queue(&self) -> &WaitQueue {
        &self.queue
    }
}
