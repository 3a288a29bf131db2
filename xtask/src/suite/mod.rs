//! `cargo xtask suite`: a published crate's own tests, on Linux and in Vigil.

mod batch;
mod package;

use crate::arch::Arch;
use crate::build::{self, Profile};
use crate::machine::Machine;
use crate::setup;
use crate::test::report::Report;
use crate::test::skips::Skips;
use crate::test::{label, queue};
use anyhow::{Context, Result};
use batch::{Batch, Unit};
use package::{Package, UNIT};
use std::path::PathBuf;
use std::process::{Command, Stdio};

#[derive(clap::Args)]
pub struct Options {
    /// The crate
    #[arg(value_enum)]
    suite: Suite,
    /// One machine only
    #[arg(long)]
    arch: Option<Arch>,
    /// CPUs
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    smp: u32,
    /// Use the optimised kernel
    #[arg(long)]
    release: bool,
    /// Only the test files (`unit` for the tests within the crate) whose name starts with one of these; where no file's
    /// does, the tests (`FILE::TEST`) whose name contains it
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    filter: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Suite {
    /// The test files of tokio and its unit tests
    Tokio,
}

impl Suite {
    fn name(self) -> &'static str {
        match self {
            Suite::Tokio => "tokio",
        }
    }

    fn features(self) -> &'static str {
        match self {
            Suite::Tokio => "full,test-util",
        }
    }

    /// The binary a test file goes into.
    fn group_of(self, file: &str) -> &'static str {
        match file.split('_').next().unwrap_or_default() {
            "net" | "tcp" | "udp" | "uds" | "unix" => "net",
            "process" | "signal" => "process",
            "rt" => "rt",
            "sync" => "sync",
            "time" => "time",
            "fs" => "fs",
            "io" => "io",
            "task" => "task",
            _ => "other",
        }
    }

    /// The user a test file runs as in Vigil.
    fn user_of(self, file: &str) -> u32 {
        match file {
            // Root may look into any directory.
            "fs_try_exists" => 65534,
            _ => 0,
        }
    }
}

/// Gives the exit status.
pub fn command(options: &Options) -> Result<u8> {
    let report = Report::default();
    let machines: Vec<Machine> = Arch::ALL
        .into_iter()
        .filter(|&arch| options.arch.is_none_or(|only| only == arch))
        .map(|arch| Machine::new(arch, options.smp))
        .collect();
    let profile = Profile::of(options.release);
    run(options.suite, &report, &machines, profile, &options.filter)?;
    Ok(report.summary())
}

/// Which tests to run.
struct Filter<'a> {
    files: Vec<&'a str>,
    tests: Vec<&'a str>,
}

