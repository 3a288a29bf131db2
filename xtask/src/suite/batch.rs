//! Runs test files one after the other, here or in one boot, and tells what came of each test.

use super::package::{Package, UNIT};
use crate::build::Built;
use crate::console::Stream;
use crate::cpio::Archive;
use crate::machine::Machine;
use crate::root::{self, Start};
use crate::test::boot::Boot;
use crate::test::libtest::{self, Lines};
use crate::test::report::{Outcome, Report};
use crate::test::root_file;
use crate::test::skips::Skips;
use crate::tools;
use anyhow::{Context, Result};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A test file, which is a process.
#[derive(Clone)]
pub struct Unit {
    pub file: String,
    /// As its binary names them.
    pub tests: Vec<String>,
    /// The user it runs as in Vigil.
    pub user: u32,
}

/// Without a word for so long, the tests that run have hung. Longer than the minute after which libtest names them.
const LIMIT: Duration = Duration::from_secs(65);
/// Boots for one binary: each hang or crash costs one, and the tests behind it get another.
const BOOTS: usize = 5;

/// A machine with what it boots.
pub struct Place<'a> {
    pub machine: &'a Machine,
    pub kernel: &'a Built,
    /// The folder of Vigil's own programs for it.
    pub programs: &'a Path,
}

pub struct Batch<'a> {
    suite: &'a str,
    place: &'a str,
    report: &'a Report,
    known: &'a Skips,
}

impl<'a> Batch<'a> {
    pub fn new(suite: &'a str, place: &'a str, report: &'a Report, known: &'a Skips) -> Batch<'a> {
        Batch {
            suite,
            place,
            report,
            known,
        }
    }

    /// Runs the units on this computer.
    pub fn here(&self, binary: &Path, package: &Package, units: &[Unit]) {
        for unit in units {
            let mut run = Run::new(self, vec![unit.clone()]);
            let output = Command::new("timeout")
                .args(["--kill-after=1", "120"])
                .arg(binary)
                .arg("--exact")
                .args(&unit.tests)
                .current_dir(&package.source)
                .env_remove("RUST_BACKTRACE")
                .stdin(Stdio::null())
                .output();
            match output {
                Ok(output) => {
                    run.rest(&output.stderr);
                    run.output(&output.stdout);
                    run.end_unit(&output.status.to_string());
                }
                Err(error) => run.end_unit(&format!("cannot run it: {error}")),
            }
        }
    }

    /// Runs the units in a machine.
    pub fn on_machine(&self, place: &Place, group: &str, binary: &Path, package: &Package, units: &[Unit]) {
        let mut run = Run::new(self, units.to_vec());
        for _ in 0..BOOTS {
            if run.units.is_empty() {
                return;
            }
            run.last = Instant::now();
            if let Err(error) = boot(place, group, binary, package, &mut run) {
                run.end_machine(&format!("{error:#}"));
            }
        }
        while !run.units.is_empty() {
            run.end_unit(&format!("not run: {BOOTS} boots ended in the tests before it"));
        }
    }
}

fn boot(place: &Place, group: &str, binary: &Path, package: &Package, run: &mut Run) -> Result<()> {
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let mut files = Archive::default();
    let path = format!("/bin/{group}");
    files.file(&path, 0o755, &read(binary)?);
    tools::pack(&mut files, &place.programs.join("tools"))?;
    files.file("/batch", 0o644, run.list(&path).as_bytes());
    files.file("/src/Cargo.toml", 0o644, &read(&package.source.join("Cargo.toml"))?);
    let root = root::archive(&Start {
        path: "/bin/batch",
        contents: &read(&place.programs.join("batch"))?,
        environment: &["PATH=/bin".to_string(), "HOME=/root".to_string()],
        directory: "/src",
        files: &files.finish(),
        ..Start::default()
    });
    let boot = Boot {
        machine: place.machine,
        kernel: place.kernel,
        root: &root,
        parameters: "",
        input: &[],
        limit: LIMIT,
    };
    let root_file = root_file(&format!("{} {} {group}", run.batch.place, run.batch.suite))?;
    let ended = boot.run(&root_file, |stream, bytes| match stream {
        Stream::Output => run.output(bytes),
        _ => run.rest(bytes),
    })?;
    run.end_machine(&ended.reason());
    Ok(())
}

