//! A scheduler with a single reactor: any number of threads call [`Scheduler::run`]; one of them at a time waits in epoll, the
//! others on a condition variable, and whoever finds a task runs it.
//!
//! - A thread that takes a task wakes one more if there is more to do, a task or the reactor's place: a cascade, instead of a
//!   crowd woken at once.
//! - The reactor is interrupted through an eventfd, and only when it waits and nobody has interrupted it yet.
//! - One timerfd serves all timers; it is set when the reactor goes to wait and the nearest timer is not what it is set for.
//! - What a task posts goes into the thread's private queue, without the lock, and to the others when the task ends: never
//!   does a task wait behind one that runs while a thread is idle.
//! - What a task dispatches runs at once, inside it, within a budget that keeps others from starving: from 2 to 16, more after
//!   a task that used it up, but 4 at most while no other thread is idle to help.
//!
//! Why no wake-up is lost: the reactor says that it waits, and a thread goes to the condition variable, with the lock held
//! and the queue seen empty; a post takes the lock to fill it.
//!
//! ```text
//!     reactor                               post
//!     lock; queue empty; place = Waiting
//!     unlock
//!                                           lock; push; sees Waiting: writes the eventfd
//!     epoll_wait: returns for the eventfd, written before or after
//! ```

use crate::epoll::{Epoll, EventFd, TimerFd};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

type Task = Box<dyn FnOnce() + Send>;

/// The reactor's place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reactor {
    Free,
    /// A thread is in epoll, and comes back by itself.
    Looking,
    /// A thread is in epoll until something happens.
    Waiting {
        interrupted: bool,
    },
}

/// Who waits for a descriptor.
#[derive(Default)]
struct Waiters {
    read: Option<Task>,
    write: Option<Task>,
    /// Epoll knows the descriptor.
    known: bool,
}

impl Waiters {
    fn mask(&self) -> u32 {
        let mut mask = libc::EPOLLONESHOT;
        if self.read.is_some() {
            mask |= libc::EPOLLIN | libc::EPOLLRDHUP;
        }
        if self.write.is_some() {
            mask |= libc::EPOLLOUT;
        }
        mask as u32
    }
}

struct State {
    queue: VecDeque<Task>,
    stopped: bool,
    reactor: Reactor,
    /// Threads at the condition variable.
    idle: usize,
    /// By time, and by number where that is the same.
    timers: BTreeMap<(Instant, u64), Task>,
    /// What the timerfd is set for.
    timer_set: Option<Instant>,
    waiters: HashMap<RawFd, Waiters>,
}

pub struct Scheduler {
    state: Mutex<State>,
    changed: Condvar,
    epoll: Epoll,
    interrupter: EventFd,
    timer: TimerFd,
    /// Tasks, timers and waits that have not been run, and [`Work`] held.
    work: AtomicUsize,
    timer_number: AtomicU64,
    interrupts: AtomicU64,
}

thread_local! {
    /// The tasks that this thread runs, innermost last: one may run a scheduler itself.
    static PRIVATE: RefCell<Vec<Private>> = const { RefCell::new(Vec::new()) };
}

/// What belongs to a running task.
struct Private {
    scheduler: *const Scheduler,
    posted: VecDeque<Task>,
    /// How many dispatched tasks may still run inside it.
    inline: usize,
}

const INTERRUPTER: u64 = u64::MAX;
const TIMER: u64 = u64::MAX - 1;

/// How many tasks may run inside one.
struct Budget(usize);

impl Budget {
    const LEAST: usize = 2;
    const MOST: usize = 16;
    const UNASSISTED: usize = 4;

    fn of_round(&self, assisted: bool) -> usize {
        if assisted {
            self.0
        } else {
            self.0.min(Budget::UNASSISTED)
        }
    }

    fn adapt(&mut self, used_all: bool) {
        self.0 = if used_all {
            (self.0 * 2).min(Budget::MOST)
        } else {
            Budget::LEAST
        };
    }
}

/// Keeps `run` from returning for want of work.
pub struct Work<'a>(&'a Scheduler);

impl Drop for Work<'_> {
    fn drop(&mut self) {
        self.0.finish();
    }
}

impl Scheduler {
    pub fn new() -> io::Result<Scheduler> {
        let (epoll, interrupter, timer) = (Epoll::new()?, EventFd::new()?, TimerFd::new()?);
        epoll.add(interrupter.as_raw_fd(), libc::EPOLLIN as u32, INTERRUPTER)?;
        epoll.add(timer.as_raw_fd(), libc::EPOLLIN as u32, TIMER)?;
        Ok(Scheduler {
            state: Mutex::new(State {
                queue: VecDeque::new(),
                stopped: false,
                reactor: Reactor::Free,
                idle: 0,
                timers: BTreeMap::new(),
                timer_set: None,
                waiters: HashMap::new(),
            }),
            changed: Condvar::new(),
            epoll,
            interrupter,
            timer,
            work: AtomicUsize::new(0),
            timer_number: AtomicU64::new(0),
            interrupts: AtomicU64::new(0),
        })
    }

