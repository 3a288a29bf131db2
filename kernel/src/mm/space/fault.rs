//! Page faults, and writes into a space from outside.

use super::{AddressSpace, Backing, Inner, Mappers, Mapping, PageSource, Protection};
use crate::arch::paging::{self, OutOfFrames, PageFlags};
use crate::arch::{PAGE_SIZE, USER_END};
use crate::mm::frame::Frame;
use crate::trap::Access;
use alloc::sync::Arc;
use core::mem::ManuallyDrop;
use core::ops::Range;
use core::sync::atomic::Ordering;
use libsyscall::abi::Errno;

/// Why a fault can't be mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGSEGV, SEGV_MAPERR.
    NotMapped,
    /// SIGSEGV, SEGV_ACCERR.
    NotAllowed,
    /// SIGBUS, BUS_ADRERR: past the end of the file.
    PastEnd,
    OutOfMemory,
}

impl From<OutOfFrames> for Fault {
    fn from(_: OutOfFrames) -> Fault {
        Fault::OutOfMemory
    }
}

/// A fault on file pages enters its neighbours too, as far as they lie in the same aligned window of this many pages:
/// program code is read onwards, and the entry costs less than a fault.
const AROUND: usize = 16;
/// stack_guard_gap: a stack does not grow closer to what lies below it.
const STACK_GUARD: usize = 256 * PAGE_SIZE;

/// A page that has to come from its file.
struct Wanted {
    file: Arc<dyn PageSource>,
    /// The pages to enter, and the index in the file of the first.
    window: Range<usize>,
    index: u64,
    /// [`cuts`] of the file before it was asked.
    cuts: u64,
    /// The page is written, and the write is the file's.
    writes_file: bool,
}

/// How often pages of a file have gone away.
fn cuts(file: &Arc<dyn PageSource>) -> u64 {
    file.mappers().map_or(0, Mappers::cuts)
}

impl AddressSpace {
    /// Mends a fault, or says why it can't be.
    pub fn handle_fault(&self, address: usize, access: Access) -> Result<(), Fault> {
        if address >= USER_END {
            return Err(Fault::NotMapped);
        }
        let page = address & !(PAGE_SIZE - 1);
        loop {
            let Some(wanted) = self.inner.lock().mend(self, page, access)? else {
                return Ok(());
            };
            // Without the lock: the file's own lock may be held by someone who copies to this very space.
            let frames = wanted.fetch(page)?;
            if self.inner.lock().enter_file_pages(page, access, &wanted, frames)? {
                if wanted.writes_file {
                    wanted.file.written();
                }
                return Ok(());
            }
        }
    }

    /// A share of the page at an address, for a copy by somebody else: EFAULT where the program itself could not touch it so.
    pub fn page(&self, address: usize, access: Access) -> Result<Frame, Errno> {
        let page = address & !(PAGE_SIZE - 1);
        loop {
            self.handle_fault(page, access).map_err(|fault| match fault {
                Fault::OutOfMemory => Errno::ENOMEM,
                _ => Errno::EFAULT,
            })?;
            let inner = self.inner.lock();
            // Another thread may have changed it since.
            if let Some((frame, flags)) = inner.table.query(page)
                && (access != Access::Write || flags.contains(PageFlags::WRITE))
            {
                return Ok(Frame::clone(&borrow(frame)));
            }
        }
    }

    /// Writes into the space whether it is active or not (exec fills a new one), and whatever the protection allows user
    /// code: EFAULT where not mapped.
    pub fn write(&self, address: usize, bytes: &[u8]) -> Result<(), Errno> {
        let mut done = 0;
        while done < bytes.len() {
            let at = address + done;
            let offset = at % PAGE_SIZE;
            let piece = (PAGE_SIZE - offset).min(bytes.len() - done);
            self.handle_fault(at, Access::Write).map_err(|fault| match fault {
                Fault::OutOfMemory => Errno::ENOMEM,
                _ => Errno::EFAULT,
            })?;
            let inner = self.inner.lock();
            // Another thread may have unmapped it in between.
            let (frame, _) = inner.table.query(at - offset).ok_or(Errno::EFAULT)?;
            borrow(frame).write(offset, &bytes[done..done + piece]);
            done += piece;
        }
        Ok(())
    }
}

/// A share that a page-table entry owns, to look at while the lock is held.
fn borrow(frame: u64) -> ManuallyDrop<Frame> {
    // SAFETY: the share stays the entry's: it is never dropped here.
    ManuallyDrop::new(unsafe { Frame::from_raw(frame) })
}

impl Wanted {
    /// The frames of the window; the faulting page's, or why not.
    fn fetch(&self, page: usize) -> Result<[Option<Frame>; AROUND], Fault> {
        let mut frames = [const { None }; AROUND];
        for (number, at) in self.window.clone().step_by(PAGE_SIZE).enumerate() {
            let index = self.index + number as u64;
            if at != page {
                frames[number] = self.file.present(index);
                continue;
            }
            frames[number] = Some(self.file.page(index).map_err(|error| match error {
                Errno::ENOMEM => Fault::OutOfMemory,
                _ => Fault::PastEnd,
            })?);
        }
        Ok(frames)
    }
}

