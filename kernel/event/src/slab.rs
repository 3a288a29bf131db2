//! Values under small numbers that stay theirs: O(1) to insert, reach and remove, memory that is kept for the next.

use alloc::vec::Vec;
use libsyscall::abi::Errno;

/// No number.
pub const NONE: u32 = u32::MAX;

/// Room for one more. Most slabs have one value and no need of room for four; large ones grow by an eighth, so that little
/// of a long list lies idle.
pub fn reserve<T>(slots: &mut Vec<T>) -> Result<(), Errno> {
    let len = slots.len();
    if len == slots.capacity() {
        slots.try_reserve_exact((len / 8).max(1)).map_err(|_| Errno::ENOMEM)?;
    }
    Ok(())
}

enum Slot<T> {
    Full(T),
    /// The next free slot, or [`NONE`].
    Free(u32),
}

pub struct Slab<T> {
    slots: Vec<Slot<T>>,
    first_free: u32,
    len: u32,
}

impl<T> Slab<T> {
    pub const fn new() -> Slab<T> {
        Slab {
            slots: Vec::new(),
            first_free: NONE,
            len: 0,
        }
    }

    /// ENOMEM where there is no memory for one more.
    pub fn insert(&mut self, value: T) -> Result<u32, Errno> {
        let number = self.vacant()?;
        if number as usize == self.slots.len() {
            self.slots.push(Slot::Full(value));
        } else if let Slot::Free(next) = self.slots[number as usize] {
            self.first_free = next;
            self.slots[number as usize] = Slot::Full(value);
        }
        self.len += 1;
        Ok(number)
    }

    /// The number that the next [`Slab::insert`] gives, with the memory for it.
    pub fn vacant(&mut self) -> Result<u32, Errno> {
        if self.first_free != NONE {
            return Ok(self.first_free);
        }
        reserve(&mut self.slots)?;
        Ok(self.slots.len() as u32)
    }

    pub fn remove(&mut self, number: u32) -> Option<T> {
        let slot = self.slots.get_mut(number as usize)?;
        if matches!(slot, Slot::Free(_)) {
            return None;
        }
        let Slot::Full(value) = core::mem::replace(slot, Slot::Free(self.first_free)) else {
            return None;
        };
        self.first_free = number;
        self.len -= 1;
        Some(value)
    }

    #[inline]
    pub fn get(&self, number: u32) -> Option<&T> {
        match self.slots.get(number as usize)? {
            Slot::Full(value) => Some(value),
            Slot::Free(_) => None,
        }
    }

    #[inline]
    pub fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        match self.slots.get_mut(number as usize)? {
            Slot::Full(value) => Some(value),
            Slot::Free(_) => None,
        }
    }

    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// All values with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.iter_from(0)
    }

    /// The values from a number on, with their numbers.
    pub fn iter_from(&self, from: u32) -> impl Iterator<Item = (u32, &T)> {
        let slots = self.slots.get(from as usize..).unwrap_or(&[]);
        (from..).zip(slots).filter_map(|(number, slot)| match slot {
            Slot::Full(value) => Some((number, value)),
            Slot::Free(_) => None,
        })
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab::new()
    }
}
