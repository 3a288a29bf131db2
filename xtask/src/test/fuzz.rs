//! The differences that `cargo xtask fuzz` once found: results in Vigil must be Linux's.

use super::{Guests, Plan, queue};
use crate::fuzz::{self, Places, Program};
use crate::machine::Machine;
use crate::paths;
use anyhow::{Context, Result};
use std::time::Instant;

pub fn run(plan: &Plan, guests: &Guests) -> Result<()> {
    let kept = kept()?;
    let jobs: Vec<&Machine> = plan.machines.iter().collect();
    queue::run(
        &jobs,
        |machine| machine.cpus,
        |machine| {
            if let Some((kernel, programs)) = guests.of(machine.arch) {
                let places = Places::new(
                    machine,
                    kernel,
                    guests.host_programs.join("differ"),
                    programs.join("differ"),
                );
                run_kept(plan, &places, &kept);
            }
        },
    );
    Ok(())
}

/// All in one boot, and by themselves where that shows a difference.
fn run_kept(plan: &Plan, places: &Places, kept: &[Program]) {
    let name = |program: &Program| format!("{} fuzz::{}", places.label(), program.name);
    let wanted: Vec<Program> = kept
        .iter()
        .filter(|program| plan.wants(&name(program)))
        .cloned()
        .collect();
    let start = Instant::now();
    let together = fuzz::differing(places, &wanted);
    let seconds = start.elapsed().as_secs_f64() / wanted.len() as f64;
    let all_equal = together.is_ok_and(|differing| differing.is_empty());
    for program in &wanted {
        if all_equal {
            plan.report.passed(&name(program), seconds);
        } else {
            test(plan, places, &name(program), std::slice::from_ref(program));
        }
    }
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

fn test(plan: &Plan, places: &Places, name: &str, programs: &[Program]) {
    let start = Instant::now();
    let difference = difference(places, programs);
    let seconds = start.elapsed().as_secs_f64();
    match difference {
        Ok(None) => plan.report.passed(name, seconds),
        Ok(Some(difference)) => plan.report.failed(name, seconds, &difference),
        Err(error) => plan.report.failed(name, seconds, &format!("{error:#}")),
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
