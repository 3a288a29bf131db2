//! `cargo xtask bench`: what operations cost, in instructions, beside their budgets and an earlier run.

mod budgets;
mod guest;
mod history;
mod profile;
mod symbols;
mod table;

use crate::arch::Arch;
use crate::build::{self, Kernel, Profile};
use crate::machine::{Machine, Pace};
use crate::setup;
use anyhow::Result;
use guest::Bench;
use history::Record;
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Options {
    #[arg(long, default_value = "x86_64")]
    arch: Arch,
    /// These cases only
    #[arg(long, value_delimiter = ',', value_name = "CASE")]
    cases: Vec<String>,
    /// Show where the instructions of one operation of a case go, instead of measuring
    #[arg(long, value_name = "CASE")]
    profile: Option<String>,
    /// Show a result of before beside the new one
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Write the result to a file for --compare; all results are also appended to the history
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

/// What the million watched descriptors need, in Linux too.
const MEMORY: &str = "2G";
/// Features that lengthen one kernel's way and not the other's, or that change how QEMU counts (`rep movs` is an
/// instruction for each byte or word either way; with `erms` kernels choose bytes).
const CPU_FEATURES: &str = ",erms=off,la57=off,smap=off,smep=off,pku=off,umip=off";

/// The machine whose instructions are counted, or one whose time is taken.
fn machine(arch: Arch, pace: Pace, cpus: u32) -> Machine {
    Machine {
        memory: MEMORY.to_string(),
        gic: 2,
        pace,
        cpu_features: CPU_FEATURES,
        ..Machine::new(arch, cpus)
    }
}

pub fn command(options: &Options) -> Result<()> {
    let arch = options.arch;
    setup::for_running(arch)?;
    let before = options.compare.as_deref().map(history::read).transpose()?;
    let bench = Bench {
        kernel: build::kernel(arch, Profile::Release, Kernel::Plain)?,
        program: build::program(arch, Profile::Release, "userspace-tests", "bench")?,
    };
    if let Some(case) = &options.profile {
        return profile::print(&bench, &machine(arch, Pace::Counted, 1), case);
    }
    let measured = bench.run(&machine(arch, Pace::Counted, 1), &options.cases)?;
    let record = Record::new(arch, measured);
    table::print(&record, before.as_ref());
    history::append(&record)?;
    match &options.save {
        Some(file) => history::write(file, &record),
        None => Ok(()),
    }
}
