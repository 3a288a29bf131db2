//! The console as programs see it: a terminal, or three plain streams.
//!
//! - [`terminal`] is the terminal device: termios, the foreground process group, waiting readers.
//! - [`line`] is its line discipline: what typing does, without locks or devices.
//! - [`input`] takes bytes from the serial line to the terminal or into the pipe that is standard input.
//! - [`output`] is standard output and error where they are not the terminal.

mod input;
mod line;
mod output;
mod terminal;
#[cfg(feature = "ktest")]
pub mod tests;

use crate::boot::command_line::{Stdin, parameters};
use crate::console;
use crate::file::{File, OpenFile};
use crate::fs::{self, Place};
use alloc::sync::Arc;
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::*;
use spin::Once;
use terminal::{Terminal, TerminalFile};

/// The console terminal, where standard input is one.
static TERMINAL: Once<Arc<Terminal>> = Once::new();

/// Starts listening to the serial line. The tree must be there.
pub fn init() {
    match parameters().stdin {
        Stdin::Tty => {
            TERMINAL.call_once(Terminal::new);
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
        let file = Arc::new(TerminalFile::new(terminal.clone(), console));
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
    let terminal = TERMINAL
        .get()
        .filter(|terminal| terminal.controls_current())
        .ok_or(Errno::ENXIO)?;
    Ok(Arc::new(TerminalFile::new(terminal.clone(), place.clone())))
}

/// open(2) of /dev/console: the terminal, or the stream of standard output.
pub fn open_console(place: &Place, flags: u32) -> Result<Arc<dyn File>, Errno> {
    match TERMINAL.get() {
        Some(terminal) => {
            if flags & O_NOCTTY == 0 {
                terminal.adopt_by_leader();
            }
            Ok(Arc::new(TerminalFile::new(terminal.clone(), place.clone())))
        }
        None => Ok(output::open(place)),
    }
}

/// The first process leads a session whose terminal is the console.
pub fn set_first_session(process: i32) {
    if let Some(terminal) = TERMINAL.get() {
        terminal.set_session(process, process);
    }
}

/// The device number of a session's terminal, 0 for none: /proc/PID/stat.
pub fn controlling_device(session: i32) -> u64 {
    TERMINAL
        .get()
        .filter(|terminal| terminal.session() == session)
        .map_or(0, |_| fs::CONSOLE_DEVICE)
}

/// The foreground process group of a session's terminal, -1 for none.
pub fn foreground_of(session: i32) -> i32 {
    TERMINAL
        .get()
        .filter(|terminal| terminal.session() == session)
        .map_or(-1, |terminal| terminal.foreground())
}
