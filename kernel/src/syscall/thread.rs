//! Threads: clone(2) and what a thread is set up with.

use super::Call;
use super::table::{Line, line};
use crate::mm::user;
use crate::task::clone::{self, Wish};
use crate::task::exit;
use core::sync::atomic::Ordering::Relaxed;
use libsyscall::abi::process::*;
#[cfg(target_arch = "x86_64")]
use libsyscall::abi::signal::SIGCHLD;
use libsyscall::abi::{Errno, nr};

pub const CALLS: &[Line] = &[
    line(nr::CLONE, clone),
    line(nr::CLONE3, clone3),
    #[cfg(target_arch = "x86_64")]
    line(nr::FORK, fork),
    #[cfg(target_arch = "x86_64")]
    line(nr::VFORK, vfork),
    line(nr::UNSHARE, unshare),
    line(nr::EXIT, exit),
    line(nr::GETTID, gettid),
    line(nr::SET_TID_ADDRESS, set_tid_address),
    line(nr::RSEQ, not_here),
    #[cfg(target_arch = "x86_64")]
    line(nr::ARCH_PRCTL, arch_prctl),
];

/// Calls that programs probe for and do without: ENOSYS, and nothing to say about it.
fn not_here(_call: &mut Call) -> Result<usize, Errno> {
    Err(Errno::ENOSYS)
}

/// The new thread gets the caller's registers, all of them.
fn make(call: &mut Call, wish: &Wish) -> Result<usize, Errno> {
    call.need_whole_frame()?;
    clone::clone(call.thread(), &call.frame, wish)
}

/// unshare(2) of what threads may share or not: descriptors and directories. EINVAL for everything else. ENOMEM.
fn unshare(call: &mut Call) -> Result<(), Errno> {
    let flags = call.arg(0) as u64;
    if flags & !(CLONE_FILES | CLONE_FS) != 0 {
        return Err(Errno::EINVAL);
    }
    if flags & CLONE_FILES != 0 {
        call.thread().unshare_files()?;
    }
    if flags & CLONE_FS != 0 {
        call.thread().unshare_directories();
    }
    Ok(())
}

/// clone(flags, stack, parent_tid, child_tid, tls) on x86_64; the last two change places on aarch64.
fn clone(call: &mut Call) -> Result<usize, Errno> {
    let (tls, child_tid) = if cfg!(target_arch = "x86_64") { (4, 3) } else { (3, 4) };
    let flags = call.arg(0) as u64;
    let wish = Wish {
        // CLONE_PIDFD and CLONE_PARENT_SETTID share an argument here, and exclude each other.
        flags: flags & u64::from(u32::MAX) & !CSIGNAL,
        exit_signal: (flags & CSIGNAL) as u32,
        stack: call.arg(1),
        tls: call.arg(tls),
        parent_tid: call.arg(2),
        child_tid: call.arg(child_tid),
        pidfd: call.arg(2),
    };
    if wish.flags & CLONE_PIDFD != 0 && wish.flags & (CLONE_PARENT_SETTID | CLONE_DETACHED) != 0 {
        return Err(Errno::EINVAL);
    }
    make(call, &wish)
}

/// struct clone_args: 64-bit words, of which later versions have more.
const CLONE_ARGS_WORDS: usize = 11;

fn clone3(call: &mut Call) -> Result<usize, Errno> {
    // Before the arguments are read: they would be twice.
    call.need_whole_frame()?;
    let size = call.arg(1);
    if size < CLONE_ARGS_SIZE_VER0 {
        return Err(Errno::EINVAL);
    }
    if size > crate::arch::PAGE_SIZE {
        return Err(Errno::E2BIG);
    }
    let words: [u64; CLONE_ARGS_WORDS] = if size >= 8 * CLONE_ARGS_WORDS {
        user::read(call.arg(0))?
    } else {
        let mut words = [0; CLONE_ARGS_WORDS];
        for (index, word) in words.iter_mut().enumerate().take(size / 8) {
            *word = user::read(call.arg(0) + index * 8)?;
        }
        words
    };
    // clone3(2), E2BIG: what is beyond this kernel's knowledge must be zero.
    for index in CLONE_ARGS_WORDS..size / 8 {
        if user::read::<u64>(call.arg(0) + index * 8)? != 0 {
            return Err(Errno::E2BIG);
        }
    }
    let [
        flags,
        pidfd,
        child_tid,
        parent_tid,
        exit_signal,
        stack,
        stack_size,
        tls,
        set_tid,
        set_tid_size,
        _cgroup,
    ] = words;
    if flags & (CSIGNAL | CLONE_DETACHED) != 0 || (stack == 0) != (stack_size == 0) {
        return Err(Errno::EINVAL);
    }
    if flags & (CLONE_THREAD | CLONE_PARENT) != 0 && exit_signal != 0 {
        return Err(Errno::EINVAL);
    }
    if set_tid != 0 || set_tid_size != 0 || exit_signal > CSIGNAL {
        return Err(Errno::EINVAL);
    }
    let wish = Wish {
        flags,
        exit_signal: exit_signal as u32,
        stack: (stack + stack_size) as usize,
        tls: tls as usize,
        parent_tid: parent_tid as usize,
        child_tid: child_tid as usize,
        pidfd: pidfd as usize,
    };
    make(call, &wish)
}

#[cfg(target_arch = "x86_64")]
fn fork(call: &mut Call) -> Result<usize, Errno> {
    let wish = Wish {
        exit_signal: SIGCHLD,
        ..Wish::default()
    };
    make(call, &wish)
}

#[cfg(target_arch = "x86_64")]
fn vfork(call: &mut Call) -> Result<usize, Errno> {
    let wish = Wish {
        flags: CLONE_VM | CLONE_VFORK,
        exit_signal: SIGCHLD,
        ..Wish::default()
    };
    make(call, &wish)
}

fn exit(call: &mut Call) -> Result<usize, Errno> {
    exit::exit_alone(call.thread(), call.int(0))
}

fn gettid(call: &mut Call) -> Result<usize, Errno> {
    Ok(call.thread().tid() as usize)
}

fn set_tid_address(call: &mut Call) -> Result<usize, Errno> {
    call.thread().clear_child_tid.store(call.arg(0), Relaxed);
    Ok(call.thread().tid() as usize)
}

#[cfg(target_arch = "x86_64")]
fn arch_prctl(call: &mut Call) -> Result<(), Errno> {
    const ARCH_SET_FS: i32 = 0x1002;
    const ARCH_GET_FS: i32 = 0x1003;
    match call.int(0) {
        ARCH_SET_FS if call.arg(1) < crate::arch::USER_END => call.thread().arch().set_tls(call.arg(1)),
        // arch_prctl(2): EPERM for an address outside the process's space.
        ARCH_SET_FS => return Err(Errno::EPERM),
        ARCH_GET_FS => user::write(call.arg(1), &(call.thread().arch().tls() as u64))?,
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}
