//! TCP sockets.
//!
//! - [`Stream`]: a socket's states from socket(2) to close(2); [`connect`]: how two of them meet.
//! - [`connection`]: what a connected pair shares, and [`incoming`]: what one end of it has received.
//! - [`option`]: options of IPPROTO_TCP that are no plain numbers.

mod connect;
mod connection;
mod incoming;
mod option;

use super::options::InetOptions;
use super::outside;
use super::ports::{Binding, Holder, Ports, REST_NS, Sharing};
use super::route;
use crate::mm::user::{Sink, Source};
use crate::net::address::{Address, Inet, Ip};
use crate::net::message::{Incoming, Outgoing};
use crate::net::options::OptionValue;
use crate::net::protocol::{Common, Memory, Protocol};
use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
pub use connection::Link;
use event::{EventMask, Pollable, WaitQueue};
use libsyscall::abi::Errno;
use libsyscall::abi::socket::*;
use libsyscall::abi::time::NANOSECONDS;
use sync::SpinLock;

static PORTS: Ports<Stream> = Ports::new();

/// A listening socket's connections.
struct Listener {
    /// Made, and not accepted yet.
    pending: VecDeque<Arc<Stream>>,
    /// Sockets whose connect(2) waits for room.
    waiting: VecDeque<Arc<Stream>>,
    backlog: usize,
}

enum State {
    /// Not connected, or no longer.
    Fresh {
        error: Option<Errno>,
    },
    Connecting(Attempt),
    /// Connecting failed after connect(2) had returned. What is told of it: to the next call, once.
    Failed {
        error: Option<Errno>,
    },
    Listening(Listener),
    /// `told`: connect(2) has said that it is.
    Connected {
        link: Link,
        told: bool,
    },
    /// With the connection whose end is waited for (SO_LINGER).
    Closed(Option<Link>),
}

/// What connecting waits for.
enum Attempt {
    /// Room in a listener's queue.
    Listener(Weak<Stream>),
    /// An answer of another machine.
    Outside(outside::tcp::Id),
}

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

/// What a socket reports that failed to connect, but for the error.
const OVER: EventMask = EventMask::READABLE
    .union(EventMask::WRITABLE)
    .union(EventMask::HUP)
    .union(EventMask::RDHUP);
