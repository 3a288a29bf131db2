//! Multicast groups: which sockets have joined which, on which interface.

use super::route;
use crate::net::address::Ip;
use alloc::vec::Vec;
use hashbrown::HashMap;
use libsyscall::abi::Errno;
use spin::LazyLock;
use sync::SpinLock;

/// A group on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Membership {
    pub group: Ip,
    pub interface: u32,
}

/// How many sockets have joined each group there is.
static GROUPS: LazyLock<SpinLock<HashMap<Membership, usize>>> = LazyLock::new(SpinLock::default);

/// Groups a socket may join, net.ipv4.igmp_max_memberships.
const MEMBERSHIPS_MAX: usize = 20;

/// Whether a packet for a group is for this machine: somebody has joined, or it is the group of all hosts.
pub fn has_members(membership: Membership) -> bool {
    match membership.group {
        Ip::V4([224, 0, 0, 1]) | Ip::V6([0xff, 1 | 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]) => true,
        _ => GROUPS.lock().contains_key(&membership),
    }
}

/// The groups of one socket. They are left when it is dropped.
#[derive(Default)]
pub struct Memberships(Vec<Membership>);

impl Memberships {
    pub fn contains(&self, membership: Membership) -> bool {
        self.0.contains(&membership)
    }

    /// EINVAL where it is no group, ENODEV, EADDRINUSE where it has joined, ENOBUFS past the limit, ENOMEM.
    pub fn join(&mut self, membership: Membership) -> Result<(), Errno> {
        if route::scope(membership.group) != route::Scope::Group {
            return Err(Errno::EINVAL);
        }
        if !route::has_interface(membership.interface) {
            return Err(Errno::ENODEV);
        }
        if self.contains(membership) {
            return Err(Errno::EADDRINUSE);
        }
        if self.0.len() >= MEMBERSHIPS_MAX {
            return Err(Errno::ENOBUFS);
        }
        let mut groups = GROUPS.lock();
        groups.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        self.0.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        *groups.entry(membership).or_default() += 1;
        self.0.push(membership);
        Ok(())
    }

    /// EADDRNOTAVAIL where it has not joined.
    pub fn leave(&mut self, membership: Membership) -> Result<(), Errno> {
        let place = self.0.iter().position(|&joined| joined == membership);
        forget(self.0.swap_remove(place.ok_or(Errno::EADDRNOTAVAIL)?));
        Ok(())
    }
}

fn forget(membership: Membership) {
    let mut groups = GROUPS.lock();
    if let Some(count) = groups.get_mut(&membership) {
        *count -= 1;
        if *count == 0 {
            groups.remove(&membership);
        }
    }
}

impl Drop for Memberships {
    fn drop(&mut self) {
        self.0.drain(..).for_each(forget);
    }
}
