//! `cargo xtask runner`: what cargo calls to run a program or a test of any crate inside the kernel.
//!
//! `--print` prints the shell line that has cargo do so. The program then finds what it would find here: its arguments,
//! its environment, its working directory with the package's files, its input; and its output, exit status or signal
//! come back.

use crate::arch::Arch;
use crate::build::{self, Profile};
use crate::console::End;
use crate::cpio::Archive;
use crate::machine::Machine;
use crate::root::{self, Start};
use crate::session::{self, Source};
use crate::{pack, program, setup, tools};
use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, Signal};
use std::path::Path;

#[derive(clap::Args)]
pub struct Options {
    /// Build the kernel and print the line that sets cargo up; the other options become part of it
    #[arg(long)]
    print: bool,
    /// The machine `--print` sets up; a program tells its own
    #[arg(long, default_value = std::env::consts::ARCH)]
    arch: Arch,
    /// CPUs
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    smp: u32,
    /// Memory in MiB; a large program gets more
    #[arg(long, default_value_t = 512)]
    memory: u64,
    /// Use the optimised kernel
    #[arg(long)]
    release: bool,
    /// Show every system call, as strace(1) does
    #[arg(long)]
    trace: bool,
    /// A static Linux program of this computer, with its arguments
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "PROGRAM",
        required_unless_present = "print"
    )]
    program: Vec<String>,
}

/// What a package may bring into the machine.
const FILES_MAX: usize = 64 << 20;

/// Gives the program's exit status. A program that a signal ended ends this process by the same signal.
pub fn command(options: &Options) -> Result<u8> {
    if options.print {
        print(options)?;
        return Ok(0);
    }
    let (path, arguments) = options.program.split_first().context("no program")?;
    match run(options, path, arguments)? {
        End::Exited(status) => Ok(status),
        end @ End::Signalled(signal) => {
            die_by(signal);
            Ok(end.status())
        }
    }
}

fn print(options: &Options) -> Result<()> {
    setup::for_running(options.arch)?;
    build::kernel(options.arch, Profile::of(options.release), build::Kernel::Plain)?;
    tools::build(options.arch)?;
    let xtask = std::env::current_exe().context("cannot tell where this program lies")?;
    let mut runner = format!("{} runner", xtask.display());
    if options.smp != 2 {
        runner.push_str(&format!(" --smp {}", options.smp));
    }
    if options.memory != 512 {
        runner.push_str(&format!(" --memory {}", options.memory));
    }
    if options.release {
        runner.push_str(" --release");
    }
    if options.trace {
        runner.push_str(" --trace");
    }
    let mut settings = Vec::new();
    for libc in ["GNU", "MUSL"] {
        let cargo = format!(
            "CARGO_TARGET_{}_UNKNOWN_LINUX_{libc}",
            options.arch.name().to_uppercase()
        );
        settings.push(format!("{cargo}_RUNNER='{runner}'"));
        if libc == "GNU" {
            // Of musl's programs every one is static.
            for flags in ["RUSTFLAGS", "RUSTDOCFLAGS"] {
                settings.push(format!("{cargo}_{flags}='-C target-feature=+crt-static'"));
            }
        }
        if !options.arch.is_host() {
            settings.push(format!("{cargo}_LINKER={}-linux-gnu-gcc", options.arch));
        }
    }
    println!("export {}", settings.join(" "));
    Ok(())
}

fn run(options: &Options, path: &str, arguments: &[String]) -> Result<End> {
    let (contents, arch) = program::read_any(Path::new(path))?;
    setup::for_running(arch)?;
    let kernel = build::last_kernel(arch, Profile::of(options.release))?;
    let directory = std::env::current_dir().context("cannot tell the working directory")?;
    let archive = root::archive(&Start {
        path,
        contents: &contents,
        arguments,
        environment: &environment(),
        directory: &directory.to_string_lossy(),
        files: &files(arch, &contents, &directory.join(path))?,
        ..Start::default()
    });
    let memory = options.memory.max(session::needed_mib(archive.len()));
    let machine = Machine {
        memory: format!("{memory}M"),
        ..Machine::new(arch, options.smp)
    };
    let trace = if options.trace { "trace" } else { "" };
    session::hold(&machine, &kernel, &archive, trace, Source::of_stdin(), |bytes| bytes)
}

/// This process's environment, but for what names places of this computer that the machine has elsewhere.
fn environment() -> Vec<String> {
    let ours = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| !matches!(name.as_str(), "PATH" | "HOME" | "TMPDIR" | "SHELL"))
        .map(|(name, value)| format!("{name}={value}"));
    ["PATH=/bin:/usr/bin", "HOME=/root"]
        .map(str::to_string)
        .into_iter()
        .chain(ours)
        .collect()
}

/// The package's files, the programs that `program` calls by the paths cargo compiled into it, and the folder for its
/// temporary files; all at the paths they have here. A shell and a few commands, in `/bin`.
fn files(arch: Arch, contents: &[u8], program: &Path) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    tools::pack(&mut archive, &tools::last(arch)?)?;
    // Tests lie in `PROFILE/deps`, the programs of their package in `PROFILE`, temporary files in `tmp` beside that.
    if let Some(profile) = program
        .parent()
        .filter(|folder| folder.ends_with("deps"))
        .and_then(Path::parent)
    {
        for path in pack::sorted(profile)? {
            if contains(contents, path.as_os_str().as_encoded_bytes()) && program::read_any(&path).is_ok() {
                pack::entry(&mut archive, &path, &path.to_string_lossy())?;
            }
        }
        archive.directory(&profile.with_file_name("tmp").to_string_lossy(), 0o755);
    }
    if let Some(package) = std::env::var_os("CARGO_MANIFEST_DIR")
        && !pack_folder(&mut archive, Path::new(&package))?
    {
        eprintln!(
            "vigil: only {} MiB of the files in {} are in the machine",
            FILES_MAX >> 20,
            Path::new(&package).display()
        );
    }
    Ok(archive.finish())
}

/// Packs a folder with all in it but what is built or is git's; whether everything went in.
fn pack_folder(archive: &mut Archive, folder: &Path) -> Result<bool> {
    archive.directory(&folder.to_string_lossy(), 0o755);
    for path in pack::sorted(folder)? {
        let about = path
            .symlink_metadata()
            .with_context(|| format!("cannot look at {}", path.display()))?;
        let is_whole = if about.is_dir() {
            // Every cargo marks its target folder so.
            path.ends_with(".git") || path.join("CACHEDIR.TAG").exists() || pack_folder(archive, &path)?
        } else if archive.len() as u64 + about.len() > FILES_MAX as u64 {
            false
        } else {
            pack::entry(archive, &path, &path.to_string_lossy())?;
            true
        };
        if !is_whole {
            return Ok(false);
        }
    }
    Ok(true)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(bytes, part).is_some()
}

/// Ends this process as the program ended, for a caller that looks. Returns where the signal is one that does not.
fn die_by(signal: u8) {
    let Some(signal) = Signal::from_named_raw(i32::from(signal)) else {
        return;
    };
    // A core of this process would mislead.
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    // Where either fails the exit status tells the same.
    let _ = rustix::process::setrlimit(Resource::Core, none);
    let _ = rustix::process::kill_process(rustix::process::getpid(), signal);
}
