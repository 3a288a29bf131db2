//! One boot for a test: all of its output, its status, and a dump when it hangs.

use crate::backtrace::Backtraces;
use crate::build::Built;
use crate::console::{self, Event, Stream};
use crate::guest::Guest;
use crate::machine::Machine;
use anyhow::{Context, Result};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// What a boot came to.
#[derive(Default)]
pub struct Ended {
    pub output: Vec<u8>,
    /// Standard error and the kernel's messages, as they came.
    pub rest: Vec<u8>,
    /// `None` when the machine stopped, or was stopped, without one.
    pub status: Option<u8>,
    pub hung: bool,
}

impl Ended {
    /// How it ended, for a failed test.
    pub fn reason(&self) -> String {
        match self.status {
            _ if self.hung => "hung; the state of the machine is above".to_string(),
            Some(status) => format!("exit status {status}"),
            None => "the machine stopped without an exit status".to_string(),
        }
    }

    /// What it said beside its output.
    pub fn said(&self) -> String {
        format!("{}{}", String::from_utf8_lossy(&self.rest), self.reason())
    }
}

/// Boots and waits for the end, or for `limit` without a word.
pub struct Boot<'a> {
    pub machine: &'a Machine,
    pub kernel: &'a Built,
    pub root: &'a [u8],
    /// Kernel parameters beside the console's.
    pub parameters: &'a str,
    pub input: &'a [u8],
    pub limit: Duration,
}

impl Boot<'_> {
    /// `watch` sees the bytes of each stream as they come.
    pub fn run(&self, root_file: &Path, mut watch: impl FnMut(Stream, &[u8])) -> Result<Ended> {
        std::fs::write(root_file, self.root).with_context(|| format!("cannot write {}", root_file.display()))?;
        let stdin = if self.input.is_empty() { "none" } else { "pipe" };
        let parameters = format!("console=framed stdin={stdin} {}", self.parameters);
        let mut guest = Guest::start(self.machine.boot(self.kernel, root_file, &parameters)?)?;

        let input = guest.input();
        let sent = [console::encode(self.input).as_slice(), &console::END_OF_INPUT].concat();
        let mut to_send = (!self.input.is_empty()).then_some(sent);
        let limit = self.limit;
        let (sign_of_life, signs) = mpsc::channel::<()>();
        let watchdog = thread::spawn(move || {
            loop {
                match signs.recv_timeout(limit) {
                    Ok(()) => {}
                    Err(RecvTimeoutError::Disconnected) => return false,
                    Err(RecvTimeoutError::Timeout) => break,
                }
            }
            const FOR_THE_DUMP: Duration = Duration::from_secs(3);
            let _ = input.send(&console::DUMP);
            thread::sleep(FOR_THE_DUMP);
            input.end_machine();
            true
        });

        let mut ended = Ended::default();
        let mut messages = Backtraces::of(&self.kernel.elf, self.root);
        'machine: loop {
            let events = guest.events()?;
            if events.is_empty() {
                break;
            }
            // The watchdog is past listening once it has barked.
            let _ = sign_of_life.send(());
            for event in events {
                match event {
                    Event::Exit(end) => {
                        ended.status = Some(end.status());
                        break 'machine;
                    }
                    Event::Listening => {
                        if let Some(sent) = to_send.take() {
                            let input = guest.input();
                            // A machine that has ended takes no input; its status tells.
                            thread::spawn(move || drop(input.send(&sent)));
                        }
                    }
                    Event::Bytes(stream, mut bytes) => {
                        if stream == Stream::Kernel {
                            bytes = messages.name(&bytes);
                        }
                        watch(stream, &bytes);
                        if stream == Stream::Output {
                            &mut ended.output
                        } else {
                            &mut ended.rest
                        }
                        .extend(bytes);
                    }
                }
            }
        }
        ended.rest.extend(messages.rest());
        drop(sign_of_life);
        guest.stop();
        ended.hung = watchdog.join().unwrap_or(false);
        self.machine.clean(root_file);
        Ok(ended)
    }
}
