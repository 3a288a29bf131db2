//! A terminal: settings, input, output and who may use it. The console is one; a pseudoterminal's slave is another.
//!
//! Everything is under the terminal's one lock; wake-ups, signals and the console's bytes go out after it is dropped.

use super::job;
use super::line::{Effect, Line};
use super::post::Post;
use crate::console::{self, Stream};
use crate::mm::user::Sink;
use crate::task;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use event::{EventMask, WaitQueue};
use libsyscall::abi::Errno;
use libsyscall::abi::capability::CAP_SYS_ADMIN;
use libsyscall::abi::ioctl::*;
use libsyscall::abi::signal::SIGWINCH;
use sync::SpinLock;

/// Output a master has not read yet; past it writers wait.
const OUTPUT_MAX: usize = 64 * 1024;

/// What a hung-up terminal says to everyone.
const HUNG_UP: EventMask = EventMask::READABLE
    .union(EventMask::WRITABLE)
    .union(EventMask::ERR)
    .union(EventMask::HUP);

/// What is at the other end of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Far {
    Console,
    /// A program, by the master of the pseudoterminal with this number.
    Master(u32),
}

pub struct Terminal {
    pub far: Far,
    pub(super) state: SpinLock<State>,
    /// Who waits for input or for room to write.
    pub(super) queue: WaitQueue,
    /// Who waits at the master.
    pub(super) master_queue: WaitQueue,
}

pub(super) struct State {
    pub line: Line,
    pub window: Winsize,
    /// The session this terminal controls, and its foreground process group; 0 for none. Set under the lock of `job`.
    pub session: i32,
    pub foreground: i32,
    /// Nobody but root may open it again, TIOCEXCL.
    pub exclusive: bool,
    /// The other end has gone, for good.
    pub hung_up: bool,
    post: Post,
    /// Output stands still: by the stop character, or by tcflow(3).
    stopped: bool,
    /// Output on its way to the master.
    output: VecDeque<u8>,
    /// A pseudoterminal's slave can't be opened until its master says so.
    pub locked: bool,
    /// Open slaves, and whether there has been one: a master without any reads EIO only after that.
    pub slaves: u32,
    pub was_open: bool,
    /// In packet mode: what the master has not been told.
    pub packet: Option<u8>,
}

impl State {
    fn tell_packet(&mut self, remove: u8, add: u8) -> bool {
        if let Some(status) = &mut self.packet {
            *status = *status & !remove | add;
            return *status != 0;
        }
        false
    }

    /// Whether a writer would get rid of a byte.
    fn has_output_room(&self) -> bool {
        !self.stopped && self.output.len() < OUTPUT_MAX
    }

    /// Whether output stops and starts by ^S and ^Q, as packet mode reports it.
    fn has_usual_flow_control(&self) -> bool {
        let settings = &self.line.settings;
        settings.c_iflag & IXON != 0 && settings.c_cc[VSTOP] == 0x13 && settings.c_cc[VSTART] == 0x11
    }
}

impl Terminal {
    pub fn new(far: Far, settings: Termios2, window: Winsize) -> Arc<Terminal> {
        Arc::new(Terminal {
            far,
            state: SpinLock::new(State {
                line: Line::new(settings),
                window,
                session: 0,
                foreground: 0,
                exclusive: false,
                hung_up: false,
                post: Post::default(),
                stopped: false,
                output: VecDeque::new(),
                locked: true,
                slaves: 0,
                was_open: false,
                packet: None,
            }),
            queue: WaitQueue::new(),
            master_queue: WaitQueue::new(),
        })
    }

    /// Bytes of input there is room for.
    pub fn room(&self) -> usize {
        self.state.lock().line.room()
    }

    /// Bytes typed, then perhaps the end of input. Past [`Terminal::room`] some are lost.
    pub fn receive(&self, bytes: &[u8], ended: bool) {
        let mut echo = Vec::new();
        let mut signals = Vec::new();
        let mut state = self.state.lock();
        let flow = state.line.settings.c_iflag & IXON != 0;
        let any_starts = flow && state.line.settings.c_iflag & IXANY != 0;
        let was_stopped = state.stopped;
        for &byte in bytes {
            match state.line.receive(byte, &mut echo) {
                Some(Effect::Stop) => state.stopped = true,
                Some(Effect::Start) => state.stopped = false,
                Some(Effect::Signal(signal)) => {
                    signals.push(signal);
                    state.stopped &= !flow;
                }
                None => state.stopped &= !any_starts,
            }
        }
        if ended {
            state.line.end();
        }
        let foreground = state.foreground;
        // Fewer bytes than poll(2) wants may be enough for a read that waits.
        let arrived = state.line.is_readable() || state.line.available() > 0;
        let flow_changed = was_stopped != state.stopped;
        if flow_changed {
            self.tell_flow(&mut state);
        }
        // An echo does not wait for room: what does not fit is lost.
        let shown = echo.len().min(OUTPUT_MAX.saturating_sub(state.output.len()));
        let screen = self.put(&mut state, &echo[..shown]);
        drop(state);
        self.shown(screen);
        if arrived {
            self.queue.wake(EventMask::READABLE);
        }
        if flow_changed {
            self.flow_changed();
        }
        for signal in signals {
            if foreground != 0 {
                task::signal_group(foreground, signal);
            }
        }
    }

