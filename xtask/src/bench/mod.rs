//! `cargo xtask bench`: what operations cost, in instructions, beside their budgets, an earlier run, or Linux.

mod boot;
mod budgets;
mod guest;
pub mod history;
mod profile;
mod report;
mod table;

use crate::arch::Arch;
use crate::build::{self, Kernel, Profile};
use crate::machine::{Machine, Pace};
use crate::setup;
use anyhow::Result;
use guest::System;
use history::{Measured, Record};
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub struct Options {
    #[arg(long, default_value = "x86_64")]
    arch: Arch,
    /// Measure what tokio's operations cost, instead of the kernel's
    #[arg(long)]
    tokio: bool,
    /// These cases only
    #[arg(long, value_delimiter = ',', value_name = "CASE")]
    cases: Vec<String>,
    /// Measure Linux too: Debian's newest kernel for clouds
    #[arg(long)]
    vs_linux: bool,
    /// Measure this Linux too: an image that QEMU boots
    #[arg(long, value_name = "VMLINUZ")]
    linux: Option<PathBuf>,
    /// Fetch Debian's kernel again, for there may be a newer one
    #[arg(long)]
    refresh_linux: bool,
    /// Take the time as well, on two CPUs: so many boots of each kernel by turns
    #[arg(long, value_name = "BOOTS", default_value_t = 0)]
    wall: usize,
    /// Take the time of a boot, and the memory in use then, instead of measuring: so many boots of each kernel by turns
    #[arg(long, value_name = "BOOTS", default_value_t = 0)]
    boot: usize,
    /// Show where the instructions of one operation of a case go, instead of measuring
    #[arg(long, value_name = "CASE")]
    profile: Option<String>,
    /// Show a result of before beside the new one
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Write a page with the table, and the cost over the number watched, to a file
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
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

/// A kernel under its full name.
struct Contestant {
    name: String,
    system: System,
}

/// Vigil as it is now, and the Linux that was asked for.
fn contestants(options: &Options) -> Result<(Contestant, Option<Contestant>)> {
    let arch = options.arch;
    let vigil = Contestant {
        name: format!("Vigil {}", history::commit()),
        system: System::Vigil(build::kernel(arch, Profile::Release, Kernel::Plain)?),
    };
    let (image, name) = match &options.linux {
        Some(image) => (image.clone(), image.display().to_string()),
        None if options.vs_linux || options.refresh_linux => {
            let (image, version) = setup::linux(arch, options.refresh_linux)?;
            (image, format!("Linux {version}"))
        }
        None => return Ok((vigil, None)),
    };
    let system = System::Linux(image);
    Ok((vigil, Some(Contestant { name, system })))
}

/// Vigil's cost of some operations, in instructions.
pub fn counted(arch: Arch, cases: &[String]) -> Result<Record> {
    setup::for_running(arch)?;
    let system = System::Vigil(build::kernel(arch, Profile::Release, Kernel::Plain)?);
    let program = build::program(arch, Profile::Release, "userspace-tests", "bench")?;
    let measured = system.measure(&machine(arch, Pace::Counted, 1), &program, cases)?;
    Ok(Record::new(arch, "Vigil", measured))
}

pub fn command(options: &Options) -> Result<()> {
    let arch = options.arch;
    setup::for_running(arch)?;
    let before = options.compare.as_deref().map(history::read).transpose()?;
    let (vigil, linux) = contestants(options)?;
    let (package, program) = match options.tokio {
        false => ("userspace-tests", "bench"),
        true => ("tokio-programs", "tokio_bench"),
    };
    let program = build::program(arch, Profile::Release, package, program)?;
    if options.boot > 0 {
        let contestants: Vec<&Contestant> = std::iter::once(&vigil).chain(&linux).collect();
        return boot::print(arch, &contestants, &program, options.boot);
    }
    let counting = machine(arch, Pace::Counted, 1);
    if let Some(case) = &options.profile {
        // Of Linux only the addresses: its image has no symbols.
        let system = linux.as_ref().map_or(&vigil.system, |linux| &linux.system);
        return profile::print(system, &counting, &program, case);
    }

    let record = |contestant: &Contestant| {
        let measured = contestant.system.measure(&counting, &program, &options.cases)?;
        let record = Record::new(arch, &contestant.name, measured);
        history::append(&record)?;
        Ok::<_, anyhow::Error>(record)
    };
    let ours = record(&vigil)?;
    let theirs = linux.as_ref().map(record).transpose()?;
    println!("instructions of an operation, or what is said behind it");
    table::print(&ours, theirs.as_ref(), before.as_ref());
    if let Some(file) = &options.report {
        report::write(file, arch, &ours, theirs.as_ref())?;
    }
    if let Some(file) = &options.save {
        history::write(file, &ours)?;
    }
    if options.wall > 0 {
        wall(options, &program, &vigil, linux.as_ref())?;
    }
    Ok(())
}

/// Takes times, on two CPUs that run at once. Kernels take turns, so that whatever else the computer does meets both.
fn wall(options: &Options, program: &Path, vigil: &Contestant, linux: Option<&Contestant>) -> Result<()> {
    let timing = machine(options.arch, Pace::Free, 2);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..options.wall {
        ours.push(vigil.system.measure(&timing, program, &options.cases)?);
        if let Some(linux) = linux {
            theirs.push(linux.system.measure(&timing, program, &options.cases)?);
        }
    }
    println!(
        "\nticks of the computer's counter, the fastest batch of {} boots; ratios only",
        options.wall
    );
    let best = |contestant: &Contestant, runs: &[Vec<Measured>]| {
        Record::new(options.arch, &contestant.name, history::fastest(runs))
    };
    let theirs = linux.map(|linux| best(linux, &theirs));
    table::print(&best(vigil, &ours), theirs.as_ref(), None);
    println!(
        "noise: the same case of the same kernel differed by {:.0}% between boots",
        100.0 * history::noise(&ours)
    );
    Ok(())
}
