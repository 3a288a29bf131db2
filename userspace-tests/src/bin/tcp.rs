//! TCP over loopback.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;
use userspace_tests::{Fd, tests};

fn main() -> ExitCode {
    userspace_tests::run(tests![
        connect_and_echo,
        addresses,
        refused,
        address_in_use,
        end_of_stream,
        reset_by_peer,
        non_blocking_accept,
        non_blocking_connect,
        backpressure,
        large_transfer,
        many_connections,
        readiness,
        peer_shutdown_readiness,
        listener_readiness,
        options,
        accept_blocks,
        port_is_free_again,
    ])
}

/// A connected pair over a fresh listener.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let client = TcpStream::connect(listener.local_addr().expect("getsockname")).expect("connect");
    (client, listener.accept().expect("accept").0)
}

/// The pair as non-blocking descriptors for epoll.
fn descriptors() -> (Fd, Fd) {
    let (client, server) = pair();
    client.set_nonblocking(true).expect("FIONBIO");
    server.set_nonblocking(true).expect("FIONBIO");
    (Fd(client.into_raw_fd()), Fd(server.into_raw_fd()))
}

fn connect_and_echo() {
    let (mut client, mut server) = pair();
    client.write_all(b"ping").expect("write");
    let mut buffer = [0; 4];
    server.read_exact(&mut buffer).expect("read");
    server.write_all(&buffer).expect("write");
    client.read_exact(&mut buffer).expect("read");
    assert_eq!(&buffer, b"ping");
}

fn addresses() {
    let (client, server) = pair();
    let local: SocketAddr = client.local_addr().expect("getsockname");
    assert_eq!(server.peer_addr().expect("getpeername"), local);
    assert_eq!(
        client.peer_addr().expect("getpeername"),
        server.local_addr().expect("getsockname")
    );
    assert!(local.ip().is_loopback() && local.port() != 0);
}

fn refused() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("getsockname");
    drop(listener);
    assert_eq!(
        TcpStream::connect(address).expect_err("ECONNREFUSED").kind(),
        ErrorKind::ConnectionRefused
    );
}

fn address_in_use() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let again = TcpListener::bind(listener.local_addr().expect("getsockname"));
    assert_eq!(again.expect_err("EADDRINUSE").kind(), ErrorKind::AddrInUse);
}

fn end_of_stream() {
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
fn reset_by_peer() {
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

fn non_blocking_accept() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    listener.set_nonblocking(true).expect("FIONBIO");
    assert_eq!(listener.accept().expect_err("EAGAIN").kind(), ErrorKind::WouldBlock);
    let _client = TcpStream::connect(listener.local_addr().expect("getsockname")).expect("connect");
    assert!(listener.accept().is_ok());
}

fn non_blocking_connect() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("getsockname");
    // A timeout makes std connect without blocking and poll.
    let mut client = TcpStream::connect_timeout(&address, Duration::from_secs(5)).expect("connect");
    let (mut server, _) = listener.accept().expect("accept");
    client.write_all(b"x").expect("write");
    server.read_exact(&mut [0]).expect("read");
}

fn backpressure() {
    let (client, server) = descriptors();
    let written = client.fill();
    assert!(written >= 65536, "{written}");
    let mut received = 0;
    let mut buffer = vec![0; 65536];
    while received < written {
        match server.read(&mut buffer) {
            Ok(count) => received += count,
            Err(_) => thread::sleep(Duration::from_millis(1)),
        }
    }
    assert_eq!(received, written);
}

fn large_transfer() {
    let (mut client, mut server) = pair();
    let sent: Vec<u8> = (0..4_000_000u32).map(|number| (number % 251) as u8).collect();
    let copy = sent.clone();
    let sender = thread::spawn(move || {
        client.write_all(&copy).expect("write");
    });
    let mut received = Vec::new();
    server.read_to_end(&mut received).expect("read");
    sender.join().expect("thread");
    assert!(received == sent, "{} bytes", received.len());
}

fn many_connections() {
    const CLIENTS: usize = 50;
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("getsockname");
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            thread::spawn(move || {
                let mut stream = TcpStream::connect(address).expect("connect");
                stream.write_all(&[number as u8]).expect("write");
                let mut back = [0];
                stream.read_exact(&mut back).expect("read");
                assert_eq!(back, [number as u8 + 1]);
            })
        })
        .collect();
    for _ in 0..CLIENTS {
        let (mut stream, _) = listener.accept().expect("accept");
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("read");
        stream.write_all(&[byte[0] + 1]).expect("write");
    }
    clients.into_iter().for_each(|client| client.join().expect("thread"));
}

const IN: u32 = libc::EPOLLIN as u32;
const OUT: u32 = libc::EPOLLOUT as u32;
const RDHUP: u32 = libc::EPOLLRDHUP as u32;
const HUP: u32 = libc::EPOLLHUP as u32;

/// The events of the next wait.
fn next(epoll: &Fd) -> u32 {
    epoll
        .wait(2000, 1)
        .expect("epoll_wait")
        .first()
        .map_or(0, |&(_, events)| events)
}

fn readiness() {
    let (epoll, (client, server)) = (Fd::epoll(), descriptors());
    epoll.add(&client, IN | OUT | RDHUP | libc::EPOLLET as u32);
    assert_eq!(next(&epoll), OUT);
    for _ in 0..5 {
        server.write(b"x").expect("write");
        assert_eq!(next(&epoll), IN | OUT);
    }
}

/// Semantics 61, 149.
fn peer_shutdown_readiness() {
    let (epoll, (client, server)) = (Fd::epoll(), descriptors());
    epoll.add(&client, IN | RDHUP);
    // SAFETY: numbers in, a number out.
    let shutdown = |socket: &Fd, how| assert_eq!(unsafe { libc::shutdown(socket.0, how) }, 0);
    shutdown(&server, libc::SHUT_WR);
    assert_eq!(next(&epoll), IN | RDHUP);
    shutdown(&client, libc::SHUT_WR);
    assert_eq!(next(&epoll), IN | RDHUP | HUP);
}

fn listener_readiness() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let epoll = Fd::epoll();
    let watched = Fd(libsyscall::calls::file::dup(listener.as_raw_fd()).expect("dup"));
    epoll.add(&watched, IN);
    assert_eq!(epoll.events(), 0);
    let _client = TcpStream::connect(listener.local_addr().expect("getsockname")).expect("connect");
    assert_eq!(next(&epoll), IN);
    listener.accept().expect("accept");
    assert_eq!(epoll.events(), 0);
}

fn options() {
    let (client, _server) = pair();
    client.set_nodelay(true).expect("TCP_NODELAY");
    assert!(client.nodelay().expect("TCP_NODELAY"));
    client
        .set_read_timeout(Some(Duration::from_millis(20)))
        .expect("SO_RCVTIMEO");
    assert_eq!(
        (&client).read(&mut [0]).expect_err("EAGAIN").kind(),
        ErrorKind::WouldBlock
    );
    assert!(client.take_error().expect("SO_ERROR").is_none());
}

fn accept_blocks() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("getsockname");
    let acceptor = thread::spawn(move || listener.accept().map(drop));
    thread::sleep(Duration::from_millis(30));
    assert!(!acceptor.is_finished());
    let _client = TcpStream::connect(address).expect("connect");
    acceptor.join().expect("thread").expect("accept");
}

/// std listens with SO_REUSEADDR.
fn port_is_free_again() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("getsockname");
    let client = TcpStream::connect(address).expect("connect");
    drop((listener.accept().expect("accept"), client, listener));
    TcpListener::bind(address).expect("bind again");
}
