//! How two sockets meet: connect(2) on one side, a listener's queues on the other. Either side may be another machine.

use super::connection::{Connection, Link};
use super::{Attempt, Listener, PORTS, REFUSED, State, Stream, option};
use crate::net::address::{Inet, Ip};
use crate::net::inet::outside;
use crate::net::inet::route::{self, Scope};
use crate::net::protocol::Common;
use crate::net::socket::deadline;
use crate::task;
use alloc::sync::Arc;
use core::sync::atomic::Ordering::SeqCst;
use event::EventMask;
use libsyscall::abi::Errno;
use libsyscall::abi::socket::*;

impl Stream {
    /// connect(2). Waits until the connection is in the listener's queue, unless `nonblocking`: EINPROGRESS then, and EALREADY
    /// when asked again; once it is made, one call is told so and later ones get EISCONN.
    pub(super) fn connect_to(self: &Arc<Self>, to: Inet, nonblocking: bool) -> Result<(), Errno> {
        let mut state = self.state.lock();
        match &mut *state {
            State::Connected { told: false, .. } => {}
            State::Connected { .. } | State::Listening(_) => return Err(Errno::EISCONN),
            State::Connecting(_) if nonblocking => return Err(Errno::EALREADY),
            State::Connecting(_) => {}
            State::Closed(_) => return Err(Errno::EBADF),
            State::Failed { error } => {
                let error = error.take().unwrap_or(Errno::ECONNABORTED);
                *state = State::Fresh { error: None };
                return Err(error);
            }
            State::Fresh { .. } => {
                drop(state);
                // Who is told by signals hears of the end as of room.
                self.common.missed_room.store(true, SeqCst);
                self.start(to)?;
                if nonblocking {
                    return Err(Errno::EINPROGRESS);
                }
                return self.await_connection();
            }
        }
        drop(state);
        self.await_connection()
    }

    /// Begins to connect: an error of the address is told at once, that nobody listens is not.
    fn start(self: &Arc<Self>, to: Inet) -> Result<(), Errno> {
        match to.ip {
            Ip::V6(_) if self.common.domain == AF_INET => return Err(Errno::EAFNOSUPPORT),
            Ip::V4(_) if self.options.lock().is_on::<IPPROTO_IPV6, IPV6_V6ONLY>() => return Err(Errno::ENETUNREACH),
            _ => {}
        }
        let to = Inet {
            ip: to.ip.or_loopback(),
            ..to
        };
        let route = route::to(to.ip)?;
        if route.scope != Scope::One {
            return Err(Errno::ENETUNREACH);
        }
        route::check_interface(&self.common, &route)?;
        let bound = self.binding.lock().is_some();
        if !bound {
            let ip = route.source;
            self.take_port(Inet { ip, port: 0 })?;
        }
        let mut local = self.local.lock();
        let from = local.as_mut().ok_or(Errno::EINVAL)?;
        if from.ip.is_unspecified() {
            from.ip = route.source;
        }
        let from = *from;
        drop(local);
        route::check_source(&route, from.ip)?;
        *self.peer.lock() = Some(to);
        if route.interface == route::OUTSIDE {
            let id = outside::tcp::new_id();
            *self.state.lock() = State::Connecting(Attempt::Outside(id));
            if let Err(error) = outside::tcp::connect(id, self, from, to) {
                self.fail(error);
            }
            return Ok(());
        }
        let taker = PORTS.taker(to, from);
        let listener = taker.as_ref().map(Arc::downgrade).unwrap_or_default();
        *self.state.lock() = State::Connecting(Attempt::Listener(listener));
        let placed = taker.map_or(Err(Errno::ECONNREFUSED), |listener| listener.take_in(self));
        if let Err(error) = placed {
            self.fail(error);
        }
        Ok(())
    }

    /// Waits for the end of connecting: what it came to, or EINPROGRESS past SO_SNDTIMEO.
    fn await_connection(&self) -> Result<(), Errno> {
        let attempt = || {
            let mut state = self.state.lock();
            match &mut *state {
                State::Connecting(_) => Err(Errno::EAGAIN),
                State::Connected { told, .. } => {
                    *told = true;
                    Ok(())
                }
                State::Failed { error } => {
                    let error = error.take().unwrap_or(Errno::ECONNABORTED);
                    *state = State::Fresh { error: None };
                    Err(error)
                }
                State::Fresh { error } => Err(error.take().unwrap_or(Errno::ECONNABORTED)),
                State::Listening(_) | State::Closed(_) => Err(Errno::EINVAL),
            }
        };
        match attempt() {
            Err(Errno::EAGAIN) => {}
            result => return result,
        }
        let deadline_ns = deadline(self.common.options.lock().send_timeout_ns);
        let interest = EventMask::WRITABLE | EventMask::ALWAYS;
        task::block_on(&self.common.queue, interest, deadline_ns, attempt).map_err(|error| match error {
            Errno::EAGAIN => Errno::EINPROGRESS,
            other => other,
        })
    }

    /// Connecting has come to nothing.
    pub fn fail(&self, error: Errno) {
        let mut state = self.state.lock();
        if !matches!(*state, State::Connecting(_)) {
            return;
        }
        *state = State::Failed { error: Some(error) };
        drop(state);
        self.common.queue.wake(REFUSED);
    }

