//! Page tables as both machines have them: 4 levels of 512 entries, 4 KiB pages. What an entry's bits mean, and which tables
//! a machine walks, is in each one's `paging`.
#![allow(unsafe_code)]

use super::paging::{
    ADDRESS, MAPPED, PRESENT, USER_SLOTS, decode, encode, entry, leaf_or_make, publish, without_write,
};
use crate::mm::{direct, frame};
use bitflags::bitflags;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

bitflags! {
    /// What a mapping allows. A user page without `READ` allows nothing, and keeps its frame.
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

impl From<OutOfFrames> for libsyscall::abi::Errno {
    fn from(_: OutOfFrames) -> Self {
        libsyscall::abi::Errno::ENOMEM
    }
}

/// What becomes of a mapped page that [`PageTable::visit`] has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Keep,
    Unmap,
    Protect(PageFlags),
}

pub(super) const ENTRIES: usize = 512;

pub(super) type Table = [AtomicU64; ENTRIES];

/// The table at a physical address, through the direct map.
///
/// # Safety
/// `physical` is a page table that stays one for `'a`. Entries are atomics: the walker of another CPU may read them.
#[inline]
pub(super) unsafe fn table<'a>(physical: u64) -> &'a Table {
    // SAFETY: the caller's promise; the direct map covers all RAM.
    unsafe { &*(direct(physical) as *const Table) }
}

/// Index of `address` in a table of level `level` (3: root).
#[inline]
pub(super) fn index(address: usize, level: usize) -> usize {
    (address >> (12 + 9 * level)) & (ENTRIES - 1)
}

/// The last-level entry of `address`, its tables made on the way.
///
/// # Safety
/// As for [`leaf_or_make`].
#[inline]
pub(super) unsafe fn entry_or_make<'a>(
    root: u64,
    address: usize,
    allocate: &mut dyn FnMut() -> Result<u64, OutOfFrames>,
) -> Result<&'a AtomicU64, OutOfFrames> {
    // SAFETY: the caller's promise.
    Ok(&unsafe { leaf_or_make(root, address, allocate)? }[index(address, 0)])
}

#[inline]
pub(super) fn zeroed_table() -> Result<u64, OutOfFrames> {
    Ok(frame::Frame::zeroed()?.into_raw())
}

/// The user half of an address space. Dropping it frees the tables, not what they map.
pub struct PageTable {
    pub(super) root: u64,
}

impl PageTable {
    /// Unmaps one page; what it mapped.
    pub fn unmap(&mut self, address: usize) -> Option<(u64, PageFlags)> {
        // SAFETY: as in `map`.
        let value = unsafe { entry(self.root, address)? }.swap(0, Ordering::AcqRel);
        (value & MAPPED != 0).then(|| (value & ADDRESS, decode(value)))
    }

    pub fn query(&self, address: usize) -> Option<(u64, PageFlags)> {
        // SAFETY: reading only.
        let value = unsafe { entry(self.root, address)? }.load(Ordering::Acquire);
        (value & MAPPED != 0).then(|| (value & ADDRESS, decode(value)))
    }

    /// Changes the flags of a mapped page; false where none is.
    pub fn protect(&mut self, address: usize, flags: PageFlags) -> bool {
        // SAFETY: as in `map`.
        let Some(entry) = (unsafe { entry(self.root, address) }) else {
            return false;
        };
        let value = entry.load(Ordering::Relaxed);
        if value & MAPPED == 0 {
            return false;
        }
        entry.store(value & ADDRESS | encode(flags), Ordering::Release);
        publish();
        true
    }

    /// The last-level table that has `at`, or the next address that one may have.
    fn leaf(&self, at: usize) -> Result<&Table, usize> {
        let mut physical = self.root;
        for level in [3, 2, 1] {
            // SAFETY: tables of this space, from present entries.
            let value = unsafe { table(physical) }[index(at, level)].load(Ordering::Acquire);
            if value & PRESENT == 0 {
                let span = 1usize << (12 + 9 * level);
                return Err((at & !(span - 1)) + span);
            }
            physical = value & ADDRESS;
        }
        // SAFETY: as above.
        Ok(unsafe { table(physical) })
    }

