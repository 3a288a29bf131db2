//! The terminal device: ioctl_tty(2), reading and writing, job control.

use super::line::Line;
use super::output::in_pieces;
use crate::console::{self, Stream};
use crate::file::{File, OpenFile};
use crate::fs::{Place, Stat};
use crate::mm::user::{self, Sink, Source};
use crate::task;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use event::{EventMask, Pollable, WaitQueue};
use libsyscall::abi::Errno;
use libsyscall::abi::ioctl::*;
use libsyscall::abi::signal::{SIGTTIN, SIGTTOU, SIGWINCH};
use sync::SpinLock;

const READABLE: EventMask = EventMask::IN.union(EventMask::RDNORM);
const WRITABLE: EventMask = EventMask::OUT.union(EventMask::WRNORM);

pub struct Terminal {
    state: SpinLock<State>,
    queue: WaitQueue,
}

struct State {
    line: Line,
    window: Winsize,
    /// The session this terminal controls, and its foreground process group; 0 for none.
    session: i32,
    foreground: i32,
}

impl Terminal {
    pub fn new() -> Arc<Terminal> {
        Arc::new(Terminal {
            state: SpinLock::new(State {
                line: Line::new(),
                window: Winsize {
                    ws_row: 24,
                    ws_col: 80,
                    ..Winsize::default()
                },
                session: 0,
                foreground: 0,
            }),
            queue: WaitQueue::new(),
        })
    }

    pub fn set_session(&self, session: i32, foreground: i32) {
        let mut state = self.state.lock();
        state.session = session;
        state.foreground = foreground;
    }

    pub fn session(&self) -> i32 {
        self.state.lock().session
    }

    pub fn foreground(&self) -> i32 {
        self.state.lock().foreground
    }

    /// Whether the running thread's session has this terminal.
    pub fn controls_current(&self) -> bool {
        let session = task::with_current(|thread| thread.process.session());
        self.session() == session
    }

    /// A session's leader without a terminal gets this one when it opens it, if it is free.
    pub fn adopt_by_leader(&self) {
        let (pid, session) = task::with_current(|thread| (thread.process.pid, thread.process.session()));
        let mut state = self.state.lock();
        if pid == session && state.session == 0 {
            state.session = session;
            state.foreground = pid;
        }
    }

    pub fn has_room(&self) -> bool {
        self.state.lock().line.has_room()
    }

    /// Bytes typed, then perhaps the end of input.
    pub fn receive(&self, bytes: &[u8], ended: bool) {
        let mut echo = Vec::new();
        let mut signals = Vec::new();
        let mut state = self.state.lock();
        for &byte in bytes {
            signals.extend(state.line.receive(byte, &mut echo));
        }
        if ended {
            state.line.end();
        }
        let foreground = state.foreground;
        let processed = state.line.settings.c_oflag & OPOST != 0;
        let readable = state.line.is_readable();
        drop(state);
        show(&echo, processed);
        if readable {
            self.queue.wake(READABLE);
        }
        for signal in signals {
            if foreground != 0 {
                task::signal_group(foreground, signal);
            }
        }
    }

    /// One try of a read. EAGAIN while there is nothing.
    fn take(&self, to: &mut Sink) -> Result<usize, Errno> {
        let mut state = self.state.lock();
        if !state.line.is_readable() && (state.line.is_canonical() || state.line.minimum() > 0) {
            return Err(Errno::EAGAIN);
        }
        let bytes = state.line.take(to.len()).unwrap_or_default();
        drop(state);
        // There may be room now for what waits in the serial line.
        super::input::pump();
        if bytes.is_empty() { Ok(0) } else { to.put(&bytes) }
    }

    /// A process in the background that touches the terminal gets `signal` instead; EIO where it can't be stopped.
    fn check_foreground(&self, signal: u32) -> Result<(), Errno> {
        let (session, group) = task::with_current(|thread| (thread.process.session(), thread.process.group()));
        let state = self.state.lock();
        if state.session != session || state.foreground == group || state.foreground == 0 {
            return Ok(());
        }
        drop(state);
        if task::current_ignores(signal) {
            return if signal == SIGTTIN { Err(Errno::EIO) } else { Ok(()) };
        }
        task::signal_group(group, signal);
        Err(Errno::ERESTARTSYS)
    }

    /// The structure at `argument` becomes the settings, after a flush of input for the F forms.
    fn set_settings(&self, settings: Termios2, flush: bool) -> Result<usize, Errno> {
        self.check_foreground(SIGTTOU)?;
        let mut state = self.state.lock();
        if flush {
            state.line.flush();
        }
        state.line.set(settings);
        let readable = state.line.is_readable();
        drop(state);
        if readable {
            self.queue.wake(READABLE);
        }
        Ok(0)
    }

    fn set_foreground(&self, group: i32) -> Result<usize, Errno> {
        let session = task::with_current(|thread| thread.process.session());
        if self.state.lock().session != session {
            return Err(Errno::ENOTTY);
        }
        self.check_foreground(SIGTTOU)?;
        if group < 0 {
            return Err(Errno::EINVAL);
        }
        if task::group_session(group) != Some(session) {
            return Err(Errno::EPERM);
        }
        self.state.lock().foreground = group;
        Ok(0)
    }

    /// TIOCSCTTY: a session's leader takes the terminal; root may steal it.
    fn set_controlling(&self, steal: bool) -> Result<usize, Errno> {
        let (pid, session) = task::with_current(|thread| (thread.process.pid, thread.process.session()));
        let steal = steal && crate::fs::access::current().is_root();
        let mut state = self.state.lock();
        if state.session == session {
            return Ok(0);
        }
        if pid != session || (state.session != 0 && !steal) {
            return Err(Errno::EPERM);
        }
        state.session = session;
        state.foreground = task::with_current(|thread| thread.process.group());
        Ok(0)
    }

