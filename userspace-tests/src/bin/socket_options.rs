//! Options of sockets, level by level, and what they make of messages over loopback.

use libsyscall::abi::Errno;
use std::io::{Read, Write};
use std::mem::{size_of, zeroed};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use userspace_tests::option::{get, receive_message, set};
use userspace_tests::{Fd, Status, checked, child, tests};

fn main() -> ExitCode {
    userspace_tests::run(tests![
        starts_and_keeps,
        time_for_the_end,
        bounds,
        levels_of_others,
        value_before_name,
        small_room,
        unix_only,
        cookies,
        peer_name,
        peer_process,
        peer_groups,
        memory,
        one_interface,
        bound_freely,
        path_mtu,
        time_stamps,
        one_kind_of_stamp,
        lost_messages,
        original_destination,
        segments,
        segments_by_message,
        segments_in_one_piece,
        too_many_segments,
        deferred_accept,
        largest_segment,
        rest_of_a_stream,
    ])
}

const LOCALHOST: &str = "127.0.0.1:0";
const SOL_SOCKET: i32 = libc::SOL_SOCKET;
const SOL_UDP: i32 = libc::SOL_UDP;
const SO_NETNS_COOKIE: i32 = 71;
const SO_BINDTOIFINDEX: i32 = 62;
const SO_PEERGROUPS: i32 = 59;
const SO_PEERPIDFD: i32 = 77;
const LOOPBACK: i32 = 1;

fn socket(domain: i32, kind: i32) -> Fd {
    // SAFETY: no memory is involved.
    Fd(checked(unsafe { libc::socket(domain, kind | libc::SOCK_CLOEXEC, 0) }).expect("socket"))
}

fn pair() -> (UdpSocket, UdpSocket) {
    let bound = || UdpSocket::bind(LOCALHOST).expect("bind");
    let (one, other) = (bound(), bound());
    one.connect(other.local_addr().expect("getsockname")).expect("connect");
    other.connect(one.local_addr().expect("getsockname")).expect("connect");
    (one, other)
}

fn streams() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(LOCALHOST).expect("bind");
    let one = TcpStream::connect(listener.local_addr().expect("getsockname")).expect("connect");
    (one, listener.accept().expect("accept").0)
}

/// getsockopt(2) with so much room: the bytes it writes.
fn bytes(socket: &impl AsRawFd, level: i32, name: i32, room: usize) -> Result<Vec<u8>, Errno> {
    let (mut value, mut len) = (vec![0xee; room], room as u32);
    // SAFETY: there is as much room as said.
    let result = unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, value.as_mut_ptr().cast(), &mut len) };
    checked(result)?;
    value.truncate(len as usize);
    Ok(value)
}

fn set_bytes(socket: &impl AsRawFd, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
    let (at, len) = (value.as_ptr().cast(), value.len() as u32);
    // SAFETY: `value` is readable for its length.
    checked(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, at, len) }).map(drop)
}

fn starts_and_keeps() {
    let udp = socket(libc::AF_INET6, libc::SOCK_DGRAM);
    let tcp = socket(libc::AF_INET6, libc::SOCK_STREAM);
    for (socket, level, name, at_first, value) in [
        (&udp, SOL_SOCKET, libc::SO_NO_CHECK, 0, 1),
        (&udp, SOL_SOCKET, libc::SO_PRIORITY, 0, 6),
        (&udp, SOL_SOCKET, libc::SO_RXQ_OVFL, 0, 1),
        (&udp, SOL_SOCKET, libc::SO_BUSY_POLL, 0, 0),
        (&udp, SOL_SOCKET, libc::SO_INCOMING_CPU, -1, 1),
        (&udp, libc::SOL_IP, libc::IP_RECVOPTS, 0, 1),
        (&udp, libc::SOL_IP, libc::IP_RETOPTS, 0, 1),
        (&udp, libc::SOL_IP, libc::IP_RECVORIGDSTADDR, 0, 1),
        (&udp, libc::SOL_IPV6, libc::IPV6_RECVHOPOPTS, 0, 1),
        (&udp, libc::SOL_IPV6, libc::IPV6_RECVRTHDR, 0, 1),
        (&udp, libc::SOL_IPV6, libc::IPV6_RECVDSTOPTS, 0, 1),
        (&udp, libc::SOL_IPV6, libc::IPV6_RECVPATHMTU, 0, 1),
        (&udp, libc::SOL_IPV6, libc::IPV6_RECVORIGDSTADDR, 0, 1),
        (&udp, libc::SOL_IPV6, libc::IPV6_DONTFRAG, 0, 1),
        (&udp, libc::SOL_IPV6, libc::IPV6_AUTOFLOWLABEL, 1, 0),
        (&udp, SOL_UDP, libc::UDP_SEGMENT, 0, 1200),
        (&udp, SOL_UDP, libc::UDP_GRO, 0, 1),
        (&tcp, libc::SOL_TCP, libc::TCP_INQ, 0, 1),
        (&tcp, libc::SOL_TCP, libc::TCP_LINGER2, 60, 5),
        (&tcp, libc::SOL_TCP, libc::TCP_FASTOPEN, 0, 64),
    ] {
        let case = format!("level {level}, option {name}");
        assert_eq!(get(socket, level, name), Ok(at_first), "{case}");
        assert_eq!(set(socket, level, name, value), Ok(()), "{case}");
        assert_eq!(get(socket, level, name), Ok(value), "{case}");
    }
}

