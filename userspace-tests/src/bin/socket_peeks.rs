//! SO_PEEK_OFF: a place in what has come, from which MSG_PEEK looks and which it moves on.

use libsyscall::abi::Errno;
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;
use userspace_tests::option::{get, set};
use userspace_tests::{Fd, checked, tests};

fn main() -> ExitCode {
    userspace_tests::run(tests![
        off_at_first,
        moves_over_a_stream,
        moves_over_messages,
        what_a_receive_takes_back,
        whole_length_of_messages,
        beyond_the_end,
        messages_of_no_bytes,
        waits_behind_what_is_there,
        descriptors_are_peeked_at_a_place,
        connections_of_a_listener,
        end_of_a_stream,
        not_of_netlink,
    ])
}

const SOL_SOCKET: i32 = libc::SOL_SOCKET;
const SO_PEEK_OFF: i32 = libc::SO_PEEK_OFF;
const PEEK: i32 = libc::MSG_PEEK | libc::MSG_DONTWAIT;
const TAKE: i32 = libc::MSG_DONTWAIT;

struct Pair {
    name: &'static str,
    sender: Fd,
    receiver: Fd,
}

fn unix(name: &'static str, kind: i32) -> Pair {
    let (sender, receiver) = Fd::unix_pair(kind);
    Pair { name, sender, receiver }
}

fn tcp(name: &'static str, at: &str) -> Pair {
    let listener = TcpListener::bind(at).expect("bind");
    let sender = TcpStream::connect(listener.local_addr().expect("getsockname")).expect("connect");
    sender.set_nodelay(true).expect("TCP_NODELAY");
    let receiver = listener.accept().expect("accept").0;
    Pair {
        name,
        sender: Fd::of(sender),
        receiver: Fd::of(receiver),
    }
}

fn udp(name: &'static str, at: &str) -> Pair {
    let (sender, receiver) = Fd::udp_pair(at);
    Pair { name, sender, receiver }
}

fn streams() -> Vec<Pair> {
    vec![
        unix("AF_UNIX stream", libc::SOCK_STREAM),
        tcp("TCP", "127.0.0.1:0"),
        tcp("TCP over IPv6", "[::1]:0"),
    ]
}

fn messages() -> Vec<Pair> {
    vec![
        unix("AF_UNIX datagrams", libc::SOCK_DGRAM),
        unix("AF_UNIX packets", libc::SOCK_SEQPACKET),
        udp("UDP", "127.0.0.1:0"),
        udp("UDP over IPv6", "[::1]:0"),
    ]
}

impl Pair {
    fn is_udp(&self) -> bool {
        self.name.starts_with("UDP")
    }

    fn set(&self, offset: i32) {
        set(&self.receiver, SOL_SOCKET, SO_PEEK_OFF, offset).expect("SO_PEEK_OFF");
    }

    fn offset(&self) -> i32 {
        get(&self.receiver, SOL_SOCKET, SO_PEEK_OFF).expect("SO_PEEK_OFF")
    }

    fn send(&self, bytes: &[u8]) {
        assert_eq!(self.sender.send(bytes, 0), Ok(bytes.len()), "{}", self.name);
    }

