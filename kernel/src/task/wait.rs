//! wait4(2) and waitid(2): what a process has to tell its parent, and how the parent hears of it.

use super::signal::Info;
use super::thread::Thread;
use super::usage::Usage;
use super::{Process, sched, table};
use alloc::sync::Arc;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use event::EventMask;
use libsyscall::abi::Errno;
use libsyscall::abi::process::*;
use libsyscall::abi::signal::*;

/// What a process has to tell its parent.
#[derive(Default)]
pub struct Report {
    /// Wait status of a process that has ended.
    ended: Option<i32>,
    /// The signal that stopped it, until told.
    stopped: Option<u32>,
    continued: bool,
}

impl Report {
    pub fn is_zombie(&self) -> bool {
        self.ended.is_some()
    }
}

/// One thing told: what waitid(2) says of it.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    pub pid: i32,
    pub uid: u32,
    /// CLD_*.
    pub code: i32,
    /// Exit code or signal.
    pub status: i32,
    /// wait4(2)'s.
    pub wait_status: i32,
    /// Its own and its children's.
    pub usage: Usage,
}

/// Whose news are wanted.
#[derive(Clone, Copy, Debug)]
pub enum Whose {
    Any,
    Process(i32),
    Group(i32),
}

impl Whose {
    fn includes(self, child: &Process) -> bool {
        match self {
            Whose::Any => true,
            Whose::Process(pid) => child.pid == pid,
            Whose::Group(group) => child.group() == group,
        }
    }
}

/// A child stopped or continued: its parent is told.
pub fn child_changed(child: &Process, code: i32, signal: i32) {
    {
        let mut report = child.report.lock();
        report.stopped = (code == CLD_STOPPED).then_some(signal as u32);
        report.continued = code == CLD_CONTINUED;
    }
    let Some(parent) = table::process(child.parent_id()) else {
        return;
    };
    if parent.action(SIGCHLD).flags & SA_NOCLDSTOP == 0 {
        let info = Info::new(SIGCHLD, code)
            .with_sender(child.pid, child.credentials().uid.real)
            .with_status(signal, 0);
        parent.send_signal(SIGCHLD, info);
    }
    wake_waiters(&parent);
}

/// The process has ended with this wait status: it waits to be waited for, unless nobody will.
pub fn become_zombie(process: &Arc<Process>, status: i32) {
    process.report.lock().ended = Some(status);
    process.exit_queue.wake(EventMask::IN);
    announce_zombie(process);
}

/// Tells the parent of a zombie; one that does not want to know has it reaped at once.
pub fn announce_zombie(process: &Arc<Process>) {
    let Some(parent) = table::process(process.parent_id()) else {
        reap(process);
        return;
    };
    let signal = process.exit_signal.load(Relaxed);
    let action = (signal == SIGCHLD).then(|| parent.action(SIGCHLD));
    let unwanted = action.is_some_and(|action| action.handler == SIG_IGN || action.flags & SA_NOCLDWAIT != 0);
    // Before the signal: whoever that wakes finds no child.
    if unwanted {
        reap(process);
    }
    if signal != 0 {
        let told = told_of_end(process);
        let info = Info::new(signal, told.code)
            .with_sender(process.pid, told.uid)
            .with_status(told.status, ticks(told.usage.ran_ns));
        parent.send_signal(signal, info);
    }
    wake_waiters(&parent);
}

fn ticks(ns: u64) -> u64 {
    use libsyscall::abi::time::{CLOCK_TICKS, NANOSECONDS};
    ns / (NANOSECONDS / CLOCK_TICKS)
}

fn told_of_end(process: &Process) -> Told {
    let wait_status = process.report.lock().ended.unwrap_or(0);
    let signal = wait_status & 0x7f;
    let mut usage = process.usage();
    usage.add(process.children_usage());
    Told {
        pid: process.pid,
        uid: process.credentials().uid.real,
        code: if signal != 0 { CLD_KILLED } else { CLD_EXITED },
        status: if signal != 0 { signal } else { (wait_status >> 8) & 0xff },
        wait_status,
        usage,
    }
}

