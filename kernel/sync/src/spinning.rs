//! The kernel's own locks, over the `spin` crate.

pub use core::sync::atomic;

use spin::mutex::{SpinMutex, SpinMutexGuard};
use spin::once::Once;
use spin::relax::RelaxStrategy;

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

/// Makes `spin` pause by [`relax`].
pub struct Relax;

impl RelaxStrategy for Relax {
    #[inline]
    fn relax() {
        relax();
    }
}

/// Mutual exclusion for short sections; the holder must not sleep.
#[derive(Debug, Default)]
pub struct SpinLock<T: ?Sized>(SpinMutex<T, Relax>);

/// Proof that a [`SpinLock`] is held; gives it back when dropped.
pub type SpinGuard<'a, T> = SpinMutexGuard<'a, T, Relax>;

impl<T> SpinLock<T> {
    pub const fn new(value: T) -> Self {
        SpinLock(SpinMutex::new(value))
    }

    /// Where the value lies, for who may look at it without the lock.
    #[inline]
    pub fn as_ptr(&self) -> *const T {
        self.0.as_mut_ptr()
    }

    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

impl<T: ?Sized> SpinLock<T> {
    #[inline]
    pub fn lock(&self) -> SpinGuard<'_, T> {
        match self.0.try_lock() {
            Some(guard) => guard,
            None => self.lock_contended(),
        }
    }

    /// Apart, so that whoever takes a free lock saves no registers for the wait.
    #[cold]
    #[inline(never)]
    fn lock_contended(&self) -> SpinGuard<'_, T> {
        self.0.lock()
    }

    /// `None` where another holds it.
    #[inline]
    pub fn try_lock(&self) -> Option<SpinGuard<'_, T>> {
        self.0.try_lock()
    }

    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }
}
