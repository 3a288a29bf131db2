//! Locks that the kernel passes on: FUTEX_LOCK_PI and its like.
//!
//! The word holds its owner's thread number, so that the kernel knows whom the others wait for. Taking a free lock and
//! giving back one that nobody waits for need no call. Threads here have no priorities to inherit: the lock goes to who has
//! waited longest. An owner that ends hands over too, and its waiters take the word over themselves, because it may no
//! longer have that memory.

use super::requeue::lock_two;
use super::{Aim, Key, TABLE, Waiting, enqueue, exchange, load, sleep, withdraw};
use crate::task::{Thread, table};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::{Release, SeqCst};
use libsyscall::abi::Errno;
use libsyscall::abi::process::{FUTEX_BITSET_MATCH_ANY, FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS};

/// What to do about a lock that another thread holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// EAGAIN.
    Once,
    /// Wait for it, at most until then.
    Until(Option<u64>),
}

/// Makes the word present and writable, so that no fault has to be mended under a bucket's lock.
fn touch(address: usize) -> Result<(), Errno> {
    let value = load(address)?;
    exchange(address, value, value)?;
    Ok(())
}

fn owner(word: u32) -> u32 {
    word & FUTEX_TID_MASK
}

/// Takes the lock for `thread` where it is free; who holds it otherwise, with the word saying that somebody waits.
/// `inherits`: it may be taken from an owner that has gone. EDEADLK, ESRCH.
fn acquire(
    bucket: &[Waiting],
    (key, address): (Key, usize),
    thread: &Thread,
    inherits: bool,
) -> Result<Option<Arc<Thread>>, Errno> {
    loop {
        let old = load(address)?;
        let holder = match owner(old) {
            0 => None,
            tid if tid == thread.tid() as u32 => return Err(Errno::EDEADLK),
            tid => table::thread(tid as i32).filter(|holder| {
                holder.futex.awaited.store(true, SeqCst);
                !holder.futex.gone.load(SeqCst)
            }),
        };
        if holder.is_some() {
            if exchange(address, old, old | FUTEX_WAITERS)? {
                return Ok(holder);
            }
            continue;
        }
        let mut new = thread.tid() as u32 | old & FUTEX_OWNER_DIED;
        if owner(old) != 0 {
            if !inherits {
                return Err(Errno::ESRCH);
            }
            new |= FUTEX_OWNER_DIED;
        }
        if bucket.iter().any(|waiting| waiting.key == key) {
            new |= FUTEX_WAITERS;
        }
        if exchange(address, old, new)? {
            if new & FUTEX_WAITERS != 0 {
                thread.futex.awaited.store(true, SeqCst);
            }
            return Ok(None);
        }
    }
}

/// FUTEX_LOCK_PI, FUTEX_TRYLOCK_PI: EAGAIN, EDEADLK, ESRCH where the owner is no thread, ETIMEDOUT, ERESTARTNOINTR.
pub fn lock(thread: &Arc<Thread>, address: usize, private: bool, attempt: Attempt) -> Result<(), Errno> {
    lock_or_inherit(thread, address, private, attempt, false)
}

fn lock_or_inherit(
    thread: &Arc<Thread>,
    address: usize,
    private: bool,
    attempt: Attempt,
    mut inherits: bool,
) -> Result<(), Errno> {
    let key = Key::of(thread, address, private)?;
    loop {
        touch(address)?;
        {
            let mut bucket = TABLE[key.bucket()].lock();
            let others = bucket.iter().filter(|waiting| waiting.key == key);
            if others.into_iter().any(|waiting| !matches!(waiting.aim, Aim::Lock(_))) {
                return Err(Errno::EINVAL);
            }
            let Some(holder) = acquire(&bucket, (key, address), thread, inherits)? else {
                return Ok(());
            };
            if attempt == Attempt::Once {
                return Err(Errno::EAGAIN);
            }
            let aim = Aim::Lock(holder.tid() as u32);
            enqueue(&mut bucket, thread, key, FUTEX_BITSET_MATCH_ANY, aim)?;
        }
        let deadline_ns = match attempt {
            Attempt::Until(deadline_ns) => deadline_ns,
            Attempt::Once => None,
        };
        if let Err(error) = sleep(thread, deadline_ns)
            && withdraw(thread, &thread.futex.bucket).is_some()
        {
            return Err(match error {
                Errno::ERESTARTSYS => Errno::ERESTARTNOINTR,
                error => error,
            });
        }
        if owner(load(address)?) == thread.tid() as u32 {
            return Ok(());
        }
        // Woken without it: its owner has ended.
        inherits = true;
    }
}

