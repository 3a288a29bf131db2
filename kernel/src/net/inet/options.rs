//! Options of IPPROTO_IP, IPPROTO_IPV6 and IPPROTO_TCP that are one int: kept, checked, and given back as they were set.

use crate::net::options::Values::{self, *};
use crate::net::options::{Kept, OptionValue, known_place, place};
use alloc::vec::Vec;
use libsyscall::abi::Errno;
use libsyscall::abi::socket::*;

/// Seconds that a closed connection waits for the other end's, net.ipv4.tcp_fin_timeout.
pub const FIN_TIMEOUT: i32 = 60;

#[rustfmt::skip]
const INTS: &[Kept] = &[
    (IPPROTO_IP, IP_TTL, 64, OrDefault(1, 255)),
    (IPPROTO_IP, IP_TOS, 0, Bits(0xff)),
    // No packet here has options of IP's, extension headers, or too long a way: nothing of them is ever told.
    (IPPROTO_IP, IP_RECVOPTS, 0, Switch),
    (IPPROTO_IP, IP_RETOPTS, 0, Switch),
    (IPPROTO_IP, IP_PKTINFO, 0, Switch),
    (IPPROTO_IP, IP_MTU_DISCOVER, 1, Range(0, 5)),
    (IPPROTO_IP, IP_RECVERR, 0, Switch),
    (IPPROTO_IP, IP_RECVTTL, 0, Switch),
    (IPPROTO_IP, IP_RECVTOS, 0, Switch),
    (IPPROTO_IP, IP_FREEBIND, 0, Switch),
    (IPPROTO_IP, IP_RECVORIGDSTADDR, 0, Switch),
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
    (IPPROTO_IPV6, IPV6_MULTICAST_ALL, 1, Switch),
    (IPPROTO_IPV6, IPV6_RECVHOPOPTS, 0, Switch),
    (IPPROTO_IPV6, IPV6_RECVRTHDR, 0, Switch),
    (IPPROTO_IPV6, IPV6_RECVDSTOPTS, 0, Switch),
    (IPPROTO_IPV6, IPV6_RECVPATHMTU, 0, Switch),
    (IPPROTO_IPV6, IPV6_RECVORIGDSTADDR, 0, Switch),
    (IPPROTO_IPV6, IPV6_FREEBIND, 0, Switch),
    (IPPROTO_IPV6, IPV6_DONTFRAG, 0, Switch),
    (IPPROTO_IPV6, IPV6_AUTOFLOWLABEL, 1, Switch),
    (IPPROTO_UDP, UDP_CORK, 0, Switch),
    (IPPROTO_UDP, UDP_SEGMENT, 0, Range(0, u16::MAX as i32)),
    (IPPROTO_UDP, UDP_GRO, 0, Switch),
    (IPPROTO_TCP, TCP_NODELAY, 0, Switch),
    (IPPROTO_TCP, TCP_QUICKACK, 1, Switch),
    (IPPROTO_TCP, TCP_KEEPIDLE, 7200, Range(1, 32767)),
    (IPPROTO_TCP, TCP_KEEPINTVL, 75, Range(1, 32767)),
    (IPPROTO_TCP, TCP_KEEPCNT, 9, Range(1, 127)),
    (IPPROTO_TCP, TCP_LINGER2, FIN_TIMEOUT, Values::ANY),
    // What follows is for packets; a local connection has none, and the far end of another is not told.
    (IPPROTO_TCP, TCP_CORK, 0, Switch),
    (IPPROTO_TCP, TCP_SYNCNT, 6, Range(1, 127)),
    // The largest segment asked for.
    (IPPROTO_TCP, TCP_MAXSEG, 0, Range(0, i16::MAX as i32)),
    (IPPROTO_TCP, TCP_DEFER_ACCEPT, 0, Values::ANY),
    (IPPROTO_TCP, TCP_USER_TIMEOUT, 0, Range(0, i32::MAX)),
    (IPPROTO_TCP, TCP_FASTOPEN, 0, Range(0, i32::MAX)),
    (IPPROTO_TCP, TCP_NOTSENT_LOWAT, 0, Values::ANY),
    (IPPROTO_TCP, TCP_INQ, 0, Range(0, 1)),
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

/// Whether a socket of this domain and protocol has a level. An IPv6 one has IPv4's options too.
fn has_level(domain: u16, protocol: i32, level: i32) -> bool {
    level == IPPROTO_IP || level == IPPROTO_IPV6 && domain == AF_INET6 || level == protocol
}

impl InetOptions {
    /// ENOPROTOOPT for one that is not there, EOPNOTSUPP for a level that an IPv4 socket does not have.
    pub fn get(&self, domain: u16, protocol: i32, level: i32, name: i32) -> Result<Vec<u8>, Errno> {
        if !has_level(domain, protocol, level) {
            return Err(if domain == AF_INET {
                Errno::EOPNOTSUPP
            } else {
                Errno::ENOPROTOOPT
            });
        }
        Ok(self.ints[place(INTS, level, name)?].to_ne_bytes().to_vec())
    }

    /// The value of an option of the list above.
    pub fn int<const LEVEL: i32, const NAME: i32>(&self) -> i32 {
        self.ints[const { known_place(INTS, LEVEL, NAME) }]
    }

    pub fn set_int<const LEVEL: i32, const NAME: i32>(&mut self, value: i32) {
        self.ints[const { known_place(INTS, LEVEL, NAME) }] = value;
    }

    pub fn is_on<const LEVEL: i32, const NAME: i32>(&self) -> bool {
        self.int::<LEVEL, NAME>() != 0
    }

    /// IP_FREEBIND, IPV6_FREEBIND: one switch by two names.
    pub fn binds_freely(&self) -> bool {
        self.is_on::<IPPROTO_IP, IP_FREEBIND>() || self.is_on::<IPPROTO_IPV6, IPV6_FREEBIND>()
    }

    /// Sets an option as Linux does: ENOPROTOOPT, EINVAL, EFAULT.
    pub fn set(&mut self, domain: u16, protocol: i32, level: i32, name: i32, value: OptionValue) -> Result<(), Errno> {
        if !has_level(domain, protocol, level) {
            return Err(Errno::ENOPROTOOPT);
        }
        // TCP and UDP look at the value before they look at the name.
        if level != protocol {
            place(INTS, level, name)?;
        }
        // IPv4's may be given as one byte.
        let value = match value.len {
            1..4 if level == IPPROTO_IP => value.read::<u8>()?.into(),
            _ => value.int()?,
        };
        let at = place(INTS, level, name)?;
        let (_, _, default, values) = INTS[at];
        self.ints[at] = values.checked(value, default)?;
        Ok(())
    }
}
