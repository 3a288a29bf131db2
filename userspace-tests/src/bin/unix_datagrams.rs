//! AF_UNIX datagrams, and messages of connected sockets.

use libsyscall::abi::Errno;
use libsyscall::abi::event::{
    EPOLLERR as ERR, EPOLLET as ET, EPOLLHUP as HUP, EPOLLIN as IN, EPOLLOUT as OUT, EPOLLRDHUP as RDHUP,
};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;
use userspace_tests::socket::{abstract_name, path};
use userspace_tests::{Fd, Status, child, tests};

const NONBLOCKING: i32 = libc::SOCK_DGRAM | libc::SOCK_NONBLOCK;
const ALL: u32 = IN | OUT | RDHUP;

fn main() -> ExitCode {
    userspace_tests::run(tests![
        pair_keeps_messages,
        too_long_for_the_buffer,
        unconnected_send,
        errors_of_names,
        wrong_kind,
        names_of_each_kind,
        only_the_peer_may_send,
        peer_gone,
        peer_gone_stays_writable,
        reconnect_loses_messages,
        disconnect,
        queue_is_short,
        queue_room_wakes_the_peer,
        blocked_sender,
        pair_is_bound_by_its_buffer,
        cost_of_messages,
        shutdown,
        self_connected,
        autobind,
        names,
        not_for_listening,
        empty_message,
        peek_and_truncation,
        many_at_once,
        packets_of_a_connection,
        packets_listen,
        packet_errors,
    ])
}

fn bound(kind: i32, name: &[u8]) -> Fd {
    let socket = Fd::unix(kind);
    socket.bind(name).expect("bind");
    socket
}

fn pair_keeps_messages() {
    let (left, right) = Fd::unix_pair(NONBLOCKING);
    assert_eq!(left.write(b"one"), Ok(3));
    assert_eq!(left.write(b"three"), Ok(5));
    assert_eq!(right.asked_count(libc::FIONREAD), Ok(3));
    let mut buffer = [0; 16];
    assert_eq!(right.read(&mut buffer), Ok(3));
    assert_eq!(right.read(&mut buffer[..2]), Ok(2));
    assert_eq!(right.read(&mut buffer), Err(Errno::EAGAIN));
}

fn too_long_for_the_buffer() {
    let (left, right) = Fd::unix_pair(NONBLOCKING);
    let room = left.option(libc::SO_SNDBUF).expect("SO_SNDBUF") as usize;
    assert_eq!(left.write(&vec![1; room]), Err(Errno::EMSGSIZE));
    assert_eq!(left.write(&vec![1; room - 32]), Ok(room - 32));
    let mut buffer = vec![0; room];
    assert_eq!(right.read(&mut buffer), Ok(room - 32));
}

fn unconnected_send() {
    let (one, other) = (abstract_name("one"), abstract_name("other"));
    let (sender, receiver) = (bound(NONBLOCKING, &one), bound(NONBLOCKING, &other));
    assert_eq!(sender.send(b"x", 0), Err(Errno::ENOTCONN));
    assert_eq!(sender.peer_name(), Err(Errno::ENOTCONN));
    assert_eq!(sender.send_to(b"hello", 0, &other), Ok(5));
    let mut buffer = [0; 16];
    let received = receiver.receive_message(&mut buffer, 0, 0).expect("recvmsg");
    assert_eq!((received.len, received.from, received.flags), (5, one, 0));
    // Who has no name says none.
    assert_eq!(Fd::unix(NONBLOCKING).send_to(b"who", 0, &other), Ok(3));
    let received = receiver.receive_message(&mut buffer, 0, 0).expect("recvmsg");
    assert_eq!((received.len, received.from), (3, Vec::new()));
}

fn errors_of_names() {
    let sender = Fd::unix(NONBLOCKING);
    assert_eq!(sender.send_to(b"x", 0, &path("none")), Err(Errno::ENOENT));
    assert_eq!(sender.connect(&path("none")), Err(Errno::ENOENT));
    assert_eq!(sender.connect(&abstract_name("none")), Err(Errno::ECONNREFUSED));
    assert_eq!(sender.connect(b""), Err(Errno::EINVAL));
    let name = path("gone");
    drop(bound(NONBLOCKING, &name));
    assert_eq!(sender.connect(&name), Err(Errno::ECONNREFUSED));
    assert_eq!(Fd::unix(NONBLOCKING).bind(&name), Err(Errno::EADDRINUSE));
    let file = String::from_utf8(name).expect("a path");
    std::fs::remove_file(&file).expect("unlink");
    // A file that is no socket at all.
    std::fs::write(&file, b"").expect("write");
    assert_eq!(sender.connect(file.as_bytes()), Err(Errno::ECONNREFUSED));
    std::fs::remove_file(&file).expect("unlink");
}

