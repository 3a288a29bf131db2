//! The events of an inotify instance, inotify(7): in their order, equal neighbours as one, as many as there may be.

use crate::{EventMask, Pollable, WaitQueue};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use libsyscall::abi::Errno;
use libsyscall::abi::inotify::{EVENT_HEADER, IN_IGNORED, IN_Q_OVERFLOW};
use sync::SpinLock;

/// Notices that an empty queue keeps room for; what a burst has taken goes back.
const KEPT: usize = 64;

/// What happened to what a watch watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The watch; -1 for an overflow.
    pub watch: i32,
    pub mask: u32,
    /// The same number for the two halves of a rename; 0 for all else.
    pub cookie: u32,
    /// The name in the watched directory; empty where it is about the watched file itself.
    pub name: Vec<u8>,
}

impl Notice {
    /// Bytes of the name as read(2) gives it: with at least one NUL, to a multiple of the header's length.
    pub fn name_len(&self) -> usize {
        if self.name.is_empty() {
            0
        } else {
            (self.name.len() + 1).next_multiple_of(EVENT_HEADER)
        }
    }

    /// Bytes that read(2) gives for it.
    pub fn read_len(&self) -> usize {
        EVENT_HEADER + self.name_len()
    }

    /// Whether it says nothing new after `last`. The end of a watch is always said.
    fn repeats(&self, last: &Notice) -> bool {
        last.mask & IN_IGNORED == 0 && (self.watch, self.mask, &self.name) == (last.watch, last.mask, &last.name)
    }
}

#[derive(Default)]
struct Queued {
    notices: VecDeque<Notice>,
    /// Bytes that read(2) would give for all.
    bytes: usize,
    /// One of them says that others were lost.
    overflowed: bool,
}

/// The queue of one instance.
pub struct NoticeQueue {
    queued: SpinLock<Queued>,
    /// How many there may be before one that says that there were more.
    limit: usize,
    readers: WaitQueue,
}

impl NoticeQueue {
    pub fn new(limit: usize) -> NoticeQueue {
        NoticeQueue {
            queued: SpinLock::new(Queued::default()),
            limit,
            readers: WaitQueue::new(),
        }
    }

    /// Queues a notice. Where the queue is full, or memory is, it is lost, and that is said once.
    pub fn put(&self, watch: i32, mask: u32, cookie: u32, name: &[u8]) {
        let mut queued = self.queued.lock();
        let mut notice = Notice {
            watch,
            mask,
            cookie,
            name: Vec::new(),
        };
        let fits = queued.notices.len() < self.limit
            && notice.name.try_reserve_exact(name.len()).is_ok()
            // Room for the overflow as well, so that there always is some.
            && queued.notices.try_reserve(2).is_ok();
        if fits {
            notice.name.extend_from_slice(name);
            if queued.notices.back().is_some_and(|last| notice.repeats(last)) {
                return;
            }
        } else {
            if queued.overflowed || queued.notices.try_reserve(1).is_err() {
                return;
            }
            queued.overflowed = true;
            notice = Notice {
                watch: -1,
                mask: IN_Q_OVERFLOW,
                cookie: 0,
                name: Vec::new(),
            };
        }
        queued.bytes += notice.read_len();
        queued.notices.push_back(notice);
        drop(queued);
        // As Linux does it, without a mask: whoever stands in the queue looks.
        self.readers.wake(EventMask::empty());
    }

    /// Takes the first notice if `room` bytes hold it: EAGAIN where there is none, EINVAL where it is longer.
    pub fn take(&self, room: usize) -> Result<Notice, Errno> {
        let mut queued = self.queued.lock();
        let first = queued.notices.front().ok_or(Errno::EAGAIN)?;
        if first.read_len() > room {
            return Err(Errno::EINVAL);
        }
        let notice = queued.notices.pop_front().ok_or(Errno::EAGAIN)?;
        queued.bytes -= notice.read_len();
        if notice.mask & IN_Q_OVERFLOW != 0 {
            queued.overflowed = false;
        }
        if queued.notices.is_empty() && queued.notices.capacity() > KEPT {
            queued.notices = VecDeque::new();
        }
        Ok(notice)
    }

    /// FIONREAD.
    pub fn bytes(&self) -> usize {
        self.queued.lock().bytes
    }
}

impl Pollable for NoticeQueue {
    fn readiness(&self) -> EventMask {
        if self.queued.lock().notices.is_empty() {
            EventMask::empty()
        } else {
            EventMask::READABLE
        }
    }

    fn wait_queue(&self) -> &WaitQueue {
        &self.readers
    }
}
