//! Processes, threads, the scheduler, futexes and signals.
//!
//! - [`thread`]: a thread, and how it sleeps; [`sched`]: which thread runs where; [`current`]: the running one.
//! - [`process`]: what threads share; [`belongings`]: what they may have for themselves; [`table`]: all of them by number;
//!   [`kinship`], [`credentials`], [`directories`].
//! - [`clone`], [`execve`], [`exit`], [`wait`], [`pidfd`]: how they come, change and go.
//! - [`signal`], [`crash`] and [`futex`].
//!
//! # Lock order
//!
//! Outermost first: `table` > a process's `signals` > its `threads` > a thread's `pending` > run queue. Futex buckets and a
//! process's other locks come before the run queue only. User memory is touched under a futex bucket (one word, mended
//! before) and under none of the others.

mod belongings;
pub mod capabilities;
pub mod clone;
mod crash;
pub mod credentials;
pub mod current;
mod directories;
pub mod execve;
pub mod exit;
pub mod futex;
pub mod kinship;
pub mod pidfd;
pub mod process;
pub mod sched;
pub mod signal;
pub mod table;
#[cfg(feature = "ktest")]
pub mod tests;
pub mod thread;
pub mod usage;
pub mod wait;

pub use current::{with_current, with_file, with_space, with_two_files};
pub use process::Process;
pub use sched::{in_steps, preempt_point};
pub use thread::Thread;

use event::{Blocked, EventMask, WaitQueue};
use libsyscall::abi::Errno;
use libsyscall::abi::signal::{SI_KERNEL, SIG_IGN};
use signal::Info;

/// First thing a new thread does on its own stack (the switch away from its predecessor is finished here).
pub extern "C" fn thread_entered() {
    current::switched();
    with_current(|thread| {
        if thread.has_flag(thread::KILL) {
            exit::exit_thread(thread);
        }
        if thread.has_flag(thread::WORK) {
            // It enters user mode without passing `before_user`: an alarm at once brings it there.
            crate::time::queue::alarm_by(0);
        }
    });
}

/// Sleeps in a wait queue until `attempt` no longer says EAGAIN, the deadline has passed (EAGAIN) or a signal is to be
/// delivered (ERESTARTSYS).
pub fn block_on<T>(
    queue: &WaitQueue,
    interest: EventMask,
    deadline_ns: Option<u64>,
    mut attempt: impl FnMut() -> Result<T, Errno>,
) -> Result<T, Errno> {
    let attempt = || Some(attempt()).filter(|result| !matches!(result, Err(Errno::EAGAIN)));
    with_current(|thread| event::block_on(queue, interest, thread, deadline_ns, attempt)).map_err(Blocked::errno)?
}

/// Sends the running thread a signal of its own doing: SIGPIPE.
pub fn signal_current(signal: u32) {
    with_current(|thread| {
        // EAGAIN can't be: only real-time signals run into the limit.
        let _ = thread
            .process
            .queue_signal(signal, Info::from_running(signal, 0), Some(thread));
    });
}

/// Sends a signal to a process group, as the terminal does.
pub fn signal_group(group: i32, signal: u32) {
    for process in table::group(group) {
        process.send_signal(signal, Info::new(signal, SI_KERNEL));
    }
}

/// Whether the running thread blocks or ignores a signal: a background process that does so may use the terminal.
pub fn current_ignores(signal: u32) -> bool {
    with_current(|thread| {
        thread.signals.mask() & signal::bit(signal) != 0 || thread.process.action(signal).handler == SIG_IGN
    })
}

/// The session a process group is in; where no group has the number, that of the process that has it.
pub fn group_session(group: i32) -> Option<i32> {
    let member = table::group(group).into_iter().next();
    member
        .or_else(|| table::process(group))
        .map(|process| process.session())
}

pub use crate::dump::dump;
