//! Vigil's commands: `cargo xtask setup | build | run | runner | test | suite | fuzz | bench | debug | image | lint`.

mod arch;
mod backtrace;
mod bench;
mod build;
mod console;
mod cpio;
mod debug;
mod fuzz;
mod guest;
mod image;
mod limine;
mod lint;
mod machine;
mod media;
mod network;
mod pack;
mod paths;
mod payload;
mod program;
mod progress;
mod root;
mod run;
mod runner;
mod session;
mod setup;
mod suite;
mod symbols;
mod terminal;
mod test;
mod tools;
mod unwind;
mod userland;
mod wakeups;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "Builds, runs and tests Vigil")]
pub struct Command {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Fetch what building and running needs; the other commands do it themselves when something is missing
    Setup,
    /// Build the kernel and the programs
    Build(build::Options),
    /// Boot a machine into a shell, a static Linux program, or the demonstration
    Run(run::Options),
    /// Run a program for cargo: `--print` says how to set it up
    Runner(runner::Options),
    /// Run every test, on this computer and in QEMU
    Test(test::Options),
    /// Measure what operations cost
    Bench(bench::Options),
    /// Run random programs on Linux and in Vigil, and shrink what differs
    Fuzz(fuzz::Options),
    /// Debug the kernel and a program with gdb
    Debug(debug::Options),
    /// Make boot media with a Limine release
    Image(media::Options),
    /// Run a published crate's own tests, on Linux and in Vigil
    Suite(suite::Options),
    /// Check formatting, and clippy with warnings denied
    Lint,
}

fn main() -> ExitCode {
    let outcome = match Command::parse().task {
        Task::Setup => setup::all().map(|()| 0),
        Task::Build(options) => build::command(&options).map(|()| 0),
        Task::Run(options) => run::command(&options),
        Task::Runner(options) => runner::command(&options),
        Task::Test(options) => test::command(&options),
        Task::Bench(options) => bench::command(&options).map(|()| 0),
        Task::Fuzz(options) => fuzz::command(&options),
        Task::Debug(options) => debug::command(&options),
        Task::Image(options) => media::command(&options).map(|()| 0),
        Task::Suite(options) => suite::command(&options),
        Task::Lint => lint::command().map(|()| 0),
    };
    match outcome {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