/// TCP_LINGER2: none is the usual time, and there is a longest.
fn time_for_the_end() {
    let tcp = socket(libc::AF_INET, libc::SOCK_STREAM);
    for (seconds, kept) in [(7, 7), (0, 60), (121, 120), (-5, -1)] {
        set(&tcp, libc::SOL_TCP, libc::TCP_LINGER2, seconds).expect("TCP_LINGER2");
        assert_eq!(get(&tcp, libc::SOL_TCP, libc::TCP_LINGER2), Ok(kept));
    }
}

fn bounds() {
    let udp = socket(libc::AF_INET, libc::SOCK_DGRAM);
    let tcp = socket(libc::AF_INET, libc::SOCK_STREAM);
    for (socket, level, name, value) in [
        (&udp, SOL_SOCKET, libc::SO_BUSY_POLL, -1),
        (&udp, SOL_SOCKET, SO_BINDTOIFINDEX, -1),
        (&udp, SOL_SOCKET, libc::SO_TIMESTAMPING, 1 << 25),
        (&udp, SOL_UDP, libc::UDP_SEGMENT, -1),
        (&udp, SOL_UDP, libc::UDP_SEGMENT, 65536),
        (&tcp, libc::SOL_TCP, libc::TCP_INQ, 2),
        (&tcp, libc::SOL_TCP, libc::TCP_MAXSEG, 87),
        (&tcp, libc::SOL_TCP, libc::TCP_MAXSEG, 32768),
        (&tcp, libc::SOL_TCP, libc::TCP_FASTOPEN, -1),
    ] {
        assert_eq!(
            set(socket, level, name, value),
            Err(Errno::EINVAL),
            "level {level}, option {name}: {value}"
        );
    }
    // No layer above TCP is there by this name, and no socket joins groups that has connections.
    assert_eq!(
        set_bytes(&tcp, libc::SOL_TCP, libc::TCP_ULP, b"vigil"),
        Err(Errno::ENOENT)
    );
    assert_eq!(
        set(&tcp, libc::SOL_IP, libc::IP_ADD_MEMBERSHIP, [0u32; 2]),
        Err(Errno::EPROTO)
    );
}

/// IPv4's sockets and IPv6's say it in different words.
fn levels_of_others() {
    for (domain, expected) in [(libc::AF_INET, Errno::EOPNOTSUPP), (libc::AF_INET6, Errno::ENOPROTOOPT)] {
        let udp = socket(domain, libc::SOCK_DGRAM);
        assert_eq!(get(&udp, libc::SOL_TCP, libc::TCP_NODELAY), Err(expected));
        assert_eq!(set(&udp, libc::SOL_TCP, libc::TCP_NODELAY, 1), Err(Errno::ENOPROTOOPT));
    }
    let unix = socket(libc::AF_UNIX, libc::SOCK_STREAM);
    assert_eq!(get(&unix, libc::SOL_TCP, libc::TCP_NODELAY), Err(Errno::EOPNOTSUPP));
    assert_eq!(set(&unix, libc::SOL_TCP, libc::TCP_NODELAY, 1), Err(Errno::EOPNOTSUPP));
}

