//! How long a machine takes to its program, and the memory that is in use then.

use super::Contestant;
use super::history::Measured;
use crate::arch::Arch;
use crate::machine::Machine;
use anyhow::{Context, Result};
use std::path::Path;

/// The case that the program runs: its line is the first that it prints.
const CASE: &str = "memory_used";

/// Boots every kernel so often, by turns, and prints the wall time from QEMU's start to the program's first line.
pub fn print(arch: Arch, contestants: &[&Contestant], program: &Path, boots: usize) -> Result<()> {
    let machine = Machine::new(arch, 1);
    let mut runs: Vec<Vec<f64>> = vec![Vec::new(); contestants.len()];
    let mut memory = vec![None; contestants.len()];
    for _ in 0..boots {
        for (number, contestant) in contestants.iter().enumerate() {
            let mut first = None;
            let take = |measured: Measured, at| {
                first.get_or_insert((measured, at));
            };
            contestant.system.run(&machine, program, &[CASE.to_string()], take)?;
            let (measured, at) = first.with_context(|| format!("{} printed nothing", contestant.name))?;
            runs[number].push(1e3 * at.as_secs_f64());
            memory[number] = measured.best;
        }
    }
    println!(
        "{arch}: milliseconds from QEMU's start to the program's first line, of {boots} boots, and MB in use then"
    );
    println!("{:>10}{:>10}{:>10}{:>10}", "fastest", "median", "slowest", "memory");
    for ((contestant, mut times), memory) in contestants.iter().zip(runs).zip(memory) {
        times.sort_by(f64::total_cmp);
        let [first, median, last] = [0, times.len() / 2, times.len() - 1].map(|place| times[place]);
        let memory = memory.unwrap_or(f64::NAN);
        println!(
            "{first:>10.0}{median:>10.0}{last:>10.0}{memory:>10.1}  {}",
            contestant.name
        );
    }
    Ok(())
}
