//! Which socket has which port: a table for each protocol.
//!
//! A socket that accepts connections shares its port with them: each holds the one [`Binding`], and the last of them gives
//! the port back. The port of a connection's end that was closed first rests for a while: nobody else is bound to it, but
//! who shares it by SO_REUSEADDR, as both then say that they know what they do.

use crate::net::address::{Inet, Ip};
use crate::net::protocol::Common;
use crate::time;
use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::mem::discriminant;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use hashbrown::HashMap;
use libsyscall::abi::Errno;
use libsyscall::abi::socket::{SO_REUSEADDR, SO_REUSEPORT};
use spin::LazyLock;
use sync::SpinLock;

/// Ports given to those who ask for none, net.ipv4.ip_local_port_range.
const EPHEMERAL: core::ops::RangeInclusive<u16> = 32768..=60999;
/// How long a port rests whose connection has ended both ways: TIME-WAIT.
pub const REST_NS: u64 = 60_000_000_000;
/// Ports that rest at a time, net.ipv4.tcp_max_tw_buckets: more are given back sooner.
const RESTING_MAX: usize = 1024;

/// What the sockets of a table are.
pub trait Holder {
    /// Whether there are some that keep their port.
    const MAY_KEEP_PORT: bool;
    /// Whether it shares its port by SO_REUSEPORT only: a TCP socket that listens.
    fn keeps_port(&self) -> bool;
    /// Whether it takes what comes for its port from this sender, and how much rather than others: 2 when it is connected
    /// to it, 0 when it takes from all.
    fn takes_from(&self, from: Inet) -> Option<u32>;
}

/// With whom a socket shares its port.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sharing {
    /// SO_REUSEADDR: with others who say so, while none of them listens.
    pub address: bool,
    /// SO_REUSEPORT: with others of this user who say so.
    pub port: Option<u32>,
    /// IPV6_V6ONLY: an IPv6 "any" leaves IPv4 to others.
    pub v6_only: bool,
}

impl Sharing {
    /// By the options of a socket.
    pub fn of(common: &Common, v6_only: bool) -> Sharing {
        let options = *common.options.lock();
        Sharing {
            address: options.is_on::<SO_REUSEADDR>(),
            port: options.is_on::<SO_REUSEPORT>().then_some(common.maker.uid),
            v6_only,
        }
    }

    fn with(self, other: Sharing, kept: bool) -> bool {
        self.address && other.address && !kept || self.port.is_some() && self.port == other.port
    }
}

struct Entry<S> {
    id: u64,
    ip: Ip,
    sharing: Sharing,
    socket: Weak<S>,
    /// All its connections are over, and nobody listens.
    rests: bool,
}

impl<S: Holder> Entry<S> {
    fn keeps_port(&self) -> bool {
        S::MAY_KEEP_PORT && self.socket.upgrade().is_some_and(|socket| socket.keeps_port())
    }

    /// How well it fits what comes from `from` for `to`: better when bound to just that address than when to any, and of
    /// the latter better to those of its family than to both's.
    fn fit(&self, to: Ip, from: Inet) -> Option<u32> {
        if self.ip != to && !takes_all(self.ip, self.sharing, to) {
            return None;
        }
        let rank = self.socket.upgrade()?.takes_from(from)?;
        let same_family = discriminant(&self.ip) == discriminant(&to);
        Some(2 * (rank + u32::from(self.ip == to)) + u32::from(same_family))
    }

    fn meets(&self, ip: Ip, sharing: Sharing) -> bool {
        self.ip == ip || takes_all(self.ip, self.sharing, ip) || takes_all(ip, sharing, self.ip)
    }
}

/// Whether a socket bound to `bound` is bound to all addresses of the family of `ip`; an IPv6 one may be to IPv4's too.
fn takes_all(bound: Ip, sharing: Sharing, ip: Ip) -> bool {
    bound.is_unspecified()
        && match (bound, ip) {
            (Ip::V4(_), Ip::V6(_)) => false,
            (Ip::V6(_), Ip::V4(_)) => !sharing.v6_only,
            _ => true,
        }
}

