//! epoll(7): the interest list, the ready list, and the way from a wake-up to the thread that waits.
//!
//! An interest's number is the token of its entry in the watched object's wait queue. A wake-up comes in through
//! [`Epoll::wake`], puts the interest on the ready list and wakes a sleeper; [`Epoll::harvest`] goes through the list, asks
//! each object what is ready *now*, and delivers. Both cost what they do, not what is registered.
//!
//! Edge triggering falls out of who stays on the list: level-triggered interests move to its end by their delivery,
//! edge-triggered ones leave it and come back by their object's next wake-up only.

mod budget;
mod interests;
mod nesting;
mod ready_list;
mod wait;
mod watch_list;

pub use budget::Budget;
pub use wait::Place;
pub use watch_list::{Node, WatchList};

use crate::slab::{NONE, Slab};
#[cfg(not(loom))]
use crate::trace;
use crate::{EventMask, Pollable, WaitQueue, Waiter, Woken};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::cell::Cell;
use core::hint::cold_path;
use hashbrown::HashTable;
use interests::{Interest, Interests, queue_mask};
use libsyscall::abi::Errno;
use ready_list::ReadyList;
use sync::atomic::{AtomicBool, Ordering, fence};
use sync::{DirectArc, SpinGuard, SpinLock};
use watch_list::PRIMARY;

/// A registration as fdinfo and the state dump tell of it.
pub struct Registration<'a> {
    pub fd: i32,
    pub mask: EventMask,
    pub data: u64,
    pub node: Node,
    /// Whether the ready list has it.
    pub is_listed: bool,
    pub source: &'a dyn Pollable,
}

/// An epoll instance. The open file description of it holds one reference, and each epoll that watches it another.
pub struct Epoll {
    interests: SpinLock<Interests>,
    /// Whether the ready list has anything, or a thread has an interest of it in hand. Written under the list's lock, and
    /// read without: see [`Epoll::has_ready`].
    pending: AtomicBool,
    ready: SpinLock<ReadyList>,
    /// Threads in epoll_wait(2).
    sleepers: WaitQueue,
    /// Epolls that watch this one, and threads in poll(2) on it.
    watchers: WaitQueue,
    /// The epolls that watch this one, as often as they do.
    outer: SpinLock<Vec<Weak<Epoll>>>,
    /// Whether there are any of those. Written under their lock, and read without.
    is_nested: AtomicBool,
    /// Of the walks along nested epolls.
    mark: SpinLock<nesting::Mark>,
    /// What its registrations count against.
    budget: Arc<Budget>,
}

/// Serialises the additions that make ways of a wake-up through several epolls. Outermost of all locks.
#[cfg(not(loom))]
static NESTING: SpinLock<()> = SpinLock::new(());

/// What epoll_ctl(2) registers: a description and number, and what is behind them.
pub struct Target<'a> {
    pub watches: &'a DirectArc<WatchList>,
    pub fd: i32,
    pub source: Arc<dyn Pollable>,
}

/// The mask of an interest: what was asked for and what is reported anyway.
fn interest_mask(events: EventMask) -> EventMask {
    events | EventMask::ALWAYS
}

/// What may be asked for together with EPOLLEXCLUSIVE (semantics 30).
const WITH_EXCLUSIVE: EventMask = EventMask::IN
    .union(EventMask::OUT)
    .union(EventMask::ALWAYS)
    .union(EventMask::WAKEUP)
    .union(EventMask::ET)
    .union(EventMask::EXCLUSIVE);

impl Epoll {
    pub fn new() -> Arc<Epoll> {
        Epoll::with_budget(Arc::new(Budget::default()))
    }

    /// An epoll whose registrations count against what its user may have.
    pub fn with_budget(budget: Arc<Budget>) -> Arc<Epoll> {
        Arc::new(Epoll {
            interests: SpinLock::new(Interests {
                slab: Slab::new(),
                index: HashTable::new(),
            }),
            pending: AtomicBool::new(false),
            ready: SpinLock::new(ReadyList::new()),
            sleepers: WaitQueue::newest_first(),
            watchers: WaitQueue::new(),
            outer: SpinLock::new(Vec::new()),
            is_nested: AtomicBool::new(false),
            mark: SpinLock::new(nesting::Mark::default()),
            budget,
        })
    }

