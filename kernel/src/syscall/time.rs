//! Clocks, sleeps and interval timers.

use super::Call;
use super::table::Line;
use crate::mm::user;
use crate::task::table;
use crate::time::{self, interval::IntervalTimer, interval::Setting};
use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;
use event::Unparked;
use libsyscall::abi::time::*;
use libsyscall::abi::{Errno, nr};

pub const CALLS: &[Line] = &[
    (nr::CLOCK_GETTIME, clock_gettime),
    (nr::CLOCK_SETTIME, clock_settime),
    (nr::CLOCK_GETRES, clock_getres),
    (nr::CLOCK_NANOSLEEP, clock_nanosleep),
    (nr::NANOSLEEP, nanosleep),
    (nr::GETTIMEOFDAY, gettimeofday),
    (nr::TIMES, times),
    (nr::GETITIMER, getitimer),
    (nr::SETITIMER, setitimer),
    #[cfg(target_arch = "x86_64")]
    (nr::ALARM, alarm),
    #[cfg(target_arch = "x86_64")]
    (nr::TIME, time),
];

/// A struct timespec in user memory as nanoseconds: EFAULT, EINVAL.
pub fn read_timespec(address: usize) -> Result<u64, Errno> {
    let [seconds, nanoseconds]: [i64; 2] = user::read(address)?;
    if seconds < 0 || !(0..NANOSECONDS as i64).contains(&nanoseconds) {
        return Err(Errno::EINVAL);
    }
    Ok((seconds as u64)
        .saturating_mul(NANOSECONDS)
        .saturating_add(nanoseconds as u64))
}

pub fn write_timespec(address: usize, ns: u64) -> Result<(), Errno> {
    user::write(address, &[ns / NANOSECONDS, ns % NANOSECONDS])
}

/// A struct timeval as nanoseconds: EINVAL.
fn timeval_ns(seconds: i64, microseconds: i64) -> Result<u64, Errno> {
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
        CLOCK_PROCESS_CPUTIME_ID => Ok(call.thread.process.ran_ns()),
        CLOCK_THREAD_CPUTIME_ID => Ok(call.thread.ran_ns()),
        // clock_getcpuclockid(3): ~pid in the upper bits, bit 2 for a thread's, 2 in the lowest for its own time.
        _ if clock < 0 && clock & 3 == 2 => {
            let id = !(clock >> 3);
            match (id, clock & 4 != 0) {
                (0, false) => Ok(call.thread.process.ran_ns()),
                (0, true) => Ok(call.thread.ran_ns()),
                (_, false) => table::process(id).map(|process| process.ran_ns()).ok_or(Errno::EINVAL),
                (_, true) => table::thread(id).map(|thread| thread.ran_ns()).ok_or(Errno::EINVAL),
            }
        }
        _ => Err(Errno::EINVAL),
    }
}

fn clock_gettime(call: &mut Call) -> Result<usize, Errno> {
    let now_ns = read_clock(call, call.int(0))?;
    write_timespec(call.arg(1), now_ns)?;
    Ok(0)
}

fn clock_settime(call: &mut Call) -> Result<usize, Errno> {
    let new_ns = read_timespec(call.arg(1))?;
    if call.int(0) != CLOCK_REALTIME {
        return Err(Errno::EINVAL);
    }
    if !call.thread.process.full_credentials().is_privileged() {
        return Err(Errno::EPERM);
    }
    time::set_realtime_ns(new_ns);
    Ok(0)
}

fn clock_getres(call: &mut Call) -> Result<usize, Errno> {
    read_clock(call, call.int(0))?;
    if call.arg(1) != 0 {
        write_timespec(call.arg(1), 1)?;
    }
    Ok(0)
}

fn gettimeofday(call: &mut Call) -> Result<usize, Errno> {
    if call.arg(0) != 0 {
        user::write(call.arg(0), &timeval(time::realtime_ns()))?;
    }
    if call.arg(1) != 0 {
        // struct timezone: UTC.
        user::write(call.arg(1), &[0i32; 2])?;
    }
    Ok(0)
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
        let process = &call.thread.process;
        // All CPU time counts as user time.
        user::write(
            call.arg(0),
            &[ticks(process.ran_ns()), 0, ticks(process.children_ran_ns()), 0],
        )?;
    }
    Ok(ticks(time::now_ns()) as usize)
}

