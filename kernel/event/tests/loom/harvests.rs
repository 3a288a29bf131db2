//! A ready list in use while the objects behind it change.

use crate::*;

/// Edges that arrive while a harvest runs: all that was written is read by a reader that reads only when told.
fn harvest_versus_wake(watched: Watched) {
    let (epoll, counter) = (Epoll::new(), Arc::new(EventFd::new(1, false)));
    watch(&epoll, watched(counter.clone()), IN | ET);
    let writer = write_beside(&counter);
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
    for watched in AT_ONCE_AND_NOT {
        model(move || harvest_versus_wake(watched));
    }
}

#[test]
#[should_panic]
fn harvest_and_wake_planted_forgets_an_edge() {
    model(|| harvest_versus_wake(|counter| Arc::new(Forgetful(counter))));
}

/// A level-triggered interest that is on the ready list and has nothing to report, at the moment its object becomes ready:
/// the wake-up finds it there, and the harvest is about to take it off.
fn stale_versus_wake(watched: Watched) {
    let (epoll, counter) = (Epoll::new(), Arc::new(EventFd::new(1, false)));
    watch(&epoll, watched(counter.clone()), IN);
    assert_eq!(counter.try_read(), Some(1));
    let writer = write_beside(&counter);
    assert_eq!(epoll_wait(&epoll, &Thread::new(false)), 1);
    writer.join().unwrap();
}

#[test]
fn stale_and_wake() {
    for watched in AT_ONCE_AND_NOT {
        model(move || stale_versus_wake(watched));
    }
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
        let raiser = raise_beside(&flag, false);
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

/// One thread polls an epoll, which takes its only interest off the ready list for a moment; another waits on it.
fn readiness_versus_wait(watched: Watched) {
    let epoll = Epoll::new();
    watch(&epoll, watched(Arc::new(EventFd::new(1, false))), IN);
    let asker = {
        let epoll = epoll.clone();
        thread::spawn(move || assert!(epoll.readiness().contains(IN)))
    };
    assert_eq!(epoll_wait(&epoll, &Thread::new(false)), 1);
    asker.join().unwrap();
}

#[test]
fn readiness_and_wait() {
    for watched in AT_ONCE_AND_NOT {
        model(move || readiness_versus_wait(watched));
    }
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
