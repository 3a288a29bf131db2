//! A SOCK_STREAM or SOCK_SEQPACKET socket of AF_UNIX, from socket(2) to close(2).

use super::author::Passes;
use super::connection::{ARRIVED, CHANGED, Connection, Link, WRITABLE};
use super::names::{self, Name, Owner};
use super::queue::Receive;
use super::rights::{self, Rights};
use crate::mm::user::{Sink, Source};
use crate::net::address::Address;
use crate::net::message::{Incoming, Outgoing};
use crate::net::peek::PeekOffset;
use crate::net::protocol::{Common, Party, Protocol};
use crate::net::socket::deadline;
use crate::task;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use bpf::Program;
use core::sync::atomic::AtomicUsize;
use event::{EventMask, Pollable, WaitQueue};
use libsyscall::abi::Errno;
use libsyscall::abi::socket::*;
use spin::Once;
use sync::SpinLock;

/// A listening socket's connections, made and not accepted yet.
struct Listener {
    pending: VecDeque<Arc<Stream>>,
    backlog: usize,
    /// Who called listen(2): whom clients see as their peer.
    party: Party,
}

enum State {
    Unconnected,
    Listening(Listener),
    Connected(Link),
    Closed,
}

struct Inner {
    state: State,
    /// shutdown(2) for reading and writing, while it is not connected.
    shut: (bool, bool),
}

pub struct Stream {
    common: Common,
    inner: SpinLock<Inner>,
    /// The connection once it is made, for who sends, receives or asks: it stays what it is until the socket goes, so they
    /// take neither lock nor share.
    established: Once<Link>,
    name: Arc<Name>,
    /// The name of the other end, and who that was when the connection was made.
    peer: SpinLock<Option<Arc<Name>>>,
    party: SpinLock<Option<Party>>,
    /// Of a listening socket: who waits for room in its queue.
    connecting: WaitQueue,
}

impl Stream {
    pub fn new(common: Common) -> Arc<Stream> {
        Arc::new(Stream::with_state(common, State::Unconnected))
    }

    fn with_state(common: Common, state: State) -> Stream {
        let established = match &state {
            State::Connected(link) => Once::initialized(link.clone()),
            _ => Once::new(),
        };
        Stream {
            common,
            established,
            inner: SpinLock::new(Inner {
                state,
                shut: (false, false),
            }),
            name: Arc::default(),
            peer: SpinLock::new(None),
            party: SpinLock::new(None),
            connecting: WaitQueue::new(),
        }
    }

    /// socketpair(2): two sockets connected to each other.
    pub fn pair(commons: [Common; 2]) -> [Arc<dyn Protocol>; 2] {
        let queues = [&commons[0], &commons[1]].map(|common| common.queue.clone());
        let messages = commons[0].kind == SOCK_SEQPACKET;
        let [first, second] = Connection::pair(messages, queues);
        let [one, other] = commons;
        let sockets = [(one, first), (other, second)].map(|(common, link)| {
            let socket = Stream::with_state(common, State::Connected(link));
            *socket.party.lock() = Some(Party::running());
            Arc::new(socket)
        });
        for (socket, peer) in [(0, 1), (1, 0)] {
            *sockets[socket].peer.lock() = Some(sockets[peer].name.clone());
        }
        sockets.map(|socket| -> Arc<dyn Protocol> { socket })
    }

    pub fn kind(&self) -> u32 {
        self.common.kind
    }

    /// The connection, lent, once connect(2) has made it; or `error`.
    #[inline]
    fn established(&self, error: Errno) -> Result<&Link, Errno> {
        self.established.get().ok_or(error)
    }

    /// A share of the connection, or `error`.
    fn link(&self, error: Errno) -> Result<Link, Errno> {
        match &self.inner.lock().state {
            State::Connected(link) => Ok(link.clone()),
            _ => Err(error),
        }
    }

