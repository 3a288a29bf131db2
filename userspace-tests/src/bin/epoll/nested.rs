//! An epoll in an epoll.

use super::ADD;
use libsyscall::abi::Errno;
use libsyscall::abi::event::*;
use libsyscall::calls::event;
use userspace_tests::Fd;

/// Semantics 40, 41.
pub fn nested_readiness() {
    let (outer, inner, event) = (Fd::epoll(), Fd::epoll(), Fd::eventfd(0, 0));
    inner.add(&event, EPOLLIN);
    outer.add(&inner, EPOLLIN | EPOLLOUT);
    assert_eq!(outer.events(), 0);
    event::eventfd_write(event.0, 1).expect("write");
    assert_eq!(outer.ready(), [(inner.0 as u64, EPOLLIN)]);
    assert_eq!(inner.ready(), [(event.0 as u64, EPOLLIN)]);
}

/// Semantics 42.
pub fn nested_draining() {
    let (outer, inner, (read, write)) = (Fd::epoll(), Fd::epoll(), Fd::pipe());
    inner.add(&read, EPOLLIN);
    outer.add(&inner, EPOLLIN);
    write.write(b"x").expect("write");
    read.drain();
    assert_eq!(outer.events(), 0);
}

/// Semantics 43, 44.
pub fn nested_edge() {
    let (outer, inner, event) = (Fd::epoll(), Fd::epoll(), Fd::eventfd(0, 0));
    inner.add(&event, EPOLLIN | EPOLLET);
    outer.add(&inner, EPOLLIN);
    event::eventfd_write(event.0, 1).expect("write");
    assert_eq!((outer.events(), outer.events()), (EPOLLIN, EPOLLIN));

    let (outer, inner, event) = (Fd::epoll(), Fd::epoll(), Fd::eventfd(0, 0));
    inner.add(&event, EPOLLIN);
    outer.add(&inner, EPOLLIN | EPOLLET);
    event::eventfd_write(event.0, 1).expect("write");
    assert_eq!((outer.events(), outer.events()), (EPOLLIN, 0));
}

/// Semantics 36, 37.
pub fn nested_loop() {
    let epolls = [Fd::epoll(), Fd::epoll(), Fd::epoll()];
    epolls[0].add(&epolls[1], EPOLLIN);
    assert_eq!(epolls[1].control(ADD, &epolls[0], EPOLLIN), Err(Errno::ELOOP));
    epolls[1].add(&epolls[2], EPOLLIN);
    assert_eq!(epolls[2].control(ADD, &epolls[0], EPOLLIN), Err(Errno::ELOOP));
}

/// Semantics 34, 35.
pub fn nested_depth() {
    let ((read, _write), epolls) = (Fd::pipe(), (0..6).map(|_| Fd::epoll()).collect::<Vec<_>>());
    epolls[0].add(&read, EPOLLIN);
    for level in 1..5 {
        epolls[level].add(&epolls[level - 1], EPOLLIN);
    }
    assert_eq!(epolls[5].control(ADD, &epolls[4], EPOLLIN), Err(Errno::ELOOP));

    let epolls: Vec<_> = (0..6).map(|_| Fd::epoll()).collect();
    for level in (2..6).rev() {
        epolls[level].add(&epolls[level - 1], EPOLLIN);
    }
    assert_eq!(epolls[1].control(ADD, &epolls[0], EPOLLIN), Err(Errno::ELOOP));
}

/// Semantics 39.
pub fn nested_ways() {
    let (inner, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    inner.add(&event, EPOLLIN);
    let outers: Vec<_> = (0..501).map(|_| Fd::epoll()).collect();
    let (last, first) = outers.split_last().expect("501 of them");
    first.iter().for_each(|outer| outer.add(&inner, EPOLLIN));
    assert_eq!(last.control(ADD, &inner, EPOLLIN), Err(Errno::EINVAL));
    first[0].delete(&inner);
    assert_eq!(last.control(ADD, &inner, EPOLLIN), Ok(()));
    // An epoll that nothing watches is no way through another.
    first.iter().for_each(|epoll| epoll.add(&event, EPOLLIN));
}

/// Semantics 106.
pub fn inner_close() {
    let (outer, inner, event) = (Fd::epoll(), Fd::epoll(), Fd::eventfd(1, 0));
    inner.add(&event, EPOLLIN);
    outer.add(&inner, EPOLLIN);
    assert_eq!(outer.events(), EPOLLIN);
    drop(inner);
    assert_eq!(outer.ready(), []);
    event::eventfd_write(event.0, 1).expect("write");
    assert_eq!(outer.ready(), []);
}
