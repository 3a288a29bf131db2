//! What is left to do after a system call; the vectors in `trap` make the call itself.

use super::trap::TrapFrame;

/// From the assembler, with the C calling convention: every register is in the frame now.
pub(super) extern "C" fn finish(frame: &mut TrapFrame, result: isize) {
    crate::syscall::finish(frame, result);
}
