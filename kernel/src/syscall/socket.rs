//! Sockets.

use super::descriptor::install;
use super::table::Line;
use super::time::timeval;
use super::{Call, tree};
use crate::file::OpenFile;
use crate::fs::walk;
use crate::mm::user::{self, Sink, Source};
use crate::net::address::{self, Address, Inet, Ip};
use crate::net::names::{self, UnixKey};
use crate::net::socket::Socket;
use crate::net::stream::Kind;
use alloc::sync::Arc;
use libsyscall::abi::fcntl::{O_NONBLOCK, O_RDWR};
use libsyscall::abi::socket::*;
use libsyscall::abi::{Errno, nr};

pub const CALLS: &[Line] = &[
    (nr::SOCKET, socket),
    (nr::SOCKETPAIR, socketpair),
    (nr::BIND, bind),
    (nr::LISTEN, listen),
    (nr::CONNECT, connect),
    (nr::ACCEPT, accept),
    (nr::ACCEPT4, accept4),
    (nr::GETSOCKNAME, getsockname),
    (nr::GETPEERNAME, getpeername),
    (nr::SENDTO, sendto),
    (nr::RECVFROM, recvfrom),
    (nr::SENDMSG, sendmsg),
    (nr::RECVMSG, recvmsg),
    (nr::SHUTDOWN, shutdown),
    (nr::SETSOCKOPT, setsockopt),
    (nr::GETSOCKOPT, getsockopt),
];

/// The file of a new socket, by the flags of socket(2) or accept4(2).
fn install_socket(call: &Call, socket: Arc<Socket>, flags: u32) -> Result<usize, Errno> {
    install(
        call,
        OpenFile::new(socket, O_RDWR | flags & O_NONBLOCK),
        flags & SOCK_CLOEXEC != 0,
    )
}

/// What socket(2) may make: EINVAL, EAFNOSUPPORT, ESOCKTNOSUPPORT, EPROTONOSUPPORT.
fn check_kind(domain: i32, kind: u32, protocol: i32) -> Result<(u16, Kind), Errno> {
    if kind & !(SOCK_TYPE_MASK | SOCK_NONBLOCK | SOCK_CLOEXEC) != 0 {
        return Err(Errno::EINVAL);
    }
    let domain = u16::try_from(domain).map_err(|_| Errno::EAFNOSUPPORT)?;
    if !matches!(domain, AF_UNIX | AF_INET | AF_INET6) {
        return Err(Errno::EAFNOSUPPORT);
    }
    let kind = match (kind & SOCK_TYPE_MASK, domain) {
        (SOCK_STREAM, AF_UNIX) => Kind::Unix,
        (SOCK_STREAM, _) => Kind::Tcp,
        (SOCK_SEQPACKET, AF_UNIX) => Kind::UnixPackets,
        _ => return Err(Errno::ESOCKTNOSUPPORT),
    };
    let own = if domain == AF_UNIX {
        i32::from(AF_UNIX)
    } else {
        IPPROTO_TCP
    };
    if protocol != 0 && protocol != own {
        return Err(Errno::EPROTONOSUPPORT);
    }
    Ok((domain, kind))
}

fn socket(call: &mut Call) -> Result<usize, Errno> {
    let (domain, kind) = check_kind(call.int(0), call.uint(1), call.int(2))?;
    install_socket(call, Socket::new(domain, kind), call.uint(1))
}

