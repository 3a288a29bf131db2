//! futex(2): threads that wait for a word of user memory to change.
//!
//! Waiters lie in buckets by a hash of their key: the word's place in memory, by address space where private, by what is
//! mapped where shared. Waiting checks the word and queues under the bucket's lock; waking takes the lock too, so a change
//! followed by a wake-up finds either a waiter that has seen the old value, or none yet and the new value is seen.
//!
//! | waits | changes the word, wakes |
//! |---|---|
//! | locks the bucket | |
//! | reads the word: old value | writes the word |
//! | queues itself, unlocks | waits for the lock |
//! | | locks, finds the waiter, marks it woken, unparks it |
//!
//! Whether a waiter was woken is decided by who takes it out of the bucket: a waker marks it [`WOKEN`]; a timeout or a
//! signal takes it out itself, and one that no longer finds itself there has been woken, whatever else happened. A bucket's
//! queue keeps its room, so waiting allocates only while there are more waiters than ever before.

use super::thread::Thread;
use crate::arch::USER_END;
use crate::arch::uaccess;
use crate::mm::user;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use event::Unparked;
use libsyscall::abi::Errno;
use libsyscall::abi::process::{FUTEX_BITSET_MATCH_ANY, FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS};
use sync::{SpinGuard, SpinLock};

/// What a word is: (space or object, place in it).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(u64, u64);

struct Waiting {
    key: Key,
    bitset: u32,
    thread: Arc<Thread>,
}

const BUCKETS: usize = 256;
static TABLE: [SpinLock<Vec<Waiting>>; BUCKETS] = [const { SpinLock::new(Vec::new()) }; BUCKETS];

/// A thread's part.
#[derive(Default)]
pub struct WaitState {
    /// Where it is queued. Changed by a requeue, under both buckets' locks.
    bucket: AtomicUsize,
    /// A waker took it out.
    woken: AtomicBool,
}

impl Key {
    /// The key of the word at `address`: EINVAL where misaligned, EFAULT.
    pub fn of(thread: &Thread, address: usize, private: bool) -> Result<Key, Errno> {
        if !address.is_multiple_of(4) {
            return Err(Errno::EINVAL);
        }
        if address >= USER_END {
            return Err(Errno::EFAULT);
        }
        if private {
            // Marked, so that it never equals a shared key.
            return Ok(Key(thread.space_id.load(Relaxed) as u64 | 1, address as u64));
        }
        let (object, place) = thread.process.space().futex_key(address)?;
        Ok(Key(object & !1, place))
    }

    fn bucket(self) -> usize {
        let mixed = (self.0 ^ self.1.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 56) as usize % BUCKETS
    }
}

/// Reads the word; a fault is mended before, not under a lock.
fn load(address: usize) -> Result<u32, Errno> {
    uaccess::load_u32(address).ok_or(Errno::EFAULT)
}

/// FUTEX_WAIT(_BITSET): sleeps while the word is `expected`, until woken with a common bit. EAGAIN, ETIMEDOUT,
/// ERESTARTSYS.
pub fn wait(
    thread: &Arc<Thread>,
    address: usize,
    private: bool,
    expected: u32,
    deadline_ns: Option<u64>,
    bitset: u32,
) -> Result<(), Errno> {
    if bitset == 0 {
        return Err(Errno::EINVAL);
    }
    let key = Key::of(thread, address, private)?;
    // Mends a fault outside the lock; what is read counts only under it.
    load(address)?;
    let state = &thread.futex;
    let index = key.bucket();
    {
        let mut bucket = TABLE[index].lock();
        if load(address)? != expected {
            return Err(Errno::EAGAIN);
        }
        bucket.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        state.woken.store(false, Relaxed);
        state.bucket.store(index, Relaxed);
        bucket.push(Waiting {
            key,
            bitset,
            thread: thread.clone(),
        });
    }
    loop {
        let wake = thread.park_until(deadline_ns);
        if state.woken.load(Acquire) {
            return Ok(());
        }
        let error = match wake {
            Unparked::Woken => continue,
            Unparked::TimedOut => Errno::ETIMEDOUT,
            Unparked::Interrupted => Errno::ERESTARTSYS,
        };
        // Out of the queue by ourselves, or woken at the last moment.
        return if withdraw(thread) { Err(error) } else { Ok(()) };
    }
}

