//! mmap(2), munmap(2), mprotect(2), brk(2), as a space does them.

use super::{AddressSpace, Backing, Inner, LOWEST, MAX_REGIONS, Mapping, Protection};
use crate::arch::paging::{PageFlags, Verdict};
use crate::arch::{PAGE_SIZE, USER_END};
use crate::mm::frame;
use crate::task;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering};
use libsyscall::abi::Errno;

/// Where mmap(2) may put a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    Anywhere,
    /// MAP_FIXED: what is there goes.
    Fixed,
    /// MAP_FIXED_NOREPLACE: EEXIST where something is.
    Vacant,
}

/// Rounds a length up to pages; `None` past the end of the number.
pub(super) fn pages_up(len: usize) -> Option<usize> {
    len.checked_next_multiple_of(PAGE_SIZE)
}

/// The range of a call that takes an aligned address and any length: `wrong_range` where it leaves user space.
pub(super) fn user_range(address: usize, len: usize, wrong_range: Errno) -> Result<Range<usize>, Errno> {
    if !address.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    let end = pages_up(len)
        .and_then(|len| address.checked_add(len))
        .ok_or(wrong_range)?;
    if end > USER_END {
        return Err(wrong_range);
    }
    Ok(address..end)
}

impl AddressSpace {
    /// mmap(2). `address` is a hint, or the place itself where `placement` says so.
    pub fn map(&self, address: usize, len: usize, mut mapping: Mapping, placement: Placement) -> Result<usize, Errno> {
        if len == 0 {
            return Err(Errno::EINVAL);
        }
        let len = pages_up(len).ok_or(Errno::ENOMEM)?;
        frame::admit()?;
        let _replaced;
        let mut inner = self.inner.lock();
        inner.admit_regions(1)?;
        mapping.locked |= inner.locks_all;
        let start = match placement {
            Placement::Anywhere => {
                inner.check_limits(self, len, mapping.is_data())?;
                inner.find_place(address, len)?
            }
            Placement::Fixed | Placement::Vacant => {
                let range = user_range(address, len, Errno::ENOMEM)?;
                if address < LOWEST {
                    return Err(Errno::EPERM);
                }
                let replaced = inner.bytes_in(range.clone(), |_| true);
                inner.check_limits(self, len - replaced, mapping.is_data())?;
                if placement == Placement::Fixed {
                    _replaced = inner.take_out(self, range);
                } else if !inner.regions.is_vacant(range) {
                    return Err(Errno::EEXIST);
                }
                address
            }
        };
        if let Some(mappers) = mapping.mappers() {
            mappers.add(self);
        }
        if !mapping.backing.is_private() {
            self.has_shared.store(true, Ordering::Relaxed);
        }
        inner.add(start..start + len, mapping);
        Ok(start)
    }

    /// munmap(2): what is not mapped in the range does not matter. ENOMEM where a hole would make one region too many.
    pub fn unmap(&self, address: usize, len: usize) -> Result<(), Errno> {
        let range = user_range(address, len, Errno::EINVAL)?;
        if range.is_empty() {
            return Err(Errno::EINVAL);
        }
        // Files are let go after the lock: their last reference may do anything.
        let _removed;
        let mut inner = self.inner.lock();
        if inner.admit_regions(1).is_err() && inner.splits(&range) {
            return Err(Errno::ENOMEM);
        }
        _removed = inner.take_out(self, range);
        Ok(())
    }

