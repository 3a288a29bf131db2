//! AF_UNIX sockets: pairs, listeners, shutdown.

use libsyscall::abi::Errno;
use std::ffi::OsStr;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};
use userspace_tests::{Fd, Status, checked, child, socket, tests};

fn main() -> ExitCode {
    userspace_tests::run(tests![
        pair_both_ways,
        peer_close_is_the_end,
        write_after_peer_close,
        shutdown_one_way,
        non_blocking,
        blocked_writer,
        large_transfer,
        between_processes,
        readiness,
        options,
        seq_packet_pair,
        listener,
        connect_errors,
        mode_of_the_name,
        read_timeout,
    ])
}

fn pair_both_ways() {
    let (mut left, mut right) = UnixStream::pair().expect("socketpair");
    left.write_all(b"ping").expect("write");
    let mut buffer = [0; 4];
    right.read_exact(&mut buffer).expect("read");
    assert_eq!(&buffer, b"ping");
    right.write_all(b"pong").expect("write");
    left.read_exact(&mut buffer).expect("read");
    assert_eq!(&buffer, b"pong");
}

fn peer_close_is_the_end() {
    let (mut left, mut right) = UnixStream::pair().expect("socketpair");
    right.write_all(b"last").expect("write");
    drop(right);
    let mut text = String::new();
    left.read_to_string(&mut text).expect("read");
    assert_eq!(text, "last");
}

fn write_after_peer_close() {
    let (mut left, right) = UnixStream::pair().expect("socketpair");
    drop(right);
    assert_eq!(left.write(b"x").expect_err("EPIPE").kind(), ErrorKind::BrokenPipe);
}

fn shutdown_one_way() {
    let (mut left, mut right) = UnixStream::pair().expect("socketpair");
    left.shutdown(Shutdown::Write).expect("shutdown");
    assert_eq!(right.read(&mut [0]).expect("read"), 0);
    assert_eq!(left.write(b"x").expect_err("EPIPE").kind(), ErrorKind::BrokenPipe);
    right.write_all(b"back").expect("write");
    let mut buffer = [0; 4];
    left.read_exact(&mut buffer).expect("read");
}

fn non_blocking() {
    let (left, right) = Fd::socket_pair();
    assert_eq!(left.read(&mut [0]), Err(Errno::EAGAIN));
    let room = left.fill();
    assert!(room >= 65536, "{room}");
    assert_eq!(left.write(b"x"), Err(Errno::EAGAIN));
    let mut received = 0;
    let mut buffer = [0; 65536];
    while let Ok(count) = right.read(&mut buffer) {
        received += count;
    }
    assert_eq!(received, room);
    assert_eq!(left.write(b"x"), Ok(1));
}

fn blocked_writer() {
    let (mut left, mut right) = UnixStream::pair().expect("socketpair");
    let writer = thread::spawn(move || left.write_all(&vec![9; 2_000_000]));
    thread::sleep(Duration::from_millis(30));
    assert!(!writer.is_finished());
    let mut received = Vec::new();
    right.read_to_end(&mut received).expect("read");
    assert_eq!(received.len(), 2_000_000);
    writer.join().expect("thread").expect("write");
}

fn large_transfer() {
    let (left, mut right) = UnixStream::pair().expect("socketpair");
    let echo = thread::spawn(move || {
        let (mut reader, mut writer) = (&left, &left);
        std::io::copy(&mut reader, &mut writer).expect("copy");
    });
    let mut writer = right.try_clone().expect("dup");
    let sent: Vec<u8> = (0..1_000_000u32).map(|number| (number % 253) as u8).collect();
    let copy = sent.clone();
    let sender = thread::spawn(move || {
        writer.write_all(&copy).expect("write");
        writer.shutdown(Shutdown::Write).expect("shutdown");
    });
    let mut received = Vec::new();
    right.read_to_end(&mut received).expect("read");
    assert!(received == sent);
    sender.join().expect("thread");
    echo.join().expect("thread");
}

fn between_processes() {
    let (mut left, mut right) = UnixStream::pair().expect("socketpair");
    let child = child(|| {
        let mut buffer = [0; 5];
        let right = right.read_exact(&mut buffer).and_then(|()| right.write_all(&buffer));
        i32::from(right.is_err())
    });
    left.write_all(b"hello").expect("write");
    let mut buffer = [0; 5];
    left.read_exact(&mut buffer).expect("read");
    assert_eq!(&buffer, b"hello");
    assert_eq!(child.wait(), Status::Exited(0));
}

