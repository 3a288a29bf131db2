//! A TCP socket's states from socket(2) to close(2).

use super::connection::{Connection, Link};
use super::options::InetOptions;
use super::ports::{Binding, Holder, Ports, Sharing};
use super::route::{self, Scope};
use crate::mm::user::{Sink, Source};
use crate::net::address::{Address, Inet, Ip};
use crate::net::message::{Incoming, Outgoing};
use crate::net::options::OptionValue;
use crate::net::protocol::{Common, Protocol};
use crate::task;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use event::{EventMask, Pollable, WaitQueue};
use libsyscall::abi::Errno;
use libsyscall::abi::socket::*;
use sync::SpinLock;

/// A listening socket's connections.
struct Listener {
    /// Made, and not accepted yet.
    pending: VecDeque<Arc<Stream>>,
    /// Sockets whose connect(2) waits for room.
    waiting: VecDeque<Arc<Stream>>,
    backlog: usize,
}

enum State {
    /// Not connected; perhaps because connecting failed, with the error that SO_ERROR gives.
    Fresh {
        error: Option<Errno>,
    },
    Connecting,
    Listening(Listener),
    Connected(Link),
    Closed,
}

static PORTS: Ports<Stream> = Ports::new();

/// Lock order: the ports' table, then one socket's state. Everything else is a leaf.
pub struct Stream {
    common: Common,
    state: SpinLock<State>,
    /// The port it holds, alone or with the connections it has accepted.
    binding: SpinLock<Option<Arc<Binding<Stream>>>>,
    local: SpinLock<Option<Inet>>,
    peer: SpinLock<Option<Inet>>,
    options: SpinLock<InetOptions>,
}

impl Stream {
    pub fn new(common: Common) -> Arc<Stream> {
        Arc::new(Stream::with_state(common, State::Fresh { error: None }))
    }

    fn with_state(common: Common, state: State) -> Stream {
        Stream {
            common,
            state: SpinLock::new(state),
            binding: SpinLock::new(None),
            local: SpinLock::new(None),
            peer: SpinLock::new(None),
            options: SpinLock::new(InetOptions::default()),
        }
    }

    /// The connection: ENOTCONN, or the error of connecting.
    fn link(&self) -> Result<Link, Errno> {
        match &mut *self.state.lock() {
            State::Connected(link) => Ok(link.clone()),
            State::Connecting => Err(Errno::EAGAIN),
            State::Fresh { error } => Err(error.take().unwrap_or(Errno::ENOTCONN)),
            State::Listening(_) | State::Closed => Err(Errno::ENOTCONN),
        }
    }

    /// The address of a socket without one.
    fn any(&self) -> Inet {
        let ip = Ip::any(self.common.domain);
        Inet { ip, port: 0 }
    }

    /// EINVAL where it is bound already, EADDRINUSE.
    fn take_port(self: &Arc<Self>, at: Inet) -> Result<(), Errno> {
        // Looked at before: in the condition below the lock would be held through the block.
        let bound = self.binding.lock().is_some();
        if bound {
            return Err(Errno::EINVAL);
        }
        let v6_only = self.options.lock().is_on(IPPROTO_IPV6, IPV6_V6ONLY);
        let binding = PORTS.bind(self, at, Sharing::of(&self.common, v6_only))?;
        *self.local.lock() = Some(Inet {
            port: binding.port,
            ..at
        });
        let earlier = self.binding.lock().replace(binding);
        // Without the lock: dropped, it looks into the ports' table.
        drop(earlier);
        Ok(())
    }

    /// A listener takes a connection in, or lets it wait; ECONNREFUSED where it is none.
    fn take_in(&self, client: &Arc<Stream>) -> Result<(), Errno> {
        let mut state = self.state.lock();
        let State::Listening(listener) = &mut *state else {
            return Err(Errno::ECONNREFUSED);
        };
        // Linux takes one more than the backlog says.
        if listener.pending.len() > listener.backlog {
            listener.waiting.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            listener.waiting.push_back(client.clone());
            return Ok(());
        }
        listener.pending.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        drop(state);
        self.establish(client)
    }

    /// Connects `client` to a new socket in this listener's queue.
    fn establish(&self, client: &Arc<Stream>) -> Result<(), Errno> {
        let common = self.common.accepted();
        let queues = [client.common.queue.clone(), common.queue.clone()];
        let [near, far] = Connection::pair(queues);
        let server = Stream::with_state(common, State::Connected(far));
        *server.binding.lock() = self.binding.lock().clone();
        *server.local.lock() = *client.peer.lock();
        *server.peer.lock() = *client.local.lock();
        *server.options.lock() = *self.options.lock();

        let mut state = self.state.lock();
        let State::Listening(listener) = &mut *state else {
            return Err(Errno::ECONNREFUSED);
        };
        listener.pending.push_back(Arc::new(server));
        drop(state);
        *client.state.lock() = State::Connected(near);
        self.common.queue.wake(EventMask::READABLE);
        client.common.queue.wake(EventMask::WRITABLE);
        Ok(())
    }

