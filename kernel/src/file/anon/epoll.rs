//! An epoll instance as a file.

use crate::file::{FDINFO_PIECE, File, MAX_USER_WATCHES, OpenFile};
use crate::fs::Stat;
use crate::fs::access;
use crate::mm::user;
use crate::per_user::PerUser;
use crate::task;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt::Write;
use event::epoll::Budget;
use event::{Epoll, Pollable};
use libsyscall::abi::Errno;
use libsyscall::abi::capability::CAP_NET_ADMIN;
use libsyscall::abi::epoll::{EPIOCGPARAMS, EPIOCSPARAMS, EpollParams};
use sync::SpinLock;

/// Packets of a busy poll that need no privilege: Linux's NAPI_POLL_WEIGHT.
const BUSY_POLL_WEIGHT: u16 = 64;

/// What a user's registrations count against.
static BUDGETS: PerUser<Budget> = PerUser::new();

pub struct EpollFile {
    epoll: Arc<Epoll>,
    /// Kept for who asks. Nothing here polls a device: its interrupt puts the event on the ready list.
    params: SpinLock<EpollParams>,
}

impl EpollFile {
    /// An epoll that counts against the running process's user. ENOMEM.
    pub fn new() -> Result<EpollFile, Errno> {
        let uid = task::with_current(|thread| thread.credentials().uid.real);
        Ok(EpollFile {
            epoll: Epoll::with_budget(BUDGETS.get(uid, || Budget::new(MAX_USER_WATCHES))?),
            params: SpinLock::new(EpollParams::default()),
        })
    }

    /// EPIOCSPARAMS: EINVAL, EPERM.
    fn set_params(&self, params: EpollParams) -> Result<(), Errno> {
        if params.pad != 0 || params.busy_poll_usecs > i32::MAX as u32 || params.prefer_busy_poll > 1 {
            return Err(Errno::EINVAL);
        }
        if params.busy_poll_budget > BUSY_POLL_WEIGHT && !access::current().has(CAP_NET_ADMIN) {
            return Err(Errno::EPERM);
        }
        *self.params.lock() = params;
        Ok(())
    }
}

impl File for EpollFile {
    fn transfers(&self) -> (bool, bool) {
        (false, false)
    }

    fn stat(&self) -> Stat {
        super::stat()
    }

    fn seek_stream(&self) -> Result<u64, Errno> {
        Ok(0)
    }

    fn ioctl(&self, _open: &OpenFile, command: u32, argument: usize) -> Result<usize, Errno> {
        match command {
            EPIOCSPARAMS => self.set_params(user::read(argument)?)?,
            EPIOCGPARAMS => {
                let params = *self.params.lock();
                user::write(argument, &params)?;
            }
            _ => return Err(Errno::EINVAL),
        }
        Ok(0)
    }

    fn pollable(self: Arc<Self>) -> Option<Arc<dyn Pollable>> {
        Some(self.epoll.clone())
    }

    fn epoll(&self) -> Option<&Arc<Epoll>> {
        Some(&self.epoll)
    }

    fn link_name(&self) -> String {
        String::from("anon_inode:[eventpoll]")
    }

    fn fdinfo_items(&self, from: u32, out: &mut String) -> Option<u32> {
        self.epoll.visit_interests(from, |registration| {
            let (fd, events, data) = (registration.fd, registration.mask.bits(), registration.data);
            let (ino, device) = (registration.node.inode, registration.node.device);
            let _ = writeln!(
                out,
                "tfd: {fd:8} events: {events:8x} data: {data:16x}  pos:0 ino:{ino:x} sdev:{device:x}"
            );
            out.len() < FDINFO_PIECE
        })
    }

    fn release(&self, _open: &OpenFile) {
        self.epoll.close();
    }
}
