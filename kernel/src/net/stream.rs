//! A connection: two ends, each with the bytes on their way to it.

use super::ring::Ring;
use crate::mm::user::{Sink, Source};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use event::{EventMask, WaitQueue};
use libsyscall::abi::Errno;
use sync::SpinLock;

/// How much a direction holds, as on Linux (net.core.wmem_default).
pub const CAPACITY: usize = 212_992;

/// The kinds differ in what is left when an end closes, and in whether what was sent at once is received at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Unix,
    /// AF_UNIX, SOCK_SEQPACKET.
    UnixPackets,
    Tcp,
}

impl Kind {
    pub fn is_unix(self) -> bool {
        self != Kind::Tcp
    }
}

/// What one end has received, and what it has heard of the other.
pub struct Incoming {
    pub ring: Ring,
    /// Lengths of the packets in the ring, of a connection that has packets.
    packets: VecDeque<usize>,
    /// The other end sends no more (it shut down writing, or is gone).
    ended: bool,
    /// This end reads no more.
    shut: bool,
    /// This end's socket is gone.
    closed: bool,
    /// What the next call on this end's socket reports, once: SO_ERROR.
    error: Option<Errno>,
    /// The connection was reset: nothing more goes either way.
    reset: bool,
}

impl Incoming {
    /// Whether there is anything to receive; a packet may be empty.
    fn has_something(&self) -> bool {
        !self.ring.is_empty() || !self.packets.is_empty()
    }

    /// Bytes as they come, or of the first packet only: what `to` has no room for is then lost.
    fn take(&mut self, to: &mut Sink, peek: bool) -> Result<usize, Errno> {
        let Some(&len) = self.packets.front() else {
            return self.ring.drain(to, peek);
        };
        let count = self.ring.drain_up_to(len, to, peek)?;
        if !peek {
            self.ring.discard(len - count);
            self.packets.pop_front();
        }
        Ok(count)
    }

    /// One packet, whole or not at all: EMSGSIZE, EAGAIN, EFAULT.
    fn put_packet(&mut self, from: &mut Source) -> Result<usize, Errno> {
        let len = from.len();
        if len > self.ring.capacity() {
            return Err(Errno::EMSGSIZE);
        }
        // An empty packet takes no room in the ring, and would otherwise never have to wait.
        if len > self.ring.room() || self.packets.len() > self.ring.capacity() / PACKET_COST {
            return Err(Errno::EAGAIN);
        }
        self.packets.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        if len > 0 {
            let filled = self.ring.fill(from)?;
            if filled < len {
                self.ring.unfill(filled);
                return Err(Errno::EFAULT);
            }
        }
        self.packets.push_back(len);
        Ok(len)
    }
}

/// What a packet counts at least, so that empty ones have an end too.
const PACKET_COST: usize = 64;

struct End {
    incoming: SpinLock<Incoming>,
    /// The queue of this end's socket.
    queue: Arc<WaitQueue>,
}

/// What a connected pair of sockets shares.
pub struct Connection {
    kind: Kind,
    ends: [End; 2],
}

/// One end of a connection, as its socket holds it.
#[derive(Clone)]
pub struct Link {
    connection: Arc<Connection>,
    end: usize,
}

const EVERYTHING: EventMask = EventMask::READABLE
    .union(EventMask::WRITABLE)
    .union(EventMask::WRBAND)
    .union(EventMask::RDHUP)
    .union(EventMask::HUP)
    .union(EventMask::ERR);
const WRITABLE: EventMask = EventMask::WRITABLE.union(EventMask::WRBAND);
const ENDED: EventMask = EventMask::READABLE.union(EventMask::RDHUP);

impl Connection {
    /// Two linked ends, by the queues of their sockets.
    pub fn pair(kind: Kind, queues: [Arc<WaitQueue>; 2]) -> [Link; 2] {
        let ends = queues.map(|queue| End {
            incoming: SpinLock::new(Incoming {
                ring: Ring::new(CAPACITY),
                packets: VecDeque::new(),
                ended: false,
                shut: false,
                closed: false,
                error: None,
                reset: false,
            }),
            queue,
        });
        let connection = Arc::new(Connection { kind, ends });
        [
            Link {
                connection: connection.clone(),
                end: 0,
            },
            Link { connection, end: 1 },
        ]
    }
}

/// Whether so full a ring counts as writable: Linux keeps back a share, so that a writer is woken for more than a byte.
fn is_writable(kind: Kind, ring: &Ring) -> bool {
    match kind {
        Kind::Unix | Kind::UnixPackets => ring.len() * 4 <= ring.capacity(),
        Kind::Tcp => ring.room() * 2 >= ring.len(),
    }
}

impl Link {
    fn own(&self) -> &End {
        &self.connection.ends[self.end]
    }

    fn other(&self) -> &End {
        &self.connection.ends[1 - self.end]
    }

    /// Bytes to be read, FIONREAD.
    pub fn readable_len(&self) -> usize {
        self.own().incoming.lock().ring.len()
    }

    /// Bytes sent that the other end has not read.
    pub fn unread_len(&self) -> usize {
        self.other().incoming.lock().ring.len()
    }

