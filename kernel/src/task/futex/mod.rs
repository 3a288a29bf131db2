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
//! Whether a waiter was woken is decided by who takes it out of the bucket: a waker marks it as woken; a timeout or a
//! signal takes it out itself, and one that no longer finds itself there has been woken, whatever else happened. A bucket's
//! queue keeps its room, so waiting allocates only while there are more waiters than ever before.
//!
//! What waits for one word is here; [`requeue`] has the operations on two, [`several`] futex_waitv(2), [`lock`] the locks
//! that the kernel passes on (FUTEX_LOCK_PI and its like), [`robust`] what a thread's end does.

mod lock;
mod requeue;
mod robust;
mod several;

pub use lock::{Attempt, lock, requeue_to_lock, unlock, wait_then_lock};
pub use requeue::{Word, requeue, wake_op};
pub use robust::release_held;
pub use several::{Entry, wait_for_any};

use super::thread::Thread;
use super::with_space;
use crate::arch::USER_END;
use crate::arch::uaccess;
use crate::mm::space::AddressSpace;
use crate::mm::user;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use event::Unparked;
use libsyscall::abi::Errno;
use libsyscall::abi::process::FUTEX_BITSET_MATCH_ANY;
use sync::SpinLock;

/// What a word is: (space or object, place in it).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(u64, u64);

struct Waiting {
    key: Key,
    bitset: u32,
    thread: Arc<Thread>,
    aim: Aim,
}

/// What a thread waits for at a word.
enum Aim {
    WakeUp,
    /// A wake-up at any of several words, of which this is one: the bucket of each.
    AnyOf(Arc<[AtomicUsize]>, usize),
    /// The lock that the word is, held by this thread.
    Lock(u32),
    /// To be moved to the lock that the word of this key is.
    ThenLock(Key),
}

impl Waiting {
    /// Where the number of its bucket stands.
    fn place(&self) -> &AtomicUsize {
        match &self.aim {
            Aim::AnyOf(buckets, number) => &buckets[*number],
            _ => &self.thread.futex.bucket,
        }
    }

    /// Ends the wait; it has been taken out of its bucket.
    fn wake(self) {
        self.thread.futex.woken.store(true, Release);
        self.thread.unpark();
    }
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
    /// Somebody may wait for a lock that it holds.
    awaited: AtomicBool,
    /// It has ended, as far as those who would wait for its locks are concerned.
    gone: AtomicBool,
}

impl Key {
    /// The key of the word at `address`: EINVAL where misaligned, EFAULT.
    pub fn of(thread: &Thread, address: usize, private: bool) -> Result<Key, Errno> {
        check(address)?;
        if private {
            return Ok(Key::private(thread, address));
        }
        Key::shared(|space| space.futex_key(address))
    }

    /// [`Key::of`] a checked word that the running thread has just read or written.
    #[inline]
    fn of_touched(thread: &Thread, address: usize, private: bool) -> Result<Key, Errno> {
        if private {
            return Ok(Key::private(thread, address));
        }
        Key::shared(|space| space.futex_key_of_touched(address))
    }

    fn private(thread: &Thread, address: usize) -> Key {
        // Odd, so that it never equals a shared key.
        Key(thread.space_id.load(Relaxed) as u64 | 1, address as u64)
    }

    /// Apart, so that a private word's way stays short.
    #[inline(never)]
    fn shared(find: impl FnOnce(&AddressSpace) -> Result<(u64, u64), Errno>) -> Result<Key, Errno> {
        let (object, place) = with_space(find)?;
        Ok(Key(object << 1, place))
    }

    fn bucket(self) -> usize {
        let mixed = (self.0 ^ self.1.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 56) as usize % BUCKETS
    }
}

/// EINVAL where misaligned, EFAULT.
fn check(address: usize) -> Result<(), Errno> {
    if !address.is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    if address >= USER_END {
        return Err(Errno::EFAULT);
    }
    Ok(())
}

/// Reads the word; a fault is mended before, not under a lock.
fn load(address: usize) -> Result<u32, Errno> {
    user::read(address)
}

