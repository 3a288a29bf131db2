//! Many threads that wait for the same thing, without time limits: a wake-up that is lost leaves somebody asleep for ever,
//! and no timeout comes to hide it. What was sent is counted against what was taken.

use libsyscall::abi::Errno;
use libsyscall::abi::event::*;
use libsyscall::calls::event::{self, eventfd_read, eventfd_write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use userspace_tests::socket::abstract_name;
use userspace_tests::{Fd, tests};

/// Threads that wait in each of the stress tests.
const WAITERS: usize = 24;
/// Long enough for another thread to have gone to sleep.
const SETTLE: Duration = Duration::from_millis(50);
const FOR_EVER: i32 = -1;

fn main() -> ExitCode {
    userspace_tests::run(tests![
        semaphore_wakes_as_many_readers,
        readers_share_one_write,
        newest_waiter_first,
        asking_beside_waiting,
        hang_up_wakes_all_exclusive,
        level_shared,
        edge_shared,
        one_shot_shared,
        edge_each,
        exclusive_level,
        exclusive_edge,
        exclusive_and_not,
        nested_level,
        nested_edge,
        nested_inner_and_outer,
        everything_at_once,
        timeout_against_event,
        acceptors_and_two_connections,
        senders_and_two_receives,
        shutdown_ends_every_accept,
        more_room_lets_every_connect_in,
        close_ends_every_connect,
        close_ends_every_send,
        larger_buffer_lets_send,
    ])
}

/// One write of 3 to a semaphore is for three readers.
fn semaphore_wakes_as_many_readers() {
    let event = Arc::new(Fd::eventfd(0, EFD_SEMAPHORE));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let event = event.clone();
            thread::spawn(move || eventfd_read(event.0))
        })
        .collect();
    thread::sleep(SETTLE);
    eventfd_write(event.0, 3).expect("write");
    for reader in readers {
        assert_eq!(reader.join().expect("thread"), Ok(1));
    }
}

/// Of several readers of a counter one gets it; each of the others sleeps on for its own.
fn readers_share_one_write() {
    let event = Arc::new(Fd::eventfd(0, 0));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let event = event.clone();
            thread::spawn(move || eventfd_read(event.0))
        })
        .collect();
    thread::sleep(SETTLE);
    for done in 1..=4 {
        eventfd_write(event.0, 5).expect("write");
        thread::sleep(SETTLE);
        assert_eq!(readers.iter().filter(|reader| reader.is_finished()).count(), done);
    }
    for reader in readers {
        assert_eq!(reader.join().expect("thread"), Ok(5));
    }
}

/// Of the threads in epoll_wait(2) on one epoll, an edge wakes the one that came last.
fn newest_waiter_first() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    epoll.add(&event, EPOLLIN | EPOLLET);
    let mut waiters: Vec<_> = (0..3)
        .map(|_| {
            let epfd = epoll.0;
            let waiter = thread::spawn(move || {
                let mut events = [EpollEvent::default()];
                event::epoll_wait(epfd, &mut events, FOR_EVER)
            });
            thread::sleep(SETTLE);
            waiter
        })
        .collect();
    while let Some(newest) = waiters.pop() {
        eventfd_write(event.0, 1).expect("write");
        assert_eq!(newest.join().expect("thread"), Ok(1));
        assert!(waiters.iter().all(|older| !older.is_finished()));
    }
}

/// Whoever polls an epoll looks through its ready list; a thread that waits on it at that instant must not take the list
/// for empty.
fn asking_beside_waiting() {
    const ROUNDS: usize = 20_000;
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(1, 0));
    epoll.add(&event, EPOLLIN);
    let epfd = epoll.0;
    let waiter = thread::spawn(move || {
        let mut events = [EpollEvent::default()];
        (0..ROUNDS).all(|_| event::epoll_wait(epfd, &mut events, FOR_EVER) == Ok(1))
    });
    while !waiter.is_finished() {
        let mut files = [PollFd {
            fd: epoll.0,
            events: EPOLLIN as u16,
            revents: 0,
        }];
        assert_eq!(event::ppoll(&mut files, None, None), Ok(1));
    }
    assert!(waiter.join().expect("thread"));
}

/// The end of a pipe is for all to hear, whoever asked to be woken alone.
fn hang_up_wakes_all_exclusive() {
    let (read, write) = Fd::pipe();
    let waiters: Vec<_> = (0..4)
        .map(|_| {
            let epoll = Fd::epoll();
            epoll.add(&read, EPOLLIN | EPOLLEXCLUSIVE);
            thread::spawn(move || epoll.wait(FOR_EVER, 1))
        })
        .collect();
    thread::sleep(SETTLE);
    drop(write);
    for waiter in waiters {
        assert_eq!(waiter.join().expect("thread"), Ok(vec![(read.0 as u64, EPOLLHUP)]));
    }
}

