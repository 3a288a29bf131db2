//! signalfd(2): signals read like data.

use crate::file::{File, OpenFile};
use crate::fs::Stat;
use crate::mm::user::Sink;
use crate::task::signal::{Info, Layout};
use crate::task::{self, Process};
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt::Write;
use core::sync::atomic::{AtomicU64, Ordering};
use event::{EventMask, Pollable, WaitQueue};
use libsyscall::abi::Errno;

/// sizeof(struct signalfd_siginfo).
const LEN: usize = 128;

/// A signalfd. It has a set of signals only: whose pending signals they are is for each reader to say, and a child that
/// inherits it reads its own.
pub struct SignalFile {
    mask: Arc<AtomicU64>,
}

/// What a process polls, or has an epoll watch: its own signals' arrivals.
struct Arrivals {
    mask: Arc<AtomicU64>,
    process: Arc<Process>,
}

fn own_process() -> Arc<Process> {
    task::with_current(|thread| thread.process.clone())
}

impl SignalFile {
    pub fn new(mask: u64) -> SignalFile {
        SignalFile {
            mask: Arc::new(AtomicU64::new(mask)),
        }
    }

    fn mask(&self) -> u64 {
        self.mask.load(Ordering::Relaxed)
    }

    /// signalfd(2) on an existing descriptor.
    pub fn set_mask(&self, mask: u64) {
        self.mask.store(mask, Ordering::Relaxed);
        own_process().signal_arrivals().wake(EventMask::empty());
    }
}

impl Pollable for Arrivals {
    /// By the asking thread's signals, whoever registered (semantics 152).
    fn readiness(&self) -> EventMask {
        let pending = task::with_current(|thread| thread.process.pending_for(thread));
        if pending & self.mask.load(Ordering::Relaxed) != 0 {
            EventMask::IN
        } else {
            EventMask::empty()
        }
    }

    fn wait_queue(&self) -> &WaitQueue {
        self.process.signal_arrivals()
    }
}

/// `struct signalfd_siginfo` of a siginfo_t: the same facts at other places, by the kind of signal.
fn encode(info: &Info) -> [u8; LEN] {
    let mut to = [0; LEN];
    to[..4].copy_from_slice(&info.signal.to_ne_bytes());
    to[4..8].copy_from_slice(&info.error.to_ne_bytes());
    to[8..12].copy_from_slice(&info.code.to_ne_bytes());
    // (place there, place in the payload, length), by the names of signalfd(2).
    const PID_UID: (usize, usize, usize) = (12, 0, 8);
    const INT: (usize, usize, usize) = (44, 8, 4);
    const PTR: (usize, usize, usize) = (48, 8, 8);
    let fields: &[(usize, usize, usize)] = match info.layout() {
        Layout::Kill => &[PID_UID],
        Layout::Queue => &[PID_UID, INT, PTR],
        // tid, overrun.
        Layout::Timer => &[(24, 0, 4), (32, 4, 4), INT, PTR],
        // band, fd.
        Layout::Poll => &[(28, 0, 4), (20, 8, 4)],
        // status; utime and stime.
        Layout::Child => &[PID_UID, (40, 8, 4), (56, 16, 16)],
        // addr.
        Layout::Fault => &[(72, 0, 8)],
        // call_addr; syscall; arch.
        Layout::System => &[(88, 0, 8), (84, 8, 4), (96, 12, 4)],
    };
    for &(place, from, len) in fields {
        to[place..place + len].copy_from_slice(&info.payload[from..from + len]);
    }
    to
}

impl File for SignalFile {
    /// As many signals as fit; sleeps for the first only. A signal whose place can't be written is taken all the same.
    fn read(&self, open: &OpenFile, to: &mut Sink) -> Result<usize, Errno> {
        if to.len() < LEN {
            return Err(Errno::EINVAL);
        }
        let attempt = || {
            let taken = task::with_current(|thread| thread.process.take_signal(thread, self.mask()));
            taken.ok_or(Errno::EAGAIN)
        };
        let mut next = match attempt() {
            Err(Errno::EAGAIN) if !open.nonblocking() => {
                task::block_on(own_process().signal_arrivals(), EventMask::IN, None, attempt)
            }
            result => result,
        };
        let mut total = 0;
        loop {
            match next.and_then(|info| to.put_all(&encode(&info))) {
                Ok(()) => total += LEN,
                Err(error) if total == 0 => return Err(error),
                Err(_) => return Ok(total),
            }
            if to.len() < LEN {
                return Ok(total);
            }
            next = attempt();
        }
    }

    fn transfers(&self) -> (bool, bool) {
        (true, false)
    }

    fn stat(&self) -> Stat {
        super::stat()
    }

    fn seek_stream(&self) -> Result<u64, Errno> {
        Ok(0)
    }

    fn pollable(self: Arc<Self>) -> Option<Arc<dyn Pollable>> {
        Some(Arc::new(Arrivals {
            mask: self.mask.clone(),
            process: own_process(),
        }))
    }

    fn link_name(&self) -> String {
        String::from("anon_inode:[signalfd]")
    }

    fn fdinfo(&self, out: &mut String) {
        let _ = writeln!(out, "sigmask:\t{:016x}", self.mask());
    }
}
