//! The bytes of a pipe: page slots in a ring.

use crate::arch::PAGE_SIZE;
use crate::mm::frame::Frame;
use crate::mm::user::{Sink, Source};
use alloc::vec::Vec;
use libsyscall::abi::Errno;

/// Slots of a new pipe: 64 KiB, pipe(7).
const SLOTS: usize = 16;

pub(super) struct Ring {
    /// As many as there may be, a power of two; none before the first write.
    pub slots: Vec<Slot>,
    /// The first slot with bytes, and how many have some from there on, round the end. Of an empty pipe the first is 0:
    /// that slot keeps its page, so that bytes going through one by one need no other.
    pub first: usize,
    pub used: usize,
    /// Slots there may be.
    pub limit: usize,
    /// A splice(2) is passing on the first bytes: nobody else takes any meanwhile.
    pub taking: bool,
    pub readers: u32,
    pub writers: u32,
    /// Openings so far, by which a blocked open(2) sees that its partner came, even if that is gone again.
    pub reader_openings: u32,
    pub writer_openings: u32,
}

/// A page with bytes in it.
#[derive(Default)]
pub(super) struct Slot {
    pub page: Option<Frame>,
    pub start: usize,
    pub len: usize,
    /// Written with O_DIRECT: read at once, never added to.
    pub packet: bool,
}

impl Ring {
    pub fn new() -> Ring {
        Ring {
            slots: Vec::new(),
            first: 0,
            used: 0,
            limit: SLOTS,
            taking: false,
            readers: 0,
            writers: 0,
            reader_openings: 0,
            writer_openings: 0,
        }
    }

    #[inline]
    pub fn is_full(&self) -> bool {
        self.used >= self.limit
    }

    /// What a read says that finds nothing: EAGAIN while something may come, 0 at the end.
    #[inline]
    pub fn nothing_to_take(&self) -> Result<usize, Errno> {
        if self.writers == 0 && !self.taking {
            Ok(0)
        } else {
            Err(Errno::EAGAIN)
        }
    }

    /// The place in `slots` of the slot `offset` after the first one.
    #[inline]
    pub fn index(&self, offset: usize) -> usize {
        (self.first + offset) & (self.slots.len() - 1)
    }

    /// Bytes in all slots.
    pub fn bytes(&self) -> usize {
        (0..self.used).map(|offset| self.slots[self.index(offset)].len).sum()
    }

    /// Moves bytes out, up to the end of a packet. EFAULT where not one could be.
    #[inline]
    pub fn take(&mut self, to: &mut Sink) -> Result<usize, Errno> {
        let mut done = 0;
        loop {
            let slot = &mut self.slots[self.first];
            let page = slot.page.as_ref().expect("a slot with bytes has a page");
            let len = slot.len.min(to.len());
            let moved = match to.put_frame(page, slot.start, len) {
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
                Ok(moved) => moved,
            };
            // A page is taken whole, as far as it is asked for, or stays.
            if moved < len {
                return if done > 0 { Ok(done) } else { Err(Errno::EFAULT) };
            }
            done += moved;
            let packet = slot.packet;
            // What of a packet is not asked for is lost.
            let used = if packet { slot.len } else { moved };
            slot.start += used;
            slot.len -= used;
            if slot.len == 0 {
                self.leave_first();
            }
            if packet || self.used == 0 || to.len() == 0 {
                break;
            }
        }
        Ok(done)
    }

    /// The first slot has been read empty. The slot at 0, where an empty pipe starts, keeps its page.
    #[inline(always)]
    pub fn leave_first(&mut self) {
        if self.first == 0 && self.used == 1 {
            self.used = 0;
        } else {
            self.leave_any();
        }
    }

    #[inline(never)]
    fn leave_any(&mut self) {
        self.used -= 1;
        if self.first != 0 {
            self.slots[self.first].page = None;
        }
        self.first = if self.used == 0 { 0 } else { self.index(1) };
    }

    /// Moves bytes in, as many as fit. At most a page of them is all or nothing: behind the last slot's bytes or in a
    /// slot of its own.
    #[inline(always)]
    pub fn put(&mut self, from: &mut Source, packets: bool) -> Result<usize, Errno> {
        // The usual case by itself: a few bytes into an empty pipe that has its page already.
        if self.used == 0
            && from.len() <= PAGE_SIZE
            && let Some(slot) = self.slots.first_mut()
            && let Some(page) = &slot.page
        {
            let len = from.len();
            if from.get_frame(page, 0, len)? < len {
                return Err(Errno::EFAULT);
            }
            (slot.start, slot.len, slot.packet) = (0, len, packets);
            self.used = 1;
            return Ok(len);
        }
        self.put_any(from, packets)
    }

    #[inline(never)]
    fn put_any(&mut self, from: &mut Source, packets: bool) -> Result<usize, Errno> {
        let mut done = 0;
        // The odd bytes first, behind what is there, so that the rest fills whole pages.
        let odd = from.len() % PAGE_SIZE;
        if odd > 0 && !packets && self.used > 0 {
            let last = self.index(self.used - 1);
            let slot = &mut self.slots[last];
            let end = slot.start + slot.len;
            if let Some(page) = &slot.page
                && !slot.packet
                && end + odd <= PAGE_SIZE
            {
                done = from.get_frame(page, end, odd)?;
                if done < odd {
                    return Err(Errno::EFAULT);
                }
                slot.len += done;
            }
        }
        while from.len() > 0 {
            if self.is_full() {
                return if done > 0 { Ok(done) } else { Err(Errno::EAGAIN) };
            }
            let len = from.len().min(PAGE_SIZE);
            match self.put_slot(from, len, packets) {
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
                Ok(()) => done += len,
            }
        }
        Ok(done)
    }

    /// Puts `len` bytes, a page at most, in a slot of their own: all, or none.
    fn put_slot(&mut self, from: &mut Source, len: usize, packet: bool) -> Result<(), Errno> {
        if self.slots.is_empty() {
            self.slots = empty_slots(self.limit)?;
        }
        let index = self.index(self.used);
        let slot = &mut self.slots[index];
        if slot.page.is_none() {
            slot.page = Some(Frame::new().map_err(|_| Errno::ENOMEM)?);
        }
        let page = slot.page.as_ref().expect("it was just put there");
        if from.get_frame(page, 0, len)? < len {
            return Err(Errno::EFAULT);
        }
        (slot.start, slot.len, slot.packet) = (0, len, packet);
        self.used += 1;
        Ok(())
    }

    /// Takes everything out, to be given back without the pipe's lock.
    pub fn empty(&mut self) -> Vec<Slot> {
        (self.first, self.used) = (0, 0);
        core::mem::take(&mut self.slots)
    }

    /// Makes room for `limit` slots, a power of two. EBUSY where more are in use, ENOMEM.
    pub fn set_limit(&mut self, limit: usize) -> Result<(), Errno> {
        if limit < self.used {
            return Err(Errno::EBUSY);
        }
        if !self.slots.is_empty() {
            let mut slots = empty_slots(limit)?;
            for (offset, slot) in slots.iter_mut().enumerate().take(self.used) {
                let index = self.index(offset);
                *slot = core::mem::take(&mut self.slots[index]);
            }
            self.slots = slots;
            self.first = 0;
        }
        self.limit = limit;
        Ok(())
    }
}

fn empty_slots(count: usize) -> Result<Vec<Slot>, Errno> {
    let mut slots = Vec::new();
    slots.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
    slots.resize_with(count, Slot::default);
    Ok(slots)
}
