//! Socket filters: SO_ATTACH_FILTER, SO_DETACH_FILTER, SO_LOCK_FILTER.

use libsyscall::abi::Errno;
use libsyscall::abi::event::{EPOLLET as EDGE, EPOLLIN as IN};
use libsyscall::abi::filter::*;
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use userspace_tests::option::{get, receive_message, set};
use userspace_tests::{Fd, checked, tests};

fn main() -> ExitCode {
    userspace_tests::run(tests![
        kept_bytes,
        messages_of_no_bytes,
        streams_are_not_looked_at,
        looks_at_bytes,
        looks_at_headers,
        looks_at_the_sender,
        dropped_is_no_event,
        dropped_is_lost,
        dropped_descriptors,
        rows,
        answers_of_the_kernel,
        bad_programs,
        bad_arguments,
        exchanged_and_taken_away,
        read_back,
        locked,
    ])
}

const SOL_SOCKET: i32 = libc::SOL_SOCKET;
const EVERYTHING: u32 = u32::MAX;
const LOAD: u16 = BPF_LD | BPF_ABS;

/// `struct sock_fprog`.
#[repr(C)]
struct Program {
    count: u16,
    instructions: *const Instruction,
}

fn with(code: u16, k: u32) -> Instruction {
    jump(code, 0, 0, k)
}

fn jump(code: u16, jump_true: u8, jump_false: u8, k: u32) -> Instruction {
    Instruction {
        code,
        jump_true,
        jump_false,
        k,
    }
}

fn keep(count: u32) -> Instruction {
    with(BPF_RET | BPF_K, count)
}

fn attach(socket: &impl AsRawFd, instructions: &[Instruction]) -> Result<(), Errno> {
    let program = Program {
        count: instructions.len() as u16,
        instructions: instructions.as_ptr(),
    };
    set(socket, SOL_SOCKET, libc::SO_ATTACH_FILTER, program)
}

fn detach(socket: &impl AsRawFd) -> Result<(), Errno> {
    set(socket, SOL_SOCKET, libc::SO_DETACH_FILTER, 0)
}

struct Pair {
    name: &'static str,
    sender: Fd,
    receiver: Fd,
    /// Bytes of the header that a filter counts with the rest.
    header: u32,
}

fn udp(name: &'static str, at: &str) -> Pair {
    let (sender, receiver) = Fd::udp_pair(at);
    Pair {
        name,
        sender,
        receiver,
        header: 8,
    }
}

fn unix(name: &'static str, kind: i32) -> Pair {
    let (sender, receiver) = Fd::unix_pair(kind);
    Pair {
        name,
        sender,
        receiver,
        header: 0,
    }
}

fn pairs() -> [Pair; 4] {
    [
        unix("AF_UNIX datagrams", libc::SOCK_DGRAM),
        unix("AF_UNIX packets", libc::SOCK_SEQPACKET),
        udp("UDP", "127.0.0.1:0"),
        udp("UDP over IPv6", "[::1]:0"),
    ]
}

impl Pair {
    fn attach(&self, instructions: &[Instruction]) {
        attach(&self.receiver, instructions).expect(self.name);
    }

    /// Sends bytes, of which so many arrive; `None`: there is no message.
    fn expect(&self, bytes: &[u8], kept: Option<usize>) {
        assert_eq!(self.sender.send(bytes, 0), Ok(bytes.len()), "{}", self.name);
        let mut buffer = [0; 64];
        let count = self.receiver.receive(&mut buffer, libc::MSG_DONTWAIT);
        let expected = kept.ok_or(Errno::EAGAIN);
        assert_eq!(count, expected, "{}", self.name);
        if let Some(kept) = kept {
            assert_eq!(buffer[..kept], bytes[..kept], "{}", self.name);
        }
    }
}

/// What a filter returns is how many bytes stay, with the header's; that itself always does.
fn kept_bytes() {
    for pair in pairs() {
        for (kept, expected) in [(EVERYTHING, 10), (10, 10), (4, 4), (1, 1)] {
            pair.attach(&[keep(kept.saturating_add(pair.header))]);
            pair.expect(b"0123456789", Some(expected));
        }
        if pair.header > 0 {
            pair.attach(&[keep(1)]);
            pair.expect(b"0123456789", Some(0));
        }
        pair.attach(&[keep(0)]);
        pair.expect(b"0123456789", None);
        pair.attach(&[with(BPF_LD | BPF_LEN, 0), with(BPF_RET | BPF_A, 0)]);
        pair.expect(b"0123456789", Some(10));
    }
}