    fn refuse(&self, error: Errno) {
        *self.state.lock() = State::Fresh { error: Some(error) };
        self.common.queue.wake(REFUSED);
    }

    /// Goes to another state, and ends what the old one had.
    fn leave(&self, next: State) {
        let old = core::mem::replace(&mut *self.state.lock(), next);
        let (linger, seconds) = self.common.options.lock().linger;
        match old {
            State::Connected(link) => link.close(linger && seconds == 0),
            State::Listening(listener) => {
                for socket in listener.pending {
                    if let Ok(link) = socket.link() {
                        link.close(true);
                    }
                }
                for client in listener.waiting {
                    client.refuse(Errno::ECONNREFUSED);
                }
            }
            State::Fresh { .. } | State::Connecting | State::Closed => {}
        }
        self.common.queue.wake(REFUSED);
    }
}

/// What a socket reports that failed to connect.
const REFUSED: EventMask = EventMask::READABLE
    .union(EventMask::WRITABLE)
    .union(EventMask::ERR)
    .union(EventMask::HUP)
    .union(EventMask::RDHUP);

impl Protocol for Stream {
    fn common(&self) -> &Common {
        &self.common
    }

    fn bind(self: Arc<Self>, at: &Address) -> Result<(), Errno> {
        match at {
            Address::Inet(at) => {
                route::check_bindable(at.ip)?;
                self.take_port(*at)
            }
            _ => Err(Errno::EAFNOSUPPORT),
        }
    }

    /// EINVAL where it is connected. Without a port it gets one.
    fn listen(self: Arc<Self>, backlog: usize) -> Result<(), Errno> {
        let bound = self.binding.lock().clone();
        if bound.is_none() {
            self.take_port(self.any())?;
        }
        match &mut *self.state.lock() {
            State::Listening(listener) => listener.backlog = backlog,
            state @ State::Fresh { .. } => {
                *state = State::Listening(Listener {
                    pending: VecDeque::new(),
                    waiting: VecDeque::new(),
                    backlog,
                });
            }
            _ => return Err(Errno::EINVAL),
        }
        // Looked at only now that others see this one listen: of two at once, at least one is told.
        let shared = bound.map_or(Ok(()), |binding| PORTS.check_listen(&binding));
        shared.inspect_err(|_| self.leave(State::Fresh { error: None }))
    }

    /// Waits until the connection is in the listener's queue, unless `nonblocking`: EINPROGRESS then.
    fn connect(self: Arc<Self>, to: &Address, nonblocking: bool) -> Result<(), Errno> {
        let Address::Inet(to) = to else {
            return Err(Errno::EAFNOSUPPORT);
        };
        let to = Inet {
            ip: to.ip.or_loopback(),
            ..*to
        };
        let route = route::to(to.ip)?;
        if route.scope != Scope::One {
            return Err(Errno::ENETUNREACH);
        }
        match &mut *self.state.lock() {
            State::Connected(_) => return Err(Errno::EISCONN),
            State::Connecting => return Err(Errno::EALREADY),
            State::Listening(_) | State::Closed => return Err(Errno::EINVAL),
            State::Fresh { error } => {
                if let Some(error) = error.take() {
                    return Err(error);
                }
            }
        }
        let bound = self.binding.lock().is_some();
        if !bound {
            let ip = route.source;
            self.take_port(Inet { ip, port: 0 })?;
        }
        let from = self.local.lock().unwrap_or(self.any());
        *self.state.lock() = State::Connecting;
        *self.peer.lock() = Some(to);
        let placed = match PORTS.taker(to, from) {
            Some(listener) => listener.take_in(&self),
            None => Err(Errno::ECONNREFUSED),
        };
        if let Err(error) = placed {
            *self.state.lock() = State::Fresh {
                error: nonblocking.then_some(error),
            };
            if !nonblocking {
                return Err(error);
            }
            self.common.queue.wake(REFUSED);
        }
        if nonblocking {
            return Err(Errno::EINPROGRESS);
        }
        let attempt = || match &mut *self.state.lock() {
            State::Connecting => Err(Errno::EAGAIN),
            State::Fresh { error } => Err(error.take().unwrap_or(Errno::ECONNREFUSED)),
            _ => Ok(()),
        };
        match attempt() {
            Err(Errno::EAGAIN) => task::block_on(&self.common.queue, EventMask::WRITABLE, None, attempt),
            result => result,
        }
    }

