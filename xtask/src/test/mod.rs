//! `cargo xtask test`: every test there is, each named, on this computer and in QEMU.

pub mod boot;
mod costs;
mod debugger;
mod documents;
mod fuzz;
mod host;
mod junit;
mod kernel;
pub mod libtest;
mod lints;
mod network;
mod program_outputs;
mod programs;
pub mod queue;
pub mod report;
mod runner;
mod shell;
pub mod skips;
mod suites;
mod wakeups;

use crate::arch::Arch;
use crate::build::{self, Profile};
use crate::limine::Release;
use crate::machine::{Board, Door, Firmware, Machine};
use crate::{paths, setup};
use anyhow::Result;
use report::Report;
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Options {
    /// One machine only
    #[arg(long)]
    arch: Option<Arch>,
    /// This number of CPUs only, instead of 1 and 2
    #[arg(long)]
    smp: Option<u32>,
    /// These kinds of tests only
    #[arg(long, value_delimiter = ',')]
    only: Vec<Kind>,
    /// Test the optimised kernel and programs
    #[arg(long)]
    release: bool,
    /// Write a JUnit report
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Only tests whose name contains one of these
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Formatting and clippy
    Lint,
    /// Unit, model and loom tests of the crates that build here
    Host,
    /// Tests inside the kernel
    Kernel,
    /// Test programs, on Linux and in Vigil
    Programs,
    /// Programs whose output in Vigil must be Linux's
    Outputs,
    /// A program that serves this computer over the network card, and is its client
    Network,
    /// A package's tests by cargo through the runner
    Runner,
    /// The shell on a terminal, as a person types at it
    Shell,
    /// Random programs whose results in Vigil must be Linux's
    Fuzz,
    /// What operations cost, in instructions: not more than before
    Costs,
    /// The commands in the documents
    Documents,
    /// gdb on kernel and program
    Debugger,
    /// Published crates' own tests: as much of `cargo xtask suite` as fits
    Suites,
}

/// A machine the tests run on, as they name it.
pub fn label(machine: &Machine) -> String {
    let mut label = machine.arch.to_string();
    for (is, name) in [
        (machine.board == Board::Microvm, "-microvm"),
        (machine.gic == 2, "-gic2"),
        (machine.el2, "-el2"),
        (matches!(machine.door, Door::Limine(..)), "-limine"),
    ] {
        if is {
            label.push_str(name);
        }
    }
    format!("{label}-smp{}", machine.cpus)
}

/// What the suites share.
struct Plan<'a> {
    report: &'a Report,
    machines: Vec<Machine>,
    profile: Profile,
    names: &'a [String],
}

impl Plan<'_> {
    /// Whether the command line asks for a test.
    fn wants(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|part| name.contains(part.as_str()))
    }

    /// The other boards and ways in, with 2 CPUs each. Limine's place is taken by the stand-in.
    fn boards(&self) -> Result<Vec<Machine>> {
        let mut boards = Vec::new();
        for machine in self.machines.iter().filter(|machine| machine.cpus == 2) {
            let plain = || machine.clone();
            match machine.arch {
                Arch::X86_64 => boards.push(Machine {
                    board: Board::Microvm,
                    ..plain()
                }),
                Arch::Aarch64 => boards.extend([
                    Machine { gic: 2, ..plain() },
                    Machine { el2: true, ..plain() },
                    Machine {
                        gic: 2,
                        el2: true,
                        ..plain()
                    },
                ]),
            }
            let folder = build::stand_in(machine.arch)?;
            let release = Release::find(Some(&folder), machine.arch)?;
            boards.push(Machine {
                door: Door::Limine(release, Firmware::Uefi),
                ..plain()
            });
        }
        Ok(boards)
    }

    fn architectures(&self) -> impl Iterator<Item = Arch> {
        Arch::ALL
            .into_iter()
            .filter(|&arch| self.machines.iter().any(|machine| machine.arch == arch))
    }
}

