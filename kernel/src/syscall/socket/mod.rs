//! Sockets: this file makes, names and joins them; [`message`] sends and receives, [`option`] has the options.

mod control;
mod message;
mod option;

use super::Call;
use super::descriptor::install;
use super::table::{Line, line};
use crate::file::OpenFile;
use crate::mm::user;
use crate::net;
use crate::net::address::{self, Address, Inet, Ip};
use crate::net::protocol::Protocol;
use crate::net::socket::Socket;
use alloc::sync::Arc;
use libsyscall::abi::fcntl::{O_NONBLOCK, O_RDWR};
use libsyscall::abi::socket::*;
use libsyscall::abi::{Errno, nr};

pub const CALLS: &[Line] = &[
    line(nr::SOCKET, socket),
    line(nr::SOCKETPAIR, socketpair),
    line(nr::BIND, bind),
    line(nr::LISTEN, listen),
    line(nr::CONNECT, connect),
    line(nr::ACCEPT, accept),
    line(nr::ACCEPT4, accept4),
    line(nr::GETSOCKNAME, getsockname),
    line(nr::GETPEERNAME, getpeername),
    line(nr::SHUTDOWN, shutdown),
    line(nr::SENDTO, message::sendto),
    line(nr::RECVFROM, message::recvfrom),
    line(nr::SENDMSG, message::sendmsg),
    line(nr::RECVMSG, message::recvmsg),
    line(nr::SENDMMSG, message::sendmmsg),
    line(nr::RECVMMSG, message::recvmmsg),
    line(nr::SETSOCKOPT, option::setsockopt),
    line(nr::GETSOCKOPT, option::getsockopt),
];

/// The file of a new socket, by the flags of socket(2) or accept4(2).
fn install_socket(call: &Call, protocol: Arc<dyn Protocol>, flags: u32) -> Result<usize, Errno> {
    let socket = Arc::new(Socket(protocol.into()));
    install(
        call,
        OpenFile::new(socket, O_RDWR | flags & O_NONBLOCK),
        flags & SOCK_CLOEXEC != 0,
    )
}

/// SOCK_PACKET, the last type there is.
const SOCK_TYPE_LAST: u32 = 10;

/// A type argument's kind: EINVAL for unknown flags and numbers that are none.
fn kind(call: &Call) -> Result<u32, Errno> {
    let kind = call.uint(1);
    if kind & !(SOCK_TYPE_MASK | SOCK_NONBLOCK | SOCK_CLOEXEC) != 0 {
        return Err(Errno::EINVAL);
    }
    if kind & SOCK_TYPE_MASK > SOCK_TYPE_LAST {
        return Err(Errno::EINVAL);
    }
    Ok(kind & SOCK_TYPE_MASK)
}

fn socket(call: &mut Call) -> Result<usize, Errno> {
    let protocol = net::create(call.int(0), kind(call)?, call.int(2))?;
    install_socket(call, protocol, call.uint(1))
}

fn socketpair(call: &mut Call) -> Result<(), Errno> {
    let [first, second] = net::create_pair(call.int(0), kind(call)?, call.int(2))?;
    let first = install_socket(call, first, call.uint(1))? as i32;
    let files = call.thread().files();
    let pair = install_socket(call, second, call.uint(1)).map(|second| [first, second as i32]);
    let pair = pair.inspect_err(|_| drop(files.close(first)))?;
    user::write(call.arg(3), &pair).inspect_err(|_| {
        for fd in pair {
            drop(files.close(fd));
        }
    })?;
    Ok(())
}

/// The open file of descriptor argument 0: EBADF, ENOTSOCK.
fn socket_file(call: &Call) -> Result<Arc<OpenFile>, Errno> {
    let open = call.file(0)?;
    if open.downcast::<Socket>().is_some() {
        Ok(open)
    } else {
        Err(Errno::ENOTSOCK)
    }
}

fn socket_of(open: &OpenFile) -> &Socket {
    open.downcast().expect("checked by `socket_file`")
}

