//! flock(2) and the record locks of fcntl(2).

use super::Call;
use super::table::{Line, line};
use crate::file::OpenFile;
use crate::file::lock::{self, Lock, Owner};
use crate::mm::user;
use libsyscall::abi::fcntl::*;
use libsyscall::abi::{Errno, nr};

pub const CALLS: &[Line] = &[line(nr::FLOCK, flock)];

/// flock(2).
fn flock(call: &mut Call) -> Result<(), Errno> {
    let open = call.file(0)?;
    let operation = call.uint(1);
    let whole = lock::whole(Owner::Flock(open.id()));
    let exclusive = match operation & !LOCK_NB {
        LOCK_SH => false,
        LOCK_EX => true,
        LOCK_UN => {
            lock::unlock(&open, &whole);
            return Ok(());
        }
        _ => return Err(Errno::EINVAL),
    };
    lock::lock(&open, &Lock { exclusive, ..whole }, operation & LOCK_NB == 0)
}

/// The range of a `struct flock`, with the owner; EINVAL.
fn range(open: &OpenFile, flock: &Flock, owner: Owner) -> Result<Lock, Errno> {
    let base = match flock.l_whence as u32 {
        SEEK_SET => 0,
        SEEK_CUR => open.offset() as i64,
        SEEK_END => open.file.stat().size as i64,
        _ => return Err(Errno::EINVAL),
    };
    let from = base.checked_add(flock.l_start).ok_or(Errno::EOVERFLOW)?;
    // A negative length means the bytes before the start, 0 all after it.
    let (start, end) = match flock.l_len {
        0 => (from, i64::MAX),
        len if len > 0 => (from, from.checked_add(len).ok_or(Errno::EOVERFLOW)?),
        len => (from.checked_add(len).ok_or(Errno::EINVAL)?, from),
    };
    if start < 0 {
        return Err(Errno::EINVAL);
    }
    let end = if end == i64::MAX { u64::MAX } else { end as u64 };
    Ok(Lock {
        owner,
        exclusive: flock.l_type == F_WRLCK,
        start: start as u64,
        end,
    })
}

/// F_GETLK, F_SETLK, F_SETLKW and their F_OFD forms.
pub fn record(call: &Call, open: &OpenFile, command: u32) -> Result<usize, Errno> {
    let mut flock: Flock = user::read(call.arg(2))?;
    let by_description = matches!(command, F_OFD_GETLK | F_OFD_SETLK | F_OFD_SETLKW);
    let owner = if by_description {
        if flock.l_pid != 0 {
            return Err(Errno::EINVAL);
        }
        Owner::Description(open.id())
    } else {
        Owner::Table {
            id: call.thread().files().id(),
            pid: call.thread().process.pid,
        }
    };
    let range = range(open, &flock, owner)?;
    if matches!(command, F_GETLK | F_OFD_GETLK) {
        match lock::conflicting(open, &range) {
            Some(other) => {
                flock.l_type = if other.exclusive { F_WRLCK } else { F_RDLCK };
                flock.l_whence = SEEK_SET as i16;
                flock.l_start = other.start as i64;
                flock.l_len = if other.end == u64::MAX {
                    0
                } else {
                    (other.end - other.start) as i64
                };
                flock.l_pid = if let Owner::Table { pid, .. } = other.owner {
                    pid
                } else {
                    -1
                };
            }
            None => flock.l_type = F_UNLCK,
        }
        user::write(call.arg(2), &flock)?;
        return Ok(0);
    }
    match flock.l_type {
        F_UNLCK => {
            lock::unlock(open, &range);
            return Ok(0);
        }
        F_RDLCK => open.check_readable()?,
        F_WRLCK => open.check_writable()?,
        _ => return Err(Errno::EINVAL),
    }
    lock::lock(open, &range, matches!(command, F_SETLKW | F_OFD_SETLKW))?;
    Ok(0)
}
