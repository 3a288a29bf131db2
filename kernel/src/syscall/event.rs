//! epoll, eventfd, timerfd and signalfd.

use super::descriptor::install;
use super::table::{Line, line};
use super::time::timespec_ns;
use super::{Call, poll};
use crate::file::OpenFile;
use crate::file::anon::epoll::EpollFile;
use crate::file::anon::eventfd::EventFile;
use crate::file::anon::signalfd::SignalFile;
use crate::file::anon::timerfd::{Setting, TimerFd, TimerFile};
use crate::mm::frame;
use crate::mm::user;
use crate::task::signal::UNSTOPPABLE;
use crate::task::thread::deadline_after;
use alloc::sync::Arc;
use core::num::NonZeroUsize;
use event::epoll::{Place, Target, WatchList};
use event::{Epoll, EventMask};
use libsyscall::abi::capability::CAP_WAKE_ALARM;
use libsyscall::abi::epoll::*;
use libsyscall::abi::fcntl::{O_NONBLOCK, O_RDWR};
use libsyscall::abi::time::*;
use libsyscall::abi::{Errno, nr};

pub const CALLS: &[Line] = &[
    line(nr::EPOLL_CREATE1, epoll_create1),
    line(nr::EPOLL_CTL, epoll_ctl),
    line(nr::EPOLL_PWAIT, epoll_pwait),
    line(nr::EPOLL_PWAIT2, epoll_pwait2),
    line(nr::EVENTFD2, eventfd2),
    line(nr::TIMERFD_CREATE, timerfd_create),
    line(nr::TIMERFD_SETTIME, timerfd_settime),
    line(nr::TIMERFD_GETTIME, timerfd_gettime),
    line(nr::SIGNALFD4, signalfd4),
    #[cfg(target_arch = "x86_64")]
    line(nr::EPOLL_CREATE, epoll_create),
    #[cfg(target_arch = "x86_64")]
    line(nr::EPOLL_WAIT, epoll_wait),
    #[cfg(target_arch = "x86_64")]
    line(nr::EVENTFD, eventfd),
    #[cfg(target_arch = "x86_64")]
    line(nr::SIGNALFD, signalfd),
];

fn new_epoll(call: &Call, cloexec: bool) -> Result<usize, Errno> {
    install(call, OpenFile::new(Arc::new(EpollFile::new()?), O_RDWR), cloexec)
}

/// epoll_create1(2): EINVAL for any flag but EPOLL_CLOEXEC.
fn epoll_create1(call: &mut Call) -> Result<usize, Errno> {
    let flags = call.uint(0);
    if flags & !EPOLL_CLOEXEC != 0 {
        return Err(Errno::EINVAL);
    }
    new_epoll(call, flags & EPOLL_CLOEXEC != 0)
}

/// epoll_create(2): the size says nothing, but must be positive.
#[cfg(target_arch = "x86_64")]
fn epoll_create(call: &mut Call) -> Result<usize, Errno> {
    if call.int(0) <= 0 {
        return Err(Errno::EINVAL);
    }
    new_epoll(call, false)
}

/// epoll_ctl(2), with Linux's order of checks (semantics 13).
fn epoll_ctl(call: &mut Call) -> Result<(), Errno> {
    let call = &*call;
    let result = match call.int(1) {
        EPOLL_CTL_MOD => event_of(call).and_then(|(events, data)| {
            call.with_two_files(0, 2, move |epoll, target| match known(epoll, target) {
                Some((epoll, watches)) => epoll.modify(watches, call.int(2), events, data),
                None => control(call, epoll, target, events, data),
            })
        }),
        EPOLL_CTL_DEL => call.with_two_files(0, 2, move |epoll, target| match known(epoll, target) {
            Some((epoll, watches)) => epoll.remove(watches, call.int(2)),
            None => control(call, epoll, target, EventMask::empty(), 0),
        }),
        _ => event_of(call).and_then(|(events, data)| {
            call.with_two_files(0, 2, move |epoll, target| control(call, epoll, target, events, data))
        }),
    };
    result.map_err(|error| {
        if error == Errno::ENOENT {
            not_registered(call)
        } else {
            error
        }
    })
}

/// The event that epoll_ctl(2) is given: EFAULT. EPOLLWAKEUP needs a capability that nobody has here, and is dropped without
/// a word (semantics 28).
#[inline]
fn event_of(call: &Call) -> Result<(EventMask, u64), Errno> {
    let EpollEvent { events, data, .. } = user::read(call.arg(3))?;
    Ok((EventMask::from_bits_retain(events) - EventMask::WAKEUP, data))
}

/// An epoll, and a file that has been registered once: they have passed the checks that [`control`] makes, but for one: they
/// may be the same.
#[inline]
fn known<'a>(epoll: &'a OpenFile, target: &'a OpenFile) -> Option<(&'a Epoll, &'a WatchList)> {
    Some((epoll.epoll()?, target.registered()?))
}

