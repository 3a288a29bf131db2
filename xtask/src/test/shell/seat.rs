//! A terminal with a person at it, as a test plays one: keys in, a screen to look at.

use super::Plan;
use crate::build::Profile;
use crate::machine::Machine;
use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{self, OptionalActions, Termios, Winsize};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a test waits for what must show, on a computer with a lot to do.
const PATIENCE: Duration = Duration::from_secs(300);
const ROWS: u16 = 40;
const COLUMNS: u16 = 120;

/// The screen as it stands.
pub struct Screen {
    lines: Vec<String>,
    row: usize,
    /// What stands before the cursor in its line.
    before_cursor: String,
}

impl Screen {
    pub fn count(&self, line: &str) -> usize {
        self.lines.iter().filter(|other| *other == line).count()
    }

    pub fn any(&self, wanted: impl Fn(&str) -> bool) -> bool {
        self.lines.iter().any(|line| wanted(line))
    }

    /// What is typed at the prompt, where the cursor stands at one.
    fn typed(&self) -> Option<&str> {
        let (prompt, typed) = self.before_cursor.split_once('#')?;
        prompt.starts_with("root@").then_some(typed.trim_start())
    }
}

/// Answers that a terminal gives to what is written to it.
#[derive(Default)]
struct Answers(Vec<u8>);

impl vt100::Callbacks for Answers {
    fn unhandled_csi(
        &mut self,
        screen: &mut vt100::Screen,
        first: Option<u8>,
        _: Option<u8>,
        parameters: &[&[u16]],
        command: char,
    ) {
        // "Where is the cursor?"
        if (first, parameters, command) == (None, &[&[6]], 'n') {
            let (row, column) = screen.cursor_position();
            self.0.extend(format!("\x1b[{};{}R", row + 1, column + 1).into_bytes());
        }
    }
}

type Emulator = vt100::Parser<Answers>;

/// What the thread that reads the terminal shares with the test.
struct Shared {
    emulator: Mutex<Emulator>,
    changed: Condvar,
    /// The test wants no more, and the terminal to itself.
    left: AtomicBool,
}

/// A terminal with a run of Vigil on it.
pub struct Seat {
    run: Child,
    /// The terminal's far end; gone when the person has left.
    master: Option<File>,
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
    /// The terminal's settings before the run.
    before: String,
}

impl Seat {
    /// Opens a terminal and starts the shell on it.
    pub fn take(plan: &Plan, machine: &Machine) -> Result<Seat> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let size = Winsize {
            ws_row: ROWS,
            ws_col: COLUMNS,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        termios::tcsetwinsize(&master, size)?;
        let name = ptsname(&master, Vec::new())?;
        // Whoever opens a terminal without having one gets it as its own, if it leads a session, as this program may.
        let slave = File::options()
            .read(true)
            .write(true)
            .custom_flags(OpenptFlags::NOCTTY.bits() as i32)
            .open(OsStr::from_bytes(name.to_bytes()))
            .context("cannot open the terminal")?;
        // What is not to be represented is gone after a first setting.
        termios::tcsetattr(&slave, OptionalActions::Now, &termios::tcgetattr(&slave)?)?;
        let before = text_of(&termios::tcgetattr(&slave)?);

        let mut command = Command::new(std::env::current_exe().context("cannot tell where this program lies")?);
        command.args(["run", "--shell", "--arch", machine.arch.name()]);
        command.args(["--smp", &machine.cpus.to_string()]);
        if plan.profile == Profile::Release {
            command.arg("--release");
        }
        command.env("TERM", "xterm");
        command
            .stdin(slave.try_clone()?)
            .stdout(slave.try_clone()?)
            .stderr(slave);
        // SAFETY: between fork and exec only two system calls are made.
        unsafe {
            command.pre_exec(|| {
                rustix::process::setsid()?;
                rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
                Ok(())
            });
        }
        let run = command.spawn().context("cannot start the run")?;
        let master = File::from(master);
        let shared = Arc::new(Shared {
            emulator: Mutex::new(vt100::Parser::new_with_callbacks(ROWS, COLUMNS, 0, Answers::default())),
            changed: Condvar::new(),
            left: AtomicBool::new(false),
        });
        let (output, theirs) = (master.try_clone()?, shared.clone());
        Ok(Seat {
            run,
            master: Some(master),
            shared,
            reader: Some(thread::spawn(move || emulate(output, &theirs))),
            before,
        })
    }

    pub fn run(&self) -> &Child {
        &self.run
    }

