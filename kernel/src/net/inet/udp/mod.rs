//! UDP sockets.
//!
//! - [`Udp`]: names, readiness, receiving; [`send`]: the way of a message from one socket to others.
//! - [`inbox`]: what has come for a socket; [`control`]: what is told and asked for beside a message's bytes.
//! - [`filter`]: what a filter sees of a message.
//! - [`option`]: options that are no plain numbers: groups and interfaces.

mod control;
mod filter;
mod inbox;
mod option;
mod send;

use super::groups::{Membership, Memberships};
use super::options::InetOptions;
use super::ports::{Binding, Holder, Ports, Sharing};
use super::route::{self, Scope};
use crate::mm::user::{Sink, Source};
use crate::net::address::{Address, Inet, Ip};
use crate::net::message::{Incoming, Outgoing};
use crate::net::options::OptionValue;
use crate::net::protocol::{Common, Memory, Protocol};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use bpf::Program;
use event::{EventMask, Pollable, WaitQueue};
pub use inbox::Datagram;
use inbox::Inbox;
use libsyscall::abi::Errno;
use libsyscall::abi::socket::*;
use send::Corked;
pub use send::arrived;
use sync::{SpinGuard, SpinLock};

static PORTS: Ports<Udp> = Ports::new();

/// Lock order: the ports' table, then one socket's name. Everything else is a leaf.
pub struct Udp {
    me: Weak<Udp>,
    common: Common,
    name: SpinLock<Name>,
    inbox: SpinLock<Inbox>,
    /// What has been sent of a message that is not whole yet: UDP_CORK, MSG_MORE.
    corked: SpinLock<Option<Corked>>,
    options: SpinLock<InetOptions>,
    multicast: SpinLock<Multicast>,
}

/// Where a socket is, and whom it is connected to.
#[derive(Default)]
struct Name {
    binding: Option<Arc<Binding<Udp>>>,
    /// What bind(2) asked for: an address other than "any", a port other than 0. The rest goes with the connection.
    asked_ip: Option<Ip>,
    asked_port: bool,
    /// The address now.
    ip: Option<Ip>,
    peer: Option<Inet>,
}

/// What a socket has to do with groups.
#[derive(Default)]
struct Multicast {
    /// IP_MULTICAST_IF, by its address.
    interface_v4: Option<Ip>,
    /// IPV6_MULTICAST_IF; 0 is none.
    interface_v6: u32,
    joined: Memberships,
}

const WRITABLE: EventMask = EventMask::WRITABLE.union(EventMask::WRBAND);
const SHUT_DOWN: EventMask = WRITABLE
    .union(EventMask::READABLE)
    .union(EventMask::RDHUP)
    .union(EventMask::HUP);

impl Udp {
    pub fn new(common: Common) -> Arc<Udp> {
        Arc::new_cyclic(|me| Udp {
            me: me.clone(),
            common,
            name: SpinLock::default(),
            inbox: SpinLock::default(),
            corked: SpinLock::default(),
            options: SpinLock::default(),
            multicast: SpinLock::default(),
        })
    }

    /// "Any" of the socket's family.
    fn any(&self) -> Ip {
        Ip::any(self.common.domain)
    }

    fn option<const LEVEL: i32, const NAME: i32>(&self) -> i32 {
        self.options.lock().int::<LEVEL, NAME>()
    }

    fn is_on<const LEVEL: i32, const NAME: i32>(&self) -> bool {
        self.option::<LEVEL, NAME>() != 0
    }

    /// An address this socket can send to, with "any" as this machine: EAFNOSUPPORT for IPv6 from an IPv4 socket,
    /// ENETUNREACH for IPv4 from an IPv6 socket that leaves it to others.
    fn destination(&self, to: Inet) -> Result<Inet, Errno> {
        match to.ip {
            Ip::V6(_) if self.common.domain == AF_INET => return Err(Errno::EAFNOSUPPORT),
            Ip::V4(_) if self.is_on::<IPPROTO_IPV6, IPV6_V6ONLY>() => return Err(Errno::ENETUNREACH),
            _ => {}
        }
        let ip = to.ip.or_loopback();
        Ok(Inet { ip, ..to })
    }

    /// Takes a port: EINVAL where it has one, EADDRINUSE.
    fn take_port(&self, at: Inet) -> Result<(), Errno> {
        let me = self.me.upgrade().ok_or(Errno::EBADF)?;
        if self.name.lock().binding.is_some() {
            return Err(Errno::EINVAL);
        }
        let sharing = Sharing::of(&self.common, self.is_on::<IPPROTO_IPV6, IPV6_V6ONLY>());
        let binding = PORTS.bind(&me, at, sharing)?;
        let mut name = self.name.lock();
        if name.binding.is_some() {
            // Another thread was first. The port is given back without the lock.
            drop(name);
            return Err(Errno::EINVAL);
        }
        name.binding = Some(binding);
        name.ip = Some(at.ip);
        Ok(())
    }

