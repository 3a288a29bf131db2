//! Where a packet goes, and from which address. This machine's own addresses are those of the loopback interface, and one
//! of the network behind the network card: what goes to any of them stays here.

use super::outside;
use crate::net::address::Ip;
use crate::net::protocol::Common;
use libsyscall::abi::Errno;

/// The loopback interface's number, and that of the network card's.
pub const LOOPBACK: u32 = 1;
pub const OUTSIDE: u32 = 2;

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
    if scope == Scope::One && !is_own(ip) {
        let own = outside::address().filter(|_| matches!(ip, Ip::V4(_)));
        return Ok(Route {
            scope,
            interface: OUTSIDE,
            source: own.ok_or(Errno::ENETUNREACH)?,
        });
    }
    let source = match ip {
        // To itself.
        ip if outside::address() == Some(ip) => ip,
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

/// Whether it is this machine's.
fn is_own(ip: Ip) -> bool {
    ip.is_local() || outside::address() == Some(ip)
}

/// Whether there is an interface of this number.
pub fn has_interface(number: u32) -> bool {
    number == LOOPBACK || number == OUTSIDE && outside::address().is_some()
}

/// The longest packet that reaches an address (IP_MTU). IPv4 itself has none longer than 65535 bytes.
pub fn mtu(to: Ip) -> i32 {
    match to {
        to if arrival(to) == OUTSIDE => 1500,
        Ip::V4(_) => 65_535,
        Ip::V6(_) => 65_536,
    }
}

/// The interface by which something comes from an address.
fn arrival(from: Ip) -> u32 {
    if is_own(from) { LOOPBACK } else { OUTSIDE }
}

/// Whether a socket hears what comes from an address: not where it is bound to another interface (SO_BINDTODEVICE).
pub fn admits(common: &Common, from: Ip) -> bool {
    common.bound_interface().is_none_or(|number| number == arrival(from))
}

/// ENETUNREACH where a socket is bound to another interface than a route's.
pub fn check_interface(common: &Common, route: &Route) -> Result<(), Errno> {
    if common.bound_interface().is_none_or(|number| number == route.interface) {
        Ok(())
    } else {
        Err(Errno::ENETUNREACH)
    }
}

/// The interface that has an address.
pub fn interface_of(ip: Ip) -> Option<u32> {
    match ip {
        ip if ip.is_local() => Some(LOOPBACK),
        ip => (outside::address() == Some(ip)).then_some(OUTSIDE),
    }
}

/// EINVAL where a socket's own address is no way to start from: the loopback interface does not lead outside.
pub fn check_source(route: &Route, ip: Ip) -> Result<(), Errno> {
    if route.interface == OUTSIDE && ip.is_local() {
        Err(Errno::EINVAL)
    } else {
        Ok(())
    }
}

/// EADDRNOTAVAIL where it is no address a socket may be bound to. `free` (IP_FREEBIND): any address may, there or not.
pub fn check_bindable(ip: Ip, free: bool) -> Result<(), Errno> {
    if free || ip.is_unspecified() || is_own(ip) || scope(ip) != Scope::One {
        Ok(())
    } else {
        Err(Errno::EADDRNOTAVAIL)
    }
}
