//! A thread: its machine state, signals, and how it sleeps.
//!
//! Sleeping is parking with a token (`docs/adr/0002`): the word [`Thread::parking`] is empty, notified or parked. `park`
//! takes a notification or sleeps; `unpark` leaves one or makes the sleeper runnable.

use super::belongings::Belongings;
use super::current::OwnShare;
use super::signal::{Pending, ThreadSignals};
use super::{Process, current, sched};
use crate::arch::context::ArchThread;
use crate::arch::frame::OwnRegisters;
use crate::arch::trap::TrapFrame;
use crate::file::FdTable;
use crate::mm::stack::KernelStack;
use crate::time::queue::{self, Expire, Timer};
use crate::time::{self, now_ns};
use crate::trace::wakeups::{self, Note};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{
    AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
};
use event::{EventMask, Sleeper, Unparked, Waiter, Woken};
use libsyscall::abi::Errno;
use sync::SpinLock;

/// How late a sleep may end where nobody says: Linux's 50 µs.
pub const TIMER_SLACK_NS: u64 = 50_000;

const EMPTY: u32 = 0;
const NOTIFIED: u32 = 1;
const PARKED: u32 = 2;

/// [`Thread::flags`]: another thread should have the CPU.
pub const RESCHEDULE: u32 = 1;
/// A signal may wait that is not blocked.
pub const SIGNAL: u32 = 2;
/// The process ends, or execve(2) by another thread: this one is to end.
pub const KILL: u32 = 4;
/// The process is stopped.
pub const STOP: u32 = 8;
/// The signal mask is a temporary one (sigsuspend, epoll_pwait) and goes back to the saved one.
pub const RESTORE_MASK: u32 = 16;
/// A system call did not come to its end: [`Thread::take_unfinished`].
const UNFINISHED: u32 = 32;
/// Any of these is dealt with before user code goes on.
pub const WORK: u32 = RESCHEDULE | SIGNAL | KILL | STOP | RESTORE_MASK | UNFINISHED;
/// Where the machine's system-call entry finds [`Thread::flags`].
pub const FLAGS_OFFSET: usize = offset_of!(Thread, flags);
/// Any of these ends a sleep.
const INTERRUPT: u32 = SIGNAL | KILL | STOP;

/// What happens to a thread once its CPU has left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// It is parked, or in its CPU's queue.
    Plain,
    /// It goes to another CPU's queue.
    Requeue,
    /// It has ended: the scheduler's share is dropped.
    Ended,
}

pub struct Thread {
    pub(super) own_share: OwnShare,
    /// Its number; execve(2) gives the surviving thread that of the process.
    tid: AtomicI32,
    pub process: Arc<Process>,
    pub(super) arch: ArchThread,

    /// [`RESCHEDULE`] and its fellows: the one word tested before user code goes on.
    pub(super) flags: AtomicU32,
    parking: AtomicU32,
    /// A CPU runs it or is still leaving it. Set by the CPU that switches to it, cleared by `current::switched`.
    pub(super) on_cpu: AtomicBool,
    /// The CPU it runs on or ran on last, or in whose queue it is.
    pub(super) cpu: AtomicUsize,
    /// CPUs it may run on, a bit each.
    pub(super) affinity: AtomicU32,
    /// Which address space its switch must activate: the space's address as a number, 0 for any.
    pub(super) space_id: AtomicUsize,
    /// A [`Leaving`], written by its own CPU.
    leaving: AtomicU8,
    /// Nanoseconds it has run.
    pub(super) ran_ns: AtomicU64,
    /// The same on the clock by which the scheduler tells who is owed a turn: see `sched`.
    pub(super) virtual_ns: AtomicU64,
    /// Page faults that were mended.
    pub faults: AtomicU64,

    /// Ends a sleep with a deadline.
    timer: Timer,

    /// The table of descriptors, once the thread has found that it is the only one to use it. Its own to read and write.
    pub(super) own_files: AtomicPtr<FdTable>,

    pub(super) belongings: Belongings,
    pub signals: ThreadSignals,
    /// Where the kernel writes 0 and wakes a futex when it ends: set_tid_address(2), CLONE_CHILD_CLEARTID.
    pub clear_child_tid: AtomicUsize,
    /// set_robust_list(2)'s head.
    pub robust_list: AtomicUsize,
    /// Futex state, see `futex.rs`.
    pub(super) futex: super::futex::WaitState,
    /// Why its system call did not come to its end, as long as that is UNFINISHED.
    unfinished: AtomicUsize,
    /// The deadline of an interrupted sleep, which its restart takes up again.
    pub restart_deadline_ns: AtomicU64,
    /// In wait4(2) or waitid(2): to be woken when a child changes.
    pub(super) waits_for_child: AtomicBool,
    /// SIGxxx to send it when its parent ends, prctl(PR_SET_PDEATHSIG).
    pub death_signal: AtomicU32,
    /// prctl(PR_SET_TIMERSLACK).
    pub timer_slack_ns: AtomicU64,
    name: SpinLock<[u8; 16]>,
    /// Who woke it, where that is traced.
    woken_by: SpinLock<Option<Note>>,
}