/// Takes a zombie out of the table.
fn reap(process: &Arc<Process>) {
    let removed = table::lock().processes.remove(&process.pid);
    tell_end(process);
    drop(removed);
}

/// The process is out of the table. Whoever watches its signals hears of them for the last time: an epoll that it added a
/// signalfd to and that others hold asks again, and gets the signals of the one that asks.
fn tell_end(process: &Process) {
    process.exit_queue.wake(EventMask::IN | EventMask::HUP);
    process.signal_arrivals().wake(EventMask::HUP);
}

fn wake_waiters(parent: &Process) {
    for thread in parent
        .threads()
        .iter()
        .filter(|thread| thread.waits_for_child.load(SeqCst))
    {
        thread.unpark();
    }
}

/// Looks for news among the running thread's children. ECHILD: there is no such child. `None`: no news yet.
fn poll(parent: &Process, whose: Whose, options: u32) -> Result<Option<Told>, Errno> {
    let mut any = false;
    let mut zombie = None;
    {
        let table = table::lock();
        for child in table.children(parent.pid).filter(|child| whose.includes(child)) {
            // A "clone child", one without SIGCHLD, is waited for only where asked.
            let is_clone = child.exit_signal.load(Relaxed) != SIGCHLD;
            if options & WALL == 0 && is_clone != (options & WCLONE != 0) {
                continue;
            }
            any = true;
            let mut report = child.report.lock();
            if report.ended.is_some() {
                if options & WEXITED != 0 {
                    zombie = Some(child.clone());
                    break;
                }
                continue;
            }
            let news = if let Some(signal) = report.stopped.filter(|_| options & WSTOPPED != 0) {
                if options & WNOWAIT == 0 {
                    report.stopped = None;
                }
                Some((CLD_STOPPED, signal as i32, (signal as i32) << 8 | 0x7f))
            } else if report.continued && options & WCONTINUED != 0 {
                if options & WNOWAIT == 0 {
                    report.continued = false;
                }
                Some((CLD_CONTINUED, SIGCONT as i32, 0xffff))
            } else {
                None
            };
            if let Some((code, status, wait_status)) = news {
                let uid = child.credentials().uid.real;
                return Ok(Some(Told {
                    pid: child.pid,
                    uid,
                    code,
                    status,
                    wait_status,
                    usage: Usage::default(),
                }));
            }
        }
    }
    let Some(zombie) = zombie else {
        return if any { Ok(None) } else { Err(Errno::ECHILD) };
    };
    let told = told_of_end(&zombie);
    if options & WNOWAIT == 0 {
        // Of two threads that found it, one takes it out and the other looks again.
        if table::lock().processes.remove(&zombie.pid).is_none() {
            return poll(parent, whose, options);
        }
        parent.children.lock().add(told.usage);
        tell_end(&zombie);
    }
    Ok(Some(told))
}

/// Waits for news of a child. `None`: WNOHANG and no news. ECHILD, ERESTARTSYS.
pub fn wait(thread: &Arc<Thread>, whose: Whose, options: u32) -> Result<Option<Told>, Errno> {
    thread.waits_for_child.store(true, SeqCst);
    let mut is_interrupted = false;
    let result = loop {
        // News come before the signal that tells of them.
        match poll(&thread.process, whose, options) {
            Ok(None) if options & WNOHANG != 0 => break Ok(None),
            Ok(None) if is_interrupted => break Err(Errno::ERESTARTSYS),
            Ok(None) => {}
            result => break result,
        }
        is_interrupted = thread.park_until(None) == event::Unparked::Interrupted;
    };
    thread.waits_for_child.store(false, SeqCst);
    result
}

/// vfork(2): the running thread sleeps until the child has its own memory or has ended; only death wakes it before.
pub fn wait_for_vfork(thread: &Arc<Thread>, child: &Process) {
    loop {
        {
            let mut waiting = child.vfork_parent.lock();
            if waiting.is_none() {
                return;
            }
            if thread.has_flag(super::thread::KILL) {
                *waiting = None;
                return;
            }
        }
        thread.park();
        sched::preempt_point();
    }
}
