//! Tests of the readiness loop.

use event_loops::readiness::{Deadline, Event, Loop};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use userspace_tests::tests;

fn main() -> ExitCode {
    userspace_tests::run(tests![
        reads_and_writes_apart,
        removing_one_direction_leaves_the_other,
        eof_with_data_before_it,
        a_wake_from_another_thread,
        deadlines,
        a_closed_descriptor_is_forgotten,
        many_wakes_are_one,
    ])
}

fn pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().expect("a pair")
}

/// What is ready now.
fn ready(of: &mut Loop) -> Vec<Event> {
    let mut events = Vec::new();
    of.wait(Deadline::now(), &mut events).expect("it waits");
    events
}

fn event(stream: &UnixStream) -> Event {
    Event {
        fd: stream.as_raw_fd(),
        readable: false,
        writable: false,
        eof: false,
        failed: false,
    }
}

fn reads_and_writes_apart() {
    let mut own = Loop::new().expect("a loop");
    let (near, mut far) = pair();
    own.add_read(near.as_raw_fd()).expect("added");
    assert_eq!(ready(&mut own), []);
    far.write_all(b"x").expect("room");
    let readable = Event {
        readable: true,
        ..event(&near)
    };
    assert_eq!(ready(&mut own), [readable]);
    own.add_write(near.as_raw_fd()).expect("changed");
    let both = Event {
        writable: true,
        ..readable
    };
    assert_eq!(ready(&mut own), [both]);
}

fn removing_one_direction_leaves_the_other() {
    let mut own = Loop::new().expect("a loop");
    let (near, mut far) = pair();
    let fd = near.as_raw_fd();
    own.add_read(fd).expect("added");
    own.add_write(fd).expect("changed");
    own.del_read(fd).expect("changed");
    far.write_all(b"x").expect("room");
    let writable = Event {
        writable: true,
        ..event(&near)
    };
    assert_eq!(ready(&mut own), [writable]);
    own.del_write(fd).expect("removed");
    assert_eq!(ready(&mut own), []);
    own.del_write(fd).expect("nothing to remove is no error");
    own.add_read(fd).expect("added again");
    assert_eq!(ready(&mut own).len(), 1);
}

fn eof_with_data_before_it() {
    let mut own = Loop::new().expect("a loop");
    let (mut near, mut far) = pair();
    own.add_read(near.as_raw_fd()).expect("added");
    far.write_all(b"last").expect("room");
    far.shutdown(std::net::Shutdown::Write).expect("shut");
    let end = Event {
        readable: true,
        eof: true,
        ..event(&near)
    };
    assert_eq!(ready(&mut own), [end]);
    let mut word = [0; 4];
    near.read_exact(&mut word).expect("it is there");
    assert_eq!(ready(&mut own), [end], "the end stays readable");
    drop(far);
    assert_eq!(ready(&mut own), [Event { failed: true, ..end }]);
}

fn a_wake_from_another_thread() {
    let mut own = Loop::new().expect("a loop");
    let waker = own.waker();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(20));
            waker.wake();
        });
        let mut events = Vec::new();
        assert!(
            own.wait(Deadline::NEVER, &mut events).expect("it waits"),
            "the waker ends it"
        );
        assert_eq!(events, []);
    });
    waker.wake();
    assert!(
        own.wait(Deadline::NEVER, &mut Vec::new()).expect("it waits"),
        "a wake before the wait"
    );
}

fn deadlines() {
    let mut own = Loop::new().expect("a loop");
    let start = Instant::now();
    let time = Duration::from_millis(15);
    let deadline = Deadline::after(Duration::from_secs(100)).earlier(Deadline::after(time));
    assert!(!own.wait(deadline, &mut Vec::new()).expect("it waits"));
    assert!(start.elapsed() >= time, "not early");
    assert!(deadline.has_passed());
    assert_eq!(deadline.remaining(), Some(Duration::ZERO));
    assert!(!Deadline::NEVER.has_passed());
    assert_eq!(Deadline::NEVER.remaining(), None);
    assert_eq!(Deadline::after(Duration::MAX).remaining(), None, "too far to be told");
}

/// Closing removes epoll's registration; the loop's own is removed by hand, and the number can be added again.
fn a_closed_descriptor_is_forgotten() {
    let mut own = Loop::new().expect("a loop");
    let (near, far) = pair();
    let fd = near.as_raw_fd();
    own.add_write(fd).expect("added");
    own.del_write(fd).expect("removed");
    drop((near, far));
    let (near, _far) = pair();
    assert_eq!(near.as_raw_fd(), fd, "the lowest free number");
    own.add_write(fd).expect("added");
    assert_eq!(ready(&mut own).len(), 1);
    assert!(own.add_read(-1).is_err(), "no descriptor");
}

fn many_wakes_are_one() {
    let mut own = Loop::new().expect("a loop");
    let waker = own.waker();
    for _ in 0..1000 {
        waker.wake();
    }
    let mut events = Vec::new();
    assert!(own.wait(Deadline::NEVER, &mut events).expect("it waits"));
    assert!(!own.wait(Deadline::now(), &mut events).expect("it waits"), "drained");
}
