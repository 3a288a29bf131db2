//! Published crates' own tests, those about what a kernel does; `cargo xtask suite` runs the others too.

use super::Plan;
use crate::machine::Machine;
use crate::suite::{self, Suite};
use anyhow::Result;

/// Test files of tokio, by how their names start.
const TOKIO: &[&str] = &[
    "net", "uds", "udp", "tcp", "unix", "process", "signal", "time", "rt", "sync",
];

/// Names a test of a suite begins with; building one takes too long to do so only to see that no name fits.
const PREFIX: &str = "tokio::";

pub fn run(plan: &Plan) -> Result<()> {
    let named: Vec<String> = plan
        .names
        .iter()
        .filter_map(|name| Some(name.strip_prefix(PREFIX)?.to_string()))
        .collect();
    if named.is_empty() && !plan.names.is_empty() {
        return Ok(());
    }
    let filter = if named.is_empty() {
        TOKIO.iter().map(|name| name.to_string()).collect()
    } else {
        named
    };
    suite::run(Suite::Tokio, plan.report, &machines(plan), plan.profile, &filter)
}

/// One of each kind, that with most CPUs: the programs' tests have been on the others.
fn machines(plan: &Plan) -> Vec<Machine> {
    plan.architectures()
        .filter_map(|arch| {
            let of_kind = plan.machines.iter().filter(|machine| machine.arch == arch);
            of_kind.max_by_key(|machine| machine.cpus).cloned()
        })
        .collect()
}