    /// One receive: EAGAIN while nothing is there; 0 at the end.
    pub fn receive(&self, to: &mut Sink, peek: bool) -> Result<usize, Errno> {
        let mut incoming = self.own().incoming.lock();
        if let Some(error) = incoming.error.take() {
            return Err(error);
        }
        if !incoming.has_something() {
            return if incoming.ended || incoming.shut || to.len() == 0 {
                Ok(0)
            } else {
                Err(Errno::EAGAIN)
            };
        }
        let was_writable = is_writable(self.connection.kind, &incoming.ring);
        let count = incoming.take(to, peek)?;
        let became_writable = !was_writable && is_writable(self.connection.kind, &incoming.ring);
        drop(incoming);
        if became_writable {
            self.other().queue.wake(WRITABLE);
        }
        Ok(count)
    }

    /// One send: EAGAIN while there is no room, EPIPE when this end or the other has closed that way.
    pub fn send(&self, from: &mut Source) -> Result<usize, Errno> {
        let mut own = self.own().incoming.lock();
        if let Some(error) = own.error.take() {
            return Err(error);
        }
        if own.reset {
            return Err(Errno::EPIPE);
        }
        drop(own);
        let mut theirs = self.other().incoming.lock();
        if theirs.ended {
            return Err(Errno::EPIPE);
        }
        if theirs.closed && self.connection.kind == Kind::Tcp {
            drop(theirs);
            return self.send_to_closed(from);
        }
        if theirs.closed || theirs.shut && self.connection.kind.is_unix() {
            return Err(Errno::EPIPE);
        }
        let count = if self.connection.kind == Kind::UnixPackets {
            theirs.put_packet(from)?
        } else if from.len() == 0 {
            return Ok(0);
        } else if theirs.ring.room() == 0 {
            return Err(Errno::EAGAIN);
        } else {
            theirs.ring.fill(from)?
        };
        drop(theirs);
        self.other().queue.wake(EventMask::READABLE);
        Ok(count)
    }

    /// TCP learns that the other end is gone by sending to it: these bytes are accepted, and the answer is a reset.
    fn send_to_closed(&self, from: &mut Source) -> Result<usize, Errno> {
        let mut own = self.own().incoming.lock();
        own.error = Some(Errno::EPIPE);
        own.reset = true;
        drop(own);
        self.own().queue.wake(EVERYTHING);
        let len = from.len();
        from.skip(len);
        Ok(len)
    }

    /// shutdown(2) for reading, writing or both. ENOTCONN after a reset.
    pub fn shut_down(&self, read: bool, write: bool) -> Result<(), Errno> {
        if self.own().incoming.lock().reset {
            return Err(Errno::ENOTCONN);
        }
        if read {
            self.own().incoming.lock().shut = true;
        }
        if write {
            self.other().incoming.lock().ended = true;
        }
        if read && self.connection.kind.is_unix() {
            // The other end's writing is over too, which it sees as it tries.
            self.other().queue.wake(EVERYTHING);
        } else if write {
            self.other().queue.wake(ENDED | EventMask::HUP);
        }
        self.own().queue.wake(EVERYTHING);
        Ok(())
    }

    /// The socket of this end is gone. Bytes it has not read, or an abortive close (SO_LINGER with no time), reset the
    /// connection.
    pub fn close(&self, abort: bool) {
        let mut own = self.own().incoming.lock();
        let unread = own.has_something();
        own.closed = true;
        own.ring.clear();
        own.packets.clear();
        drop(own);
        let mut theirs = self.other().incoming.lock();
        theirs.ended = true;
        let reset = (unread || abort) && !theirs.closed;
        if reset {
            theirs.error = Some(Errno::ECONNRESET);
            theirs.reset |= self.connection.kind == Kind::Tcp;
            if abort {
                theirs.ring.clear();
                theirs.packets.clear();
            }
        }
        drop(theirs);
        let unix = self.connection.kind.is_unix();
        self.other().queue.wake(if reset || unix { EVERYTHING } else { ENDED });
    }

    /// SO_ERROR: what it is, and it is no more.
    pub fn take_error(&self) -> Option<Errno> {
        self.own().incoming.lock().error.take()
    }

    pub fn readiness(&self) -> EventMask {
        let kind = self.connection.kind;
        // One end after the other: what changes in between wakes this end's queue.
        let own = self.own().incoming.lock();
        let mut ready = EventMask::empty();
        if own.error.is_some() {
            ready |= EventMask::ERR;
        }
        let read_over = own.ended || own.shut;
        if own.has_something() || read_over {
            ready |= EventMask::READABLE;
        }
        if read_over {
            ready |= EventMask::RDHUP;
        }
        let (ended, shut, reset) = (own.ended, own.shut, own.reset);
        drop(own);
        let theirs = self.other().incoming.lock();
        let write_over = theirs.ended;
        let gone = theirs.closed || theirs.shut && kind.is_unix();
        let both_over = match kind {
            Kind::Unix | Kind::UnixPackets => (ended || shut) && (write_over || gone),
            Kind::Tcp => ended && write_over || reset,
        };
        if both_over {
            ready |= EventMask::HUP;
        }
        // Writing that fails at once counts as writable.
        if write_over || gone || reset || is_writable(kind, &theirs.ring) {
            ready |= WRITABLE;
        }
        ready
    }

    /// The capacities of what this end sends (`send`) or receives.
    pub fn set_capacity(&self, send: bool, capacity: usize) {
        let end = if send { self.other() } else { self.own() };
        end.incoming.lock().ring.set_capacity(capacity);
    }
}
