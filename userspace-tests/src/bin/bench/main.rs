//! What operations cost, on whatever kernel this runs: `bench [--list] [CASE...]`.
//!
//! Time is the machine's raw counter, which no kernel calibrates. A case runs several batches and the fastest one counts:
//! whatever disturbs a batch only adds to it. A line of the result is a case's name, the counter's ticks of one operation
//! in the fastest batch and in the median one; figures that are no times say so. `--profile CASE` repeats one operation
//! until the machine ends.
//!
//! As a machine's first process it prepares what a distribution's would have, and powers off at its end.

mod calls;
mod counter;
mod init;
mod memory;
mod meter;
mod network;
mod ping_pong;
mod readiness;
mod scaling;

use meter::{Case, Meter};
use std::process::ExitCode;

const GROUPS: &[&[Case]] = &[
    calls::CASES,
    readiness::CASES,
    ping_pong::CASES,
    network::CASES,
    memory::CASES,
    scaling::CASES,
];

fn main() -> ExitCode {
    let first = init::prepare();
    let status = run();
    if first {
        init::power_off();
    }
    status
}

fn run() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let cases = || GROUPS.iter().copied().flatten();
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
        eprintln!("bench: there is no case {unknown}");
        return ExitCode::FAILURE;
    }
    for (name, case) in cases() {
        let wanted = if arguments.is_empty() {
            scaling::by_default(name)
        } else {
            arguments.iter().any(|argument| argument == name)
        };
        if wanted {
            case(&mut Meter::new(name, profile));
        }
    }
    ExitCode::SUCCESS
}