    /// Connects `client` to a new socket in this listener's queue. EAGAIN where that is full, ECONNREFUSED where this
    /// does not listen.
    fn take_in(&self, client: &Stream) -> Result<(), Errno> {
        self.check_room()?;
        let options = self.common.options.lock().passed_on();
        let common = Common {
            options: SpinLock::new(options),
            receive_low: AtomicUsize::new(1),
            peek_offset: PeekOffset::new(),
            filter: SpinLock::default(),
            ..self.common.accepted()
        };
        let queues = [client.common.queue.clone(), common.queue.clone()];
        let [near, far] = Connection::pair(self.common.kind == SOCK_SEQPACKET, queues);
        let mut server = Stream::with_state(common, State::Connected(far.clone()));
        server.name = Arc::new(self.name.inherited());
        *server.peer.lock() = Some(client.name.clone());
        *server.party.lock() = Some(Party::running());
        server.apply_options(&far);
        far.set_pending(true);
        client.apply_options(&near);
        // One lock at a time: either may be the other's listener, or the same socket. So the client is connected first,
        // and no longer where the listener turns out to have no room.
        client.become_connected(near.clone())?;
        let listener = match self.admit(server) {
            Ok(listener) => listener,
            Err(error) => {
                client.inner.lock().state = State::Unconnected;
                return Err(error);
            }
        };
        client.established.call_once(|| near.clone());
        *client.peer.lock() = Some(self.name.clone());
        *client.party.lock() = Some(listener);
        let (read, write) = client.inner.lock().shut;
        if read || write {
            near.shut_down(read, write);
        }
        self.common.queue.wake(ARRIVED);
        Ok(())
    }

    /// EISCONN, EINVAL where it listens.
    fn become_connected(&self, link: Link) -> Result<(), Errno> {
        let mut inner = self.inner.lock();
        match inner.state {
            State::Unconnected => {}
            State::Connected(_) => return Err(Errno::EISCONN),
            State::Listening(_) | State::Closed => return Err(Errno::EINVAL),
        }
        inner.state = State::Connected(link);
        Ok(())
    }

    /// Puts a new connection in the queue of this listener. Who listens.
    fn admit(&self, server: Stream) -> Result<Party, Errno> {
        let mut inner = self.inner.lock();
        let State::Listening(listener) = &mut inner.state else {
            return Err(Errno::ECONNREFUSED);
        };
        if listener.pending.len() > listener.backlog {
            return Err(Errno::EAGAIN);
        }
        listener.pending.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        listener.pending.push_back(Arc::new(server));
        Ok(listener.party.clone())
    }

    /// EAGAIN where a listener's queue is full: Linux takes one more than the backlog says. ECONNREFUSED where this is none.
    fn check_room(&self) -> Result<(), Errno> {
        let inner = self.inner.lock();
        match &inner.state {
            State::Listening(_) if inner.shut.0 => Err(Errno::ECONNREFUSED),
            State::Listening(listener) if listener.pending.len() > listener.backlog => Err(Errno::EAGAIN),
            State::Listening(_) => Ok(()),
            _ => Err(Errno::ECONNREFUSED),
        }
    }

    /// The connection, or those that wait to be accepted: all that hold what was sent to this socket.
    fn links(&self) -> Vec<Link> {
        match &self.inner.lock().state {
            State::Connected(link) => vec![link.clone()],
            State::Listening(listener) => {
                let links = listener.pending.iter().map(|server| server.link(Errno::ENOTCONN));
                links.flatten().collect()
            }
            State::Unconnected | State::Closed => Vec::new(),
        }
    }

    /// A new connection is told what was set before it was made.
    fn apply_options(&self, link: &Link) {
        let options = *self.common.options.lock();
        if let Ok(limit) = options.get(SO_SNDBUF) {
            link.set_limit(limit as usize);
        }
        link.set_passes(Passes::of(&options));
        if let Some(program) = self.common.filter.lock().program.clone() {
            link.set_filter(Some(program));
        }
    }
}

impl Protocol for Stream {
    fn common(&self) -> &Common {
        &self.common
    }

    fn bind(self: Arc<Self>, at: &Address) -> Result<(), Errno> {
        let owner = Owner::Stream(Arc::downgrade(&self));
        self.name.bind(&self.common, owner, names::checked(at)?)
    }