fn wrong_kind() {
    let name = path("kind");
    let listener = bound(libc::SOCK_STREAM, &name);
    listener.listen(1).expect("listen");
    assert_eq!(Fd::unix(NONBLOCKING).connect(&name), Err(Errno::EPROTOTYPE));
    assert_eq!(Fd::unix(NONBLOCKING).send_to(b"x", 0, &name), Err(Errno::EPROTOTYPE));
    assert_eq!(Fd::unix(libc::SOCK_SEQPACKET).connect(&name), Err(Errno::EPROTOTYPE));
    std::fs::remove_file(String::from_utf8(name.clone()).expect("a path")).expect("unlink");
    let _datagrams = bound(NONBLOCKING, &name);
    assert_eq!(Fd::unix(libc::SOCK_STREAM).connect(&name), Err(Errno::EPROTOTYPE));
    std::fs::remove_file(String::from_utf8(name).expect("a path")).expect("unlink");
}

/// Unlike paths, abstract names are each kind's own.
fn names_of_each_kind() {
    let name = abstract_name("kinds");
    let kinds = [libc::SOCK_STREAM, libc::SOCK_DGRAM, libc::SOCK_SEQPACKET];
    let sockets = kinds.map(|kind| bound(kind, &name));
    assert_eq!(Fd::unix(libc::SOCK_STREAM).bind(&name), Err(Errno::EADDRINUSE));
    drop(sockets);
    let _stream = bound(libc::SOCK_STREAM, &name);
    assert_eq!(Fd::unix(NONBLOCKING).connect(&name), Err(Errno::ECONNREFUSED));
}

fn only_the_peer_may_send() {
    let (one, other) = (abstract_name("one"), abstract_name("other"));
    let (receiver, friend) = (bound(NONBLOCKING, &one), bound(NONBLOCKING, &other));
    receiver.connect(&other).expect("connect");
    let stranger = Fd::unix(NONBLOCKING);
    assert_eq!(stranger.send_to(b"x", 0, &one), Err(Errno::EPERM));
    assert_eq!(stranger.connect(&one), Err(Errno::EPERM));
    assert_eq!(friend.send_to(b"x", 0, &one), Ok(1));
    assert_eq!(receiver.peer_name(), Ok(other));
}

fn peer_gone() {
    let (left, right) = Fd::unix_pair(NONBLOCKING);
    right.write(b"last").expect("write");
    drop(right);
    // What it sent is still there, until its end is noticed.
    let mut buffer = [0; 16];
    assert_eq!(left.receive(&mut buffer, libc::MSG_PEEK), Ok(4));
    assert_eq!(left.write(b"x"), Err(Errno::ECONNREFUSED));
    assert_eq!(left.write(b"x"), Err(Errno::ENOTCONN));
    assert_eq!(left.read(&mut buffer), Err(Errno::EAGAIN));
}

fn peer_gone_stays_writable() {
    let (left, right) = Fd::unix_pair(NONBLOCKING);
    let epoll = Fd::epoll();
    epoll.add(&left, ALL);
    drop(right);
    assert_eq!(epoll.events(), OUT);
}

fn reconnect_loses_messages() {
    let names = [abstract_name("0"), abstract_name("1"), abstract_name("2")];
    let [one, two, three] = names.clone().map(|name| bound(NONBLOCKING, &name));
    one.connect(&names[1]).expect("connect");
    two.connect(&names[0]).expect("connect");
    two.write(b"lost").expect("write");
    let epoll = Fd::epoll();
    epoll.add(&two, ALL);
    assert_eq!(epoll.events(), OUT);
    one.connect(&names[2]).expect("connect");
    assert_eq!(one.read(&mut [0; 8]), Err(Errno::EAGAIN));
    assert_eq!(epoll.events(), OUT | ERR);
    assert_eq!(two.option(libc::SO_ERROR), Ok(Errno::ECONNRESET.number() as i32));
    assert_eq!(two.option(libc::SO_ERROR), Ok(0));
    assert_eq!(two.write(b"x"), Err(Errno::EPERM));
    drop(three);
}

