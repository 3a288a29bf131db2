//! The shell as a person finds it: `cargo xtask run --shell` on a pseudoterminal, typed at and looked at.

mod seat;

use super::{Plan, label};
use crate::machine::Machine;
use crate::{build, setup, userland};
use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal};
use seat::Seat;
use std::time::Instant;

type Step = fn(&mut Seat) -> Result<()>;

/// What is done in one session, in this order: each step begins at a prompt on an empty screen, and ends at one.
const STEPS: &[(&str, Step)] = &[
    ("pipeline", pipeline),
    ("redirection", redirection),
    ("substitution", substitution),
    ("command_not_found", command_not_found),
    ("interrupt", interrupt),
    ("stop_and_go_on", stop_and_go_on),
    ("in_the_background", in_the_background),
    ("history", history),
    ("line_editing", line_editing),
    ("killed_by_a_signal", killed_by_a_signal),
    ("script", script),
    ("script_with_an_error", script_with_an_error),
    ("full_file_system", full_file_system),
    ("redis", redis),
    ("state_of_the_machine", state_of_the_machine),
];

pub fn run(plan: &Plan) -> Result<()> {
    let wanted = |machine: &Machine| plan.wants(&format!("{} shell::", label(machine)));
    for machine in plan.machines.iter().filter(|machine| wanted(machine)) {
        setup::for_running(machine.arch)?;
        // What the sessions would build first is no part of their time.
        build::kernel(machine.arch, plan.profile, build::Kernel::Plain)?;
        userland::archive(machine.arch)?;
        session(plan, machine);
        terminated(plan, machine);
        terminal_goes_away(plan, machine);
    }
    Ok(())
}

/// All steps in one boot. What comes after one that failed is not tried: the session is in an unknown state.
fn session(plan: &Plan, machine: &Machine) {
    let place = label(machine);
    let mut seat = None;
    if !report(plan, &format!("{place} shell::prompt"), || {
        let opened = seat.insert(Seat::take(plan, machine)?);
        opened.prompt()
    }) {
        return;
    }
    let Some(mut seat) = seat else { return };
    for (step, act) in STEPS {
        if !report(plan, &format!("{place} shell::{step}"), || {
            seat.clear()?;
            act(&mut seat)?;
            seat.prompt()
        }) {
            return;
        }
    }
    report(plan, &format!("{place} shell::exit"), || {
        seat.type_in("exit 7\r")?;
        let status = seat.end()?;
        ensure!(status.code() == Some(7), "it ended with {status}");
        seat.check_restored()
    });
}

/// A run that is told to end puts the terminal back.
fn terminated(plan: &Plan, machine: &Machine) {
    report(plan, &format!("{} shell::terminated", label(machine)), || {
        let mut seat = Seat::take(plan, machine)?;
        seat.prompt()?;
        ensure!(!seat.is_restored()?, "the terminal is not raw");
        let run = Pid::from_child(seat.run());
        rustix::process::kill_process(run, Signal::TERM).context("cannot end the run")?;
        seat.end()?;
        seat.check_restored()
    });
}

/// A terminal that goes away, with a program in the foreground, ends the session and with it the machine.
fn terminal_goes_away(plan: &Plan, machine: &Machine) {
    report(plan, &format!("{} shell::terminal_goes_away", label(machine)), || {
        let mut seat = Seat::take(plan, machine)?;
        seat.prompt()?;
        start_cat(&mut seat)?;
        seat.leave().map(drop)
    });
}

/// Reports what `test` comes to; whether it passed.
fn report(plan: &Plan, name: &str, test: impl FnOnce() -> Result<()>) -> bool {
    let start = Instant::now();
    let result = test();
    let seconds = start.elapsed().as_secs_f64();
    match &result {
        Ok(()) => plan.report.passed(name, seconds),
        Err(error) => plan.report.failed(name, seconds, &format!("{error:#}")),
    }
    result.is_ok()
}

fn pipeline(seat: &mut Seat) -> Result<()> {
    seat.command("echo one two | tr a-z A-Z | cat")?;
    seat.line("ONE TWO")
}

fn redirection(seat: &mut Seat) -> Result<()> {
    seat.command("echo first > /tmp/lines; echo second >> /tmp/lines; sort -r < /tmp/lines")?;
    seat.line("second")?;
    seat.line("first")?;
    seat.command("ls /nowhere 2> /tmp/error; wc -l < /tmp/error")?;
    seat.line("1")
}

fn substitution(seat: &mut Seat) -> Result<()> {
    seat.command("echo $((6 * 7)) $(basename /a/b) `seq 3 | tail -n 1`")?;
    seat.line("42 b 3")
}

fn command_not_found(seat: &mut Seat) -> Result<()> {
    seat.command("no-such-command; echo \"status $?\"")?;
    seat.line("status 127")?;
    seat.command("false; echo \"status $?\"")?;
    seat.line("status 1")
}

