//! The PL011 of QEMU's `virt` machine.

use crate::arch::irq;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

const DATA: usize = 0x00;
const FLAGS: usize = 0x18;
const LINE_CONTROL: usize = 0x2c;
const CONTROL: usize = 0x30;
const INTERRUPT_MASK: usize = 0x38;
const INTERRUPT_CLEAR: usize = 0x44;

const RECEIVE_EMPTY: u32 = 1 << 4;
const TRANSMIT_FULL: u32 = 1 << 5;
const FIFOS_ON_8_BITS: u32 = 1 << 4 | 3 << 5;
const ON_TRANSMIT_RECEIVE: u32 = 1 | 1 << 8 | 1 << 9;
/// Bytes arrived, or arrived and waited.
const RECEIVE_INTERRUPTS: u32 = 1 << 4 | 1 << 6;

static BASE: AtomicUsize = AtomicUsize::new(0);
static LINE: AtomicU32 = AtomicU32::new(0);

fn register(offset: usize) -> &'static AtomicU32 {
    // SAFETY: `init` was given the address of the device's registers, mapped for ever.
    unsafe { &*((BASE.load(Ordering::Relaxed) + offset) as *const AtomicU32) }
}

/// Sets the line up for polled output; `base` is where its registers are mapped. Called again when that changes.
pub fn init(base: usize, line: irq::Line) {
    BASE.store(base, Ordering::Relaxed);
    LINE.store(line, Ordering::Relaxed);
    register(INTERRUPT_MASK).store(0, Ordering::Relaxed);
    register(INTERRUPT_CLEAR).store(u32::MAX, Ordering::Relaxed);
    register(LINE_CONTROL).store(FIFOS_ON_8_BITS, Ordering::Relaxed);
    register(CONTROL).store(ON_TRANSMIT_RECEIVE, Ordering::Relaxed);
}

pub fn write(bytes: &[u8]) {
    if BASE.load(Ordering::Relaxed) == 0 {
        return;
    }
    for &byte in bytes {
        while register(FLAGS).load(Ordering::Relaxed) & TRANSMIT_FULL != 0 {
            core::hint::spin_loop();
        }
        register(DATA).store(byte.into(), Ordering::Relaxed);
    }
}

pub fn read() -> Option<u8> {
    if register(FLAGS).load(Ordering::Relaxed) & RECEIVE_EMPTY != 0 {
        return None;
    }
    Some(register(DATA).load(Ordering::Relaxed) as u8)
}

pub fn on_receive(handler: fn()) {
    irq::register(LINE.load(Ordering::Relaxed), handler);
    set_receive_interrupt(true);
}

/// Stops or resumes asking for attention: while nobody has room, bytes wait in the line. The interrupt stays up as long
/// as bytes wait, and reading them is what takes it down: cleared by hand, it would not come back for those.
pub fn set_receive_interrupt(on: bool) {
    register(INTERRUPT_MASK).store(if on { RECEIVE_INTERRUPTS } else { 0 }, Ordering::Relaxed);
}
