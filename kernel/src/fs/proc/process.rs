//! /proc/PID and /proc/PID/task/TID.

use super::super::Link;
use super::strings::{command_line, environment};
use super::{Item, What};
use crate::arch::PAGE_SIZE;
use crate::task::capabilities::Capabilities;
use crate::task::credentials::{Credentials, Ids};
use crate::task::{Process, Thread, table};
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::fmt::Write;
use core::sync::atomic::Ordering::Relaxed;
use libsyscall::abi::Errno;
use libsyscall::abi::capability::CAP_SYS_RESOURCE;
use libsyscall::abi::process::*;

pub static PROCESS: &[Item] = &[
    Item {
        name: "task",
        what: What::Threads,
    },
    Item {
        name: "fd",
        what: What::Descriptors { links: true },
    },
    Item {
        name: "fdinfo",
        what: What::Descriptors { links: false },
    },
    Item {
        name: "exe",
        what: What::SubjectLink(executable),
    },
    Item {
        name: "cwd",
        what: What::SubjectLink(working_directory),
    },
    Item {
        name: "root",
        what: What::SubjectLink(root_directory),
    },
    Item {
        name: "cmdline",
        what: What::SubjectText(command_line),
    },
    Item {
        name: "environ",
        what: What::SubjectSecret(environment),
    },
    Item {
        name: "comm",
        what: What::SubjectText(command),
    },
    Item {
        name: "stat",
        what: What::SubjectText(stat),
    },
    Item {
        name: "statm",
        what: What::SubjectText(memory),
    },
    Item {
        name: "status",
        what: What::SubjectText(status),
    },
    Item {
        name: "maps",
        what: What::SubjectText(maps),
    },
    Item {
        name: "limits",
        what: What::SubjectText(limits),
    },
    Item {
        name: "cgroup",
        what: What::SubjectText(control_group),
    },
    Item {
        name: "mounts",
        what: What::Text(super::machine::mounts),
    },
    Item {
        name: "mountinfo",
        what: What::Text(super::machine::mount_info),
    },
    Item {
        name: "oom_score_adj",
        what: What::SubjectSetting(oom_score, set_oom_score),
    },
];

pub const THREAD: &[Item] = &[
    Item {
        name: "fd",
        what: What::Descriptors { links: true },
    },
    Item {
        name: "fdinfo",
        what: What::Descriptors { links: false },
    },
    Item {
        name: "exe",
        what: What::SubjectLink(executable),
    },
    Item {
        name: "cwd",
        what: What::SubjectLink(working_directory),
    },
    Item {
        name: "cmdline",
        what: What::SubjectText(command_line),
    },
    Item {
        name: "comm",
        what: What::SubjectText(command),
    },
    Item {
        name: "stat",
        what: What::SubjectText(stat),
    },
    Item {
        name: "status",
        what: What::SubjectText(status),
    },
    Item {
        name: "maps",
        what: What::SubjectText(maps),
    },
];

/// Whom a file is about. An inode does not keep an ended process, and knows another with its number for another.
#[derive(Clone)]
pub struct Subject {
    pid: i32,
    process: Weak<Process>,
    /// The thread, where it is one of several; else the first.
    tid: i32,
}

pub fn all_processes() -> Vec<i32> {
    table::processes()
        .iter()
        .map(|process| process.pid)
        .filter(|&pid| pid > 0)
        .collect()
}

impl Subject {
    pub fn process(pid: i32) -> Option<Subject> {
        if let Some(process) = table::process(pid) {
            return Some(Subject {
                pid: process.pid,
                process: Arc::downgrade(&process),
                tid: pid,
            });
        }
        // A thread's number leads to its process too, though it is not listed.
        let thread = table::thread(pid).filter(|thread| thread.process.pid > 0)?;
        Some(Subject {
            pid: thread.process.pid,
            process: Arc::downgrade(&thread.process),
            tid: pid,
        })
    }

    pub fn thread(&self, tid: i32) -> Option<Subject> {
        let process = self.find().ok()?;
        let exists = process.threads().iter().any(|thread| thread.tid() == tid);
        exists.then_some(Subject { tid, ..self.clone() })
    }

    pub fn threads(&self) -> Result<Vec<i32>, Errno> {
        Ok(self.find()?.threads().iter().map(|thread| thread.tid()).collect())
    }

    pub fn find(&self) -> Result<Arc<Process>, Errno> {
        table::process(self.pid)
            .filter(|process| Arc::as_ptr(process) == self.process.as_ptr())
            .ok_or(Errno::ESRCH)
    }

    /// The thread, or another of the process where that one has ended.
    pub fn find_thread(&self, process: &Process) -> Option<Arc<Thread>> {
        let threads = process.threads();
        threads
            .iter()
            .find(|thread| thread.tid() == self.tid)
            .or(threads.first())
            .cloned()
    }

