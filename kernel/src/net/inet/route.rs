//! Where a packet goes, and from which address. This machine's own addresses are those of the loopback interface.

use crate::net::address::Ip;
use libsyscall::abi::Errno;

/// The loopback interface's number.
pub const LOOPBACK: u32 = 1;

/// Whom an address means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    One,
    /// Whoever is bound to all addresses: a broadcast.
    Everyone,
    /// Whoever has joined: a multicast.
    Group,
}

pub struct Route {
    pub scope: Scope,
    pub interface: u32,
    /// The address a socket without one sends from.
    pub source: Ip,
}

/// The way to an address: ENETUNREACH.
pub fn to(ip: Ip) -> Result<Route, Errno> {
    let scope = scope(ip);
    if scope == Scope::One && !ip.is_local() {
        return Err(Errno::ENETUNREACH);
    }
    let source = match ip {
        Ip::V4(_) => Ip::LOOPBACK_V4,
        Ip::V6(_) => Ip::LOOPBACK_V6,
    };
    Ok(Route {
        scope,
        interface: LOOPBACK,
        source,
    })
}

pub fn scope(ip: Ip) -> Scope {
    match ip {
        Ip::V4([224..=239, ..]) | Ip::V6([0xff, ..]) => Scope::Group,
        // To all, and to all on the loopback network.
        Ip::V4([255, 255, 255, 255] | [127, 255, 255, 255]) => Scope::Everyone,
        _ => Scope::One,
    }
}

/// Whether there is an interface of this number.
pub fn has_interface(number: u32) -> bool {
    number == LOOPBACK
}

/// The interface that has an address.
pub fn interface_of(ip: Ip) -> Option<u32> {
    ip.is_local().then_some(LOOPBACK)
}

/// EADDRNOTAVAIL where it is no address a socket may be bound to.
pub fn check_bindable(ip: Ip) -> Result<(), Errno> {
    if ip.is_unspecified() || ip.is_local() || scope(ip) != Scope::One {
        Ok(())
    } else {
        Err(Errno::EADDRNOTAVAIL)
    }
}
