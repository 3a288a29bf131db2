//! The file a socket's descriptor names: reads and writes that wait, repeat and signal around a [`Protocol`].

use super::inet::interfaces;
use super::message::{Incoming, Outgoing};
use super::protocol::Protocol;
use crate::file::signal_driven::Band;
use crate::file::{File, OpenFile};
use crate::fs::{Attributes, SOCKET_DEVICE, Stat};
use crate::mm::user::{self, Sink, Source};
use crate::task;
use crate::task::thread::deadline_after;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use event::{EventMask, Pollable};
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::S_IFSOCK;
use libsyscall::abi::ioctl::{FIOGETOWN, FIONREAD, FIOSETOWN, SIOCATMARK, SIOCGPGRP, SIOCSPGRP, TIOCOUTQ as SIOCOUTQ};
use libsyscall::abi::signal::SIGPIPE;
use libsyscall::abi::socket::*;
use libsyscall::abi::time::NANOSECONDS;
use sync::{DirectArc, SpinLock};

pub struct Socket(pub DirectArc<dyn Protocol>);

/// A socket's time limit as a deadline.
pub fn deadline(timeout_ns: u64) -> Option<u64> {
    if timeout_ns == 0 {
        None
    } else {
        deadline_after(timeout_ns)
    }
}

impl Socket {
    /// accept4(2): waits for a connection.
    pub fn accept(&self, nonblocking: bool) -> Result<Arc<dyn Protocol>, Errno> {
        match self.0.accept() {
            Err(Errno::EAGAIN) if !nonblocking => {
                let common = self.0.common();
                let deadline_ns = deadline(common.options.lock().receive_timeout_ns);
                let interest = EventMask::IN | EventMask::EXCLUSIVE;
                task::block_on(&common.queue, interest, deadline_ns, || self.0.accept())
            }
            result => result,
        }
    }

    /// recv(2) and its kind: waits for something, and a stream for SO_RCVLOWAT's bytes, or with MSG_WAITALL for all it is
    /// to give.
    pub fn receive(
        &self,
        to: &mut Sink,
        flags: u32,
        message: &mut Incoming,
        nonblocking: bool,
    ) -> Result<usize, Errno> {
        let nonblocking = nonblocking || flags & (MSG_DONTWAIT | MSG_ERRQUEUE) != 0;
        let flags = if nonblocking { flags | MSG_DONTWAIT } else { flags };
        let mut deadline_ns = None;
        let mut total = 0;
        loop {
            let result = match self.0.receive(to, flags, message) {
                Err(Errno::EAGAIN) if !nonblocking => {
                    let common = self.0.common();
                    deadline_ns = deadline_ns.or_else(|| deadline(common.options.lock().receive_timeout_ns));
                    let interest = EventMask::IN | EventMask::RDHUP | EventMask::ALWAYS;
                    task::block_on(&common.queue, interest, deadline_ns, || {
                        self.0.receive(to, flags, message)
                    })
                }
                result => result,
            };
            match result {
                Ok(count) => {
                    total += count;
                    if count == 0 || to.len() == 0 || message.rights.is_some() || total >= self.wanted(flags) {
                        return Ok(total);
                    }
                }
                Err(_) if total > 0 => return Ok(total),
                Err(error) => return Err(error),
            }
        }
    }

    /// The bytes that one receive waits for, if it has room for so many.
    fn wanted(&self, flags: u32) -> usize {
        let common = self.0.common();
        match common.kind {
            SOCK_STREAM if flags & MSG_PEEK != 0 => 0,
            SOCK_STREAM if flags & MSG_WAITALL != 0 => usize::MAX,
            SOCK_STREAM => common.receive_low.load(Relaxed),
            _ => 0,
        }
    }

