//! A SOCK_DGRAM socket of AF_UNIX.

use super::author::Passes;
use super::connection::{ARRIVED, CHANGED, MESSAGE_RESERVE, WRITABLE};
use super::names::{self, Name, Owner};
use super::queue::{MESSAGE, Queue, Receive, Segment};
use super::rights::{self, Rights};
use super::sender::{Origin, Sender};
use crate::mm::user::{Sink, Source};
use crate::net::address::Address;
use crate::net::filter;
use crate::net::message::{Incoming, Outgoing};
use crate::net::protocol::{Common, Party, Protocol};
use crate::task;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use bpf::Program;
use core::ptr;
use core::sync::atomic::AtomicU8;
use core::sync::atomic::Ordering::Relaxed;
use event::{EventMask, Pollable, WaitQueue};
use libsyscall::abi::Errno;
use libsyscall::abi::socket::*;
use sync::SpinLock;

/// Messages a queue takes from those it is not connected to; one more is let in, as on Linux.
pub const QUEUE_LEN: usize = 10;

/// Whom a socket sends to, and how it hears of room there.
struct Peer {
    socket: Arc<Datagram>,
    /// The sender's place among those who wait for the peer's room.
    entry: u32,
}

impl Peer {
    fn new(socket: Arc<Datagram>, sender: &Arc<Sender>) -> Result<Peer, Errno> {
        let entry = socket.room.add(sender.clone(), 0, EventMask::all())?;
        Ok(Peer { socket, entry })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.socket.room.remove(self.entry);
    }
}

struct Inner {
    queue: Queue,
    /// What looks at the messages that come.
    filter: Option<Arc<Program>>,
    peer: Option<Peer>,
    /// shutdown(2) for reading and writing.
    shut: (bool, bool),
    /// The next call's error, SO_ERROR.
    error: Option<Errno>,
    closed: bool,
}

impl Inner {
    fn is_connected_to(&self, other: *const Datagram) -> bool {
        self.peer
            .as_ref()
            .is_some_and(|peer| ptr::eq(Arc::as_ptr(&peer.socket), other))
    }

    /// Whether there is no room for a message of `sender`. Two sockets connected to each other are bound by their send
    /// buffers only.
    fn is_full_for(&self, sender: *const Datagram) -> bool {
        self.queue.segments() > QUEUE_LEN && !self.closed && !self.is_connected_to(sender)
    }
}

pub struct Datagram {
    common: Common,
    me: Weak<Datagram>,
    sender: Arc<Sender>,
    inner: SpinLock<Inner>,
    /// Who made the pair that it is of.
    party: Option<Party>,
    /// [`Passes`], as they are in the options.
    passes: AtomicU8,
    /// Who waits for room in this socket's queue.
    room: WaitQueue,
}

impl Datagram {
    pub fn new(common: Common) -> Arc<Datagram> {
        Datagram::with_party(common, None)
    }

    fn with_party(common: Common, party: Option<Party>) -> Arc<Datagram> {
        Arc::new_cyclic(|me| Datagram {
            me: me.clone(),
            sender: Arc::new(Sender::new(Arc::default(), common.queue.clone())),
            inner: SpinLock::new(Inner {
                queue: Queue::new(),
                filter: None,
                peer: None,
                shut: (false, false),
                error: None,
                closed: false,
            }),
            party,
            passes: AtomicU8::new(Passes::RIGHTS.bits()),
            room: WaitQueue::new(),
            common,
        })
    }

    /// socketpair(2): two sockets connected to each other.
    pub fn pair(commons: [Common; 2]) -> Result<[Arc<dyn Protocol>; 2], Errno> {
        let [one, other] = commons.map(|common| Datagram::with_party(common, Some(Party::running())));
        one.inner.lock().peer = Some(Peer::new(other.clone(), &one.sender)?);
        other.inner.lock().peer = Some(Peer::new(one.clone(), &other.sender)?);
        Ok([one, other])
    }

