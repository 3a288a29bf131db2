//! A machine that runs one program as if it ran here: its streams and its input pass through, its end is told.

use crate::backtrace::Backtraces;
use crate::build::Built;
use crate::console::{self, End, Event, Stream};
use crate::guest::{Guest, Input};
use crate::machine::Machine;
use crate::paths;
use crate::terminal::{self, Raw};
use anyhow::{Context, Result};
use rustix::process::Signal;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH};
use signal_hook::iterator::Signals;
use std::io::{ErrorKind, IsTerminal, Read, Write};
use std::sync::Arc;
use std::thread;

/// The status when the machine ends without saying one, as env(1) and its like use for their own failures.
const NO_STATUS: End = End::Exited(125);
/// Whoever read the output has gone.
const BROKEN_PIPE: End = End::Signalled(Signal::PIPE.as_raw() as u8);

/// MiB that a machine needs for a root archive: the kernel, its tables and the archive twice, as loaded and as files.
pub fn needed_mib(archive: usize) -> u64 {
    const KERNEL_MIB: u64 = 40;
    KERNEL_MIB + (2 * archive as u64).div_ceil(1 << 20)
}

/// Boots `machine` into the program of the root archive, with further kernel parameters, until one of them ends. What the
/// kernel says passes through `kernel_says` on its way to standard error.
pub fn hold(
    machine: &Machine,
    kernel: &Built,
    archive: &[u8],
    parameters: &str,
    source: Source,
    mut kernel_says: impl FnMut(Vec<u8>) -> Vec<u8>,
) -> Result<End> {
    let root_file = paths::made("run")?.join(format!("{}.cpio", std::process::id()));
    std::fs::write(&root_file, archive).with_context(|| format!("cannot write {}", root_file.display()))?;
    let mut parameters = format!("console=framed stdin={} {parameters}", source.parameter());
    if let Some((rows, columns)) = terminal::window().filter(|_| source == Source::Terminal) {
        parameters.push_str(&format!(" window={rows}x{columns}"));
    }
    let mut messages = Backtraces::of(&kernel.elf, archive);
    let end = machine
        .boot(kernel, &root_file, &parameters)
        .and_then(Guest::start)
        .and_then(|guest| attend(guest, source, |bytes| messages.name(&kernel_says(bytes))));
    machine.clean(&root_file);
    end
}

/// What standard input is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Nothing,
    Terminal,
    Bytes,
}

impl Source {
    /// A terminal is one for the guest when output and errors go there too: the guest's own streams would be one then.
    /// One that other jobs read from gives nothing: reading it would stop this one.
    pub fn of_stdin() -> Source {
        let stdin = std::io::stdin();
        if stdin.is_terminal() {
            let is_ours = rustix::termios::tcgetpgrp(&stdin) == Ok(rustix::process::getpgrp());
            return match std::io::stdout().is_terminal() && std::io::stderr().is_terminal() {
                _ if !is_ours => Source::Nothing,
                true => Source::Terminal,
                false => Source::Bytes,
            };
        }
        let null = rustix::fs::stat("/dev/null").map(|null| null.st_rdev);
        match rustix::fs::fstat(stdin) {
            Ok(stdin) if null != Ok(stdin.st_rdev) => Source::Bytes,
            _ => Source::Nothing,
        }
    }

    fn parameter(self) -> &'static str {
        match self {
            Source::Nothing => "none",
            Source::Terminal => "tty",
            Source::Bytes => "pipe",
        }
    }
}

/// Passes bytes both ways until the machine ends.
fn attend(mut guest: Guest, source: Source, kernel_says: impl FnMut(Vec<u8>) -> Vec<u8>) -> Result<End> {
    let raw = (source == Source::Terminal).then(Raw::enter).flatten().map(Arc::new);
    let input = guest.input();
    if let Some(raw) = &raw {
        watch_signals(raw.clone(), input.clone())?;
    }
    let listen = || match source {
        Source::Nothing => {}
        // These threads may never see an end of their input; the process ends without them.
        Source::Bytes => drop(thread::spawn(move || forward_bytes(&input))),
        // The main thread sees it when the machine has gone.
        Source::Terminal => drop(thread::spawn(move || forward_keys(&input))),
    };
    let status = show(&mut guest, raw.is_some(), kernel_says, listen);
    guest.stop();
    if let Some(raw) = raw {
        raw.restore();
    }
    status
}