    /// EINVAL where it does not listen.
    fn accept(&self) -> Result<Arc<dyn Protocol>, Errno> {
        let mut state = self.state.lock();
        let State::Listening(listener) = &mut *state else {
            return Err(Errno::EINVAL);
        };
        let accepted = listener.pending.pop_front().ok_or(Errno::EAGAIN)?;
        let next = listener.waiting.pop_front();
        drop(state);
        if let Some(client) = next
            && let Err(error) = self.establish(&client)
        {
            client.refuse(error);
        }
        Ok(accepted)
    }

    fn local_address(&self) -> Address {
        Address::Inet(self.local.lock().unwrap_or_else(|| self.any()))
    }

    fn peer_address(&self) -> Result<Address, Errno> {
        if !matches!(*self.state.lock(), State::Connected(_)) {
            return Err(Errno::ENOTCONN);
        }
        Ok(Address::Inet(self.peer.lock().unwrap_or_else(|| self.any())))
    }

    fn is_listening(&self) -> bool {
        matches!(*self.state.lock(), State::Listening(_))
    }

    fn send(&self, from: &mut Source, _message: &mut Outgoing) -> Result<usize, Errno> {
        match self.link() {
            // A socket that is not connected is a broken pipe.
            Err(Errno::ENOTCONN) => Err(Errno::EPIPE),
            link => link?.send(from),
        }
    }

    fn receive(&self, to: &mut Sink, flags: u32, _message: &mut Incoming) -> Result<usize, Errno> {
        self.link()?.receive(to, flags & MSG_PEEK != 0)
    }

    /// A listener that stops reading stops listening.
    fn shut_down(&self, read: bool, write: bool) -> Result<(), Errno> {
        if read && self.is_listening() {
            self.leave(State::Fresh { error: None });
            return Ok(());
        }
        self.link().map_err(|_| Errno::ENOTCONN)?.shut_down(read, write)
    }

    fn take_error(&self) -> Option<Errno> {
        match &mut *self.state.lock() {
            State::Fresh { error } => error.take(),
            State::Connected(link) => link.take_error(),
            _ => None,
        }
    }

    fn set_option(&self, level: i32, name: i32, value: OptionValue) -> Result<(), Errno> {
        let mut options = self.options.lock();
        options.set(self.common.domain, IPPROTO_TCP, level, name, value)
    }

    fn option(&self, level: i32, name: i32) -> Result<Vec<u8>, Errno> {
        let options = self.options.lock();
        options.get(self.common.domain, IPPROTO_TCP, level, name)
    }

    /// Reaches the connection there is.
    fn option_set(&self, name: i32, value: i32) {
        if let (SO_SNDBUF | SO_RCVBUF, State::Connected(link)) = (name, &*self.state.lock()) {
            link.set_capacity(name == SO_SNDBUF, value as usize);
        }
    }

    fn readable_len(&self) -> Result<usize, Errno> {
        match &*self.state.lock() {
            State::Listening(_) => Err(Errno::EINVAL),
            State::Connected(link) => Ok(link.readable_len()),
            _ => Ok(0),
        }
    }

    fn unsent_len(&self) -> Result<usize, Errno> {
        match &*self.state.lock() {
            State::Listening(_) => Err(Errno::EINVAL),
            State::Connected(link) => Ok(link.unread_len()),
            _ => Ok(0),
        }
    }

    fn close(&self) {
        // Taken first: dropped, it looks into the ports' table.
        let binding = self.binding.lock().take();
        drop(binding);
        self.leave(State::Closed);
    }
}

impl Holder for Stream {
    fn keeps_port(&self) -> bool {
        self.is_listening()
    }

    fn takes_from(&self, _from: Inet) -> Option<u32> {
        self.is_listening().then_some(0)
    }
}

impl Pollable for Stream {
    fn readiness(&self) -> EventMask {
        match &*self.state.lock() {
            State::Fresh { error: Some(_) } => REFUSED,
            State::Fresh { error: None } | State::Closed => EventMask::WRITABLE | EventMask::HUP,
            State::Connecting => EventMask::empty(),
            State::Listening(listener) if listener.pending.is_empty() => EventMask::empty(),
            State::Listening(_) => EventMask::READABLE,
            State::Connected(link) => link.readiness(),
        }
    }

    fn wait_queue(&self) -> &WaitQueue {
        &self.common.queue
    }
}
