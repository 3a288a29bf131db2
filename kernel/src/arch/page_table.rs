//! Page tables as both machines have them: 4 levels of 512 entries, 4 KiB pages. What an entry's bits mean, and which tables
//! a machine walks, is in each one's `paging`.
#![allow(unsafe_code)]

use super::paging::{ADDRESS, MAPPED, PRESENT, USER_LINK, USER_SLOTS, decode, encode, entry, publish, without_write};
use crate::mm::{direct, frame};
use bitflags::bitflags;
use core::ops::Range;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

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

#[inline]
pub(super) fn zeroed_table() -> Result<u64, OutOfFrames> {
    Ok(frame::Frame::zeroed()?.into_raw())
}

/// Which entries of a user's table may be in use, kept beside its frame: walking it, when a process forks or ends, looks at
/// no others. It never shrinks.
struct Extent(&'static AtomicU32);

impl Extent {
    /// The first entry in the low half, one past the last in the high half.
    const EMPTY: u32 = ENTRIES as u32;

    #[inline]
    fn of(table: u64) -> Extent {
        Extent(frame::note(table))
    }

    #[inline]
    fn slots(&self) -> Range<usize> {
        let extent = self.0.load(Ordering::Relaxed);
        (extent & 0xffff) as usize..(extent >> 16) as usize
    }

    /// What of `slots` may be in use.
    #[inline]
    fn within(&self, slots: Range<usize>) -> Range<usize> {
        let used = self.slots();
        let start = slots.start.max(used.start);
        start..slots.end.min(used.end).max(start)
    }

    #[inline]
    fn include(&self, slots: Range<usize>) {
        let used = self.slots();
        if slots.start < used.start || used.end < slots.end {
            let (start, end) = (slots.start.min(used.start), slots.end.max(used.end));
            self.0.store(start as u32 | (end as u32) << 16, Ordering::Relaxed);
        }
    }
}

/// A table of a user half.
pub(super) fn user_table() -> Result<u64, OutOfFrames> {
    let physical = zeroed_table()?;
    Extent::of(physical).0.store(Extent::EMPTY, Ordering::Relaxed);
    Ok(physical)
}

/// The user half of an address space. Dropping it frees the tables, not what they map.
pub struct PageTable {
    pub(super) root: u64,
}

impl PageTable {
    /// `count` entries from `address`'s on, which are to be used: all of one last-level table, which is made where there is
    /// none.
    fn entries_or_make(&mut self, address: usize, count: usize) -> Result<&[AtomicU64], OutOfFrames> {
        let mut physical = self.root;
        for level in [3, 2, 1] {
            let slot = index(address, level);
            // SAFETY: a table of this space: its root, or from a present entry. `&mut` makes this the only change.
            let entry = &unsafe { table(physical) }[slot];
            let mut value = entry.load(Ordering::Relaxed);
            if value & PRESENT == 0 {
                value = user_table()? | USER_LINK;
                Extent::of(physical).include(slot..slot + 1);
                entry.store(value, Ordering::Release);
            }
            physical = value & ADDRESS;
        }
        let first = index(address, 0);
        Extent::of(physical).include(first..first + count);
        // SAFETY: as above.
        Ok(&unsafe { table(physical) }[first..first + count])
    }

    /// The last-level entry of `address`, which is to be used.
    #[inline]
    pub(super) fn entry_or_make(&mut self, address: usize) -> Result<&AtomicU64, OutOfFrames> {
        Ok(&self.entries_or_make(address, 1)?[0])
    }

    /// Unmaps one page; what it mapped.
    pub fn unmap(&mut self, address: usize) -> Option<(u64, PageFlags)> {
        // SAFETY: as in `entries_or_make`.
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
        // SAFETY: as in `entries_or_make`.
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
    fn leaf(&self, at: usize) -> Result<u64, usize> {
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
        Ok(physical)
    }

    /// Shows every part of a range that a last-level table may use: its first address and its entries.
    fn leaves(&self, range: Range<usize>, mut show: impl FnMut(usize, &[AtomicU64])) {
        let mut at = range.start;
        while at < range.end {
            match self.leaf(at) {
                Err(next) => at = next,
                Ok(leaf) => {
                    let first = index(at, 0);
                    let count = ((range.end - at) / 4096).min(ENTRIES - first);
                    let used = Extent::of(leaf).within(first..first + count);
                    if !used.is_empty() {
                        // SAFETY: a table of this space, from a present entry.
                        show(at + (used.start - first) * 4096, &unsafe { table(leaf) }[used]);
                    }
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
        mut share: impl FnMut(u64),
    ) -> Result<(), OutOfFrames> {
        let mut result = Ok(());
        self.leaves(range, |at, entries| {
            if result.is_err() {
                return;
            }
            // A table without a page is not copied.
            if entries.iter().all(|entry| entry.load(Ordering::Relaxed) == 0) {
                return;
            }
            let copies = match child.entries_or_make(at, entries.len()) {
                Ok(copies) => copies,
                Err(error) => {
                    result = Err(error);
                    return;
                }
            };
            for_each_occupied(entries, |slot, entry, value| {
                share(value & ADDRESS);
                let read_only = without_write(value);
                copies[slot].store(read_only, Ordering::Release);
                if read_only != value {
                    entry.store(read_only, Ordering::Release);
                }
            });
        });
        publish();
        result
    }

    /// Gives up all pages, each frame to `give`, and the tables of the user half but for the root.
    pub fn clear(&mut self, mut give: impl FnMut(u64)) {
        /// Empties the table of level `level` up to `slots`.
        fn empty(physical: u64, level: usize, slots: usize, give: &mut impl FnMut(u64)) {
            let used = Extent::of(physical).within(0..slots);
            // SAFETY: a table of a space that no CPU has active any more.
            for_each_occupied(&unsafe { table(physical) }[used], |_, entry, value| {
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
        empty(self.root, 3, USER_SLOTS, &mut give);
    }
}

impl Drop for PageTable {
    fn drop(&mut self) {
        self.clear(|_| {});
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
