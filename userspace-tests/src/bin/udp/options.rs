//! Options, and the control messages that they bring.

use super::sockets::*;
use libsyscall::abi::Errno;
use std::net::{Ipv6Addr, UdpSocket};
use userspace_tests::option::{get, receive_message, set};

pub fn options_round_trip() {
    let socket = fresh(libc::AF_INET6);
    for (level, name, at_first, value) in [
        (libc::SOL_IP, libc::IP_TTL, 64, 12),
        (libc::SOL_IP, libc::IP_TOS, 0, 96),
        (libc::SOL_IP, libc::IP_MULTICAST_TTL, 1, 40),
        (libc::SOL_IP, libc::IP_MULTICAST_LOOP, 1, 0),
        (libc::SOL_IP, libc::IP_RECVERR, 0, 1),
        (libc::SOL_IP, libc::IP_PKTINFO, 0, 1),
        (libc::SOL_IP, libc::IP_RECVTTL, 0, 1),
        (libc::SOL_IP, libc::IP_RECVTOS, 0, 1),
        (libc::SOL_IP, libc::IP_MTU_DISCOVER, 1, 3),
        (libc::SOL_IP, libc::IP_FREEBIND, 0, 1),
        (libc::SOL_IPV6, libc::IPV6_UNICAST_HOPS, 64, 9),
        (libc::SOL_IPV6, libc::IPV6_MULTICAST_HOPS, 1, 5),
        (libc::SOL_IPV6, libc::IPV6_MULTICAST_LOOP, 1, 0),
        (libc::SOL_IPV6, libc::IPV6_TCLASS, 0, 96),
        (libc::SOL_IPV6, libc::IPV6_RECVERR, 0, 1),
        (libc::SOL_IPV6, libc::IPV6_RECVPKTINFO, 0, 1),
        (libc::SOL_IPV6, libc::IPV6_RECVHOPLIMIT, 0, 1),
        (libc::SOL_IPV6, libc::IPV6_RECVTCLASS, 0, 1),
        (libc::SOL_IPV6, libc::IPV6_V6ONLY, 0, 1),
        (libc::SOL_SOCKET, libc::SO_BROADCAST, 0, 1),
        (libc::SOL_SOCKET, libc::SO_REUSEADDR, 0, 1),
        (libc::SOL_SOCKET, libc::SO_REUSEPORT, 0, 1),
    ] {
        let case = format!("level {level}, option {name}");
        assert_eq!(get(&socket, level, name), Ok(at_first), "{case}");
        assert_eq!(set(&socket, level, name, value), Ok(()), "{case}");
        assert_eq!(get(&socket, level, name), Ok(value), "{case}");
    }
    // IP's options may be set by a byte.
    set(&socket, libc::SOL_IP, libc::IP_TTL, 7u8).expect("IP_TTL");
    assert_eq!(get(&socket, libc::SOL_IP, libc::IP_TTL), Ok(7));
    assert_eq!(get(&socket, libc::SOL_SOCKET, libc::SO_TYPE), Ok(libc::SOCK_DGRAM));
    assert_eq!(get(&socket, libc::SOL_SOCKET, libc::SO_PROTOCOL), Ok(libc::IPPROTO_UDP));
    assert_eq!(get(&socket, libc::SOL_SOCKET, libc::SO_DOMAIN), Ok(libc::AF_INET6));
}

pub fn option_ranges() {
    let (four, six) = (fresh(libc::AF_INET), fresh(libc::AF_INET6));
    for value in [0, 256, -2] {
        assert_eq!(
            set(&four, libc::SOL_IP, libc::IP_TTL, value),
            Err(Errno::EINVAL),
            "{value}"
        );
    }
    for value in [256, -2] {
        assert_eq!(
            set(&four, libc::SOL_IP, libc::IP_MULTICAST_TTL, value),
            Err(Errno::EINVAL),
            "{value}"
        );
        assert_eq!(
            set(&six, libc::SOL_IPV6, libc::IPV6_UNICAST_HOPS, value),
            Err(Errno::EINVAL),
            "{value}"
        );
        assert_eq!(
            set(&six, libc::SOL_IPV6, libc::IPV6_TCLASS, value),
            Err(Errno::EINVAL),
            "{value}"
        );
    }
    set(&four, libc::SOL_IP, libc::IP_TTL, -1).expect("IP_TTL");
    assert_eq!(get(&four, libc::SOL_IP, libc::IP_TTL), Ok(64));
    // Another protocol's levels.
    assert_eq!(
        set(&four, libc::SOL_IPV6, libc::IPV6_V6ONLY, 1),
        Err(Errno::ENOPROTOOPT)
    );
    assert_eq!(set(&four, libc::SOL_TCP, libc::TCP_NODELAY, 1), Err(Errno::ENOPROTOOPT));
    assert_eq!(set(&four, libc::SOL_IP, 12345, 1), Err(Errno::ENOPROTOOPT));
}

