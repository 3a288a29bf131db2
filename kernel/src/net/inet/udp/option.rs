//! UDP's options that are no plain numbers: the groups a socket has joined, and the interface it sends to groups by.

use super::Udp;
use crate::net::address::Ip;
use crate::net::inet::groups::Membership;
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

    pub(super) fn udp_option(&self, level: i32, name: i32) -> Result<Vec<u8>, Errno> {
        match (level, name) {
            (IPPROTO_IP, IP_MULTICAST_IF) => Ok(match self.multicast.lock().interface_v4 {
                Some(Ip::V4(ip)) => ip.to_vec(),
                _ => [0; 4].to_vec(),
            }),
            (IPPROTO_IPV6, IPV6_MULTICAST_IF) if self.common.domain == AF_INET6 => {
                Ok(self.multicast.lock().interface_v6.to_ne_bytes().to_vec())
            }
            _ => self.options.lock().get(self.common.domain, IPPROTO_UDP, level, name),
        }
    }
}