/// An address for a socket of this domain: EAFNOSUPPORT (EINVAL for AF_UNIX and AF_NETLINK) for another's.
fn address_for(domain: u16, at: usize, len: usize) -> Result<Address, Errno> {
    let address = address::read(at, len)?;
    let fits = match &address {
        Address::Unix(_) => domain == AF_UNIX,
        Address::Netlink(_) => domain == AF_NETLINK,
        Address::Inet(Inet { ip: Ip::V6(_), .. }) => domain == AF_INET6,
        Address::Inet(_) => matches!(domain, AF_INET | AF_INET6),
        Address::Unspecified => true,
    };
    match (fits, domain) {
        (true, _) => Ok(address),
        (false, AF_UNIX | AF_NETLINK) => Err(Errno::EINVAL),
        (false, _) => Err(Errno::EAFNOSUPPORT),
    }
}

/// The address in arguments 1 and 2.
fn address_argument(call: &Call, socket: &Socket) -> Result<Address, Errno> {
    address_for(socket.0.common().domain, call.arg(1), call.uint(2) as usize)
}

fn bind(call: &mut Call) -> Result<(), Errno> {
    let open = socket_file(call)?;
    let socket = socket_of(&open);
    let is_short = (call.uint(2) as usize) < SOCKADDR_IN6_MIN;
    if socket.0.common().domain == AF_INET6 && is_short {
        return Err(Errno::EINVAL);
    }
    socket.0.share().bind(&address_argument(call, socket)?)
}

fn listen(call: &mut Call) -> Result<(), Errno> {
    let open = socket_file(call)?;
    // A negative backlog is a large one.
    let backlog = (call.uint(1) as usize).min(SOMAXCONN);
    socket_of(&open).0.share().listen(backlog)
}

fn connect(call: &mut Call) -> Result<(), Errno> {
    let open = socket_file(call)?;
    let socket = socket_of(&open);
    let to = address_argument(call, socket)?;
    socket.0.share().connect(&to, open.nonblocking())
}

fn accept_with(call: &Call, flags: u32) -> Result<usize, Errno> {
    if flags & !(SOCK_NONBLOCK | SOCK_CLOEXEC) != 0 {
        return Err(Errno::EINVAL);
    }
    let open = socket_file(call)?;
    // A connection that gets no descriptor stays in the queue.
    let thread = call.thread();
    thread.files().check_room(thread.process.file_limit())?;
    let accepted = socket_of(&open).accept(open.nonblocking())?;
    let (peer, domain) = (accepted.peer_address(), accepted.common().domain);
    let fd = install_socket(call, accepted, flags)?;
    if call.arg(1) != 0
        && let Err(error) = address::write(&peer?, domain, call.arg(1), call.arg(2))
    {
        drop(call.thread().files().close(fd as i32));
        return Err(error);
    }
    Ok(fd)
}

fn accept(call: &mut Call) -> Result<usize, Errno> {
    accept_with(call, 0)
}

fn accept4(call: &mut Call) -> Result<usize, Errno> {
    accept_with(call, call.uint(3))
}

fn getsockname(call: &mut Call) -> Result<(), Errno> {
    let open = socket_file(call)?;
    let protocol = &socket_of(&open).0;
    let domain = protocol.common().domain;
    address::write(&protocol.local_address(), domain, call.arg(1), call.arg(2))
}

fn getpeername(call: &mut Call) -> Result<(), Errno> {
    let open = socket_file(call)?;
    let protocol = &socket_of(&open).0;
    let domain = protocol.common().domain;
    address::write(&protocol.peer_address()?, domain, call.arg(1), call.arg(2))
}

fn shutdown(call: &mut Call) -> Result<(), Errno> {
    let open = socket_file(call)?;
    let (read, write) = match call.int(1) {
        SHUT_RD => (true, false),
        SHUT_WR => (false, true),
        SHUT_RDWR => (true, true),
        _ => return Err(Errno::EINVAL),
    };
    socket_of(&open).0.shut_down(read, write)
}
