//! The scheduler: a first-in first-out run queue per CPU, wake-up placement, stealing, slices, idling.
//!
//! A woken thread goes to the CPU it ran on last if that one idles, else to one that does, else to its last. A CPU
//! without work takes a thread from another's queue before it halts. User code is preempted when it has run for
//! [`SLICE_NS`] while another waits on its CPU, for less while many do; there is no tick otherwise. Kernel code is never
//! preempted.
//!
//! # Who has slept goes first
//!
//! A queue alone would let a thread that sleeps often wait for the whole slices of those that never do. So each thread has a
//! *virtual time*, what it has run, and one that is woken and has run less than the running one by [`OWED_NS`] goes to the
//! queue's start and has the running one give way. The times of threads that meet on a CPU never differ by more than
//! [`CREDIT_NS`]: a long sleep is worth no more, and who comes from a CPU where more was run is not put off for that.
//!
//! # A thread runs on one CPU at a time
//!
//! A thread that parks is still on its CPU, and on its stack, until the switch is through; a wake-up may come before
//! that. Its `on_cpu` is set until then. Such a thread is queued on the CPU it is leaving, nowhere else, and nobody steals
//! it, so it is continued after that CPU has left it.
//!
//! | CPU 0 runs A | CPU 1, bad: queues anywhere | CPU 1, good |
//! |---|---|---|
//! | A: word = parked | | |
//! | | wakes A into its own queue | wakes A, sees `on_cpu`: queue 0 |
//! | | switches to A, on the stack CPU 0 still pushes registers to | |
//! | saves A's registers | | |
//! | on the next thread's stack: A.on_cpu = false | | may steal A from now on |
//! | picks A | | |
//!
//! # Going idle loses nobody
//!
//! | CPU 1 goes idle | CPU 0 queues a thread on its own queue |
//! |---|---|
//! | sets its bit in [`IDLE`] | pushes the thread |
//! | looks at every queue | looks at `IDLE`: a bit there is sent an interrupt |
//! | halts; an interrupt already sent ends the halt | |
//!
//! Both sides write first and then read (SeqCst), so at least one of them sees the other.

use super::thread::{KILL, Leaving, RESCHEDULE, Thread};
use super::{Process, current};
use crate::arch::{self, MAX_CPUS, cpu, irq};
use crate::mm::space::AddressSpace;
use crate::room::Room;
use crate::time::{now_ns, queue::alarm_by};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::sync::atomic::{
    AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, SeqCst},
};
use libsyscall::abi::Errno;
use spin::Once;
use sync::SpinLock;

/// How long user code runs while another thread waits. Several that wait share it, so that who is woken behind busy
/// threads has its turn as soon.
pub const SLICE_NS: u64 = 6_000_000;
/// No slice is shorter: a switch has its price.
const SLICE_NS_MIN: u64 = 1_000_000;
const NO_SLICE: u64 = u64::MAX;
/// The most that a thread's virtual time may lie before or behind that of one it meets.
const CREDIT_NS: u64 = SLICE_NS / 2;
/// How much less a woken thread has run if it is to go first.
const OWED_NS: u64 = 1_000_000;

struct Cpu {
    queue: SpinLock<VecDeque<Arc<Thread>>>,
    /// Length of the queue, to be read without its lock.
    waiting: AtomicUsize,
    idle: Once<Arc<Thread>>,
    /// When the slice of the running thread is looked at; [`NO_SLICE`] while nobody waits. Written by this CPU.
    slice_end_ns: AtomicU64,
    /// Switches so far, and at the last look: a thread that came since then keeps the CPU for another slice.
    switches: AtomicU64,
    switches_at_slice: AtomicU64,
    switched_at_ns: AtomicU64,
    /// The running thread's virtual time when it was switched to.
    virtual_ns: AtomicU64,
    idle_ns: AtomicU64,
    /// The address space that is active, which may outlast its process here.
    space: SpinLock<Option<Arc<AddressSpace>>>,
    space_id: AtomicUsize,
}

