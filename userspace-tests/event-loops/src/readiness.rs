//! A readiness loop whose interface names no operating system: descriptors, the two directions, events, deadlines, a waker.
//!
//! Directions are added and removed one by one. What epoll is told is the sum of them: the first is an ADD, a change a MOD,
//! the last one's removal a DEL. A peer that will send no more is an event of its own, `eof`, while there may still be
//! something to read before it.

use crate::epoll::{Epoll, EventFd};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a descriptor is ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    pub fd: RawFd,
    pub readable: bool,
    pub writable: bool,
    /// The other side sends no more.
    pub eof: bool,
    /// An error or a hang-up, which the next read or write tells more of.
    pub failed: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Interest {
    read: bool,
    write: bool,
}

impl Interest {
    fn mask(self) -> u32 {
        let mut mask = 0;
        if self.read {
            mask |= libc::EPOLLIN | libc::EPOLLRDHUP;
        }
        if self.write {
            mask |= libc::EPOLLOUT;
        }
        mask as u32
    }
}

/// A point in time to wait for, or none.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    pub const NEVER: Deadline = Deadline(None);

    pub fn now() -> Deadline {
        Deadline::after(Duration::ZERO)
    }

    /// A time too long to be told is never.
    pub fn after(time: Duration) -> Deadline {
        Deadline(Instant::now().checked_add(time))
    }

    pub fn earlier(self, other: Deadline) -> Deadline {
        match (self.0, other.0) {
            (Some(one), Some(two)) => Deadline(Some(one.min(two))),
            (one, two) => Deadline(one.or(two)),
        }
    }

    pub fn has_passed(self) -> bool {
        self.0.is_some_and(|at| at <= Instant::now())
    }

    /// What is left of the time; `None` for never.
    pub fn remaining(self) -> Option<Duration> {
        self.0.map(|at| at.saturating_duration_since(Instant::now()))
    }
}

/// Ends a wait of the loop, from any thread. One that comes before the wait ends it at once; many count as one.
#[derive(Clone)]
pub struct Waker(Arc<EventFd>);

impl Waker {
    pub fn wake(&self) {
        self.0.signal();
    }
}

pub struct Loop {
    epoll: Epoll,
    interests: HashMap<RawFd, Interest>,
    waker: Waker,
}

const WAKER: u64 = u64::MAX;

impl Loop {
    pub fn new() -> io::Result<Loop> {
        let epoll = Epoll::new()?;
        let waker = Waker(Arc::new(EventFd::new()?));
        epoll.add(waker.0.as_raw_fd(), libc::EPOLLIN as u32, WAKER)?;
        Ok(Loop {
            epoll,
            interests: HashMap::new(),
            waker,
        })
    }

    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    pub fn add_read(&mut self, fd: RawFd) -> io::Result<()> {
        self.change(fd, |interest| interest.read = true)
    }

    pub fn add_write(&mut self, fd: RawFd) -> io::Result<()> {
        self.change(fd, |interest| interest.write = true)
    }

    pub fn del_read(&mut self, fd: RawFd) -> io::Result<()> {
        self.change(fd, |interest| interest.read = false)
    }

    pub fn del_write(&mut self, fd: RawFd) -> io::Result<()> {
        self.change(fd, |interest| interest.write = false)
    }

    /// Tells epoll what became of the sum, if anything did. A call that fails changes nothing here either.
    fn change(&mut self, fd: RawFd, edit: impl FnOnce(&mut Interest)) -> io::Result<()> {
        let before = self.interests.get(&fd).copied().unwrap_or_default();
        let mut after = before;
        edit(&mut after);
        match (before.mask(), after.mask()) {
            (was, is) if was == is => return Ok(()),
            (0, mask) => self.epoll.add(fd, mask, fd as u64)?,
            (_, 0) => self.epoll.delete(fd)?,
            (_, mask) => self.epoll.modify(fd, mask, fd as u64)?,
        }
        if after.mask() == 0 {
            self.interests.remove(&fd);
        } else {
            self.interests.insert(fd, after);
        }
        Ok(())
    }

    /// Waits until something is ready, the waker was used, or the deadline is there, and puts what is ready into `events`.
    /// Whether the waker was used.
    pub fn wait(&mut self, deadline: Deadline, events: &mut Vec<Event>) -> io::Result<bool> {
        events.clear();
        let mut woken = false;
        while events.is_empty() && !woken {
            for event in self.epoll.wait(deadline.remaining())? {
                if event.data == WAKER {
                    self.waker.0.drain();
                    woken = true;
                    continue;
                }
                let has = |bits: i32| event.mask & bits as u32 != 0;
                events.push(Event {
                    fd: event.data as RawFd,
                    readable: has(libc::EPOLLIN),
                    writable: has(libc::EPOLLOUT),
                    eof: has(libc::EPOLLRDHUP | libc::EPOLLHUP),
                    failed: has(libc::EPOLLERR | libc::EPOLLHUP),
                });
            }
            if deadline.has_passed() {
                break;
            }
        }
        Ok(woken)
    }
}