/// What epoll_ctl(2) says of a file that is not registered: ENOENT, or EINVAL of the epoll itself, which never is.
#[cold]
fn not_registered(call: &Call) -> Errno {
    match call.with_two_files(0, 2, |epoll, target| Ok(core::ptr::eq(epoll, target))) {
        Ok(true) => Errno::EINVAL,
        _ => Errno::ENOENT,
    }
}

/// epoll_ctl(2) with all its checks: EBADF for what was opened with O_PATH, EPERM for what can't be watched, EINVAL for an
/// epoll itself and where there is none.
#[inline(never)]
fn control(call: &Call, epoll: &OpenFile, target: &OpenFile, events: EventMask, data: u64) -> Result<(), Errno> {
    let (operation, fd) = (call.int(1), call.int(2));
    if epoll.is_path() || target.is_path() {
        return Err(Errno::EBADF);
    }
    let source = target.file.share().pollable().ok_or(Errno::EPERM)?;
    if core::ptr::eq(epoll, target) {
        return Err(Errno::EINVAL);
    }
    let epoll = epoll.epoll().ok_or(Errno::EINVAL)?;
    let watches = target.watches();
    match operation {
        EPOLL_CTL_MOD => epoll.modify(watches, fd, events, data),
        EPOLL_CTL_DEL => epoll.remove(watches, fd),
        EPOLL_CTL_ADD => {
            frame::admit()?;
            epoll.add(Target { watches, fd, source }, events, data)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// The common part of the waits: arguments 0 to 2 are theirs all. Who may sleep asks for the deadline.
#[inline]
fn wait(
    call: &Call,
    only_looks: impl FnOnce(&Call) -> bool,
    deadline_ns: impl FnOnce(&Call) -> Option<u64>,
) -> Result<usize, Errno> {
    call.with_file(0, move |open| {
        let place = events_place(call)?;
        let Some(epoll) = open.epoll() else {
            return Err(if open.is_path() { Errno::EBADF } else { Errno::EINVAL });
        };
        if !epoll.has_ready() && only_looks(call) {
            return Ok(0);
        }
        wait_for_events(call, epoll, place, deadline_ns)
    })
}

/// Where a wait's events go.
#[derive(Clone, Copy)]
struct EventPlace(user::Place<EpollEvent>);

impl Place for EventPlace {
    #[inline]
    fn put(self, events: EventMask, data: u64) -> Result<Option<EventPlace>, Errno> {
        let next = self.0.put(&EpollEvent::new(events.bits(), data))?;
        Ok(next.map(EventPlace))
    }
}

/// The first place of a wait's array: EINVAL, EFAULT.
#[inline]
fn events_place(call: &Call) -> Result<EventPlace, Errno> {
    const LIMIT: usize = i32::MAX as usize / size_of::<EpollEvent>();
    let max = call.uint(2) as usize;
    let max = NonZeroUsize::new(max)
        .filter(|max| max.get() <= LIMIT)
        .ok_or(Errno::EINVAL)?;
    user::Place::first(call.arg(1), max).map(EventPlace)
}

/// Apart, so that who finds nothing saves no registers.
#[inline(never)]
fn wait_for_events(
    call: &Call,
    epoll: &Epoll,
    place: EventPlace,
    deadline_ns: impl FnOnce(&Call) -> Option<u64>,
) -> Result<usize, Errno> {
    epoll.wait(place, || (call.thread(), deadline_ns(call)))
}

/// A timeout in milliseconds as a deadline; negative is for ever.
fn deadline_ms(timeout_ms: i32) -> Option<u64> {
    match timeout_ms {
        0 => Some(0),
        1.. => deadline_after(timeout_ms as u64 * 1_000_000),
        _ => None,
    }
}

#[cfg(target_arch = "x86_64")]
fn epoll_wait(call: &mut Call) -> Result<usize, Errno> {
    wait_ms(call)
}

/// A wait with a timeout in milliseconds, argument 3.
#[inline]
fn wait_ms(call: &Call) -> Result<usize, Errno> {
    wait(call, |call| call.int(3) == 0, |call| deadline_ms(call.int(3)))
}

fn epoll_pwait(call: &mut Call) -> Result<usize, Errno> {
    let mask = poll::read_mask(call.arg(4), call.arg(5))?;
    poll::with_mask(call.thread(), mask, || wait_ms(call))
}

fn epoll_pwait2(call: &mut Call) -> Result<usize, Errno> {
    let deadline_ns = poll::read_deadline(call.arg(3))?;
    let mask = poll::read_mask(call.arg(4), call.arg(5))?;
    poll::with_mask(call.thread(), mask, || {
        wait(call, |_| deadline_ns == Some(0), |_| deadline_ns)
    })
}

fn new_eventfd(call: &Call, count: u32, flags: u32) -> Result<usize, Errno> {
    if flags & !(EFD_SEMAPHORE | EFD_CLOEXEC | EFD_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let file = EventFile::new(count, flags & EFD_SEMAPHORE != 0);
    install(
        call,
        OpenFile::new(Arc::new(file), O_RDWR | flags & O_NONBLOCK),
        flags & EFD_CLOEXEC != 0,
    )
}

fn eventfd2(call: &mut Call) -> Result<usize, Errno> {
    new_eventfd(call, call.uint(0), call.uint(1))
}

#[cfg(target_arch = "x86_64")]
fn eventfd(call: &mut Call) -> Result<usize, Errno> {
    new_eventfd(call, call.uint(0), 0)
}

fn timerfd_create(call: &mut Call) -> Result<usize, Errno> {
    let (clock, flags) = (call.int(0), call.uint(1));
    let clocks = [
        CLOCK_REALTIME,
        CLOCK_MONOTONIC,
        CLOCK_BOOTTIME,
        CLOCK_REALTIME_ALARM,
        CLOCK_BOOTTIME_ALARM,
    ];
    if !clocks.contains(&clock) || flags & !(TFD_CLOEXEC | TFD_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let timer = TimerFd::new(clock)?;
    check_alarm(call, timer.is_alarm())?;
    let file = TimerFile(timer);
    install(
        call,
        OpenFile::new(Arc::new(file), O_RDWR | flags & O_NONBLOCK),
        flags & TFD_CLOEXEC != 0,
    )
}

/// The timer behind descriptor argument 0: EBADF, EINVAL.
fn timer(call: &Call) -> Result<Arc<TimerFd>, Errno> {
    let open = call.file(0)?;
    Ok(open.downcast::<TimerFile>().ok_or(Errno::EINVAL)?.0.clone())
}

/// Writes a `struct itimerspec`: the interval, then the time left.
fn write_setting(address: usize, setting: Setting) -> Result<(), Errno> {
    let words = |ns: u64| [ns / NANOSECONDS, ns % NANOSECONDS];
    let ([interval_s, interval_ns], [value_s, value_ns]) = (words(setting.interval_ns), words(setting.value_ns));
    user::write(address, &[interval_s, interval_ns, value_s, value_ns])
}

fn timerfd_settime(call: &mut Call) -> Result<(), Errno> {
    let flags = call.uint(1);
    let [interval_s, interval_ns, value_s, value_ns]: [i64; 4] = user::read(call.arg(2))?;
    if flags & !(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET) != 0 {
        return Err(Errno::EINVAL);
    }
    // Linux counts in signed nanoseconds: some 292 years are the most there is.
    let ns = |seconds, nanoseconds| timespec_ns([seconds, nanoseconds]).map(|ns| ns.min(i64::MAX as u64));
    let new = Setting {
        interval_ns: ns(interval_s, interval_ns)?,
        value_ns: ns(value_s, value_ns)?,
    };
    let timer = timer(call)?;
    check_alarm(call, timer.is_alarm())?;
    let old = timer.set(flags, new)?;
    if call.arg(3) != 0 {
        write_setting(call.arg(3), old)?;
    }
    Ok(())
}

fn timerfd_gettime(call: &mut Call) -> Result<(), Errno> {
    let timer = timer(call)?;
    write_setting(call.arg(1), timer.setting())
}

/// EPERM for a timer that wakes a sleeping machine without the privilege.
fn check_alarm(call: &Call, is_alarm: bool) -> Result<(), Errno> {
    if is_alarm && !call.thread().credentials().has(CAP_WAKE_ALARM) {
        Err(Errno::EPERM)
    } else {
        Ok(())
    }
}

/// signalfd(2): a new descriptor, or another mask for an old one.
fn new_signalfd(call: &Call, flags: u32) -> Result<usize, Errno> {
    if call.arg(2) != size_of::<u64>() {
        return Err(Errno::EINVAL);
    }
    let mask = user::read::<u64>(call.arg(1))? & !UNSTOPPABLE;
    if flags & !(SFD_CLOEXEC | SFD_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let fd = call.int(0);
    if fd != -1 {
        let open = call.file(0)?;
        open.downcast::<SignalFile>().ok_or(Errno::EINVAL)?.set_mask(mask);
        return Ok(fd as usize);
    }
    let file = SignalFile::new(mask);
    install(
        call,
        OpenFile::new(Arc::new(file), O_RDWR | flags & O_NONBLOCK),
        flags & SFD_CLOEXEC != 0,
    )
}

fn signalfd4(call: &mut Call) -> Result<usize, Errno> {
    new_signalfd(call, call.uint(3))
}

#[cfg(target_arch = "x86_64")]
fn signalfd(call: &mut Call) -> Result<usize, Errno> {
    new_signalfd(call, 0)
}
