//! A registration belongs to an open file description and a number.

use super::ADD;
use libsyscall::abi::Errno;
use libsyscall::abi::event::*;
use libsyscall::abi::fcntl::F_DUPFD;
use libsyscall::calls::{event, file};
use userspace_tests::{Fd, Status, child};

/// Semantics 101.
pub fn key_is_description_and_number() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    let copy = event.dup();
    epoll.add(&event, EPOLLIN);
    epoll.add(&copy, EPOLLIN);
    event::eventfd_write(event.0, 1).expect("write");
    // A wait queue tells the newest first.
    let mut ready = epoll.ready();
    ready.sort();
    assert_eq!(ready, [(event.0 as u64, EPOLLIN), (copy.0 as u64, EPOLLIN)]);
    epoll.delete(&copy);
    assert_eq!(epoll.ready(), [(event.0 as u64, EPOLLIN)]);
}

/// Semantics 102, 103.
pub fn close_of_one_number_keeps_it() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    let copy = event.dup();
    let number = event.0;
    epoll.add(&event, EPOLLIN);
    drop(event);
    event::eventfd_write(copy.0, 1).expect("write");
    assert_eq!(epoll.ready(), [(number as u64, EPOLLIN)]);
    assert_eq!(event::epoll_delete(epoll.0, number), Err(Errno::EBADF));
    drop(copy);
    assert_eq!(epoll.ready(), []);
}

/// Semantics 102.
pub fn last_close_removes_it() {
    let (epoll, (read, write)) = (Fd::epoll(), Fd::pipe());
    epoll.add(&read, EPOLLIN);
    write.write(b"x").expect("write");
    assert_eq!(epoll.events(), EPOLLIN);
    drop(read);
    assert_eq!(epoll.ready(), []);
}

/// Semantics 103.
pub fn reused_number() {
    let (epoll, old) = (Fd::epoll(), Fd::eventfd(1, 0));
    let copy = old.dup();
    let number = old.0;
    event::epoll_set(epoll.0, ADD, number, EPOLLIN, 1).expect("ADD");
    drop(old);
    let new = Fd::eventfd(1, 0);
    let new = if new.0 == number {
        new
    } else {
        Fd(file::fcntl(new.0, F_DUPFD, number as usize).expect("F_DUPFD") as i32)
    };
    assert_eq!(new.0, number);
    event::epoll_set(epoll.0, ADD, number, EPOLLIN, 2).expect("ADD");
    assert_eq!(epoll.ready(), [(1, EPOLLIN), (2, EPOLLIN)]);
    epoll.delete(&new);
    assert_eq!(epoll.ready(), [(1, EPOLLIN)]);
    drop(copy);
    assert_eq!(epoll.ready(), []);
}

/// Semantics 104.
pub fn forked_reference_keeps_it() {
    let (epoll, (read, write)) = (Fd::epoll(), Fd::pipe());
    let (go_read, go_write) = Fd::blocking_pipe();
    let number = read.0;
    epoll.add(&read, EPOLLIN);
    let child = child(|| i32::from(go_read.read(&mut [0]) != Ok(1)));
    drop(read);
    write.write(b"x").expect("write");
    assert_eq!(epoll.ready(), [(number as u64, EPOLLIN)]);
    go_write.write(b"x").expect("write");
    assert_eq!(child.wait(), Status::Exited(0));
    assert_eq!(epoll.ready(), []);
}
