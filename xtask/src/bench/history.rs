//! Results as JSON: one in a file, or all there ever were as a line each.

use crate::arch::Arch;
use crate::paths;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// One run's results.
#[derive(Serialize, Deserialize)]
pub struct Record {
    pub arch: String,
    /// The kernel and its version.
    pub system: String,
    pub seconds_since_epoch: u64,
    pub cases: Vec<Measured>,
}

/// A case's result.
#[derive(Clone, Serialize, Deserialize)]
pub struct Measured {
    pub case: String,
    /// Of the fastest batch; `None` when the case could not run, then `unit` is the reason.
    pub best: Option<f64>,
    pub median: Option<f64>,
    pub unit: String,
}

impl Record {
    pub fn new(arch: Arch, system: &str, cases: Vec<Measured>) -> Record {
        Record {
            arch: arch.name().to_string(),
            system: system.to_string(),
            seconds_since_epoch: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |time| time.as_secs()),
            cases,
        }
    }

    pub fn best(&self, case: &str) -> Option<f64> {
        self.cases.iter().find(|measured| measured.case == case)?.best
    }
}

/// The fastest batch of several runs, for each case of the first.
pub fn fastest(runs: &[Vec<Measured>]) -> Vec<Measured> {
    let mut fastest = runs.first().cloned().unwrap_or_default();
    for measured in &mut fastest {
        // The figure of work on several CPUs is a speed.
        let better = if measured.unit == "times" { f64::max } else { f64::min };
        measured.best = bests(runs, &measured.case).reduce(better);
    }
    fastest
}

/// How far the runs lie apart: the median, over the cases, of the slowest run's part above the fastest.
pub fn noise(runs: &[Vec<Measured>]) -> f64 {
    let timed = runs.iter().flatten().filter(|measured| measured.unit == "ticks");
    let mut apart: Vec<f64> = timed
        .filter_map(|measured| {
            let fastest = bests(runs, &measured.case).reduce(f64::min)?;
            let slowest = bests(runs, &measured.case).reduce(f64::max)?;
            Some(slowest / fastest - 1.0)
        })
        .collect();
    apart.sort_by(f64::total_cmp);
    apart.get(apart.len() / 2).copied().unwrap_or(0.0)
}

fn bests<'a>(runs: &'a [Vec<Measured>], case: &'a str) -> impl Iterator<Item = f64> + 'a {
    let of_case = runs.iter().flatten().filter(move |measured| measured.case == case);
    of_case.filter_map(|measured| measured.best)
}

/// The commit that is measured; a `+` says that there are changes beside it.
pub fn commit() -> String {
    described().unwrap_or_else(|| "of no commit".to_string())
}

fn described() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .arg("-C")
            .arg(paths::repository())
            .args(arguments)
            .output()
            .ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    let changes = git(&["status", "--porcelain", "--untracked-files=no"])?;
    let mark = if changes.is_empty() { "" } else { "+" };
    Some(git(&["rev-parse", "--short", "HEAD"])? + mark)
}

pub fn read(file: &Path) -> Result<Record> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no result of a benchmark", file.display()))
}

pub fn write(file: &Path, record: &Record) -> Result<()> {
    let text = serde_json::to_string_pretty(record)?;
    std::fs::write(file, text + "\n").with_context(|| format!("cannot write {}", file.display()))
}

/// Adds a line to the history below the target folder.
pub fn append(record: &Record) -> Result<()> {
    let file = paths::made("bench")?.join("history.jsonl");
    let line = serde_json::to_string(record)? + "\n";
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(&file)
        .and_then(|mut history| history.write_all(line.as_bytes()))
        .with_context(|| format!("cannot write {}", file.display()))
}
