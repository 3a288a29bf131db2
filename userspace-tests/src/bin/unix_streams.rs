//! AF_UNIX streams to the letter: flags of receiving, states and their event masks, listeners, what is counted.

use libsyscall::abi::Errno;
use libsyscall::abi::event::{
    EPOLLERR as ERR, EPOLLET as ET, EPOLLHUP as HUP, EPOLLIN as IN, EPOLLOUT as OUT, EPOLLRDHUP as RDHUP,
};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;
use userspace_tests::socket::{abstract_name, path};
use userspace_tests::{Fd, Status, checked, child, tests};

const STREAM: i32 = libc::SOCK_STREAM | libc::SOCK_NONBLOCK;
const ALL: u32 = IN | OUT | RDHUP;

fn main() -> ExitCode {
    userspace_tests::run(tests![
        peek_over_segments,
        wait_for_all,
        send_without_signal,
        addresses_of_streams,
        not_connected,
        listener_states,
        full_backlog,
        blocked_connect,
        pending_connection_dies,
        shutdown_masks,
        shutdown_of_a_listener,
        reset_after_unread_data,
        writable_again,
        each_segment_read_is_an_edge,
        send_buffer,
        counts,
        kinds,
        options,
        low_water,
        bound_once,
        accept_without_descriptors,
    ])
}

fn ready(epoll: &Fd, of: &Fd) -> u32 {
    let ready = epoll.ready();
    ready
        .iter()
        .find(|ready| ready.0 == of.0 as u64)
        .map_or(0, |ready| ready.1)
}

fn watched(sockets: &[&Fd], events: u32) -> Fd {
    let epoll = Fd::epoll();
    for socket in sockets {
        epoll.add(socket, events);
    }
    epoll
}

fn peek_over_segments() {
    let (left, right) = Fd::unix_pair(STREAM);
    left.write(b"abc").expect("write");
    left.write(b"def").expect("write");
    let mut buffer = [0; 8];
    assert_eq!(right.receive(&mut buffer, libc::MSG_PEEK), Ok(6));
    assert_eq!(right.receive(&mut buffer[..4], libc::MSG_PEEK), Ok(4));
    assert_eq!(right.receive(&mut buffer[..2], 0), Ok(2));
    assert_eq!(right.receive(&mut buffer, libc::MSG_PEEK), Ok(4));
    assert_eq!(&buffer[..4], b"cdef");
    assert_eq!(right.receive(&mut buffer, 0), Ok(4));
}

fn wait_for_all() {
    let (left, right) = Fd::unix_pair(libc::SOCK_STREAM);
    let writer = thread::spawn(move || {
        for part in [b"ab", b"cd", b"ef"] {
            left.write(part).expect("write");
            thread::sleep(Duration::from_millis(5));
        }
        left
    });
    let mut buffer = [0; 6];
    assert_eq!(right.receive(&mut buffer, libc::MSG_WAITALL), Ok(6));
    assert_eq!(&buffer, b"abcdef");
    let left = writer.join().expect("thread");
    left.write(b"end").expect("write");
    drop(left);
    assert_eq!(right.receive(&mut buffer, libc::MSG_WAITALL), Ok(3));
}

fn send_without_signal() {
    let (left, right) = Fd::unix_pair(libc::SOCK_STREAM);
    drop(right);
    let sender = |flags: i32| {
        child(|| {
            // SAFETY: the signal gets its default action.
            unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
            i32::from(left.send(b"x", flags) != Err(Errno::EPIPE))
        })
    };
    assert_eq!(sender(libc::MSG_NOSIGNAL).wait(), Status::Exited(0));
    assert_eq!(sender(0).wait(), Status::Killed(libc::SIGPIPE));
}

