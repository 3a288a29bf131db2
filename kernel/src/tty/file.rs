//! An open terminal: reading, writing, readiness.

use super::control::{self, End};
use super::terminal::Terminal;
use crate::file::signal_driven::{Band, Owner};
use crate::file::{File, OpenFile};
use crate::fs::{Place, Stat};
use crate::mm::user::{Sink, Source};
use crate::{task, time};
use alloc::string::String;
use alloc::sync::Arc;
use event::{EventMask, Pollable, WaitQueue};
use libsyscall::abi::Errno;
use libsyscall::abi::ioctl::TOSTOP;
use libsyscall::abi::signal::{SIGTTIN, SIGTTOU};

/// A tenth of a second, VTIME's unit.
const TENTH_NS: u64 = 100_000_000;
/// Bytes of a write that are copied at a time.
const CHUNK: usize = 512;

/// With the name it was opened by.
pub struct TerminalFile {
    terminal: Arc<Terminal>,
    place: Place,
}

impl TerminalFile {
    /// EIO: a locked slave, or one whose master has gone. EBUSY: TIOCEXCL.
    pub fn open(terminal: Arc<Terminal>, place: &Place) -> Result<Arc<TerminalFile>, Errno> {
        terminal.enter()?;
        Ok(Arc::new(TerminalFile {
            terminal,
            place: place.clone(),
        }))
    }

    fn block_on<T>(
        &self,
        interest: EventMask,
        deadline_ns: Option<u64>,
        attempt: impl FnMut() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let interest = interest | EventMask::ALWAYS;
        task::block_on(&self.terminal.queue, interest, deadline_ns, attempt)
    }

    /// A read without lines, termios(3) "Canonical and noncanonical mode": waits for VMIN bytes; VTIME limits the wait
    /// for the first byte where VMIN is 0, and for each one after the first where it is not.
    fn read_raw(&self, open: &OpenFile, to: &mut Sink, minimum: usize, limit_ns: u64) -> Result<usize, Errno> {
        let terminal = &self.terminal;
        let mut done = 0;
        loop {
            let deadline_ns = (limit_ns > 0 && (minimum == 0 || done > 0)).then(|| time::now_ns() + limit_ns);
            let taken = match terminal.take(to) {
                Err(Errno::EAGAIN) if minimum == 0 && limit_ns == 0 => return Ok(0),
                Err(Errno::EAGAIN) if !open.nonblocking() => {
                    self.block_on(EventMask::READABLE, deadline_ns, || terminal.take(to))
                }
                taken => taken,
            };
            match taken {
                // The time limit has passed.
                Err(Errno::EAGAIN) if deadline_ns.is_some() && !open.nonblocking() => return Ok(done),
                Err(error) if done == 0 => return Err(error),
                Err(_) | Ok(0) => return Ok(done),
                Ok(count) => done += count,
            }
            if done >= minimum || to.len() == 0 {
                return Ok(done);
            }
        }
    }
}

impl Drop for TerminalFile {
    fn drop(&mut self) {
        self.terminal.leave();
    }
}

impl File for TerminalFile {
    fn read(&self, open: &OpenFile, to: &mut Sink) -> Result<usize, Errno> {
        let terminal = &self.terminal;
        terminal.check_foreground(SIGTTIN)?;
        // A hang-up is an end of input for whoever reads after it.
        if to.len() == 0 || terminal.is_hung_up() {
            return Ok(0);
        }
        let (canonical, minimum, tenths) = {
            let line = &terminal.state.lock().line;
            (line.is_canonical(), line.minimum(), line.time_tenths())
        };
        if !canonical {
            return self.read_raw(open, to, minimum, tenths * TENTH_NS);
        }
        match terminal.take(to) {
            Err(Errno::EAGAIN) if !open.nonblocking() => self.block_on(EventMask::READABLE, None, || terminal.take(to)),
            done => done,
        }
    }

    fn write(&self, open: &OpenFile, from: &mut Source) -> Result<usize, Errno> {
        let terminal = &self.terminal;
        if terminal.settings().c_lflag & TOSTOP != 0 {
            terminal.check_foreground(SIGTTOU)?;
        }
        let mut buffer = [0; CHUNK];
        let mut done = 0;
        while from.len() > 0 {
            let room = match terminal.output_room() {
                Err(Errno::EAGAIN) if !open.nonblocking() => {
                    self.block_on(EventMask::WRITABLE, None, || terminal.output_room())
                }
                room => room,
            };
            let copied = room.and_then(|room| {
                let wanted = from.len().min(CHUNK).min(room);
                from.get(&mut buffer[..wanted])
            });
            match copied {
                Err(error) if done == 0 => return Err(error),
                Err(_) | Ok(0) => break,
                Ok(count) => {
                    terminal.write(&buffer[..count]);
                    done += count;
                }
            }
            if task::preempt_point() {
                break;
            }
        }
        Ok(done)
    }

    fn ioctl(&self, _open: &OpenFile, command: u32, argument: usize) -> Result<usize, Errno> {
        control::ioctl(&self.terminal, End::Slave, command, argument)
    }

    fn stat(&self) -> Stat {
        self.place.stat()
    }

    fn pollable(self: Arc<Self>) -> Option<Arc<dyn Pollable>> {
        Some(self)
    }

    fn sends_signals(&self) -> bool {
        true
    }

    fn band(&self, events: EventMask) -> Option<Band> {
        super::band(events)
    }

    fn usual_owner(&self) -> Option<Owner> {
        super::usual_owner(self.terminal.foreground())
    }

    fn place(&self) -> Option<&Place> {
        Some(&self.place)
    }

    fn link_name(&self) -> String {
        self.place.display()
    }
}

impl Pollable for TerminalFile {
    fn readiness(&self) -> EventMask {
        self.terminal.readiness()
    }

    fn wait_queue(&self) -> &WaitQueue {
        &self.terminal.queue
    }
}
