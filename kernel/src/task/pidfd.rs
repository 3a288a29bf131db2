//! Process descriptors: pidfd_open(2), CLONE_PIDFD.

use super::signal::Info;
use super::{Process, Thread, table};
use crate::file::{File, OpenFile};
use crate::fs::{ANONYMOUS_DEVICE, Stat};
use crate::mm::user;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt::Write;
use event::{EventMask, Pollable, WaitQueue};
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::{O_NONBLOCK, O_RDWR};
use libsyscall::abi::signal::{SI_USER, SIGINFO_SIZE};

/// A process as a file: readable when it has ended, hung up when it has been waited for.
struct Pidfd {
    process: Arc<Process>,
}

impl Pollable for Pidfd {
    fn readiness(&self) -> EventMask {
        if !self.process.is_zombie() {
            EventMask::empty()
        } else if table::process(self.process.pid).is_some_and(|process| Arc::ptr_eq(&process, &self.process)) {
            EventMask::IN | EventMask::RDNORM
        } else {
            EventMask::IN | EventMask::RDNORM | EventMask::HUP
        }
    }

    fn wait_queue(&self) -> &WaitQueue {
        self.process.exit_queue()
    }
}

impl File for Pidfd {
    fn stat(&self) -> Stat {
        Stat {
            dev: ANONYMOUS_DEVICE,
            ino: self.process.pid as u64,
            mode: 0o600,
            nlink: 1,
            ..Stat::default()
        }
    }

    fn pollable(self: Arc<Self>) -> Option<Arc<dyn Pollable>> {
        Some(self)
    }

    fn seek_stream(&self) -> Result<u64, Errno> {
        Ok(0)
    }

    fn link_name(&self) -> String {
        String::from("anon_inode:[pidfd]")
    }

    fn fdinfo(&self, out: &mut String) {
        let pid = self.process.pid;
        let _ = write!(out, "Pid:\t{pid}\nNSpid:\t{pid}\n");
    }
}

fn open_for(thread: &Thread, process: Arc<Process>, flags: u32) -> Result<i32, Errno> {
    let open = OpenFile::new(Arc::new(Pidfd { process }), O_RDWR | flags & O_NONBLOCK);
    thread
        .process
        .files()
        .insert(open, true, 0, thread.process.file_limit())
}

/// pidfd_open(2): PIDFD_NONBLOCK is O_NONBLOCK. EINVAL, ESRCH, EMFILE.
pub fn open(thread: &Thread, pid: i32, flags: u32) -> Result<usize, Errno> {
    if flags & !O_NONBLOCK != 0 || pid <= 0 {
        return Err(Errno::EINVAL);
    }
    let process = match table::process(pid) {
        Some(process) => process,
        // A thread that is not its process's first.
        None if table::thread(pid).is_some() => return Err(Errno::EINVAL),
        None => return Err(Errno::ESRCH),
    };
    open_for(thread, process, flags).map(|fd| fd as usize)
}

/// CLONE_PIDFD: a descriptor of the new process for its maker.
pub fn open_for_clone(thread: &Thread, process: &Arc<Process>, address: usize) -> Result<(), Errno> {
    let fd = open_for(thread, process.clone(), 0)?;
    user::write(address, &fd).inspect_err(|_| drop(thread.process.files().close(fd)))
}

/// The process a descriptor stands for.
pub fn process_of(open: &OpenFile) -> Option<Arc<Process>> {
    open.downcast::<Pidfd>().map(|pidfd| pidfd.process.clone())
}

/// pidfd_send_signal(2): `info` is a siginfo_t in user memory or null. ESRCH, EPERM, EINVAL.
pub fn send_signal(thread: &Thread, process: &Process, signal: u32, info: usize) -> Result<(), Errno> {
    if process.is_zombie() {
        return Err(Errno::ESRCH);
    }
    let bearer = thread.process.full_credentials().clone();
    if process.pid != thread.process.pid && !bearer.may_signal(&process.full_credentials()) {
        return Err(Errno::EPERM);
    }
    if signal == 0 {
        return Ok(());
    }
    let info = if info == 0 {
        Info::from_running(signal, SI_USER)
    } else {
        let mut bytes = [0; SIGINFO_SIZE];
        user::read_bytes(info, &mut bytes)?;
        if u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) != signal {
            return Err(Errno::EINVAL);
        }
        Info::from_bytes(signal, &bytes)
    };
    process.queue_signal(signal, info, None)
}
