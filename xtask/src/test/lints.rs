//! Formatting and clippy as tests.

use super::Plan;
use crate::lint;
use anyhow::Result;
use std::time::Instant;

pub fn run(plan: &Plan) -> Result<()> {
    for lint in lint::all()? {
        let name = format!("lint {}", lint.name);
        if plan.wants(&name) {
            let start = Instant::now();
            match lint.check()? {
                None => plan.report.passed(&name, start.elapsed().as_secs_f64()),
                Some(complaint) => plan.report.failed(&name, start.elapsed().as_secs_f64(), &complaint),
            }
        }
    }
    Ok(())
}
