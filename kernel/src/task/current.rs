//! The running thread: a word of the CPU made a reference, and the switch to another. The one file outside `arch`, `mm`
//! and `driver` with `unsafe`.
//!
//! The scheduler owns exactly one share (`Arc` count) of every thread that has not ended. It moves without being counted:
//!
//! - running: it is in the CPU's word, [`arch::cpu::current`];
//! - runnable: it is the `Arc` in a run queue;
//! - parked: nobody holds it; whoever turns the word from parked to notified takes it ([`share_of_parked`]).
#![allow(unsafe_code)]

use super::sched;
use super::thread::{Leaving, Thread};
use crate::arch::trap::TrapFrame;
use crate::arch::{self, MAX_CPUS, cpu};
use crate::file::{FdTable, OpenFile, Slots};
use crate::mm::space::AddressSpace;
use crate::syscall::Call;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ptr;
use core::sync::atomic::{
    AtomicPtr,
    Ordering::{Relaxed, Release},
};
use libsyscall::abi::Errno;

/// The thread each CPU is switching away from, for the one it switches to.
static OUTGOING: [AtomicPtr<Thread>; MAX_CPUS] = [const { AtomicPtr::new(ptr::null_mut()) }; MAX_CPUS];

/// The running thread, lent: no count is touched.
#[inline]
pub fn with_current<R>(f: impl FnOnce(&Arc<Thread>) -> R) -> R {
    let word: *const Thread = cpu::current().cast();
    // SAFETY: the word came from `Arc::into_raw` of the running thread's share, which stays in the word as long as this
    // code, which is that thread, runs. `ManuallyDrop` leaves the share there.
    let thread = ManuallyDrop::new(unsafe { Arc::from_raw(word) });
    f(&thread)
}

/// A thread's share of itself, uncounted: for references to a share of the running thread, which need one that lies
/// somewhere.
pub(super) struct OwnShare(MaybeUninit<ManuallyDrop<Arc<Thread>>>);

impl OwnShare {
    pub const fn none() -> OwnShare {
        OwnShare(MaybeUninit::uninit())
    }

    /// Gives a new thread, which nobody else has yet, its share of itself.
    pub fn set(thread: &mut Arc<Thread>) {
        // SAFETY: the share is never dropped, so the count need not know of it; it lies in the thread itself, and is gone
        // when the thread is.
        let share = unsafe { Arc::from_raw(Arc::as_ptr(thread)) };
        let share = ManuallyDrop::new(share);
        let thread = Arc::get_mut(thread).expect("a new thread is its maker's alone");
        thread.own_share.0.write(share);
    }
}

/// The running thread, where its share does not matter.
#[inline]
fn with_running<R>(f: impl FnOnce(&Thread) -> R) -> R {
    // SAFETY: the word names the running thread, which this code is.
    f(unsafe { &*cpu::current().cast() })
}

/// A frame of the running thread as the system call it makes.
#[inline]
pub fn as_call(frame: &mut TrapFrame) -> &mut Call {
    // SAFETY: a call is the same as its frame.
    unsafe { &mut *ptr::from_mut(frame).cast() }
}

/// The thread that makes a call.
#[inline]
pub fn thread_of(_call: &Call) -> &Arc<Thread> {
    // SAFETY: the thread that runs makes the call, and stays as long as that. Every thread got its share of itself when
    // it was made.
    unsafe { (*cpu::current().cast::<Thread>()).own_share.0.assume_init_ref() }
}

/// The running thread's address space, lent: neither its lock nor a share is taken.
#[inline]
pub fn with_space<R>(f: impl FnOnce(&AddressSpace) -> R) -> R {
    with_current(|thread| {
        // SAFETY: a process's space is replaced by its only thread (execve(2)) or its last (its end). While the running
        // thread is in `f`, which does neither, it stays what it is.
        let space = unsafe { &*thread.process.space_slot() };
        f(space.as_ref().expect("a running process has an address space"))
    })
}

/// The running thread's open file of a number, lent to `f`, which closes no descriptor: EBADF. One opened with O_PATH too:
/// nothing can be read from it, written to it or waited for.
///
/// The only thread of a table needs neither its lock nor a share of the description: nobody else closes what it uses. That
/// holds while it sleeps in `f` too, since a thread or process that shares the table is made by one of those that do.
#[inline]
pub fn with_file<R>(fd: i32, f: impl FnOnce(&OpenFile) -> Result<R, Errno>) -> Result<R, Errno> {
    with_running(move |thread| match own_files(thread) {
        Some((files, slots)) => files.while_lent(move || f(slots.get(fd)?)),
        None => with_share(thread, fd, f),
    })
}

/// [`with_file`] for two numbers.
#[inline]
pub fn with_two_files<R>(
    first: i32,
    second: i32,
    f: impl FnOnce(&OpenFile, &OpenFile) -> Result<R, Errno>,
) -> Result<R, Errno> {
    with_running(move |thread| match own_files(thread) {
        Some((files, slots)) => files.while_lent(move || f(slots.get(first)?, slots.get(second)?)),
        None => with_share(thread, first, move |first| f(first, &*thread.files().get_any(second)?)),
    })
}