    /// A listener takes a connection in, or lets it wait; ECONNREFUSED where it is none, ENOMEM.
    fn take_in(&self, client: &Arc<Stream>) -> Result<(), Errno> {
        let mut state = self.state.lock();
        let State::Listening(listener) = &mut *state else {
            return Err(Errno::ECONNREFUSED);
        };
        if !listener.has_room() {
            listener.waiting.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            listener.waiting.push_back(client.clone());
            return Ok(());
        }
        drop(state);
        self.establish(client)
    }

    /// Lets in who waits, as far as there is room.
    pub(super) fn admit(&self) {
        loop {
            let mut state = self.state.lock();
            let State::Listening(listener) = &mut *state else {
                return;
            };
            if !listener.has_room() {
                return;
            }
            let Some(client) = listener.waiting.pop_front() else {
                return;
            };
            drop(state);
            if let Err(error) = self.establish(&client) {
                client.fail(error);
            }
        }
    }

    /// A client no longer waits.
    pub(super) fn forget(&self, client: &Stream) {
        let mut state = self.state.lock();
        if let State::Listening(listener) = &mut *state {
            let place = listener
                .waiting
                .iter()
                .position(|waiting| core::ptr::eq(&**waiting, client));
            let forgotten = place.and_then(|place| listener.waiting.remove(place));
            // Without the lock: a socket's end has locks of its own.
            drop(state);
            drop(forgotten);
        }
    }

    /// Connects `client`, if it still wants to, to a new socket in this listener's queue.
    fn establish(&self, client: &Arc<Stream>) -> Result<(), Errno> {
        if let State::Listening(listener) = &mut *self.state.lock() {
            listener.pending.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        }
        let common = self.common.accepted();
        let [near, far] = Connection::pair([client.common.queue.clone(), common.queue.clone()]);
        option::apply_all(&near, &client.common);
        option::apply_all(&far, &common);
        let ends = [*client.peer.lock(), *client.local.lock()];
        let server = self.server(common, far.clone(), ends);
        let mut state = client.state.lock();
        if !matches!(*state, State::Connecting(_)) {
            return Ok(());
        }
        *state = State::Connected {
            link: near,
            told: false,
        };
        drop(state);
        client.common.queue.wake(EventMask::WRITABLE);

        if !self.enqueue(server) {
            // It has stopped listening in the meantime.
            far.close(true);
        }
        Ok(())
    }

    /// A socket for this listener's end of a connection, between its own address and the peer's.
    fn server(&self, common: Common, link: Link, [local, peer]: [Option<Inet>; 2]) -> Stream {
        let server = Stream::with_state(common, State::Connected { link, told: true });
        *server.binding.lock() = self.binding.lock().clone();
        *server.local.lock() = local;
        *server.peer.lock() = peer;
        *server.options.lock() = *self.options.lock();
        server
    }

    /// Puts a connection into the queue; false where this does not listen any more. The room reserved before may have gone to
    /// one made at the same time, on another CPU.
    fn enqueue(&self, server: Stream) -> bool {
        let mut state = self.state.lock();
        let State::Listening(listener) = &mut *state else {
            return false;
        };
        if listener.pending.try_reserve(1).is_err() {
            return false;
        }
        listener.pending.push_back(Arc::new(server));
        drop(state);
        self.common.queue.wake(EventMask::READABLE);
        true
    }
}

/// Connections with other machines.
impl Stream {
    /// Who listens to what comes from `from` for `to`.
    pub fn listener(to: Inet, from: Inet) -> Option<Arc<Stream>> {
        PORTS.taker(to, from)
    }

    /// Whether one more connection may be made.
    pub fn has_room(&self) -> bool {
        matches!(&*self.state.lock(), State::Listening(listener) if listener.has_room())
    }

    /// A connection with a listener is made: its far end, unless it does not listen any more.
    pub fn accept_outside(&self, id: outside::tcp::Id, local: Inet, peer: Inet) -> Option<Link> {
        if let State::Listening(listener) = &mut *self.state.lock() {
            listener.pending.try_reserve(1).ok()?;
        }
        let common = self.common.accepted();
        let [near, far] = Connection::with_outside(common.queue.clone(), id);
        option::apply_all(&near, &common);
        let server = self.server(common, near, [Some(local), Some(peer)]);
        self.enqueue(server).then_some(far)
    }

    /// The connection of connect(2) is made: its far end, unless nobody waits for it any more.
    pub fn connected_outside(&self, id: outside::tcp::Id) -> Option<Link> {
        let [link, far] = Connection::with_outside(self.common.queue.clone(), id);
        option::apply_all(&link, &self.common);
        let mut state = self.state.lock();
        if !matches!(*state, State::Connecting(_)) {
            return None;
        }
        *state = State::Connected { link, told: false };
        drop(state);
        self.common.queue.wake(EventMask::WRITABLE);
        Some(far)
    }
}

impl Listener {
    /// Linux takes one more than the backlog says.
    fn has_room(&self) -> bool {
        self.pending.len() <= self.backlog
    }
}
