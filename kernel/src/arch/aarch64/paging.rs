//! Page tables: 4 levels of 512 entries, 4 KiB pages.
use bitflags::bitflags;

bitflags! {
    /// What a mapping allows. A user page is readable whenever it is present.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct PageFlags: u32 {
        const READ = 1;
        const WRITE = 2;
        const EXEC = 4;
        const USER = 8;
        /// Registers of a device: not cached, not reordered.
        const DEVICE = 16;
        /// Software bit: the frame is owned by the mapping (counted), as opposed to a window on something else.
        const COUNTED = 32;
    }
}

/// No frame left for a page table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfFrames;

/// The user half of an address space, with the kernel's half in it. Dropping it frees the tables, not what they map.
pub struct PageTable {
    _root: u64,
}

impl PageTable {
    pub fn new() -> Result<PageTable, OutOfFrames> {
        todo!()
    }
    /// Maps one page, replacing what was there. No flush: the caller knows whether a stale entry can exist.
    pub fn map(&mut self, _address: usize, _frame: u64, _flags: PageFlags) -> Result<(), OutOfFrames> {
        todo!()
    }
    /// Unmaps one page; what it mapped.
    pub fn unmap(&mut self, _address: usize) -> Option<(u64, PageFlags)> {
        todo!()
    }
    pub fn query(&self, _address: usize) -> Option<(u64, PageFlags)> {
        todo!()
    }
    /// Changes the flags of a mapped page; false where none is.
    pub fn protect(&mut self, _address: usize, _flags: PageFlags) -> bool {
        todo!()
    }
    /// The first mapped page at or after `address` and below `end`; empty tables are stepped over.
    pub fn next_mapped(&self, _address: usize, _end: usize) -> Option<(usize, u64, PageFlags)> {
        todo!()
    }
    /// Makes this the address space of this CPU.
    pub fn activate(&self) {
        todo!()
    }
}

/// Leaves user space unmapped on this CPU (idle, dying threads).
pub fn activate_kernel_only() {
    todo!()
}

/// Forgets one user page's translation on this CPU.
pub fn flush_page(_address: usize) {
    todo!()
}

/// Forgets all user translations on this CPU.
pub fn flush_user() {
    todo!()
}

/// Maps one page of the kernel's own region ([`super::KERNEL_MAPPINGS`]) for all CPUs. The tables of that region exist
/// from boot on, so every address space shares them.
pub fn map_kernel(_address: usize, _frame: u64, _flags: PageFlags) -> Result<(), OutOfFrames> {
    todo!()
}

/// Undoes [`map_kernel`] on this CPU; others must be told to [`flush_kernel`].
pub fn unmap_kernel(_address: usize) -> Option<u64> {
    todo!()
}

pub fn flush_kernel(_address: usize) {
    todo!()
}

/// Maps a device's registers and returns their address.
pub fn map_device(_physical: u64, _len: usize) -> usize {
    todo!()
}

/// Makes freshly written instructions visible.
pub fn sync_instruction_cache(_address: usize, _len: usize) {
    todo!()
}
