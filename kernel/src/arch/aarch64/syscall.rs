//! The system-call entry; the vectors in `trap` come here for `svc`.

use super::trap::TrapFrame;

/// From the assembler, with the C calling convention.
pub(super) extern "C" fn enter(frame: &mut TrapFrame) {
    crate::syscall::dispatch(frame);
}

/// The same for a call that wants every register in its frame.
pub(super) extern "C" fn enter_whole(frame: &mut TrapFrame, full: u64) {
    crate::syscall::dispatch_whole(frame, TrapFrame::reason(full));
}
