//! connect(2), its undoing, and where a message comes from.

use super::sockets::*;
use libsyscall::abi::Errno;
use libsyscall::abi::event::{EPOLLHUP as HUP, EPOLLIN as IN, EPOLLOUT as OUT, EPOLLRDHUP as RDHUP};
use std::io::ErrorKind;
use std::mem::zeroed;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use userspace_tests::checked;

/// Where a message comes from that was sent from a socket bound to all addresses, or to none.
pub fn source_addresses() {
    let to = bound();
    let mut buffer = [0; 4];
    let any = UdpSocket::bind("0.0.0.0:0").expect("bind");
    any.send_to(b"a", address(&to)).expect("sendto");
    let (_, from) = to.recv_from(&mut buffer).expect("recvfrom");
    assert_eq!(from, SocketAddr::from((Ipv4Addr::LOCALHOST, address(&any).port())));
    let unbound = fresh(libc::AF_INET);
    unbound.send_to(b"b", address(&to)).expect("sendto");
    let port = address(&unbound).port();
    assert_eq!(address(&unbound).ip(), IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    assert_eq!(to.recv_from(&mut buffer).expect("recvfrom").1.port(), port);
    // "Any" as a destination is this machine.
    any.send_to(b"c", ("0.0.0.0", address(&to).port())).expect("sendto");
    assert_eq!(to.recv(&mut buffer).expect("recv"), 1);
    // All of 127.0.0.0/8 is this machine too, and answers from where it was asked.
    let far = UdpSocket::bind("127.3.2.1:0").expect("bind");
    far.send_to(b"d", address(&to)).expect("sendto");
    assert_eq!(to.recv_from(&mut buffer).expect("recvfrom").1, address(&far));
}

pub fn connected_pair() {
    let (one, other) = pair();
    assert_eq!(one.peer_addr().expect("getpeername"), address(&other));
    one.send(b"there").expect("send");
    let mut buffer = [0; 16];
    assert_eq!(other.recv(&mut buffer).expect("recv"), 5);
    other.send(b"back").expect("send");
    assert_eq!(one.recv(&mut buffer).expect("recv"), 4);
    // A connected one may send elsewhere all the same.
    let third = bound();
    one.send_to(b"aside", address(&third)).expect("sendto");
    assert_eq!(third.recv_from(&mut buffer).expect("recvfrom"), (5, address(&one)));
}

pub fn connected_hears_its_peer_only() {
    let (one, other) = pair();
    let stranger = bound();
    stranger.send_to(b"hey", address(&one)).expect("sendto");
    other.send(b"mine").expect("send");
    let mut buffer = [0; 16];
    assert_eq!(one.recv_from(&mut buffer).expect("recvfrom"), (4, address(&other)));
    one.set_nonblocking(true).expect("FIONBIO");
    assert_eq!(one.recv(&mut buffer).expect_err("EAGAIN").kind(), ErrorKind::WouldBlock);
}

pub fn connect_chooses_addresses() {
    let to = bound();
    let any = UdpSocket::bind("0.0.0.0:0").expect("bind");
    any.connect(address(&to)).expect("connect");
    assert_eq!(address(&any).ip(), IpAddr::V4(Ipv4Addr::LOCALHOST));
    let unbound = fresh(libc::AF_INET);
    unbound.connect(("0.0.0.0", address(&to).port())).expect("connect");
    assert_eq!(unbound.peer_addr().expect("getpeername"), address(&to));
    assert_ne!(address(&unbound).port(), 0);
    // Again, to somewhere else: a datagram socket may.
    let second = bound();
    unbound.connect(address(&second)).expect("connect");
    assert_eq!(unbound.peer_addr().expect("getpeername"), address(&second));
    // Port 0 is no destination to name, but one to be connected to.
    unbound.connect("127.0.0.1:0").expect("connect");
}

pub fn disconnect() {
    let (one, other) = pair();
    // SAFETY: all zeroes are a socket address, of the family AF_UNSPEC.
    let nothing: libc::sockaddr_in = unsafe { zeroed() };
    let dissolve = |socket: &UdpSocket| {
        // SAFETY: the address is readable for its length.
        checked(unsafe { libc::connect(socket.as_raw_fd(), (&raw const nothing).cast(), 16) }).expect("connect")
    };
    let before = address(&one);
    dissolve(&one);
    assert_eq!(
        one.peer_addr().expect_err("ENOTCONN").raw_os_error(),
        Some(libc::ENOTCONN)
    );
    // An address that was asked for stays; a port that was not goes.
    assert_eq!(address(&one), SocketAddr::from((before.ip(), 0)));
    drop(one);
    let named = UdpSocket::bind(before).expect("bind");
    named.connect(address(&other)).expect("connect");
    dissolve(&named);
    assert_eq!(address(&named), before);
    bound().send_to(b"now", before).expect("sendto");
    assert_eq!(named.recv(&mut [0; 8]).expect("recv"), 3);
    let unbound = fresh(libc::AF_INET);
    unbound.connect(address(&other)).expect("connect");
    dissolve(&unbound);
    assert_eq!(address(&unbound), "0.0.0.0:0".parse().expect("address"));
}

pub fn no_destination() {
    let socket = bound();
    assert_eq!(
        socket.send(b"x").expect_err("EDESTADDRREQ").raw_os_error(),
        Some(libc::EDESTADDRREQ)
    );
    assert_eq!(
        socket.send_to(b"x", "127.0.0.1:0").expect_err("EINVAL").raw_os_error(),
        Some(libc::EINVAL)
    );
    let v6 = "[::1]:9".parse::<SocketAddr>().expect("address");
    assert_eq!(
        socket.send_to(b"x", v6).expect_err("EAFNOSUPPORT").raw_os_error(),
        Some(libc::EAFNOSUPPORT)
    );
}

/// A socket without a peer says ENOTCONN, and is shut down.
pub fn shutdown_readiness() {
    let (epoll, socket) = watched(bound(), IN | OUT | RDHUP);
    assert_eq!(epoll.events(), OUT);
    // SAFETY: numbers in, a number out.
    assert_eq!(unsafe { libc::shutdown(socket.0, libc::SHUT_RD) }, -1);
    assert_eq!(errno(), libc::ENOTCONN);
    assert_eq!(epoll.events(), IN | OUT | RDHUP);
    // Only who would wait is told of the end.
    assert_eq!(socket.read(&mut [0; 4]), Err(Errno::EAGAIN));
    // SAFETY: as above.
    assert_eq!(unsafe { libc::shutdown(socket.0, libc::SHUT_WR) }, -1);
    assert_eq!(epoll.events(), IN | OUT | RDHUP | HUP);
}

pub fn shutdown_connected() {
    let (one, other) = pair();
    // SAFETY: numbers in, a number out.
    let shutdown = |how| checked(unsafe { libc::shutdown(one.as_raw_fd(), how) }).expect("shutdown");
    shutdown(libc::SHUT_WR);
    assert_eq!(one.send(b"x").expect_err("EPIPE").raw_os_error(), Some(libc::EPIPE));
    other.send(b"y").expect("send");
    assert_eq!(one.recv(&mut [0; 4]).expect("recv"), 1);
    shutdown(libc::SHUT_RD);
    assert_eq!(one.recv(&mut [0; 4]).expect("recv"), 0);
}
