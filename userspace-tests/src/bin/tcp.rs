//! TCP over loopback.

use libsyscall::abi::Errno;
use libsyscall::abi::event::{
    EPOLLERR as ERR, EPOLLHUP as HUP, EPOLLIN as IN, EPOLLOUT as OUT, EPOLLPRI as PRI, EPOLLRDHUP as RDHUP,
};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};
use userspace_tests::{Fd, checked, tests};

fn main() -> ExitCode {
    userspace_tests::run(tests![
        connect_and_echo,
        addresses,
        refused,
        address_in_use,
        end_of_stream,
        reset_by_peer,
        non_blocking_accept,
        non_blocking_connect,
        backpressure,
        large_transfer,
        many_connections,
        readiness,
        peer_shutdown_readiness,
        listener_readiness,
        options,
        accept_blocks,
        port_is_free_again,
        port_rests,
        port_rests_after_shutdown,
        port_rests_for_those_who_share,
        reset_lets_no_port_rest,
        both_directions_over,
        own_shutdown,
        peer_closed,
        send_much_to_closed,
        reset_by_unread_bytes,
        reset_by_linger,
        reset_keeps_what_came,
        state_changes_are_edges,
        urgent_byte,
        urgent_byte_inline,
        urgent_byte_passed_over,
        low_water_mark,
        connect_in_steps,
        connect_refused_in_steps,
        connect_refused_without_asking,
        not_connected,
        full_backlog,
        listener_shut_down,
        listener_closed,
        given_up_while_waiting,
        dissolved,
        option_values,
        information,
        mapped_addresses,
        ipv6,
        listening_twice,
        reuse_port_spreads,
        accepted_keep_the_port,
        bad_pointers,
    ])
}

/// A connected pair over a fresh listener.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let client = TcpStream::connect(listener.local_addr().expect("getsockname")).expect("connect");
    (client, listener.accept().expect("accept").0)
}

/// The pair as non-blocking descriptors for epoll.
fn descriptors() -> (Fd, Fd) {
    let (client, server) = pair();
    client.set_nonblocking(true).expect("FIONBIO");
    server.set_nonblocking(true).expect("FIONBIO");
    (Fd(client.into_raw_fd()), Fd(server.into_raw_fd()))
}

fn connect_and_echo() {
    let (mut client, mut server) = pair();
    client.write_all(b"ping").expect("write");
    let mut buffer = [0; 4];
    server.read_exact(&mut buffer).expect("read");
    server.write_all(&buffer).expect("write");
    client.read_exact(&mut buffer).expect("read");
    assert_eq!(&buffer, b"ping");
}

fn addresses() {
    let (client, server) = pair();
    let local: SocketAddr = client.local_addr().expect("getsockname");
    assert_eq!(server.peer_addr().expect("getpeername"), local);
    assert_eq!(
        client.peer_addr().expect("getpeername"),
        server.local_addr().expect("getsockname")
    );
    assert!(local.ip().is_loopback() && local.port() != 0);
}

fn refused() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("getsockname");
    drop(listener);
    assert_eq!(
        TcpStream::connect(address).expect_err("ECONNREFUSED").kind(),
        ErrorKind::ConnectionRefused
    );
}

fn address_in_use() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let again = TcpListener::bind(listener.local_addr().expect("getsockname"));
    assert_eq!(again.expect_err("EADDRINUSE").kind(), ErrorKind::AddrInUse);
}

fn end_of_stream() {
    let (mut client, mut server) = pair();
    client.write_all(b"last words").expect("write");
    client.shutdown(Shutdown::Write).expect("shutdown");
    let mut text = String::new();
    server.read_to_string(&mut text).expect("read");
    assert_eq!(text, "last words");
    server.write_all(b"answer").expect("write");
    drop(server);
    text.clear();
    client.read_to_string(&mut text).expect("read");
    assert_eq!(text, "answer");
}

/// Closing with unread bytes resets the connection.
fn reset_by_peer() {
    let (mut client, server) = pair();
    client.write_all(b"never read").expect("write");
    // Until they have arrived.
    assert_eq!(server.peek(&mut [0]).expect("peek"), 1);
    drop(server);
    assert_eq!(
        client.read(&mut [0]).expect_err("ECONNRESET").kind(),
        ErrorKind::ConnectionReset
    );
}

fn non_blocking_accept() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    listener.set_nonblocking(true).expect("FIONBIO");
    assert_eq!(listener.accept().expect_err("EAGAIN").kind(), ErrorKind::WouldBlock);
    let _client = TcpStream::connect(listener.local_addr().expect("getsockname")).expect("connect");
    assert!(listener.accept().is_ok());
}

fn non_blocking_connect() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("getsockname");
    // A timeout makes std connect without blocking and poll.
    let mut client = TcpStream::connect_timeout(&address, Duration::from_secs(5)).expect("connect");
    let (mut server, _) = listener.accept().expect("accept");
    client.write_all(b"x").expect("write");
    server.read_exact(&mut [0]).expect("read");
}

fn backpressure() {
    let (client, server) = descriptors();
    let written = client.fill();
    assert!(written >= 65536, "{written}");
    let mut received = 0;
    let mut buffer = vec![0; 65536];
    while received < written {
        match server.read(&mut buffer) {
            Ok(count) => received += count,
            Err(_) => thread::sleep(Duration::from_millis(1)),
        }
    }
    assert_eq!(received, written);
}

