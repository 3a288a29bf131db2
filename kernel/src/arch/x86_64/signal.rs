//! The signal frame, in Linux's layout for this machine.
use super::trap::TrapFrame;
use libsyscall::abi::Errno;

/// What a handler is started with.
pub struct Delivery<'a> {
    pub signal: u32,
    /// sigaction(2)'s handler and restorer (0: none given).
    pub handler: usize,
    pub restorer: usize,
    /// 128 bytes of siginfo_t.
    pub info: &'a [u8; 128],
    /// The mask to put back at sigreturn.
    pub mask: u64,
    /// stack_t of the alternate stack as it is now: sp, flags, size.
    pub alternate: (usize, u32, usize),
    /// Top of the stack the frame goes on: the alternate stack's end, or `None` for the interrupted one.
    pub stack_top: Option<usize>,
}

/// Writes the frame (registers, FP/SIMD state, mask, siginfo, alternate stack) to the user stack and points `frame` at
/// the handler. EFAULT: the stack can't take it, and the thread is to die of SIGSEGV.
pub fn push(_frame: &mut TrapFrame, _delivery: &Delivery) -> Result<(), Errno> {
    todo!()
}

/// What rt_sigreturn(2) found: the mask and alternate stack to go back to.
pub struct Returned {
    pub mask: u64,
    pub alternate: (usize, u32, usize),
}

/// Takes the frame back from the user stack: registers into `frame`, FP/SIMD state into the CPU or the running thread.
pub fn pop(_frame: &mut TrapFrame) -> Result<Returned, Errno> {
    todo!()
}
