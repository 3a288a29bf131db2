//! mremap(2).

use super::change::{pages_up, user_range};
use super::{AddressSpace, Backing, Inner, LOWEST, Mapping};
use crate::arch::paging::{PageFlags, Verdict};
use crate::arch::{PAGE_SIZE, USER_END};
use crate::mm::frame;
use alloc::vec::Vec;
use bitflags::bitflags;
use core::ops::Range;
use libsyscall::abi::Errno;
use regions::Attributes;

bitflags! {
    /// mremap(2)'s flags.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct RemapFlags: usize {
        const MAYMOVE = 1;
        const FIXED = 2;
        const DONTUNMAP = 4;
    }
}

impl AddressSpace {
    /// mremap(2): shrinks or grows where it is, or moves with its pages. `new_address` counts with FIXED only.
    pub fn remap(
        &self,
        address: usize,
        old_len: usize,
        new_len: usize,
        flags: RemapFlags,
        new_address: usize,
    ) -> Result<usize, Errno> {
        let old = user_range(address, old_len, Errno::EINVAL)?;
        let new_len = pages_up(new_len).ok_or(Errno::EINVAL)?;
        let moves = flags.intersects(RemapFlags::FIXED | RemapFlags::DONTUNMAP);
        if new_len == 0
            || moves && !flags.contains(RemapFlags::MAYMOVE)
            || flags.contains(RemapFlags::DONTUNMAP) && new_len != old.len()
        {
            return Err(Errno::EINVAL);
        }
        let target = if flags.contains(RemapFlags::FIXED) {
            let target = user_range(new_address, new_len, Errno::EINVAL)?;
            if target.start < old.end && old.start < target.end {
                return Err(Errno::EINVAL);
            }
            if target.start < LOWEST {
                return Err(Errno::EPERM);
            }
            Some(target)
        } else {
            None
        };
        frame::admit()?;
        // Files are let go after the lock: what lay at the target, and the old place.
        let mut replaced = Vec::new();
        let mut inner = self.inner.lock();
        let (region, mapping) = inner.regions.find(old.start).ok_or(Errno::EFAULT)?;
        let mapping = mapping.advanced(old.start - region.start);
        if old.is_empty() && mapping.backing.is_private() {
            // A second view is for shared mappings only.
            return Err(Errno::EINVAL);
        }
        if flags.contains(RemapFlags::DONTUNMAP) && !matches!(mapping.backing, Backing::Anonymous) {
            return Err(Errno::EINVAL);
        }

        if !moves && !old.is_empty() && new_len <= old.len() {
            if !inner.regions.covers(old.clone()) {
                return Err(Errno::EFAULT);
            }
            let rest = old.start + new_len..old.end;
            if inner.splits(&rest) {
                inner.admit_regions(1)?;
            }
            replaced = inner.take_out(self, rest);
            drop(inner);
            drop(replaced);
            return Ok(old.start);
        }
        // Growing and moving work on one region, as on Linux.
        if region.end < old.end {
            return Err(Errno::EFAULT);
        }
        if new_len > USER_END {
            return Err(Errno::ENOMEM);
        }
        if !moves && !old.is_empty() && region.end == old.end {
            let growth = old.end..old.start + new_len;
            if growth.end <= USER_END && inner.regions.is_vacant(growth.clone()) {
                inner.check_limits(self, growth.len(), mapping.is_data())?;
                inner.add(growth, mapping.advanced(old.len()));
                return Ok(old.start);
            }
        }
        if !flags.contains(RemapFlags::MAYMOVE) {
            return Err(Errno::ENOMEM);
        }
        inner.admit_regions(3)?;
        inner.check_limits(self, new_len.saturating_sub(old.len()), mapping.is_data())?;
        let start = match target {
            Some(target) => {
                replaced = inner.take_out(self, target.clone());
                target.start
            }
            None => inner.find_place(0, new_len)?,
        };
        let keep = flags.contains(RemapFlags::DONTUNMAP);
        let moved = inner.move_to(self, old, start..start + new_len, mapping, keep);
        drop(inner);
        drop(replaced);
        moved.map(|_| start)
    }
}

impl Inner {
    /// Moves a region's part with its pages to a vacant range; the old place is left empty (`keep`) or unmapped, and what was
    /// there is given back.
    fn move_to(
        &mut self,
        space: &AddressSpace,
        old: Range<usize>,
        new: Range<usize>,
        mapping: Mapping,
        keep: bool,
    ) -> Result<Vec<Backing>, Errno> {
        let kept = old.start..old.end.min(old.start + new.len());
        if let Err(at) = self.move_pages(kept.clone(), new.start) {
            // Back again, to tables that exist.
            let moved = new.start..new.start + (at - old.start);
            space.forget(kept.start..at);
            let undone = self.move_pages(moved, old.start);
            debug_assert!(undone.is_ok());
            return Err(Errno::ENOMEM);
        }
        // Before anyone can find the old pages under the old address again.
        space.forget(kept);
        self.add(new, mapping);
        if keep || old.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.take_out(space, old))
    }

    /// Moves page-table entries; where it stopped for want of a table.
    fn move_pages(&mut self, from: Range<usize>, to: usize) -> Result<(), usize> {
        // In pieces, because a page can't be entered while its neighbours are visited.
        let mut at = from.start;
        let mut found = [(0, 0, PageFlags::empty()); 32];
        loop {
            let mut count = 0;
            self.table.visit(at..from.end, &mut |page, frame, flags| {
                if count == found.len() {
                    return Verdict::Keep;
                }
                found[count] = (page, frame, flags);
                count += 1;
                Verdict::Unmap
            });
            let Some(&(last, ..)) = found[..count].last() else {
                break;
            };
            for (number, &(page, frame, flags)) in found[..count].iter().enumerate() {
                if self.table.map(to + (page - from.start), frame, flags).is_err() {
                    for &(page, frame, flags) in &found[number..count] {
                        // Back to where it was: its table exists.
                        let _ = self.table.map(page, frame, flags);
                    }
                    return Err(page);
                }
            }
            at = last + PAGE_SIZE;
        }
        Ok(())
    }
}