fn large_transfer() {
    let (mut client, mut server) = pair();
    let sent: Vec<u8> = (0..4_000_000u32).map(|number| (number % 251) as u8).collect();
    let copy = sent.clone();
    let sender = thread::spawn(move || {
        client.write_all(&copy).expect("write");
    });
    let mut received = Vec::new();
    server.read_to_end(&mut received).expect("read");
    sender.join().expect("thread");
    assert!(received == sent, "{} bytes", received.len());
}

fn many_connections() {
    const CLIENTS: usize = 50;
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("getsockname");
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            thread::spawn(move || {
                let mut stream = TcpStream::connect(address).expect("connect");
                stream.write_all(&[number as u8]).expect("write");
                let mut back = [0];
                stream.read_exact(&mut back).expect("read");
                assert_eq!(back, [number as u8 + 1]);
            })
        })
        .collect();
    for _ in 0..CLIENTS {
        let (mut stream, _) = listener.accept().expect("accept");
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("read");
        stream.write_all(&[byte[0] + 1]).expect("write");
    }
    clients.into_iter().for_each(|client| client.join().expect("thread"));
}

/// The events of the next wait.
fn next(epoll: &Fd) -> u32 {
    epoll
        .wait(2000, 1)
        .expect("epoll_wait")
        .first()
        .map_or(0, |&(_, events)| events)
}

fn readiness() {
    let (epoll, (client, server)) = (Fd::epoll(), descriptors());
    epoll.add(&client, IN | OUT | RDHUP | libc::EPOLLET as u32);
    assert_eq!(next(&epoll), OUT);
    for _ in 0..5 {
        server.write(b"x").expect("write");
        assert_eq!(next(&epoll), IN | OUT);
    }
}

/// Semantics 61, 149.
fn peer_shutdown_readiness() {
    let (epoll, (client, server)) = (Fd::epoll(), descriptors());
    epoll.add(&client, IN | RDHUP);
    // SAFETY: numbers in, a number out.
    let shutdown = |socket: &Fd, how| assert_eq!(unsafe { libc::shutdown(socket.0, how) }, 0);
    shutdown(&server, libc::SHUT_WR);
    assert_eq!(next(&epoll), IN | RDHUP);
    shutdown(&client, libc::SHUT_WR);
    assert_eq!(next(&epoll), IN | RDHUP | HUP);
}

fn listener_readiness() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let epoll = Fd::epoll();
    let watched = Fd(libsyscall::calls::file::dup(listener.as_raw_fd()).expect("dup"));
    epoll.add(&watched, IN);
    assert_eq!(epoll.events(), 0);
    let _client = TcpStream::connect(listener.local_addr().expect("getsockname")).expect("connect");
    assert_eq!(next(&epoll), IN);
    listener.accept().expect("accept");
    assert_eq!(epoll.events(), 0);
}

fn options() {
    let (client, _server) = pair();
    client.set_nodelay(true).expect("TCP_NODELAY");
    assert!(client.nodelay().expect("TCP_NODELAY"));
    client
        .set_read_timeout(Some(Duration::from_millis(20)))
        .expect("SO_RCVTIMEO");
    assert_eq!(
        (&client).read(&mut [0]).expect_err("EAGAIN").kind(),
        ErrorKind::WouldBlock
    );
    assert!(client.take_error().expect("SO_ERROR").is_none());
}

fn accept_blocks() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("getsockname");
    let acceptor = thread::spawn(move || listener.accept().map(drop));
    thread::sleep(Duration::from_millis(30));
    assert!(!acceptor.is_finished());
    let _client = TcpStream::connect(address).expect("connect");
    acceptor.join().expect("thread").expect("accept");
}

/// std listens with SO_REUSEADDR.
fn port_is_free_again() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("getsockname");
    let client = TcpStream::connect(address).expect("connect");
    drop((listener.accept().expect("accept"), client, listener));
    TcpListener::bind(address).expect("bind again");
}

/// A connection of a listener bound with an option, which is gone: its address, and both ends, the accepted one first.
fn connection_of(option: i32) -> (SocketAddr, Fd, Fd) {
    let listener = bound_with(option, "127.0.0.1:0".parse().expect("address")).expect("bind");
    listener.listen(5).expect("listen");
    let address = local_address(&listener);
    // SAFETY: no memory is involved.
    checked(unsafe { libc::fcntl(listener.0, libc::F_SETFL, 0) }).expect("F_SETFL");
    let client = TcpStream::connect(address).expect("connect");
    (address, listener.accept().expect("accept"), Fd(client.into_raw_fd()))
}

/// An option that has nothing to do with ports.
const NO_SHARING: i32 = libc::SO_KEEPALIVE;

