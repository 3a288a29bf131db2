//! AF_INET and AF_INET6. Over the loopback addresses nothing is cut into packets: a local connection moves bytes from one
//! socket to the other.
//!
//! - [`tcp`]: TCP sockets.
//! - [`udp`]: UDP sockets, and the way of a message; [`groups`]: multicast.
//! - [`ports`]: which socket has which port; [`route`]: where an address is;
//!   [`interfaces`]: what a program is told of them.
//! - [`outside`]: the network behind the network card.
//! - [`options`]: the options of IPPROTO_IP, IPPROTO_IPV6 and IPPROTO_TCP.

pub mod groups;
pub mod interfaces;
pub mod options;
pub mod outside;
pub mod ports;
pub mod route;
pub mod tcp;
pub mod udp;

use super::protocol::{Common, Protocol};
use alloc::sync::Arc;
use libsyscall::abi::Errno;
use libsyscall::abi::socket::*;

/// socket(2) of this domain: ESOCKTNOSUPPORT, EPROTONOSUPPORT.
pub fn create(domain: u16, kind: u32, protocol: i32) -> Result<Arc<dyn Protocol>, Errno> {
    match (kind, protocol) {
        (SOCK_STREAM, 0 | IPPROTO_TCP) => Ok(tcp::Stream::new(Common::new(domain, kind, IPPROTO_TCP))),
        (SOCK_DGRAM, 0 | IPPROTO_UDP) => Ok(udp::Udp::new(Common::new(domain, kind, IPPROTO_UDP))),
        (SOCK_STREAM | SOCK_DGRAM, _) => Err(Errno::EPROTONOSUPPORT),
        _ => Err(Errno::ESOCKTNOSUPPORT),
    }
}
