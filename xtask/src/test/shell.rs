//! The shell as a person finds it: `cargo xtask run --shell` on a pseudoterminal, typed at and looked at.

use super::{Plan, label};
use crate::machine::Machine;
use crate::{build, setup, userland};
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{self, OptionalActions, Termios, Winsize};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What is done in one session, in this order: each step begins at a prompt on an empty screen, and ends at one.
const STEPS: &[(&str, fn(&mut Session) -> Result<()>)] = &[
    ("pipeline", pipeline),
    ("redirection", redirection),
    ("substitution", substitution),
    ("exit_status", exit_status),
    ("interrupt", interrupt),
    ("stop_and_go_on", stop_and_go_on),
    ("in_the_background", in_the_background),
    ("history", history),
    ("line_editing", line_editing),
    ("killed_by_a_signal", killed_by_a_signal),
    ("script", script),
];

/// How long a person waits for something to show, on a computer with a lot to do.
const PATIENCE: Duration = Duration::from_secs(60);
const ROWS: u16 = 30;
const COLUMNS: u16 = 100;

pub fn run(plan: &Plan) -> Result<()> {
    let wanted = |machine: &Machine| plan.wants(&format!("{} shell::", label(machine)));
    for machine in plan.machines.iter().filter(|machine| wanted(machine)) {
        setup::for_running(machine.arch)?;
        build::kernel(machine.arch, plan.profile, build::Kernel::Plain)?;
        userland::archive(machine.arch)?;
        session(plan, machine)?;
        terminated(plan, machine);
    }
    Ok(())
}

/// All steps in one boot. What comes after one that failed is not tried: the session is in an unknown state.
fn session(plan: &Plan, machine: &Machine) -> Result<()> {
    let place = label(machine);
    let start = Instant::now();
    let opened = Session::open(machine).and_then(|session| {
        session.prompt()?;
        Ok(session)
    });
    let name = format!("{place} shell::prompt");
    let mut session = match opened {
        Ok(session) => session,
        Err(error) => {
            plan.report
                .failed(&name, start.elapsed().as_secs_f64(), &format!("{error:#}"));
            return Ok(());
        }
    };
    plan.report.passed(&name, start.elapsed().as_secs_f64());
    for (step, act) in STEPS {
        if !report(plan, &format!("{place} shell::{step}"), || {
            session.clear()?;
            act(&mut session)?;
            session.prompt()
        }) {
            return Ok(());
        }
    }
    report(plan, &format!("{place} shell::exit"), || session.leave());
    Ok(())
}

/// A run that is told to end puts the terminal back.
fn terminated(plan: &Plan, machine: &Machine) {
    report(plan, &format!("{} shell::terminated", label(machine)), || {
        let mut session = Session::open(machine)?;
        session.prompt()?;
        ensure!(session.settings()? != session.before, "the terminal is not raw");
        let run = Pid::from_child(&session.run);
        rustix::process::kill_process(run, Signal::TERM).context("cannot end the run")?;
        session.wait()?;
        session.check_restored()
    });
}

/// Reports what `test` comes to; whether it passed.
fn report(plan: &Plan, name: &str, test: impl FnOnce() -> Result<()>) -> bool {
    let start = Instant::now();
    let result = test();
    let seconds = start.elapsed().as_secs_f64();
    match &result {
        Ok(()) => plan.report.passed(name, seconds),
        Err(error) => plan.report.failed(name, seconds, &format!("{error:#}")),
    }
    result.is_ok()
}

fn pipeline(session: &mut Session) -> Result<()> {
    session.type_in("echo one two | tr a-z A-Z | cat\r")?;
    session.line("ONE TWO")
}

fn redirection(session: &mut Session) -> Result<()> {
    session.type_in("echo first > /tmp/lines; echo second >> /tmp/lines; sort -r < /tmp/lines\r")?;
    session.line("second")?;
    session.line("first")?;
    session.prompt()?;
    session.type_in("ls /nowhere 2> /tmp/error; wc -l < /tmp/error\r")?;
    session.line("1")
}

