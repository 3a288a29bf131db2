//! Clocks and sleeps.

use super::Call;
use super::table::{Line, line};
use crate::mm::user;
use crate::task::table;
use crate::time;
use crate::time::signal_timer::Clock;
use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;
use event::Unparked;
use libsyscall::abi::capability::CAP_SYS_TIME;
use libsyscall::abi::time::*;
use libsyscall::abi::{Errno, nr};

pub const CALLS: &[Line] = &[
    line(nr::CLOCK_GETTIME, clock_gettime),
    line(nr::CLOCK_SETTIME, clock_settime),
    line(nr::CLOCK_GETRES, clock_getres),
    line(nr::CLOCK_NANOSLEEP, clock_nanosleep),
    line(nr::NANOSLEEP, nanosleep),
    line(nr::GETTIMEOFDAY, gettimeofday),
    line(nr::TIMES, times),
    #[cfg(target_arch = "x86_64")]
    line(nr::TIME, time),
];

/// A struct timespec in user memory as nanoseconds: EFAULT, EINVAL.
pub fn read_timespec(address: usize) -> Result<u64, Errno> {
    timespec_ns(user::read(address)?)
}

/// A struct timespec as nanoseconds: EINVAL.
pub fn timespec_ns([seconds, nanoseconds]: [i64; 2]) -> Result<u64, Errno> {
    if seconds < 0 || !(0..NANOSECONDS as i64).contains(&nanoseconds) {
        return Err(Errno::EINVAL);
    }
    Ok((seconds as u64)
        .saturating_mul(NANOSECONDS)
        .saturating_add(nanoseconds as u64))
}

pub fn write_timespec(address: usize, ns: u64) -> Result<(), Errno> {
    user::write(address, &timespec(ns))
}

/// Nanoseconds as a struct timespec.
pub fn timespec(ns: u64) -> [u64; 2] {
    [ns / NANOSECONDS, ns % NANOSECONDS]
}

/// A struct timeval as nanoseconds: EINVAL.
pub fn timeval_ns(seconds: i64, microseconds: i64) -> Result<u64, Errno> {
    if seconds < 0 || !(0..1_000_000).contains(&microseconds) {
        return Err(Errno::EINVAL);
    }
    Ok((seconds as u64)
        .saturating_mul(NANOSECONDS)
        .saturating_add(microseconds as u64 * 1000))
}

/// Nanoseconds as the two words of a struct timeval.
pub fn timeval(ns: u64) -> [u64; 2] {
    [ns / NANOSECONDS, ns % NANOSECONDS / 1000]
}

/// What a clock reads: EINVAL where there is none.
fn read_clock(call: &Call, clock: i32) -> Result<u64, Errno> {
    match clock {
        CLOCK_MONOTONIC | CLOCK_MONOTONIC_RAW | CLOCK_MONOTONIC_COARSE | CLOCK_BOOTTIME | CLOCK_BOOTTIME_ALARM => {
            Ok(time::now_ns())
        }
        CLOCK_REALTIME | CLOCK_REALTIME_COARSE | CLOCK_REALTIME_ALARM | CLOCK_TAI => Ok(time::realtime_ns()),
        _ => cpu_clock(call, clock)?.now_ns().ok_or(Errno::EINVAL),
    }
}

/// A clock of CPU time: EINVAL where there is none.
pub fn cpu_clock(call: &Call, clock: i32) -> Result<Clock, Errno> {
    let own = call.thread();
    match clock {
        CLOCK_PROCESS_CPUTIME_ID => Ok(Clock::Process(Arc::downgrade(&own.process))),
        CLOCK_THREAD_CPUTIME_ID => Ok(Clock::Thread(Arc::downgrade(own))),
        // clock_getcpuclockid(3): ~pid in the upper bits, bit 2 for a thread's, 2 in the lowest for its own time.
        _ if clock < 0 && clock & 3 == 2 => match (!(clock >> 3), clock & 4 != 0) {
            (0, false) => Ok(Clock::Process(Arc::downgrade(&own.process))),
            (0, true) => Ok(Clock::Thread(Arc::downgrade(own))),
            (pid, false) => {
                let process = table::process(pid).ok_or(Errno::EINVAL)?;
                Ok(Clock::Process(Arc::downgrade(&process)))
            }
            (tid, true) => {
                let thread = table::thread(tid).ok_or(Errno::EINVAL)?;
                Ok(Clock::Thread(Arc::downgrade(&thread)))
            }
        },
        _ => Err(Errno::EINVAL),
    }
}

fn clock_gettime(call: &mut Call) -> Result<(), Errno> {
    let now_ns = read_clock(call, call.int(0))?;
    write_timespec(call.arg(1), now_ns)
}

