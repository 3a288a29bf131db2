//! `cargo xtask run`: boots into a program as if it ran here, with its streams, its input and its exit status.

use crate::arch::Arch;
use crate::build::{self, Kernel, Profile};
use crate::limine::Release;
use crate::machine::{Board, Door, Firmware, Machine};
use crate::network::{Network, Published};
use crate::payload::Payload;
use crate::session::{self, Source};
use crate::setup;
use crate::wakeups::Recorder;
use anyhow::{Context, Result, bail, ensure};
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
    /// Show who wakes whom by what, and how long it takes; with a FILE, write that for Perfetto
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    trace_wakeups: Option<Option<PathBuf>>,
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
    /// A network card: the program can reach other machines, and this one as 10.0.2.2
    #[arg(long)]
    net: bool,
    /// Let connections to a TCP port here reach a port of the program; implies --net
    #[arg(long, value_name = "[ADDRESS:]PORT:GUEST-PORT")]
    publish: Vec<Published>,
    #[command(flatten)]
    payload: Payload,
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
    let source = Source::of_stdin();
    let archive = options.payload.archive(arch, profile, source == Source::Terminal)?;
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
        network: (options.net || !options.publish.is_empty()).then(|| Network {
            published: options.publish.clone(),
        }),
        ..Machine::new(arch, options.smp)
    };
    let mut recorder = Recorder::default();
    let file = options.trace_wakeups.as_ref().and_then(Option::as_ref);
    let end = session::hold(
        &machine,
        &kernel,
        &archive,
        &parameters(options),
        source,
        |bytes| match file {
            Some(_) => recorder.take(&bytes),
            None => bytes,
        },
    )?;
    if let Some(file) = file {
        recorder.save(file)?;
    }
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

fn parameters(options: &Options) -> String {
    let mut parameters = format!("log={} crashes", options.log.name());
    if options.trace {
        parameters.push_str(" trace");
    }
    if options.trace_wakeups.is_some() {
        parameters.push_str(" trace_wakeups");
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
