//! Runs a program's tests: all of them, or those named by the arguments. `--list` prints the names.

use std::io::Write;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;

/// A name and what must hold: a test fails by panicking or by returning why.
pub type Test<R = ()> = (&'static str, fn() -> R);

/// What a test returns.
pub trait Verdict {
    /// Why it failed, if it did.
    fn failure(self) -> Option<String>;
}

impl Verdict for () {
    fn failure(self) -> Option<String> {
        None
    }
}

impl Verdict for Result<(), String> {
    fn failure(self) -> Option<String> {
        self.err()
    }
}

/// Fails the test that calls it, with the condition's text, unless the condition holds.
#[macro_export]
macro_rules! check {
    ($condition:expr) => {
        if !$condition {
            return Err(format!("line {}: {}", line!(), stringify!($condition)));
        }
    };
}

/// Fails the test that calls it unless two values are equal.
#[macro_export]
macro_rules! check_eq {
    ($left:expr, $right:expr) => {
        let (left, right) = (&$left, &$right);
        if left != right {
            return Err(format!(
                "line {}: {} is {left:?}, not {right:?}",
                line!(),
                stringify!($left)
            ));
        }
    };
}

/// Makes the list of tests of functions, each under its own name.
#[macro_export]
macro_rules! tests {
    ($($test:ident),* $(,)?) => { &[$((stringify!($test), $test)),*] };
}

/// Panics with this to say that a test means nothing here.
struct Ignored(&'static str);

/// Ends the test as ignored, with the reason.
pub fn ignore(reason: &'static str) -> ! {
    panic::resume_unwind(Box::new(Ignored(reason)))
}

pub fn run<R: Verdict>(tests: &[Test<R>]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        for (name, _) in tests {
            println!("{name}");
        }
        return ExitCode::SUCCESS;
    }
    let mut failed = false;
    for (name, test) in tests {
        if arguments.is_empty() || arguments.iter().any(|argument| argument == name) {
            failed |= !passes(name, *test);
        }
    }
    // As a Rust test binary ends.
    if failed { ExitCode::from(101) } else { ExitCode::SUCCESS }
}

fn passes<R: Verdict>(name: &str, test: fn() -> R) -> bool {
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| test().failure()));
    let (line, passed) = match outcome {
        Ok(None) => ("ok".to_string(), true),
        Ok(Some(why)) => (format!("FAILED: {why}"), false),
        Err(payload) => match payload.downcast_ref::<Ignored>() {
            Some(Ignored(reason)) => (format!("ignored, {reason}"), true),
            // The message is on standard error, where panics write it.
            None => ("FAILED".to_string(), false),
        },
    };
    let mut output = std::io::stdout().lock();
    // A result nobody can read is a failure too.
    writeln!(output, "test {name} ... {line}")
        .and_then(|()| output.flush())
        .is_ok()
        && passed
}