fn value_before_name() {
    const UNKNOWN: i32 = 99;
    let tcp = socket(libc::AF_INET, libc::SOCK_STREAM);
    for level in [SOL_SOCKET, libc::SOL_TCP] {
        assert_eq!(set(&tcp, level, UNKNOWN, 1u8), Err(Errno::EINVAL));
        assert_eq!(set(&tcp, level, UNKNOWN, 1), Err(Errno::ENOPROTOOPT));
        // SAFETY: an address that is no memory is what is tried.
        let result = unsafe { libc::setsockopt(tcp.0, level, UNKNOWN, 8 as *const libc::c_void, 4) };
        assert_eq!(checked(result), Err(Errno::EFAULT));
    }
}

/// IPv4's small numbers fit into a byte.
fn small_room() {
    let udp = socket(libc::AF_INET, libc::SOCK_DGRAM);
    assert_eq!(bytes(&udp, libc::SOL_IP, libc::IP_TTL, 1), Ok(vec![64]));
    assert_eq!(bytes(&udp, libc::SOL_IP, libc::IP_TTL, 2), Ok(vec![64]));
    assert_eq!(bytes(&udp, libc::SOL_IP, libc::IP_MULTICAST_TTL, 1), Ok(vec![1]));
    assert_eq!(bytes(&udp, SOL_SOCKET, libc::SO_TYPE, 2), Ok(vec![2, 0]));
}

fn unix_only() {
    let unix = socket(libc::AF_UNIX, libc::SOCK_STREAM);
    assert_eq!(get(&unix, SOL_SOCKET, libc::SO_PASSCRED), Ok(0));
    // To switch it off is no mistake.
    assert_eq!(set(&unix, SOL_SOCKET, libc::SO_REUSEPORT, 0), Ok(()));
    assert_eq!(set(&unix, SOL_SOCKET, libc::SO_REUSEPORT, 1), Err(Errno::EOPNOTSUPP));
    assert_eq!(get(&unix, SOL_SOCKET, libc::SO_REUSEPORT), Ok(0));
}

fn cookies() {
    let sockets = [libc::AF_INET, libc::AF_INET6, libc::AF_UNIX].map(|domain| socket(domain, libc::SOCK_STREAM));
    let cookies = sockets
        .each_ref()
        .map(|socket| bytes(socket, SOL_SOCKET, libc::SO_COOKIE, 8));
    assert!(cookies[0] != cookies[1] && cookies[1] != cookies[2] && cookies[0] != cookies[2]);
    assert_eq!(bytes(&sockets[0], SOL_SOCKET, libc::SO_COOKIE, 8), cookies[0]);
    assert_eq!(bytes(&sockets[0], SOL_SOCKET, libc::SO_COOKIE, 7), Err(Errno::EINVAL));
    // All are in one namespace.
    let of_network = |socket| bytes(socket, SOL_SOCKET, SO_NETNS_COOKIE, 8).expect("SO_NETNS_COOKIE");
    assert_eq!(of_network(&sockets[0]), of_network(&sockets[1]));
    assert_eq!(bytes(&sockets[0], SOL_SOCKET, SO_NETNS_COOKIE, 16), Err(Errno::EINVAL));
}

fn peer_name() {
    let (one, other) = streams();
    let name = bytes(&one, SOL_SOCKET, libc::SO_PEERNAME, 16).expect("SO_PEERNAME");
    let port = other.local_addr().expect("getsockname").port();
    assert_eq!(name[2..8], [&port.to_be_bytes()[..], &[127, 0, 0, 1]].concat());
    // Not into more room than there is an address for.
    assert_eq!(bytes(&one, SOL_SOCKET, libc::SO_PEERNAME, 17), Err(Errno::EINVAL));
    let alone = socket(libc::AF_INET, libc::SOCK_STREAM);
    assert_eq!(bytes(&alone, SOL_SOCKET, libc::SO_PEERNAME, 16), Err(Errno::ENOTCONN));
}

