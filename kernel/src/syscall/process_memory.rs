//! Another process's memory: process_vm_readv(2), process_vm_writev(2).

use super::Call;
use super::table::{Line, line};
use crate::arch::PAGE_SIZE;
use crate::mm::space::AddressSpace;
use crate::mm::user::{self, Pieces, Sink, Source};
use crate::task::{self, table};
use crate::trap::Access;
use alloc::sync::Arc;
use libsyscall::abi::{Errno, nr};

pub const CALLS: &[Line] = &[
    line(nr::PROCESS_VM_READV, process_vm_readv),
    line(nr::PROCESS_VM_WRITEV, process_vm_writev),
];

fn process_vm_readv(call: &mut Call) -> Result<usize, Errno> {
    check_flags(call)?;
    let mut pieces = Pieces::read(call.arg(1), call.arg(2))?;
    let mut to = Sink::user_pieces(&mut pieces);
    each_page(call, to.len(), |space, at, len| {
        to.put_frame(&space.page(at, Access::Read)?, at % PAGE_SIZE, len)
    })
}

fn process_vm_writev(call: &mut Call) -> Result<usize, Errno> {
    check_flags(call)?;
    let mut pieces = Pieces::read(call.arg(1), call.arg(2))?;
    let mut from = Source::user_pieces(&mut pieces);
    each_page(call, from.len(), |space, at, len| {
        from.get_frame(&space.page(at, Access::Write)?, at % PAGE_SIZE, len)
    })
}

fn check_flags(call: &Call) -> Result<(), Errno> {
    if call.arg(5) != 0 { Err(Errno::EINVAL) } else { Ok(()) }
}

/// Takes `step` through the ranges that the call names in the other process, a page's part at a time, until it has moved
/// `total` bytes, or moves less than it was given. ESRCH: there is no such process; EPERM: it is none of the caller's
/// business; EFAULT where not even the first byte could be moved.
fn each_page(
    call: &Call,
    total: usize,
    mut step: impl FnMut(&AddressSpace, usize, usize) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    if total == 0 {
        return Ok(0);
    }
    // Addresses in the other process are only numbers here.
    let ranges = user::read_vector(call.arg(3), call.arg(4), |_, _| Ok(()))?;
    if ranges.iter().all(|&(_, len)| len == 0) {
        return Ok(0);
    }
    let space = space_of(call, call.int(0))?;
    let mut done = 0;
    for (start, len) in ranges {
        let mut at = start;
        let end = start.saturating_add(len);
        while at < end && done < total {
            let wanted = (end - at).min(PAGE_SIZE - at % PAGE_SIZE).min(total - done);
            let moved = match step(&space, at, wanted) {
                Err(error) if done == 0 => return Err(error),
                moved => moved.unwrap_or(0),
            };
            done += moved;
            at += moved;
            if moved < wanted || task::preempt_point() {
                return Ok(done);
            }
        }
    }
    Ok(done)
}

fn space_of(call: &Call, pid: i32) -> Result<Arc<AddressSpace>, Errno> {
    // Any of its threads stands for the process.
    let process = match table::thread(pid) {
        Some(thread) => thread.process.clone(),
        None => table::process(pid).ok_or(Errno::ESRCH)?,
    };
    if !call.thread().may_trace(&process, |own| own.real) {
        return Err(Errno::EPERM);
    }
    process.try_space().ok_or(Errno::ESRCH)
}
