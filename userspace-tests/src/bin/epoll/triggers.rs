//! Which events come, and when they come again: level and edge triggered, one-shot, modified.

use super::{ADD, MOD};
use libsyscall::abi::Errno;
use libsyscall::abi::event::*;
use libsyscall::abi::fcntl::F_SETPIPE_SZ;
use libsyscall::calls::{event, file};
use userspace_tests::Fd;

/// Semantics 70.
pub fn level_triggered() {
    let (epoll, (read, write)) = (Fd::epoll(), Fd::pipe());
    epoll.add(&read, EPOLLIN);
    assert_eq!(epoll.events(), 0);
    write.write(b"ab").expect("write");
    assert_eq!((epoll.events(), epoll.events()), (EPOLLIN, EPOLLIN));
    read.read(&mut [0]).expect("read");
    assert_eq!(epoll.events(), EPOLLIN);
    read.read(&mut [0]).expect("read");
    assert_eq!(epoll.events(), 0);
}

/// Semantics 71.
pub fn edge_triggered() {
    let (epoll, (read, write)) = (Fd::epoll(), Fd::pipe());
    write.write(b"ab").expect("write");
    epoll.add(&read, EPOLLIN | EPOLLET);
    assert_eq!((epoll.events(), epoll.events()), (EPOLLIN, 0));
    read.read(&mut [0]).expect("read");
    assert_eq!(epoll.events(), 0);
    write.write(b"c").expect("write");
    assert_eq!((epoll.events(), epoll.events()), (EPOLLIN, 0));
}

/// Semantics 72: mio's waker never reads its eventfd.
pub fn edge_for_every_eventfd_write() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, EFD_NONBLOCK));
    epoll.add(&event, EPOLLIN | EPOLLET);
    for _ in 0..100 {
        event::eventfd_write(event.0, 1).expect("write");
        assert_eq!((epoll.events(), epoll.events()), (EPOLLIN, 0));
    }
    event::eventfd_write(event.0, 0).expect("write");
    assert_eq!(epoll.events(), EPOLLIN);
    event::eventfd_read(event.0).expect("read");
    event::eventfd_write(event.0, 0).expect("write");
    assert_eq!(epoll.events(), 0);
}

/// Semantics 74.
pub fn edge_for_every_pipe_write() {
    let (epoll, (read, write)) = (Fd::epoll(), Fd::pipe());
    epoll.add(&read, EPOLLIN | EPOLLET);
    for _ in 0..10 {
        write.write(b"x").expect("write");
        assert_eq!((epoll.events(), epoll.events()), (EPOLLIN, 0));
    }
}

/// Semantics 73.
pub fn edge_for_every_socket_write() {
    let (epoll, (left, right)) = (Fd::epoll(), Fd::socket_pair());
    epoll.add(&left, EPOLLIN | EPOLLET);
    for _ in 0..10 {
        right.write(b"x").expect("write");
        assert_eq!((epoll.events(), epoll.events()), (EPOLLIN, 0));
    }
}

/// Semantics 75.
pub fn edge_of_room_in_a_pipe() {
    let (epoll, (read, write)) = (Fd::epoll(), Fd::pipe());
    file::fcntl(write.0, F_SETPIPE_SZ, 4096).expect("F_SETPIPE_SZ");
    epoll.add(&write, EPOLLOUT | EPOLLET);
    assert_eq!(epoll.events(), EPOLLOUT);
    assert_eq!(write.fill(), 4096);
    assert_eq!(epoll.events(), 0);
    let mut half = [0; 2048];
    assert_eq!(read.read(&mut half), Ok(2048));
    assert_eq!(epoll.events(), 0);
    assert_eq!(read.read(&mut half), Ok(2048));
    assert_eq!((epoll.events(), epoll.events()), (EPOLLOUT, 0));
}