/// SO_PEERPIDFD: a descriptor that says when the process at the other end has ended.
fn peer_process() {
    let (near, _far) = Fd::socket_pair();
    let own = Fd(get(&near, SOL_SOCKET, SO_PEERPIDFD).expect("SO_PEERPIDFD"));
    let status = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", own.0)).expect("fdinfo");
    assert!(status.contains(&format!("Pid:\t{}\n", std::process::id())), "{status}");
    // SAFETY: numbers in, a number out.
    assert_eq!(unsafe { libc::fcntl(own.0, libc::F_GETFD) }, libc::FD_CLOEXEC);
    for (domain, kind) in [(libc::AF_UNIX, libc::SOCK_STREAM), (libc::AF_INET, libc::SOCK_STREAM)] {
        assert_eq!(
            get(&socket(domain, kind), SOL_SOCKET, SO_PEERPIDFD),
            Err(Errno::ENODATA)
        );
    }

    let name = userspace_tests::socket::abstract_name("peer");
    let listener = Fd::unix(libc::SOCK_STREAM);
    listener.bind(&name).expect("bind");
    listener.listen(1).expect("listen");
    let (read, write) = Fd::blocking_pipe();
    let client = child(|| {
        libsyscall::calls::file::close(write.0).expect("close");
        let socket = Fd::unix(libc::SOCK_STREAM);
        socket.connect(&name).expect("connect");
        // Until it may go.
        read.read(&mut [0]).map_or(1, |count| count as i32)
    });
    // SAFETY: no memory is involved.
    checked(unsafe { libc::fcntl(listener.0, libc::F_SETFL, 0) }).expect("F_SETFL");
    let server = listener.accept().expect("accept");
    let process = Fd(get(&server, SOL_SOCKET, SO_PEERPIDFD).expect("SO_PEERPIDFD"));
    let epoll = Fd::epoll();
    epoll.add(&process, libc::EPOLLIN as u32);
    assert_eq!(epoll.events(), 0);
    drop(write);
    assert_eq!(epoll.wait(20_000, 1).expect("epoll_wait").len(), 1);
    assert_eq!(client.wait(), Status::Exited(0));
}

fn peer_groups() {
    let (near, _far) = Fd::socket_pair();
    let mut own = vec![0u32; 65536];
    // SAFETY: there is room for so many groups.
    let count = checked(unsafe { libc::getgroups(65536, own.as_mut_ptr()) }).expect("getgroups");
    let expected: Vec<u8> = own[..count as usize]
        .iter()
        .flat_map(|group| group.to_ne_bytes())
        .collect();
    assert_eq!(bytes(&near, SOL_SOCKET, SO_PEERGROUPS, 1 << 18), Ok(expected.clone()));
    if !expected.is_empty() {
        let (mut room, mut len) = ([0u8; 3], 3);
        // SAFETY: there is as much room as said.
        let result = unsafe { libc::getsockopt(near.0, SOL_SOCKET, SO_PEERGROUPS, room.as_mut_ptr().cast(), &mut len) };
        assert_eq!((checked(result), len as usize), (Err(Errno::ERANGE), expected.len()));
    }
    let alone = socket(libc::AF_UNIX, libc::SOCK_STREAM);
    assert_eq!(bytes(&alone, SOL_SOCKET, SO_PEERGROUPS, 64), Err(Errno::ENODATA));
}

/// SO_MEMINFO: what lies in the buffers, and how much may, in nine numbers.
fn memory() {
    const SO_MEMINFO: i32 = 55;
    let of = |socket: &dyn AsRawFd| {
        let bytes = bytes(&socket.as_raw_fd(), SOL_SOCKET, SO_MEMINFO, 64).expect("SO_MEMINFO");
        let words = bytes.chunks_exact(4).map(|word| word.try_into().expect("four bytes"));
        words.map(u32::from_ne_bytes).collect::<Vec<_>>()
    };
    let limits = |socket: &dyn AsRawFd| {
        let socket = socket.as_raw_fd();
        [libc::SO_RCVBUF, libc::SO_SNDBUF].map(|name| get(&socket, SOL_SOCKET, name).expect("a buffer's length") as u32)
    };
    let (one, other) = pair();
    set(&other, SOL_SOCKET, libc::SO_RCVBUF, 4096).expect("SO_RCVBUF");
    let empty = of(&other);
    assert_eq!(empty.len(), 9);
    assert_eq!(([empty[1], empty[3]], empty[0], empty[2]), (limits(&other), 0, 0));
    for _ in 0..100 {
        one.send(&[0; 500]).expect("send");
    }
    let full = of(&other);
    assert!(full[0] >= 4096 && (1..100).contains(&full[8]), "{full:?}");
    assert_eq!(bytes(&other, SOL_SOCKET, SO_MEMINFO, 6).expect("SO_MEMINFO").len(), 6);
    assert_eq!(set(&other, SOL_SOCKET, SO_MEMINFO, 1), Err(Errno::ENOPROTOOPT));

    let (near, far) = Fd::socket_pair();
    near.write(b"on its way").expect("write");
    let unsent = near.asked_count(libc::TIOCOUTQ).expect("SIOCOUTQ") as u32;
    assert!(unsent > 0 && of(&near)[2] == unsent);
    assert_eq!((of(&far)[0], of(&far)[2]), (0, 0));
}

