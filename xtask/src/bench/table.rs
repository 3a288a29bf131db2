//! Results for readers.

use super::budgets;
use super::history::{Measured, Record};
use crate::arch::Arch;
use clap::ValueEnum;

/// Prints a line for each case: what it costs, what it may cost, what it costs on Linux and what it cost before.
pub fn print(ours: &Record, linux: Option<&Record>, before: Option<&Record>) {
    let arch = Arch::from_str(&ours.arch, false).unwrap_or(Arch::X86_64);
    println!("{}", ours.system);
    let mut heading = format!("{:28}{:>12}{:>12}", "case", "Vigil", "budget");
    if let Some(linux) = linux {
        println!("{}", linux.system);
        heading.push_str(&format!("{:>12}{:>8}", "Linux", "ratio"));
    }
    if let Some(before) = before {
        println!("before: {}", before.system);
        heading.push_str(&format!("{:>12}{:>9}", "before", "change"));
    }
    println!("{heading}\n{}", "-".repeat(heading.len()));
    for measured in &ours.cases {
        println!("{}", line(arch, measured, linux, before));
    }
}

fn line(arch: Arch, measured: &Measured, linux: Option<&Record>, before: Option<&Record>) -> String {
    let budget = budgets::of(arch, &measured.case, &measured.unit);
    let mut line = format!(
        "{:28}{:>12}{:>12}",
        measured.case,
        optional(measured.best),
        optional(budget)
    );
    let beside = |record: Option<&Record>| record.map(|record| record.best(&measured.case));
    if let Some(linux) = beside(linux) {
        let ratio = linux
            .zip(measured.best)
            .map(|(linux, ours)| format!("{:.2}", ours / linux));
        line.push_str(&format!("{:>12}{:>8}", optional(linux), ratio.unwrap_or_default()));
    }
    if let Some(before) = beside(before) {
        let change = before.zip(measured.best);
        let change = change.map(|(before, now)| format!("{:+.1}%", 100.0 * (now / before - 1.0)));
        line.push_str(&format!("{:>12}{:>9}", optional(before), change.unwrap_or_default()));
    }
    if measured.unit != "ticks" {
        line.push_str(&format!("  {}", measured.unit));
    }
    if let (Some(best), Some(budget)) = (measured.best, budget)
        && best > budget
    {
        line.push_str(&format!("  over by {:.0}%", 100.0 * (best / budget - 1.0)));
    }
    line
}

fn optional(value: Option<f64>) -> String {
    value.map_or("-".to_string(), number)
}

/// No more digits after the point than mean something.
pub fn number(value: f64) -> String {
    if value < 10.0 {
        format!("{value:.2}")
    } else if value < 1000.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}
