//! How many registrations a user may have: /proc/sys/fs/epoll/max_user_watches, epoll(7).

use libsyscall::abi::Errno;
use sync::atomic::{AtomicUsize, Ordering};

/// The registrations of one user, in all epolls that user made.
pub struct Budget {
    used: AtomicUsize,
    max: usize,
}

impl Budget {
    pub fn new(max: usize) -> Budget {
        Budget {
            used: AtomicUsize::new(0),
            max,
        }
    }

    /// One registration more: ENOSPC. It is given back when what this returns is dropped, unless that is kept.
    pub(super) fn charge(&self) -> Result<Charge<'_>, Errno> {
        // Counted first: of two that come at once at the limit neither must get past it.
        let charge = Charge { budget: self };
        if self.used.fetch_add(1, Ordering::Relaxed) < self.max {
            Ok(charge)
        } else {
            Err(Errno::ENOSPC)
        }
    }

    pub(super) fn give_back(&self, count: usize) {
        self.used.fetch_sub(count, Ordering::Relaxed);
    }
}

impl Default for Budget {
    /// Without a limit.
    fn default() -> Budget {
        Budget::new(usize::MAX)
    }
}

/// A registration that is counted and not made yet.
pub(super) struct Charge<'a> {
    budget: &'a Budget,
}

impl Charge<'_> {
    /// The registration is made.
    pub fn keep(self) {
        core::mem::forget(self);
    }
}

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        self.budget.give_back(1);
    }
}
