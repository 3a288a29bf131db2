//! `cargo xtask fuzz`: random programs over descriptors run on Linux and in Vigil; where the results differ, Linux is right,
//! and the program is shrunk to something that a person can read and `userspace-tests/fuzz` can keep. See docs/fuzzing.md.

mod compare;
mod generate;
mod place;
mod random;
mod shrink;

use crate::arch::Arch;
use crate::build::Profile;
use crate::machine::Machine;
use crate::setup;
use anyhow::Result;
pub use compare::{compare, differing};
pub use place::{Places, Program};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub struct Options {
    /// How long to go on
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Where to start; the same seed gives the same programs
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long, default_value = "x86_64")]
    arch: Arch,
    /// CPUs
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    smp: u32,
    /// Test the optimised kernel
    #[arg(long)]
    release: bool,
    /// Go on after the first difference
    #[arg(long)]
    keep_going: bool,
}

/// Programs of one boot.
const BATCH: u64 = 500;

/// Programs `from..from + count` of a seed.
fn programs(seed: u64, from: u64, count: u64) -> Vec<Program> {
    (from..from + count)
        .map(|number| Program {
            name: format!("{seed}.{number}"),
            lines: generate::program(seed, number),
        })
        .collect()
}

/// Gives the exit status: 1 where something differs.
pub fn command(options: &Options) -> Result<u8> {
    setup::for_running(options.arch)?;
    let (kernel, here, there) = place::build(options.arch, Profile::of(options.release))?;
    let machine = Machine::new(options.arch, options.smp);
    let places = Places::new(&machine, &kernel, here, there);
    let start = Instant::now();
    let mut done = 0;
    let mut found = BTreeSet::new();
    while start.elapsed() < Duration::from_secs(options.seconds) {
        let batch = programs(options.seed, done, BATCH);
        for program in differing(&places, &batch)? {
            println!("program {} differs on {}; shrinking it", program.name, places.label());
            let shrunk = shrunk(&places, program)?;
            if found.insert(kind(&shrunk)) {
                println!("{}", compare(&places, &shrunk)?);
            }
            if !options.keep_going {
                return Ok(1);
            }
        }
        done += BATCH;
        let seconds = start.elapsed().as_secs();
        println!("{done} programs in {seconds} s, {} kinds of differences", found.len());
    }
    Ok(u8::from(!found.is_empty()))
}

/// The program without the numbers in its names: programs alike have the same cause.
fn kind(program: &Program) -> String {
    program
        .lines
        .join("\n")
        .replace(|digit: char| digit.is_ascii_digit(), "")
}

/// The shortest program that differs which can be made of one that does.
pub fn shrunk(places: &Places, program: &Program) -> Result<Program> {
    let lines = shrink::shrink(program.lines.clone(), |candidates| {
        let candidates: Vec<Program> = candidates
            .iter()
            .enumerate()
            .map(|(number, lines)| Program {
                name: number.to_string(),
                lines: lines.clone(),
            })
            .collect();
        let differing = differing(places, &candidates)?;
        Ok(differing.first().and_then(|first| first.name.parse().ok()))
    })?;
    Ok(Program {
        name: program.name.clone(),
        lines,
    })
}
