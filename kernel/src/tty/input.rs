//! From the serial line to standard input.
//!
//! [`pump`] runs from the line's interrupt, and again whenever a reader has made room. It takes from the line only what
//! there is room for; the rest waits in the line, which has flow control.

use super::TERMINAL;
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
use sync::SpinLock;

/// Bytes taken from the line at a time.
const CHUNK: usize = 256;

struct Input {
    /// The last byte was a DLE.
    escaped: bool,
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
    escaped: false,
    reader: None,
    writer: None,
});

/// What came over the line.
enum Item {
    Byte(u8),
    EndOfFile,
    Dump,
}

/// Makes the pipe that standard input is.
pub fn make_pipe() {
    let (reader, open) = pipe::create_for(access::ROOT, 0, Some(pump));
    open.set_flags(O_NONBLOCK);
    let pollable = open.file.clone().pollable().expect("a pipe can be watched");
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
        let (count, ended) = input.gather(&mut bytes[..room.min(CHUNK)]);
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

    /// Collects bytes until the line is empty, `bytes` is full, or the input ended (true).
    fn gather(&mut self, bytes: &mut [u8]) -> (usize, bool) {
        let mut count = 0;
        while count < bytes.len() {
            let Some(byte) = serial::read() else { break };
            match self.decode(byte) {
                None => {}
                Some(Item::Byte(byte)) => {
                    bytes[count] = byte;
                    count += 1;
                }
                Some(Item::EndOfFile) => return (count, true),
                Some(Item::Dump) => crate::task::dump(),
            }
        }
        (count, false)
    }

    fn decode(&mut self, byte: u8) -> Option<Item> {
        if !parameters().framed {
            return Some(Item::Byte(byte));
        }
        match (core::mem::take(&mut self.escaped), byte) {
            (false, DLE) => {
                self.escaped = true;
                None
            }
            (false, byte) | (true, byte @ DLE) => Some(Item::Byte(byte)),
            (true, b'E') => Some(Item::EndOfFile),
            (true, b'D') => Some(Item::Dump),
            (true, _) => None,
        }
    }
}
