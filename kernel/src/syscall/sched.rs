//! Scheduling: sched_*(2), priorities, getcpu(2).

use super::Call;
use super::table::{Line, line};
use super::time::write_timespec;
use crate::mm::user;
use crate::task::{Process, Thread, sched, table};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use libsyscall::abi::capability::CAP_SYS_NICE;
use libsyscall::abi::{Errno, nr};

pub const CALLS: &[Line] = &[
    line(nr::SCHED_YIELD, sched_yield),
    line(nr::SCHED_GETAFFINITY, sched_getaffinity),
    line(nr::SCHED_SETAFFINITY, sched_setaffinity),
    line(nr::SCHED_GETSCHEDULER, sched_getscheduler),
    line(nr::SCHED_SETSCHEDULER, sched_setscheduler),
    line(nr::SCHED_GETPARAM, sched_getparam),
    line(nr::SCHED_SETPARAM, sched_setparam),
    line(nr::SCHED_RR_GET_INTERVAL, sched_rr_get_interval),
    line(nr::SCHED_GET_PRIORITY_MAX, sched_get_priority_max),
    line(nr::SCHED_GET_PRIORITY_MIN, sched_get_priority_min),
    line(nr::GETPRIORITY, getpriority),
    line(nr::SETPRIORITY, setpriority),
    line(nr::GETCPU, getcpu),
];

const SCHED_OTHER: usize = 0;
const SCHED_FIFO: usize = 1;
const SCHED_RR: usize = 2;
const SCHED_BATCH: usize = 3;
const SCHED_IDLE: usize = 5;
/// The highest priority of the real-time policies.
const MAX_PRIORITY: i32 = 99;

/// A thread by number, 0 for the caller.
fn target(call: &Call, tid: i32) -> Result<Arc<Thread>, Errno> {
    let caller = call.thread();
    match tid {
        _ if tid == 0 || tid == caller.tid() => Ok(caller.clone()),
        ..0 => Err(Errno::EINVAL),
        _ => table::thread(tid).ok_or(Errno::ESRCH),
    }
}

fn sched_yield(_call: &mut Call) -> Result<(), Errno> {
    sched::yield_now();
    Ok(())
}

/// Whose mask a call names: ESRCH, for a negative number too.
fn bearer_of_mask(call: &Call) -> Result<Arc<Thread>, Errno> {
    let tid = call.int(0);
    if tid < 0 { Err(Errno::ESRCH) } else { target(call, tid) }
}

/// Gives back the size of the kernel's mask in bytes, as the raw call does.
fn sched_getaffinity(call: &mut Call) -> Result<usize, Errno> {
    if call.arg(1) < size_of::<u64>() || !call.arg(1).is_multiple_of(size_of::<u64>()) {
        return Err(Errno::EINVAL);
    }
    let mask = (bearer_of_mask(call)?.affinity() & sched::online_mask()) as u64;
    user::write(call.arg(2), &mask)?;
    Ok(size_of::<u64>())
}

fn sched_setaffinity(call: &mut Call) -> Result<(), Errno> {
    let mut bytes = [0; 8];
    let len = call.arg(1).min(bytes.len());
    user::read_bytes(call.arg(2), &mut bytes[..len])?;
    let thread = bearer_of_mask(call)?;
    may_schedule(call, &thread)?;
    let mask = u64::from_le_bytes(bytes) as u32 & sched::online_mask();
    if mask == 0 {
        return Err(Errno::EINVAL);
    }
    thread.set_affinity(mask);
    Ok(())
}

fn sched_getscheduler(call: &mut Call) -> Result<usize, Errno> {
    target(call, call.int(0))?;
    Ok(SCHED_OTHER)
}

/// There is one policy; asking for a real-time one is refused as to a process without the right to it.
fn sched_setscheduler(call: &mut Call) -> Result<(), Errno> {
    let (tid, policy) = (call.int(0), call.int(1));
    if policy < 0 {
        return Err(Errno::EINVAL);
    }
    let (thread, priority) = with_priority(call, tid, call.arg(2))?;
    match policy as usize {
        SCHED_OTHER | SCHED_BATCH | SCHED_IDLE if priority == 0 => may_schedule(call, &thread),
        SCHED_FIFO | SCHED_RR if (1..=MAX_PRIORITY).contains(&priority) => Err(Errno::EPERM),
        _ => Err(Errno::EINVAL),
    }
}