/// Semantics 77.
pub fn edge_reports_the_whole_mask() {
    let (epoll, (left, right)) = (Fd::epoll(), Fd::socket_pair());
    epoll.add(&left, EPOLLIN | EPOLLOUT | EPOLLET);
    assert_eq!(epoll.events(), EPOLLOUT);
    right.write(b"x").expect("write");
    assert_eq!(epoll.events(), EPOLLIN | EPOLLOUT);
}

/// Semantics 78.
pub fn edge_rearmed_by_modify() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(1, 0));
    epoll.add(&event, EPOLLIN | EPOLLET);
    assert_eq!((epoll.events(), epoll.events()), (EPOLLIN, 0));
    epoll.modify(&event, EPOLLIN | EPOLLET);
    assert_eq!((epoll.events(), epoll.events()), (EPOLLIN, 0));
}

/// Semantics 80.
pub fn edges_coalesce() {
    let (epoll, (read, write)) = (Fd::epoll(), Fd::pipe());
    epoll.add(&read, EPOLLIN | EPOLLET);
    write.write(b"a").expect("write");
    write.write(b"b").expect("write");
    assert_eq!((epoll.events(), epoll.events()), (EPOLLIN, 0));
    write.write(b"c").expect("write");
    read.drain();
    assert_eq!(epoll.events(), 0);
}

/// Semantics 81.
pub fn one_shot() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(1, 0));
    epoll.add(&event, EPOLLIN | EPOLLONESHOT);
    assert_eq!((epoll.events(), epoll.events()), (EPOLLIN, 0));
    event::eventfd_write(event.0, 1).expect("write");
    assert_eq!(epoll.events(), 0);
    assert_eq!(epoll.control(ADD, &event, EPOLLIN), Err(Errno::EEXIST));
    epoll.modify(&event, EPOLLIN | EPOLLONESHOT);
    assert_eq!((epoll.events(), epoll.events()), (EPOLLIN, 0));
}

/// Semantics 81, 82.
pub fn one_shot_hides_hang_up() {
    let (epoll, (read, write)) = (Fd::epoll(), Fd::pipe());
    epoll.add(&read, EPOLLIN | EPOLLONESHOT | EPOLLET);
    write.write(b"x").expect("write");
    assert_eq!(epoll.events(), EPOLLIN);
    drop(write);
    assert_eq!(epoll.events(), 0);
    epoll.modify(&read, 0);
    assert_eq!(epoll.events(), EPOLLHUP);
}

/// Semantics 65.
pub fn modify_changes_mask_and_data() {
    let (epoll, (left, right)) = (Fd::epoll(), Fd::socket_pair());
    right.write(b"x").expect("write");
    event::epoll_set(epoll.0, ADD, left.0, EPOLLIN, 1).expect("ADD");
    assert_eq!(epoll.ready(), [(1, EPOLLIN)]);
    event::epoll_set(epoll.0, MOD, left.0, EPOLLOUT, 2).expect("MOD");
    assert_eq!(epoll.ready(), [(2, EPOLLOUT)]);
    event::epoll_set(epoll.0, MOD, left.0, 0, 3).expect("MOD");
    assert_eq!(epoll.ready(), []);
}

/// Semantics 66.
pub fn modify_reports_what_is_ready() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(1, 0));
    epoll.add(&event, 0);
    assert_eq!(epoll.events(), 0);
    epoll.modify(&event, EPOLLIN);
    assert_eq!(epoll.events(), EPOLLIN);
}

/// Semantics 65.
pub fn delete_stops() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(1, 0));
    epoll.add(&event, EPOLLIN);
    assert_eq!(epoll.events(), EPOLLIN);
    epoll.delete(&event);
    assert_eq!(epoll.events(), 0);
    event::eventfd_write(event.0, 1).expect("write");
    assert_eq!(epoll.events(), 0);
}

