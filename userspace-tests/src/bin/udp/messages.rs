//! Messages: whole, cut, peeked at, in pieces, many in a call.

use super::sockets::*;
use libsyscall::abi::Errno;
use libsyscall::abi::event::{EPOLLET as EDGE, EPOLLIN as IN, EPOLLOUT as OUT, EPOLLRDHUP as RDHUP};
use std::io::{ErrorKind, IoSlice};
use std::mem::zeroed;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};
use userspace_tests::checked;
use userspace_tests::option::{receive_message, set};

pub fn send_and_receive() {
    let (one, other) = (bound(), bound());
    assert_eq!(one.send_to(b"ping", address(&other)).expect("sendto"), 4);
    let mut buffer = [0; 16];
    let (len, from) = other.recv_from(&mut buffer).expect("recvfrom");
    assert_eq!((&buffer[..len], from), (&b"ping"[..], address(&one)));
}

pub fn cut_to_the_buffer() {
    let (one, other) = pair();
    for _ in 0..3 {
        one.send(b"0123456789").expect("send");
    }
    let mut buffer = [0; 4];
    assert_eq!(other.recv(&mut buffer).expect("recv"), 4);
    let cut = receive_message(&other, 4, 0).expect("recvmsg");
    assert_eq!((cut.len, cut.flags & libc::MSG_TRUNC), (4, libc::MSG_TRUNC));
    // Asked for, the length is the message's own.
    let fd = other.as_raw_fd();
    // SAFETY: the buffer has room for four bytes.
    let len = unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), 4, libc::MSG_TRUNC) };
    assert_eq!(len, 10);
    one.send(b"next").expect("send");
    let whole = receive_message(&other, 16, 0).expect("recvmsg");
    assert_eq!((whole.flags, whole.from), (0, Some(address(&one).port())));
}

pub fn peek() {
    let (one, other) = pair();
    one.send(b"first").expect("send");
    one.send(b"second").expect("send");
    let mut buffer = [0; 16];
    for _ in 0..2 {
        assert_eq!(other.peek_from(&mut buffer).expect("recvfrom"), (5, address(&one)));
    }
    assert_eq!(other.recv(&mut buffer).expect("recv"), 5);
    assert_eq!(other.recv(&mut buffer).expect("recv"), 6);
}

pub fn empty_message() {
    let (one, other) = pair();
    one.send(b"").expect("send");
    let (epoll, watched) = watched(other, IN);
    assert_eq!(epoll.events(), IN);
    assert_eq!(watched.read(&mut [0; 4]), Ok(0));
    assert_eq!(watched.read(&mut [0; 4]), Err(Errno::EAGAIN));
}

pub fn longest_message() {
    let (one, other) = pair();
    let longest = vec![7; 65507];
    assert_eq!(one.send(&longest).expect("send"), 65507);
    let mut buffer = vec![0; 70000];
    assert_eq!(other.recv(&mut buffer).expect("recv"), 65507);
    assert_eq!(&buffer[..65507], longest);
    for len in [65508, 65536, 100_000] {
        assert_eq!(
            one.send(&vec![0; len]).expect_err("EMSGSIZE").raw_os_error(),
            Some(libc::EMSGSIZE)
        );
    }
    let (six, to) = (
        UdpSocket::bind("[::1]:0").expect("bind"),
        UdpSocket::bind("[::1]:0").expect("bind"),
    );
    assert_eq!(six.send_to(&vec![0; 65527], address(&to)).expect("sendto"), 65527);
    assert_eq!(to.recv(&mut buffer).expect("recv"), 65527);
    let error = six.send_to(&vec![0; 65528], address(&to)).expect_err("EMSGSIZE");
    assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
}

/// What SO_RCVBUF has no room for is lost without a word; what was there stays, in order.
pub fn full_queue_drops() {
    let (one, other) = pair();
    set(&other, libc::SOL_SOCKET, libc::SO_RCVBUF, 8192).expect("SO_RCVBUF");
    for number in 0..200u8 {
        assert_eq!(one.send(&[number; 512]).expect("send"), 512);
    }
    other.set_nonblocking(true).expect("FIONBIO");
    let mut buffer = [0; 512];
    let mut count = 0u8;
    while other.recv(&mut buffer).is_ok() {
        assert_eq!(buffer[0], count);
        count += 1;
    }
    assert!((4..50).contains(&count), "{count}");
    one.send(b"room again").expect("send");
    assert_eq!(other.recv(&mut buffer).expect("recv"), 10);
}

pub fn receive_waits() {
    let (one, other) = pair();
    let receiver = thread::spawn(move || other.recv(&mut [0; 8]));
    thread::sleep(Duration::from_millis(30));
    assert!(!receiver.is_finished());
    one.send(b"awake").expect("send");
    assert_eq!(receiver.join().expect("thread").expect("recv"), 5);
}

pub fn receive_timeout() {
    let socket = bound();
    socket
        .set_read_timeout(Some(Duration::from_millis(30)))
        .expect("SO_RCVTIMEO");
    let start = Instant::now();
    assert_eq!(socket.recv(&mut [0]).expect_err("EAGAIN").kind(), ErrorKind::WouldBlock);
    assert!(start.elapsed() >= Duration::from_millis(30));
}