    /// The thread's, or those of the process where the thread has ended.
    fn credentials(&self, process: &Process) -> Arc<Credentials> {
        let threads = process.threads();
        match threads.iter().find(|thread| thread.tid() == self.tid) {
            Some(thread) => thread.credentials().clone(),
            None => process.credentials().clone(),
        }
    }

    /// Effective user and group, for the owner of the files.
    pub fn owner(&self) -> (u32, u32) {
        self.find().map_or((0, 0), |process| {
            let credentials = self.credentials(&process);
            (credentials.uid.effective, credentials.gid.effective)
        })
    }
}

fn executable(subject: &Subject) -> Result<Link, Errno> {
    let place = subject.find()?.executable().ok_or(Errno::ENOENT)?;
    Ok(Link::Place(place))
}

fn working_directory(subject: &Subject) -> Result<Link, Errno> {
    let thread = subject.find_thread(&*subject.find()?).ok_or(Errno::ENOENT)?;
    Ok(Link::Place(thread.cwd()))
}

fn root_directory(subject: &Subject) -> Result<Link, Errno> {
    let thread = subject.find_thread(&*subject.find()?).ok_or(Errno::ENOENT)?;
    Ok(Link::Place(thread.root()))
}

fn name(subject: &Subject, process: &Process) -> String {
    subject
        .find_thread(process)
        .map_or_else(String::new, |thread| thread.name())
}

fn command(subject: &Subject, text: &mut String) -> Result<(), Errno> {
    let process = subject.find()?;
    let _ = writeln!(text, "{}", name(subject, &process));
    Ok(())
}

fn state(subject: &Subject, process: &Process) -> char {
    match subject.find_thread(process) {
        Some(thread) if !process.is_zombie() => thread.state_letter(),
        _ => 'Z',
    }
}

fn oom_score(subject: &Subject, text: &mut String) -> Result<(), Errno> {
    let _ = writeln!(text, "{}", subject.find()?.oom_score.load(Relaxed));
    Ok(())
}

/// Only a privileged process is protected by it.
fn set_oom_score(subject: &Subject, text: &str) -> Result<(), Errno> {
    let score: i32 = text.trim().parse().map_err(|_| Errno::EINVAL)?;
    if !(-1000..=1000).contains(&score) {
        return Err(Errno::EINVAL);
    }
    if score < 0 && !crate::task::with_current(|thread| thread.credentials().has(CAP_SYS_RESOURCE)) {
        return Err(Errno::EACCES);
    }
    subject.find()?.oom_score.store(score, Relaxed);
    Ok(())
}

/// (bytes of address space, bytes in memory) of a process.
fn usage(process: &Process) -> (usize, usize) {
    process.try_space().map_or((0, 0), |space| space.usage())
}

/// Clock ticks of 10 ms.
fn ticks(ns: u64) -> u64 {
    ns / 10_000_000
}

/// proc_pid_stat(5): 52 fields.
fn stat(subject: &Subject, text: &mut String) -> Result<(), Errno> {
    let process = subject.find()?;
    let thread = subject.find_thread(&process);
    let (size, resident) = usage(&process);
    let thread_count = process.threads().len();
    let nice = process.nice.load(core::sync::atomic::Ordering::Relaxed);
    let cpu = thread.as_ref().map_or(0, |thread| thread.cpu());
    let state = state(subject, &process);
    let (group, session) = (process.group(), process.session());
    let terminal = crate::tty::controlling_device(session);
    let foreground = crate::tty::foreground_of(session);
    let _ = write!(
        text,
        "{} ({}) {state} {} {group} {session} {terminal} {foreground} 0 0 0 0 0 ",
        subject.tid,
        name(subject, &process),
        process.parent_id()
    );
    let _ = write!(
        text,
        "{} 0 {} 0 ",
        ticks(process.ran_ns()),
        ticks(process.children_usage().ran_ns)
    );
    let _ = write!(
        text,
        "{} {nice} {thread_count} 0 {} {size} {} ",
        20 + nice,
        ticks(process.started_ns),
        resident / PAGE_SIZE
    );
    let limit = process.limit(RLIMIT_RSS).soft;
    let _ = writeln!(
        text,
        "{limit} 0 0 0 0 0 0 0 0 0 0 0 0 17 {cpu} 0 0 0 0 0 0 0 0 0 0 0 0 0"
    );
    Ok(())
}

/// proc_pid_statm(5): sizes in pages.
fn memory(subject: &Subject, text: &mut String) -> Result<(), Errno> {
    let (size, resident) = usage(&*subject.find()?);
    let _ = writeln!(
        text,
        "{} {} 0 0 0 {} 0",
        size / PAGE_SIZE,
        resident / PAGE_SIZE,
        resident / PAGE_SIZE
    );
    Ok(())
}

fn capability_lines(sets: &Capabilities, text: &mut String) {
    let lines = [
        ("Inh", sets.inheritable),
        ("Prm", sets.permitted),
        ("Eff", sets.effective),
        ("Bnd", sets.bounding),
        ("Amb", sets.ambient),
    ];
    for (name, set) in lines {
        let _ = writeln!(text, "Cap{name}:\t{set:016x}");
    }
}

