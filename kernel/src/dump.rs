//! The state of the machine as text on the console: asked for by DLE `D`, or by the watchdog when nothing moves.

use crate::boot::command_line::parameters;
use crate::console::{self, Stream};
use crate::task::{Process, Thread, futex, sched, table};
use crate::{mm, time};
use alloc::string::String;
use core::fmt::Write;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use libsyscall::abi::nr;
use libsyscall::abi::time::NANOSECONDS;

/// Prints run queues, timers, and every thread with what it waits for.
pub fn dump() {
    // One write, so that nothing comes between its lines; a String can't fail to be written to.
    let mut text = String::new();
    let _ = describe(&mut text);
    console::write(Stream::Kernel, text.as_bytes());
}

fn describe(out: &mut String) -> core::fmt::Result {
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
        describe_event_files(out, &process)?;
    }
    futex::each_waiter(|thread, place| {
        let _ = writeln!(out, "futex {place:#x}: thread {} waits", thread.tid());
    });
    Ok(())
}

fn describe_thread(out: &mut String, thread: &Thread) -> core::fmt::Result {
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

/// What stands behind a process's nameless descriptors: epoll sets with their interests, eventfds with their counts.
fn describe_event_files(out: &mut String, process: &Process) -> core::fmt::Result {
    let files = process.files();
    let mut next = files.next(0);
    while let Some(fd) = next {
        if let Ok(open) = files.get(fd)
            && open.file.link_name().starts_with("anon_inode:")
        {
            writeln!(out, "process {} fd {fd}: {}", process.pid, open.file.link_name())?;
            let mut lines = String::new();
            open.file.fdinfo(&mut lines);
            lines.lines().try_for_each(|line| writeln!(out, "    {line}"))?;
        }
        next = files.next(fd + 1);
    }
    Ok(())
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
