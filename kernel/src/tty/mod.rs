//! Terminals, and the console as programs see it: a terminal, or three plain streams.
//!
//! - [`terminal`] is a terminal: settings, input, output. [`file`] is an open one, [`control`] its ioctl(2) requests.
//! - [`line`] is its line discipline: what typing does, without locks or devices; [`post`] the same for output.
//! - [`job`] knows which session has which terminal, and who is in the background.
//! - [`pty`] are terminals whose other end is a program.
//! - [`input`] takes bytes from the serial line to the terminal or into the pipe that is standard input.
//! - [`output`] is standard output and error where they are not the terminal.

mod control;
mod file;
mod input;
mod job;
mod line;
mod output;
mod post;
mod pty;
mod terminal;
#[cfg(feature = "ktest")]
pub mod tests;

use crate::boot::command_line::{Stdin, parameters};
use crate::console;
use crate::file::signal_driven::{Band, Owner};
use crate::file::{File, OpenFile};
use crate::fs::{self, Place};
use crate::task;
use alloc::sync::Arc;
use event::EventMask;
use file::TerminalFile;
pub use job::{controlling_device, foreground_of, session_ends};
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::*;
use libsyscall::abi::ioctl::Winsize;
pub use pty::{open_master, open_slave};
use spin::Once;
use terminal::Far;
pub use terminal::Terminal;

/// The console terminal, where standard input is one.
static TERMINAL: Once<Arc<Terminal>> = Once::new();

/// What O_ASYNC's signal says of a terminal; nothing of a hang-up, which has a signal of its own.
fn band(events: EventMask) -> Option<Band> {
    if events.contains(EventMask::HUP) {
        None
    } else if events.contains(EventMask::IN) {
        Some(Band::In)
    } else {
        Some(Band::Out)
    }
}

/// Who gets that signal where the program has not said: the foreground, or the running process where there is none.
fn usual_owner(foreground: i32) -> Option<Owner> {
    if foreground != 0 {
        return Some(Owner::Group(foreground));
    }
    task::with_current(|thread| Owner::process(thread.process.pid)).ok()
}

/// Starts listening to the serial line. The tree must be there.
pub fn init() {
    match parameters().stdin {
        Stdin::Tty => {
            TERMINAL.call_once(|| {
                let (ws_row, ws_col) = parameters().window;
                let window = Winsize {
                    ws_row,
                    ws_col,
                    ..Winsize::default()
                };
                Terminal::new(Far::Console, line::DEFAULTS, window)
            });
        }
        Stdin::Pipe => input::make_pipe(),
        Stdin::None => {}
    }
    crate::driver::serial::on_receive(input::pump);
    console::listening();
}

/// Descriptors 0, 1 and 2 of the first program.
pub fn first_files() -> Result<[Arc<OpenFile>; 3], Errno> {
    let dev = fs::root().inode().lookup(&fs::root(), b"dev")?;
    let console = dev.inode().lookup(&dev, b"console")?;
    if let Some(terminal) = TERMINAL.get() {
        let file = TerminalFile::open(terminal.clone(), &console)?;
        let open = OpenFile::new(file, O_RDWR | O_LARGEFILE);
        return Ok([open.clone(), open.clone(), open]);
    }
    let input = match input::take_pipe() {
        Some(reader) => reader,
        None => {
            let null = dev.inode().lookup(&dev, b"null")?;
            OpenFile::new(null.inode().clone().open(&null, O_RDONLY)?, O_RDONLY | O_LARGEFILE)
        }
    };
    let [output, error] = output::streams(&console);
    Ok([input, output, error])
}

/// open(2) of /dev/tty: the controlling terminal of the caller's session, else ENXIO.
pub fn open_controlling(place: &Place) -> Result<Arc<dyn File>, Errno> {
    let terminal = job::of_current().ok_or(Errno::ENXIO)?;
    Ok(TerminalFile::open(terminal, place)?)
}

/// open(2) of /dev/console: the terminal, which is nobody's by that; or the stream of standard output.
pub fn open_console(place: &Place) -> Result<Arc<dyn File>, Errno> {
    match TERMINAL.get() {
        Some(terminal) => Ok(TerminalFile::open(terminal.clone(), place)?),
        None => Ok(output::open(place)),
    }
}

/// Where the console is a terminal, the first process leads the session that has it; whether this is so.
pub fn lead_first_session(process: i32) -> bool {
    let Some(terminal) = TERMINAL.get() else {
        return false;
    };
    // No other session is there to have it.
    let _ = terminal.give_to(process, process, false);
    true
}