    /// Packet mode's word that output was stopped or started.
    fn tell_flow(&self, state: &mut State) {
        if state.stopped {
            state.tell_packet(TIOCPKT_START, TIOCPKT_STOP);
        } else {
            state.tell_packet(TIOCPKT_STOP, TIOCPKT_START);
        }
    }

    fn flow_changed(&self) {
        self.queue.wake(EventMask::WRITABLE);
        self.master_queue.wake(EventMask::PRI | EventMask::READABLE);
    }

    /// Stops output or lets it go on: tcflow(3).
    pub fn set_stopped(&self, stopped: bool) {
        let mut state = self.state.lock();
        if state.stopped == stopped {
            return;
        }
        state.stopped = stopped;
        self.tell_flow(&mut state);
        drop(state);
        self.flow_changed();
    }

    /// Processes output. What goes to the console is returned, for [`Terminal::shown`]; the rest waits for the master,
    /// which may be a little more than there is room for: a tab becomes spaces.
    fn put(&self, state: &mut State, bytes: &[u8]) -> Vec<u8> {
        let flags = state.line.settings.c_oflag;
        let mut screen = Vec::with_capacity(bytes.len() + 8);
        for &byte in bytes {
            state.post.push(byte, flags, &mut screen);
        }
        if self.far == Far::Console {
            return screen;
        }
        state.output.extend(screen);
        Vec::new()
    }

    /// Ends an output, without the lock.
    fn shown(&self, screen: Vec<u8>) {
        if !screen.is_empty() {
            console::write(Stream::Output, &screen);
        }
        if self.far != Far::Console {
            self.master_queue.wake(EventMask::READABLE);
        }
    }

    /// Bytes a program may write now: EAGAIN for none, EIO after a hang-up.
    pub fn output_room(&self) -> Result<usize, Errno> {
        let state = self.state.lock();
        if state.hung_up {
            Err(Errno::EIO)
        } else if state.has_output_room() {
            Ok(OUTPUT_MAX - state.output.len())
        } else {
            Err(Errno::EAGAIN)
        }
    }

    /// A program's output, within [`Terminal::output_room`].
    pub fn write(&self, bytes: &[u8]) {
        let screen = self.put(&mut self.state.lock(), bytes);
        self.shown(screen);
    }

    /// A character of the terminal's own, past the output that waits: tcflow(3).
    pub fn write_unprocessed(&self, byte: u8) {
        let mut screen = Vec::new();
        if self.far == Far::Console {
            screen.push(byte);
        } else {
            self.state.lock().output.push_front(byte);
        }
        self.shown(screen);
    }

    pub fn is_hung_up(&self) -> bool {
        self.state.lock().hung_up
    }

    /// One try of a read: EAGAIN while there is nothing, EIO where it was hung up; 0 bytes at an end of input.
    pub fn take(&self, to: &mut Sink) -> Result<usize, Errno> {
        let mut state = self.state.lock();
        let was_full = state.line.room() == 0;
        let Some(bytes) = state.line.take(to.len()) else {
            return Err(if state.hung_up { Errno::EIO } else { Errno::EAGAIN });
        };
        drop(state);
        match self.far {
            // There may be room now for what waits in the serial line.
            Far::Console => super::input::pump(),
            Far::Master(_) if was_full => {
                self.master_queue.wake(EventMask::WRITABLE);
            }
            Far::Master(_) => {}
        }
        if bytes.is_empty() { Ok(0) } else { to.put(&bytes) }
    }

    /// What a program at this end finds.
    pub fn readiness(&self) -> EventMask {
        let state = self.state.lock();
        if state.hung_up {
            return HUNG_UP;
        }
        let mut ready = EventMask::empty();
        ready.set(EventMask::READABLE, state.line.is_readable());
        ready.set(EventMask::WRITABLE, state.has_output_room());
        ready
    }

    /// What a program at the master finds.
    pub fn master_readiness(&self) -> EventMask {
        let state = self.state.lock();
        let told = state.packet.is_some_and(|status| status != 0);
        let mut ready = EventMask::empty();
        ready.set(EventMask::READABLE, told || !state.output.is_empty());
        ready.set(EventMask::PRI, told);
        ready.set(EventMask::WRITABLE, state.line.room() > 0);
        ready.set(EventMask::HUP, state.was_open && state.slaves == 0);
        ready
    }

