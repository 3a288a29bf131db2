//! Results for readers.

use super::budgets;
use super::history::{Measured, Record};
use crate::arch::Arch;
use clap::ValueEnum;

/// Prints a line for each case: what it costs, what it may cost, and what it cost before.
pub fn print(record: &Record, before: Option<&Record>) {
    let arch = Arch::from_str(&record.arch, false).unwrap_or(Arch::X86_64);
    print!("{:28}{:>12}{:>12}", "case", record.commit, "budget");
    if let Some(before) = before {
        print!("{:>12}{:>9}", before.commit, "change");
    }
    println!("\n{}", "-".repeat(if before.is_some() { 73 } else { 52 }));
    for measured in &record.cases {
        let budget = budgets::of(arch, &measured.case, &measured.unit);
        let Some(best) = measured.best else {
            println!("{:28}{:>12}  {}", measured.case, "-", measured.unit);
            continue;
        };
        print!("{:28}{:>12}{:>12}", measured.case, number(best), optional(budget));
        if let Some(before) = before.and_then(|before| before.best(&measured.case)) {
            print!("{:>12}{:>+8.1}%", number(before), 100.0 * (best / before - 1.0));
        }
        println!("{}", remark(measured, best, budget));
    }
}

fn remark(measured: &Measured, best: f64, budget: Option<f64>) -> String {
    let unit = if measured.unit == "ticks" { "" } else { &measured.unit };
    match budget {
        Some(budget) if best > budget => format!("  {unit} over by {:.0}%", 100.0 * (best / budget - 1.0)),
        _ => format!("  {unit}"),
    }
}

fn optional(value: Option<f64>) -> String {
    value.map_or("-".to_string(), number)
}

/// Three digits or more, no more after the point than mean something.
fn number(value: f64) -> String {
    if value < 10.0 {
        format!("{value:.2}")
    } else if value < 1000.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}