    /// Sees to it that it has a port.
    fn ensure_port(&self) -> Result<(), Errno> {
        if self.name.lock().binding.is_some() {
            return Ok(());
        }
        match self.take_port(Inet {
            ip: self.any(),
            port: 0,
        }) {
            // Another thread was first.
            Err(Errno::EINVAL) => Ok(()),
            result => result,
        }
    }

    /// Connects: the address becomes the one the peer is reached from.
    fn join(&self, to: Inet) -> Result<(), Errno> {
        let to = self.destination(to)?;
        let route = route::to(to.ip)?;
        route::check_interface(&self.common, &route)?;
        if route.scope == Scope::Everyone && !self.common.options.lock().is_on::<SO_BROADCAST>() {
            return Err(Errno::EACCES);
        }
        self.ensure_port()?;
        let mut name = self.name.lock();
        name.peer = Some(to);
        let ip = match name.asked_ip {
            Some(ip) => ip,
            None => route.source,
        };
        name.ip = Some(ip);
        self.moved(name)
    }

    /// Dissolves a connection: what bind(2) had not asked for goes.
    fn part(&self) -> Result<(), Errno> {
        let mut name = self.name.lock();
        name.peer = None;
        name.ip = Some(name.asked_ip.unwrap_or(self.any()));
        if name.asked_port {
            return self.moved(name);
        }
        let binding = name.binding.take();
        // Not under the lock: dropped, it looks into the ports' table.
        drop(name);
        drop(binding);
        Ok(())
    }

    /// Tells the ports' table of the address a name has now.
    fn moved(&self, name: SpinGuard<Name>) -> Result<(), Errno> {
        let moved = name.binding.clone().zip(name.ip);
        drop(name);
        if let Some((binding, ip)) = moved {
            binding.move_to(ip);
        }
        Ok(())
    }

    /// recvmsg(2) with MSG_ERRQUEUE: EAGAIN where there is none.
    fn receive_error(&self, to: &mut Sink, message: &mut Incoming) -> Result<usize, Errno> {
        let complaint = self.inbox.lock().take_complaint().ok_or(Errno::EAGAIN)?;
        let count = to.put(&complaint.bytes)?;
        if count < complaint.bytes.len() {
            message.flags |= MSG_TRUNC;
        }
        message.flags |= MSG_ERRQUEUE;
        message.from = Some(Address::Inet(complaint.to));
        message.control.push(control::of_complaint(&complaint));
        Ok(count)
    }
}

impl Holder for Udp {
    const MAY_KEEP_PORT: bool = false;

    fn keeps_port(&self) -> bool {
        false
    }

    fn takes_from(&self, from: Inet) -> Option<u32> {
        if !route::admits(&self.common, from.ip) {
            return None;
        }
        match self.name.lock().peer {
            None => Some(0),
            Some(peer) => (peer == from).then_some(2),
        }
    }
}

impl Pollable for Udp {
    fn readiness(&self) -> EventMask {
        let inbox = self.inbox.lock();
        // A message leaves at once, so there is always room for one.
        let mut ready = WRITABLE;
        if inbox.has_errors() {
            ready |= EventMask::ERR;
        }
        if inbox.has_messages() || inbox.shut_read {
            ready |= EventMask::READABLE;
        }
        if inbox.shut_read {
            ready |= EventMask::RDHUP;
        }
        if inbox.shut_read && inbox.shut_write {
            ready |= EventMask::HUP;
        }
        ready
    }

    fn wait_queue(&self) -> &WaitQueue {
        &self.common.queue
    }
}

impl Protocol for Udp {
    fn common(&self) -> &Common {
        &self.common
    }

    fn bind(self: Arc<Self>, at: &Address) -> Result<(), Errno> {
        let Address::Inet(at) = *at else {
            return Err(Errno::EAFNOSUPPORT);
        };
        route::check_bindable(at.ip, self.options.lock().binds_freely())?;
        self.take_port(at)?;
        let mut name = self.name.lock();
        name.asked_ip = (!at.ip.is_unspecified()).then_some(at.ip);
        name.asked_port = at.port != 0;
        Ok(())
    }

    fn connect(self: Arc<Self>, to: &Address, _nonblocking: bool) -> Result<(), Errno> {
        match *to {
            Address::Inet(to) => self.join(to),
            Address::Unspecified => self.part(),
            Address::Unix(_) | Address::Netlink(_) => Err(Errno::EAFNOSUPPORT),
        }
    }

