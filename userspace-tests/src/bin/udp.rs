//! UDP over loopback.

use libsyscall::abi::Errno;
use libsyscall::abi::event::{
    EPOLLERR as ERR, EPOLLET as EDGE, EPOLLHUP as HUP, EPOLLIN as IN, EPOLLOUT as OUT, EPOLLRDHUP as RDHUP,
};
use std::io::{ErrorKind, IoSlice};
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};
use userspace_tests::option::{get, receive_message, set};
use userspace_tests::{Fd, checked, tests};

fn main() -> ExitCode {
    userspace_tests::run(tests![
        send_and_receive,
        source_addresses,
        connected_pair,
        connected_hears_its_peer_only,
        connect_chooses_addresses,
        disconnect,
        no_destination,
        cut_to_the_buffer,
        peek,
        empty_message,
        longest_message,
        full_queue_drops,
        receive_waits,
        receive_timeout,
        readable_length,
        unreachable_port,
        unreachable_port_unconnected,
        error_queue,
        error_queue_v6,
        readiness,
        send_is_an_edge,
        shutdown_readiness,
        shutdown_connected,
        vectors,
        many_at_once,
        address_in_use,
        reuse_address,
        reuse_port_spreads,
        both_families,
        own_family_first,
        v6_only,
        options_round_trip,
        option_ranges,
        packet_information,
        packet_information_v6,
        time_stamps,
        broadcast_needs_leave,
        broadcast,
        multicast,
        multicast_membership,
        multicast_sources,
        multicast_sources_of_both_families,
        bind_errors,
        bad_pointers,
        wrong_calls,
    ])
}

const LOCALHOST: &str = "127.0.0.1:0";

fn bound() -> UdpSocket {
    UdpSocket::bind(LOCALHOST).expect("bind")
}

fn address(socket: &UdpSocket) -> SocketAddr {
    socket.local_addr().expect("getsockname")
}

/// A port nobody is at.
fn nobody() -> SocketAddr {
    address(&bound())
}

fn pair() -> (UdpSocket, UdpSocket) {
    let (one, other) = (bound(), bound());
    one.connect(address(&other)).expect("connect");
    other.connect(address(&one)).expect("connect");
    (one, other)
}

/// A socket without a name.
fn fresh(domain: i32) -> UdpSocket {
    // SAFETY: numbers in, a descriptor out, which is then this socket's alone.
    unsafe { UdpSocket::from_raw_fd(checked(libc::socket(domain, libc::SOCK_DGRAM, 0)).expect("socket")) }
}

fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// The socket's own error, without the queue of errors.
fn take_error(socket: &UdpSocket) -> i32 {
    get(socket, libc::SOL_SOCKET, libc::SO_ERROR).expect("SO_ERROR")
}

fn watched(socket: UdpSocket, events: u32) -> (Fd, Fd) {
    socket.set_nonblocking(true).expect("FIONBIO");
    let (epoll, socket) = (Fd::epoll(), Fd(socket.into_raw_fd()));
    epoll.add(&socket, events);
    (epoll, socket)
}

/// The events of the next wait.
fn next(epoll: &Fd) -> u32 {
    let ready = epoll.wait(2000, 1).expect("epoll_wait");
    ready.first().map_or(0, |&(_, events)| events)
}

fn send_and_receive() {
    let (one, other) = (bound(), bound());
    assert_eq!(one.send_to(b"ping", address(&other)).expect("sendto"), 4);
    let mut buffer = [0; 16];
    let (len, from) = other.recv_from(&mut buffer).expect("recvfrom");
    assert_eq!((&buffer[..len], from), (&b"ping"[..], address(&one)));
}

