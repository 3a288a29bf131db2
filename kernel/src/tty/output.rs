//! Standard output and error as streams to whoever started the machine: write-only devices, no terminal.

use crate::console::{self, Stream};
use crate::file::{File, OpenFile};
use crate::fs::{Place, Stat};
use crate::mm::user::Source;
use alloc::string::String;
use alloc::sync::Arc;
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::{O_LARGEFILE, O_WRONLY};

pub struct OutputStream {
    stream: Stream,
    place: Place,
}

/// Open descriptions of standard output and standard error.
pub fn streams(place: &Place) -> [Arc<OpenFile>; 2] {
    [Stream::Output, Stream::Error].map(|stream| {
        let file = Arc::new(OutputStream {
            stream,
            place: place.clone(),
        });
        OpenFile::new(file, O_WRONLY | O_LARGEFILE)
    })
}

/// What opening /dev/console gives: the stream of standard output.
pub fn open(place: &Place) -> Arc<dyn File> {
    Arc::new(OutputStream {
        stream: Stream::Output,
        place: place.clone(),
    })
}

/// Copies what a program writes in pieces to `each`, the kernel being preemptible between them.
pub fn in_pieces(from: &mut Source, mut each: impl FnMut(&[u8])) -> Result<usize, Errno> {
    let mut buffer = [0; 512];
    let mut done = 0;
    while from.len() > 0 {
        let wanted = from.len().min(buffer.len());
        match from.get(&mut buffer[..wanted]) {
            Err(error) if done == 0 => return Err(error),
            Err(_) | Ok(0) => break,
            Ok(count) => {
                each(&buffer[..count]);
                done += count;
            }
        }
        if crate::task::preempt_point() {
            break;
        }
    }
    Ok(done)
}

impl File for OutputStream {
    fn write(&self, _open: &OpenFile, from: &mut Source) -> Result<usize, Errno> {
        in_pieces(from, |bytes| console::write(self.stream, bytes))
    }
    fn stat(&self) -> Stat {
        self.place.stat()
    }
    fn place(&self) -> Option<&Place> {
        Some(&self.place)
    }
    fn link_name(&self) -> String {
        self.place.display()
    }
}
