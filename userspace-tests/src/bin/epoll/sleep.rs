//! Time-outs, and who is woken.

use super::SETTLE;
use libsyscall::abi::event::*;
use libsyscall::calls::event;
use std::thread;
use std::time::{Duration, Instant};
use userspace_tests::{Fd, Status, child};

/// Semantics 52.
pub fn timeout_zero() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    epoll.add(&event, EPOLLIN);
    let start = Instant::now();
    for _ in 0..100 {
        assert_eq!(epoll.wait(0, 1), Ok(vec![]));
    }
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

/// Semantics 53.
pub fn timeout_not_early() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    epoll.add(&event, EPOLLIN);
    for timeout_ms in [1, 2, 10, 33] {
        let start = Instant::now();
        assert_eq!(epoll.wait(timeout_ms, 1), Ok(vec![]));
        let took = start.elapsed();
        assert!(
            took >= Duration::from_millis(timeout_ms as u64),
            "{timeout_ms} ms took {took:?}"
        );
        assert!(took < Duration::from_secs(10), "{timeout_ms} ms took {took:?}");
    }
}

/// Semantics 54.
pub fn empty_set_times_out() {
    let start = Instant::now();
    assert_eq!(Fd::epoll().wait(20, 1), Ok(vec![]));
    assert!(start.elapsed() >= Duration::from_millis(20));
}

/// A thread that waits for one event for at most two seconds.
fn waiter(epoll: &Fd) -> thread::JoinHandle<usize> {
    let epfd = epoll.0;
    thread::spawn(move || {
        let mut events = [EpollEvent::default()];
        event::epoll_wait(epfd, &mut events, 2000).expect("epoll_wait")
    })
}

pub fn wakes_a_waiter() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    epoll.add(&event, EPOLLIN);
    let waiter = waiter(&epoll);
    thread::sleep(SETTLE);
    event::eventfd_write(event.0, 1).expect("write");
    assert_eq!(waiter.join().expect("thread"), 1);
}

/// Semantics 66.
pub fn add_wakes_a_waiter() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(1, 0));
    let waiter = waiter(&epoll);
    thread::sleep(SETTLE);
    epoll.add(&event, EPOLLIN);
    assert_eq!(waiter.join().expect("thread"), 1);
}

/// Semantics 66.
pub fn modify_wakes_a_waiter() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(1, 0));
    epoll.add(&event, 0);
    let waiter = waiter(&epoll);
    thread::sleep(SETTLE);
    epoll.modify(&event, EPOLLIN);
    assert_eq!(waiter.join().expect("thread"), 1);
}

/// Semantics 86.
pub fn level_wakes_all_waiters() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    epoll.add(&event, EPOLLIN);
    let waiters = [waiter(&epoll), waiter(&epoll)];
    thread::sleep(SETTLE);
    event::eventfd_write(event.0, 1).expect("write");
    assert_eq!(waiters.map(|waiter| waiter.join().expect("thread")), [1, 1]);
}

/// Semantics 87.
pub fn edge_wakes_one_waiter() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    epoll.add(&event, EPOLLIN | EPOLLET);
    let waiters = [waiter(&epoll), waiter(&epoll)];
    thread::sleep(SETTLE);
    event::eventfd_write(event.0, 1).expect("write");
    assert_eq!(
        waiters
            .map(|waiter| waiter.join().expect("thread"))
            .iter()
            .sum::<usize>(),
        1
    );
}

/// Semantics 90.
pub fn many_epolls_of_one_file() {
    let event = Fd::eventfd(0, 0);
    let epolls: Vec<_> = (0..8).map(|_| Fd::epoll()).collect();
    epolls.iter().for_each(|epoll| epoll.add(&event, EPOLLIN | EPOLLET));
    let waiters: Vec<_> = epolls.iter().map(waiter).collect();
    thread::sleep(SETTLE);
    event::eventfd_write(event.0, 1).expect("write");
    let woken: usize = waiters.into_iter().map(|waiter| waiter.join().expect("thread")).sum();
    assert_eq!(woken, 8);
}

/// Semantics 91: children, as each round wakes exactly one more of them.
pub fn exclusive_wakes_one() {
    const WAITERS: usize = 4;
    let event = Fd::eventfd(0, 0);
    let (read, write) = Fd::pipe();
    let children: Vec<_> = (0..WAITERS)
        .map(|_| {
            child(|| {
                let epoll = Fd::epoll();
                epoll.add(&event, EPOLLIN | EPOLLET | EPOLLEXCLUSIVE);
                let woken = epoll.wait(5000, 1).is_ok_and(|events| events.len() == 1);
                i32::from(!woken || write.write(b"x") != Ok(1))
            })
        })
        .collect();
    thread::sleep(4 * SETTLE);
    for _ in 0..WAITERS {
        event::eventfd_write(event.0, 1).expect("write");
        thread::sleep(2 * SETTLE);
        let mut woken = [0; WAITERS];
        assert_eq!(read.read(&mut woken), Ok(1));
    }
    for child in children {
        assert_eq!(child.wait(), Status::Exited(0));
    }
}

/// Semantics 99.
pub fn delete_while_waiting() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    epoll.add(&event, EPOLLIN);
    let epfd = epoll.0;
    let waiter = thread::spawn(move || {
        let start = Instant::now();
        let mut events = [EpollEvent::default()];
        (event::epoll_wait(epfd, &mut events, 200), start.elapsed())
    });
    thread::sleep(SETTLE);
    epoll.delete(&event);
    event::eventfd_write(event.0, 1).expect("write");
    let (result, took) = waiter.join().expect("thread");
    assert_eq!(result, Ok(0));
    assert!(took >= Duration::from_millis(200), "{took:?}");
}

/// Semantics 96, smaller: every waiter of one epoll gets one of as many edges.
pub fn threads_and_edges() {
    const THREADS: usize = 4;
    for _ in 0..20 {
        let epoll = Fd::epoll();
        let files: Vec<_> = (0..THREADS).map(|_| Fd::eventfd(0, 0)).collect();
        files.iter().for_each(|file| epoll.add(file, EPOLLIN | EPOLLET));
        let waiters: Vec<_> = (0..THREADS).map(|_| waiter(&epoll)).collect();
        files
            .iter()
            .for_each(|file| event::eventfd_write(file.0, 1).expect("write"));
        assert!(waiters.into_iter().all(|waiter| waiter.join().expect("thread") == 1));
    }
}

/// Semantics 83, 84, smaller: re-arming races with wake-ups and none is lost. The next event is sent as soon as the last one
/// is taken, beside the MOD that it needs.
pub fn one_shot_race() {
    const ROUNDS: u32 = 1000;
    let (epoll, event, taken) = (Fd::epoll(), Fd::eventfd(0, EFD_NONBLOCK), Fd::eventfd(0, 0));
    epoll.add(&event, EPOLLIN | EPOLLONESHOT | EPOLLET);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..ROUNDS {
                assert_eq!(epoll.wait(-1, 1).map(|events| events.len()), Ok(1));
                assert_eq!(event::eventfd_read(event.0), Ok(1));
                event::eventfd_write(taken.0, 1).expect("write");
                epoll.modify(&event, EPOLLIN | EPOLLONESHOT | EPOLLET);
            }
        });
        for _ in 0..ROUNDS {
            event::eventfd_write(event.0, 1).expect("write");
            assert_eq!(event::eventfd_read(taken.0), Ok(1));
        }
    });
}
