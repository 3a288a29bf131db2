//! The way of a message: from a socket through a route to whoever is at its port, or back as an error.

use super::inbox::{self, Complaint, Datagram};
use super::{PORTS, Udp, WRITABLE, control};
use crate::mm::user::Source;
use crate::net::address::{Address, Inet, Ip};
use crate::net::inet::groups::{self, Membership};
use crate::net::inet::outside;
use crate::net::inet::route::{self, Route, Scope};
use crate::net::message::Outgoing;
use crate::time;
use alloc::sync::Arc;
use alloc::vec::Vec;
use event::EventMask;
use libsyscall::abi::Errno;
use libsyscall::abi::socket::*;

/// The longest message: what 16 bits of length leave behind IPv4's and UDP's headers, and behind UDP's alone.
const LONGEST_V4: usize = 65_507;
const LONGEST_V6: usize = 65_527;
/// Messages that one send makes at most (UDP_SEGMENT).
const SEGMENTS_MAX: usize = 128;

/// A message that grows until it is sent as one. Where it goes was settled when it began.
pub struct Corked {
    datagram: Datagram,
    route: Route,
}

impl Corked {
    /// What it takes of the socket's buffer.
    pub fn cost(&self) -> usize {
        inbox::cost(self.datagram.bytes.len())
    }

    /// Adds bytes behind those there are: EMSGSIZE, ENOBUFS, EFAULT.
    fn add(&mut self, from: &mut Source) -> Result<(), Errno> {
        let bytes = &mut self.datagram.bytes;
        let (start, len) = (bytes.len(), from.len());
        if start + len > longest(self.datagram.to.ip) {
            return Err(Errno::EMSGSIZE);
        }
        bytes.try_reserve(len).map_err(|_| Errno::ENOBUFS)?;
        bytes.resize(start + len, 0);
        if from.get(&mut bytes[start..])? < len {
            return Err(Errno::EFAULT);
        }
        Ok(())
    }

    /// Cuts a row into its messages, where it is one: EINVAL for too many.
    fn cut(&mut self) -> Result<(), Errno> {
        let len = self.datagram.bytes.len();
        let segment_len = &mut self.datagram.segment_len;
        *segment_len = segment_len.filter(|&segment| segment > 0 && usize::from(segment) < len);
        match *segment_len {
            Some(segment) if len.div_ceil(segment.into()) > SEGMENTS_MAX => Err(Errno::EINVAL),
            _ => Ok(()),
        }
    }
}

fn longest(to: Ip) -> usize {
    match to {
        Ip::V4(_) => LONGEST_V4,
        Ip::V6(_) => LONGEST_V6,
    }
}

impl Udp {
    pub(super) fn send_message(&self, from: &mut Source, message: &Outgoing) -> Result<usize, Errno> {
        if message.flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let len = from.len();
        if len > usize::from(u16::MAX) {
            return Err(Errno::EMSGSIZE);
        }
        let corks = message.flags & MSG_MORE != 0 || self.is_on::<IPPROTO_UDP, UDP_CORK>();
        let mut corked = self.corked.lock();
        if let Some(begun) = &mut *corked {
            // The rest of a message goes where its beginning does, whatever is said of it. What can't be added is the end of
            // all of it.
            let added = begun.add(from);
            let whole = if corks && added.is_ok() { None } else { corked.take() };
            drop(corked);
            added?;
            whole.map_or(Ok(()), |whole| self.dispatch(whole))?;
            return Ok(len);
        }
        drop(corked);
        let begun = self.begin(from, message)?;
        if !corks {
            self.dispatch(begun)?;
            return Ok(len);
        }
        let mut corked = self.corked.lock();
        if corked.is_some() {
            // Another thread's message has begun in the meantime.
            return Err(Errno::EINVAL);
        }
        *corked = Some(begun);
        Ok(len)
    }

    /// UDP_CORK is off: what there is of a message goes, or is lost, which nobody is told.
    pub(super) fn uncork(&self) {
        let begun = self.corked.lock().take();
        if let Some(whole) = begun {
            let _ = self.dispatch(whole);
        }
    }