fn clock_settime(call: &mut Call) -> Result<(), Errno> {
    let new_ns = read_timespec(call.arg(1))?;
    if call.int(0) != CLOCK_REALTIME {
        return Err(Errno::EINVAL);
    }
    if !call.thread().credentials().has(CAP_SYS_TIME) {
        return Err(Errno::EPERM);
    }
    time::set_realtime_ns(new_ns);
    Ok(())
}

fn clock_getres(call: &mut Call) -> Result<(), Errno> {
    read_clock(call, call.int(0))?;
    if call.arg(1) != 0 {
        write_timespec(call.arg(1), 1)?;
    }
    Ok(())
}

fn gettimeofday(call: &mut Call) -> Result<(), Errno> {
    if call.arg(0) != 0 {
        user::write(call.arg(0), &timeval(time::realtime_ns()))?;
    }
    if call.arg(1) != 0 {
        // struct timezone: UTC.
        user::write(call.arg(1), &[0i32; 2])?;
    }
    Ok(())
}

#[cfg(target_arch = "x86_64")]
fn time(call: &mut Call) -> Result<usize, Errno> {
    let seconds = time::realtime_ns() / NANOSECONDS;
    if call.arg(0) != 0 {
        user::write(call.arg(0), &seconds)?;
    }
    Ok(seconds as usize)
}

fn times(call: &mut Call) -> Result<usize, Errno> {
    let ticks = |ns: u64| ns / (NANOSECONDS / CLOCK_TICKS);
    if call.arg(0) != 0 {
        let process = &call.thread().process;
        // All CPU time counts as user time.
        user::write(
            call.arg(0),
            &[ticks(process.ran_ns()), 0, ticks(process.children_usage().ran_ns), 0],
        )?;
    }
    Ok(ticks(time::now_ns()) as usize)
}

/// Sleeps to a deadline. Interrupted, a relative sleep writes what is left and can be taken up again.
fn sleep(call: &Call, deadline_ns: u64, remaining: Option<usize>) -> Result<(), Errno> {
    loop {
        match call.thread().park_until(Some(deadline_ns)) {
            Unparked::TimedOut => return Ok(()),
            Unparked::Woken => {}
            Unparked::Interrupted => break,
        }
    }
    let Some(remaining) = remaining else {
        return Err(Errno::ERESTARTNOHAND);
    };
    if remaining != 0 {
        write_timespec(remaining, deadline_ns.saturating_sub(time::now_ns()))?;
    }
    call.thread().restart_deadline_ns.store(deadline_ns, Relaxed);
    Err(Errno::ERESTART_RESTARTBLOCK)
}

/// Sleeps until CLOCK_REALTIME reads `goal_ns`, also where that clock is set meanwhile.
fn sleep_to_realtime(call: &Call, goal_ns: u64) -> Result<(), Errno> {
    match call.thread().park_to_realtime(Some(goal_ns), || false)? {
        Unparked::TimedOut | Unparked::Woken => Ok(()),
        Unparked::Interrupted => Err(Errno::ERESTARTNOHAND),
    }
}

/// The deadline of a relative sleep: a new one, or that of the sleep a stop interrupted.
pub fn relative_deadline(call: &Call, duration_ns: u64) -> u64 {
    match call.thread().restart_deadline_ns.swap(0, Relaxed) {
        0 => time::now_ns().saturating_add(duration_ns),
        deadline_ns => deadline_ns,
    }
}

fn nanosleep(call: &mut Call) -> Result<(), Errno> {
    let duration_ns = read_timespec(call.arg(0))?;
    sleep(call, relative_deadline(call, duration_ns), Some(call.arg(1)))
}

fn clock_nanosleep(call: &mut Call) -> Result<(), Errno> {
    let (clock, flags) = (call.int(0), call.int(1));
    let request_ns = match clock {
        CLOCK_REALTIME | CLOCK_MONOTONIC | CLOCK_BOOTTIME | CLOCK_TAI | CLOCK_REALTIME_ALARM | CLOCK_BOOTTIME_ALARM => {
            read_timespec(call.arg(2))?
        }
        // clock_nanosleep(2): a clock that exists but can't be slept on.
        CLOCK_MONOTONIC_RAW | CLOCK_REALTIME_COARSE | CLOCK_MONOTONIC_COARSE | CLOCK_PROCESS_CPUTIME_ID => {
            return Err(Errno::EOPNOTSUPP);
        }
        _ => return Err(Errno::EINVAL),
    };
    if flags & TIMER_ABSTIME == 0 {
        return sleep(call, relative_deadline(call, request_ns), Some(call.arg(3)));
    }
    match clock {
        CLOCK_REALTIME | CLOCK_TAI | CLOCK_REALTIME_ALARM => sleep_to_realtime(call, request_ns),
        _ => sleep(call, request_ns, None),
    }
}