/// Waits until somebody may be bound to an address: the other end's packets need their time.
fn expect_free(address: SocketAddr) {
    let start = Instant::now();
    while bound_with(NO_SHARING, address).is_err() {
        assert!(start.elapsed() < Duration::from_secs(20), "{address} is still taken");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The port of the end that is closed first is kept from others; that of the other end is not.
fn port_rests() {
    let (address, server, client) = connection_of(NO_SHARING);
    drop(server);
    assert_eq!(bound_with(NO_SHARING, address).expect_err("bind"), Errno::EADDRINUSE);
    drop(client);
    for option in [NO_SHARING, libc::SO_REUSEADDR, libc::SO_REUSEPORT] {
        assert_eq!(bound_with(option, address).expect_err("bind"), Errno::EADDRINUSE);
    }
    let (address, server, client) = connection_of(NO_SHARING);
    let other = local_address(&client);
    drop(client);
    // It has heard of the end before it ends itself.
    assert_eq!(receive(&server, 8, 0), Ok(vec![]));
    drop(server);
    expect_free(address);
    assert_eq!(
        bound_with(libc::SO_REUSEADDR, other).expect_err("bind"),
        Errno::EADDRINUSE
    );
}

fn port_rests_after_shutdown() {
    let (address, server, client) = connection_of(NO_SHARING);
    shutdown(&server, libc::SHUT_WR).expect("shutdown");
    assert_eq!(receive(&client, 8, 0), Ok(vec![]));
    shutdown(&client, libc::SHUT_WR).expect("shutdown");
    drop((client, server));
    assert_eq!(
        bound_with(libc::SO_REUSEADDR, address).expect_err("bind"),
        Errno::EADDRINUSE
    );
}

fn port_rests_for_those_who_share() {
    let (address, server, client) = connection_of(libc::SO_REUSEADDR);
    drop((server, client));
    assert_eq!(bound_with(NO_SHARING, address).expect_err("bind"), Errno::EADDRINUSE);
    let again = bound_with(libc::SO_REUSEADDR, address).expect("bind");
    again.listen(5).expect("listen");
    TcpStream::connect(address).expect("connect");
}

fn reset_lets_no_port_rest() {
    let (address, server, client) = connection_of(NO_SHARING);
    let at_once = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    set(&server, libc::SOL_SOCKET, libc::SO_LINGER, at_once).expect("SO_LINGER");
    drop((server, client));
    expect_free(address);
}

const RESET: u32 = IN | OUT | ERR | HUP | RDHUP;

/// What a socket reports, once the peer's packets have had the time to arrive.
fn events(socket: &Fd) -> u32 {
    thread::sleep(Duration::from_millis(20));
    let epoll = Fd::epoll();
    epoll.add(socket, IN | OUT | PRI | RDHUP);
    epoll.events()
}

fn shutdown(socket: &Fd, how: i32) -> Result<i32, Errno> {
    // SAFETY: numbers in, a number out.
    checked(unsafe { libc::shutdown(socket.0, how) })
}

fn send(socket: &Fd, bytes: &[u8], flags: i32) -> Result<isize, Errno> {
    let flags = flags | libc::MSG_NOSIGNAL;
    // SAFETY: the bytes are readable.
    checked(unsafe { libc::send(socket.0, bytes.as_ptr().cast(), bytes.len(), flags) })
}

fn receive(socket: &Fd, room: usize, flags: i32) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; room];
    // SAFETY: the buffer is writable.
    let count = checked(unsafe { libc::recv(socket.0, bytes.as_mut_ptr().cast(), room, flags) })?;
    bytes.truncate(count as usize);
    Ok(bytes)
}

fn set<T>(socket: &Fd, level: i32, name: i32, value: T) -> Result<(), Errno> {
    let len = size_of::<T>() as u32;
    // SAFETY: `value` is readable for its size.
    checked(unsafe { libc::setsockopt(socket.0, level, name, (&raw const value).cast(), len) }).map(drop)
}

fn get(socket: &Fd, level: i32, name: i32) -> Result<i32, Errno> {
    let (mut value, mut len) = (0i32, 4);
    // SAFETY: there is room for one int.
    checked(unsafe { libc::getsockopt(socket.0, level, name, (&raw mut value).cast(), &mut len) })?;
    Ok(value)
}

fn take_error(socket: &Fd) -> i32 {
    get(socket, libc::SOL_SOCKET, libc::SO_ERROR).expect("SO_ERROR")
}

fn query(socket: &Fd, request: u64) -> i32 {
    let mut value = 0;
    // SAFETY: the kernel writes one int.
    checked(unsafe { libc::ioctl(socket.0, request as _, &mut value) }).expect("ioctl");
    value
}

fn has_peer(socket: &Fd) -> bool {
    let (mut name, mut len) = ([0u64; 16], 128);
    // SAFETY: there is room for any socket address.
    unsafe { libc::getpeername(socket.0, name.as_mut_ptr().cast(), &mut len) == 0 }
}

/// A non-blocking socket without a name.
fn fresh() -> Fd {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: numbers in, a descriptor out.
    Fd(checked(unsafe { libc::socket(libc::AF_INET, kind, 0) }).expect("socket"))
}

fn connect(socket: &Fd, to: SocketAddr) -> Result<i32, Errno> {
    let SocketAddr::V4(to) = to else {
        panic!("an IPv4 address")
    };
    let name = libc::sockaddr_in {
        sin_family: libc::AF_INET as _,
        sin_port: to.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from(*to.ip()).to_be(),
        },
        sin_zero: [0; 8],
    };
    // SAFETY: the name is readable for its length.
    checked(unsafe { libc::connect(socket.0, (&raw const name).cast(), size_of_val(&name) as u32) })
}

/// A listener on a port of its own.
fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("getsockname");
    (listener, address)
}

/// An address nobody listens at.
fn nobody() -> SocketAddr {
    listener().1
}

