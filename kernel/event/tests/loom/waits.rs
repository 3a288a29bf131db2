//! A waiter and a waker: none is lost, whoever comes first and whoever leaves.

use crate::*;

/// One thread waits for a flag that another raises.
fn wait_versus_wake(wake_first: bool) {
    let flag = Flag::new();
    let raiser = raise_beside(&flag, wake_first);
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
        let raiser = raise_beside(&flag, false);
        let sleeper = Thread::new(false);
        if !flag.readiness().contains(IN) {
            let entry = flag.queue.add(sleeper.clone(), 0, IN).unwrap();
            sleeper.park(None);
            flag.queue.remove(entry);
        }
        raiser.join().unwrap();
    });
}

/// One of two waiters gives up at the instant it is chosen: it takes the event, or the other gets it.
#[test]
fn timeout_and_wake() {
    model(|| {
        let (epoll, counter) = (Epoll::new(), Arc::new(EventFd::new(0, false)));
        watch(&epoll, counter.clone(), IN | ET);
        let patient = {
            let epoll = epoll.clone();
            thread::spawn(move || epoll_wait(&epoll, &Thread::new(false)))
        };
        let writer = write_beside(&counter);
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
        let writer = write_beside(&counter);
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
