//! Positions in the memory that a read or a write goes over.

use super::{check, read_vector};
use crate::arch::PAGE_SIZE;
use alloc::vec::Vec;
use core::hint::cold_path;
use libsyscall::abi::Errno;

/// Linux moves no more than this in one call, whatever is asked for (read(2), "Notes").
const MAX_RW_COUNT: usize = i32::MAX as usize & !(PAGE_SIZE - 1);

/// The pieces of an iovec array: their total is cut to what one call moves.
pub struct Pieces {
    /// (address, length) of each, in reverse order so that the next one is popped.
    reversed: Vec<(usize, usize)>,
    total: usize,
}

impl Pieces {
    /// [`read_vector`] of pieces of this program's memory.
    pub fn read(iov: usize, count: usize) -> Result<Pieces, Errno> {
        let mut pieces = read_vector(iov, count, check)?;
        let mut room = MAX_RW_COUNT;
        for (_, len) in &mut pieces {
            *len = (*len).min(room);
            room -= *len;
        }
        pieces.reverse();
        Ok(Pieces {
            reversed: pieces,
            total: MAX_RW_COUNT - room,
        })
    }
}

/// A position in memory that moves as bytes are copied: in user memory, in one piece or several, or in the kernel's. It
/// owns nothing, so that the many that are made for a read or a write of one piece leave nothing to do.
pub(super) struct Cursor<'a> {
    /// The next byte.
    pub address: usize,
    /// Bytes of user memory left in the piece at `address`; 0 where that is the kernel's own.
    piece: usize,
    /// Bytes left in all pieces.
    pub left: usize,
    /// The pieces after this one; only an iovec has any.
    rest: Option<&'a mut Pieces>,
}

/// An address that a copy comes by.
pub(super) enum At {
    User(usize),
    Kernel(usize),
}

impl<'a> Cursor<'a> {
    #[inline]
    pub fn user(address: usize, len: usize) -> Result<Cursor<'static>, Errno> {
        // Checked apart: of a length that is known to be short the compiler leaves half of the check out.
        let len = if len > MAX_RW_COUNT {
            cold_path();
            check(address, len)?;
            MAX_RW_COUNT
        } else {
            check(address, len)?;
            len
        };
        Ok(Cursor {
            address,
            piece: len,
            left: len,
            rest: None,
        })
    }

    #[inline]
    pub fn kernel(address: usize, len: usize) -> Cursor<'a> {
        Cursor {
            address,
            piece: 0,
            left: len,
            rest: None,
        }
    }

    pub fn pieces(pieces: &'a mut Pieces) -> Cursor<'a> {
        let (address, piece) = pieces.reversed.pop().unwrap_or((0, 0));
        Cursor {
            address,
            piece,
            left: pieces.total,
            rest: Some(pieces),
        }
    }

    /// Whether the next `len` bytes are user memory in one piece.
    #[inline]
    pub fn has_whole(&self, len: usize) -> bool {
        self.piece >= len
    }

    #[inline]
    pub fn step(&mut self, len: usize) {
        self.address += len;
        self.piece -= len;
        self.left -= len;
    }

    /// Copies up to `len` bytes; `copy(at, offset, len)` gives what it did not copy. How many were copied; EFAULT when there
    /// were some to copy and not one was.
    #[inline]
    pub fn advance(&mut self, len: usize, mut copy: impl FnMut(At, usize, usize) -> usize) -> Result<usize, Errno> {
        let len = len.min(self.left);
        if len > self.piece {
            return self.advance_elsewhere(len, copy);
        }
        let missed = copy(At::User(self.address), 0, len);
        self.step(len - missed);
        if missed == 0 {
            return Ok(len);
        }
        cold_path();
        if missed < len {
            Ok(len - missed)
        } else {
            Err(Errno::EFAULT)
        }
    }

    /// [`Cursor::advance`] in the kernel's memory, or over several pieces.
    #[inline(never)]
    fn advance_elsewhere(
        &mut self,
        len: usize,
        mut copy: impl FnMut(At, usize, usize) -> usize,
    ) -> Result<usize, Errno> {
        if self.piece == 0 && self.rest.is_none() {
            copy(At::Kernel(self.address), 0, len);
            self.address += len;
            self.left -= len;
            return Ok(len);
        }
        let mut done = 0;
        while done < len {
            if self.piece == 0 {
                let next = self.rest.as_mut().and_then(|rest| rest.reversed.pop());
                (self.address, self.piece) = next.expect("the pieces make up what is left");
                continue;
            }
            let wanted = self.piece.min(len - done);
            let missed = copy(At::User(self.address), done, wanted);
            self.step(wanted - missed);
            done += wanted - missed;
            if missed > 0 {
                return if done > 0 { Ok(done) } else { Err(Errno::EFAULT) };
            }
        }
        Ok(done)
    }
}