    /// Shows every part of a range that a last-level table has: its first address and its entries.
    fn leaves(&self, range: Range<usize>, mut show: impl FnMut(usize, &[AtomicU64])) {
        let mut at = range.start;
        while at < range.end {
            match self.leaf(at) {
                Err(next) => at = next,
                Ok(leaf) => {
                    let first = index(at, 0);
                    let count = ((range.end - at) / 4096).min(ENTRIES - first);
                    show(at, &leaf[first..first + count]);
                    at += count * 4096;
                }
            }
        }
    }

    /// Shows every mapped page of a range to `judge`, as (address, frame, flags), and does as it says. Empty tables are
    /// stepped over. No flush, as with [`PageTable::map`].
    pub fn visit(&mut self, range: Range<usize>, judge: &mut dyn FnMut(usize, u64, PageFlags) -> Verdict) {
        self.leaves(range, |at, entries| {
            for_each_occupied(entries, |slot, entry, value| {
                match judge(at + slot * 4096, value & ADDRESS, decode(value)) {
                    Verdict::Keep => {}
                    // The CPU sets bits of its own in an entry, never ones that this depends on.
                    Verdict::Unmap => entry.store(0, Ordering::Release),
                    Verdict::Protect(flags) => entry.store(value & ADDRESS | encode(flags), Ordering::Release),
                }
            });
        });
        publish();
    }

    /// fork(2): every page of a range in `child` too, and without the right to write in both. `share` makes the child's
    /// share of a frame. No flush.
    pub fn share_with(
        &mut self,
        child: &mut PageTable,
        range: Range<usize>,
        share: &mut dyn FnMut(u64),
    ) -> Result<(), OutOfFrames> {
        let mut result = Ok(());
        self.leaves(range, |at, entries| {
            if result.is_err() {
                return;
            }
            // Made for the first page there is: a table without one is not copied.
            let mut copies: Option<&Table> = None;
            for_each_occupied(entries, |slot, entry, value| {
                let copies = match copies {
                    Some(copies) => copies,
                    // SAFETY: `child` owns the tables of its user half, and `&mut` makes this the only change.
                    None => match unsafe { leaf_or_make(child.root, at, &mut zeroed_table) } {
                        Ok(made) => *copies.insert(made),
                        Err(error) => {
                            result = Err(error);
                            return;
                        }
                    },
                };
                share(value & ADDRESS);
                let read_only = without_write(value);
                copies[index(at, 0) + slot].store(read_only, Ordering::Release);
                entry.store(read_only, Ordering::Release);
            });
        });
        publish();
        result
    }

    /// Gives up all pages, each frame to `give`, and the tables of the user half but for the root.
    pub fn clear(&mut self, give: &mut dyn FnMut(u64)) {
        /// Empties the table of level `level` up to `slots`.
        fn empty(physical: u64, level: usize, slots: usize, give: &mut dyn FnMut(u64)) {
            // SAFETY: a table of a space that no CPU has active any more.
            for_each_occupied(&unsafe { table(physical) }[..slots], |_, entry, value| {
                entry.store(0, Ordering::Relaxed);
                if level == 0 {
                    give(value & ADDRESS);
                } else {
                    empty(value & ADDRESS, level - 1, ENTRIES, give);
                    // SAFETY: the share was given up by `zeroed_table`, and is taken back once, here.
                    unsafe { frame::Frame::from_raw(value & ADDRESS) }.give_zeroed();
                }
            });
        }
        empty(self.root, 3, USER_SLOTS, give);
    }
}

impl Drop for PageTable {
    fn drop(&mut self) {
        self.clear(&mut |_| {});
        // SAFETY: the share was given up by `zeroed_table`, and is taken back once, here.
        drop(unsafe { frame::Frame::from_raw(self.root) });
    }
}

/// Shows the entries that are not zero, each with its index and value. Eight at a time are looked at first: walking a
/// process's tables, when it forks or ends, is mostly stepping over what is not there.
#[inline]
pub(super) fn for_each_occupied(entries: &[AtomicU64], mut show: impl FnMut(usize, &AtomicU64, u64)) {
    let (groups, rest) = entries.as_chunks::<8>();
    let mut each = |first: usize, entries: &[AtomicU64]| {
        for (index, entry) in entries.iter().enumerate() {
            let value = entry.load(Ordering::Relaxed);
            if value != 0 {
                show(first + index, entry, value);
            }
        }
    };
    for (number, group) in groups.iter().enumerate() {
        let any = group.iter().fold(0, |any, entry| any | entry.load(Ordering::Relaxed));
        if any != 0 {
            each(8 * number, group);
        }
    }
    each(8 * groups.len(), rest);
}
