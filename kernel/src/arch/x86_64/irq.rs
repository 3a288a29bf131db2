//! The interrupt controller: the I/O APIC's lines, and interrupts between CPUs.

use super::acpi::{self, Madt};
use super::{cpu, lapic, paging};
use crate::boot::BootInfo;
use core::arch::asm;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use spin::Once;
use sync::SpinLock;

/// An interrupt line, as the device's description names it: an ISA line, or behind those a global interrupt.
pub type Line = u32;

/// Device lines start here among the vectors.
const FIRST_VECTOR: u8 = 0x40;
const LINES: usize = 24;

type Handler = fn();

static HANDLERS: SpinLock<[Option<Handler>; LINES]> = SpinLock::new([None; LINES]);
static IO_APIC: AtomicUsize = AtomicUsize::new(0);
static MADT: Once<Option<Madt>> = Once::new();

/// Finds the controllers. The legacy ones are told to be quiet.
pub(super) fn init(boot: &BootInfo) {
    let madt = MADT.call_once(|| acpi::madt(boot.rsdp));
    // SAFETY: masks every line of the two legacy controllers; where there are none the writes go nowhere.
    unsafe {
        x86_64::instructions::port::Port::<u8>::new(0x21).write(0xff);
        x86_64::instructions::port::Port::<u8>::new(0xa1).write(0xff);
    }
    if let Some((physical, _)) = madt.as_ref().and_then(|madt| madt.io_apic) {
        IO_APIC.store(paging::map_device(physical, 0x20), Ordering::Relaxed);
    }
}

pub(super) fn madt_found() -> Option<&'static Madt> {
    MADT.get()?.as_ref()
}

/// Writes one register of the I/O APIC through its select and data windows; the caller holds [`HANDLERS`].
fn write_io_apic(index: u32, value: u32) {
    let base = IO_APIC.load(Ordering::Relaxed);
    // SAFETY: mapped by `init`; the windows are 32 bits wide.
    unsafe {
        (*(base as *const AtomicU32)).store(index, Ordering::Relaxed);
        (*((base + 0x10) as *const AtomicU32)).store(value, Ordering::Relaxed);
    }
}

/// Routes a device's line to CPU 0 and calls `handler` there, on top of user code or of idle.
pub fn register(line: Line, handler: Handler) {
    let Some(madt) = madt_found() else { return };
    let Some((_, first)) = madt.io_apic else { return };
    let (global, active_low, level) = madt.isa.get(line as usize).copied().unwrap_or((line, false, true));
    let pin = global - first;
    if pin as usize >= LINES {
        return;
    }
    let mut handlers = HANDLERS.lock();
    handlers[pin as usize] = Some(handler);
    const ACTIVE_LOW: u32 = 1 << 13;
    const LEVEL: u32 = 1 << 15;
    let mut entry = u32::from(FIRST_VECTOR) + pin;
    if active_low {
        entry |= ACTIVE_LOW;
    }
    if level {
        entry |= LEVEL;
    }
    write_io_apic(0x10 + 2 * pin + 1, u32::from(lapic::own_id()) << 24);
    write_io_apic(0x10 + 2 * pin, entry);
}

pub(super) fn device(vector: u8) {
    let pin = vector.wrapping_sub(FIRST_VECTOR) as usize;
    let handler = HANDLERS.lock().get(pin).copied().flatten();
    if let Some(handler) = handler {
        crate::trap::device(handler);
    }
}

/// Makes another CPU look at its run queue (`crate::trap::reschedule` runs there).
pub fn send_reschedule(cpu: usize) {
    lapic::send(cpu, lapic::VECTOR_RESCHEDULE);
}

/// Makes another CPU answer shootdown requests (`crate::trap::shootdown` runs there).
pub fn send_shootdown(cpu: usize) {
    lapic::send(cpu, lapic::VECTOR_SHOOTDOWN);
}

/// Stops the other CPUs for good, for a panic.
pub fn stop_others() {
    for other in (0..cpu::online()).filter(|&other| other != cpu::id()) {
        lapic::send_nmi(other);
    }
}

pub(super) fn halt() -> ! {
    loop {
        // SAFETY: stops this CPU.
        unsafe { asm!("cli; hlt", options(nostack, nomem)) };
    }
}