    /// send(2) and its kind: all of it where it may wait. EPIPE comes with SIGPIPE, unless MSG_NOSIGNAL.
    pub fn send(&self, from: &mut Source, message: &mut Outgoing, nonblocking: bool) -> Result<usize, Errno> {
        let nonblocking = nonblocking || message.flags & MSG_DONTWAIT != 0;
        let mut deadline_ns = None;
        let mut total = 0;
        let error = loop {
            match self.0.send(from, message) {
                Ok(count) => {
                    total += count;
                    if from.len() == 0 || count == 0 {
                        return Ok(total);
                    }
                }
                // Once more after the note: room that came before it would tell nobody.
                Err(Errno::EAGAIN) if !self.0.common().missed_room.swap(true, SeqCst) => {}
                Err(Errno::EAGAIN) if !nonblocking => {
                    deadline_ns = deadline_ns.or_else(|| deadline(self.0.common().options.lock().send_timeout_ns));
                    if let Err(error) = self.0.wait_for_room(message, deadline_ns) {
                        break error;
                    }
                }
                Err(error) => break error,
            }
        };
        if total > 0 {
            return Ok(total);
        }
        let signals = self.0.common().kind == SOCK_STREAM;
        if error == Errno::EPIPE && signals && message.flags & MSG_NOSIGNAL == 0 {
            task::signal_current(SIGPIPE);
        }
        Err(error)
    }
}

impl File for Socket {
    fn read(&self, open: &OpenFile, to: &mut Sink) -> Result<usize, Errno> {
        // Unlike recv(2), which waits for a message even then.
        if to.len() == 0 {
            return Ok(0);
        }
        self.receive(to, 0, &mut Incoming::default(), open.nonblocking())
    }

    fn write(&self, open: &OpenFile, from: &mut Source) -> Result<usize, Errno> {
        self.send(from, &mut Outgoing::default(), open.nonblocking())
    }

    fn ioctl(&self, open: &OpenFile, command: u32, argument: usize) -> Result<usize, Errno> {
        let count = match command {
            FIONREAD => self.0.readable_len()?,
            SIOCOUTQ => self.0.unsent_len()?,
            SIOCATMARK => self.0.at_mark()? as usize,
            FIOGETOWN | SIOCGPGRP => open.owner_number() as isize as usize,
            FIOSETOWN | SIOCSPGRP => return open.set_owner_number(user::read(argument)?).map(|()| 0),
            _ => return interfaces::ioctl(self.0.common().domain, command, argument).map(|()| 0),
        };
        user::write(argument, &(count as i32)).map(|()| 0)
    }

    fn stat(&self) -> Stat {
        let common = self.0.common();
        Stat {
            dev: SOCKET_DEVICE,
            ino: common.ino,
            ..common.attributes.lock().stat(S_IFSOCK)
        }
    }

    fn attributes(&self) -> Option<&SpinLock<Attributes>> {
        Some(&self.0.common().attributes)
    }

    fn pollable(self: Arc<Self>) -> Option<Arc<dyn Pollable>> {
        Some(self.0.share())
    }

    fn sends_signals(&self) -> bool {
        true
    }

    fn has_urgent_bytes(&self) -> bool {
        let common = self.0.common();
        common.domain != AF_UNIX && common.kind == SOCK_STREAM
    }

    fn band(&self, events: EventMask) -> Option<Band> {
        let common = self.0.common();
        if events.contains(EventMask::HUP) {
            // A change of state. AF_UNIX says how it ends; the others, that there is an end to be read.
            return Some(if common.domain == AF_UNIX {
                Band::HangUp
            } else {
                Band::In
            });
        }
        if events.contains(EventMask::IN) {
            Some(Band::In)
        } else if events.contains(EventMask::PRI) {
            Some(Band::Urgent)
        } else if events.contains(EventMask::ERR) {
            Some(Band::Error)
        } else {
            // Room is news only for who missed it.
            common.missed_room.swap(false, SeqCst).then_some(Band::Out)
        }
    }

    fn link_name(&self) -> String {
        format!("socket:[{}]", self.0.common().ino)
    }

    fn release(&self, _open: &OpenFile) {
        self.0.close();
    }

    fn lingers(&self) -> bool {
        let (lingers, seconds) = self.0.common().options.lock().linger;
        lingers && seconds != 0
    }

    /// The time past, or a signal: who closes is told nothing of it, and what is left is on its way all the same.
    fn linger(&self) {
        let common = self.0.common();
        let seconds = common.options.lock().linger.1;
        // Less than none is for ever.
        let deadline_ns = u64::try_from(seconds)
            .ok()
            .and_then(|seconds| deadline_after(seconds * NANOSECONDS));
        let interest = EventMask::OUT | EventMask::ALWAYS;
        let _ = task::block_on(&common.queue, interest, deadline_ns, || {
            self.0.has_delivered().then_some(()).ok_or(Errno::EAGAIN)
        });
    }
}
