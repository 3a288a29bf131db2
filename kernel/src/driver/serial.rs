//! The serial line: a 16550 on x86_64, a PL011 on aarch64.
//!
//! - `init` sets the line up for polled output; `arch::boot` calls it before anything can print.
//! - `write` waits for the line where it must; `read` gives a byte that has arrived.
//! - `on_receive` has a handler called (on CPU 0, by interrupt) when bytes have arrived. Bytes not read stay in the line,
//!   which has flow control; `set_receive_interrupt(false)` stops the calls while nobody has room.

#[cfg(target_arch = "x86_64")]
pub use super::uart16550::*;

#[cfg(target_arch = "aarch64")]
pub use super::pl011::*;