fn both_directions_over() {
    let (client, server) = descriptors();
    assert_eq!(events(&client), OUT);
    shutdown(&server, libc::SHUT_WR).expect("shutdown");
    assert_eq!((events(&client), events(&server)), (IN | OUT | RDHUP, OUT));
    assert_eq!(receive(&client, 1, 0), Ok(vec![]));
    shutdown(&client, libc::SHUT_WR).expect("shutdown");
    let over = IN | OUT | HUP | RDHUP;
    assert_eq!((events(&client), events(&server)), (over, over));
    assert_eq!(shutdown(&client, libc::SHUT_WR), Err(Errno::ENOTCONN));
    assert!(!has_peer(&client) && !has_peer(&server));
}

/// shutdown(2) for reading is this end's alone: what comes is still there.
fn own_shutdown() {
    let (client, server) = descriptors();
    shutdown(&client, libc::SHUT_RD).expect("shutdown");
    assert_eq!((events(&client), events(&server)), (IN | OUT | RDHUP, OUT));
    send(&server, b"x", 0).expect("send");
    thread::sleep(Duration::from_millis(20));
    assert_eq!(receive(&client, 1, 0), Ok(b"x".to_vec()));
    assert_eq!(receive(&client, 1, 0), Ok(vec![]));
    let (client, server) = descriptors();
    shutdown(&client, libc::SHUT_WR).expect("shutdown");
    assert_eq!((events(&client), events(&server)), (OUT, IN | OUT | RDHUP));
    assert_eq!(send(&client, b"x", 0), Err(Errno::EPIPE));
    // Who has shut down both ways answers bytes with a reset.
    let (client, server) = descriptors();
    shutdown(&client, libc::SHUT_RDWR).expect("shutdown");
    assert_eq!(
        (events(&client), events(&server)),
        (IN | OUT | HUP | RDHUP, IN | OUT | RDHUP)
    );
    assert_eq!(send(&server, b"x", 0), Ok(1));
    assert_eq!(events(&server), RESET);
    assert_eq!(send(&server, b"x", 0), Err(Errno::EPIPE));
    assert_eq!(receive(&server, 1, 0), Ok(vec![]));
}

/// One send to a closed peer is taken; then the connection is over, and reading finds its end.
fn peer_closed() {
    let (client, server) = descriptors();
    drop(server);
    assert_eq!(events(&client), IN | OUT | RDHUP);
    assert_eq!(send(&client, b"x", 0), Ok(1));
    assert_eq!(events(&client), RESET);
    assert_eq!(receive(&client, 1, 0), Ok(vec![]));
    assert_eq!(events(&client), RESET);
    assert_eq!(take_error(&client), libc::EPIPE);
    assert_eq!(events(&client), RESET & !ERR);
    assert_eq!(send(&client, b"x", 0), Err(Errno::EPIPE));
    assert!(!has_peer(&client));
    assert_eq!(shutdown(&client, libc::SHUT_WR), Err(Errno::ENOTCONN));
}

fn reset_by_unread_bytes() {
    let (client, server) = descriptors();
    send(&client, b"unread", 0).expect("send");
    thread::sleep(Duration::from_millis(20));
    drop(server);
    assert_eq!(events(&client), RESET);
    assert_eq!(receive(&client, 1, 0), Err(Errno::ECONNRESET));
    assert_eq!(events(&client), RESET & !ERR);
    assert_eq!(receive(&client, 1, 0), Ok(vec![]));
    assert_eq!(send(&client, b"x", 0), Err(Errno::EPIPE));
}

/// The first send after the other end has closed takes what the buffers hold, not all there is; the second fails.
fn send_much_to_closed() {
    let (client, server) = descriptors();
    drop(server);
    let bytes = vec![0; 64 << 20];
    let first = send(&client, &bytes, 0).expect("send") as usize;
    assert!((1..bytes.len()).contains(&first), "{first}");
    let broken = [Err(Errno::EPIPE), Err(Errno::ECONNRESET)];
    assert!(broken.contains(&send(&client, b"x", 0)));
}

fn reset_by_linger() {
    let (client, server) = descriptors();
    set(&server, libc::SOL_SOCKET, libc::SO_LINGER, [1, 0]).expect("SO_LINGER");
    drop(server);
    assert_eq!(events(&client), RESET);
    assert_eq!(send(&client, b"x", 0), Err(Errno::ECONNRESET));
    assert_eq!(send(&client, b"x", 0), Err(Errno::EPIPE));
    assert_eq!(receive(&client, 1, 0), Ok(vec![]));
}

/// What came before the reset is read before it is told.
fn reset_keeps_what_came() {
    let (client, server) = descriptors();
    set(&server, libc::SOL_SOCKET, libc::SO_LINGER, [1, 0]).expect("SO_LINGER");
    send(&server, b"data", 0).expect("send");
    drop(server);
    assert_eq!(events(&client), RESET);
    assert_eq!(receive(&client, 9, 0), Ok(b"data".to_vec()));
    assert_eq!(receive(&client, 9, 0), Err(Errno::ECONNRESET));
    assert_eq!(receive(&client, 9, 0), Ok(vec![]));
}