    /// mprotect(2): ENOMEM where part of the range is not mapped, with what lies before it changed; EACCES for writing a
    /// file that was opened for reading.
    pub fn protect(&self, address: usize, len: usize, protection: Protection) -> Result<(), Errno> {
        let range = user_range(address, len, Errno::ENOMEM)?;
        if range.is_empty() {
            return Ok(());
        }
        frame::admit()?;
        let mut inner = self.inner.lock();
        inner.admit_regions(2)?;
        // The part up to the first hole or refusal is changed, as Linux walks it.
        let mut end = range.start;
        let mut result = Ok(());
        // Bytes of that part that count as data, and that do when they may be written.
        let (mut data, mut may_be_data) = (0, 0);
        for (region, mapping) in inner.regions.overlapping(range.clone()) {
            if region.start > end {
                break;
            }
            if !mapping.allowed.contains(protection) {
                result = Err(Errno::EACCES);
                break;
            }
            let len = region.end.min(range.end) - end;
            end += len;
            data += if mapping.is_data() { len } else { 0 };
            may_be_data += if mapping.may_be_data() { len } else { 0 };
        }
        if result.is_ok() && end < range.end {
            result = Err(Errno::ENOMEM);
        }
        if end > range.start {
            let will_be_data = if protection.contains(Protection::WRITE) {
                may_be_data
            } else {
                0
            };
            let total = inner.data - data + will_be_data;
            if will_be_data > data && total > self.limits.data.load(Ordering::Relaxed) {
                return Err(Errno::ENOMEM);
            }
            inner.data = total;
            inner.change_protection(self, range.start..end, protection);
        }
        result
    }

    /// Where brk(2) starts; set by exec.
    pub fn set_heap_start(&self, address: usize) {
        let mut inner = self.inner.lock();
        inner.heap_start = address;
        inner.heap_end = address;
    }

    /// brk(2): the new end of the heap, or the old one where that can't be.
    pub fn set_heap_end(&self, address: usize) -> usize {
        let _removed;
        let mut inner = self.inner.lock();
        let old = inner.heap_end;
        let (Some(old_top), Some(new_top)) = (pages_up(old), pages_up(address)) else {
            return old;
        };
        if address < inner.heap_start || new_top > USER_END {
            return old;
        }
        if new_top < old_top {
            _removed = inner.take_out(self, new_top..old_top);
        } else if new_top > old_top {
            let range = old_top..new_top;
            if frame::admit().is_err()
                || exceeds_memory(range.len())
                || !inner.regions.is_vacant(range.clone())
                || inner.check_limits(self, range.len(), true).is_err()
            {
                return old;
            }
            inner.add(
                range,
                Mapping::new(Protection::READ | Protection::WRITE, Backing::Anonymous),
            );
        }
        inner.heap_end = address;
        address
    }

    /// MAP_POPULATE, mlock(2), MADV_POPULATE_*: touches every page of a range that is mapped and may be touched. What can't
    /// be had is the error; the caller knows whether that matters.
    pub fn populate(&self, range: Range<usize>) -> Result<(), super::Fault> {
        let mut at = range.start;
        while at < range.end {
            let (region, access) = {
                let inner = self.inner.lock();
                match inner.regions.overlapping(at..range.end).next() {
                    Some((region, mapping)) => (region, mapping.populate_access()),
                    None => return Ok(()),
                }
            };
            let end = region.end.min(range.end);
            at = at.max(region.start);
            match access {
                Some(access) => {
                    while at < end {
                        self.handle_fault(at, access)?;
                        at += PAGE_SIZE;
                        if task::preempt_point() {
                            return Ok(());
                        }
                    }
                }
                None => at = end,
            }
        }
        Ok(())
    }

    /// Whether every byte of the range is mapped.
    pub fn covers(&self, range: Range<usize>) -> bool {
        self.inner.lock().regions.covers(range)
    }

    /// The lowest and highest address in use, for calls on everything there is.
    pub fn extent(&self) -> Range<usize> {
        let inner = self.inner.lock();
        let start = inner.regions.next_from(0).map_or(0, |(range, _)| range.start);
        let end = inner
            .regions
            .previous_to(USER_END + 1)
            .map_or(0, |(range, _)| range.end);
        start..end
    }
}

/// vm.overcommit_memory 0: only what could never be had is refused; the rest is found out page by page.
pub fn exceeds_memory(len: usize) -> bool {
    len / PAGE_SIZE > frame::total()
}