    fn master(&self) -> Result<&File> {
        self.master.as_ref().context("the terminal has gone")
    }

    pub fn type_in(&mut self, keys: &str) -> Result<()> {
        self.master()?.write_all(keys.as_bytes()).context("cannot type")
    }

    /// Waits until the screen is as wanted.
    pub fn look(&self, otherwise: &str, wanted: impl Fn(&Screen) -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut emulator = self.shared.emulator.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let screen = screen(&emulator);
            if wanted(&screen) {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let has_ended = self.reader.as_ref().is_none_or(JoinHandle::is_finished);
            if left.is_zero() || has_ended {
                bail!("{otherwise}; the screen:\n{}", screen.lines.join("\n").trim_end());
            }
            emulator = self
                .shared
                .changed
                .wait_timeout(emulator, left.min(Duration::from_secs(1)))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits for a whole line.
    pub fn line(&self, line: &str) -> Result<()> {
        self.look(&format!("no line {line:?}"), |screen| screen.count(line) > 0)
    }

    /// Waits for a prompt with nothing typed.
    pub fn prompt(&self) -> Result<()> {
        self.look("no prompt", |screen| screen.typed() == Some(""))
    }

    /// Waits until this stands between the prompt and the cursor.
    pub fn typed(&self, line: &str) -> Result<()> {
        self.look(&format!("not typed: {line:?}"), |screen| screen.typed() == Some(line))
    }

    /// Types a command at the prompt, and presses the return key when it can be seen. What is typed next comes after the
    /// shell has taken the line.
    pub fn enter(&mut self, command: &str) -> Result<()> {
        self.prompt()?;
        self.type_in(command)?;
        self.typed(command)?;
        self.type_in("\r")?;
        self.look("the line is not taken", |screen| screen.typed() != Some(command))
    }

    /// Types a command and waits for the prompt after it.
    pub fn command(&mut self, command: &str) -> Result<()> {
        self.enter(command)?;
        self.prompt()
    }

    /// Control-L: an empty screen with a prompt.
    pub fn clear(&mut self) -> Result<()> {
        self.prompt()?;
        self.type_in("\x0c")?;
        self.look("the screen is not cleared", |screen| {
            screen.row == 0 && screen.typed() == Some("")
        })
    }

    pub fn is_restored(&self) -> Result<bool> {
        Ok(text_of(&termios::tcgetattr(self.master()?)?) == self.before)
    }

    pub fn check_restored(&self) -> Result<()> {
        ensure!(self.is_restored()?, "the terminal is not as it was");
        Ok(())
    }

    /// Waits until the run has ended.
    pub fn end(&mut self) -> Result<ExitStatus> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.run.try_wait()? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(20));
        }
        bail!("the run does not end")
    }

    /// The terminal goes away: its far end is closed. Waits until the run has ended.
    pub fn leave(&mut self) -> Result<ExitStatus> {
        self.shared.left.store(true, Relaxed);
        // The reader sees that when it reads something: an echo.
        self.type_in("x")?;
        if let Some(reader) = self.reader.take() {
            reader.join().map_err(|_| anyhow!("the terminal's reader panicked"))?;
        }
        self.master = None;
        self.end()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // Either fails only when the run has ended; its machine ends with it.
        let _ = self.run.kill();
        let _ = self.run.wait();
    }
}

/// Settings to compare.
fn text_of(settings: &Termios) -> String {
    format!("{settings:?}")
}

/// Shows what the run writes, and answers what it asks the terminal, until the run's ends are closed or the test leaves.
fn emulate(mut master: File, shared: &Shared) {
    let mut piece = [0; 4096];
    while let Ok(count @ 1..) = master.read(&mut piece) {
        if shared.left.load(Relaxed) {
            return;
        }
        let mut emulator = shared.emulator.lock().unwrap_or_else(PoisonError::into_inner);
        emulator.process(&piece[..count]);
        let answers = std::mem::take(&mut emulator.callbacks_mut().0);
        drop(emulator);
        shared.changed.notify_all();
        if master.write_all(&answers).is_err() {
            return;
        }
    }
    shared.changed.notify_all();
}

fn screen(emulator: &Emulator) -> Screen {
    let screen = emulator.screen();
    let (row, column) = screen.cursor_position();
    Screen {
        lines: screen
            .rows(0, COLUMNS)
            .map(|line| line.trim_end().to_string())
            .collect(),
        row: row.into(),
        before_cursor: screen.contents_between(row, 0, row, column),
    }
}