    /// What TCP has sent is on its way: waits for so many bytes.
    fn await_bytes(&self, count: i32) {
        while self.receiver.asked_count(libc::FIONREAD).expect("FIONREAD") < count {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Receives into so much room: what comes, and the offset then.
    fn expect(&self, room: usize, flags: i32, bytes: &[u8], offset: i32) {
        let mut buffer = vec![0; room];
        let count = self.receiver.receive(&mut buffer, flags);
        let case = format!("{}, {room} bytes of room, flags {flags:#x}", self.name);
        assert_eq!(count.map(|count| &buffer[..count]), Ok(bytes), "{case}");
        assert_eq!(self.offset(), offset, "{case}");
    }

    fn expect_nothing(&self, offset: i32) {
        assert_eq!(
            self.receiver.receive(&mut [0; 9], PEEK),
            Err(Errno::EAGAIN),
            "{}",
            self.name
        );
        assert_eq!(self.offset(), offset, "{}", self.name);
    }
}

fn off_at_first() {
    for pair in streams().into_iter().chain(messages()) {
        assert_eq!(pair.offset(), -1);
        pair.send(b"abc");
        pair.await_bytes(3);
        pair.expect(2, PEEK, b"ab", -1);
        // Any number less than none is the same.
        pair.set(-5);
        pair.expect(2, PEEK, b"ab", -5);
        pair.expect(3, TAKE, b"abc", -5);
        let short = get(&pair.receiver, SOL_SOCKET, SO_PEEK_OFF);
        assert_eq!(short, Ok(-5));
        assert_eq!(set(&pair.receiver, SOL_SOCKET, SO_PEEK_OFF, 1u8), Err(Errno::EINVAL));
    }
}

fn moves_over_a_stream() {
    for pair in streams() {
        pair.set(0);
        pair.send(b"0123456789");
        pair.send(b"abcdef");
        pair.await_bytes(16);
        pair.expect(4, PEEK, b"0123", 4);
        pair.expect(4, PEEK, b"4567", 8);
        pair.expect(100, PEEK, b"89abcdef", 16);
        pair.expect_nothing(16);
        pair.set(12);
        pair.expect(3, PEEK, b"cde", 15);
        assert!(pair.receiver.asked_count(libc::FIONREAD) == Ok(16));
    }
}

/// A peek ends where a message does, and the next one goes on with the next message.
fn moves_over_messages() {
    for pair in messages() {
        pair.set(0);
        pair.send(b"0123456789");
        pair.send(b"abcdef");
        pair.expect(4, PEEK, b"0123", 4);
        pair.expect(4, PEEK, b"4567", 8);
        pair.expect(100, PEEK, b"89", 10);
        pair.expect(100, PEEK, b"abcdef", 16);
        pair.expect_nothing(16);
        pair.set(12);
        pair.expect(3, PEEK, b"cde", 15);
        // What is cut behind is told; UDP also tells what is cut in front, unless there is more room than for the rest.
        for (room, udp_tells, unix_tells) in [(3, true, true), (4, true, false), (5, false, false)] {
            pair.set(6);
            let flags = userspace_tests::option::receive_message(&pair.receiver, room, PEEK)
                .expect("recvmsg")
                .flags;
            let tells = if pair.is_udp() { udp_tells } else { unix_tells };
            assert_eq!(flags & libc::MSG_TRUNC != 0, tells, "{}, {room} bytes", pair.name);
        }
    }
}

fn what_a_receive_takes_back() {
    for pair in streams() {
        pair.send(b"0123456789abcdef");
        pair.await_bytes(16);
        pair.set(12);
        pair.expect(4, TAKE, b"0123", 8);
        pair.expect(100, PEEK, b"cdef", 12);
        pair.set(1);
        pair.expect(100, TAKE, b"456789abcdef", 0);
    }
    for pair in messages() {
        pair.send(b"0123456789");
        pair.send(b"abcdef");
        pair.set(12);
        // A message goes as a whole; UDP counts what has been received of it.
        pair.expect(4, TAKE, b"0123", if pair.is_udp() { 8 } else { 2 });
        pair.expect(100, TAKE, b"abcdef", if pair.is_udp() { 2 } else { 0 });
    }
}

/// MSG_TRUNC: what is left of the message; of UDP its whole length, which the offset takes for what was seen.
fn whole_length_of_messages() {
    for pair in messages() {
        pair.send(b"0123456789");
        pair.set(3);
        let mut buffer = [0; 4];
        let count = pair.receiver.receive(&mut buffer, PEEK | libc::MSG_TRUNC);
        assert_eq!(&buffer, b"3456", "{}", pair.name);
        let expected = if pair.is_udp() { (10, 13) } else { (7, 7) };
        assert_eq!((count, pair.offset()), (Ok(expected.0), expected.1), "{}", pair.name);
    }
}

fn beyond_the_end() {
    for pair in streams().into_iter().chain(messages()) {
        pair.send(b"0123");
        pair.await_bytes(4);
        for offset in [4, 50, i32::MAX] {
            pair.set(offset);
            pair.expect_nothing(offset);
        }
        // It can be read all the same.
        pair.expect(9, TAKE, b"0123", i32::MAX - 4);
    }
}

/// An offset says nothing of messages without bytes: those that have been peeked at are passed over.
fn messages_of_no_bytes() {
    for pair in messages() {
        pair.set(0);
        for message in [&b""[..], b"x", b"", b"y"] {
            pair.send(message);
        }
        pair.expect(9, PEEK, b"", 0);
        pair.expect(9, PEEK, b"x", 1);
        pair.expect(9, PEEK, b"", 1);
        pair.expect(9, PEEK, b"y", 2);
        pair.expect_nothing(2);
        pair.expect(9, TAKE, b"", 2);
        pair.expect(9, TAKE, b"x", 1);
        pair.set(0);
        pair.expect(9, PEEK, b"y", 1);
    }
}

/// One that may wait waits for what comes behind the offset.
fn waits_behind_what_is_there() {
    for pair in streams().into_iter().chain(messages()) {
        pair.set(0);
        pair.send(b"abc");
        pair.expect(3, libc::MSG_PEEK, b"abc", 3);
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(50));
                pair.send(b"def");
            });
            pair.expect(9, libc::MSG_PEEK, b"def", 6);
        });
    }
}

