//! The state of the machine as text: on the console, asked for by DLE `D` or by the watchdog when nothing moves, and to be
//! read in /proc/vigil.

use crate::boot::command_line::parameters;
use crate::console::{self, Stream};
use crate::task::{Process, Thread, futex, sched, table};
use crate::{mm, time};
use alloc::string::String;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use event::EventMask;
use event::epoll::{Epoll, Registration};
use libsyscall::abi::nr;
use libsyscall::abi::time::NANOSECONDS;

/// Bytes that a text takes at most, however many files a program opens.
const TEXT_MAX: usize = 1 << 20;

/// A text that takes no more when it is full.
pub struct Limited<'a> {
    pub text: &'a mut String,
    /// In bytes.
    pub max: usize,
}

impl Write for Limited<'_> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        if self.text.len() + piece.len() > self.max {
            return Err(fmt::Error);
        }
        self.text.push_str(piece);
        Ok(())
    }
}

/// Prints run queues, timers, and every thread with what it waits for.
pub fn dump() {
    // One write, so that nothing comes between its lines.
    let mut text = String::new();
    write_state(&mut text);
    console::write(Stream::Kernel, text.as_bytes());
}

/// The same to read.
pub fn write_state(text: &mut String) {
    let mut limited = Limited { text, max: TEXT_MAX };
    if describe(&mut limited).is_err() {
        text.push_str("\nvigil: more than fits here\n");
    }
}

fn describe(out: &mut impl Write) -> fmt::Result {
    let now_ns = time::now_ns();
    let (total, free) = mm::frame::totals();
    let (seconds, ms) = (now_ns / NANOSECONDS, now_ns / 1_000_000 % 1000);
    writeln!(
        out,
        "vigil: state at {seconds}.{ms:03} s; {free} of {total} frames free, {} KiB of heap; {} switches",
        mm::heap::used() / 1024,
        sched::switches()
    )?;
    sched::each_queue(|cpu, idle, threads| {
        let _ = write!(out, "cpu {cpu}: {}; run queue:", if idle { "idle" } else { "running" });
        for thread in threads {
            let _ = write!(out, " {}", thread.tid());
        }
        let _ = writeln!(out);
    });
    for (cpu, timers, deadline_ns) in time::queue::next_deadlines() {
        writeln!(
            out,
            "cpu {cpu}: {timers} timers, the next in {} us",
            deadline_ns.saturating_sub(now_ns) / 1000
        )?;
    }
    for thread in table::threads() {
        describe_thread(out, &thread)?;
    }
    for process in table::processes() {
        describe_files(out, &process)?;
    }
    futex::each_waiter(|thread, place| {
        let _ = writeln!(out, "futex {place:#x}: thread {} waits", thread.tid());
    });
    Ok(())
}

fn describe_thread(out: &mut impl Write, thread: &Thread) -> fmt::Result {
    let (tid, pid, name) = (thread.tid(), thread.process.pid, thread.name());
    write!(out, "thread {tid} of process {pid} ({name}): {}", thread.state_letter())?;
    write!(
        out,
        ", cpu {}{}",
        thread.cpu(),
        if thread.is_on_cpu() { ", runs" } else { "" }
    )?;
    let (mask, pending) = (thread.signals.mask(), thread.process.pending_for(thread));
    if pending != 0 {
        write!(out, ", signals pending {pending:#x} blocked {mask:#x}")?;
    }
    match thread.call_in_progress() {
        Some((number, arguments)) => {
            write!(out, ", in {}(", nr::name(number).unwrap_or("?"))?;
            for (index, argument) in arguments.iter().enumerate() {
                write!(out, "{}{argument:#x}", if index == 0 { "" } else { ", " })?;
            }
            writeln!(out, ")")
        }
        None => writeln!(out, ", in user mode"),
    }
}

/// What of a process's descriptors can be waited for: what is ready, and who waits.
fn describe_files(out: &mut impl Write, process: &Process) -> fmt::Result {
    let Some(files) = process.files() else {
        return Ok(());
    };
    let mut next = files.next(0);
    while let Some(fd) = next {
        if let Ok(open) = files.get(fd)
            && let Some(source) = open.file.share().pollable()
        {
            write!(out, "process {} fd {fd}: {}; ", process.pid, open.file.link_name())?;
            let watchers = source.wait_queue().len();
            if let Some(epoll) = source.as_epoll() {
                writeln!(out, "{} threads wait in it, {watchers} watch it", epoll.sleepers())?;
                describe_interests(out, epoll)?;
            } else {
                describe_mask(out, "ready", source.readiness())?;
                writeln!(out, "; {watchers} in its wait queue")?;
            }
        }
        next = files.next(fd + 1);
    }
    Ok(())
}

fn describe_interests(out: &mut impl Write, epoll: &Epoll) -> fmt::Result {
    let mut result = Ok(());
    epoll.visit_interests(0, |registration| {
        result = describe_registration(out, &registration);
        result.is_ok()
    });
    result
}

fn describe_registration(out: &mut impl Write, registration: &Registration) -> fmt::Result {
    write!(out, "    fd {} data {:#x}: ", registration.fd, registration.data)?;
    describe_mask(out, "wants", registration.mask)?;
    // To ask an epoll takes stale entries off its ready list; this is to change nothing.
    if registration.source.as_epoll().is_none() {
        describe_mask(out, ", ready", registration.source.readiness())?;
    }
    let place = if registration.is_listed { "on" } else { "not on" };
    writeln!(out, ", {place} the ready list")
}

fn describe_mask(out: &mut impl Write, what: &str, mask: EventMask) -> fmt::Result {
    write!(out, "{what}:")?;
    mask.iter_names().try_for_each(|(name, _)| write!(out, " {name}"))
}

/// When the machine last did something, and how many switches it had made.
static LAST_SEEN_NS: AtomicU64 = AtomicU64::new(0);
static LAST_SWITCHES: AtomicU64 = AtomicU64::new(0);

/// The watchdog, called whenever a CPU has idled: with `watchdog=SECONDS`, a machine that has made no switch for that
/// long is dumped, once for each such silence.
pub fn watch() {
    let Some(seconds) = parameters().watchdog_s else { return };
    let (now_ns, switches) = (time::now_ns(), sched::switches());
    if LAST_SWITCHES.swap(switches, Relaxed) != switches {
        LAST_SEEN_NS.store(now_ns, Relaxed);
        return;
    }
    let silent_ns = now_ns.saturating_sub(LAST_SEEN_NS.load(Relaxed));
    if silent_ns >= seconds * NANOSECONDS && LAST_SEEN_NS.swap(u64::MAX, Relaxed) != u64::MAX {
        crate::println!("vigil: watchdog: nothing has run for {seconds} s");
        dump();
    }
}

/// Has the idle CPU look again in time for the watchdog, where there is one.
pub fn before_idling() {
    if let Some(seconds) = parameters().watchdog_s
        && LAST_SEEN_NS.load(Relaxed) != u64::MAX
    {
        time::queue::alarm_by(time::now_ns() + seconds * NANOSECONDS);
    }
}