    fn local_address(&self) -> Address {
        let name = self.name.lock();
        Address::Inet(Inet {
            ip: name.ip.unwrap_or(self.any()),
            port: name.binding.as_ref().map_or(0, |binding| binding.port),
        })
    }

    fn peer_address(&self) -> Result<Address, Errno> {
        let peer = self.name.lock().peer.ok_or(Errno::ENOTCONN)?;
        Ok(Address::Inet(peer))
    }

    fn memory(&self) -> Memory {
        Memory {
            sent: self.unsent_len().unwrap_or(0),
            ..self.inbox.lock().memory()
        }
    }

    fn send(&self, from: &mut Source, message: &mut Outgoing) -> Result<usize, Errno> {
        self.send_message(from, message)
    }

    fn receive(&self, to: &mut Sink, flags: u32, message: &mut Incoming) -> Result<usize, Errno> {
        if flags & MSG_ERRQUEUE != 0 {
            return self.receive_error(to, message);
        }
        let mut inbox = self.inbox.lock();
        if let Some(error) = inbox.error.take() {
            return Err(error);
        }
        // Only who would wait is told of the end.
        let ended = inbox.shut_read && flags & MSG_DONTWAIT == 0;
        let nothing = if ended { Ok(0) } else { Err(Errno::EAGAIN) };
        if flags & MSG_PEEK != 0 {
            return match inbox.peek(self.common.peek_offset.get()) {
                Some((first, skip)) => self.give(first, skip, to, flags, message),
                None => nothing,
            };
        }
        let Some(first) = inbox.take() else {
            return nothing;
        };
        drop(inbox);
        self.give(&first, 0, to, flags, message)
    }

    fn shut_down(&self, read: bool, write: bool) -> Result<(), Errno> {
        let mut inbox = self.inbox.lock();
        inbox.shut_read |= read;
        inbox.shut_write |= write;
        drop(inbox);
        self.common.queue.wake(SHUT_DOWN);
        // It is said of a socket without a peer, which is shut down all the same.
        self.peer_address().map(drop)
    }

    fn take_error(&self) -> Option<Errno> {
        self.inbox.lock().error.take()
    }

    fn set_option(&self, level: i32, name: i32, value: OptionValue) -> Result<(), Errno> {
        self.set_udp_option(level, name, value)
    }

    fn option(&self, level: i32, name: i32) -> Result<Vec<u8>, Errno> {
        self.udp_option(level, name)
    }

    fn set_filter(&self, filter: Option<Arc<Program>>) -> Result<(), Errno> {
        let former = core::mem::replace(&mut self.inbox.lock().filter, filter);
        drop(former);
        Ok(())
    }

    fn readable_len(&self) -> Result<usize, Errno> {
        Ok(self.inbox.lock().first().map_or(0, |first| first.bytes.len()))
    }

    fn unsent_len(&self) -> Result<usize, Errno> {
        Ok(self.corked.lock().as_ref().map_or(0, Corked::cost))
    }

    fn close(&self) {
        let binding = self.name.lock().binding.take();
        drop(binding);
        self.inbox.lock().clear();
        let unsent = self.corked.lock().take();
        drop(unsent);
        *self.multicast.lock() = Multicast::default();
    }
}

impl Udp {
    /// Gives a message to a caller: its bytes from `skip` on as far as there is room, and what goes with them.
    fn give(
        &self,
        first: &Datagram,
        skip: usize,
        to: &mut Sink,
        flags: u32,
        message: &mut Incoming,
    ) -> Result<usize, Errno> {
        let len = first.bytes.len();
        let room = to.len();
        let count = to.put(&first.bytes[skip..])?;
        // Also of what the offset cuts in front, unless there is more room than for the rest.
        if room < len && room <= len - skip {
            message.flags |= MSG_TRUNC;
        }
        message.from = Some(Address::Inet(first.from));
        self.describe(first, message);
        let given = if flags & MSG_TRUNC != 0 { len } else { count };
        self.common.peek_offset.went(given, flags & MSG_PEEK != 0);
        Ok(given)
    }

    /// Whether a message of `source` for a group is for this socket too.
    fn hears(&self, membership: Membership, source: Ip) -> bool {
        let joined = self.multicast.lock().joined.hears(membership, source);
        joined.unwrap_or_else(|| match membership.group {
            Ip::V4(_) => self.is_on::<IPPROTO_IP, IP_MULTICAST_ALL>(),
            Ip::V6(_) => self.is_on::<IPPROTO_IPV6, IPV6_MULTICAST_ALL>(),
        })
    }
}