/// Takes the thread out of the bucket it waits in; false where a waker has done so.
fn withdraw(thread: &Arc<Thread>) -> bool {
    loop {
        let index = thread.futex.bucket.load(Acquire);
        let mut bucket = TABLE[index].lock();
        if thread.futex.woken.load(Relaxed) {
            return false;
        }
        if thread.futex.bucket.load(Relaxed) != index {
            continue; // Requeued in between.
        }
        if let Some(at) = bucket.iter().position(|waiting| Arc::ptr_eq(&waiting.thread, thread)) {
            let waiting = bucket.remove(at);
            drop(bucket);
            drop(waiting);
            return true;
        }
        return false;
    }
}

/// Wakes up to `count` waiters of `key` in the bucket; how many.
fn wake_in(bucket: &mut Vec<Waiting>, key: Key, count: usize, bitset: u32) -> usize {
    let mut woken = 0;
    let mut at = 0;
    while woken < count && at < bucket.len() {
        if bucket[at].key == key && bucket[at].bitset & bitset != 0 {
            let waiting = bucket.remove(at);
            waiting.thread.futex.woken.store(true, Release);
            waiting.thread.unpark();
            woken += 1;
        } else {
            at += 1;
        }
    }
    woken
}

/// FUTEX_WAKE(_BITSET): how many were woken.
pub fn wake(thread: &Thread, address: usize, private: bool, count: usize, bitset: u32) -> Result<usize, Errno> {
    if bitset == 0 {
        return Err(Errno::EINVAL);
    }
    let key = Key::of(thread, address, private)?;
    Ok(wake_in(&mut TABLE[key.bucket()].lock(), key, count, bitset))
}

/// Wakes waiters of a shared word of the running process, as the kernel does at a thread's end.
pub fn wake_shared(address: usize, count: usize) {
    super::with_current(|thread| {
        // A bad address has no waiters.
        let _ = wake(thread, address, false, count, FUTEX_BITSET_MATCH_ANY);
    });
}

/// Locks two buckets in the order of their numbers; the second is `None` where it is the first.
fn lock_two(
    one: usize,
    other: usize,
) -> (
    SpinGuard<'static, Vec<Waiting>>,
    Option<SpinGuard<'static, Vec<Waiting>>>,
) {
    if one == other {
        (TABLE[one].lock(), None)
    } else if one < other {
        let first = TABLE[one].lock();
        (first, Some(TABLE[other].lock()))
    } else {
        let second = TABLE[other].lock();
        (TABLE[one].lock(), Some(second))
    }
}

/// FUTEX_(CMP_)REQUEUE: wakes `count` waiters of one word and moves up to `limit` others to another word. With
/// `expected`, EAGAIN unless the word is that. How many were woken and moved.
pub fn requeue(
    thread: &Thread,
    (from, to): (usize, usize),
    private: bool,
    (count, limit): (usize, usize),
    expected: Option<u32>,
) -> Result<(usize, usize), Errno> {
    let (key, new_key) = (Key::of(thread, from, private)?, Key::of(thread, to, private)?);
    if expected.is_some() {
        load(from)?;
    }
    let new_index = new_key.bucket();
    let (mut bucket, mut other) = lock_two(key.bucket(), new_index);
    if let Some(expected) = expected
        && load(from)? != expected
    {
        return Err(Errno::EAGAIN);
    }
    let woken = wake_in(&mut bucket, key, count, FUTEX_BITSET_MATCH_ANY);
    let mut moved = 0;
    let mut at = 0;
    while moved < limit && at < bucket.len() {
        if bucket[at].key != key {
            at += 1;
            continue;
        }
        moved += 1;
        match &mut other {
            None => {
                bucket[at].key = new_key;
                at += 1;
            }
            Some(other) => {
                other.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
                let mut waiting = bucket.remove(at);
                waiting.key = new_key;
                waiting.thread.futex.bucket.store(new_index, Release);
                other.push(waiting);
            }
        }
    }
    Ok((woken, moved))
}