    fn set_window(&self, window: Winsize) -> Result<usize, Errno> {
        let mut state = self.state.lock();
        let changed = state.window != window;
        state.window = window;
        let foreground = state.foreground;
        drop(state);
        if changed && foreground != 0 {
            task::signal_group(foreground, SIGWINCH);
        }
        Ok(0)
    }
}

/// Puts bytes on the screen; a newline moves to the first column where output is processed.
fn show(bytes: &[u8], processed: bool) {
    if !processed {
        return console::write(Stream::Output, bytes);
    }
    let mut translated = Vec::with_capacity(bytes.len() + 8);
    for &byte in bytes {
        if byte == b'\n' {
            translated.push(b'\r');
        }
        translated.push(byte);
    }
    if !translated.is_empty() {
        console::write(Stream::Output, &translated);
    }
}

/// An open terminal, with the name it was opened by.
pub struct TerminalFile {
    terminal: Arc<Terminal>,
    place: Place,
}

impl TerminalFile {
    pub fn new(terminal: Arc<Terminal>, place: Place) -> TerminalFile {
        TerminalFile { terminal, place }
    }
}

/// The short structure over what is there already.
fn widen(short: Termios, old: Termios2) -> Termios2 {
    Termios2 {
        c_iflag: short.c_iflag,
        c_oflag: short.c_oflag,
        c_cflag: short.c_cflag,
        c_lflag: short.c_lflag,
        c_line: short.c_line,
        c_cc: short.c_cc,
        ..old
    }
}

fn shorten(long: Termios2) -> Termios {
    Termios {
        c_iflag: long.c_iflag,
        c_oflag: long.c_oflag,
        c_cflag: long.c_cflag,
        c_lflag: long.c_lflag,
        c_line: long.c_line,
        c_cc: long.c_cc,
    }
}

impl File for TerminalFile {
    fn read(&self, open: &OpenFile, to: &mut Sink) -> Result<usize, Errno> {
        self.terminal.check_foreground(SIGTTIN)?;
        if to.len() == 0 {
            return Ok(0);
        }
        match self.terminal.take(to) {
            Err(Errno::EAGAIN) if !open.nonblocking() => {
                task::block_on(&self.terminal.queue, READABLE | EventMask::HUP, None, || {
                    self.terminal.take(to)
                })
            }
            done => done,
        }
    }

    fn write(&self, _open: &OpenFile, from: &mut Source) -> Result<usize, Errno> {
        let (stops, processed) = {
            let settings = &self.terminal.state.lock().line.settings;
            (
                settings.c_lflag & TOSTOP != 0,
                settings.c_oflag & (OPOST | ONLCR) == OPOST | ONLCR,
            )
        };
        if stops {
            self.terminal.check_foreground(SIGTTOU)?;
        }
        in_pieces(from, |bytes| show(bytes, processed))
    }

    fn ioctl(&self, _open: &OpenFile, command: u32, argument: usize) -> Result<usize, Errno> {
        let terminal = &self.terminal;
        let settings = terminal.state.lock().line.settings;
        match command {
            TCGETS => user::write(argument, &shorten(settings))?,
            TCGETS2 => user::write(argument, &settings)?,
            TCSETS | TCSETSW | TCSETSF => {
                return terminal.set_settings(widen(user::read(argument)?, settings), command == TCSETSF);
            }
            TCSETS2 | TCSETSW2 | TCSETSF2 => {
                return terminal.set_settings(user::read(argument)?, command == TCSETSF2);
            }
            TIOCGWINSZ => {
                let window = terminal.state.lock().window;
                user::write(argument, &window)?;
            }
            TIOCSWINSZ => return terminal.set_window(user::read(argument)?),
            TIOCGPGRP | TIOCGSID => {
                if !terminal.controls_current() {
                    return Err(Errno::ENOTTY);
                }
                let state = terminal.state.lock();
                let answer = if command == TIOCGPGRP {
                    state.foreground
                } else {
                    state.session
                };
                drop(state);
                user::write(argument, &answer)?;
            }
            TIOCSPGRP => return terminal.set_foreground(user::read(argument)?),
            TIOCSCTTY => return terminal.set_controlling(argument == 1),
            TIOCNOTTY => {
                if !terminal.controls_current() {
                    return Err(Errno::ENOTTY);
                }
                let leads = task::with_current(|thread| thread.process.pid == thread.process.session());
                if leads {
                    terminal.set_session(0, 0);
                }
            }
            FIONREAD => {
                let count = terminal.state.lock().line.available() as i32;
                user::write(argument, &count)?;
            }
            TIOCOUTQ => user::write(argument, &0i32)?,
            TCFLSH => match argument {
                TCIFLUSH | TCIOFLUSH => terminal.state.lock().line.flush(),
                // Output is on its way when write(2) returns.
                TCOFLUSH => {}
                _ => return Err(Errno::EINVAL),
            },
            // tcdrain(3): all has been sent. A break can't be sent over this line.
            TCSBRK if argument != 0 => {}
            _ => return Err(Errno::ENOTTY),
        }
        Ok(0)
    }

    fn stat(&self) -> Stat {
        self.place.stat()
    }

    fn pollable(self: Arc<Self>) -> Option<Arc<dyn Pollable>> {
        Some(self)
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
        let readable = self.terminal.state.lock().line.is_readable();
        if readable { READABLE | WRITABLE } else { WRITABLE }
    }

    fn wait_queue(&self) -> &WaitQueue {
        &self.terminal.queue
    }
}