/// Starts cat and sees that it reads. The line before it says that the shell has given the terminal back to programs.
fn start_cat(seat: &mut Seat) -> Result<()> {
    seat.enter("echo started; cat")?;
    seat.line("started")?;
    echoed(seat, "echoed")
}

/// Types a line that shows twice: as it is typed, and from the program that reads it.
fn echoed(seat: &mut Seat, line: &str) -> Result<()> {
    seat.type_in(&format!("{line}\r"))?;
    seat.look("nobody reads", |screen| screen.count(line) == 2)
}

fn interrupt(seat: &mut Seat) -> Result<()> {
    start_cat(seat)?;
    seat.type_in("\x03")?;
    seat.prompt()?;
    seat.command("echo \"status $?\"")?;
    seat.line("status 130")
}

/// A server in the foreground, stopped, gone on in the background, back in the foreground, interrupted. It does not read
/// the terminal: brush lets a job go on before it gives it the terminal, and one that reads by then is stopped again.
fn stop_and_go_on(seat: &mut Seat) -> Result<()> {
    seat.enter("hello-server 8080")?;
    seat.line("listening on 0.0.0.0:8080")?;
    seat.type_in("\x1a")?;
    seat.prompt()?;
    seat.clear()?;
    seat.command("jobs")?;
    seat.look("jobs does not show it", |screen| {
        screen.any(|line| line.contains("Stopped") && line.contains("hello-server"))
    })?;
    seat.command("bg")?;
    seat.command("get http://127.0.0.1:8080/Vigil")?;
    seat.line("Hello, Vigil")?;
    seat.enter("fg")?;
    // The shell names the job that has the terminal now.
    seat.line("hello-server 8080")?;
    seat.type_in("\x03")
}

fn in_the_background(seat: &mut Seat) -> Result<()> {
    seat.command("sleep 0.5 & wait; echo \"waited $?\"")?;
    seat.line("waited 0")
}

fn history(seat: &mut Seat) -> Result<()> {
    seat.command("echo once more")?;
    seat.line("once more")?;
    seat.type_in("\x1b[A")?;
    seat.typed("echo once more")?;
    seat.type_in("\r")?;
    seat.look("it does not run again", |screen| screen.count("once more") == 2)
}

fn line_editing(seat: &mut Seat) -> Result<()> {
    seat.type_in("ecko edited")?;
    seat.typed("ecko edited")?;
    seat.type_in(&"\x1b[D".repeat(8))?;
    seat.typed("eck")?;
    seat.type_in("\x7fh\x1b[F")?;
    seat.typed("echo edited")?;
    seat.type_in("\r")?;
    seat.line("edited")
}

fn killed_by_a_signal(seat: &mut Seat) -> Result<()> {
    seat.command("sh -c 'kill -KILL $$'; echo \"status $?\"")?;
    seat.line("status 137")
}

fn script(seat: &mut Seat) -> Result<()> {
    seat.command("printf '#!/usr/bin/env bash\\nfor i in 1 2 3; do echo line $i; done\\nexit 5\\n' > /tmp/script")?;
    seat.command("chmod +x /tmp/script; /tmp/script; echo \"status $?\"")?;
    seat.line("line 3")?;
    seat.line("status 5")
}

fn script_with_an_error(seat: &mut Seat) -> Result<()> {
    seat.command("printf 'if then\\n' > /tmp/wrong; sh /tmp/wrong; echo \"status $?\"")?;
    seat.look("no word of the error", |screen| {
        screen.any(|line| line.contains("syntax error"))
    })?;
    seat.line("status 2")
}

/// All memory there is in one file; the machine goes on.
fn full_file_system(seat: &mut Seat) -> Result<()> {
    seat.command("cat /dev/zero > /tmp/full; echo \"status $?\"")?;
    seat.look("no word of the full file system", |screen| {
        screen.any(|line| line.contains("No space left on device"))
    })?;
    seat.line("status 1")?;
    seat.command("rm /tmp/full; echo still here > /tmp/room; cat /tmp/room")?;
    seat.line("still here")
}

fn redis(seat: &mut Seat) -> Result<()> {
    seat.command("mini-redis-server &")?;
    seat.command("until mini-redis-cli get key 2> /dev/null; do sleep 0.1; done")?;
    seat.command("mini-redis-cli set key value; mini-redis-cli get key")?;
    seat.line("\"value\"")
}

/// The file that tells who waits for what knows the shell's epoll.
fn state_of_the_machine(seat: &mut Seat) -> Result<()> {
    seat.command("while read l; do case $l in *eventpoll*wait*) echo seen; break;; esac; done < /proc/vigil")?;
    seat.line("seen")
}