fn disconnect() {
    let name = abstract_name("peer");
    let (receiver, sender) = (bound(NONBLOCKING, &name), Fd::unix(NONBLOCKING));
    sender.connect(&name).expect("connect");
    assert_eq!(sender.write(b"x"), Ok(1));
    sender.disconnect().expect("connect to nobody");
    assert_eq!(sender.write(b"x"), Err(Errno::ENOTCONN));
    assert_eq!(receiver.read(&mut [0; 8]), Ok(1));
    assert_eq!(Fd::unix(libc::SOCK_STREAM).disconnect(), Err(Errno::EINVAL));
}

/// net.unix.max_dgram_qlen and one more.
const QUEUE_LEN: usize = 11;

fn queue_is_short() {
    let name = abstract_name("queue");
    let (receiver, sender) = (bound(NONBLOCKING, &name), Fd::unix(NONBLOCKING));
    let sent = (0..).take_while(|_| sender.send_to(b"x", 0, &name) == Ok(1)).count();
    assert_eq!(sent, QUEUE_LEN);
    assert_eq!(sender.send_to(b"x", 0, &name), Err(Errno::EAGAIN));
    // Without a connection nothing keeps it from being writable.
    let epoll = Fd::epoll();
    epoll.add(&sender, ALL);
    assert_eq!(epoll.events(), OUT);
    assert_eq!(receiver.read(&mut [0; 8]), Ok(1));
    assert_eq!(sender.send_to(b"x", 0, &name), Ok(1));
}

fn queue_room_wakes_the_peer() {
    let name = abstract_name("queue");
    let (receiver, sender) = (bound(NONBLOCKING, &name), Fd::unix(NONBLOCKING));
    sender.connect(&name).expect("connect");
    let (level, edge) = (Fd::epoll(), Fd::epoll());
    level.add(&sender, ALL);
    edge.add(&sender, ALL | ET);
    assert_eq!(edge.events(), OUT);
    while sender.write(b"x").is_ok() {}
    assert_eq!(level.events(), 0);
    assert_eq!(receiver.read(&mut [0; 8]), Ok(1));
    assert_eq!(level.events(), OUT);
    assert_eq!(edge.events(), OUT);
    assert_eq!(sender.write(b"x"), Ok(1));
    assert_eq!(level.events(), 0);
    // The receiver's end makes it writable: the next send says why.
    drop(receiver);
    assert_eq!(level.events(), OUT);
    assert_eq!(sender.write(b"x"), Err(Errno::ECONNREFUSED));
}

fn blocked_sender() {
    let name = abstract_name("blocked");
    let receiver = bound(libc::SOCK_DGRAM, &name);
    let to = name.clone();
    let sender = thread::spawn(move || {
        let sender = Fd::unix(libc::SOCK_DGRAM);
        (0..100)
            .map(|_| sender.send_to(b"abc", 0, &to))
            .all(|sent| sent == Ok(3))
    });
    thread::sleep(Duration::from_millis(20));
    assert!(!sender.is_finished());
    let mut buffer = [0; 8];
    for _ in 0..100 {
        assert_eq!(receiver.read(&mut buffer), Ok(3));
    }
    assert!(sender.join().expect("thread"));
}

fn pair_is_bound_by_its_buffer() {
    let (left, right) = Fd::unix_pair(NONBLOCKING);
    let epoll = Fd::epoll();
    epoll.add(&left, ALL);
    let sent = (0..).take_while(|_| left.write(b"x") == Ok(1)).count();
    assert_eq!(sent, 278);
    assert_eq!(epoll.events(), 0);
    // Writable again with a quarter of it on its way.
    let mut read = 0;
    while epoll.events() == 0 {
        assert_eq!(right.read(&mut [0; 8]), Ok(1));
        read += 1;
    }
    assert_eq!(sent - read, 69);
}

fn cost_of_messages() {
    let (left, right) = Fd::unix_pair(NONBLOCKING);
    for (len, cost) in [
        (1, 768),
        (192, 768),
        (193, 1280),
        (704, 1280),
        (705, 2304),
        (16384, 20736),
    ] {
        left.write(&vec![0; len]).expect("write");
        assert_eq!(left.asked_count(libc::TIOCOUTQ), Ok(cost), "{len}");
        assert_eq!(right.read(&mut vec![0; len]), Ok(len));
        assert_eq!(left.asked_count(libc::TIOCOUTQ), Ok(0));
    }
}

