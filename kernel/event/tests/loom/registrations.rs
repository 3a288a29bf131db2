//! epoll_ctl(2) while the watched object becomes ready.

use crate::*;

/// EPOLL_CTL_ADD while the watched object becomes ready: the waiter hears of it.
fn add_versus_wake(wake_first: bool) {
    let (epoll, flag) = (Epoll::new(), Flag::new());
    let raiser = raise_beside(&flag, wake_first);
    watch(&epoll, flag, IN | ET);
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
fn modify_versus_wake(watched: Watched) {
    let (epoll, counter) = (Epoll::new(), Arc::new(EventFd::new(0, false)));
    let watches = watch(&epoll, watched(counter.clone()), OUT | ET);
    assert_eq!(epoll.harvest(Room(8)), Ok(1));
    let writer = write_beside(&counter);
    epoll.modify(&watches, 3, IN | ET, 0).unwrap();
    assert_eq!(epoll_wait(&epoll, &Thread::new(false)), 1);
    writer.join().unwrap();
}

#[test]
fn modify_and_wake() {
    for watched in AT_ONCE_AND_NOT {
        model(move || modify_versus_wake(watched));
    }
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
        let raiser = raise_beside(&flag, false);
        if !flag.readiness().contains(IN) {
            *interest.mask.lock().unwrap() = IN;
            interest.sleeper.park(None);
        }
        raiser.join().unwrap();
    });
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
    let watches = watch(&epoll, counter.clone(), IN | ET);
    let writer = write_beside(&counter);
    if last_close {
        watches.close();
    } else {
        epoll.remove(&watches, 3).unwrap();
    }
    let quiet = Arc::new(EventFd::new(0, false));
    let others = DirectArc::new(WatchList::new(2));
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
    assert_eq!(epoll.harvest(Room(8)), Ok(0));
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
        let raiser = raise_beside(&flag, false);
        slot.0.lock().unwrap().0 = 2;
        flag.queue.remove(entry);
        raiser.join().unwrap();
        assert_ne!(slot.0.lock().unwrap().1, 2, "the new owner got the old one's wake-up");
    });
}
