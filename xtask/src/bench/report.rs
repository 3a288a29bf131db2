//! `cargo xtask bench --report FILE`: a result as one HTML file that needs nothing else: the table, a bar for each case's
//! share of Linux's cost or of its budget, and what one ready of N watched costs over N.

use super::budgets;
use super::history::{Measured, Record};
use super::table::number;
use crate::arch::Arch;
use anyhow::{Context, Result};
use std::fmt::Write;
use std::path::Path;

const STYLE: &str = "body{font:14px sans-serif;margin:2em;max-width:70em}td,th{padding:2px 10px;text-align:right}\
                     td:first-child,th:first-child{text-align:left}tr:nth-child(even){background:#f3f3f3}";
/// Pixels of a bar that is as long as what it is compared with.
const FULL_BAR: f64 = 200.0;
/// Bars end here, whatever the ratio.
const LONGEST: f64 = 1.5;

/// Writes the report on `ours`, beside Linux's result where there is one.
pub fn write(file: &Path, arch: Arch, ours: &Record, linux: Option<&Record>) -> Result<()> {
    std::fs::write(file, page(arch, ours, linux)).with_context(|| format!("cannot write {}", file.display()))
}

fn page(arch: Arch, ours: &Record, linux: Option<&Record>) -> String {
    let against = linux.map_or("the budget", |linux| &linux.system);
    let rows: String = ours.cases.iter().map(|measured| row(arch, measured, linux)).collect();
    let (title, name, curve) = (
        format!("{} on {}", escaped(&ours.system), ours.arch),
        escaped(against),
        curve(ours, linux),
    );
    format!(
        "<!doctype html><meta charset=utf-8><title>{title}</title><style>{STYLE}</style><h1>{title}</h1>\
         <p>Guest instructions of one operation as the program sees them, or the unit beside the case. Bars: the share of \
         {name}; the line is all of it.</p>\
         <table><tr><th>case<th>Vigil<th>Linux<th>budget<th>ratio<th></tr>{rows}</table>\
         <h2>One ready of N watched</h2>{curve}\n"
    )
}

fn row(arch: Arch, measured: &Measured, linux: Option<&Record>) -> String {
    let budget = budgets::of(arch, &measured.case, &measured.unit);
    let theirs = linux.and_then(|linux| linux.best(&measured.case));
    let whole = if linux.is_some() { theirs } else { budget };
    let ratio = measured.best.zip(whole).map(|(ours, whole)| ours / whole);
    let unit = if measured.unit == "ticks" {
        String::new()
    } else {
        format!(" ({})", escaped(&measured.unit))
    };
    let cell = |value: Option<f64>| value.map_or("-".to_string(), number);
    format!(
        "<tr><td>{}{unit}<td>{}<td>{}<td>{}<td>{}<td>{}</tr>\n",
        escaped(&measured.case),
        cell(measured.best),
        cell(theirs),
        cell(budget),
        ratio.map_or("-".to_string(), |ratio| format!("{ratio:.2}")),
        ratio.map_or(String::new(), bar),
    )
}

fn bar(ratio: f64) -> String {
    let (len, all) = (ratio.min(LONGEST) * FULL_BAR, LONGEST * FULL_BAR);
    let colour = if ratio <= 1.0 { "#3a7" } else { "#c64" };
    format!(
        "<svg width={all} height=12><rect width={len:.1} height=12 fill='{colour}'/>\
         <line x1={FULL_BAR} x2={FULL_BAR} y1=0 y2=12 stroke='#000'/></svg>"
    )
}

/// The cost of `ready_of_N` over N, which grows by powers of ten to the right.
fn curve(ours: &Record, linux: Option<&Record>) -> String {
    const WIDTH: f64 = 480.0;
    const HEIGHT: f64 = 200.0;
    let records = [Some(ours), linux];
    let lines: Vec<Vec<(f64, f64)>> = records.into_iter().flatten().map(points).collect();
    let highest = lines.iter().flatten().map(|point| point.1).fold(1.0, f64::max);
    let mut svg = format!("<svg width={} height={}>", WIDTH + 120.0, HEIGHT + 40.0);
    for ((line, colour), name) in lines.iter().zip(["#3a7", "#c64"]).zip(["Vigil", "Linux"]) {
        let mut path = String::new();
        for (index, &(n, cost)) in line.iter().enumerate() {
            // Six powers of ten from one to a million.
            let (x, y) = (20.0 + n.log10() / 6.0 * WIDTH, 20.0 + HEIGHT * (1.0 - cost / highest));
            // Writing to a string does not fail.
            let _ = write!(path, "{}{x:.1} {y:.1}", if index == 0 { "M" } else { "L" });
            let _ = write!(
                svg,
                "<text x={x:.1} y={:.1} font-size=10>{}</text>",
                y - 5.0,
                number(cost)
            );
        }
        let _ = write!(
            svg,
            "<path d='{path}' stroke='{colour}' stroke-width=2 fill=none><title>{name}</title></path>"
        );
    }
    let _ = write!(svg, "<text x=20 y={:.0} font-size=11>N = 1</text>", HEIGHT + 36.0);
    let _ = write!(
        svg,
        "<text x={WIDTH} y={:.0} font-size=11>1,000,000</text></svg>",
        HEIGHT + 36.0
    );
    svg
}

/// (N, cost) of the cases that say so in their name.
fn points(record: &Record) -> Vec<(f64, f64)> {
    let of_case = |measured: &Measured| {
        let n: f64 = measured.case.strip_prefix("ready_of_")?.parse().ok()?;
        Some((n, measured.best?))
    };
    record.cases.iter().filter_map(of_case).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page() {
        let case = |case: &str, best| Measured {
            case: case.to_string(),
            best,
            median: best,
            unit: "ticks".to_string(),
        };
        let cases = vec![case("ready_of_1", Some(600.0)), case("ready_of_1000000", None)];
        let record = Record::new(Arch::X86_64, "Vigil <now>", cases);
        let page = page(Arch::X86_64, &record, Some(&record));
        assert!(page.contains("Vigil &lt;now&gt; on x86_64") && page.contains("<td>1.00<td><svg"));
        assert_eq!(points(&record), [(1.0, 600.0)]);
        assert!(!page.contains("http"));
    }
}
