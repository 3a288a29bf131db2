//! The first process of a boot that runs many programs, one after the other: what `cargo xtask suite` boots into.
//!
//! `/batch` has a line for each program: the user it runs as, its path and arguments, apart by spaces. Around a program's
//! own output stand a line that says its number and, when it has ended, one with its status as wait(2) gives it. What a
//! program leaves behind is killed and waited for before the next one starts.

use libsyscall::abi::Errno;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::Command;
use userspace_tests::checked;

fn main() -> std::io::Result<()> {
    let list = std::fs::read_to_string("/batch")?;
    for (number, line) in list.lines().enumerate() {
        say(format_args!("batch start {number}"))?;
        let mut words = line.split(' ');
        let user = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        let program = words.next().unwrap_or_default();
        let status = match Command::new(program).args(words).uid(user).gid(user).spawn() {
            Ok(child) => wait_for(child.id() as i32)?,
            Err(error) => {
                eprintln!("{program}: {error}");
                127 << 8
            }
        };
        end_leftovers()?;
        say(format_args!("\nbatch end {number} {status}"))?;
    }
    Ok(())
}

fn say(text: std::fmt::Arguments) -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{text}")?;
    output.flush()
}

/// The wait status of child `pid`. Orphans that end meanwhile are this process's to wait for.
fn wait_for(pid: i32) -> std::io::Result<i32> {
    loop {
        let mut status = 0;
        // SAFETY: `status` is written during the call only.
        let ended = checked(unsafe { libc::waitpid(-1, &mut status, 0) });
        match ended {
            Ok(ended) if ended == pid => return Ok(status),
            Ok(_) => {}
            Err(error) => return Err(std::io::Error::from_raw_os_error(error.number() as i32)),
        }
    }
}

/// Kills every other process and waits until the last has gone.
fn end_leftovers() -> std::io::Result<()> {
    // SAFETY: kill(2) takes two numbers. It fails where nobody is left.
    unsafe { libc::kill(-1, libc::SIGKILL) };
    loop {
        // SAFETY: a null status is not written.
        match checked(unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) }) {
            Ok(_) => {}
            Err(Errno::ECHILD) => return Ok(()),
            Err(error) => return Err(std::io::Error::from_raw_os_error(error.number() as i32)),
        }
    }
}
