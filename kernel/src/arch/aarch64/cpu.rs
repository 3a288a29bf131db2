//! This CPU and its fellows.

/// Index of the CPU this runs on, below [`online`].
pub fn id() -> usize {
    todo!()
}

/// The word that names the running thread, as [`set_current`] left it.
pub fn current() -> *const () {
    todo!()
}

pub fn set_current(_thread: *const ()) {
    todo!()
}

/// CPUs that run.
pub fn online() -> usize {
    todo!()
}

/// Starts the other CPUs; each ends in `crate::start_secondary`. Returns when all that answer are up.
pub fn start_others() {
    todo!()
}

/// Unmasks interrupts, halts until one has been taken, masks them again. An interrupt that is pending already is taken
/// at once, so "queue empty, then wait" has no gap.
pub fn wait_for_interrupt() {
    todo!()
}

/// Takes interrupts that are pending (unmask, mask): for long kernel loops of a test or of idle.
pub fn take_interrupts() {
    todo!()
}

/// Ends the machine with an exit status for QEMU.
pub fn power_off(_status: u8) -> ! {
    todo!()
}

/// Random bits from the hardware, where it has them.
pub fn random() -> Option<u64> {
    todo!()
}

/// AT_HWCAP and AT_HWCAP2 for the auxiliary vector.
pub fn hwcap() -> (usize, usize) {
    todo!()
}

/// Bytes a signal frame needs at most, for AT_MINSIGSTKSZ.
pub fn signal_stack_min() -> usize {
    todo!()
}

/// Text of /proc/cpuinfo for one CPU.
pub fn describe(_cpu: usize, _out: &mut dyn core::fmt::Write) -> core::fmt::Result {
    todo!()
}
