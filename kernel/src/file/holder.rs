//! Which table of descriptors a thread has: one that it may share with others until it wants its own.

use super::FdTable;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering::AcqRel};
use libsyscall::abi::Errno;
use spin::Once;

/// How often a thread may leave a shared table for one of its own.
const COPIES_MAX: usize = 16;

/// A thread's table, and the one that came after it, if the thread has left it for a copy. Those it has left stay here
/// to its end, because a call may still look at them; it is none of their users any more.
pub struct TableHolder {
    table: Arc<FdTable>,
    left: AtomicBool,
    next: Once<Box<TableHolder>>,
}

impl TableHolder {
    pub fn new(table: Arc<FdTable>) -> TableHolder {
        table.add_user();
        TableHolder {
            table,
            left: AtomicBool::new(false),
            next: Once::new(),
        }
    }

    #[inline]
    fn last(&self) -> &TableHolder {
        let mut at = self;
        while let Some(next) = at.next.get() {
            at = next;
        }
        at
    }

    fn copies(&self) -> usize {
        core::iter::successors(self.next.get(), |holder| holder.next.get()).count()
    }

    /// The table as it is now.
    #[inline]
    pub fn table(&self) -> &Arc<FdTable> {
        &self.last().table
    }

    /// Makes a table that others use one of the running thread's own, which has this. ENOMEM also where it has done so too
    /// often.
    pub fn unshare(&self) -> Result<(), Errno> {
        let shared = self.last();
        if shared.table.is_shared() {
            if self.copies() >= COPIES_MAX {
                return Err(Errno::ENOMEM);
            }
            let copy = shared.table.duplicate()?;
            shared.next.call_once(|| Box::new(TableHolder::new(copy)));
            shared.leave();
        }
        Ok(())
    }

    /// The thread uses its table no more: its end.
    pub fn leave_last(&self) {
        self.last().leave();
    }

    fn leave(&self) {
        if !self.left.swap(true, AcqRel) {
            self.table.remove_user();
        }
    }
}

impl Drop for TableHolder {
    fn drop(&mut self) {
        self.leave();
    }
}
