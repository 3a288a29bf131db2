//! eventfd(2) as a file.

use crate::file::{File, OpenFile};
use crate::fs::Stat;
use crate::mm::user::{Sink, Source};
use crate::task;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt::Write;
use core::sync::atomic::{AtomicU32, Ordering};
use event::{EventFd, EventMask, Pollable, WaitQueue};
use libsyscall::abi::Errno;

/// Bytes of a read or a write.
const LEN: usize = size_of::<u64>();

pub struct EventFile {
    counter: EventFd,
    /// eventfd-id of fdinfo: tells eventfds apart, as all have one inode number.
    id: u32,
}

impl EventFile {
    pub fn new(count: u32, semaphore: bool) -> EventFile {
        static NEXT_ID: AtomicU32 = AtomicU32::new(0);
        EventFile {
            counter: EventFd::new(count, semaphore),
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed) & i32::MAX as u32,
        }
    }

    /// A read that has found nothing. Apart, as is its fellow, so that the others need not save registers for it.
    #[cold]
    #[inline(never)]
    fn wait_and_read(&self, open: &OpenFile) -> Result<u64, Errno> {
        if open.nonblocking() {
            return Err(Errno::EAGAIN);
        }
        let attempt = || self.counter.try_read().ok_or(Errno::EAGAIN);
        task::block_on(self.counter.wait_queue(), EventMask::IN, None, attempt)
    }

    /// A write that has found no room.
    #[cold]
    #[inline(never)]
    fn wait_and_write(&self, open: &OpenFile, value: u64) -> Result<(), Errno> {
        if open.nonblocking() {
            return Err(Errno::EAGAIN);
        }
        let attempt = || self.counter.try_write(value).unwrap_or(Err(Errno::EAGAIN));
        task::block_on(self.counter.wait_queue(), EventMask::OUT, None, attempt)
    }
}

impl File for EventFile {
    /// The size is looked at before the counter (semantics 119); a buffer that can't be written has cost the count all
    /// the same (semantics 136).
    fn read(&self, open: &OpenFile, to: &mut Sink) -> Result<usize, Errno> {
        if to.len() < LEN {
            return Err(Errno::EINVAL);
        }
        let value = match self.counter.try_read() {
            Some(value) => value,
            None => self.wait_and_read(open)?,
        };
        to.put_last_value(&value)?;
        Ok(LEN)
    }

    fn write(&self, open: &OpenFile, from: &mut Source) -> Result<usize, Errno> {
        if from.len() != LEN {
            return Err(Errno::EINVAL);
        }
        let value = from.get_last_value()?;
        match self.counter.try_write(value) {
            Some(result) => result?,
            None => self.wait_and_write(open, value)?,
        }
        Ok(LEN)
    }

    fn writes_by_segment(&self) -> bool {
        true
    }

    fn stat(&self) -> Stat {
        super::stat()
    }

    fn seek_stream(&self) -> Result<u64, Errno> {
        Ok(0)
    }

    fn pollable(self: Arc<Self>) -> Option<Arc<dyn Pollable>> {
        Some(self)
    }

    fn link_name(&self) -> String {
        String::from("anon_inode:[eventfd]")
    }

    fn fdinfo(&self, out: &mut String) {
        let (count, id) = (self.counter.count(), self.id);
        let semaphore = self.counter.is_semaphore() as u32;
        let _ = writeln!(
            out,
            "eventfd-count: {count:16x}\neventfd-id: {id}\neventfd-semaphore: {semaphore}"
        );
    }
}

/// As its counter, which lies in it so that who watches the file takes no share but the file's.
impl Pollable for EventFile {
    fn readiness(&self) -> EventMask {
        self.counter.readiness()
    }

    fn answers_at_once(&self) -> bool {
        self.counter.answers_at_once()
    }

    fn wait_queue(&self) -> &WaitQueue {
        self.counter.wait_queue()
    }
}
