//! The clock and its one-shot alarm: the time-stamp counter, and the local APIC's timer.
//!
//! Both rates are measured once against the PIT, which every machine with these doors has. Alarms are checked against
//! the clock when they go off, so an error of the APIC's rate can make one late by its share, but none early.

use super::lapic;
use core::arch::x86_64::_rdtsc;
use core::sync::atomic::{AtomicU64, Ordering};
use x86_64::instructions::port::Port;

/// Counter value at time 0, and nanoseconds per count as a 32.32 fixed-point number.
static START: AtomicU64 = AtomicU64::new(0);
static NS_PER_COUNT: AtomicU64 = AtomicU64::new(1 << 32);
/// APIC timer ticks per nanosecond as a 32.32 fixed-point number.
static TICKS_PER_NS: AtomicU64 = AtomicU64::new(1 << 32);
/// Nanoseconds since 1970 at time 0.
static EPOCH_NS: AtomicU64 = AtomicU64::new(0);

#[inline]
fn counter() -> u64 {
    // SAFETY: the instruction has no effect on memory.
    unsafe { _rdtsc() }
}

/// Nanoseconds since the machine started; the same on all CPUs, never going back.
#[inline]
pub fn now_ns() -> u64 {
    let counts = counter().wrapping_sub(START.load(Ordering::Relaxed));
    ((u128::from(counts) * u128::from(NS_PER_COUNT.load(Ordering::Relaxed))) >> 32) as u64
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
    let left_ns = deadline_ns.saturating_sub(now_ns());
    let ticks = (u128::from(left_ns) * u128::from(TICKS_PER_NS.load(Ordering::Relaxed))) >> 32;
    // At least 1: 0 would stop the timer. A far deadline is reached in several steps.
    lapic::set_timer(ticks.clamp(1, u32::MAX.into()) as u32);
}

/// No alarm on this CPU.
pub fn disarm() {
    lapic::set_timer(0);
}

const PIT_HZ: u64 = 1_193_182;

/// Runs `f` at the start and at the end of a time that the PIT measures; that time in nanoseconds.
fn against_pit(mut f: impl FnMut()) -> u64 {
    const COUNT: u16 = 0xffff;
    const SPAN: u16 = (PIT_HZ / 200) as u16;
    let mut gate = Port::<u8>::new(0x61);
    let mut mode = Port::<u8>::new(0x43);
    let mut channel = Port::<u8>::new(0x42);
    // SAFETY: channel 2 drives the speaker only, which stays off; mode 0 counts down once.
    let mut read = unsafe {
        let without_speaker = gate.read() & !2;
        gate.write(without_speaker | 1);
        mode.write(0b1011_0000);
        channel.write(COUNT as u8);
        channel.write((COUNT >> 8) as u8);
        move || {
            mode.write(0b1000_0000);
            u16::from(channel.read()) | u16::from(channel.read()) << 8
        }
    };
    let first = read();
    f();
    let mut last = read();
    while first.wrapping_sub(last) < SPAN {
        last = read();
    }
    f();
    u64::from(first.wrapping_sub(last)) * 1_000_000_000 / PIT_HZ
}

/// Measures the rates and reads the battery clock.
pub(super) fn init() {
    let mut counts = [0; 2];
    let mut ticks = [0; 2];
    let mut at = 0;
    lapic::set_timer(u32::MAX);
    let span_ns = against_pit(|| {
        counts[at] = counter();
        ticks[at] = lapic::timer_ticks_left();
        at += 1;
    });
    lapic::set_timer(0);
    let span_counts = (counts[1] - counts[0]).max(1);
    let span_ticks = u64::from(ticks[0].wrapping_sub(ticks[1])).max(1);
    NS_PER_COUNT.store(
        ((u128::from(span_ns) << 32) / u128::from(span_counts)) as u64,
        Ordering::Relaxed,
    );
    TICKS_PER_NS.store((span_ticks << 32) / span_ns, Ordering::Relaxed);
    START.store(counter(), Ordering::Relaxed);
    EPOCH_NS.store(battery_clock_s() * 1_000_000_000, Ordering::Relaxed);
}

/// Seconds since 1970 from the CMOS clock, read until two readings agree.
fn battery_clock_s() -> u64 {
    fn register(index: u8) -> u8 {
        // SAFETY: selects and reads a register of the CMOS clock; bit 7 keeps NMIs as they are.
        unsafe {
            Port::<u8>::new(0x70).write(index);
            Port::<u8>::new(0x71).read()
        }
    }
    const UPDATING: u8 = 0x80;
    const BINARY: u8 = 4;
    let reading = || [0u8, 2, 4, 7, 8, 9].map(register);
    let mut tries = 0;
    let fields = loop {
        let first = reading();
        tries += 1;
        // A machine without the clock answers 0xff for ever.
        if tries > 1000 || register(10) & UPDATING == 0 && first == reading() {
            break first;
        }
    };
    let binary = register(11) & BINARY != 0;
    let [second, minute, hour, day, month, year] = fields.map(|field| {
        u64::from(if binary {
            field
        } else {
            (field >> 4) * 10 + (field & 15)
        })
    });
    if month == 0 || month > 12 || day == 0 || day > 31 {
        return 0;
    }
    days_since_1970(2000 + year, month, day) * 86_400 + hour * 3600 + minute * 60 + second
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    // The year starts in March, so that the leap day is its last.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}
