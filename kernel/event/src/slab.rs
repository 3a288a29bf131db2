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
    #[inline(always)]
    pub fn insert(&mut self, value: T) -> Result<u32, Errno> {
        let number = self.vacant()?;
        self.fill(number, value);
        Ok(number)
    }

    /// A number that is free, with the memory for its value: [`Slab::fill`] takes it.
    #[inline]
    pub fn vacant(&mut self) -> Result<u32, Errno> {
        if self.first_free == NONE {
            self.grow()?;
        }
        Ok(self.first_free)
    }

    /// Apart, so that who finds a free place saves no registers for it.
    #[inline(never)]
    fn grow(&mut self) -> Result<(), Errno> {
        reserve(&mut self.slots)?;
        self.first_free = self.slots.len() as u32;
        self.slots.push(Slot::Free(NONE));
        Ok(())
    }

    /// Puts a value under the number that [`Slab::vacant`] has given last.
    #[inline(always)]
    pub fn fill(&mut self, number: u32, value: T) -> &mut T {
        let slot = &mut self.slots[number as usize];
        let Slot::Free(next) = *slot else {
            panic!("a vacant number has no value");
        };
        // A free place has nothing to drop: the compiler does not see that everywhere.
        core::mem::forget(core::mem::replace(slot, Slot::Full(value)));
        self.first_free = next;
        self.len += 1;
        match slot {
            Slot::Full(value) => value,
            Slot::Free(_) => unreachable!(),
        }
    }

    #[inline]
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