/// Shows what the guest says until it ends; `listen` is called when it takes input.
fn show(
    guest: &mut Guest,
    raw: bool,
    mut kernel_says: impl FnMut(Vec<u8>) -> Vec<u8>,
    listen: impl FnOnce(),
) -> Result<End> {
    let mut listen = Some(listen);
    let mut firmware = Vec::new();
    loop {
        let events = guest.events()?;
        if events.is_empty() {
            let line_end = if raw { "\r\n" } else { "\n" };
            write(&mut std::io::stderr().lock(), &firmware).context("cannot write the firmware's output")?;
            eprint!("error: the machine stopped without the program's exit status{line_end}");
            return Ok(NO_STATUS);
        }
        for event in events {
            let written = match event {
                Event::Exit(end) => return Ok(end),
                Event::Listening => {
                    if let Some(listen) = listen.take() {
                        listen();
                    }
                    Ok(())
                }
                // Of interest only where the kernel never spoke.
                Event::Bytes(Stream::Firmware, bytes) => {
                    firmware.extend(bytes);
                    Ok(())
                }
                Event::Bytes(Stream::Output, bytes) => write(&mut std::io::stdout().lock(), &bytes),
                Event::Bytes(Stream::Error, bytes) => write(&mut std::io::stderr().lock(), &bytes),
                // The guest's terminal ends its lines itself; the kernel's lines do not pass through it.
                Event::Bytes(Stream::Kernel, bytes) => {
                    let mut bytes = kernel_says(bytes);
                    if raw {
                        bytes = String::from_utf8_lossy(&bytes).replace('\n', "\r\n").into_bytes();
                    }
                    write(&mut std::io::stderr().lock(), &bytes)
                }
            };
            match written {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(BROKEN_PIPE),
                other => other.context("cannot write the program's output")?,
            }
        }
    }
}

fn write(to: &mut impl Write, bytes: &[u8]) -> std::io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}

/// Input that is no terminal: all of it, then its end. A machine that has stopped takes no more.
fn forward_bytes(input: &Input) {
    let mut piece = [0; 4096];
    loop {
        let sent = match std::io::stdin().lock().read(&mut piece) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Ok(0) | Err(_) => {
                let _ = input.send(&console::END_OF_INPUT);
                return;
            }
            Ok(count) => input.send(&console::encode(&piece[..count])),
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Passes on what the terminal tells by signals. One that ends this process puts the terminal back first; the machine
/// ends with the process.
fn watch_signals(raw: Arc<Raw>, input: Input) -> Result<()> {
    let mut signals = Signals::new([SIGWINCH, SIGCONT, SIGHUP, SIGTERM, SIGINT, SIGQUIT])?;
    thread::spawn(move || {
        for signal in signals.forever() {
            // The main thread sees it when the machine has gone.
            let _ = match signal {
                SIGWINCH => send_window(&input),
                SIGCONT => {
                    raw.again();
                    send_window(&input)
                }
                SIGHUP => input.send(&console::HANG_UP),
                signal => {
                    raw.restore();
                    signal_hook::low_level::emulate_default_handler(signal)
                }
            };
        }
    });
    Ok(())
}

fn send_window(input: &Input) -> std::io::Result<()> {
    match terminal::window() {
        Some(size) => input.send(&console::window(size)),
        None => Ok(()),
    }
}

/// Keys go to the guest's terminal, but for control-A, which speaks to the machine: `x` ends it, `d` shows its state.
fn forward_keys(input: &Input) -> std::io::Result<()> {
    const CONTROL_A: u8 = 1;
    let mut escaped = false;
    let mut keys = [0; 256];
    send_window(input)?;
    loop {
        let count = match std::io::stdin().lock().read(&mut keys) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            // The terminal has gone.
            Ok(0) | Err(_) => return input.send(&console::HANG_UP),
            Ok(count) => count,
        };
        let mut bytes = Vec::new();
        for &key in &keys[..count] {
            match (std::mem::take(&mut escaped), key) {
                (false, CONTROL_A) => escaped = true,
                (true, b'x') => {
                    input.end_machine();
                    return Ok(());
                }
                (true, b'd') => bytes.extend(console::DUMP),
                _ => bytes.extend(console::encode(&[key])),
            }
        }
        bytes.extend(console::END_OF_PIECE);
        input.send(&bytes)?;
    }
}
