//! The wait queue of one object: who is to be told when it changes.
//!
//! Entries sit in a slab and are linked by number, so adding, removing and waking cost the same however many there are,
//! and a wake-up allocates nothing. Non-exclusive entries come first, the newest at the start, exclusive ones after them:
//! a wake-up tells all of the former that want one of its bits, and exclusive ones until the first that makes use of it.
//! Exclusive entries stand in order of arrival, or the newest first where a queue is made so ([`WaitQueue::newest_first`]).

use crate::slab::{NONE, Slab};
use crate::{EventMask, Waiter, Woken};
use alloc::sync::Arc;
use libsyscall::abi::Errno;
use sync::atomic::{AtomicU32, Ordering, fence};
use sync::{DirectArc, SpinGuard, SpinLock};

struct Entry {
    waiter: DirectArc<dyn Waiter>,
    token: u32,
    /// What it wants to hear of; [`EventMask::EXCLUSIVE`] marks an exclusive one.
    mask: EventMask,
    previous: u32,
    next: u32,
}

impl Entry {
    #[inline]
    fn wake(&self, events: EventMask) -> Woken {
        self.waiter.wake(self.token, events)
    }
}

struct Entries {
    slab: Slab<Entry>,
    first: u32,
    last: u32,
}

impl Entries {
    fn entry(&mut self, number: u32) -> &mut Entry {
        self.slab.get_mut(number).expect("a linked entry is in the slab")
    }

    /// Sets what comes after an entry; after [`NONE`] comes the first of all.
    #[inline(always)]
    fn set_next(&mut self, number: u32, next: u32) {
        match number {
            NONE => self.first = next,
            _ => self.entry(number).next = next,
        }
    }

    /// Sets what comes before an entry; before [`NONE`] comes the last of all.
    #[inline(always)]
    fn set_previous(&mut self, number: u32, previous: u32) {
        match number {
            NONE => self.last = previous,
            _ => self.entry(number).previous = previous,
        }
    }

    /// In each of its callers, so that none asks which it is.
    #[inline(always)]
    fn wake(&self, events: EventMask, choice: Choice) -> Woken {
        let mut at = self.first;
        let mut woken = Woken::No;
        while let Some(entry) = self.slab.get(at) {
            at = entry.next;
            let is_wanted = entry.mask.intersects(events) || events.is_empty();
            if !is_wanted {
                continue;
            }
            let is_exclusive = entry.mask.contains(EventMask::EXCLUSIVE);
            if !is_exclusive && choice == Choice::Exclusive {
                continue;
            }
            if entry.wake(events) == Woken::Yes {
                woken = Woken::Yes;
                if is_exclusive && choice != Choice::All {
                    break;
                }
            }
        }
        woken
    }
}

/// Apart, so that one waiter costs no registers for others, and bits that it waits for no question whether there are any.
#[inline(never)]
fn wake_several(entries: SpinGuard<Entries>, events: EventMask) -> Woken {
    entries.wake(events, Choice::Some)
}

/// Whom a wake-up tells.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// All that are not exclusive, and the first that is and makes use of it.
    Some,
    All,
    /// The first exclusive one that makes use of it.
    Exclusive,
}

/// In [`WaitQueue::wanted`]; a queue knows no edges, so no entry has this bit.
const SOMEBODY: EventMask = EventMask::ET;

/// Who is to be told when an object's readiness changes.
pub struct WaitQueue {
    /// The bits that anybody here wants to hear of, and [`SOMEBODY`] while there is anybody. Read without the lock, so that a
    /// wake-up for nobody costs a fence and a look. Who leaves others behind leaves its bits too: a look at all the masks
    /// would cost more than a wake-up that finds nobody.
    wanted: AtomicU32,
    /// Exclusive entries go to the start as well.
    newest_first: bool,
    entries: SpinLock<Entries>,
}

