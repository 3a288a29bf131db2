//! Signals that wait: a process's, and each thread's own.

use super::{Info, SYNCHRONOUS, bit};
use alloc::collections::VecDeque;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use libsyscall::abi::Errno;
use libsyscall::abi::signal::SIGRTMIN;
use sync::SpinLock;

/// Signals that wait. It changes under the process's signal lock only, so the lock of its own is never contended.
#[derive(Default)]
pub struct Pending {
    /// Which are in the queue, to be read without any lock.
    set: AtomicU64,
    queue: SpinLock<VecDeque<Info>>,
}

impl Pending {
    pub fn set(&self) -> u64 {
        self.set.load(Relaxed)
    }

    /// Queues a signal; whether it is new: a standard one that waits already merges with it, but for a timer's, which has
    /// one in the queue at most. EAGAIN for a real-time signal past `limit`.
    pub(super) fn push(&self, info: Info, limit: u64) -> Result<bool, Errno> {
        let bit = bit(info.signal);
        if info.signal < SIGRTMIN && self.set() & bit != 0 && info.origin.is_none() {
            return Ok(false);
        }
        let mut queue = self.queue.lock();
        if queue.len() as u64 >= limit && info.signal >= SIGRTMIN && info.origin.is_none() {
            return Err(Errno::EAGAIN);
        }
        queue.try_reserve(1).map_err(|_| Errno::EAGAIN)?;
        queue.push_back(info);
        self.set.store(self.set() | bit, Relaxed);
        Ok(true)
    }

    /// The next signal among `wanted`: synchronous ones, then by number, each number in order of arrival.
    pub(super) fn take(&self, wanted: u64) -> Option<Info> {
        let ready = self.set() & wanted;
        if ready == 0 {
            return None;
        }
        let preferred = if ready & SYNCHRONOUS != 0 {
            ready & SYNCHRONOUS
        } else {
            ready
        };
        let signal = preferred.trailing_zeros() + 1;
        let mut queue = self.queue.lock();
        let index = queue.iter().position(|info| info.signal == signal)?;
        let info = queue.remove(index)?;
        if !queue.iter().any(|info| info.signal == signal) {
            self.set.store(self.set() & !bit(signal), Relaxed);
        }
        Some(info)
    }

    pub(super) fn discard(&self, signals: u64) {
        if self.set() & signals != 0 {
            self.queue.lock().retain(|info| bit(info.signal) & signals == 0);
            self.set.store(self.set() & !signals, Relaxed);
        }
    }
}
