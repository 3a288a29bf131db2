//! `cargo xtask run`: boots into a program as if it ran here, with its streams, its input and its exit status.

use crate::arch::Arch;
use crate::build::{self, Kernel, Profile};
use crate::limine::Release;
use crate::machine::{Board, Door, Firmware, Machine};
use crate::root::{self, Start};
use crate::session::{self, Source};
use crate::{program, setup};
use anyhow::{Context, Result, bail, ensure};
use std::ffi::OsStr;
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Options {
    #[arg(long, default_value = "x86_64")]
    arch: Arch,
    /// CPUs
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    smp: u32,
    /// Memory, as in 512M or 2G
    #[arg(long, default_value = "512M")]
    memory: String,
    /// Optimise the kernel and the demonstration
    #[arg(long)]
    release: bool,
    /// The kernel's log: off, error, warn, info, debug, trace
    #[arg(long, default_value = "warn")]
    log: Level,
    /// Show every system call, as strace(1) does
    #[arg(long)]
    trace: bool,
    /// Dump the machine's state after so many seconds without progress
    #[arg(long)]
    watchdog: Option<u32>,
    /// The x86_64 board
    #[arg(long, default_value = "q35")]
    machine: Board,
    /// The aarch64 interrupt controller's version
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=3))]
    gic: u8,
    /// Enter the aarch64 kernel at EL2
    #[arg(long)]
    el2: bool,
    /// How the kernel gets in: by QEMU itself, or by firmware and Limine
    #[arg(long, default_value = "direct")]
    boot: Boot,
    /// The folder of a Limine release, for `--boot limine` [default: qemu/limine]
    #[arg(long, value_name = "DIR")]
    limine_dir: Option<PathBuf>,
    /// A variable for the program's environment
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// A static Linux program of this computer, with its arguments; the demonstration when left out
    #[arg(last = true, value_name = "PROGRAM")]
    program: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Boot {
    Direct,
    /// By BIOS from an ISO image on x86_64 where the release can, otherwise by UEFI from a disk
    Limine,
    /// By UEFI from a disk
    LimineUefi,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Level {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Level::Off => "off",
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        }
    }
}

/// Gives the program's exit status.
pub fn command(options: &Options) -> Result<u8> {
    let arch = options.arch;
    let profile = Profile::of(options.release);
    setup::for_running(arch)?;
    let door = door(options)?;
    let archive = archive(arch, profile, &options.program, &options.env)?;
    let needed_mib = session::needed_mib(archive.len());
    ensure!(
        mib(&options.memory)? >= needed_mib,
        "{} is too little memory; this program needs --memory {needed_mib}M",
        options.memory
    );
    let kernel = build::kernel(arch, profile, Kernel::Plain)?;

    let machine = Machine {
        memory: options.memory.clone(),
        board: options.machine,
        gic: options.gic,
        el2: options.el2,
        door,
        ..Machine::new(arch, options.smp)
    };
    let source = Source::of_stdin();
    let end = session::hold(&machine, &kernel, &archive, &parameters(options), source)?;
    Ok(end.status())
}

fn door(options: &Options) -> Result<Door> {
    if options.boot == Boot::Direct {
        ensure!(options.limine_dir.is_none(), "--limine-dir goes with --boot limine");
        return Ok(Door::Direct);
    }
    let release = Release::find(options.limine_dir.as_deref(), options.arch)?;
    let by_bios = options.boot == Boot::Limine && options.arch == Arch::X86_64 && release.has_bios();
    Ok(Door::Limine(
        release,
        if by_bios { Firmware::Bios } else { Firmware::Uefi },
    ))
}

/// A root archive that boots into `program`, or into the demonstration.
pub fn archive(arch: Arch, profile: Profile, program: &[String], variables: &[String]) -> Result<Vec<u8>> {
    ensure!(
        variables.iter().all(|variable| variable.contains('=')),
        "--env takes NAME=VALUE"
    );
    let (path, arguments) = match program.split_first() {
        Some((program, arguments)) => (PathBuf::from(program), arguments),
        None => (build::programs(arch, profile)?.join("demonstration"), &[][..]),
    };
    let contents = program::read(&path, arch)?;
    let name = path
        .file_name()
        .and_then(OsStr::to_str)
        .context("the program's name is not UTF-8")?;
    let mut environment = vec!["PATH=/bin".to_string(), "HOME=/root".to_string()];
    environment.extend(variables.iter().cloned());
    Ok(root::archive(&Start {
        path: &format!("/bin/{name}"),
        contents: &contents,
        arguments,
        environment: &environment,
        ..Start::default()
    }))
}

fn parameters(options: &Options) -> String {
    let mut parameters = format!("log={}", options.log.name());
    if options.trace {
        parameters.push_str(" trace");
    }
    if let Some(seconds) = options.watchdog {
        parameters.push_str(&format!(" watchdog={seconds}"));
    }
    parameters
}

/// A size as QEMU takes it, in whole MiB.
fn mib(memory: &str) -> Result<u64> {
    let digits = memory.trim_end_matches(|last: char| last.is_ascii_alphabetic());
    let kib = match &memory[digits.len()..] {
        "" | "M" | "m" => 1 << 10,
        "G" | "g" => 1 << 20,
        "K" | "k" => 1,
        _ => bail!("--memory takes a size like 512M or 2G, not {memory}"),
    };
    let size = digits.parse::<u64>().ok().and_then(|size| size.checked_mul(kib));
    let size = size.with_context(|| format!("--memory takes a size like 512M or 2G, not {memory}"))?;
    Ok(size >> 10)
}