fn messages_of_no_bytes() {
    for pair in pairs() {
        pair.attach(&[keep(3)]);
        pair.expect(b"", Some(0));
        pair.attach(&[keep(0)]);
        pair.expect(b"", None);
    }
}

fn streams_are_not_looked_at() {
    let pair = unix("AF_UNIX stream", libc::SOCK_STREAM);
    pair.attach(&[keep(0)]);
    pair.expect(b"0123456789", Some(10));
    assert_eq!(detach(&pair.receiver), Ok(()));
}

/// Those that begin with `a` come whole, others not at all.
fn looks_at_bytes() {
    for pair in pairs() {
        let by_k = [
            with(LOAD | BPF_B, pair.header),
            jump(BPF_JMP | BPF_JEQ, 0, 1, b'a'.into()),
            keep(EVERYTHING),
            keep(0),
        ];
        pair.attach(&by_k);
        pair.expect(b"a message", Some(9));
        pair.expect(b"b message", None);
        // Where there is no byte the message goes.
        pair.expect(b"", None);
    }
}

fn looks_at_headers() {
    const UDP: u32 = 17;
    for (pair, protocol, protocol_at) in [
        (udp("UDP", "127.0.0.1:0"), 0x800, 9),
        (udp("UDP over IPv6", "[::1]:0"), 0x86dd, 6),
    ] {
        let local_port = |socket: &Fd| {
            // SAFETY: all zeroes are a socket address, which the kernel fills.
            let mut name: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
            let mut len = size_of_val(&name) as u32;
            // SAFETY: there is as much room as said.
            checked(unsafe { libc::getsockname(socket.0, (&raw mut name).cast(), &mut len) }).expect("getsockname");
            u16::from_be(name.sin6_port)
        };
        let ports = [&pair.sender, &pair.receiver].map(|socket| u32::from(local_port(socket)));
        for (width, place, value) in [
            (BPF_H, 0, ports[0]),
            (BPF_H, 2, ports[1]),
            (BPF_W, 0, ports[0] << 16 | ports[1]),
            (BPF_H, 4, 8 + 5),
            (BPF_B, SKF_NET_OFF + protocol_at, UDP),
            (BPF_H, SKF_LL_OFF + 12, protocol),
            (BPF_H, SKF_AD_OFF + SKF_AD_PROTOCOL as i32, protocol),
            (BPF_H, SKF_AD_OFF + SKF_AD_HATYPE as i32, 772),
            (BPF_W, SKF_AD_OFF + SKF_AD_IFINDEX as i32, 1),
        ] {
            pair.attach(&[
                with(LOAD | width, place as u32),
                jump(BPF_JMP | BPF_JEQ, 0, 1, value),
                keep(EVERYTHING),
                keep(0),
            ]);
            pair.expect(b"bytes", Some(5));
        }
    }
}

/// The mark of the socket that has sent it, where there may be one.
fn looks_at_the_sender() {
    let pair = udp("UDP", "127.0.0.1:0");
    let mark = [
        with(LOAD | BPF_W, SKF_AD_OFF as u32 + SKF_AD_MARK),
        jump(BPF_JMP | BPF_JEQ, 0, 1, 77),
        keep(EVERYTHING),
        keep(0),
    ];
    pair.attach(&mark);
    pair.expect(b"unmarked", None);
    match set(&pair.sender, SOL_SOCKET, libc::SO_MARK, 77) {
        Ok(()) => pair.expect(b"marked", Some(6)),
        Err(error) => assert_eq!(error, Errno::EPERM),
    }
}

fn dropped_is_no_event() {
    for pair in pairs() {
        pair.attach(&[
            with(LOAD | BPF_B, pair.header),
            with(BPF_ALU | BPF_AND, 1),
            jump(BPF_JMP | BPF_JEQ, 0, 1, 0),
            keep(0),
            keep(EVERYTHING),
        ]);
        let epoll = Fd::epoll();
        epoll.add(&pair.receiver, IN | EDGE);
        assert_eq!(epoll.events(), 0);
        pair.sender.send(b"b", 0).expect("send");
        assert_eq!(epoll.events(), 0, "{}", pair.name);
        pair.sender.send(b"a", 0).expect("send");
        assert_eq!(epoll.events(), IN, "{}", pair.name);
        pair.sender.send(b"b", 0).expect("send");
        assert_eq!(epoll.events(), 0, "{}", pair.name);
    }
}

