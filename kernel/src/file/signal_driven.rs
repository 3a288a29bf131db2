//! Signal-driven input and output: SIGIO for who set O_ASYNC, fcntl(2) "Managing signals", and SIGURG for who owns a socket.
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
    /// O_ASYNC, and the number that it was set through: si_fd.
    asynchronous: bool,
    fd: i32,
}

/// Where a description stands in its file's queue.
struct Entry {
    pollable: Arc<dyn Pollable>,
    number: u32,
    /// What it is told of.
    events: EventMask,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.pollable.wait_queue().remove(self.number);
    }
}

/// What SIGIO is sent for.
const WANTED: EventMask = EventMask::READABLE
    .union(EventMask::WRITABLE)
    .union(EventMask::PRI)
    .union(EventMask::ALWAYS);
/// And SIGURG.
const URGENT: EventMask = EventMask::RDBAND;

/// What a description has for signals; made when it is first asked for.
pub struct SignalDriven {
    file: Arc<dyn File>,
    settings: SpinLock<Settings>,
    /// Taken before the queue's lock, `settings` after it.
    entry: SpinLock<Option<Entry>>,
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

    /// F_SETOWN, by the running thread. ENOMEM.
    pub fn set_owner(self: &Arc<Self>, owner: Owner) -> Result<(), Errno> {
        if self.file.has_urgent_bytes() {
            self.enter(URGENT)?;
        }
        self.name_owner(owner);
        Ok(())
    }

    fn name_owner(&self, owner: Owner) {
        let bearer = task::with_current(|thread| thread.credentials().uid);
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
        if matches!(self.owner(), Owner::Nobody)
            && let Some(owner) = self.file.usual_owner()
        {
            self.name_owner(owner);
        }
        {
            let mut settings = self.settings.lock();
            (settings.fd, settings.asynchronous) = (fd, true);
        }
        self.enter(WANTED | URGENT)
    }

    /// Enters it in the file's queue, to be told of these events too.
    fn enter(self: &Arc<Self>, events: EventMask) -> Result<(), Errno> {
        let Some(pollable) = self.file.clone().pollable() else {
            return Ok(());
        };
        let mut entry = self.entry.lock();
        if entry.as_ref().is_some_and(|entry| entry.events.contains(events)) {
            return Ok(());
        }
        let told = events & pollable.told_of();
        let number = pollable.wait_queue().add(self.clone(), 0, told)?;
        *entry = Some(Entry {
            pollable,
            number,
            events,
        });
        Ok(())
    }

    /// O_ASYNC is off. A socket's owner still hears of urgent bytes.
    pub fn stop(&self) {
        self.settings.lock().asynchronous = false;
        if !self.file.has_urgent_bytes() {
            self.leave();
        }
    }

    /// The description is gone.
    pub fn leave(&self) {
        *self.entry.lock() = None;
    }
}

impl Settings {
    /// Sends what happened to everyone who is the owner and may be signalled. Capabilities do not count, as on Linux: ids do.
    fn for_owner(&self, send: impl Fn(&Process, Option<&Thread>)) {
        let send = |process: &Process, thread: Option<&Thread>| {
            let target = match thread {
                Some(thread) => thread.credentials().uid,
                None => process.credentials().uid,
            };
            if self.bearer.effective == 0 || self.bearer.may_signal(&target) {
                send(process, thread);
            }
        };
        match &self.owner {
            Owner::Nobody => {}
            Owner::Thread(thread) => {
                if let Some(thread) = thread.upgrade() {
                    send(&thread.process, Some(&thread));
                }
            }
            Owner::Process(process) => {
                if let Some(process) = process.upgrade() {
                    send(&process, None);
                }
            }
            Owner::Group(group) => {
                for process in table::group(*group) {
                    send(&process, None);
                }
            }
        }
    }

    /// SIGURG; and the signal that was chosen for O_ASYNC, if one was.
    fn send_urgent(&self) {
        // Standard signals are never refused.
        self.for_owner(|process, thread| {
            let _ = process.queue_signal(SIGURG, Info::kernel(SIGURG), thread);
        });
        if self.asynchronous && self.signal != 0 {
            self.send(Band::Urgent);
        }
    }

    fn send(&self, band: Band) {
        self.for_owner(|process, thread| self.send_to(process, thread, band));
    }

    /// The signal that was chosen, with its words; plain SIGIO where there was none, or too many of those wait already.
    fn send_to(&self, process: &Process, thread: Option<&Thread>, band: Band) {
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
        let settings = self.settings.lock();
        if events.contains(URGENT) && self.file.has_urgent_bytes() {
            settings.send_urgent();
        }
        if settings.asynchronous
            && let Some(band) = self.file.band(events)
        {
            settings.send(band);
        }
        // Nobody has made use of what there is.
        Woken::No
    }
}
