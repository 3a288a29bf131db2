//! futex(2) and the robust list.

use super::Call;
use super::table::Line;
use super::time::read_timespec;
use crate::mm::user;
use crate::task::{futex, table};
use crate::time;
use core::sync::atomic::Ordering::Relaxed;
use libsyscall::abi::process::*;
use libsyscall::abi::{Errno, nr};

pub const CALLS: &[Line] = &[
    (nr::FUTEX, futex),
    (nr::SET_ROBUST_LIST, set_robust_list),
    (nr::GET_ROBUST_LIST, get_robust_list),
];

fn futex(call: &mut Call) -> Result<usize, Errno> {
    let (address, flags, value) = (call.arg(0), call.uint(1), call.uint(2));
    let private = flags & FUTEX_PRIVATE_FLAG != 0;
    let count = value as i32 as usize;
    match flags & !(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME) {
        FUTEX_WAKE => futex::wake(call.thread, address, private, count, FUTEX_BITSET_MATCH_ANY),
        FUTEX_WAIT => wait(call, address, private, value, false, FUTEX_BITSET_MATCH_ANY),
        FUTEX_WAIT_BITSET => wait(call, address, private, value, true, call.uint(5)),
        FUTEX_WAKE_BITSET => futex::wake(call.thread, address, private, count, call.uint(5)),
        FUTEX_REQUEUE => {
            let counts = requeue_counts(call)?;
            let (woken, _) = futex::requeue(call.thread, (address, call.arg(4)), private, counts, None)?;
            Ok(woken)
        }
        FUTEX_CMP_REQUEUE => {
            let counts = requeue_counts(call)?;
            let expected = Some(call.uint(5));
            let (woken, moved) = futex::requeue(call.thread, (address, call.arg(4)), private, counts, expected)?;
            Ok(woken + moved)
        }
        FUTEX_WAKE_OP => {
            let counts = (count, call.int(3) as usize);
            futex::wake_op(call.thread, (address, call.arg(4)), private, counts, call.uint(5))
        }
        // Priority inheritance needs a scheduler with priorities.
        _ => Err(Errno::ENOSYS),
    }
}

/// How many to wake and how many to move: futex(2), EINVAL for negative ones.
fn requeue_counts(call: &Call) -> Result<(usize, usize), Errno> {
    let count = |n| usize::try_from(call.int(n)).map_err(|_| Errno::EINVAL);
    Ok((count(2)?, count(3)?))
}

/// The timeout is relative and of CLOCK_MONOTONIC for FUTEX_WAIT, absolute and of either clock for FUTEX_WAIT_BITSET.
fn wait(
    call: &Call,
    address: usize,
    private: bool,
    expected: u32,
    absolute: bool,
    bitset: u32,
) -> Result<usize, Errno> {
    let deadline_ns = match call.arg(3) {
        0 => None,
        timeout => {
            let timeout_ns = read_timespec(timeout)?;
            match (absolute, call.uint(1) & FUTEX_CLOCK_REALTIME != 0) {
                (true, true) => Some(time::from_realtime_ns(timeout_ns)),
                (true, false) => Some(timeout_ns),
                // An interrupted wait is taken up again with what was left of its time.
                (false, _) => match call.thread.restart_deadline_ns.swap(0, Relaxed) {
                    0 => Some(time::now_ns().saturating_add(timeout_ns)),
                    deadline_ns => Some(deadline_ns),
                },
            }
        }
    };
    match futex::wait(call.thread, address, private, expected, deadline_ns, bitset) {
        Err(Errno::ERESTARTSYS) if !absolute && deadline_ns.is_some() => {
            call.thread.restart_deadline_ns.store(deadline_ns.unwrap_or(0), Relaxed);
            Err(Errno::ERESTART_RESTARTBLOCK)
        }
        result => result.map(|()| 0),
    }
}

/// struct robust_list_head: three words.
const ROBUST_LIST_HEAD_SIZE: usize = 24;

fn set_robust_list(call: &mut Call) -> Result<usize, Errno> {
    if call.arg(1) != ROBUST_LIST_HEAD_SIZE {
        return Err(Errno::EINVAL);
    }
    call.thread.robust_list.store(call.arg(0), Relaxed);
    Ok(0)
}

fn get_robust_list(call: &mut Call) -> Result<usize, Errno> {
    let thread = match call.int(0) {
        0 => call.thread.clone(),
        tid => table::thread(tid).ok_or(Errno::ESRCH)?,
    };
    user::write(call.arg(1), &(thread.robust_list.load(Relaxed) as u64))?;
    user::write(call.arg(2), &(ROBUST_LIST_HEAD_SIZE as u64))?;
    Ok(0)
}