fn dropped_is_lost() {
    let pair = udp("UDP", "127.0.0.1:0");
    set(&pair.receiver, SOL_SOCKET, libc::SO_RXQ_OVFL, 1).expect("SO_RXQ_OVFL");
    pair.attach(&[keep(0)]);
    pair.expect(b"one", None);
    pair.expect(b"two", None);
    detach(&pair.receiver).expect("SO_DETACH_FILTER");
    pair.sender.send(b"three", 0).expect("send");
    let message = receive_message(&pair.receiver, 8, 0).expect("recvmsg");
    assert_eq!(
        message.told(SOL_SOCKET, libc::SO_RXQ_OVFL),
        Some(&2u32.to_ne_bytes()[..])
    );
}

/// Descriptors go with the message they came with.
fn dropped_descriptors() {
    for kind in [libc::SOCK_DGRAM, libc::SOCK_SEQPACKET] {
        let pair = unix("AF_UNIX", kind);
        pair.attach(&[keep(0)]);
        let (reader, writer) = Fd::pipe();
        pair.sender.send_message(b"x", &[writer.0], None, 0).expect("sendmsg");
        drop(writer);
        assert_eq!(reader.read(&mut [0]), Ok(0));
        // And stay with one that is cut.
        pair.attach(&[keep(1)]);
        pair.sender.send_message(b"cut", &[reader.0], None, 0).expect("sendmsg");
        let received = pair.receiver.receive_message(&mut [0; 8], 64, 0).expect("recvmsg");
        assert_eq!(
            (received.len, received.flags & libc::MSG_TRUNC, received.files.len()),
            (1, 0, 1)
        );
    }
}

/// A row is looked at message by message, unless it comes in one piece.
fn rows() {
    let pair = udp("UDP", "127.0.0.1:0");
    pair.attach(&[keep(8 + 2)]);
    set(&pair.sender, libc::SOL_UDP, libc::UDP_SEGMENT, 4).expect("UDP_SEGMENT");
    pair.expect(b"123456789", Some(2));
    let mut buffer = [0; 8];
    for expected in [&b"56"[..], b"9"] {
        let count = pair.receiver.receive(&mut buffer, 0).expect("recv");
        assert_eq!(&buffer[..count], expected);
    }
    set(&pair.receiver, libc::SOL_UDP, libc::UDP_GRO, 1).expect("UDP_GRO");
    pair.expect(b"123456789", Some(2));
    assert_eq!(
        pair.receiver.receive(&mut buffer, libc::MSG_DONTWAIT),
        Err(Errno::EAGAIN)
    );
}

fn answers_of_the_kernel() {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no memory is involved.
    let netlink = Fd(checked(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) }).expect("socket"));
    // RTM_GETLINK for all, as NLM_F_REQUEST | NLM_F_DUMP.
    let words: [u32; 5] = [20, 18 | 0x301 << 16, 5, 0, 0];
    let request: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let mut buffer = vec![0; 32768];
    attach(&netlink, &[keep(20)]).expect("SO_ATTACH_FILTER");
    assert_eq!(netlink.send(&request, 0), Ok(20));
    assert_eq!(netlink.receive(&mut buffer, 0), Ok(20));
    detach(&netlink).expect("SO_DETACH_FILTER");
    while netlink.receive(&mut buffer, 0).is_ok() {}
    attach(&netlink, &[keep(0)]).expect("SO_ATTACH_FILTER");
    assert_eq!(netlink.send(&request, 0), Ok(20));
    assert_eq!(netlink.receive(&mut buffer, 0), Err(Errno::EAGAIN));
}

fn bad_programs() {
    let pair = unix("AF_UNIX datagrams", libc::SOCK_DGRAM);
    for (case, program) in [
        ("too long", vec![keep(0); INSTRUCTIONS_MAX + 1]),
        ("nothing", vec![]),
        ("no return", vec![with(BPF_LD | BPF_IMM, 1)]),
        ("a return of X", vec![with(BPF_RET | BPF_X, 0)]),
        ("unknown", vec![with(0xff, 0), keep(0)]),
        ("a jump to the end", vec![with(BPF_JMP | BPF_JA, 1), keep(0)]),
        ("a jump back", vec![with(BPF_JMP | BPF_JA, u32::MAX), keep(0)]),
        ("a condition beyond", vec![jump(BPF_JMP | BPF_JEQ, 1, 0, 0), keep(0)]),
        ("division by nothing", vec![with(BPF_ALU | BPF_DIV, 0), keep(0)]),
        ("a shift of all", vec![with(BPF_ALU | BPF_RSH, 32), keep(0)]),
        ("negation by X", vec![with(BPF_ALU | BPF_NEG | BPF_X, 0), keep(0)]),
        ("no cell", vec![with(BPF_ST, CELLS as u32), keep(0)]),
        ("a cell unwritten", vec![with(BPF_LD | BPF_MEM, 3), keep(0)]),
        (
            "an unknown fact",
            vec![with(LOAD | BPF_B, SKF_AD_OFF as u32 + 1), keep(0)],
        ),
        (
            "a fact beyond",
            vec![with(LOAD | BPF_B, SKF_AD_OFF as u32 + SKF_AD_MAX), keep(0)],
        ),
    ] {
        assert_eq!(attach(&pair.receiver, &program), Err(Errno::EINVAL), "{case}");
    }
    assert_eq!(detach(&pair.receiver), Err(Errno::ENOENT));
    assert_eq!(attach(&pair.receiver, &vec![keep(1); INSTRUCTIONS_MAX]), Ok(()));
    pair.expect(b"kept", Some(1));
}

