//! What is told and asked for beside a message's bytes: ip(7), ipv6(7), SO_TIMESTAMP.

use super::Udp;
use super::inbox::{Complaint, Datagram};
use crate::net::address::{self, Address, Inet, Ip};
use crate::net::inet::route;
use crate::net::message::{Control, Incoming};
use crate::net::stamp;
use alloc::vec::Vec;
use libsyscall::abi::Errno;
use libsyscall::abi::socket::*;

/// What a sender asks for with one message.
#[derive(Default)]
pub struct Asked {
    pub source: Option<Ip>,
    pub ttl: Option<u8>,
    pub tos: Option<u8>,
    /// UDP_SEGMENT.
    pub segment_len: Option<u16>,
}

fn int(data: &[u8]) -> Result<i32, Errno> {
    let bytes = data.first_chunk().ok_or(Errno::EINVAL)?;
    Ok(i32::from_ne_bytes(*bytes))
}

/// A number of one byte; -1 is none.
fn byte(data: &[u8]) -> Result<Option<u8>, Errno> {
    match int(data)? {
        -1 => Ok(None),
        value => u8::try_from(value).map(Some).map_err(|_| Errno::EINVAL),
    }
}

fn socket_address(at: Inet, family: u16) -> Vec<u8> {
    let (bytes, len) = address::encode(&Address::Inet(at), family);
    bytes[..len].to_vec()
}

/// A source address asked for: EINVAL where it is not this machine's.
fn source(ip: Ip) -> Result<Option<Ip>, Errno> {
    if ip.is_unspecified() {
        Ok(None)
    } else {
        route::interface_of(ip).map(|_| Some(ip)).ok_or(Errno::EINVAL)
    }
}

/// Reads a sender's control messages: EINVAL for one of these levels that is unknown or malformed; other levels are not
/// looked at.
pub fn asked(messages: &[Control]) -> Result<Asked, Errno> {
    let mut asked = Asked::default();
    for message in messages {
        let data = message.data.as_slice();
        match (message.level, message.kind) {
            (IPPROTO_IP, IP_PKTINFO) => {
                // struct in_pktinfo: interface, source address, destination address.
                let ip = data.get(..12).and_then(|data| data[4..].first_chunk());
                asked.source = source(Ip::V4(*ip.ok_or(Errno::EINVAL)?))?;
            }
            (IPPROTO_IP, IP_TTL) => asked.ttl = byte(data)?,
            (IPPROTO_IP, IP_TOS) if data.len() == 1 => asked.tos = Some(data[0]),
            (IPPROTO_IP, IP_TOS) => asked.tos = byte(data)?,
            (IPPROTO_IPV6, IPV6_PKTINFO) => {
                // struct in6_pktinfo: address, interface.
                let ip = data.get(..20).and_then(|data| data.first_chunk());
                asked.source = source(Ip::from_v6(*ip.ok_or(Errno::EINVAL)?))?;
            }
            (IPPROTO_IPV6, IPV6_HOPLIMIT) => asked.ttl = byte(data)?,
            (IPPROTO_IPV6, IPV6_TCLASS) => asked.tos = byte(data)?,
            (IPPROTO_UDP, UDP_SEGMENT) if data.len() == size_of::<u16>() => {
                asked.segment_len = data.first_chunk().copied().map(u16::from_ne_bytes);
            }
            (SOL_SOCKET | IPPROTO_IP | IPPROTO_IPV6 | IPPROTO_UDP, _) => return Err(Errno::EINVAL),
            _ => {}
        }
    }
    Ok(asked)
}

impl Udp {
    /// Adds the control messages that this socket's options ask for.
    pub(super) fn describe(&self, datagram: &Datagram, message: &mut Incoming) {
        let options = *self.options.lock();
        let mut tell = |level, kind, data: Vec<u8>| message.control.push(Control { level, kind, data });
        let common = *self.common.options.lock();
        stamp::describe(&common, datagram.arrival_ns, &mut tell);
        if common.is_on::<SO_RXQ_OVFL>() && datagram.lost_before > 0 {
            tell(SOL_SOCKET, SO_RXQ_OVFL, datagram.lost_before.to_ne_bytes().to_vec());
        }
        if let Some(len) = datagram.segment_len {
            tell(IPPROTO_UDP, UDP_GRO, i32::from(len).to_ne_bytes().to_vec());
        }
        let interface = datagram.interface.to_ne_bytes();
        let (ttl, tos) = (i32::from(datagram.ttl), i32::from(datagram.tos));
        match datagram.to.ip {
            Ip::V4(to) => {
                if options.is_on::<IPPROTO_IP, IP_PKTINFO>() {
                    // The address to answer from: a message to many has none of its own.
                    let answer = match route::scope(datagram.to.ip) {
                        route::Scope::One => to,
                        _ => [127, 0, 0, 1],
                    };
                    tell(IPPROTO_IP, IP_PKTINFO, [interface, answer, to].concat());
                }
                if options.is_on::<IPPROTO_IP, IP_RECVTTL>() {
                    tell(IPPROTO_IP, IP_TTL, ttl.to_ne_bytes().to_vec());
                }
                if options.is_on::<IPPROTO_IP, IP_RECVTOS>() {
                    tell(IPPROTO_IP, IP_TOS, [datagram.tos].to_vec());
                }
                if options.is_on::<IPPROTO_IP, IP_RECVORIGDSTADDR>() {
                    tell(IPPROTO_IP, IP_RECVORIGDSTADDR, socket_address(datagram.to, AF_INET));
                }
            }
            Ip::V6(_) => {
                if options.is_on::<IPPROTO_IPV6, IPV6_RECVHOPLIMIT>() {
                    tell(IPPROTO_IPV6, IPV6_HOPLIMIT, ttl.to_ne_bytes().to_vec());
                }
                if options.is_on::<IPPROTO_IPV6, IPV6_RECVTCLASS>() {
                    tell(IPPROTO_IPV6, IPV6_TCLASS, tos.to_ne_bytes().to_vec());
                }
                if options.is_on::<IPPROTO_IPV6, IPV6_RECVORIGDSTADDR>() {
                    tell(
                        IPPROTO_IPV6,
                        IPV6_RECVORIGDSTADDR,
                        socket_address(datagram.to, AF_INET6),
                    );
                }
            }
        }
        if options.is_on::<IPPROTO_IPV6, IPV6_RECVPKTINFO>() {
            let mut data = datagram.to.ip.to_v6().to_vec();
            data.extend_from_slice(&interface);
            tell(IPPROTO_IPV6, IPV6_PKTINFO, data);
        }
    }
}

/// The control message of an error: struct sock_extended_err, and the address of who sent it.
pub fn of_complaint(complaint: &Complaint) -> Control {
    const ORIGIN_ICMP: u8 = 2;
    const ORIGIN_ICMP6: u8 = 3;
    let (level, kind, origin, family) = match complaint.offender.ip {
        Ip::V4(_) => (IPPROTO_IP, IP_RECVERR, ORIGIN_ICMP, AF_INET),
        Ip::V6(_) => (IPPROTO_IPV6, IPV6_RECVERR, ORIGIN_ICMP6, AF_INET6),
    };
    let mut data = (complaint.error.number() as u32).to_ne_bytes().to_vec();
    data.extend_from_slice(&[origin, complaint.icmp.0, complaint.icmp.1, 0]);
    // ee_info and ee_data say nothing of this error.
    data.extend_from_slice(&[0; 8]);
    data.extend(socket_address(complaint.offender, family));
    Control { level, kind, data }
}