fn four_ids(ids: &Ids) -> String {
    let Ids {
        real,
        effective,
        saved,
        file,
    } = ids;
    alloc::format!("{real}\t{effective}\t{saved}\t{file}")
}

fn status(subject: &Subject, text: &mut String) -> Result<(), Errno> {
    let process = subject.find()?;
    let thread = subject.find_thread(&process);
    let state = state(subject, &process);
    let word = match state {
        'R' => "running",
        'S' => "sleeping",
        'T' => "stopped",
        _ => "zombie",
    };
    let credentials = subject.credentials(&process);
    let (size, resident) = usage(&process);
    let thread_count = process.threads().len();
    let _ = writeln!(
        text,
        "Name:\t{}\nUmask:\t{:04o}",
        name(subject, &process),
        thread.as_ref().map_or(0, |thread| thread.umask())
    );
    let _ = writeln!(
        text,
        "State:\t{state} ({word})\nTgid:\t{}\nNgid:\t0\nPid:\t{}",
        process.pid, subject.tid
    );
    let _ = writeln!(text, "PPid:\t{}\nTracerPid:\t0", process.parent_id());
    let _ = writeln!(
        text,
        "Uid:\t{}\nGid:\t{}",
        four_ids(&credentials.uid),
        four_ids(&credentials.gid)
    );
    let room = thread.as_ref().map_or(0, |thread| thread.files().capacity());
    let _ = write!(text, "FDSize:\t{room}\nGroups:\t");
    for group in credentials.groups.iter() {
        let _ = write!(text, "{group} ");
    }
    text.push_str(" \n");
    let _ = writeln!(
        text,
        "VmSize:\t{:8} kB\nVmLck:\t{:8} kB\nVmHWM:\t{:8} kB\nVmRSS:\t{:8} kB",
        size / 1024,
        process.try_space().map_or(0, |space| space.locked_bytes()) / 1024,
        process.try_space().map_or(0, |space| space.peak()) / 1024,
        resident / 1024
    );
    let _ = writeln!(text, "Threads:\t{thread_count}");
    if let Some(thread) = thread {
        let _ = writeln!(text, "SigPnd:\t{:016x}", process.pending_for(&thread));
        let _ = writeln!(text, "SigBlk:\t{:016x}", thread.signals.mask());
        capability_lines(&credentials.capabilities, text);
        let _ = writeln!(text, "NoNewPrivs:\t{}", u32::from(credentials.no_new_privileges));
        let _ = writeln!(
            text,
            "Cpus_allowed:\t{:x}",
            thread.affinity() & crate::task::sched::online_mask()
        );
    }
    Ok(())
}

fn maps(subject: &Subject, text: &mut String) -> Result<(), Errno> {
    if let Some(space) = subject.find()?.try_space() {
        space.describe(text);
    }
    Ok(())
}

/// proc_pid_limits(5).
fn limits(subject: &Subject, text: &mut String) -> Result<(), Errno> {
    const NAMES: [(&str, usize, &str); 16] = [
        ("Max cpu time", RLIMIT_CPU, "seconds"),
        ("Max file size", RLIMIT_FSIZE, "bytes"),
        ("Max data size", RLIMIT_DATA, "bytes"),
        ("Max stack size", RLIMIT_STACK, "bytes"),
        ("Max core file size", RLIMIT_CORE, "bytes"),
        ("Max resident set", RLIMIT_RSS, "bytes"),
        ("Max processes", RLIMIT_NPROC, "processes"),
        ("Max open files", RLIMIT_NOFILE, "files"),
        ("Max locked memory", RLIMIT_MEMLOCK, "bytes"),
        ("Max address space", RLIMIT_AS, "bytes"),
        ("Max file locks", RLIMIT_LOCKS, "locks"),
        ("Max pending signals", RLIMIT_SIGPENDING, "signals"),
        ("Max msgqueue size", RLIMIT_MSGQUEUE, "bytes"),
        ("Max nice priority", RLIMIT_NICE, ""),
        ("Max realtime priority", RLIMIT_RTPRIO, ""),
        ("Max realtime timeout", RLIMIT_RTTIME, "us"),
    ];
    let process = subject.find()?;
    let value = |limit: u64| {
        if limit == RLIM_INFINITY {
            String::from("unlimited")
        } else {
            alloc::format!("{limit}")
        }
    };
    let _ = writeln!(
        text,
        "{:<25} {:<20} {:<20} {:<10}",
        "Limit", "Soft Limit", "Hard Limit", "Units"
    );
    for (name, resource, unit) in NAMES {
        let limit = process.limit(resource);
        let _ = writeln!(
            text,
            "{name:<25} {:<20} {:<20} {unit:<10}",
            value(limit.soft),
            value(limit.hard)
        );
    }
    Ok(())
}

/// One control group, the root: there are no controllers.
fn control_group(_subject: &Subject, text: &mut String) -> Result<(), Errno> {
    text.push_str("0::/\n");
    Ok(())
}
