//! Timers that send signals: setitimer(2), alarm(2), timer_create(2).

use super::Call;
use super::table::{Line, line};
use super::time::{cpu_clock, timespec, timespec_ns, timeval, timeval_ns};
use crate::mm::{frame, user};
use crate::task::table;
use crate::time::signal_timer::{Clock, Request, Setting, SignalTimer};
use alloc::sync::Arc;
use libsyscall::abi::capability::CAP_WAKE_ALARM;
use libsyscall::abi::process::RLIMIT_SIGPENDING;
use libsyscall::abi::signal::*;
use libsyscall::abi::time::*;
use libsyscall::abi::{Errno, nr};

pub const CALLS: &[Line] = &[
    line(nr::GETITIMER, getitimer),
    line(nr::SETITIMER, setitimer),
    #[cfg(target_arch = "x86_64")]
    line(nr::ALARM, alarm),
    line(nr::TIMER_CREATE, timer_create),
    line(nr::TIMER_SETTIME, timer_settime),
    line(nr::TIMER_GETTIME, timer_gettime),
    line(nr::TIMER_GETOVERRUN, timer_getoverrun),
    line(nr::TIMER_DELETE, timer_delete),
];

/// The interval timer that the first argument names: EINVAL.
fn interval_timer(call: &Call) -> Result<Arc<SignalTimer>, Errno> {
    let process = &call.thread().process;
    match call.int(0) {
        which @ (ITIMER_REAL | ITIMER_VIRTUAL | ITIMER_PROF) => process.timers.interval(which, process),
        _ => Err(Errno::EINVAL),
    }
}

/// (interval, what is left) of a setting, in that order of struct itimerval and struct itimerspec.
fn times_of(timer: &SignalTimer, setting: Setting) -> (u64, u64) {
    let now_ns = timer.clock().now_ns().unwrap_or(0);
    let left_ns = match setting.deadline_ns {
        0 => 0,
        // An armed timer never reads as zero, which would say disarmed.
        deadline_ns => deadline_ns.saturating_sub(now_ns).max(1),
    };
    (setting.interval_ns, left_ns)
}

fn write_itimerval(address: usize, timer: &SignalTimer, setting: Setting) -> Result<(), Errno> {
    let (interval_ns, left_ns) = times_of(timer, setting);
    // Nor does one that has less than a microsecond left.
    let left_ns = if left_ns == 0 { 0 } else { left_ns.max(1000) };
    let ([interval_s, interval_us], [left_s, left_us]) = (timeval(interval_ns), timeval(left_ns));
    user::write(address, &[interval_s, interval_us, left_s, left_us])
}

/// A setting whose first expiry is `value_ns` from now, or none for 0.
fn setting_from_now(timer: &SignalTimer, value_ns: u64, interval_ns: u64) -> Setting {
    let deadline_ns = match value_ns {
        0 => 0,
        _ => timer.clock().now_ns().unwrap_or(0).saturating_add(value_ns),
    };
    Setting {
        deadline_ns,
        interval_ns,
    }
}

fn getitimer(call: &mut Call) -> Result<(), Errno> {
    let timer = interval_timer(call)?;
    write_itimerval(call.arg(1), &timer, timer.setting())
}

fn setitimer(call: &mut Call) -> Result<(), Errno> {
    let timer = interval_timer(call)?;
    let new = match call.arg(1) {
        0 => Setting::default(),
        address => {
            let [interval_s, interval_us, value_s, value_us]: [i64; 4] = user::read(address)?;
            let (interval_ns, value_ns) = (timeval_ns(interval_s, interval_us)?, timeval_ns(value_s, value_us)?);
            setting_from_now(&timer, value_ns, interval_ns)
        }
    };
    let former = timer.set(new);
    if call.arg(2) != 0 {
        write_itimerval(call.arg(2), &timer, former)?;
    }
    Ok(())
}

#[cfg(target_arch = "x86_64")]
fn alarm(call: &mut Call) -> Result<usize, Errno> {
    let timer = call
        .thread()
        .process
        .timers
        .interval(ITIMER_REAL, &call.thread().process)?;
    let former = timer.set(setting_from_now(&timer, call.uint(0) as u64 * NANOSECONDS, 0));
    match times_of(&timer, former) {
        (_, 0) => Ok(0),
        // alarm(2): an alarm that is still to come is at least a second away.
        (_, left_ns) => Ok(((left_ns + NANOSECONDS / 2) / NANOSECONDS).max(1) as usize),
    }
}

