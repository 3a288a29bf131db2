//! Standard output and error as streams to whoever started the machine: write-only devices, no terminal. They are watched
//! like pipes that always have room.

use crate::console::{self, Stream};
use crate::file::{File, OpenFile};
use crate::fs::{Place, Stat};
use crate::mm::user::Source;
use crate::task::in_steps;
use alloc::string::String;
use alloc::sync::Arc;
use event::{EventMask, Pollable, WaitQueue};
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::{O_LARGEFILE, O_WRONLY};

pub struct OutputStream {
    stream: Stream,
    place: Place,
    /// Never woken.
    queue: WaitQueue,
}

impl OutputStream {
    fn new(stream: Stream, place: &Place) -> Arc<OutputStream> {
        Arc::new(OutputStream {
            stream,
            place: place.clone(),
            queue: WaitQueue::new(),
        })
    }
}

/// Open descriptions of standard output and standard error.
pub fn streams(place: &Place) -> [Arc<OpenFile>; 2] {
    [Stream::Output, Stream::Error]
        .map(|stream| OpenFile::new(OutputStream::new(stream, place), O_WRONLY | O_LARGEFILE))
}

/// What opening /dev/console gives: the stream of standard output.
pub fn open(place: &Place) -> Arc<dyn File> {
    OutputStream::new(Stream::Output, place)
}

/// Copies what a program writes in pieces to `each`, the kernel being preemptible between them.
pub fn in_pieces(from: &mut Source, mut each: impl FnMut(&[u8])) -> Result<usize, Errno> {
    let mut buffer = [0; 512];
    in_steps(from.len(), buffer.len(), |count| {
        let count = from.get(&mut buffer[..count])?;
        each(&buffer[..count]);
        Ok(count)
    })
}

impl File for OutputStream {
    fn write(&self, _open: &OpenFile, from: &mut Source) -> Result<usize, Errno> {
        in_pieces(from, |bytes| console::write(self.stream, bytes))
    }
    fn stat(&self) -> Stat {
        self.place.stat()
    }
    fn pollable(self: Arc<Self>) -> Option<Arc<dyn Pollable>> {
        Some(self)
    }
    fn place(&self) -> Option<&Place> {
        Some(&self.place)
    }
    fn link_name(&self) -> String {
        self.place.display()
    }
}

impl Pollable for OutputStream {
    fn readiness(&self) -> EventMask {
        EventMask::WRITABLE
    }

    fn wait_queue(&self) -> &WaitQueue {
        &self.queue
    }
}
