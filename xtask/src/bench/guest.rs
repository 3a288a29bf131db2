//! Boots a machine into the benchmark program and reads its results.

use super::history::Measured;
use crate::build::Built;
use crate::console::{End, Event};
use crate::guest::Guest;
use crate::machine::Machine;
use crate::root::{self, Start};
use crate::{paths, progress};
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::Command;

/// What is measured, and by what.
pub struct Bench {
    pub kernel: Built,
    pub program: PathBuf,
}

impl Bench {
    /// Measures `cases`, or all of them.
    pub fn run(&self, machine: &Machine, cases: &[String]) -> Result<Vec<Measured>> {
        let step = progress::step(format!("measuring on {}", machine.arch));
        let mut guest = Guest::start(self.qemu(machine, cases)?)?;
        let (mut measured, mut said) = (Vec::new(), String::new());
        let status = loop {
            let events = guest.events()?;
            if events.is_empty() {
                break None;
            }
            let mut status = None;
            for event in events {
                match event {
                    Event::Exit(end) => status = Some(end),
                    Event::Bytes(_, bytes) => said.push_str(&String::from_utf8_lossy(&bytes)),
                    Event::Listening => {}
                }
            }
            while let Some(end) = said.find('\n') {
                let line: String = said.drain(..=end).collect();
                match parse(line.trim_end()) {
                    Some(result) => measured.push(result),
                    None => eprint!("{line}"),
                }
            }
            if status.is_some() {
                break status;
            }
        };
        guest.stop();
        drop(step);
        match status {
            Some(End::Exited(0)) => Ok(measured),
            Some(end) => bail!("the benchmark ended with status {}", end.status()),
            None => bail!("the machine stopped in the middle of the benchmark"),
        }
    }

    /// QEMU with a machine that boots into the program.
    pub fn qemu(&self, machine: &Machine, arguments: &[String]) -> Result<Command> {
        let contents =
            std::fs::read(&self.program).with_context(|| format!("cannot read {}", self.program.display()))?;
        let archive = root::archive(&Start {
            path: "/bin/bench",
            contents: &contents,
            arguments,
            ..Start::default()
        });
        let root = paths::made("bench")?.join(format!("{}.cpio", machine.arch));
        std::fs::write(&root, archive).with_context(|| format!("cannot write {}", root.display()))?;
        machine.boot(&self.kernel, &root, "console=framed log=error stdin=none")
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
