//! How a connection ends, and what each end sees of it.

use super::sockets::*;
use libsyscall::abi::Errno;
use libsyscall::abi::event::{EPOLLERR as ERR, EPOLLHUP as HUP, EPOLLIN as IN, EPOLLOUT as OUT, EPOLLRDHUP as RDHUP};
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::Duration;
use userspace_tests::Fd;
use userspace_tests::option::set;

pub fn end_of_stream() {
    let (mut client, mut server) = pair();
    client.write_all(b"last words").expect("write");
    client.shutdown(Shutdown::Write).expect("shutdown");
    let mut text = String::new();
    server.read_to_string(&mut text).expect("read");
    assert_eq!(text, "last words");
    server.write_all(b"answer").expect("write");
    drop(server);
    text.clear();
    client.read_to_string(&mut text).expect("read");
    assert_eq!(text, "answer");
}

/// Closing with unread bytes resets the connection.
pub fn reset_by_peer() {
    let (mut client, server) = pair();
    client.write_all(b"never read").expect("write");
    // Until they have arrived.
    assert_eq!(server.peek(&mut [0]).expect("peek"), 1);
    drop(server);
    assert_eq!(
        client.read(&mut [0]).expect_err("ECONNRESET").kind(),
        ErrorKind::ConnectionReset
    );
}

/// Semantics 61, 149.
pub fn peer_shutdown_readiness() {
    let (epoll, (client, server)) = (Fd::epoll(), descriptors());
    epoll.add(&client, IN | RDHUP);
    // SAFETY: numbers in, a number out.
    let shutdown = |socket: &Fd, how| assert_eq!(unsafe { libc::shutdown(socket.0, how) }, 0);
    shutdown(&server, libc::SHUT_WR);
    assert_eq!(next(&epoll), IN | RDHUP);
    shutdown(&client, libc::SHUT_WR);
    assert_eq!(next(&epoll), IN | RDHUP | HUP);
}

pub fn both_directions_over() {
    let (client, server) = descriptors();
    assert_eq!(events(&client), OUT);
    shutdown(&server, libc::SHUT_WR).expect("shutdown");
    assert_eq!((events(&client), events(&server)), (IN | OUT | RDHUP, OUT));
    assert_eq!(receive(&client, 1, 0), Ok(vec![]));
    shutdown(&client, libc::SHUT_WR).expect("shutdown");
    let over = IN | OUT | HUP | RDHUP;
    assert_eq!((events(&client), events(&server)), (over, over));
    assert_eq!(shutdown(&client, libc::SHUT_WR), Err(Errno::ENOTCONN));
    assert!(!has_peer(&client) && !has_peer(&server));
}

/// shutdown(2) for reading is this end's alone: what comes is still there.
pub fn own_shutdown() {
    let (client, server) = descriptors();
    shutdown(&client, libc::SHUT_RD).expect("shutdown");
    assert_eq!((events(&client), events(&server)), (IN | OUT | RDHUP, OUT));
    send(&server, b"x", 0).expect("send");
    thread::sleep(Duration::from_millis(20));
    assert_eq!(receive(&client, 1, 0), Ok(b"x".to_vec()));
    assert_eq!(receive(&client, 1, 0), Ok(vec![]));
    let (client, server) = descriptors();
    shutdown(&client, libc::SHUT_WR).expect("shutdown");
    assert_eq!((events(&client), events(&server)), (OUT, IN | OUT | RDHUP));
    assert_eq!(send(&client, b"x", 0), Err(Errno::EPIPE));
    // Who has shut down both ways answers bytes with a reset.
    let (client, server) = descriptors();
    shutdown(&client, libc::SHUT_RDWR).expect("shutdown");
    assert_eq!(
        (events(&client), events(&server)),
        (IN | OUT | HUP | RDHUP, IN | OUT | RDHUP)
    );
    assert_eq!(send(&server, b"x", 0), Ok(1));
    assert_eq!(events(&server), RESET);
    assert_eq!(send(&server, b"x", 0), Err(Errno::EPIPE));
    assert_eq!(receive(&server, 1, 0), Ok(vec![]));
}