/// Even of what did not change: who waits for room alone hears of the end.
fn state_changes_are_edges() {
    let (epoll, (client, server)) = (Fd::epoll(), descriptors());
    epoll.add(&client, OUT | libc::EPOLLET as u32);
    assert_eq!(next(&epoll), OUT);
    assert_eq!(epoll.events(), 0);
    send(&server, b"x", 0).expect("send");
    thread::sleep(Duration::from_millis(20));
    assert_eq!(epoll.events(), 0);
    shutdown(&server, libc::SHUT_WR).expect("shutdown");
    assert_eq!(next(&epoll), OUT);
}

const SIOCATMARK: u64 = 0x8905;

fn urgent_byte() {
    let (client, server) = descriptors();
    assert_eq!(receive(&client, 1, libc::MSG_OOB), Err(Errno::EINVAL));
    send(&server, b"abc", 0).expect("send");
    send(&server, b"d", libc::MSG_OOB).expect("send");
    assert_eq!(events(&client), IN | PRI | OUT);
    assert_eq!((query(&client, SIOCATMARK), query(&client, libc::FIONREAD)), (0, 3));
    // Reading stops at it.
    assert_eq!(receive(&client, 9, 0), Ok(b"abc".to_vec()));
    assert_eq!((query(&client, SIOCATMARK), events(&client)), (1, PRI | OUT));
    assert_eq!(receive(&client, 9, libc::MSG_OOB | libc::MSG_PEEK), Ok(b"d".to_vec()));
    assert_eq!(receive(&client, 9, libc::MSG_OOB), Ok(b"d".to_vec()));
    assert_eq!(events(&client), OUT);
    assert_eq!(receive(&client, 1, libc::MSG_OOB), Err(Errno::EINVAL));
    assert_eq!(receive(&client, 1, 0), Err(Errno::EAGAIN));
    send(&server, b"ef", 0).expect("send");
    thread::sleep(Duration::from_millis(20));
    assert_eq!(receive(&client, 9, 0), Ok(b"ef".to_vec()));
}

fn urgent_byte_inline() {
    let (client, server) = descriptors();
    set(&client, libc::SOL_SOCKET, libc::SO_OOBINLINE, 1).expect("SO_OOBINLINE");
    send(&server, b"abc", libc::MSG_OOB).expect("send");
    send(&server, b"d", 0).expect("send");
    assert_eq!(events(&client), IN | PRI | OUT);
    assert_eq!(receive(&client, 1, libc::MSG_OOB), Err(Errno::EINVAL));
    assert_eq!(receive(&client, 9, 0), Ok(b"ab".to_vec()));
    assert_eq!((query(&client, SIOCATMARK), events(&client)), (1, IN | PRI | OUT));
    assert_eq!(receive(&client, 9, 0), Ok(b"cd".to_vec()));
    assert_eq!(events(&client), OUT);
}

/// Read past, it is lost; so is one that is followed by another before it was read.
fn urgent_byte_passed_over() {
    let (client, server) = descriptors();
    send(&server, b"ab", libc::MSG_OOB).expect("send");
    send(&server, b"cd", 0).expect("send");
    thread::sleep(Duration::from_millis(20));
    assert_eq!(receive(&client, 9, libc::MSG_PEEK), Ok(b"a".to_vec()));
    assert_eq!(receive(&client, 9, 0), Ok(b"a".to_vec()));
    assert_eq!((query(&client, libc::FIONREAD), events(&client)), (0, IN | PRI | OUT));
    assert_eq!(receive(&client, 9, 0), Ok(b"cd".to_vec()));
    assert_eq!(receive(&client, 1, libc::MSG_OOB), Err(Errno::EINVAL));
    let (client, server) = descriptors();
    for byte in [b"a", b"b"] {
        send(&server, byte, libc::MSG_OOB).expect("send");
        thread::sleep(Duration::from_millis(20));
    }
    send(&server, b"c", 0).expect("send");
    thread::sleep(Duration::from_millis(20));
    assert_eq!(receive(&client, 9, 0), Ok(b"c".to_vec()));
    assert_eq!(receive(&client, 9, 0), Err(Errno::EAGAIN));
}

/// SO_RCVLOWAT.
fn low_water_mark() {
    let (client, server) = descriptors();
    assert_eq!(get(&client, libc::SOL_SOCKET, libc::SO_RCVLOWAT), Ok(1));
    set(&client, libc::SOL_SOCKET, libc::SO_RCVLOWAT, 4).expect("SO_RCVLOWAT");
    send(&server, b"abc", 0).expect("send");
    assert_eq!(events(&client), OUT);
    send(&server, b"d", 0).expect("send");
    assert_eq!(events(&client), IN | OUT);
    assert_eq!(receive(&client, 2, 0), Ok(b"ab".to_vec()));
    assert_eq!(events(&client), OUT);
    // Who does not wait gets what there is; who waits waits for enough.
    assert_eq!(receive(&client, 9, 0), Ok(b"cd".to_vec()));
    // SAFETY: numbers in, a number out.
    checked(unsafe { libc::fcntl(client.0, libc::F_SETFL, 0) }).expect("F_SETFL");
    let reader = thread::spawn(move || receive(&client, 9, 0));
    thread::sleep(Duration::from_millis(30));
    assert!(!reader.is_finished());
    send(&server, b"efgh", 0).expect("send");
    assert_eq!(reader.join().expect("thread"), Ok(b"efgh".to_vec()));
}