/// FIONREAD is the next message's length.
pub fn readable_length() {
    let (one, other) = pair();
    let length = || {
        let mut len = 0;
        // SAFETY: the kernel writes one int.
        checked(unsafe { libc::ioctl(other.as_raw_fd(), libc::FIONREAD as _, &mut len) }).expect("FIONREAD");
        len
    };
    assert_eq!(length(), 0);
    one.send(b"123456").expect("send");
    one.send(b"1").expect("send");
    assert_eq!(length(), 6);
    other.recv(&mut [0; 8]).expect("recv");
    assert_eq!(length(), 1);
}

pub fn readiness() {
    let (one, other) = pair();
    let (epoll, other) = watched(other, IN | OUT | RDHUP | EDGE);
    assert_eq!(next(&epoll), OUT);
    for _ in 0..3 {
        one.send(b"x").expect("send");
        assert_eq!(next(&epoll), IN | OUT);
    }
    other.drain();
    assert_eq!(epoll.events(), 0);
}

/// A message that has left gives its room back, which is an edge of being writable.
pub fn send_is_an_edge() {
    let (one, _other) = pair();
    let (epoll, one) = watched(one, OUT | EDGE);
    assert_eq!(next(&epoll), OUT);
    assert_eq!(epoll.events(), 0);
    one.write(b"x").expect("send");
    assert_eq!(epoll.events(), OUT);
}

pub fn vectors() {
    let (one, other) = pair();
    let pieces = [IoSlice::new(b"sca"), IoSlice::new(b""), IoSlice::new(b"ttered")];
    // SAFETY: IoSlice is an iovec, and the pieces are readable.
    let sent = unsafe { libc::writev(one.as_raw_fd(), pieces.as_ptr().cast(), 3) };
    assert_eq!(sent, 9);
    let mut buffer = [0; 16];
    assert_eq!(other.recv(&mut buffer).expect("recv"), 9);
    assert_eq!(&buffer[..9], b"scattered");
}

/// sendmmsg(2) and recvmmsg(2).
pub fn many_at_once() {
    const COUNT: usize = 5;
    let (one, other) = pair();
    let mut bytes: [[u8; 8]; COUNT] = std::array::from_fn(|number| [number as u8; 8]);
    let mut vectors = bytes.each_mut().map(|piece| libc::iovec {
        iov_base: piece.as_mut_ptr().cast(),
        iov_len: 8,
    });
    // SAFETY: all zeroes are headers of nothing.
    let mut headers: [libc::mmsghdr; COUNT + 1] = unsafe { zeroed() };
    for (number, (header, vector)) in headers.iter_mut().zip(&mut vectors).enumerate() {
        vector.iov_len = number + 1;
        (header.msg_hdr.msg_iov, header.msg_hdr.msg_iovlen) = (vector, 1);
    }
    // SAFETY: the headers describe buffers that live here.
    let sent = unsafe { libc::sendmmsg(one.as_raw_fd(), headers.as_mut_ptr(), COUNT as u32, 0) };
    assert_eq!(sent, COUNT as i32);
    assert!(
        headers[..COUNT]
            .iter()
            .enumerate()
            .all(|(number, header)| header.msg_len == number as u32 + 1)
    );
    for vector in &mut vectors {
        vector.iov_len = 8;
    }
    // SAFETY: as above.
    let received = unsafe {
        libc::recvmmsg(
            other.as_raw_fd(),
            headers.as_mut_ptr(),
            COUNT as u32,
            libc::MSG_DONTWAIT,
            std::ptr::null_mut(),
        )
    };
    assert_eq!(received, COUNT as i32);
    assert!(
        headers[..COUNT]
            .iter()
            .enumerate()
            .all(|(number, header)| header.msg_len == number as u32 + 1)
    );
    // What there is, when it is fewer than asked for.
    one.send(b"one").expect("send");
    // SAFETY: as above.
    let received = unsafe {
        libc::recvmmsg(
            other.as_raw_fd(),
            headers.as_mut_ptr(),
            COUNT as u32,
            libc::MSG_WAITFORONE,
            std::ptr::null_mut(),
        )
    };
    assert_eq!(received, 1);
}

pub fn bad_pointers() {
    let (one, other) = pair();
    let nowhere = 8 as *mut libc::c_void;
    // SAFETY: the kernel says EFAULT to addresses that are not there.
    unsafe {
        assert_eq!(checked(libc::send(one.as_raw_fd(), nowhere, 4, 0)), Err(Errno::EFAULT));
        one.send(b"good").expect("send");
        assert_eq!(
            checked(libc::recv(other.as_raw_fd(), nowhere, 4, libc::MSG_PEEK)),
            Err(Errno::EFAULT)
        );
        assert_eq!(
            checked(libc::bind(one.as_raw_fd(), nowhere.cast(), 16)),
            Err(Errno::EFAULT)
        );
    }
    assert_eq!(other.recv(&mut [0; 8]).expect("recv"), 4);
}

pub fn wrong_calls() {
    let socket = bound();
    let fd = socket.as_raw_fd();
    // SAFETY: numbers and null pointers in, numbers out.
    unsafe {
        assert_eq!(checked(libc::listen(fd, 1)), Err(Errno::EOPNOTSUPP));
        let none = std::ptr::null_mut();
        assert_eq!(
            checked(libc::accept(fd, none, std::ptr::null_mut())),
            Err(Errno::EOPNOTSUPP)
        );
        assert_eq!(
            checked(libc::send(fd, b"x".as_ptr().cast(), 1, libc::MSG_OOB)),
            Err(Errno::EOPNOTSUPP)
        );
        assert_eq!(
            checked(libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 6)),
            Err(Errno::EPROTONOSUPPORT)
        );
    }
}
