//! What operations cost has not risen: the instructions of a few, which come out the same in every run, beside the figures
//! kept in `costs/`, a file for each machine. Cases whose instructions are mostly libc's are not among them.

use super::Plan;
use crate::bench::{self, history};
use crate::paths;
use anyhow::{Context, Result};
use std::time::Instant;

/// What an operation may cost, of the recorded figure: a change of the kernel elsewhere moves some by a few instructions.
const ALLOWED: f64 = 1.10;

pub fn run(plan: &Plan) -> Result<()> {
    for arch in plan.architectures() {
        let file = format!("xtask/src/test/costs/{arch}.json");
        let recorded = history::read(&paths::repository().join(&file))?;
        let named = |case: &str| format!("{arch} cost::{case}");
        let cases: Vec<String> = recorded.cases.iter().map(|measured| measured.case.clone()).collect();
        let update = format!(
            "cargo xtask bench --arch {arch} --cases {} --save {file}",
            cases.join(",")
        );
        let wanted: Vec<String> = cases.into_iter().filter(|case| plan.wants(&named(case))).collect();
        if wanted.is_empty() {
            continue;
        }
        let start = Instant::now();
        let measured = match bench::counted(arch, &wanted) {
            Ok(measured) => measured,
            Err(error) => {
                let seconds = start.elapsed().as_secs_f64();
                plan.report.failed(&named("all"), seconds, &format!("{error:#}"));
                continue;
            }
        };
        let seconds = start.elapsed().as_secs_f64() / wanted.len() as f64;
        for case in &wanted {
            let name = named(case);
            let before = recorded
                .best(case)
                .with_context(|| format!("{file} has no figure for {case}"))?;
            match measured.best(case) {
                Some(now) if now <= ALLOWED * before => plan.report.passed(&name, seconds),
                Some(now) => {
                    let risen = 100.0 * (now / before - 1.0);
                    let said = format!(
                        "{now:.0} instructions, {risen:.0}% more than {before:.0}; if that is to be, record it:\n{update}"
                    );
                    plan.report.failed(&name, seconds, &said);
                }
                None => plan.report.failed(&name, seconds, "it was not measured"),
            }
        }
    }
    Ok(())
}
