//! The interrupt controller's lines, and interrupts between CPUs.

use super::{cpu, gic};
use core::arch::asm;
use sync::SpinLock;

/// An interrupt line, as the device tree names it: the controller's number.
pub type Line = u32;

/// Lines that devices have here; more are not listened to.
const HANDLERS: usize = 16;

/// A line and what to call for it.
type Registration = Option<(Line, fn())>;

static REGISTERED: SpinLock<[Registration; HANDLERS]> = SpinLock::new([None; HANDLERS]);

/// Routes a device's line to this CPU (CPU 0, at boot) and calls `handler` there, on top of user code or of idle.
pub fn register(line: Line, handler: fn()) {
    let mut registered = REGISTERED.lock();
    if let Some(free) = registered.iter_mut().find(|slot| slot.is_none()) {
        *free = Some((line, handler));
        gic::enable(line);
    }
}

pub(super) fn device(line: Line) {
    let registered = REGISTERED.lock().iter().flatten().find(|(of, _)| *of == line).copied();
    if let Some((_, handler)) = registered {
        crate::trap::device(handler);
    }
}

/// Makes another CPU look at its run queue (`crate::trap::reschedule` runs there).
pub fn send_reschedule(cpu: usize) {
    gic::send(cpu, gic::SGI_RESCHEDULE);
}

/// Makes another CPU answer shootdown requests (`crate::trap::shootdown` runs there).
pub fn send_shootdown(cpu: usize) {
    gic::send(cpu, gic::SGI_SHOOTDOWN);
}

/// Stops the other CPUs for good, for a panic. One that is in the kernel goes on until it leaves it.
pub fn stop_others() {
    for other in (0..cpu::online()).filter(|&other| other != cpu::id()) {
        gic::send(other, gic::SGI_STOP);
    }
}

pub(super) fn halt() -> ! {
    loop {
        // SAFETY: stops this CPU.
        unsafe { asm!("msr daifset, #15", "wfi", options(nostack, nomem)) };
    }
}
