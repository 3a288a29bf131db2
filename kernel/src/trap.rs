//! What the machine reports: faults of user code, faults of user copies, the alarm, devices, inter-processor requests. The only
//! way from `arch` up into the kernel, besides system calls.

use crate::arch::trap::{Cause, TrapFrame};
use crate::mm::space::Fault;
use crate::task::signal::{self, Info};
use crate::task::{self, sched, thread};
use crate::trace::wakeups::{self, Waker};
use crate::{mm, time};
use core::sync::atomic::Ordering::Relaxed;
use libsyscall::abi::signal::*;

/// Why user code can't go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exception {
    /// No translation for `address`, or one that forbids `access`.
    PageFault { address: usize, access: Access },
    /// An instruction that does not exist or is not allowed (SIGILL).
    IllegalInstruction,
    /// Integer division (SIGFPE, FPE_INTDIV); aarch64 divides by zero without a word.
    #[cfg(target_arch = "x86_64")]
    Divide,
    /// Floating point, with the FPE_* code.
    FloatingPoint(i32),
    /// A breakpoint instruction (SIGTRAP: TRAP_BRKPT on aarch64, SI_KERNEL without an address on x86_64).
    Breakpoint,
    /// A single step or watchpoint (SIGTRAP, TRAP_TRACE).
    Trace,
    /// A misaligned access (SIGBUS, BUS_ADRALN).
    Alignment { address: usize },
    /// A protection fault without an address (SIGSEGV, SI_KERNEL).
    #[cfg(target_arch = "x86_64")]
    Protection,
    /// The same by way of the stack or frame pointer (SIGBUS, SI_KERNEL).
    #[cfg(target_arch = "x86_64")]
    Stack,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
    Execute,
}

/// User code met `exception`, of which the machine says `cause`. Returns when it may go on, perhaps in a signal handler.
pub fn user_exception(frame: &mut TrapFrame, exception: Exception, cause: Cause) {
    task::with_current(|thread| {
        if let Some(info) = signal_of(thread, frame, exception) {
            thread.signals.set_cause(cause);
            thread.force_signal(info);
        }
        if thread.has_flag(thread::WORK) {
            signal::before_user(thread, frame, None);
        }
    });
}

/// The signal an exception means; `None` where it could be mended.
fn signal_of(thread: &task::Thread, frame: &TrapFrame, exception: Exception) -> Option<Info> {
    let ip = frame.ip();
    let info = match exception {
        Exception::PageFault { address, access } => match task::with_space(|space| space.handle_fault(address, access))
        {
            Ok(()) => {
                thread.faults.fetch_add(1, Relaxed);
                return None;
            }
            Err(Fault::NotMapped) => Info::fault(SIGSEGV, SEGV_MAPERR, address),
            Err(Fault::NotAllowed) => Info::fault(SIGSEGV, SEGV_ACCERR, address),
            Err(Fault::PastEnd) => Info::fault(SIGBUS, BUS_ADRERR, address),
            Err(Fault::OutOfMemory) => {
                let (program, pid) = (thread.name(), thread.process.pid);
                crate::println!("vigil: out of memory: killed {program} (process {pid})");
                task::exit::end_group(&thread.process, SIGKILL as i32);
                return None;
            }
        },
        #[cfg(target_arch = "x86_64")]
        Exception::IllegalInstruction => Info::fault(SIGILL, ILL_ILLOPN, ip),
        #[cfg(target_arch = "aarch64")]
        Exception::IllegalInstruction => Info::fault(SIGILL, ILL_ILLOPC, ip),
        #[cfg(target_arch = "x86_64")]
        Exception::Divide => Info::fault(SIGFPE, FPE_INTDIV, ip),
        Exception::FloatingPoint(code) => Info::fault(SIGFPE, code, ip),
        #[cfg(target_arch = "x86_64")]
        Exception::Breakpoint => Info::kernel(SIGTRAP),
        #[cfg(target_arch = "aarch64")]
        Exception::Breakpoint => Info::fault(SIGTRAP, TRAP_BRKPT, ip),
        Exception::Trace => Info::fault(SIGTRAP, TRAP_TRACE, ip),
        Exception::Alignment { address } => Info::fault(SIGBUS, BUS_ADRALN, address),
        #[cfg(target_arch = "x86_64")]
        Exception::Protection => Info::kernel(SIGSEGV),
        #[cfg(target_arch = "x86_64")]
        Exception::Stack => Info::kernel(SIGBUS),
    };
    Some(info)
}

/// The kernel touched user memory at `address` and faulted; true when the access can be tried again.
pub fn kernel_fault_on_user(address: usize, access: Access) -> bool {
    task::with_current(|thread| match thread.process.try_space() {
        Some(space) => match space.handle_fault(address, access) {
            Ok(()) => {
                thread.faults.fetch_add(1, Relaxed);
                true
            }
            Err(Fault::OutOfMemory) => {
                task::exit::end_group(&thread.process, SIGKILL as i32);
                false
            }
            Err(_) => false,
        },
        None => false,
    })
}

/// The alarm of this CPU went off, on top of user code or of idle.
pub fn timer() {
    wakeups::from(Waker::Timer, time::queue::run);
}

/// A device interrupted, and this is its handler.
pub fn device(handler: fn()) {
    wakeups::from(Waker::Device, handler);
}

/// Another CPU queued a thread here.
pub fn reschedule() {
    sched::rescheduled();
}

/// Another CPU waits for this one to forget translations.
pub fn shootdown() {
    mm::shootdown::answer();
}

/// After an interrupt or exception, before user code goes on: preemption and signals.
#[inline]
pub fn before_user(frame: &mut TrapFrame) {
    task::with_current(|thread| {
        if thread.has_flag(thread::WORK) {
            signal::before_user(thread, frame, None);
        }
    });
}