    /// EPOLL_CTL_ADD. EEXIST, ENOMEM, ENOSPC; EINVAL for what EPOLLEXCLUSIVE excludes, and for too many ways of a wake-up;
    /// ELOOP for nesting.
    #[inline(always)]
    pub fn add(self: &Arc<Self>, target: Target, events: EventMask, data: u64) -> Result<(), Errno> {
        let is_epoll = target.source.as_epoll().is_some();
        if events.contains(EventMask::EXCLUSIVE) && (is_epoll || !WITH_EXCLUSIVE.contains(events)) {
            return Err(Errno::EINVAL);
        }
        if is_epoll || self.is_nested.load(Ordering::Relaxed) {
            return self.add_nested(target, events, data);
        }
        self.insert(target, is_epoll, events, data)
    }

    /// EPOLL_CTL_ADD of an epoll, or to one that is watched itself.
    #[inline(never)]
    fn add_nested(self: &Arc<Self>, target: Target, events: EventMask, data: u64) -> Result<(), Errno> {
        let source = target.source.clone();
        let inner = source.as_epoll();
        #[cfg(not(loom))]
        let _nesting = NESTING.lock();
        if let Some(inner) = inner {
            nesting::check_depth(self, inner)?;
        }
        if self.interests.lock().find(target.watches, target.fd).is_some() {
            return Err(Errno::EEXIST);
        }
        match inner {
            None => nesting::check_paths_of(target.watches, self)?,
            Some(inner) => inner.gain_outer(self)?,
        }
        let within_limits = inner.map_or(Ok(()), nesting::check_paths_below);
        let result = within_limits.and_then(|()| self.insert(target, inner.is_some(), events, data));
        if let Some(inner) = inner
            && result.is_err()
        {
            inner.lose_outer(self);
        }
        result
    }

    /// Registers, then asks: what is ready already is queued like a wake-up (semantics 66). The interest is in its slot
    /// before its source is asked anything, so that little has to be kept over the calls.
    #[inline(always)]
    fn insert(self: &Arc<Self>, target: Target, is_epoll: bool, events: EventMask, data: u64) -> Result<(), Errno> {
        let Target { watches, fd, source } = target;
        let mask = interest_mask(events);
        let mut interests = self.interests.lock();
        if interests.find(watches, fd).is_some() {
            return Err(Errno::EEXIST);
        }
        let number = interests.slab.vacant()?;
        self.ready.lock().insert(number, mask)?;
        let charge = self.budget.charge()?;
        let watch = watches.insert(self, number)?;
        if watch != PRIMARY
            && let Err(error) = interests.reserve()
        {
            watches.remove(watch);
            return Err(error);
        }
        charge.keep();
        let interest = interests.slab.fill(
            number,
            Interest {
                number,
                watches: watches.clone(),
                watch,
                fd,
                data: Cell::new(data),
                unheard: Cell::new(mask.complement()),
                source: source.into(),
                answers_at_once: false,
                is_epoll,
                entry: NONE,
            },
        );
        let source = &*interest.source;
        interest.answers_at_once = source.answers_at_once();
        let queue_mask = queue_mask(source, mask);
        match source.wait_queue().enter(self.clone(), number, queue_mask) {
            Ok(entry) => interest.entry = entry,
            Err(error) => {
                self.unlist(number);
                watches.remove(watch);
                self.free(interests, number);
                return Err(error);
            }
        }
        let ready_now = interest.source.readiness();
        if watch != PRIMARY {
            interests.enter(number);
        }
        drop(interests);
        if mask.intersects(ready_now) && self.list(self.ready.lock(), number) {
            self.tell(number, ready_now);
        }
        Ok(())
    }

    /// EPOLL_CTL_MOD. ENOENT; EINVAL where EPOLLEXCLUSIVE is asked for or was.
    pub fn modify(&self, watches: &WatchList, fd: i32, events: EventMask, data: u64) -> Result<(), Errno> {
        let mask = interest_mask(events);
        let interests = self.interests.lock();
        let Some((number, interest)) = interests.find(watches, fd) else {
            let is_exclusive = mask.contains(EventMask::EXCLUSIVE);
            return Err(if is_exclusive { Errno::EINVAL } else { Errno::ENOENT });
        };
        let mut ready = self.ready.lock();
        ready.set_mask(number, mask)?;
        interest.data.set(data);
        if interest.unheard.get().intersects(mask) {
            drop(ready);
            interest.hear_more(mask);
            ready = self.ready.lock();
        }
        // Asked after the masks are set: a change from here on finds the new ones by itself.
        let (ready, ready_now) = self.ask(ready, interest);
        if mask.intersects(ready_now) {
            self.list_modified(interests, ready, number, ready_now);
        }
        Ok(())
    }