/// Semantics 148.
fn readiness() {
    let all = (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP) as u32;
    let (epoll, (left, right)) = (Fd::epoll(), Fd::socket_pair());
    epoll.add(&left, all);
    assert_eq!(epoll.events(), libc::EPOLLOUT as u32);
    right.write(b"x").expect("write");
    assert_eq!(epoll.events(), (libc::EPOLLIN | libc::EPOLLOUT) as u32);
    left.drain();
    drop(right);
    assert_eq!(epoll.events(), all | libc::EPOLLHUP as u32);
}

fn options() {
    let (left, _right) = UnixStream::pair().expect("socketpair");
    let get = |option| {
        let (mut value, mut size) = (0i32, 4u32);
        let value_at = (&raw mut value).cast();
        // SAFETY: the kernel writes one number.
        let result = unsafe { libc::getsockopt(left.as_raw_fd(), libc::SOL_SOCKET, option, value_at, &mut size) };
        checked(result).map(|_| value)
    };
    assert_eq!(get(libc::SO_TYPE), Ok(libc::SOCK_STREAM));
    assert_eq!(get(libc::SO_DOMAIN), Ok(libc::AF_UNIX));
    assert_eq!(get(libc::SO_ERROR), Ok(0));
    assert_eq!(get(libc::SO_ACCEPTCONN), Ok(0));
}

/// std's process spawning waits on one: a packet or the end.
fn seq_packet_pair() {
    let mut ends = [0; 2];
    // SAFETY: the kernel writes two descriptors.
    let result = unsafe {
        libc::socketpair(
            libc::AF_UNIX,
            libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC,
            0,
            ends.as_mut_ptr(),
        )
    };
    checked(result).expect("socketpair");
    let (left, right) = (Fd(ends[0]), Fd(ends[1]));
    left.write(b"one").expect("write");
    left.write(b"two").expect("write");
    let mut buffer = [0; 16];
    assert_eq!(right.read(&mut buffer), Ok(3));
    assert_eq!(right.read(&mut buffer), Ok(3));
    drop(left);
    assert_eq!(right.read(&mut buffer), Ok(0));
}

fn listener() {
    let path = std::env::temp_dir().join(format!("vigil-socket-{}", std::process::id()));
    let listener = UnixListener::bind(&path).expect("bind");
    let client = {
        let path = path.clone();
        thread::spawn(move || {
            let mut stream = UnixStream::connect(path).expect("connect");
            stream.write_all(b"hello").expect("write");
        })
    };
    let (mut stream, _) = listener.accept().expect("accept");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("read");
    assert_eq!(text, "hello");
    client.join().expect("thread");
    std::fs::remove_file(path).expect("unlink");
}

fn connect_errors() {
    let missing = std::env::temp_dir().join("vigil-no-such-socket");
    assert_eq!(
        UnixStream::connect(missing).expect_err("ENOENT").kind(),
        ErrorKind::NotFound
    );
    let path = std::env::temp_dir().join(format!("vigil-gone-{}", std::process::id()));
    drop(UnixListener::bind(&path).expect("bind"));
    assert_eq!(
        UnixStream::connect(&path).expect_err("ECONNREFUSED").kind(),
        ErrorKind::ConnectionRefused
    );
    assert_eq!(
        UnixListener::bind(&path).expect_err("EADDRINUSE").kind(),
        ErrorKind::AddrInUse
    );
    std::fs::remove_file(path).expect("unlink");
}

/// fchmod(2) before bind(2): there is no moment at which others may connect.
fn mode_of_the_name() {
    let by_mode = |mode| {
        let name = socket::path(&format!("mode-{mode:o}"));
        let socket = Fd::unix(libc::SOCK_STREAM);
        // SAFETY: takes numbers.
        checked(unsafe { libc::fchmod(socket.0, mode) }).expect("fchmod");
        socket.bind(&name).expect("bind");
        let path = Path::new(OsStr::from_bytes(&name));
        let found = std::fs::metadata(path).expect("stat").mode() & 0o7777;
        std::fs::remove_file(path).expect("unlink");
        found
    };
    // SAFETY: takes a number. The tests of a program run one after the other.
    let before = unsafe { libc::umask(0o027) };
    assert_eq!((by_mode(0o600), by_mode(0o666), by_mode(0o777)), (0o600, 0o640, 0o750));
    // SAFETY: as above.
    unsafe { libc::umask(before) };
}

fn read_timeout() {
    let (mut left, _right) = UnixStream::pair().expect("socketpair");
    left.set_read_timeout(Some(Duration::from_millis(40)))
        .expect("SO_RCVTIMEO");
    let start = Instant::now();
    assert_eq!(left.read(&mut [0]).expect_err("EAGAIN").kind(), ErrorKind::WouldBlock);
    // Socket timeouts count in the clock's coarse ticks.
    assert!(start.elapsed() >= Duration::from_millis(30));
}
