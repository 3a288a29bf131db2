//! Options of IPPROTO_IP, IPPROTO_IPV6 and IPPROTO_TCP that are one int: kept, checked, and given back as they were set.

use crate::net::options::OptionValue;
use alloc::vec::Vec;
use libsyscall::abi::Errno;
use libsyscall::abi::socket::*;

/// What an option may be.
#[derive(Clone, Copy)]
enum Values {
    /// 0, or anything else for 1.
    Switch,
    /// From the first to the last; EINVAL else.
    Range(i32, i32),
    /// The same, and -1 for the value it starts with.
    OrDefault(i32, i32),
    /// The lowest eight bits count.
    Byte,
}

use Values::*;

/// Level, name, the value it starts with, and what it may be.
type Kept = (i32, i32, i32, Values);

#[rustfmt::skip]
const INTS: &[Kept] = &[
    (IPPROTO_IP, IP_TTL, 64, OrDefault(1, 255)),
    (IPPROTO_IP, IP_TOS, 0, Byte),
    (IPPROTO_IP, IP_PKTINFO, 0, Switch),
    (IPPROTO_IP, IP_MTU_DISCOVER, 1, Range(0, 5)),
    (IPPROTO_IP, IP_RECVERR, 0, Switch),
    (IPPROTO_IP, IP_RECVTTL, 0, Switch),
    (IPPROTO_IP, IP_RECVTOS, 0, Switch),
    (IPPROTO_IP, IP_FREEBIND, 0, Switch),
    (IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 0, Switch),
    (IPPROTO_IP, IP_MULTICAST_TTL, 1, OrDefault(0, 255)),
    (IPPROTO_IP, IP_MULTICAST_LOOP, 1, Switch),
    (IPPROTO_IP, IP_MULTICAST_ALL, 1, Range(0, 1)),
    (IPPROTO_IPV6, IPV6_UNICAST_HOPS, 64, OrDefault(0, 255)),
    (IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 1, OrDefault(0, 255)),
    (IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 1, Range(0, 1)),
    (IPPROTO_IPV6, IPV6_MTU_DISCOVER, 1, Range(0, 5)),
    (IPPROTO_IPV6, IPV6_RECVERR, 0, Switch),
    (IPPROTO_IPV6, IPV6_V6ONLY, 0, Switch),
    (IPPROTO_IPV6, IPV6_RECVPKTINFO, 0, Switch),
    (IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 0, Switch),
    (IPPROTO_IPV6, IPV6_RECVTCLASS, 0, Switch),
    (IPPROTO_IPV6, IPV6_TCLASS, 0, OrDefault(0, 255)),
    (IPPROTO_TCP, TCP_NODELAY, 0, Switch),
    (IPPROTO_TCP, TCP_QUICKACK, 1, Switch),
    (IPPROTO_TCP, TCP_KEEPIDLE, 7200, Range(1, 32767)),
    (IPPROTO_TCP, TCP_KEEPINTVL, 75, Range(1, 32767)),
    (IPPROTO_TCP, TCP_KEEPCNT, 9, Range(1, 127)),
    // What follows is for packets; a local connection has none.
    (IPPROTO_TCP, TCP_CORK, 0, Switch),
    (IPPROTO_TCP, TCP_SYNCNT, 6, Range(1, 127)),
    (IPPROTO_TCP, TCP_DEFER_ACCEPT, 0, Range(i32::MIN, i32::MAX)),
    (IPPROTO_TCP, TCP_USER_TIMEOUT, 0, Range(0, i32::MAX)),
    (IPPROTO_TCP, TCP_FASTOPEN, 0, Range(0, i32::MAX)),
    (IPPROTO_TCP, TCP_NOTSENT_LOWAT, 0, Range(i32::MIN, i32::MAX)),
];

/// The options of one socket.
#[derive(Clone, Copy)]
pub struct InetOptions {
    ints: [i32; INTS.len()],
}

impl Default for InetOptions {
    fn default() -> InetOptions {
        InetOptions {
            ints: core::array::from_fn(|at| INTS[at].2),
        }
    }
}

fn place(level: i32, name: i32) -> Result<usize, Errno> {
    INTS.iter()
        .position(|&(l, n, ..)| (l, n) == (level, name))
        .ok_or(Errno::ENOPROTOOPT)
}

/// ENOPROTOOPT for a level that a socket of this domain and protocol does not have. An IPv6 one has IPv4's options too.
fn check_level(domain: u16, protocol: i32, level: i32) -> Result<(), Errno> {
    if level == IPPROTO_IP || level == IPPROTO_IPV6 && domain == AF_INET6 || level == protocol {
        Ok(())
    } else {
        Err(Errno::ENOPROTOOPT)
    }
}

impl InetOptions {
    /// ENOPROTOOPT for one that is not there.
    pub fn get(&self, domain: u16, protocol: i32, level: i32, name: i32) -> Result<Vec<u8>, Errno> {
        check_level(domain, protocol, level)?;
        Ok(self.ints[place(level, name)?].to_ne_bytes().to_vec())
    }

    /// The value of an option of the list above.
    pub fn int(&self, level: i32, name: i32) -> i32 {
        place(level, name).map_or(0, |at| self.ints[at])
    }

    pub fn is_on(&self, level: i32, name: i32) -> bool {
        self.int(level, name) != 0
    }

    /// Sets an option as Linux does: ENOPROTOOPT, EINVAL, EFAULT.
    pub fn set(&mut self, domain: u16, protocol: i32, level: i32, name: i32, value: OptionValue) -> Result<(), Errno> {
        check_level(domain, protocol, level)?;
        let at = place(level, name)?;
        // IPv4's may be given as one byte.
        let value = match value.len {
            1..4 if level == IPPROTO_IP => value.read::<u8>()?.into(),
            _ => value.int()?,
        };
        let (_, _, default, values) = INTS[at];
        self.ints[at] = match values {
            Switch => (value != 0) as i32,
            Byte => value & 0xff,
            OrDefault(..) if value == -1 => default,
            Range(first, last) | OrDefault(first, last) if (first..=last).contains(&value) => value,
            Range(..) | OrDefault(..) => return Err(Errno::EINVAL),
        };
        Ok(())
    }
}
