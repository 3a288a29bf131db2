//! A TCP connection: two ends, each with the bytes on their way to it. Both are sockets of this machine, or the far one is
//! what talks to another machine.

use super::incoming::Incoming;
use crate::mm::user::{Sink, Source};
use crate::net::inet::outside;
use crate::net::message::Control;
use crate::net::peek::PeekOffset;
use alloc::sync::Arc;
use event::{EventMask, WaitQueue};
use libsyscall::abi::Errno;
use libsyscall::abi::socket::*;
use sync::SpinLock;

struct End {
    incoming: SpinLock<Incoming>,
    /// The queue of this end's socket.
    queue: Arc<WaitQueue>,
    /// What this end is called that talks to another machine.
    outside: Option<outside::tcp::Id>,
}

impl End {
    fn new(queue: Arc<WaitQueue>, outside: Option<outside::tcp::Id>) -> End {
        End {
            incoming: SpinLock::new(Incoming::new()),
            queue,
            outside,
        }
    }

    /// Tells this end of a change. No lock is held.
    fn wake(&self, bits: EventMask) {
        self.queue.wake(bits);
        if let Some(id) = self.outside {
            outside::tcp::attend(id);
        }
    }
}

/// What a connected pair of sockets shares.
pub struct Connection {
    ends: [End; 2],
}

/// One end of a connection, as its socket holds it.
#[derive(Clone)]
pub struct Link {
    connection: Arc<Connection>,
    end: usize,
}

/// A change of state is an edge of everything.
const EVERYTHING: EventMask = EventMask::READABLE
    .union(EventMask::WRITABLE)
    .union(EventMask::WRBAND)
    .union(EventMask::PRI)
    .union(EventMask::RDHUP)
    .union(EventMask::HUP)
    .union(EventMask::ERR);
const WRITABLE: EventMask = EventMask::WRITABLE.union(EventMask::WRBAND);
const ARRIVED: EventMask = EventMask::READABLE.union(EventMask::PRI);

impl Connection {
    /// Two linked ends, by the queues of their sockets.
    pub fn pair(queues: [Arc<WaitQueue>; 2]) -> [Link; 2] {
        Connection {
            ends: queues.map(|queue| End::new(queue, None)),
        }
        .links()
    }

    /// An end for a socket by its queue, and the one that talks to another machine.
    pub fn with_outside(queue: Arc<WaitQueue>, id: outside::tcp::Id) -> [Link; 2] {
        let far = Arc::new(WaitQueue::new());
        let links = Connection {
            ends: [End::new(queue, None), End::new(far, Some(id))],
        }
        .links();
        // What is urgent here goes out like all else.
        links[1].set_inline(true);
        links
    }

    fn links(self) -> [Link; 2] {
        let connection = Arc::new(self);
        [
            Link {
                connection: connection.clone(),
                end: 0,
            },
            Link { connection, end: 1 },
        ]
    }
}

impl Link {
    fn own(&self) -> &End {
        &self.connection.ends[self.end]
    }

    fn other(&self) -> &End {
        &self.connection.ends[1 - self.end]
    }

    /// FIONREAD.
    pub fn readable_len(&self) -> usize {
        self.own().incoming.lock().readable_len()
    }

    /// TCP_INQ: what is left to be read, the end counting as a byte where that is all.
    pub fn rest(&self) -> Control {
        let own = self.own().incoming.lock();
        let len = own.readable_len().max(usize::from(own.ended)) as i32;
        Control {
            level: IPPROTO_TCP,
            kind: TCP_INQ,
            data: len.to_ne_bytes().to_vec(),
        }
    }

    /// SIOCATMARK.
    pub fn at_mark(&self) -> bool {
        self.own().incoming.lock().at_mark()
    }

    /// Bytes sent that the other end has not read.
    pub fn unread_len(&self) -> usize {
        self.other().incoming.lock().len()
    }

    /// Whether both directions have ended: the address of the peer is forgotten then.
    pub fn is_over(&self) -> bool {
        let reset = self.own().incoming.lock().reset;
        reset || self.ended() == (true, true)
    }

    /// Whether the other end has ended its direction, and this end its own.
    pub fn ended(&self) -> (bool, bool) {
        let other = self.own().incoming.lock().ended;
        (other, self.other().incoming.lock().ended)
    }