impl<'a> Filter<'a> {
    fn new(parts: &'a [String], package: &Package) -> Filter<'a> {
        let is_file =
            |part: &&str| package.groups.values().flatten().any(|file| file.starts_with(*part)) || UNIT == *part;
        let (files, tests) = parts.iter().map(String::as_str).partition(is_file);
        Filter { files, tests }
    }

    fn wants_file(&self, file: &str) -> bool {
        self.files.is_empty() && self.tests.is_empty() || self.files.iter().any(|part| file.starts_with(part))
    }

    fn wants(&self, file: &str, test: &str) -> bool {
        self.wants_file(file) || self.tests.iter().any(|part| test.contains(part))
    }

    /// Whether a binary may have wanted tests.
    fn wants_some(&self, files: &[String]) -> bool {
        !self.tests.is_empty() || files.iter().any(|file| self.wants_file(file))
    }
}

/// One binary with what it has to do.
struct Group {
    name: String,
    units: Vec<Unit>,
    /// The binary that runs here.
    host: PathBuf,
    /// The binary of each machine.
    guests: Vec<(Arch, PathBuf)>,
}

/// Runs the tests that `filter` names, all when it is empty.
pub fn run(suite: Suite, report: &Report, machines: &[Machine], profile: Profile, filter: &[String]) -> Result<()> {
    let known = Skips::read("known-failures.txt")?;
    let package = Package::generate(suite.name(), |file| suite.group_of(file))?;
    let groups = groups(suite, &package, machines, &Filter::new(filter, &package))?;
    let host = Batch::new(suite.name(), "host", report, &known);
    for group in &groups {
        host.here(&group.host, &package, &group.units);
    }
    let mut jobs = Vec::new();
    for machine in machines {
        setup::for_running(machine.arch)?;
        let kernel = build::kernel(machine.arch, profile, build::Kernel::Plain)?;
        let programs = build::programs(machine.arch, profile)?;
        for group in &groups {
            jobs.push((machine, kernel.clone(), programs.clone(), group));
        }
    }
    queue::run(
        &jobs,
        |(machine, ..)| machine.cpus,
        |(machine, kernel, programs, group)| {
            let place_name = label(machine);
            let batch = Batch::new(suite.name(), &place_name, report, &known);
            let binary = group.guests.iter().find(|(arch, _)| *arch == machine.arch);
            if let Some((_, binary)) = binary {
                let machine = Machine {
                    memory: "1G".to_string(),
                    ..(*machine).clone()
                };
                let place = batch::Place {
                    machine: &machine,
                    kernel,
                    programs,
                };
                batch.on_machine(&place, &group.name, binary, &package, &group.units);
            }
        },
    );
    Ok(())
}

/// Builds the binaries that have wanted tests, for this computer and for each machine.
fn groups(suite: Suite, package: &Package, machines: &[Machine], filter: &Filter) -> Result<Vec<Group>> {
    let host = Arch::ALL
        .into_iter()
        .find(|arch| arch.is_host())
        .context("this computer is neither x86_64 nor aarch64")?;
    let with_files = package.groups.iter().filter(|(_, files)| filter.wants_some(files));
    let unit = filter.wants_some(&[UNIT.to_string()]).then_some(UNIT);
    let names: Vec<&str> = with_files.map(|(name, _)| name.as_str()).chain(unit).collect();
    let mut groups = Vec::new();
    for (name, binary) in names.iter().zip(package.build(host, suite.features(), &names)?) {
        let units = units(suite, name, list(&binary)?, filter);
        if !units.is_empty() {
            groups.push(Group {
                name: name.to_string(),
                units,
                guests: vec![(host, binary.clone())],
                host: binary,
            });
        }
    }
    let names: Vec<String> = groups.iter().map(|group| group.name.clone()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for arch in Arch::ALL {
        if arch != host && machines.iter().any(|machine| machine.arch == arch) {
            for (group, binary) in groups.iter_mut().zip(package.build(arch, suite.features(), &names)?) {
                group.guests.push((arch, binary));
            }
        }
    }
    Ok(groups)
}

/// The names of a binary's tests.
fn list(binary: &PathBuf) -> Result<Vec<String>> {
    let output = Command::new(binary)
        .args(["--list", "--format", "terse"])
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", binary.display()))?;
    let lines = String::from_utf8_lossy(&output.stdout);
    let names = lines.lines().filter_map(|line| line.strip_suffix(": test"));
    Ok(names.map(str::to_string).collect())
}

/// The wanted tests by file, which is the module they are in; a file is a process.
fn units(suite: Suite, group: &str, tests: Vec<String>, filter: &Filter) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    for test in tests {
        let (file, name) = match test.split_once("::") {
            Some((file, _)) if group != UNIT => (file, test.clone()),
            _ => (UNIT, format!("{UNIT}::{test}")),
        };
        if !filter.wants(file, &name) {
            continue;
        }
        match units.last_mut().filter(|unit| unit.file == file) {
            Some(unit) => unit.tests.push(test),
            None => units.push(Unit {
                file: file.to_string(),
                user: suite.user_of(file),
                tests: vec![test],
            }),
        }
    }
    units
}