    /// Tasks do not run with the lock held, so a panicking one leaves the state whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a task run by some thread in `run`.
    pub fn post(&self, task: impl FnOnce() + Send + 'static) {
        self.work.fetch_add(1, Ordering::Relaxed);
        let task: Task = Box::new(task);
        let left = PRIVATE.with_borrow_mut(|private| match private.last_mut() {
            Some(own) if std::ptr::eq(own.scheduler, self) => {
                own.posted.push_back(task);
                None
            }
            _ => Some(task),
        });
        if let Some(task) = left {
            let mut state = self.lock();
            state.queue.push_back(task);
            self.wake_one(&mut state);
        }
    }

    /// Runs a task at once if a task of this scheduler calls it, within the budget; otherwise posts it.
    pub fn dispatch(&self, task: impl FnOnce() + Send + 'static) {
        let at_once = PRIVATE.with_borrow_mut(|private| match private.last_mut() {
            Some(own) if std::ptr::eq(own.scheduler, self) && own.inline > 0 => {
                own.inline -= 1;
                true
            }
            _ => false,
        });
        if at_once {
            task();
        } else {
            self.post(task);
        }
    }

    /// Has a task run when the time has come.
    pub fn post_at(&self, time: Instant, task: impl FnOnce() + Send + 'static) {
        self.work.fetch_add(1, Ordering::Relaxed);
        let number = self.timer_number.fetch_add(1, Ordering::Relaxed);
        let mut state = self.lock();
        state.timers.insert((time, number), Box::new(task));
        // A waiting reactor sets the timerfd before it waits, so it has to come back for a nearer time.
        if state.timer_set.is_none_or(|set| time < set) {
            self.interrupt(&mut state);
        }
    }

    /// Has a task run once when `fd` is readable, at its end, or in error. One at a time.
    pub fn when_readable(&self, fd: RawFd, task: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.wait_for(fd, |waiters| waiters.read = Some(Box::new(task)))
    }

    /// Has a task run once when `fd` is writable or in error. One at a time.
    pub fn when_writable(&self, fd: RawFd, task: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.wait_for(fd, |waiters| waiters.write = Some(Box::new(task)))
    }

    fn wait_for(&self, fd: RawFd, edit: impl FnOnce(&mut Waiters)) -> io::Result<()> {
        let mut state = self.lock();
        let waiters = state.waiters.entry(fd).or_default();
        edit(waiters);
        if waiters.known {
            self.epoll.modify(fd, waiters.mask(), fd as u64)?;
        } else {
            self.epoll.add(fd, waiters.mask(), fd as u64)?;
            waiters.known = true;
        }
        self.work.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Forgets a descriptor, which is to be called before it is closed. Tasks that wait for it are dropped.
    pub fn forget(&self, fd: RawFd) -> io::Result<()> {
        let Some(waiters) = self.lock().waiters.remove(&fd) else {
            return Ok(());
        };
        for _ in [waiters.read, waiters.write].into_iter().flatten() {
            self.finish();
        }
        self.epoll.delete(fd)
    }

    /// Keeps `run` going until the result is dropped.
    pub fn work(&self) -> Work<'_> {
        self.work.fetch_add(1, Ordering::Relaxed);
        Work(self)
    }

    /// Runs tasks until there is no work left or `stop` is called. Returns how many.
    pub fn run(&self) -> usize {
        let mut budget = Budget(Budget::LEAST);
        let mut ran = 0;
        while let Some(task) = self.next(None) {
            self.execute(task, &mut budget, true);
            ran += 1;
        }
        ran
    }

    /// Runs one task, waiting for it. Returns how many: 0 when there is no work left or `stop` was called.
    pub fn run_one(&self) -> usize {
        self.one(None)
    }

    /// Runs one task, waiting for it no longer than `time`.
    pub fn wait_one(&self, time: Duration) -> usize {
        let deadline = Instant::now().checked_add(time);
        self.one(deadline)
    }

    /// Runs what is ready, without waiting.
    pub fn poll(&self) -> usize {
        let mut ran = 0;
        while self.poll_one() > 0 {
            ran += 1;
        }
        ran
    }

    /// Runs one task if one is ready.
    pub fn poll_one(&self) -> usize {
        self.one(Some(Instant::now()))
    }

