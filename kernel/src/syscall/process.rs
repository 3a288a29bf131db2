//! Processes: families, limits, execve(2), waiting.

use super::Call;
use super::path;
use super::system::rusage;
use super::table::{Line, line};
use crate::fs::{self, access};
use crate::mm::user;
use crate::task::credentials::Ids;
use crate::task::process::Limit;
use crate::task::thread::TIMER_SLACK_NS;
use crate::task::wait::{self, Whose};
use crate::task::{Process, execve, exit, kinship, pidfd, table, with_current};
use alloc::format;
use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;
use libsyscall::abi::capability::CAP_SYS_RESOURCE;
use libsyscall::abi::fcntl::{AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, S_IFLNK};
use libsyscall::abi::process::*;
use libsyscall::abi::signal::{SIGCHLD, SIGNAL_COUNT};
use libsyscall::abi::{Errno, nr};

pub const CALLS: &[Line] = &[
    line(nr::GETPID, getpid),
    line(nr::GETPPID, getppid),
    line(nr::GETPGID, getpgid),
    line(nr::SETPGID, setpgid),
    line(nr::GETSID, getsid),
    line(nr::SETSID, setsid),
    #[cfg(target_arch = "x86_64")]
    line(nr::GETPGRP, getpgrp),
    line(nr::EXIT_GROUP, exit_group),
    line(nr::EXECVE, execve),
    line(nr::EXECVEAT, execveat),
    line(nr::WAIT4, wait4),
    line(nr::WAITID, waitid),
    line(nr::PIDFD_OPEN, pidfd_open),
    line(nr::PIDFD_SEND_SIGNAL, pidfd_send_signal),
    line(nr::PIDFD_GETFD, pidfd_getfd),
    line(nr::PRLIMIT64, prlimit64),
    line(nr::GETRLIMIT, getrlimit),
    line(nr::SETRLIMIT, setrlimit),
    line(nr::PRCTL, prctl),
];

fn getpid(call: &mut Call) -> Result<usize, Errno> {
    Ok(call.thread().process.pid as usize)
}

fn getppid(call: &mut Call) -> Result<usize, Errno> {
    Ok(call.thread().process.parent_id() as usize)
}

/// A process by its number or that of one of its threads, 0 for the caller's: ESRCH.
fn target(call: &Call, pid: i32) -> Result<Arc<Process>, Errno> {
    match pid {
        0 => Ok(call.thread().process.clone()),
        pid => match table::process(pid) {
            Some(process) => Ok(process),
            None => table::thread(pid)
                .map(|thread| thread.process.clone())
                .ok_or(Errno::ESRCH),
        },
    }
}

fn getpgid(call: &mut Call) -> Result<usize, Errno> {
    Ok(target(call, call.int(0))?.group() as usize)
}

#[cfg(target_arch = "x86_64")]
fn getpgrp(call: &mut Call) -> Result<usize, Errno> {
    Ok(call.thread().process.group() as usize)
}

fn getsid(call: &mut Call) -> Result<usize, Errno> {
    Ok(target(call, call.int(0))?.session() as usize)
}

fn setpgid(call: &mut Call) -> Result<(), Errno> {
    kinship::set_group(&call.thread().process, call.int(0), call.int(1))
}

fn setsid(call: &mut Call) -> Result<usize, Errno> {
    kinship::new_session(&call.thread().process).map(|session| session as usize)
}

fn exit_group(call: &mut Call) -> Result<usize, Errno> {
    exit::exit_group(call.thread(), call.int(0))
}

fn execve(call: &mut Call) -> Result<usize, Errno> {
    execute(call, AT_FDCWD, call.arg(0), 0, (call.arg(1), call.arg(2)))
}

