//! What one end of a TCP connection has received, with the urgent byte among it.

use crate::mm::user::{Sink, Source};
use crate::net::options::BUFFER_DEFAULT;
use crate::net::ring::Ring;
use libsyscall::abi::Errno;

/// The byte sent last with MSG_OOB. It has its place in the stream, where reading stops once.
#[derive(Clone, Copy)]
struct Urgent {
    /// How many bytes come before it.
    position: usize,
    byte: u8,
    /// MSG_OOB has read it.
    read: bool,
}

pub struct Incoming {
    ring: Ring,
    urgent: Option<Urgent>,
    /// SO_OOBINLINE: the urgent byte is read like the others.
    pub inline: bool,
    /// SO_RCVLOWAT.
    pub low_water: usize,
    /// SO_SNDBUF of the other end and SO_RCVBUF of this one.
    buffers: [usize; 2],
    /// The other end sends no more (it shut down writing, or is gone).
    pub ended: bool,
    /// It said so before this end did: its port rests when it is closed (TIME-WAIT).
    pub ended_first: bool,
    /// Of an end that talks to another machine: all of it is there.
    pub acknowledged: bool,
    /// This end reads no more.
    pub shut: bool,
    /// This end's socket is gone.
    pub closed: bool,
    /// What the next call on this end's socket reports, once: SO_ERROR.
    pub error: Option<Errno>,
    /// The connection was reset: nothing more goes either way.
    pub reset: bool,
}

impl Incoming {
    pub fn new() -> Incoming {
        Incoming {
            ring: Ring::new(BUFFER_DEFAULT),
            urgent: None,
            inline: false,
            low_water: 1,
            buffers: [BUFFER_DEFAULT; 2],
            ended: false,
            ended_first: false,
            acknowledged: false,
            shut: false,
            closed: false,
            error: None,
            reset: false,
        }
    }

    /// The sender's (`send`) or the receiver's buffer has another size. Both hold what is on its way, and half of each is
    /// for what goes with the bytes.
    pub fn set_buffer(&mut self, send: bool, len: usize) {
        self.buffers[usize::from(!send)] = len;
        self.ring.set_capacity(self.buffers.iter().sum::<usize>() / 2);
    }

    /// The other end sends no more; `heard`: this end has ended its direction already.
    pub fn end(&mut self, heard: bool) {
        self.ended_first |= !self.ended && !heard;
        self.ended = true;
    }

    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Bytes received and not read, the urgent one with them.
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// FIONREAD: bytes up to the urgent one.
    pub fn readable_len(&self) -> usize {
        match self.urgent {
            Some(urgent) if !self.inline => urgent.position,
            _ => self.ring.len(),
        }
    }

    /// SIOCATMARK: whether the urgent byte comes next.
    pub fn at_mark(&self) -> bool {
        self.urgent.is_some_and(|urgent| urgent.position == 0)
    }

    /// EPOLLPRI: an urgent byte that MSG_OOB has not read.
    pub fn has_urgent(&self) -> bool {
        self.urgent.is_some_and(|urgent| !urgent.read)
    }

    /// Whether it counts as readable: SO_RCVLOWAT bytes, the urgent one left out where it comes next.
    pub fn is_readable(&self) -> bool {
        let passed_over = self.at_mark() && !self.inline;
        let wanted = self.low_water + usize::from(passed_over);
        self.ring.len() >= wanted || !self.ring.is_empty() && self.ring.room() == 0
    }

    /// Whether who waits for `len` bytes behind the first `skip` has waited enough.
    pub fn suffices(&self, skip: usize, len: usize) -> bool {
        self.ring.len().saturating_sub(skip) >= self.low_water.min(len) || self.ring.room() == 0
    }

    /// Whether so full a buffer counts as writable: Linux keeps back a share, so that a writer is woken for more than a byte.
    pub fn is_writable(&self) -> bool {
        self.ring.room() * 2 >= self.ring.len()
    }

    pub fn room(&self) -> usize {
        self.ring.room()
    }

    /// Takes what there is room for; the last byte of it is urgent where `urgent`. EFAULT, ENOMEM.
    pub fn put(&mut self, from: &mut Source, urgent: bool) -> Result<usize, Errno> {
        let count = self.ring.fill(from)?;
        if urgent && count > 0 {
            // An earlier urgent byte becomes one like the others, but one that comes next is lost.
            if self.at_mark() && !self.inline {
                self.ring.discard(1);
            }
            let position = self.ring.len() - 1;
            let byte = self.ring.byte(position);
            self.urgent = Some(Urgent {
                position,
                byte,
                read: false,
            });
        }
        Ok(count)
    }

    /// Gives bytes up to the urgent one, or from there on without it; how many. A peek passes over the first `skip`. EFAULT.
    pub fn take(&mut self, skip: usize, to: &mut Sink, peek: bool) -> Result<usize, Errno> {
        let (mut given, mut passed) = (0, skip);
        while to.len() > 0 && passed < self.ring.len() {
            let mut limit = self.ring.len() - passed;
            match self.urgent.map(|urgent| urgent.position) {
                Some(position) if position == passed && given > 0 => break,
                Some(position) if position == passed && !self.inline => {
                    passed += 1;
                    continue;
                }
                Some(position) if position > passed => limit = position - passed,
                _ => {}
            }
            let count = match self.ring.copy(passed, limit, to) {
                Err(error) if given == 0 => return Err(error),
                result => result.unwrap_or(0),
            };
            given += count;
            passed += count;
            if count < limit {
                break;
            }
        }
        if !peek {
            self.ring.discard(passed);
            self.urgent = self.urgent.and_then(|urgent| {
                let position = urgent.position.checked_sub(passed)?;
                Some(Urgent { position, ..urgent })
            });
        }
        Ok(given)
    }

    /// Gives the urgent byte: EINVAL where there is none to be read so.
    pub fn take_urgent(&mut self, to: &mut Sink, peek: bool) -> Result<usize, Errno> {
        let inline = self.inline;
        match &mut self.urgent {
            Some(urgent) if !urgent.read && !inline => {
                urgent.read = !peek;
                to.put(&[urgent.byte])
            }
            _ => Err(Errno::EINVAL),
        }
    }

    /// Throws the bytes away, and gives their memory back.
    pub fn clear(&mut self) {
        self.ring.clear();
        self.urgent = None;
    }
}
