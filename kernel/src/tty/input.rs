//! From the serial line to standard input.
//!
//! [`pump`] runs from the line's interrupt, and again whenever a reader has made room. It takes from the line only what
//! there is room for; the rest waits in the line, which has flow control.
//!
//! What a terminal sends for one key, or answers to one question, are several bytes, and programs tell an escape key from
//! an escape sequence by whether more can be read. The line is slower than a program, so the framed console says where
//! bytes that were sent together end, and they are held until then.

use super::TERMINAL;
use super::terminal::Terminal;
use crate::boot::command_line::{Stdin, parameters};
use crate::console::DLE;
use crate::driver::serial;
use crate::file::OpenFile;
use crate::fs::access;
use crate::mm::user::Source;
use crate::pipe;
use alloc::sync::Arc;
use event::{EventMask, Pollable};
use libsyscall::abi::fcntl::O_NONBLOCK;
use libsyscall::abi::ioctl::Winsize;
use sync::SpinLock;

/// Bytes taken from the line at a time.
const CHUNK: usize = 256;

/// Where the line is within a control of the framed console.
#[derive(Clone, Copy)]
enum Frame {
    Text,
    /// Behind a DLE.
    Control,
    /// Within a window's size, with the digits so far and how many they are.
    Window(u64, u32),
}

struct Input {
    frame: Frame,
    /// Bytes for the terminal whose last ones are still on the line.
    held: [u8; CHUNK],
    held_len: usize,
    /// Where standard input is a pipe: its ends. The reading one goes to the first program, the writing one goes at the
    /// end of input.
    reader: Option<Arc<OpenFile>>,
    writer: Option<Writer>,
}

struct Writer {
    open: Arc<OpenFile>,
    pollable: Arc<dyn Pollable>,
}

/// Held while bytes are taken from the line, so that they arrive in order.
static INPUT: SpinLock<Input> = SpinLock::new(Input {
    frame: Frame::Text,
    held: [0; CHUNK],
    held_len: 0,
    reader: None,
    writer: None,
});

/// What came over the line.
enum Item {
    Byte(u8),
    EndOfPiece,
    EndOfFile,
    Dump,
    HangUp,
    Window(Winsize),
}

/// Rows and columns of a window, five digits each.
const WINDOW_DIGITS: u32 = 10;

/// Makes the pipe that standard input is.
pub fn make_pipe() {
    let (reader, open) = pipe::create_for(access::ROOT, 0, Some(pump));
    open.set_flags(O_NONBLOCK);
    let pollable = open.file.share().pollable().expect("a pipe can be watched");
    let mut input = INPUT.lock();
    input.reader = Some(reader);
    input.writer = Some(Writer { open, pollable });
}

/// The reading end, once.
pub fn take_pipe() -> Option<Arc<OpenFile>> {
    INPUT.lock().reader.take()
}

/// Takes what has arrived and there is room for.
pub fn pump() {
    let mut input = INPUT.lock();
    let mut closed = None;
    let mut room = input.room();
    while room > 0 {
        let mut bytes = [0; CHUNK];
        let (count, ended) = input.gather(&mut bytes, room);
        let bytes = &bytes[..count];
        if count == 0 && !ended {
            break;
        }
        match (parameters().stdin, TERMINAL.get()) {
            (Stdin::Tty, Some(terminal)) => terminal.receive(bytes, ended),
            (Stdin::Pipe, _) => {
                if let Some(writer) = &input.writer {
                    // A reader that is gone wants no more; there is nobody to tell.
                    let _ = writer.open.file.write(&writer.open, &mut Source::kernel(bytes));
                }
                if ended {
                    closed = input.writer.take();
                }
            }
            _ => {}
        }
        room = input.room();
    }
    // Without room the line is left alone until a reader calls this again.
    serial::set_receive_interrupt(room > 0);
    drop(input);
    // The last drop wakes the readers: after the lock.
    drop(closed);
}

fn with_terminal(act: impl FnOnce(&Arc<Terminal>)) {
    if let Some(terminal) = TERMINAL.get() {
        act(terminal);
    }
}

impl Input {
    /// Bytes that can be put where they go.
    fn room(&self) -> usize {
        match (parameters().stdin, TERMINAL.get(), &self.writer) {
            (Stdin::Tty, Some(terminal), _) => terminal.room(),
            (Stdin::Pipe, _, Some(writer)) => {
                let writable = writer.pollable.readiness().intersects(EventMask::OUT | EventMask::ERR);
                // A pipe that is writable has room for a page.
                if writable { CHUNK } else { 0 }
            }
            // Nobody listens: what comes is thrown away.
            _ => CHUNK,
        }
    }

    /// Collects bytes until the line is empty, `room` of them are there, or the input ended (true). Those of a piece are
    /// given when it is complete.
    fn gather(&mut self, bytes: &mut [u8; CHUNK], room: usize) -> (usize, bool) {
        let mut count = core::mem::take(&mut self.held_len);
        bytes[..count].copy_from_slice(&self.held[..count]);
        while count < room.min(CHUNK) {
            let Some(byte) = serial::read() else {
                if parameters().framed && parameters().stdin == Stdin::Tty {
                    self.held[..count].copy_from_slice(&bytes[..count]);
                    self.held_len = count;
                    count = 0;
                }
                break;
            };
            match self.decode(byte) {
                Some(Item::EndOfPiece) if count > 0 => return (count, false),
                None | Some(Item::EndOfPiece) => {}
                Some(Item::Byte(byte)) => {
                    bytes[count] = byte;
                    count += 1;
                }
                Some(Item::EndOfFile) => return (count, true),
                Some(Item::Dump) => crate::task::dump(),
                Some(Item::HangUp) => with_terminal(|terminal| terminal.hang_up()),
                Some(Item::Window(window)) => with_terminal(|terminal| terminal.set_window(window)),
            }
        }
        (count, false)
    }

    fn decode(&mut self, byte: u8) -> Option<Item> {
        if !parameters().framed {
            return Some(Item::Byte(byte));
        }
        let (next, item) = match (self.frame, byte) {
            (Frame::Text, DLE) => (Frame::Control, None),
            (Frame::Text, byte) | (Frame::Control, byte @ DLE) => (Frame::Text, Some(Item::Byte(byte))),
            (Frame::Control, b'W') => (Frame::Window(0, 0), None),
            (Frame::Control, b'.') => (Frame::Text, Some(Item::EndOfPiece)),
            (Frame::Control, b'E') => (Frame::Text, Some(Item::EndOfFile)),
            (Frame::Control, b'D') => (Frame::Text, Some(Item::Dump)),
            (Frame::Control, b'H') => (Frame::Text, Some(Item::HangUp)),
            (Frame::Control, _) => (Frame::Text, None),
            (Frame::Window(digits, count), b'0'..=b'9') => {
                let digits = digits * 10 + u64::from(byte - b'0');
                match count + 1 {
                    WINDOW_DIGITS => (Frame::Text, Some(Item::Window(window(digits)))),
                    count => (Frame::Window(digits, count), None),
                }
            }
            (Frame::Window(..), _) => (Frame::Text, None),
        };
        self.frame = next;
        item
    }
}

/// Ten digits as a size.
fn window(digits: u64) -> Winsize {
    Winsize {
        ws_row: (digits / 100_000) as u16,
        ws_col: (digits % 100_000) as u16,
        ..Winsize::default()
    }
}
