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
    #[inline]
    fn reserve(&mut self, wanted: usize) -> Result<(), Errno> {
        if self.bytes.len() >= wanted {
            Ok(())
        } else {
            self.grow(wanted)
        }
    }

    #[inline(never)]
    fn grow(&mut self, wanted: usize) -> Result<(), Errno> {
        let target = wanted.max(FIRST_LEN).next_power_of_two();
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

    /// Where the byte is that is so many behind the first.
    #[inline]
    fn place(&self, index: usize) -> usize {
        let place = self.start + index;
        if place < self.bytes.len() {
            place
        } else {
            place - self.bytes.len()
        }
    }

    /// A byte in the ring, counted from the first.
    pub fn byte(&self, index: usize) -> u8 {
        self.bytes[self.place(index)]
    }

    /// Takes as much from `source` as there is room for; EFAULT where not one byte can be read.
    pub fn fill(&mut self, source: &mut Source) -> Result<usize, Errno> {
        self.fill_up_to(self.room(), source)
    }

    /// [`Ring::fill`] with `limit` bytes at most.
    pub fn fill_up_to(&mut self, limit: usize, source: &mut Source) -> Result<usize, Errno> {
        let wanted = source.len().min(self.room()).min(limit);
        if wanted == 0 {
            return Ok(0);
        }
        self.reserve(self.len + wanted)?;
        let end = self.place(self.len);
        let first = wanted.min(self.bytes.len() - end);
        let mut done = source.get(&mut self.bytes[end..end + first])?;
        if done == first && first < wanted {
            // On from the ring's start. What comes before an error counts.
            done += source.get(&mut self.bytes[..wanted - first]).unwrap_or(0);
        }
        self.len += done;
        Ok(done)
    }

    /// Copies up to `limit` bytes from `offset` on to `sink`; EFAULT where not one can be written.
    pub fn copy(&self, offset: usize, limit: usize, sink: &mut Sink) -> Result<usize, Errno> {
        let wanted = (self.len - offset).min(limit).min(sink.len());
        if wanted == 0 {
            return Ok(0);
        }
        let start = self.place(offset);
        let first = wanted.min(self.bytes.len() - start);
        let mut done = sink.put(&self.bytes[start..start + first])?;
        if done == first && first < wanted {
            done += sink.put(&self.bytes[..wanted - first]).unwrap_or(0);
        }
        Ok(done)
    }

    /// Throws the first `count` bytes away.
    pub fn discard(&mut self, count: usize) {
        self.start = self.place(count);
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
