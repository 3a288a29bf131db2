//! Signals: what is pending, what a process does about each, and the way into a handler.
//!
//! Each thread has a mask and signals of its own; the process has signals for any of its threads, and the actions. All of
//! a process's pending signals and actions change under its one signal lock (`Process::signals`); a thread's mask is
//! written by the thread itself. The `SIGNAL` flag of a thread is the hint that something may be deliverable to it: set
//! after a signal is queued, cleared by the thread when it finds nothing.
//!
//! - `info`: siginfo_t; `pending`: signals that wait.
//! - `send`: into the queues, out of them again; `deliver`: the way into a handler and back.
//! - `alternate_stack`: sigaltstack(2).

mod alternate_stack;
mod deliver;
mod info;
mod pending;
mod send;

pub use alternate_stack::AlternateStack;
pub use deliver::before_user;
pub use info::{Info, Layout};
pub use pending::Pending;

use super::thread::{RESTORE_MASK, Thread};
use crate::arch::trap::Cause;
use core::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    fence,
};
use libsyscall::abi::signal::*;
use sync::SpinLock;

/// The bit of a signal in a set.
pub const fn bit(signal: u32) -> u64 {
    1 << (signal - 1)
}

/// Signals that can be neither caught nor blocked nor ignored.
pub const UNSTOPPABLE: u64 = bit(SIGKILL) | bit(SIGSTOP);
const STOPS: u64 = bit(SIGSTOP) | bit(SIGTSTP) | bit(SIGTTIN) | bit(SIGTTOU);
/// Signals whose default is to be ignored.
const IGNORED: u64 = bit(SIGCHLD) | bit(SIGCONT) | bit(SIGURG) | bit(SIGWINCH);
/// Signals of the running instruction: delivered before others.
const SYNCHRONOUS: u64 = bit(SIGSEGV) | bit(SIGBUS) | bit(SIGILL) | bit(SIGTRAP) | bit(SIGFPE) | bit(SIGSYS);

/// sigaction(2) as the kernel has it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Action {
    pub handler: usize,
    pub flags: u64,
    pub restorer: usize,
    pub mask: u64,
}

/// A thread's part.
pub struct ThreadSignals {
    /// Written by the thread itself.
    mask: AtomicU64,
    /// The mask to put back, while [`RESTORE_MASK`] is set.
    saved_mask: AtomicU64,
    /// Blocked signals that wake the thread nevertheless: it waits for them itself.
    awaited: AtomicU64,
    pub(super) pending: Pending,
    alternate: SpinLock<AlternateStack>,
    /// Of the last exception that became a signal.
    cause: SpinLock<Cause>,
}

impl ThreadSignals {
    pub fn new(mask: u64) -> ThreadSignals {
        ThreadSignals {
            mask: AtomicU64::new(mask),
            saved_mask: AtomicU64::new(0),
            awaited: AtomicU64::new(0),
            pending: Pending::default(),
            alternate: SpinLock::new(AlternateStack::NONE),
            cause: SpinLock::default(),
        }
    }

    pub fn mask(&self) -> u64 {
        self.mask.load(Acquire)
    }

    /// The signals that wake the thread.
    fn waking(&self) -> u64 {
        !self.mask() | self.awaited.load(Acquire)
    }

    /// execve(2): no alternate stack; mask and pending signals stay.
    pub(super) fn reset_for_execve(&self) {
        self.set_alternate(AlternateStack::NONE);
    }

    /// The exception that the next forced signal comes of, for whom its frame tells.
    pub fn set_cause(&self, cause: Cause) {
        *self.cause.lock() = cause;
    }

    pub fn alternate(&self) -> AlternateStack {
        *self.alternate.lock()
    }

    pub fn set_alternate(&self, stack: AlternateStack) {
        *self.alternate.lock() = stack;
    }
}

/// A process's part, under its signal lock.
pub struct ProcessSignals {
    actions: [Action; SIGNAL_COUNT as usize],
    /// The process is stopped by job control.
    stopped: bool,
}

impl Default for ProcessSignals {
    fn default() -> ProcessSignals {
        ProcessSignals {
            actions: [Action::default(); 64],
            stopped: false,
        }
    }
}

impl ProcessSignals {
    pub fn action(&self, signal: u32) -> Action {
        self.actions[signal as usize - 1]
    }

    /// fork(2): the actions.
    pub fn inherited(&self) -> ProcessSignals {
        ProcessSignals {
            actions: self.actions,
            ..ProcessSignals::default()
        }
    }

    /// execve(2) and CLONE_CLEAR_SIGHAND: handlers become the default, ignored signals stay ignored.
    pub fn reset_handlers(&mut self) {
        for action in &mut self.actions {
            let handler = if action.handler == SIG_IGN { SIG_IGN } else { SIG_DFL };
            *action = Action {
                handler,
                ..Action::default()
            };
        }
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    fn ignores(&self, signal: u32) -> bool {
        match self.action(signal).handler {
            SIG_IGN => true,
            SIG_DFL => bit(signal) & IGNORED != 0,
            _ => false,
        }
    }
}

impl Thread {
    /// Sets the signal mask; what has become deliverable is noticed before user code goes on.
    pub fn set_mask(&self, mask: u64) {
        let mask = mask & !UNSTOPPABLE;
        let former = self.signals.waking();
        self.signals.mask.store(mask, Release);
        self.waking_changed(former);
    }

    /// Sets which of the signals it blocks wake the thread (rt_sigtimedwait). They stay blocked: it takes them itself.
    pub fn set_awaited(&self, signals: u64) {
        let former = self.signals.waking();
        self.signals.awaited.store(signals, Release);
        self.waking_changed(former);
    }

    /// Nearly always nothing is pending, which is seen without the lock: whoever queues a signal looks for a thread that it
    /// wakes afterwards.
    ///
    /// | changes its mask | queues a signal |
    /// |---|---|
    /// | stores the mask | puts the signal into the queue |
    /// | --- full fence --- | --- full fence --- |
    /// | reads what is pending | reads the masks |
    ///
    /// So the thread sees the signal, or the sender the new mask.
    fn waking_changed(&self, former: u64) {
        fence(SeqCst);
        if self.process.pending_for(self) == 0 {
            return;
        }
        self.process.refresh_signal_flag(self);
        let no_longer = former & !self.signals.waking();
        if no_longer & self.process.pending_for(self) != 0 {
            self.process.offer_signals();
        }
    }

    /// Puts a mask in place for the length of one call (sigsuspend, epoll_pwait, ppoll); to be ended by
    /// [`Thread::end_temporary_mask`].
    pub fn begin_temporary_mask(&self, mask: u64) {
        self.signals.saved_mask.store(self.signals.mask(), Relaxed);
        self.set_mask(mask);
    }

    /// Ends it. Where the call was `interrupted`, the signal's handler is still to run under the temporary mask, and the
    /// saved one comes back with its return.
    pub fn end_temporary_mask(&self, interrupted: bool) {
        if interrupted {
            self.flags.fetch_or(RESTORE_MASK, Relaxed);
        } else {
            self.set_mask(self.signals.saved_mask.load(Relaxed));
        }
    }
}
