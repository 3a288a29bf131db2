//! clone(2) in all its forms: threads, fork, vfork.

use super::belongings::Belongings;
use super::signal::ProcessSignals;
use super::{Process, Thread, sched, table, wait};
use crate::arch::frame::OwnRegisters;
use crate::arch::trap::TrapFrame;
use crate::file::FdTable;
use crate::fs::Place;
use crate::mm::user;
use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;
use libsyscall::abi::Errno;
use libsyscall::abi::capability::{CAP_SYS_ADMIN, CAP_SYS_RESOURCE};
use libsyscall::abi::process::*;
use libsyscall::abi::signal::{SIGCHLD, SIGNAL_COUNT};

/// What clone(2) was asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish {
    pub flags: u64,
    pub exit_signal: u32,
    /// The child's stack pointer, 0: the parent's.
    pub stack: usize,
    pub tls: usize,
    pub parent_tid: usize,
    pub child_tid: usize,
    /// Where clone3(2)'s process descriptor goes.
    pub pidfd: usize,
}

/// Namespaces are not divided here.
const NAMESPACES: u64 =
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

/// The running thread, whose registers are `frame`, makes another. The number of the new thread or process.
pub fn clone(parent: &Arc<Thread>, frame: &TrapFrame, wish: &Wish) -> Result<usize, Errno> {
    let flags = wish.flags;
    let has = |flag| flags & flag != 0;
    // clone(2), EINVAL: what implies what.
    if has(CLONE_THREAD) && !has(CLONE_SIGHAND)
        || has(CLONE_SIGHAND) && !has(CLONE_VM)
        || has(CLONE_SIGHAND) && has(CLONE_CLEAR_SIGHAND)
        || has(NAMESPACES)
        || wish.exit_signal > SIGNAL_COUNT
        // Signal handlers are a process's own here: shared ones only inside a process.
        || has(CLONE_SIGHAND) && !has(CLONE_THREAD)
    {
        return Err(Errno::EINVAL);
    }
    let own = OwnRegisters {
        sp: (wish.stack != 0).then_some(wish.stack),
        tls: has(CLONE_SETTLS).then_some(wish.tls),
    };
    let belongings = Belongings::inherited(parent, flags)?;
    let child = if has(CLONE_THREAD) {
        let process = parent.process.clone();
        Thread::user(table::new_id(), process, frame, own, Some(parent), belongings)?
    } else {
        let process = new_process(parent, wish)?;
        let pid = process.pid;
        let child = Thread::user(pid, process, frame, own, Some(parent), belongings)?;
        if !has(CLONE_VM) || has(CLONE_VFORK) {
            // sigaltstack(2): a thread that shares memory with its maker starts without one.
            child.signals.set_alternate(parent.signals.alternate());
        }
        child
    };
    let tid = child.tid();
    if has(CLONE_PARENT_SETTID) {
        user::write(wish.parent_tid, &tid)?;
    }
    if has(CLONE_CHILD_SETTID) {
        // The child's own memory; where that is a copy, the frame is not yet shared with anybody.
        child.process.space().write(wish.child_tid, &tid.to_ne_bytes())?;
    }
    if has(CLONE_CHILD_CLEARTID) {
        child.clear_child_tid.store(wish.child_tid, Relaxed);
    }
    if has(CLONE_PIDFD) {
        super::pidfd::open_for_clone(parent, &child.process, wish.pidfd)?;
    }
    enlist(parent, &child, has(CLONE_PARENT))?;
    let process = child.process.clone();
    if has(CLONE_VFORK) {
        *process.vfork_parent.lock() = Some(parent.clone());
    }
    sched::start(child);
    if has(CLONE_VFORK) {
        wait::wait_for_vfork(parent, &process);
    }
    Ok(tid as usize)
}

fn new_process(thread: &Thread, wish: &Wish) -> Result<Arc<Process>, Errno> {
    let has = |flag| wish.flags & flag != 0;
    within_process_limit(thread)?;
    let parent = &thread.process;
    let space = if has(CLONE_VM) {
        parent.space()
    } else {
        parent.space().fork()?
    };
    let mut signals: ProcessSignals = parent.signals.lock().inherited();
    if has(CLONE_CLEAR_SIGHAND) {
        signals.reset_handlers();
    }
    let process = Process::child(thread, space, signals);
    process.exit_signal.store(wish.exit_signal, Relaxed);
    Ok(process)
}

/// RLIMIT_NPROC, which user 0 and privileged ones are free of: EAGAIN.
fn within_process_limit(parent: &Thread) -> Result<(), Errno> {
    let credentials = parent.credentials();
    let uid = credentials.uid.real;
    if uid == 0 || credentials.has(CAP_SYS_RESOURCE) || credentials.has(CAP_SYS_ADMIN) {
        return Ok(());
    }
    drop(credentials);
    let limit = parent.process.limit(RLIMIT_NPROC).soft;
    let own = table::threads()
        .iter()
        .filter(|thread| thread.credentials().uid.real == uid)
        .count() as u64;
    if own >= limit { Err(Errno::EAGAIN) } else { Ok(()) }
}

/// Puts the new thread where it can be found. A process that ends meanwhile gets no new threads.
fn enlist(parent: &Arc<Thread>, child: &Arc<Thread>, as_sibling: bool) -> Result<(), Errno> {
    let process = &child.process;
    let same_process = Arc::ptr_eq(process, &parent.process);
    if same_process {
        within_process_limit(parent)?;
    }
    let mut table = table::lock();
    {
        let mut threads = process.threads();
        let goes_on = || !process.is_ending() && process.executing.lock().is_none();
        if same_process && (parent.has_flag(super::thread::KILL) || !goes_on()) {
            return Err(Errno::ERESTARTNOINTR);
        }
        threads.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        threads.push(child.clone());
    }
    table.threads.insert(child.tid(), child.clone());
    if !same_process {
        if as_sibling {
            process.set_parent(&table, parent.process.parent_id());
        }
        table.processes.insert(process.pid, process.clone());
    }
    Ok(())
}

/// Starts the first program, with its standard descriptors.
pub fn start_first(
    process: Arc<Process>,
    frame: &TrapFrame,
    name: &[u8],
    files: Arc<FdTable>,
    cwd: Place,
) -> Result<(), Errno> {
    let belongings = Belongings::new(files, Some(cwd));
    let own = OwnRegisters::default();
    let thread = Thread::user(process.pid, process.clone(), frame, own, None, belongings)?;
    thread.set_name(name);
    process.exit_signal.store(SIGCHLD, Relaxed);
    process.threads().push(thread.clone());
    {
        let mut table = table::lock();
        table.threads.insert(thread.tid(), thread.clone());
        table.processes.insert(process.pid, process.clone());
    }
    sched::start(thread);
    Ok(())
}

/// execve(2): the running thread, alone now, becomes the process's first.
pub(super) fn become_first(thread: &Arc<Thread>) {
    let mut table = table::lock();
    let former = thread.tid();
    if former != thread.process.pid {
        table.threads.remove(&former);
        thread.set_tid(thread.process.pid);
        table.threads.insert(thread.tid(), thread.clone());
    }
}
