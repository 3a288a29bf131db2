//! `cargo xtask run`: boots into a program as if it ran here, with its streams, its input and its exit status.

use crate::arch::Arch;
use crate::build::{self, Kernel, Profile};
use crate::console::{self, Event, Stream};
use crate::guest::{Guest, Input};
use crate::machine::{Board, Machine};
use crate::root::{self, Start};
use crate::terminal::Raw;
use crate::{paths, program, setup};
use anyhow::{Context, Result, bail, ensure};
use std::ffi::OsStr;
use std::io::{ErrorKind, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::thread;

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
    /// A variable for the program's environment
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// A static Linux program of this computer, with its arguments; the demonstration when left out
    #[arg(last = true, value_name = "PROGRAM")]
    program: Vec<String>,
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

/// The status when the machine ends without saying one, as env(1) and its like use for their own failures.
const NO_STATUS: u8 = 125;
/// As a shell shows a program that SIGPIPE ended.
const BROKEN_PIPE: u8 = 128 + 13;

/// Gives the program's exit status.
pub fn command(options: &Options) -> Result<u8> {
    ensure!(
        options.env.iter().all(|variable| variable.contains('=')),
        "--env takes NAME=VALUE"
    );
    let arch = options.arch;
    let profile = Profile::of(options.release);
    setup::for_running(arch)?;

    let (path, arguments) = match options.program.split_first() {
        Some((program, arguments)) => (PathBuf::from(program), arguments),
        None => (build::programs(arch, profile)?.join("demonstration"), &[][..]),
    };
    let contents = program::read(&path, arch)?;
    let name = path
        .file_name()
        .and_then(OsStr::to_str)
        .context("the program's name is not UTF-8")?;
    let mut environment = vec!["PATH=/bin".to_string(), "HOME=/root".to_string()];
    environment.extend(options.env.iter().cloned());
    let archive = root::archive(&Start {
        name,
        contents: &contents,
        arguments,
        environment: &environment,
    });
    enough_memory(&options.memory, archive.len() as u64)?;
    let kernel = build::kernel(arch, profile, Kernel::Plain)?;

    let root_file = paths::made("run")?.join(format!("{}.cpio", std::process::id()));
    std::fs::write(&root_file, archive).with_context(|| format!("cannot write {}", root_file.display()))?;
    let machine = Machine {
        arch,
        cpus: options.smp,
        memory: options.memory.clone(),
        board: options.machine,
        gic: options.gic,
        el2: options.el2,
    };
    let source = Source::of_stdin();
    let qemu = machine.direct(&kernel.boot_file, &root_file, &parameters(options, source));
    let status = attend(Guest::start(qemu)?, source);
    // A leftover costs some disk space only, and hides no result.
    let _ = std::fs::remove_file(&root_file);
    status
}

fn parameters(options: &Options, source: Source) -> String {
    let mut parameters = format!("console=framed log={} stdin={}", options.log.name(), source.parameter());
    if options.trace {
        parameters.push_str(" trace");
    }
    if let Some(seconds) = options.watchdog {
        parameters.push_str(&format!(" watchdog={seconds}"));
    }
    parameters
}

/// The kernel, its tables and the root archive twice (as loaded and as files) must fit.
fn enough_memory(memory: &str, archive: u64) -> Result<()> {
    const KERNEL_MIB: u64 = 40;
    const MIB: u64 = 1 << 20;
    let digits = memory.trim_end_matches(|last: char| last.is_ascii_alphabetic());
    let unit = match &memory[digits.len()..] {
        "" | "M" | "m" => MIB,
        "G" | "g" => MIB << 10,
        "K" | "k" => 1 << 10,
        _ => bail!("--memory takes a size like 512M or 2G, not {memory}"),
    };
    let size = digits
        .parse::<u64>()
        .ok()
        .and_then(|size| size.checked_mul(unit))
        .with_context(|| format!("--memory takes a size like 512M or 2G, not {memory}"))?;
    let needed_mib = KERNEL_MIB + (2 * archive).div_ceil(MIB);
    ensure!(
        size >= needed_mib * MIB,
        "{memory} is too little memory; this program needs --memory {needed_mib}M"
    );
    Ok(())
}

/// What standard input is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Nothing,
    Terminal,
    Bytes,
}