    /// Makes every `run` return as soon as its task has ended.
    pub fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        self.changed.notify_all();
        self.interrupt(&mut state);
    }

    pub fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Lets `run` run again after a stop.
    pub fn restart(&self) {
        self.lock().stopped = false;
    }

    /// How often the reactor was interrupted, for whoever wonders.
    pub fn interrupts(&self) -> u64 {
        self.interrupts.load(Ordering::Relaxed)
    }

    fn one(&self, deadline: Option<Instant>) -> usize {
        let Some(task) = self.next(deadline) else { return 0 };
        self.execute(task, &mut Budget(Budget::LEAST), false);
        1
    }

    /// The next task, waited for until `deadline`; a deadline that has passed only looks.
    fn next(&self, deadline: Option<Instant>) -> Option<Task> {
        let mut looked = false;
        let mut state = self.lock();
        loop {
            if state.stopped {
                return None;
            }
            if self.work.load(Ordering::Acquire) == 0 {
                drop(state);
                self.stop();
                return None;
            }
            if let Some(task) = state.queue.pop_front() {
                // The next task is for the next thread; without one, a free reactor's place is.
                if !state.queue.is_empty() {
                    self.wake_one(&mut state);
                } else if state.reactor == Reactor::Free && state.idle > 0 {
                    self.changed.notify_one();
                }
                return Some(task);
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let only_look = left == Some(Duration::ZERO);
            if only_look && looked {
                return None;
            }
            if state.reactor == Reactor::Free {
                looked = true;
                state = self.react(state, left);
            } else if only_look {
                return None;
            } else {
                state.idle += 1;
                state = match left {
                    None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                    Some(left) => {
                        let waited = self.changed.wait_timeout(state, left);
                        waited.unwrap_or_else(PoisonError::into_inner).0
                    }
                };
                state.idle -= 1;
            }
        }
    }

    /// Waits in epoll, for `left` at most, and queues what became ready.
    fn react<'a>(&'a self, mut state: MutexGuard<'a, State>, left: Option<Duration>) -> MutexGuard<'a, State> {
        let nearest = state.timers.keys().next().map(|&(time, _)| time);
        if nearest != state.timer_set {
            let delay = nearest.map(|time| time.saturating_duration_since(Instant::now()));
            self.timer.set(delay).expect("a delay that the kernel takes");
            state.timer_set = nearest;
        }
        state.reactor = match left {
            Some(Duration::ZERO) => Reactor::Looking,
            _ => Reactor::Waiting { interrupted: false },
        };
        drop(state);
        let events: Vec<_> = self.epoll.wait(left).expect("epoll waits").collect();

        let mut state = self.lock();
        state.reactor = Reactor::Free;
        for event in events {
            match event.data {
                INTERRUPTER => self.interrupter.drain(),
                TIMER => {
                    self.timer.drain();
                    state.timer_set = None;
                }
                fd => self.ready(&mut state, fd as RawFd, event.mask),
            }
        }
        let now = Instant::now();
        while let Some(entry) = state.timers.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let task = entry.remove();
            state.queue.push_back(task);
        }
        state
    }

    /// Queues who waited for what `fd` is ready for, and arms it again for who still waits.
    fn ready(&self, state: &mut State, fd: RawFd, mask: u32) {
        let State { waiters, queue, .. } = state;
        let Some(waiters) = waiters.get_mut(&fd) else { return };
        let has = |bits: i32| mask & (bits | libc::EPOLLERR | libc::EPOLLHUP) as u32 != 0;
        if has(libc::EPOLLIN | libc::EPOLLRDHUP) {
            queue.extend(waiters.read.take());
        }
        if has(libc::EPOLLOUT) {
            queue.extend(waiters.write.take());
        }
        if waiters.read.is_some() || waiters.write.is_some() {
            // It fails for a descriptor that was closed without `forget`, whose waits have no end anyway.
            let _ = self.epoll.modify(fd, waiters.mask(), fd as u64);
        }
    }

    /// Runs a task, and then hands over what it posted. A thread that `stays` looks at the queue next, and need not be told.
    fn execute(&self, task: Task, budget: &mut Budget, stays: bool) {
        /// The end of the task, also when it panics.
        struct Round<'a> {
            scheduler: &'a Scheduler,
            budget: &'a mut Budget,
            stays: bool,
        }
        impl Drop for Round<'_> {
            fn drop(&mut self) {
                if let Some(private) = PRIVATE.with_borrow_mut(Vec::pop) {
                    self.budget.adapt(private.inline == 0);
                    if !private.posted.is_empty() {
                        let mut state = self.scheduler.lock();
                        state.queue.extend(private.posted);
                        if !self.stays || std::thread::panicking() {
                            self.scheduler.wake_one(&mut state);
                        }
                    }
                }
                self.scheduler.finish();
            }
        }

        let assisted = self.lock().idle > 0;
        let private = Private {
            scheduler: self,
            posted: VecDeque::new(),
            inline: budget.of_round(assisted),
        };
        PRIVATE.with_borrow_mut(|all| all.push(private));
        let _round = Round {
            scheduler: self,
            budget,
            stays,
        };
        task();
    }

    /// Something was added to the queue: somebody has to come, the reactor if nobody else is there.
    fn wake_one(&self, state: &mut State) {
        if state.idle > 0 {
            self.changed.notify_one();
        } else {
            self.interrupt(state);
        }
    }

    /// Makes a waiting reactor come back; once is enough.
    fn interrupt(&self, state: &mut State) {
        if let Reactor::Waiting { interrupted } = &mut state.reactor
            && !*interrupted
        {
            *interrupted = true;
            self.interrupts.fetch_add(1, Ordering::Relaxed);
            self.interrupter.signal();
        }
    }

    /// A piece of work is done; after the last one nobody needs to wait any more.
    fn finish(&self) {
        if self.work.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.stop();
        }
    }
}