fn addresses_of_streams() {
    let name = abstract_name("streams");
    let listener = Fd::unix(libc::SOCK_STREAM);
    assert_eq!(listener.listen(1), Err(Errno::EINVAL));
    listener.bind(&name).expect("bind");
    listener.listen(1).expect("listen");
    let client = Fd::unix(libc::SOCK_STREAM);
    client.connect(&name).expect("connect");
    assert_eq!(client.connect(&name), Err(Errno::EISCONN));
    let server = listener.accept().expect("accept");
    assert_eq!(
        (client.local_name(), client.peer_name()),
        (Ok(Vec::new()), Ok(name.clone()))
    );
    assert_eq!(
        (server.local_name(), server.peer_name()),
        (Ok(name.clone()), Ok(Vec::new()))
    );
    assert_eq!(client.send_to(b"x", 0, &name), Err(Errno::EISCONN));
    server.write(b"x").expect("write");
    let received = client.receive_message(&mut [0; 8], 0, 0).expect("recvmsg");
    assert_eq!(received.from, name);
    client.write(b"x").expect("write");
    assert_eq!(server.receive_message(&mut [0; 8], 0, 0).expect("recvmsg").from, b"");
    // The name outlives its socket where it is known.
    drop(server);
    drop(listener);
    assert_eq!(client.peer_name(), Ok(name));
}

fn not_connected() {
    let socket = Fd::unix(STREAM);
    let name = abstract_name("nobody");
    assert_eq!(socket.send(b"x", 0), Err(Errno::ENOTCONN));
    assert_eq!(socket.receive(&mut [0; 8], 0), Err(Errno::EINVAL));
    assert_eq!(socket.peer_name(), Err(Errno::ENOTCONN));
    assert_eq!(socket.accept(), Err(Errno::EINVAL));
    assert_eq!(socket.send_to(b"x", 0, &name), Err(Errno::EOPNOTSUPP));
    assert_eq!(socket.asked_count(libc::FIONREAD), Ok(0));
    assert_eq!(watched(&[&socket], ALL).events(), OUT | HUP);
    assert_eq!(socket.shut_down(libc::SHUT_RD), Ok(()));
    assert_eq!(watched(&[&socket], ALL).events(), IN | OUT | RDHUP | HUP);
}

fn listening(name: &[u8], backlog: i32) -> Fd {
    let listener = Fd::unix(STREAM);
    listener.bind(name).expect("bind");
    listener.listen(backlog).expect("listen");
    listener
}

fn listener_states() {
    let name = abstract_name("states");
    let listener = listening(&name, 4);
    assert_eq!(listener.option(libc::SO_ACCEPTCONN), Ok(1));
    assert_eq!(listener.accept(), Err(Errno::EAGAIN));
    assert_eq!(listener.connect(&name), Err(Errno::EINVAL));
    assert_eq!(listener.read(&mut [0; 8]), Err(Errno::EINVAL));
    assert_eq!(listener.write(b"x"), Err(Errno::ENOTCONN));
    assert_eq!(listener.asked_count(libc::FIONREAD), Err(Errno::EINVAL));
    let epoll = watched(&[&listener], ALL);
    assert_eq!(epoll.events(), 0);
    let client = Fd::unix(STREAM);
    client.connect(&name).expect("connect");
    assert_eq!(epoll.events(), IN);
    client.write(b"early").expect("write");
    drop(client);
    let server = listener.accept().expect("accept");
    assert_eq!(epoll.events(), 0);
    assert_eq!(server.read(&mut [0; 8]), Ok(5));
    assert_eq!(server.read(&mut [0; 8]), Ok(0));
    // A pair's end can't listen.
    let (left, _right) = Fd::unix_pair(STREAM);
    left.bind(&abstract_name("pair")).expect("bind");
    assert_eq!(left.listen(1), Err(Errno::EINVAL));
}

fn full_backlog() {
    let name = abstract_name("full");
    let listener = listening(&name, 1);
    let clients = [(); 3].map(|()| Fd::unix(STREAM));
    let results = clients.each_ref().map(|client| client.connect(&name));
    assert_eq!(results, [Ok(()), Ok(()), Err(Errno::EAGAIN)]);
    drop(listener.accept().expect("accept"));
    assert_eq!(clients[2].connect(&name), Ok(()));
}

