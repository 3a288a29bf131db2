//! How threads and processes end.
//!
//! A process ends once (`Process::begin_ending`): by exit_group(2), by a fatal signal, or because its last thread has
//! gone. Every thread then has its KILL flag, leaves whatever it sleeps in, and ends itself on its way to user mode; the
//! last one takes the process down. So a thread always ends on its own stack, with nothing of the kernel left on it.

use super::signal::Info;
use super::thread::{KILL, Leaving, STOP, Thread};
use super::{Process, futex, kinship, sched, table, wait};
use crate::console::{self, End};
use crate::mm::user;
use crate::tty;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use libsyscall::abi::signal::*;

/// wait(2)'s status of exit(2).
pub fn exit_status(code: i32) -> i32 {
    (code & 0xff) << 8
}

/// Has every thread of the process end, with this wait status unless another came first.
pub fn end_group(process: &Process, status: i32) {
    process.begin_ending(status);
    for thread in process.threads().iter() {
        thread.clear(STOP);
        thread.raise(KILL);
    }
}

/// exit_group(2) by the running thread.
pub fn exit_group(thread: &Arc<Thread>, code: i32) -> ! {
    end_group(&thread.process, exit_status(code));
    exit_thread(thread)
}

/// exit(2): the running thread ends. `code` is the process's if it is the last.
pub fn exit_alone(thread: &Arc<Thread>, code: i32) -> ! {
    if thread.process.threads().len() == 1 {
        thread.process.begin_ending(exit_status(code));
    }
    exit_thread(thread)
}

/// The running thread leaves its memory, by its end or by execve(2): what others wait for there is settled.
pub(super) fn leave_memory(thread: &Arc<Thread>) {
    futex::release_held(thread, false);
    let clear = thread.clear_child_tid.swap(0, Relaxed);
    if clear != 0 && user::write(clear, &0u32).is_ok() {
        futex::wake_shared(thread, clear, 1);
    }
}

/// Ends the running thread.
pub fn exit_thread(thread: &Arc<Thread>) -> ! {
    // While its number is still its own: it stands in the locks it holds.
    futex::release_held(thread, true);
    // Before anybody who joins it goes on: its number means nobody from then on.
    table::lock().threads.remove(&thread.tid());
    leave_memory(thread);
    let process = &thread.process;
    process.ended_ns.fetch_add(thread.ran_ns(), Relaxed);
    process.ended_faults.fetch_add(thread.faults.swap(0, Relaxed), Relaxed);
    thread.belongings.leave();
    let last = {
        let mut threads = process.threads();
        threads.retain(|other| !Arc::ptr_eq(other, thread));
        threads.is_empty()
    };
    if let Some(executing) = &*process.executing.lock() {
        executing.unpark();
    }
    // What is pending for it alone dies with it; another thread may have to take what was meant for any.
    process.offer_signals();
    if last {
        end_process(process, exit_status(0));
    }
    thread.set_leaving(Leaving::Ended);
    sched::schedule(thread);
    unreachable!("an ended thread was continued")
}

/// The last thread has gone.
fn end_process(process: &Arc<Process>, default_status: i32) {
    process.begin_ending(default_status);
    let status = process.ending_status().unwrap_or(default_status);
    process.timers.clear(true);
    // The space goes before anybody learns of the end: its memory is free when wait4(2) returns.
    let space = process.replace_space(None);
    sched::leave_space();
    drop(space);
    process.leave_executable();
    sched::nudge_idle();
    release_vfork_parent(process);
    if process.pid == table::first() {
        finish_machine(status);
    }
    if process.pid == process.session() {
        tty::session_ends(process.pid);
    }
    adopt_children(process);
    wait::become_zombie(process, status);
}

/// The first program's end is the machine's.
fn finish_machine(status: i32) -> ! {
    let signal = status & 0x7f;
    console::finish(if signal != 0 {
        End::Signalled(signal as u8)
    } else {
        End::Exited((status >> 8) as u8)
    })
}

/// Children go to the nearest ancestor that takes orphans, process 1 in the end, which waits for them even where it is not
/// there; those that have a wish to be told get their signal.
fn adopt_children(process: &Process) {
    let mut orphans = Vec::new();
    {
        let table = table::lock();
        let reaper = reaper_of(process, &table);
        for child in table.children(process.pid) {
            child.set_parent(&table, reaper);
            child.is_adopted.store(true, Relaxed);
            orphans.push(child.clone());
        }
    }
    if let Some(parent) = table::process(process.parent_id())
        && kinship::is_link(process, &parent)
    {
        settle_orphaned_group(process.group(), process.pid);
    }
    for child in orphans {
        let signal = child
            .threads()
            .first()
            .map_or(0, |thread| thread.death_signal.load(Relaxed));
        if signal != 0 {
            child.send_signal(signal, Info::new(signal, SI_USER).with_sender(process.pid, 0));
        }
        child.exit_signal.store(SIGCHLD, Relaxed);
        if kinship::is_link(&child, process) {
            settle_orphaned_group(child.group(), process.pid);
        }
        if child.is_zombie() {
            wait::announce_zombie(&child);
        }
    }
}

/// Who takes a process's orphans: prctl(2), PR_SET_CHILD_SUBREAPER.
fn reaper_of(process: &Process, table: &table::Table) -> i32 {
    let mut ancestor = process.parent_id();
    while let Some(candidate) = table.processes.get(&ancestor) {
        if candidate.is_subreaper.load(Relaxed) && !candidate.is_ending() {
            return ancestor;
        }
        ancestor = candidate.parent_id();
    }
    1
}

/// A process group that may have lost its last tie: if it is stopped nobody would ever continue it, so it gets SIGHUP and
/// SIGCONT.
fn settle_orphaned_group(group: i32, gone: i32) {
    if !kinship::is_orphaned(group) {
        return;
    }
    let mut members = table::group(group);
    members.retain(|member| member.pid != gone && !member.is_zombie());
    if members.iter().any(|member| member.signals.lock().is_stopped()) {
        for member in members {
            member.send_signal(SIGHUP, Info::kernel(SIGHUP));
            member.send_signal(SIGCONT, Info::kernel(SIGCONT));
        }
    }
}

/// A vfork(2) child has left its parent's memory.
pub fn release_vfork_parent(process: &Process) {
    let parent = process.vfork_parent.lock().take();
    if let Some(parent) = parent {
        parent.unpark();
    }
}

/// execve(2): ends all other threads of the process and waits until they have gone. False where the process ends
/// instead, or another thread executes already: that one ends this one.
pub fn end_other_threads(thread: &Arc<Thread>) -> bool {
    let process = &thread.process;
    {
        let mut executing = process.executing.lock();
        if executing.is_some() {
            return false;
        }
        *executing = Some(thread.clone());
    }
    // No thread is made from here on: `clone` asks who executes.
    for other in process.threads().iter().filter(|other| !Arc::ptr_eq(other, thread)) {
        other.raise(KILL);
    }
    let is_alone = loop {
        if thread.has_flag(KILL) {
            break false;
        }
        if process.threads().len() == 1 {
            break true;
        }
        // Each one that ends unparks.
        thread.park();
    };
    *process.executing.lock() = None;
    is_alone
}