    fn owner(&self) -> Owner {
        Owner::Datagram(self.me.clone())
    }

    fn name(&self) -> &Name {
        &self.sender.name
    }

    fn passes(&self) -> Passes {
        Passes::from_bits_truncate(self.passes.load(Relaxed))
    }

    fn receiver(&self) -> Option<Arc<Datagram>> {
        self.inner.lock().peer.as_ref().map(|peer| peer.socket.clone())
    }

    /// The socket of this kind that has a name: EPROTOTYPE for another kind's, and what [`names::find`] says.
    fn find(name: &Arc<[u8]>) -> Result<Arc<Datagram>, Errno> {
        match names::find(SOCK_DGRAM, name)? {
            Owner::Datagram(socket) => socket.upgrade().ok_or(Errno::ECONNREFUSED),
            Owner::Stream(_) => Err(Errno::EPROTOTYPE),
        }
    }

    /// Where a message goes: ENOTCONN where nobody says.
    fn target(&self, message: &Outgoing) -> Result<Arc<Datagram>, Errno> {
        match &message.to {
            Some(to) => Datagram::find(names::checked(to)?),
            None => self.receiver().ok_or(Errno::ENOTCONN),
        }
    }

    /// Exchanges the peer. What the old one sent and has not been received is lost, and it is told, if it still is
    /// connected to this socket.
    fn set_peer(&self, peer: Option<Peer>) {
        let mut inner = self.inner.lock();
        let is_same = peer
            .as_ref()
            .is_some_and(|peer| inner.is_connected_to(Arc::as_ptr(&peer.socket)));
        let old = core::mem::replace(&mut inner.peer, peer);
        let lost = match &old {
            Some(_) if !is_same => inner.queue.take(),
            _ => Queue::new(),
        };
        drop(inner);
        if lost.is_empty() {
            return;
        }
        drop(lost);
        self.room.wake_all(WRITABLE);
        if let Some(old) = old {
            let mut theirs = old.socket.inner.lock();
            if theirs.closed || !theirs.is_connected_to(self) {
                return;
            }
            theirs.error = Some(Errno::ECONNRESET);
            drop(theirs);
            old.socket.common.queue.wake(EventMask::ERR);
        }
    }

    /// Takes a message of `sender` in, or what the filter keeps of it: EPERM where this is connected to another or takes no
    /// descriptors, ECONNREFUSED where it is gone, EPIPE where it receives no more, EAGAIN where its queue is full.
    fn deliver(&self, sender: &Datagram, from: &mut Source, message: &mut Outgoing) -> Result<usize, Errno> {
        let passes = self.passes();
        let asks = (sender.passes() | passes).wants_author();
        let len = from.len();
        let mut inner = self.inner.lock();
        if inner.closed {
            return Err(Errno::ECONNREFUSED);
        }
        if inner.peer.is_some() && !inner.is_connected_to(sender) {
            return Err(Errno::EPERM);
        }
        if inner.shut.0 {
            return Err(Errno::EPIPE);
        }
        if message.rights.is_some() && !passes.contains(Passes::RIGHTS) {
            return Err(Errno::EPERM);
        }
        if inner.is_full_for(sender) && !ptr::eq(self, sender) {
            return Err(Errno::EAGAIN);
        }
        let filtered = match &inner.filter {
            Some(program) => match filter::keep(program, from)? {
                Some(bytes) => Some(bytes),
                None => return Ok(len),
            },
            None => None,
        };
        let kept = filtered.as_ref().map_or(len, Vec::len);
        let cost = MESSAGE.cost(kept);
        let origin = Origin::new(sender.sender.clone(), cost);
        let put = match &filtered {
            Some(bytes) => inner.queue.put_bytes(&mut Source::kernel(bytes), kept),
            None => inner.queue.put_bytes(from, len),
        };
        if let Err(error) = put {
            drop(inner);
            drop(origin);
            return Err(error);
        }
        let author = message.author(asks);
        let rights = message.rights.take();
        inner.queue.push(Segment::new(kept, cost, author, rights, Some(origin)));
        drop(inner);
        self.common.queue.wake(ARRIVED);
        Ok(len)
    }
}

