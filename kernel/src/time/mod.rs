//! Clocks and timers.
//!
//! One clock ticks below all others: nanoseconds since the machine started (`arch::timer::now_ns`). CLOCK_REALTIME is it
//! plus an offset. [`queue`] holds what is to happen at a moment of that clock, a heap per CPU; [`signal_timer`] is
//! the timer of setitimer(2) and timer_create(2).

pub mod queue;
pub mod signal_timer;
#[cfg(feature = "ktest")]
pub mod tests;

use crate::arch;
use crate::exec::vdso;
use core::sync::atomic::{AtomicI64, Ordering::Relaxed};
use event::{EventMask, WaitQueue};
use spin::Once;
use sync::SpinLock;

/// What clock_settime(2) has moved CLOCK_REALTIME by.
static REALTIME_SHIFT_NS: AtomicI64 = AtomicI64::new(0);
static EPOCH_NS: Once<u64> = Once::new();

/// Held while CLOCK_REALTIME is set, so that the kernel and programs end up with the same one.
static SETTING: SpinLock<()> = SpinLock::new(());

/// Woken when CLOCK_REALTIME has been set: who waits for a time of it works out anew when that is.
pub static CLOCK_SET: WaitQueue = WaitQueue::new();

/// CLOCK_MONOTONIC: nanoseconds since the machine started.
#[inline]
pub fn now_ns() -> u64 {
    arch::timer::now_ns()
}

/// What to add to [`now_ns`] for CLOCK_REALTIME.
pub fn realtime_shift_ns() -> u64 {
    // The battery clock is slow to read: once is enough.
    EPOCH_NS
        .call_once(arch::timer::epoch_ns)
        .wrapping_add_signed(REALTIME_SHIFT_NS.load(Relaxed))
}

/// CLOCK_REALTIME: nanoseconds since 1970.
pub fn realtime_ns() -> u64 {
    now_ns().wrapping_add(realtime_shift_ns())
}

/// The moment of [`now_ns`] at which CLOCK_REALTIME reads `realtime_ns`, as far as one can know now.
pub fn from_realtime_ns(realtime_ns: u64) -> u64 {
    realtime_ns.saturating_sub(realtime_shift_ns())
}

/// clock_settime(CLOCK_REALTIME).
pub fn set_realtime_ns(realtime_ns: u64) {
    let now = self::realtime_ns();
    {
        let _one = SETTING.lock();
        REALTIME_SHIFT_NS.fetch_add(realtime_ns.wrapping_sub(now) as i64, Relaxed);
        vdso::set_realtime_shift(realtime_shift_ns());
    }
    CLOCK_SET.wake(EventMask::IN);
}
