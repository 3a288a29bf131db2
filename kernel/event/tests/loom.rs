//! The races of the readiness core, each tried in every order (`RUSTFLAGS="--cfg loom" cargo test -p event --release`).
//!
//! A lost wake-up is a deadlock here, and loom reports those. Each race has a twin with a planted bug, which the model
//! must catch: a model that can't fail proves nothing.
#![cfg(loom)]

use event::epoll::Target;
use event::{Epoll, EventFd, EventMask, Pollable, Sleeper, Unparked, WaitQueue, Waiter, WatchList, Woken, block_on};
use loom::sync::{Condvar, Mutex};
use loom::thread;
use std::sync::Arc;

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

fn epoll_wait(epoll: &Epoll, thread: &Arc<Thread>) -> usize {
    epoll.wait(8, &mut |_, _| Ok(()), thread, || None).unwrap()
}

/// One thread waits for a flag that another raises.
fn wait_versus_wake(wake_first: bool) {
    let flag = Flag::new();
    let raiser = {
        let flag = flag.clone();
        thread::spawn(move || flag.raise(wake_first))
    };
    let ready = || flag.readiness().contains(IN).then_some(());
    assert_eq!(block_on(&flag.queue, IN, &Thread::new(false), None, ready), Ok(()));
    raiser.join().unwrap();
}

#[test]
fn wait_and_wake() {
    model(|| wait_versus_wake(false));
}

#[test]
#[should_panic(expected = "deadlock")]
fn wait_and_wake_planted_wakes_before_the_change() {
    model(|| wait_versus_wake(true));
}

/// Asks, registers, sleeps, without asking again in between: what `block_on` must not do.
#[test]
#[should_panic(expected = "deadlock")]
fn wait_and_wake_planted_asks_before_it_registers() {
    model(|| {
        let flag = Flag::new();
        let raiser = {
            let flag = flag.clone();
            thread::spawn(move || flag.raise(false))
        };
        let sleeper = Thread::new(false);
        if !flag.readiness().contains(IN) {
            let entry = flag.queue.add(sleeper.clone(), 0, IN).unwrap();
            sleeper.park(None);
            flag.queue.remove(entry);
        }
        raiser.join().unwrap();
    });
}

/// EPOLL_CTL_ADD while the watched object becomes ready: the waiter hears of it.
fn add_versus_wake(wake_first: bool) {
    let (epoll, flag) = (Epoll::new(), Flag::new());
    let raiser = {
        let flag = flag.clone();
        thread::spawn(move || flag.raise(wake_first))
    };
    let watches = Arc::new(WatchList::new(1));
    epoll
        .add(
            Target {
                watches: &watches,
                fd: 3,
                source: flag,
            },
            IN | ET,
            0,
        )
        .unwrap();
    assert_eq!(epoll_wait(&epoll, &Thread::new(false)), 1);
    raiser.join().unwrap();
}

#[test]
fn add_and_wake() {
    model(|| add_versus_wake(false));
}

#[test]
#[should_panic(expected = "deadlock")]
fn add_and_wake_planted_wakes_before_the_change() {
    model(|| add_versus_wake(true));
}

/// EPOLL_CTL_MOD while the watched object becomes ready: the interest is one the wake-up passes by until it is changed.
#[test]
fn modify_and_wake() {
    model(|| {
        let (epoll, counter) = (Epoll::new(), Arc::new(EventFd::new(0, false)));
        let watches = Arc::new(WatchList::new(1));
        let target = Target {
            watches: &watches,
            fd: 3,
            source: counter.clone(),
        };
        epoll.add(target, OUT | ET, 0).unwrap();
        assert_eq!(epoll.harvest(8, &mut |_, _| Ok(())), Ok(1));
        let writer = {
            let counter = counter.clone();
            thread::spawn(move || counter.try_write(1).unwrap().unwrap())
        };
        epoll.modify(&watches, 3, IN | ET, 0).unwrap();
        assert_eq!(epoll_wait(&epoll, &Thread::new(false)), 1);
        writer.join().unwrap();
    });
}