/// FUTEX_WAKE_OP: changes the second word by `operation`, wakes waiters of the first, and of the second where the old
/// value compares as asked.
pub fn wake_op(
    thread: &Thread,
    (first, second): (usize, usize),
    private: bool,
    (count, second_count): (usize, usize),
    operation: u32,
) -> Result<usize, Errno> {
    let (key, second_key) = (Key::of(thread, first, private)?, Key::of(thread, second, private)?);
    let (kind, comparison) = ((operation >> 28) & 0xf, (operation >> 24) & 0xf);
    let mut argument = ((operation << 8) as i32 >> 20) as u32;
    let compared = (operation << 20) as i32 >> 20;
    if kind & 8 != 0 {
        argument = 1u32.wrapping_shl(argument & 31);
    }
    let mut old = load(second)?;
    loop {
        let new = match kind & 7 {
            0 => argument,
            1 => old.wrapping_add(argument),
            2 => old | argument,
            3 => old & !argument,
            4 => old ^ argument,
            _ => return Err(Errno::ENOSYS),
        };
        let found = uaccess::compare_exchange_u32(second, old, new).ok_or(Errno::EFAULT)?;
        if found == old {
            break;
        }
        old = found;
    }
    let holds = match comparison {
        0 => old as i32 == compared,
        1 => old as i32 != compared,
        2 => (old as i32) < compared,
        3 => old as i32 <= compared,
        4 => old as i32 > compared,
        5 => old as i32 >= compared,
        _ => return Err(Errno::ENOSYS),
    };
    let mut woken = wake_in(&mut TABLE[key.bucket()].lock(), key, count, FUTEX_BITSET_MATCH_ANY);
    if holds {
        let mut bucket = TABLE[second_key.bucket()].lock();
        woken += wake_in(&mut bucket, second_key, second_count, FUTEX_BITSET_MATCH_ANY);
    }
    Ok(woken)
}

/// A list longer than this is a lie.
const ROBUST_LIST_LIMIT: usize = 2048;

/// set_robust_list(2): the running thread ends; futexes it holds are marked and one waiter of each is woken. The list is
/// the program's, so every word of it may be nonsense: then the walk just ends.
pub fn release_robust_list(thread: &Arc<Thread>) {
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
            // Bit 0 marks a priority-inheriting lock.
            if entry & !1 == head {
                break;
            }
            let next = word(entry & !1);
            if entry != pending {
                release_dead(thread, (entry & !1).wrapping_add(offset), false);
            }
            entry = next?;
        }
        if pending != 0 {
            release_dead(thread, (pending & !1).wrapping_add(offset), true);
        }
        Ok(())
    };
    // A list that can't be read further has nothing more to release.
    let _ = walk();
}

/// Marks one lock word of a dead owner. `pending`: it was between taking or giving it back, and may hold it or not.
fn release_dead(thread: &Thread, address: usize, pending: bool) {
    if !address.is_multiple_of(4) || address >= USER_END {
        return;
    }
    let Some(mut old) = uaccess::load_u32(address) else {
        return;
    };
    if pending && old & FUTEX_TID_MASK == 0 {
        // Given back, but perhaps nobody was woken any more.
        wake_shared(address, 1);
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
    if old & FUTEX_WAITERS != 0 {
        wake_shared(address, 1);
    }
}

/// Waiters per word, for the state dump.
pub fn each_waiter(mut f: impl FnMut(&Thread, u64)) {
    for bucket in &TABLE {
        for waiting in bucket.lock().iter() {
            f(&waiting.thread, waiting.key.1);
        }
    }
}
