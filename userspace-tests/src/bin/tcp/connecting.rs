//! connect(2): at once, in steps, in vain; and who the ends are.

use super::sockets::*;
use libsyscall::abi::Errno;
use libsyscall::abi::event::{EPOLLERR as ERR, EPOLLHUP as HUP, EPOLLOUT as OUT};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::IntoRawFd;
use std::thread;
use std::time::Duration;
use userspace_tests::{Fd, checked};

pub fn connect_and_echo() {
    let (mut client, mut server) = pair();
    client.write_all(b"ping").expect("write");
    let mut buffer = [0; 4];
    server.read_exact(&mut buffer).expect("read");
    server.write_all(&buffer).expect("write");
    client.read_exact(&mut buffer).expect("read");
    assert_eq!(&buffer, b"ping");
}

pub fn addresses() {
    let (client, server) = pair();
    let local: SocketAddr = client.local_addr().expect("getsockname");
    assert_eq!(server.peer_addr().expect("getpeername"), local);
    assert_eq!(
        client.peer_addr().expect("getpeername"),
        server.local_addr().expect("getsockname")
    );
    assert!(local.ip().is_loopback() && local.port() != 0);
}

pub fn refused() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("getsockname");
    drop(listener);
    assert_eq!(
        TcpStream::connect(address).expect_err("ECONNREFUSED").kind(),
        ErrorKind::ConnectionRefused
    );
}

pub fn non_blocking_connect() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("getsockname");
    // A timeout makes std connect without blocking and poll.
    let mut client = TcpStream::connect_timeout(&address, Duration::from_secs(5)).expect("connect");
    let (mut server, _) = listener.accept().expect("accept");
    client.write_all(b"x").expect("write");
    server.read_exact(&mut [0]).expect("read");
}

pub fn connect_in_steps() {
    let (listener, address) = listener();
    let client = fresh();
    assert_eq!(events(&client), OUT | HUP);
    assert_eq!(connect(&client, address), Err(Errno::EINPROGRESS));
    assert_eq!(events(&client), OUT);
    assert_eq!(connect(&client, address), Ok(0));
    assert_eq!(connect(&client, address), Err(Errno::EISCONN));
    // SAFETY: numbers in, a number out.
    assert_eq!(checked(unsafe { libc::listen(client.0, 1) }), Err(Errno::EINVAL));
    listener.accept().expect("accept");
}

pub fn connect_refused_in_steps() {
    let (client, address) = (fresh(), nobody());
    for _ in 0..2 {
        assert_eq!(connect(&client, address), Err(Errno::EINPROGRESS));
        assert_eq!(events(&client), RESET);
        assert_eq!(connect(&client, address), Err(Errno::ECONNREFUSED));
        assert_eq!(events(&client), OUT | HUP);
    }
    assert_eq!(connect(&client, address), Err(Errno::EINPROGRESS));
    thread::sleep(Duration::from_millis(20));
    assert_eq!(take_error(&client), libc::ECONNREFUSED);
    assert_eq!(events(&client), RESET & !ERR);
    assert_eq!(connect(&client, address), Err(Errno::ECONNABORTED));
    assert_eq!(events(&client), OUT | HUP);
}

pub fn connect_refused_without_asking() {
    let client = fresh();
    assert_eq!(connect(&client, nobody()), Err(Errno::EINPROGRESS));
    thread::sleep(Duration::from_millis(20));
    assert!(!has_peer(&client));
    assert_eq!(receive(&client, 1, 0), Err(Errno::ECONNREFUSED));
    assert_eq!(receive(&client, 1, 0), Ok(vec![]));
    assert_eq!(send(&client, b"x", 0), Err(Errno::EPIPE));
}

pub fn not_connected() {
    let socket = fresh();
    assert_eq!(receive(&socket, 1, 0), Err(Errno::ENOTCONN));
    assert_eq!(send(&socket, b"x", 0), Err(Errno::EPIPE));
    assert_eq!(shutdown(&socket, libc::SHUT_RDWR), Err(Errno::ENOTCONN));
    let none = std::ptr::null_mut();
    // SAFETY: null pointers say that no address is wanted.
    let accepted = unsafe { libc::accept(socket.0, none, std::ptr::null_mut()) };
    assert_eq!(checked(accepted), Err(Errno::EINVAL));
    let (listener, address) = listener();
    let listener = Fd(listener.into_raw_fd());
    assert_eq!(events(&listener), 0);
    assert_eq!(receive(&listener, 1, 0), Err(Errno::ENOTCONN));
    assert_eq!(send(&listener, b"x", 0), Err(Errno::EPIPE));
    assert_eq!(connect(&listener, address), Err(Errno::EISCONN));
}

/// connect(2) to AF_UNSPEC ends a connection, and lets make another.
pub fn dissolved() {
    let (client, server) = descriptors();
    let nothing = [0u64; 2];
    // SAFETY: all zeroes are a socket address, of the family AF_UNSPEC.
    checked(unsafe { libc::connect(client.0, nothing.as_ptr().cast(), 16) }).expect("connect");
    // Linux sometimes tells the end to the one who made it, too.
    assert_eq!(events(&client) & !ERR, OUT | HUP);
    assert_eq!(events(&server), RESET);
    let (listener, address) = listener();
    assert_eq!(connect(&client, address), Err(Errno::EINPROGRESS));
    listener.accept().expect("accept");
}

/// An IPv6 listener takes IPv4 connections, and shows their ends as mapped addresses.
pub fn mapped_addresses() {
    let listener = TcpListener::bind("[::]:0").expect("bind");
    let port = listener.local_addr().expect("getsockname").port();
    let client = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    let (server, from) = listener.accept().expect("accept");
    let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
    assert_eq!(
        from,
        SocketAddr::from((mapped, client.local_addr().expect("getsockname").port()))
    );
    assert_eq!(
        server.local_addr().expect("getsockname"),
        SocketAddr::from((mapped, port))
    );
    let back = TcpStream::connect((mapped, port)).expect("connect");
    assert_eq!(back.local_addr().expect("getsockname").ip(), mapped);
    // The port is taken for IPv4 too.
    let taken = TcpListener::bind(("127.0.0.1", port)).expect_err("EADDRINUSE");
    assert_eq!(taken.kind(), ErrorKind::AddrInUse);
}

pub fn ipv6() {
    let listener = TcpListener::bind("[::1]:0").expect("bind");
    let address = listener.local_addr().expect("getsockname");
    let client = TcpStream::connect(address).expect("connect");
    let (_server, from) = listener.accept().expect("accept");
    assert_eq!(from, client.local_addr().expect("getsockname"));
    assert_eq!(from.ip(), Ipv6Addr::LOCALHOST);
    // The same port of IPv4 is another one.
    assert_eq!(
        TcpStream::connect(("127.0.0.1", address.port()))
            .expect_err("ECONNREFUSED")
            .kind(),
        ErrorKind::ConnectionRefused
    );
    TcpListener::bind(("127.0.0.1", address.port())).expect("bind");
}