static CPUS: [Cpu; MAX_CPUS] = [const {
    Cpu {
        queue: SpinLock::new(VecDeque::new()),
        waiting: AtomicUsize::new(0),
        idle: Once::new(),
        slice_end_ns: AtomicU64::new(NO_SLICE),
        switches: AtomicU64::new(0),
        switches_at_slice: AtomicU64::new(0),
        switched_at_ns: AtomicU64::new(0),
        virtual_ns: AtomicU64::new(0),
        idle_ns: AtomicU64::new(0),
        space: SpinLock::new(None),
        space_id: AtomicUsize::new(0),
    }
}; MAX_CPUS];

/// CPUs that halt, or are about to: a bit each.
static IDLE: AtomicU32 = AtomicU32::new(0);
const _: () = assert!(MAX_CPUS <= u32::BITS as usize);

/// Every run queue has room for every thread.
static ROOM: Room = Room::new();

static KERNEL_PROCESS: Once<Arc<Process>> = Once::new();

/// The process of idle and other kernel threads; it has no address space and no number.
pub fn kernel_process() -> &'static Arc<Process> {
    KERNEL_PROCESS.call_once(Process::kernel)
}

/// Makes the code that runs this CPU's idle thread. Before it, nothing may ask for the running thread.
pub fn init_cpu() {
    let idle = Thread::idle(kernel_process()).expect("no memory for the idle thread at boot");
    let this = &CPUS[cpu::id()];
    this.switched_at_ns.store(now_ns(), Relaxed);
    current::become_idle(this.idle.call_once(|| idle));
}

/// Makes room in every run queue for one more thread, so that waking one never allocates.
pub(super) fn make_room() -> Result<(), Errno> {
    ROOM.take(|cpu, threads| {
        let mut queue = CPUS[cpu].queue.lock();
        let missing = threads.saturating_sub(queue.len());
        queue.try_reserve(missing)
    })
}

/// A thread that [`make_room`] counted is no more.
pub(super) fn give_room_back() {
    ROOM.give_back();
}

/// Lets a new thread run, which is owed nothing. The share given is the scheduler's own.
pub fn start(thread: Arc<Thread>) {
    let own = CPUS[cpu::id()].virtual_ns.load(Relaxed);
    thread.virtual_ns.store(own, Relaxed);
    enqueue(thread);
}

/// Puts a runnable thread, of which this is the scheduler's share, into a run queue.
pub(super) fn enqueue(thread: Arc<Thread>) {
    let here = cpu::id();
    let target = place(&thread);
    thread.cpu.store(target, Relaxed);
    let cpu = &CPUS[target];
    let longest = cpu.virtual_ns.load(Relaxed).saturating_sub(CREDIT_NS);
    if thread.virtual_ns.load(Relaxed) < longest {
        thread.virtual_ns.store(longest, Relaxed);
    }
    let goes_first = is_owed(cpu, &thread);
    {
        let mut queue = cpu.queue.lock();
        if goes_first {
            queue.push_front(thread);
        } else {
            queue.push_back(thread);
        }
        cpu.waiting.store(queue.len(), SeqCst);
    }
    let idle = IDLE.load(SeqCst);
    if target == here {
        if idle & (1 << here) == 0 {
            start_slice(cpu);
            if goes_first {
                end_turn();
            }
        }
    } else if idle & (1 << target) != 0 || goes_first || cpu.slice_end_ns.load(SeqCst) == NO_SLICE {
        // It halts, is to change threads, or runs alone and so without a slice. The bit goes so that the next wake-up finds
        // another CPU.
        IDLE.fetch_and(!(1 << target), SeqCst);
        irq::send_reschedule(target);
    }
    if idle != 0 && idle & (1 << target) == 0 {
        // Somebody went idle after the place was chosen: let it steal.
        irq::send_reschedule(idle.trailing_zeros() as usize);
    }
}

/// Whether a thread has run so much less than the CPU's running one that it goes first.
#[inline]
fn is_owed(cpu: &Cpu, thread: &Thread) -> bool {
    thread.virtual_ns.load(Relaxed) + OWED_NS < cpu.virtual_ns.load(Relaxed)
}

/// Has the running thread give way before it goes on in user code.
fn end_turn() {
    current::with_current(|thread| thread.flags.fetch_or(RESCHEDULE, Relaxed));
}

