//! What the machine reports: faults of user code, faults of user copies, the alarm, inter-processor requests. The only
//! way from `arch` up into the kernel, besides system calls.

use crate::arch::trap::TrapFrame;

/// Why user code can't go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exception {
    /// No translation for `address`, or one that forbids `access`.
    PageFault { address: usize, access: Access },
    /// An instruction that does not exist or is not allowed (SIGILL).
    IllegalInstruction,
    /// Integer division (SIGFPE, FPE_INTDIV).
    Divide,
    /// Integer overflow trap (SIGFPE, FPE_INTOVF).
    Overflow,
    /// Floating point, with the FPE_* code.
    FloatingPoint(i32),
    /// A breakpoint instruction (SIGTRAP, TRAP_BRKPT).
    Breakpoint,
    /// A single step or watchpoint (SIGTRAP, TRAP_TRACE).
    Trace,
    /// A misaligned access (SIGBUS, BUS_ADRALN).
    Alignment { address: usize },
    /// A protection fault without an address (SIGSEGV, SI_KERNEL).
    Protection,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
    Execute,
}

/// User code met `exception`. Returns when it may go on, perhaps in a signal handler.
pub fn user_exception(_frame: &mut TrapFrame, _exception: Exception) {
    todo!()
}

/// The kernel touched user memory at `address` and faulted; true when the access can be tried again.
pub fn kernel_fault_on_user(_address: usize, _access: Access) -> bool {
    todo!()
}

/// The alarm of this CPU went off, on top of user code or of idle.
pub fn timer() {
    todo!()
}

/// Another CPU queued a thread here.
pub fn reschedule() {
    todo!()
}

/// Another CPU waits for this one to forget translations.
pub fn shootdown() {
    todo!()
}

/// After an interrupt or exception, before user code goes on: preemption and signals.
pub fn before_user(_frame: &mut TrapFrame) {
    todo!()
}