impl Thread {
    fn build(
        tid: i32,
        process: Arc<Process>,
        arch: ArchThread,
        belongings: Belongings,
        mask: u64,
    ) -> Result<Arc<Thread>, Errno> {
        let space_id = process.space_id();
        let timer = Timer::new()?;
        sched::make_room()?;
        let mut thread = Arc::new(Thread {
            own_share: OwnShare::none(),
            tid: AtomicI32::new(tid),
            arch,
            flags: AtomicU32::new(0),
            parking: AtomicU32::new(EMPTY),
            on_cpu: AtomicBool::new(false),
            cpu: AtomicUsize::new(crate::arch::cpu::id()),
            affinity: AtomicU32::new(u32::MAX),
            space_id: AtomicUsize::new(space_id),
            leaving: AtomicU8::new(Leaving::Plain as u8),
            ran_ns: AtomicU64::new(0),
            virtual_ns: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            timer,
            own_files: AtomicPtr::new(ptr::null_mut()),
            belongings,
            signals: ThreadSignals::new(mask),
            clear_child_tid: AtomicUsize::new(0),
            robust_list: AtomicUsize::new(0),
            futex: super::futex::WaitState::default(),
            unfinished: AtomicUsize::new(0),
            restart_deadline_ns: AtomicU64::new(0),
            waits_for_child: AtomicBool::new(false),
            death_signal: AtomicU32::new(0),
            timer_slack_ns: AtomicU64::new(TIMER_SLACK_NS),
            name: SpinLock::new([0; 16]),
            woken_by: SpinLock::new(None),
            process,
        });
        OwnShare::set(&mut thread);
        Ok(thread)
    }

    /// The code that runs already on this CPU, as its idle thread.
    pub(super) fn idle(process: &Arc<Process>) -> Result<Arc<Thread>, Errno> {
        let thread = Thread::build(0, process.clone(), ArchThread::running(), Belongings::kernel(), 0)?;
        thread.on_cpu.store(true, Relaxed);
        Ok(thread)
    }