fn connect_in_steps() {
    let (listener, address) = listener();
    let client = fresh();
    assert_eq!(events(&client), OUT | HUP);
    assert_eq!(connect(&client, address), Err(Errno::EINPROGRESS));
    assert_eq!(events(&client), OUT);
    assert_eq!(connect(&client, address), Ok(0));
    assert_eq!(connect(&client, address), Err(Errno::EISCONN));
    // SAFETY: numbers in, a number out.
    assert_eq!(checked(unsafe { libc::listen(client.0, 1) }), Err(Errno::EINVAL));
    listener.accept().expect("accept");
}

fn connect_refused_in_steps() {
    let (client, address) = (fresh(), nobody());
    for _ in 0..2 {
        assert_eq!(connect(&client, address), Err(Errno::EINPROGRESS));
        assert_eq!(events(&client), RESET);
        assert_eq!(connect(&client, address), Err(Errno::ECONNREFUSED));
        assert_eq!(events(&client), OUT | HUP);
    }
    assert_eq!(connect(&client, address), Err(Errno::EINPROGRESS));
    thread::sleep(Duration::from_millis(20));
    assert_eq!(take_error(&client), libc::ECONNREFUSED);
    assert_eq!(events(&client), RESET & !ERR);
    assert_eq!(connect(&client, address), Err(Errno::ECONNABORTED));
    assert_eq!(events(&client), OUT | HUP);
}

fn connect_refused_without_asking() {
    let client = fresh();
    assert_eq!(connect(&client, nobody()), Err(Errno::EINPROGRESS));
    thread::sleep(Duration::from_millis(20));
    assert!(!has_peer(&client));
    assert_eq!(receive(&client, 1, 0), Err(Errno::ECONNREFUSED));
    assert_eq!(receive(&client, 1, 0), Ok(vec![]));
    assert_eq!(send(&client, b"x", 0), Err(Errno::EPIPE));
}

fn not_connected() {
    let socket = fresh();
    assert_eq!(receive(&socket, 1, 0), Err(Errno::ENOTCONN));
    assert_eq!(send(&socket, b"x", 0), Err(Errno::EPIPE));
    assert_eq!(shutdown(&socket, libc::SHUT_RDWR), Err(Errno::ENOTCONN));
    let none = std::ptr::null_mut();
    // SAFETY: null pointers say that no address is wanted.
    let accepted = unsafe { libc::accept(socket.0, none, std::ptr::null_mut()) };
    assert_eq!(checked(accepted), Err(Errno::EINVAL));
    let (listener, address) = listener();
    let listener = Fd(listener.into_raw_fd());
    assert_eq!(events(&listener), 0);
    assert_eq!(receive(&listener, 1, 0), Err(Errno::ENOTCONN));
    assert_eq!(send(&listener, b"x", 0), Err(Errno::EPIPE));
    assert_eq!(connect(&listener, address), Err(Errno::EISCONN));
}

/// A listener whose queue has room for two, and clients: two connected, the others still connecting.
fn crowd() -> (Fd, SocketAddr, Vec<Fd>) {
    let (listener, address) = listener();
    let listener = Fd(listener.into_raw_fd());
    // SAFETY: numbers in, a number out.
    checked(unsafe { libc::listen(listener.0, 1) }).expect("listen");
    let clients: Vec<Fd> = (0..4).map(|_| fresh()).collect();
    for client in &clients {
        assert_eq!(connect(client, address), Err(Errno::EINPROGRESS));
    }
    (listener, address, clients)
}

fn full_backlog() {
    let (listener, address, clients) = crowd();
    let states: Vec<u32> = clients.iter().map(events).collect();
    assert_eq!(states, [OUT, OUT, 0, 0]);
    assert_eq!(connect(&clients[3], address), Err(Errno::EALREADY));
    assert_eq!(receive(&clients[3], 1, 0), Err(Errno::EAGAIN));
    assert_eq!(send(&clients[3], b"x", 0), Err(Errno::EAGAIN));
    assert_eq!(events(&listener), IN);
    // Who gives up is not connected any more.
    shutdown(&clients[3], libc::SHUT_WR).expect("shutdown");
    assert_eq!(events(&clients[3]), OUT | ERR | HUP);
    assert_eq!(take_error(&clients[3]), libc::ECONNRESET);
    let none = std::ptr::null_mut();
    // SAFETY: null pointers say that no address is wanted.
    let accepted = Fd(checked(unsafe { libc::accept(listener.0, none, std::ptr::null_mut()) }).expect("accept"));
    // On Linux it asks again after a second, and then after two more.
    let epoll = Fd::epoll();
    epoll.add(&clients[2], OUT);
    assert_eq!(epoll.wait(8000, 1).expect("epoll_wait").len(), 1);
    send(&clients[0], b"first", 0).expect("send");
    // SAFETY: as above.
    let blocking = checked(unsafe { libc::fcntl(accepted.0, libc::F_SETFL, 0) });
    blocking.expect("F_SETFL");
    assert_eq!(receive(&accepted, 9, 0), Ok(b"first".to_vec()));
}

fn listener_shut_down() {
    let (listener, _, clients) = crowd();
    assert_eq!(shutdown(&listener, libc::SHUT_WR), Ok(0));
    assert_eq!(events(&listener), IN);
    assert_eq!(shutdown(&listener, libc::SHUT_RD), Ok(0));
    assert_eq!(events(&listener), OUT | HUP);
    assert_eq!(events(&clients[0]), RESET);
    assert_eq!(receive(&clients[0], 1, 0), Err(Errno::ECONNRESET));
}

