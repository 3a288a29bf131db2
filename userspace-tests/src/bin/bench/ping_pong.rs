//! Two threads, or processes, that wait for each other: an operation is a round trip.

use crate::readiness::{IN, wait_one};
use libsyscall::abi::process::{FUTEX_PRIVATE_FLAG, FUTEX_WAIT, FUTEX_WAKE};
use libsyscall::abi::{Errno, nr};
use libsyscall::calls::event::{eventfd_read, eventfd_write};
use libsyscall::calls::raw;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use userspace_tests::bench::{Case, Meter};
use userspace_tests::{Fd, Status, child};

pub const CASES: &[Case] = &[
    ("ping_pong_eventfd_epoll", eventfd_epoll),
    ("ping_pong_futex", futex),
    ("ping_pong_pipe", pipe),
    ("ping_pong_unix_epoll", unix),
];

const BATCH: u32 = 500;

/// Each side has an epoll of its own that watches its eventfd.
fn eventfd_epoll(meter: &mut Meter) {
    /// What the other side is told at the end.
    const LAST: u64 = 1000;
    let (ping, pong) = (Fd::eventfd(0, 0), Fd::eventfd(0, 0));
    let watch = |event: &Fd| {
        let epoll = Fd::epoll();
        epoll.add(event, IN);
        epoll
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            let epoll = watch(&ping);
            loop {
                wait_one(&epoll, -1);
                if eventfd_read(ping.0) == Ok(LAST) {
                    break;
                }
                eventfd_write(pong.0, 1).expect("write");
            }
        });
        let epoll = watch(&pong);
        meter.measure(BATCH, || {
            eventfd_write(ping.0, 1).expect("write");
            wait_one(&epoll, -1);
            eventfd_read(pong.0).expect("read");
        });
        eventfd_write(ping.0, LAST).expect("write");
    });
}

/// Sleeps while `word` is `value`; gives what it is then.
fn futex_wait(word: &AtomicU32, value: u32) -> u32 {
    loop {
        let seen = word.load(Ordering::Acquire);
        if seen != value {
            return seen;
        }
        let arguments = [
            word.as_ptr() as usize,
            (FUTEX_WAIT | FUTEX_PRIVATE_FLAG) as usize,
            value as usize,
            0,
        ];
        // SAFETY: the kernel reads the word.
        match unsafe { raw(nr::FUTEX, arguments) } {
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(errno) => panic!("futex: {errno:?}"),
        }
    }
}

fn futex_set(word: &AtomicU32, value: u32) {
    word.store(value, Ordering::Release);
    let arguments = [word.as_ptr() as usize, (FUTEX_WAKE | FUTEX_PRIVATE_FLAG) as usize, 1];
    // SAFETY: the kernel looks for sleepers at the word.
    unsafe { raw(nr::FUTEX, arguments) }.expect("futex");
}

fn futex(meter: &mut Meter) {
    const QUIET: u32 = 0;
    const TURN: u32 = 1;
    const LAST: u32 = 2;
    let (ping, pong) = (AtomicU32::new(QUIET), AtomicU32::new(QUIET));
    thread::scope(|scope| {
        scope.spawn(|| {
            while futex_wait(&ping, QUIET) != LAST {
                ping.store(QUIET, Ordering::Relaxed);
                futex_set(&pong, TURN);
            }
        });
        meter.measure(BATCH, || {
            futex_set(&ping, TURN);
            futex_wait(&pong, QUIET);
            pong.store(QUIET, Ordering::Relaxed);
        });
        futex_set(&ping, LAST);
    });
}

/// Bytes through two pipes between two processes, by read(2) that waits.
fn pipe(meter: &mut Meter) {
    let (ping_read, ping_write) = Fd::blocking_pipe();
    let (pong_read, pong_write) = Fd::blocking_pipe();
    let mut byte = [0];
    let other = child(|| {
        // Its copy of the end it does not use would keep it from seeing the end.
        libsyscall::calls::file::close(ping_write.0).expect("close");
        let mut byte = [0];
        while ping_read.read(&mut byte) == Ok(1) {
            pong_write.write(&byte).expect("write");
        }
        0
    });
    meter.measure(BATCH, || {
        ping_write.write(&[1]).expect("write");
        pong_read.read(&mut byte).expect("read");
    });
    drop(ping_write);
    assert_eq!(other.wait(), Status::Exited(0));
}

fn unix(meter: &mut Meter) {
    let (near, far) = Fd::socket_pair();
    stream_epoll(meter, near, far);
}

/// A byte there and back over two connected sockets that do not block, each watched by its side's epoll.
pub fn stream_epoll(meter: &mut Meter, near: Fd, far: Fd) {
    thread::scope(|scope| {
        scope.spawn(move || {
            let epoll = Fd::epoll();
            epoll.add(&far, IN);
            let mut byte = [0];
            loop {
                wait_one(&epoll, -1);
                if far.read(&mut byte) == Ok(0) {
                    break;
                }
                far.write(&byte).expect("write");
            }
        });
        let epoll = Fd::epoll();
        epoll.add(&near, IN);
        let mut byte = [0];
        meter.measure(BATCH, || {
            near.write(&[1]).expect("write");
            wait_one(&epoll, -1);
            near.read(&mut byte).expect("read");
        });
        drop(near);
    });
}
