//! Signals go into a process's queues, and are taken out of them.

use super::{Action, Info, ProcessSignals, STOPS, UNSTOPPABLE, bit};
use crate::task::thread::{SIGNAL, STOP, Thread};
use crate::task::{Process, exit, wait};
use core::sync::atomic::{
    Ordering::{Relaxed, Release, SeqCst},
    fence,
};
use event::WaitQueue;
use libsyscall::abi::Errno;
use libsyscall::abi::process::RLIMIT_SIGPENDING;
use libsyscall::abi::signal::*;

impl Process {
    /// sigaction(2): sets an action; the former one.
    pub fn set_action(&self, signal: u32, action: Option<Action>) -> Action {
        let mut signals = self.signals.lock();
        let former = signals.action(signal);
        if let Some(mut action) = action {
            action.mask &= !UNSTOPPABLE;
            signals.actions[signal as usize - 1] = action;
            if signals.ignores(signal) {
                self.pending.discard(bit(signal));
                for thread in self.threads().iter() {
                    thread.pending().discard(bit(signal));
                }
                drop(signals);
                self.timers.discarded(bit(signal));
            }
        }
        former
    }

    pub fn action(&self, signal: u32) -> Action {
        self.signals.lock().action(signal)
    }

    /// Sends a signal to any thread of the process. Nothing happens where it has ended.
    pub fn send_signal(&self, signal: u32, info: Info) {
        let _ = self.queue_signal(signal, info, None);
    }

    /// Sends a signal to the process, or to one of its threads. EAGAIN: the queue is full.
    pub fn queue_signal(&self, signal: u32, info: Info, to: Option<&Thread>) -> Result<(), Errno> {
        self.post(signal, info, to).map(|_| ())
    }

    /// Sends a timer's signal; whether it is in a queue now, from which somebody will take it.
    pub fn queue_timer_signal(&self, info: Info, to: Option<&Thread>) -> bool {
        self.post(info.signal, info, to) == Ok(true)
    }

    /// [`Process::queue_signal`]; whether the signal is new in its queue: not ignored, not merged.
    fn post(&self, signal: u32, info: Info, to: Option<&Thread>) -> Result<bool, Errno> {
        let mut signals = self.signals.lock();
        let threads = self.threads();
        if signal == SIGKILL {
            drop(threads);
            drop(signals);
            exit::end_group(self, SIGKILL as i32);
            return Ok(false);
        }
        // What it takes out of the queues: a stop and its end void each other.
        let voided = match signal {
            SIGCONT => STOPS,
            _ if bit(signal) & STOPS != 0 => bit(SIGCONT),
            _ => 0,
        };
        if voided != 0 {
            self.pending.discard(voided);
            threads.iter().for_each(|thread| thread.pending().discard(voided));
        }
        let mut continued = false;
        if signal == SIGCONT {
            continued = core::mem::take(&mut signals.stopped);
            if continued {
                threads.iter().for_each(|thread| {
                    thread.clear(STOP);
                    thread.unpark();
                });
            }
        }
        let wakes = |thread: &Thread| thread.signals.waking() & bit(signal) != 0;
        let target = || match to {
            Some(thread) => threads.iter().find(|other| core::ptr::eq(&***other, thread)),
            // Rather the thread that runs now: it needs no waking.
            None => threads
                .iter()
                .find(|thread| wakes(thread) && thread.is_on_cpu())
                .or_else(|| threads.iter().find(|thread| wakes(thread))),
        };
        // Nobody ignores a signal he blocks, also while he waits for it: signalfd(2) and sigwaitinfo(2) are to see it.
        let blocked = target().is_none_or(|thread| thread.signals.mask() & bit(signal) != 0);
        let limit = self.limit(RLIMIT_SIGPENDING).soft;
        let queued = if signals.ignores(signal) && !blocked {
            Ok(false)
        } else {
            match to {
                Some(thread) => thread.pending().push(info, limit),
                None => self.pending.push(info, limit),
            }
        };
        // First queued, then asked who takes it: see `Thread::waking_changed`.
        fence(SeqCst);
        if let Some(thread) = target()
            && wakes(thread)
        {
            thread.raise(SIGNAL);
        }
        drop(threads);
        drop(signals);
        if continued {
            wait::child_changed(self, CLD_CONTINUED, SIGCONT as i32);
        }
        if voided != 0 {
            self.timers.discarded(voided);
        }
        if queued == Ok(true) {
            // As Linux does it without a mask: an epoll lists also what asked for nothing, and asks it then.
            self.signal_arrivals.wake(event::EventMask::empty());
        }
        queued
    }

    /// Has a thread that does not block them look at the process's pending signals: the one meant to has blocked them or
    /// ended.
    pub(in crate::task) fn offer_signals(&self) {
        if self.pending.set() == 0 {
            return;
        }
        let _signals = self.signals.lock();
        let threads = self.threads();
        if let Some(thread) = threads
            .iter()
            .find(|thread| self.pending.set() & thread.signals.waking() != 0)
        {
            thread.raise(SIGNAL);
        }
    }

    /// Whether a signal is there that wakes `thread`; its flag is set right.
    pub(in crate::task) fn refresh_signal_flag(&self, thread: &Thread) -> bool {
        let _signals = self.signals.lock();
        let wakes = self.pending_for(thread) & thread.signals.waking() != 0;
        if wakes {
            thread.flags.fetch_or(SIGNAL, Relaxed);
        } else {
            thread.clear(SIGNAL);
        }
        wakes
    }

    /// Signals pending for a thread: its own and the process's.
    pub fn pending_for(&self, thread: &Thread) -> u64 {
        self.pending.set() | thread.pending().set()
    }

    /// Takes a pending signal among `wanted`: rt_sigtimedwait(2), signalfd(2).
    pub fn take_signal(&self, thread: &Thread, wanted: u64) -> Option<Info> {
        self.take_pending(&self.signals.lock(), thread, wanted)
    }

    /// Takes a pending signal; one whose timer does not want it any more is passed over.
    pub(super) fn take_pending(&self, _lock: &ProcessSignals, thread: &Thread, wanted: u64) -> Option<Info> {
        loop {
            let own = thread.pending().take(wanted);
            let mut info = own.or_else(|| self.pending.take(wanted))?;
            let origin = info.origin;
            if origin.is_none_or(|origin| self.timers.taken(origin, &mut info)) {
                return Some(info);
            }
        }
    }

    /// The queue that is woken when a signal arrives: signalfd(2).
    pub fn signal_arrivals(&self) -> &WaitQueue {
        &self.signal_arrivals
    }
}

impl Thread {
    /// A signal of the running instruction: cannot wait. Blocked or ignored, it kills.
    pub fn force_signal(&self, info: Info) {
        let bit = bit(info.signal);
        {
            let mut signals = self.process.signals.lock();
            let action = signals.action(info.signal);
            let blocked = self.signals.mask() & bit != 0;
            if blocked || action.handler == SIG_IGN {
                signals.actions[info.signal as usize - 1] = Action::default();
                self.signals.mask.store(self.signals.mask() & !bit, Release);
            }
            self.pending().discard(bit);
            if self.pending().push(info, u64::MAX).is_err() {
                drop(signals);
                exit::end_group(&self.process, info.signal as i32);
                return;
            }
        }
        self.flags.fetch_or(SIGNAL, Relaxed);
    }
}
