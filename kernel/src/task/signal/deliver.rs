//! What a thread does about its signals before user code goes on: it enters a handler, stops or ends.

use super::{Action, AlternateStack, IGNORED, Info, STOPS, bit};
use crate::arch::signal::{Delivery, Returned};
use crate::arch::trap::TrapFrame;
use crate::task::thread::{KILL, RESCHEDULE, RESTORE_MASK, SIGNAL, STOP, Thread, WORK};
use crate::task::{Process, crash, exit, kinship, sched, wait};
use alloc::sync::Arc;
use core::sync::atomic::Ordering::{Acquire, Relaxed};
use libsyscall::abi::Errno;
use libsyscall::abi::signal::*;

/// What is to be done about a signal taken.
enum Disposition {
    Handle(Action),
    Terminate,
    Stop,
    Nothing,
}

impl Thread {
    /// The next signal to act upon, and what to do.
    fn next_signal(&self) -> Option<(Info, Disposition)> {
        let mut signals = self.process.signals.lock();
        let wanted = !self.signals.mask();
        let Some(info) = self.process.take_pending(&signals, self, wanted) else {
            self.clear(SIGNAL);
            return None;
        };
        let action = signals.action(info.signal);
        let disposition = match action.handler {
            SIG_IGN => Disposition::Nothing,
            SIG_DFL if bit(info.signal) & IGNORED != 0 => Disposition::Nothing,
            SIG_DFL if bit(info.signal) & STOPS != 0 => Disposition::Stop,
            // The first process has no one to ask after it: it is ended by what it does not handle, as any other.
            SIG_DFL => Disposition::Terminate,
            _ => {
                if action.flags & SA_RESETHAND != 0 {
                    signals.actions[info.signal as usize - 1] = Action::default();
                }
                Disposition::Handle(action)
            }
        };
        Some((info, disposition))
    }

    /// Starts a handler: its frame goes onto the user stack.
    fn enter_handler(&self, frame: &mut TrapFrame, info: &Info, action: &Action) {
        let interrupted_mask = self.signals.mask();
        let mask = if self.has_flag(RESTORE_MASK) {
            self.clear(RESTORE_MASK);
            self.signals.saved_mask.load(Relaxed)
        } else {
            interrupted_mask
        };
        let alternate = self.signals.alternate();
        let stack_top = match action.flags & SA_ONSTACK {
            0 => None,
            _ => alternate.top_for(frame.sp()),
        };
        let delivery = Delivery {
            signal: info.signal,
            handler: action.handler,
            restorer: if action.flags & SA_RESTORER != 0 {
                action.restorer
            } else {
                self.process.signal_return.load(Relaxed)
            },
            info: &info.to_bytes(),
            cause: *self.signals.cause.lock(),
            mask,
            alternate,
            stack_top,
        };
        if crate::arch::signal::push(frame, &delivery).is_err() {
            // sigaction(2): a handler whose stack can't take the frame. A second fault of the same kind then kills.
            self.process.set_action(SIGSEGV, Some(Action::default()));
            self.force_signal(Info::kernel(SIGSEGV));
            return;
        }
        if stack_top.is_some() && alternate.flags & SS_AUTODISARM != 0 {
            self.signals.set_alternate(AlternateStack::NONE);
        }
        let own = if action.flags & SA_NODEFER != 0 {
            0
        } else {
            bit(info.signal)
        };
        self.set_mask(interrupted_mask | action.mask | own);
    }

    /// rt_sigreturn(2).
    pub fn leave_handler(&self, frame: &mut TrapFrame) {
        match crate::arch::signal::pop(frame) {
            Ok(Returned { mask, alternate }) => {
                // As on Linux, a stack that sigaltstack(2) would refuse changes nothing, and is no error.
                if let Ok(stack) = self.signals.alternate().changed(alternate, frame.sp()) {
                    self.signals.set_alternate(stack);
                }
                self.set_mask(mask);
            }
            Err(_) => self.force_signal(Info::kernel(SIGSEGV)),
        }
    }
}

/// Does what is left to do before user code goes on. `restart` is the inside error (ERESTART*) of the system call that
/// `frame` returns from.
#[inline(never)]
pub fn before_user(thread: &Arc<Thread>, frame: &mut TrapFrame, mut restart: Option<Errno>) {
    loop {
        let flags = thread.flags.load(Acquire);
        if flags & WORK == 0 && restart.is_none() {
            return;
        }
        if flags & KILL != 0 {
            exit::exit_thread(thread);
        }
        if flags & STOP != 0 {
            stay_stopped(thread);
            continue;
        }
        if flags & RESCHEDULE != 0 {
            thread.clear(RESCHEDULE);
            sched::give_way(thread);
            continue;
        }
        if flags & SIGNAL != 0 {
            if let Some((info, disposition)) = thread.next_signal() {
                match disposition {
                    Disposition::Nothing => {}
                    Disposition::Terminate => {
                        crash::describe(thread, frame, &info);
                        exit::end_group(&thread.process, info.signal as i32);
                    }
                    Disposition::Stop => stop(&thread.process, info.signal),
                    Disposition::Handle(action) => {
                        if let Some(error) = restart.take() {
                            resume_after_handler(frame, error, &action);
                            thread.restart_deadline_ns.store(0, Relaxed);
                        }
                        thread.enter_handler(frame, &info, &action);
                    }
                }
            }
            continue;
        }
        if restart.take().is_some() {
            frame.restart_syscall();
        }
        if flags & RESTORE_MASK != 0 {
            thread.clear(RESTORE_MASK);
            thread.set_mask(thread.signals.saved_mask.load(Relaxed));
        }
    }
}

/// signal(7), "Interruption of system calls": what a call that a handler interrupted gives.
fn resume_after_handler(frame: &mut TrapFrame, error: Errno, action: &Action) {
    match error {
        Errno::ERESTARTNOINTR => frame.restart_syscall(),
        Errno::ERESTARTSYS if action.flags & SA_RESTART != 0 => frame.restart_syscall(),
        _ => frame.set_result(-(Errno::EINTR.number() as isize)),
    }
}

/// Default action of SIGSTOP and its kind: every thread stops before it enters user mode again. The terminal's signals
/// stop no group that nobody could continue.
fn stop(process: &Arc<Process>, signal: u32) {
    if signal != SIGSTOP && kinship::is_orphaned(process.group()) {
        return;
    }
    let mut signals = process.signals.lock();
    if signals.stopped || process.is_ending() {
        return;
    }
    signals.stopped = true;
    for thread in process.threads().iter() {
        thread.raise(STOP);
    }
    drop(signals);
    wait::child_changed(process, CLD_STOPPED, signal as i32);
}

fn stay_stopped(thread: &Arc<Thread>) {
    while thread.has_flag(STOP) && !thread.has_flag(KILL) {
        thread.park();
    }
}