/// The CPU whose queue a woken thread joins.
#[inline]
fn place(thread: &Thread) -> usize {
    let last = thread.cpu.load(Relaxed);
    if thread.on_cpu.load(Acquire) {
        return last; // Still being left there.
    }
    let allowed = thread.affinity.load(Relaxed);
    let idle = IDLE.load(Relaxed) & allowed;
    if idle & (1 << last) != 0 || (idle == 0 && allowed & (1 << last) != 0) {
        last
    } else if idle != 0 {
        idle.trailing_zeros() as usize
    } else {
        allowed.trailing_zeros() as usize
    }
}

fn pop(cpu: &Cpu) -> Option<Arc<Thread>> {
    if cpu.waiting.load(SeqCst) == 0 {
        return None;
    }
    let mut queue = cpu.queue.lock();
    let thread = queue.pop_front();
    cpu.waiting.store(queue.len(), SeqCst);
    thread
}

/// Takes a thread from another CPU's queue.
fn steal(here: usize) -> Option<Arc<Thread>> {
    let online = cpu::online();
    for step in 1..online {
        let victim = &CPUS[(here + step) % online];
        if victim.waiting.load(SeqCst) == 0 {
            continue;
        }
        let mut queue = victim.queue.lock();
        let found = queue
            .iter()
            .position(|thread| !thread.on_cpu.load(Acquire) && thread.affinity.load(Relaxed) & (1 << here) != 0);
        if let Some(thread) = found.and_then(|index| queue.remove(index)) {
            victim.waiting.store(queue.len(), SeqCst);
            return Some(thread);
        }
    }
    None
}

/// Whether a thread that waits may run on this CPU. Those that may not are no reason to stay awake.
fn is_work_for(here: usize) -> bool {
    CPUS[..cpu::online()].iter().enumerate().any(|(index, cpu)| {
        let may_run = |thread: &Arc<Thread>| index == here || thread.affinity.load(SeqCst) & (1 << here) != 0;
        cpu.waiting.load(SeqCst) != 0 && cpu.queue.lock().iter().any(may_run)
    })
}

/// Gives the CPU to the next thread. The running one is parked, queued, or has ended; returns when it is continued.
pub(super) fn schedule(running: &Arc<Thread>) {
    let here = cpu::id();
    let this = &CPUS[here];
    match pop(this).or_else(|| steal(here)) {
        Some(next) if Arc::ptr_eq(&next, running) => current::keep_running(next),
        Some(next) => continue_thread(here, running, next),
        None => {
            let idle = this.idle.get().expect("every CPU has its idle thread");
            // Virtual time stands while nobody runs.
            idle.virtual_ns.store(this.virtual_ns.load(Relaxed), Relaxed);
            continue_thread(here, running, idle.clone());
        }
    }
}

fn continue_thread(here: usize, running: &Thread, next: Arc<Thread>) {
    let this = &CPUS[here];
    let now = now_ns();
    let ran = now - this.switched_at_ns.load(Relaxed);
    running.ran_ns.store(running.ran_ns.load(Relaxed) + ran, Relaxed);
    running
        .virtual_ns
        .store(running.virtual_ns.load(Relaxed) + ran, Relaxed);
    let most = this.virtual_ns.load(Relaxed) + CREDIT_NS;
    let virtual_ns = next.virtual_ns.load(Relaxed).min(most);
    next.virtual_ns.store(virtual_ns, Relaxed);
    this.virtual_ns.store(virtual_ns, Relaxed);
    this.switched_at_ns.store(now, Relaxed);
    this.switches.store(this.switches.load(Relaxed) + 1, Relaxed);
    next.cpu.store(here, Relaxed);
    next.on_cpu.store(true, Relaxed);
    let space_id = next.space_id.load(Relaxed);
    if space_id != 0 && space_id != this.space_id.load(Relaxed) {
        use_space(here, next.process.space());
    }
    current::switch_to(next);
}

/// Makes `space` this CPU's.
fn use_space(here: usize, space: Arc<AddressSpace>) {
    let this = &CPUS[here];
    space.activate();
    this.space_id.store(id_of(&space), Relaxed);
    let former = this.space.lock().replace(space);
    drop(former);
}