fn shutdown() {
    let (left, right) = Fd::unix_pair(NONBLOCKING);
    let epoll = Fd::epoll();
    epoll.add(&left, ALL);
    epoll.add(&right, ALL);
    let events = |socket: &Fd| {
        let ready = epoll.ready();
        ready
            .iter()
            .find(|ready| ready.0 == socket.0 as u64)
            .map_or(0, |ready| ready.1)
    };
    left.shut_down(libc::SHUT_WR).expect("shutdown");
    assert_eq!((events(&left), events(&right)), (OUT, OUT));
    assert_eq!(left.write(b"x"), Err(Errno::EPIPE));
    assert_eq!(right.write(b"x"), Ok(1));
    left.shut_down(libc::SHUT_RD).expect("shutdown");
    assert_eq!((events(&left), events(&right)), (IN | OUT | RDHUP | HUP, OUT));
    assert_eq!(right.write(b"x"), Err(Errno::EPIPE));
    let mut buffer = [0; 8];
    assert_eq!(left.read(&mut buffer), Ok(1));
    assert_eq!(left.read(&mut buffer), Err(Errno::EAGAIN));
    // Who waits is told that nothing will come.
    let (blocking, _other) = Fd::unix_pair(libc::SOCK_DGRAM);
    blocking.shut_down(libc::SHUT_RD).expect("shutdown");
    assert_eq!(blocking.read(&mut buffer), Ok(0));
    Fd::unix(NONBLOCKING).shut_down(libc::SHUT_RDWR).expect("shutdown");
}

fn self_connected() {
    let name = abstract_name("self");
    let socket = bound(NONBLOCKING, &name);
    socket.connect(&name).expect("connect");
    let sent = (0..).take_while(|_| socket.write(b"x") == Ok(1)).count();
    assert_eq!(sent, 278);
    assert_eq!(socket.peer_name(), Ok(name));
}

fn autobind() {
    let socket = Fd::unix(NONBLOCKING);
    assert_eq!(socket.local_name(), Ok(Vec::new()));
    socket.bind(b"").expect("bind");
    let name = socket.local_name().expect("getsockname");
    assert_eq!((name.len(), name[0]), (6, 0));
    assert!(name[1..].iter().all(u8::is_ascii_hexdigit));
    // It has one already.
    assert_eq!(socket.bind(b""), Ok(()));
    assert_eq!(socket.local_name(), Ok(name));
    assert_eq!(socket.bind(&abstract_name("second")), Err(Errno::EINVAL));
}

fn names() {
    let name = abstract_name("name");
    let socket = bound(NONBLOCKING, &name);
    assert_eq!(Fd::unix(NONBLOCKING).bind(&name), Err(Errno::EADDRINUSE));
    drop(socket);
    drop(bound(NONBLOCKING, &name));
    let (left, right) = Fd::unix_pair(NONBLOCKING);
    assert_eq!((left.local_name(), left.peer_name()), (Ok(Vec::new()), Ok(Vec::new())));
    right.bind(&name).expect("bind");
    assert_eq!(left.peer_name(), Ok(name));
}

fn not_for_listening() {
    let socket = bound(NONBLOCKING, &abstract_name("listen"));
    assert_eq!(socket.listen(1), Err(Errno::EOPNOTSUPP));
    assert_eq!(socket.accept(), Err(Errno::EOPNOTSUPP));
    assert_eq!(socket.send(b"x", libc::MSG_OOB), Err(Errno::EOPNOTSUPP));
    assert_eq!(socket.option(libc::SO_TYPE), Ok(libc::SOCK_DGRAM));
}

fn empty_message() {
    let (left, right) = Fd::unix_pair(NONBLOCKING);
    let epoll = Fd::epoll();
    epoll.add(&right, IN);
    assert_eq!(left.send(b"", 0), Ok(0));
    assert_eq!(epoll.events(), IN);
    let mut buffer = [0; 8];
    assert_eq!(right.receive(&mut buffer, 0), Ok(0));
    assert_eq!(right.receive(&mut buffer, 0), Err(Errno::EAGAIN));
    // A read of nothing takes nothing, a receive does.
    left.write(b"abc").expect("write");
    assert_eq!(right.read(&mut []), Ok(0));
    assert_eq!(right.receive(&mut [], 0), Ok(0));
    assert_eq!(right.receive(&mut buffer, 0), Err(Errno::EAGAIN));
}

fn peek_and_truncation() {
    let (left, right) = Fd::unix_pair(NONBLOCKING);
    left.write(b"hello").expect("write");
    let mut buffer = [0; 3];
    assert_eq!(right.receive(&mut buffer, libc::MSG_PEEK), Ok(3));
    assert_eq!(right.receive(&mut buffer, libc::MSG_PEEK | libc::MSG_TRUNC), Ok(5));
    let received = right.receive_message(&mut buffer, 0, libc::MSG_PEEK).expect("recvmsg");
    assert_eq!((received.len, received.flags), (3, libc::MSG_TRUNC));
    assert_eq!(right.receive(&mut buffer, libc::MSG_TRUNC), Ok(5));
    assert_eq!(&buffer, b"hel");
    assert_eq!(right.receive(&mut buffer, 0), Err(Errno::EAGAIN));
}