impl Protocol for Datagram {
    fn common(&self) -> &Common {
        &self.common
    }

    fn bind(self: Arc<Self>, at: &Address) -> Result<(), Errno> {
        self.name().bind(&self.common, self.owner(), names::checked(at)?)
    }

    /// Sets the default receiver, and the only sender; AF_UNSPEC: none. EPERM where the other is connected elsewhere.
    fn connect(self: Arc<Self>, to: &Address, _nonblocking: bool) -> Result<(), Errno> {
        if *to == Address::Unspecified {
            self.set_peer(None);
            return Ok(());
        }
        let name = names::checked(to)?;
        if self.passes().wants_author() {
            self.name().autobind(SOCK_DGRAM, self.owner())?;
        }
        let other = Datagram::find(name)?;
        let theirs = other.inner.lock();
        if theirs.peer.is_some() && !theirs.is_connected_to(&*self) {
            return Err(Errno::EPERM);
        }
        drop(theirs);
        self.set_peer(Some(Peer::new(other, &self.sender)?));
        Ok(())
    }

    fn local_address(&self) -> Address {
        self.name().address()
    }

    fn peer_address(&self) -> Result<Address, Errno> {
        Ok(self.receiver().ok_or(Errno::ENOTCONN)?.name().address())
    }

    fn peer(&self) -> Option<Party> {
        self.party.clone()
    }

    fn send(&self, from: &mut Source, message: &mut Outgoing) -> Result<usize, Errno> {
        if message.flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        if self.passes().wants_author() {
            self.name().autobind(SOCK_DGRAM, self.owner())?;
        }
        if from.len() + MESSAGE_RESERVE > self.sender.limit.load(Relaxed) {
            return Err(Errno::EMSGSIZE);
        }
        let mut inner = self.inner.lock();
        if let Some(error) = inner.error.take() {
            return Err(error);
        }
        if inner.shut.1 {
            return Err(Errno::EPIPE);
        }
        drop(inner);
        if !self.sender.has_room() {
            return Err(Errno::EAGAIN);
        }
        let target = self.target(message)?;
        let result = target.deliver(self, from, message);
        match result {
            Err(Errno::ECONNREFUSED) if message.to.is_none() => self.set_peer(None),
            // It hears of room, also where it does not wait. If there is some by now it may try again at once.
            Err(Errno::EAGAIN) if !self.finds_full(&target) => return target.deliver(self, from, message),
            _ => {}
        }
        result
    }

    fn wait_for_room(&self, message: &Outgoing, deadline_ns: Option<u64>) -> Result<(), Errno> {
        let interest = EventMask::OUT | EventMask::ALWAYS;
        let unless = |full: bool| if full { Err(Errno::EAGAIN) } else { Ok(()) };
        if !self.sender.has_room() {
            return task::block_on(&self.common.queue, interest, deadline_ns, || {
                let inner = self.inner.lock();
                let over = inner.error.is_some() || inner.shut.1;
                drop(inner);
                unless(!over && !self.sender.has_room())
            });
        }
        let target = self.target(message)?;
        task::block_on(&target.room, interest | EventMask::EXCLUSIVE, deadline_ns, || {
            let inner = target.inner.lock();
            unless(!inner.shut.0 && inner.is_full_for(self))
        })
    }