fn one_interface() {
    let (one, other) = pair();
    assert_eq!(bytes(&one, SOL_SOCKET, libc::SO_BINDTODEVICE, 16), Ok(vec![]));
    assert_eq!(
        set_bytes(&one, SOL_SOCKET, libc::SO_BINDTODEVICE, b"vigil"),
        Err(Errno::ENODEV)
    );
    set_bytes(&one, SOL_SOCKET, libc::SO_BINDTODEVICE, b"lo").expect("SO_BINDTODEVICE");
    assert_eq!(bytes(&one, SOL_SOCKET, libc::SO_BINDTODEVICE, 16), Ok(b"lo\0".to_vec()));
    assert_eq!(bytes(&one, SOL_SOCKET, libc::SO_BINDTODEVICE, 8), Err(Errno::EINVAL));
    assert_eq!(get(&one, SOL_SOCKET, SO_BINDTOIFINDEX), Ok(LOOPBACK));
    set(&other, SOL_SOCKET, SO_BINDTOIFINDEX, LOOPBACK).expect("SO_BINDTOIFINDEX");
    one.send(b"x").expect("send");
    assert_eq!(other.recv(&mut [0; 8]).expect("recv"), 1);
}

fn bound_freely() {
    // An address kept for documents, which is nobody's.
    let foreign = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 0));
    assert_eq!(
        UdpSocket::bind(foreign).expect_err("bind").raw_os_error(),
        Some(libc::EADDRNOTAVAIL)
    );
    for kind in [libc::SOCK_STREAM, libc::SOCK_DGRAM] {
        let socket = socket(libc::AF_INET, kind);
        set(&socket, libc::SOL_IP, libc::IP_FREEBIND, 1).expect("IP_FREEBIND");
        // SAFETY: all zeroes are a valid sockaddr_in.
        let mut name: libc::sockaddr_in = unsafe { zeroed() };
        name.sin_family = libc::AF_INET as u16;
        name.sin_addr.s_addr = u32::from_ne_bytes([192, 0, 2, 1]);
        let len = size_of::<libc::sockaddr_in>() as u32;
        // SAFETY: the address is as long as said.
        checked(unsafe { libc::bind(socket.0, (&raw const name).cast(), len) }).expect("bind");
    }
}

fn path_mtu() {
    let alone = socket(libc::AF_INET, libc::SOCK_DGRAM);
    assert_eq!(get(&alone, libc::SOL_IP, libc::IP_MTU), Err(Errno::ENOTCONN));
    let (one, _other) = pair();
    assert_eq!(get(&one, libc::SOL_IP, libc::IP_MTU), Ok(65535));
    let six = UdpSocket::bind("[::1]:0").expect("bind");
    assert_eq!(get(&six, libc::SOL_IPV6, libc::IPV6_MTU), Err(Errno::ENOTCONN));
    six.connect("[::1]:9").expect("connect");
    assert_eq!(get(&six, libc::SOL_IPV6, libc::IPV6_MTU), Ok(65536));
}

/// Seconds since 1970, of the first word of a time.
fn seconds(stamp: &[u8]) -> u64 {
    u64::from_ne_bytes(stamp[..8].try_into().expect("eight bytes"))
}