/// Loom's locks and atomics are not made at compile time.
macro_rules! const_unless_loom {
    ($($(#[$doc:meta])* $visibility:vis fn $name:ident($($arguments:tt)*) -> WaitQueue $body:block)*) => { $(
        $(#[$doc])*
        #[cfg(not(loom))]
        $visibility const fn $name($($arguments)*) -> WaitQueue $body

        $(#[$doc])*
        #[cfg(loom)]
        $visibility fn $name($($arguments)*) -> WaitQueue $body
    )* };
}

impl WaitQueue {
    const_unless_loom! {
        /// A queue that tells exclusive waiters in order of arrival.
        pub fn new() -> WaitQueue {
            WaitQueue::with_order(false)
        }

        /// A queue of exclusive waiters that tells the newest first, as Linux does it for threads in epoll_wait(2): the one
        /// that came last has the warmest caches. All of its entries must be exclusive.
        pub fn newest_first() -> WaitQueue {
            WaitQueue::with_order(true)
        }

        fn with_order(newest_first: bool) -> WaitQueue {
            WaitQueue {
                wanted: AtomicU32::new(0),
                newest_first,
                entries: SpinLock::new(Entries {
                    slab: Slab::new(),
                    first: NONE,
                    last: NONE,
                }),
            }
        }
    }

    /// Adds a waiter that wants to hear of the bits in `mask`; with [`EventMask::EXCLUSIVE`] in it, as an exclusive one.
    /// The number to remove it by. The caller asks for readiness afterwards:
    ///
    /// | waiter | waker |
    /// |---|---|
    /// | adds itself, and its bits to those that are wanted | |
    /// | *fence* | |
    /// | asks readiness: nothing yet | |
    /// | | makes the object ready |
    /// | | *fence* |
    /// | | looks: its bit is wanted, wakes |
    ///
    /// Without the fences each side could do its read before its own write is visible, and both see nothing:
    ///
    /// | waiter | waker |
    /// |---|---|
    /// | adds its bits (still in its store buffer) | makes the object ready (still in its store buffer) |
    /// | asks readiness: nothing yet | looks: nobody wants its bit |
    /// | sleeps for ever | |
    pub fn add(&self, waiter: Arc<dyn Waiter>, token: u32, mask: EventMask) -> Result<u32, Errno> {
        self.enter(waiter, token, mask)
    }

    /// [`WaitQueue::add`] within its caller, for who does it often.
    #[inline(always)]
    pub(crate) fn enter(&self, waiter: Arc<dyn Waiter>, token: u32, mask: EventMask) -> Result<u32, Errno> {
        let mut entries = self.entries.lock();
        let at_start = self.newest_first || !mask.contains(EventMask::EXCLUSIVE);
        let (previous, next) = if at_start {
            (NONE, entries.first)
        } else {
            (entries.last, NONE)
        };
        let number = entries.slab.insert(Entry {
            waiter: waiter.into(),
            token,
            mask,
            previous,
            next,
        })?;
        entries.set_next(previous, number);
        entries.set_previous(next, number);
        self.want(mask);
        Ok(number)
    }

    /// Changes what a waiter wants to hear of, but not whether it is exclusive. As after [`WaitQueue::add`], the caller asks
    /// for readiness afterwards.
    pub fn set_mask(&self, number: u32, mask: EventMask) {
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.slab.get_mut(number) {
            entry.mask = mask;
            self.want(mask);
        }
    }

    /// Under the lock: from now on wake-ups with these bits look here.
    #[inline]
    fn want(&self, mask: EventMask) {
        let wanted = self.wanted.load(Ordering::Relaxed) | (mask | SOMEBODY).bits();
        self.wanted.store(wanted, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Whether a wake-up with these bits may be for somebody, at this moment.
    #[inline]
    fn is_wanted(&self, events: EventMask) -> bool {
        let wanted = EventMask::from_bits_retain(self.wanted.load(Ordering::Relaxed));
        wanted.intersects(events) || events.is_empty() && !wanted.is_empty()
    }

    /// Removes a waiter. Once this returns, its `wake` is not called any more on behalf of that entry.
    pub fn remove(&self, number: u32) {
        self.leave(number);
    }

    /// [`WaitQueue::remove`] within its caller.
    #[inline(always)]
    pub(crate) fn leave(&self, number: u32) {
        let mut entries = self.entries.lock();
        let Some(entry) = entries.slab.remove(number) else {
            return;
        };
        entries.set_next(entry.previous, entry.next);
        entries.set_previous(entry.next, entry.previous);
        if entries.slab.len() == 0 {
            self.wanted.store(0, Ordering::Relaxed);
        }
        drop(entries);
        // The waiter's share is given up without the lock: it may be the last one.
        drop(entry);
    }

    /// Tells the waiters that `events` may have been added; whether anyone made use of it. An empty mask tells all.
    #[inline]
    pub fn wake(&self, events: EventMask) -> Woken {
        fence(Ordering::SeqCst);
        self.wake_behind_fence(events)
    }

    /// [`WaitQueue::wake`] where the caller has made the fence: one does for several queues.
    #[inline]
    pub fn wake_behind_fence(&self, events: EventMask) -> Woken {
        if self.is_wanted(events) {
            self.wake_some(events)
        } else {
            Woken::No
        }
    }

    /// [`WaitQueue::wake`] of all exclusive waiters as well: for a change that concerns each of them.
    pub fn wake_all(&self, events: EventMask) {
        fence(Ordering::SeqCst);
        if self.is_wanted(events) {
            self.entries.lock().wake(events, Choice::All);
        }
    }

    /// One exclusive waiter was told and makes no use of it: tells the next one.
    pub fn pass_on(&self, events: EventMask) {
        fence(Ordering::SeqCst);
        if self.is_wanted(events) {
            self.entries.lock().wake(events, Choice::Exclusive);
        }
    }

    /// Apart, so that whoever finds nobody saves no registers for it. Most queues have one waiter, and what is exclusive
    /// makes no difference to it.
    #[inline(never)]
    fn wake_some(&self, events: EventMask) -> Woken {
        let entries = self.entries.lock();
        if entries.first != entries.last {
            return wake_several(entries, events);
        }
        match entries.slab.get(entries.first) {
            Some(entry) if entry.mask.intersects(events) => entry.wake(events),
            _ if events.is_empty() => wake_several(entries, events),
            _ => Woken::No,
        }
    }

    /// Whether nobody waits, at this moment.
    pub fn is_empty(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) == 0
    }

    /// Waiters at this moment.
    pub fn len(&self) -> usize {
        self.entries.lock().slab.len()
    }
}

impl Default for WaitQueue {
    fn default() -> Self {
        WaitQueue::new()
    }
}
