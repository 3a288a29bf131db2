//! The trace of wake-ups: two threads that wake one another a known number of times, and the file for Perfetto that must
//! have every one of them.

use super::boot::Boot;
use super::{Guests, Plan, label, queue, root_file};
use crate::build::Built;
use crate::console::Stream;
use crate::machine::Machine;
use crate::root::{self, Start};
use crate::wakeups::Recorder;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(20);

pub fn run(plan: &Plan, guests: &Guests) -> Result<()> {
    queue::run(
        &plan.machines,
        |machine| machine.cpus,
        |machine| {
            let name = format!("{} wakeups::ping_pong", label(machine));
            let Some((kernel, programs)) = guests.of(machine.arch).filter(|_| plan.wants(&name)) else {
                return;
            };
            let start = Instant::now();
            let outcome = ping_pong(&name, machine, kernel, &programs.join("ping_pong"));
            let seconds = start.elapsed().as_secs_f64();
            match outcome {
                Ok(()) => plan.report.passed(&name, seconds),
                Err(error) => plan.report.failed(&name, seconds, &format!("{error:#}")),
            }
        },
    );
    Ok(())
}

fn ping_pong(name: &str, machine: &Machine, kernel: &Built, program: &Path) -> Result<()> {
    let contents = std::fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let root = root::archive(&Start {
        path: "/bin/ping_pong",
        contents: &contents,
        ..Start::default()
    });
    let boot = Boot {
        machine,
        kernel,
        root: &root,
        parameters: "trace_wakeups",
        input: &[],
        limit: LIMIT,
    };
    let mut recorder = Recorder::default();
    let ended = boot.run(&root_file(name)?, |stream, bytes| {
        if stream == Stream::Kernel {
            recorder.take(bytes);
        }
    })?;
    ensure!(ended.status == Some(0), "{}", ended.said());
    let output = String::from_utf8_lossy(&ended.output);
    let [ping, pong, rounds] = output.lines().collect::<Vec<_>>()[..] else {
        anyhow::bail!("it printed\n{output}");
    };
    let rounds = rounds.parse().context("the number of rounds")?;
    let trace: Value = serde_json::from_str(&recorder.chrome_trace().to_string())?;
    check(&trace, "pong", ping, rounds)?;
    check(&trace, "ping_pong", pong, rounds)
}

/// Whether the trace has so many wake-ups by the thread `waker` that are called `cause`, each with its arrow.
fn check(trace: &Value, waker: &str, cause: &str, rounds: usize) -> Result<()> {
    let events = trace["traceEvents"].as_array().context("no events")?;
    let of_phase = |phase: &'static str| events.iter().filter(move |event| event["ph"] == phase);
    let waker = of_phase("M")
        .find(|event| event["args"]["name"] == waker)
        .with_context(|| format!("no thread is called {waker}"))?;
    let woken: Vec<&Value> = of_phase("X").filter(|event| event["name"] == cause).collect();
    ensure!(
        woken.len() == rounds,
        "{} wake-ups instead of {rounds} by {cause}",
        woken.len()
    );
    for slice in woken {
        let same_place = |arrow: &&Value, thread: &Value| {
            arrow["ts"] == slice["ts"] && arrow["pid"] == thread["pid"] && arrow["tid"] == thread["tid"]
        };
        let end = of_phase("f").find(|arrow| same_place(arrow, slice));
        let start = of_phase("s").find(|arrow| same_place(arrow, waker));
        ensure!(
            end.is_some() && end.map(|end| &end["id"]) == start.map(|start| &start["id"]),
            "no arrow from {waker} to {slice}"
        );
    }
    Ok(())
}
