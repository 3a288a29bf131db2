//! Multicast groups: which sockets have joined which, on which interface, and whom they hear there.
//!
//! A socket that has joined no group hears what another one's membership lets in, from whatever source (IP_MULTICAST_ALL).

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

/// Sources one membership may name, net.ipv4.igmp_max_msf.
const SOURCES_MAX: usize = 10;

/// Whom a membership hears: those it names, or all but those.
struct Sources {
    listed: Vec<Ip>,
    only_these: bool,
}

impl Sources {
    /// Names a source. EINVAL where the others are named for the opposite, EADDRNOTAVAIL where it is named already, ENOBUFS
    /// past the limit, ENOMEM.
    fn add(&mut self, source: Ip, only_these: bool) -> Result<(), Errno> {
        self.turn(only_these)?;
        if self.listed.len() >= SOURCES_MAX {
            return Err(Errno::ENOBUFS);
        }
        if self.listed.contains(&source) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        self.listed.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        self.listed.push(source);
        Ok(())
    }

    /// EINVAL as `add`, EADDRNOTAVAIL where it is not named.
    fn remove(&mut self, source: Ip, only_these: bool) -> Result<(), Errno> {
        self.turn(only_these)?;
        let place = self.listed.iter().position(|&listed| listed == source);
        self.listed.swap_remove(place.ok_or(Errno::EADDRNOTAVAIL)?);
        Ok(())
    }

    /// While nobody is named, it may be turned round.
    fn turn(&mut self, only_these: bool) -> Result<(), Errno> {
        if self.only_these != only_these && !self.listed.is_empty() {
            return Err(Errno::EINVAL);
        }
        self.only_these = only_these;
        Ok(())
    }
}

/// A change of whom a membership hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceChange {
    /// To hear it too, of a group where only those named are heard; joins the group.
    Join,
    /// No more; without the last one it leaves the group.
    Leave,
    Block,
    Unblock,
}

/// The groups of one socket. They are left when it is dropped.
#[derive(Default)]
pub struct Memberships(Vec<(Membership, Sources)>);

impl Memberships {
    fn find(&mut self, membership: Membership) -> Option<usize> {
        self.0.iter().position(|&(joined, _)| joined == membership)
    }

    /// Whether it hears a source in a group; `None` where it has not joined.
    pub fn hears(&self, membership: Membership, source: Ip) -> Option<bool> {
        let (_, sources) = self.0.iter().find(|&&(joined, _)| joined == membership)?;
        Some(sources.listed.contains(&source) == sources.only_these)
    }

    /// The errors of [`Memberships::join`] but EADDRINUSE, and those of [`Sources`]; EINVAL too where it has not joined.
    pub fn change(&mut self, membership: Membership, source: Ip, change: SourceChange) -> Result<(), Errno> {
        use SourceChange::*;
        if change == Join {
            match self.join(membership) {
                Ok(()) | Err(Errno::EADDRINUSE) => {}
                Err(error) => return Err(error),
            }
        }
        let place = self.find(membership).ok_or(Errno::EINVAL)?;
        let sources = &mut self.0[place].1;
        let only_these = matches!(change, Join | Leave);
        match change {
            Join | Block => sources.add(source, only_these),
            Leave | Unblock => sources.remove(source, only_these),
        }?;
        if change == Leave && sources.listed.is_empty() {
            self.leave(membership)?;
        }
        Ok(())
    }

    /// EINVAL where it is no group, ENODEV, EADDRINUSE where it has joined, ENOBUFS past the limit, ENOMEM.
    pub fn join(&mut self, membership: Membership) -> Result<(), Errno> {
        if route::scope(membership.group) != route::Scope::Group {
            return Err(Errno::EINVAL);
        }
        if !route::has_interface(membership.interface) {
            return Err(Errno::ENODEV);
        }
        if self.find(membership).is_some() {
            return Err(Errno::EADDRINUSE);
        }
        if self.0.len() >= MEMBERSHIPS_MAX {
            return Err(Errno::ENOBUFS);
        }
        let mut groups = GROUPS.lock();
        groups.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        self.0.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        *groups.entry(membership).or_default() += 1;
        let all = Sources {
            listed: Vec::new(),
            only_these: false,
        };
        self.0.push((membership, all));
        Ok(())
    }

    /// EADDRNOTAVAIL where it has not joined.
    pub fn leave(&mut self, membership: Membership) -> Result<(), Errno> {
        let place = self.find(membership).ok_or(Errno::EADDRNOTAVAIL)?;
        forget(self.0.swap_remove(place).0);
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
        self.0.drain(..).for_each(|(membership, _)| forget(membership));
    }
}
