//! UDP's options that are no plain numbers: the groups a socket has joined, and the interface it sends to groups by.

use super::Udp;
use crate::net::address::{self, Address, Inet, Ip};
use crate::net::inet::groups::{Membership, SourceChange};
use crate::net::inet::route::{self, LOOPBACK};
use crate::net::options::OptionValue;
use alloc::vec::Vec;
use libsyscall::abi::Errno;
use libsyscall::abi::socket::*;

/// An interface by its number or, where that is 0, by its address; the loopback interface where that is "any" too.
fn interface(number: u32, ip: Ip) -> Option<u32> {
    match number {
        0 if ip.is_unspecified() => Some(LOOPBACK),
        0 => route::interface_of(ip),
        number => route::has_interface(number).then_some(number),
    }
}

/// The group and interface of `struct ip_mreqn`, or of the `struct ip_mreq` it begins with: EINVAL, EFAULT.
fn membership_v4(value: OptionValue) -> Result<(Ip, Ip, u32), Errno> {
    let [group, ip, number] = if value.len >= 12 {
        value.read::<[[u8; 4]; 3]>()?
    } else {
        let [group, ip] = value.read::<[[u8; 4]; 2]>()?;
        [group, ip, [0; 4]]
    };
    Ok((Ip::V4(group), Ip::V4(ip), u32::from_ne_bytes(number)))
}

/// The address in the `struct sockaddr_storage` at `at`, of a level's family: EINVAL, EADDRNOTAVAIL for another's.
fn stored_address(level: i32, at: usize) -> Result<Ip, Errno> {
    match (level, address::read(at, SOCKADDR_MAX)?) {
        (IPPROTO_IP, Address::Inet(Inet { ip: ip @ Ip::V4(_), .. })) => Ok(ip),
        (IPPROTO_IPV6, Address::Inet(Inet { ip: ip @ Ip::V6(_), .. })) => Ok(ip),
        _ => Err(Errno::EADDRNOTAVAIL),
    }
}

/// The group and interface of `struct group_req`, and the address behind them that makes it a `struct group_source_req`.
fn membership_of_any(level: i32, value: OptionValue, with_source: bool) -> Result<(Membership, Ip), Errno> {
    const GROUP_AT: usize = 8;
    const SOURCE_AT: usize = GROUP_AT + SOCKADDR_MAX;
    let needed = SOURCE_AT + if with_source { SOCKADDR_MAX } else { 0 };
    if value.len < needed {
        return Err(Errno::EINVAL);
    }
    let number: u32 = value.read()?;
    let group = stored_address(level, value.at + GROUP_AT)?;
    let source = match with_source {
        true => stored_address(level, value.at + SOURCE_AT)?,
        false => group,
    };
    if route::scope(group) != route::Scope::Group {
        return Err(Errno::EINVAL);
    }
    let any = Ip::any(if level == IPPROTO_IP { AF_INET } else { AF_INET6 });
    let interface = interface(number, any).ok_or(Errno::ENODEV)?;
    Ok((Membership { group, interface }, source))
}

/// What an option with a source does.
fn source_change(name: i32) -> Option<SourceChange> {
    match name {
        IP_ADD_SOURCE_MEMBERSHIP | MCAST_JOIN_SOURCE_GROUP => Some(SourceChange::Join),
        IP_DROP_SOURCE_MEMBERSHIP | MCAST_LEAVE_SOURCE_GROUP => Some(SourceChange::Leave),
        IP_BLOCK_SOURCE | MCAST_BLOCK_SOURCE => Some(SourceChange::Block),
        IP_UNBLOCK_SOURCE | MCAST_UNBLOCK_SOURCE => Some(SourceChange::Unblock),
        _ => None,
    }
}

