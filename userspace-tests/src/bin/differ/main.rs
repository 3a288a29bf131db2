//! Runs programs of `cargo xtask fuzz` (docs/fuzzing.md): operations on descriptors, one after the other, none of which
//! blocks, each with its result. The same file gives the same text on Linux and in Vigil.
//!
//! `differ FILE` prints a line for each program of the file: its name and a digest of its results. `differ --full FILE`
//! prints the results themselves, so that two machines can be compared line by line.

mod interpreter;
mod memory;
mod words;

use interpreter::{Buffering, Interpreter};
use libsyscall::abi::fcntl::F_DUPFD;
use libsyscall::calls::file;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use userspace_tests::{Status, child};

/// Where a program's results go: above every number its own descriptors get.
const RESULTS_FD: usize = 1000;

struct Program<'a> {
    name: &'a str,
    lines: Vec<&'a str>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (buffering, path) = match &arguments[..] {
        [path] => (Buffering::Whole, path),
        [option, path] if option == "--full" => (Buffering::Lines, path),
        _ => {
            eprintln!("usage: differ [--full] FILE");
            return ExitCode::from(2);
        }
    };
    match std::fs::read_to_string(path).and_then(|text| run_all(&text, buffering)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("differ: {path}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The programs of a file: each begins with `program NAME`. Empty lines and comments are left out.
fn programs(text: &str) -> Vec<Program<'_>> {
    let mut programs: Vec<Program> = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("program ") {
            programs.push(Program {
                name,
                lines: Vec::new(),
            });
        } else if let Some(program) = programs.last_mut()
            && !line.is_empty()
            && !line.starts_with('#')
        {
            program.lines.push(line);
        }
    }
    programs
}

fn run_all(text: &str, buffering: Buffering) -> io::Result<()> {
    for program in programs(text) {
        let name = program.name;
        let mut output = io::stdout().lock();
        if buffering == Buffering::Lines {
            writeln!(output, "program {name}")?;
        }
        let mut digest = Digest::default();
        let status = run(&program, buffering, |results| match buffering {
            Buffering::Lines => output.write_all(results),
            Buffering::Whole => {
                digest.add(results);
                Ok(())
            }
        })?;
        let end = format!("{status:?}\n");
        match buffering {
            Buffering::Lines => write!(output, "{end}")?,
            Buffering::Whole => {
                digest.add(end.as_bytes());
                writeln!(output, "{name} {:016x}", digest.0)?;
            }
        }
        output.flush()?;
    }
    Ok(())
}

/// Runs a program in a process of its own; `take` gets its results as they come.
fn run(program: &Program, buffering: Buffering, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<Status> {
    let (mut results, writer) = io::pipe()?;
    let child = child(|| {
        let writer = writer.as_raw_fd();
        let results_fd = file::fcntl(writer, F_DUPFD, RESULTS_FD).expect("F_DUPFD") as i32;
        // The program's descriptors start at 0, whatever this one has inherited.
        for fd in 0..interpreter::LOOKED_AT.max(writer + 1) {
            let _ = file::close(fd);
        }
        Interpreter::new(&program.lines, results_fd, buffering).run();
        0
    });
    drop(writer);
    let mut buffer = [0; 4096];
    loop {
        match io::Read::read(&mut results, &mut buffer)? {
            0 => return Ok(child.wait()),
            count => take(&buffer[..count])?,
        }
    }
}

/// FNV-1a, 64 bits.
struct Digest(u64);

impl Default for Digest {
    fn default() -> Digest {
        Digest(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}