fn time_stamps() {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("past 1970")
        .as_secs();
    let received = libc::SOF_TIMESTAMPING_RX_SOFTWARE | libc::SOF_TIMESTAMPING_SOFTWARE;
    for (name, value, len) in [
        (libc::SO_TIMESTAMP, 1, 16),
        (libc::SO_TIMESTAMPNS, 1, 16),
        (libc::SO_TIMESTAMPING, received as i32, 48),
    ] {
        let (one, other) = pair();
        set(&other, SOL_SOCKET, name, value).expect("setsockopt");
        let start = Instant::now();
        let message = loop {
            one.send(b"x").expect("send");
            let message = receive_message(&other, 8, 0).expect("recvmsg");
            // Linux begins to stamp a moment after the first socket asks, and only for this option tells nothing till then.
            let may_lack = name == libc::SO_TIMESTAMPING && start.elapsed() < Duration::from_secs(10);
            if message.told(SOL_SOCKET, name).is_some() || !may_lack {
                break message;
            }
        };
        let stamp = message.told(SOL_SOCKET, name).expect("a stamp");
        assert_eq!(stamp.len(), len, "option {name}");
        assert!((now..now + 60).contains(&seconds(stamp)), "option {name}");
        assert_eq!(message.control.len(), 1);
    }
}

fn one_kind_of_stamp() {
    let udp = socket(libc::AF_INET, libc::SOCK_DGRAM);
    set(&udp, SOL_SOCKET, libc::SO_TIMESTAMP, 1).expect("SO_TIMESTAMP");
    set(&udp, SOL_SOCKET, libc::SO_TIMESTAMPNS, 1).expect("SO_TIMESTAMPNS");
    assert_eq!(get(&udp, SOL_SOCKET, libc::SO_TIMESTAMP), Ok(0));
    assert_eq!(get(&udp, SOL_SOCKET, libc::SO_TIMESTAMPNS), Ok(1));
}

fn lost_messages() {
    let (one, other) = pair();
    set(&other, SOL_SOCKET, libc::SO_RXQ_OVFL, 1).expect("SO_RXQ_OVFL");
    set(&other, SOL_SOCKET, libc::SO_RCVBUF, 1).expect("SO_RCVBUF");
    for _ in 0..100 {
        one.send(&[0; 500]).expect("send");
    }
    let first = receive_message(&other, 512, 0).expect("recvmsg");
    assert_eq!(first.told(SOL_SOCKET, libc::SO_RXQ_OVFL), None);
    other.set_nonblocking(true).expect("FIONBIO");
    while receive_message(&other, 512, 0).is_ok() {}
    // The next to come says how many did not.
    other.set_nonblocking(false).expect("FIONBIO");
    one.send(b"x").expect("send");
    let next = receive_message(&other, 512, 0).expect("recvmsg");
    let lost = next.told(SOL_SOCKET, libc::SO_RXQ_OVFL).expect("SO_RXQ_OVFL");
    let lost = u32::from_ne_bytes(lost.try_into().expect("four bytes"));
    assert!((1..100).contains(&lost), "{lost}");
}

fn original_destination() {
    let any = UdpSocket::bind("0.0.0.0:0").expect("bind");
    set(&any, libc::SOL_IP, libc::IP_RECVORIGDSTADDR, 1).expect("IP_RECVORIGDSTADDR");
    let port = any.local_addr().expect("getsockname").port();
    let sender = UdpSocket::bind(LOCALHOST).expect("bind");
    sender.send_to(b"x", ("127.3.4.5", port)).expect("sendto");
    let message = receive_message(&any, 8, 0).expect("recvmsg");
    let name = message
        .told(libc::SOL_IP, libc::IP_ORIGDSTADDR)
        .expect("IP_ORIGDSTADDR");
    assert_eq!(name[2..8], [&port.to_be_bytes()[..], &[127, 3, 4, 5]].concat());
}

/// Bytes that tell their place.
fn row(len: usize) -> Vec<u8> {
    (0..len).map(|at| at as u8).collect()
}

fn expect_pieces(socket: &UdpSocket, whole: &[u8], len: usize) {
    for piece in whole.chunks(len) {
        let message = receive_message(socket, 2000, 0).expect("recvmsg");
        assert_eq!(message.bytes, piece);
        assert_eq!(message.told(SOL_UDP, libc::UDP_GRO), None);
    }
}

/// One send, many messages.
fn segments() {
    let (one, other) = pair();
    set(&one, SOL_UDP, libc::UDP_SEGMENT, 100).expect("UDP_SEGMENT");
    let whole = row(250);
    assert_eq!(one.send(&whole).expect("send"), 250);
    expect_pieces(&other, &whole, 100);
    // A short one is no row.
    one.send(&whole[..80]).expect("send");
    expect_pieces(&other, &whole[..80], 100);
}