fn execveat(call: &mut Call) -> Result<usize, Errno> {
    let flags = call.uint(4);
    if flags & !(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0 {
        return Err(Errno::EINVAL);
    }
    execute(call, call.int(0), call.arg(1), flags, (call.arg(2), call.arg(3)))
}

fn execute(
    call: &mut Call,
    directory: i32,
    path: usize,
    flags: u32,
    (arguments, environment): (usize, usize),
) -> Result<usize, Errno> {
    call.need_whole_frame()?;
    let name = user::read_path(path)?;
    let target = path::target_of(&access::current(), call, directory, &name, flags)?;
    let place = target.place().map_err(|_| Errno::EACCES)?.clone();
    if place.stat().kind() == S_IFLNK {
        return Err(Errno::ELOOP);
    }
    let (arguments, environment) = (execve::read_strings(arguments)?, execve::read_strings(environment)?);
    let name = if name.is_empty() {
        format!("/dev/fd/{directory}").into_bytes()
    } else {
        name
    };
    with_current(|thread| execve::execve(thread, &mut call.frame, &place, &name, arguments, environment))
}

fn wait4(call: &mut Call) -> Result<usize, Errno> {
    let options = call.uint(2);
    if options & !(WNOHANG | WUNTRACED | WCONTINUED | WNOTHREAD | WALL | WCLONE) != 0 {
        return Err(Errno::EINVAL);
    }
    let whose = match call.int(0) {
        // -i32::MIN is no process group.
        i32::MIN => return Err(Errno::ESRCH),
        -1 => Whose::Any,
        0 => Whose::Group(call.thread().process.group()),
        group if group < 0 => Whose::Group(-group),
        pid => Whose::Process(pid),
    };
    let Some(told) = wait::wait(call.thread(), whose, options | WEXITED)? else {
        return Ok(0);
    };
    if call.arg(1) != 0 {
        user::write(call.arg(1), &told.wait_status)?;
    }
    if call.arg(3) != 0 {
        user::write(call.arg(3), &rusage(told.usage))?;
    }
    Ok(told.pid as usize)
}

fn waitid(call: &mut Call) -> Result<(), Errno> {
    let told = wait_for_id(call);
    if call.arg(2) != 0 {
        // Without news, and after an error too, the caller finds zeroes where signal and process would stand. Between the
        // two is a gap, which stays as it is.
        let (signal, process) = match told {
            Ok(Some(told)) => ([SIGCHLD as i32, 0, told.code], [told.pid, told.uid as i32, told.status]),
            _ => ([0; 3], [0; 3]),
        };
        user::write(call.arg(2), &signal)?;
        user::write(call.arg(2).wrapping_add(16), &process)?;
    }
    if let Some(told) = told?
        && call.arg(4) != 0
    {
        user::write(call.arg(4), &rusage(told.usage))?;
    }
    Ok(())
}

/// What waitid(2) waits for, and what comes of it. EINVAL, ECHILD, EBADF, EAGAIN, ERESTARTSYS.
fn wait_for_id(call: &Call) -> Result<Option<wait::Told>, Errno> {
    let options = call.uint(3);
    let known = WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED | WNOTHREAD | WALL | WCLONE;
    if options & !known != 0 || options & (WEXITED | WSTOPPED | WCONTINUED) == 0 {
        return Err(Errno::EINVAL);
    }
    let mut nonblocking = false;
    let whose = match call.int(0) {
        P_ALL => Whose::Any,
        P_PID if call.int(1) > 0 => Whose::Process(call.int(1)),
        P_PGID if call.int(1) == 0 => Whose::Group(call.thread().process.group()),
        P_PGID if call.int(1) > 0 => Whose::Group(call.int(1)),
        P_PIDFD if call.int(1) >= 0 => {
            let open = call.file(1)?;
            nonblocking = open.nonblocking();
            Whose::Process(pidfd::child_number(&open)?)
        }
        _ => return Err(Errno::EINVAL),
    };
    if !nonblocking || options & WNOHANG != 0 {
        return wait::wait(call.thread(), whose, options);
    }
    // pidfd_open(2), PIDFD_NONBLOCK.
    match wait::wait(call.thread(), whose, options | WNOHANG)? {
        None => Err(Errno::EAGAIN),
        told => Ok(told),
    }
}

fn pidfd_open(call: &mut Call) -> Result<usize, Errno> {
    pidfd::open(call.thread(), call.int(0), call.uint(1))
}

fn pidfd_send_signal(call: &mut Call) -> Result<(), Errno> {
    // A process's directory in /proc will do too. The whole process is what either stands for here; threads and groups have kill(2) and tgkill(2).
    if call.uint(3) & !PIDFD_SIGNAL_THREAD_GROUP != 0 {
        return Err(Errno::EINVAL);
    }
    let open = call.file(0)?;
    let process = match open.file.place().and_then(fs::proc::process_of) {
        Some(process) => process?,
        None => pidfd::process_of(&open)?,
    };
    pidfd::send_signal(call.thread(), &process, call.uint(1), call.arg(2))
}

fn pidfd_getfd(call: &mut Call) -> Result<usize, Errno> {
    if call.uint(2) != 0 {
        return Err(Errno::EINVAL);
    }
    let open = call.file(0)?;
    let process = pidfd::process_of(&open)?;
    pidfd::take_descriptor(call.thread(), &process, call.int(1))
}

fn resource(number: usize) -> Result<usize, Errno> {
    if number < RLIMIT_COUNT {
        Ok(number)
    } else {
        Err(Errno::EINVAL)
    }
}

fn set_limit(call: &Call, process: &Process, resource: usize, address: usize) -> Result<(), Errno> {
    let [soft, hard]: [u64; 2] = user::read(address)?;
    let privileged = call.thread().credentials().has(CAP_SYS_RESOURCE);
    process.set_limit(resource, Limit { soft, hard }, privileged)
}

/// prlimit(2): another process's limits are for the same user and for user 0. EPERM.
fn may_see_limits(call: &Call, target: &Process) -> Result<(), Errno> {
    if core::ptr::eq(&*call.thread().process, target) {
        return Ok(());
    }
    let (bearer, other) = (call.thread().credentials().clone(), target.credentials());
    let is_same = |own: u32, other: &Ids| other.three().iter().all(|&id| id == own);
    if bearer.has(CAP_SYS_RESOURCE) || is_same(bearer.uid.real, &other.uid) && is_same(bearer.gid.real, &other.gid) {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

fn prlimit64(call: &mut Call) -> Result<(), Errno> {
    let (process, resource) = (target(call, call.int(0))?, resource(call.arg(1))?);
    may_see_limits(call, &process)?;
    let former = process.limit(resource);
    if call.arg(2) != 0 {
        set_limit(call, &process, resource, call.arg(2))?;
    }
    if call.arg(3) != 0 {
        user::write(call.arg(3), &[former.soft, former.hard])?;
    }
    Ok(())
}

fn getrlimit(call: &mut Call) -> Result<(), Errno> {
    let limit = call.thread().process.limit(resource(call.arg(0))?);
    user::write(call.arg(1), &[limit.soft, limit.hard])
}

fn setrlimit(call: &mut Call) -> Result<(), Errno> {
    let resource = resource(call.arg(0))?;
    set_limit(call, &call.thread().process, resource, call.arg(1))
}

fn prctl(call: &mut Call) -> Result<usize, Errno> {
    let thread = call.thread();
    match call.int(0) {
        PR_SET_NAME => {
            let mut name = [0; 16];
            for (index, byte) in name.iter_mut().enumerate().take(15) {
                *byte = user::read(call.arg(1) + index)?;
                if *byte == 0 {
                    break;
                }
            }
            thread.set_name(&name);
            Ok(0)
        }
        PR_GET_NAME => {
            user::write_bytes(call.arg(1), &thread.name_bytes())?;
            Ok(0)
        }
        PR_SET_PDEATHSIG => {
            if call.arg(1) > SIGNAL_COUNT as usize {
                return Err(Errno::EINVAL);
            }
            thread.death_signal.store(call.uint(1), Relaxed);
            Ok(0)
        }
        PR_GET_PDEATHSIG => {
            user::write(call.arg(1), &thread.death_signal.load(Relaxed))?;
            Ok(0)
        }
        // There are no core dumps and no tracers for it to hold off, but for pidfd_getfd(2).
        PR_GET_DUMPABLE => Ok(thread.process.dumpable.load(Relaxed) as usize),
        PR_SET_DUMPABLE if call.arg(1) <= 1 => {
            thread.process.dumpable.store(call.uint(1), Relaxed);
            Ok(0)
        }
        PR_SET_CHILD_SUBREAPER => {
            thread.process.is_subreaper.store(call.arg(1) != 0, Relaxed);
            Ok(0)
        }
        PR_GET_CHILD_SUBREAPER => {
            user::write(call.arg(1), &i32::from(thread.process.is_subreaper.load(Relaxed)))?;
            Ok(0)
        }
        PR_GET_KEEPCAPS..=PR_SET_KEEPCAPS
        | PR_CAPBSET_READ..=PR_CAPBSET_DROP
        | PR_GET_SECUREBITS..=PR_SET_SECUREBITS
        | PR_SET_NO_NEW_PRIVS..=PR_GET_NO_NEW_PRIVS
        | PR_CAP_AMBIENT => super::identity::privileges(call),
        // How late a sleep may end: it is kept, and timers here are never late on purpose.
        PR_GET_TIMERSLACK => Ok(thread.timer_slack_ns.load(Relaxed) as usize),
        PR_SET_TIMERSLACK => {
            let slack_ns = match call.arg(1) as u64 {
                0 => TIMER_SLACK_NS,
                slack_ns => slack_ns,
            };
            thread.timer_slack_ns.store(slack_ns, Relaxed);
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}
