//! A thread as the tests have it, and short ways to say things.
#![allow(dead_code, reason = "each test file uses its part")]

use event::epoll::{Place, Target};
use event::{Epoll, EventFd, EventMask, Sleeper, Unparked, Waiter, WatchList, Woken};
use libsyscall::abi::Errno;
use std::cell::RefCell;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use sync::DirectArc;

/// A sleeper over the host's own blocking; its clock starts when it is made. Counts the wake-ups it used.
#[derive(Default)]
pub struct Thread {
    notified: Mutex<bool>,
    changed: Condvar,
    pub wakes: Mutex<u32>,
}

impl Waiter for Thread {
    fn wake(&self, _token: u32, _events: EventMask) -> Woken {
        let mut notified = self.notified.lock().unwrap();
        if *notified {
            return Woken::No;
        }
        *notified = true;
        *self.wakes.lock().unwrap() += 1;
        self.changed.notify_all();
        Woken::Yes
    }
}

impl Sleeper for Thread {
    /// A deadline is a length of time here: nobody in these tests parks twice with one.
    fn park(&self, deadline_ns: Option<u64>) -> Unparked {
        let mut notified = self.notified.lock().unwrap();
        while !*notified {
            match deadline_ns {
                None => notified = self.changed.wait(notified).unwrap(),
                Some(ns) => {
                    let (guard, result) = self.changed.wait_timeout(notified, Duration::from_nanos(ns)).unwrap();
                    notified = guard;
                    if result.timed_out() && !*notified {
                        return Unparked::TimedOut;
                    }
                }
            }
        }
        *notified = false;
        Unparked::Woken
    }

    fn is_notified(&self) -> bool {
        *self.notified.lock().unwrap()
    }
}

/// An eventfd with a description.
pub struct File {
    pub counter: Arc<EventFd>,
    pub watches: DirectArc<WatchList>,
}

impl File {
    pub fn new(id: u64, count: u32) -> File {
        File {
            counter: Arc::new(EventFd::new(count, false)),
            watches: DirectArc::new(WatchList::new(id)),
        }
    }

    pub fn target(&self, fd: i32) -> Target<'_> {
        Target {
            watches: &self.watches,
            fd,
            source: self.counter.clone(),
        }
    }

    pub fn write(&self, value: u64) {
        self.counter
            .try_write(value)
            .expect("there is room")
            .expect("a valid value");
    }
}

/// Room for so many events, which nobody looks at.
#[derive(Clone, Copy)]
pub struct Room(pub usize);

impl Place for Room {
    fn put(self, _events: EventMask, _data: u64) -> Result<Option<Room>, Errno> {
        Ok((self.0 > 1).then(|| Room(self.0 - 1)))
    }
}

/// Room for events that are kept.
#[derive(Clone, Copy)]
struct Kept<'a> {
    room: Room,
    events: &'a RefCell<Vec<(EventMask, u64)>>,
}

impl Place for Kept<'_> {
    fn put(self, events: EventMask, data: u64) -> Result<Option<Self>, Errno> {
        self.events.borrow_mut().push((events, data));
        let next = self.room.put(events, data)?;
        Ok(next.map(|room| Kept { room, ..self }))
    }
}

/// What one harvest of at most `max` gives.
pub fn harvest(epoll: &Epoll, max: usize) -> Vec<(EventMask, u64)> {
    let events = RefCell::new(Vec::new());
    let count = epoll.harvest(Kept {
        room: Room(max),
        events: &events,
    });
    let events = events.into_inner();
    assert_eq!(count, Ok(events.len()));
    events
}

/// Registers under the number `fd`, which is the data too.
pub fn add(epoll: &Arc<Epoll>, file: &File, fd: i32, events: EventMask) -> Result<(), Errno> {
    epoll.add(file.target(fd), events, fd as u64)
}
