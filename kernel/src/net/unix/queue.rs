//! What was sent to a socket and has not been received, cut as it was sent.
//!
//! A sender's limit (SO_SNDBUF) is not counted in bytes but in what the bytes cost, where programs can see it: so many
//! small messages, so often writable. The costs are those of Linux's socket buffers: a structure, a piece of memory of a
//! power of two with room for its own administration, and pages for what does not fit.

use super::author::Author;
use super::rights::Rights;
use super::sender::Origin;
use crate::mm::user::{Sink, Source};
use crate::net::message::Incoming;
use crate::net::peek::PeekOffset;
use crate::net::protocol::Credentials;
use crate::net::ring::Ring;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use libsyscall::abi::Errno;
use libsyscall::abi::socket::{MSG_PEEK, MSG_TRUNC};

/// The structure, and what is at the end of the first piece of memory.
const STRUCTURE_COST: usize = 256;
const PIECE_END: usize = 320;
/// The smallest first piece there is.
const PIECE_MIN: usize = 512;

/// How a kind cuts its bytes.
#[derive(Clone, Copy)]
pub struct Cut {
    /// Bytes in the first piece at most.
    first: usize,
    /// What the memory for the rest is a multiple of.
    unit: usize,
}

/// Streams take small pieces: the first one is of a page.
pub const STREAM: Cut = Cut { first: 3776, unit: 512 };
/// A message's first piece is of four pages at most.
pub const MESSAGE: Cut = Cut {
    first: 16064,
    unit: 4096,
};
/// What a stream takes at once, a segment.
pub const STREAM_SEGMENT_MAX: usize = 36544;

impl Cut {
    #[inline]
    pub fn cost(self, len: usize) -> usize {
        // Most are short, and then the rest of this comes to the same.
        if len <= PIECE_MIN - PIECE_END {
            return STRUCTURE_COST + PIECE_MIN;
        }
        let first = len.min(self.first);
        let piece = (first.next_multiple_of(64) + PIECE_END).next_power_of_two();
        STRUCTURE_COST + piece.max(PIECE_MIN) + (len - first).next_multiple_of(self.unit)
    }
}

/// What was sent at once.
pub struct Segment {
    /// Bytes left of it.
    pub len: usize,
    pub cost: usize,
    /// What goes with its bytes. Most have nothing, and are moved a lot.
    attached: Option<Box<Attached>>,
    /// Whose it is, where a queue has messages of many senders.
    pub origin: Option<Origin>,
    /// Of no bytes, and peeked at: a peek from an offset passes over it.
    was_seen: bool,
}

struct Attached {
    /// Who sent it, where one of the two wanted that to be known.
    author: Option<Author>,
    /// SCM_RIGHTS.
    rights: Option<Rights>,
}

impl Segment {
    #[inline]
    pub fn new(
        len: usize,
        cost: usize,
        author: Option<Author>,
        rights: Option<Rights>,
        origin: Option<Origin>,
    ) -> Segment {
        let attached = (author.is_some() || rights.is_some()).then(|| Box::new(Attached { author, rights }));
        Segment {
            len,
            cost,
            attached,
            origin,
            was_seen: false,
        }
    }

    #[inline]
    fn author(&self) -> Option<&Author> {
        self.attached.as_ref().and_then(|attached| attached.author.as_ref())
    }

    #[inline]
    fn rights(&self) -> Option<&Rights> {
        self.attached.as_ref().and_then(|attached| attached.rights.as_ref())
    }

    #[inline]
    fn take_rights(&mut self) -> Option<Rights> {
        self.attached.as_mut().and_then(|attached| attached.rights.take())
    }
}

/// How to receive.
#[derive(Clone, Copy)]
pub struct Receive<'a> {
    /// MSG_PEEK: everything stays.
    pub peek: bool,
    /// MSG_TRUNC: the length of a message, whatever there was room for.
    pub full_len: bool,
    /// SO_PEEK_OFF of the receiver.
    pub offset: &'a PeekOffset,
}