/// timer_create(2)'s clock: EINVAL where there is none, EOPNOTSUPP for one without timers.
fn timer_clock(call: &Call, clock: i32) -> Result<Clock, Errno> {
    let is_privileged = || call.thread().credentials().has(CAP_WAKE_ALARM);
    match clock {
        CLOCK_MONOTONIC | CLOCK_BOOTTIME => Ok(Clock::Monotonic),
        CLOCK_REALTIME | CLOCK_TAI => Ok(Clock::Realtime),
        CLOCK_REALTIME_ALARM | CLOCK_BOOTTIME_ALARM if !is_privileged() => Err(Errno::EPERM),
        CLOCK_BOOTTIME_ALARM => Ok(Clock::Monotonic),
        CLOCK_REALTIME_ALARM => Ok(Clock::Realtime),
        CLOCK_MONOTONIC_RAW | CLOCK_REALTIME_COARSE | CLOCK_MONOTONIC_COARSE => Err(Errno::EOPNOTSUPP),
        _ => cpu_clock(call, clock),
    }
}

/// struct sigevent: sigev_value, then sigev_signo and sigev_notify, then the thread of SIGEV_THREAD_ID. A null one is
/// SIGALRM to the process.
fn read_request(call: &Call, clock: Clock, address: usize) -> Result<Request, Errno> {
    if address == 0 {
        return Ok(Request {
            clock,
            signal: Some(SIGALRM),
            value: None,
            thread: None,
        });
    }
    let [value, kind, thread]: [u64; 3] = user::read(address)?;
    let (signal, notify) = (kind as u32, (kind >> 32) as u32);
    let thread = if notify & SIGEV_THREAD_ID != 0 {
        let thread = table::thread(thread as i32).filter(|thread| thread.process.pid == call.thread().process.pid);
        Some(Arc::downgrade(&thread.ok_or(Errno::EINVAL)?))
    } else {
        None
    };
    let signal = match notify & !SIGEV_THREAD_ID {
        SIGEV_SIGNAL | SIGEV_THREAD if (1..=SIGNAL_COUNT).contains(&signal) => Some(signal),
        SIGEV_NONE if thread.is_none() => None,
        _ => return Err(Errno::EINVAL),
    };
    Ok(Request {
        clock,
        signal,
        value: Some(value),
        thread,
    })
}

fn timer_create(call: &mut Call) -> Result<(), Errno> {
    let clock = timer_clock(call, call.int(0))?;
    let request = read_request(call, clock, call.arg(1))?;
    frame::admit()?;
    let process = &call.thread().process;
    let limit = process.limit(RLIMIT_SIGPENDING).soft;
    let number = process.timers.create(process, request, limit)?;
    if let Err(error) = user::write(call.arg(2), &number) {
        process.timers.delete(number)?;
        return Err(error);
    }
    Ok(())
}

fn write_itimerspec(address: usize, timer: &SignalTimer, setting: Setting) -> Result<(), Errno> {
    let (interval_ns, left_ns) = times_of(timer, setting);
    let (interval, left) = (timespec(interval_ns), timespec(left_ns));
    user::write(address, &[interval, left])
}

fn timer_settime(call: &mut Call) -> Result<(), Errno> {
    let [interval, value]: [[i64; 2]; 2] = user::read(call.arg(2))?;
    let (interval_ns, value_ns) = (timespec_ns(interval)?, timespec_ns(value)?);
    let timer = call.thread().process.timers.get(call.int(0))?;
    let new = if call.int(1) & TIMER_ABSTIME != 0 && value_ns != 0 {
        Setting {
            // A moment of 0 would say disarmed; what lies before the start of the clock has passed.
            deadline_ns: timer.clock().moment_ns(value_ns).max(1),
            interval_ns,
        }
    } else {
        setting_from_now(&timer, value_ns, interval_ns)
    };
    let former = timer.set(new);
    if call.arg(3) != 0 {
        write_itimerspec(call.arg(3), &timer, former)?;
    }
    Ok(())
}

fn timer_gettime(call: &mut Call) -> Result<(), Errno> {
    let timer = call.thread().process.timers.get(call.int(0))?;
    write_itimerspec(call.arg(1), &timer, timer.setting())
}

fn timer_getoverrun(call: &mut Call) -> Result<usize, Errno> {
    Ok(call.thread().process.timers.get(call.int(0))?.overrun() as usize)
}

fn timer_delete(call: &mut Call) -> Result<(), Errno> {
    call.thread().process.timers.delete(call.int(0))
}
