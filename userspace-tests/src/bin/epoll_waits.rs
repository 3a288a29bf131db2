//! epoll_wait(2) and its kind: how long they wait, what ends them, and who comes back with what.

use libsyscall::abi::Errno;
use libsyscall::abi::event::*;
use libsyscall::calls::event::{self, Timespec, eventfd_read, eventfd_write};
use libsyscall::calls::file;
use std::mem;
use std::process::ExitCode;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use userspace_tests::{Fd, Status, checked, child, tests};

/// Long enough for another thread to have gone to sleep.
const SETTLE: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    userspace_tests::run(tests![
        tiny_timeouts,
        ready_at_once,
        woken_for_nothing,
        closed_while_waiting,
        target_closed_while_waiting,
        killed_while_waiting,
        mask_is_atomic,
        two_levels,
        two_edges,
        nested_waiters,
        inner_and_outer_waiters,
        two_inner_epolls,
        ten_threads_ten_edges,
        modify_beside_wake_ups,
        pipe_read_outlives_its_descriptor,
    ])
}

type Events = Result<Vec<(u64, u32)>, Errno>;

/// A thread that waits without limit, and is asleep by now.
fn waiter(epoll: &Fd, room: usize) -> JoinHandle<Events> {
    // By number: the descriptor stays the test's to close.
    let epfd = epoll.0;
    asleep(move || mem::ManuallyDrop::new(Fd(epfd)).wait(-1, room))
}

/// A thread in a call that sleeps, and is asleep by now.
fn asleep<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let (tell, told) = mpsc::channel();
    let sleeper = thread::spawn(move || {
        // SAFETY: takes nothing.
        tell.send(unsafe { libc::gettid() }).expect("a listener");
        call()
    });
    let tid = told.recv().expect("a number");
    while state(tid) != Some('S') {
        thread::yield_now();
    }
    thread::sleep(Duration::from_millis(5));
    sleeper
}

/// A thread's state as /proc shows it (semantics 110).
fn state(tid: i32) -> Option<char> {
    let text = std::fs::read_to_string(format!("/proc/self/task/{tid}/stat")).expect("read");
    let after = text.rfind(") ").expect("a name");
    text[after + 2..].chars().next()
}

fn count(waiter: JoinHandle<Events>) -> usize {
    waiter.join().expect("thread").expect("epoll_wait").len()
}

/// Semantics 57.
fn tiny_timeouts() {
    let (epoll, (read, _write), event) = (Fd::epoll(), Fd::pipe(), Fd::eventfd(0, 0));
    epoll.add(&read, EPOLLIN);
    epoll.add(&event, EPOLLIN);
    let mut nanoseconds = 100_000_000;
    loop {
        let start = Instant::now();
        let timeout = Timespec {
            seconds: 0,
            nanoseconds,
        };
        let result = event::epoll_pwait2(epoll.0, &mut [EpollEvent::default()], Some(&timeout), None);
        assert_eq!(result, Ok(0));
        assert!(start.elapsed() >= Duration::from_nanos(nanoseconds as u64));
        if nanoseconds == 0 {
            return;
        }
        nanoseconds /= 10;
    }
}

/// Semantics 58.
fn ready_at_once() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(1, 0));
    epoll.add(&event, EPOLLIN);
    for timeout_ms in [-1, i32::MIN, 0, i32::MAX] {
        assert_eq!(epoll.wait(timeout_ms, 1), Ok(vec![(event.0 as u64, EPOLLIN)]));
    }
    for timeout in [
        None,
        Some(Timespec {
            seconds: i64::MAX,
            nanoseconds: 0,
        }),
    ] {
        let result = event::epoll_pwait2(epoll.0, &mut [EpollEvent::default()], timeout.as_ref(), None);
        assert_eq!(result, Ok(1));
    }
}

/// Semantics 67, 68, 72: a wake-up without an event is none; the rest of the time goes on.
fn woken_for_nothing() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, EFD_NONBLOCK));
    epoll.add(&event, EPOLLIN);
    let start = Instant::now();
    let waiter = {
        let epoll = epoll.dup();
        thread::spawn(move || (epoll.wait(200, 1), start.elapsed()))
    };
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(20));
        eventfd_write(event.0, 0).expect("write");
    }
    let (result, took) = waiter.join().expect("thread");
    assert_eq!(result, Ok(vec![]));
    assert!(took >= Duration::from_millis(200), "{took:?}");
}

/// Semantics 100: the call holds on to what it waits on.
fn closed_while_waiting() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    epoll.add(&event, EPOLLIN);
    let waiter = waiter(&epoll, 1);
    drop(epoll);
    thread::sleep(SETTLE);
    assert!(!waiter.is_finished());
    eventfd_write(event.0, 1).expect("write");
    assert_eq!(count(waiter), 1);
}