/// A change that asks the object first and sets the mask that wake-ups are compared with afterwards.
#[test]
#[should_panic(expected = "deadlock")]
fn modify_and_wake_planted_asks_before_it_changes() {
    model(|| {
        let flag = Flag::new();
        let interest = Arc::new(Interest {
            mask: Mutex::new(OUT),
            sleeper: Thread::new(false),
        });
        flag.queue.add(interest.clone(), 0, IN | OUT).unwrap();
        let raiser = {
            let flag = flag.clone();
            thread::spawn(move || flag.raise(false))
        };
        if !flag.readiness().contains(IN) {
            *interest.mask.lock().unwrap() = IN;
            interest.sleeper.park(None);
        }
        raiser.join().unwrap();
    });
}

/// A level-triggered interest that is on the ready list and has nothing to report, at the moment its object becomes ready:
/// the wake-up finds it there, and the harvest is about to take it off.
#[test]
fn stale_and_wake() {
    model(|| {
        let (epoll, counter) = (Epoll::new(), Arc::new(EventFd::new(1, false)));
        let watches = Arc::new(WatchList::new(1));
        let target = Target {
            watches: &watches,
            fd: 3,
            source: counter.clone(),
        };
        epoll.add(target, IN, 0).unwrap();
        assert_eq!(counter.try_read(), Some(1));
        let writer = {
            let counter = counter.clone();
            thread::spawn(move || counter.try_write(1).unwrap().unwrap())
        };
        assert_eq!(epoll_wait(&epoll, &Thread::new(false)), 1);
        writer.join().unwrap();
    });
}

/// A list of one interest that takes it off although a wake-up met it there.
#[test]
#[should_panic(expected = "deadlock")]
fn stale_and_wake_planted_passes_over_the_wake_up() {
    model(|| {
        let flag = Flag::new();
        let interest = Arc::new(Listed {
            listed: Mutex::new(true),
            sleeper: Thread::new(false),
        });
        flag.queue.add(interest.clone(), 0, IN).unwrap();
        let raiser = {
            let flag = flag.clone();
            thread::spawn(move || flag.raise(false))
        };
        if !flag.readiness().contains(IN) {
            *interest.listed.lock().unwrap() = false;
            interest.sleeper.park(None);
        }
        raiser.join().unwrap();
    });
}

/// Tells its sleeper of wake-ups that find it off the list.
struct Listed {
    listed: Mutex<bool>,
    sleeper: Arc<Thread>,
}

impl Waiter for Listed {
    fn wake(&self, token: u32, events: EventMask) -> Woken {
        if std::mem::replace(&mut *self.listed.lock().unwrap(), true) {
            return Woken::No;
        }
        self.sleeper.wake(token, events)
    }
}

/// Passes on the wake-ups that its mask has at the time.
struct Interest {
    mask: Mutex<EventMask>,
    sleeper: Arc<Thread>,
}

impl Waiter for Interest {
    fn wake(&self, token: u32, events: EventMask) -> Woken {
        if self.mask.lock().unwrap().intersects(events) {
            return self.sleeper.wake(token, events);
        }
        Woken::No
    }
}

/// A removal (EPOLL_CTL_DEL, or the description's last reference) while the object wakes: nothing is left of the
/// registration, and its number can be another's at once.
fn removal_versus_wake(last_close: bool) {
    let (epoll, counter) = (Epoll::new(), Arc::new(EventFd::new(0, false)));
    let watches = Arc::new(WatchList::new(1));
    epoll
        .add(
            Target {
                watches: &watches,
                fd: 3,
                source: counter.clone(),
            },
            IN | ET,
            0,
        )
        .unwrap();
    let writer = {
        let counter = counter.clone();
        thread::spawn(move || counter.try_write(1).unwrap().unwrap())
    };
    if last_close {
        watches.close();
    } else {
        epoll.remove(&watches, 3).unwrap();
    }
    let quiet = Arc::new(EventFd::new(0, false));
    let others = Arc::new(WatchList::new(2));
    epoll
        .add(
            Target {
                watches: &others,
                fd: 3,
                source: quiet,
            },
            IN | ET,
            7,
        )
        .unwrap();
    writer.join().unwrap();
    assert!(counter.wait_queue().is_empty());
    assert_eq!(epoll.harvest(8, &mut |_, _| Ok(())), Ok(0));
    assert!(!epoll.has_ready(), "the new registration got the old one's wake-up");
}