/// The table that the running thread has for itself, to be looked at without the lock, if it knows that it has.
#[inline]
fn own_files(thread: &Thread) -> Option<(&FdTable, &Slots)> {
    let files = thread.own_files.load(Relaxed);
    if files.is_null() {
        return None;
    }
    // SAFETY: the thread's holder keeps the table as long as the thread. The running thread is the only one that
    // changes it, and does not do so while it looks: what it finds stays in its slot until it closes the number itself.
    unsafe { Some((&*files, &*(*files).unlocked())) }
}

/// A share of the open file keeps it for `f`. Apart, so that who needs none saves no registers for it.
#[inline(never)]
fn with_share<R>(thread: &Thread, fd: i32, f: impl FnOnce(&OpenFile) -> Result<R, Errno>) -> Result<R, Errno> {
    let files = thread.files();
    if !files.is_shared() {
        thread.own_files.store(Arc::as_ptr(files).cast_mut(), Relaxed);
    }
    let share = files.get_any(fd)?;
    f(&share)
}

/// Makes the code that runs the thread `idle`, which is never freed.
pub(super) fn become_idle(idle: &Arc<Thread>) {
    cpu::set_current(Arc::into_raw(idle.clone()).cast());
}

/// Takes the share of a thread whose word the caller has just turned from parked to notified.
pub(super) fn share_of_parked(thread: &Thread) -> Arc<Thread> {
    // SAFETY: a parked thread's share is in nobody's hands, and one turn from parked is seen by one caller only. The
    // thread lies in an `Arc`: all threads are made by `Arc::new` (thread.rs).
    unsafe { Arc::from_raw(thread) }
}

/// Takes the running thread's share out of the CPU's word: to be queued, before a switch away.
pub(super) fn share_of_running() -> Arc<Thread> {
    // SAFETY: as in `with_current`; the caller gives the share to a run queue and switches away, or gives it back.
    unsafe { Arc::from_raw(cpu::current().cast::<Thread>()) }
}

/// Gives the running thread's share back to the CPU's word: it was queued and comes first.
pub(super) fn keep_running(share: Arc<Thread>) {
    debug_assert!(ptr::eq(Arc::as_ptr(&share), cpu::current().cast()));
    let _ = Arc::into_raw(share);
}

/// Continues `next`. Returns when the caller's thread is continued, perhaps on another CPU.
pub(super) fn switch_to(next: Arc<Thread>) {
    let outgoing: *const Thread = cpu::current().cast();
    let next = Arc::into_raw(next);
    OUTGOING[cpu::id()].store(outgoing.cast_mut(), Relaxed);
    cpu::set_current(next.cast());
    // SAFETY: `outgoing` is the running thread. `next` came out of a run queue with its share: only this CPU has it, and
    // `sched` hands out no thread that another CPU is still leaving. Both stay where they are: the share of `next` is in
    // the CPU's word, and `outgoing` is freed by `switched` at the earliest.
    unsafe { arch::context::switch(&(*outgoing).arch, &(*next).arch) };
    switched();
}

/// The first thing after every switch, on the stack of the thread switched to: the one left behind may now be run by
/// other CPUs, or freed where it has ended.
pub(super) fn switched() {
    let outgoing: *const Thread = OUTGOING[cpu::id()].swap(ptr::null_mut(), Relaxed);
    if outgoing.is_null() {
        return;
    }
    // SAFETY: as long as its `on_cpu` is set no other CPU runs it, so it cannot end and be freed. One that has ended, or is
    // to go to another CPU's queue, left its share for us.
    unsafe {
        let leaving = (*outgoing).take_leaving();
        (*outgoing).on_cpu.store(false, Release);
        match leaving {
            Leaving::Plain => {}
            Leaving::Requeue => sched::enqueue(Arc::from_raw(outgoing)),
            Leaving::Ended => drop(Arc::from_raw(outgoing)),
        }
    }
}

/// The registers a parked thread entered the kernel with: they lie on top of its kernel stack.
pub(super) fn frame_below(stack_top: usize) -> TrapFrame {
    // SAFETY: the stack is mapped as long as its thread lives, which the caller holds, and every thread that has entered
    // user mode has its frame there. Should the thread run on meanwhile, the words are stale but still registers.
    unsafe { ptr::read_volatile((stack_top - size_of::<TrapFrame>()) as *const TrapFrame) }
}

/// What a kernel thread is to do.
type Order = (fn(usize), usize);

/// Gives an order away as a number, to be taken over once.
pub(super) fn hand_over(order: Box<Order>) -> usize {
    Box::into_raw(order) as usize
}

pub(super) fn taken_over(order: usize) -> Box<Order> {
    // SAFETY: the number is what `hand_over` gave for this thread, which starts once.
    unsafe { Box::from_raw(order as *mut Order) }
}
