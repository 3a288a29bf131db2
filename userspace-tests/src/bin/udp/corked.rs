//! UDP_CORK and MSG_MORE: many sends that are one message.

use super::sockets::*;
use libsyscall::abi::Errno;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use userspace_tests::checked;
use userspace_tests::option::{get, set};

const UDP_CORK: i32 = 1;
const MORE: i32 = libc::MSG_MORE;

fn send(socket: &UdpSocket, bytes: &[u8], flags: i32) -> Result<usize, Errno> {
    // SAFETY: the bytes are as many as said.
    let sent = unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) };
    checked(sent).map(|count| count as usize)
}

fn expect(socket: &UdpSocket, messages: &[&[u8]]) {
    let mut buffer = vec![0; 70_000];
    for message in messages {
        let count = socket.recv(&mut buffer).expect("recv");
        assert_eq!(&buffer[..count], *message);
    }
    socket.set_nonblocking(true).expect("FIONBIO");
    let left = socket.recv(&mut buffer).map_err(|error| error.raw_os_error());
    assert_eq!(left, Err(Some(libc::EAGAIN)));
    socket.set_nonblocking(false).expect("FIONBIO");
}

fn pairs() -> [(UdpSocket, UdpSocket); 2] {
    let bound = |at| UdpSocket::bind(at).expect("bind");
    ["127.0.0.1:0", "[::1]:0"].map(|at| {
        let (one, other) = (bound(at), bound(at));
        one.connect(address(&other)).expect("connect");
        (one, other)
    })
}

pub fn one_message_of_many_sends() {
    for (one, other) in pairs() {
        assert_eq!(send(&one, b"one", MORE), Ok(3));
        assert_eq!(send(&one, b"", MORE), Ok(0));
        assert_eq!(send(&one, b"two", MORE), Ok(3));
        expect(&other, &[]);
        assert_eq!(send(&one, b"three", 0), Ok(5));
        expect(&other, &[b"onetwothree"]);
        // One of no bytes is one, too.
        assert_eq!(send(&one, b"", MORE), Ok(0));
        expect(&other, &[]);
        assert_eq!(send(&one, b"", 0), Ok(0));
        expect(&other, &[b""]);
    }
}

pub fn corked_by_option() {
    for (one, other) in pairs() {
        let cork = |value| set(&one, libc::SOL_UDP, UDP_CORK, value).expect("UDP_CORK");
        assert_eq!(get(&one, libc::SOL_UDP, UDP_CORK), Ok(0));
        assert_eq!(set(&one, libc::SOL_UDP, UDP_CORK, 1u8), Err(Errno::EINVAL));
        cork(7);
        assert_eq!(get(&one, libc::SOL_UDP, UDP_CORK), Ok(1));
        assert_eq!(send(&one, b"a", 0), Ok(1));
        assert_eq!(send(&one, b"b", 0), Ok(1));
        expect(&other, &[]);
        cork(0);
        expect(&other, &[b"ab"]);
        cork(0);
        expect(&other, &[]);
        // What is not whole when its socket goes does not go.
        assert_eq!(send(&one, b"lost", MORE), Ok(4));
        drop(one);
        expect(&other, &[]);
    }
}

/// Where the first of its sends says, whatever the others say.
pub fn where_a_corked_message_goes() {
    let (one, first, second) = (bound(), bound(), bound());
    set(&one, libc::SOL_UDP, UDP_CORK, 1).expect("UDP_CORK");
    assert_eq!(one.send_to(b"a", address(&first)).expect("sendto"), 1);
    assert_eq!(one.send_to(b"b", address(&second)).expect("sendto"), 1);
    set(&one, libc::SOL_UDP, UDP_CORK, 0).expect("UDP_CORK");
    expect(&first, &[b"ab"]);
    expect(&second, &[]);
    assert_eq!(send(&one, b"c", 0), Err(Errno::EDESTADDRREQ));
}

/// What does not fit is the end of all of it.
pub fn corked_and_too_long() {
    for (one, other) in pairs() {
        assert_eq!(send(&one, &[b'x'; 60_000], MORE), Ok(60_000));
        assert_eq!(send(&one, &[b'y'; 6000], 0), Err(Errno::EMSGSIZE));
        expect(&other, &[]);
        assert_eq!(send(&one, b"next", 0), Ok(4));
        expect(&other, &[b"next"]);
        assert_eq!(send(&one, b"x", MORE), Ok(1));
        // SAFETY: an address that is no memory is what is tried.
        let result = unsafe { libc::send(one.as_raw_fd(), 8 as *const libc::c_void, 4, 0) };
        assert_eq!(checked(result), Err(Errno::EFAULT));
        assert_eq!(send(&one, b"next", 0), Ok(4));
        expect(&other, &[b"next"]);
    }
}

/// A row is cut when it is whole.
pub fn corked_rows() {
    for (one, other) in pairs() {
        set(&one, libc::SOL_UDP, libc::UDP_SEGMENT, 4).expect("UDP_SEGMENT");
        assert_eq!(send(&one, b"123456", MORE), Ok(6));
        assert_eq!(send(&one, b"7890", 0), Ok(4));
        expect(&other, &[b"1234", b"5678", b"90"]);
        set(&one, libc::SOL_UDP, libc::UDP_SEGMENT, 1).expect("UDP_SEGMENT");
        assert_eq!(send(&one, &[b'x'; 100], MORE), Ok(100));
        assert_eq!(send(&one, &[b'x'; 100], 0), Err(Errno::EINVAL));
        expect(&other, &[]);
        assert_eq!(send(&one, b"k", 0), Ok(1));
        expect(&other, &[b"k"]);
    }
}

/// What has begun may still be ended.
pub fn corked_and_shut_down() {
    for (one, other) in pairs() {
        assert_eq!(send(&one, b"be", MORE), Ok(2));
        // SAFETY: no memory is involved.
        checked(unsafe { libc::shutdown(one.as_raw_fd(), libc::SHUT_WR) }).expect("shutdown");
        assert_eq!(send(&one, b"gun", libc::MSG_NOSIGNAL), Ok(3));
        expect(&other, &[b"begun"]);
        assert_eq!(send(&one, b"x", libc::MSG_NOSIGNAL | MORE), Err(Errno::EPIPE));
    }
}
