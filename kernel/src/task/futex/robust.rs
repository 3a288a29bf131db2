//! What becomes of the futexes a thread holds when it ends.

use super::{lock, wake_shared};
use crate::arch::{USER_END, uaccess};
use crate::mm::user;
use crate::task::Thread;
use alloc::sync::Arc;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use libsyscall::abi::Errno;
use libsyscall::abi::process::{FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS};

/// A list longer than this is a lie.
const ROBUST_LIST_LIMIT: usize = 2048;

/// The running thread leaves its memory, for ever where it `ends`: others get what it holds.
pub fn release_held(thread: &Arc<Thread>, ends: bool) {
    release_list(thread);
    // Whoever waits for its locks from now on sees that it has gone, or says that they are awaited first.
    if ends {
        thread.futex.gone.store(true, SeqCst);
    }
    if thread.futex.awaited.swap(false, SeqCst) {
        lock::owner_has_gone(thread);
    }
}

/// set_robust_list(2): the futexes in it are marked and one waiter of each is woken. The list is the program's, so every
/// word of it may be nonsense: then the walk just ends.
fn release_list(thread: &Arc<Thread>) {
    let head = thread.robust_list.swap(0, Relaxed);
    if head == 0 {
        return;
    }
    let word = |address: usize| user::read::<u64>(address).map(|word| word as usize);
    let walk = || -> Result<(), Errno> {
        let mut entry = word(head)?;
        let offset = word(head + 8)?;
        let pending = word(head + 16)?;
        for _ in 0..ROBUST_LIST_LIMIT {
            if entry & !1 == head {
                break;
            }
            let next = word(entry & !1);
            if entry & !1 != pending & !1 {
                release_dead(thread, entry, offset, false);
            }
            entry = next?;
        }
        if pending != 0 {
            release_dead(thread, pending, offset, true);
        }
        Ok(())
    };
    // A list that can't be read further has nothing more to release.
    let _ = walk();
}

/// Marks one lock word of a dead owner. `pending`: it was between taking or giving it back, and may hold it or not.
fn release_dead(thread: &Thread, entry: usize, offset: usize, pending: bool) {
    let address = (entry & !1).wrapping_add(offset);
    // Bit 0 marks a lock that the kernel passes on: `owner_has_gone` does so.
    let is_plain = entry & 1 == 0;
    if !address.is_multiple_of(4) || address >= USER_END {
        return;
    }
    let Ok(mut old) = user::read(address) else {
        return;
    };
    if pending && is_plain && old & FUTEX_TID_MASK == 0 {
        // Given back, but perhaps nobody was woken any more.
        wake_shared(thread, address, 1);
        return;
    }
    loop {
        if old & FUTEX_TID_MASK != thread.tid() as u32 {
            return;
        }
        let new = (old & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
        match uaccess::compare_exchange_u32(address, old, new) {
            None => return,
            Some(found) if found == old => break,
            Some(found) => old = found,
        }
    }
    if is_plain && old & FUTEX_WAITERS != 0 {
        wake_shared(thread, address, 1);
    }
}
