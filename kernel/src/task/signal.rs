//! Signals: what is pending, what a process does about each, and the way into a handler.
//!
//! Each thread has a mask and signals of its own; the process has signals for any of its threads, and the actions. All of
//! a process's pending signals and actions are guarded by its one signal lock (`Process::signals`); a thread's mask is
//! written by the thread itself. The [`SIGNAL`] flag of a thread is the hint that something may be deliverable to it: set
//! after a signal is queued, cleared by the thread when it finds nothing.

use super::alternate_stack::AlternateStack;
use super::thread::{KILL, RESTORE_MASK, SIGNAL, STOP, Thread, WORK};
use super::{Process, crash, current, exit, kinship, sched, wait};
use crate::arch::signal::{Delivery, Returned};
use crate::arch::trap::TrapFrame;
use crate::time::signal_timer::Origin;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use event::WaitQueue;
use libsyscall::abi::Errno;
use libsyscall::abi::process::RLIMIT_SIGPENDING;
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
/// siginfo_t without its padding: three ints and the union's first 32 bytes, which is all of it that Linux uses here.
#[derive(Clone, Copy, Debug)]
pub struct Info {
    pub signal: u32,
    pub error: i32,
    pub code: i32,
    pub payload: [u8; 32],
    /// The timer that sent it, which wants to know when it is taken.
    pub origin: Option<Origin>,
}

/// The kinds of siginfo_t, sigaction(2), "The siginfo_t argument".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// si_pid, si_uid.
    Kill,
    /// The same and si_value.
    Queue,
    /// si_timerid, si_overrun, si_value.
    Timer,
    /// si_band, si_fd.
    Poll,
    /// si_pid, si_uid, si_status, si_utime, si_stime.
    Child,
    /// si_addr.
    Fault,
    /// si_call_addr, si_syscall, si_arch.
    System,
}

impl Info {
    pub fn new(signal: u32, code: i32) -> Info {
        Info {
            signal,
            error: 0,
            code,
            payload: [0; 32],
            origin: None,
        }
    }

    /// From the kernel itself.
    pub fn kernel(signal: u32) -> Info {
        Info::new(signal, SI_KERNEL)
    }

    /// From the running process: kill(2), tgkill(2).
    pub fn from_running(signal: u32, code: i32) -> Info {
        current::with_current(|thread| {
            Info::new(signal, code).with_sender(thread.process.pid, thread.process.real_ids().0)
        })
    }

    /// A fault at an address.
    pub fn fault(signal: u32, code: i32, address: usize) -> Info {
        let mut info = Info::new(signal, code);
        info.payload[..8].copy_from_slice(&(address as u64).to_ne_bytes());
        info
    }

    /// The address that a fault was at, where it had one.
    pub fn fault_address(&self) -> Option<u64> {
        let [address, ..] = self.payload.as_chunks::<8>().0 else {
            return None;
        };
        (self.layout() == Layout::Fault).then(|| u64::from_ne_bytes(*address))
    }

    pub fn with_sender(mut self, pid: i32, uid: u32) -> Info {
        self.payload[..4].copy_from_slice(&pid.to_ne_bytes());
        self.payload[4..8].copy_from_slice(&uid.to_ne_bytes());
        self
    }

    /// si_status, si_utime, si_stime of SIGCHLD.
    pub fn with_status(mut self, status: i32, user_ticks: u64) -> Info {
        self.payload[8..12].copy_from_slice(&status.to_ne_bytes());
        self.payload[16..24].copy_from_slice(&user_ticks.to_ne_bytes());
        self
    }

    /// si_timerid and si_value of SI_TIMER.
    pub fn with_timer(mut self, number: i32, value: u64) -> Info {
        self.payload[..4].copy_from_slice(&number.to_ne_bytes());
        self.payload[8..16].copy_from_slice(&value.to_ne_bytes());
        self
    }

    /// si_overrun of SI_TIMER.
    pub fn set_overrun(&mut self, overrun: i32) {
        self.payload[4..8].copy_from_slice(&overrun.to_ne_bytes());
    }

    /// Which members of the union it has.
    pub fn layout(&self) -> Layout {
        match (self.code, self.signal) {
            (SI_TIMER, _) => Layout::Timer,
            (SI_SIGIO, _) => Layout::Poll,
            (..SI_USER, _) => Layout::Queue,
            (SI_USER | SI_KERNEL.., _) => Layout::Kill,
            (_, SIGCHLD) => Layout::Child,
            (_, SIGSEGV | SIGBUS | SIGILL | SIGFPE | SIGTRAP) => Layout::Fault,
            (_, SIGIO) => Layout::Poll,
            (_, SIGSYS) => Layout::System,
            _ => Layout::Kill,
        }
    }

