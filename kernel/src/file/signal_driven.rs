//! Signal-driven input and output: SIGIO for who set O_ASYNC, fcntl(2) "Managing signals".
//!
//! A description that wants signals stands in its file's wait queue as an epoll does, and turns a wake-up into a signal
//! at once: under the queue's lock, before which no lock of a process is ever held.

use super::File;
use crate::task::credentials::Ids;
use crate::task::signal::Info;
use crate::task::{self, Process, Thread, table};
use alloc::sync::{Arc, Weak};
use event::{EventMask, Pollable, Waiter, Woken};
use libsyscall::abi::Errno;
use libsyscall::abi::signal::*;
use sync::SpinLock;

/// What a signal says has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Band {
    In,
    Out,
    Error,
    Urgent,
    HangUp,
}

impl Band {
    /// si_code and si_band, sigaction(2).
    fn words(self) -> (i32, EventMask) {
        match self {
            Band::In => (POLL_IN, EventMask::READABLE),
            Band::Out => (POLL_OUT, EventMask::WRITABLE | EventMask::WRBAND),
            Band::Error => (POLL_ERR, EventMask::ERR),
            Band::Urgent => (POLL_PRI, EventMask::PRI | EventMask::RDBAND),
            Band::HangUp => (POLL_HUP, EventMask::HUP | EventMask::ERR),
        }
    }
}

/// Who gets the signals, F_SETOWN.
#[derive(Clone, Default)]
pub enum Owner {
    #[default]
    Nobody,
    Thread(Weak<Thread>),
    Process(Weak<Process>),
    Group(i32),
}

impl Owner {
    /// A process, or a group where the number is negative; nobody for 0. ESRCH where there is none.
    pub fn of_number(number: i32) -> Result<Owner, Errno> {
        match number {
            0 => Ok(Owner::Nobody),
            1.. => Owner::process(number),
            // The most negative has no group.
            i32::MIN => Err(Errno::EINVAL),
            _ => Owner::group(-number),
        }
    }

    pub fn thread(tid: i32) -> Result<Owner, Errno> {
        let thread = table::thread(tid).ok_or(Errno::ESRCH)?;
        Ok(Owner::Thread(Arc::downgrade(&thread)))
    }

    pub fn process(pid: i32) -> Result<Owner, Errno> {
        let process = table::process(pid).ok_or(Errno::ESRCH)?;
        Ok(Owner::Process(Arc::downgrade(&process)))
    }

    pub fn group(group: i32) -> Result<Owner, Errno> {
        // Any number that somebody has is known, as on Linux.
        if table::process(group).is_none() && table::group(group).is_empty() {
            return Err(Errno::ESRCH);
        }
        Ok(Owner::Group(group))
    }

    /// F_GETOWN: the number, negative for a group, 0 where it has ended.
    pub fn number(&self) -> i32 {
        match self {
            Owner::Nobody => 0,
            Owner::Thread(thread) => {
                let thread = thread.upgrade().filter(|thread| !thread.has_ended());
                thread.map_or(0, |thread| thread.tid())
            }
            Owner::Process(process) => process.upgrade().map_or(0, |process| process.pid),
            Owner::Group(group) => -group,
        }
    }
}

#[derive(Default)]
struct Settings {
    owner: Owner,
    /// The user ids of who named the owner: whom they may signal.
    bearer: Ids,
    /// F_SETSIG; 0 is SIGIO without its words.
    signal: u32,
    /// si_fd: the number that O_ASYNC was set through.
    fd: i32,
}

/// What a description has for signals; made when it is first asked for.
pub struct SignalDriven {
    file: Arc<dyn File>,
    settings: SpinLock<Settings>,
    /// Where it stands in the file's queue. Taken before the queue's lock, `settings` after it.
    entry: SpinLock<Option<(Arc<dyn Pollable>, u32)>>,
}

impl SignalDriven {
    pub fn new(file: Arc<dyn File>) -> Arc<SignalDriven> {
        Arc::new(SignalDriven {
            file,
            settings: SpinLock::default(),
            entry: SpinLock::new(None),
        })
    }

    pub fn owner(&self) -> Owner {
        self.settings.lock().owner.clone()
    }

    /// F_SETOWN, by the running thread.
    pub fn set_owner(&self, owner: Owner) {
        let bearer = task::with_current(|thread| thread.process.full_credentials().uid);
        let mut settings = self.settings.lock();
        settings.bearer = bearer;
        let former = core::mem::replace(&mut settings.owner, owner);
        drop(settings);
        drop(former);
    }

    /// F_GETSIG.
    pub fn signal(&self) -> u32 {
        self.settings.lock().signal
    }

    /// F_SETSIG.
    pub fn set_signal(&self, signal: u32) {
        self.settings.lock().signal = signal;
    }

    /// Enters it in the file's queue. A file may name an owner for a description that has none.
    pub fn start(self: &Arc<Self>, fd: i32) -> Result<(), Errno> {
        let Some(pollable) = self.file.clone().pollable() else {
            return Ok(());
        };
        if matches!(self.owner(), Owner::Nobody)
            && let Some(owner) = self.file.usual_owner()
        {
            self.set_owner(owner);
        }
        self.settings.lock().fd = fd;
        let mut entry = self.entry.lock();
        if entry.is_none() {
            let wanted = EventMask::READABLE | EventMask::WRITABLE | EventMask::PRI | EventMask::ALWAYS;
            let number = pollable
                .wait_queue()
                .add(self.clone(), 0, wanted & pollable.told_of())?;
            *entry = Some((pollable, number));
        }
        Ok(())
    }

    /// Takes it out again.
    pub fn stop(&self) {
        let entry = self.entry.lock().take();
        if let Some((pollable, number)) = entry {
            pollable.wait_queue().remove(number);
        }
    }
}

impl Settings {
    fn send(&self, band: Band) {
        match &self.owner {
            Owner::Nobody => {}
            Owner::Thread(thread) => {
                if let Some(thread) = thread.upgrade() {
                    self.send_to(&thread.process, Some(&thread), band);
                }
            }
            Owner::Process(process) => {
                if let Some(process) = process.upgrade() {
                    self.send_to(&process, None, band);
                }
            }
            Owner::Group(group) => {
                for process in table::group(*group) {
                    self.send_to(&process, None, band);
                }
            }
        }
    }

    /// The signal that was chosen, with its words; plain SIGIO where there was none, or too many of those wait already.
    fn send_to(&self, process: &Process, thread: Option<&Thread>, band: Band) {
        // Capabilities do not count, as on Linux: ids do.
        let target = process.full_credentials().uid;
        if self.bearer.effective != 0 && !self.bearer.may_signal(&target) {
            return;
        }
        if self.signal != 0 && process.queue_signal(self.signal, self.info(band), thread).is_ok() {
            return;
        }
        // A standard signal is never refused.
        let _ = process.queue_signal(SIGIO, Info::kernel(SIGIO), thread);
    }

    fn info(&self, band: Band) -> Info {
        let (code, bits) = band.words();
        // These have codes of their own that could be mistaken.
        let has_codes = [SIGCHLD, SIGTRAP, SIGFPE, SIGSEGV, SIGBUS, SIGILL, SIGSYS].contains(&self.signal);
        let code = if has_codes { SI_SIGIO } else { code };
        Info::new(self.signal, code).with_band(bits.bits(), self.fd)
    }
}

impl Waiter for SignalDriven {
    fn wake(&self, _token: u32, events: EventMask) -> Woken {
        if let Some(band) = self.file.band(events) {
            self.settings.lock().send(band);
        }
        // Nobody has made use of what there is.
        Woken::No
    }
}