fn blocked_connect() {
    let name = abstract_name("blocked");
    let listener = listening(&name, 0);
    let connect = |name: Vec<u8>| thread::spawn(move || Fd::unix(libc::SOCK_STREAM).connect(&name));
    assert_eq!(connect(name.clone()).join().expect("thread"), Ok(()));
    let waiting = [connect(name.clone()), connect(name.clone())];
    thread::sleep(Duration::from_millis(20));
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    let [one, two] = waiting;
    listener.accept().expect("accept");
    while !one.is_finished() && !two.is_finished() {
        thread::sleep(Duration::from_millis(1));
    }
    // Its end refuses the other.
    drop(listener);
    let mut results = [one.join().expect("thread"), two.join().expect("thread")];
    results.sort_by_key(|result| result.is_err());
    assert_eq!(results, [Ok(()), Err(Errno::ECONNREFUSED)]);
}

/// Semantics 150.
fn pending_connection_dies() {
    let name = abstract_name("dies");
    let listener = listening(&name, 4);
    let client = Fd::unix(STREAM);
    client.connect(&name).expect("connect");
    let epoll = watched(&[&client], ALL);
    assert_eq!(epoll.events(), OUT);
    drop(listener);
    assert_eq!(epoll.events(), IN | OUT | RDHUP | HUP | ERR);
    assert_eq!(client.read(&mut [0; 8]), Err(Errno::ECONNRESET));
    assert_eq!(client.read(&mut [0; 8]), Ok(0));
    assert_eq!(epoll.events(), IN | OUT | RDHUP | HUP);
    assert_eq!(client.send(b"x", libc::MSG_NOSIGNAL), Err(Errno::EPIPE));
}

/// Semantics 148.
fn shutdown_masks() {
    let (left, right) = Fd::unix_pair(STREAM);
    let epoll = watched(&[&left, &right], ALL);
    left.shut_down(libc::SHUT_WR).expect("shutdown");
    assert_eq!((ready(&epoll, &left), ready(&epoll, &right)), (OUT, IN | OUT | RDHUP));
    right.shut_down(libc::SHUT_WR).expect("shutdown");
    let over = IN | OUT | RDHUP | HUP;
    assert_eq!((ready(&epoll, &left), ready(&epoll, &right)), (over, over));

    let (left, right) = Fd::unix_pair(STREAM);
    let epoll = watched(&[&left, &right], ALL);
    left.shut_down(libc::SHUT_RD).expect("shutdown");
    assert_eq!((ready(&epoll, &left), ready(&epoll, &right)), (IN | OUT | RDHUP, OUT));
    assert_eq!(right.send(b"x", libc::MSG_NOSIGNAL), Err(Errno::EPIPE));
    assert_eq!(left.read(&mut [0; 8]), Ok(0));
    left.shut_down(libc::SHUT_RDWR).expect("shutdown");
    assert_eq!((ready(&epoll, &left), ready(&epoll, &right)), (over, over));

    let (left, right) = Fd::unix_pair(STREAM);
    let epoll = watched(&[&left], ALL);
    right.write(b"last").expect("write");
    drop(right);
    assert_eq!(epoll.events(), over);
    assert_eq!(left.read(&mut [0; 8]), Ok(4));
    assert_eq!(left.read(&mut [0; 8]), Ok(0));
    assert_eq!(epoll.events(), over);
}

fn shutdown_of_a_listener() {
    let name = abstract_name("over");
    let listener = listening(&name, 4);
    listener.shut_down(libc::SHUT_RD).expect("shutdown");
    assert_eq!(Fd::unix(STREAM).connect(&name), Err(Errno::ECONNREFUSED));
    assert_eq!(watched(&[&listener], ALL).events(), IN | RDHUP);
}

fn reset_after_unread_data() {
    let (left, right) = Fd::unix_pair(STREAM);
    left.write(b"unread").expect("write");
    right.write(b"last").expect("write");
    let epoll = watched(&[&left], ALL);
    drop(right);
    assert_eq!(epoll.events(), IN | OUT | RDHUP | HUP | ERR);
    assert_eq!(left.send(b"x", libc::MSG_NOSIGNAL), Err(Errno::EPIPE));
    // A stream's bytes come before the error.
    let mut buffer = [0; 8];
    assert_eq!(left.read(&mut buffer), Ok(4));
    assert_eq!(left.read(&mut buffer), Err(Errno::ECONNRESET));
    assert_eq!(left.read(&mut buffer), Ok(0));
}