/// The ports of one protocol.
pub struct Ports<S: Holder + 'static> {
    entries: LazyLock<SpinLock<HashMap<u16, Vec<Entry<S>>>>>,
    /// What rests, and until when, the first to wake first. Its lock is a leaf.
    resting: SpinLock<VecDeque<(u64, Arc<Binding<S>>)>>,
    /// The ephemeral port to be tried next, counted from the first.
    next: AtomicU32,
}

/// A port held. Given back when dropped, which takes the table's lock.
pub struct Binding<S: Holder + 'static> {
    pub port: u16,
    id: u64,
    ports: &'static Ports<S>,
}

impl<S: Holder> Ports<S> {
    pub const fn new() -> Ports<S> {
        Ports {
            entries: LazyLock::new(SpinLock::default),
            resting: SpinLock::new(VecDeque::new()),
            next: AtomicU32::new(0),
        }
    }

    /// Binds a socket, to a port of the ephemeral ones where `at` has none: EADDRINUSE, ENOMEM.
    pub fn bind(&'static self, socket: &Arc<S>, at: Inet, sharing: Sharing) -> Result<Arc<Binding<S>>, Errno> {
        self.wake_rested();
        if at.port != 0 {
            return self.bind_port(socket, at, sharing, false);
        }
        // Each try takes the next port, so that ports are not used again sooner than they must.
        let span = u32::from(EPHEMERAL.end() - EPHEMERAL.start()) + 1;
        let start = self.next.load(Ordering::Relaxed);
        let start = start.wrapping_add((crate::random::number() % 64) as u32);
        for offset in 0..span {
            let port = EPHEMERAL.start() + (start.wrapping_add(offset) % span) as u16;
            match self.bind_port(
                socket,
                Inet { port, ..at },
                Sharing {
                    address: false,
                    port: None,
                    ..sharing
                },
                true,
            ) {
                Err(Errno::EADDRINUSE) => {}
                result => {
                    self.next.store(start.wrapping_add(offset + 1), Ordering::Relaxed);
                    // Chosen for it alone, but others may join it.
                    return result.inspect(|binding| binding.change(|entry| entry.sharing = sharing));
                }
            }
        }
        Err(Errno::EADDRINUSE)
    }

