//! The running thread: a word of the CPU made a reference. The one file outside `arch`, `mm` and `driver` with `unsafe`.
#![allow(unsafe_code)]
use super::Thread;
use alloc::sync::Arc;

/// The running thread, shared.
pub fn current() -> Arc<Thread> {
    todo!()
}

/// The running thread, lent: no count is touched.
pub fn with_current<R>(_f: impl FnOnce(&Arc<Thread>) -> R) -> R {
    todo!()
}