/// The thread and the sched_priority that a call names: EINVAL, EFAULT, ESRCH, in this order.
fn with_priority(call: &Call, tid: i32, param: usize) -> Result<(Arc<Thread>, i32), Errno> {
    if param == 0 || tid < 0 {
        return Err(Errno::EINVAL);
    }
    let priority = user::read(param)?;
    Ok((target(call, tid)?, priority))
}

/// Whether the caller may set how `thread` is scheduled: EPERM.
fn may_schedule(call: &Call, thread: &Thread) -> Result<(), Errno> {
    let bearer = call.thread().credentials().clone();
    let uid = thread.credentials().uid;
    if bearer.has(CAP_SYS_NICE) || [uid.real, uid.effective].contains(&bearer.uid.effective) {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

/// Under the one policy the priority is 0.
fn sched_setparam(call: &mut Call) -> Result<(), Errno> {
    match with_priority(call, call.int(0), call.arg(1))? {
        (thread, 0) => may_schedule(call, &thread),
        _ => Err(Errno::EINVAL),
    }
}

fn sched_getparam(call: &mut Call) -> Result<(), Errno> {
    if call.arg(1) == 0 {
        return Err(Errno::EINVAL);
    }
    target(call, call.int(0))?;
    user::write(call.arg(1), &0i32)
}

/// As on Linux the slice, whatever the policy.
fn sched_rr_get_interval(call: &mut Call) -> Result<(), Errno> {
    target(call, call.int(0))?;
    write_timespec(call.arg(1), sched::SLICE_NS)
}

fn sched_get_priority_max(call: &mut Call) -> Result<usize, Errno> {
    match call.int(0) as u32 as usize {
        SCHED_FIFO | SCHED_RR => Ok(MAX_PRIORITY as usize),
        SCHED_OTHER | SCHED_BATCH | SCHED_IDLE => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

fn sched_get_priority_min(call: &mut Call) -> Result<usize, Errno> {
    match call.int(0) as u32 as usize {
        SCHED_FIFO | SCHED_RR => Ok(1),
        SCHED_OTHER | SCHED_BATCH | SCHED_IDLE => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

/// The processes that PRIO_PROCESS, PRIO_PGRP or PRIO_USER and `who` name: EINVAL, ESRCH.
fn prioritised(call: &Call) -> Result<Vec<Arc<Process>>, Errno> {
    let own = &call.thread().process;
    let who = call.int(1);
    let processes = match call.int(0) {
        0 if who == 0 => alloc::vec![own.clone()],
        0 => table::thread(who)
            .map(|thread| thread.process.clone())
            .into_iter()
            .collect(),
        1 => table::group(if who == 0 { own.group() } else { who }),
        2 => {
            let uid = match who {
                0 => call.thread().credentials().uid.real,
                who => who as u32,
            };
            table::processes()
                .into_iter()
                .filter(|process| process.credentials().uid.real == uid)
                .collect()
        }
        _ => return Err(Errno::EINVAL),
    };
    if processes.is_empty() {
        Err(Errno::ESRCH)
    } else {
        Ok(processes)
    }
}

/// The raw call gives 20 - nice, so that no result looks like an error.
fn getpriority(call: &mut Call) -> Result<usize, Errno> {
    let nice = prioritised(call)?
        .iter()
        .map(|process| process.nice.load(Relaxed))
        .min()
        .unwrap_or(0);
    Ok((20 - nice) as usize)
}

/// The value is kept and given back; the scheduler treats all alike.
fn setpriority(call: &mut Call) -> Result<(), Errno> {
    let nice = call.int(2).clamp(-20, 19);
    let privileged = call.thread().credentials().has(CAP_SYS_NICE);
    for process in prioritised(call)? {
        if nice < process.nice.load(Relaxed) && !privileged {
            return Err(Errno::EACCES);
        }
        process.nice.store(nice, Relaxed);
    }
    Ok(())
}

fn getcpu(call: &mut Call) -> Result<(), Errno> {
    if call.arg(0) != 0 {
        user::write(call.arg(0), &(crate::arch::cpu::id() as u32))?;
    }
    if call.arg(1) != 0 {
        user::write(call.arg(1), &0u32)?;
    }
    Ok(())
}
