//! A connection of AF_UNIX: two ends, each with what is on its way to it.

use super::author::Passes;
use super::queue::{self, Cut, Queue, Receive, STREAM_SEGMENT_MAX, Segment};
use super::rights::Rights;
use crate::mm::user::{Sink, Source};
use crate::net::filter;
use crate::net::message::{Incoming, Outgoing};
use crate::net::options::BUFFER_DEFAULT;
use alloc::sync::Arc;
use bpf::Program;
use event::{EventMask, WaitQueue};
use libsyscall::abi::Errno;
use sync::SpinLock;

/// One direction: what the end has not received yet, and what it and the other have done to it.
struct Direction {
    queue: Queue,
    /// What the queue may cost while the sender adds to it, its SO_SNDBUF.
    limit: usize,
    /// The sender sends no more: it shut down writing, or is gone.
    ended: bool,
    /// The receiver receives no more.
    shut: bool,
    /// The receiver is gone.
    closed: bool,
    /// What the receiver's next call reports once it has received everything: SO_ERROR.
    error: Option<Errno>,
    /// What either end lets come beside the bytes.
    sender_passes: Passes,
    receiver_passes: Passes,
    /// What looks at the messages that come.
    filter: Option<Arc<Program>>,
    /// The receiver has not been accepted yet: what it will ask for is not known.
    pending: bool,
}

impl Direction {
    /// Whether the sender counts as writable: a quarter of what it may send is on its way at most.
    fn is_writable(&self) -> bool {
        self.queue.cost() * 4 <= self.limit
    }

    /// Puts a segment, with what goes with it.
    #[inline]
    fn put(&mut self, from: &mut Source, len: usize, cut: Cut, message: &mut Outgoing) -> Result<(), Errno> {
        self.queue.put_bytes(from, len)?;
        let asks = self.pending || (self.sender_passes | self.receiver_passes).wants_author();
        let author = message.author(asks);
        let rights = message.rights.take();
        self.queue.push(Segment::new(len, cut.cost(len), author, rights, None));
        Ok(())
    }

    /// One message, whole or not at all, or what the receiver's filter keeps of it.
    fn put_message(&mut self, from: &mut Source, message: &mut Outgoing) -> Result<usize, Errno> {
        let len = from.len();
        if len + MESSAGE_RESERVE > self.limit {
            return Err(Errno::EMSGSIZE);
        }
        if self.queue.cost() >= self.limit {
            return Err(Errno::EAGAIN);
        }
        match &self.filter {
            None => self.put(from, len, queue::MESSAGE, message)?,
            Some(program) => {
                if let Some(bytes) = filter::keep(program, from)? {
                    self.put(&mut Source::kernel(&bytes), bytes.len(), queue::MESSAGE, message)?;
                }
            }
        }
        Ok(len)
    }

    /// As many bytes as there is room for.
    fn put_bytes(&mut self, from: &mut Source, message: &mut Outgoing) -> Result<usize, Errno> {
        let mut total = 0;
        while from.len() > 0 && self.queue.cost() < self.limit {
            let len = from.len().min(STREAM_SEGMENT_MAX).min(self.limit / 2 - STREAM_RESERVE);
            match self.put(from, len, queue::STREAM, message) {
                Ok(()) => total += len,
                Err(_) if total > 0 => break,
                Err(error) => return Err(error),
            }
        }
        if total > 0 { Ok(total) } else { Err(Errno::EAGAIN) }
    }
}

struct End {
    incoming: SpinLock<Direction>,
    /// The queue of this end's socket.
    waiting: Arc<WaitQueue>,
}

/// What SO_SNDBUF holds beside a message, and what each half of it does beside a stream's segment.
pub const MESSAGE_RESERVE: usize = 32;
const STREAM_RESERVE: usize = 64;

/// What a connected pair of sockets shares.
pub struct Connection {
    /// What is sent at once is received at once: SOCK_SEQPACKET.
    messages: bool,
    ends: [End; 2],
}

/// One end of a connection, as its socket holds it.
#[derive(Clone)]
pub struct Link {
    connection: Arc<Connection>,
    is_second: bool,
}

/// Something was sent.
pub const ARRIVED: EventMask = EventMask::READABLE.union(EventMask::PRI).union(EventMask::RDBAND);
pub const WRITABLE: EventMask = EventMask::WRITABLE.union(EventMask::WRBAND);
/// A socket changed its state: everyone looks again.
pub const CHANGED: EventMask = ARRIVED
    .union(WRITABLE)
    .union(EventMask::RDHUP)
    .union(EventMask::HUP)
    .union(EventMask::ERR);

impl Connection {
    /// Two linked ends, by the queues of their sockets. `messages`: SOCK_SEQPACKET.
    pub fn pair(messages: bool, queues: [Arc<WaitQueue>; 2]) -> [Link; 2] {
        let ends = queues.map(|waiting| End {
            incoming: SpinLock::new(Direction {
                queue: Queue::new(),
                limit: BUFFER_DEFAULT,
                ended: false,
                shut: false,
                closed: false,
                error: None,
                sender_passes: Passes::RIGHTS,
                receiver_passes: Passes::RIGHTS,
                filter: None,
                pending: false,
            }),
            waiting,
        });
        let connection = Arc::new(Connection { messages, ends });
        [false, true].map(|is_second| Link {
            connection: connection.clone(),
            is_second,
        })
    }
}

impl Link {
    fn own(&self) -> &End {
        &self.connection.ends[usize::from(self.is_second)]
    }

    fn other(&self) -> &End {
        &self.connection.ends[usize::from(!self.is_second)]
    }

    /// Bytes to be received, FIONREAD.
    pub fn readable_len(&self) -> usize {
        self.own().incoming.lock().queue.len()
    }