const REFUSED: EventMask = OVER.union(EventMask::ERR);

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

    /// The connection, or what a call gets that needs one: EAGAIN while connecting, else the error there is, else `other`.
    fn link(&self, other: Result<usize, Errno>) -> Result<Link, Result<usize, Errno>> {
        match &mut *self.state.lock() {
            State::Connected { link, .. } => Ok(link.clone()),
            State::Connecting(_) => Err(Err(Errno::EAGAIN)),
            State::Fresh { error } | State::Failed { error } => Err(error.take().map_or(other, Err)),
            State::Listening(_) | State::Closed(_) => Err(other),
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
        let v6_only = self.options.lock().is_on::<IPPROTO_IPV6, IPV6_V6ONLY>();
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

    /// Goes to another state, and ends what the old one had.
    fn leave(&self, next: State, abort: bool) {
        let old = core::mem::replace(&mut *self.state.lock(), next);
        match old {
            State::Connected { link, .. } => link.close(abort),
            State::Connecting(Attempt::Listener(listener)) => {
                if let Some(listener) = listener.upgrade() {
                    listener.forget(self);
                }
            }
            State::Connecting(Attempt::Outside(id)) => outside::tcp::give_up(id),
            State::Listening(listener) => {
                for socket in listener.pending {
                    if let Ok(link) = socket.link(Ok(0)) {
                        link.close(true);
                    }
                }
                for client in listener.waiting {
                    client.fail(Errno::ECONNREFUSED);
                }
            }
            State::Fresh { .. } | State::Failed { .. } | State::Closed(_) => {}
        }
        self.common.queue.wake_all(REFUSED);
    }
}

impl Holder for Stream {
    const MAY_KEEP_PORT: bool = true;

    fn keeps_port(&self) -> bool {
        self.is_listening()
    }

    fn takes_from(&self, from: Inet) -> Option<u32> {
        (self.is_listening() && route::admits(&self.common, from.ip)).then_some(0)
    }
}

impl Protocol for Stream {
    fn common(&self) -> &Common {
        &self.common
    }

    fn bind(self: Arc<Self>, at: &Address) -> Result<(), Errno> {
        match at {
            Address::Inet(at) => {
                route::check_bindable(at.ip, self.options.lock().binds_freely())?;
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
        shared.inspect_err(|_| self.leave(State::Fresh { error: None }, false))?;
        self.admit();
        Ok(())
    }

    fn connect(self: Arc<Self>, to: &Address, nonblocking: bool) -> Result<(), Errno> {
        match to {
            Address::Inet(to) => self.connect_to(*to, nonblocking),
            Address::Unspecified => {
                self.leave(State::Fresh { error: None }, true);
                Ok(())
            }
            Address::Unix(_) | Address::Netlink(_) => Err(Errno::EAFNOSUPPORT),
        }
    }

    /// EINVAL where it does not listen.
    fn accept(&self) -> Result<Arc<dyn Protocol>, Errno> {
        let mut state = self.state.lock();
        let State::Listening(listener) = &mut *state else {
            return Err(Errno::EINVAL);
        };
        let accepted = listener.pending.pop_front().ok_or(Errno::EAGAIN)?;
        drop(state);
        self.admit();
        Ok(accepted)
    }

    fn local_address(&self) -> Address {
        Address::Inet(self.local.lock().unwrap_or_else(|| self.any()))
    }

    fn peer_address(&self) -> Result<Address, Errno> {
        match &*self.state.lock() {
            State::Connected { link, .. } if !link.is_over() => {}
            _ => return Err(Errno::ENOTCONN),
        }
        Ok(Address::Inet(self.peer.lock().unwrap_or_else(|| self.any())))
    }

    fn is_listening(&self) -> bool {
        matches!(*self.state.lock(), State::Listening(_))
    }

    fn memory(&self) -> Memory {
        Memory {
            received: self.readable_len().unwrap_or(0),
            sent: self.unsent_len().unwrap_or(0),
            lost: 0,
        }
    }

    /// A socket that is not connected is a broken pipe.
    fn send(&self, from: &mut Source, message: &mut Outgoing) -> Result<usize, Errno> {
        if message.flags & MSG_FASTOPEN != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        match self.link(Err(Errno::EPIPE)) {
            Ok(link) => link.send(from, message.flags),
            Err(result) => result,
        }
    }

    fn receive(&self, to: &mut Sink, flags: u32, message: &mut Incoming) -> Result<usize, Errno> {
        let failed = matches!(*self.state.lock(), State::Failed { .. });
        let result = match self.link(if failed { Ok(0) } else { Err(Errno::ENOTCONN) }) {
            Ok(link) => {
                let result = link.receive(to, flags, &self.common.peek_offset);
                if result.is_ok() && self.options.lock().is_on::<IPPROTO_TCP, TCP_INQ>() {
                    message.control = Vec::from([link.rest()]);
                }
                result
            }
            Err(result) => result,
        };
        if flags & MSG_OOB != 0 && result.is_ok() {
            message.flags |= MSG_OOB;
        }
        result
    }

    /// A listener that stops reading stops listening, and who still connects no longer does.
    fn shut_down(&self, read: bool, write: bool) -> Result<(), Errno> {
        let state = self.state.lock();
        let next = match &*state {
            State::Connected { link, .. } => {
                let link = link.clone();
                drop(state);
                return link.shut_down(read, write);
            }
            State::Listening(_) if !read => return Ok(()),
            State::Listening(_) => None,
            State::Connecting(_) => Some(Errno::ECONNRESET),
            State::Fresh { .. } | State::Failed { .. } | State::Closed(_) => return Err(Errno::ENOTCONN),
        };
        drop(state);
        self.leave(State::Fresh { error: next }, false);
        Ok(())
    }

    fn take_error(&self) -> Option<Errno> {
        match &mut *self.state.lock() {
            State::Fresh { error } | State::Failed { error } => error.take(),
            State::Connected { link, .. } => link.take_error(),
            _ => None,
        }
    }

    fn set_option(&self, level: i32, name: i32, value: OptionValue) -> Result<(), Errno> {
        self.set_tcp_option(level, name, value)
    }

    fn option(&self, level: i32, name: i32) -> Result<Vec<u8>, Errno> {
        self.tcp_option(level, name)
    }

    /// Reaches the connection there is.
    fn option_set(&self, name: i32, value: i32) {
        let link = match &*self.state.lock() {
            State::Connected { link, .. } => link.clone(),
            _ => return,
        };
        option::apply(&link, name, value);
    }

    fn readable_len(&self) -> Result<usize, Errno> {
        match &*self.state.lock() {
            State::Listening(_) => Err(Errno::EINVAL),
            State::Connected { link, .. } => Ok(link.readable_len()),
            _ => Ok(0),
        }
    }

    fn unsent_len(&self) -> Result<usize, Errno> {
        match &*self.state.lock() {
            State::Listening(_) => Err(Errno::EINVAL),
            State::Connected { link, .. } => Ok(link.unread_len()),
            _ => Ok(0),
        }
    }

    fn at_mark(&self) -> Result<bool, Errno> {
        match &*self.state.lock() {
            State::Connected { link, .. } => Ok(link.at_mark()),
            _ => Ok(false),
        }
    }

    fn close(&self) {
        let link = match &*self.state.lock() {
            State::Connected { link, .. } => Some(link.clone()),
            _ => None,
        };
        let (lingers, seconds) = self.common.options.lock().linger;
        let waited_for = link.clone().filter(|_| lingers && seconds != 0);
        // Whether it is the first to end the connection, and how long it waits for the other's end then.
        let is_first = link.as_ref().is_some_and(|link| !link.ended().0);
        let wait_seconds = self.options.lock().int::<IPPROTO_TCP, TCP_LINGER2>();
        let mut aborts = lingers && seconds == 0;
        if !lingers && is_first && wait_seconds < 0 {
            // Not at all: the other gets this end, and that nobody is there behind it.
            if let Some(link) = &link {
                let _ = link.shut_down(false, true);
            }
            aborts = true;
        }
        self.leave(State::Closed(waited_for), aborts);
        // Taken first: dropped, it looks into the ports' table.
        let binding = self.binding.lock().take();
        let rest_ns = match u64::try_from(wait_seconds) {
            Ok(seconds) if is_first => seconds * NANOSECONDS,
            _ => REST_NS,
        };
        match binding {
            Some(binding) if link.is_some_and(|link| link.rests()) => PORTS.rest(binding, rest_ns),
            binding => drop(binding),
        }
    }

    fn has_delivered(&self) -> bool {
        match &*self.state.lock() {
            State::Closed(Some(link)) => link.has_delivered(),
            _ => true,
        }
    }
}

impl Pollable for Stream {
    fn readiness(&self) -> EventMask {
        let unconnected = EventMask::WRITABLE | EventMask::HUP;
        match &*self.state.lock() {
            State::Fresh { error: None } | State::Closed(_) => unconnected,
            State::Fresh { error: Some(_) } => unconnected | EventMask::ERR,
            State::Failed { error: None } => OVER,
            State::Failed { error: Some(_) } => REFUSED,
            State::Connecting(_) => EventMask::empty(),
            State::Listening(listener) if listener.pending.is_empty() => EventMask::empty(),
            State::Listening(_) => EventMask::READABLE,
            State::Connected { link, .. } => link.readiness(),
        }
    }

    fn wait_queue(&self) -> &WaitQueue {
        &self.common.queue
    }
}
