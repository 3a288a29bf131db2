//! The differences that `cargo xtask fuzz` once found, and random programs of fixed seeds: results in Vigil must be Linux's.

use super::{Guests, Plan, label, queue};
use crate::fuzz::place::{Places, Program};
use crate::fuzz::{self, BATCH};
use crate::machine::Machine;
use crate::paths;
use anyhow::{Context, Result};
use std::time::Instant;

/// Random programs are run for each of these.
const SEEDS: [u64; 2] = [20, 26];

/// What a job runs, and what its test is called.
struct Suite {
    name: String,
    programs: Vec<Program>,
}

pub fn run(plan: &Plan, guests: &Guests) -> Result<()> {
    let kept = kept()?;
    let random = SEEDS.map(|seed| Suite {
        name: format!("random_{seed}"),
        programs: fuzz::programs(seed, 0, BATCH),
    });
    let jobs: Vec<&Machine> = plan.machines.iter().collect();
    queue::run(
        &jobs,
        |machine| machine.cpus,
        |machine| {
            let Some((kernel, programs)) = guests.of(machine.arch) else {
                return;
            };
            let places = Places::new(machine, kernel, &guests.host_programs, programs);
            for program in &kept {
                test(plan, &places, machine, &program.name, std::slice::from_ref(program));
            }
            for suite in &random {
                test(plan, &places, machine, &suite.name, &suite.programs);
            }
        },
    );
    Ok(())
}

/// The programs of `userspace-tests/fuzz`, by their files' names.
fn kept() -> Result<Vec<Program>> {
    let folder = paths::repository().join("userspace-tests/fuzz");
    let mut programs = Vec::new();
    let entries = std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let lines = text.lines().map(str::to_string).collect();
        programs.push(Program { name, lines });
    }
    programs.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(programs)
}

fn test(plan: &Plan, places: &Places, machine: &Machine, name: &str, programs: &[Program]) {
    let name = format!("{} fuzz::{name}", label(machine));
    if !plan.wants(&name) {
        return;
    }
    let start = Instant::now();
    let difference = difference(places, programs);
    let seconds = start.elapsed().as_secs_f64();
    match difference {
        Ok(None) => plan.report.passed(&name, seconds),
        Ok(Some(difference)) => plan.report.failed(&name, seconds, &difference),
        Err(error) => plan.report.failed(&name, seconds, &format!("{error:#}")),
    }
}

/// The first differing program as short as it gets, with its results (`-` Linux, `+` Vigil).
fn difference(places: &Places, programs: &[Program]) -> Result<Option<String>> {
    match fuzz::differing(places, programs)?.first() {
        None => Ok(None),
        Some(program) => {
            let shrunk = fuzz::shrunk(places, program)?;
            Ok(Some(fuzz::compare(places, &shrunk)?.to_string()))
        }
    }
}
