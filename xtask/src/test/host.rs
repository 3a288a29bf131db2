//! Tests that need no machine: unit and model tests of the default members, and the loom models of the readiness core.

use super::report::Outcome;
use super::{Plan, libtest};
use crate::{build, paths, progress};
use anyhow::{Context, Result};
use std::io::{BufRead, BufReader};
use std::process::Command;
use std::time::Instant;

pub fn run(plan: &Plan) -> Result<()> {
    let unit = build::talking_cargo("test");
    stream(plan, unit, "host")?;

    let mut loom = build::talking_cargo("test");
    // Loom explores every interleaving: optimised, and apart from the ordinary builds of the same crates.
    loom.args(["--release", "--package", "event", "--package", "sync"]);
    loom.env("RUSTFLAGS", "--cfg loom")
        .env("CARGO_TARGET_DIR", paths::target()?.join("loom"));
    stream(plan, loom, "loom")
}

/// Runs `cargo test` and reports its tests as they finish.
pub fn stream(plan: &Plan, mut cargo: Command, kind: &str) -> Result<()> {
    let step = progress::step(format!("building the {kind} tests"));
    let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    // One pipe for both: cargo names the test binary on standard error before its lines.
    cargo.args(["--no-fail-fast", "--", "--test-threads", "1"]);
    cargo
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .env_remove("RUST_BACKTRACE");
    let mut child = cargo.spawn().context("cannot run cargo")?;
    drop(cargo);
    let mut step = Some(step);
    let mut binary = String::new();
    let mut output = String::new();
    let mut failures = Vec::new();
    let mut last = Instant::now();
    for line in BufReader::new(reader).lines() {
        let line = line.context("cannot read what cargo says")?;
        if let Some(name) = running(&line) {
            step = None;
            binary = name;
            last = Instant::now();
        } else if let Some((test, outcome)) = libtest::parse(&line) {
            let name = format!("{kind} {binary}::{test}");
            let seconds = last.elapsed().as_secs_f64();
            last = Instant::now();
            if !plan.wants(&name) {
                continue;
            }
            match outcome {
                // The reason comes at the binary's end.
                Outcome::Failed(_) => failures.push((name, seconds)),
                outcome => plan.report.add(&name, seconds, outcome),
            }
        } else {
            output.push_str(&line);
            output.push('\n');
        }
    }
    drop(step);
    let status = child.wait().context("cannot wait for cargo")?;
    if !status.success() && failures.is_empty() {
        plan.report.failed(&format!("{kind} build"), 0.0, &output);
    }
    for (name, seconds) in failures {
        plan.report.failed(
            &name,
            seconds,
            &libtest::said_by(&output, name.split_once("::").map_or(name.as_str(), |(_, test)| test)),
        );
    }
    Ok(())
}

/// The crate whose tests a line announces: `Running unittests src/lib.rs (target/debug/deps/event-0123)`.
fn running(line: &str) -> Option<String> {
    let line = line.trim_start();
    if let Some(documented) = line.strip_prefix("Doc-tests ") {
        return Some(format!("{documented}::doc"));
    }
    let path = line.strip_prefix("Running ")?.rsplit_once('(')?.1.trim_end_matches(')');
    let file = path.rsplit('/').next()?;
    Some(file.rsplit_once('-').map_or(file, |(name, _)| name).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binaries_are_named() {
        let name = |line| running(line);
        assert_eq!(
            name("     Running unittests src/lib.rs (target/debug/deps/event-01ab)").as_deref(),
            Some("event")
        );
        assert_eq!(
            name("     Running tests/map.rs (/t/debug/deps/map-01ab)").as_deref(),
            Some("map")
        );
        assert_eq!(name("   Doc-tests event").as_deref(), Some("event::doc"));
        assert_eq!(name("running 9 tests"), None);
    }
}