    pub fn to_bytes(self) -> [u8; SIGINFO_SIZE] {
        let mut bytes = [0; SIGINFO_SIZE];
        bytes[..4].copy_from_slice(&self.signal.to_ne_bytes());
        bytes[4..8].copy_from_slice(&self.error.to_ne_bytes());
        bytes[8..12].copy_from_slice(&self.code.to_ne_bytes());
        bytes[16..48].copy_from_slice(&self.payload);
        bytes
    }

    pub fn from_bytes(signal: u32, bytes: &[u8; SIGINFO_SIZE]) -> Info {
        let int = |at: usize| i32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let mut payload = [0; 32];
        payload.copy_from_slice(&bytes[16..48]);
        Info {
            signal,
            error: int(4),
            code: int(8),
            payload,
            origin: None,
        }
    }
}

/// sigaction(2) as the kernel has it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Action {
    pub handler: usize,
    pub flags: u64,
    pub restorer: usize,
    pub mask: u64,
}

/// Signals that wait.
#[derive(Default)]
pub struct Pending {
    set: u64,
    queue: VecDeque<Info>,
}

impl Pending {
    pub fn set(&self) -> u64 {
        self.set
    }

    /// Queues a signal; whether it is new: a standard one that waits already merges with it, but for a timer's, which has
    /// one in the queue at most. EAGAIN for a real-time signal past `limit`.
    fn push(&mut self, info: Info, limit: u64) -> Result<bool, Errno> {
        let bit = bit(info.signal);
        if info.signal < SIGRTMIN && self.set & bit != 0 && info.origin.is_none() {
            return Ok(false);
        }
        if self.queue.len() as u64 >= limit && info.signal >= SIGRTMIN && info.origin.is_none() {
            return Err(Errno::EAGAIN);
        }
        self.queue.try_reserve(1).map_err(|_| Errno::EAGAIN)?;
        self.queue.push_back(info);
        self.set |= bit;
        Ok(true)
    }

    /// The next signal among `wanted`: synchronous ones, then by number, each number in order of arrival.
    fn take(&mut self, wanted: u64) -> Option<Info> {
        let ready = self.set & wanted;
        if ready == 0 {
            return None;
        }
        let preferred = if ready & SYNCHRONOUS != 0 {
            ready & SYNCHRONOUS
        } else {
            ready
        };
        let signal = preferred.trailing_zeros() + 1;
        let index = self.queue.iter().position(|info| info.signal == signal)?;
        let info = self.queue.remove(index)?;
        if !self.queue.iter().any(|info| info.signal == signal) {
            self.set &= !bit(signal);
        }
        Some(info)
    }

    fn discard(&mut self, signals: u64) {
        if self.set & signals != 0 {
            self.queue.retain(|info| bit(info.signal) & signals == 0);
            self.set &= !signals;
        }
    }
}

/// A thread's part.
pub struct ThreadSignals {
    /// Written by the thread itself.
    mask: AtomicU64,
    /// The mask to put back, while [`RESTORE_MASK`] is set.
    saved_mask: AtomicU64,
    /// Blocked signals that wake the thread nevertheless: it waits for them itself.
    awaited: AtomicU64,
    /// Guarded by the process's signal lock as well; its own lock is never contended.
    pub(super) pending: SpinLock<Pending>,
    alternate: SpinLock<AlternateStack>,
}