    /// `chosen`: it is not the program that wants just this port. What rests there has ended with another peer then.
    fn bind_port(
        &'static self,
        socket: &Arc<S>,
        at: Inet,
        sharing: Sharing,
        chosen: bool,
    ) -> Result<Arc<Binding<S>>, Errno> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        let mut entries = self.entries.lock();
        entries.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let same_port = entries.entry(at.port).or_default();
        let taken = |other: &Entry<S>| {
            !(chosen && other.rests) && other.meets(at.ip, sharing) && !sharing.with(other.sharing, other.keeps_port())
        };
        if same_port.iter().any(taken) {
            return Err(Errno::EADDRINUSE);
        }
        same_port.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        same_port.push(Entry {
            id,
            ip: at.ip,
            sharing,
            socket: Arc::downgrade(socket),
            rests: false,
        });
        Ok(Arc::new(Binding {
            port: at.port,
            id,
            ports: self,
        }))
    }

    /// Keeps a port from others for a while, though its connection is over.
    pub fn rest(&self, binding: Arc<Binding<S>>, rest_ns: u64) {
        self.wake_rested();
        if Arc::strong_count(&binding) == 1 {
            binding.change(|entry| entry.rests = true);
        }
        let mut resting = self.resting.lock();
        let earliest = (resting.len() >= RESTING_MAX).then(|| resting.pop_front());
        if resting.try_reserve(1).is_ok() {
            let until_ns = time::now_ns() + rest_ns;
            let place = resting.partition_point(|(other_ns, _)| *other_ns <= until_ns);
            resting.insert(place, (until_ns, binding));
        }
        drop(resting);
        // Without the lock: dropped, it looks into the table.
        drop(earliest);
    }

    /// Gives back the ports that have rested.
    fn wake_rested(&self) {
        let is_over = |(until_ns, _): &mut (u64, _)| *until_ns <= time::now_ns();
        loop {
            let rested = self.resting.lock().pop_front_if(is_over);
            if rested.is_none() {
                return;
            }
        }
    }

    /// Whether the holder of a binding may listen at it: EADDRINUSE where another does that it shares with by SO_REUSEADDR.
    pub fn check_listen(&self, binding: &Binding<S>) -> Result<(), Errno> {
        let entries = self.entries.lock();
        let same_port = entries.get(&binding.port).map_or(&[][..], Vec::as_slice);
        let Some(own) = same_port.iter().find(|entry| entry.id == binding.id) else {
            return Ok(());
        };
        let listens_too = |other: &Entry<S>| {
            other.id != own.id
                && other.meets(own.ip, own.sharing)
                && other.keeps_port()
                && !own.sharing.with(other.sharing, true)
        };
        if same_port.iter().any(listens_too) {
            return Err(Errno::EADDRINUSE);
        }
        Ok(())
    }

    /// Who takes what comes from `from` for `to`: the one that fits best, of equals the newest. Among those who share the
    /// port by SO_REUSEPORT the sender's address decides, so that each has its share and one sender always meets the same.
    pub fn taker(&self, to: Inet, from: Inet) -> Option<Arc<S>> {
        let entries = self.entries.lock();
        let same_port = entries.get(&to.port)?;
        // Thousands may share a port, so each is looked at once; only those who spread are counted first, and then found.
        let (mut best, mut count, mut newest, mut spreads) = (None, 0, None, true);
        for entry in same_port {
            let fit = entry.fit(to.ip, from);
            if fit.is_none() || fit < best {
                continue;
            }
            if fit > best {
                (best, count, spreads) = (fit, 0, true);
            }
            count += 1;
            newest = Some(entry);
            spreads &= entry.sharing.port.is_some();
        }
        if spreads && count > 1 {
            let mut equals = same_port.iter().filter(|entry| entry.fit(to.ip, from) == best);
            newest = equals.nth(spread(from) % count);
        }
        newest?.socket.upgrade()
    }

    /// All who take what comes from `from` for `to`, the address of a group or of everyone: ENOMEM.
    pub fn takers(&self, to: Inet, from: Inet) -> Result<Vec<Arc<S>>, Errno> {
        let entries = self.entries.lock();
        let same_port = entries.get(&to.port).map_or(&[][..], Vec::as_slice);
        let mut takers = Vec::new();
        takers.try_reserve_exact(same_port.len()).map_err(|_| Errno::ENOMEM)?;
        let fitting = same_port.iter().filter(|entry| entry.fit(to.ip, from).is_some());
        takers.extend(fitting.filter_map(|entry| entry.socket.upgrade()));
        Ok(takers)
    }
}

/// A number from a sender's address.
fn spread(from: Inet) -> usize {
    let ip = match from.ip {
        Ip::V4(bytes) => u32::from_be_bytes(bytes),
        Ip::V6([.., a, b, c, d]) => u32::from_be_bytes([a, b, c, d]),
    };
    // The fraction of the golden ratio: neighbours land far from each other.
    let mixed = (ip ^ u32::from(from.port)).wrapping_mul(0x9e37_79b1);
    (mixed >> 16) as usize
}

impl<S: Holder> Binding<S> {
    fn change(&self, change: impl FnOnce(&mut Entry<S>)) {
        let mut entries = self.ports.entries.lock();
        let same_port = entries.get_mut(&self.port).into_iter().flatten();
        if let Some(entry) = same_port.into_iter().find(|entry| entry.id == self.id) {
            change(entry);
        }
    }

    /// Its socket is at another address now: a connected one is where its peer reaches it.
    pub fn move_to(&self, ip: Ip) {
        self.change(|entry| entry.ip = ip);
    }
}

impl<S: Holder> Drop for Binding<S> {
    fn drop(&mut self) {
        let mut entries = self.ports.entries.lock();
        if let Some(same_port) = entries.get_mut(&self.port) {
            same_port.retain(|entry| entry.id != self.id);
            if same_port.is_empty() {
                entries.remove(&self.port);
            }
        }
    }
}
