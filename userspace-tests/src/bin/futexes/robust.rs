//! Robust lists: what is left locked by one that ends.

use super::calls::*;
use libsyscall::abi::Errno;
use libsyscall::abi::process::*;
use std::sync::atomic::Ordering::SeqCst;
use userspace_tests::{Status, child};

/// Makes the calling thread's robust list that one entry.
fn hold(shared: *mut Shared) {
    // SAFETY: the mapping is there for good and large enough; nobody else uses the list.
    unsafe {
        (*shared).entry = shared as usize;
        (*shared).head = [&raw const (*shared).entry as usize, size_of::<usize>(), 0];
        assert_eq!(libc::syscall(libc::SYS_set_robust_list, shared, 24), 0);
    }
}

pub fn robust_owner_ends() {
    let shared = shared();
    // SAFETY: zero is a valid word, and the mapping stays.
    let word = unsafe { &(*shared).word };
    let owner = child(|| {
        hold(shared);
        word.store(own_tid(), SeqCst);
        until(|| word.load(SeqCst) & FUTEX_WAITERS != 0);
        0
    });
    until(|| word.load(SeqCst) != 0);
    let seen = word.fetch_or(FUTEX_WAITERS, SeqCst) | FUTEX_WAITERS;
    // Woken, or too late to fall asleep.
    let slept = futex(word, FUTEX_WAIT, seen, 0, word, 0);
    assert!(matches!(slept, Ok(0) | Err(Errno::EAGAIN)), "{slept:?}");
    assert_eq!(word.load(SeqCst), FUTEX_OWNER_DIED | FUTEX_WAITERS);
    assert_eq!(owner.wait(), Status::Exited(0));
}

/// A child with a list that leads nowhere, or in a circle, ends like any other.
pub fn robust_lists_of_nonsense() {
    let shared = shared();
    for first in [8, usize::MAX, shared as usize + 24] {
        let child = child(|| {
            hold(shared);
            // SAFETY: as in `hold`.
            unsafe {
                (*shared).head[0] = first;
                (*shared).entry = shared as usize + 24;
            }
            0
        });
        assert_eq!(child.wait(), Status::Exited(0));
    }
}
