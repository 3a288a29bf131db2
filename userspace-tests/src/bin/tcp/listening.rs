//! listen(2) and accept(2), and what becomes of those who wait.

use super::sockets::*;
use libsyscall::abi::Errno;
use libsyscall::abi::event::{EPOLLERR as ERR, EPOLLHUP as HUP, EPOLLIN as IN, EPOLLOUT as OUT};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::thread;
use std::time::Duration;
use userspace_tests::{Fd, checked};

pub fn non_blocking_accept() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    listener.set_nonblocking(true).expect("FIONBIO");
    assert_eq!(listener.accept().expect_err("EAGAIN").kind(), ErrorKind::WouldBlock);
    let _client = TcpStream::connect(listener.local_addr().expect("getsockname")).expect("connect");
    assert!(listener.accept().is_ok());
}

pub fn many_connections() {
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

pub fn listener_readiness() {
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

pub fn accept_blocks() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("getsockname");
    let acceptor = thread::spawn(move || listener.accept().map(drop));
    thread::sleep(Duration::from_millis(30));
    assert!(!acceptor.is_finished());
    let _client = TcpStream::connect(address).expect("connect");
    acceptor.join().expect("thread").expect("accept");
}

/// A listener whose queue has room for two, and clients: two connected, the others still connecting.
fn crowd() -> (Fd, SocketAddr, Vec<Fd>) {
    let (listener, address) = listener();
    let listener = Fd(listener.into_raw_fd());
    // SAFETY: numbers in, a number out.
    checked(unsafe { libc::listen(listener.0, 1) }).expect("listen");
    let clients: Vec<Fd> = (0..4).map(|_| fresh()).collect();
    for client in &clients {
        assert_eq!(connect(client, address), Err(Errno::EINPROGRESS));
    }
    (listener, address, clients)
}

pub fn full_backlog() {
    let (listener, address, clients) = crowd();
    let states: Vec<u32> = clients.iter().map(events).collect();
    assert_eq!(states, [OUT, OUT, 0, 0]);
    assert_eq!(connect(&clients[3], address), Err(Errno::EALREADY));
    assert_eq!(receive(&clients[3], 1, 0), Err(Errno::EAGAIN));
    assert_eq!(send(&clients[3], b"x", 0), Err(Errno::EAGAIN));
    assert_eq!(events(&listener), IN);
    // Who gives up is not connected any more.
    shutdown(&clients[3], libc::SHUT_WR).expect("shutdown");
    assert_eq!(events(&clients[3]), OUT | ERR | HUP);
    assert_eq!(take_error(&clients[3]), libc::ECONNRESET);
    let none = std::ptr::null_mut();
    // SAFETY: null pointers say that no address is wanted.
    let accepted = Fd(checked(unsafe { libc::accept(listener.0, none, std::ptr::null_mut()) }).expect("accept"));
    // On Linux it asks again after a second, and then after two more.
    let epoll = Fd::epoll();
    epoll.add(&clients[2], OUT);
    assert_eq!(epoll.wait(8000, 1).expect("epoll_wait").len(), 1);
    send(&clients[0], b"first", 0).expect("send");
    // SAFETY: as above.
    let blocking = checked(unsafe { libc::fcntl(accepted.0, libc::F_SETFL, 0) });
    blocking.expect("F_SETFL");
    assert_eq!(receive(&accepted, 9, 0), Ok(b"first".to_vec()));
}

pub fn listener_shut_down() {
    let (listener, _, clients) = crowd();
    assert_eq!(shutdown(&listener, libc::SHUT_WR), Ok(0));
    assert_eq!(events(&listener), IN);
    assert_eq!(shutdown(&listener, libc::SHUT_RD), Ok(0));
    assert_eq!(events(&listener), OUT | HUP);
    assert_eq!(events(&clients[0]), RESET);
    assert_eq!(receive(&clients[0], 1, 0), Err(Errno::ECONNRESET));
}

pub fn listener_closed() {
    let (listener, _, clients) = crowd();
    drop(listener);
    for client in &clients[..2] {
        assert_eq!(events(client), RESET);
        assert_eq!(take_error(client), libc::ECONNRESET);
    }
    // On Linux it hears of it when it asks again.
    let epoll = Fd::epoll();
    epoll.add(&clients[2], 0);
    assert_eq!(epoll.wait(8000, 1).expect("epoll_wait").len(), 1);
    assert_eq!(take_error(&clients[2]), libc::ECONNREFUSED);
}

/// A client that is closed while it waits for room leaves nothing behind.
pub fn given_up_while_waiting() {
    let (listener, address, mut clients) = crowd();
    drop(clients.split_off(2));
    for _ in 0..2000 {
        let client = fresh();
        assert_eq!(connect(&client, address), Err(Errno::EINPROGRESS));
    }
    drop((clients, listener));
    // Those were the only ones at the port.
    TcpListener::bind(address).expect("bind");
}
