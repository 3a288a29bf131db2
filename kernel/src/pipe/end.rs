//! What a description does with its end of a pipe.

use super::{ENDS_CHANGED, FOR_READERS, FOR_WRITERS, PipeEnd, READABLE, WRITABLE, open_end, signal_if_broken};
use crate::arch::PAGE_SIZE;
use crate::file::signal_driven::Band;
use crate::file::{File, OpenFile};
use crate::fs::{self, Attributes, PIPE_DEVICE, Place, Stat};
use crate::mm::user::{self, Sink, Source};
use crate::task;
use alloc::string::String;
use alloc::sync::Arc;
use event::{EventMask, Pollable, WaitQueue};
use libsyscall::abi::Errno;
use libsyscall::abi::capability::CAP_SYS_RESOURCE;
use libsyscall::abi::fcntl::*;
use libsyscall::abi::ioctl::FIONREAD;
use sync::SpinLock;

/// What F_SETPIPE_SZ grants without privilege: /proc/sys/fs/pipe-max-size.
pub const SIZE_MAX: usize = 1 << 20;
/// The largest size that can be asked for at all.
const SIZE_LIMIT: usize = 1 << 31;

impl PipeEnd {
    /// F_GETPIPE_SZ.
    pub fn capacity(&self) -> usize {
        self.pipe.ring.lock().limit * PAGE_SIZE
    }

    /// F_SETPIPE_SZ: rounded up to a power of two of pages; the size it is now.
    pub fn set_capacity(&self, size: usize) -> Result<usize, Errno> {
        if size > SIZE_LIMIT {
            return Err(Errno::EINVAL);
        }
        let size = size.max(PAGE_SIZE).next_power_of_two();
        if size > SIZE_MAX && !fs::access::current().has(CAP_SYS_RESOURCE) {
            return Err(Errno::EPERM);
        }
        self.pipe.ring.lock().set_limit(size / PAGE_SIZE)?;
        // Whether there was room before or not, as on Linux.
        self.pipe.queue.wake(FOR_WRITERS);
        Ok(size)
    }
}

impl PipeEnd {
    #[inline(never)]
    fn wait_and_read(&self, to: &mut Sink) -> Result<usize, Errno> {
        task::block_on(&self.pipe.queue, READABLE | EventMask::HUP, None, || self.pipe.read(to))
    }

    /// Goes on with a write that has not put everything: waits for room, or ends with what has been put.
    #[inline(never)]
    pub(super) fn write_rest(
        &self,
        nonblocking: bool,
        from: &mut Source,
        packets: bool,
        begun: Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        let mut done = begun.unwrap_or(0);
        let mut step = || {
            while from.len() > 0 {
                done += self.pipe.write(from, packets)?;
            }
            Ok(())
        };
        let ended = match begun.and_then(|_| step()) {
            Err(Errno::EAGAIN) if !nonblocking => {
                task::block_on(&self.pipe.queue, WRITABLE | EventMask::ERR, None, step)
            }
            ended => ended,
        };
        match ended {
            Ok(()) => Ok(done),
            Err(error) => {
                signal_if_broken(error);
                if done > 0 {
                    return Ok(done);
                }
                // An edge for readers even so, as on Linux.
                self.pipe.queue.wake(READABLE);
                Err(error)
            }
        }
    }
}

impl File for PipeEnd {
    fn read(&self, open: &OpenFile, to: &mut Sink) -> Result<usize, Errno> {
        if to.len() == 0 {
            return Ok(0);
        }
        match self.pipe.read(to) {
            Err(Errno::EAGAIN) if !open.nonblocking() => self.wait_and_read(to),
            done => done,
        }
    }

    fn write(&self, open: &OpenFile, from: &mut Source) -> Result<usize, Errno> {
        if from.len() == 0 {
            return Ok(0);
        }
        let packets = open.flags() & O_DIRECT != 0;
        match self.pipe.write(from, packets) {
            Ok(count) if from.len() == 0 => Ok(count),
            begun => self.write_rest(open.nonblocking(), from, packets, begun),
        }
    }

    fn takes_direct(&self) -> bool {
        true
    }

    fn ioctl(&self, _open: &OpenFile, command: u32, argument: usize) -> Result<usize, Errno> {
        match command {
            FIONREAD => {
                let bytes = self.pipe.ring.lock().bytes() as i32;
                user::write(argument, &bytes)?;
                Ok(0)
            }
            _ => Err(Errno::ENOTTY),
        }
    }

    fn stat(&self) -> Stat {
        match &self.place {
            Some(place) => place.stat(),
            None => Stat {
                dev: PIPE_DEVICE,
                ino: self.pipe.ino,
                ..self.pipe.attributes.lock().stat(S_IFIFO)
            },
        }
    }

    fn attributes(&self) -> Option<&SpinLock<Attributes>> {
        Some(&self.pipe.attributes)
    }

    fn pollable(self: Arc<Self>) -> Option<Arc<dyn Pollable>> {
        Some(self)
    }

    fn sends_signals(&self) -> bool {
        true
    }

    fn band(&self, events: EventMask) -> Option<Band> {
        let is_for_reader = self.reads && (!self.writes || events.intersects(READABLE));
        Some(if is_for_reader { Band::In } else { Band::Out })
    }

    fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    fn link_name(&self) -> String {
        match &self.place {
            Some(place) => place.display(),
            None => alloc::format!("pipe:[{}]", self.pipe.ino),
        }
    }

    fn reopen(&self, flags: u32) -> Result<Arc<dyn File>, Errno> {
        open_end(self.pipe.clone(), self.place.clone(), flags)
    }

    fn release(&self, _open: &OpenFile) {
        self.pipe.leave(self.reads, self.writes);
    }
}

impl Pollable for PipeEnd {
    fn readiness(&self) -> EventMask {
        let ring = self.pipe.ring.lock();
        let mut ready = EventMask::empty();
        if self.reads {
            if ring.used > 0 {
                ready |= READABLE;
            }
            if ring.writers == 0 && self.writers_seen != Some(ring.writer_openings) {
                ready |= EventMask::HUP;
            }
        }
        if self.writes {
            if !ring.is_full() {
                ready |= WRITABLE;
            }
            if ring.readers == 0 {
                ready |= EventMask::ERR;
            }
        }
        ready
    }

    fn wait_queue(&self) -> &WaitQueue {
        &self.pipe.queue
    }

    fn told_of(&self) -> EventMask {
        match (self.reads, self.writes) {
            (true, false) => FOR_READERS,
            (false, true) => FOR_WRITERS,
            _ => ENDS_CHANGED,
        }
    }
}
