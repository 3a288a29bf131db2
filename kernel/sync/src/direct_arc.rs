//! A share of an object behind a trait that is reached without computing where the object lies: see [`DirectArc`].
#![allow(unsafe_code)]

use alloc::sync::Arc;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::ptr::NonNull;

/// An [`Arc`] by its value's address. An `Arc<dyn Trait>` has the address of its counts, and each call through it computes
/// the value's from the alignment in the vtable, five instructions; that is seen where a call is short and made for every
/// wake-up.
pub struct DirectArc<T: ?Sized>(NonNull<T>);

// SAFETY: an `Arc`, and sent and shared where one may be.
unsafe impl<T: ?Sized + Send + Sync> Send for DirectArc<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send + Sync> Sync for DirectArc<T> {}

impl<T> DirectArc<T> {
    pub fn new(value: T) -> DirectArc<T> {
        Arc::new(value).into()
    }
}

impl<T: ?Sized> DirectArc<T> {
    /// A share as everybody else has it.
    pub fn share(&self) -> Arc<T> {
        // SAFETY: the address came from `Arc::into_raw`; the share made of it here is not given up.
        let own = ManuallyDrop::new(unsafe { Arc::from_raw(self.0.as_ptr()) });
        Arc::clone(&own)
    }
}

impl<T: ?Sized> From<Arc<T>> for DirectArc<T> {
    #[inline]
    fn from(share: Arc<T>) -> DirectArc<T> {
        let value = Arc::into_raw(share).cast_mut();
        // SAFETY: an `Arc`'s value has an address.
        DirectArc(unsafe { NonNull::new_unchecked(value) })
    }
}

impl<T: ?Sized> Clone for DirectArc<T> {
    #[inline]
    fn clone(&self) -> DirectArc<T> {
        self.share().into()
    }
}

impl<T: ?Sized> Deref for DirectArc<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the share keeps the value.
        unsafe { self.0.as_ref() }
    }
}

impl<T: ?Sized> Drop for DirectArc<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the share that `From` took over is given up once.
        drop(unsafe { Arc::from_raw(self.0.as_ptr()) });
    }
}