fn writable_again() {
    let (left, right) = Fd::unix_pair(STREAM);
    let (level, edge) = (watched(&[&left], ALL), watched(&[&left], ALL | ET));
    assert_eq!(edge.events(), OUT);
    let sent = (0..).take_while(|_| left.write(b"x") == Ok(1)).count();
    assert_eq!((sent, level.events()), (278, 0));
    let mut byte = [0];
    for left in (70..=sent).rev() {
        assert_eq!((level.events(), edge.events()), (0, 0), "{left}");
        assert_eq!(right.read(&mut byte), Ok(1));
    }
    assert_eq!((level.events(), edge.events()), (OUT, OUT));
}

fn each_segment_read_is_an_edge() {
    let (left, right) = Fd::unix_pair(STREAM);
    let edge = watched(&[&left], ALL | ET);
    assert_eq!(edge.events(), OUT);
    left.write(b"ab").expect("write");
    left.write(b"cd").expect("write");
    assert_eq!(edge.events(), 0);
    let mut byte = [0];
    for expected in [0, OUT, 0, OUT] {
        assert_eq!(right.read(&mut byte), Ok(1));
        assert_eq!(edge.events(), expected);
    }
    // So is each write, to the reader.
    let edge = watched(&[&right], ALL | ET);
    assert_eq!(edge.events(), OUT);
    for _ in 0..2 {
        left.write(b"x").expect("write");
        assert_eq!(edge.events(), IN | OUT);
    }
}

fn send_buffer() {
    let (left, right) = Fd::unix_pair(STREAM);
    assert_eq!(left.write(&[0; 1_000_000]), Ok(219_264));
    right.drain();
    left.set_option(libc::SO_SNDBUF, 10_000).expect("SO_SNDBUF");
    assert_eq!(left.option(libc::SO_SNDBUF), Ok(20_000));
    let sent = left.write(&[0; 1_000_000]).expect("write");
    assert!((15_000..40_000).contains(&sent), "{sent}");
    left.set_option(libc::SO_SNDBUF, 0).expect("SO_SNDBUF");
    assert_eq!(left.option(libc::SO_SNDBUF), Ok(4608));
    left.set_option(libc::SO_RCVBUF, 0).expect("SO_RCVBUF");
    assert_eq!(left.option(libc::SO_RCVBUF), Ok(2304));
}

fn counts() {
    let (left, right) = Fd::unix_pair(STREAM);
    left.write(b"abc").expect("write");
    left.write(b"def").expect("write");
    assert_eq!(right.asked_count(libc::FIONREAD), Ok(6));
    assert_eq!(left.asked_count(libc::TIOCOUTQ), Ok(2 * 768));
    right.read(&mut [0; 4]).expect("read");
    assert_eq!(right.asked_count(libc::FIONREAD), Ok(2));
    assert_eq!(left.asked_count(libc::TIOCOUTQ), Ok(768));
}

fn kinds() {
    let make = |domain: i32, kind: i32, protocol: i32| {
        // SAFETY: no memory is involved.
        checked(unsafe { libc::socket(domain, kind, protocol) })
            .map(Fd)
            .map(drop)
    };
    assert_eq!(make(libc::AF_UNIX, libc::SOCK_STREAM, libc::AF_UNIX), Ok(()));
    assert_eq!(make(libc::AF_UNIX, libc::SOCK_STREAM, 6), Err(Errno::EPROTONOSUPPORT));
    assert_eq!(make(libc::AF_UNIX, libc::SOCK_RAW, 0), Ok(()));
    assert_eq!(make(libc::AF_UNIX, 4, 0), Err(Errno::ESOCKTNOSUPPORT));
    assert_eq!(make(libc::AF_UNIX, 11, 0), Err(Errno::EINVAL));
    assert_eq!(make(libc::AF_UNIX, libc::SOCK_STREAM | 0x100, 0), Err(Errno::EINVAL));
    assert_eq!(make(-1, libc::SOCK_STREAM, 0), Err(Errno::EAFNOSUPPORT));
}

