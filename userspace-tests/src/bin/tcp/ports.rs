//! Who may be bound to a port that another has, or had.

use super::sockets::*;
use libsyscall::abi::Errno;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::IntoRawFd;
use std::thread;
use std::time::{Duration, Instant};
use userspace_tests::option::set;
use userspace_tests::{Fd, checked};

pub fn address_in_use() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let again = TcpListener::bind(listener.local_addr().expect("getsockname"));
    assert_eq!(again.expect_err("EADDRINUSE").kind(), ErrorKind::AddrInUse);
}

/// std listens with SO_REUSEADDR.
pub fn port_is_free_again() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("getsockname");
    let client = TcpStream::connect(address).expect("connect");
    drop((listener.accept().expect("accept"), client, listener));
    TcpListener::bind(address).expect("bind again");
}

/// A connection of a listener bound with an option, which is gone: its address, and both ends, the accepted one first.
fn connection_of(option: i32) -> (SocketAddr, Fd, Fd) {
    let listener = bound_with(option, "127.0.0.1:0".parse().expect("address")).expect("bind");
    listener.listen(5).expect("listen");
    let address = local_address(&listener);
    // SAFETY: no memory is involved.
    checked(unsafe { libc::fcntl(listener.0, libc::F_SETFL, 0) }).expect("F_SETFL");
    let client = TcpStream::connect(address).expect("connect");
    (address, listener.accept().expect("accept"), Fd(client.into_raw_fd()))
}

/// An option that has nothing to do with ports.
const NO_SHARING: i32 = libc::SO_KEEPALIVE;