fn substitution(session: &mut Session) -> Result<()> {
    session.type_in("echo $((6 * 7)) $(basename /a/b) `seq 3 | tail -n 1`\r")?;
    session.line("42 b 3")
}

fn exit_status(session: &mut Session) -> Result<()> {
    session.type_in("false; echo \"status $?\"\r")?;
    session.line("status 1")?;
    session.prompt()?;
    session.type_in("no-such-command; echo \"status $?\"\r")?;
    session.line("status 127")
}

/// Starts cat and sees that it reads.
fn start_cat(session: &mut Session) -> Result<()> {
    session.type_in("cat\r")?;
    session.look("cat does not run", |screen| !screen.is_at_prompt())?;
    session.type_in("echoed\r")?;
    // Once by the terminal, once by cat.
    session.look("cat does not read", |screen| screen.count("echoed") == 2)
}

fn interrupt(session: &mut Session) -> Result<()> {
    start_cat(session)?;
    session.type_in("\x03")?;
    session.prompt()?;
    session.type_in("echo \"status $?\"\r")?;
    session.line("status 130")
}

fn stop_and_go_on(session: &mut Session) -> Result<()> {
    start_cat(session)?;
    session.type_in("\x1a")?;
    session.prompt()?;
    session.type_in("jobs\r")?;
    session.look("jobs does not show it", |screen| {
        screen
            .lines
            .iter()
            .any(|line| line.contains("Stopped") && line.contains("cat"))
    })?;
    session.prompt()?;
    session.type_in("fg\r")?;
    session.look("it does not go on", |screen| !screen.is_at_prompt())?;
    session.type_in("again\r")?;
    session.look("it does not read", |screen| screen.count("again") == 2)?;
    session.type_in("\x04")
}

fn in_the_background(session: &mut Session) -> Result<()> {
    session.type_in("sleep 0.5 & wait; echo \"waited $?\"\r")?;
    session.line("waited 0")
}

fn history(session: &mut Session) -> Result<()> {
    session.type_in("echo once more\r")?;
    session.line("once more")?;
    session.prompt()?;
    session.type_in("\x1b[A")?;
    session.look("the arrow does not recall it", |screen| {
        screen.cursor_line().ends_with("# echo once more")
    })?;
    session.type_in("\r")?;
    session.look("it does not run again", |screen| screen.count("once more") == 2)
}

fn line_editing(session: &mut Session) -> Result<()> {
    session.type_in("ecko edited\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x7fh")?;
    session.look("the line is not edited", |screen| {
        screen.cursor_line().ends_with("# echo edited")
    })?;
    session.type_in("\r")?;
    session.line("edited")
}

fn killed_by_a_signal(session: &mut Session) -> Result<()> {
    session.type_in("sh -c 'kill -9 $$'; echo \"status $?\"\r")?;
    session.line("status 137")
}

fn script(session: &mut Session) -> Result<()> {
    session
        .type_in("printf '#!/usr/bin/env bash\\nfor i in 1 2 3; do echo line $i; done\\nexit 5\\n' > /tmp/script\r")?;
    session.prompt()?;
    session.type_in("chmod +x /tmp/script; /tmp/script; echo \"status $?\"\r")?;
    session.line("line 3")?;
    session.line("status 5")
}

/// The screen as it stands.
struct Screen {
    lines: Vec<String>,
    cursor: usize,
}

impl Screen {
    fn count(&self, line: &str) -> usize {
        self.lines.iter().filter(|other| *other == line).count()
    }

    fn cursor_line(&self) -> &str {
        self.lines.get(self.cursor).map_or("", String::as_str)
    }