#[test]
fn delete_and_wake() {
    model(|| removal_versus_wake(false));
}

#[test]
fn last_close_and_wake() {
    model(|| removal_versus_wake(true));
}

/// A removal that gives the number to another before it has left the source's queue.
#[test]
#[should_panic(expected = "the new owner got the old one's wake-up")]
fn removal_and_wake_planted_number_reused_before_leaving_the_queue() {
    struct Slot(Mutex<(u32, u32)>);
    impl Waiter for Slot {
        fn wake(&self, _token: u32, _events: EventMask) -> Woken {
            let mut slot = self.0.lock().unwrap();
            slot.1 = slot.0;
            Woken::Yes
        }
    }
    model(|| {
        let flag = Flag::new();
        // (owner of the slot, owner that was woken)
        let slot = Arc::new(Slot(Mutex::new((1, 0))));
        let entry = flag.queue.add(slot.clone(), 0, IN).unwrap();
        let raiser = {
            let flag = flag.clone();
            thread::spawn(move || flag.raise(false))
        };
        slot.0.lock().unwrap().0 = 2;
        flag.queue.remove(entry);
        raiser.join().unwrap();
        assert_ne!(slot.0.lock().unwrap().1, 2, "the new owner got the old one's wake-up");
    });
}

/// Edges that arrive while a harvest runs: all that was written is read by a reader that reads only when told.
fn harvest_versus_wake(clear_after_asking: bool) {
    let (epoll, counter) = (Epoll::new(), Arc::new(EventFd::new(1, false)));
    let watches = Arc::new(WatchList::new(1));
    let source: Arc<dyn Pollable> = if clear_after_asking {
        Arc::new(Forgetful(counter.clone()))
    } else {
        counter.clone()
    };
    epoll
        .add(
            Target {
                watches: &watches,
                fd: 3,
                source,
            },
            IN | ET,
            0,
        )
        .unwrap();
    let writer = {
        let counter = counter.clone();
        thread::spawn(move || counter.try_write(1).unwrap().unwrap())
    };
    let sleeper = Thread::new(false);
    let mut total = 0;
    while total < 2 {
        assert_eq!(epoll_wait(&epoll, &sleeper), 1);
        total += counter.try_read().unwrap_or(0);
    }
    writer.join().unwrap();
}

/// A source that takes back the wake-up of whoever asks it: as if the harvest took the interest off the list only after
/// asking.
struct Forgetful(Arc<EventFd>);

impl Pollable for Forgetful {
    fn readiness(&self) -> EventMask {
        let before = self.0.count();
        loom::thread::yield_now();
        if before > 1 {
            EventMask::empty()
        } else {
            self.0.readiness()
        }
    }

    fn wait_queue(&self) -> &WaitQueue {
        self.0.wait_queue()
    }
}

#[test]
fn harvest_and_wake() {
    model(|| harvest_versus_wake(false));
}

#[test]
#[should_panic]
fn harvest_and_wake_planted_forgets_an_edge() {
    model(|| harvest_versus_wake(true));
}

/// One of two waiters gives up at the instant it is chosen: it takes the event, or the other gets it.
#[test]
fn timeout_and_wake() {
    model(|| {
        let (epoll, counter) = (Epoll::new(), Arc::new(EventFd::new(0, false)));
        let watches = Arc::new(WatchList::new(1));
        epoll
            .add(
                Target {
                    watches: &watches,
                    fd: 3,
                    source: counter.clone(),
                },
                IN | ET,
                0,
            )
            .unwrap();
        let patient = {
            let epoll = epoll.clone();
            thread::spawn(move || epoll_wait(&epoll, &Thread::new(false)))
        };
        let writer = {
            let counter = counter.clone();
            thread::spawn(move || counter.try_write(1).unwrap().unwrap())
        };
        if epoll_wait(&epoll, &Thread::new(true)) == 1 {
            // It took the event; the other is owed one.
            counter.try_write(1).unwrap().unwrap();
        }
        assert_eq!(patient.join().unwrap(), 1);
        writer.join().unwrap();
    });
}

