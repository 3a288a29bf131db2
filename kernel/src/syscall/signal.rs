//! Signals: actions, masks, sending, waiting.

use super::Call;
use super::table::{Line, line};
use super::time::read_timespec;
use crate::mm::user;
use crate::task::signal::AlternateStack;
use crate::task::signal::{Action, Info, UNSTOPPABLE, bit};
use crate::task::{Process, Thread, table, with_current};
use crate::time;
use alloc::sync::Arc;
use alloc::vec::Vec;
use event::Unparked;
use libsyscall::abi::signal::*;
use libsyscall::abi::{Errno, nr};

pub const CALLS: &[Line] = &[
    line(nr::RT_SIGACTION, rt_sigaction),
    line(nr::RT_SIGPROCMASK, rt_sigprocmask),
    line(nr::RT_SIGPENDING, rt_sigpending),
    line(nr::RT_SIGSUSPEND, rt_sigsuspend),
    line(nr::RT_SIGTIMEDWAIT, rt_sigtimedwait),
    line(nr::RT_SIGQUEUEINFO, rt_sigqueueinfo),
    line(nr::RT_TGSIGQUEUEINFO, rt_tgsigqueueinfo),
    line(nr::RT_SIGRETURN, rt_sigreturn),
    line(nr::SIGALTSTACK, sigaltstack),
    line(nr::KILL, kill),
    line(nr::TKILL, tkill),
    line(nr::TGKILL, tgkill),
    line(nr::RESTART_SYSCALL, restart_syscall),
    #[cfg(target_arch = "x86_64")]
    line(nr::PAUSE, pause),
];

/// The signal an argument names: EINVAL.
fn signal_of(number: i32) -> Result<u32, Errno> {
    u32::try_from(number)
        .ok()
        .filter(|signal| (1..=SIGNAL_COUNT).contains(signal))
        .ok_or(Errno::EINVAL)
}

