//! Kernel stacks, with an unmapped page below each.
use libsyscall::abi::Errno;

pub const STACK_SIZE: usize = 32 * 1024;

/// A mapped stack; freed (cached for the next thread) when dropped, which its own thread must not do.
#[derive(Debug)]
pub struct KernelStack {
    _top: usize,
}

impl KernelStack {
    pub fn new() -> Result<KernelStack, Errno> {
        todo!()
    }
    /// One past its highest byte; 16-byte aligned.
    pub fn top(&self) -> usize {
        todo!()
    }
}