/// Gives the exit status.
pub fn command(options: &Options) -> Result<u8> {
    let machines: Vec<Machine> = Arch::ALL
        .into_iter()
        .filter(|&arch| options.arch.is_none_or(|only| only == arch))
        .flat_map(|arch| {
            options
                .smp
                .map_or(vec![1, 2], |cpus| vec![cpus])
                .into_iter()
                .map(move |cpus| (arch, cpus))
        })
        .map(|(arch, cpus)| Machine::new(arch, cpus))
        .collect();
    let report = Report::default();
    let plan = Plan {
        report: &report,
        machines,
        profile: Profile::of(options.release),
        names: &options.names,
    };
    let wanted = |kind| options.only.is_empty() || options.only.contains(&kind);
    if wanted(Kind::Lint) {
        lints::run(&plan)?;
    }
    if wanted(Kind::Host) {
        host::run(&plan)?;
    }
    let in_guest = [Kind::Kernel, Kind::Programs, Kind::Outputs, Kind::Network, Kind::Fuzz];
    if in_guest.into_iter().any(wanted) {
        for arch in plan.architectures() {
            setup::for_running(arch)?;
        }
    }
    if wanted(Kind::Kernel) {
        kernel::run(&plan)?;
    }
    if [Kind::Programs, Kind::Outputs, Kind::Network, Kind::Fuzz]
        .into_iter()
        .any(wanted)
    {
        let guests = Guests::build(&plan)?;
        if wanted(Kind::Programs) {
            programs::run(&plan, &guests)?;
        }
        if wanted(Kind::Outputs) {
            program_outputs::run(&plan, &guests)?;
            wakeups::run(&plan, &guests)?;
        }
        if wanted(Kind::Network) {
            network::run(&plan, &guests)?;
        }
        if wanted(Kind::Fuzz) {
            fuzz::run(&plan, &guests)?;
        }
    }
    if wanted(Kind::Costs) {
        costs::run(&plan)?;
    }
    if wanted(Kind::Debugger) {
        debugger::run(&plan)?;
    }
    if wanted(Kind::Shell) {
        shell::run(&plan)?;
    }
    if wanted(Kind::Documents) {
        documents::run(&plan)?;
    }
    if wanted(Kind::Runner) {
        runner::run(&plan)?;
    }
    if wanted(Kind::Suites) {
        suites::run(&plan)?;
    }
    if let Some(file) = &options.junit {
        junit::write(file, &report)?;
    }
    Ok(report.summary())
}

/// What the tests in machines boot: kernels and programs, built once.
struct Guests {
    built: Vec<(Arch, build::Built, PathBuf)>,
    /// The folder of programs that run here.
    host_programs: PathBuf,
}

impl Guests {
    fn build(plan: &Plan) -> Result<Guests> {
        let host = Arch::ALL
            .into_iter()
            .find(|arch| arch.is_host())
            .unwrap_or(Arch::X86_64);
        let mut built = Vec::new();
        for arch in plan.architectures() {
            // A machine whose kernel does not build fails its tests; the other one's still run.
            let both = build::kernel(arch, plan.profile, build::Kernel::Plain).and_then(|kernel| {
                let programs = build::programs(arch, plan.profile)?;
                build::boost_asio(arch, &programs)?;
                Ok((kernel, programs))
            });
            match both {
                Ok((kernel, programs)) => built.push((arch, kernel, programs)),
                Err(error) => plan.report.failed(&format!("{arch} build"), 0.0, &format!("{error:#}")),
            }
        }
        let host_programs = build::programs(host, plan.profile)?;
        build::boost_asio(host, &host_programs)?;
        Ok(Guests { built, host_programs })
    }

    /// Kernel and program folder for a machine, when they built.
    fn of(&self, arch: Arch) -> Option<(&build::Built, &PathBuf)> {
        self.built
            .iter()
            .find(|(of, ..)| *of == arch)
            .map(|(_, kernel, programs)| (kernel, programs))
    }
}

/// A file for a root archive, of its own for each machine that runs at the same time.
pub fn root_file(name: &str) -> Result<PathBuf> {
    Ok(paths::made("test")?.join(format!("{}.cpio", name.replace([' ', '/', ':'], "-"))))
}