    /// Whether this end, closed by now, was the first to end its direction, and no reset has ended both: what still comes for
    /// it must not meet another connection, so its port rests.
    pub fn rests(&self) -> bool {
        let theirs = self.other().incoming.lock();
        theirs.ended_first && !theirs.reset
    }

    /// One receive: EAGAIN while there is not enough; 0 at the end. What has come is read before an error is told.
    pub fn receive(&self, to: &mut Sink, flags: u32, offset: &PeekOffset) -> Result<usize, Errno> {
        let peek = flags & MSG_PEEK != 0;
        let skip = if peek { offset.get().unwrap_or(0) } else { 0 };
        let mut own = self.own().incoming.lock();
        if flags & MSG_OOB != 0 {
            return own.take_urgent(to, peek);
        }
        let over = own.ended || own.shut || own.reset || own.error.is_some();
        if flags & MSG_DONTWAIT == 0 && !over && !own.suffices(skip, to.len()) {
            return Err(Errno::EAGAIN);
        }
        let was_writable = own.is_writable();
        let count = own.take(skip, to, peek)?;
        offset.went(count, peek);
        if count == 0 && to.len() > 0 {
            if own.ended {
                return Ok(0);
            }
            if let Some(error) = own.error.take() {
                return Err(error);
            }
            return if own.shut || own.reset {
                Ok(0)
            } else {
                Err(Errno::EAGAIN)
            };
        }
        let became_writable = !was_writable && own.is_writable();
        drop(own);
        if became_writable {
            self.other().wake(WRITABLE);
        }
        Ok(count)
    }

    /// One send: EAGAIN while there is no room, EPIPE when this end or the other has closed that way.
    pub fn send(&self, from: &mut Source, flags: u32) -> Result<usize, Errno> {
        let mut own = self.own().incoming.lock();
        if let Some(error) = own.error.take() {
            return Err(error);
        }
        if own.reset {
            return Err(Errno::EPIPE);
        }
        let other_ended = own.ended;
        drop(own);
        let mut theirs = self.other().incoming.lock();
        if theirs.ended {
            return Err(Errno::EPIPE);
        }
        if from.len() == 0 {
            return Ok(0);
        }
        if theirs.closed || theirs.shut && other_ended {
            let room = theirs.room();
            drop(theirs);
            return self.send_to_deaf(from, room);
        }
        if theirs.room() == 0 {
            return Err(Errno::EAGAIN);
        }
        let urgent = flags & MSG_OOB != 0;
        let count = theirs.put(from, urgent)?;
        let wakes = theirs.is_readable() || urgent;
        drop(theirs);
        if wakes {
            let events = if urgent { ARRIVED | EventMask::RDBAND } else { ARRIVED };
            self.other().wake(events);
        }
        Ok(count)
    }

    /// TCP learns that the other end reads no more by sending to it: the bytes that there would be `room` for are accepted,
    /// and the answer is a reset.
    fn send_to_deaf(&self, from: &mut Source, room: usize) -> Result<usize, Errno> {
        for end in [self.own(), self.other()] {
            end.incoming.lock().reset = true;
        }
        self.own().incoming.lock().error = Some(Errno::EPIPE);
        self.own().queue.wake(EVERYTHING);
        let len = from.len().min(room);
        from.skip(len);
        Ok(len)
    }

    /// shutdown(2) for reading, writing or both. ENOTCONN once the connection is over.
    pub fn shut_down(&self, read: bool, write: bool) -> Result<(), Errno> {
        if self.is_over() {
            return Err(Errno::ENOTCONN);
        }
        if read {
            self.own().incoming.lock().shut = true;
        }
        if write {
            let heard = self.own().incoming.lock().ended;
            self.other().incoming.lock().end(heard);
            self.other().wake(EVERYTHING);
        }
        self.own().queue.wake(EVERYTHING);
        Ok(())
    }

    /// The other machine, whose end this is, sends no more.
    pub fn end(&self) {
        self.other().incoming.lock().ended = true;
        self.other().queue.wake(EVERYTHING);
    }

