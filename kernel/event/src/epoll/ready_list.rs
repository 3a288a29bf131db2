//! The ready list: which interests may have something to report, in the order they became so.
//!
//! Slots have the interests' numbers. A slot is on the list at most once; its mask is kept here rather than with the
//! interest, because a wake-up needs it and must not take the interests' lock.

use crate::EventMask;
use crate::slab::{self, NONE};
use alloc::vec::Vec;
use libsyscall::abi::Errno;

/// [`Slot::next`] of an interest that is not on the list: it waits for a wake-up.
const IDLE: u32 = NONE - 1;

#[derive(Clone, Copy)]
struct Slot {
    /// Empty where no interest has this number: an interest has ERR and HUP, or was one-shot.
    mask: EventMask,
    previous: u32,
    next: u32,
}

const VACANT: Slot = Slot {
    mask: EventMask::empty(),
    previous: NONE,
    next: IDLE,
};

pub(super) struct ReadyList {
    slots: Vec<Slot>,
    first: u32,
    last: u32,
    len: usize,
    /// Threads that are going through the list, with an interest in hand that may come back to it.
    scans: u32,
}

impl ReadyList {
    pub const fn new() -> ReadyList {
        ReadyList {
            slots: Vec::new(),
            first: NONE,
            last: NONE,
            len: 0,
            scans: 0,
        }
    }

    /// Whether it has nothing, and nobody holds what may come back to it.
    pub fn is_empty(&self) -> bool {
        self.first == NONE && self.scans == 0
    }

    /// A thread starts to go through the list, under the interests' lock; how long it is.
    pub fn begin_scan(&mut self) -> usize {
        self.scans += 1;
        self.len
    }

    pub fn end_scan(&mut self) {
        self.scans -= 1;
    }

    fn slot(&mut self, number: u32) -> &mut Slot {
        &mut self.slots[number as usize]
    }

    /// Room for an interest's number, with its mask.
    pub fn insert(&mut self, number: u32, mask: EventMask) -> Result<(), Errno> {
        while self.slots.len() <= number as usize {
            slab::reserve(&mut self.slots)?;
            self.slots.push(VACANT);
        }
        *self.slot(number) = Slot { mask, ..VACANT };
        Ok(())
    }

    /// The interest is gone.
    pub fn remove(&mut self, number: u32) {
        self.unlink(number);
        *self.slot(number) = VACANT;
    }

    /// EPOLL_CTL_MOD: the new mask, which arms a disabled interest again.
    pub fn set_mask(&mut self, number: u32, mask: EventMask) {
        self.slot(number).mask = mask;
    }

    pub fn mask(&self, number: u32) -> EventMask {
        self.slots[number as usize].mask
    }

    /// One-shot delivery: the interest waits for nothing until EPOLL_CTL_MOD, not even ERR and HUP (semantics 81).
    pub fn disable(&mut self, number: u32) {
        self.unlink(number);
        self.slot(number).mask &= EventMask::PRIVATE;
    }

    /// Whether a wake-up with these bits is for the interest: the list then has it.
    pub fn wake(&mut self, number: u32, events: EventMask) -> Option<EventMask> {
        let slot = self.slots.get(number as usize)?;
        let mask = slot.mask;
        let bits = mask.difference(EventMask::PRIVATE);
        if bits.is_empty() || !(events.is_empty() || bits.intersects(events)) {
            return None;
        }
        self.push_last(number);
        Some(mask)
    }

    pub fn is_listed(&self, number: u32) -> bool {
        self.slots.get(number as usize).is_some_and(|slot| slot.next != IDLE)
    }

    /// Puts an idle interest at the list's end; whether it was idle.
    #[inline]
    pub fn push_last(&mut self, number: u32) -> bool {
        let last = self.last;
        let slot = self.slot(number);
        if slot.next != IDLE {
            return false;
        }
        (slot.previous, slot.next) = (last, NONE);
        self.last = number;
        match last {
            NONE => self.first = number,
            _ => self.slot(last).next = number,
        }
        self.len += 1;
        true
    }

    /// Puts an idle interest at the list's start.
    pub fn push_first(&mut self, number: u32) {
        let first = self.first;
        let slot = self.slot(number);
        if slot.next == IDLE {
            (slot.previous, slot.next) = (NONE, first);
            self.join(NONE, number);
            self.join(number, first);
            self.len += 1;
        }
    }

    /// Takes the first interest off the list.
    #[inline]
    pub fn pop(&mut self) -> Option<(u32, EventMask)> {
        let number = self.first;
        if number == NONE {
            return None;
        }
        let slot = self.slot(number);
        let (mask, next) = (slot.mask, slot.next);
        slot.next = IDLE;
        self.first = next;
        match next {
            NONE => self.last = NONE,
            _ => self.slot(next).previous = NONE,
        }
        self.len -= 1;
        Some((number, mask))
    }

    fn unlink(&mut self, number: u32) {
        let slot = self.slot(number);
        if slot.next == IDLE {
            return;
        }
        let (previous, next) = (slot.previous, slot.next);
        slot.next = IDLE;
        self.join(previous, next);
        self.len -= 1;
    }

    fn join(&mut self, left: u32, right: u32) {
        match left {
            NONE => self.first = right,
            _ => self.slot(left).next = right,
        }
        match right {
            NONE => self.last = left,
            _ => self.slot(right).previous = left,
        }
    }
}
