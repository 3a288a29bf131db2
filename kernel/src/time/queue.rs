//! Things to happen at a moment: a heap of timers per CPU, and the CPU's one alarm.
//!
//! Arming and cancelling cost O(log n) and never allocate: making a [`Timer`] makes room for it in every CPU's heap. A
//! timer is armed on the CPU that asks and expires there. The alarm is only ever moved nearer, so cancelling does not
//! touch the hardware; the price is at most one needless interrupt for each moment that was ever armed.
//!
//! The owner of a timer serialises its own `arm` and `cancel`; only expiry, on whichever CPU holds the timer, runs beside
//! them. Which CPU that is stands in [`Timer::home`], written under that CPU's lock alone:
//!
//! | owner, CPU 1: cancel | CPU 0: the moment has come |
//! |---|---|
//! | reads home = 0 | |
//! | | locks heap 0, takes the timer out, home = none, unlocks |
//! | locks heap 0, reads home again: none; done | |
//! | | calls `expired` |
//!
//! So a cancelled timer's `expired` may still be called, once, and must ask its own state whether it means anything.

use crate::arch::{self, MAX_CPUS};
use crate::room::Room;
use crate::task::sched;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{
    AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use libsyscall::abi::Errno;
use sync::SpinLock;

/// What owns a timer.
pub trait Expire: Send + Sync {
    fn timer(&self) -> &Timer;
    /// The moment has come. Called in interrupt context without locks; see the module for a cancelled timer.
    fn expired(self: Arc<Self>);
}

/// A place in the queues; armed for at most one moment.
pub struct Timer {
    /// CPU whose heap holds it, or [`NOWHERE`].
    home: AtomicUsize,
    /// Its index there.
    position: AtomicU32,
}

const NOWHERE: usize = usize::MAX;

struct Entry {
    deadline_ns: u64,
    owner: Arc<dyn Expire>,
}

struct Queue {
    heap: SpinLock<Vec<Entry>>,
    /// What the alarm is set to; written by its own CPU.
    alarm_ns: AtomicU64,
}

static QUEUES: [Queue; MAX_CPUS] = [const {
    Queue {
        heap: SpinLock::new(Vec::new()),
        alarm_ns: AtomicU64::new(u64::MAX),
    }
}; MAX_CPUS];

/// Every heap has room for every timer.
static ROOM: Room = Room::new();

impl Timer {
    /// ENOMEM where there is no room for one more.
    pub fn new() -> Result<Timer, Errno> {
        ROOM.take(|cpu, timers| {
            let mut heap = QUEUES[cpu].heap.lock();
            let missing = timers.saturating_sub(heap.len());
            heap.try_reserve(missing)
        })?;
        Ok(Timer {
            home: AtomicUsize::new(NOWHERE),
            position: AtomicU32::new(0),
        })
    }

    #[cfg(feature = "ktest")]
    pub fn is_armed(&self) -> bool {
        self.home.load(Acquire) != NOWHERE
    }

    /// Takes it out of its heap.
    pub fn cancel(&self) {
        loop {
            let home = self.home.load(Acquire);
            if home == NOWHERE {
                return;
            }
            let mut heap = QUEUES[home].heap.lock();
            if self.home.load(Acquire) == home {
                let entry = remove(&mut heap, self.position.load(Relaxed) as usize);
                drop(heap);
                // Here and not under the lock: it may be the owner's last share.
                drop(entry);
                return;
            }
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        ROOM.give_back();
    }
}

/// Has `owner.expired()` called at `deadline_ns` or soon after, never before; replaces what its timer was armed for.
pub fn arm(owner: Arc<dyn Expire>, deadline_ns: u64) {
    owner.timer().cancel();
    let cpu = arch::cpu::id();
    let queue = &QUEUES[cpu];
    let mut heap = queue.heap.lock();
    owner.timer().home.store(cpu, Release);
    heap.push(Entry { deadline_ns, owner });
    let last = heap.len() - 1;
    up(&mut heap, last);
    drop(heap);
    alarm_by(deadline_ns);
}

/// Sees to it that this CPU's alarm goes off by `deadline_ns`.
pub fn alarm_by(deadline_ns: u64) {
    let alarm = &QUEUES[arch::cpu::id()].alarm_ns;
    if deadline_ns < alarm.load(Relaxed) {
        alarm.store(deadline_ns, Relaxed);
        arch::timer::arm(deadline_ns);
    }
}

/// The alarm of this CPU went off: calls what is due and sets the alarm to what comes next.
pub fn run() {
    let queue = &QUEUES[arch::cpu::id()];
    queue.alarm_ns.store(u64::MAX, Relaxed);
    let next_ns = loop {
        let mut heap = queue.heap.lock();
        match heap.first() {
            None => break None,
            Some(first) if first.deadline_ns > super::now_ns() => break Some(first.deadline_ns),
            Some(_) => {}
        }
        let due = remove(&mut heap, 0);
        drop(heap);
        due.owner.expired();
    };
    match next_ns {
        Some(deadline_ns) => alarm_by(deadline_ns),
        // Not where an `expired` or the slice has set it in the meantime.
        None if queue.alarm_ns.load(Relaxed) == u64::MAX => arch::timer::disarm(),
        None => {}
    }
    sched::slice_check();
}

/// The next moment of each CPU that has one, for the state dump.
pub fn next_deadlines() -> impl Iterator<Item = (usize, usize, u64)> {
    QUEUES.iter().enumerate().filter_map(|(cpu, queue)| {
        let heap = queue.heap.lock();
        heap.first().map(|first| (cpu, heap.len(), first.deadline_ns))
    })
}

fn place(heap: &[Entry], index: usize) {
    heap[index].owner.timer().position.store(index as u32, Relaxed);
}

/// Takes out the entry at `index` and marks its timer as nowhere.
fn remove(heap: &mut Vec<Entry>, index: usize) -> Entry {
    let entry = heap.swap_remove(index);
    entry.owner.timer().home.store(NOWHERE, Release);
    if index < heap.len() {
        // The one that came from the end may belong nearer to either side.
        let index = up(heap, index);
        down(heap, index);
    }
    entry
}

/// Moves an entry towards the root as far as it belongs; where it came to.
fn up(heap: &mut [Entry], mut index: usize) -> usize {
    while index > 0 {
        let parent = (index - 1) / 2;
        if heap[parent].deadline_ns <= heap[index].deadline_ns {
            break;
        }
        heap.swap(parent, index);
        place(heap, index);
        index = parent;
    }
    place(heap, index);
    index
}

fn down(heap: &mut [Entry], mut index: usize) {
    loop {
        let mut child = 2 * index + 1;
        if child >= heap.len() {
            break;
        }
        if child + 1 < heap.len() && heap[child + 1].deadline_ns < heap[child].deadline_ns {
            child += 1;
        }
        if heap[index].deadline_ns <= heap[child].deadline_ns {
            break;
        }
        heap.swap(index, child);
        place(heap, index);
        index = child;
    }
    place(heap, index);
}
