//! The console: frames over the serial line (or none), the kernel's log, panics.
//!
//! With `console=framed` the byte 0x10 (DLE) starts a control: `o`, `e`, `k` say whose bytes follow (the program's
//! standard output, its standard error, the kernel's), `r` that input is taken from now on, a second 0x10 is one literal
//! byte, `x` and three digits the end of the first program: its exit status, or 256 and the number of its signal.
//! The kernel begins with `k`: what came before is the firmware's.

use crate::arch::{cpu, irq};
use crate::boot::command_line::parameters;
use crate::driver::serial;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};
use sync::SpinLock;

/// Whose bytes these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Output,
    Error,
    Kernel,
}

/// Starts a control in framed mode.
pub const DLE: u8 = 0x10;

/// The stream whose bytes the other end expects.
static LINE: SpinLock<Stream> = SpinLock::new(Stream::Kernel);

/// Writes bytes of one stream, whole with respect to others.
pub fn write(stream: Stream, bytes: &[u8]) {
    write_held(&mut LINE.lock(), stream, bytes);
}

fn write_held(line: &mut Stream, stream: Stream, bytes: &[u8]) {
    if !parameters().framed {
        serial::write(bytes);
        return;
    }
    if *line != stream {
        let mark = match stream {
            Stream::Output => b'o',
            Stream::Error => b'e',
            Stream::Kernel => b'k',
        };
        serial::write(&[DLE, mark]);
        *line = stream;
    }
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|&byte| byte == DLE) {
        serial::write(&rest[..at]);
        serial::write(&[DLE, DLE]);
        rest = &rest[at + 1..];
    }
    serial::write(rest);
}

/// Prints a line of the kernel's own.
#[macro_export]
macro_rules! println {
    ($($argument:tt)*) => { $crate::console::print(format_args!($($argument)*)) };
}

/// The kernel's stream as text, with the line held.
struct Text<'a>(&'a mut Stream);

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write_held(self.0, Stream::Kernel, text.as_bytes());
        Ok(())
    }
}

pub fn print(arguments: fmt::Arguments) {
    // A text writer that only writes to the line does not fail; an argument's own error ends its text early.
    let _ = writeln!(Text(&mut LINE.lock()), "{arguments}");
}

/// Tells the other end that input is taken from now on; what it sent before is lost.
pub fn listening() {
    let _line = LINE.lock();
    if parameters().framed {
        serial::write(&[DLE, b'r']);
    }
}

/// How the first program ended.
#[derive(Clone, Copy, Debug)]
pub enum End {
    Exited(u8),
    Signalled(u8),
}

/// Ends the machine as the first program ended.
pub fn finish(end: End) -> ! {
    let (number, status) = match end {
        End::Exited(status) => (u16::from(status), status),
        // A machine has no signals: its status is what a shell would show.
        End::Signalled(signal) => (256 + u16::from(signal), 128 + signal),
    };
    let line = LINE.lock();
    if parameters().framed {
        let digits = [number / 100, number / 10 % 10, number % 10].map(|digit| b'0' + digit as u8);
        serial::write(&[DLE, b'x']);
        serial::write(&digits);
    }
    drop(line);
    cpu::power_off(status)
}

/// The kernel's log goes to its own stream, with the time in seconds.
struct Log;

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata) -> bool {
        true
    }

    fn log(&self, record: &log::Record) {
        let now_us = crate::arch::timer::now_ns() / 1000;
        print(format_args!(
            "[{:5}.{:06}] {:5} {}: {}",
            now_us / 1_000_000,
            now_us % 1_000_000,
            record.level(),
            record.target(),
            record.args()
        ));
    }

    fn flush(&self) {}
}

/// Begins to speak, at the log level the command line asks for.
pub fn init() {
    if parameters().framed {
        serial::write(&[DLE, b'k']);
    }
    if log::set_logger(&Log).is_ok() {
        log::set_max_level(parameters().log);
    }
}

/// The exit status of a machine that panicked, as a panicking Rust program's.
const PANIC_STATUS: u8 = 101;

/// Says what went wrong and ends the machine. A panic within does so at once.
pub fn panic(info: &core::panic::PanicInfo) -> ! {
    static PANICKING: AtomicBool = AtomicBool::new(false);
    if PANICKING.swap(true, Ordering::SeqCst) {
        cpu::power_off(PANIC_STATUS);
    }
    irq::stop_others();
    // The line's lock may be held by this CPU or by one just stopped: speak without it.
    let mut line = match LINE.try_lock() {
        Some(line) => *line,
        None => Stream::Output,
    };
    let mut text = Text(&mut line);
    let _ = writeln!(text, "\nkernel panic on CPU {}: {info}", cpu::id());
    let _ = backtrace(&mut text);
    if parameters().framed {
        serial::write(&[DLE, b'x', b'1', b'0', b'1']);
    }
    cpu::power_off(PANIC_STATUS)
}

/// Return addresses along the frame pointers, for `cargo xtask` or addr2line(1) to name.
fn backtrace(out: &mut impl Write) -> fmt::Result {
    for (depth, address) in crate::arch::context::return_addresses().enumerate().take(32) {
        writeln!(out, "  {depth:2}: {address:#018x}")?;
    }
    Ok(())
}
