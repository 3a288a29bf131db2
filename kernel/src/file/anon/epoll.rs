//! An epoll instance as a file.

use crate::file::{File, OpenFile};
use crate::fs::Stat;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt::Write;
use event::{Epoll, EventMask, Pollable};
use libsyscall::abi::Errno;

pub struct EpollFile(pub Arc<Epoll>);

impl File for EpollFile {
    fn stat(&self) -> Stat {
        super::stat()
    }

    fn seek_stream(&self) -> Result<u64, Errno> {
        Ok(0)
    }

    fn ioctl(&self, _open: &OpenFile, _command: u32, _argument: usize) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }

    fn pollable(self: Arc<Self>) -> Option<Arc<dyn Pollable>> {
        Some(self.0.clone())
    }

    fn link_name(&self) -> String {
        String::from("anon_inode:[eventpoll]")
    }

    fn fdinfo(&self, out: &mut String) {
        self.0.for_each_interest(|fd, mask, data, file| {
            // EPOLLEXCLUSIVE and EPOLLWAKEUP are shown too: the registration as it stands (semantics 115).
            let events = (mask | EventMask::ALWAYS).bits();
            let _ = writeln!(
                out,
                "tfd: {fd:8} events: {events:8x} data: {data:16x}  pos:0 ino:{file:x} sdev:0"
            );
        });
    }

    fn release(&self, _open: &OpenFile) {
        self.0.close();
    }
}
