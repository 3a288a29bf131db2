//! The programs that published tests call, in one file: `cat`, `echo`, `env`, `false`, `pwd`, `sleep`, `true`, `uname` and
//! `uname -r`, `wc -c`, and of a shell (`sh`, `bash`) as much as `sh -c` needs there: lists, background jobs, quotes, `$0`,
//! descriptors given to others, and `read`, `printf`, `exit`. The name it is executed by says which one it is; its first
//! argument may say something else.

use std::ffi::CStr;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, exit};
use std::time::Duration;
use userspace_tests::checked;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    // SAFETY: the entry is the address of a string that lies above the stack as long as the process runs.
    let path = unsafe { CStr::from_ptr(libc::getauxval(libc::AT_EXECFN) as *const libc::c_char) };
    let path = path.to_string_lossy();
    match path.rsplit('/').next() {
        Some("sh" | "bash") => match arguments.get(1..3) {
            Some([option, script]) if option == "-c" => {
                let name = arguments.get(3).unwrap_or(&arguments[0]);
                ExitCode::from(shell(script, name) as u8)
            }
            _ => failure("only -c SCRIPT"),
        },
        Some(name) => match builtin(name, &arguments) {
            Some(status) => ExitCode::from(status as u8),
            None => failure("no such tool"),
        },
        None => failure("no name"),
    }
}

fn failure(why: &str) -> ExitCode {
    eprintln!("tools: {why}");
    ExitCode::from(127)
}

/// What needs no process of its own; its status, or nothing when it is none of these.
fn builtin(name: &str, arguments: &[String]) -> Option<i32> {
    let first = arguments.get(1).map(String::as_str).unwrap_or_default();
    let done = match name {
        "true" | "disown" => Ok(()),
        "false" => return Some(1),
        "env" => std::env::vars().try_for_each(|(name, value)| say(&format!("{name}={value}\n"))),
        "pwd" => std::env::current_dir().and_then(|path| say(&format!("{}\n", path.display()))),
        "echo" if first == "-n" => say(&arguments[2..].join(" ")),
        "echo" => say(&format!("{}\n", arguments[1..].join(" "))),
        "printf" => say(&first.replace("\\n", "\n")),
        "uname" if first == "-r" => concatenate(&["/proc/sys/kernel/osrelease".into()]),
        "uname" => concatenate(&["/proc/sys/kernel/ostype".into()]),
        "cat" => concatenate(&arguments[1..]),
        "wc" if first == "-c" => copy_to(&mut std::io::sink()).and_then(|count| say(&format!("{count}\n"))),
        "sleep" => {
            std::thread::sleep(Duration::from_secs_f64(first.parse().unwrap_or(0.0)));
            Ok(())
        }
        "read" => read_line(),
        "exit" => exit(first.parse().unwrap_or(0)),
        _ => return None,
    };
    Some(i32::from(done.is_err()))
}

fn say(text: &str) -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.flush()
}

/// Writes the files, or standard input where there are none.
fn concatenate(paths: &[String]) -> std::io::Result<()> {
    let output = &mut std::io::stdout();
    if paths.is_empty() {
        return copy_to(output).map(|_| ());
    }
    for path in paths {
        std::io::copy(&mut std::fs::File::open(path)?, output)?;
    }
    Ok(())
}

fn copy_to(to: &mut impl Write) -> std::io::Result<u64> {
    std::io::copy(&mut std::io::stdin(), to)
}

/// A line of standard input and not a byte more: the rest is for others.
fn read_line() -> std::io::Result<()> {
    // SAFETY: descriptor 0 stays open; dropping is prevented.
    let mut input = std::mem::ManuallyDrop::new(unsafe { <std::fs::File as std::os::fd::FromRawFd>::from_raw_fd(0) });
    let mut byte = [0];
    while byte != *b"\n" {
        input.read_exact(&mut byte)?;
    }
    Ok(())
}

/// One command of a script.
#[derive(Default)]
struct Simple {
    words: Vec<String>,
    /// `N<&M` and `N>&M`.
    given: Vec<(i32, i32)>,
    in_background: bool,
}

/// Runs a script; the status of its last command.
fn shell(script: &str, name: &str) -> i32 {
    let mut status = 0;
    for command in parse(script, name) {
        status = run(&command);
    }
    status
}

fn run(command: &Simple) -> i32 {
    if command.in_background {
        // SAFETY: the one thread of this process forks; the child ends within this function.
        return match unsafe { libc::fork() } {
            0 => exit(execute(command)),
            pid => i32::from(pid < 0),
        };
    }
    execute(command)
}

fn execute(command: &Simple) -> i32 {
    let saved: Vec<(i32, i32)> = command.given.iter().map(|&(to, _)| (to, duplicate(to))).collect();
    for &(to, from) in &command.given {
        // SAFETY: dup2(2) takes numbers; the ones replaced come back below.
        unsafe { libc::dup2(from, to) };
    }
    let status = builtin(&command.words[0], &command.words).unwrap_or_else(|| program(&command.words));
    for (to, copy) in saved {
        // SAFETY: as above; the copy is this function's own.
        unsafe {
            libc::dup2(copy, to);
            libc::close(copy);
        }
    }
    status
}

/// A copy that no program gets.
fn duplicate(fd: i32) -> i32 {
    // SAFETY: fcntl(2) takes numbers.
    checked(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 10) }).unwrap_or(-1)
}

fn program(words: &[String]) -> i32 {
    let mut command = Command::new(&words[0]);
    match command.args(&words[1..]).arg0(&words[0]).status() {
        Ok(status) => status.code().unwrap_or(128),
        Err(error) => {
            eprintln!("{}: {error}", words[0]);
            127
        }
    }
}

/// Commands end at `;`, `&` and the end of a line; `#` where a word could start begins a comment.
fn parse(script: &str, name: &str) -> Vec<Simple> {
    let mut commands = Vec::new();
    let mut command = Simple::default();
    let mut word: Option<String> = None;
    let mut characters = script.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                word.extend(characters.by_ref().take_while(|&next| next != character));
            }
            '#' if word.is_none() => while characters.next_if(|&next| next != '\n').is_some() {},
            '<' | '>' if characters.next_if_eq(&'&').is_some() => {
                let default = if character == '<' { 0 } else { 1 };
                let to = word.take().and_then(|word| word.parse().ok()).unwrap_or(default);
                let from = characters.next().and_then(|digit| digit.to_digit(10)).unwrap_or(0);
                command.given.push((to, from as i32));
            }
            ';' | '&' | '\n' | ' ' => {
                command.words.extend(word.take());
                if character != ' ' && !command.words.is_empty() {
                    command.in_background = character == '&';
                    commands.push(std::mem::take(&mut command));
                }
            }
            '$' if characters.next_if_eq(&'0').is_some() => word.get_or_insert_default().push_str(name),
            other => word.get_or_insert_default().push(other),
        }
    }
    command.words.extend(word);
    if !command.words.is_empty() {
        commands.push(command);
    }
    commands
}
