//! What the benchmark programs share. A line of their output is a case's name, the counter's ticks of one operation in the
//! fastest batch and in the median one; figures that are no times say so.
//!
//! Time is the machine's raw counter, which no kernel calibrates. A case runs several batches and the fastest one counts:
//! whatever disturbs a batch only adds to it.

pub mod counter;
mod init;
mod meter;

pub use meter::{Case, Meter};

use std::process::ExitCode;

/// Runs the cases that the arguments name, those that are wanted without being named, or all: `[--list] [CASE...]`.
/// `--profile CASE` repeats one operation until the machine ends.
///
/// As a machine's first process it prepares what a distribution's would have, and powers off at its end.
pub fn run(groups: &[&[Case]], by_default: fn(&str) -> bool) -> ExitCode {
    let first = init::prepare();
    let status = run_cases(groups, by_default);
    if first {
        init::power_off();
    }
    status
}

fn run_cases(groups: &[&[Case]], by_default: fn(&str) -> bool) -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let cases = || groups.iter().copied().flatten();
    if arguments.iter().any(|argument| argument == "--list") {
        cases().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    }
    let profile = arguments.first().is_some_and(|argument| argument == "--profile");
    if profile {
        arguments.remove(0);
    }
    let unknown = arguments
        .iter()
        .find(|argument| !cases().any(|(name, _)| name == argument));
    if let Some(unknown) = unknown {
        eprintln!("there is no case {unknown}");
        return ExitCode::FAILURE;
    }
    for (name, case) in cases() {
        let wanted = if arguments.is_empty() {
            by_default(name)
        } else {
            arguments.iter().any(|argument| argument == name)
        };
        if wanted {
            case(&mut Meter::new(name, profile));
        }
    }
    ExitCode::SUCCESS
}
