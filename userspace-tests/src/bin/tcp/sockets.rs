//! The sockets that the tests begin with, and the calls they make of them.

use libsyscall::abi::Errno;
use libsyscall::abi::event::{
    EPOLLERR as ERR, EPOLLHUP as HUP, EPOLLIN as IN, EPOLLOUT as OUT, EPOLLPRI as PRI, EPOLLRDHUP as RDHUP,
};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::IntoRawFd;
use std::thread;
use std::time::Duration;
use userspace_tests::option::{get, set};
use userspace_tests::{Fd, checked};

/// A connected pair over a fresh listener.
pub fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let client = TcpStream::connect(listener.local_addr().expect("getsockname")).expect("connect");
    (client, listener.accept().expect("accept").0)
}

/// The pair as non-blocking descriptors for epoll.
pub fn descriptors() -> (Fd, Fd) {
    let (client, server) = pair();
    client.set_nonblocking(true).expect("FIONBIO");
    server.set_nonblocking(true).expect("FIONBIO");
    (Fd(client.into_raw_fd()), Fd(server.into_raw_fd()))
}

/// The events of the next wait.
pub fn next(epoll: &Fd) -> u32 {
    epoll
        .wait(2000, 1)
        .expect("epoll_wait")
        .first()
        .map_or(0, |&(_, events)| events)
}

pub const RESET: u32 = IN | OUT | ERR | HUP | RDHUP;

/// What a socket reports, once the peer's packets have had the time to arrive.
pub fn events(socket: &Fd) -> u32 {
    thread::sleep(Duration::from_millis(20));
    let epoll = Fd::epoll();
    epoll.add(socket, IN | OUT | PRI | RDHUP);
    epoll.events()
}

pub fn shutdown(socket: &Fd, how: i32) -> Result<i32, Errno> {
    // SAFETY: numbers in, a number out.
    checked(unsafe { libc::shutdown(socket.0, how) })
}

pub fn send(socket: &Fd, bytes: &[u8], flags: i32) -> Result<isize, Errno> {
    let flags = flags | libc::MSG_NOSIGNAL;
    // SAFETY: the bytes are readable.
    checked(unsafe { libc::send(socket.0, bytes.as_ptr().cast(), bytes.len(), flags) })
}

pub fn receive(socket: &Fd, room: usize, flags: i32) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; room];
    // SAFETY: the buffer is writable.
    let count = checked(unsafe { libc::recv(socket.0, bytes.as_mut_ptr().cast(), room, flags) })?;
    bytes.truncate(count as usize);
    Ok(bytes)
}

pub fn take_error(socket: &Fd) -> i32 {
    get(socket, libc::SOL_SOCKET, libc::SO_ERROR).expect("SO_ERROR")
}

pub fn query(socket: &Fd, request: u64) -> i32 {
    let mut value = 0;
    // SAFETY: the kernel writes one int.
    checked(unsafe { libc::ioctl(socket.0, request as _, &mut value) }).expect("ioctl");
    value
}

pub fn has_peer(socket: &Fd) -> bool {
    let (mut name, mut len) = ([0u64; 16], 128);
    // SAFETY: there is room for any socket address.
    unsafe { libc::getpeername(socket.0, name.as_mut_ptr().cast(), &mut len) == 0 }
}

/// A non-blocking socket without a name.
pub fn fresh() -> Fd {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: numbers in, a descriptor out.
    Fd(checked(unsafe { libc::socket(libc::AF_INET, kind, 0) }).expect("socket"))
}

pub fn connect(socket: &Fd, to: SocketAddr) -> Result<i32, Errno> {
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
pub fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("getsockname");
    (listener, address)
}

/// An address nobody listens at.
pub fn nobody() -> SocketAddr {
    listener().1
}

pub const SIOCATMARK: u64 = 0x8905;

/// A bound socket with an option.
pub fn bound_with(option: i32, at: SocketAddr) -> Result<Fd, Errno> {
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

pub fn local_address(socket: &Fd) -> SocketAddr {
    // SAFETY: all zeroes are a socket address; there is room for one of IPv4.
    let (mut name, mut len): (libc::sockaddr_in, u32) = (unsafe { std::mem::zeroed() }, 16);
    // SAFETY: as above.
    checked(unsafe { libc::getsockname(socket.0, (&raw mut name).cast(), &mut len) }).expect("getsockname");
    SocketAddr::from((
        Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr)),
        u16::from_be(name.sin_port),
    ))
}
