//! Signals that wait: a process's, and each thread's own.

use super::{Info, SYNCHRONOUS, bit};
use alloc::collections::VecDeque;
use libsyscall::abi::Errno;
use libsyscall::abi::signal::SIGRTMIN;

/// Signals that wait.
#[derive(Default)]
pub struct Pending {
    set: u64,
    queue: VecDeque<Info>,
}

impl Pending {
    pub fn set(&self) -> u64 {
        self.set
    }

    /// Queues a signal; whether it is new: a standard one that waits already merges with it, but for a timer's, which has
    /// one in the queue at most. EAGAIN for a real-time signal past `limit`.
    pub(super) fn push(&mut self, info: Info, limit: u64) -> Result<bool, Errno> {
        let bit = bit(info.signal);
        if info.signal < SIGRTMIN && self.set & bit != 0 && info.origin.is_none() {
            return Ok(false);
        }
        if self.queue.len() as u64 >= limit && info.signal >= SIGRTMIN && info.origin.is_none() {
            return Err(Errno::EAGAIN);
        }
        self.queue.try_reserve(1).map_err(|_| Errno::EAGAIN)?;
        self.queue.push_back(info);
        self.set |= bit;
        Ok(true)
    }

    /// The next signal among `wanted`: synchronous ones, then by number, each number in order of arrival.
    pub(super) fn take(&mut self, wanted: u64) -> Option<Info> {
        let ready = self.set & wanted;
        if ready == 0 {
            return None;
        }
        let preferred = if ready & SYNCHRONOUS != 0 {
            ready & SYNCHRONOUS
        } else {
            ready
        };
        let signal = preferred.trailing_zeros() + 1;
        let index = self.queue.iter().position(|info| info.signal == signal)?;
        let info = self.queue.remove(index)?;
        if !self.queue.iter().any(|info| info.signal == signal) {
            self.set &= !bit(signal);
        }
        Some(info)
    }

    pub(super) fn discard(&mut self, signals: u64) {
        if self.set & signals != 0 {
            self.queue.retain(|info| bit(info.signal) & signals == 0);
            self.set &= !signals;
        }
    }
}
