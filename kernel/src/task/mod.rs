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
