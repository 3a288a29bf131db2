//! signalfd(2): signals read like data.

use crate::file::{File, OpenFile};
use crate::fs::Stat;
use crate::mm::user::Sink;
use crate::task::signal::Info;
use crate::task::{self, Process};
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt::Write;
use core::sync::atomic::{AtomicU64, Ordering};
use event::{EventMask, Pollable, WaitQueue};
use libsyscall::abi::Errno;

/// sizeof(struct signalfd_siginfo).
const LEN: usize = 128;

pub struct SignalFd {
    mask: AtomicU64,
    /// Whose arrivals wake it: the process that made it. Which signals it sees is the reader's own pending set.
    process: Arc<Process>,
}

impl SignalFd {
    pub fn new(mask: u64, process: Arc<Process>) -> SignalFd {
        SignalFd {
            mask: AtomicU64::new(mask),
            process,
        }
    }

    fn mask(&self) -> u64 {
        self.mask.load(Ordering::Relaxed)
    }

    /// signalfd(2) on an existing descriptor.
    pub fn set_mask(&self, mask: u64) {
        self.mask.store(mask, Ordering::Relaxed);
        self.wait_queue().wake(EventMask::IN);
    }
}

impl Pollable for SignalFd {
    fn readiness(&self) -> EventMask {
        let pending = task::with_current(|thread| thread.process.pending_for(thread));
        if pending & self.mask() != 0 {
            EventMask::IN
        } else {
            EventMask::empty()
        }
    }

    fn wait_queue(&self) -> &WaitQueue {
        self.process.signal_arrivals()
    }
}

/// `struct signalfd_siginfo` of a siginfo_t: the same facts at other places, by the signal's kind.
fn encode(info: Info) -> [u8; LEN] {
    let from = info.to_bytes();
    let mut to = [0; LEN];
    to[..4].copy_from_slice(&from[..4]);
    to[4..8].copy_from_slice(&from[4..8]);
    to[8..12].copy_from_slice(&from[8..12]);
    // si_pid, si_uid; si_fd and si_tid have places of their own that stay 0.
    to[12..20].copy_from_slice(&from[16..24]);
    const SIGCHLD: u8 = 17;
    if from[0] == SIGCHLD {
        to[40..44].copy_from_slice(&from[24..28]);
        to[56..72].copy_from_slice(&from[32..48]);
    } else {
        // si_int, si_ptr.
        to[44..48].copy_from_slice(&from[24..28]);
        to[48..56].copy_from_slice(&from[24..32]);
    }
    to
}

pub struct SignalFile(pub Arc<SignalFd>);

impl File for SignalFile {
    /// As many signals as fit; sleeps for the first only.
    fn read(&self, open: &OpenFile, to: &mut Sink) -> Result<usize, Errno> {
        if to.len() < LEN {
            return Err(Errno::EINVAL);
        }
        let attempt = || {
            let taken = task::with_current(|thread| thread.process.take_signal(thread, self.0.mask()));
            taken.ok_or(Errno::EAGAIN)
        };
        let mut next = match attempt() {
            Err(Errno::EAGAIN) if !open.nonblocking() => {
                task::block_on(self.0.wait_queue(), EventMask::IN, None, attempt)
            }
            result => result,
        };
        let mut total = 0;
        while let Ok(info) = next {
            to.put(&encode(info))?;
            total += LEN;
            if to.len() < LEN {
                break;
            }
            next = attempt();
        }
        if total > 0 {
            Ok(total)
        } else {
            Err(next.err().unwrap_or(Errno::EAGAIN))
        }
    }

    fn stat(&self) -> Stat {
        super::stat()
    }

    fn seek_stream(&self) -> Result<u64, Errno> {
        Ok(0)
    }

    fn pollable(self: Arc<Self>) -> Option<Arc<dyn Pollable>> {
        Some(self.0.clone())
    }

    fn link_name(&self) -> String {
        String::from("anon_inode:[signalfd]")
    }

    fn fdinfo(&self, out: &mut String) {
        let _ = writeln!(out, "sigmask:\t{:016x}", self.0.mask());
    }
}
