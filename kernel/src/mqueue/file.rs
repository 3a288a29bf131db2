//! A queue as a descriptor has it. Messages go by calls of their own; read(2) tells about the queue.

use super::queue::Queue;
use crate::file::{File, OpenFile};
use crate::fs::{Place, Stat};
use crate::mm::user::{self, Sink, Source};
use alloc::string::String;
use alloc::sync::Arc;
use event::Pollable;
use libsyscall::abi::Errno;
use libsyscall::abi::ioctl::FIONREAD;

#[derive(Clone)]
pub struct QueueFile {
    pub queue: Arc<Queue>,
    pub(super) place: Place,
}

impl File for QueueFile {
    fn transfers(&self) -> (bool, bool) {
        (true, false)
    }

    fn seekable(&self) -> bool {
        true
    }

    fn read_at(&self, offset: u64, to: &mut Sink) -> Result<usize, Errno> {
        let text = self.queue.describe();
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| text.as_bytes().get(offset..));
        to.put(rest.unwrap_or(&[]))
    }

    fn write_at(&self, _offset: u64, _from: &mut Source) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }

    fn append(&self, _from: &mut Source) -> Result<(usize, u64), Errno> {
        Err(Errno::EINVAL)
    }

    fn ioctl(&self, open: &OpenFile, command: u32, argument: usize) -> Result<usize, Errno> {
        if command != FIONREAD {
            return Err(Errno::ENOTTY);
        }
        // As of any file with a size, whatever there is to read.
        let left = self.stat().size.wrapping_sub(open.offset());
        user::write(argument, &(left as i32))?;
        Ok(0)
    }

    fn stat(&self) -> Stat {
        self.queue.stat()
    }

    fn pollable(self: Arc<Self>) -> Option<Arc<dyn Pollable>> {
        Some(self.queue.clone())
    }

    fn place(&self) -> Option<&Place> {
        Some(&self.place)
    }

    fn link_name(&self) -> String {
        self.place.display()
    }
}
