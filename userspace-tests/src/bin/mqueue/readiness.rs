//! poll(2) and epoll(7) on a queue.

use super::queue::*;
use libsyscall::abi::Errno;
use userspace_tests::{Fd, checked};

pub fn readiness() {
    let name = Name::new();
    let queue = name.queue(2);
    let epoll = Fd::epoll();
    epoll.add(&queue, ALL | libc::EPOLLPRI as u32);
    assert_eq!(epoll.events(), WRITABLE);
    send(&queue, b"a", 0).expect("mq_send");
    assert_eq!(epoll.events(), ALL);
    send(&queue, b"b", 0).expect("mq_send");
    assert_eq!(epoll.events(), READABLE);
    next(&queue);
    assert_eq!(epoll.events(), ALL);
    next(&queue);
    assert_eq!(epoll.events(), WRITABLE);
    // The access mode says nothing.
    let reader = name.open(libc::O_RDONLY).expect("mq_open");
    let other = Fd::epoll();
    other.add(&reader, ALL);
    assert_eq!(other.events(), WRITABLE);
}

pub fn edges() {
    let name = Name::new();
    let queue = name.queue(3);
    let epoll = Fd::epoll();
    epoll.add(&queue, READABLE | EDGE);
    assert_eq!(epoll.events(), 0);
    send(&queue, b"a", 0).expect("mq_send");
    assert_eq!(epoll.events(), READABLE);
    assert_eq!(epoll.events(), 0);
    // Each message is news.
    send(&queue, b"b", 0).expect("mq_send");
    assert_eq!(epoll.events(), READABLE);
    assert_eq!(epoll.events(), 0);
    // And what fails is none.
    send(&queue, b"c", 0).expect("mq_send");
    assert_eq!(epoll.events(), READABLE);
    assert_eq!(send(&queue, b"d", 0), Err(Errno::EAGAIN));
    assert_eq!(epoll.events(), 0);
}

/// A queue's wake-ups name no events: each change makes whoever watches look again, at whatever it asked for.
pub fn an_edge_by_each_change() {
    let name = Name::new();
    let queue = name.queue(3);
    send(&queue, b"a", 0).expect("mq_send");
    send(&queue, b"b", 0).expect("mq_send");
    let (reads, writes) = (Fd::epoll(), Fd::epoll());
    reads.add(&queue, READABLE | EDGE);
    writes.add(&queue, WRITABLE | EDGE);
    assert_eq!((reads.events(), writes.events()), (READABLE, WRITABLE));
    assert_eq!((reads.events(), writes.events()), (0, 0));
    next(&queue);
    assert_eq!((reads.events(), writes.events()), (READABLE, WRITABLE));
    send(&queue, b"c", 0).expect("mq_send");
    assert_eq!((reads.events(), writes.events()), (READABLE, WRITABLE));
    send(&queue, b"d", 0).expect("mq_send");
    assert_eq!((reads.events(), writes.events()), (READABLE, 0));
    next(&queue);
    next(&queue);
    next(&queue);
    assert_eq!((reads.events(), writes.events()), (0, WRITABLE));
}

/// What goes from hand to hand changes nothing that could be watched.
pub fn handed_over_unseen() {
    let name = Name::new();
    let queue = name.waiting_queue(1);
    let epoll = Fd::epoll();
    epoll.add(&queue, ALL | EDGE);
    assert_eq!(epoll.events(), WRITABLE);
    one_after_another(
        1,
        |_| next(&queue),
        || {
            send(&queue, b"a", 0).expect("mq_send");
            assert_eq!(epoll.events(), 0);
        },
    );
    send(&queue, b"b", 0).expect("mq_send");
    assert_eq!(epoll.events(), READABLE);
    one_after_another(
        1,
        |_| send(&queue, b"c", 0).expect("mq_send"),
        || {
            assert_eq!(next(&queue), "b");
            assert_eq!(epoll.events(), 0);
        },
    );
    assert_eq!(next(&queue), "c");
    assert_eq!(epoll.events(), WRITABLE);
}

pub fn a_poll_that_sleeps() {
    let name = Name::new();
    let queue = name.queue(1);
    let poll = |events| {
        let mut fds = [libc::pollfd {
            fd: queue.0,
            events,
            revents: 0,
        }];
        // SAFETY: the kernel writes one structure.
        checked(unsafe { libc::poll(fds.as_mut_ptr(), 1, 60_000) }).expect("poll");
        fds[0].revents
    };
    let seen = one_after_another(1, |_| poll(libc::POLLIN), || send(&queue, b"a", 0).expect("mq_send"));
    assert_eq!(seen, [libc::POLLIN]);
    let seen = one_after_another(
        1,
        |_| poll(libc::POLLOUT),
        || {
            next(&queue);
        },
    );
    assert_eq!(seen, [libc::POLLOUT]);
}
