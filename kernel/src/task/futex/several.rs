//! futex_waitv(2): waiting for any of several words.

use super::{Aim, Key, TABLE, Waiting, Word, load, sleep, withdraw};
use crate::task::Thread;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{
    AtomicUsize,
    Ordering::{Acquire, Relaxed},
};
use libsyscall::abi::Errno;
use libsyscall::abi::process::FUTEX_BITSET_MATCH_ANY;

/// A word to wait for.
pub struct Entry {
    pub address: usize,
    pub private: bool,
    pub expected: u32,
}

impl Entry {
    /// The word without what it is to be.
    pub fn word(&self) -> Word {
        (self.address, self.private)
    }
}

/// Sleeps while every word is what is expected, until woken at one of them: its number, the highest where there are
/// several. EAGAIN, ETIMEDOUT, ERESTARTSYS.
pub fn wait_for_any(thread: &Arc<Thread>, entries: &[Entry], deadline_ns: Option<u64>) -> Result<usize, Errno> {
    let key = |entry: &Entry| Key::of(thread, entry.address, entry.private);
    let keys: Vec<Key> = entries.iter().map(key).collect::<Result<_, _>>()?;
    let buckets: Arc<[AtomicUsize]> = keys.iter().map(|key| AtomicUsize::new(key.bucket())).collect();
    thread.futex.woken.store(false, Relaxed);
    let mut queued = 0;
    let mut result = Ok(());
    for (entry, &key) in entries.iter().zip(&keys) {
        result = queue(thread, entry, key, &buckets, queued);
        if result.is_err() || thread.futex.woken.load(Acquire) {
            break;
        }
        queued += 1;
    }
    if queued == entries.len() {
        result = sleep(thread, deadline_ns);
    } else if result.is_ok() {
        // Woken before the last was queued.
        queued += 1;
    }
    let mut woken_at = None;
    for (number, place) in buckets[..queued].iter().enumerate() {
        if withdraw(thread, place).is_none() {
            woken_at = Some(number);
        }
    }
    match (woken_at, result) {
        (Some(number), _) => Ok(number),
        (None, Err(error)) => Err(error),
        // Whoever wakes takes out first.
        (None, Ok(())) => Err(Errno::EAGAIN),
    }
}

fn queue(
    thread: &Arc<Thread>,
    entry: &Entry,
    key: Key,
    buckets: &Arc<[AtomicUsize]>,
    number: usize,
) -> Result<(), Errno> {
    // Mends a fault outside the lock.
    load(entry.address)?;
    let mut bucket = TABLE[key.bucket()].lock();
    if load(entry.address)? != entry.expected {
        return Err(Errno::EAGAIN);
    }
    bucket.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
    bucket.push(Waiting {
        key,
        bitset: FUTEX_BITSET_MATCH_ANY,
        thread: thread.clone(),
        aim: Aim::AnyOf(buckets.clone(), number),
    });
    Ok(())
}
