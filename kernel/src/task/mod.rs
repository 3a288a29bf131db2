//! Processes, threads, the scheduler, futexes and signals.

pub mod current;
pub mod process;
pub mod thread;

pub use current::{current, with_current};
pub use process::Process;
pub use thread::Thread;

use crate::trap::Access;

/// First thing a new thread does on its own stack (the switch away from its predecessor is finished here).
pub extern "C" fn thread_entered() {
    todo!()
}

/// Gives the CPU to another thread if one waits and this one's slice is over: for long loops in the kernel.
pub fn preempt_point() {
    todo!()
}

/// Sends the running thread the signal of a fault it can't survive silently.
pub fn fault_signal(_signal: u32, _code: i32, _address: usize, _access: Access) {
    todo!()
}

pub fn block_on<T>(
    _queue: &event::WaitQueue,
    _interest: event::EventMask,
    _deadline_ns: Option<u64>,
    _attempt: impl FnMut() -> Result<T, libsyscall::abi::Errno>,
) -> Result<T, libsyscall::abi::Errno> {
    todo!()
}
pub fn signal_current(_signal: u32) {}
pub fn signal_group(_group: i32, _signal: u32) {}
pub fn current_ignores(_signal: u32) -> bool {
    todo!()
}
pub fn group_session(_group: i32) -> Option<i32> {
    todo!()
}
pub fn dump() {}
