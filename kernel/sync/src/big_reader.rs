//! A lock for what every CPU reads all the time and few change: see [`BigReaderLock`].
#![allow(unsafe_code)]

use crate::{SpinGuard, SpinLock};
use core::array;
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

/// CPUs that do not meet when they read.
const LANES: usize = 4;

/// A part of the lock, in a cache line of its own.
#[repr(align(64))]
struct Lane(SpinLock<()>);

/// Who reads takes the lane of its CPU, who writes takes all of them: readers on several CPUs write no cache line that
/// another one reads, where the word of an ordinary lock moves from one to the other at each lookup. The name is that of
/// Linux's brlock.
///
/// Sections are short, and their holder must not sleep.
pub struct BigReaderLock<T> {
    lanes: [Lane; LANES],
    value: UnsafeCell<T>,
}

// SAFETY: several readers may have the value at once (Sync), and a writer may take it out (Send).
unsafe impl<T: Send + Sync> Sync for BigReaderLock<T> {}

impl<T> BigReaderLock<T> {
    pub const fn new(value: T) -> BigReaderLock<T> {
        BigReaderLock {
            lanes: [const { Lane(SpinLock::new(())) }; LANES],
            value: UnsafeCell::new(value),
        }
    }

    /// To read, on CPU number `cpu`.
    #[inline]
    pub fn read(&self, cpu: usize) -> Reader<'_, T> {
        let lane = self.lanes[cpu % LANES].0.lock();
        // SAFETY: a writer has every lane that readers take, so there is none as long as this one is held.
        let value = unsafe { &*self.value.get() };
        Reader { value, _lane: lane }
    }

    /// To change it, on a machine whose readers are on the CPUs below number `cpus`.
    pub fn write(&self, cpus: usize) -> Writer<'_, T> {
        let lanes = array::from_fn(|lane| (lane < cpus).then(|| self.lanes[lane].0.lock()));
        Writer {
            value: self.value.get(),
            _lanes: lanes,
            _value: PhantomData,
        }
    }

    /// Where the value lies, for who may look at it without the lock.
    #[inline]
    pub fn as_ptr(&self) -> *const T {
        self.value.get()
    }
}

pub struct Reader<'a, T> {
    value: &'a T,
    _lane: SpinGuard<'a, ()>,
}

impl<T> Deref for Reader<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.value
    }
}

pub struct Writer<'a, T> {
    value: *mut T,
    _lanes: [Option<SpinGuard<'a, ()>>; LANES],
    _value: PhantomData<&'a mut T>,
}

impl<T> Deref for Writer<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: every lane that readers and other writers take is held.
        unsafe { &*self.value }
    }
}

impl<T> DerefMut for Writer<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.value }
    }
}