    /// A message with its first bytes, and where it goes.
    fn begin(&self, from: &mut Source, message: &Outgoing) -> Result<Corked, Errno> {
        self.ensure_port()?;
        let to = match &message.to {
            Some(Address::Inet(to)) if to.port == 0 => return Err(Errno::EINVAL),
            Some(Address::Inet(to)) => self.destination(*to)?,
            Some(Address::Unix(_) | Address::Netlink(_)) => return Err(Errno::EAFNOSUPPORT),
            Some(Address::Unspecified) | None => self.name.lock().peer.ok_or(Errno::EDESTADDRREQ)?,
        };
        if from.len() > longest(to.ip) {
            return Err(Errno::EMSGSIZE);
        }
        let asked = control::asked(&message.control)?;
        let route = route::to(to.ip)?;
        route::check_interface(&self.common, &route)?;
        if route.scope == Scope::Everyone && !self.common.options.lock().is_on::<SO_BROADCAST>() {
            return Err(Errno::EACCES);
        }
        let mut inbox = self.inbox.lock();
        if let Some(error) = inbox.error.take() {
            return Err(error);
        }
        if inbox.shut_write {
            return Err(Errno::EPIPE);
        }
        drop(inbox);
        let segment_len = asked.segment_len;
        let datagram = Datagram {
            from: self.source(to, &route, asked.source)?,
            to,
            interface: route.interface,
            ttl: asked.ttl.unwrap_or_else(|| self.time_to_live(to, &route)),
            tos: asked.tos.unwrap_or_else(|| self.type_of_service(to)),
            arrival_ns: 0,
            lost_before: 0,
            segment_len: segment_len.or_else(|| Some(self.option::<IPPROTO_UDP, UDP_SEGMENT>() as u16)),
            mark: self.common.options.lock().int::<SO_MARK>() as u32,
            was_seen: false,
            bytes: Vec::new(),
        };
        let mut corked = Corked { datagram, route };
        corked.add(from)?;
        Ok(corked)
    }

    /// Sends a whole message on its way: EINVAL for a row of too many.
    fn dispatch(&self, mut whole: Corked) -> Result<(), Errno> {
        whole.cut()?;
        let Corked { mut datagram, route } = whole;
        datagram.arrival_ns = time::realtime_ns();
        if route.interface == route::OUTSIDE {
            for bytes in datagram.messages() {
                outside::udp::send(&datagram, bytes)?;
            }
        } else {
            self.deliver(datagram, route.scope)?;
        }
        // It has left, and its room is there again.
        self.common.queue.wake(WRITABLE);
        Ok(())
    }

    /// The address a message is from: the socket's own, else the one asked for with it, else the route's.
    fn source(&self, to: Inet, route: &Route, asked: Option<Ip>) -> Result<Inet, Errno> {
        let name = self.name.lock();
        let port = name.binding.as_ref().map_or(0, |binding| binding.port);
        let own = name
            .ip
            .filter(|&ip| !ip.is_unspecified() && route::scope(ip) == Scope::One);
        drop(name);
        let group_source = (route.scope == Scope::Group)
            .then(|| self.multicast.lock().interface_v4)
            .flatten();
        let ip = asked.or(own).or(group_source).unwrap_or(route.source);
        route::check_source(route, ip)?;
        match (ip, to.ip) {
            (Ip::V4(_), Ip::V4(_)) | (Ip::V6(_), Ip::V6(_)) => Ok(Inet { ip, port }),
            // Bound to an address of the other family.
            _ => Err(Errno::ENETUNREACH),
        }
    }

    fn time_to_live(&self, to: Inet, route: &Route) -> u8 {
        let hops = match (to.ip, route.scope) {
            (Ip::V4(_), Scope::Group) => self.option::<IPPROTO_IP, IP_MULTICAST_TTL>(),
            (Ip::V4(_), _) => self.option::<IPPROTO_IP, IP_TTL>(),
            (Ip::V6(_), Scope::Group) => self.option::<IPPROTO_IPV6, IPV6_MULTICAST_HOPS>(),
            (Ip::V6(_), _) => self.option::<IPPROTO_IPV6, IPV6_UNICAST_HOPS>(),
        };
        hops as u8
    }