    /// EINVAL where it has no name, or is connected.
    fn listen(self: Arc<Self>, backlog: usize) -> Result<(), Errno> {
        if self.name.known().is_none() {
            return Err(Errno::EINVAL);
        }
        let mut inner = self.inner.lock();
        let party = Party::running();
        match &mut inner.state {
            State::Listening(listener) => {
                (listener.backlog, listener.party) = (backlog, party);
            }
            state @ State::Unconnected => {
                *state = State::Listening(Listener {
                    pending: VecDeque::new(),
                    backlog,
                    party,
                });
            }
            State::Connected(_) | State::Closed => return Err(Errno::EINVAL),
        }
        drop(inner);
        // There may be more room than before.
        self.connecting.wake_all(WRITABLE);
        Ok(())
    }

    /// Waits for room in the listener's queue, SO_SNDTIMEO at most; EAGAIN where that is not to be.
    fn connect(self: Arc<Self>, to: &Address, nonblocking: bool) -> Result<(), Errno> {
        let name = names::checked(to)?;
        let options = *self.common.options.lock();
        if Passes::of(&options).wants_author() {
            self.name.autobind(self.kind(), Owner::Stream(Arc::downgrade(&self)))?;
        }
        let deadline_ns = deadline(options.send_timeout_ns);
        loop {
            // Found anew each time: the name may belong to another by now.
            let listener = match names::find(self.kind(), name)? {
                Owner::Stream(socket) => socket.upgrade().ok_or(Errno::ECONNREFUSED)?,
                Owner::Datagram(_) => return Err(Errno::EPROTOTYPE),
            };
            if listener.kind() != self.kind() {
                return Err(Errno::EPROTOTYPE);
            }
            match listener.take_in(&self) {
                Err(Errno::EAGAIN) if !nonblocking => {
                    let interest = EventMask::OUT | EventMask::EXCLUSIVE;
                    task::block_on(&listener.connecting, interest, deadline_ns, || listener.check_room()).or_else(
                        |error| match error {
                            Errno::ECONNREFUSED => Ok(()),
                            other => Err(other),
                        },
                    )?;
                }
                result => return result,
            }
        }
    }

    /// EINVAL where it does not listen, or no longer.
    fn accept(&self) -> Result<Arc<dyn Protocol>, Errno> {
        let mut inner = self.inner.lock();
        let shut = inner.shut.0;
        let State::Listening(listener) = &mut inner.state else {
            return Err(Errno::EINVAL);
        };
        let nothing = if shut { Errno::EINVAL } else { Errno::EAGAIN };
        let accepted = listener.pending.pop_front().ok_or(nothing)?;
        drop(inner);
        accepted.established(Errno::ENOTCONN)?.set_pending(false);
        self.connecting.wake(WRITABLE);
        Ok(accepted)
    }

    fn local_address(&self) -> Address {
        self.name.address()
    }

    fn peer_address(&self) -> Result<Address, Errno> {
        self.link(Errno::ENOTCONN)?;
        let peer = self.peer.lock();
        Ok(peer.as_ref().map_or_else(names::none, |peer| peer.address()))
    }

    fn is_listening(&self) -> bool {
        matches!(self.inner.lock().state, State::Listening(_))
    }

    fn peer(&self) -> Option<Party> {
        self.party.lock().clone()
    }

    fn send(&self, from: &mut Source, message: &mut Outgoing) -> Result<usize, Errno> {
        let messages = self.common.kind == SOCK_SEQPACKET;
        if message.flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        if message.to.is_some() && !messages {
            return Err(if self.link(Errno::ENOTCONN).is_ok() {
                Errno::EISCONN
            } else {
                Errno::EOPNOTSUPP
            });
        }
        let link = self.established(Errno::ENOTCONN)?;
        if messages && let Some(error) = link.take_error() {
            return Err(error);
        }
        link.send(from, message)
    }

    /// Not readiness: that wants three quarters of the room.
    fn wait_for_room(&self, _message: &Outgoing, deadline_ns: Option<u64>) -> Result<(), Errno> {
        let link = self.link(Errno::ENOTCONN)?;
        let attempt = || if link.may_send() { Ok(()) } else { Err(Errno::EAGAIN) };
        task::block_on(
            &self.common.queue,
            EventMask::OUT | EventMask::ALWAYS,
            deadline_ns,
            attempt,
        )
    }