fn many_at_once() {
    let (left, right) = Fd::unix_pair(NONBLOCKING);
    let mut bytes = [*b"first ", *b"second", *b"third "];
    let mut vectors = bytes.each_mut().map(|bytes| libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    });
    let mut headers = vectors.each_mut().map(|vector| {
        // SAFETY: all zeroes are a valid mmsghdr.
        let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        header.msg_hdr.msg_iov = vector;
        header.msg_hdr.msg_iovlen = 1;
        header
    });
    // SAFETY: each header names its vector, and that its bytes.
    let sent = unsafe { libc::sendmmsg(left.0, headers.as_mut_ptr(), 3, 0) };
    assert_eq!(sent, 3);
    assert_eq!(headers.each_ref().map(|header| header.msg_len), [6; 3]);
    left.write(b"4").expect("write");
    let mut receive = |room: u32, flags: i32| {
        // SAFETY: as above; no time limit.
        let count = unsafe { libc::recvmmsg(right.0, headers.as_mut_ptr(), room, flags as _, std::ptr::null_mut()) };
        (count, headers.each_ref().map(|header| header.msg_len))
    };
    assert_eq!(receive(2, 0), (2, [6; 3]));
    assert_eq!(receive(3, libc::MSG_WAITFORONE), (2, [6, 1, 6]));
    assert_eq!(receive(3, 0).0, -1);
    assert_eq!(&bytes[0], b"third ");
}

fn packets_of_a_connection() {
    let (left, right) = Fd::unix_pair(libc::SOCK_SEQPACKET | libc::SOCK_NONBLOCK);
    left.write(b"hello").expect("write");
    left.write(b"").expect("write");
    assert_eq!(left.send(b"", 0), Ok(0));
    assert_eq!(right.asked_count(libc::FIONREAD), Ok(5));
    let mut buffer = [0; 3];
    let received = right.receive_message(&mut buffer, 0, 0).expect("recvmsg");
    assert_eq!((received.len, received.flags & libc::MSG_TRUNC), (3, libc::MSG_TRUNC));
    assert_eq!(right.receive(&mut buffer, 0), Ok(0));
    assert_eq!(right.asked_count(libc::FIONREAD), Ok(0));
}

fn packets_listen() {
    let name = abstract_name("packets");
    let listener = bound(libc::SOCK_SEQPACKET, &name);
    listener.listen(1).expect("listen");
    let client = Fd::unix(libc::SOCK_SEQPACKET);
    client.connect(&name).expect("connect");
    client.write(b"before").expect("write");
    let server = listener.accept().expect("accept");
    let mut buffer = [0; 16];
    assert_eq!(server.read(&mut buffer), Ok(6));
    assert_eq!((client.peer_name(), server.local_name()), (Ok(name.clone()), Ok(name)));
    drop(client);
    assert_eq!(server.read(&mut buffer), Ok(0));
}

fn packet_errors() {
    let socket = Fd::unix(libc::SOCK_SEQPACKET | libc::SOCK_NONBLOCK);
    assert_eq!(socket.send(b"x", 0), Err(Errno::ENOTCONN));
    assert_eq!(socket.receive(&mut [0; 8], 0), Err(Errno::ENOTCONN));
    let epoll = Fd::epoll();
    epoll.add(&socket, ALL);
    assert_eq!(epoll.events(), OUT | HUP);
    let (left, right) = Fd::unix_pair(libc::SOCK_SEQPACKET | libc::SOCK_NONBLOCK);
    // No SIGPIPE: only streams send that.
    let killed = child(|| {
        // SAFETY: the signal gets its default action.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        left.shut_down(libc::SHUT_WR).expect("shutdown");
        i32::from(left.send(b"x", 0) != Err(Errno::EPIPE))
    });
    assert_eq!(killed.wait(), Status::Exited(0));
    drop(right);
    let (left, right) = Fd::unix_pair(libc::SOCK_SEQPACKET | libc::SOCK_NONBLOCK);
    left.write(b"unread").expect("write");
    right.write(b"before").expect("write");
    drop(right);
    // A reset comes before what was sent.
    let mut buffer = [0; 8];
    assert_eq!(left.read(&mut buffer), Err(Errno::ECONNRESET));
    assert_eq!(left.read(&mut buffer), Ok(6));
    assert_eq!(left.read(&mut buffer), Ok(0));
}
