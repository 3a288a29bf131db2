//! System calls: decode, call one method, encode. No policy, no locks.

mod attribute;
mod descriptor;
mod file;
#[cfg(target_arch = "x86_64")]
mod legacy_files;
mod lock;
mod path;
mod stat;
mod table;
mod tree;

use crate::arch::trap::TrapFrame;
use crate::task::Thread;
use alloc::sync::Arc;
use libsyscall::abi::Errno;

/// One system call in flight.
pub struct Call<'a> {
    pub frame: &'a mut TrapFrame,
    pub thread: &'a Arc<Thread>,
}

/// A system call: its result, or its error.
pub type Handler = fn(&mut Call) -> Result<usize, Errno>;

impl Call<'_> {
    /// Argument `n` as it is.
    #[inline]
    pub fn arg(&self, n: usize) -> usize {
        self.frame.argument(n)
    }
    /// Argument `n` as a C int.
    #[inline]
    pub fn int(&self, n: usize) -> i32 {
        self.frame.argument(n) as i32
    }
    /// Argument `n` as an unsigned C int.
    #[inline]
    pub fn uint(&self, n: usize) -> u32 {
        self.frame.argument(n) as u32
    }
    /// The open file of descriptor argument `n`; EBADF.
    #[inline]
    pub fn file(&self, n: usize) -> Result<Arc<crate::file::OpenFile>, Errno> {
        self.thread.process.files().get(self.int(n))
    }
}

/// From the machine's entry: one call of the running thread.
pub fn dispatch(_frame: &mut TrapFrame) {
    todo!()
}
