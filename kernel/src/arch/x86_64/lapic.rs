//! The local APIC: interrupts of this CPU, its alarm, and interrupts to others.

use super::{cpu, paging};
use crate::arch::MAX_CPUS;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};
use x86_64::registers::model_specific::Msr;

const MSR_APIC_BASE: u32 = 0x1b;

const ID: usize = 0x20;
const END_OF_INTERRUPT: usize = 0xb0;
const SPURIOUS: usize = 0xf0;
const COMMAND_LOW: usize = 0x300;
const COMMAND_HIGH: usize = 0x310;
const TIMER: usize = 0x320;
const TIMER_INITIAL: usize = 0x380;
const TIMER_CURRENT: usize = 0x390;
const TIMER_DIVIDE: usize = 0x3e0;

const ENABLE: u32 = 1 << 8;
const DIVIDE_BY_1: u32 = 0xb;
const DELIVERY_PENDING: u32 = 1 << 12;
const ASSERT: u32 = 1 << 14;
const INIT: u32 = 5 << 8;
const STARTUP: u32 = 6 << 8;
const NMI: u32 = 4 << 8;

pub(super) const VECTOR_TIMER: u8 = 0xf0;
pub(super) const VECTOR_RESCHEDULE: u8 = 0xf1;
pub(super) const VECTOR_SHOOTDOWN: u8 = 0xf2;
const VECTOR_SPURIOUS: u8 = 0xff;

/// Where the registers are mapped; the same address is each CPU's own.
static REGISTERS: AtomicUsize = AtomicUsize::new(0);
static APIC_IDS: [AtomicU8; MAX_CPUS] = [const { AtomicU8::new(0) }; MAX_CPUS];

fn register(offset: usize) -> &'static AtomicU32 {
    // SAFETY: the local APIC's page is mapped by `map`, for ever; registers are 32 bits wide and 16 bytes apart.
    unsafe { &*((REGISTERS.load(Ordering::Relaxed) + offset) as *const AtomicU32) }
}

fn read(offset: usize) -> u32 {
    register(offset).load(Ordering::Relaxed)
}

fn write(offset: usize, value: u32) {
    register(offset).store(value, Ordering::Relaxed);
}

/// Maps the registers; once, before [`init_cpu`].
pub(super) fn map() {
    // SAFETY: the register exists on every 64-bit CPU.
    let base = unsafe { Msr::new(MSR_APIC_BASE).read() } & 0xf_ffff_f000;
    REGISTERS.store(paging::map_device(base, 4096), Ordering::Relaxed);
}

/// Turns this CPU's APIC on.
pub(super) fn init_cpu() {
    write(SPURIOUS, ENABLE | VECTOR_SPURIOUS as u32);
    write(TIMER_DIVIDE, DIVIDE_BY_1);
    write(TIMER, VECTOR_TIMER as u32);
    APIC_IDS[cpu::id()].store((read(ID) >> 24) as u8, Ordering::Relaxed);
}

/// This CPU's APIC id.
pub(super) fn own_id() -> u8 {
    (read(ID) >> 24) as u8
}

/// Starts the alarm: one interrupt after `ticks`; 0 stops it.
pub(super) fn set_timer(ticks: u32) {
    write(TIMER_INITIAL, ticks);
}

pub(super) fn timer_ticks_left() -> u32 {
    read(TIMER_CURRENT)
}

fn command(apic_id: u8, low: u32) {
    while read(COMMAND_LOW) & DELIVERY_PENDING != 0 {
        core::hint::spin_loop();
    }
    write(COMMAND_HIGH, u32::from(apic_id) << 24);
    write(COMMAND_LOW, low);
}

/// Interrupts another CPU.
pub(super) fn send(cpu: usize, vector: u8) {
    command(APIC_IDS[cpu].load(Ordering::Relaxed), ASSERT | u32::from(vector));
}

/// Stops another CPU even where it masks interrupts.
pub(super) fn send_nmi(cpu: usize) {
    command(APIC_IDS[cpu].load(Ordering::Relaxed), ASSERT | NMI);
}

pub(super) fn send_init(apic_id: u8) {
    command(apic_id, ASSERT | INIT);
}

/// Starts a CPU in real mode at `page` * 4096.
pub(super) fn send_startup(apic_id: u8, page: u8) {
    command(apic_id, ASSERT | STARTUP | u32::from(page));
}

/// An interrupt arrived, on top of user code or of idle.
pub(super) fn interrupt(vector: u8) {
    if vector == VECTOR_SPURIOUS {
        return;
    }
    if vector < VECTOR_TIMER {
        // The device's line stays up until its handler has seen to it.
        super::irq::device(vector);
        write(END_OF_INTERRUPT, 0);
        return;
    }
    write(END_OF_INTERRUPT, 0);
    match vector {
        VECTOR_TIMER => crate::trap::timer(),
        VECTOR_RESCHEDULE => crate::trap::reschedule(),
        VECTOR_SHOOTDOWN => crate::trap::shootdown(),
        _ => {}
    }
}