fn bad_arguments() {
    let socket = Fd::unix(libc::SOCK_DGRAM);
    let attach = |value: &[u8]| {
        let (at, len) = (value.as_ptr().cast(), value.len() as u32);
        // SAFETY: the value is as long as said.
        checked(unsafe { libc::setsockopt(socket.0, SOL_SOCKET, libc::SO_ATTACH_FILTER, at, len) }).map(drop)
    };
    let program = |count: u64, at: u64| [count, at].map(u64::to_ne_bytes).concat();
    assert_eq!(attach(&[0; 15]), Err(Errno::EINVAL));
    assert_eq!(attach(&[0; 17]), Err(Errno::EINVAL));
    assert_eq!(attach(&program(1, 0)), Err(Errno::EINVAL));
    assert_eq!(attach(&program(0, 8)), Err(Errno::EINVAL));
    assert_eq!(attach(&program(1, 8)), Err(Errno::EFAULT));
    assert_eq!(
        set(&socket, SOL_SOCKET, libc::SO_DETACH_FILTER, 1u8),
        Err(Errno::EINVAL)
    );
}

fn exchanged_and_taken_away() {
    for pair in pairs() {
        assert_eq!(detach(&pair.receiver), Err(Errno::ENOENT));
        pair.attach(&[keep(0)]);
        pair.attach(&[keep(pair.header + 2)]);
        pair.expect(b"0123", Some(2));
        assert_eq!(detach(&pair.receiver), Ok(()));
        assert_eq!(detach(&pair.receiver), Err(Errno::ENOENT));
        pair.expect(b"0123", Some(4));
    }
}

/// SO_GET_FILTER counts in instructions.
fn read_back() {
    const SO_BPF_EXTENSIONS: i32 = 48;
    let socket = Fd::unix(libc::SOCK_DGRAM);
    let read = |room: u32| {
        let (mut program, mut count) = ([keep(7); 4], room);
        let at = program.as_mut_ptr().cast();
        // SAFETY: there is room for four instructions.
        let result = unsafe { libc::getsockopt(socket.0, SOL_SOCKET, libc::SO_GET_FILTER, at, &mut count) };
        checked(result).map(|_| (program, count))
    };
    assert_eq!(read(4), Ok(([keep(7); 4], 0)));
    attach(&socket, &[jump(BPF_JMP | BPF_JSET, 0, 1, 5), keep(9), keep(8)]).expect("SO_ATTACH_FILTER");
    let whole = [jump(BPF_JMP | BPF_JSET, 0, 1, 5), keep(9), keep(8), keep(7)];
    assert_eq!(read(4), Ok((whole, 3)));
    assert_eq!(read(3), Ok((whole, 3)));
    assert_eq!(read(2), Err(Errno::EINVAL));
    // Asked for no more than how many.
    assert_eq!(read(0), Ok(([keep(7); 4], 3)));
    assert_eq!(get(&socket, SOL_SOCKET, SO_BPF_EXTENSIONS), Ok(SKF_AD_MAX as i32));
}

fn locked() {
    for pair in pairs() {
        let lock = |on: i32| set(&pair.receiver, SOL_SOCKET, libc::SO_LOCK_FILTER, on);
        assert_eq!(get(&pair.receiver, SOL_SOCKET, libc::SO_LOCK_FILTER), Ok(0));
        assert_eq!(lock(0), Ok(()));
        pair.attach(&[keep(pair.header + 2)]);
        assert_eq!(lock(5), Ok(()));
        assert_eq!(get(&pair.receiver, SOL_SOCKET, libc::SO_LOCK_FILTER), Ok(1));
        assert_eq!(attach(&pair.receiver, &[keep(1)]), Err(Errno::EPERM));
        assert_eq!(detach(&pair.receiver), Err(Errno::EPERM));
        assert_eq!(lock(0), Err(Errno::EPERM));
        assert_eq!(lock(1), Ok(()));
        pair.expect(b"0123", Some(2));
    }
}
