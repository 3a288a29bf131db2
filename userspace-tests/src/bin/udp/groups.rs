//! Broadcast and multicast.

use super::sockets::*;
use libsyscall::abi::Errno;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use userspace_tests::option::set;

pub fn broadcast_needs_leave() {
    let socket = bound();
    for to in ["255.255.255.255:9", "127.255.255.255:9"] {
        assert_eq!(
            socket.send_to(b"x", to).expect_err("EACCES").raw_os_error(),
            Some(libc::EACCES),
            "{to}"
        );
        let error = fresh(libc::AF_INET).connect(to).expect_err("EACCES");
        assert_eq!(error.raw_os_error(), Some(libc::EACCES), "{to}");
    }
}

pub fn broadcast() {
    let socket = bound();
    socket.set_broadcast(true).expect("SO_BROADCAST");
    let first = sharing(libc::SO_REUSEADDR, "0.0.0.0:0".parse().expect("address"));
    let second = sharing(libc::SO_REUSEADDR, address(&first));
    // One bound to another address is not meant.
    let other = sharing(
        libc::SO_REUSEADDR,
        SocketAddr::from((Ipv4Addr::LOCALHOST, address(&first).port())),
    );
    socket
        .send_to(b"all", ("127.255.255.255", address(&first).port()))
        .expect("sendto");
    for receiver in [&first, &second] {
        let (len, from) = receiver.recv_from(&mut [0; 8]).expect("recvfrom");
        assert_eq!((len, from), (3, address(&socket)));
    }
    other.set_nonblocking(true).expect("FIONBIO");
    assert_eq!(other.recv(&mut [0]).expect_err("EAGAIN").kind(), ErrorKind::WouldBlock);
}

/// A group on the loopback interface: who is bound to its port and has joined, or has not but is bound to all addresses.
pub fn multicast() {
    let group = Ipv4Addr::new(227, 1, 1, 100);
    let first = sharing(libc::SO_REUSEADDR, "0.0.0.0:0".parse().expect("address"));
    let port = address(&first).port();
    let second = sharing(libc::SO_REUSEADDR, address(&first));
    let elsewhere = sharing(libc::SO_REUSEADDR, SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let sender = bound();
    set(&sender, libc::SOL_IP, libc::IP_MULTICAST_IF, [127u8, 0, 0, 1]).expect("IP_MULTICAST_IF");
    // Nobody has joined.
    sender.send_to(b"lost", (group, port)).expect("sendto");
    for socket in [&first, &second] {
        socket
            .join_multicast_v4(&group, &Ipv4Addr::LOCALHOST)
            .expect("IP_ADD_MEMBERSHIP");
    }
    sender.send_to(b"found", (group, port)).expect("sendto");
    for socket in [&first, &second] {
        assert_eq!(socket.recv(&mut [0; 8]).expect("recv"), 5);
    }
    // The other one joined is enough for a socket bound to all addresses, unless it says otherwise.
    second
        .leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST)
        .expect("IP_DROP_MEMBERSHIP");
    sender.send_to(b"still", (group, port)).expect("sendto");
    assert_eq!(second.recv(&mut [0; 8]).expect("recv"), 5);
    const IP_MULTICAST_ALL: i32 = 49;
    set(&second, libc::SOL_IP, IP_MULTICAST_ALL, 0).expect("IP_MULTICAST_ALL");
    sender.send_to(b"gone", (group, port)).expect("sendto");
    for socket in [&second, &elsewhere] {
        socket.set_nonblocking(true).expect("FIONBIO");
        assert_eq!(
            socket.recv(&mut [0; 8]).expect_err("EAGAIN").kind(),
            ErrorKind::WouldBlock
        );
    }
}

pub fn multicast_membership() {
    let socket = bound();
    let (group, local) = (Ipv4Addr::new(227, 1, 1, 101), Ipv4Addr::LOCALHOST);
    let errno = |result: std::io::Result<()>| result.expect_err("an error").raw_os_error().unwrap_or(0);
    assert_eq!(
        errno(socket.join_multicast_v4(&Ipv4Addr::new(10, 1, 1, 1), &local)),
        libc::EINVAL
    );
    assert_eq!(
        errno(socket.join_multicast_v4(&group, &Ipv4Addr::new(192, 0, 2, 77))),
        libc::ENODEV
    );
    assert_eq!(errno(socket.leave_multicast_v4(&group, &local)), libc::EADDRNOTAVAIL);
    socket.join_multicast_v4(&group, &local).expect("IP_ADD_MEMBERSHIP");
    assert_eq!(errno(socket.join_multicast_v4(&group, &local)), libc::EADDRINUSE);
    socket.leave_multicast_v4(&group, &local).expect("IP_DROP_MEMBERSHIP");
    assert_eq!(errno(socket.leave_multicast_v4(&group, &local)), libc::EADDRNOTAVAIL);
    let six = UdpSocket::bind("[::1]:0").expect("bind");
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x123);
    six.join_multicast_v6(&group, 1).expect("IPV6_JOIN_GROUP");
    assert_eq!(errno(six.join_multicast_v6(&group, 1)), libc::EADDRINUSE);
    six.leave_multicast_v6(&group, 1).expect("IPV6_LEAVE_GROUP");
    assert_eq!(errno(six.leave_multicast_v6(&group, 1)), libc::EADDRNOTAVAIL);
    assert_eq!(errno(six.join_multicast_v6(&Ipv6Addr::LOCALHOST, 1)), libc::EINVAL);
    assert_eq!(errno(six.join_multicast_v6(&group, 9999)), libc::ENODEV);
}