    /// Whether the cursor stands behind a prompt with nothing typed.
    fn is_at_prompt(&self) -> bool {
        let line = self.cursor_line();
        line.starts_with("root@") && line.ends_with('#')
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

/// A terminal that a person sits at, with a run of Vigil on it.
struct Session {
    run: Child,
    master: File,
    emulator: Arc<(Mutex<Emulator>, Condvar)>,
    /// The terminal's settings before the run.
    before: Settings,
}

/// What must be as it was.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Settings(String);

impl From<Termios> for Settings {
    fn from(settings: Termios) -> Settings {
        Settings(format!("{settings:?}"))
    }
}

impl Session {
    fn open(machine: &Machine) -> Result<Session> {
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
        let slave = File::options()
            .read(true)
            .write(true)
            .open(Path::new(std::ffi::OsStr::from_bytes(name.to_bytes())))
            .context("cannot open the terminal")?;
        let before = termios::tcgetattr(&slave)?;
        termios::tcsetattr(&slave, OptionalActions::Now, &before)?;

        let mut command = Command::new(std::env::current_exe().context("cannot tell where this program lies")?);
        command.args(["run", "--shell", "--arch", machine.arch.name()]);
        command.args(["--smp", &machine.cpus.to_string()]);
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
        let parser = vt100::Parser::new_with_callbacks(ROWS, COLUMNS, 0, Answers::default());
        let master = File::from(master);
        let session = Session {
            run,
            master,
            emulator: Arc::new((Mutex::new(parser), Condvar::new())),
            before: before.into(),
        };
        let (output, emulator) = (session.master.try_clone()?, session.emulator.clone());
        thread::spawn(move || emulate(output, &emulator));
        Ok(session)
    }

    fn type_in(&mut self, keys: &str) -> Result<()> {
        self.master.write_all(keys.as_bytes()).context("cannot type")
    }

    /// Waits until the screen is as wanted.
    fn look(&self, otherwise: &str, wanted: impl Fn(&Screen) -> bool) -> Result<()> {
        let (emulator, changed) = &*self.emulator;
        let deadline = Instant::now() + PATIENCE;
        let mut emulator = emulator.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let screen = screen(&emulator);
            if wanted(&screen) {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("{otherwise}; the screen:\n{}", screen.lines.join("\n").trim_end());
            }
            emulator = changed
                .wait_timeout(emulator, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits for a whole line.
    fn line(&self, line: &str) -> Result<()> {
        self.look(&format!("no line {line:?}"), |screen| screen.count(line) > 0)
    }

    fn prompt(&self) -> Result<()> {
        self.look("no prompt", Screen::is_at_prompt)
    }

    fn clear(&mut self) -> Result<()> {
        self.type_in("\x0c")?;
        self.look("the screen is not cleared", |screen| {
            screen.cursor == 0 && screen.is_at_prompt()
        })
    }

    fn settings(&self) -> Result<Settings> {
        Ok(termios::tcgetattr(&self.master)?.into())
    }

    fn check_restored(&self) -> Result<()> {
        ensure!(self.settings()? == self.before, "the terminal is not as it was");
        Ok(())
    }

    fn wait(&mut self) -> Result<ExitStatus> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.run.try_wait()? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(20));
        }
        bail!("the run does not end")
    }

    /// Leaves the shell: the status is the run's.
    fn leave(&mut self) -> Result<()> {
        self.type_in("exit 7\r")?;
        let status = self.wait()?;
        ensure!(status.code() == Some(7), "it ended with {status}");
        self.check_restored()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Either fails only when the run has ended; its machine ends with it.
        let _ = self.run.kill();
        let _ = self.run.wait();
    }
}

/// Shows what the run writes, and answers what it asks the terminal, until both its ends are closed.
fn emulate(mut master: File, (emulator, changed): &(Mutex<Emulator>, Condvar)) {
    let mut piece = [0; 4096];
    while let Ok(count @ 1..) = master.read(&mut piece) {
        let mut emulator: MutexGuard<Emulator> = emulator.lock().unwrap_or_else(PoisonError::into_inner);
        emulator.process(&piece[..count]);
        let answers = std::mem::take(&mut emulator.callbacks_mut().0);
        drop(emulator);
        changed.notify_all();
        if master.write_all(&answers).is_err() {
            return;
        }
    }
}

fn screen(emulator: &Emulator) -> Screen {
    let screen = emulator.screen();
    Screen {
        lines: screen
            .rows(0, COLUMNS)
            .map(|line| line.trim_end().to_string())
            .collect(),
        cursor: screen.cursor_position().0.into(),
    }
}