/// One send to a closed peer is taken; then the connection is over, and reading finds its end.
pub fn peer_closed() {
    let (client, server) = descriptors();
    drop(server);
    assert_eq!(events(&client), IN | OUT | RDHUP);
    assert_eq!(send(&client, b"x", 0), Ok(1));
    assert_eq!(events(&client), RESET);
    assert_eq!(receive(&client, 1, 0), Ok(vec![]));
    assert_eq!(events(&client), RESET);
    assert_eq!(take_error(&client), libc::EPIPE);
    assert_eq!(events(&client), RESET & !ERR);
    assert_eq!(send(&client, b"x", 0), Err(Errno::EPIPE));
    assert!(!has_peer(&client));
    assert_eq!(shutdown(&client, libc::SHUT_WR), Err(Errno::ENOTCONN));
}

pub fn reset_by_unread_bytes() {
    let (client, server) = descriptors();
    send(&client, b"unread", 0).expect("send");
    thread::sleep(Duration::from_millis(20));
    drop(server);
    assert_eq!(events(&client), RESET);
    assert_eq!(receive(&client, 1, 0), Err(Errno::ECONNRESET));
    assert_eq!(events(&client), RESET & !ERR);
    assert_eq!(receive(&client, 1, 0), Ok(vec![]));
    assert_eq!(send(&client, b"x", 0), Err(Errno::EPIPE));
}

/// The first send after the other end has closed takes what the buffers hold, not all there is; the second fails.
pub fn send_much_to_closed() {
    let (client, server) = descriptors();
    drop(server);
    let bytes = vec![0; 64 << 20];
    let first = send(&client, &bytes, 0).expect("send") as usize;
    assert!((1..bytes.len()).contains(&first), "{first}");
    let broken = [Err(Errno::EPIPE), Err(Errno::ECONNRESET)];
    assert!(broken.contains(&send(&client, b"x", 0)));
}

pub fn reset_by_linger() {
    let (client, server) = descriptors();
    set(&server, libc::SOL_SOCKET, libc::SO_LINGER, [1, 0]).expect("SO_LINGER");
    drop(server);
    assert_eq!(events(&client), RESET);
    assert_eq!(send(&client, b"x", 0), Err(Errno::ECONNRESET));
    assert_eq!(send(&client, b"x", 0), Err(Errno::EPIPE));
    assert_eq!(receive(&client, 1, 0), Ok(vec![]));
}

/// What came before the reset is read before it is told.
pub fn reset_keeps_what_came() {
    let (client, server) = descriptors();
    set(&server, libc::SOL_SOCKET, libc::SO_LINGER, [1, 0]).expect("SO_LINGER");
    send(&server, b"data", 0).expect("send");
    drop(server);
    assert_eq!(events(&client), RESET);
    assert_eq!(receive(&client, 9, 0), Ok(b"data".to_vec()));
    assert_eq!(receive(&client, 9, 0), Err(Errno::ECONNRESET));
    assert_eq!(receive(&client, 9, 0), Ok(vec![]));
}

/// Even of what did not change: who waits for room alone hears of the end.
pub fn state_changes_are_edges() {
    let (epoll, (client, server)) = (Fd::epoll(), descriptors());
    epoll.add(&client, OUT | libc::EPOLLET as u32);
    assert_eq!(next(&epoll), OUT);
    assert_eq!(epoll.events(), 0);
    send(&server, b"x", 0).expect("send");
    thread::sleep(Duration::from_millis(20));
    assert_eq!(epoll.events(), 0);
    shutdown(&server, libc::SHUT_WR).expect("shutdown");
    assert_eq!(next(&epoll), OUT);
}
