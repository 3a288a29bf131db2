//! The cargo runner: a package's `cargo test` and `cargo run`, on Linux first and then through `cargo xtask runner`.

use super::{Plan, host};
use crate::arch::Arch;
use crate::build;
use crate::{paths, setup, tools};
use anyhow::{Context, Result};
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

/// Arguments of the package's program: ends of each kind.
const RUNS: &[&[&str]] = &[&[], &["0", "two words", ""], &["42"], &["abort"]];
const STATIC: &str = "-C target-feature=+crt-static";
const INPUT: &[u8] = b"a line\nand no newline at the end";

pub fn run(plan: &Plan) -> Result<()> {
    // Another machine's programs would need its whole std built for this one package.
    let Some(arch) = plan.architectures().find(|arch| arch.is_host()) else {
        return Ok(());
    };
    setup::for_running(arch)?;
    build::kernel(arch, plan.profile, build::Kernel::Plain)?;
    tools::build(arch)?;
    host::stream(plan, cargo(arch, "test", None)?, "runner-host")?;
    let runner = runner()?;
    host::stream(plan, cargo(arch, "test", Some(&runner))?, "runner")?;
    for arguments in RUNS {
        let name = format!("runner run::{}", arguments.first().unwrap_or(&"plain"));
        if !plan.wants(&name) {
            continue;
        }
        let start = Instant::now();
        let (on_linux, here) = (report(arch, arguments, None)?, report(arch, arguments, Some(&runner))?);
        let seconds = start.elapsed().as_secs_f64();
        if (&on_linux.stdout, on_linux.status) == (&here.stdout, here.status) {
            plan.report.passed(&name, seconds);
        } else {
            plan.report.failed(&name, seconds, &difference(&on_linux, &here));
        }
    }
    Ok(())
}

fn difference(on_linux: &Output, here: &Output) -> String {
    let shown = |output: &Output| format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stdout));
    let said = String::from_utf8_lossy(&here.stderr);
    format!("{said}\nin Vigil: {}\non Linux: {}", shown(here), shown(on_linux))
}

fn runner() -> Result<String> {
    let xtask = std::env::current_exe().context("cannot tell where this program lies")?;
    Ok(format!("{} runner", xtask.display()))
}

/// Cargo in the package, for `arch`'s Linux, with a runner or without one.
fn cargo(arch: Arch, command: &str, runner: Option<&str>) -> Result<Command> {
    let target = arch.program_target();
    let mut cargo = build::talking_cargo(command);
    cargo
        .current_dir(paths::repository().join("userspace-tests/runner-package"))
        .args(["--target", target])
        .env("CARGO_TARGET_DIR", paths::made("runner-package")?)
        .env("RUSTFLAGS", STATIC)
        .env("RUSTDOCFLAGS", STATIC)
        .env("FOR_THE_RUNNER", "a b");
    if let Some(runner) = runner {
        let name = target.replace('-', "_").to_uppercase();
        cargo.env(format!("CARGO_TARGET_{name}_RUNNER"), runner);
    }
    Ok(cargo)
}

/// What `cargo run` makes of the package's program.
fn report(arch: Arch, arguments: &[&str], runner: Option<&str>) -> Result<Output> {
    let mut cargo = cargo(arch, "run", runner)?;
    let mut child = cargo
        .args(["--bin", "report", "--"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run cargo")?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends without reading it tells by its output.
        let _ = stdin.write_all(INPUT);
    }
    child.wait_with_output().context("cannot wait for cargo")
}
