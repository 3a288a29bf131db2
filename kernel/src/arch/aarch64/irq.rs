//! The interrupt controller.

/// An interrupt line, as the device's description names it (GSI on x86_64, INTID on aarch64).
pub type Line = u32;

/// Routes a device's line to CPU 0 and calls `handler` there, on top of user code or of idle.
pub fn register(_line: Line, _handler: fn()) {
    todo!()
}

/// Makes another CPU look at its run queue (`crate::trap::reschedule` runs there).
pub fn send_reschedule(_cpu: usize) {
    todo!()
}

/// Makes another CPU answer shootdown requests (`crate::trap::shootdown` runs there).
pub fn send_shootdown(_cpu: usize) {
    todo!()
}

/// Stops the other CPUs for good, for a panic.
pub fn stop_others() {
    todo!()
}
