//! Advisory locks: flock(2) on whole files, fcntl(2) record locks on ranges.
//!
//! All locks stand in one table by inode: they are few, and a machine without any pays one look at a counter when a
//! file is closed. Whoever waits for a lock waits on one queue and looks again when any lock goes.

use super::OpenFile;
use crate::task;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};
use event::{EventMask, WaitQueue};
use libsyscall::abi::Errno;
use sync::SpinLock;

/// Who holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// flock(2): an open file description, in a world of its own.
    Flock(u64),
    /// F_SETLK: a table of descriptors, until any descriptor of the file is closed in it. With the process that locked,
    /// for F_GETLK.
    Table { id: u64, pid: i32 },
    /// F_OFD_SETLK: an open file description.
    Description(u64),
}

impl Owner {
    fn is(self, other: Owner) -> bool {
        match (self, other) {
            (Owner::Table { id, .. }, Owner::Table { id: other, .. }) => id == other,
            _ => self == other,
        }
    }

    /// flock(2) and fcntl(2) locks do not see each other.
    fn sees(self, other: Owner) -> bool {
        matches!(self, Owner::Flock(_)) == matches!(other, Owner::Flock(_))
    }
}

/// A lock on the bytes from `start` to before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    pub owner: Owner,
    pub exclusive: bool,
    pub start: u64,
    pub end: u64,
}

impl Lock {
    fn overlaps(&self, other: &Lock) -> bool {
        self.start < other.end && other.start < self.end
    }

    fn conflicts(&self, other: &Lock) -> bool {
        !self.owner.is(other.owner)
            && self.owner.sees(other.owner)
            && (self.exclusive || other.exclusive)
            && self.overlaps(other)
    }
}

/// Device and inode number.
type Key = (u64, u64);

static LOCKS: SpinLock<BTreeMap<Key, Vec<Lock>>> = SpinLock::new(BTreeMap::new());
/// Locks in the table.
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// Woken when a lock goes or shrinks.
static RELEASED: WaitQueue = WaitQueue::new();

fn key(open: &OpenFile) -> Key {
    let stat = open.file.stat();
    (stat.dev, stat.ino)
}

/// Takes `range` out of the owner's locks, and puts `range` itself in where it is `locking`.
fn change(locks: &mut Vec<Lock>, range: &Lock, locking: bool) {
    let before = locks.len();
    let mut kept = Vec::with_capacity(before + 2);
    for lock in locks.drain(..) {
        if !lock.owner.is(range.owner) || !lock.overlaps(range) {
            kept.push(lock);
            continue;
        }
        if lock.start < range.start {
            kept.push(Lock {
                end: range.start,
                ..lock
            });
        }
        if range.end < lock.end {
            kept.push(Lock {
                start: range.end,
                ..lock
            });
        }
    }
    if locking {
        kept.push(*range);
    }
    COUNT.fetch_add(kept.len(), Ordering::Relaxed);
    COUNT.fetch_sub(before, Ordering::Relaxed);
    *locks = kept;
}

/// Tries to lock. EAGAIN where another's lock is in the way.
fn try_lock(key: Key, wanted: &Lock) -> Result<(), Errno> {
    let mut table = LOCKS.lock();
    let locks = table.entry(key).or_default();
    if locks.iter().any(|lock| lock.conflicts(wanted)) {
        return Err(Errno::EAGAIN);
    }
    change(locks, wanted, true);
    drop(table);
    // A lock that was exclusive may be shared now.
    RELEASED.wake(EventMask::IN);
    Ok(())
}

/// Locks, waiting where `wait`; else EAGAIN.
pub fn lock(open: &OpenFile, wanted: &Lock, wait: bool) -> Result<(), Errno> {
    let key = key(open);
    match try_lock(key, wanted) {
        Err(Errno::EAGAIN) if wait => task::block_on(&RELEASED, EventMask::IN, None, || try_lock(key, wanted)),
        done => done,
    }
}

pub fn unlock(open: &OpenFile, range: &Lock) {
    release(key(open), range);
}

fn release(key: Key, range: &Lock) {
    let mut table = LOCKS.lock();
    let Some(locks) = table.get_mut(&key) else { return };
    change(locks, range, false);
    if locks.is_empty() {
        table.remove(&key);
    }
    drop(table);
    RELEASED.wake(EventMask::IN);
}

/// F_GETLK: a lock that is in the way of `wanted`.
pub fn conflicting(open: &OpenFile, wanted: &Lock) -> Option<Lock> {
    LOCKS
        .lock()
        .get(&key(open))?
        .iter()
        .find(|lock| lock.conflicts(wanted))
        .copied()
}

/// A descriptor of the file was closed in table `id`: the record locks it had on the file are gone, fcntl(2).
#[inline]
pub fn closed(open: &OpenFile, id: u64) {
    if COUNT.load(Ordering::Relaxed) != 0 {
        release(key(open), &whole(Owner::Table { id, pid: 0 }));
    }
}

/// The last reference to a description has gone.
pub fn released(open: &OpenFile) {
    if COUNT.load(Ordering::Relaxed) != 0 {
        let key = key(open);
        release(key, &whole(Owner::Flock(open.id())));
        release(key, &whole(Owner::Description(open.id())));
    }
}

/// The lock of a whole file.
pub fn whole(owner: Owner) -> Lock {
    Lock {
        owner,
        exclusive: true,
        start: 0,
        end: u64::MAX,
    }
}