/// Semantics 60, 144, 145.
pub fn hang_up_and_error_are_implicit() {
    let (epoll, (read, write)) = (Fd::epoll(), Fd::pipe());
    epoll.add(&read, 0);
    drop(write);
    assert_eq!(epoll.events(), EPOLLHUP);

    let (epoll, (read, write)) = (Fd::epoll(), Fd::pipe());
    epoll.add(&write, 0);
    drop(read);
    assert_eq!(epoll.events(), EPOLLERR);
}

/// Semantics 61, 148.
pub fn peer_shutdown() {
    let (epoll, (left, right)) = (Fd::epoll(), Fd::socket_pair());
    epoll.add(&left, EPOLLIN | EPOLLOUT);
    let shutdown = |socket: &Fd, how| {
        // SAFETY: numbers in, a number out.
        userspace_tests::checked(unsafe { libc::shutdown(socket.0, how) }).expect("shutdown");
    };
    shutdown(&right, libc::SHUT_WR);
    assert_eq!(epoll.events(), EPOLLIN | EPOLLOUT);
    epoll.modify(&left, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
    assert_eq!(epoll.events(), EPOLLIN | EPOLLOUT | EPOLLRDHUP);
    shutdown(&left, libc::SHUT_WR);
    assert_eq!(epoll.events(), EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP);
}

/// Semantics 64.
pub fn order_of_becoming_ready() {
    let epoll = Fd::epoll();
    let files: Vec<_> = (0..5).map(|_| Fd::eventfd(0, 0)).collect();
    files.iter().for_each(|file| epoll.add(file, EPOLLIN));
    let order = [3, 1, 4, 0];
    for &number in &order {
        event::eventfd_write(files[number].0, 1).expect("write");
    }
    let expected: Vec<_> = order.iter().map(|&number| (files[number].0 as u64, EPOLLIN)).collect();
    assert_eq!(epoll.ready(), expected);
}

/// Semantics 63.
pub fn rotation_is_fair() {
    const FILES: usize = 10;
    const ROUNDS: usize = 7;
    let epoll = Fd::epoll();
    let files: Vec<_> = (0..FILES).map(|_| Fd::eventfd(1, 0)).collect();
    files.iter().for_each(|file| epoll.add(file, EPOLLIN));
    let mut seen = std::collections::BTreeMap::new();
    for _ in 0..FILES * ROUNDS / 2 {
        for (data, _) in epoll.wait(0, 2).expect("epoll_wait") {
            *seen.entry(data).or_insert(0) += 1;
        }
    }
    assert_eq!(seen.len(), FILES);
    assert!(seen.values().all(|&count| count == ROUNDS), "{seen:?}");
}

/// Semantics 62.
pub fn room_for_one_at_a_time() {
    let epoll = Fd::epoll();
    let files: Vec<_> = (0..8).map(|_| Fd::eventfd(1, 0)).collect();
    files.iter().for_each(|file| epoll.add(file, EPOLLIN | EPOLLET));
    for file in &files {
        assert_eq!(epoll.wait(0, 1), Ok(vec![(file.0 as u64, EPOLLIN)]));
    }
    assert_eq!(epoll.wait(0, 1), Ok(vec![]));
}

/// Semantics 67.
pub fn readiness_at_delivery() {
    let (epoll, (read, write)) = (Fd::epoll(), Fd::pipe());
    epoll.add(&read, EPOLLIN);
    write.write(b"x").expect("write");
    read.drain();
    assert_eq!(epoll.events(), 0);
}

/// Semantics 59.
pub fn exact_masks() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, EFD_NONBLOCK));
    epoll.add(&event, EPOLLIN | EPOLLOUT);
    assert_eq!(epoll.events(), EPOLLOUT);
    event::eventfd_write(event.0, u64::MAX - 1).expect("write");
    assert_eq!(epoll.events(), EPOLLIN);
    event::eventfd_read(event.0).expect("read");
    event::eventfd_write(event.0, 1).expect("write");
    assert_eq!(epoll.events(), EPOLLIN | EPOLLOUT);
}
