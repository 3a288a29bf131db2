//! The spin lock, and what a CPU does while it spins.
#![allow(unsafe_code)]

pub use core::sync::atomic;

use crate::word::Word;
use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use spin::once::Once;

static RELAX_HOOK: Once<fn()> = Once::new();

/// Sets what a CPU does in each turn of a spin loop besides pausing. The first call counts.
pub fn set_relax_hook(hook: fn()) {
    RELAX_HOOK.call_once(|| hook);
}

/// One turn of a spin loop.
#[inline]
pub fn relax() {
    core::hint::spin_loop();
    if let Some(hook) = RELAX_HOOK.get() {
        hook();
    }
}

/// Mutual exclusion for short sections; the holder must not sleep. `spin` has one too, whose guard is twice as wide, and which
/// takes two instructions more: every short system call takes several.
#[derive(Default)]
pub struct SpinLock<T: ?Sized> {
    word: Word,
    value: UnsafeCell<T>,
}

// SAFETY: one thread at a time has the value.
unsafe impl<T: ?Sized + Send> Sync for SpinLock<T> {}

/// Proof that a [`SpinLock`] is held; gives it back when dropped.
pub struct SpinGuard<'a, T: ?Sized> {
    lock: &'a SpinLock<T>,
    /// May be shared and sent as the value may.
    _value: PhantomData<&'a mut T>,
}

impl<T> SpinLock<T> {
    pub const fn new(value: T) -> Self {
        SpinLock {
            word: Word::free(),
            value: UnsafeCell::new(value),
        }
    }

    /// Where the value lies, for who may look at it without the lock.
    #[inline]
    pub fn as_ptr(&self) -> *const T {
        self.value.get()
    }

    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> SpinLock<T> {
    #[inline]
    pub fn lock(&self) -> SpinGuard<'_, T> {
        self.word.take();
        self.taken()
    }

    /// `None` where another holds it.
    #[inline]
    pub fn try_lock(&self) -> Option<SpinGuard<'_, T>> {
        self.word.try_take().then(|| self.taken())
    }

    #[inline]
    fn taken(&self) -> SpinGuard<'_, T> {
        SpinGuard {
            lock: self,
            _value: PhantomData,
        }
    }

    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for SpinLock<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match self.try_lock() {
            Some(guard) => formatter.debug_tuple("SpinLock").field(&&*guard).finish(),
            None => formatter.write_str("SpinLock(held)"),
        }
    }
}

impl<T: ?Sized> Deref for SpinGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the lock is held, so nobody else has the value.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for SpinGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the lock is held, so nobody else has the value.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for SpinGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.word.give_back();
    }
}
