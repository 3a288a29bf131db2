//! Process 1 of an interactive system: gives the program of its arguments a session with the terminal, waits for orphans,
//! and ends as the program ends.
//!
//! A shell can't be process 1 itself: job control stops no process whose parent is not in its session.

use std::io::{Error, IsTerminal};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("usage: init PROGRAM [ARGUMENT]...");
        return ExitCode::from(2);
    };
    match in_session(Command::new(&program).args(arguments)) {
        Ok(child) => wait_for(child.id() as i32),
        Err(error) => {
            eprintln!("init: {}: {error}", program.display());
            ExitCode::from(127)
        }
    }
}

/// Starts the program as the leader of a session with the terminal, where there is one.
fn in_session(command: &mut Command) -> Result<Child, Error> {
    let has_terminal = std::io::stdin().is_terminal();
    // SAFETY: between fork and exec only two system calls are made.
    unsafe {
        command.pre_exec(move || {
            if libc::setsid() < 0 {
                return Err(Error::last_os_error());
            }
            // The terminal is taken from this process's own session.
            if has_terminal && libc::ioctl(libc::STDIN_FILENO, libc::TIOCSCTTY, 1) < 0 {
                return Err(Error::last_os_error());
            }
            Ok(())
        });
    }
    command.spawn()
}

/// Waits for whatever ends until the session's leader does.
fn wait_for(leader: i32) -> ExitCode {
    loop {
        let mut status = 0;
        // SAFETY: the kernel writes one status.
        let ended = unsafe { libc::wait(&mut status) };
        if ended == leader {
            let signal = libc::WTERMSIG(status);
            return if signal != 0 {
                ExitCode::from(128 + signal as u8)
            } else {
                ExitCode::from(libc::WEXITSTATUS(status) as u8)
            };
        }
        if ended < 0 && Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
            return ExitCode::FAILURE;
        }
    }
}
