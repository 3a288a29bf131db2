//! A static that is chosen while the machine boots, and from then on reached by one load: what a `Once` looks at besides
//! would be paid for by every system call.
#![allow(unsafe_code)]

use core::ptr;
use core::sync::atomic::{
    AtomicPtr,
    Ordering::{Acquire, Release},
};

/// A reference to a static. One word, which the assembler loads too.
#[repr(transparent)]
pub struct Chosen<T: 'static>(AtomicPtr<T>);

impl<T: Sync> Chosen<T> {
    pub const fn new(first: &'static T) -> Chosen<T> {
        Chosen(AtomicPtr::new(ptr::from_ref(first).cast_mut()))
    }

    pub fn choose(&self, other: &'static T) {
        self.0.store(ptr::from_ref(other).cast_mut(), Release);
    }

    #[inline]
    pub fn get(&self) -> &'static T {
        // SAFETY: the word holds what `new` or `choose` was given: a static, of which nobody has more than a share.
        unsafe { &*self.0.load(Acquire) }
    }
}
