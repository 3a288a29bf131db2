//! Who may be bound to a port, and which of them hears a message.

use super::sockets::*;
use libsyscall::abi::Errno;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use userspace_tests::option::set;

pub fn address_in_use() {
    let one = bound();
    assert_eq!(
        UdpSocket::bind(address(&one)).expect_err("EADDRINUSE").kind(),
        ErrorKind::AddrInUse
    );
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address(&one).port()));
    assert_eq!(
        UdpSocket::bind(any).expect_err("EADDRINUSE").kind(),
        ErrorKind::AddrInUse
    );
    let beside = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), address(&one).port()));
    let beside = UdpSocket::bind(beside).expect("bind");
    drop((one, beside));
    UdpSocket::bind(any).expect("bind");
}

/// SO_REUSEADDR shares a port; the newest socket gets what comes.
pub fn reuse_address() {
    let one = sharing(libc::SO_REUSEADDR, LOCALHOST.parse().expect("address"));
    let at = address(&one);
    assert_eq!(
        UdpSocket::bind(at).expect_err("EADDRINUSE").kind(),
        ErrorKind::AddrInUse
    );
    let two = sharing(libc::SO_REUSEADDR, at);
    bound().send_to(b"x", at).expect("sendto");
    assert_eq!(two.recv(&mut [0; 4]).expect("recv"), 1);
    // One bound to the very address comes before one bound to all.
    let all = sharing(libc::SO_REUSEADDR, SocketAddr::from((Ipv4Addr::UNSPECIFIED, at.port())));
    bound().send_to(b"xy", at).expect("sendto");
    assert_eq!(two.recv(&mut [0; 4]).expect("recv"), 2);
    drop((one, two));
    bound().send_to(b"xyz", at).expect("sendto");
    assert_eq!(all.recv(&mut [0; 4]).expect("recv"), 3);
}

/// SO_REUSEPORT: each sender meets one of the sockets, always the same, and each socket gets some.
pub fn reuse_port_spreads() {
    let first = sharing(libc::SO_REUSEPORT, LOCALHOST.parse().expect("address"));
    let at = address(&first);
    let sockets = [first, sharing(libc::SO_REUSEPORT, at), sharing(libc::SO_REUSEPORT, at)];
    let senders: Vec<UdpSocket> = (0..64).map(|_| bound()).collect();
    for sender in &senders {
        for _ in 0..2 {
            sender.send_to(b"x", at).expect("sendto");
        }
    }
    let mut total = 0;
    for socket in &sockets {
        socket.set_nonblocking(true).expect("FIONBIO");
        let mut counts = std::collections::HashMap::new();
        while let Ok((_, from)) = socket.recv_from(&mut [0; 4]) {
            *counts.entry(from).or_insert(0) += 1;
        }
        assert!(counts.values().all(|&count| count == 2), "{counts:?}");
        assert!(!counts.is_empty());
        total += counts.len();
    }
    assert_eq!(total, senders.len());
}

/// An IPv6 socket bound to all addresses takes IPv4 too, and shows its senders as mapped addresses.
pub fn both_families() {
    let both = UdpSocket::bind("[::]:0").expect("bind");
    let port = address(&both).port();
    let four = bound();
    four.send_to(b"four", ("127.0.0.1", port)).expect("sendto");
    let mut buffer = [0; 8];
    let (_, from) = both.recv_from(&mut buffer).expect("recvfrom");
    let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
    assert_eq!(from, SocketAddr::from((mapped, address(&four).port())));
    both.send_to(b"back", from).expect("sendto");
    assert_eq!(
        four.recv_from(&mut buffer).expect("recvfrom").1,
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    );
    let six = UdpSocket::bind("[::1]:0").expect("bind");
    six.send_to(b"six", ("::1", port)).expect("sendto");
    assert_eq!(both.recv_from(&mut buffer).expect("recvfrom").1, address(&six));
    // The port is taken for IPv4.
    let taken = UdpSocket::bind(("127.0.0.1", port)).expect_err("EADDRINUSE");
    assert_eq!(taken.kind(), ErrorKind::AddrInUse);
    // Connected to a mapped address, it is an IPv4 socket.
    both.connect((mapped, address(&four).port())).expect("connect");
    assert_eq!(address(&both), SocketAddr::from((mapped, port)));
}

/// Of sockets bound to all addresses, one of the datagram's family has it rather than one of both families.
pub fn own_family_first() {
    let share = |at: SocketAddr| sharing(libc::SO_REUSEPORT, at);
    let four = share(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
    let port = address(&four).port();
    let both = share(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
    for sender in (0..8).map(|_| bound()) {
        sender.send_to(b"x", ("127.0.0.1", port)).expect("sendto");
        assert_eq!(four.recv(&mut [0; 4]).expect("recv"), 1);
    }
    both.set_nonblocking(true).expect("FIONBIO");
    assert_eq!(both.recv(&mut [0; 4]).expect_err("recv").kind(), ErrorKind::WouldBlock);
}

pub fn v6_only() {
    let six = fresh(libc::AF_INET6);
    set(&six, libc::SOL_IPV6, libc::IPV6_V6ONLY, 1).expect("IPV6_V6ONLY");
    bind_to(&six, "[::]:0".parse().expect("address")).expect("bind");
    let port = address(&six).port();
    let four = UdpSocket::bind(("0.0.0.0", port)).expect("bind beside it");
    four.send_to(b"x", ("127.0.0.1", port)).expect("sendto");
    assert_eq!(four.recv(&mut [0; 4]).expect("recv"), 1);
    let mapped = SocketAddr::from((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), port));
    assert_eq!(
        six.send_to(b"x", mapped).expect_err("ENETUNREACH").raw_os_error(),
        Some(libc::ENETUNREACH)
    );
    // Too late once it is bound.
    assert_eq!(set(&six, libc::SOL_IPV6, libc::IPV6_V6ONLY, 0), Err(Errno::EINVAL));
}

pub fn bind_errors() {
    let socket = bound();
    // Once only.
    assert_eq!(
        bind_to(&socket, LOCALHOST.parse().expect("address")),
        Err(Errno::EINVAL)
    );
    let foreign = "192.0.2.77:0".parse().expect("address");
    assert_eq!(bind_to(&fresh(libc::AF_INET), foreign), Err(Errno::EADDRNOTAVAIL));
    assert_eq!(
        bind_to(&fresh(libc::AF_INET), "[::1]:0".parse().expect("address")),
        Err(Errno::EAFNOSUPPORT)
    );
    assert_eq!(
        bind_to(&fresh(libc::AF_INET6), LOCALHOST.parse().expect("address")),
        Err(Errno::EINVAL)
    );
    // A group and the broadcast address are addresses to listen at.
    bind_to(&fresh(libc::AF_INET), "227.1.1.1:0".parse().expect("address")).expect("bind");
    bind_to(&fresh(libc::AF_INET), "255.255.255.255:0".parse().expect("address")).expect("bind");
}
