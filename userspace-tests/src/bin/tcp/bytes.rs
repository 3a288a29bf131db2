//! Bytes on their way: room, marks and the urgent one.

use super::sockets::*;
use libsyscall::abi::Errno;
use libsyscall::abi::event::{EPOLLIN as IN, EPOLLOUT as OUT, EPOLLPRI as PRI, EPOLLRDHUP as RDHUP};
use std::io::{Read, Write};
use std::thread;
use std::time::Duration;
use userspace_tests::option::{get, set};
use userspace_tests::{Fd, checked};

pub fn backpressure() {
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

pub fn large_transfer() {
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

pub fn readiness() {
    let (epoll, (client, server)) = (Fd::epoll(), descriptors());
    epoll.add(&client, IN | OUT | RDHUP | libc::EPOLLET as u32);
    assert_eq!(next(&epoll), OUT);
    for _ in 0..5 {
        server.write(b"x").expect("write");
        assert_eq!(next(&epoll), IN | OUT);
    }
}

pub fn urgent_byte() {
    let (client, server) = descriptors();
    assert_eq!(receive(&client, 1, libc::MSG_OOB), Err(Errno::EINVAL));
    send(&server, b"abc", 0).expect("send");
    send(&server, b"d", libc::MSG_OOB).expect("send");
    assert_eq!(events(&client), IN | PRI | OUT);
    assert_eq!((query(&client, SIOCATMARK), query(&client, libc::FIONREAD)), (0, 3));
    // Reading stops at it.
    assert_eq!(receive(&client, 9, 0), Ok(b"abc".to_vec()));
    assert_eq!((query(&client, SIOCATMARK), events(&client)), (1, PRI | OUT));
    assert_eq!(receive(&client, 9, libc::MSG_OOB | libc::MSG_PEEK), Ok(b"d".to_vec()));
    assert_eq!(receive(&client, 9, libc::MSG_OOB), Ok(b"d".to_vec()));
    assert_eq!(events(&client), OUT);
    assert_eq!(receive(&client, 1, libc::MSG_OOB), Err(Errno::EINVAL));
    assert_eq!(receive(&client, 1, 0), Err(Errno::EAGAIN));
    send(&server, b"ef", 0).expect("send");
    thread::sleep(Duration::from_millis(20));
    assert_eq!(receive(&client, 9, 0), Ok(b"ef".to_vec()));
}

pub fn urgent_byte_inline() {
    let (client, server) = descriptors();
    set(&client, libc::SOL_SOCKET, libc::SO_OOBINLINE, 1).expect("SO_OOBINLINE");
    send(&server, b"abc", libc::MSG_OOB).expect("send");
    send(&server, b"d", 0).expect("send");
    assert_eq!(events(&client), IN | PRI | OUT);
    assert_eq!(receive(&client, 1, libc::MSG_OOB), Err(Errno::EINVAL));
    assert_eq!(receive(&client, 9, 0), Ok(b"ab".to_vec()));
    assert_eq!((query(&client, SIOCATMARK), events(&client)), (1, IN | PRI | OUT));
    assert_eq!(receive(&client, 9, 0), Ok(b"cd".to_vec()));
    assert_eq!(events(&client), OUT);
}

/// Read past, it is lost; so is one that is followed by another before it was read.
pub fn urgent_byte_passed_over() {
    let (client, server) = descriptors();
    send(&server, b"ab", libc::MSG_OOB).expect("send");
    send(&server, b"cd", 0).expect("send");
    thread::sleep(Duration::from_millis(20));
    assert_eq!(receive(&client, 9, libc::MSG_PEEK), Ok(b"a".to_vec()));
    assert_eq!(receive(&client, 9, 0), Ok(b"a".to_vec()));
    assert_eq!((query(&client, libc::FIONREAD), events(&client)), (0, IN | PRI | OUT));
    assert_eq!(receive(&client, 9, 0), Ok(b"cd".to_vec()));
    assert_eq!(receive(&client, 1, libc::MSG_OOB), Err(Errno::EINVAL));
    let (client, server) = descriptors();
    for byte in [b"a", b"b"] {
        send(&server, byte, libc::MSG_OOB).expect("send");
        thread::sleep(Duration::from_millis(20));
    }
    send(&server, b"c", 0).expect("send");
    thread::sleep(Duration::from_millis(20));
    assert_eq!(receive(&client, 9, 0), Ok(b"c".to_vec()));
    assert_eq!(receive(&client, 9, 0), Err(Errno::EAGAIN));
}

/// SO_RCVLOWAT.
pub fn low_water_mark() {
    let (client, server) = descriptors();
    assert_eq!(get(&client, libc::SOL_SOCKET, libc::SO_RCVLOWAT), Ok(1));
    set(&client, libc::SOL_SOCKET, libc::SO_RCVLOWAT, 4).expect("SO_RCVLOWAT");
    send(&server, b"abc", 0).expect("send");
    assert_eq!(events(&client), OUT);
    send(&server, b"d", 0).expect("send");
    assert_eq!(events(&client), IN | OUT);
    assert_eq!(receive(&client, 2, 0), Ok(b"ab".to_vec()));
    assert_eq!(events(&client), OUT);
    // Who does not wait gets what there is; who waits waits for enough.
    assert_eq!(receive(&client, 9, 0), Ok(b"cd".to_vec()));
    // SAFETY: numbers in, a number out.
    checked(unsafe { libc::fcntl(client.0, libc::F_SETFL, 0) }).expect("F_SETFL");
    let reader = thread::spawn(move || receive(&client, 9, 0));
    thread::sleep(Duration::from_millis(30));
    assert!(!reader.is_finished());
    send(&server, b"efgh", 0).expect("send");
    assert_eq!(reader.join().expect("thread"), Ok(b"efgh".to_vec()));
}

pub fn bad_pointers() {
    let (client, server) = descriptors();
    let nowhere = 8 as *mut libc::c_void;
    // SAFETY: the kernel says EFAULT to addresses that are not there.
    unsafe {
        assert_eq!(checked(libc::send(client.0, nowhere, 4, 0)), Err(Errno::EFAULT));
        send(&client, b"good", 0).expect("send");
        thread::sleep(Duration::from_millis(20));
        assert_eq!(checked(libc::recv(server.0, nowhere, 4, 0)), Err(Errno::EFAULT));
    }
    assert_eq!(receive(&server, 9, 0), Ok(b"good".to_vec()));
}
