//! The clock and its one-shot alarm: the generic timer's virtual counter.

use super::{boot, gic};
use core::arch::asm;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use fdt::Fdt;

/// Counter value at time 0.
static START: AtomicU64 = AtomicU64::new(0);
/// Nanoseconds per count, rounded down, and counts per nanosecond, rounded up, as 32.32 fixed-point numbers.
static NS_PER_COUNT: AtomicU64 = AtomicU64::new(16 << 32);
static COUNTS_PER_NS: AtomicU64 = AtomicU64::new((1 << 28) + 1);
static EPOCH_NS: AtomicU64 = AtomicU64::new(0);
/// Interrupt of the virtual timer.
static LINE: AtomicU32 = AtomicU32::new(27);

#[inline]
fn counter() -> u64 {
    let value: u64;
    // SAFETY: reads a register; the barrier keeps it in its place among loads.
    unsafe { asm!("isb", "mrs {}, cntvct_el0", out(reg) value, options(nostack, nomem)) };
    value
}

#[inline]
fn scale(value: u64, factor: &AtomicU64) -> u64 {
    ((u128::from(value) * u128::from(factor.load(Ordering::Relaxed))) >> 32) as u64
}

/// Nanoseconds since the machine started; the same on all CPUs, never going back.
#[inline]
pub fn now_ns() -> u64 {
    scale(counter().wrapping_sub(START.load(Ordering::Relaxed)), &NS_PER_COUNT)
}

/// What [`now_ns`] works with: the counter at time 0, and nanoseconds per count as a 32.32 fixed-point number.
pub fn scale_of_counter() -> (u64, u64) {
    (START.load(Ordering::Relaxed), NS_PER_COUNT.load(Ordering::Relaxed))
}

/// Nanoseconds since 1970 at the moment `now_ns` was 0, from the battery clock.
pub fn epoch_ns() -> u64 {
    EPOCH_NS.load(Ordering::Relaxed)
}

/// Has `crate::trap::timer` called on this CPU at `deadline_ns` or soon after, never before. Replaces the earlier alarm.
pub fn arm(deadline_ns: u64) {
    let now = counter();
    let left_ns = deadline_ns.saturating_sub(scale(now.wrapping_sub(START.load(Ordering::Relaxed)), &NS_PER_COUNT));
    // One more for what was cut off.
    let at = now.saturating_add(scale(left_ns, &COUNTS_PER_NS)).saturating_add(1);
    // SAFETY: the timer is the kernel's own. 1: on, not masked.
    unsafe { asm!("msr cntv_cval_el0, {}", "msr cntv_ctl_el0, {}", "isb", in(reg) at, in(reg) 1u64, options(nostack)) };
}

/// No alarm on this CPU.
pub fn disarm() {
    // SAFETY: as above. 2: masked.
    unsafe { asm!("msr cntv_ctl_el0, {}", "isb", in(reg) 2u64, options(nostack)) };
}

/// The alarm's line goes off until it is armed anew.
pub(super) fn interrupt() {
    disarm();
    crate::trap::timer();
}

pub(super) fn line() -> u32 {
    LINE.load(Ordering::Relaxed)
}

/// Reads the rate, the interrupt's number and the battery clock.
pub(super) fn init(tree: &Fdt) {
    let frequency: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, cntfrq_el0", out(reg) frequency, options(nostack, nomem)) };
    let frequency = frequency.max(1);
    const SECOND_NS: u64 = 1_000_000_000;
    NS_PER_COUNT.store((SECOND_NS << 32) / frequency, Ordering::Relaxed);
    COUNTS_PER_NS.store((frequency << 32) / SECOND_NS + 1, Ordering::Relaxed);
    START.store(counter(), Ordering::Relaxed);
    // Secure, non-secure, virtual, hypervisor: the third of the timer's interrupts, three cells each.
    const VIRTUAL: usize = 2 * 3 * 4;
    let line = tree
        .find_compatible(&["arm,armv8-timer"])
        .and_then(|node| node.property("interrupts")?.value.get(VIRTUAL..));
    if let Some(entry) = line {
        LINE.store(boot::interrupt(entry), Ordering::Relaxed);
    }
    let clock = tree.find_compatible(&["arm,pl031"]).and_then(|node| node.reg()?.next());
    if let Some(region) = clock {
        let registers = super::paging::map_device(region.starting_address as u64, 4096);
        // SAFETY: the clock's data register: seconds since 1970.
        let seconds = unsafe { (registers as *const u32).read_volatile() };
        EPOCH_NS.store(u64::from(seconds) * SECOND_NS, Ordering::Relaxed);
    }
}

/// The alarm's interrupt and the counter for user code, on this CPU.
pub(super) fn init_cpu() {
    const USER_READS_VIRTUAL_COUNTER: u64 = 2;
    disarm();
    // SAFETY: user code may read the virtual counter, nothing else.
    unsafe { asm!("msr cntkctl_el1, {}", in(reg) USER_READS_VIRTUAL_COUNTER, options(nostack)) };
    gic::enable(line());
}
