//! What comes back of a message that nobody took.

use super::sockets::*;
use libsyscall::abi::Errno;
use libsyscall::abi::event::{EPOLLERR as ERR, EPOLLIN as IN};
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use userspace_tests::option::{receive_message, set};

pub fn unreachable_port() {
    let one = bound();
    one.connect(nobody()).expect("connect");
    let mut buffer = [0; 4];
    // A receive hears of it, a send does, and SO_ERROR does; each takes it away.
    one.send(b"x").expect("send");
    assert_eq!(
        one.recv(&mut buffer).expect_err("ECONNREFUSED").kind(),
        ErrorKind::ConnectionRefused
    );
    one.send(b"x").expect("send");
    assert_eq!(
        one.send(b"y").expect_err("ECONNREFUSED").kind(),
        ErrorKind::ConnectionRefused
    );
    one.send(b"x").expect("send");
    assert_eq!(take_error(&one), libc::ECONNREFUSED);
    assert_eq!(take_error(&one), 0);
    let (epoll, watched) = watched(one, 0);
    assert_eq!(epoll.events(), 0);
    watched.write(b"x").expect("send");
    assert_eq!(next(&epoll), ERR);
    assert_eq!(watched.read(&mut buffer), Err(Errno::ECONNREFUSED));
    assert_eq!(epoll.events(), 0);
}

/// A socket that is not connected does not hear of it, nor one that sent to another than its peer.
pub fn unreachable_port_unconnected() {
    let one = bound();
    one.send_to(b"x", nobody()).expect("sendto");
    assert_eq!(take_error(&one), 0);
    let (two, _peer) = pair();
    two.send_to(b"x", nobody()).expect("sendto");
    assert_eq!(take_error(&two), 0);
}

/// The error that recvmsg(2) takes from the queue: errno, origin, type, code.
fn queued_error(socket: &impl AsRawFd, level: i32, name: i32) -> (i32, u8, u8, u8) {
    let message = receive_message(socket, 64, libc::MSG_ERRQUEUE).expect("recvmsg");
    assert_eq!(message.flags & libc::MSG_ERRQUEUE, libc::MSG_ERRQUEUE);
    assert_eq!(message.bytes, b"lost");
    let (_, _, data) = message
        .control
        .iter()
        .find(|(l, n, _)| (*l, *n) == (level, name))
        .expect("no error in the message");
    assert_ne!(message.from.expect("the destination"), 0);
    let number = i32::from_ne_bytes(data[..4].try_into().expect("four bytes"));
    (number, data[4], data[5], data[6])
}

pub fn error_queue() {
    let socket = bound();
    set(&socket, libc::SOL_IP, libc::IP_RECVERR, 1).expect("IP_RECVERR");
    assert_eq!(
        receive_message(&socket, 8, libc::MSG_ERRQUEUE).map(|_| ()),
        Err(Errno::EAGAIN)
    );
    socket.send_to(b"lost", nobody()).expect("sendto");
    let (epoll, socket) = watched(socket, IN);
    assert_eq!(next(&epoll), ERR);
    const ICMP: u8 = 2;
    let error = queued_error(&socket, libc::SOL_IP, libc::IP_RECVERR);
    assert_eq!(error, (libc::ECONNREFUSED, ICMP, 3, 3));
    // With the queue the error has gone.
    assert_eq!(epoll.events(), 0);
    assert_eq!(socket.read(&mut [0; 4]), Err(Errno::EAGAIN));
}

pub fn error_queue_v6() {
    let socket = UdpSocket::bind("[::1]:0").expect("bind");
    set(&socket, libc::SOL_IPV6, libc::IPV6_RECVERR, 1).expect("IPV6_RECVERR");
    let gone = address(&UdpSocket::bind("[::1]:0").expect("bind"));
    socket.send_to(b"lost", gone).expect("sendto");
    const ICMP6: u8 = 3;
    let error = queued_error(&socket, libc::SOL_IPV6, libc::IPV6_RECVERR);
    assert_eq!(error, (libc::ECONNREFUSED, ICMP6, 1, 4));
}