/// Semantics 99.
fn target_closed_while_waiting() {
    let (epoll, event, other) = (Fd::epoll(), Fd::eventfd(0, 0), Fd::eventfd(0, 0));
    epoll.add(&event, EPOLLIN);
    epoll.add(&other, EPOLLIN);
    let waiter = waiter(&epoll, 4);
    drop(event);
    thread::sleep(SETTLE);
    assert!(!waiter.is_finished());
    eventfd_write(other.0, 1).expect("write");
    assert_eq!(waiter.join().expect("thread"), Ok(vec![(other.0 as u64, EPOLLIN)]));
}

/// Semantics 112.
fn killed_while_waiting() {
    let start = Instant::now();
    for signal in [libc::SIGKILL, libc::SIGTERM] {
        let child = child(|| {
            let epoll = Fd::epoll();
            i32::from(epoll.wait(-1, 1).is_ok())
        });
        thread::sleep(SETTLE);
        child.signal(signal);
        assert_eq!(child.wait(), Status::Killed(signal));
    }
    assert!(start.elapsed() < Duration::from_secs(20));
}

/// Semantics 110: with the signal blocked during the call an event still comes through; the handler runs afterwards.
fn mask_is_atomic() {
    static CAUGHT: AtomicI32 = AtomicI32::new(0);
    extern "C" fn note(_: i32) {
        CAUGHT.fetch_add(1, Ordering::SeqCst);
    }
    // SAFETY: all zero bytes are an action; the handler adds a number.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = note as extern "C" fn(i32) as usize;
        checked(libc::sigaction(libc::SIGUSR1, &action, ptr::null_mut())).expect("sigaction");
    }
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    epoll.add(&event, EPOLLIN);
    // SAFETY: the thread lives as long as the sender is joined.
    let me = unsafe { libc::pthread_self() };
    let number = event.0;
    let sender = thread::spawn(move || {
        thread::sleep(SETTLE);
        // SAFETY: as above.
        assert_eq!(unsafe { libc::pthread_kill(me, libc::SIGUSR1) }, 0);
        thread::sleep(SETTLE);
        assert_eq!(CAUGHT.load(Ordering::SeqCst), 0);
        eventfd_write(number, 1).expect("write");
    });
    let mask = 1u64 << (libc::SIGUSR1 - 1);
    let result = event::epoll_pwait(epoll.0, &mut [EpollEvent::default()], -1, Some(&mask));
    assert_eq!(result, Ok(1));
    assert_eq!(CAUGHT.load(Ordering::SeqCst), 1);
    sender.join().expect("thread");
}

/// Semantics 88.
fn two_levels() {
    let (epoll, events) = (Fd::epoll(), [Fd::eventfd(0, 0), Fd::eventfd(0, 0)]);
    events.iter().for_each(|event| epoll.add(event, EPOLLIN));
    let waiters = [waiter(&epoll, 2), waiter(&epoll, 2)];
    events
        .iter()
        .for_each(|event| eventfd_write(event.0, 1).expect("write"));
    assert!(waiters.into_iter().all(|waiter| count(waiter) >= 1));
}

/// Semantics 88.
fn two_edges() {
    let (epoll, events) = (Fd::epoll(), [Fd::eventfd(0, 0), Fd::eventfd(0, 0)]);
    events.iter().for_each(|event| epoll.add(event, EPOLLIN | EPOLLET));
    let waiters = [waiter(&epoll, 1), waiter(&epoll, 1)];
    events
        .iter()
        .for_each(|event| eventfd_write(event.0, 1).expect("write"));
    assert!(waiters.into_iter().all(|waiter| count(waiter) == 1));
}

/// An epoll that watches an epoll that watches a counter.
fn nested(inner_events: u32, outer_events: u32) -> (Fd, Fd, Fd) {
    let (outer, inner, event) = (Fd::epoll(), Fd::epoll(), Fd::eventfd(0, 0));
    inner.add(&event, inner_events);
    outer.add(&inner, outer_events);
    (outer, inner, event)
}

/// Semantics 93.
fn nested_waiters() {
    for inner in [EPOLLIN, EPOLLIN | EPOLLET] {
        let (outer, _inner, event) = nested(inner, EPOLLIN);
        let waiters = [waiter(&outer, 1), waiter(&outer, 1)];
        eventfd_write(event.0, 1).expect("write");
        assert!(waiters.into_iter().all(|waiter| count(waiter) == 1));

        let (outer, _inner, event) = nested(inner, EPOLLIN | EPOLLET);
        let waiters = [waiter(&outer, 1), waiter(&outer, 1)];
        eventfd_write(event.0, 1).expect("write");
        let finished = || waiters.iter().filter(|waiter| waiter.is_finished()).count();
        while finished() == 0 {
            thread::yield_now();
        }
        thread::sleep(SETTLE);
        assert_eq!(finished(), 1);
        eventfd_write(event.0, 1).expect("write");
        assert!(waiters.into_iter().all(|waiter| count(waiter) == 1));
    }
}