/// Descriptors come with the bytes they were sent with, wherever the peek begins.
fn descriptors_are_peeked_at_a_place() {
    for kind in [libc::SOCK_STREAM, libc::SOCK_DGRAM, libc::SOCK_SEQPACKET] {
        let pair = unix("AF_UNIX", kind);
        let (reader, _writer) = Fd::pipe();
        pair.send(b"none");
        pair.sender
            .send_message(b"with", &[reader.0], None, 0)
            .expect("sendmsg");
        // Of a stream also those that come next, where there is no room for their bytes.
        let next = usize::from(kind == libc::SOCK_STREAM);
        for (offset, bytes, files) in [(4, "with", 1), (6, "th", 1), (0, "none", next)] {
            pair.set(offset);
            let mut buffer = [0; 4];
            let received = pair.receiver.receive_message(&mut buffer, 64, PEEK).expect("recvmsg");
            assert_eq!(
                (&buffer[..received.len], received.files.len()),
                (bytes.as_bytes(), files)
            );
        }
    }
}

/// A TCP connection starts with the listener's, one of AF_UNIX without.
fn connections_of_a_listener() {
    let name = userspace_tests::socket::abstract_name("offset");
    let listener = Fd::unix(libc::SOCK_STREAM);
    listener.bind(&name).expect("bind");
    listener.listen(1).expect("listen");
    set(&listener, SOL_SOCKET, SO_PEEK_OFF, 3).expect("SO_PEEK_OFF");
    set(&listener, SOL_SOCKET, libc::SO_PRIORITY, 3).expect("SO_PRIORITY");
    set(&listener, SOL_SOCKET, libc::SO_PASSCRED, 1).expect("SO_PASSCRED");
    let client = Fd::unix(libc::SOCK_STREAM);
    client.connect(&name).expect("connect");
    let server = listener.accept().expect("accept");
    assert_eq!(get(&server, SOL_SOCKET, SO_PEEK_OFF), Ok(-1));
    assert_eq!(get(&server, SOL_SOCKET, libc::SO_PRIORITY), Ok(0));
    assert_eq!(get(&server, SOL_SOCKET, libc::SO_PASSCRED), Ok(1));

    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    set(&listener, SOL_SOCKET, SO_PEEK_OFF, 3).expect("SO_PEEK_OFF");
    let _client = TcpStream::connect(listener.local_addr().expect("getsockname")).expect("connect");
    let server = listener.accept().expect("accept").0;
    assert_eq!(get(&server, SOL_SOCKET, SO_PEEK_OFF), Ok(3));
}

fn end_of_a_stream() {
    let mut pairs = streams();
    pairs.push(unix("AF_UNIX packets", libc::SOCK_SEQPACKET));
    for pair in pairs {
        pair.send(b"0123");
        pair.sender.shut_down(libc::SHUT_WR).expect("shutdown");
        pair.await_bytes(4);
        pair.set(2);
        pair.expect(9, libc::MSG_PEEK, b"23", 4);
        pair.expect(9, libc::MSG_PEEK, b"", 4);
        pair.expect(9, libc::MSG_PEEK, b"", 4);
        pair.expect(9, 0, b"0123", 0);
    }
}

fn not_of_netlink() {
    // SAFETY: no memory is involved.
    let netlink =
        Fd(checked(unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) }).expect("socket"));
    assert_eq!(get(&netlink, SOL_SOCKET, SO_PEEK_OFF), Err(Errno::EOPNOTSUPP));
    assert_eq!(set(&netlink, SOL_SOCKET, SO_PEEK_OFF, 1), Err(Errno::EOPNOTSUPP));
}
