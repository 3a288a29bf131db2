//! epoll(7), eventfd(2) and timerfd_create(2) as the loops call them.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// A call's `-1` as its error.
pub fn checked<T: PartialOrd + From<i8>>(result: T) -> io::Result<T> {
    if result < T::from(0) {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// One event of [`Epoll::wait`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    pub mask: u32,
    pub data: u64,
}

pub struct Epoll(OwnedFd);

impl Epoll {
    pub fn new() -> io::Result<Epoll> {
        // SAFETY: takes no pointers; the result is a new descriptor.
        unsafe { checked(libc::epoll_create1(libc::EPOLL_CLOEXEC)).map(|fd| Epoll(OwnedFd::from_raw_fd(fd))) }
    }

    pub fn add(&self, fd: RawFd, mask: u32, data: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, mask, data)
    }

    pub fn modify(&self, fd: RawFd, mask: u32, data: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, mask, data)
    }

    pub fn delete(&self, fd: RawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, 0)
    }

    fn control(&self, operation: i32, fd: RawFd, mask: u32, data: u64) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: mask,
            u64: data,
        };
        // SAFETY: the event outlives the call.
        checked(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), operation, fd, &raw mut event) }).map(drop)
    }

    /// Waits for events, for ever without a timeout, and gives those that came: none when the time was up, or when a
    /// signal handler ran. The timeout is rounded up to whole milliseconds, so that it never ends early.
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<impl Iterator<Item = Event>> {
        const ROOM: usize = 128;
        let timeout_ms = timeout.map_or(-1, |time| {
            let ms = time.as_nanos().div_ceil(1_000_000);
            ms.min(i32::MAX as u128) as i32
        });
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; ROOM];
        // SAFETY: the kernel writes at most `ROOM` events, which outlive the call.
        let count = unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), ROOM as i32, timeout_ms) };
        let count = match checked(count) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            other => other? as usize,
        };
        Ok(events.into_iter().take(count).map(|event| Event {
            mask: event.events,
            data: event.u64,
        }))
    }
}

/// An eventfd(2), non-blocking.
pub struct EventFd(OwnedFd);

impl EventFd {
    pub fn new() -> io::Result<EventFd> {
        // SAFETY: as in `Epoll::new`.
        unsafe {
            checked(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK))
                .map(|fd| EventFd(OwnedFd::from_raw_fd(fd)))
        }
    }

    /// Adds one. A full counter is as good as written.
    pub fn signal(&self) {
        let one = 1u64;
        // SAFETY: 8 bytes that outlive the call.
        unsafe { libc::write(self.as_raw_fd(), (&raw const one).cast(), 8) };
    }

    /// Takes the counter back to 0.
    pub fn drain(&self) {
        let mut count = 0u64;
        // SAFETY: as above.
        unsafe { libc::read(self.as_raw_fd(), (&raw mut count).cast(), 8) };
    }
}

impl AsRawFd for EventFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A timerfd on the monotonic clock, non-blocking.
pub struct TimerFd(OwnedFd);

impl TimerFd {
    pub fn new() -> io::Result<TimerFd> {
        let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
        // SAFETY: as in `Epoll::new`.
        unsafe {
            checked(libc::timerfd_create(libc::CLOCK_MONOTONIC, flags)).map(|fd| TimerFd(OwnedFd::from_raw_fd(fd)))
        }
    }

    /// Expires once, after `delay`; at once for none. `None` disarms it. Setting it forgets an expiration not yet read.
    pub fn set(&self, delay: Option<Duration>) -> io::Result<()> {
        let delay = delay.map_or(Duration::ZERO, |delay| delay.max(Duration::from_nanos(1)));
        let setting = libc::itimerspec {
            it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: libc::timespec {
                tv_sec: delay.as_secs() as libc::time_t,
                tv_nsec: delay.subsec_nanos().into(),
            },
        };
        // SAFETY: the setting outlives the call; no old one is asked for.
        checked(unsafe { libc::timerfd_settime(self.as_raw_fd(), 0, &raw const setting, std::ptr::null_mut()) })
            .map(drop)
    }

    /// Takes note of expirations: it is not ready until the next.
    pub fn drain(&self) {
        let mut count = 0u64;
        // SAFETY: 8 bytes that outlive the call.
        unsafe { libc::read(self.as_raw_fd(), (&raw mut count).cast(), 8) };
    }
}

impl AsRawFd for TimerFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
