//! An inotify instance as a file, inotify(7).

use crate::file::signal_driven::Band;
use crate::file::{FDINFO_PIECE, File, OpenFile};
use crate::fs::Stat;
use crate::fs::watch::{Instance, Usage};
use crate::mm::user::{self, Sink};
use crate::per_user::PerUser;
use crate::task;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt::Write;
use event::{EventMask, Notice, Pollable};
use libsyscall::abi::Errno;
use libsyscall::abi::ioctl::FIONREAD;

static USERS: PerUser<Usage> = PerUser::new();

pub struct InotifyFile(pub Arc<Instance>);

impl InotifyFile {
    /// An instance that counts against the running process's user. EMFILE, ENOMEM.
    pub fn new() -> Result<InotifyFile, Errno> {
        let uid = task::with_current(|thread| thread.credentials().uid.real);
        Ok(InotifyFile(Instance::new(USERS.get(uid, Usage::default)?)?))
    }
}

/// Gives a notice as read(2) does: header, name, zeroes to its whole length.
fn put(to: &mut Sink, notice: &Notice) -> Result<(), Errno> {
    let padding = notice.name_len() - notice.name.len();
    to.put_value(&[
        notice.watch as u32,
        notice.mask,
        notice.cookie,
        notice.name_len() as u32,
    ])?;
    to.put_all(&notice.name)?;
    if to.put_zeroes(padding)? == padding {
        Ok(())
    } else {
        Err(Errno::EFAULT)
    }
}

impl File for InotifyFile {
    /// As many whole notices as there is room for; sleeps for the first only. One whose place can't be written is lost,
    /// and so is the count of those before it.
    fn read(&self, open: &OpenFile, to: &mut Sink) -> Result<usize, Errno> {
        let queue = &self.0.queue;
        let room = to.len();
        let attempt = || queue.take(room);
        let mut next = match attempt() {
            Err(Errno::EAGAIN) if !open.nonblocking() => {
                task::block_on(queue.wait_queue(), EventMask::IN, None, attempt)
            }
            result => result,
        };
        loop {
            match next {
                Ok(notice) => put(to, &notice)?,
                Err(error) if to.len() == room => return Err(error),
                Err(_) => return Ok(room - to.len()),
            }
            next = queue.take(to.len());
        }
    }

    fn seek_stream(&self) -> Result<u64, Errno> {
        Ok(0)
    }

    fn ioctl(&self, _open: &OpenFile, command: u32, argument: usize) -> Result<usize, Errno> {
        if command != FIONREAD {
            return Err(Errno::ENOTTY);
        }
        user::write(argument, &(self.0.queue.bytes() as i32))?;
        Ok(0)
    }

    fn stat(&self) -> Stat {
        super::stat()
    }

    fn pollable(self: Arc<Self>) -> Option<Arc<dyn Pollable>> {
        Some(Arc::new(Readers(self.0.clone())))
    }

    fn sends_signals(&self) -> bool {
        true
    }

    fn band(&self, _events: EventMask) -> Option<Band> {
        Some(Band::In)
    }

    fn link_name(&self) -> String {
        String::from("anon_inode:inotify")
    }

    fn fdinfo_items(&self, mut from: u32, out: &mut String) -> Option<u32> {
        while out.len() < FDINFO_PIECE {
            let watch = self.0.describe(from as i32)?;
            let _ = writeln!(
                out,
                "inotify wd:{:x} ino:{:x} sdev:{:x} mask:{:x} ignored_mask:0 ",
                watch.number, watch.ino, watch.device, watch.mask
            );
            from = watch.number.checked_add(1)? as u32;
        }
        Some(from)
    }

    fn release(&self, _open: &OpenFile) {
        self.0.close();
    }
}

/// What an epoll or poll(2) watches of an instance: its queue.
struct Readers(Arc<Instance>);

impl Pollable for Readers {
    fn readiness(&self) -> EventMask {
        self.0.queue.readiness()
    }

    fn wait_queue(&self) -> &event::WaitQueue {
        self.0.queue.wait_queue()
    }
}