fn check_set_size(size: usize) -> Result<(), Errno> {
    if size == SIGSET_SIZE {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}

/// struct sigaction of the kernel: handler, flags, restorer, mask; a word each on both machines.
fn rt_sigaction(call: &mut Call) -> Result<(), Errno> {
    check_set_size(call.arg(3))?;
    let signal = signal_of(call.int(0))?;
    let action = match call.arg(1) {
        0 => None,
        address => {
            let [handler, flags, restorer, mask]: [u64; 4] = user::read(address)?;
            Some(Action {
                handler: handler as usize,
                flags,
                restorer: restorer as usize,
                mask,
            })
        }
    };
    if action.is_some() && bit(signal) & UNSTOPPABLE != 0 {
        return Err(Errno::EINVAL);
    }
    let former = call.thread().process.set_action(signal, action);
    if call.arg(2) != 0 {
        let words = [former.handler as u64, former.flags, former.restorer as u64, former.mask];
        user::write(call.arg(2), &words)?;
    }
    Ok(())
}

fn rt_sigprocmask(call: &mut Call) -> Result<(), Errno> {
    check_set_size(call.arg(3))?;
    let former = call.thread().signals.mask();
    if call.arg(1) != 0 {
        let set: u64 = user::read(call.arg(1))?;
        let mask = match call.int(0) {
            SIG_BLOCK => former | set,
            SIG_UNBLOCK => former & !set,
            SIG_SETMASK => set,
            _ => return Err(Errno::EINVAL),
        };
        call.thread().set_mask(mask);
    }
    if call.arg(2) != 0 {
        user::write(call.arg(2), &former)?;
    }
    Ok(())
}

fn rt_sigpending(call: &mut Call) -> Result<(), Errno> {
    if call.arg(1) > SIGSET_SIZE {
        return Err(Errno::EINVAL);
    }
    let pending = call.thread().process.pending_for(call.thread()) & call.thread().signals.mask();
    user::write_bytes(call.arg(0), &pending.to_le_bytes()[..call.arg(1)])
}

/// Sleeps until a handler has run.
fn sleep_for_handler(thread: &Arc<Thread>) -> Errno {
    while thread.park_until(None) != Unparked::Interrupted {}
    Errno::ERESTARTNOHAND
}

fn rt_sigsuspend(call: &mut Call) -> Result<usize, Errno> {
    check_set_size(call.arg(1))?;
    let mask: u64 = user::read(call.arg(0))?;
    call.thread().begin_temporary_mask(mask);
    let error = sleep_for_handler(call.thread());
    call.thread().end_temporary_mask(true);
    Err(error)
}

#[cfg(target_arch = "x86_64")]
fn pause(call: &mut Call) -> Result<usize, Errno> {
    Err(sleep_for_handler(call.thread()))
}

fn rt_sigtimedwait(call: &mut Call) -> Result<usize, Errno> {
    check_set_size(call.arg(3))?;
    let wanted: u64 = user::read::<u64>(call.arg(0))? & !UNSTOPPABLE;
    let deadline_ns = match call.arg(2) {
        0 => None,
        timeout => Some(time::now_ns().saturating_add(read_timespec(timeout)?)),
    };
    let (thread, process) = (call.thread(), &call.thread().process);
    let taken = loop {
        if let Some(info) = process.take_signal(thread, wanted) {
            break Ok(info);
        }
        thread.set_awaited(wanted);
        let wake = thread.park_until(deadline_ns);
        let info = process.take_signal(thread, wanted);
        thread.set_awaited(0);
        match (info, wake) {
            (Some(info), _) => break Ok(info),
            (None, Unparked::TimedOut) => break Err(Errno::EAGAIN),
            (None, Unparked::Interrupted) => break Err(Errno::EINTR),
            (None, Unparked::Woken) => {}
        }
    };
    let info = taken?;
    if call.arg(1) != 0 {
        user::write_bytes(call.arg(1), &info.to_bytes())?;
    }
    Ok(info.signal as usize)
}

/// A siginfo of the caller's making, for a signal to be named. Only codes that can't be mistaken for the kernel's go to
/// other processes: EPERM.
fn queued_info(call: &Call, address: usize, pid: i32) -> Result<Info, Errno> {
    let mut bytes = [0; SIGINFO_SIZE];
    user::read_bytes(address, &mut bytes)?;
    let info = Info::from_bytes(0, &bytes);
    if (info.code >= 0 || info.code == SI_TKILL) && pid != call.thread().process.pid {
        return Err(Errno::EPERM);
    }
    Ok(info)
}

fn rt_sigqueueinfo(call: &mut Call) -> Result<(), Errno> {
    let pid = call.int(0);
    let info = queued_info(call, call.arg(2), pid)?;
    let process = table::process(pid).ok_or(Errno::ESRCH)?;
    if let Some(signal) = to_send(call, &process, None, call.int(1))? {
        process.queue_signal(signal, Info { signal, ..info }, None)?;
    }
    Ok(())
}

fn rt_tgsigqueueinfo(call: &mut Call) -> Result<(), Errno> {
    let (pid, tid) = (call.int(0), call.int(1));
    if pid <= 0 || tid <= 0 {
        return Err(Errno::EINVAL);
    }
    let info = queued_info(call, call.arg(3), pid)?;
    let thread = table::thread(tid)
        .filter(|thread| thread.process.pid == pid)
        .ok_or(Errno::ESRCH)?;
    if let Some(signal) = to_send(call, &thread.process, Some(&thread), call.int(2))? {
        thread
            .process
            .queue_signal(signal, Info { signal, ..info }, Some(&thread))?;
    }
    Ok(())
}

fn rt_sigreturn(call: &mut Call) -> Result<usize, Errno> {
    call.need_whole_frame()?;
    with_current(|thread| thread.leave_handler(&mut call.frame));
    // All registers come from the signal frame, the result's too.
    Ok(call.frame.result() as usize)
}

/// stack_t: sp, flags (an int and its gap), size.
fn sigaltstack(call: &mut Call) -> Result<(), Errno> {
    let sp = call.frame.sp();
    let old = call.thread().signals.alternate();
    let new: Option<[u64; 3]> = match call.arg(0) {
        0 => None,
        address => Some(user::read(address)?),
    };
    if let Some([base, flags, size]) = new {
        let new = AlternateStack {
            base: base as usize,
            flags: flags as u32,
            size: size as usize,
        };
        call.thread().signals.set_alternate(old.changed(new, sp)?);
    }
    if call.arg(1) != 0 {
        let stack = [old.base as u64, old.shown_flags(sp).into(), old.size as u64];
        user::write(call.arg(1), &stack)?;
    }
    Ok(())
}

/// The signal that `number` sends to a target that is there, a thread of it or the process as its first thread is; 0 sends
/// none and only asks whether it could. EINVAL, EPERM. SIGCONT goes anywhere in the session.
fn to_send(call: &Call, target: &Process, thread: Option<&Thread>, number: i32) -> Result<Option<u32>, Errno> {
    let signal = match number {
        0 => None,
        _ => Some(signal_of(number)?),
    };
    let own = &call.thread().process;
    if core::ptr::eq(&**own, target) || (signal == Some(SIGCONT) && own.session() == target.session()) {
        return Ok(signal);
    }
    let bearer = call.thread().credentials().clone();
    let addressed = thread.map_or_else(|| target.credentials(), Thread::credentials);
    if bearer.may_signal(&addressed) {
        Ok(signal)
    } else {
        Err(Errno::EPERM)
    }
}

fn kill(call: &mut Call) -> Result<(), Errno> {
    let (pid, number) = (call.int(0), call.int(1));
    let own = &call.thread().process;
    let targets: Vec<Arc<Process>> = match pid {
        1.. => table::process(pid).into_iter().collect(),
        0 => table::group(own.group()),
        -1 => table::processes()
            .into_iter()
            .filter(|process| process.pid > 1 && process.pid != own.pid)
            .collect(),
        i32::MIN => return Err(Errno::ESRCH),
        _ => table::group(-pid),
    };
    let mut result = Err(Errno::ESRCH);
    for target in targets {
        match to_send(call, &target, None, number) {
            Ok(signal) => {
                result = Ok(());
                if let Some(signal) = signal {
                    target.send_signal(signal, Info::from_running(signal, SI_USER));
                }
            }
            Err(error) if result.is_err() => result = Err(error),
            Err(_) => {}
        }
    }
    result
}

fn send_to_thread(call: &Call, group: Option<i32>, tid: i32, number: i32) -> Result<(), Errno> {
    if tid <= 0 || group.is_some_and(|group| group <= 0) {
        return Err(Errno::EINVAL);
    }
    let thread = table::thread(tid).ok_or(Errno::ESRCH)?;
    if group.is_some_and(|group| group != thread.process.pid) {
        return Err(Errno::ESRCH);
    }
    if let Some(signal) = to_send(call, &thread.process, Some(&thread), number)? {
        thread
            .process
            .queue_signal(signal, Info::from_running(signal, SI_TKILL), Some(&thread))?;
    }
    Ok(())
}

fn tkill(call: &mut Call) -> Result<(), Errno> {
    send_to_thread(call, None, call.int(0), call.int(1))
}

fn tgkill(call: &mut Call) -> Result<(), Errno> {
    send_to_thread(call, Some(call.int(0)), call.int(1), call.int(2))
}

/// Interrupted calls are taken up again by their own number, so there is never one to restart by this.
fn restart_syscall(_call: &mut Call) -> Result<usize, Errno> {
    Err(Errno::EINTR)
}
