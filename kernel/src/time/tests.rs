//! In-kernel tests of the timer queue.

use super::now_ns;
use super::queue::{Expire, Timer, arm};
use crate::ktest::{Test, check};
use crate::task::with_current;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

pub const TESTS: &[Test] = &[
    ("timer::expires_in_order_and_not_early", expires_in_order_and_not_early),
    ("timer::cancelled_stays_silent", cancelled_stays_silent),
    ("timer::can_be_armed_anew", can_be_armed_anew),
];

/// Remembers when it expired.
struct Probe {
    timer: Timer,
    expired_ns: AtomicU64,
}

impl Probe {
    fn new() -> Result<Arc<Probe>, &'static str> {
        let timer = Timer::new().map_err(|_| "no memory for a timer")?;
        Ok(Arc::new(Probe {
            timer,
            expired_ns: AtomicU64::new(0),
        }))
    }

    fn expired_ns(&self) -> u64 {
        self.expired_ns.load(SeqCst)
    }
}

impl Expire for Probe {
    fn timer(&self) -> &Timer {
        &self.timer
    }

    fn expired(self: Arc<Self>) {
        self.expired_ns.store(now_ns(), SeqCst);
    }
}

fn sleep_until(deadline_ns: u64) {
    while now_ns() < deadline_ns {
        with_current(|thread| thread.park_until(Some(deadline_ns)));
    }
}

/// Waits until `done`, for seconds at most. A CPU that the host stopped for a while can find a sleep's end passed before it
/// has taken the interrupt of the timers that were due earlier.
fn wait_for(done: impl Fn() -> bool) {
    const PATIENCE_NS: u64 = 5_000_000_000;
    let end_ns = now_ns() + PATIENCE_NS;
    while !done() && now_ns() < end_ns {
        sleep_until(now_ns() + 1_000_000);
    }
}

fn expires_in_order_and_not_early() -> Result<(), &'static str> {
    let probes = (0..100).map(|_| Probe::new()).collect::<Result<Vec<_>, _>>()?;
    let start_ns = now_ns() + 1_000_000;
    // In no order: 37 and 100 have no common divisor.
    let deadline_ns = |index: usize| start_ns + (index * 37 % 100) as u64 * 20_000;
    for (index, probe) in probes.iter().enumerate() {
        arm(probe.clone(), deadline_ns(index));
    }
    wait_for(|| probes.iter().all(|probe| probe.expired_ns() != 0));
    let mut order: Vec<usize> = (0..probes.len()).collect();
    order.sort_by_key(|&index| deadline_ns(index));
    for &index in &order {
        check(probes[index].expired_ns() != 0, "a timer did not expire")?;
        check(
            probes[index].expired_ns() >= deadline_ns(index),
            "a timer expired early",
        )?;
        check(!probes[index].timer.is_armed(), "an expired timer is still armed")?;
    }
    check(
        order
            .windows(2)
            .all(|pair| probes[pair[0]].expired_ns() <= probes[pair[1]].expired_ns()),
        "timers expired out of order",
    )
}

fn cancelled_stays_silent() -> Result<(), &'static str> {
    let probes = (0..50).map(|_| Probe::new()).collect::<Result<Vec<_>, _>>()?;
    let start_ns = now_ns() + 2_000_000;
    for (index, probe) in probes.iter().enumerate() {
        arm(probe.clone(), start_ns + index as u64 * 1000);
    }
    probes.iter().step_by(2).for_each(|probe| probe.timer.cancel());
    sleep_until(start_ns + 3_000_000);
    wait_for(|| probes.iter().skip(1).step_by(2).all(|probe| probe.expired_ns() != 0));
    for (index, probe) in probes.iter().enumerate() {
        check(
            (probe.expired_ns() != 0) == (index % 2 == 1),
            "cancelling reached the wrong timer",
        )?;
        check(Arc::strong_count(probe) == 1, "the queue still holds a timer")?;
    }
    Ok(())
}

fn can_be_armed_anew() -> Result<(), &'static str> {
    let probe = Probe::new()?;
    let start_ns = now_ns();
    const FAR_NS: u64 = 3_600_000_000_000;
    arm(probe.clone(), start_ns + FAR_NS);
    arm(probe.clone(), start_ns + 1_000_000);
    wait_for(|| probe.expired_ns() != 0);
    let first_ns = probe.expired_ns();
    check(
        first_ns >= start_ns + 1_000_000,
        "the second setting did not replace the first",
    )?;
    arm(probe.clone(), now_ns());
    wait_for(|| probe.expired_ns() > first_ns);
    check(probe.expired_ns() > first_ns, "an expired timer can't be armed again")
}