/// Tokens that are handed out one by one, and what came of them.
struct Arena {
    /// A semaphore: each read takes one token.
    tokens: Fd,
    /// Written by whoever took one.
    taken: Fd,
    /// Readable for ever once all is over.
    stop: Fd,
    count: AtomicU64,
}

/// What a thread waits on, what it looks through before it takes tokens, and what it does afterwards.
struct Place {
    wait: Arc<Fd>,
    inner: Option<Arc<Fd>>,
    /// EPOLL_CTL_MOD of the tokens with these bits, after each round.
    rearm: Option<u32>,
}

impl Arena {
    fn new() -> Arc<Arena> {
        Arc::new(Arena {
            tokens: Fd::eventfd(0, EFD_SEMAPHORE | EFD_NONBLOCK),
            taken: Fd::eventfd(0, EFD_SEMAPHORE),
            stop: Fd::eventfd(0, 0),
            count: AtomicU64::new(0),
        })
    }

    /// An epoll that hears of the tokens, and of the end.
    fn epoll(&self, events: u32) -> Arc<Fd> {
        let epoll = Fd::epoll();
        epoll.add(&self.tokens, events);
        epoll.add(&self.stop, EPOLLIN);
        Arc::new(epoll)
    }

    /// An epoll that watches another.
    fn around(&self, inner: &Fd, events: u32) -> Arc<Fd> {
        let epoll = Fd::epoll();
        epoll.add(inner, events);
        epoll.add(&self.stop, EPOLLIN);
        Arc::new(epoll)
    }

    fn take_all(&self) {
        loop {
            match eventfd_read(self.tokens.0) {
                Ok(_) => {
                    self.count.fetch_add(1, Ordering::SeqCst);
                    eventfd_write(self.taken.0, 1).expect("write");
                }
                Err(Errno::EAGAIN) => return,
                Err(error) => panic!("read: {error:?}"),
            }
        }
    }

    /// A thread that takes tokens whenever its epoll tells it to, until the end.
    fn waiter(self: &Arc<Arena>, place: Place) -> JoinHandle<()> {
        let arena = self.clone();
        thread::spawn(move || {
            loop {
                let events = place.wait.wait(FOR_EVER, 2).expect("epoll_wait");
                assert!(!events.is_empty(), "epoll_wait gave nothing");
                if events.iter().any(|&(data, _)| data == arena.stop.0 as u64) {
                    return;
                }
                if let Some(inner) = &place.inner {
                    inner.wait(0, 2).expect("epoll_wait");
                }
                arena.take_all();
                if let Some(events) = place.rearm {
                    place.wait.modify(&arena.tokens, events);
                }
            }
        })
    }

    /// The same with poll(2).
    fn poller(self: &Arc<Arena>) -> JoinHandle<()> {
        let arena = self.clone();
        thread::spawn(move || {
            let file = |fd: &Fd| PollFd {
                fd: fd.0,
                events: EPOLLIN as u16,
                revents: 0,
            };
            let mut files = [file(&arena.tokens), file(&arena.stop)];
            while files[1].revents == 0 {
                assert!(event::ppoll(&mut files, None, None).expect("ppoll") > 0);
                arena.take_all();
            }
        })
    }

    /// Hands out tokens, each burst after the one before has been taken: a wake-up that is lost ends it here.
    fn play(self: Arc<Arena>, waiters: Vec<JoinHandle<()>>) {
        const ROUNDS: u64 = 500;
        let mut sent = 0;
        for round in 0..ROUNDS {
            let burst = [1, 1, 1, 2, 7][round as usize % 5];
            for _ in 0..burst {
                eventfd_write(self.tokens.0, 1).expect("write");
            }
            for _ in 0..burst {
                eventfd_read(self.taken.0).expect("read");
            }
            sent += burst;
        }
        eventfd_write(self.stop.0, 1).expect("write");
        for waiter in waiters {
            waiter.join().expect("thread");
        }
        assert_eq!(self.count.load(Ordering::SeqCst), sent);
    }
}

/// All threads wait on one epoll.
fn shared(events: u32, rearm: bool) {
    let arena = Arena::new();
    let epoll = arena.epoll(events);
    let waiters = (0..WAITERS).map(|_| {
        arena.waiter(Place {
            wait: epoll.clone(),
            inner: None,
            rearm: rearm.then_some(events),
        })
    });
    let waiters = waiters.collect();
    arena.play(waiters);
}

/// Semantics 86.
fn level_shared() {
    shared(EPOLLIN, false);
}

/// Semantics 87, 88.
fn edge_shared() {
    shared(EPOLLIN | EPOLLET, false);
}

/// Semantics 83, 89.
fn one_shot_shared() {
    shared(EPOLLIN | EPOLLONESHOT, true);
}

