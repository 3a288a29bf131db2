//! The system-call entry; the vectors in `trap` come here for `svc`.

use super::trap::TrapFrame;

/// From the assembler, with the C calling convention.
pub(super) extern "C" fn enter(frame: &mut TrapFrame) {
    crate::syscall::dispatch(frame);
}
