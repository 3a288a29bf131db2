//! What a thread keeps besides its trap frame, and the switch between two threads.
use super::trap::TrapFrame;
use libsyscall::abi::Errno;

/// Stack pointer, TLS register, FP/SIMD state. Touched only by the CPU that runs the thread, or, while it does not run,
/// by the one that switches to it.
pub struct ArchThread {}

impl ArchThread {
    /// The code that runs already: the boot path, which becomes a CPU's idle thread.
    pub fn running() -> ArchThread {
        todo!()
    }

    /// A kernel thread that starts in `entry(argument)` on the stack ending at `stack_top`.
    pub fn kernel(_stack_top: usize, _entry: extern "C" fn(usize) -> !, _argument: usize) -> Result<ArchThread, Errno> {
        todo!()
    }

    /// A thread that first calls `crate::task::thread_entered` on its own stack and then enters user mode with `frame`.
    /// `tls` replaces the TLS register; FP/SIMD state and the TLS register come from `parent` (the running thread) when
    /// given, else they are fresh.
    pub fn user(
        _stack_top: usize,
        _frame: &TrapFrame,
        _tls: Option<usize>,
        _parent: Option<&ArchThread>,
    ) -> Result<ArchThread, Errno> {
        todo!()
    }

    /// execve(2): fresh FP/SIMD state and TLS for the running thread.
    pub fn reset_user(&self) {
        todo!()
    }

    /// arch_prctl(ARCH_SET_FS) and CLONE_SETTLS for the running thread.
    pub fn set_tls(&self, _value: usize) {
        todo!()
    }

    pub fn tls(&self) -> usize {
        todo!()
    }
}

/// Leaves `from`, which is running, and continues `to`; returns when something switches back to `from`. Also sets the
/// kernel stack that traps from user mode use, and moves the FP/SIMD state as far as it was used.
///
/// # Safety
/// `from` is the running thread's, `to` a thread's that no CPU runs, and both stay where they are until switched away from.
pub unsafe fn switch(_from: &ArchThread, _to: &ArchThread) {
    todo!()
}

/// Leaves the kernel for user mode with `frame`, on a stack that is then empty.
pub fn enter_user(_frame: &TrapFrame) -> ! {
    todo!()
}

/// Return addresses along the chain of frame pointers, innermost first, as long as it stays in the kernel.
pub fn return_addresses() -> impl Iterator<Item = usize> {
    core::iter::empty()
}
