//! Room in a list of each CPU for all things of a kind. It is made when one of them is, which can be refused; to put the
//! thing into a list then never allocates.

use crate::arch::cpu;
use alloc::collections::TryReserveError;
use core::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use libsyscall::abi::Errno;

/// How many things there are. A list never shrinks, so the lists are looked at only when there are more than ever before.
pub struct Room {
    things: AtomicUsize,
    /// For how many the lists have room: on so many CPUs, in the upper half, so many things. A CPU that comes later has an
    /// empty list.
    made: AtomicU64,
}

impl Room {
    pub const fn new() -> Room {
        Room {
            things: AtomicUsize::new(0),
            made: AtomicU64::new(0),
        }
    }

    /// One thing more. `reserve` makes a CPU's list long enough for so many. ENOMEM.
    #[inline]
    pub fn take(&self, reserve: impl FnMut(usize, usize) -> Result<(), TryReserveError>) -> Result<(), Errno> {
        let things = self.things.fetch_add(1, Relaxed) + 1;
        let cpus = cpu::online();
        let needed = (cpus as u64) << 32 | things as u64;
        if self.made.load(Acquire) >= needed {
            return Ok(());
        }
        self.make(cpus, things, needed, reserve)
    }

    #[cold]
    fn make(
        &self,
        cpus: usize,
        things: usize,
        needed: u64,
        mut reserve: impl FnMut(usize, usize) -> Result<(), TryReserveError>,
    ) -> Result<(), Errno> {
        for cpu in 0..cpus {
            if reserve(cpu, things).is_err() {
                self.give_back();
                return Err(Errno::ENOMEM);
            }
        }
        self.made.fetch_max(needed, Release);
        Ok(())
    }

    /// A thing that was counted is no more.
    #[inline]
    pub fn give_back(&self) {
        self.things.fetch_sub(1, Relaxed);
    }
}