    /// What was sent and has not been received costs, SIOCOUTQ.
    pub fn unsent_cost(&self) -> usize {
        self.other().incoming.lock().queue.cost()
    }

    /// One receive: EAGAIN while nothing is there; 0 at the end.
    pub fn receive(&self, to: &mut Sink, how: Receive, message: &mut Incoming) -> Result<usize, Errno> {
        let mut incoming = self.own().incoming.lock();
        let messages = self.connection.messages;
        // Messages come after an error, and a stream's bytes before it.
        let place = incoming.queue.place(how);
        if (messages || place.is_none())
            && let Some(error) = incoming.error.take()
        {
            return Err(error);
        }
        let Some(place) = place else {
            return if incoming.ended || incoming.shut {
                Ok(0)
            } else {
                Err(Errno::EAGAIN)
            };
        };
        let segments = incoming.queue.segments();
        let passes = incoming.receiver_passes;
        let result = if messages {
            incoming.queue.receive_message(place, to, how, message).0
        } else if how.peek {
            incoming
                .queue
                .peek_bytes(place, to, how.offset, passes.wants_author(), message)
        } else {
            incoming
                .queue
                .receive_bytes(to, how.offset, passes.wants_author(), message)
        };
        let has_room = incoming.queue.segments() < segments && incoming.is_writable();
        drop(incoming);
        if passes.wants_author() {
            // Without the lock: it may have the last share of a process.
            message.tell_author(passes);
        }
        if has_room {
            self.other().waiting.wake(WRITABLE);
        }
        result
    }

    /// One send: EAGAIN while there is no room, EPIPE when this end or the other has closed that way, EPERM for descriptors
    /// that the other does not take. Bytes that can't be read have taken room and given it back, which is an edge for who
    /// waits to write.
    pub fn send(&self, from: &mut Source, message: &mut Outgoing) -> Result<usize, Errno> {
        let mut outgoing = self.other().incoming.lock();
        if outgoing.ended || outgoing.closed || outgoing.shut {
            return Err(Errno::EPIPE);
        }
        if message.rights.is_some() && !outgoing.receiver_passes.contains(Passes::RIGHTS) {
            return Err(Errno::EPERM);
        }
        let segments = outgoing.queue.segments();
        let sent = if self.connection.messages {
            outgoing.put_message(from, message)
        } else if from.len() == 0 {
            return Ok(0);
        } else {
            outgoing.put_bytes(from, message)
        };
        let has_arrived = outgoing.queue.segments() > segments;
        let is_writable = outgoing.is_writable();
        drop(outgoing);
        match sent {
            Ok(_) if has_arrived => {
                self.other().waiting.wake(ARRIVED);
            }
            Err(Errno::EFAULT) if is_writable => {
                self.own().waiting.wake(WRITABLE);
            }
            _ => {}
        }
        sent
    }

    /// Whether a send would not say EAGAIN.
    pub fn may_send(&self) -> bool {
        let outgoing = self.other().incoming.lock();
        outgoing.ended || outgoing.closed || outgoing.shut || outgoing.queue.cost() < outgoing.limit
    }

    /// shutdown(2): the other end's opposite direction is over too.
    pub fn shut_down(&self, read: bool, write: bool) {
        if read {
            self.own().incoming.lock().shut = true;
        }
        if write {
            self.other().incoming.lock().ended = true;
        }
        self.own().waiting.wake(CHANGED);
        self.other().waiting.wake(CHANGED);
    }

    /// The socket of this end is gone. What it has not received resets the connection, and so does `abort`. What was in
    /// the queue, to be dropped without locks.
    pub fn close(&self, abort: bool) -> Queue {
        let mut own = self.own().incoming.lock();
        own.closed = true;
        let unread = own.queue.take();
        drop(own);
        let mut outgoing = self.other().incoming.lock();
        outgoing.ended = true;
        if abort || unread.is_missed() {
            outgoing.error = Some(Errno::ECONNRESET);
        }
        drop(outgoing);
        self.other().waiting.wake(CHANGED);
        unread
    }

    /// What was sent to this end, for [`rights::collect`](super::rights::collect).
    pub fn for_each_rights(&self, visit: &mut dyn FnMut(&Rights)) {
        self.own().incoming.lock().queue.for_each_rights(visit);
    }

    pub fn take_rights(&self) -> Option<Rights> {
        self.own().incoming.lock().queue.take_rights()
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
        if !own.queue.is_empty() || read_over {
            ready |= EventMask::READABLE;
        }
        if read_over {
            ready |= EventMask::RDHUP;
        }
        drop(own);
        let outgoing = self.other().incoming.lock();
        if read_over && (outgoing.ended || outgoing.closed || outgoing.shut) {
            ready |= EventMask::HUP;
        }
        if outgoing.is_writable() {
            ready |= WRITABLE;
        }
        ready
    }

    /// SO_SNDBUF.
    pub fn set_limit(&self, limit: usize) {
        self.other().incoming.lock().limit = limit;
    }

    /// SO_PASSCRED and its kind of this end: where it asks who sends, what either end sends from now on says so.
    pub fn set_passes(&self, passes: Passes) {
        self.own().incoming.lock().receiver_passes = passes;
        self.other().incoming.lock().sender_passes = passes;
    }

    /// SO_ATTACH_FILTER of this end.
    pub fn set_filter(&self, filter: Option<Arc<Program>>) {
        let former = core::mem::replace(&mut self.own().incoming.lock().filter, filter);
        drop(former);
    }

    /// Whether this end still waits to be accepted.
    pub fn set_pending(&self, pending: bool) {
        self.own().incoming.lock().pending = pending;
    }
}
