//! close(2) of a socket with SO_LINGER: it waits until the other end has room for what is left.

use super::sockets::*;
use std::thread;
use std::time::{Duration, Instant};
use userspace_tests::option::set;
use userspace_tests::{Fd, Status, alarm_every, child};

/// What no test waits for to its end.
const LONG: i32 = 60;
/// Far below that, and more than a loaded machine needs for what takes no time.
const SHORT: Duration = Duration::from_secs(20);

/// A full connection whose first end lingers so many seconds, and the number of bytes on their way.
fn full(seconds: i32) -> (Fd, Fd, usize) {
    let (client, server) = descriptors();
    set(&client, libc::SOL_SOCKET, libc::SO_LINGER, [1, seconds]).expect("SO_LINGER");
    let written = client.fill();
    (client, server, written)
}

/// What comes until the end.
fn count(socket: &Fd) -> usize {
    let epoll = Fd::epoll();
    epoll.add(socket, libc::EPOLLIN as u32);
    let mut total = 0;
    loop {
        next(&epoll);
        match receive(socket, 1 << 20, 0) {
            Ok(bytes) if bytes.is_empty() => return total,
            Ok(bytes) => total += bytes.len(),
            Err(error) => assert_eq!(error, libsyscall::abi::Errno::EAGAIN),
        }
    }
}

/// Even of a socket that does not block.
pub fn waits_for_the_reader() {
    let (client, server, written) = full(LONG);
    let reader = thread::spawn(move || {
        thread::sleep(Duration::from_millis(200));
        let start = Instant::now();
        (start, count(&server))
    });
    drop(client);
    let closed = Instant::now();
    let (start, read) = reader.join().expect("thread");
    assert!(closed >= start);
    assert_eq!(read, written);
}

/// Then what is left is on its way all the same. dup2(2) closes too.
pub fn waits_no_longer_than_asked() {
    for by_dup2 in [false, true] {
        let (client, server, written) = full(1);
        let start = Instant::now();
        if by_dup2 {
            // SAFETY: numbers in, a number out.
            assert_eq!(unsafe { libc::dup2(server.0, client.0) }, client.0);
        }
        drop(client);
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(900), "{took:?}");
        assert_eq!(count(&server), written);
    }
}

pub fn waits_until_the_peer_is_gone() {
    let (client, server, _) = full(LONG);
    let peer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(200));
        let start = Instant::now();
        drop(server);
        start
    });
    drop(client);
    let closed = Instant::now();
    assert!(closed >= peer.join().expect("thread"));
}

pub fn signal_ends_the_waiting() {
    let patient = child(|| {
        extern "C" fn nothing(_: i32) {}
        let (client, _server, _) = full(LONG);
        // SAFETY: the handler does nothing.
        unsafe { libc::signal(libc::SIGALRM, nothing as *const () as libc::sighandler_t) };
        alarm_every(100_000);
        // SAFETY: it takes a number.
        unsafe { libc::close(client.0) }
    });
    assert_eq!(patient.wait(), Status::Exited(0));
}

/// What the other end has room for needs no waiting, nor does an end that resets the connection, a process that ends, or a
/// descriptor that is not the last.
pub fn nothing_to_wait_for() {
    let start = Instant::now();
    let (client, server) = descriptors();
    set(&client, libc::SOL_SOCKET, libc::SO_LINGER, [1, LONG]).expect("SO_LINGER");
    send(&client, b"little", 0).expect("send");
    drop(client);
    assert_eq!(receive(&server, 9, 0), Ok(b"little".to_vec()));

    let (client, server, _) = full(LONG);
    send(&server, b"unread", 0).expect("send");
    thread::sleep(Duration::from_millis(20));
    drop(client);

    let (client, _server, _) = full(LONG);
    let (read, write) = Fd::blocking_pipe();
    let heir = child(|| {
        libsyscall::calls::file::close(write.0).expect("close");
        // Until this process has closed its own.
        assert_eq!(read.read(&mut [0]), Ok(0));
        libsyscall::calls::process::exit_group(0)
    });
    drop(client);
    drop(write);
    assert_eq!(heir.wait(), Status::Exited(0));
    assert!(start.elapsed() < SHORT);
}
