//! Whole programs, those over tokio first of all: standard output and exit status in Vigil must be those on Linux.

use super::boot::Boot;
use super::{Guests, Plan, label, queue, root_file};
use crate::build::Built;
use crate::machine::Machine;
use crate::root::{self, Start};
use anyhow::{Context, Result};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A program with what it is given.
struct Program {
    name: &'static str,
    arguments: &'static [&'static str],
    input: &'static [u8],
    /// What a backtrace that it leaves behind must name.
    crash_at: Option<&'static str>,
}

const fn program(name: &'static str) -> Program {
    Program {
        name,
        arguments: &[],
        input: &[],
        crash_at: None,
    }
}

const PROGRAMS: &[Program] = &[
    Program {
        arguments: &["one", "two three"],
        ..program("hello")
    },
    Program {
        arguments: &["one", "two three", ""],
        ..program("std_hello")
    },
    Program {
        input: b"one\ntwo\x10three\nno newline at the end",
        ..program("echo_input")
    },
    Program {
        arguments: &["abort"],
        crash_at: Some("die.rs:"),
        ..program("die")
    },
    Program {
        arguments: &["segv"],
        crash_at: Some("die.rs:"),
        ..program("die")
    },
    program("demonstration"),
    program("current_thread"),
    program("unix_pair"),
    program("timers"),
    program("idle"),
    program("boost_asio"),
];

/// What the other boards and ways in run; it uses all of a machine.
const ON_EVERY_BOARD: &str = "demonstration";

const LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    output: String,
    status: u8,
}

pub fn run(plan: &Plan, guests: &Guests) -> Result<()> {
    let boards = plan.boards()?;
    let machines = |program: &Program| {
        let boards = if program.name == ON_EVERY_BOARD {
            &boards[..]
        } else {
            &[]
        };
        plan.machines.iter().chain(boards)
    };
    let mut expected = Vec::new();
    for program in PROGRAMS {
        let name = name("host", program);
        let wanted_somewhere = plan.wants(&name) || machines(program).any(|machine| wants(plan, machine, program));
        if !wanted_somewhere {
            continue;
        }
        let start = Instant::now();
        let outcome = on_host(&guests.host_programs.join(program.name), program)?;
        let seconds = start.elapsed().as_secs_f64();
        // A program that panics is no oracle.
        if outcome.status == 101 {
            plan.report.failed(&name, seconds, "it panicked");
        } else if plan.wants(&name) {
            plan.report.passed(&name, seconds);
        }
        expected.push((program, outcome));
    }
    let jobs: Vec<_> = expected
        .iter()
        .flat_map(|(program, outcome)| machines(program).map(move |machine| (machine, *program, outcome)))
        .filter(|(machine, program, _)| wants(plan, machine, program))
        .collect();
    queue::run(
        &jobs,
        |(machine, ..)| machine.cpus,
        |(machine, program, expected)| {
            let Some((kernel, programs)) = guests.of(machine.arch) else {
                return;
            };
            let name = name(&label(machine), program);
            let start = Instant::now();
            let result = on_machine(machine, kernel, &programs.join(program.name), program, &name);
            let seconds = start.elapsed().as_secs_f64();
            match result {
                Err(error) => plan.report.failed(&name, seconds, &format!("{error:#}")),
                Ok((_, said)) if program.crash_at.is_some_and(|place| !said.contains(place)) => {
                    let message = format!("{said}\nthe backtrace does not name {:?}", program.crash_at);
                    plan.report.failed(&name, seconds, &message);
                }
                Ok((outcome, _)) if outcome.as_ref() == Some(*expected) => plan.report.passed(&name, seconds),
                Ok((outcome, said)) => {
                    plan.report
                        .failed(&name, seconds, &difference(expected, outcome.as_ref(), &said));
                }
            }
        },
    );
    Ok(())
}

fn name(place: &str, program: &Program) -> String {
    let mut name = format!("{place} program::{}", program.name);
    if let ("die", [how]) = (program.name, program.arguments) {
        name.push_str(&format!("::{how}"));
    }
    name
}

fn wants(plan: &Plan, machine: &Machine, program: &Program) -> bool {
    plan.wants(&name(&label(machine), program))
}

fn on_host(path: &Path, program: &Program) -> Result<Outcome> {
    let mut child = Command::new(path)
        .args(program.arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot run {}", path.display()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // Most programs end without reading it.
        let _ = stdin.write_all(program.input);
    }
    let output = child
        .wait_with_output()
        .with_context(|| format!("cannot run {}", path.display()))?;
    let status = output
        .status
        .code()
        .or(output.status.signal().map(|signal| 128 + signal))
        .unwrap_or(255);
    Ok(Outcome {
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
        status: status as u8,
    })
}

/// The outcome, if it came to one, and what was said beside the output.
fn on_machine(
    machine: &Machine,
    kernel: &Built,
    path: &Path,
    program: &Program,
    name: &str,
) -> Result<(Option<Outcome>, String)> {
    let contents = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let arguments: Vec<String> = program.arguments.iter().map(|argument| argument.to_string()).collect();
    let start = Start {
        path: &format!("/bin/{}", program.name),
        contents: &contents,
        arguments: &arguments,
        ..Start::default()
    };
    let root = root::archive(&start);
    let boot = Boot {
        machine,
        kernel,
        root: &root,
        parameters: "crashes",
        input: program.input,
        limit: LIMIT,
    };
    let ended = boot.run(&root_file(name)?, |_, _| {})?;
    let outcome = ended.status.map(|status| Outcome {
        output: String::from_utf8_lossy(&ended.output).into_owned(),
        status,
    });
    let said = match &outcome {
        Some(_) => ended.said(),
        None => format!("{}\n{}", String::from_utf8_lossy(&ended.output), ended.said()),
    };
    Ok((outcome, said))
}

fn difference(expected: &Outcome, got: Option<&Outcome>, said: &str) -> String {
    let Some(got) = got else { return said.to_string() };
    if got.output == expected.output {
        return format!("exit status {}, on Linux {}\n{said}", got.status, expected.status);
    }
    format!("{said}\nits output:\n{}\non Linux:\n{}", got.output, expected.output)
}