/// FUTEX_UNLOCK_PI: EPERM unless it is the running thread's; EINVAL where others wait there for something else.
pub fn unlock(thread: &Thread, address: usize, private: bool) -> Result<(), Errno> {
    let key = Key::of(thread, address, private)?;
    touch(address)?;
    let mut bucket = TABLE[key.bucket()].lock();
    loop {
        let old = load(address)?;
        if owner(old) != thread.tid() as u32 {
            return Err(Errno::EPERM);
        }
        let Some(at) = bucket.iter().position(|waiting| waiting.key == key) else {
            if exchange(address, old, 0)? {
                return Ok(());
            }
            continue;
        };
        let Waiting { thread: next, aim, .. } = &bucket[at];
        if !matches!(aim, Aim::Lock(_)) {
            return Err(Errno::EINVAL);
        }
        let next_owner = next.tid() as u32;
        if exchange(address, old, next_owner | FUTEX_WAITERS)? {
            let next = bucket.remove(at);
            next.thread.futex.awaited.store(true, SeqCst);
            for waiting in bucket.iter_mut().filter(|waiting| waiting.key == key) {
                waiting.aim = Aim::Lock(next_owner);
            }
            next.wake();
            return Ok(());
        }
    }
}

/// An owner of locks that others wait for has ended: of each the one that has waited longest goes on, and takes it.
pub(super) fn owner_has_gone(thread: &Thread) {
    let gone = thread.tid() as u32;
    for bucket in &TABLE {
        let mut bucket = bucket.lock();
        let mut handed_over: Vec<Key> = Vec::new();
        let mut at = 0;
        while at < bucket.len() {
            let waiting = &bucket[at];
            if matches!(waiting.aim, Aim::Lock(owner) if owner == gone) && !handed_over.contains(&waiting.key) {
                handed_over.push(waiting.key);
                bucket.remove(at).wake();
            } else {
                at += 1;
            }
        }
    }
}

/// FUTEX_WAIT_REQUEUE_PI: sleeps while the first word is `expected`, until [`requeue_to_lock`] moves it to the second and
/// that lock is its own. EAGAIN, also where a signal comes after the move; ETIMEDOUT, ERESTARTNOINTR.
pub fn wait_then_lock(
    thread: &Arc<Thread>,
    (address, target): (usize, usize),
    private: bool,
    expected: u32,
    deadline_ns: Option<u64>,
) -> Result<(), Errno> {
    let (key, lock_key) = (Key::of(thread, address, private)?, Key::of(thread, target, private)?);
    if key == lock_key {
        return Err(Errno::EINVAL);
    }
    load(address)?;
    touch(target)?;
    {
        let mut bucket = TABLE[key.bucket()].lock();
        if load(address)? != expected {
            return Err(Errno::EAGAIN);
        }
        let aim = Aim::ThenLock(lock_key);
        enqueue(&mut bucket, thread, key, FUTEX_BITSET_MATCH_ANY, aim)?;
    }
    if let Err(error) = sleep(thread, deadline_ns)
        && let Some(waiting) = withdraw(thread, &thread.futex.bucket)
    {
        return Err(match (error, waiting.aim) {
            (Errno::ERESTARTSYS, Aim::Lock(_)) => Errno::EAGAIN,
            (Errno::ERESTARTSYS, _) => Errno::ERESTARTNOINTR,
            (error, _) => error,
        });
    }
    if owner(load(target)?) == thread.tid() as u32 {
        return Ok(());
    }
    lock_or_inherit(thread, target, private, Attempt::Until(deadline_ns), true)
}

/// FUTEX_CMP_REQUEUE_PI: while the first word is `expected`, gives the lock to the one that has waited longest for it where
/// it is free, and moves up to `limit` others there. How many in all; EAGAIN, EINVAL where one waits for something else.
pub fn requeue_to_lock(
    thread: &Thread,
    (from, to): (usize, usize),
    private: bool,
    limit: usize,
    expected: u32,
) -> Result<usize, Errno> {
    let (key, lock_key) = (Key::of(thread, from, private)?, Key::of(thread, to, private)?);
    if key == lock_key {
        return Err(Errno::EINVAL);
    }
    load(from)?;
    touch(to)?;
    let lock_index = lock_key.bucket();
    let (mut bucket, mut other) = lock_two(key.bucket(), lock_index);
    if load(from)? != expected {
        return Err(Errno::EAGAIN);
    }
    let mut done = 0;
    while done < limit.saturating_add(1) {
        let Some(at) = bucket.iter().position(|waiting| waiting.key == key) else {
            break;
        };
        if !matches!(bucket[at].aim, Aim::ThenLock(aim) if aim == lock_key) {
            return Err(Errno::EINVAL);
        }
        let next = bucket[at].thread.clone();
        let lock_bucket = other.as_mut().unwrap_or(&mut bucket);
        let holder = acquire(lock_bucket, (lock_key, to), &next, false)?;
        lock_bucket.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let mut waiting = bucket.remove(at);
        match holder {
            None => waiting.wake(),
            Some(holder) => {
                waiting.key = lock_key;
                waiting.aim = Aim::Lock(holder.tid() as u32);
                waiting.place().store(lock_index, Release);
                other.as_mut().unwrap_or(&mut bucket).push(waiting);
            }
        }
        done += 1;
    }
    Ok(done)
}
