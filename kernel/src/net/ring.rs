//! Bytes on their way in one direction: a ring that grows to its capacity as it is needed.

use crate::mm::user::{Sink, Source};
use alloc::vec::Vec;
use libsyscall::abi::Errno;

/// The ring's first size; it doubles from there.
const FIRST_LEN: usize = 4096;

/// What an empty ring keeps for the next bytes; a larger piece goes back.
const KEPT_LEN: usize = 65536;

pub struct Ring {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
    capacity: usize,
}

impl Ring {
    pub const fn new(capacity: usize) -> Ring {
        Ring {
            bytes: Vec::new(),
            start: 0,
            len: 0,
            capacity,
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Room left.
    pub fn room(&self) -> usize {
        self.capacity.saturating_sub(self.len)
    }

    /// SO_SNDBUF, SO_RCVBUF. What is in the ring stays.
    pub fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

    /// Makes room for `wanted` bytes in all, if there is memory; at least some where there is any.
    fn grow(&mut self, wanted: usize) -> Result<(), Errno> {
        let target = wanted.max(FIRST_LEN).next_power_of_two();
        if self.bytes.len() >= wanted {
            return Ok(());
        }
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(target).map_err(|_| Errno::ENOMEM)?;
        let (first, second) = self.filled();
        bytes.extend_from_slice(first);
        bytes.extend_from_slice(second);
        bytes.resize(target, 0);
        self.bytes = bytes;
        self.start = 0;
        Ok(())
    }

    /// The bytes in the ring, in two pieces.
    fn filled(&self) -> (&[u8], &[u8]) {
        let first = self.len.min(self.bytes.len() - self.start);
        (
            &self.bytes[self.start..self.start + first],
            &self.bytes[..self.len - first],
        )
    }

    /// A byte in the ring, counted from the first.
    pub fn byte(&self, index: usize) -> u8 {
        self.bytes[(self.start + index) % self.bytes.len()]
    }

    /// Takes as much from `source` as there is room for; EFAULT where not one byte can be read.
    pub fn fill(&mut self, source: &mut Source) -> Result<usize, Errno> {
        self.fill_up_to(self.room(), source)
    }

    /// [`Ring::fill`] with `limit` bytes at most.
    pub fn fill_up_to(&mut self, limit: usize, source: &mut Source) -> Result<usize, Errno> {
        let wanted = source.len().min(self.room()).min(limit);
        self.grow(self.len + wanted)?;
        let mut done = 0;
        while done < wanted {
            let end = (self.start + self.len) % self.bytes.len();
            let piece = (wanted - done).min(self.bytes.len() - end);
            let got = match source.get(&mut self.bytes[end..end + piece]) {
                Ok(got) => got,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            };
            self.len += got;
            done += got;
            if got < piece {
                break;
            }
        }
        Ok(done)
    }

    /// Copies up to `limit` bytes from `offset` on to `sink`; EFAULT where not one can be written.
    pub fn copy(&self, offset: usize, limit: usize, sink: &mut Sink) -> Result<usize, Errno> {
        let (first, second) = self.filled();
        let cut = offset.min(first.len());
        let pieces = [&first[cut..], &second[offset - cut..]];
        let mut done = 0;
        for piece in pieces {
            let wanted = piece.len().min(sink.len()).min(limit - done);
            if wanted == 0 {
                continue;
            }
            match sink.put(&piece[..wanted]) {
                Ok(put) => done += put,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Throws the first `count` bytes away.
    pub fn discard(&mut self, count: usize) {
        self.start = (self.start + count) % self.bytes.len().max(1);
        self.len -= count;
        if self.len == 0 {
            self.start = 0;
            if self.bytes.len() > KEPT_LEN {
                self.bytes = Vec::new();
            }
        }
    }

    /// Takes back the last `count` bytes that were filled in.
    pub fn unfill(&mut self, count: usize) {
        self.len -= count;
    }

    /// Gives the memory back.
    pub fn clear(&mut self) {
        *self = Ring::new(self.capacity);
    }
}
