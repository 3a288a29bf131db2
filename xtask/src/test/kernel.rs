//! Tests inside the kernel, one boot for all of them on each machine.

use super::boot::Boot;
use super::libtest::{self, Lines};
use super::{Plan, label, queue, root_file};
use crate::build::{self, Built, Kernel};
use crate::console::Stream;
use crate::machine::Machine;
use crate::{arch::Arch, root};
use anyhow::Result;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);

pub fn run(plan: &Plan) -> Result<()> {
    if !plan.names.is_empty()
        && !plan
            .names
            .iter()
            .any(|name| name.contains("kernel") || name.contains("::"))
    {
        return Ok(());
    }
    let mut kernels: Vec<(Arch, Built)> = Vec::new();
    for arch in plan.architectures() {
        match build::kernel(arch, plan.profile, Kernel::Tests) {
            Ok(kernel) => kernels.push((arch, kernel)),
            Err(error) => plan
                .report
                .failed(&format!("{arch} kernel build"), 0.0, &format!("{error:#}")),
        }
    }
    queue::run(
        &plan.machines,
        |machine| machine.cpus,
        |machine| {
            if let Some((_, kernel)) = kernels.iter().find(|(arch, _)| *arch == machine.arch) {
                on_machine(plan, machine, kernel);
            }
        },
    );
    Ok(())
}

fn on_machine(plan: &Plan, machine: &Machine, kernel: &Built) {
    let prefix = format!("{} kernel", label(machine));
    let boot = Boot {
        machine,
        kernel,
        root: &root::without_program(),
        parameters: "ktest",
        input: &[],
        limit: LIMIT,
    };
    let mut lines = Lines::default();
    let mut last = Instant::now();
    let mut seen = 0;
    let watch = |stream, bytes: &[u8]| {
        if stream != Stream::Kernel {
            return;
        }
        for line in lines.push(bytes) {
            if let Some((test, outcome)) = libtest::parse(&line) {
                seen += 1;
                let name = format!("{prefix}::{test}");
                if plan.wants(&name) {
                    plan.report.add(&name, last.elapsed().as_secs_f64(), outcome);
                }
                last = Instant::now();
            }
        }
    };
    let start = Instant::now();
    let ended = root_file(&prefix).and_then(|root_file| boot.run(&root_file, watch));
    let seconds = start.elapsed().as_secs_f64();
    // The boot itself is a test: that the kernel ran to the end of its tests.
    let name = format!("{prefix}::boot");
    match ended {
        Err(error) => plan.report.failed(&name, seconds, &format!("{error:#}")),
        Ok(ended) if matches!(ended.status, Some(0 | 1)) && seen > 0 => plan.report.passed(&name, seconds),
        Ok(ended) => plan.report.failed(&name, seconds, &ended.said()),
    }
}
