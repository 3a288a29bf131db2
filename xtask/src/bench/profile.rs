//! `cargo xtask bench --profile CASE`: where the instructions of one operation go, by symbol.
//!
//! The program repeats the operation, each begun by a call of a marked function. QEMU then runs an instruction at a time
//! and logs each one's address; what lies between two marks is an operation. Nothing is sampled, so the counts add up and
//! come out the same in every run.

use super::guest::System;
use crate::console::Event;
use crate::guest::Guest;
use crate::machine::Machine;
use crate::paths;
use crate::symbols::Symbols;
use anyhow::{Context, Result, bail, ensure};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::thread;

/// Operations that the counts are the mean of, unless they are long.
const OPERATIONS: u64 = 20;
/// Instructions after which the running operation is the last one.
const ENOUGH: u64 = 1_000_000;
/// The function that begins an operation.
const MARK: &str = "bench_operation_starts";

/// Instructions by address, over a number of operations.
struct Counts {
    by_address: HashMap<u64, u64>,
    operations: u64,
}

/// Prints the profile of a case, and leaves the counts of single addresses in a file.
pub fn print(system: &System, machine: &Machine, program: &Path, case: &str) -> Result<()> {
    let folder = paths::made("bench")?;
    let (log, monitor) = (folder.join("instructions"), folder.join("monitor"));
    for leftover in [&log, &monitor] {
        // Mostly there is none.
        let _ = std::fs::remove_file(leftover);
    }
    let status = Command::new("mkfifo").arg(&log).status().context("cannot run mkfifo")?;
    ensure!(status.success(), "cannot make a FIFO at {}", log.display());
    let mut qemu = system.qemu(machine, program, &["--profile".to_string(), case.to_string()])?;
    qemu.arg("-D").arg(&log);
    qemu.arg("-chardev").arg(format!(
        "socket,id=monitor,server=on,wait=off,path={}",
        monitor.display()
    ));
    qemu.args(["-mon", "chardev=monitor"]);
    // Whoever opens an end of a FIFO waits for the other: QEMU does when it starts.
    let reader = thread::spawn(move || File::open(log));
    let mut guest = Guest::start(qemu)?;
    let mark = wait_for_mark(&mut guest)?;
    let log = reader.join().ok().context("the log's reader died")??;
    let counts = count(log, &monitor, mark)?;
    drop(guest);

    let mut symbols = Symbols::default();
    if let System::Vigil(kernel) = system {
        symbols.add(&kernel.elf, "", None)?;
    }
    symbols.add(program, "program: ", Some((MARK, mark)))?;
    report(&counts, &symbols);
    let file = folder.join(format!("profile-{}-{case}.txt", machine.arch));
    save(&file, &counts, &symbols).with_context(|| format!("cannot write {}", file.display()))?;
    println!("addresses: {}", file.display());
    Ok(())
}

/// Waits until the program repeats the operation; gives the mark's address.
fn wait_for_mark(guest: &mut Guest) -> Result<u64> {
    let mut said = String::new();
    loop {
        let events = guest.events()?;
        for event in &events {
            if let Event::Bytes(_, bytes) = event {
                said.push_str(&String::from_utf8_lossy(bytes));
            }
        }
        let complete = said.rfind('\n').map_or("", |end| &said[..end]);
        if let Some(address) = complete.lines().find_map(|line| line.strip_prefix("profiling 0x")) {
            return Ok(u64::from_str_radix(address.trim_end(), 16)?);
        }
        if events.is_empty() || events.iter().any(|event| matches!(event, Event::Exit(_))) {
            bail!("the benchmark ended without an operation to profile:\n{said}");
        }
    }
}

/// Lets the machine go on by single instructions and counts them, from one mark to a later one.
fn count(log: File, monitor: &Path, mark: u64) -> Result<Counts> {
    let mut monitor = UnixStream::connect(monitor).context("cannot reach QEMU's monitor")?;
    monitor.write_all(b"stop\nsinglestep on\nlog exec,nochain\ncont\n")?;
    let lines = BufReader::with_capacity(1 << 20, log).lines();
    let mut counts = Counts {
        by_address: HashMap::new(),
        operations: 0,
    };
    let (mut begun, mut instructions) = (false, 0);
    for line in lines {
        let Some(address) = address_of(&line?) else { continue };
        if address == mark {
            let enough = counts.operations == OPERATIONS - 1 || instructions > ENOUGH;
            counts.operations += u64::from(begun);
            if begun && enough {
                return Ok(counts);
            }
            begun = true;
        }
        if begun {
            instructions += 1;
            *counts.by_address.entry(address).or_default() += 1;
        }
    }
    bail!("QEMU ended in the middle of the profile")
}

/// The program counter in a line of QEMU's log: `Trace CPU: HOST [CS/PC/FLAGS/FLAGS] NAME`.
fn address_of(line: &str) -> Option<u64> {
    let (_, bracket) = line.strip_prefix("Trace ")?.split_once('[')?;
    u64::from_str_radix(bracket.split('/').nth(1)?, 16).ok()
}

fn report(counts: &Counts, symbols: &Symbols) {
    let mut by_symbol: HashMap<&str, u64> = HashMap::new();
    for (&address, &count) in &counts.by_address {
        *by_symbol.entry(symbols.name(address)).or_default() += count;
    }
    let mut sorted: Vec<_> = by_symbol.into_iter().collect();
    sorted.sort_by_key(|&(name, count)| (std::cmp::Reverse(count), name));
    let each = |count: u64| count as f64 / counts.operations as f64;
    let all = sorted.iter().map(|(_, count)| count).sum::<u64>();
    println!("{:10.1}  100.0%  one operation, of {}", each(all), counts.operations);
    for (name, count) in sorted {
        println!(
            "{:10.1} {:6.1}%  {name}",
            each(count),
            100.0 * count as f64 / all as f64
        );
    }
}

/// A line for each address: how often an operation comes by, and whose it is.
fn save(file: &Path, counts: &Counts, symbols: &Symbols) -> std::io::Result<()> {
    let mut sorted: Vec<_> = counts.by_address.iter().collect();
    sorted.sort();
    let mut text = String::new();
    for (&address, &count) in sorted {
        let each = count as f64 / counts.operations as f64;
        text.push_str(&format!("{address:#x} {each:.2} {}\n", symbols.name(address)));
    }
    std::fs::write(file, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_lines() {
        let line = "Trace 0: 0x7f1c54000100 [0000000000000000/ffffffff80212340/00200033/ff000001] syscall_entry";
        assert_eq!(address_of(line), Some(0xffff_ffff_8021_2340));
        assert_eq!(address_of("Stopped execution of TB chain before 0x7f1c54000100"), None);
    }
}