fn socketpair(call: &mut Call) -> Result<usize, Errno> {
    let (domain, kind) = check_kind(call.int(0), call.uint(1), call.int(2))?;
    if domain != AF_UNIX {
        return Err(Errno::EOPNOTSUPP);
    }
    let [first, second] = Socket::pair(kind);
    let first = install_socket(call, first, call.uint(1))? as i32;
    let files = call.thread.process.files();
    let pair = install_socket(call, second, call.uint(1)).map(|second| [first, second as i32]);
    let pair = pair.inspect_err(|_| drop(files.close(first)))?;
    user::write(call.arg(3), &pair).inspect_err(|_| {
        for fd in pair {
            drop(files.close(fd));
        }
    })?;
    Ok(0)
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

/// An address for a socket of this domain: EAFNOSUPPORT (EINVAL for AF_UNIX) for another's.
fn address_for(socket: &Socket, at: usize, len: u32) -> Result<Address, Errno> {
    let address = address::read(at, len as usize)?;
    let fits = match &address {
        Address::Unix(_) => socket.domain == AF_UNIX,
        Address::Inet(Inet { ip: Ip::V6(_), .. }) => socket.domain == AF_INET6,
        Address::Inet(_) => matches!(socket.domain, AF_INET | AF_INET6),
        Address::Unspecified => true,
    };
    match (fits, socket.domain) {
        (true, _) => Ok(address),
        (false, AF_UNIX) => Err(Errno::EINVAL),
        (false, _) => Err(Errno::EAFNOSUPPORT),
    }
}

/// The key of an AF_UNIX name: for a path, the inode there.
fn unix_key(call: &Call, name: &Arc<[u8]>) -> Result<UnixKey, Errno> {
    if name.first() == Some(&0) {
        return Ok(UnixKey::Abstract(name.clone()));
    }
    let place = walk::resolve(&call.thread.process.cwd(), name, true)?;
    let stat = place.stat();
    Ok(UnixKey::Inode(stat.dev, stat.ino))
}

/// An abstract name of its own for a bind without one: a NUL and five digits.
fn autobind(socket: &Socket) -> Result<(), Errno> {
    for _ in 0..0x10_0000 {
        let digits = alloc::format!("\0{:05x}", crate::random::number() & 0xf_ffff);
        let name: Arc<[u8]> = digits.as_bytes().into();
        match socket.bind_unix(name.clone(), UnixKey::Abstract(name)) {
            Err(Errno::EADDRINUSE) => {}
            result => return result,
        }
    }
    Err(Errno::ENOSPC)
}

fn bind(call: &mut Call) -> Result<usize, Errno> {
    let open = socket_file(call)?;
    let socket = socket_of(&open);
    match address_for(socket, call.arg(1), call.uint(2))? {
        Address::Inet(at) => socket.bind_inet(at)?,
        Address::Unix(name) if name.is_empty() => autobind(socket)?,
        Address::Unix(name) if name[0] == 0 => socket.bind_unix(name.clone(), UnixKey::Abstract(name))?,
        Address::Unix(name) => {
            if socket.local_address() != Address::Unix(Arc::new([])) {
                return Err(Errno::EINVAL);
            }
            tree::make_socket(call, &name).map_err(|error| match error {
                Errno::EEXIST => Errno::EADDRINUSE,
                other => other,
            })?;
            let key = unix_key(call, &name)?;
            socket.bind_unix(name, key)?;
        }
        Address::Unspecified => return Err(Errno::EAFNOSUPPORT),
    }
    Ok(0)
}

fn listen(call: &mut Call) -> Result<usize, Errno> {
    let open = socket_file(call)?;
    // A negative backlog is a large one.
    let backlog = (call.uint(1) as usize).min(SOMAXCONN);
    socket_of(&open).listen(backlog)?;
    Ok(0)
}

fn connect(call: &mut Call) -> Result<usize, Errno> {
    let open = socket_file(call)?;
    let socket = socket_of(&open);
    let to = address_for(socket, call.arg(1), call.uint(2))?;
    let (listener, to) = match to {
        Address::Inet(at) => {
            let at = Inet {
                ip: at.ip.or_loopback(),
                ..at
            };
            if !at.ip.is_local() {
                return Err(Errno::ENETUNREACH);
            }
            (names::listener(at), Address::Inet(at))
        }
        Address::Unix(name) => {
            let listener = names::unix_socket(&unix_key(call, &name)?);
            if listener
                .as_ref()
                .is_some_and(|listener| listener.kind() != socket.kind())
            {
                return Err(Errno::EPROTOTYPE);
            }
            (listener, Address::Unix(name))
        }
        Address::Unspecified => return Err(Errno::EAFNOSUPPORT),
    };
    socket.connect(listener, to, open.nonblocking())?;
    Ok(0)
}

fn accept_with(call: &Call, flags: u32) -> Result<usize, Errno> {
    if flags & !(SOCK_NONBLOCK | SOCK_CLOEXEC) != 0 {
        return Err(Errno::EINVAL);
    }
    let open = socket_file(call)?;
    let accepted = socket_of(&open).accept(open.nonblocking())?;
    let (peer, domain) = (accepted.peer_address(), accepted.domain);
    let fd = install_socket(call, accepted, flags)?;
    if call.arg(1) != 0
        && let Err(error) = address::write(&peer?, domain, call.arg(1), call.arg(2))
    {
        drop(call.thread.process.files().close(fd as i32));
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

fn getsockname(call: &mut Call) -> Result<usize, Errno> {
    let open = socket_file(call)?;
    let socket = socket_of(&open);
    address::write(&socket.local_address(), socket.domain, call.arg(1), call.arg(2))?;
    Ok(0)
}

fn getpeername(call: &mut Call) -> Result<usize, Errno> {
    let open = socket_file(call)?;
    let socket = socket_of(&open);
    address::write(&socket.peer_address()?, socket.domain, call.arg(1), call.arg(2))?;
    Ok(0)
}

fn sendto(call: &mut Call) -> Result<usize, Errno> {
    let open = socket_file(call)?;
    let mut from = Source::user(call.arg(1), call.arg(2))?;
    socket_of(&open).send(&mut from, call.uint(3), open.nonblocking())
}

/// A stream has no addresses to report: the length written is 0.
fn recvfrom(call: &mut Call) -> Result<usize, Errno> {
    let open = socket_file(call)?;
    let mut to = Sink::user(call.arg(1), call.arg(2))?;
    let count = socket_of(&open).receive(&mut to, call.uint(3), open.nonblocking())?;
    if call.arg(4) != 0 && call.arg(5) != 0 {
        user::write(call.arg(5), &0i32)?;
    }
    Ok(count)
}

fn sendmsg(call: &mut Call) -> Result<usize, Errno> {
    let open = socket_file(call)?;
    let header: MessageHeader = user::read(call.arg(1))?;
    if header.control_len != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let mut from = Source::user_vector(header.iov as usize, header.iov_len as usize)?;
    socket_of(&open).send(&mut from, call.uint(2), open.nonblocking())
}

fn recvmsg(call: &mut Call) -> Result<usize, Errno> {
    let open = socket_file(call)?;
    let mut header: MessageHeader = user::read(call.arg(1))?;
    let mut to = Sink::user_vector(header.iov as usize, header.iov_len as usize)?;
    let count = socket_of(&open).receive(&mut to, call.uint(2), open.nonblocking())?;
    (header.name_len, header.control_len, header.flags) = (0, 0, 0);
    user::write(call.arg(1), &header)?;
    Ok(count)
}

fn shutdown(call: &mut Call) -> Result<usize, Errno> {
    let open = socket_file(call)?;
    let (read, write) = match call.int(1) {
        SHUT_RD => (true, false),
        SHUT_WR => (false, true),
        SHUT_RDWR => (true, true),
        _ => return Err(Errno::EINVAL),
    };
    socket_of(&open).shut_down(read, write)?;
    Ok(0)
}

fn setsockopt(call: &mut Call) -> Result<usize, Errno> {
    let open = socket_file(call)?;
    let socket = socket_of(&open);
    let (level, name, value, len) = (call.int(1), call.int(2), call.arg(3), call.int(4));
    let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
    match (level, name) {
        (SOL_SOCKET, SO_RCVTIMEO | SO_SNDTIMEO) => {
            if len < size_of::<[i64; 2]>() {
                return Err(Errno::EINVAL);
            }
            let [seconds, microseconds]: [i64; 2] = user::read(value)?;
            if !(0..1_000_000).contains(&microseconds) {
                return Err(Errno::EDOM);
            }
            let timeout_ns = (seconds.max(0) as u64)
                .saturating_mul(1_000_000_000)
                .saturating_add(microseconds as u64 * 1000);
            let mut options = socket.options.lock();
            match name {
                SO_RCVTIMEO => options.receive_timeout_ns = timeout_ns,
                _ => options.send_timeout_ns = timeout_ns,
            }
        }
        (SOL_SOCKET, SO_LINGER) => {
            if len < size_of::<[i32; 2]>() {
                return Err(Errno::EINVAL);
            }
            let [on, seconds]: [i32; 2] = user::read(value)?;
            socket.options.lock().linger = (on != 0, seconds);
        }
        _ => {
            if len < size_of::<i32>() {
                return Err(Errno::EINVAL);
            }
            let value: i32 = user::read(value)?;
            let mut options = socket.options.lock();
            options.set(level, name, value)?;
            let stored = options.get(level, name)?;
            drop(options);
            if level == SOL_SOCKET && matches!(name, SO_SNDBUF | SO_RCVBUF) {
                socket.set_buffer(name == SO_SNDBUF, stored as usize);
            }
        }
    }
    Ok(0)
}

/// Writes an option's value, cut to the room the program gives, and its length.
fn write_option(call: &Call, bytes: &[u8]) -> Result<usize, Errno> {
    let room = usize::try_from(user::read::<i32>(call.arg(4))?).map_err(|_| Errno::EINVAL)?;
    let len = bytes.len().min(room);
    user::write_bytes(call.arg(3), &bytes[..len])?;
    user::write(call.arg(4), &(len as i32))?;
    Ok(0)
}

fn ints<const N: usize>(values: [i32; N]) -> alloc::vec::Vec<u8> {
    values.iter().flat_map(|value| value.to_ne_bytes()).collect()
}

fn getsockopt(call: &mut Call) -> Result<usize, Errno> {
    let open = socket_file(call)?;
    let socket = socket_of(&open);
    let (level, name) = (call.int(1), call.int(2));
    let options = *socket.options.lock();
    let bytes = match (level, name) {
        (SOL_SOCKET, SO_ERROR) => ints([socket.take_error().map_or(0, |error| error.0.into())]),
        (SOL_SOCKET, SO_TYPE) => ints([match socket.kind() {
            Kind::Unix | Kind::Tcp => SOCK_STREAM as i32,
            Kind::UnixPackets => SOCK_SEQPACKET as i32,
        }]),
        (SOL_SOCKET, SO_DOMAIN) => ints([socket.domain.into()]),
        (SOL_SOCKET, SO_PROTOCOL) => ints([if socket.domain == AF_UNIX { 0 } else { IPPROTO_TCP }]),
        (SOL_SOCKET, SO_ACCEPTCONN) => ints([socket.is_listening() as i32]),
        (SOL_SOCKET, SO_PEERCRED) => ints(socket.peer_credentials().unwrap_or([0, -1, -1])),
        (SOL_SOCKET, SO_LINGER) => ints([options.linger.0 as i32, options.linger.1]),
        (SOL_SOCKET, SO_RCVTIMEO | SO_SNDTIMEO) => {
            let ns = if name == SO_RCVTIMEO {
                options.receive_timeout_ns
            } else {
                options.send_timeout_ns
            };
            timeval(ns).iter().flat_map(|word| word.to_ne_bytes()).collect()
        }
        _ => ints([options.get(level, name)?]),
    };
    write_option(call, &bytes)
}