/// Where a message comes from that was sent from a socket bound to all addresses, or to none.
fn source_addresses() {
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

fn connected_pair() {
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

fn connected_hears_its_peer_only() {
    let (one, other) = pair();
    let stranger = bound();
    stranger.send_to(b"hey", address(&one)).expect("sendto");
    other.send(b"mine").expect("send");
    let mut buffer = [0; 16];
    assert_eq!(one.recv_from(&mut buffer).expect("recvfrom"), (4, address(&other)));
    one.set_nonblocking(true).expect("FIONBIO");
    assert_eq!(one.recv(&mut buffer).expect_err("EAGAIN").kind(), ErrorKind::WouldBlock);
}

fn connect_chooses_addresses() {
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

fn disconnect() {
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

fn no_destination() {
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

fn cut_to_the_buffer() {
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

fn peek() {
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

fn empty_message() {
    let (one, other) = pair();
    one.send(b"").expect("send");
    let (epoll, watched) = watched(other, IN);
    assert_eq!(epoll.events(), IN);
    assert_eq!(watched.read(&mut [0; 4]), Ok(0));
    assert_eq!(watched.read(&mut [0; 4]), Err(Errno::EAGAIN));
}

fn longest_message() {
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
fn full_queue_drops() {
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

fn receive_waits() {
    let (one, other) = pair();
    let receiver = thread::spawn(move || other.recv(&mut [0; 8]));
    thread::sleep(Duration::from_millis(30));
    assert!(!receiver.is_finished());
    one.send(b"awake").expect("send");
    assert_eq!(receiver.join().expect("thread").expect("recv"), 5);
}

fn receive_timeout() {
    let socket = bound();
    socket
        .set_read_timeout(Some(Duration::from_millis(30)))
        .expect("SO_RCVTIMEO");
    let start = Instant::now();
    assert_eq!(socket.recv(&mut [0]).expect_err("EAGAIN").kind(), ErrorKind::WouldBlock);
    assert!(start.elapsed() >= Duration::from_millis(30));
}

/// FIONREAD is the next message's length.
fn readable_length() {
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

fn unreachable_port() {
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
fn unreachable_port_unconnected() {
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

fn error_queue() {
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
    let error = queued_error(&Borrowed(&socket), libc::SOL_IP, libc::IP_RECVERR);
    assert_eq!(error, (libc::ECONNREFUSED, ICMP, 3, 3));
    // With the queue the error has gone.
    assert_eq!(epoll.events(), 0);
    assert_eq!(socket.read(&mut [0; 4]), Err(Errno::EAGAIN));
}

fn error_queue_v6() {
    let socket = UdpSocket::bind("[::1]:0").expect("bind");
    set(&socket, libc::SOL_IPV6, libc::IPV6_RECVERR, 1).expect("IPV6_RECVERR");
    let gone = address(&UdpSocket::bind("[::1]:0").expect("bind"));
    socket.send_to(b"lost", gone).expect("sendto");
    const ICMP6: u8 = 3;
    let error = queued_error(&socket, libc::SOL_IPV6, libc::IPV6_RECVERR);
    assert_eq!(error, (libc::ECONNREFUSED, ICMP6, 1, 4));
}

struct Borrowed<'a>(&'a Fd);

impl AsRawFd for Borrowed<'_> {
    fn as_raw_fd(&self) -> i32 {
        self.0.0
    }
}

fn readiness() {
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
fn send_is_an_edge() {
    let (one, _other) = pair();
    let (epoll, one) = watched(one, OUT | EDGE);
    assert_eq!(next(&epoll), OUT);
    assert_eq!(epoll.events(), 0);
    one.write(b"x").expect("send");
    assert_eq!(epoll.events(), OUT);
}

/// A socket without a peer says ENOTCONN, and is shut down.
fn shutdown_readiness() {
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

fn shutdown_connected() {
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

fn vectors() {
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
fn many_at_once() {
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

fn address_in_use() {
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

/// A bound socket that shares its port by `option`.
fn sharing(option: i32, at: SocketAddr) -> UdpSocket {
    let socket = fresh(if at.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 });
    set(&socket, libc::SOL_SOCKET, option, 1).expect("setsockopt");
    bind_to(&socket, at).expect("bind");
    socket
}

fn bind_to(socket: &UdpSocket, at: SocketAddr) -> Result<(), Errno> {
    // SAFETY: all zeroes are a socket address; one of either family fits into the storage.
    let mut name: libc::sockaddr_storage = unsafe { zeroed() };
    let len = match at {
        SocketAddr::V4(at) => {
            // SAFETY: as above.
            let name = unsafe { &mut *(&raw mut name).cast::<libc::sockaddr_in>() };
            name.sin_family = libc::AF_INET as _;
            name.sin_port = at.port().to_be();
            name.sin_addr.s_addr = u32::from(*at.ip()).to_be();
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(at) => {
            // SAFETY: as above.
            let name = unsafe { &mut *(&raw mut name).cast::<libc::sockaddr_in6>() };
            name.sin6_family = libc::AF_INET6 as _;
            name.sin6_port = at.port().to_be();
            name.sin6_addr.s6_addr = at.ip().octets();
            size_of::<libc::sockaddr_in6>()
        }
    };
    // SAFETY: the name is readable for its length.
    checked(unsafe { libc::bind(socket.as_raw_fd(), (&raw const name).cast(), len as u32) }).map(drop)
}

/// SO_REUSEADDR shares a port; the newest socket gets what comes.
fn reuse_address() {
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
fn reuse_port_spreads() {
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
fn both_families() {
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
fn own_family_first() {
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

fn v6_only() {
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

fn options_round_trip() {
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

fn option_ranges() {
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
fn packet_information() {
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

fn packet_information_v6() {
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

fn time_stamps() {
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

fn broadcast_needs_leave() {
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

fn broadcast() {
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
fn multicast() {
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

fn multicast_membership() {
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

fn multicast_sources() {
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

fn multicast_sources_of_both_families() {
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

fn bind_errors() {
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

fn bad_pointers() {
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

fn wrong_calls() {
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
