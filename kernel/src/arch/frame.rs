//! How much of a [`TrapFrame`] is there: a system call's entry saves what Rust code may spoil, and the rest only for the
//! few calls that read or write it (fork(2), execve(2), a signal's frame).

use super::trap::TrapFrame;
use libsyscall::abi::Errno;

/// `TrapFrame::full` of a system call's frame, without the registers that the functions it calls keep.
pub(super) const FAST: u64 = 0;
/// Every register is in the frame, and restored from it.
pub(super) const WHOLE: u64 = 1;
/// From here on, by the number of the reason: the system call's entry is to make the frame whole.
const WANTED: u64 = 2;

impl TrapFrame {
    /// Whether every register is in it. A system call's has at first only what it is made with.
    pub fn is_whole(&self) -> bool {
        self.full == WHOLE
    }

    /// Has the system call's entry make it whole, and then call `crate::syscall::dispatch_whole` with the reason.
    pub fn make_whole(&mut self, reason: Option<Errno>) {
        self.full = WANTED + reason.map_or(0, |reason| reason.0 as u64);
    }

    /// The reason that was given for [`TrapFrame::make_whole`].
    pub(super) fn reason(full: u64) -> Option<Errno> {
        let code = (full - WANTED) as usize;
        (code != 0).then_some(Errno(code))
    }
}