impl Receive<'_> {
    pub fn new(flags: u32, offset: &PeekOffset) -> Receive<'_> {
        Receive {
            peek: flags & MSG_PEEK != 0,
            full_len: flags & MSG_TRUNC != 0,
            offset,
        }
    }
}

/// Where a receive begins: usually with the first segment.
#[derive(Clone, Copy)]
pub struct Place {
    index: usize,
    /// Bytes of that segment that are passed over.
    skip: usize,
    /// Bytes in all that are.
    start: usize,
}

fn credentials(author: Option<&Author>) -> Option<Credentials> {
    author.map(|author| author.credentials)
}

impl Place {
    const FIRST: Place = Place {
        index: 0,
        skip: 0,
        start: 0,
    };
}

pub struct Queue {
    ring: Ring,
    segments: VecDeque<Segment>,
    cost: usize,
}

impl Queue {
    pub const fn new() -> Queue {
        Queue {
            // The senders' limits bound it.
            ring: Ring::new(usize::MAX),
            segments: VecDeque::new(),
            cost: 0,
        }
    }

    /// Bytes in all segments.
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether there is no segment; one may be of no bytes.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Whether the sender is to hear that this is thrown away. Linux does not count a first message of no bytes.
    pub fn is_missed(&self) -> bool {
        !self.ring.is_empty() || self.segments.len() > 1
    }

    /// What the segments cost.
    pub fn cost(&self) -> usize {
        self.cost
    }