fn listener_closed() {
    let (listener, _, clients) = crowd();
    drop(listener);
    for client in &clients[..2] {
        assert_eq!(events(client), RESET);
        assert_eq!(take_error(client), libc::ECONNRESET);
    }
    // On Linux it hears of it when it asks again.
    let epoll = Fd::epoll();
    epoll.add(&clients[2], 0);
    assert_eq!(epoll.wait(8000, 1).expect("epoll_wait").len(), 1);
    assert_eq!(take_error(&clients[2]), libc::ECONNREFUSED);
}

/// A client that is closed while it waits for room leaves nothing behind.
fn given_up_while_waiting() {
    let (listener, address, mut clients) = crowd();
    drop(clients.split_off(2));
    for _ in 0..2000 {
        let client = fresh();
        assert_eq!(connect(&client, address), Err(Errno::EINPROGRESS));
    }
    drop((clients, listener));
    // Those were the only ones at the port.
    TcpListener::bind(address).expect("bind");
}

/// connect(2) to AF_UNSPEC ends a connection, and lets make another.
fn dissolved() {
    let (client, server) = descriptors();
    let nothing = [0u64; 2];
    // SAFETY: all zeroes are a socket address, of the family AF_UNSPEC.
    checked(unsafe { libc::connect(client.0, nothing.as_ptr().cast(), 16) }).expect("connect");
    // Linux sometimes tells the end to the one who made it, too.
    assert_eq!(events(&client) & !ERR, OUT | HUP);
    assert_eq!(events(&server), RESET);
    let (listener, address) = listener();
    assert_eq!(connect(&client, address), Err(Errno::EINPROGRESS));
    listener.accept().expect("accept");
}

fn option_values() {
    let (client, _server) = descriptors();
    let kept = [
        (libc::TCP_NODELAY, 0, 1),
        (libc::TCP_CORK, 0, 1),
        (libc::TCP_KEEPIDLE, 7200, 60),
        (libc::TCP_KEEPINTVL, 75, 5),
        (libc::TCP_KEEPCNT, 9, 3),
        (libc::TCP_SYNCNT, 6, 2),
        (libc::TCP_USER_TIMEOUT, 0, 3000),
        (libc::TCP_QUICKACK, 1, 0),
    ];
    for (name, at_first, value) in kept {
        assert_eq!(get(&client, libc::SOL_TCP, name), Ok(at_first), "{name}");
        set(&client, libc::SOL_TCP, name, value).expect("setsockopt");
        assert_eq!(get(&client, libc::SOL_TCP, name), Ok(value), "{name}");
    }
    for (name, value) in [
        (libc::TCP_KEEPIDLE, 0),
        (libc::TCP_KEEPIDLE, 32768),
        (libc::TCP_KEEPINTVL, 0),
        (libc::TCP_KEEPCNT, 128),
        (libc::TCP_SYNCNT, 128),
        (libc::TCP_USER_TIMEOUT, -1),
    ] {
        assert_eq!(set(&client, libc::SOL_TCP, name, value), Err(Errno::EINVAL), "{name}");
    }
    assert_eq!(set(&client, libc::SOL_TCP, 999, 1), Err(Errno::ENOPROTOOPT));
    assert_eq!(set(&client, libc::SOL_TCP, libc::TCP_NODELAY, 1u8), Err(Errno::EINVAL));
    assert_eq!(
        set(&client, libc::SOL_TCP, libc::TCP_CONGESTION, *b"no such"),
        Err(Errno::ENOENT)
    );
    set(&client, libc::SOL_SOCKET, libc::SO_RCVLOWAT, 0).expect("SO_RCVLOWAT");
    assert_eq!(get(&client, libc::SOL_SOCKET, libc::SO_RCVLOWAT), Ok(1));
}

/// TCP_INFO says the state.
fn information() {
    let state = |socket: &Fd| {
        let (mut info, mut len) = ([0u8; 512], 512);
        // SAFETY: there is room for so many bytes.
        let result = unsafe {
            libc::getsockopt(
                socket.0,
                libc::SOL_TCP,
                libc::TCP_INFO,
                info.as_mut_ptr().cast(),
                &mut len,
            )
        };
        assert!(result == 0 && len >= 104, "{len}");
        info[0]
    };
    let (client, server) = descriptors();
    assert_eq!((state(&client), state(&fresh())), (1, 7));
    shutdown(&server, libc::SHUT_WR).expect("shutdown");
    thread::sleep(Duration::from_millis(60));
    assert_eq!((state(&client), state(&server)), (8, 5));
    let listener = Fd(listener().0.into_raw_fd());
    assert_eq!(state(&listener), 10);
}

/// An IPv6 listener takes IPv4 connections, and shows their ends as mapped addresses.
fn mapped_addresses() {
    let listener = TcpListener::bind("[::]:0").expect("bind");
    let port = listener.local_addr().expect("getsockname").port();
    let client = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    let (server, from) = listener.accept().expect("accept");
    let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
    assert_eq!(
        from,
        SocketAddr::from((mapped, client.local_addr().expect("getsockname").port()))
    );
    assert_eq!(
        server.local_addr().expect("getsockname"),
        SocketAddr::from((mapped, port))
    );
    let back = TcpStream::connect((mapped, port)).expect("connect");
    assert_eq!(back.local_addr().expect("getsockname").ip(), mapped);
    // The port is taken for IPv4 too.
    let taken = TcpListener::bind(("127.0.0.1", port)).expect_err("EADDRINUSE");
    assert_eq!(taken.kind(), ErrorKind::AddrInUse);
}

