//! mq_notify(3): one process hears, once, that a message has come into an empty queue for which nobody waited.

use super::QueueFile;
use crate::file::OpenFile;
use crate::net::netlink::Promise;
use crate::task::signal::Info;
use crate::task::{self, Process};
use alloc::sync::{Arc, Weak};
use core::sync::atomic::{
    AtomicUsize,
    Ordering::{Acquire, Relaxed},
};
use libsyscall::abi::mqueue::*;
use libsyscall::abi::signal::*;

/// Requests that stand. While there are none, closing a descriptor costs one look at this.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// How a process wants to hear of it.
pub enum Request {
    /// SIGEV_NONE: not at all; but nobody else can ask meanwhile.
    Silence,
    /// SIGEV_SIGNAL; signal 0 is none.
    Signal { signal: u32, value: u64 },
    /// SIGEV_THREAD: these bytes, by a netlink socket on which the C library's thread waits.
    Cookie([u8; NOTIFY_COOKIE_LEN], Promise),
}

/// A request that stands.
pub struct Notification {
    owner: Weak<Process>,
    /// The program that asked: one that the process executes later does not expect the signal.
    space: Option<u64>,
    request: Request,
}

fn space_of(process: &Process) -> Option<u64> {
    process.try_space().map(|space| space.id())
}

impl Notification {
    /// For the running process.
    pub fn new(request: Request) -> Notification {
        COUNT.fetch_add(1, Relaxed);
        task::with_current(|thread| Notification {
            owner: Arc::downgrade(&thread.process),
            space: space_of(&thread.process),
            request,
        })
    }

    /// Whether it is the running process's.
    pub fn is_mine(&self) -> bool {
        task::with_current(|thread| core::ptr::eq(self.owner.as_ptr(), &*thread.process))
    }

    /// sigev_notify, the signal and the process, for read(2).
    pub fn describe(&self) -> (u32, u32, i32) {
        let pid = self.owner.upgrade().map_or(0, |owner| owner.pid);
        match self.request {
            Request::Silence => (SIGEV_NONE, 0, pid),
            Request::Signal { signal, .. } => (SIGEV_SIGNAL, signal, pid),
            Request::Cookie(..) => (SIGEV_THREAD, 0, pid),
        }
    }

    /// The running thread has sent the message.
    pub fn deliver(mut self) {
        match self.take_request() {
            Request::Signal { signal, value } if signal != 0 => {
                let (pid, uid) = task::with_current(|thread| (thread.process.pid, thread.credentials().uid.real));
                let info = Info::new(signal, SI_MESGQ).with_sender(pid, uid).with_value(value);
                if let Some(owner) = self.owner.upgrade()
                    && space_of(&owner) == self.space
                {
                    owner.send_signal(signal, info);
                }
            }
            Request::Cookie(cookie, promise) => send_cookie(cookie, promise, NOTIFY_WOKENUP),
            Request::Signal { .. } | Request::Silence => {}
        }
    }

    /// The process has taken it back.
    pub fn take_back(mut self) {
        if let Request::Cookie(cookie, promise) = self.take_request() {
            send_cookie(cookie, promise, NOTIFY_REMOVED);
        }
    }

    fn take_request(&mut self) -> Request {
        core::mem::replace(&mut self.request, Request::Silence)
    }
}

impl Drop for Notification {
    fn drop(&mut self) {
        COUNT.fetch_sub(1, Relaxed);
    }
}

fn send_cookie(mut cookie: [u8; NOTIFY_COOKIE_LEN], promise: Promise, why: u8) {
    cookie[NOTIFY_COOKIE_LEN - 1] = why;
    promise.keep(&cookie);
}

/// The running process has closed a descriptor of the description: of a queue, that ends what it asked for there.
#[inline]
pub fn closed(open: &OpenFile) {
    if COUNT.load(Acquire) != 0
        && let Some(file) = open.downcast::<QueueFile>()
    {
        file.queue.forget_notification(false);
    }
}
