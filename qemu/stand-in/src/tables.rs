//! Page tables: 4 levels on both machines; which bits an entry has is the machine's own.

use crate::{Pages, machine};
use elf::abi::{PF_W, PF_X};

const PAGE: u64 = 4096;
const LARGE: u64 = 2 << 20;

/// Tables in memory of ours, the root first.
pub struct Tables {
    start: u64,
    next: u64,
    end: u64,
}

impl Tables {
    pub fn new(pages: &Pages) -> Tables {
        Tables {
            start: pages.start,
            next: pages.start + PAGE,
            end: pages.start + pages.len,
        }
    }

    pub fn root(&self) -> u64 {
        self.start
    }

    fn entry(&mut self, address: u64, level: u32) -> &mut u64 {
        let mut table = self.start;
        for above in (level + 1..4).rev() {
            // SAFETY: a table of ours, identity-mapped.
            let entry = unsafe { &mut *((table as *mut u64).add(index(address, above))) };
            if *entry == 0 {
                assert!(self.next < self.end, "too little memory for page tables");
                *entry = self.next | machine::TABLE;
                self.next += PAGE;
            }
            table = *entry & 0x0000_ffff_ffff_f000;
        }
        // SAFETY: as above.
        unsafe { &mut *((table as *mut u64).add(index(address, level))) }
    }

    /// Maps RAM in whole large pages: a little more than asked for, as the protocol allows.
    pub fn map_ram(&mut self, address: u64, physical: u64, len: u64) {
        let (first, last) = (physical & !(LARGE - 1), (physical + len).next_multiple_of(LARGE));
        for at in (first..last).step_by(LARGE as usize) {
            *self.entry(address - physical + at, 1) = at | machine::LARGE_RAM;
        }
    }

    pub fn map_kernel(&mut self, address: u64, physical: u64, len: u64, flags: u32) {
        for at in (0..len).step_by(PAGE as usize) {
            *self.entry(address + at, 0) = (physical + at) | machine::page(flags & PF_W != 0, flags & PF_X != 0);
        }
    }
}

fn index(address: u64, level: u32) -> usize {
    (address >> (12 + 9 * level)) as usize & 511
}