    /// A thread of the kernel's own, which runs `work(argument)` once `sched::start`ed, and ends.
    #[cfg_attr(
        not(feature = "ktest"),
        expect(dead_code, reason = "only tests have threads in the kernel")
    )]
    pub fn kernel(work: fn(usize), argument: usize) -> Result<Arc<Thread>, Errno> {
        let stack = KernelStack::new()?;
        let order = Box::new((work, argument));
        let arch = ArchThread::kernel(stack, enter_kernel_thread, current::hand_over(order));
        let process = sched::kernel_process().clone();
        Thread::build(super::table::new_id(), process, arch, Belongings::kernel(), 0)
    }

    /// A thread that will enter user mode with `frame`, but for what is its `own`. TLS and FP/SIMD state are those of the
    /// running thread, where that is given as `inherit`.
    pub fn user(
        tid: i32,
        process: Arc<Process>,
        frame: &TrapFrame,
        own: OwnRegisters,
        inherit: Option<&Thread>,
        belongings: Belongings,
    ) -> Result<Arc<Thread>, Errno> {
        let arch = ArchThread::user(KernelStack::new()?, frame, own, inherit.map(|parent| &parent.arch));
        let mask = inherit.map_or(0, |parent| parent.signals.mask());
        let thread = Thread::build(tid, process, arch, belongings, mask)?;
        if let Some(parent) = inherit {
            thread.affinity.store(parent.affinity.load(Relaxed), Relaxed);
            thread
                .timer_slack_ns
                .store(parent.timer_slack_ns.load(Relaxed), Relaxed);
            *thread.name.lock() = *parent.name.lock();
        }
        Ok(thread)
    }

    pub fn tid(&self) -> i32 {
        self.tid.load(Relaxed)
    }

    /// execve(2) by a thread that is not the first.
    pub(super) fn set_tid(&self, tid: i32) {
        self.tid.store(tid, Relaxed);
    }

    pub fn arch(&self) -> &ArchThread {
        &self.arch
    }

    /// prctl(PR_GET_NAME): at most 15 bytes and a NUL.
    pub fn name_bytes(&self) -> [u8; 16] {
        *self.name.lock()
    }

    pub fn set_name(&self, name: &[u8]) {
        let mut bytes = [0; 16];
        let len = name.iter().position(|&b| b == 0).unwrap_or(name.len()).min(15);
        bytes[..len].copy_from_slice(&name[..len]);
        *self.name.lock() = bytes;
    }

    pub fn name(&self) -> alloc::string::String {
        let bytes = self.name_bytes();
        let len = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
        alloc::string::String::from_utf8_lossy(&bytes[..len]).into_owned()
    }

    /// The CPU it is on or was on last.
    pub fn cpu(&self) -> usize {
        self.cpu.load(Relaxed)
    }

    /// The system call a sleeping thread is in, and its arguments.
    pub fn call_in_progress(&self) -> Option<(usize, [usize; 6])> {
        self.call().filter(|_| self.is_parked() && !self.is_on_cpu())
    }

    /// The system call that the running thread is in, or that a sleeping one is.
    pub fn call(&self) -> Option<(usize, [usize; 6])> {
        let frame = current::frame_below(self.arch.stack_top()?);
        Some((frame.syscall_number(), [0, 1, 2, 3, 4, 5].map(|n| frame.argument(n))))
    }

    pub fn is_on_cpu(&self) -> bool {
        self.on_cpu.load(Relaxed)
    }

    pub fn is_parked(&self) -> bool {
        self.parking.load(Relaxed) == PARKED
    }

    /// The letter of /proc/PID/stat.
    pub fn state_letter(&self) -> char {
        match () {
            _ if self.has_ended() => 'Z',
            _ if self.has_flag(STOP) => 'T',
            _ if self.is_parked() => 'S',
            _ => 'R',
        }
    }

    pub fn affinity(&self) -> u32 {
        self.affinity.load(Relaxed)
    }

    /// sched_setaffinity(2). Takes hold when the thread is queued or preempted next.
    pub fn set_affinity(&self, cpus: u32) {
        self.affinity.store(cpus, SeqCst);
        if cpus & (1 << self.cpu()) == 0 {
            self.raise(RESCHEDULE);
        }
        // One that waits in a queue may be for a CPU that halts.
        sched::nudge_idle();
    }

    /// CPU time used, of a running thread as of its last switch.
    pub fn ran_ns(&self) -> u64 {
        self.ran_ns.load(Relaxed) + sched::running_ns(self)
    }

    pub fn has_flag(&self, flag: u32) -> bool {
        self.flags.load(Acquire) & flag != 0
    }

    /// Sets a flag and makes the thread see it soon: awake if it sleeps, interrupted if it runs user code elsewhere.
    pub fn raise(&self, flag: u32) {
        self.flags.fetch_or(flag, AcqRel);
        if flag & INTERRUPT != 0 {
            self.unpark();
        }
        sched::interrupt(self);
    }

    pub fn clear(&self, flag: u32) {
        self.flags.fetch_and(!flag, AcqRel);
    }

    /// The running thread's system call did not come to its end: it is to be made again, with a whole frame or after a
    /// signal.
    pub fn set_unfinished(&self, error: Errno) {
        self.unfinished.store(error.number(), Relaxed);
        self.flags.fetch_or(UNFINISHED, AcqRel);
    }

    /// Why its system call did not come to its end, if that is so.
    pub fn take_unfinished(&self) -> Option<Errno> {
        if !self.has_flag(UNFINISHED) {
            return None;
        }
        self.clear(UNFINISHED);
        Errno::new(self.unfinished.load(Relaxed))
    }

    pub fn has_ended(&self) -> bool {
        self.leaving.load(Relaxed) == Leaving::Ended as u8
    }

    pub(super) fn set_leaving(&self, leaving: Leaving) {
        self.leaving.store(leaving as u8, Relaxed);
    }

    pub(super) fn take_leaving(&self) -> Leaving {
        let leaving = self.leaving.load(Relaxed);
        if leaving == Leaving::Plain as u8 {
            Leaving::Plain
        } else if leaving == Leaving::Requeue as u8 {
            self.set_leaving(Leaving::Plain);
            Leaving::Requeue
        } else {
            Leaving::Ended
        }
    }

    /// Sleeps until unparked, unless it has been already since the last park. Only the running thread parks itself.
    pub fn park(self: &Arc<Self>) {
        let slept = self.parking.compare_exchange(EMPTY, PARKED, AcqRel, Acquire).is_ok();
        if slept {
            sched::schedule(self);
        }
        if wakeups::is_on() {
            return self.tell_who_woke_it(slept);
        }
        self.parking.store(EMPTY, Release);
    }

    /// [`Thread::park`] ends, and wake-ups are traced.
    #[cold]
    fn tell_who_woke_it(&self, slept: bool) {
        let mut woken_by = self.woken_by.lock();
        let note = woken_by.take();
        self.parking.store(EMPTY, Release);
        drop(woken_by);
        if let Some(note) = note {
            note.print(self, slept);
        }
    }

    /// [`Thread::park`], no longer than to `deadline_ns`, and not past a signal.
    pub fn park_until(self: &Arc<Self>, deadline_ns: Option<u64>) -> Unparked {
        if self.is_interrupted() {
            return Unparked::Interrupted;
        }
        if let Some(deadline_ns) = deadline_ns {
            if now_ns() >= deadline_ns {
                return Unparked::TimedOut;
            }
            queue::arm(self.clone(), deadline_ns);
        }
        self.park();
        if let Some(deadline_ns) = deadline_ns {
            self.timer.cancel();
            if now_ns() >= deadline_ns {
                return Unparked::TimedOut;
            }
        }
        if self.is_interrupted() {
            Unparked::Interrupted
        } else {
            Unparked::Woken
        }
    }

    /// Sleeps until `is_done`, which is Woken, until CLOCK_REALTIME reads `goal_ns`, also where that clock is set meanwhile, or
    /// until a signal. ENOMEM.
    pub fn park_to_realtime(
        self: &Arc<Self>,
        goal_ns: Option<u64>,
        is_done: impl Fn() -> bool,
    ) -> Result<Unparked, Errno> {
        let clock = match goal_ns {
            Some(_) => Some(time::CLOCK_SET.add(self.clone(), 0, EventMask::IN)?),
            None => None,
        };
        let why = loop {
            let why = self.park_until(goal_ns.map(time::from_realtime_ns));
            if is_done() {
                break Unparked::Woken;
            }
            match why {
                Unparked::TimedOut if goal_ns.is_some_and(|goal_ns| time::realtime_ns() >= goal_ns) => break why,
                Unparked::TimedOut | Unparked::Woken => {}
                Unparked::Interrupted => break why,
            }
        };
        if let Some(clock) = clock {
            time::CLOCK_SET.remove(clock);
        }
        Ok(why)
    }

    /// Whether a signal is to be delivered or the thread is to stop or end.
    #[inline]
    pub fn is_interrupted(&self) -> bool {
        let flags = self.flags.load(Acquire);
        if flags & INTERRUPT == 0 {
            return false;
        }
        // The flag is a hint: another thread may have taken the process's signal.
        flags & (KILL | STOP) != 0 || self.process.refresh_signal_flag(self)
    }

    /// Makes it runnable, or its next park return at once. From anywhere. `No` where it was notified already.
    #[inline]
    pub fn unpark(&self) -> Woken {
        if wakeups::is_on() {
            return self.unpark_noted(None);
        }
        self.notify()
    }

    /// [`Thread::unpark`] with a note of who did it, and by which token and bits of a wait queue.
    #[cold]
    fn unpark_noted(&self, cause: Option<(u32, EventMask)>) -> Woken {
        // Held until it is notified: it may run at once, and would look for the note.
        let mut woken_by = self.woken_by.lock();
        if self.parking.load(Acquire) != NOTIFIED {
            *woken_by = Some(Note::new(cause));
        }
        self.notify()
    }

    #[inline]
    fn notify(&self) -> Woken {
        match self.parking.swap(NOTIFIED, AcqRel) {
            PARKED => sched::enqueue(current::share_of_parked(self)),
            EMPTY => {}
            _ => return Woken::No,
        }
        Woken::Yes
    }

    /// Its own pending signals, for the process's signal code.
    pub(super) fn pending(&self) -> &Pending {
        &self.signals.pending
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        sched::give_room_back();
    }
}