    /// How many segments there are.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    pub fn first(&self) -> Option<&Segment> {
        self.segments.front()
    }

    /// Where a receive begins, if there is something for it. A peek from an offset walks there, past messages of no bytes
    /// that have been peeked at: of those the offset says nothing.
    pub fn place(&self, how: Receive) -> Option<Place> {
        let Some(start) = how.offset.get().filter(|_| how.peek) else {
            return (!self.is_empty()).then_some(Place::FIRST);
        };
        let mut skip = start;
        for (index, segment) in self.segments.iter().enumerate() {
            let is_passed = skip >= segment.len && (skip > 0 || segment.was_seen);
            if !is_passed {
                return Some(Place { index, skip, start });
            }
            skip -= segment.len;
        }
        None
    }

    pub fn segment(&self, place: Place) -> Option<&Segment> {
        self.segments.get(place.index)
    }

    /// Takes a segment's bytes, whole or not at all: EFAULT, ENOMEM. [`Queue::push`] follows.
    #[inline]
    pub fn put_bytes(&mut self, from: &mut Source, len: usize) -> Result<(), Errno> {
        self.segments.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        if len > 0 {
            let filled = self.ring.fill_up_to(len, from)?;
            if filled < len {
                self.ring.unfill(filled);
                return Err(Errno::EFAULT);
            }
        }
        Ok(())
    }

    /// Adds the segment whose bytes were put.
    #[inline]
    pub fn push(&mut self, segment: Segment) {
        self.cost += segment.cost;
        self.segments.push_back(segment);
    }

    /// Receives from a stream: up to where a segment brings descriptors or, `by_sender`, where the sender changes. Of a
    /// segment that can't be copied as far as there is room nothing is taken: EFAULT where it is the first.
    pub fn receive_bytes(
        &mut self,
        to: &mut Sink,
        offset: &PeekOffset,
        by_sender: bool,
        message: &mut Incoming,
    ) -> Result<usize, Errno> {
        let mut total = 0;
        while let Some(segment) = self.segments.front_mut() {
            let is_by_other = || by_sender && credentials(segment.author()) != credentials(message.author.as_ref());
            if total > 0 && (to.len() == 0 || is_by_other()) {
                break;
            }
            let count = segment.len.min(to.len());
            if self.ring.copy(0, count, to) != Ok(count) {
                if total == 0 {
                    return Err(Errno::EFAULT);
                }
                break;
            }
            total += count;
            if let Some(attached) = &mut segment.attached {
                message.author = attached.author.clone();
                message.rights = attached.rights.take();
            }
            if !self.consume(count) {
                break;
            }
            self.segments.pop_front();
            if message.rights.is_some() {
                break;
            }
        }
        offset.went(total, false);
        Ok(total)
    }

    /// [`Queue::receive_bytes`] that takes nothing: MSG_PEEK.
    pub fn peek_bytes(
        &self,
        place: Place,
        to: &mut Sink,
        offset: &PeekOffset,
        by_sender: bool,
        message: &mut Incoming,
    ) -> Result<usize, Errno> {
        let (mut total, mut skip) = (0, place.skip);
        for (number, segment) in self.segments.range(place.index..).enumerate() {
            // Without room left it still sees whether descriptors come next.
            if number > 0 && by_sender && credentials(segment.author()) != credentials(message.author.as_ref()) {
                break;
            }
            let left = segment.len - skip;
            let count = left.min(to.len());
            if self.ring.copy(place.start + total, count, to) != Ok(count) {
                if total == 0 {
                    return Err(Errno::EFAULT);
                }
                break;
            }
            total += count;
            message.author = segment.author().cloned();
            message.rights = segment.rights().map(Rights::duplicate).transpose()?;
            if count < left || message.rights.is_some() {
                break;
            }
            skip = 0;
        }
        offset.went(total, true);
        Ok(total)
    }

    /// Receives a message: what there is no room for is lost, and one that can't be copied is lost too. The segment, if
    /// it is no longer here, is to be dropped without locks.
    pub fn receive_message(
        &mut self,
        place: Place,
        to: &mut Sink,
        how: Receive,
        message: &mut Incoming,
    ) -> (Result<usize, Errno>, Option<Segment>) {
        let Some(segment) = self.segments.get_mut(place.index) else {
            return (Ok(0), None);
        };
        let len = segment.len - place.skip;
        let wanted = len.min(to.len());
        let copied = self.ring.copy(place.start, len, to);
        message.author = segment.author().cloned();
        let mut taken = None;
        if !how.peek {
            message.rights = segment.take_rights();
            if self.consume(len) {
                taken = self.segments.pop_front();
            }
        } else {
            segment.was_seen = segment.len == 0;
            if let Some(rights) = segment.rights() {
                match rights.duplicate() {
                    Ok(rights) => message.rights = Some(rights),
                    Err(error) => return (Err(error), None),
                }
            }
        }
        if wanted < len {
            message.flags |= MSG_TRUNC;
        }
        let result = match copied {
            Ok(copied) if copied < wanted => Err(Errno::EFAULT),
            Ok(_) => {
                how.offset.went(if how.peek { wanted } else { len }, how.peek);
                Ok(if how.full_len { len } else { wanted })
            }
            Err(error) => Err(error),
        };
        (result, taken)
    }

    /// Takes `count` bytes off the first segment; whether nothing is left of it, and the caller is to take it out.
    fn consume(&mut self, count: usize) -> bool {
        let Some(segment) = self.segments.front_mut() else {
            return false;
        };
        self.ring.discard(count);
        segment.len -= count;
        if segment.len > 0 {
            return false;
        }
        self.cost -= segment.cost;
        true
    }

    pub fn for_each_rights(&self, visit: &mut dyn FnMut(&Rights)) {
        self.segments.iter().filter_map(Segment::rights).for_each(visit);
    }

    /// Takes the first rights that are left, to be dropped without locks.
    pub fn take_rights(&mut self) -> Option<Rights> {
        self.segments.iter_mut().find_map(Segment::take_rights)
    }

    /// Takes everything out.
    pub fn take(&mut self) -> Queue {
        core::mem::replace(self, Queue::new())
    }
}