fn options() {
    let socket = Fd::unix(STREAM);
    for (option, before, after) in [
        (libc::SO_REUSEADDR, 0, 1),
        (libc::SO_BROADCAST, 0, 1),
        (libc::SO_KEEPALIVE, 0, 1),
        (libc::SO_OOBINLINE, 0, 1),
        (libc::SO_PRIORITY, 0, 5),
        (libc::SO_RCVLOWAT, 1, 5),
    ] {
        assert_eq!(socket.option(option), Ok(before), "{option}");
        assert_eq!(socket.set_option(option, 5), Ok(()), "{option}");
        assert_eq!(socket.option(option), Ok(after), "{option}");
    }
    assert_eq!(socket.set_option(libc::SO_REUSEPORT, 1), Err(Errno::EOPNOTSUPP));
    for option in [
        libc::SO_TYPE,
        libc::SO_DOMAIN,
        libc::SO_PROTOCOL,
        libc::SO_ACCEPTCONN,
        libc::SO_SNDLOWAT,
    ] {
        assert_eq!(socket.set_option(option, 1), Err(Errno::ENOPROTOOPT), "{option}");
        assert!(socket.option(option).is_ok(), "{option}");
    }
    assert_eq!(socket.option(999), Err(Errno::ENOPROTOOPT));
    let (value, at) = (1i32, |value: &i32| std::ptr::from_ref(value).cast());
    // SAFETY: the kernel reads one number at most.
    let set = |level: i32, option: i32, len: u32| unsafe {
        checked(libc::setsockopt(socket.0, level, option, at(&value), len)).map(drop)
    };
    assert_eq!(set(libc::SOL_SOCKET, libc::SO_KEEPALIVE, 2), Err(Errno::EINVAL));
    assert_eq!(set(libc::SOL_SOCKET, libc::SO_LINGER, 4), Err(Errno::EINVAL));
    assert_eq!(set(libc::IPPROTO_TCP, libc::TCP_NODELAY, 4), Err(Errno::EOPNOTSUPP));
}

fn low_water() {
    let (left, right) = Fd::unix_pair(libc::SOCK_STREAM);
    right.set_option(libc::SO_RCVLOWAT, 4).expect("SO_RCVLOWAT");
    left.write(b"ab").expect("write");
    let reader = thread::spawn(move || right.read(&mut [0; 16]));
    thread::sleep(Duration::from_millis(20));
    assert!(!reader.is_finished());
    left.write(b"cde").expect("write");
    assert_eq!(reader.join().expect("thread"), Ok(5));
}

fn bound_once() {
    let (name, other) = (path("once"), path("other"));
    let socket = Fd::unix(STREAM);
    socket.bind(&name).expect("bind");
    assert_eq!(socket.bind(&name), Err(Errno::EADDRINUSE));
    assert_eq!(socket.bind(&other), Err(Errno::EINVAL));
    let file = |name: Vec<u8>| std::path::PathBuf::from(String::from_utf8(name).expect("a path"));
    assert!(!file(other).exists());
    std::fs::remove_file(file(name)).expect("unlink");
    assert_eq!(Fd::unix(STREAM).bind(&path("none/name")), Err(Errno::ENOENT));
}

/// The connection waits until there is one.
fn accept_without_descriptors() {
    let name = abstract_name("numbers");
    let listener = listening(&name, 4);
    let client = Fd::unix(STREAM);
    client.connect(&name).expect("connect");
    let refused = child(|| {
        let limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 1024,
        };
        // SAFETY: the kernel reads the limit.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
        i32::from(listener.accept() != Err(Errno::EMFILE))
    });
    assert_eq!(refused.wait(), Status::Exited(0));
    assert!(listener.accept().is_ok());
}
