//! The system-call entry; the vectors in `trap` come here for `svc`.

use super::trap::TrapFrame;

/// From the assembler, with the C calling convention.
pub(super) extern "C" fn enter(frame: &mut TrapFrame) -> isize {
    crate::syscall::dispatch(frame)
}

/// The same where more is to be done; every register is in the frame now.
pub(super) extern "C" fn finish(frame: &mut TrapFrame, result: isize) {
    crate::syscall::finish(frame, result);
}