/// Semantics 94.
fn inner_and_outer_waiters() {
    for outer_events in [EPOLLIN, EPOLLIN | EPOLLET] {
        let (outer, inner, event) = nested(EPOLLIN, outer_events);
        let waiters = [waiter(&inner, 1), waiter(&outer, 1)];
        eventfd_write(event.0, 1).expect("write");
        assert!(waiters.into_iter().all(|waiter| count(waiter) == 1));

        // The edge is for the inner one; the outer may come too late to see it.
        let (outer, inner, event) = nested(EPOLLIN | EPOLLET, outer_events);
        let [inner, outer] = [waiter(&inner, 1), waiter(&outer, 1)];
        eventfd_write(event.0, 1).expect("write");
        assert_eq!(count(inner), 1);
        if !outer.is_finished() {
            eventfd_write(event.0, 1).expect("write");
        }
        assert_eq!(count(outer), 1);
    }
}

/// Semantics 95.
fn two_inner_epolls() {
    for events in [EPOLLIN, EPOLLIN | EPOLLET] {
        let outer = Fd::epoll();
        let inner: Vec<_> = (0..2)
            .map(|_| {
                let (inner, event) = (Fd::epoll(), Fd::eventfd(0, 0));
                inner.add(&event, events);
                outer.add(&inner, events);
                (inner, event)
            })
            .collect();
        let by_epoll = waiter(&outer, 1);
        let by_poll = {
            let outer = outer.dup();
            thread::spawn(move || {
                let mut files = [PollFd {
                    fd: outer.0,
                    events: EPOLLIN as u16,
                    revents: 0,
                }];
                event::ppoll(&mut files, None, None)
            })
        };
        thread::sleep(SETTLE);
        inner
            .iter()
            .for_each(|(_, event)| eventfd_write(event.0, 1).expect("write"));
        assert_eq!(count(by_epoll), 1);
        assert_eq!(by_poll.join().expect("thread"), Ok(1));
    }
}

/// Semantics 96.
fn ten_threads_ten_edges() {
    const THREADS: usize = 10;
    const ROUNDS: usize = 100;
    let epoll = Arc::new(Fd::epoll());
    let files: Vec<_> = (0..THREADS).map(|_| Fd::eventfd(0, EFD_NONBLOCK)).collect();
    files.iter().for_each(|file| epoll.add(file, EPOLLIN | EPOLLET));
    let barrier = Arc::new(Barrier::new(THREADS + 1));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (epoll, barrier) = (epoll.clone(), barrier.clone());
            thread::spawn(move || {
                for _ in 0..ROUNDS {
                    assert_eq!(epoll.wait(-1, 1).expect("epoll_wait").len(), 1);
                    // Nobody takes two of one round.
                    barrier.wait();
                }
            })
        })
        .collect();
    for _ in 0..ROUNDS {
        files.iter().for_each(|file| eventfd_write(file.0, 1).expect("write"));
        barrier.wait();
    }
    threads.into_iter().for_each(|thread| thread.join().expect("thread"));
}

/// Semantics 84: an edge that comes while another thread changes the mask is not lost.
fn modify_beside_wake_ups() {
    const ROUNDS: usize = 20_000;
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, EFD_NONBLOCK));
    epoll.add(&event, EPOLLIN | EPOLLET);
    let stop = Arc::new(AtomicI32::new(0));
    let changer = {
        let (epfd, fd, stop) = (epoll.0, event.0, stop.clone());
        thread::spawn(move || {
            while stop.load(Ordering::Relaxed) == 0 {
                for events in [EPOLLIN | EPOLLET, EPOLLIN | EPOLLOUT | EPOLLET] {
                    event::epoll_set(epfd, EPOLL_CTL_MOD, fd, events, 7).expect("MOD");
                }
            }
        })
    };
    let writer = {
        let fd = event.0;
        thread::spawn(move || (0..ROUNDS).for_each(|_| eventfd_write(fd, 1).expect("write")))
    };
    let mut total = 0;
    while total < ROUNDS {
        assert_eq!(epoll.wait(-1, 1).expect("epoll_wait").len(), 1);
        total += eventfd_read(event.0).unwrap_or(0) as usize;
    }
    stop.store(1, Ordering::Relaxed);
    changer.join().expect("thread");
    writer.join().expect("thread");
}

/// Semantics 174.
fn pipe_read_outlives_its_descriptor() {
    let (read, write) = Fd::blocking_pipe();
    let number = read.0;
    let reader = asleep(move || file::read(number, &mut [0; 4]));
    drop(read);
    thread::sleep(SETTLE);
    assert!(!reader.is_finished());
    assert_eq!(write.write(b"x"), Ok(1));
    assert_eq!(reader.join().expect("thread"), Ok(1));
}
