//! fork(2): the same regions, private pages shared until one side writes.

use super::{AddressSpace, OnFork};
use crate::arch::USER_END;
use crate::mm::frame::{self, Frame};
use alloc::sync::Arc;
use core::mem::ManuallyDrop;
use core::sync::atomic::Ordering;
use libsyscall::abi::Errno;

impl AddressSpace {
    /// fork(2): the same regions, private ones copied when written.
    pub fn fork(&self) -> Result<Arc<AddressSpace>, Errno> {
        let child = {
            let parent = self.inner.lock();
            AddressSpace::with_layout(parent.stack_top, parent.map_top)?
        };
        child.limits.copy_from(&self.limits);
        child
            .has_shared
            .store(self.has_shared.load(Ordering::Relaxed), Ordering::Relaxed);
        let result = self.share_with(&child);
        // What had been shared up to an error is read-only too.
        self.forget(0..USER_END);
        result.map(|()| child)
    }

    fn share_with(&self, child_space: &AddressSpace) -> Result<(), Errno> {
        // The child is nobody else's yet, so the order of the two locks does not matter.
        let mut parent = self.inner.lock();
        let mut child = child_space.inner.lock();
        let (parent, child) = (&mut *parent, &mut *child);
        child.heap_start = parent.heap_start;
        child.heap_end = parent.heap_end;
        child.strings = parent.strings.clone();
        let copy = parent.regions.try_clone(|| frame::admit().is_ok());
        child.regions = copy.ok_or(Errno::ENOMEM)?;
        (child.mapped, child.data) = (parent.mapped, parent.data);
        let mut has_locked = false;
        for (range, mapping) in parent.regions.iter() {
            has_locked |= mapping.locked;
            if mapping.on_fork == OnFork::LeaveOut {
                child.take_out(child_space, range);
                continue;
            }
            if let Some(mappers) = mapping.mappers() {
                mappers.add(child_space);
            }
            // Shared pages are found again in their file.
            if mapping.on_fork == OnFork::Empty || !mapping.backing.is_private() {
                continue;
            }
            let resident = &mut child.resident;
            let shared = parent.table.share_with(&mut child.table, range, |frame| {
                // SAFETY: the parent's share stays the parent's; the new one is the child's entry's.
                ManuallyDrop::new(unsafe { Frame::from_raw(frame) }).clone_share();
                *resident += 1;
            });
            child.peak = child.resident;
            shared.map_err(|_| Errno::ENOMEM)?;
        }
        if has_locked {
            child.regions.update(0..USER_END, |_, mapping| mapping.locked = false);
        }
        Ok(())
    }
}