/// IP_PKTINFO and its kind: where a message was sent to.
pub fn packet_information() {
    let any = UdpSocket::bind("0.0.0.0:0").expect("bind");
    for name in [libc::IP_PKTINFO, libc::IP_RECVTTL, libc::IP_RECVTOS] {
        set(&any, libc::SOL_IP, name, 1).expect("setsockopt");
    }
    let sender = bound();
    set(&sender, libc::SOL_IP, libc::IP_TOS, 0x60).expect("IP_TOS");
    set(&sender, libc::SOL_IP, libc::IP_TTL, 33).expect("IP_TTL");
    sender
        .send_to(b"x", ("127.9.9.9", address(&any).port()))
        .expect("sendto");
    let message = receive_message(&any, 8, 0).expect("recvmsg");
    let data = |name: i32| {
        let found = message
            .control
            .iter()
            .find(|(level, n, _)| (*level, *n) == (libc::SOL_IP, name));
        found.map(|(_, _, data)| data.as_slice())
    };
    let information = data(libc::IP_PKTINFO).expect("IP_PKTINFO");
    assert_eq!(&information[..4], 1i32.to_ne_bytes());
    assert_eq!(&information[8..12], [127, 9, 9, 9]);
    assert_eq!(data(libc::IP_TTL), Some(&33i32.to_ne_bytes()[..]));
    assert_eq!(data(libc::IP_TOS), Some(&[0x60][..]));
}

pub fn packet_information_v6() {
    let any = UdpSocket::bind("[::]:0").expect("bind");
    for name in [libc::IPV6_RECVPKTINFO, libc::IPV6_RECVHOPLIMIT, libc::IPV6_RECVTCLASS] {
        set(&any, libc::SOL_IPV6, name, 1).expect("setsockopt");
    }
    let sender = UdpSocket::bind("[::1]:0").expect("bind");
    set(&sender, libc::SOL_IPV6, libc::IPV6_TCLASS, 0x60).expect("IPV6_TCLASS");
    sender.send_to(b"x", ("::1", address(&any).port())).expect("sendto");
    let message = receive_message(&any, 8, 0).expect("recvmsg");
    let data = |name: i32| {
        let found = message
            .control
            .iter()
            .find(|(level, n, _)| (*level, *n) == (libc::SOL_IPV6, name));
        found.map(|(_, _, data)| data.as_slice())
    };
    let information = data(libc::IPV6_PKTINFO).expect("IPV6_PKTINFO");
    assert_eq!(&information[..16], Ipv6Addr::LOCALHOST.octets());
    assert_eq!(&information[16..20], 1i32.to_ne_bytes());
    assert_eq!(data(libc::IPV6_HOPLIMIT), Some(&64i32.to_ne_bytes()[..]));
    assert_eq!(data(libc::IPV6_TCLASS), Some(&0x60i32.to_ne_bytes()[..]));
}

pub fn time_stamps() {
    let (one, other) = pair();
    set(&other, libc::SOL_SOCKET, libc::SO_TIMESTAMP, 1).expect("SO_TIMESTAMP");
    assert_eq!(get(&other, libc::SOL_SOCKET, libc::SO_TIMESTAMP), Ok(1));
    one.send(b"x").expect("send");
    let message = receive_message(&other, 8, 0).expect("recvmsg");
    let (level, name, data) = &message.control[0];
    assert_eq!((*level, *name, data.len()), (libc::SOL_SOCKET, libc::SO_TIMESTAMP, 16));
    let seconds = i64::from_ne_bytes(data[..8].try_into().expect("eight bytes"));
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("past 1970");
    assert!((0..60).contains(&(now.as_secs() as i64 - seconds)));
}