/// Follows what is said: which tests are done, and what the file that runs has to say about them.
struct Run<'a> {
    batch: &'a Batch<'a>,
    /// Those not done, the one that runs first.
    units: Vec<Unit>,
    lines: Lines,
    said: String,
    /// Tests that failed, with their seconds; the reason comes at the file's end.
    failed: Vec<(String, f64)>,
    /// Tests that libtest says take long.
    slow: Vec<String>,
    last: Instant,
}

impl<'a> Run<'a> {
    fn new(batch: &'a Batch<'a>, units: Vec<Unit>) -> Run<'a> {
        Run {
            batch,
            units,
            lines: Lines::default(),
            said: String::new(),
            failed: Vec::new(),
            slow: Vec::new(),
            last: Instant::now(),
        }
    }

    /// What a boot has to do: a line of user, program and arguments for each file.
    fn list(&self, program: &str) -> String {
        let line = |unit: &Unit| format!("{} {program} --exact {}\n", unit.user, unit.tests.join(" "));
        self.units.iter().map(line).collect()
    }

    fn rest(&mut self, bytes: &[u8]) {
        self.said.push_str(&String::from_utf8_lossy(bytes));
    }

    fn output(&mut self, bytes: &[u8]) {
        for line in self.lines.push(bytes) {
            if let Some(status) = line.strip_prefix("batch end ") {
                let status = status.split_once(' ').map_or(status, |(_, status)| status);
                self.end_unit(&format!("wait status {status}"));
            } else if let Some(test) = still_running(&line) {
                self.slow.push(test.to_string());
            } else if let Some((test, outcome)) = libtest::parse(&line) {
                self.test(test, outcome);
            } else if !line.starts_with("batch start ") {
                self.said.push_str(&line);
                self.said.push('\n');
            }
        }
    }

    fn test(&mut self, test: &str, outcome: Outcome) {
        let Some(unit) = self.units.first_mut() else { return };
        let Some(position) = unit.tests.iter().position(|left| left == test) else {
            return;
        };
        let test = unit.tests.remove(position);
        let seconds = self.last.elapsed().as_secs_f64();
        self.last = Instant::now();
        match outcome {
            Outcome::Failed(_) => self.failed.push((test, seconds)),
            outcome => self.report(&test, seconds, outcome),
        }
    }

    fn report(&self, test: &str, seconds: f64, outcome: Outcome) {
        let Batch {
            suite, place, known, ..
        } = self.batch;
        let is_unit = self.units.first().is_some_and(|unit| unit.file == UNIT);
        let name = if is_unit {
            format!("{suite}::{UNIT}::{test}")
        } else {
            format!("{suite}::{test}")
        };
        let outcome = match (outcome, known.reason(place, &name)) {
            (Outcome::Failed(_), Some(reason)) => Outcome::Skipped(format!("known to fail: {reason}")),
            (outcome, _) => outcome,
        };
        self.batch.report.add(&format!("{place} {name}"), seconds, outcome);
    }

    /// The file that ran ended: its failures, and the tests it said nothing about.
    fn end_unit(&mut self, how: &str) {
        for (test, seconds) in std::mem::take(&mut self.failed) {
            self.report(&test, seconds, Outcome::Failed(libtest::said_by(&self.said, &test)));
        }
        let seconds = self.last.elapsed().as_secs_f64();
        let left = self.units.first_mut().map(|unit| std::mem::take(&mut unit.tests));
        for test in left.unwrap_or_default() {
            self.report(
                &test,
                seconds,
                Outcome::Failed(format!("{}\nended with {how}", self.said)),
            );
        }
        if !self.units.is_empty() {
            self.units.remove(0);
        }
        self.said.clear();
        self.slow.clear();
        self.last = Instant::now();
    }

    /// The machine ended: in the tests that took long, if there are such; others of the file get another boot.
    fn end_machine(&mut self, how: &str) {
        let slow = std::mem::take(&mut self.slow);
        let Some(unit) = self.units.first_mut() else { return };
        let (hung, left): (Vec<_>, Vec<_>) = std::mem::take(&mut unit.tests)
            .into_iter()
            .partition(|test| slow.contains(test));
        if hung.is_empty() {
            unit.tests = left;
            return self.end_unit(how);
        }
        unit.tests = hung;
        let rest = Unit {
            tests: left,
            ..unit.clone()
        };
        self.end_unit(how);
        if !rest.tests.is_empty() {
            self.units.insert(0, rest);
        }
    }
}

/// `test NAME has been running for over 60 seconds`.
fn still_running(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?
        .split_once(" has been running for over ")
        .map(|(test, _)| test)
}
