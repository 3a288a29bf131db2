//! What operations cost, on whatever kernel this runs: `bench [--list] [--profile] [CASE...]`, as
//! [`userspace_tests::bench`] says.

mod calls;
mod memory;
mod network;
mod ping_pong;
mod readiness;
mod scaling;

use std::process::ExitCode;
use userspace_tests::bench::{self, Case};

const GROUPS: &[&[Case]] = &[
    calls::CASES,
    readiness::CASES,
    ping_pong::CASES,
    network::CASES,
    memory::CASES,
    scaling::CASES,
];

fn main() -> ExitCode {
    bench::run(GROUPS, scaling::by_default)
}
