//! The test programs of `userspace-tests`: on this computer's Linux first, which is the oracle, then one boot for each on
//! each machine.

use super::boot::Boot;
use super::libtest::{self, Lines};
use super::report::Outcome;
use super::skips::Skips;
use super::{Guests, Plan, label, queue, root_file};
use crate::build::Built;
use crate::console::Stream;
use crate::machine::Machine;
use crate::paths;
use crate::root::{self, Start};
use anyhow::{Context, Result, ensure};
use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The programs, by their name in `src/bin` of `userspace-tests` and `userspace-tests/event-loops`.
const PROGRAMS: &[&str] = &[
    "basic",
    "files",
    "openat2",
    "memory",
    "mapped_files",
    "seals",
    "process",
    "process_memory",
    "limits",
    "capabilities",
    "credentials",
    "unshare",
    "faults",
    "signals",
    "sigio",
    "threads",
    "scheduling",
    "futexes",
    "time",
    "timers_posix",
    "pipes",
    "splice",
    "hostile",
    "leaks",
    "hammer",
    "eventfd",
    "epoll",
    "epoll_targets",
    "epoll_waits",
    "poll",
    "waiters",
    "supervision",
    "timerfd",
    "signalfd",
    "pidfd",
    "inotify",
    "mqueue",
    "select",
    "pointers",
    "terminal",
    "job_control",
    "tcp",
    "udp",
    "socket_filters",
    "socket_options",
    "socket_peeks",
    "netlink",
    "unix_sockets",
    "unix_datagrams",
    "unix_rights",
    "unix_senders",
    "unix_streams",
    "strands",
    "readiness_loop",
    "reactor",
];

/// Programs beside them that are no tests: what `program_outputs`, the suites, the fuzzer and the benchmark run.
const OTHERS: &[&str] = &[
    "batch",
    "bench",
    "die",
    "differ",
    "echo_input",
    "ping_pong",
    "std_hello",
    "tokio_bench",
    "tools",
];

/// Without a word from the program for so long, the test that runs has hung.
const LIMIT: Duration = Duration::from_secs(20);
/// Boots for one program: each hang or crash costs one, and the tests behind it get another.
const BOOTS: usize = 4;

/// A program that nobody lists would never be run.
fn every_program_is_listed() -> Result<()> {
    for folder in ["userspace-tests/src/bin", "userspace-tests/event-loops/src/bin"] {
        let folder = paths::repository().join(folder);
        for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let path = entry?.path();
            let name = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
            ensure!(
                PROGRAMS.contains(&name) || OTHERS.contains(&name),
                "{name} is in no list of xtask/src/test/programs.rs"
            );
        }
    }
    Ok(())
}

/// One program and its tests that were asked for.
struct Suite {
    program: &'static str,
    tests: Vec<String>,
}

pub fn run(plan: &Plan, guests: &Guests) -> Result<()> {
    let skips = Skips::read("skips.txt")?;
    every_program_is_listed()?;
    let mut suites = Vec::new();
    for &program in PROGRAMS {
        let listed = list(&guests.host_programs.join(program))?;
        suites.push(Suite { program, tests: listed });
    }
    for suite in &suites {
        on_host(plan, &skips, suite, &guests.host_programs.join(suite.program));
    }
    let jobs: Vec<(&Machine, &Suite)> = plan
        .machines
        .iter()
        .flat_map(|machine| suites.iter().map(move |suite| (machine, suite)))
        .collect();
    queue::run(
        &jobs,
        |(machine, _)| machine.cpus,
        |(machine, suite)| {
            if let Some((kernel, programs)) = guests.of(machine.arch) {
                on_machine(plan, &skips, suite, machine, kernel, &programs.join(suite.program));
            }
        },
    );
    Ok(())
}

fn list(program: &Path) -> Result<Vec<String>> {
    let output = Command::new(program)
        .arg("--list")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    ensure!(output.status.success(), "{} does not list its tests", program.display());
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_string)
        .collect())
}

/// The tests to run somewhere; those to be skipped are reported so.
fn selected(plan: &Plan, skips: &Skips, suite: &Suite, place: &str) -> Vec<String> {
    let mut selected = Vec::new();
    for test in &suite.tests {
        let name = format!("{place} {}::{test}", suite.program);
        if !plan.wants(&name) {
            continue;
        }
        match skips.reason(place, &format!("{}::{test}", suite.program)) {
            Some(reason) => plan.report.skipped(&name, reason),
            None => selected.push(test.clone()),
        }
    }
    selected
}

