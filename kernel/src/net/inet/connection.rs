//! A TCP connection: two ends, each with the bytes on their way to it.

use crate::mm::user::{Sink, Source};
use crate::net::options::BUFFER_DEFAULT;
use crate::net::ring::Ring;
use alloc::sync::Arc;
use event::{EventMask, WaitQueue};
use libsyscall::abi::Errno;
use sync::SpinLock;

/// What one end has received, and what it has heard of the other.
pub struct Incoming {
    pub ring: Ring,
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

struct End {
    incoming: SpinLock<Incoming>,
    /// The queue of this end's socket.
    queue: Arc<WaitQueue>,
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
    pub fn pair(queues: [Arc<WaitQueue>; 2]) -> [Link; 2] {
        let ends = queues.map(|queue| End {
            incoming: SpinLock::new(Incoming {
                ring: Ring::new(BUFFER_DEFAULT),
                ended: false,
                shut: false,
                closed: false,
                error: None,
                reset: false,
            }),
            queue,
        });
        let connection = Arc::new(Connection { ends });
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
fn is_writable(ring: &Ring) -> bool {
    ring.room() * 2 >= ring.len()
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
        if incoming.ring.is_empty() {
            return if incoming.ended || incoming.shut || to.len() == 0 {
                Ok(0)
            } else {
                Err(Errno::EAGAIN)
            };
        }
        let was_writable = is_writable(&incoming.ring);
        let count = incoming.ring.drain(to, peek)?;
        let became_writable = !was_writable && is_writable(&incoming.ring);
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
        if theirs.closed {
            drop(theirs);
            return self.send_to_closed(from);
        }
        if from.len() == 0 {
            return Ok(0);
        }
        if theirs.ring.room() == 0 {
            return Err(Errno::EAGAIN);
        }
        let count = theirs.ring.fill(from)?;
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
        if write {
            self.other().queue.wake(ENDED | EventMask::HUP);
        }
        self.own().queue.wake(EVERYTHING);
        Ok(())
    }

    /// The socket of this end is gone. Bytes it has not read, or an abortive close (SO_LINGER with no time), reset the
    /// connection.
    pub fn close(&self, abort: bool) {
        let mut own = self.own().incoming.lock();
        let unread = !own.ring.is_empty();
        own.closed = true;
        own.ring.clear();
        drop(own);
        let mut theirs = self.other().incoming.lock();
        theirs.ended = true;
        let reset = (unread || abort) && !theirs.closed;
        if reset {
            theirs.error = Some(Errno::ECONNRESET);
            theirs.reset = true;
            if abort {
                theirs.ring.clear();
            }
        }
        drop(theirs);
        self.other().queue.wake(if reset { EVERYTHING } else { ENDED });
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
        let read_over = own.ended || own.shut;
        if !own.ring.is_empty() || read_over {
            ready |= EventMask::READABLE;
        }
        if read_over {
            ready |= EventMask::RDHUP;
        }
        let (ended, reset) = (own.ended, own.reset);
        drop(own);
        let theirs = self.other().incoming.lock();
        let write_over = theirs.ended;
        if ended && write_over || reset {
            ready |= EventMask::HUP;
        }
        // Writing that fails at once counts as writable.
        if write_over || theirs.closed || reset || is_writable(&theirs.ring) {
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
