//! futex(2), futex_waitv(2) and the robust list.

use super::Call;
use super::table::{Line, line};
use super::time::read_timespec;
use crate::mm::user;
use crate::task::futex::{self, Attempt};
use crate::task::table;
use crate::time;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use libsyscall::abi::process::*;
use libsyscall::abi::time::{CLOCK_MONOTONIC, CLOCK_REALTIME};
use libsyscall::abi::{Errno, nr};

pub const CALLS: &[Line] = &[
    line(nr::FUTEX, futex),
    line(nr::FUTEX_WAITV, futex_waitv),
    line(nr::FUTEX_WAKE, futex_wake),
    line(nr::FUTEX_WAIT, futex_wait),
    line(nr::FUTEX_REQUEUE, futex_requeue),
    line(nr::SET_ROBUST_LIST, set_robust_list),
    line(nr::GET_ROBUST_LIST, get_robust_list),
];

fn futex(call: &mut Call) -> Result<usize, Errno> {
    let (address, flags, value) = (call.arg(0), call.uint(1), call.uint(2));
    let private = flags & FUTEX_PRIVATE_FLAG != 0;
    // None and fewer than none are one.
    let count = (value as i32).max(1) as usize;
    let operation = flags & !(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
    let names_its_clock = [FUTEX_WAIT_BITSET, FUTEX_WAIT_REQUEUE_PI, FUTEX_LOCK_PI2].contains(&operation);
    if flags & FUTEX_CLOCK_REALTIME != 0 && !names_its_clock {
        return Err(Errno::ENOSYS);
    }
    match operation {
        FUTEX_WAKE => futex::wake(call.thread(), address, private, count, FUTEX_BITSET_MATCH_ANY),
        FUTEX_WAIT => wait(call, address, private, value, false, FUTEX_BITSET_MATCH_ANY),
        FUTEX_WAIT_BITSET => wait(call, address, private, value, true, call.uint(5)),
        FUTEX_WAKE_BITSET => futex::wake(call.thread(), address, private, count, call.uint(5)),
        FUTEX_REQUEUE | FUTEX_CMP_REQUEUE => {
            let counts = requeue_counts(call)?;
            let expected = (operation == FUTEX_CMP_REQUEUE).then(|| call.uint(5));
            let words = ((address, private), (call.arg(4), private));
            let (woken, moved) = futex::requeue(call.thread(), words, counts, expected)?;
            Ok(woken + moved)
        }
        FUTEX_WAKE_OP => {
            let counts = (count, call.int(3).max(1) as usize);
            futex::wake_op(call.thread(), (address, call.arg(4)), private, counts, call.uint(5))
        }
        FUTEX_LOCK_PI | FUTEX_LOCK_PI2 => {
            let realtime = operation == FUTEX_LOCK_PI || flags & FUTEX_CLOCK_REALTIME != 0;
            let attempt = Attempt::Until(deadline_ns(call.arg(3), realtime)?);
            futex::lock(call.thread(), address, private, attempt).map(|()| 0)
        }
        FUTEX_TRYLOCK_PI => futex::lock(call.thread(), address, private, Attempt::Once).map(|()| 0),
        FUTEX_UNLOCK_PI => futex::unlock(call.thread(), address, private).map(|()| 0),
        FUTEX_WAIT_REQUEUE_PI => {
            let deadline_ns = deadline_ns(call.arg(3), flags & FUTEX_CLOCK_REALTIME != 0)?;
            let words = (address, call.arg(4));
            futex::wait_then_lock(call.thread(), words, private, value, deadline_ns).map(|()| 0)
        }
        FUTEX_CMP_REQUEUE_PI => {
            let (count, limit) = requeue_counts(call)?;
            if count != 1 {
                return Err(Errno::EINVAL);
            }
            futex::requeue_to_lock(call.thread(), (address, call.arg(4)), private, limit, call.uint(5))
        }
        _ => Err(Errno::ENOSYS),
    }
}

/// How many to wake and how many to move: futex(2), EINVAL for negative ones.
fn requeue_counts(call: &Call) -> Result<(usize, usize), Errno> {
    let count = |n| usize::try_from(call.int(n)).map_err(|_| Errno::EINVAL);
    Ok((count(2)?, count(3)?))
}

/// An absolute timeout, which may be absent.
fn deadline_ns(timeout: usize, realtime: bool) -> Result<Option<u64>, Errno> {
    if timeout == 0 {
        return Ok(None);
    }
    let moment_ns = read_timespec(timeout)?;
    Ok(Some(if realtime {
        time::from_realtime_ns(moment_ns)
    } else {
        moment_ns
    }))
}

fn futex_waitv(call: &mut Call) -> Result<usize, Errno> {
    let (waiters, count, timeout) = (call.arg(0), call.uint(1) as usize, call.arg(3));
    if call.uint(2) != 0 || waiters == 0 || !(1..=FUTEX_WAITV_MAX).contains(&count) {
        return Err(Errno::EINVAL);
    }
    let deadline_ns = deadline_by_clock(timeout, call.int(4))?;
    let mut entries = Vec::with_capacity(count);
    for number in 0..count {
        entries.push(read_entry(waiters.wrapping_add(number * FUTEX_WAITV_SIZE))?);
    }
    futex::wait_for_any(call.thread(), &entries, deadline_ns)
}

const FUTEX_WAITV_SIZE: usize = 24;

/// An absolute timeout by one of two clocks, which counts where there is a timeout.
fn deadline_by_clock(timeout: usize, clock: i32) -> Result<Option<u64>, Errno> {
    match clock {
        _ if timeout == 0 => Ok(None),
        CLOCK_REALTIME | CLOCK_MONOTONIC => deadline_ns(timeout, clock == CLOCK_REALTIME),
        _ => Err(Errno::EINVAL),
    }
}

/// struct futex_waitv: value, address, flags with a reserved word above them.
fn read_entry(at: usize) -> Result<futex::Entry, Errno> {
    let [value, address, flags] = user::read::<[u64; 3]>(at)?;
    Ok(futex::Entry {
        address: address as usize,
        private: is_private(flags)?,
        expected: u32::try_from(value).map_err(|_| Errno::EINVAL)?,
    })
}

/// FUTEX2_*: words have 32 bits, and are the process's own or shared. EINVAL for others.
fn is_private(flags: u64) -> Result<bool, Errno> {
    let known = u64::from(FUTEX2_SIZE_MASK | FUTEX2_PRIVATE);
    if flags & !known != 0 || flags as u32 & FUTEX2_SIZE_MASK != FUTEX2_SIZE_U32 {
        return Err(Errno::EINVAL);
    }
    Ok(flags as u32 & FUTEX2_PRIVATE != 0)
}

/// A mask of futex_wake(2) or futex_wait(2): it has as many bits as the word, and one at least.
fn bitset(mask: usize) -> Result<u32, Errno> {
    u32::try_from(mask).ok().filter(|&mask| mask != 0).ok_or(Errno::EINVAL)
}

/// futex_wake(2): unlike FUTEX_WAKE it wakes nobody where it is to wake none.
fn futex_wake(call: &mut Call) -> Result<usize, Errno> {
    let private = is_private(call.uint(3).into())?;
    let bitset = bitset(call.arg(1))?;
    let count = match call.int(2) {
        0 => 0,
        count => count.max(1) as usize,
    };
    futex::wake(call.thread(), call.arg(0), private, count, bitset)
}

/// futex_wait(2): until an absolute time.
fn futex_wait(call: &mut Call) -> Result<(), Errno> {
    let private = is_private(call.uint(3).into())?;
    let expected = u32::try_from(call.arg(1)).map_err(|_| Errno::EINVAL)?;
    let bitset = bitset(call.arg(2))?;
    let deadline_ns = deadline_by_clock(call.arg(4), call.int(5))?;
    futex::wait(call.thread(), call.arg(0), private, expected, deadline_ns, bitset)
}

/// futex_requeue(2): from the first to the second of two entries, while the first has its value.
fn futex_requeue(call: &mut Call) -> Result<usize, Errno> {
    let waiters = call.arg(0);
    if call.uint(1) != 0 || waiters == 0 {
        return Err(Errno::EINVAL);
    }
    let from = read_entry(waiters)?;
    let to = read_entry(waiters.wrapping_add(FUTEX_WAITV_SIZE))?;
    let counts = requeue_counts(call)?;
    let words = (from.word(), to.word());
    let (woken, moved) = futex::requeue(call.thread(), words, counts, Some(from.expected))?;
    Ok(woken + moved)
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
        timeout if absolute => deadline_ns(timeout, call.uint(1) & FUTEX_CLOCK_REALTIME != 0)?,
        timeout => {
            let timeout_ns = read_timespec(timeout)?;
            // An interrupted wait is taken up again with what was left of its time.
            match call.thread().restart_deadline_ns.swap(0, Relaxed) {
                0 => Some(time::now_ns().saturating_add(timeout_ns)),
                deadline_ns => Some(deadline_ns),
            }
        }
    };
    match futex::wait(call.thread(), address, private, expected, deadline_ns, bitset) {
        Err(Errno::ERESTARTSYS) if !absolute && deadline_ns.is_some() => {
            call.thread()
                .restart_deadline_ns
                .store(deadline_ns.unwrap_or(0), Relaxed);
            Err(Errno::ERESTART_RESTARTBLOCK)
        }
        result => result.map(|()| 0),
    }
}

/// struct robust_list_head: three words.
const ROBUST_LIST_HEAD_SIZE: usize = 24;

fn set_robust_list(call: &mut Call) -> Result<(), Errno> {
    if call.arg(1) != ROBUST_LIST_HEAD_SIZE {
        return Err(Errno::EINVAL);
    }
    call.thread().robust_list.store(call.arg(0), Relaxed);
    Ok(())
}

fn get_robust_list(call: &mut Call) -> Result<(), Errno> {
    let thread = match call.int(0) {
        0 => call.thread().clone(),
        tid => table::thread(tid).ok_or(Errno::ESRCH)?,
    };
    user::write(call.arg(1), &(thread.robust_list.load(Relaxed) as u64))?;
    user::write(call.arg(2), &(ROBUST_LIST_HEAD_SIZE as u64))
}
