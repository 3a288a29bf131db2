//! The races of the readiness core, each tried in every order (`RUSTFLAGS="--cfg loom" cargo test -p event --release`).
//!
//! A lost wake-up is a deadlock here, and loom reports those. Each race has a twin with a planted bug, which the model
//! must catch: a model that can't fail proves nothing.
#![cfg(loom)]

mod harvests;
mod registrations;
mod waits;

use event::epoll::{Place, Target};
use event::{Epoll, EventFd, EventMask, Pollable, Sleeper, Unparked, WaitQueue, Waiter, WatchList, Woken, block_on};
use libsyscall::abi::Errno;
use loom::sync::{Condvar, Mutex};
use loom::thread;
use std::sync::Arc;
use sync::DirectArc;

const IN: EventMask = EventMask::IN;
const OUT: EventMask = EventMask::OUT;
const ET: EventMask = EventMask::ET;

/// A thread that sleeps by loom's means. With `impatient` its first park is over as soon as it likes: time passes whenever
/// it does the most harm.
struct Thread {
    notified: Mutex<bool>,
    changed: Condvar,
    impatient: bool,
}

impl Thread {
    fn new(impatient: bool) -> Arc<Thread> {
        Arc::new(Thread {
            notified: Mutex::new(false),
            changed: Condvar::new(),
            impatient,
        })
    }
}

impl Waiter for Thread {
    fn wake(&self, _token: u32, _events: EventMask) -> Woken {
        let mut notified = self.notified.lock().unwrap();
        if *notified {
            return Woken::No;
        }
        *notified = true;
        self.changed.notify_all();
        Woken::Yes
    }
}

impl Sleeper for Thread {
    fn park(&self, _deadline_ns: Option<u64>) -> Unparked {
        let mut notified = self.notified.lock().unwrap();
        if self.impatient && !*notified {
            return Unparked::TimedOut;
        }
        while !*notified {
            notified = self.changed.wait(notified).unwrap();
        }
        *notified = false;
        Unparked::Woken
    }

    fn is_notified(&self) -> bool {
        *self.notified.lock().unwrap()
    }
}

/// A flag to watch, with the order of its changer's two steps as a parameter: the rule is change first, then wake.
struct Flag {
    set: Mutex<bool>,
    queue: WaitQueue,
}

impl Flag {
    fn new() -> Arc<Flag> {
        Arc::new(Flag {
            set: Mutex::new(false),
            queue: WaitQueue::new(),
        })
    }

    fn raise(&self, wake_first: bool) {
        if wake_first {
            self.queue.wake(IN);
        }
        *self.set.lock().unwrap() = true;
        if !wake_first {
            self.queue.wake(IN);
        }
    }
}

impl Pollable for Flag {
    fn readiness(&self) -> EventMask {
        if *self.set.lock().unwrap() {
            IN
        } else {
            EventMask::empty()
        }
    }

    fn wait_queue(&self) -> &WaitQueue {
        &self.queue
    }
}

fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(f);
}

/// Room for so many events, which nobody looks at.
#[derive(Clone, Copy)]
struct Room(usize);

impl Place for Room {
    fn put(self, _events: EventMask, _data: u64) -> Result<Option<Room>, Errno> {
        Ok((self.0 > 1).then(|| Room(self.0 - 1)))
    }
}

fn epoll_wait(epoll: &Epoll, thread: &Arc<Thread>) -> usize {
    epoll.wait(Room(8), || (thread, None)).unwrap()
}

/// Has an epoll watch an object under descriptor 3.
fn watch(epoll: &Arc<Epoll>, source: Arc<dyn Pollable>, events: EventMask) -> DirectArc<WatchList> {
    let watches = DirectArc::new(WatchList::new(1));
    let target = Target {
        watches: &watches,
        fd: 3,
        source,
    };
    epoll.add(target, events, 0).unwrap();
    watches
}

/// A counter, and another thread that adds 1 to it.
fn write_beside(counter: &Arc<EventFd>) -> thread::JoinHandle<()> {
    let counter = counter.clone();
    thread::spawn(move || counter.try_write(1).unwrap().unwrap())
}

/// A flag, and another thread that raises it.
fn raise_beside(flag: &Arc<Flag>, wake_first: bool) -> thread::JoinHandle<()> {
    let flag = flag.clone();
    thread::spawn(move || flag.raise(wake_first))
}

/// How an epoll watches a counter.
type Watched = fn(Arc<EventFd>) -> Arc<dyn Pollable>;

/// A counter answers at once, and is asked under the ready list's lock; most objects are asked without it.
const AT_ONCE_AND_NOT: [Watched; 2] = [|counter| counter, |counter| Arc::new(Locked(counter))];

/// A counter as an object whose answer takes locks.
struct Locked(Arc<EventFd>);

impl Pollable for Locked {
    fn readiness(&self) -> EventMask {
        self.0.readiness()
    }

    fn wait_queue(&self) -> &WaitQueue {
        self.0.wait_queue()
    }
}
