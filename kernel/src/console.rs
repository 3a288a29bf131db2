//! The console: frames over the serial line (or none), the kernel's log, panics.
//!
//! With `console=framed` the byte 0x10 (DLE) starts a control: `o`, `e`, `k` say whose bytes follow (the program's
//! standard output, its standard error, the kernel's), a second 0x10 is one literal byte, `x` and three digits the exit
//! status of the first program.

/// Whose bytes these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Output,
    Error,
    Kernel,
}

/// Writes bytes of one stream, whole with respect to others.
pub fn write(_stream: Stream, _bytes: &[u8]) {
    todo!()
}

/// Prints a line of the kernel's own.
#[macro_export]
macro_rules! println {
    ($($argument:tt)*) => { $crate::console::print(format_args!($($argument)*)) };
}

pub fn print(_arguments: core::fmt::Arguments) {
    todo!()
}

/// Ends the machine with the first program's exit status.
pub fn finish(_status: u8) -> ! {
    todo!()
}
