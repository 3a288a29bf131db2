//! `cargo xtask debug`: gdb stops at the program's first instruction, in its `main`, and in the kernel, by their names.

use super::Plan;
use crate::arch::Arch;
use crate::build;
use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a session may take that takes seconds.
const LIMIT: Duration = Duration::from_secs(300);

/// What gdb is told, and what it must then have said.
const COMMANDS: &[&str] = &[
    "bt 1",
    "tbreak main",
    "continue",
    "bt 1",
    "tbreak exit_group",
    "continue",
    "bt",
];
const SAID: &[&str] = &["_start ()", "main ()", "syscall/process.rs", "exit_group"];

pub fn run(plan: &Plan) -> Result<()> {
    for arch in plan.architectures() {
        let name = format!("{arch} debugger::stops_by_name");
        if !plan.wants(&name) {
            continue;
        }
        let start = Instant::now();
        let said = session(plan, arch)?;
        let seconds = start.elapsed().as_secs_f64();
        let missing: Vec<_> = SAID.iter().filter(|words| !said.contains(**words)).collect();
        if missing.is_empty() {
            plan.report.passed(&name, seconds);
        } else {
            plan.report
                .failed(&name, seconds, &format!("{said}\nit did not say {missing:?}"));
        }
    }
    Ok(())
}

/// What gdb said.
fn session(plan: &Plan, arch: Arch) -> Result<String> {
    let program = build::programs(arch, plan.profile)?.join("std_hello");
    let xtask = std::env::current_exe().context("cannot tell where this program lies")?;
    let mut command = Command::new(xtask);
    command.args(["debug", "--arch", arch.name()]);
    for line in COMMANDS {
        command.args(["--ex", line]);
    }
    let child = command
        .arg("--")
        .arg(program)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .context("cannot run xtask")?;
    // gdb waits for ever for a breakpoint that is not met.
    let group = Pid::from_child(&child);
    let (end, ended) = mpsc::channel::<()>();
    thread::spawn(move || {
        if ended.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    });
    let output = child.wait_with_output().context("cannot read what gdb says")?;
    drop(end);
    Ok([output.stdout, output.stderr]
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .concat())
}
