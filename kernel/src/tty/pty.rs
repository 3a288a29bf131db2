//! Pseudoterminals, pty(7): a terminal whose other end is a program.
//!
//! The pair is one [`Terminal`]. The master is a description of /dev/ptmx; the slave has a name in /dev/pts as long as the
//! master is open, and hangs up when it is closed.

use super::control::{self, End};
use super::file::TerminalFile;
use super::line::DEFAULTS;
use super::terminal::{Far, Terminal};
use crate::file::signal_driven::{Band, Owner};
use crate::file::{File, OpenFile};
use crate::fs::{Place, Stat, devpts};
use crate::mm::user::{self, Sink, Source};
use crate::task;
use alloc::string::String;
use alloc::sync::Arc;
use event::{EventMask, Pollable, WaitQueue};
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::{O_ACCMODE, O_CLOEXEC, O_LARGEFILE, O_NOCTTY, O_NONBLOCK};
use libsyscall::abi::ioctl::*;
use libsyscall::abi::signal::{SIGINT, SIGQUIT, SIGTSTP};

/// Bytes of a write to the master that are copied at a time.
const CHUNK: usize = 256;

/// The settings of a new slave.
const SETTINGS: Termios2 = Termios2 {
    c_cflag: B38400 | CS8 | CREAD,
    c_ispeed: 38400,
    c_ospeed: 38400,
    ..DEFAULTS
};

/// An open master.
struct Master {
    terminal: Arc<Terminal>,
    number: u32,
    /// /dev/ptmx.
    place: Place,
}

/// open(2) of /dev/ptmx: a new pair. ENOSPC: there are as many as may be.
pub fn open_master(place: &Place) -> Result<Arc<dyn File>, Errno> {
    let (number, terminal) = devpts::add(|number| Terminal::new(Far::Master(number), SETTINGS, Winsize::default()))?;
    Ok(Arc::new(Master {
        terminal,
        number,
        place: place.clone(),
    }))
}

/// open(2) of a slave.
pub fn open_slave(terminal: &Arc<Terminal>, place: &Place, flags: u32) -> Result<Arc<dyn File>, Errno> {
    let file = TerminalFile::open(terminal.clone(), place)?;
    terminal.adopt_by_leader(flags);
    Ok(file)
}

impl Master {
    /// TIOCGPTPEER: a descriptor of the slave, whatever /dev/pts looks like to the caller.
    fn open_peer(&self, flags: u32) -> Result<usize, Errno> {
        if flags & !(O_ACCMODE | O_NOCTTY | O_CLOEXEC | O_NONBLOCK) != 0 {
            return Err(Errno::EINVAL);
        }
        let place = devpts::place_of(self.number).ok_or(Errno::EIO)?;
        let file = open_slave(&self.terminal, &place, flags)?;
        let open = OpenFile::new(file, flags | O_LARGEFILE);
        task::with_current(|thread| {
            let cloexec = flags & O_CLOEXEC != 0;
            thread.files().insert(open, cloexec, 0, thread.process.file_limit())
        })
        .map(|fd| fd as usize)
    }

    /// Gives the slave's line discipline what it has room for: EAGAIN for nothing.
    fn type_in(&self, from: &mut Source) -> Result<usize, Errno> {
        let mut buffer = [0; CHUNK];
        let wanted = match self.terminal.room().min(CHUNK).min(from.len()) {
            0 => return Err(Errno::EAGAIN),
            wanted => wanted,
        };
        let count = from.get(&mut buffer[..wanted])?;
        self.terminal.receive(&buffer[..count], false);
        Ok(count)
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        devpts::remove(self.number);
        self.terminal.hang_up();
    }
}

impl File for Master {
    fn read(&self, open: &OpenFile, to: &mut Sink) -> Result<usize, Errno> {
        if to.len() == 0 {
            return Ok(0);
        }
        match self.terminal.take_output(to) {
            Err(Errno::EAGAIN) if !open.nonblocking() => {
                let interest = EventMask::READABLE | EventMask::HUP;
                task::block_on(&self.terminal.master_queue, interest, None, || {
                    self.terminal.take_output(to)
                })
            }
            done => done,
        }
    }

    fn write(&self, open: &OpenFile, from: &mut Source) -> Result<usize, Errno> {
        let mut done = 0;
        while from.len() > 0 {
            let typed = match self.type_in(from) {
                Err(Errno::EAGAIN) if !open.nonblocking() => {
                    task::block_on(&self.terminal.master_queue, EventMask::WRITABLE, None, || {
                        self.type_in(from)
                    })
                }
                typed => typed,
            };
            match typed {
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
                Ok(count) => done += count,
            }
            if task::preempt_point() {
                break;
            }
        }
        Ok(done)
    }

    fn ioctl(&self, _open: &OpenFile, command: u32, argument: usize) -> Result<usize, Errno> {
        let terminal = &self.terminal;
        match command {
            TIOCGPTN => user::write(argument, &self.number)?,
            TIOCSPTLCK => {
                let locked: i32 = user::read(argument)?;
                terminal.state.lock().locked = locked != 0;
            }
            TIOCGPTLCK => {
                let locked = terminal.state.lock().locked;
                user::write(argument, &i32::from(locked))?;
            }
            TIOCPKT => {
                let on: i32 = user::read(argument)?;
                let mut state = terminal.state.lock();
                state.packet = (on != 0).then(|| state.packet.unwrap_or(0));
            }
            TIOCGPKT => {
                let on = terminal.state.lock().packet.is_some();
                user::write(argument, &i32::from(on))?;
            }
            TIOCGPTPEER => return self.open_peer(argument as u32),
            TIOCSIG => {
                let signal = argument as u32;
                if ![SIGINT, SIGQUIT, SIGTSTP].contains(&signal) {
                    return Err(Errno::EINVAL);
                }
                let foreground = terminal.state.lock().foreground;
                if foreground != 0 {
                    task::signal_group(foreground, signal);
                }
            }
            _ => return control::ioctl(terminal, End::Master, command, argument),
        }
        Ok(0)
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
        super::usual_owner(0)
    }

    fn place(&self) -> Option<&Place> {
        Some(&self.place)
    }

    fn link_name(&self) -> String {
        self.place.display()
    }
}

impl Pollable for Master {
    fn readiness(&self) -> EventMask {
        self.terminal.master_readiness()
    }

    fn wait_queue(&self) -> &WaitQueue {
        &self.terminal.master_queue
    }
}