/// Whether a socket hears in a group what 127.0.0.1 sends. A message for itself alone comes behind, and says when to ask.
fn hears(socket: &UdpSocket, group: Ipv4Addr) -> bool {
    let sender = bound();
    set(&sender, libc::SOL_IP, libc::IP_MULTICAST_IF, [127u8, 0, 0, 1]).expect("IP_MULTICAST_IF");
    let port = address(socket).port();
    sender.send_to(b"group", (group, port)).expect("sendto");
    sender.send_to(b"end", (Ipv4Addr::LOCALHOST, port)).expect("sendto");
    let mut buffer = [0; 8];
    let mut next = || socket.recv(&mut buffer).expect("recv");
    let heard = next() == b"group".len();
    if heard {
        assert_eq!(next(), b"end".len());
    }
    heard
}

pub fn multicast_sources() {
    let group = Ipv4Addr::new(227, 1, 1, 102);
    let socket = sharing(libc::SO_REUSEADDR, "0.0.0.0:0".parse().expect("address"));
    let change = |name: i32, source: [u8; 4]| {
        let request = [group.octets(), [127, 0, 0, 1], source];
        set(&socket, libc::SOL_IP, name, request)
    };
    let (me, other) = ([127, 0, 0, 1], [127, 0, 0, 2]);
    // Nothing to be changed before it has joined, but by joining.
    assert_eq!(change(libc::IP_BLOCK_SOURCE, me), Err(Errno::EINVAL));
    assert_eq!(change(libc::IP_DROP_SOURCE_MEMBERSHIP, me), Err(Errno::EINVAL));
    change(libc::IP_ADD_SOURCE_MEMBERSHIP, other).expect("IP_ADD_SOURCE_MEMBERSHIP");
    assert!(!hears(&socket, group));
    change(libc::IP_ADD_SOURCE_MEMBERSHIP, me).expect("IP_ADD_SOURCE_MEMBERSHIP");
    assert!(hears(&socket, group));
    assert_eq!(change(libc::IP_ADD_SOURCE_MEMBERSHIP, me), Err(Errno::EADDRNOTAVAIL));
    assert_eq!(change(libc::IP_BLOCK_SOURCE, me), Err(Errno::EINVAL));
    change(libc::IP_DROP_SOURCE_MEMBERSHIP, me).expect("IP_DROP_SOURCE_MEMBERSHIP");
    assert!(!hears(&socket, group));
    assert_eq!(change(libc::IP_DROP_SOURCE_MEMBERSHIP, me), Err(Errno::EADDRNOTAVAIL));
    // With the last source the group is left.
    change(libc::IP_DROP_SOURCE_MEMBERSHIP, other).expect("IP_DROP_SOURCE_MEMBERSHIP");
    socket
        .join_multicast_v4(&group, &Ipv4Addr::LOCALHOST)
        .expect("IP_ADD_MEMBERSHIP");
    assert!(hears(&socket, group));
    change(libc::IP_BLOCK_SOURCE, me).expect("IP_BLOCK_SOURCE");
    assert!(!hears(&socket, group));
    assert_eq!(change(libc::IP_UNBLOCK_SOURCE, other), Err(Errno::EADDRNOTAVAIL));
    change(libc::IP_UNBLOCK_SOURCE, me).expect("IP_UNBLOCK_SOURCE");
    assert!(hears(&socket, group));
}

pub fn multicast_sources_of_both_families() {
    const MCAST_JOIN_GROUP: i32 = 42;
    const MCAST_LEAVE_GROUP: i32 = 45;
    const MCAST_JOIN_SOURCE_GROUP: i32 = 46;
    const MCAST_LEAVE_SOURCE_GROUP: i32 = 47;
    // struct group_source_req: the interface, the group, the source, the last two as long as any address.
    let request = |family: i32, at: usize, group: &[u8], source: &[u8]| {
        let mut bytes = [0u8; 264];
        bytes[..4].copy_from_slice(&1u32.to_ne_bytes());
        for (start, ip) in [(8, group), (136, source)] {
            bytes[start..start + 2].copy_from_slice(&(family as u16).to_ne_bytes());
            bytes[start + at..start + at + ip.len()].copy_from_slice(ip);
        }
        bytes
    };
    let four = request(libc::AF_INET, 4, &[227, 1, 1, 103], &[127, 0, 0, 1]);
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x124).octets();
    let six = request(libc::AF_INET6, 8, &group, &Ipv6Addr::LOCALHOST.octets());
    for (domain, level, bytes) in [
        (libc::AF_INET, libc::SOL_IP, four),
        (libc::AF_INET6, libc::SOL_IPV6, six),
    ] {
        let socket = fresh(domain);
        assert_eq!(set(&socket, level, MCAST_LEAVE_GROUP, bytes), Err(Errno::EADDRNOTAVAIL));
        set(&socket, level, MCAST_JOIN_GROUP, bytes).expect("MCAST_JOIN_GROUP");
        assert_eq!(set(&socket, level, MCAST_JOIN_GROUP, bytes), Err(Errno::EADDRINUSE));
        set(&socket, level, MCAST_LEAVE_GROUP, bytes).expect("MCAST_LEAVE_GROUP");
        set(&socket, level, MCAST_JOIN_SOURCE_GROUP, bytes).expect("MCAST_JOIN_SOURCE_GROUP");
        set(&socket, level, MCAST_LEAVE_SOURCE_GROUP, bytes).expect("MCAST_LEAVE_SOURCE_GROUP");
        assert_eq!(set(&socket, level, MCAST_LEAVE_GROUP, bytes), Err(Errno::EADDRNOTAVAIL));
        assert_eq!(set(&socket, level, MCAST_JOIN_GROUP, [0u8; 100]), Err(Errno::EINVAL));
    }
}