/// Sleeps to a deadline. Interrupted, a relative sleep writes what is left and can be taken up again.
fn sleep(call: &Call, deadline_ns: u64, remaining: Option<usize>) -> Result<usize, Errno> {
    loop {
        match call.thread.park_until(Some(deadline_ns)) {
            Unparked::TimedOut => return Ok(0),
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
    call.thread.restart_deadline_ns.store(deadline_ns, Relaxed);
    Err(Errno::ERESTART_RESTARTBLOCK)
}

/// The deadline of a relative sleep: a new one, or that of the sleep a stop interrupted.
fn relative_deadline(call: &Call, duration_ns: u64) -> u64 {
    match call.thread.restart_deadline_ns.swap(0, Relaxed) {
        0 => time::now_ns().saturating_add(duration_ns),
        deadline_ns => deadline_ns,
    }
}

fn nanosleep(call: &mut Call) -> Result<usize, Errno> {
    let duration_ns = read_timespec(call.arg(0))?;
    sleep(call, relative_deadline(call, duration_ns), Some(call.arg(1)))
}

fn clock_nanosleep(call: &mut Call) -> Result<usize, Errno> {
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
        CLOCK_REALTIME | CLOCK_TAI | CLOCK_REALTIME_ALARM => sleep(call, time::from_realtime_ns(request_ns), None),
        _ => sleep(call, request_ns, None),
    }
}

/// The process's ITIMER_REAL, made when first used.
fn interval_timer(call: &Call) -> Result<Arc<IntervalTimer>, Errno> {
    call.thread.process.interval_timer()
}

/// (left, interval) of a setting as struct itimerval has them: interval first.
fn itimerval(setting: Setting) -> [u64; 4] {
    let left_ns = match setting.deadline_ns {
        0 => 0,
        // An armed timer never reads as zero, which would say disarmed.
        deadline_ns => deadline_ns.saturating_sub(time::now_ns()).max(1000),
    };
    let ([interval_s, interval_us], [left_s, left_us]) = (timeval(setting.interval_ns), timeval(left_ns));
    [interval_s, interval_us, left_s, left_us]
}

/// EINVAL for a clock that is none; the two CPU-time timers are not there (ENOSYS).
fn check_which(call: &Call) -> Result<(), Errno> {
    match call.int(0) {
        ITIMER_REAL => Ok(()),
        ITIMER_VIRTUAL | ITIMER_PROF => Err(Errno::ENOSYS),
        _ => Err(Errno::EINVAL),
    }
}

fn getitimer(call: &mut Call) -> Result<usize, Errno> {
    check_which(call)?;
    user::write(call.arg(1), &itimerval(interval_timer(call)?.setting()))?;
    Ok(0)
}

fn setitimer(call: &mut Call) -> Result<usize, Errno> {
    check_which(call)?;
    let new = match call.arg(1) {
        0 => Setting::default(),
        address => {
            let [interval_s, interval_us, value_s, value_us]: [i64; 4] = user::read(address)?;
            let (interval_ns, value_ns) = (timeval_ns(interval_s, interval_us)?, timeval_ns(value_s, value_us)?);
            let deadline_ns = if value_ns == 0 {
                0
            } else {
                time::now_ns().saturating_add(value_ns)
            };
            Setting {
                deadline_ns,
                interval_ns,
            }
        }
    };
    let former = interval_timer(call)?.set(new);
    if call.arg(2) != 0 {
        user::write(call.arg(2), &itimerval(former))?;
    }
    Ok(0)
}

#[cfg(target_arch = "x86_64")]
fn alarm(call: &mut Call) -> Result<usize, Errno> {
    let seconds = call.uint(0) as u64;
    let deadline_ns = if seconds == 0 {
        0
    } else {
        time::now_ns() + seconds * NANOSECONDS
    };
    let former = interval_timer(call)?.set(Setting {
        deadline_ns,
        interval_ns: 0,
    });
    let left_ns = match former.deadline_ns {
        0 => return Ok(0),
        deadline_ns => deadline_ns.saturating_sub(time::now_ns()),
    };
    // alarm(2): an alarm that is still to come is at least a second away.
    Ok(((left_ns + NANOSECONDS / 2) / NANOSECONDS).max(1) as usize)
}