impl Inner {
    fn grow_stack(&mut self, space: &AddressSpace, page: usize) -> Result<(), Fault> {
        let (stack, mapping) = self.regions.next_from(page).ok_or(Fault::NotMapped)?;
        let below = self.regions.previous_to(page).map_or(0, |(range, _)| range.end);
        if !mapping.grows_down
            || stack.end - page > space.limits.stack.load(Ordering::Relaxed)
            || page - below < STACK_GUARD
        {
            return Err(Fault::NotMapped);
        }
        let mapping = mapping.clone();
        self.check_limits(space, stack.start - page, false)
            .map_err(|_| Fault::NotMapped)?;
        self.mapped += stack.start - page;
        self.regions.insert(page..stack.start, mapping);
        Ok(())
    }

    /// Mends what needs no file; otherwise, what to get from which file.
    fn mend(&mut self, space: &AddressSpace, page: usize, access: Access) -> Result<Option<Wanted>, Fault> {
        let (range, mapping) = match self.regions.find(page) {
            Some(found) => found,
            None => {
                self.grow_stack(space, page)?;
                return self.mend(space, page, access);
            }
        };
        if !mapping.permits(access) {
            return Err(Fault::NotAllowed);
        }
        let flags = mapping.page_flags();
        let private = mapping.backing.is_private();
        let wanted = match &mapping.backing {
            Backing::Anonymous => None,
            Backing::PrivateFile { file, offset } | Backing::SharedFile { file, offset } => {
                // A private page that is written at once is copied, so its neighbours are left alone.
                let window = if private && access == Access::Write {
                    page..page + PAGE_SIZE
                } else {
                    let first = page & !(AROUND * PAGE_SIZE - 1);
                    first.max(range.start)..(first + AROUND * PAGE_SIZE).min(range.end)
                };
                let index = (offset + (window.start - range.start) as u64) / PAGE_SIZE as u64;
                Some((file, window, index))
            }
        };
        match (self.table.query(page), wanted) {
            (None, None) => {
                self.enter(page, Frame::zeroed()?, flags)?;
                Ok(None)
            }
            (None, Some((file, window, index))) => Ok(Some(Wanted {
                cuts: cuts(file),
                writes_file: access == Access::Write && !private,
                file: file.clone(),
                window,
                index,
            })),
            (Some((frame, current)), _) => {
                self.raise(space, page, frame, current, flags, access, private)?;
                Ok(None)
            }
        }
    }

    /// A page that is there, but not for this access.
    #[expect(clippy::too_many_arguments, reason = "what the fault found, taken apart")]
    fn raise(
        &mut self,
        space: &AddressSpace,
        page: usize,
        frame: u64,
        current: PageFlags,
        flags: PageFlags,
        access: Access,
        private: bool,
    ) -> Result<(), Fault> {
        if access != Access::Write || current.contains(PageFlags::WRITE) {
            // Another thread was faster, or mprotect(2) has allowed more since: this CPU's translation is old.
            let kept = if current.contains(PageFlags::WRITE) || !private {
                flags
            } else {
                flags - PageFlags::WRITE
            };
            self.table.protect(page, kept);
            paging::flush_page(page);
        } else if !private || borrow(frame).is_sole() {
            self.table.protect(page, flags);
            paging::flush_page(page);
        } else {
            let copy = Frame::copy_of(&borrow(frame))?;
            // Other threads may still read the old page, which may soon be someone else's alone; and a machine may not see
            // two frames for one page at a time. Its tables exist, so entering the copy can't fail.
            self.table.unmap(page);
            self.resident -= 1;
            space.forget(page..page + PAGE_SIZE);
            self.enter(page, copy, flags)?;
            // SAFETY: the entry that owned the share has been replaced.
            drop(unsafe { Frame::from_raw(frame) });
        }
        Ok(())
    }

    /// Enters what a file gave; false when the regions or the file have changed meanwhile and the fault has to start again.
    fn enter_file_pages(
        &mut self,
        page: usize,
        access: Access,
        wanted: &Wanted,
        frames: [Option<Frame>; AROUND],
    ) -> Result<bool, Fault> {
        let Some((range, mapping)) = self.regions.find(page) else {
            return Ok(false);
        };
        let unchanged = wanted.cuts == cuts(&wanted.file)
            && range.start <= wanted.window.start
            && range.end >= wanted.window.end
            && mapping.permits(access)
            && mapping.backing.file().is_some_and(|(file, offset)| {
                Arc::ptr_eq(file, &wanted.file)
                    && (offset + (wanted.window.start - range.start) as u64) / PAGE_SIZE as u64 == wanted.index
            });
        if !unchanged {
            return Ok(false);
        }
        let flags = mapping.page_flags();
        let private = mapping.backing.is_private();
        for (at, frame) in wanted.window.clone().step_by(PAGE_SIZE).zip(frames) {
            let Some(frame) = frame else { continue };
            if self.table.query(at).is_some() {
                continue;
            }
            if !private {
                self.enter(at, frame, flags)?;
            } else if access == Access::Write {
                self.enter(at, Frame::copy_of(&frame)?, flags)?;
            } else {
                self.enter(at, frame, flags - PageFlags::WRITE)?;
            }
        }
        Ok(true)
    }
}

impl Mapping {
    /// Whether a fault may ever succeed here, for populating.
    pub(super) fn populate_access(&self) -> Option<Access> {
        if self.protection.contains(Protection::WRITE) && self.backing.is_private() {
            Some(Access::Write)
        } else if !self.protection.is_empty() {
            Some(Access::Read)
        } else {
            None
        }
    }
}