    fn receive(&self, to: &mut Sink, flags: u32, message: &mut Incoming) -> Result<usize, Errno> {
        if flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let messages = self.common.kind == SOCK_SEQPACKET;
        let how = Receive::new(flags, &self.common.peek_offset);
        let unconnected = if messages { Errno::ENOTCONN } else { Errno::EINVAL };
        let count = self.established(unconnected)?.receive(to, how, message)?;
        if message.wants_from {
            message.from = self.peer.lock().as_ref().and_then(|peer| peer.known());
        }
        Ok(count)
    }

    /// Works on every socket, connected or not.
    fn shut_down(&self, read: bool, write: bool) -> Result<(), Errno> {
        let mut inner = self.inner.lock();
        inner.shut.0 |= read;
        inner.shut.1 |= write;
        let link = match &inner.state {
            State::Connected(link) => Some(link.clone()),
            _ => None,
        };
        drop(inner);
        match link {
            Some(link) => link.shut_down(read, write),
            None => {
                // Every accept(2) ends.
                self.common.queue.wake_all(CHANGED);
                self.connecting.wake_all(WRITABLE);
            }
        }
        Ok(())
    }

    fn take_error(&self) -> Option<Errno> {
        self.link(Errno::ENOTCONN).ok()?.take_error()
    }

    /// A stream may have one, which looks at nothing.
    fn set_filter(&self, filter: Option<Arc<Program>>) -> Result<(), Errno> {
        if let Ok(link) = self.link(Errno::ENOTCONN) {
            link.set_filter(filter);
        }
        Ok(())
    }

    fn option_set(&self, name: i32, value: i32) {
        if let Ok(link) = self.link(Errno::ENOTCONN) {
            match name {
                SO_SNDBUF => {
                    link.set_limit(value as usize);
                    if link.readiness().contains(EventMask::OUT) {
                        self.common.queue.wake(WRITABLE);
                    }
                }
                SO_PASSCRED | SO_PASSPIDFD | SO_PASSRIGHTS => {
                    let passes = Passes::of(&self.common.options.lock());
                    link.set_passes(passes);
                }
                _ => {}
            }
        }
    }

    fn readable_len(&self) -> Result<usize, Errno> {
        match &self.inner.lock().state {
            State::Listening(_) => Err(Errno::EINVAL),
            State::Connected(link) => Ok(link.readable_len()),
            _ => Ok(0),
        }
    }

    fn unsent_len(&self) -> Result<usize, Errno> {
        match &self.inner.lock().state {
            State::Connected(link) => Ok(link.unsent_cost()),
            _ => Ok(0),
        }
    }

    fn for_each_rights(&self, visit: &mut dyn FnMut(&Rights)) {
        for link in self.links() {
            link.for_each_rights(visit);
        }
    }

    fn drop_rights(&self) {
        for link in self.links() {
            while let Some(rights) = link.take_rights() {
                drop(rights);
            }
        }
    }

    fn close(&self) {
        self.name.give_back();
        let old = core::mem::replace(&mut self.inner.lock().state, State::Closed);
        match old {
            State::Connected(link) => drop(link.close(false)),
            State::Listening(listener) => {
                for server in listener.pending {
                    if let Ok(link) = server.link(Errno::ENOTCONN) {
                        drop(link.close(true));
                    }
                }
                self.connecting.wake_all(WRITABLE);
            }
            State::Unconnected | State::Closed => {}
        }
        rights::collect();
    }
}

impl Pollable for Stream {
    fn readiness(&self) -> EventMask {
        if let Some(link) = self.established.get() {
            return link.readiness();
        }
        let inner = self.inner.lock();
        let mut ready = match &inner.state {
            State::Connected(link) => return link.readiness(),
            State::Listening(listener) if listener.pending.is_empty() => EventMask::empty(),
            State::Listening(_) => EventMask::READABLE,
            State::Unconnected | State::Closed => WRITABLE | EventMask::HUP,
        };
        let (read, write) = inner.shut;
        if read {
            ready |= EventMask::READABLE | EventMask::RDHUP;
        }
        if read && write {
            ready |= EventMask::HUP;
        }
        ready
    }

    fn wait_queue(&self) -> &WaitQueue {
        &self.common.queue
    }
}