    /// One try of the master's read: EAGAIN while there is nothing, EIO where no slave is open that could write.
    pub fn take_output(&self, to: &mut Sink) -> Result<usize, Errno> {
        let mut state = self.state.lock();
        if let Some(status) = state.packet.filter(|&status| status != 0) {
            state.packet = Some(0);
            drop(state);
            return to.put(&[status]);
        }
        if state.output.is_empty() {
            return Err(if state.was_open && state.slaves == 0 {
                Errno::EIO
            } else {
                Errno::EAGAIN
            });
        }
        let was_full = state.output.len() >= OUTPUT_MAX;
        let mark = state.packet.is_some().then_some(TIOCPKT_DATA);
        let count = to.len().min(state.output.len() + mark.iter().len());
        let bytes: Vec<u8> = mark
            .into_iter()
            .chain(state.output.drain(..count - mark.iter().len()))
            .collect();
        drop(state);
        if was_full {
            self.queue.wake(EventMask::WRITABLE);
        }
        to.put(&bytes)
    }

    /// Bytes the master's read would get, FIONREAD.
    pub fn output_len(&self) -> usize {
        self.state.lock().output.len()
    }

    /// tcflush(3) from either end.
    pub fn flush(&self, input: bool, output: bool) {
        let mut state = self.state.lock();
        let mut told = 0;
        if input {
            state.line.flush();
            told |= TIOCPKT_FLUSHREAD;
        }
        if output {
            state.output.clear();
            told |= TIOCPKT_FLUSHWRITE;
        }
        state.tell_packet(0, told);
        drop(state);
        self.queue.wake(EventMask::WRITABLE);
        self.master_queue
            .wake(EventMask::PRI | EventMask::READABLE | EventMask::WRITABLE);
    }

    pub fn settings(&self) -> Termios2 {
        self.state.lock().line.settings
    }

    /// tcsetattr(3), after a flush of the input where asked for.
    pub fn set_settings(&self, mut settings: Termios2, flush: bool) {
        let mut state = self.state.lock();
        if self.far != Far::Console {
            // Bytes to another program have eight bits and nothing to check.
            settings.c_cflag = settings.c_cflag & !(CSIZE | PARENB) | CS8 | CREAD;
        }
        if flush {
            state.line.flush();
        }
        let was_usual = state.has_usual_flow_control();
        let had_flow = state.line.settings.c_iflag & IXON != 0;
        state.line.set(settings);
        let is_usual = state.has_usual_flow_control();
        let mut told = false;
        if was_usual != is_usual {
            told = if is_usual {
                state.tell_packet(TIOCPKT_NOSTOP, TIOCPKT_DOSTOP)
            } else {
                state.tell_packet(TIOCPKT_DOSTOP, TIOCPKT_NOSTOP)
            };
        }
        // Whoever takes the stop character away lets go what it held.
        let starts = had_flow && settings.c_iflag & IXON == 0 && state.stopped;
        state.stopped &= !starts;
        let readable = state.line.is_readable();
        drop(state);
        if readable {
            self.queue.wake(EventMask::READABLE);
        }
        if starts {
            self.queue.wake(EventMask::WRITABLE);
        }
        if told {
            self.master_queue.wake(EventMask::PRI | EventMask::READABLE);
        }
        // A flush, or another mode, may have made room.
        self.master_queue.wake(EventMask::WRITABLE);
    }

    /// TIOCSWINSZ: the foreground group hears of a change.
    pub fn set_window(&self, window: Winsize) {
        let mut state = self.state.lock();
        let changed = state.window != window;
        state.window = window;
        let foreground = state.foreground;
        drop(state);
        if changed && foreground != 0 {
            task::signal_group(foreground, SIGWINCH);
        }
    }

    /// A slave was opened: EIO where it is locked, EBUSY where one program has it for itself.
    pub fn enter(&self) -> Result<(), Errno> {
        let may_share = crate::fs::access::current().has(CAP_SYS_ADMIN);
        let mut state = self.state.lock();
        if self.far != Far::Console && (state.locked || state.hung_up) {
            return Err(Errno::EIO);
        }
        if state.exclusive && !may_share {
            return Err(Errno::EBUSY);
        }
        state.slaves += 1;
        state.was_open = true;
        Ok(())
    }

    /// A slave was closed.
    pub fn leave(&self) {
        let mut state = self.state.lock();
        state.slaves -= 1;
        let last = state.slaves == 0;
        state.exclusive &= !last;
        drop(state);
        if last {
            self.master_queue.wake(EventMask::HUP | EventMask::READABLE);
        }
    }

    /// The other end has gone: reads end, writes fail, and the session that had the terminal is told.
    pub fn hang_up(self: &Arc<Self>) {
        {
            let mut state = self.state.lock();
            state.hung_up = true;
            state.stopped = false;
            state.line.flush();
            state.output.clear();
        }
        self.queue.wake(HUNG_UP);
        job::hung_up(self);
    }
}
