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
use libsyscall::abi::signal::{SI_TKILL, SI_USER, SIGINFO_SIZE, SIGNAL_COUNT};

/// A process as a file: readable when it has ended, hung up when it has been waited for.
struct Pidfd {
    process: Arc<Process>,
}

/// Whether a process has been waited for.
fn is_reaped(process: &Arc<Process>) -> bool {
    table::process(process.pid).is_none_or(|other| !Arc::ptr_eq(&other, process))
}

impl Pollable for Pidfd {
    fn readiness(&self) -> EventMask {
        if !self.process.is_zombie() {
            EventMask::empty()
        } else if !is_reaped(&self.process) {
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
    fn transfers(&self) -> (bool, bool) {
        (false, false)
    }

    fn stat(&self) -> Stat {
        Stat {
            dev: ANONYMOUS_DEVICE,
            ino: self.process.pid as u64,
            mode: 0o700,
            nlink: 1,
            ..Stat::default()
        }
    }

    fn pollable(self: Arc<Self>) -> Option<Arc<dyn Pollable>> {
        Some(self)
    }

    fn link_name(&self) -> String {
        String::from("anon_inode:[pidfd]")
    }

    fn fdinfo(&self, out: &mut String) {
        let pid = if is_reaped(&self.process) { -1 } else { self.process.pid };
        let _ = write!(out, "Pid:\t{pid}\nNSpid:\t{pid}\n");
    }
}

fn open_for(thread: &Thread, process: Arc<Process>, flags: u32) -> Result<i32, Errno> {
    let open = OpenFile::new(Arc::new(Pidfd { process }), O_RDWR | flags & O_NONBLOCK);
    thread.files().insert(open, true, 0, thread.process.file_limit())
}

/// A descriptor of a process, closed by execve(2): EMFILE.
pub fn open_process(thread: &Thread, process: Arc<Process>) -> Result<i32, Errno> {
    open_for(thread, process, 0)
}

/// pidfd_open(2): PIDFD_NONBLOCK is O_NONBLOCK. EINVAL, ESRCH, ENOENT, EMFILE.
pub fn open(thread: &Thread, pid: i32, flags: u32) -> Result<usize, Errno> {
    if flags & !O_NONBLOCK != 0 || pid <= 0 {
        return Err(Errno::EINVAL);
    }
    let process = match table::process(pid) {
        Some(process) => process,
        // A thread that is not its process's first.
        None if table::thread(pid).is_some() => return Err(Errno::ENOENT),
        None => return Err(Errno::ESRCH),
    };
    open_for(thread, process, flags).map(|fd| fd as usize)
}

/// CLONE_PIDFD: a descriptor of the new process for its maker.
pub fn open_for_clone(thread: &Thread, process: &Arc<Process>, address: usize) -> Result<(), Errno> {
    let fd = open_for(thread, process.clone(), 0)?;
    user::write(address, &fd).inspect_err(|_| drop(thread.files().close(fd)))
}

/// The process a descriptor stands for: EBADF where it is no pidfd.
pub fn process_of(open: &OpenFile) -> Result<Arc<Process>, Errno> {
    let pidfd = open.downcast::<Pidfd>().ok_or(Errno::EBADF)?;
    Ok(pidfd.process.clone())
}

/// For waitid(2): which child, ECHILD where it has been waited for and its number may be another's.
pub fn child_number(open: &OpenFile) -> Result<i32, Errno> {
    let process = process_of(open)?;
    if is_reaped(&process) {
        return Err(Errno::ECHILD);
    }
    Ok(process.pid)
}

/// pidfd_getfd(2): a copy of another process's descriptor. ESRCH, EPERM, EBADF, EMFILE.
pub fn take_descriptor(thread: &Thread, process: &Process, fd: i32) -> Result<usize, Errno> {
    if process.is_zombie() {
        return Err(Errno::ESRCH);
    }
    if !thread.may_trace(process, |own| own.real) {
        return Err(Errno::EPERM);
    }
    let open = process.files().ok_or(Errno::ESRCH)?.get_any(fd)?;
    let copy = thread.files().insert(open, true, 0, thread.process.file_limit())?;
    Ok(copy as usize)
}

/// pidfd_send_signal(2): `info` is a siginfo_t in user memory or null. ESRCH, EPERM, EINVAL, EFAULT.
pub fn send_signal(thread: &Thread, process: &Process, signal: u32, info: usize) -> Result<(), Errno> {
    let is_own = process.pid == thread.process.pid;
    let info = if info == 0 {
        Info::from_running(signal, SI_USER)
    } else {
        let mut bytes = [0; SIGINFO_SIZE];
        user::read_bytes(info, &mut bytes)?;
        if u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) != signal {
            return Err(Errno::EINVAL);
        }
        let info = Info::from_bytes(signal, &bytes);
        // What only the kernel says of others, and what tgkill(2) says, is not to be forged.
        if !is_own && (info.code >= SI_USER || info.code == SI_TKILL) {
            return Err(Errno::EPERM);
        }
        info
    };
    if process.is_zombie() {
        return Err(Errno::ESRCH);
    }
    if signal > SIGNAL_COUNT {
        return Err(Errno::EINVAL);
    }
    if !is_own && !thread.credentials().clone().may_signal(&process.credentials()) {
        return Err(Errno::EPERM);
    }
    if signal == 0 {
        return Ok(());
    }
    process.queue_signal(signal, info, None)
}
