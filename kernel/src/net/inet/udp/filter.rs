//! What a socket's filter sees of a message: the headers it would have had in a packet.

use super::inbox::Datagram;
use crate::net::address::Ip;
use crate::net::filter::{self, Headers};
use crate::net::inet::route;
use alloc::vec::Vec;
use bpf::{Device, Program};
use libsyscall::abi::socket::IPPROTO_UDP;

const UDP_HEADER_LEN: usize = 8;
/// Ethernet's, which the loopback interface has too: two addresses, and what follows.
const LINK_ADDRESSES: [u8; 12] = [0; 12];
const ETH_P_IP: u16 = 0x800;
const ETH_P_IPV6: u16 = 0x86dd;
const ARPHRD_ETHER: u16 = 1;
const ARPHRD_LOOPBACK: u16 = 772;

impl Datagram {
    /// Cuts the message to what a filter keeps of it; whether that is anything.
    pub fn keep(&mut self, filter: &Program) -> bool {
        let len = (UDP_HEADER_LEN + self.bytes.len()) as u16;
        let protocol = match self.to.ip {
            Ip::V4(_) => ETH_P_IP,
            Ip::V6(_) => ETH_P_IPV6,
        };
        let transport = [self.from.port, self.to.port, len, 0].map(u16::to_be_bytes);
        let kind = if self.interface == route::OUTSIDE {
            ARPHRD_ETHER
        } else {
            ARPHRD_LOOPBACK
        };
        let headers = Headers {
            link: &[&LINK_ADDRESSES[..], &protocol.to_be_bytes()].concat(),
            network: &self.network_header(len),
            transport: transport.as_flattened(),
            protocol,
            device: Some(Device {
                number: self.interface,
                kind,
            }),
            mark: self.mark,
        };
        let kept = filter::run(filter, &headers, &self.bytes);
        if let Some(kept) = kept {
            self.bytes.truncate(kept.saturating_sub(UDP_HEADER_LEN));
        }
        kept.is_some()
    }

    /// The header of IP, without checksums, which only who comes from outside has had.
    fn network_header(&self, len: u16) -> Vec<u8> {
        const IPV4_HEADER_LEN: u16 = 20;
        const DONT_FRAGMENT: u16 = 0x4000;
        const UDP: u8 = IPPROTO_UDP as u8;
        match (self.from.ip, self.to.ip) {
            (Ip::V4(from), Ip::V4(to)) => [
                &[0x45, self.tos][..],
                &(IPV4_HEADER_LEN + len).to_be_bytes(),
                &[0; 2],
                &DONT_FRAGMENT.to_be_bytes(),
                &[self.ttl, UDP, 0, 0],
                &from,
                &to,
            ]
            .concat(),
            (from, to) => [
                &[0x60 | self.tos >> 4, self.tos << 4, 0, 0][..],
                &len.to_be_bytes(),
                &[UDP, self.ttl],
                &from.to_v6(),
                &to.to_v6(),
            ]
            .concat(),
        }
    }
}
