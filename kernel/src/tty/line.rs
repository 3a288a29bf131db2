//! The line discipline: what typed bytes become, termios(3). Pure: echoes go to a sink, signals are returned.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use libsyscall::abi::ioctl::*;
use libsyscall::abi::signal::{SIGINT, SIGQUIT, SIGTSTP};

/// Most bytes of a line that is being typed, and of input not read yet.
const INPUT_MAX: usize = 4095;

/// A control character that is switched off.
const DISABLED: u8 = 0;

/// What a byte typed makes beyond input and echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A signal for the foreground process group.
    Signal(u32),
    /// Output stops until it is started again.
    Stop,
    Start,
}

/// The settings of a terminal nobody has set: as Linux has them, 115200 8N1.
pub const DEFAULTS: Termios2 = Termios2 {
    c_iflag: ICRNL | IXON,
    c_oflag: OPOST | ONLCR,
    c_cflag: B115200 | CS8 | CREAD | HUPCL,
    c_lflag: ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
    c_line: 0,
    // INTR QUIT ERASE KILL EOF TIME MIN SWTC START STOP SUSP EOL REPRINT DISCARD WERASE LNEXT EOL2
    c_cc: [
        3, 0x1c, 0x7f, 0x15, 4, 0, 1, 0, 0x11, 0x13, 0x1a, 0, 0x12, 0x0f, 0x17, 0x16, 0, 0, 0,
    ],
    c_ispeed: 115_200,
    c_ospeed: 115_200,
};

/// What is typed, on its way to a reader.
pub struct Line {
    pub settings: Termios2,
    /// The line being typed.
    editing: Vec<u8>,
    /// What can be read.
    ready: VecDeque<u8>,
    /// Lengths of the complete lines in `ready`, canonical mode's units of reading; 0 is an end of file.
    lines: VecDeque<usize>,
    /// The next byte is taken as it is (LNEXT).
    literal: bool,
}

impl Line {
    pub fn new(settings: Termios2) -> Line {
        Line {
            settings,
            editing: Vec::new(),
            ready: VecDeque::new(),
            lines: VecDeque::new(),
            literal: false,
        }
    }

    fn has(&self, flag: u32) -> bool {
        self.settings.c_lflag & flag != 0
    }

    pub fn is_canonical(&self) -> bool {
        self.has(ICANON)
    }

    /// Whether poll(2) calls it readable: a line, or VMIN bytes where no time limit makes fewer enough.
    pub fn is_readable(&self) -> bool {
        if self.is_canonical() {
            !self.lines.is_empty()
        } else if self.time_tenths() == 0 {
            self.ready.len() >= self.minimum().max(1)
        } else {
            !self.ready.is_empty()
        }
    }

    /// VMIN: the fewest bytes a read waits for.
    pub fn minimum(&self) -> usize {
        self.settings.c_cc[VMIN] as usize
    }

    /// VTIME, tenths of a second.
    pub fn time_tenths(&self) -> u64 {
        self.settings.c_cc[VTIME].into()
    }

    /// Bytes that can be received and lose none.
    pub fn room(&self) -> usize {
        INPUT_MAX.saturating_sub(self.ready.len())
    }

    /// Bytes a read would get, FIONREAD.
    pub fn available(&self) -> usize {
        if self.is_canonical() {
            self.lines.iter().sum()
        } else {
            self.ready.len()
        }
    }

    /// New settings. What was typed stays, in the new mode's form.
    pub fn set(&mut self, settings: Termios2) {
        let was_canonical = self.is_canonical();
        self.settings = settings;
        if was_canonical && !self.is_canonical() {
            self.ready.extend(self.editing.drain(..));
            self.lines.clear();
        } else if !was_canonical && self.is_canonical() && !self.ready.is_empty() {
            self.lines.push_back(self.ready.len());
        }
    }

    /// TCIFLUSH.
    pub fn flush(&mut self) {
        self.editing.clear();
        self.ready.clear();
        self.lines.clear();
        self.literal = false;
    }

    /// Takes up to `room` bytes for a reader; in canonical mode of one line only. None: nothing there.
    pub fn take(&mut self, room: usize) -> Option<Vec<u8>> {
        if !self.is_canonical() {
            let count = room.min(self.ready.len());
            return (count > 0).then(|| self.ready.drain(..count).collect());
        }
        let line = self.lines.front_mut()?;
        let count = room.min(*line);
        *line -= count;
        if *line == 0 {
            self.lines.pop_front();
        }
        Some(self.ready.drain(..count).collect())
    }

    /// The input was closed: as an end-of-file character on a fresh line.
    pub fn end(&mut self) {
        if self.is_canonical() {
            self.complete();
        }
    }

    fn complete(&mut self) {
        self.lines.push_back(self.editing.len());
        self.ready.extend(self.editing.drain(..));
    }

    fn is_control(&self, index: usize, byte: u8) -> bool {
        let control = self.settings.c_cc[index];
        control != DISABLED && control == byte
    }