    /// Apart, so that a change to what is not ready saves no registers for it.
    #[inline(never)]
    fn list_modified(
        &self,
        interests: SpinGuard<Interests>,
        ready: SpinGuard<ReadyList>,
        number: u32,
        ready_now: EventMask,
    ) {
        let is_new = self.list(ready, number);
        drop(interests);
        if is_new {
            self.tell(number, ready_now);
        }
    }

    /// What is ready of an interest's source now. The ready list's lock, which the caller has, is given up meanwhile where
    /// the answer takes locks: a wake-up may hold those and wait for this one.
    #[inline(always)]
    fn ask<'a>(
        &'a self,
        mut ready: SpinGuard<'a, ReadyList>,
        interest: &Interest,
    ) -> (SpinGuard<'a, ReadyList>, EventMask) {
        if interest.answers_at_once {
            return (ready, interest.source.readiness());
        }
        cold_path();
        ready.notice();
        drop(ready);
        let ready_now = interest.source.readiness();
        (self.ready.lock(), ready_now)
    }

    /// EPOLL_CTL_DEL: ENOENT.
    pub fn remove(&self, watches: &WatchList, fd: i32) -> Result<(), Errno> {
        let interests = self.interests.lock();
        let (number, interest) = interests.find(watches, fd).ok_or(Errno::ENOENT)?;
        self.detach(number, interest);
        self.free(interests, number);
        Ok(())
    }

    /// The description `file` has lost its last reference, and this was one of its registrations.
    fn forget(&self, number: u32, file: u64) {
        let interests = self.interests.lock();
        // The number may be another's by now.
        if let Some(interest) = interests.slab.get(number)
            && interest.watches.file() == file
        {
            self.detach(number, interest);
            self.free(interests, number);
        }
    }

    /// The last reference to this epoll's own description has gone: it watches nothing any more.
    pub fn close(&self) {
        let mut interests = self.interests.lock();
        let removed = core::mem::take(&mut interests.slab);
        interests.index.clear();
        let mut ready = self.ready.lock();
        *ready = ReadyList::new();
        self.settle(&ready);
        drop(ready);
        drop(interests);
        self.budget.give_back(removed.len());
        for (_, interest) in removed.iter() {
            self.leave(interest);
        }
    }

    /// Takes an interest off the ready list and out of its source's queue, in an order that a wake-up may cross; the number
    /// is the caller's to free:
    ///
    /// | removal | waker (holds the source's queue) |
    /// |---|---|
    /// | ready slot becomes vacant | |
    /// | | finds the slot vacant: nothing |
    /// | leaves the queue (waits for its lock) | |
    /// | the number is free for another | |
    #[inline(always)]
    fn detach(&self, number: u32, interest: &Interest) {
        self.unlist(number);
        self.leave(interest);
    }

    /// Frees the number of an interest that nothing else has any more. What it had is dropped without locks: destructors
    /// may run.
    #[inline(always)]
    fn free(&self, mut interests: SpinGuard<Interests>, number: u32) {
        let Some((watches, source)) = interests.remove(number) else {
            return;
        };
        drop(interests);
        self.budget.give_back(1);
        drop((watches, source));
    }

    /// Takes an interest out of the lists of what it watches.
    #[inline(always)]
    fn leave(&self, interest: &Interest) {
        interest.source.wait_queue().leave(interest.entry);
        interest.watches.remove(interest.watch);
        if interest.is_epoll
            && let Some(inner) = interest.source.as_epoll()
        {
            inner.lose_outer(self);
        }
    }

    /// Frees an interest's slot of the ready list; under the interests' lock.
    #[inline]
    fn unlist(&self, number: u32) {
        let mut ready = self.ready.lock();
        ready.remove(number);
        self.settle(&ready);
    }

    /// Nobody has an interest in hand, or any more. The interests' lock is held, so nobody takes one either.
    #[inline]
    fn settle(&self, ready: &ReadyList) {
        self.pending.store(!ready.is_empty(), Ordering::Relaxed);
    }

    fn gain_outer(&self, outer: &Arc<Epoll>) -> Result<(), Errno> {
        let mut list = self.outer.lock();
        list.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        list.push(Arc::downgrade(outer));
        self.is_nested.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn lose_outer(&self, outer: &Epoll) {
        let mut list = self.outer.lock();
        if let Some(at) = list.iter().position(|other| core::ptr::eq(other.as_ptr(), outer)) {
            list.swap_remove(at);
        }
        self.is_nested.store(!list.is_empty(), Ordering::Relaxed);
    }

    /// Puts an interest on the ready list; whether it was not there: those who wait know of one that was.
    #[inline]
    fn list(&self, mut ready: SpinGuard<ReadyList>, number: u32) -> bool {
        self.pending.store(true, Ordering::Relaxed);
        ready.push_last(number)
    }

    /// The ready list has grown by an interest, because of `events`: one of the threads here hears of it, and those who
    /// watch this epoll. Whether one here did.
    #[inline]
    fn tell(&self, number: u32, events: EventMask) -> Woken {
        fence(Ordering::SeqCst);
        if self.sleepers.is_empty() && self.watchers.is_empty() {
            return Woken::No;
        }
        self.tell_some(number, events)
    }

    /// Apart, so that who finds nobody saves no registers for it.
    #[inline(never)]
    fn tell_some(&self, number: u32, events: EventMask) -> Woken {
        let tell = || {
            let woken = self.sleepers.wake_behind_fence(EventMask::IN);
            self.watchers.wake_behind_fence(EventMask::IN);
            woken
        };
        #[cfg(not(loom))]
        if trace::is_on() {
            return trace::through(number, events, tell);
        }
        let _ = (number, events);
        tell()
    }

    /// An exclusive interest counts as told only if a thread here was, by a bit it asked for. What changes both directions at
    /// once, as a hang-up does, is for all to hear (semantics 92).
    #[inline(never)]
    fn tell_exclusively(&self, number: u32, events: EventMask, mask: EventMask) -> Woken {
        let woken = self.tell(number, events);
        let in_out = EventMask::IN | EventMask::OUT;
        let direction = events & in_out;
        if direction != in_out && mask.contains(direction) {
            woken
        } else {
            Woken::No
        }
    }

    /// The interest of a number, as a wake-up's trace has it: its descriptor's number and what it watches.
    pub fn interest(&self, number: u32) -> Option<(i32, Arc<dyn Pollable>)> {
        let interests = self.interests.lock();
        let interest = interests.slab.get(number)?;
        Some((interest.fd, interest.source.share()))
    }

    /// Calls `f` with the registrations from number `from` on, until it says false: the number to go on from, if there
    /// may be more. It may ask the source's readiness, and nothing of this epoll.
    pub fn visit_interests(&self, from: u32, mut f: impl FnMut(Registration) -> bool) -> Option<u32> {
        let interests = self.interests.lock();
        for (number, interest) in interests.slab.iter_from(from) {
            let (mask, is_listed) = {
                let ready = self.ready.lock();
                (ready.mask(number), ready.is_listed(number))
            };
            let goes_on = f(Registration {
                fd: interest.fd,
                mask,
                data: interest.data.get(),
                node: interest.watches.node(),
                is_listed,
                source: &*interest.source,
            });
            if !goes_on {
                return Some(number + 1);
            }
        }
        None
    }

    /// Threads that wait in it.
    pub fn sleepers(&self) -> usize {
        self.sleepers.len()
    }

    /// Registrations now.
    pub fn len(&self) -> usize {
        self.interests.lock().slab.len()
    }

    /// Whether nothing is registered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Waiter for Epoll {
    #[inline]
    fn wake(&self, token: u32, events: EventMask) -> Woken {
        let mut ready = self.ready.lock();
        let Some(mask) = ready.wake(token, events) else {
            return Woken::No;
        };
        self.pending.store(true, Ordering::Relaxed);
        drop(ready);
        if mask.contains(EventMask::EXCLUSIVE) {
            return self.tell_exclusively(token, events, mask);
        }
        self.tell(token, events);
        Woken::Yes
    }
}

impl Pollable for Epoll {
    /// Readable when an interest has something to deliver. Asks the objects themselves, so an entry that went stale does
    /// not count (semantics 42), and takes no edge away (semantics 43).
    fn readiness(&self) -> EventMask {
        let interests = self.interests.lock();
        let mut ready = self.ready.lock();
        let mut left = ready.len();
        let mut answer = EventMask::empty();
        while left > 0 {
            left -= 1;
            let Some((number, mask)) = ready.turn() else {
                break;
            };
            let Some(interest) = interests.slab.get(number) else {
                break;
            };
            let ready_now;
            (ready, ready_now) = self.ask(ready, interest);
            if ready_now.intersects(mask) {
                ready.put_back(number);
                answer = EventMask::READABLE;
                break;
            }
            ready.drop_idle(number, !interest.answers_at_once);
        }
        self.settle(&ready);
        answer
    }

    fn wait_queue(&self) -> &WaitQueue {
        &self.watchers
    }

    fn as_epoll(&self) -> Option<&Epoll> {
        Some(self)
    }
}