fn ipv6() {
    let listener = TcpListener::bind("[::1]:0").expect("bind");
    let address = listener.local_addr().expect("getsockname");
    let client = TcpStream::connect(address).expect("connect");
    let (_server, from) = listener.accept().expect("accept");
    assert_eq!(from, client.local_addr().expect("getsockname"));
    assert_eq!(from.ip(), Ipv6Addr::LOCALHOST);
    // The same port of IPv4 is another one.
    assert_eq!(
        TcpStream::connect(("127.0.0.1", address.port()))
            .expect_err("ECONNREFUSED")
            .kind(),
        ErrorKind::ConnectionRefused
    );
    TcpListener::bind(("127.0.0.1", address.port())).expect("bind");
}

/// A bound socket with an option.
fn bound_with(option: i32, at: SocketAddr) -> Result<Fd, Errno> {
    let socket = fresh();
    set(&socket, libc::SOL_SOCKET, option, 1).expect("setsockopt");
    let SocketAddr::V4(at) = at else {
        panic!("an IPv4 address")
    };
    let name = libc::sockaddr_in {
        sin_family: libc::AF_INET as _,
        sin_port: at.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from(*at.ip()).to_be(),
        },
        sin_zero: [0; 8],
    };
    // SAFETY: the name is readable for its length.
    checked(unsafe { libc::bind(socket.0, (&raw const name).cast(), size_of_val(&name) as u32) })?;
    Ok(socket)
}

fn local_address(socket: &Fd) -> SocketAddr {
    // SAFETY: all zeroes are a socket address; there is room for one of IPv4.
    let (mut name, mut len): (libc::sockaddr_in, u32) = (unsafe { std::mem::zeroed() }, 16);
    // SAFETY: as above.
    checked(unsafe { libc::getsockname(socket.0, (&raw mut name).cast(), &mut len) }).expect("getsockname");
    SocketAddr::from((
        Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr)),
        u16::from_be(name.sin_port),
    ))
}

/// SO_REUSEADDR lets two be bound, but one listen.
fn listening_twice() {
    let first = bound_with(libc::SO_REUSEADDR, "127.0.0.1:0".parse().expect("address")).expect("bind");
    let address = local_address(&first);
    let second = bound_with(libc::SO_REUSEADDR, address).expect("bind");
    // SAFETY: numbers in, a number out.
    let listen = |socket: &Fd| checked(unsafe { libc::listen(socket.0, 5) });
    assert_eq!(listen(&first), Ok(0));
    assert_eq!(listen(&second), Err(Errno::EADDRINUSE));
    assert_eq!(
        bound_with(libc::SO_REUSEADDR, address).map(drop),
        Err(Errno::EADDRINUSE)
    );
    drop(first);
    assert_eq!(listen(&second), Ok(0));
}

fn reuse_port_spreads() {
    let first = bound_with(libc::SO_REUSEPORT, "127.0.0.1:0".parse().expect("address")).expect("bind");
    let address = local_address(&first);
    let second = bound_with(libc::SO_REUSEPORT, address).expect("bind");
    let sockets = [first, second];
    for socket in &sockets {
        // SAFETY: numbers in, a number out.
        checked(unsafe { libc::listen(socket.0, 128) }).expect("listen");
    }
    let clients: Vec<TcpStream> = (0..64).map(|_| TcpStream::connect(address).expect("connect")).collect();
    let mut total = 0;
    for socket in &sockets {
        let mut count = 0;
        let none = std::ptr::null_mut();
        // SAFETY: null pointers say that no address is wanted.
        while let Ok(accepted) = checked(unsafe { libc::accept(socket.0, none, std::ptr::null_mut()) }) {
            drop(Fd(accepted));
            count += 1;
        }
        assert!(count > 0);
        total += count;
    }
    assert_eq!(total, clients.len());
}

/// A port stays taken while a connection that was accepted there lives.
fn accepted_keep_the_port() {
    let (listener, address) = listener();
    let _client = TcpStream::connect(address).expect("connect");
    let server = listener.accept().expect("accept").0;
    drop(listener);
    let plain = |at| {
        let socket = bound_with(libc::SO_KEEPALIVE, at)?;
        // SAFETY: numbers in, a number out.
        checked(unsafe { libc::listen(socket.0, 1) })
    };
    assert_eq!(plain(address), Err(Errno::EADDRINUSE));
    // One who listens again with SO_REUSEADDR, as servers do, may have it.
    TcpListener::bind(address).expect("bind");
    drop(server);
}

fn bad_pointers() {
    let (client, server) = descriptors();
    let nowhere = 8 as *mut libc::c_void;
    // SAFETY: the kernel says EFAULT to addresses that are not there.
    unsafe {
        assert_eq!(checked(libc::send(client.0, nowhere, 4, 0)), Err(Errno::EFAULT));
        send(&client, b"good", 0).expect("send");
        thread::sleep(Duration::from_millis(20));
        assert_eq!(checked(libc::recv(server.0, nowhere, 4, 0)), Err(Errno::EFAULT));
    }
    assert_eq!(receive(&server, 9, 0), Ok(b"good".to_vec()));
}
