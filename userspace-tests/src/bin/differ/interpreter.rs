//! Makes a program's calls, one by one, and says what each gave.

mod calls;

use super::memory::Edge;
use super::words;
use libsyscall::abi::Errno;
use libsyscall::abi::event::PollFd;
use libsyscall::abi::fcntl::{F_DUPFD, F_GETFL, O_NONBLOCK};
use libsyscall::calls::{event, file};
use std::collections::HashMap;
use std::fmt::Write;
use userspace_tests::child;

/// When results are passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buffering {
    /// Line by line: what a crash leaves shows where it was.
    Lines,
    /// When there are many.
    Whole,
}

/// Why a line has no result of a call.
enum Refused {
    Call(Errno),
    /// The line makes no sense.
    NotUnderstood,
    /// The call could sleep for ever: the descriptor has no O_NONBLOCK.
    MightBlock,
}

impl From<Errno> for Refused {
    fn from(errno: Errno) -> Refused {
        Refused::Call(errno)
    }
}

type Outcome = Result<String, Refused>;

/// A descriptor that no name stands for.
const UNBOUND: i32 = -1;
/// Numbers that `look` looks at, from 0 on.
pub const LOOKED_AT: i32 = 64;

pub struct Interpreter<'a> {
    lines: &'a [&'a str],
    names: HashMap<&'a str, i32>,
    results_fd: i32,
    buffering: Buffering,
    results: String,
    edge: Edge,
    /// Bytes written so far, of which each is the low byte of its number.
    written: usize,
}

impl<'a> Interpreter<'a> {
    pub fn new(lines: &'a [&'a str], results_fd: i32, buffering: Buffering) -> Interpreter<'a> {
        // Signals are seen through signalfds only.
        calls::block_signals(&u64::MAX).expect("rt_sigprocmask");
        Interpreter {
            lines,
            names: HashMap::new(),
            results_fd,
            buffering,
            results: String::new(),
            edge: Edge::new(),
            written: 0,
        }
    }

    pub fn run(mut self) {
        self.block(0, self.lines.len());
        self.flush();
    }

    /// Runs the lines from `at` on, up to `end`.
    fn block(&mut self, mut at: usize, end: usize) {
        while at < end {
            let line = self.lines[at];
            at += 1;
            match line {
                "fork" | "hold" => {
                    let inner_end = self.end_of_block(at, end);
                    if line == "fork" {
                        self.fork(at, inner_end);
                    } else {
                        self.hold(at, inner_end);
                    }
                    at = inner_end;
                }
                // The end of a block whose start is not there any more.
                "end" => {}
                _ => {
                    let result = self.line(line);
                    self.say(line, &result);
                }
            }
        }
    }

    /// Where the block ends whose first line is `at`: at its `end`, or with the lines around it.
    fn end_of_block(&self, mut at: usize, end: usize) -> usize {
        let mut depth = 1;
        while at < end {
            match self.lines[at] {
                "fork" | "hold" => depth += 1,
                "end" if depth == 1 => return at,
                "end" => depth -= 1,
                _ => {}
            }
            at += 1;
        }
        end
    }

    /// A child runs the block, while its parent waits.
    fn fork(&mut self, at: usize, end: usize) {
        self.flush();
        let child = child(|| {
            self.block(at, end);
            self.flush();
            0
        });
        let status = format!("{:?}", child.wait());
        self.say("fork", &status);
    }

    /// A child does nothing but have what was open at the start, while its parent runs the block.
    fn hold(&mut self, at: usize, end: usize) {
        self.flush();
        let (ended, end_it) = high_pipe();
        let child = child(|| {
            let _ = file::close(end_it);
            let _ = file::read(ended, &mut [0]);
            0
        });
        let _ = file::close(ended);
        self.block(at, end);
        let _ = file::close(end_it);
        let status = format!("{:?}", child.wait());
        self.say("hold", &status);
    }

    fn say(&mut self, line: &str, result: &str) {
        // A String takes any text.
        let _ = writeln!(self.results, "{line} = {result}");
        const MANY: usize = 2048;
        if self.buffering == Buffering::Lines || self.results.len() > MANY {
            self.flush();
        }
    }

    fn flush(&mut self) {
        // Nobody is left to hear that the results could not be written.
        let _ = file::write_all(self.results_fd, self.results.as_bytes());
        self.results.clear();
    }

    fn line(&mut self, line: &'a str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let outcome = match words.iter().position(|&word| word == "=") {
            Some(at) => self.create(&words[..at], &words[at + 1..]),
            None => self.act(&words),
        };
        match outcome {
            Ok(result) => result,
            Err(Refused::Call(errno)) => errno.name().to_string(),
            Err(Refused::NotUnderstood) => "not understood".to_string(),
            Err(Refused::MightBlock) => "not tried, it might block".to_string(),
        }
    }

    /// `NAMES = CALL`: makes descriptors and names them.
    fn create(&mut self, names: &[&'a str], words: &[&str]) -> Outcome {
        let made = self.make(words)?;
        for (name, &fd) in names.iter().zip(&made) {
            self.names.insert(name, fd);
        }
        Ok(made.iter().map(i32::to_string).collect::<Vec<_>>().join(" "))
    }

    /// A descriptor by its name or number.
    fn fd(&self, word: &str) -> Result<i32, Refused> {
        if word.starts_with(|first: char| first.is_ascii_alphabetic()) {
            return Ok(self.names.get(word).copied().unwrap_or(UNBOUND));
        }
        Ok(number(word)? as i32)
    }

    /// The descriptor, if calls on it do not sleep. One that is not open does not.
    fn unblocking(&self, word: &str) -> Result<i32, Refused> {
        let fd = self.fd(word)?;
        match file::fcntl(fd, F_GETFL, 0) {
            Ok(flags) if flags as u32 & O_NONBLOCK == 0 => Err(Refused::MightBlock),
            _ => Ok(fd),
        }
    }

    /// What poll(2) says of every open descriptor.
    fn look(&self) -> Outcome {
        let mut files: Vec<PollFd> = (0..LOOKED_AT)
            .map(|fd| PollFd {
                fd,
                events: 0x27df,
                revents: 0,
            })
            .collect();
        event::ppoll(&mut files, Some(&mut event::Timespec::default()), None)?;
        let shown = files
            .iter()
            .filter(|file| u32::from(file.revents) & libsyscall::abi::event::EPOLLNVAL == 0)
            .map(|file| format!("{}:{}", file.fd, words::events(u32::from(file.revents))));
        Ok(shown.collect::<Vec<_>>().join(" "))
    }
}

fn number(word: &str) -> Result<i64, Refused> {
    words::number(word).ok_or(Refused::NotUnderstood)
}

fn bits(word: &str) -> Result<u32, Refused> {
    words::bits(word).ok_or(Refused::NotUnderstood)
}

/// A pipe out of the way of a program's own numbers.
fn high_pipe() -> (i32, i32) {
    const FIRST: usize = 1001;
    let (read, write) = file::pipe(0).expect("pipe2");
    let high = |fd| {
        let moved = file::fcntl(fd, F_DUPFD, FIRST).expect("F_DUPFD") as i32;
        let _ = file::close(fd);
        moved
    };
    (high(read), high(write))
}