/// Waits until somebody may be bound to an address: the other end's packets need their time.
fn expect_free(address: SocketAddr) {
    let start = Instant::now();
    while bound_with(NO_SHARING, address).is_err() {
        assert!(start.elapsed() < Duration::from_secs(20), "{address} is still taken");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The port of the end that is closed first is kept from others; that of the other end is not.
pub fn port_rests() {
    let (address, server, client) = connection_of(NO_SHARING);
    drop(server);
    assert_eq!(bound_with(NO_SHARING, address).expect_err("bind"), Errno::EADDRINUSE);
    drop(client);
    for option in [NO_SHARING, libc::SO_REUSEADDR, libc::SO_REUSEPORT] {
        assert_eq!(bound_with(option, address).expect_err("bind"), Errno::EADDRINUSE);
    }
    let (address, server, client) = connection_of(NO_SHARING);
    let other = local_address(&client);
    drop(client);
    // It has heard of the end before it ends itself.
    assert_eq!(receive(&server, 8, 0), Ok(vec![]));
    drop(server);
    expect_free(address);
    assert_eq!(
        bound_with(libc::SO_REUSEADDR, other).expect_err("bind"),
        Errno::EADDRINUSE
    );
}

pub fn port_rests_after_shutdown() {
    let (address, server, client) = connection_of(NO_SHARING);
    shutdown(&server, libc::SHUT_WR).expect("shutdown");
    assert_eq!(receive(&client, 8, 0), Ok(vec![]));
    shutdown(&client, libc::SHUT_WR).expect("shutdown");
    drop((client, server));
    assert_eq!(
        bound_with(libc::SO_REUSEADDR, address).expect_err("bind"),
        Errno::EADDRINUSE
    );
}

pub fn port_rests_for_those_who_share() {
    let (address, server, client) = connection_of(libc::SO_REUSEADDR);
    drop((server, client));
    assert_eq!(bound_with(NO_SHARING, address).expect_err("bind"), Errno::EADDRINUSE);
    let again = bound_with(libc::SO_REUSEADDR, address).expect("bind");
    again.listen(5).expect("listen");
    TcpStream::connect(address).expect("connect");
}

/// TCP_LINGER2 of less than none: who ends a connection first does not wait for the other end, which meets nobody. One that
/// comes second waits for nothing anyway.
pub fn waits_for_no_end() {
    for shuts_down_first in [false, true] {
        let (address, server, client) = connection_of(NO_SHARING);
        set(&server, libc::SOL_TCP, libc::TCP_LINGER2, -1).expect("TCP_LINGER2");
        send(&server, b"last", 0).expect("send");
        if shuts_down_first {
            shutdown(&server, libc::SHUT_WR).expect("shutdown");
        }
        drop(server);
        expect_free(address);
        assert_eq!(receive(&client, 8, 0), Ok(b"last".to_vec()));
        assert_eq!(receive(&client, 8, 0), Ok(vec![]));
        assert_eq!(take_error(&client), libc::EPIPE);
        assert_eq!(send(&client, b"x", libc::MSG_NOSIGNAL), Err(Errno::EPIPE));
    }
    let (_, server, client) = connection_of(NO_SHARING);
    set(&server, libc::SOL_TCP, libc::TCP_LINGER2, -1).expect("TCP_LINGER2");
    shutdown(&client, libc::SHUT_WR).expect("shutdown");
    assert_eq!(receive(&server, 8, 0), Ok(vec![]));
    drop(server);
    assert_eq!(receive(&client, 8, 0), Ok(vec![]));
    assert_eq!(take_error(&client), 0);
}

/// And so many seconds: its port is kept no longer, whatever the other end does.
pub fn waits_for_the_end_so_long() {
    let (address, server, _client) = connection_of(NO_SHARING);
    set(&server, libc::SOL_TCP, libc::TCP_LINGER2, 1).expect("TCP_LINGER2");
    drop(server);
    expect_free(address);
}

pub fn reset_lets_no_port_rest() {
    let (address, server, client) = connection_of(NO_SHARING);
    let at_once = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    set(&server, libc::SOL_SOCKET, libc::SO_LINGER, at_once).expect("SO_LINGER");
    drop((server, client));
    expect_free(address);
}

/// SO_REUSEADDR lets two be bound, but one listen.
pub fn listening_twice() {
    let first = bound_with(libc::SO_REUSEADDR, "127.0.0.1:0".parse().expect("address")).expect("bind");
    let address = local_address(&first);
    let second = bound_with(libc::SO_REUSEADDR, address).expect("bind");
    // SAFETY: numbers in, a number out.
    let listen = |socket: &Fd| checked(unsafe { libc::listen(socket.0, 5) });
    assert_eq!(listen(&first), Ok(0));
    assert_eq!(listen(&second), Err(Errno::EADDRINUSE));
    assert_eq!(
        bound_with(libc::SO_REUSEADDR, address).map(drop),
        Err(Errno::EADDRINUSE)
    );
    drop(first);
    assert_eq!(listen(&second), Ok(0));
}

pub fn reuse_port_spreads() {
    let first = bound_with(libc::SO_REUSEPORT, "127.0.0.1:0".parse().expect("address")).expect("bind");
    let address = local_address(&first);
    let second = bound_with(libc::SO_REUSEPORT, address).expect("bind");
    let sockets = [first, second];
    for socket in &sockets {
        // SAFETY: numbers in, a number out.
        checked(unsafe { libc::listen(socket.0, 128) }).expect("listen");
    }
    let clients: Vec<TcpStream> = (0..64).map(|_| TcpStream::connect(address).expect("connect")).collect();
    let mut total = 0;
    for socket in &sockets {
        let mut count = 0;
        let none = std::ptr::null_mut();
        // SAFETY: null pointers say that no address is wanted.
        while let Ok(accepted) = checked(unsafe { libc::accept(socket.0, none, std::ptr::null_mut()) }) {
            drop(Fd(accepted));
            count += 1;
        }
        assert!(count > 0);
        total += count;
    }
    assert_eq!(total, clients.len());
}

/// A port stays taken while a connection that was accepted there lives.
pub fn accepted_keep_the_port() {
    let (listener, address) = listener();
    let _client = TcpStream::connect(address).expect("connect");
    let server = listener.accept().expect("accept").0;
    drop(listener);
    let plain = |at| {
        let socket = bound_with(libc::SO_KEEPALIVE, at)?;
        // SAFETY: numbers in, a number out.
        checked(unsafe { libc::listen(socket.0, 1) })
    };
    assert_eq!(plain(address), Err(Errno::EADDRINUSE));
    // One who listens again with SO_REUSEADDR, as servers do, may have it.
    TcpListener::bind(address).expect("bind");
    drop(server);
}