impl Expire for Thread {
    fn timer(&self) -> &Timer {
        &self.timer
    }

    fn expired(self: Arc<Self>) {
        self.unpark();
    }
}

impl Waiter for Thread {
    #[inline]
    fn wake(&self, token: u32, events: EventMask) -> Woken {
        if wakeups::is_on() {
            return self.unpark_noted(Some((token, events)));
        }
        self.notify()
    }
}

impl Sleeper for Thread {
    /// Only the running thread sleeps.
    fn park(&self, deadline_ns: Option<u64>) -> Unparked {
        super::with_current(|thread| {
            debug_assert!(core::ptr::eq(self, &**thread));
            thread.park_until(deadline_ns)
        })
    }

    fn is_notified(&self) -> bool {
        self.parking.load(Acquire) == NOTIFIED
    }
}

/// Where a kernel thread starts.
extern "C" fn enter_kernel_thread(order: usize) -> ! {
    current::switched();
    let (work, argument) = *current::taken_over(order);
    work(argument);
    super::with_current(|thread| {
        thread.set_leaving(Leaving::Ended);
        sched::schedule(thread);
    });
    unreachable!("an ended thread was continued")
}

/// What a deadline of `timeout_ns` from now is; none where it lies past the clock's end.
pub fn deadline_after(timeout_ns: u64) -> Option<u64> {
    time::now_ns().checked_add(timeout_ns)
}