/// Changes the word from `old` to `new` unless it is something else by now: whether it was.
fn exchange(address: usize, old: u32, new: u32) -> Result<bool, Errno> {
    let found = uaccess::compare_exchange_u32(address, old, new).ok_or(Errno::EFAULT)?;
    Ok(found == old)
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
    check(address)?;
    // Mends a fault outside the lock; what is read counts only under it.
    load(address)?;
    let key = Key::of_touched(thread, address, private)?;
    {
        let mut bucket = TABLE[key.bucket()].lock();
        if load(address)? != expected {
            return Err(Errno::EAGAIN);
        }
        enqueue(&mut bucket, thread, key, bitset, Aim::WakeUp)?;
    }
    match sleep(thread, deadline_ns) {
        Ok(()) => Ok(()),
        // Out of the queue by ourselves, or woken at the last moment.
        Err(error) => withdraw(thread, &thread.futex.bucket).map_or(Ok(()), |_| Err(error)),
    }
}

/// Puts the running thread into `key`'s bucket, before it sleeps. ENOMEM.
#[inline]
fn enqueue(bucket: &mut Vec<Waiting>, thread: &Arc<Thread>, key: Key, bitset: u32, aim: Aim) -> Result<(), Errno> {
    bucket.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
    thread.futex.woken.store(false, Relaxed);
    thread.futex.bucket.store(key.bucket(), Relaxed);
    bucket.push(Waiting {
        key,
        bitset,
        thread: thread.clone(),
        aim,
    });
    Ok(())
}

/// Sleeps until woken. ETIMEDOUT, ERESTARTSYS: then it may still be queued.
fn sleep(thread: &Arc<Thread>, deadline_ns: Option<u64>) -> Result<(), Errno> {
    loop {
        let wake = thread.park_until(deadline_ns);
        if thread.futex.woken.load(Acquire) {
            return Ok(());
        }
        match wake {
            Unparked::Woken => {}
            Unparked::TimedOut => return Err(Errno::ETIMEDOUT),
            Unparked::Interrupted => return Err(Errno::ERESTARTSYS),
        }
    }
}

/// Takes the thread out of the bucket whose number is at `place`; `None` where a waker has done so.
fn withdraw(thread: &Arc<Thread>, place: &AtomicUsize) -> Option<Waiting> {
    loop {
        let index = place.load(Acquire);
        let mut bucket = TABLE[index].lock();
        if place.load(Relaxed) != index {
            continue; // Requeued in between.
        }
        let is_it = |waiting: &Waiting| Arc::ptr_eq(&waiting.thread, thread) && core::ptr::eq(waiting.place(), place);
        let at = bucket.iter().position(is_it)?;
        return Some(bucket.remove(at));
    }
}

/// Wakes waiters of `key` in the bucket until `count` have been; how many. EINVAL at one that waits for a lock.
fn wake_in(bucket: &mut Vec<Waiting>, key: Key, count: usize, bitset: u32) -> Result<usize, Errno> {
    let mut woken = 0;
    let mut at = 0;
    while woken < count && at < bucket.len() {
        if bucket[at].key != key {
            at += 1;
            continue;
        }
        if matches!(bucket[at].aim, Aim::Lock(_) | Aim::ThenLock(_)) {
            return Err(Errno::EINVAL);
        }
        if bucket[at].bitset & bitset == 0 {
            at += 1;
            continue;
        }
        bucket.remove(at).wake();
        woken += 1;
    }
    Ok(woken)
}

/// FUTEX_WAKE(_BITSET): how many were woken.
pub fn wake(thread: &Thread, address: usize, private: bool, count: usize, bitset: u32) -> Result<usize, Errno> {
    if bitset == 0 {
        return Err(Errno::EINVAL);
    }
    let key = Key::of(thread, address, private)?;
    wake_in(&mut TABLE[key.bucket()].lock(), key, count, bitset)
}

/// Wakes waiters of a shared word that the running thread has just written, as the kernel does at a thread's end.
pub fn wake_shared(thread: &Thread, address: usize, count: usize) {
    let wake = || {
        check(address)?;
        let key = Key::of_touched(thread, address, false)?;
        wake_in(&mut TABLE[key.bucket()].lock(), key, count, FUTEX_BITSET_MATCH_ANY)
    };
    // A bad address has no waiters.
    let _ = wake();
}

/// Waiters per word, for the state dump.
pub fn each_waiter(mut f: impl FnMut(&Thread, u64)) {
    for bucket in &TABLE {
        for waiting in bucket.lock().iter() {
            f(&waiting.thread, waiting.key.1);
        }
    }
}
