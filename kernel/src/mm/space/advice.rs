//! madvise(2), mincore(2), msync(2), as a space does them.

use super::change::user_range;
use super::{AddressSpace, Backing, Fault, OnFork};
use crate::arch::PAGE_SIZE;
use crate::mm::frame;
use core::ops::Range;
use libsyscall::abi::Errno;
use libsyscall::abi::memory::*;

impl AddressSpace {
    /// madvise(2). Advice that only makes things faster is taken without doing anything, as Linux may; unknown advice is
    /// EINVAL, and a hole in the range ENOMEM after the rest was done.
    pub fn advise(&self, address: usize, len: usize, advice: i32) -> Result<(), Errno> {
        let range = user_range(address, len, Errno::EINVAL)?;
        match advice {
            MADV_NORMAL | MADV_RANDOM | MADV_SEQUENTIAL | MADV_WILLNEED | MADV_HUGEPAGE | MADV_NOHUGEPAGE
            | MADV_MERGEABLE | MADV_UNMERGEABLE | MADV_DONTDUMP | MADV_DODUMP => {}
            MADV_COLD | MADV_PAGEOUT if self.has_locked(&range) => return Err(Errno::EINVAL),
            MADV_COLD | MADV_PAGEOUT => {}
            MADV_DONTNEED => return self.discard(range, false),
            MADV_DONTNEED_LOCKED => return self.discard(range, true),
            // Freed pages may go at once: the program must expect either content.
            MADV_FREE => {
                self.every_mapping(&range, |backing| matches!(backing, Backing::Anonymous))?;
                return self.discard(range, false);
            }
            MADV_DONTFORK => self.set_on_fork(&range, OnFork::LeaveOut)?,
            MADV_DOFORK | MADV_KEEPONFORK => self.set_on_fork(&range, OnFork::Copy)?,
            MADV_WIPEONFORK => {
                self.every_mapping(&range, |backing| matches!(backing, Backing::Anonymous))?;
                self.set_on_fork(&range, OnFork::Empty)?;
            }
            MADV_POPULATE_READ | MADV_POPULATE_WRITE => {
                if !self.covers(range.clone()) {
                    return Err(Errno::ENOMEM);
                }
                return self.populate(range).map_err(|fault| match fault {
                    Fault::OutOfMemory | Fault::NotMapped => Errno::ENOMEM,
                    Fault::NotAllowed => Errno::EINVAL,
                    Fault::PastEnd => Errno::EFAULT,
                });
            }
            _ => return Err(Errno::EINVAL),
        }
        if self.covers(range) { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// msync(2): all files are in memory, and a shared mapping's pages are the file's own, so nothing is left to write.
    /// EBUSY where locked pages are to be invalidated, ENOMEM for a hole.
    pub fn synchronise(&self, range: Range<usize>, invalidate: bool) -> Result<(), Errno> {
        if invalidate && self.has_locked(&range) {
            return Err(Errno::EBUSY);
        }
        if self.covers(range) { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// mlock(2), munlock(2) of a range that is mapped: ENOMEM.
    pub fn set_locked(&self, range: Range<usize>, locked: bool) -> Result<(), Errno> {
        frame::admit()?;
        let mut inner = self.inner.lock();
        inner.admit_regions(2)?;
        inner.regions.update(range, |_, mapping| mapping.locked = locked);
        Ok(())
    }

    /// mlockall(2), munlockall(2): whether what is mapped from now on is locked.
    pub fn set_locks_all(&self, on: bool) {
        self.inner.lock().locks_all = on;
    }

    fn has_locked(&self, range: &Range<usize>) -> bool {
        let inner = self.inner.lock();
        inner
            .regions
            .overlapping(range.clone())
            .any(|(_, mapping)| mapping.locked)
    }

    /// Bytes that are locked.
    pub fn locked_bytes(&self) -> usize {
        let inner = self.inner.lock();
        let locked = inner.regions.iter().filter(|(_, mapping)| mapping.locked);
        locked.map(|(range, _)| range.len()).sum()
    }

    /// Gives up the pages of a range. EINVAL where one is locked, unless `locked_too`; ENOMEM for a hole.
    fn discard(&self, range: Range<usize>, locked_too: bool) -> Result<(), Errno> {
        let mut inner = self.inner.lock();
        let mut has_locked = false;
        let is_covered = inner
            .regions
            .covers_with(range.clone(), |mapping| has_locked |= mapping.locked);
        if has_locked && !locked_too {
            return Err(Errno::EINVAL);
        }
        inner.drop_pages(self, range);
        if is_covered { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// EINVAL where a mapping in the range has the wrong kind of backing.
    fn every_mapping(&self, range: &Range<usize>, fits: impl Fn(&Backing) -> bool) -> Result<(), Errno> {
        let inner = self.inner.lock();
        match inner
            .regions
            .overlapping(range.clone())
            .all(|(_, mapping)| fits(&mapping.backing))
        {
            true => Ok(()),
            false => Err(Errno::EINVAL),
        }
    }

    fn set_on_fork(&self, range: &Range<usize>, on_fork: OnFork) -> Result<(), Errno> {
        frame::admit()?;
        let mut inner = self.inner.lock();
        inner.admit_regions(2)?;
        inner
            .regions
            .update(range.clone(), |_, mapping| mapping.on_fork = on_fork);
        Ok(())
    }

    /// mincore(2) for a few pages from `address` on: 1 for each that is in memory; ENOMEM where one is not mapped. A file's
    /// page counts as there when the file has it, mapped or not.
    pub fn residency(&self, address: usize, present: &mut [u8]) -> Result<(), Errno> {
        for (number, byte) in present.iter_mut().enumerate() {
            let page = address + number * PAGE_SIZE;
            let file = {
                let inner = self.inner.lock();
                let (region, mapping) = inner.regions.find(page).ok_or(Errno::ENOMEM)?;
                *byte = inner.table.query(page).is_some() as u8;
                mapping
                    .backing
                    .file()
                    .filter(|_| *byte == 0)
                    .map(|(file, offset)| (file.clone(), offset + (page - region.start) as u64))
            };
            if let Some((file, offset)) = file {
                *byte = file.present(offset / PAGE_SIZE as u64).is_some() as u8;
            }
        }
        Ok(())
    }
}
