//! SO_PEEK_OFF: where in what has come the next MSG_PEEK looks.

use core::sync::atomic::AtomicI32;
use core::sync::atomic::Ordering::Relaxed;

/// Less than none: every peek looks at the start, as on a new socket. Else bytes, which a peek moves on and a receive
/// takes back, so that the same byte comes next. Two receives at once may both start at the same place, as on Linux.
pub struct PeekOffset(AtomicI32);

impl PeekOffset {
    pub const fn new() -> PeekOffset {
        PeekOffset(AtomicI32::new(-1))
    }

    /// The same for a socket that is made by another one.
    pub fn copied(&self) -> PeekOffset {
        PeekOffset(AtomicI32::new(self.value()))
    }

    /// The option's value.
    pub fn value(&self) -> i32 {
        self.0.load(Relaxed)
    }

    pub fn set(&self, value: i32) {
        self.0.store(value, Relaxed);
    }

    /// How many bytes a peek passes over, where it is on.
    pub fn get(&self) -> Option<usize> {
        usize::try_from(self.value()).ok()
    }

    /// So many bytes have been peeked at, or received.
    pub fn went(&self, count: usize, peek: bool) {
        let Some(offset) = self.get() else {
            return;
        };
        let offset = if peek {
            offset.saturating_add(count)
        } else {
            offset.saturating_sub(count)
        };
        self.set(i32::try_from(offset).unwrap_or(i32::MAX));
    }
}