impl Udp {
    pub(super) fn set_udp_option(&self, level: i32, name: i32, value: OptionValue) -> Result<(), Errno> {
        match (level, name) {
            (IPPROTO_IP, IP_ADD_MEMBERSHIP | IP_DROP_MEMBERSHIP) => {
                let (group, ip, number) = membership_v4(value)?;
                if route::scope(group) != route::Scope::Group {
                    return Err(Errno::EINVAL);
                }
                let interface = interface(number, ip).ok_or(Errno::ENODEV)?;
                self.join_or_leave(Membership { group, interface }, name == IP_ADD_MEMBERSHIP)
            }
            (
                IPPROTO_IP,
                IP_ADD_SOURCE_MEMBERSHIP | IP_DROP_SOURCE_MEMBERSHIP | IP_BLOCK_SOURCE | IP_UNBLOCK_SOURCE,
            ) => {
                // struct ip_mreq_source: group, interface, source.
                let [group, ip, source] = value.read::<[[u8; 4]; 3]>()?.map(Ip::V4);
                if route::scope(group) != route::Scope::Group {
                    return Err(Errno::EINVAL);
                }
                let interface = interface(0, ip).ok_or(Errno::ENODEV)?;
                self.change_source(Membership { group, interface }, source, name)
            }
            (IPPROTO_IP | IPPROTO_IPV6, MCAST_JOIN_GROUP..=MCAST_LEAVE_SOURCE_GROUP)
                if level == IPPROTO_IP || self.common.domain == AF_INET6 =>
            {
                let is_group = matches!(name, MCAST_JOIN_GROUP | MCAST_LEAVE_GROUP);
                let (membership, source) = membership_of_any(level, value, !is_group)?;
                if is_group {
                    self.join_or_leave(membership, name == MCAST_JOIN_GROUP)
                } else {
                    self.change_source(membership, source, name)
                }
            }
            (IPPROTO_IPV6, IPV6_JOIN_GROUP | IPV6_LEAVE_GROUP) if self.common.domain == AF_INET6 => {
                // struct ipv6_mreq: address, interface.
                let [a, b, c, d, number] = value.read::<[[u8; 4]; 5]>()?;
                let group = Ip::from_v6(*[a, b, c, d].as_flattened().first_chunk().ok_or(Errno::EINVAL)?);
                if !matches!(group, Ip::V6([0xff, ..])) {
                    return Err(Errno::EINVAL);
                }
                let number = u32::from_ne_bytes(number);
                let interface = interface(number, self.any()).ok_or(Errno::ENODEV)?;
                self.join_or_leave(Membership { group, interface }, name == IPV6_JOIN_GROUP)
            }
            (IPPROTO_IP, IP_MULTICAST_IF) => {
                let ip = match value.len {
                    8.. => membership_v4(value)?.1,
                    _ => Ip::V4(value.read()?),
                };
                interface(0, ip).ok_or(Errno::EADDRNOTAVAIL)?;
                self.multicast.lock().interface_v4 = (!ip.is_unspecified()).then_some(ip);
                Ok(())
            }
            (IPPROTO_IPV6, IPV6_MULTICAST_IF) if self.common.domain == AF_INET6 => {
                let number = value.read()?;
                interface(number, self.any()).ok_or(Errno::ENODEV)?;
                self.multicast.lock().interface_v6 = number;
                Ok(())
            }
            (IPPROTO_UDP, UDP_CORK) => {
                let on = value.int()? != 0;
                self.options.lock().set_int::<IPPROTO_UDP, UDP_CORK>(on.into());
                if !on {
                    self.uncork();
                }
                Ok(())
            }
            (IPPROTO_IPV6, IPV6_V6ONLY) if self.name.lock().binding.is_some() => Err(Errno::EINVAL),
            _ => {
                let mut options = self.options.lock();
                options.set(self.common.domain, IPPROTO_UDP, level, name, value)
            }
        }
    }

    fn join_or_leave(&self, membership: Membership, join: bool) -> Result<(), Errno> {
        let joined = &mut self.multicast.lock().joined;
        if join {
            joined.join(membership)
        } else {
            joined.leave(membership)
        }
    }

    fn change_source(&self, membership: Membership, source: Ip, name: i32) -> Result<(), Errno> {
        let change = source_change(name).ok_or(Errno::ENOPROTOOPT)?;
        self.multicast.lock().joined.change(membership, source, change)
    }

    /// IP_MTU: ENOTCONN.
    fn path_mtu(&self) -> Result<Vec<u8>, Errno> {
        let peer = self.name.lock().peer.ok_or(Errno::ENOTCONN)?;
        Ok(route::mtu(peer.ip).to_ne_bytes().to_vec())
    }

    pub(super) fn udp_option(&self, level: i32, name: i32) -> Result<Vec<u8>, Errno> {
        match (level, name) {
            (IPPROTO_IP, IP_MULTICAST_IF) => Ok(match self.multicast.lock().interface_v4 {
                Some(Ip::V4(ip)) => ip.to_vec(),
                _ => [0; 4].to_vec(),
            }),
            (IPPROTO_IPV6, IPV6_MULTICAST_IF) if self.common.domain == AF_INET6 => {
                Ok(self.multicast.lock().interface_v6.to_ne_bytes().to_vec())
            }
            (IPPROTO_IP, IP_MTU) => self.path_mtu(),
            (IPPROTO_IPV6, IPV6_MTU) if self.common.domain == AF_INET6 => self.path_mtu(),
            _ => self.options.lock().get(self.common.domain, IPPROTO_UDP, level, name),
        }
    }
}
