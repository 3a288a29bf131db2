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

/// A ring: the last slot's neighbour is the first, so what is first becomes last by one step.
pub(super) struct ReadyList {
    slots: Vec<Slot>,
    first: u32,
    len: usize,
    /// A wake-up has met a slot that is on the list already, since [`ReadyList::notice`].
    missed: bool,
}

impl ReadyList {
    pub const fn new() -> ReadyList {
        ReadyList {
            slots: Vec::new(),
            first: NONE,
            len: 0,
            missed: false,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.first == NONE
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Of an interest, so it is there. An index past the end would be told of with its length, and that takes a register.
    fn slot(&mut self, number: u32) -> &mut Slot {
        self.slots.get_mut(number as usize).expect("a slot for each interest")
    }

    /// Room for an interest's number, with its mask.
    #[inline(always)]
    pub fn insert(&mut self, number: u32, mask: EventMask) -> Result<(), Errno> {
        while self.slots.len() <= number as usize {
            slab::reserve(&mut self.slots)?;
            self.slots.push(VACANT);
        }
        *self.slot(number) = Slot { mask, ..VACANT };
        Ok(())
    }

    /// The interest is gone: its slot is vacant.
    #[inline]
    pub fn remove(&mut self, number: u32) {
        let slot = self.slot(number);
        slot.mask = EventMask::empty();
        if slot.next != IDLE {
            self.unlink(number);
        }
    }

    /// EPOLL_CTL_MOD: the new mask, which arms a disabled interest again. EINVAL where either mask is an exclusive one.
    #[inline]
    pub fn set_mask(&mut self, number: u32, mask: EventMask) -> Result<(), Errno> {
        let slot = self.slot(number);
        if (slot.mask | mask).contains(EventMask::EXCLUSIVE) {
            return Err(Errno::EINVAL);
        }
        slot.mask = mask;
        Ok(())
    }

    pub fn mask(&self, number: u32) -> EventMask {
        self.slots[number as usize].mask
    }

    /// One-shot delivery: the interest waits for nothing until EPOLL_CTL_MOD, not even ERR and HUP (semantics 81).
    #[inline]
    pub fn disable(&mut self, number: u32) {
        let slot = self.slot(number);
        slot.mask &= EventMask::PRIVATE;
        // A wake-up may have put it back since it left for its delivery.
        if slot.next != IDLE {
            self.unlink(number);
        }
    }

    /// Whether a wake-up with these bits, none of which is private, is for the interest: the list then has it.
    pub fn wake(&mut self, number: u32, events: EventMask) -> Option<EventMask> {
        let slot = self.slots.get(number as usize)?;
        let mask = slot.mask;
        let tells_all = || events.is_empty() && !mask.difference(EventMask::PRIVATE).is_empty();
        if !mask.intersects(events) && !tells_all() {
            return None;
        }
        if !self.push_last(number) {
            self.missed = true;
        }
        Some(mask)
    }

    pub fn is_listed(&self, number: u32) -> bool {
        self.slots.get(number as usize).is_some_and(|slot| slot.next != IDLE)
    }

    /// Puts an idle interest at the list's end; whether it was idle.
    #[inline]
    pub fn push_last(&mut self, number: u32) -> bool {
        let first = self.first;
        let slot = self.slot(number);
        if slot.next != IDLE {
            return false;
        }
        self.len += 1;
        if first == NONE {
            self.first = number;
            self.join(number, number);
        } else {
            let last = self.slot(first).previous;
            self.join(last, number);
            self.join(number, first);
        }
        true
    }

    /// Makes an interest that has just been looked at the first again, wherever it is by now.
    pub fn put_back(&mut self, number: u32) {
        self.push_last(number);
        self.first = number;
    }

    /// The first interest and its mask; it becomes the last.
    #[inline]
    pub fn turn(&mut self) -> Option<(u32, EventMask)> {
        let first = self.first;
        let slot = self.slots.get(first as usize)?;
        self.first = slot.next;
        Some((first, slot.mask))
    }

    /// From now on the list notices what wake-ups do to it: the lock is given up while an interest is asked.
    #[inline]
    pub fn notice(&mut self) {
        self.missed = false;
    }

    /// An interest that was turned to had nothing to report: it leaves the list. Where the lock was given up while it was asked,
    /// it stays if a wake-up has come since [`ReadyList::notice`], which may have been its own:
    ///
    /// | harvest | waker |
    /// |---|---|
    /// | turns to the first interest | |
    /// | asks readiness: nothing | |
    /// | | makes the object ready; the interest is on the list, so nobody is told |
    /// | would take it off, and sleep | |
    #[inline]
    pub fn drop_idle(&mut self, number: u32, was_unlocked: bool) {
        if !was_unlocked {
            self.unlink_last(number);
        } else if !self.missed {
            self.unlink(number);
        }
    }

    /// Takes an interest off the list, if it is on it.
    pub fn unlink(&mut self, number: u32) {
        if self.slot(number).next == IDLE {
            return;
        }
        if number == self.first {
            self.first = self.cut(number);
        } else {
            self.cut(number);
        }
    }

    /// Takes the last interest off the list.
    #[inline]
    pub fn unlink_last(&mut self, number: u32) {
        if self.cut(number) == NONE {
            self.first = NONE;
        }
    }

    /// Takes an interest out of the ring; the next one, where there is one. Which is the first is for the caller to say.
    #[inline]
    fn cut(&mut self, number: u32) -> u32 {
        let slot = self.slot(number);
        let (previous, next) = (slot.previous, slot.next);
        slot.next = IDLE;
        self.len -= 1;
        if next == number {
            return NONE;
        }
        self.join(previous, next);
        next
    }

    fn join(&mut self, left: u32, right: u32) {
        self.slot(left).next = right;
        self.slot(right).previous = left;
    }
}
