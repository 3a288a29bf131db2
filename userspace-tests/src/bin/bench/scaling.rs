//! Many waiters, and work on several CPUs.

use crate::readiness::{EDGE, IN, wait, wait_one};
use libsyscall::abi::event::EpollEvent;
use libsyscall::calls::event::{eventfd_read, eventfd_write};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use userspace_tests::Fd;
use userspace_tests::bench::counter;
use userspace_tests::bench::{Case, Meter};

pub const CASES: &[Case] = &[
    ("exclusive_of_8", exclusive_cost),
    ("exclusive_woken", exclusive_woken),
    ("wake_all_2", wake_all::<2>),
    ("wake_all_8", wake_all::<8>),
    ("wake_all_32", wake_all::<32>),
    ("scaling_2", scaling),
];

/// Whether a case runs without being asked for: scaling says nothing on one CPU.
pub fn by_default(name: &str) -> bool {
    name != "scaling_2" || thread::available_parallelism().is_ok_and(|cpus| cpus.get() >= 2)
}

/// Runs `drive` while `waiters` threads wait, each in an epoll of its own, for one eventfd with `events`; `woken` is what
/// each does after it woke. The eventfd is the argument of both.
fn among_waiters(waiters: usize, events: u32, woken: impl Fn(&Fd) + Sync, drive: impl FnOnce(&Fd)) {
    let event = Fd::eventfd(0, libc::EFD_NONBLOCK as u32);
    // Ready only at the end: it takes all of them out of their waits.
    let (end, ended) = (Fd::eventfd(0, 0), AtomicBool::new(false));
    let started = Barrier::new(waiters + 1);
    thread::scope(|scope| {
        for _ in 0..waiters {
            scope.spawn(|| {
                let epoll = Fd::epoll();
                epoll.add(&event, events);
                epoll.add(&end, IN);
                started.wait();
                let mut ready = [EpollEvent::default()];
                loop {
                    wait(&epoll, &mut ready, -1);
                    if ended.load(Ordering::Acquire) {
                        break;
                    }
                    woken(&event);
                }
            });
        }
        started.wait();
        drive(&event);
        ended.store(true, Ordering::Release);
        eventfd_write(end.0, 1).expect("write");
    });
}

/// One event for eight exclusive waiters at a time. Gives how many woke.
fn exclusive(waiters: usize, drive: impl FnOnce(&mut dyn FnMut())) -> u64 {
    let (taken, woken) = (Fd::eventfd(0, 0), AtomicU64::new(0));
    let take = |event: &Fd| {
        woken.fetch_add(1, Ordering::Relaxed);
        // Whoever woke for nothing finds it empty.
        if eventfd_read(event.0).is_ok() {
            eventfd_write(taken.0, 1).expect("write");
        }
    };
    among_waiters(waiters, IN | libc::EPOLLEXCLUSIVE as u32, take, |event| {
        drive(&mut || {
            eventfd_write(event.0, 1).expect("write");
            eventfd_read(taken.0).expect("read");
        });
    });
    woken.into_inner()
}

fn exclusive_cost(meter: &mut Meter) {
    exclusive(8, |one| meter.measure(200, one));
}

/// How many of eight exclusive waiters wake for an event.
fn exclusive_woken(meter: &mut Meter) {
    const EVENTS: u32 = 1000;
    let woken = exclusive(8, |one| (0..EVENTS).for_each(|_| one()));
    meter.figure(woken as f64 / f64::from(EVENTS), "woken");
}

/// An edge that wakes all of `N` waiters: the cost of each.
fn wake_all<const N: usize>(meter: &mut Meter) {
    let (all_woke, left) = (Fd::eventfd(0, 0), AtomicU64::new(0));
    let count = |_: &Fd| {
        if left.fetch_sub(1, Ordering::AcqRel) == 1 {
            eventfd_write(all_woke.0, 1).expect("write");
        }
    };
    among_waiters(N, IN | EDGE, count, |event| {
        meter.measure_each(100, N as u32, || {
            left.store(N as u64, Ordering::Release);
            eventfd_write(event.0, 1).expect("write");
            eventfd_read(all_woke.0).expect("read");
        });
    });
}

/// How much more than one thread two threads do, each with an eventfd and an epoll of its own.
fn scaling(meter: &mut Meter) {
    const ROUNDS: usize = 20;
    let best = |threads| (0..ROUNDS).map(|_| independent(threads)).min().unwrap_or(u64::MAX);
    // Whatever the computer does beside is in both or in neither when they take turns.
    let (one, two) = (0..3).fold((u64::MAX, u64::MAX), |(one, two), _| {
        (one.min(best(1)), two.min(best(2)))
    });
    meter.figure(2.0 * one as f64 / two as f64, "times");
}

/// The time in which each of `threads` does the same amount of work: from the first one's start to the last one's end, by
/// their own clocks, for whoever watched them might be kept from its CPU meanwhile.
fn independent(threads: usize) -> u64 {
    const OPERATIONS: usize = 2000;
    let barrier = Barrier::new(threads);
    let run = || {
        let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
        epoll.add(&event, IN);
        let work = || {
            eventfd_write(event.0, 1).expect("write");
            wait_one(&epoll, 0);
            eventfd_read(event.0).expect("read");
        };
        (0..100).for_each(|_| work());
        barrier.wait();
        let start = counter::read();
        (0..OPERATIONS).for_each(|_| work());
        (start, counter::read())
    };
    let times: Vec<(u64, u64)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("thread"))
            .collect()
    });
    let start = times.iter().map(|&(start, _)| start).min().unwrap_or(0);
    let end = times.iter().map(|&(_, end)| end).max().unwrap_or(u64::MAX);
    end - start
}
