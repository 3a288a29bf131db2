//! A running QEMU: its console as events, its input as frames, its end as a status.

use crate::console::{Decoder, Event};
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A machine that runs; killed when dropped.
pub struct Guest {
    qemu: Child,
    output: ChildStdout,
    input: Input,
    decoder: Decoder,
}

/// The way into the guest's console, shared by whoever has something to say.
#[derive(Clone)]
pub struct Input {
    stdin: Arc<Mutex<ChildStdin>>,
    qemu: Pid,
}

impl Input {
    pub fn send(&self, bytes: &[u8]) -> std::io::Result<()> {
        let mut stdin = self.stdin.lock().unwrap_or_else(PoisonError::into_inner);
        stdin.write_all(bytes)?;
        stdin.flush()
    }

    /// Pulls the machine's plug.
    pub fn end_machine(&self) {
        // An error says that it has ended already.
        let _ = rustix::process::kill_process(self.qemu, Signal::KILL);
    }
}

impl Guest {
    /// Starts QEMU; its own complaints go to standard error.
    pub fn start(mut command: Command) -> Result<Guest> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        // SAFETY: between fork and exec only one prctl(2) is made, which is async-signal-safe.
        unsafe {
            command.pre_exec(|| {
                // However xtask ends, the machine ends with it.
                rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
                Ok(())
            });
        }
        let program = command.get_program().to_string_lossy().into_owned();
        let mut qemu = match command.spawn() {
            Ok(qemu) => qemu,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                bail!("{program} is not installed; `cargo xtask setup` says how to get it")
            }
            Err(error) => return Err(error).with_context(|| format!("cannot start {program}")),
        };
        let input = qemu.stdin.take().context("QEMU has no input")?;
        let output = qemu.stdout.take().context("QEMU has no output")?;
        let input = Input {
            stdin: Arc::new(Mutex::new(input)),
            qemu: Pid::from_child(&qemu),
        };
        Ok(Guest {
            qemu,
            output,
            input,
            decoder: Decoder::default(),
        })
    }

    pub fn input(&self) -> Input {
        self.input.clone()
    }

    /// The next events; none when the machine has stopped.
    pub fn events(&mut self) -> Result<Vec<Event>> {
        let mut piece = [0; 16 * 1024];
        loop {
            let count = match self.output.read(&mut piece) {
                Ok(0) => return Ok(Vec::new()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("cannot read from QEMU"),
            };
            let events = self.decoder.decode(&piece[..count]);
            if !events.is_empty() {
                return Ok(events);
            }
        }
    }

    /// Gives the machine a moment to power off by itself, then ends it.
    pub fn stop(mut self) {
        const MOMENT: Duration = Duration::from_secs(2);
        let start = Instant::now();
        while start.elapsed() < MOMENT && matches!(self.qemu.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Either fails only when the machine is gone already.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}
