//! The sockets that the tests begin with, and the calls they make of them.

use libsyscall::abi::Errno;
use std::mem::{size_of, zeroed};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};
use userspace_tests::option::{get, set};
use userspace_tests::{Fd, checked};

pub const LOCALHOST: &str = "127.0.0.1:0";

pub fn bound() -> UdpSocket {
    UdpSocket::bind(LOCALHOST).expect("bind")
}

pub fn address(socket: &UdpSocket) -> SocketAddr {
    socket.local_addr().expect("getsockname")
}

/// A port nobody is at.
pub fn nobody() -> SocketAddr {
    address(&bound())
}

pub fn pair() -> (UdpSocket, UdpSocket) {
    let (one, other) = (bound(), bound());
    one.connect(address(&other)).expect("connect");
    other.connect(address(&one)).expect("connect");
    (one, other)
}

/// A socket without a name.
pub fn fresh(domain: i32) -> UdpSocket {
    // SAFETY: numbers in, a descriptor out, which is then this socket's alone.
    unsafe { UdpSocket::from_raw_fd(checked(libc::socket(domain, libc::SOCK_DGRAM, 0)).expect("socket")) }
}

pub fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// The socket's own error, without the queue of errors.
pub fn take_error(socket: &UdpSocket) -> i32 {
    get(socket, libc::SOL_SOCKET, libc::SO_ERROR).expect("SO_ERROR")
}

pub fn watched(socket: UdpSocket, events: u32) -> (Fd, Fd) {
    socket.set_nonblocking(true).expect("FIONBIO");
    let (epoll, socket) = (Fd::epoll(), Fd(socket.into_raw_fd()));
    epoll.add(&socket, events);
    (epoll, socket)
}

/// The events of the next wait.
pub fn next(epoll: &Fd) -> u32 {
    let ready = epoll.wait(2000, 1).expect("epoll_wait");
    ready.first().map_or(0, |&(_, events)| events)
}

/// A bound socket that shares its port by `option`.
pub fn sharing(option: i32, at: SocketAddr) -> UdpSocket {
    let socket = fresh(if at.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 });
    set(&socket, libc::SOL_SOCKET, option, 1).expect("setsockopt");
    bind_to(&socket, at).expect("bind");
    socket
}

pub fn bind_to(socket: &UdpSocket, at: SocketAddr) -> Result<(), Errno> {
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
