//! The machine's counter, read by one instruction.

/// The counter now.
#[cfg(target_arch = "x86_64")]
#[inline]
pub fn read() -> u64 {
    // SAFETY: every x86_64 CPU has the instruction, and neither kernel keeps it from programs.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// The counter now.
#[cfg(target_arch = "aarch64")]
#[inline]
pub fn read() -> u64 {
    let value;
    // SAFETY: reads a register that both kernels let programs read. `isb` keeps the read behind what came before.
    unsafe { core::arch::asm!("isb", "mrs {}, cntvct_el0", out(reg) value, options(nostack)) };
    value
}

/// What a difference of the counter is in ticks: the counter's own on x86_64, where nothing says its rate.
#[cfg(target_arch = "x86_64")]
pub fn ticks(difference: u64) -> f64 {
    difference as f64
}

/// What a difference of the counter is in ticks, nanoseconds here: the counter's own are longer than an instruction.
#[cfg(target_arch = "aarch64")]
pub fn ticks(difference: u64) -> f64 {
    let hertz: u64;
    // SAFETY: as for `read`.
    unsafe { core::arch::asm!("mrs {}, cntfrq_el0", out(reg) hertz, options(nomem, nostack)) };
    difference as f64 * 1e9 / hertz as f64
}
