//! Boots a kernel into the benchmark program and reads its results.

use super::history::Measured;
use crate::arch::Arch;
use crate::build::Built;
use crate::console::Event;
use crate::guest::Guest;
use crate::machine::Machine;
use crate::root::{self, Start};
use crate::{paths, progress};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Whose operations are measured.
pub enum System {
    Vigil(Built),
    /// A kernel image that QEMU boots directly.
    Linux(PathBuf),
}

/// The program, as the machine gets it.
const PROGRAM: &str = "/bin/bench";

/// Nothing that a benchmark of operations would not want: no mitigations, no auditing, no hardening, no randomness.
const LINUX_PARAMETERS: &str = "quiet mitigations=off nokaslr audit=0 init_on_alloc=0 randomize_kstack_offset=off \
                                hardened_usercopy=off preempt=none panic=-1";

impl System {
    fn name(&self) -> &'static str {
        match self {
            System::Vigil(_) => "Vigil",
            System::Linux(_) => "Linux",
        }
    }

    /// QEMU with a machine that boots this kernel into `program`.
    pub fn qemu(&self, machine: &Machine, program: &Path, arguments: &[String]) -> Result<Command> {
        let contents = std::fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
        let archive = root::archive(&Start {
            path: PROGRAM,
            contents: &contents,
            arguments,
            ..Start::default()
        });
        let root = paths::made("bench")?.join(format!("{}.cpio", machine.arch));
        std::fs::write(&root, archive).with_context(|| format!("cannot write {}", root.display()))?;
        match self {
            System::Vigil(kernel) => machine.boot(kernel, &root, "console=framed log=error stdin=none"),
            System::Linux(image) => {
                let machines = match machine.arch {
                    Arch::X86_64 => "console=ttyS0 nopti",
                    Arch::Aarch64 => "console=ttyAMA0 kpti=off",
                };
                let arguments = arguments.join(" ");
                let parameters = format!("{LINUX_PARAMETERS} {machines} rdinit={PROGRAM} -- {arguments}");
                Ok(machine.direct(image, &root, &parameters))
            }
        }
    }

    /// Measures the cases that `arguments` name, or all of them.
    pub fn measure(&self, machine: &Machine, program: &Path, arguments: &[String]) -> Result<Vec<Measured>> {
        let mut measured = Vec::new();
        self.run(machine, program, arguments, |result, _| measured.push(result))?;
        Ok(measured)
    }

    /// Runs these cases, or all; each result goes to `take` as it comes, with the time since QEMU's start.
    pub fn run(
        &self,
        machine: &Machine,
        program: &Path,
        arguments: &[String],
        mut take: impl FnMut(Measured, Duration),
    ) -> Result<()> {
        let step = progress::step(format!("measuring {} on {}", self.name(), machine.arch));
        let qemu = self.qemu(machine, program, arguments)?;
        let start = Instant::now();
        let mut guest = Guest::start(qemu)?;
        let (mut said, mut done) = (String::new(), false);
        let status = loop {
            let events = guest.events()?;
            if events.is_empty() {
                break None;
            }
            let mut status = None;
            for event in events {
                match event {
                    Event::Exit(end) => status = Some(end),
                    // Linux's console does not say whose bytes they are.
                    Event::Bytes(_, bytes) => said.push_str(&String::from_utf8_lossy(&bytes)),
                    Event::Listening => {}
                }
            }
            while let Some(end) = said.find('\n') {
                let line: String = said.drain(..=end).collect();
                match parse(line.trim_end()) {
                    Some(result) => take(result, start.elapsed()),
                    None if line.trim_end() == "done" => done = true,
                    None => eprint!("{line}"),
                }
            }
            if status.is_some() || done {
                break status;
            }
        };
        guest.stop();
        drop(step);
        match status {
            _ if done => Ok(()),
            // Vigil's first program is no process 1, and ends the machine by ending.
            Some(end) if end.status() == 0 => Ok(()),
            Some(end) => bail!("the benchmark ended with status {}", end.status()),
            None => bail!("the machine stopped in the middle of the benchmark"),
        }
    }
}

/// A line of the program: the case, the best and the median figure, the unit or the reason that there is none.
fn parse(line: &str) -> Option<Measured> {
    let mut words = line.splitn(4, ' ');
    let mut word = || words.next();
    let (case, best, median, unit) = (word()?, word()?, word()?, word()?);
    let figure = |text: &str| match text {
        "-" => Some(None),
        number => number.parse().ok().map(Some),
    };
    Some(Measured {
        case: case.to_string(),
        best: figure(best)?,
        median: figure(median)?,
        unit: unit.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let measured = parse("getppid 112.00 113.50 ticks").expect("a result");
        assert_eq!((measured.best, measured.median), (Some(112.0), Some(113.5)));
        assert_eq!((measured.case.as_str(), measured.unit.as_str()), ("getppid", "ticks"));
        let skipped = parse("ready_of_1000000 - - too few descriptors").expect("a result");
        assert_eq!((skipped.best, skipped.unit.as_str()), (None, "too few descriptors"));
        assert!(parse("something else was said here").is_none());
    }
}