    /// The connection with the other machine, whose end this is, is lost.
    pub fn break_off(&self, error: Errno) {
        self.own().incoming.lock().reset = true;
        let mut theirs = self.other().incoming.lock();
        theirs.error = Some(if theirs.ended && error == Errno::ECONNRESET {
            Errno::EPIPE
        } else {
            error
        });
        theirs.reset = true;
        drop(theirs);
        self.other().queue.wake(EVERYTHING);
    }

    /// The other machine, whose end this is, has acknowledged all that it was sent, and that it is all.
    pub fn acknowledge(&self) {
        let before = core::mem::replace(&mut self.own().incoming.lock().acknowledged, true);
        if !before {
            self.other().queue.wake(WRITABLE);
        }
    }

    /// Whether the other end has got what is left of this one, which is closed: there is room for it, or it has been
    /// acknowledged, or the connection is lost.
    pub fn has_delivered(&self) -> bool {
        if self.own().incoming.lock().reset {
            return true;
        }
        let theirs = self.other().incoming.lock();
        let taken = match self.other().outside {
            Some(_) => theirs.acknowledged,
            None => theirs.is_writable(),
        };
        taken || theirs.reset
    }

    /// Whether this end has been told of a reset.
    pub fn was_reset(&self) -> bool {
        self.own().incoming.lock().reset
    }

    /// Whether the other end's socket is gone.
    pub fn is_deaf(&self) -> bool {
        self.other().incoming.lock().closed
    }

    /// The socket of this end is gone. Bytes it has not read, or an abortive close (SO_LINGER with no time), reset the
    /// connection; what the other end has received stays there for it.
    pub fn close(&self, abort: bool) {
        let mut own = self.own().incoming.lock();
        let resets = abort || !own.is_empty();
        let heard = own.ended;
        own.closed = true;
        own.clear();
        drop(own);
        let mut theirs = self.other().incoming.lock();
        let changes = !theirs.reset && (!theirs.ended || resets);
        if resets && changes && !theirs.closed {
            // It has read the end already where this end had shut down writing.
            let broken = if theirs.ended { Errno::EPIPE } else { Errno::ECONNRESET };
            theirs.error = Some(broken);
            theirs.reset = true;
        } else {
            theirs.end(heard);
        }
        drop(theirs);
        if changes {
            self.other().wake(EVERYTHING);
        }
    }

    /// SO_ERROR: what it is, and it is no more.
    pub fn take_error(&self) -> Option<Errno> {
        self.own().incoming.lock().error.take()
    }

    pub fn readiness(&self) -> EventMask {
        // One end after the other: what changes in between wakes this end's queue.
        let own = self.own().incoming.lock();
        let mut ready = EventMask::empty();
        if own.error.is_some() {
            ready |= EventMask::ERR;
        }
        if own.has_urgent() {
            ready |= EventMask::PRI;
        }
        let read_over = own.ended || own.shut || own.reset;
        if own.is_readable() || read_over {
            ready |= EventMask::READABLE;
        }
        if read_over {
            ready |= EventMask::RDHUP;
        }
        let reset = own.reset;
        drop(own);
        let theirs = self.other().incoming.lock();
        let write_over = theirs.ended || reset;
        if read_over && write_over {
            ready |= EventMask::HUP;
        }
        // Writing that fails at once counts as writable.
        if write_over || theirs.closed || theirs.is_writable() {
            ready |= WRITABLE;
        }
        ready
    }

    /// SO_SNDBUF (`send`) or SO_RCVBUF of this end's socket.
    pub fn set_buffer(&self, send: bool, len: usize) {
        let end = if send { self.other() } else { self.own() };
        let mut incoming = end.incoming.lock();
        let was_writable = incoming.is_writable();
        incoming.set_buffer(send, len);
        let became_writable = !was_writable && incoming.is_writable();
        drop(incoming);
        if became_writable {
            let writer = if send { self.own() } else { self.other() };
            writer.wake(WRITABLE);
        }
    }

    /// SO_RCVLOWAT: what was too little may suffice now.
    pub fn set_low_water(&self, len: usize) {
        self.own().incoming.lock().low_water = len;
        self.own().queue.wake(EventMask::READABLE);
    }

    /// SO_OOBINLINE.
    pub fn set_inline(&self, inline: bool) {
        self.own().incoming.lock().inline = inline;
    }
}