    /// One byte typed: what to echo goes to `echo`; what else it does is returned.
    pub fn receive(&mut self, byte: u8, echo: &mut Vec<u8>) -> Option<Effect> {
        let mut byte = byte;
        let flags = self.settings.c_iflag;
        if flags & ISTRIP != 0 {
            byte &= 0x7f;
        }
        if flags & IUCLC != 0 && self.has(IEXTEN) {
            byte.make_ascii_lowercase();
        }
        if core::mem::take(&mut self.literal) {
            self.add(byte, echo);
            return None;
        }
        if flags & IXON != 0 {
            if self.is_control(VSTART, byte) {
                return Some(Effect::Start);
            }
            if self.is_control(VSTOP, byte) {
                return Some(Effect::Stop);
            }
        }
        if self.has(ISIG) {
            for (index, signal) in [(VINTR, SIGINT), (VQUIT, SIGQUIT), (VSUSP, SIGTSTP)] {
                if self.is_control(index, byte) {
                    if !self.has(NOFLSH) {
                        self.flush();
                    }
                    self.echo(byte, echo);
                    return Some(Effect::Signal(signal));
                }
            }
        }
        match byte {
            b'\r' if flags & IGNCR != 0 => return None,
            b'\r' if flags & ICRNL != 0 => byte = b'\n',
            b'\n' if flags & INLCR != 0 => byte = b'\r',
            _ => {}
        }
        if self.is_canonical() {
            self.edit(byte, echo)
        } else {
            self.add_raw(byte, echo)
        }
        None
    }

    fn add_raw(&mut self, byte: u8, echo: &mut Vec<u8>) {
        if self.ready.len() < INPUT_MAX {
            self.ready.push_back(byte);
            self.echo(byte, echo);
        }
    }

    /// A byte in canonical mode: an editing key, the end of a line, or part of it.
    fn edit(&mut self, byte: u8, echo: &mut Vec<u8>) {
        let extended = self.has(IEXTEN);
        if self.is_control(VERASE, byte) {
            self.erase(echo);
        } else if self.is_control(VKILL, byte) {
            self.kill(byte, echo);
        } else if extended && self.is_control(VWERASE, byte) {
            while self.editing.last() == Some(&b' ') {
                self.erase(echo);
            }
            while self.editing.last().is_some_and(|&last| last != b' ') {
                self.erase(echo);
            }
        } else if extended && self.is_control(VLNEXT, byte) {
            self.literal = true;
        } else if extended && self.is_control(VREPRINT, byte) {
            self.echo(byte, echo);
            echo.push(b'\n');
            let line = core::mem::take(&mut self.editing);
            line.iter().for_each(|&byte| self.echo(byte, echo));
            self.editing = line;
        } else if self.is_control(VEOF, byte) {
            self.complete();
        } else if byte == b'\n' || self.is_control(VEOL, byte) || self.is_control(VEOL2, byte) {
            self.editing.push(byte);
            if self.has(ECHO) || byte == b'\n' && self.has(ECHONL) {
                echo.push(byte);
            }
            self.complete();
        } else {
            self.add(byte, echo);
        }
    }

    /// Adds a byte as it is to the line, or to the input where there are no lines.
    fn add(&mut self, byte: u8, echo: &mut Vec<u8>) {
        if !self.is_canonical() {
            self.add_raw(byte, echo);
        } else if self.editing.len() < INPUT_MAX {
            self.editing.push(byte);
            self.echo(byte, echo);
        }
    }

    /// Shows a byte: control characters as ^X.
    fn echo(&self, byte: u8, echo: &mut Vec<u8>) {
        if !self.has(ECHO) {
            return;
        }
        if self.has(ECHOCTL) && is_shown_as_pair(byte) {
            echo.extend_from_slice(&[b'^', byte ^ 0x40]);
        } else {
            echo.push(byte);
        }
    }

    /// Takes the whole line away: off the screen too, or with the character shown and a new line begun.
    fn kill(&mut self, byte: u8, echo: &mut Vec<u8>) {
        if self.has(ECHOK) && self.has(ECHOKE) && self.has(ECHOE) {
            while !self.editing.is_empty() {
                self.erase(echo);
            }
            return;
        }
        self.editing.clear();
        self.echo(byte, echo);
        if self.has(ECHO) && self.has(ECHOK) {
            echo.push(b'\n');
        }
    }

    /// Takes the last character off the line and off the screen; of UTF-8 all its bytes.
    fn erase(&mut self, echo: &mut Vec<u8>) {
        let utf8 = self.settings.c_iflag & IUTF8 != 0;
        while let Some(byte) = self.editing.pop() {
            if utf8 && byte & 0xc0 == 0x80 {
                continue;
            }
            if self.has(ECHO) && !self.has(ECHOE) {
                self.echo(self.settings.c_cc[VERASE], echo);
            } else if self.has(ECHO) {
                let columns = if self.has(ECHOCTL) && is_shown_as_pair(byte) {
                    2
                } else {
                    1
                };
                (0..columns).for_each(|_| echo.extend_from_slice(b"\x08 \x08"));
            }
            break;
        }
    }
}

fn is_shown_as_pair(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t' && byte != b'\n') || byte == 0x7f
}
