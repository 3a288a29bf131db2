//! What a process that dies of a signal like SIGSEGV leaves behind: its registers and the top of its stack as text on the
//! console, with `crashes` on the boot command line. `cargo xtask run` makes a backtrace of it; it has the program's file.

use super::Thread;
use super::signal::{Info, bit};
use crate::arch::trap::TrapFrame;
use crate::boot::command_line::parameters;
use crate::console::{self, Stream};
use crate::dump::Limited;
use crate::mm::space::AddressSpace;
use crate::mm::user;
use alloc::string::String;
use core::fmt::{self, Write};
use libsyscall::abi::signal::*;

/// Signals whose default is a core dump, signal(7), but for those that a terminal or a limit sends.
const DUMPED: u64 = bit(SIGILL) | bit(SIGTRAP) | bit(SIGABRT) | bit(SIGBUS) | bit(SIGFPE) | bit(SIGSEGV) | bit(SIGSYS);

/// Bytes of the stack that are shown, and of all text.
const STACK_MAX: usize = 16 * 1024;
const TEXT_MAX: usize = 64 * 1024;
const LINE: usize = 64;

/// Describes the running thread's process, which `info` is about to end.
pub(super) fn describe(thread: &Thread, frame: &TrapFrame, info: &Info) {
    if !parameters().crashes || bit(info.signal) & DUMPED == 0 {
        return;
    }
    let mut text = String::new();
    // Without memory the program dies unseen. What does not fit is cut off.
    if text.try_reserve_exact(TEXT_MAX).is_ok() {
        let mut limited = Limited {
            text: &mut text,
            max: TEXT_MAX,
        };
        let _ = write_to(&mut limited, thread, frame, info);
        // One write, so that nothing comes between its lines.
        console::write(Stream::Kernel, text.as_bytes());
    }
}

fn write_to(out: &mut impl Write, thread: &Thread, frame: &TrapFrame, info: &Info) -> fmt::Result {
    let name = match info.signal {
        SIGILL => "SIGILL",
        SIGTRAP => "SIGTRAP",
        SIGABRT => "SIGABRT",
        SIGBUS => "SIGBUS",
        SIGFPE => "SIGFPE",
        SIGSYS => "SIGSYS",
        _ => "SIGSEGV",
    };
    write!(
        out,
        "vigil: {name} ended {} (process {})",
        thread.name(),
        thread.process.pid
    )?;
    if let Some(address) = info.fault_address() {
        write!(out, " at {address:#x}")?;
    }
    write!(out, "\ncrash registers")?;
    for register in frame.dwarf_registers() {
        write!(out, " {register:x}")?;
    }
    writeln!(out)?;
    if let Some(space) = thread.process.try_space() {
        write_code(out, &space)?;
    }
    write_stack(out, frame.sp())?;
    writeln!(out, "crash end")
}

/// Which files' code is where: lines of /proc/PID/maps.
fn write_code(out: &mut impl Write, space: &AddressSpace) -> fmt::Result {
    let mut maps = String::new();
    space.describe(&mut maps);
    let is_code = |line: &&str| line.split(' ').nth(1).is_some_and(|rights| rights.contains('x'));
    for line in maps.lines().filter(is_code) {
        writeln!(out, "crash code {line}")?;
    }
    Ok(())
}

fn write_stack(out: &mut impl Write, from: usize) -> fmt::Result {
    let mut bytes = [0; LINE];
    for at in (from..from.saturating_add(STACK_MAX)).step_by(LINE) {
        if user::read_bytes(at, &mut bytes).is_err() {
            break;
        }
        write!(out, "crash stack {at:x} ")?;
        for byte in bytes {
            write!(out, "{byte:02x}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}
