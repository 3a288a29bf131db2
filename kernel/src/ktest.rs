//! In-kernel tests: compiled with feature `ktest`, run by `ktest[=FILTER]` on the command line instead of a program, in a
//! kernel thread of their own. Each module with tests has a list of them, as the system calls have.

use crate::boot::command_line::parameters;
use crate::task::{self, Thread, sched};
use crate::{console, file, fs, mm, pipe, println, time, tty};

/// A name and what must hold.
pub type Test = (&'static str, fn() -> Result<(), &'static str>);

const SUITES: &[&[Test]] = &[
    task::tests::TESTS,
    time::tests::TESTS,
    file::tests::TESTS,
    fs::tests::TESTS,
    mm::tests::TESTS,
    pipe::tests::TESTS,
    tty::tests::TESTS,
];

/// Fails a test with a reason unless the condition holds.
pub fn check(holds: bool, why: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(why) }
}

/// Starts the tests where the command line asks for them; whether it does.
pub fn start() -> bool {
    let asked = parameters().ktest.is_some();
    if asked {
        sched::start(Thread::kernel(run, 0).expect("there is memory for the tests' thread"));
    }
    asked
}

fn run(_: usize) {
    let filter = parameters().ktest.unwrap_or_default();
    let mut failed = 0u32;
    for (name, test) in SUITES
        .iter()
        .copied()
        .flatten()
        .filter(|(name, _)| name.contains(filter))
    {
        match test() {
            Ok(()) => println!("test {name} ... ok"),
            Err(why) => {
                println!("test {name} ... FAILED: {why}");
                failed += 1;
            }
        }
    }
    console::finish(console::End::Exited(u8::from(failed > 0)));
}