/// A waiter that leaves without a last attempt: the event is lost with it.
#[test]
#[should_panic(expected = "deadlock")]
fn timeout_and_wake_planted_no_last_attempt() {
    model(|| {
        let counter = Arc::new(EventFd::new(0, true));
        let exclusive = IN | EventMask::EXCLUSIVE;
        let patient = {
            let counter = counter.clone();
            thread::spawn(move || {
                let attempt = || counter.try_read();
                block_on(counter.wait_queue(), exclusive, &Thread::new(false), None, attempt).unwrap()
            })
        };
        let writer = {
            let counter = counter.clone();
            thread::spawn(move || counter.try_write(1).unwrap().unwrap())
        };
        let sleeper = Thread::new(true);
        let entry = counter.wait_queue().add(sleeper.clone(), 0, exclusive).unwrap();
        sleeper.park(Some(1));
        counter.wait_queue().remove(entry);
        assert_eq!(patient.join().unwrap(), 1);
        writer.join().unwrap();
    });
}

/// Two exclusive waiters and two events: one that is chosen again while it leaves with the first event passes that on.
fn two_exclusive(take: impl Fn(&EventFd) + Copy + Send + Sync + 'static) {
    model(move || {
        let counter = Arc::new(EventFd::new(0, true));
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let counter = counter.clone();
                thread::spawn(move || take(&counter))
            })
            .collect();
        for _ in 0..2 {
            counter.try_write(1).unwrap().unwrap();
        }
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
}

#[test]
fn leaving_and_wake() {
    two_exclusive(|counter| {
        let exclusive = IN | EventMask::EXCLUSIVE;
        let attempt = || counter.try_read();
        block_on(counter.wait_queue(), exclusive, &Thread::new(false), None, attempt).unwrap();
    });
}

/// A waiter that leaves with an event and forgets that it was told of another.
#[test]
#[should_panic(expected = "deadlock")]
fn leaving_and_wake_planted_passes_nothing_on() {
    two_exclusive(|counter| {
        let sleeper = Thread::new(false);
        let exclusive = IN | EventMask::EXCLUSIVE;
        let entry = counter.wait_queue().add(sleeper.clone(), 0, exclusive).unwrap();
        while counter.try_read().is_none() {
            sleeper.park(None);
        }
        counter.wait_queue().remove(entry);
    });
}

/// One thread polls an epoll, which takes its only interest off the ready list for a moment; another waits on it.
#[test]
fn readiness_and_wait() {
    model(|| {
        let (epoll, counter) = (Epoll::new(), Arc::new(EventFd::new(1, false)));
        let watches = Arc::new(WatchList::new(1));
        let target = Target {
            watches: &watches,
            fd: 3,
            source: counter,
        };
        epoll.add(target, IN, 0).unwrap();
        let asker = {
            let epoll = epoll.clone();
            thread::spawn(move || assert!(epoll.readiness().contains(IN)))
        };
        assert_eq!(epoll_wait(&epoll, &Thread::new(false)), 1);
        asker.join().unwrap();
    });
}

/// A list whose scan hides what it has in hand.
#[test]
#[should_panic(expected = "deadlock")]
fn readiness_and_wait_planted_an_interest_in_hand_does_not_count() {
    model(|| {
        let (list, queue) = (Arc::new(Mutex::new(vec![3])), Arc::new(WaitQueue::new()));
        let asker = {
            let list = list.clone();
            thread::spawn(move || {
                let in_hand = list.lock().unwrap().pop();
                list.lock().unwrap().extend(in_hand);
            })
        };
        let listed = || (!list.lock().unwrap().is_empty()).then_some(());
        assert_eq!(block_on(&queue, IN, &Thread::new(false), None, listed), Ok(()));
        asker.join().unwrap();
    });
}