impl ThreadSignals {
    pub fn new(mask: u64) -> ThreadSignals {
        ThreadSignals {
            mask: AtomicU64::new(mask),
            saved_mask: AtomicU64::new(0),
            awaited: AtomicU64::new(0),
            pending: SpinLock::default(),
            alternate: SpinLock::new(AlternateStack::NONE),
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
    pending: Pending,
    /// The process is stopped by job control.
    stopped: bool,
}

impl Default for ProcessSignals {
    fn default() -> ProcessSignals {
        ProcessSignals {
            actions: [Action::default(); 64],
            pending: Pending::default(),
            stopped: false,
        }
    }
}

impl ProcessSignals {
    pub fn action(&self, signal: u32) -> Action {
        self.actions[signal as usize - 1]
    }

    /// fork(2): the actions; nothing is pending.
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

/// What is to be done about a signal taken.
enum Disposition {
    Handle(Action),
    Terminate,
    Stop,
    Nothing,
}

impl Process {
    /// sigaction(2): sets an action; the former one.
    pub fn set_action(&self, signal: u32, action: Option<Action>) -> Action {
        let mut signals = self.signals.lock();
        let former = signals.action(signal);
        if let Some(mut action) = action {
            action.mask &= !UNSTOPPABLE;
            signals.actions[signal as usize - 1] = action;
            if signals.ignores(signal) {
                signals.pending.discard(bit(signal));
                for thread in self.threads().iter() {
                    thread.pending().lock().discard(bit(signal));
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
        let mut continued = false;
        if signal == SIGCONT {
            signals.pending.discard(STOPS);
            threads.iter().for_each(|thread| thread.pending().lock().discard(STOPS));
            continued = core::mem::take(&mut signals.stopped);
            if continued {
                threads.iter().for_each(|thread| {
                    thread.clear(STOP);
                    thread.unpark();
                });
            }
        } else if bit(signal) & STOPS != 0 {
            signals.pending.discard(bit(SIGCONT));
            threads
                .iter()
                .for_each(|thread| thread.pending().lock().discard(bit(SIGCONT)));
        }
        let wakes = |thread: &Thread| thread.signals.waking() & bit(signal) != 0;
        let target = match to {
            Some(thread) => threads.iter().find(|other| core::ptr::eq(&***other, thread)),
            // Rather the thread that runs now: it needs no waking.
            None => threads
                .iter()
                .find(|thread| wakes(thread) && thread.is_on_cpu())
                .or_else(|| threads.iter().find(|thread| wakes(thread))),
        };
        // Nobody ignores a signal he blocks, also while he waits for it: signalfd(2) and sigwaitinfo(2) are to see it.
        let blocked = target.is_none_or(|thread| thread.signals.mask() & bit(signal) != 0);
        let limit = self.limit(RLIMIT_SIGPENDING).soft;
        let queued = if signals.ignores(signal) && !blocked {
            Ok(false)
        } else {
            match to {
                Some(thread) => thread.pending().lock().push(info, limit),
                None => signals.pending.push(info, limit),
            }
        };
        if let Some(thread) = target
            && wakes(thread)
        {
            thread.raise(SIGNAL);
        }
        drop(threads);
        drop(signals);
        if continued {
            wait::child_changed(self, CLD_CONTINUED, SIGCONT as i32);
        }
        if bit(signal) & (STOPS | bit(SIGCONT)) != 0 {
            self.timers.discarded(STOPS | bit(SIGCONT));
        }
        if queued == Ok(true) {
            // As Linux does it without a mask: an epoll lists also what asked for nothing, and asks it then.
            self.signal_arrivals.wake(event::EventMask::empty());
        }
        queued
    }

    /// Has a thread that does not block them look at the process's pending signals: the one meant to has blocked them or
    /// ended.
    pub(super) fn offer_signals(&self) {
        let signals = self.signals.lock();
        if signals.pending.set() != 0 {
            let threads = self.threads();
            if let Some(thread) = threads
                .iter()
                .find(|thread| signals.pending.set() & thread.signals.waking() != 0)
            {
                thread.raise(SIGNAL);
            }
        }
    }

    /// Whether a signal is there that wakes `thread`; its flag is set right.
    pub(super) fn refresh_signal_flag(&self, thread: &Thread) -> bool {
        let signals = self.signals.lock();
        let pending = signals.pending.set() | thread.pending().lock().set();
        let wakes = pending & thread.signals.waking() != 0;
        if wakes {
            thread.flags.fetch_or(SIGNAL, Relaxed);
        } else {
            thread.clear(SIGNAL);
        }
        wakes
    }

    /// Signals pending for a thread: its own and the process's.
    pub fn pending_for(&self, thread: &Thread) -> u64 {
        let signals = self.signals.lock();
        signals.pending.set() | thread.pending().lock().set()
    }

    /// Takes a pending signal among `wanted`: rt_sigtimedwait(2), signalfd(2).
    pub fn take_signal(&self, thread: &Thread, wanted: u64) -> Option<Info> {
        self.take_pending(&mut self.signals.lock(), thread, wanted)
    }

    /// Takes a pending signal; one whose timer does not want it any more is passed over.
    fn take_pending(&self, signals: &mut ProcessSignals, thread: &Thread, wanted: u64) -> Option<Info> {
        loop {
            let own = thread.pending().lock().take(wanted);
            let mut info = own.or_else(|| signals.pending.take(wanted))?;
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

    fn waking_changed(&self, former: u64) {
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
            let mut pending = self.pending().lock();
            pending.discard(bit);
            if pending.push(info, u64::MAX).is_err() {
                drop(pending);
                drop(signals);
                exit::end_group(&self.process, info.signal as i32);
                return;
            }
        }
        self.flags.fetch_or(SIGNAL, Relaxed);
    }

    /// The next signal to act upon, and what to do.
    fn next_signal(&self) -> Option<(Info, Disposition)> {
        let mut signals = self.process.signals.lock();
        let wanted = !self.signals.mask();
        let Some(info) = self.process.take_pending(&mut signals, self, wanted) else {
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
        if flags & super::thread::RESCHEDULE != 0 {
            thread.clear(super::thread::RESCHEDULE);
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
        _ => frame.set_result(-(Errno::EINTR.0 as isize)),
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