/// An address space as a number, for comparing.
pub(super) fn id_of(space: &Arc<AddressSpace>) -> usize {
    Arc::as_ptr(space) as usize
}

/// execve(2): the running thread continues in another space.
pub fn enter_space(space: &Arc<AddressSpace>) {
    current::with_current(|thread| thread.space_id.store(id_of(space), Relaxed));
    use_space(cpu::id(), space.clone());
}

/// Lets go of the address space this CPU has active: its process has ended.
pub(super) fn leave_space() {
    let this = &CPUS[cpu::id()];
    AddressSpace::leave();
    this.space_id.store(0, Relaxed);
    let former = this.space.lock().take();
    drop(former);
}

/// Lets the others that wait on this CPU run first.
pub fn yield_now() {
    let this = &CPUS[cpu::id()];
    if this.waiting.load(SeqCst) == 0 {
        return;
    }
    current::with_current(|running| {
        {
            let mut queue = this.queue.lock();
            queue.push_back(current::share_of_running());
            this.waiting.store(queue.len(), SeqCst);
        }
        schedule(running);
    });
}

/// The running thread's slice is over, or it may not run on this CPU any more.
pub(super) fn give_way(running: &Arc<Thread>) {
    if running.affinity.load(Relaxed) & (1 << cpu::id()) == 0 {
        // Another CPU's queue takes it, but only after this one has left its stack.
        running.set_leaving(Leaving::Requeue);
        schedule(running);
    } else {
        yield_now();
    }
}

/// For long loops in the kernel: takes the interrupts that wait, and lets other threads run if the slice is over. True
/// once the running thread has been killed: nobody will see what the loop comes to.
pub fn preempt_point() -> bool {
    cpu::take_interrupts();
    let this = &CPUS[cpu::id()];
    if this.waiting.load(Relaxed) != 0 && now_ns() >= this.slice_end_ns.load(Relaxed) {
        this.slice_end_ns.store(now_ns() + slice_ns(this), Relaxed);
        yield_now();
    }
    current::with_current(|thread| thread.has_flag(KILL))
}

/// Moves `total` bytes by steps of at most `piece`, with a [`preempt_point`] behind each. An error counts only where nothing
/// was moved before; a step that moves nothing is the last.
pub fn in_steps(
    total: usize,
    piece: usize,
    mut step: impl FnMut(usize) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    let mut done = 0;
    while done < total {
        match step((total - done).min(piece)) {
            Err(error) if done == 0 => return Err(error),
            Err(_) | Ok(0) => break,
            Ok(count) => done += count,
        }
        if preempt_point() {
            break;
        }
    }
    Ok(done)
}

fn slice_ns(this: &Cpu) -> u64 {
    let waiting = this.waiting.load(Relaxed).max(1) as u64;
    (SLICE_NS / waiting).max(SLICE_NS_MIN)
}

/// Somebody waits on this CPU now: its running thread gets a slice.
#[inline]
fn start_slice(this: &Cpu) {
    if this.slice_end_ns.load(Relaxed) == NO_SLICE {
        let end = now_ns() + slice_ns(this);
        this.slice_end_ns.store(end, Relaxed);
        this.switches_at_slice.store(this.switches.load(Relaxed), Relaxed);
        alarm_by(end);
    }
}

/// The alarm went off: is the slice over, and does anybody wait?
pub(crate) fn slice_check() {
    let this = &CPUS[cpu::id()];
    let end = this.slice_end_ns.load(Relaxed);
    if end == NO_SLICE {
        return;
    }
    let now = now_ns();
    if now < end {
        alarm_by(end);
        return;
    }
    // Written before the look, as the other side writes `waiting` before it looks for a slice: one sees the other.
    this.slice_end_ns.store(NO_SLICE, SeqCst);
    if this.waiting.load(SeqCst) == 0 {
        return;
    }
    let switches = this.switches.load(Relaxed);
    if switches == this.switches_at_slice.load(Relaxed) {
        end_turn();
    }
    start_slice(this);
}

