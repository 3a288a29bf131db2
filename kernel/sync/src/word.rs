//! The word of a [`crate::SpinLock`].

use crate::atomic::{AtomicU32, Ordering};
use crate::relax;

const HELD: u32 = 1;

/// Whether the lock is held. A bit that is set and tested at once is one instruction and a jump on x86_64, half of what an
/// exchange takes.
#[derive(Default)]
pub struct Word(AtomicU32);

impl Word {
    /// Loom's atomics are not made at compile time: its models have the default.
    #[cfg(not(loom))]
    pub const fn free() -> Word {
        Word(AtomicU32::new(0))
    }

    /// Takes the lock, if it is free: what its last holder wrote can be read.
    #[inline]
    pub fn try_take(&self) -> bool {
        self.0.fetch_or(HELD, Ordering::Acquire) & HELD == 0
    }

    #[inline]
    pub fn take(&self) {
        if !self.try_take() {
            self.take_contended();
        }
    }

    /// Apart, so that who takes a free lock saves no registers for the wait. It only looks until the lock is free: a write
    /// would take the word's cache line from the holder.
    #[cold]
    #[inline(never)]
    fn take_contended(&self) {
        while self.0.load(Ordering::Relaxed) == HELD || !self.try_take() {
            relax();
        }
    }

    /// What the holder wrote can be read by the next.
    #[inline]
    pub fn give_back(&self) {
        #[cfg(not(loom))]
        self.0.store(0, Ordering::Release);
        // To loom a plain store may come before a `fetch_or` that has read what it overwrites, and be lost in it.
        #[cfg(loom)]
        self.0.swap(0, Ordering::Release);
    }
}