/// sendmsg(2) with UDP_SEGMENT beside the bytes.
fn send_row(socket: &UdpSocket, whole: &[u8], len: u16) -> Result<usize, Errno> {
    #[repr(C, align(8))]
    struct Control([u8; 24]);
    let mut control = Control([0; 24]);
    // SAFETY: all zeroes are a msghdr without anything; the control data has room for one header with a number.
    unsafe {
        let mut header: libc::msghdr = zeroed();
        let mut vector = libc::iovec {
            iov_base: whole.as_ptr().cast_mut().cast(),
            iov_len: whole.len(),
        };
        (header.msg_iov, header.msg_iovlen) = (&mut vector, 1);
        header.msg_control = control.0.as_mut_ptr().cast();
        header.msg_controllen = control.0.len() as _;
        let at = libc::CMSG_FIRSTHDR(&header);
        (*at).cmsg_level = SOL_UDP;
        (*at).cmsg_type = libc::UDP_SEGMENT;
        (*at).cmsg_len = libc::CMSG_LEN(size_of::<u16>() as u32) as _;
        libc::CMSG_DATA(at).cast::<u16>().write_unaligned(len);
        checked(libc::sendmsg(socket.as_raw_fd(), &header, 0)).map(|sent| sent as usize)
    }
}

fn segments_by_message() {
    let (one, other) = pair();
    let whole = row(1000);
    assert_eq!(send_row(&one, &whole, 300), Ok(1000));
    expect_pieces(&other, &whole, 300);
}

fn segments_in_one_piece() {
    let (one, other) = pair();
    set(&other, SOL_UDP, libc::UDP_GRO, 1).expect("UDP_GRO");
    let whole = row(1000);
    assert_eq!(send_row(&one, &whole, 300), Ok(1000));
    let message = receive_message(&other, 2000, 0).expect("recvmsg");
    assert_eq!(message.bytes, whole);
    assert_eq!(message.told(SOL_UDP, libc::UDP_GRO), Some(&300i32.to_ne_bytes()[..]));
    // What comes alone comes as ever.
    one.send(b"x").expect("send");
    expect_pieces(&other, b"x", 1);
}

fn too_many_segments() {
    let (one, _other) = pair();
    assert_eq!(send_row(&one, &row(1000), 1), Err(Errno::EINVAL));
}

/// Seconds are kept as a number of answers sent again, after 1, 2, 4, ... seconds.
fn deferred_accept() {
    let tcp = socket(libc::AF_INET, libc::SOCK_STREAM);
    for (asked, kept) in [(0, 0), (1, 1), (2, 3), (5, 7), (64, 127), (1000, 1087), (-1, 0)] {
        set(&tcp, libc::SOL_TCP, libc::TCP_DEFER_ACCEPT, asked).expect("TCP_DEFER_ACCEPT");
        assert_eq!(get(&tcp, libc::SOL_TCP, libc::TCP_DEFER_ACCEPT), Ok(kept), "{asked}");
    }
}

fn largest_segment() {
    let tcp = socket(libc::AF_INET, libc::SOCK_STREAM);
    assert_eq!(get(&tcp, libc::SOL_TCP, libc::TCP_MAXSEG), Ok(536));
    set(&tcp, libc::SOL_TCP, libc::TCP_MAXSEG, 1000).expect("TCP_MAXSEG");
    assert_eq!(get(&tcp, libc::SOL_TCP, libc::TCP_MAXSEG), Ok(1000));
    set(&tcp, libc::SOL_TCP, libc::TCP_MAXSEG, 0).expect("TCP_MAXSEG");
    assert_eq!(get(&tcp, libc::SOL_TCP, libc::TCP_MAXSEG), Ok(536));
}

fn rest_of_a_stream() {
    let (mut one, mut other) = streams();
    set(&other, libc::SOL_TCP, libc::TCP_INQ, 1).expect("TCP_INQ");
    one.write_all(b"ten bytes.").expect("write");
    // Without the rest there may be less than what was written.
    other.read_exact(&mut [0; 4]).expect("read");
    let message = receive_message(&other, 2, 0).expect("recvmsg");
    assert_eq!(
        message.told(libc::SOL_TCP, libc::TCP_INQ),
        Some(&4i32.to_ne_bytes()[..])
    );
}