/// Each thread has its own epoll; `events` of the number-th.
fn each(events: impl Fn(usize) -> u32) {
    let arena = Arena::new();
    let waiters = (0..WAITERS).map(|number| {
        arena.waiter(Place {
            wait: arena.epoll(events(number)),
            inner: None,
            rearm: None,
        })
    });
    let waiters = waiters.collect();
    arena.play(waiters);
}

/// Semantics 90.
fn edge_each() {
    each(|_| EPOLLIN | EPOLLET);
}

/// Semantics 91.
fn exclusive_level() {
    each(|_| EPOLLIN | EPOLLEXCLUSIVE);
}

/// Semantics 91.
fn exclusive_edge() {
    each(|_| EPOLLIN | EPOLLEXCLUSIVE | EPOLLET);
}

/// Semantics 92.
fn exclusive_and_not() {
    each(|number| match number % 4 {
        0 => EPOLLIN,
        1 => EPOLLIN | EPOLLET,
        2 => EPOLLIN | EPOLLEXCLUSIVE,
        _ => EPOLLIN | EPOLLEXCLUSIVE | EPOLLET,
    });
}

/// All threads wait on an epoll that watches an epoll; of two of them one may wait on the inner.
fn nested(inner: u32, outer: u32, on_inner: bool) {
    let arena = Arena::new();
    let inner = arena.epoll(inner);
    let outer = arena.around(&inner, outer);
    let waiters = (0..WAITERS).map(|number| {
        arena.waiter(if on_inner && number % 2 == 0 {
            Place {
                wait: inner.clone(),
                inner: None,
                rearm: None,
            }
        } else {
            Place {
                wait: outer.clone(),
                inner: Some(inner.clone()),
                rearm: None,
            }
        })
    });
    let waiters = waiters.collect();
    arena.play(waiters);
}

/// Semantics 93.
fn nested_level() {
    nested(EPOLLIN, EPOLLIN, false);
}

/// Semantics 93.
fn nested_edge() {
    nested(EPOLLIN, EPOLLIN | EPOLLET, false);
}

/// Semantics 94.
fn nested_inner_and_outer() {
    nested(EPOLLIN | EPOLLET, EPOLLIN | EPOLLET, true);
}

/// Threads of every kind at one source.
fn everything_at_once() {
    let arena = Arena::new();
    let shared = arena.epoll(EPOLLIN | EPOLLET);
    let inner = arena.epoll(EPOLLIN);
    let outer = arena.around(&inner, EPOLLIN | EPOLLET);
    let waiters = (0..WAITERS).map(|number| {
        let (wait, inner) = match number % 5 {
            0 => return arena.poller(),
            1 => (shared.clone(), None),
            2 => (arena.epoll(EPOLLIN | EPOLLEXCLUSIVE), None),
            3 => (outer.clone(), Some(inner.clone())),
            _ => (arena.epoll(EPOLLIN | EPOLLEXCLUSIVE | EPOLLET), None),
        };
        arena.waiter(Place {
            wait,
            inner,
            rearm: None,
        })
    });
    let waiters = waiters.collect();
    arena.play(waiters);
}

/// Semantics 97: one of two waiters gives up at the instant the event comes. It takes the event or leaves it to the other,
/// which waits without limit.
fn timeout_against_event() {
    const ROUNDS: u64 = 300;
    let (epoll, event) = (Arc::new(Fd::epoll()), Fd::eventfd(0, EFD_NONBLOCK));
    epoll.add(&event, EPOLLIN | EPOLLET);
    for round in 0..ROUNDS {
        let patient = {
            let epoll = epoll.clone();
            thread::spawn(move || epoll.wait(FOR_EVER, 1).map(|events| events.len()))
        };
        let impatient = {
            let epoll = epoll.clone();
            thread::spawn(move || epoll.wait(2, 1).map(|events| events.len()))
        };
        thread::sleep(Duration::from_micros(1700 + round % 50 * 20));
        eventfd_write(event.0, 1).expect("write");
        if impatient.join().expect("thread") == Ok(1) {
            // It took the event; the other is owed one.
            eventfd_write(event.0, 1).expect("write");
        }
        assert_eq!(patient.join().expect("thread"), Ok(1));
    }
}

/// Socket calls that are to be asleep when something happens.
const SLEEPERS: usize = 4;

fn asleep<R: Send + 'static>(count: usize, call: impl Fn(usize) -> R + Clone + Send + 'static) -> Vec<JoinHandle<R>> {
    (0..count)
        .map(|number| {
            let call = call.clone();
            thread::spawn(move || call(number))
        })
        .collect()
}

fn results<R>(threads: Vec<JoinHandle<R>>) -> Vec<R> {
    threads
        .into_iter()
        .map(|thread| thread.join().expect("thread"))
        .collect()
}