/// Another CPU queued a thread here or wants the running one to look at its flags.
pub(crate) fn rescheduled() {
    let here = cpu::id();
    let this = &CPUS[here];
    if this.waiting.load(SeqCst) != 0 && IDLE.load(Relaxed) & (1 << here) == 0 {
        start_slice(this);
        if this.queue.lock().front().is_some_and(|first| is_owed(this, first)) {
            end_turn();
        }
    }
}

/// Has a thread that runs on another CPU come through `before_user` there.
pub(super) fn interrupt(thread: &Thread) {
    let cpu = thread.cpu.load(Relaxed);
    if thread.on_cpu.load(Acquire) && cpu != cpu::id() {
        irq::send_reschedule(cpu);
    }
}

/// Nanoseconds a thread has run since it was switched to, if it runs now.
pub(super) fn running_ns(thread: &Thread) -> u64 {
    if thread.on_cpu.load(Relaxed) {
        now_ns().saturating_sub(CPUS[thread.cpu()].switched_at_ns.load(Relaxed))
    } else {
        0
    }
}

/// What an idle thread does for ever.
pub fn idle() -> ! {
    let here = cpu::id();
    let this = &CPUS[here];
    let bit = 1 << here;
    loop {
        let idle = this.idle.get().expect("the idle thread idles");
        while let Some(next) = pop(this).or_else(|| steal(here)) {
            // The share in the CPU's word; the idle thread is kept by its own place in `CPUS`.
            drop(current::share_of_running());
            if this.waiting.load(SeqCst) != 0 {
                // Several came while this CPU idled, when nobody needed a slice.
                start_slice(this);
            }
            continue_thread(here, idle, next);
        }
        drop_dead_space(this);
        crate::dump::before_idling();
        IDLE.fetch_or(bit, SeqCst);
        if is_work_for(here) {
            // A thread that is just being left, or that came after the look. Whoever leaves it may wait for this CPU's
            // answer to an interrupt.
            cpu::take_interrupts();
        } else {
            let from = now_ns();
            cpu::wait_for_interrupt();
            this.idle_ns.fetch_add(now_ns() - from, Relaxed);
        }
        IDLE.fetch_and(!bit, SeqCst);
        crate::dump::watch();
    }
}

/// Frees the active space if only this CPU still has it.
fn drop_dead_space(this: &Cpu) {
    let dead = this
        .space
        .lock()
        .as_ref()
        .is_some_and(|space| Arc::strong_count(space) == 1);
    if dead {
        leave_space();
    }
}

/// Has the CPUs that halt look again: for a thread that may run there now, or an address space to let go of.
pub(super) fn nudge_idle() {
    let idle = IDLE.load(SeqCst) & !(1 << cpu::id());
    for cpu in 0..cpu::online() {
        if idle & (1 << cpu) != 0 {
            irq::send_reschedule(cpu);
        }
    }
}

/// Nanoseconds all CPUs have halted.
pub fn idle_ns() -> u64 {
    CPUS.iter().map(|cpu| cpu.idle_ns.load(Relaxed)).sum()
}

/// Switches so far on all CPUs.
pub fn switches() -> u64 {
    CPUS.iter().map(|cpu| cpu.switches.load(Relaxed)).sum()
}

/// Runnable threads: those that wait, and the CPUs that run one.
pub fn runnable() -> usize {
    let waiting: usize = CPUS.iter().map(|cpu| cpu.waiting.load(Relaxed)).sum();
    waiting + cpu::online() - IDLE.load(Relaxed).count_ones() as usize
}

/// For the state dump: each CPU's queue, and whether it halts.
pub fn each_queue(mut f: impl FnMut(usize, bool, &mut dyn Iterator<Item = &Arc<Thread>>)) {
    for (index, cpu) in CPUS[..cpu::online()].iter().enumerate() {
        let queue = cpu.queue.lock();
        f(index, IDLE.load(Relaxed) & (1 << index) != 0, &mut queue.iter());
    }
}

/// Mask of the CPUs that run.
pub fn online_mask() -> u32 {
    ((1u64 << arch::cpu::online()) - 1) as u32
}
