//! Socket addresses, between their forms in user memory and what the kernel compares.

use crate::mm::user;
use alloc::sync::Arc;
use libsyscall::abi::Errno;
use libsyscall::abi::socket::*;

/// An IP address and port. IPv4 ones are kept as they are; a mapped one (`::ffff:a.b.c.d`) becomes IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inet {
    pub ip: Ip,
    pub port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ip {
    V4([u8; 4]),
    V6([u8; 16]),
}

const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

impl Ip {
    pub const LOOPBACK_V4: Ip = Ip::V4([127, 0, 0, 1]);
    pub const LOOPBACK_V6: Ip = Ip::V6([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

    /// "Any" of a domain.
    pub fn any(domain: u16) -> Ip {
        if domain == AF_INET {
            Ip::V4([0; 4])
        } else {
            Ip::V6([0; 16])
        }
    }

    /// An IPv6 address; a mapped one becomes IPv4.
    pub fn from_v6(bytes: [u8; 16]) -> Ip {
        match bytes.split_at(MAPPED.len()) {
            (prefix, &[a, b, c, d]) if prefix == MAPPED => Ip::V4([a, b, c, d]),
            _ => Ip::V6(bytes),
        }
    }

    /// As IPv6 has it: IPv4 is mapped, but for its "any".
    pub fn to_v6(self) -> [u8; 16] {
        match self {
            Ip::V6(bytes) => bytes,
            Ip::V4([0, 0, 0, 0]) => [0; 16],
            Ip::V4(bytes) => {
                let mut mapped = [0; 16];
                mapped[..12].copy_from_slice(&MAPPED);
                mapped[12..].copy_from_slice(&bytes);
                mapped
            }
        }
    }

    pub fn is_unspecified(self) -> bool {
        matches!(
            self,
            Ip::V4([0, 0, 0, 0]) | Ip::V6([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        )
    }

    /// Whether it is this machine's: 127.0.0.0/8 and ::1.
    pub fn is_local(self) -> bool {
        match self {
            Ip::V4(bytes) => bytes[0] == 127,
            ip => ip == Ip::LOOPBACK_V6,
        }
    }

    /// Where a connection to "any" goes.
    pub fn or_loopback(self) -> Ip {
        match self {
            ip if !ip.is_unspecified() => ip,
            Ip::V4(_) => Ip::LOOPBACK_V4,
            Ip::V6(_) => Ip::LOOPBACK_V6,
        }
    }
}

/// A socket's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// AF_UNSPEC: connect(2) dissolves with it.
    Unspecified,
    Inet(Inet),
    /// No name, a path, or an abstract name (which starts with a NUL).
    Unix(Arc<[u8]>),
    Netlink(Netlink),
}

/// A netlink socket's address; port 0 is the kernel's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Netlink {
    pub port: u32,
    /// The first 32 groups, a bit each.
    pub groups: u32,
}

/// Reads a sockaddr: EINVAL, EFAULT, EAFNOSUPPORT.
pub fn read(at: usize, len: usize) -> Result<Address, Errno> {
    if !(2..=SOCKADDR_MAX).contains(&len) {
        return Err(Errno::EINVAL);
    }
    let mut bytes = [0u8; SOCKADDR_MAX];
    user::read_bytes(at, &mut bytes[..len])?;
    let port = u16::from_be_bytes([bytes[2], bytes[3]]);
    match u16::from_ne_bytes([bytes[0], bytes[1]]) {
        AF_UNSPEC => Ok(Address::Unspecified),
        AF_INET if len >= SOCKADDR_IN_LEN => {
            let ip = Ip::V4([bytes[4], bytes[5], bytes[6], bytes[7]]);
            Ok(Address::Inet(Inet { ip, port }))
        }
        AF_INET6 if len >= SOCKADDR_IN6_LEN => {
            let mut ip = [0; 16];
            ip.copy_from_slice(&bytes[8..24]);
            let ip = Ip::from_v6(ip);
            Ok(Address::Inet(Inet { ip, port }))
        }
        AF_UNIX if len <= SOCKADDR_UN_MAX => {
            let name = &bytes[2..len];
            // A path ends at its NUL; an abstract name is as long as the address says.
            let name = match name.first() {
                Some(0) | None => name,
                Some(_) => name.split(|&byte| byte == 0).next().unwrap_or(name),
            };
            Ok(Address::Unix(name.into()))
        }
        AF_NETLINK if len >= SOCKADDR_NL_LEN => Ok(Address::Netlink(Netlink {
            port: u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
            groups: u32::from_ne_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]),
        })),
        AF_INET | AF_INET6 | AF_UNIX | AF_NETLINK => Err(Errno::EINVAL),
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

/// A sockaddr, as a socket of `family` shows an address, and its length.
pub fn encode(address: &Address, family: u16) -> ([u8; SOCKADDR_MAX], usize) {
    let mut bytes = [0u8; SOCKADDR_MAX];
    bytes[..2].copy_from_slice(&family.to_ne_bytes());
    let len = match address {
        Address::Unspecified => 2,
        Address::Unix(name) => {
            bytes[2..2 + name.len()].copy_from_slice(name);
            // A path is shown with its NUL.
            2 + name.len() + usize::from(name.first().is_some_and(|&byte| byte != 0))
        }
        Address::Netlink(Netlink { port, groups }) => {
            bytes[4..8].copy_from_slice(&port.to_ne_bytes());
            bytes[8..12].copy_from_slice(&groups.to_ne_bytes());
            SOCKADDR_NL_LEN
        }
        Address::Inet(Inet { ip, port }) => {
            bytes[2..4].copy_from_slice(&port.to_be_bytes());
            match (family, ip) {
                (AF_INET6, ip) => bytes[8..24].copy_from_slice(&ip.to_v6()),
                (_, Ip::V4(ip)) => bytes[4..8].copy_from_slice(ip),
                (_, Ip::V6(_)) => {}
            }
            if family == AF_INET6 {
                SOCKADDR_IN6_LEN
            } else {
                SOCKADDR_IN_LEN
            }
        }
    };
    (bytes, len)
}

/// Writes an address as a socket of `family` shows it, cut to the room `*len_at` gives, and the full length there.
pub fn write(address: &Address, family: u16, at: usize, len_at: usize) -> Result<(), Errno> {
    let room = usize::try_from(user::read::<i32>(len_at)?).map_err(|_| Errno::EINVAL)?;
    let (bytes, len) = encode(address, family);
    user::write_bytes(at, &bytes[..len.min(room)])?;
    user::write(len_at, &(len as i32))
}
