//! How much of a [`TrapFrame`] is there: a system call's entry saves what Rust code may spoil, and the rest only where
//! something is left to do before user code goes on, and for the few calls that read or write it (fork(2), execve(2)).

use super::trap::TrapFrame;

/// `TrapFrame::full` of a system call's frame, without the registers that the functions it calls keep.
pub(super) const FAST: u64 = 0;
/// Every register is in the frame, and restored from it.
pub(super) const WHOLE: u64 = 1;

/// Where the registers of a new thread are not those of its maker.
#[derive(Clone, Copy, Default)]
pub struct OwnRegisters {
    pub sp: Option<usize>,
    pub tls: Option<usize>,
}

impl TrapFrame {
    /// Whether every register is in it. A system call's has at first only what it is made with.
    pub fn is_whole(&self) -> bool {
        self.full == WHOLE
    }

    /// A copy of its maker's becomes what a new thread starts with.
    pub(super) fn start_child(&mut self, sp: Option<usize>) {
        self.full = WHOLE;
        self.set_result(0);
        if let Some(sp) = sp {
            self.set_sp(sp);
        }
    }
}