impl Inner {
    /// A vacant place: the hint if it is one, else the highest below the mmap area's top, else anywhere.
    pub(super) fn find_place(&mut self, hint: usize, len: usize) -> Result<usize, Errno> {
        let hint = hint & !(PAGE_SIZE - 1);
        if hint >= LOWEST
            && let Some(end) = hint.checked_add(len)
            && end <= USER_END
            && self.regions.is_vacant(hint..end)
        {
            return Ok(hint);
        }
        let top = if len >= self.no_gap_of {
            self.searched_to
        } else {
            self.map_top
        };
        if let Some(found) = self.regions.gap_below(len, LOWEST..top) {
            self.searched_to = found + len;
            self.no_gap_of = len;
            return Ok(found);
        }
        self.regions.gap_below(len, self.map_top..USER_END).ok_or(Errno::ENOMEM)
    }

    /// Whether taking out the range leaves two pieces of a region.
    pub(super) fn splits(&self, range: &Range<usize>) -> bool {
        self.regions
            .find(range.start)
            .is_some_and(|(region, _)| region.start < range.start && range.end < region.end)
    }

    /// Whether there may be so many regions more: ENOMEM.
    pub(super) fn admit_regions(&mut self, more: usize) -> Result<(), Errno> {
        if self.regions.len() + more > MAX_REGIONS {
            return Err(Errno::ENOMEM);
        }
        self.regions.try_reserve(more).map_err(|_| Errno::ENOMEM)
    }

    pub(super) fn add(&mut self, range: Range<usize>, mapping: Mapping) {
        self.mapped += range.len();
        if mapping.is_data() {
            self.data += range.len();
        }
        self.regions.insert(range, mapping);
    }

    /// Whether `len` bytes more are within RLIMIT_AS, and RLIMIT_DATA where they are data: ENOMEM.
    pub(super) fn check_limits(&self, space: &AddressSpace, len: usize, is_data: bool) -> Result<(), Errno> {
        let limits = &space.limits;
        let is_within = |used: usize, limit: &AtomicUsize| used.saturating_add(len) <= limit.load(Ordering::Relaxed);
        if is_within(self.mapped, &limits.total) && (!is_data || is_within(self.data, &limits.data)) {
            Ok(())
        } else {
            Err(Errno::ENOMEM)
        }
    }

    fn bytes_in(&self, range: Range<usize>, counts: impl Fn(&Mapping) -> bool) -> usize {
        let parts = self.regions.overlapping(range.clone());
        parts
            .filter(|(_, mapping)| counts(mapping))
            .map(|(region, _)| region.end.min(range.end) - region.start.max(range.start))
            .sum()
    }

    /// Removes what is mapped in a range, pages and regions; the files, to be let go without the lock.
    pub(super) fn take_out(&mut self, space: &AddressSpace, range: Range<usize>) -> Vec<Backing> {
        let mut files = Vec::new();
        let (mut mapped, mut data) = (0, 0);
        let next = self.regions.remove(range.clone(), |part, mapping| {
            mapped += part.len();
            if mapping.is_data() {
                data += part.len();
            }
            if mapping.backing.file().is_some() {
                files.push(core::mem::replace(&mut mapping.backing, Backing::Anonymous));
            }
        });
        if range.end >= self.searched_to {
            // The gap there is now ends where the next region starts; above that one nothing has changed.
            self.searched_to = next.map_or(self.map_top, |next| next.min(self.map_top));
        }
        if mapped != 0 {
            self.mapped -= mapped;
            self.data -= data;
            self.drop_pages(space, range);
        }
        files
    }

    fn change_protection(&mut self, space: &AddressSpace, range: Range<usize>, protection: Protection) {
        let mut lost = None::<Range<usize>>;
        let table = &mut self.table;
        self.regions.update(range, |part, mapping| {
            mapping.protection = protection;
            let flags = mapping.page_flags();
            let private = mapping.backing.is_private();
            table.visit(part, &mut |page, _, current| {
                // A private page that is not writable may be shared: the write will fault and find out.
                let flags = if private && !current.contains(PageFlags::WRITE) {
                    flags - PageFlags::WRITE
                } else {
                    flags
                };
                if !flags.contains(current) {
                    lost = Some(lost.clone().map_or(page, |range| range.start)..page + PAGE_SIZE);
                }
                Verdict::Protect(flags)
            });
        });
        // Only a right that was taken away can't wait: a CPU that does not know of a new one faults and learns.
        if let Some(range) = lost {
            space.forget(range);
        }
    }
}