/// A listening socket with room for `backlog` connections and one more.
fn listening(suffix: &str, backlog: i32) -> (Fd, Vec<u8>) {
    let (listener, name) = (Fd::unix(libc::SOCK_STREAM), abstract_name(suffix));
    listener.bind(&name).expect("bind");
    listener.listen(backlog).expect("listen");
    (listener, name)
}

/// The second of two connections in quick succession comes while the first one's acceptor is on its way out.
fn acceptors_and_two_connections() {
    let (listener, name) = listening("acceptors", 8);
    let number = listener.0;
    for _ in 0..300 {
        let acceptors = asleep(2, move |_| std::mem::ManuallyDrop::new(Fd(number)).accept().map(drop));
        thread::sleep(Duration::from_micros(300));
        let clients = [(); 2].map(|()| Fd::unix(libc::SOCK_STREAM));
        for client in &clients {
            client.connect(&name).expect("connect");
        }
        assert_eq!(results(acceptors), [Ok(()), Ok(())]);
    }
}

/// A datagram socket that takes no more, and senders to it.
fn full_receiver(suffix: &str) -> (Fd, Arc<Vec<Fd>>) {
    let (receiver, name) = (Fd::unix(libc::SOCK_DGRAM), abstract_name(suffix));
    receiver.bind(&name).expect("bind");
    let senders: Vec<_> = (0..SLEEPERS).map(|_| Fd::unix(libc::SOCK_DGRAM)).collect();
    for sender in &senders {
        sender.connect(&name).expect("connect");
    }
    while senders[0].send(b"x", libc::MSG_DONTWAIT) == Ok(1) {}
    (receiver, Arc::new(senders))
}

/// Two receives in quick succession make room for two senders.
fn senders_and_two_receives() {
    let (receiver, senders) = full_receiver("senders");
    for _ in 0..300 {
        let senders = senders.clone();
        let asleep = asleep(2, move |number| senders[number].send(b"y", 0));
        thread::sleep(Duration::from_micros(300));
        for _ in 0..2 {
            assert_eq!(receiver.receive(&mut [0], 0), Ok(1));
        }
        assert_eq!(results(asleep), [Ok(1), Ok(1)]);
    }
}

fn shutdown_ends_every_accept() {
    let (listener, _) = listening("shutdown", 8);
    let number = listener.0;
    let acceptors = asleep(SLEEPERS, move |_| {
        std::mem::ManuallyDrop::new(Fd(number)).accept().map(drop)
    });
    thread::sleep(SETTLE);
    listener.shut_down(libc::SHUT_RD).expect("shutdown");
    assert_eq!(results(acceptors), [Err(Errno::EINVAL); SLEEPERS]);
}

/// Threads in connect(2) to a listener that has no room.
fn connecting(name: &[u8]) -> (Fd, Vec<JoinHandle<Result<(), Errno>>>) {
    let first = Fd::unix(libc::SOCK_STREAM);
    first.connect(name).expect("connect");
    let name = name.to_vec();
    let clients = asleep(SLEEPERS, move |_| Fd::unix(libc::SOCK_STREAM).connect(&name));
    thread::sleep(SETTLE);
    (first, clients)
}

fn more_room_lets_every_connect_in() {
    let (listener, name) = listening("room", 0);
    let (_first, clients) = connecting(&name);
    listener.listen(8).expect("listen");
    assert_eq!(results(clients), [Ok(()); SLEEPERS]);
}

fn close_ends_every_connect() {
    let (listener, name) = listening("close", 0);
    let (_first, clients) = connecting(&name);
    drop(listener);
    assert_eq!(results(clients), [Err(Errno::ECONNREFUSED); SLEEPERS]);
}

fn close_ends_every_send() {
    let (receiver, senders) = full_receiver("gone");
    let asleep = asleep(SLEEPERS, move |number| senders[number].send(b"y", 0));
    thread::sleep(SETTLE);
    drop(receiver);
    assert_eq!(results(asleep), [Err(Errno::ECONNREFUSED); SLEEPERS]);
}

/// SO_SNDBUF makes room for a sender that has none.
fn larger_buffer_lets_send() {
    let (sender, _receiver) = Fd::unix_pair(libc::SOCK_SEQPACKET);
    sender.set_option(libc::SO_SNDBUF, 2304).expect("SO_SNDBUF");
    while sender.send(b"z", libc::MSG_DONTWAIT) == Ok(1) {}
    let sender = Arc::new(sender);
    let asleep = {
        let sender = sender.clone();
        thread::spawn(move || sender.send(b"z", 0))
    };
    thread::sleep(SETTLE);
    sender.set_option(libc::SO_SNDBUF, 100_000).expect("SO_SNDBUF");
    assert_eq!(asleep.join().expect("thread"), Ok(1));
}