    fn type_of_service(&self, to: Inet) -> u8 {
        match to.ip {
            Ip::V4(_) => self.option::<IPPROTO_IP, IP_TOS>() as u8,
            Ip::V6(_) => self.option::<IPPROTO_IPV6, IPV6_TCLASS>() as u8,
        }
    }

    /// Hands a message to whoever is at its port. Where nobody is, the sender is told so, as a host would by ICMP.
    fn deliver(&self, datagram: Datagram, scope: Scope) -> Result<(), Errno> {
        if scope != Scope::One {
            return deliver_to_many(datagram, scope);
        }
        match PORTS.taker(datagram.to, datagram.from) {
            Some(socket) => socket.put(datagram),
            None => self.unreachable(datagram),
        }
        Ok(())
    }

    /// A message has come, or a row of them, which comes in one piece to who takes that (UDP_GRO). What there is no room or
    /// memory for is lost.
    fn put(&self, datagram: Datagram) {
        let limit = self.queue_limit();
        let mut inbox = self.inbox.lock();
        let arrived = if datagram.segment_len.is_none() || self.is_on::<IPPROTO_UDP, UDP_GRO>() {
            inbox.put(datagram, limit)
        } else {
            let put_one = |bytes| datagram.with(bytes).is_ok_and(|message| inbox.put(message, limit));
            datagram.messages().map(put_one).fold(false, |some, put| some | put)
        };
        drop(inbox);
        if arrived {
            self.common.queue.wake(EventMask::READABLE);
        }
    }

    /// SO_RCVBUF.
    fn queue_limit(&self) -> usize {
        self.common.options.lock().get(SO_RCVBUF).unwrap_or(0) as usize
    }

    /// Nobody was at the port. Who asked for errors (IP_RECVERR) hears of it; who did not does if connected to it.
    fn unreachable(&self, datagram: Datagram) {
        const PORT_UNREACHABLE_V4: (u8, u8) = (3, 3);
        const PORT_UNREACHABLE_V6: (u8, u8) = (1, 4);
        let (asks, icmp) = match datagram.to.ip {
            Ip::V4(_) => (self.is_on::<IPPROTO_IP, IP_RECVERR>(), PORT_UNREACHABLE_V4),
            Ip::V6(_) => (self.is_on::<IPPROTO_IPV6, IPV6_RECVERR>(), PORT_UNREACHABLE_V6),
        };
        let peer = self.name.lock().peer;
        // One connected elsewhere is not found by the addresses in the ICMP message.
        if peer.map_or(!asks, |peer| peer != datagram.to) {
            return;
        }
        let mut inbox = self.inbox.lock();
        if asks {
            let complaint = Complaint {
                error: Errno::ECONNREFUSED,
                icmp,
                offender: Inet { port: 0, ..datagram.to },
                to: datagram.to,
                bytes: datagram.bytes,
            };
            let limit = self.queue_limit();
            inbox.complain(complaint, limit);
        } else {
            inbox.error = Some(Errno::ECONNREFUSED);
        }
        drop(inbox);
        self.common.queue.wake(EventMask::ERR);
    }
}

/// A message has come from another machine. Nobody is told where nobody is at its port.
pub fn arrived(datagram: Datagram) {
    if let Some(socket) = PORTS.taker(datagram.to, datagram.from) {
        socket.put(datagram);
    }
}

/// Hands a message to everyone it is for: ENOMEM. Nobody is told where that is nobody.
fn deliver_to_many(datagram: Datagram, scope: Scope) -> Result<(), Errno> {
    let membership = Membership {
        group: datagram.to.ip,
        interface: datagram.interface,
    };
    if scope == Scope::Group && !groups::has_members(membership) {
        return Ok(());
    }
    let receivers: Vec<Arc<Udp>> = PORTS.takers(datagram.to, datagram.from)?;
    for socket in receivers {
        if scope == Scope::Group && !socket.hears(membership, datagram.from.ip) {
            continue;
        }
        let segment_len = datagram.segment_len;
        socket.put(Datagram {
            segment_len,
            ..datagram.with(&datagram.bytes)?
        });
    }
    Ok(())
}
