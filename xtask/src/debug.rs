//! `cargo xtask debug`: gdb on the kernel and the program at once, with the symbols of both, stopped at the program's first
//! instruction.

use crate::arch::Arch;
use crate::build::{self, Kernel, Profile};
use crate::console::End;
use crate::machine::Machine;
use crate::payload::Payload;
use crate::session::{self, Source};
use crate::{program, setup};
use anyhow::{Context, Result, bail, ensure};
use elf::ElfBytes;
use elf::abi::{ET_DYN, PT_LOAD};
use elf::endian::LittleEndian;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

#[derive(clap::Args)]
pub struct Options {
    #[arg(long, default_value = "x86_64")]
    arch: Arch,
    /// CPUs
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    smp: u32,
    /// Optimise the kernel and the demonstration
    #[arg(long)]
    release: bool,
    /// A command for gdb, once the program has stopped at its first instruction; after the last one gdb ends
    #[arg(long, value_name = "COMMAND")]
    ex: Vec<String>,
    #[command(flatten)]
    payload: Payload,
}

/// Where the kernel puts a program that can lie anywhere, when it does not choose by chance (`aslr=off`): two thirds up the
/// user half.
fn program_base(arch: Arch) -> u64 {
    const PAGE: u64 = 4096;
    let user_end: u64 = match arch {
        Arch::X86_64 => 0x0000_7fff_ffff_f000,
        Arch::Aarch64 => 0x0001_0000_0000_0000,
    };
    (user_end / 3 * 2) & !(PAGE - 1)
}

/// What is added to the program's own addresses, and its first instruction.
fn place(bytes: &[u8], arch: Arch) -> Result<(u64, u64)> {
    const PAGE: u64 = 4096;
    let elf = ElfBytes::<LittleEndian>::minimal_parse(bytes)?;
    if elf.ehdr.e_type != ET_DYN {
        return Ok((0, elf.ehdr.e_entry));
    }
    let segments = elf.segments().context("it has no program headers")?;
    let loads = || segments.iter().filter(|segment| segment.p_type == PT_LOAD);
    let alignment = loads().map(|segment| segment.p_align).max().unwrap_or(0).max(PAGE);
    let start = loads().map(|segment| segment.p_vaddr).min().unwrap_or(0) & !(PAGE - 1);
    let bias = program_base(arch).next_multiple_of(alignment) - start;
    Ok((bias, bias + elf.ehdr.e_entry))
}

/// Gives gdb's exit status.
pub fn command(options: &Options) -> Result<u8> {
    let arch = options.arch;
    let profile = Profile::of(options.release);
    setup::for_running(arch)?;
    let gdb = setup::for_debugging()?;
    let path = options.payload.program_file(arch, profile)?;
    let (bias, entry) = place(&program::read(&path, arch)?, arch)?;
    let archive = options.payload.archive(arch, profile, false)?;
    let kernel = build::kernel(arch, profile, Kernel::Plain)?;

    let socket = std::env::temp_dir().join(format!("vigil-gdb-{}", std::process::id()));
    let mut debugger = Command::new(gdb);
    debugger.arg("-q");
    if !options.ex.is_empty() {
        debugger.arg("-batch");
    }
    let mut say = |command: String| {
        debugger.arg("-ex").arg(command);
    };
    say("set pagination off".to_string());
    say("set confirm off".to_string());
    say(format!("file {}", kernel.elf.display()));
    say(format!("add-symbol-file {} -o {bias:#x}", path.display()));
    say(format!("target remote {}", socket.display()));
    say(format!("tbreak *{entry:#x}"));
    say("continue".to_string());
    options.ex.iter().cloned().for_each(&mut say);
    if !options.ex.is_empty() {
        say("detach".to_string());
    }

    let machine = Machine {
        debugger: Some(socket.clone()),
        ..Machine::new(arch, options.smp)
    };
    // Control-C is gdb's.
    signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::new(AtomicBool::new(false)))?;
    let guest =
        thread::spawn(move || session::hold(&machine, &kernel, &archive, "aslr=off", Source::Nothing, |bytes| bytes));
    let status = wait_for(&socket, &guest).and_then(|()| debugger.status().context("cannot run gdb"));
    // The machine, if it still runs, ends with this process.
    let _ = std::fs::remove_file(&socket);
    Ok(status?.code().map_or(1, |code| code as u8))
}

/// Waits until QEMU listens.
fn wait_for(socket: &Path, guest: &thread::JoinHandle<Result<End>>) -> Result<()> {
    const PATIENCE: u32 = 1000;
    for _ in 0..PATIENCE {
        if socket.exists() {
            return Ok(());
        }
        ensure!(!guest.is_finished(), "the machine ended before gdb could reach it");
        thread::sleep(Duration::from_millis(10));
    }
    bail!("QEMU does not listen for gdb")
}