/// Follows a program's lines: which tests are done, and what was said since the last one.
struct Progress<'a> {
    plan: &'a Plan<'a>,
    /// Place and program, before a test's name.
    prefix: String,
    left: Vec<String>,
    lines: Lines,
    said: String,
    last: Instant,
}

impl<'a> Progress<'a> {
    fn new(plan: &'a Plan<'a>, place: &str, program: &str, left: Vec<String>) -> Progress<'a> {
        let prefix = format!("{place} {program}");
        Progress {
            plan,
            prefix,
            left,
            lines: Lines::default(),
            said: String::new(),
            last: Instant::now(),
        }
    }

    fn output(&mut self, bytes: &[u8]) {
        for line in self.lines.push(bytes) {
            let result = libtest::parse(&line)
                .and_then(|(test, outcome)| Some((self.left.iter().position(|left| left == test)?, outcome)));
            match result {
                Some((position, outcome)) => {
                    let test = self.left.remove(position);
                    self.done(&test, outcome);
                }
                None => self.said.extend([line.as_str(), "\n"]),
            }
        }
    }

    fn done(&mut self, test: &str, outcome: Outcome) {
        let name = format!("{}::{test}", self.prefix);
        let seconds = self.last.elapsed().as_secs_f64();
        let outcome = match outcome {
            Outcome::Failed(why) => Outcome::Failed(format!("{}{why}", self.said)),
            other => other,
        };
        self.plan.report.add(&name, seconds, outcome);
        self.said.clear();
        self.last = Instant::now();
    }

    /// The program ended: the test that ran then is the one that ended it.
    fn ended(&mut self, reason: &str) {
        if !self.left.is_empty() {
            let test = self.left.remove(0);
            self.done(&test, Outcome::Failed(reason.to_string()));
        }
    }
}

fn on_host(plan: &Plan, skips: &Skips, suite: &Suite, program: &Path) {
    let tests = selected(plan, skips, suite, "host");
    let mut progress = Progress::new(plan, "host", suite.program, tests);
    while !progress.left.is_empty() {
        match host_process(program, &mut progress) {
            Ok(status) => progress.ended(&format!("ended with {status}")),
            Err(error) => return progress.ended(&format!("{error:#}")),
        }
    }
}

fn host_process(program: &Path, progress: &mut Progress) -> Result<ExitStatus> {
    // One pipe for both, so that what a test says stands before its result.
    let (mut reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    let mut timeout = Command::new("timeout");
    timeout
        .args(["--kill-after=1", "60"])
        .arg(program)
        .args(&progress.left)
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    progress.last = Instant::now();
    let mut child = timeout.spawn().context("cannot run it")?;
    drop(timeout);
    let mut buffer = [0; 4096];
    loop {
        match reader.read(&mut buffer).context("cannot read what it says")? {
            0 => return child.wait().context("cannot wait for it"),
            count => progress.output(&buffer[..count]),
        }
    }
}

fn on_machine(plan: &Plan, skips: &Skips, suite: &Suite, machine: &Machine, kernel: &Built, program: &Path) {
    let place = label(machine);
    let tests = selected(plan, skips, suite, &place);
    let mut progress = Progress::new(plan, &place, suite.program, tests);
    for _ in 0..BOOTS {
        if progress.left.is_empty() {
            return;
        }
        progress.last = Instant::now();
        if let Err(error) = boot(suite, machine, kernel, program, &mut progress) {
            progress.ended(&format!("{error:#}"));
        }
    }
    for test in std::mem::take(&mut progress.left) {
        progress.done(
            &test,
            Outcome::Failed(format!("not run: {BOOTS} boots ended in the tests before it")),
        );
    }
}

fn boot(suite: &Suite, machine: &Machine, kernel: &Built, program: &Path, progress: &mut Progress) -> Result<()> {
    let contents = std::fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let start = Start {
        path: &format!("/bin/{}", suite.program),
        contents: &contents,
        arguments: &progress.left,
        environment: &["PATH=/bin".to_string()],
        ..Start::default()
    };
    let root = root::archive(&start);
    let boot = Boot {
        machine,
        kernel,
        root: &root,
        parameters: "",
        input: &[],
        limit: LIMIT,
    };
    let root_file = root_file(&progress.prefix)?;
    let ended = boot.run(&root_file, |stream, bytes| match stream {
        Stream::Output => progress.output(bytes),
        Stream::Firmware | Stream::Error | Stream::Kernel => progress.said.push_str(&String::from_utf8_lossy(bytes)),
    })?;
    progress.ended(&ended.reason());
    Ok(())
}
