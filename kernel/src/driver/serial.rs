//! The serial line: 16550 on x86_64, PL011 on aarch64. `arch::boot` calls `init` before anything can print.

/// Writes bytes, waiting for the line where it must.
pub fn write(_bytes: &[u8]) {
    todo!()
}

/// A byte that has arrived.
pub fn read() -> Option<u8> {
    todo!()
}

/// Calls `handler` (on CPU 0, by interrupt) when bytes have arrived. Bytes not read stay in the line: it has flow control.
pub fn on_receive(_handler: fn()) {
    todo!()
}