    fn receive(&self, to: &mut Sink, flags: u32, message: &mut Incoming) -> Result<usize, Errno> {
        if flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let how = Receive::new(flags, &self.common.peek_offset);
        let mut inner = self.inner.lock();
        if let Some(error) = inner.error.take() {
            return Err(error);
        }
        let Some(place) = inner.queue.place(how) else {
            // Who would not wait is not told that there is nothing to wait for.
            return if inner.shut.0 && flags & MSG_DONTWAIT == 0 {
                Ok(0)
            } else {
                Err(Errno::EAGAIN)
            };
        };
        if message.wants_from {
            let origin = inner.queue.segment(place).and_then(|segment| segment.origin.as_ref());
            message.from = origin.and_then(|origin| origin.sender.name.known());
        }
        let (result, taken) = inner.queue.receive_message(place, to, how, message);
        drop(inner);
        if taken.is_some() {
            drop(taken);
            self.room.wake(WRITABLE);
        }
        message.tell_author(self.passes());
        result
    }

    /// Works on every socket, connected or not; the other one is not told.
    fn shut_down(&self, read: bool, write: bool) -> Result<(), Errno> {
        let mut inner = self.inner.lock();
        inner.shut.0 |= read;
        inner.shut.1 |= write;
        drop(inner);
        self.common.queue.wake(CHANGED);
        self.room.wake_all(WRITABLE);
        Ok(())
    }

    fn take_error(&self) -> Option<Errno> {
        self.inner.lock().error.take()
    }

    fn set_filter(&self, filter: Option<Arc<Program>>) -> Result<(), Errno> {
        let former = core::mem::replace(&mut self.inner.lock().filter, filter);
        drop(former);
        Ok(())
    }

    fn option_set(&self, name: i32, value: i32) {
        match name {
            SO_SNDBUF => {
                self.sender.limit.store(value as usize, Relaxed);
                self.common.queue.wake(WRITABLE);
            }
            SO_PASSCRED | SO_PASSPIDFD | SO_PASSRIGHTS => {
                let passes = Passes::of(&self.common.options.lock());
                self.passes.store(passes.bits(), Relaxed);
            }
            _ => {}
        }
    }

    /// The next message's bytes.
    fn readable_len(&self) -> Result<usize, Errno> {
        Ok(self.inner.lock().queue.first().map_or(0, |segment| segment.len))
    }

    fn unsent_len(&self) -> Result<usize, Errno> {
        Ok(self.sender.cost())
    }

    fn for_each_rights(&self, visit: &mut dyn FnMut(&Rights)) {
        self.inner.lock().queue.for_each_rights(visit);
    }

    fn drop_rights(&self) {
        loop {
            let rights = self.inner.lock().queue.take_rights();
            if rights.is_none() {
                break;
            }
        }
    }

    fn close(&self) {
        self.name().give_back();
        let mut inner = self.inner.lock();
        inner.closed = true;
        let (peer, lost) = (inner.peer.take(), inner.queue.take());
        drop(inner);
        drop((peer, lost));
        self.room.wake_all(CHANGED);
        rights::collect();
    }
}

impl Datagram {
    /// Whether `target` has no room for this socket's messages, which then hears of it, if it is the peer.
    fn finds_full(&self, target: &Datagram) -> bool {
        self.sender.finds_full(|| target.inner.lock().is_full_for(self))
    }
}

impl Pollable for Datagram {
    fn readiness(&self) -> EventMask {
        let inner = self.inner.lock();
        let mut ready = EventMask::empty();
        if inner.error.is_some() {
            ready |= EventMask::ERR;
        }
        let (read, write) = inner.shut;
        if read || !inner.queue.is_empty() {
            ready |= EventMask::READABLE;
        }
        if read {
            ready |= EventMask::RDHUP;
        }
        if read && write {
            ready |= EventMask::HUP;
        }
        let peer = inner.peer.as_ref().map(|peer| peer.socket.clone());
        // The peer's lock comes without this one: it may be the same.
        drop(inner);
        if self.sender.is_writable() && !peer.is_some_and(|peer| self.finds_full(&peer)) {
            ready |= WRITABLE;
        }
        ready
    }

    fn wait_queue(&self) -> &WaitQueue {
        &self.common.queue
    }
}