impl Source {
    fn of_stdin() -> Source {
        if std::io::stdin().is_terminal() {
            return Source::Terminal;
        }
        let null = rustix::fs::stat("/dev/null").map(|null| null.st_rdev);
        match rustix::fs::fstat(rustix::stdio::stdin()) {
            Ok(stdin) if null != Ok(stdin.st_rdev) => Source::Bytes,
            _ => Source::Nothing,
        }
    }

    fn parameter(self) -> &'static str {
        match self {
            Source::Nothing => "none",
            Source::Terminal => "tty",
            Source::Bytes => "pipe",
        }
    }
}

/// Passes bytes both ways until the machine ends.
fn attend(mut guest: Guest, source: Source) -> Result<u8> {
    let raw = (source == Source::Terminal).then(Raw::enter).flatten();
    let input = guest.input();
    let listen = || match source {
        Source::Nothing => {}
        // These threads may never see an end of their input; the process ends without them.
        Source::Bytes => drop(thread::spawn(move || forward_bytes(&input))),
        Source::Terminal => drop(thread::spawn(move || forward_keys(&input))),
    };
    let status = show(&mut guest, raw.is_some(), listen);
    guest.stop();
    drop(raw);
    status
}

/// Shows what the guest says until it ends; `listen` is called when it takes input.
fn show(guest: &mut Guest, raw: bool, listen: impl FnOnce()) -> Result<u8> {
    let mut listen = Some(listen);
    loop {
        let events = guest.events()?;
        if events.is_empty() {
            let line_end = if raw { "\r\n" } else { "\n" };
            eprint!("error: the machine stopped without the program's exit status{line_end}");
            return Ok(NO_STATUS);
        }
        for event in events {
            let written = match event {
                Event::Exit(status) => return Ok(status),
                Event::Listening => {
                    if let Some(listen) = listen.take() {
                        listen();
                    }
                    Ok(())
                }
                Event::Bytes(Stream::Output, bytes) => write(&mut std::io::stdout().lock(), &bytes),
                Event::Bytes(Stream::Error, bytes) => write(&mut std::io::stderr().lock(), &bytes),
                // The guest's terminal ends its lines itself; the kernel's lines do not pass through it.
                Event::Bytes(Stream::Kernel, bytes) if raw => {
                    let text = String::from_utf8_lossy(&bytes).replace('\n', "\r\n");
                    write(&mut std::io::stderr().lock(), text.as_bytes())
                }
                Event::Bytes(Stream::Kernel, bytes) => write(&mut std::io::stderr().lock(), &bytes),
            };
            match written {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(BROKEN_PIPE),
                other => other.context("cannot write the program's output")?,
            }
        }
    }
}

fn write(to: &mut impl Write, bytes: &[u8]) -> std::io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}

/// Input that is no terminal: all of it, then its end. A machine that has stopped takes no more.
fn forward_bytes(input: &Input) {
    let mut piece = [0; 4096];
    loop {
        let sent = match std::io::stdin().lock().read(&mut piece) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Ok(0) | Err(_) => {
                let _ = input.send(&console::END_OF_INPUT);
                return;
            }
            Ok(count) => input.send(&console::encode(&piece[..count])),
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Keys go to the guest's terminal, but for control-A, which speaks to the machine: `x` ends it, `d` shows its state.
fn forward_keys(input: &Input) {
    const CONTROL_A: u8 = 1;
    let mut escaped = false;
    let mut key = [0];
    while let Ok(1) = std::io::stdin().lock().read(&mut key) {
        let sent = match (escaped, key[0]) {
            (false, CONTROL_A) => {
                escaped = true;
                continue;
            }
            (true, b'x') => {
                input.end_machine();
                return;
            }
            (true, b'd') => input.send(&console::DUMP),
            (_, byte) => input.send(&console::encode(&[byte])),
        };
        escaped = false;
        if sent.is_err() {
            return;
        }
    }
}
