//! The calls on files that only x86_64 still has: each is one of the others with its old face.

use super::path::target;
use super::table::{Line, line};
use super::{Call, attribute, descriptor, stat, tree};
use crate::mm::user;
use libsyscall::abi::fcntl::*;
use libsyscall::abi::stat::{Timespec, UTIME_NOW};
use libsyscall::abi::{Errno, nr};

pub const CALLS: &[Line] = &[
    line(nr::OPEN, |call| {
        descriptor::open_at(call, AT_FDCWD, call.arg(0), call.uint(1), call.uint(2))
    }),
    line(nr::CREAT, |call| {
        descriptor::open_at(call, AT_FDCWD, call.arg(0), O_CREAT | O_WRONLY | O_TRUNC, call.uint(1))
    }),
    line(nr::DUP2, dup2),
    line(nr::PIPE, |call| descriptor::make_pipe(call, call.arg(0), 0)),
    line(nr::STAT, |call| {
        stat::stat_at(call, AT_FDCWD, call.arg(0), call.arg(1), 0)
    }),
    line(nr::LSTAT, |call| {
        stat::stat_at(call, AT_FDCWD, call.arg(0), call.arg(1), AT_SYMLINK_NOFOLLOW)
    }),
    line(nr::ACCESS, |call| {
        stat::access_at(call, AT_FDCWD, call.arg(0), call.uint(1), 0)
    }),
    line(nr::MKDIR, |call| {
        tree::make_directory(call, AT_FDCWD, call.arg(0), call.uint(1))
    }),
    line(nr::MKNOD, |call| {
        tree::make_node(call, AT_FDCWD, call.arg(0), call.uint(1), call.uint(2) as u64)
    }),
    line(nr::SYMLINK, |call| {
        tree::make_symlink(call, call.arg(0), AT_FDCWD, call.arg(1))
    }),
    line(nr::LINK, |call| {
        tree::make_link(call, (AT_FDCWD, call.arg(0)), (AT_FDCWD, call.arg(1)), 0)
    }),
    line(nr::UNLINK, |call| tree::remove(call, AT_FDCWD, call.arg(0), false)),
    line(nr::RMDIR, |call| tree::remove(call, AT_FDCWD, call.arg(0), true)),
    line(nr::RENAME, |call| {
        tree::rename(call, (AT_FDCWD, call.arg(0)), (AT_FDCWD, call.arg(1)), 0)
    }),
    line(nr::READLINK, |call| {
        tree::read_link(call, AT_FDCWD, call.arg(0), call.arg(1), call.int(2))
    }),
    line(nr::CHMOD, |call| {
        attribute::change_mode(&target(call, AT_FDCWD, call.arg(0), 0)?, call.uint(1))
    }),
    line(nr::CHOWN, |call| {
        attribute::change_owner(&target(call, AT_FDCWD, call.arg(0), 0)?, call.uint(1), call.uint(2))
    }),
    line(nr::LCHOWN, |call| {
        let target = target(call, AT_FDCWD, call.arg(0), AT_SYMLINK_NOFOLLOW)?;
        attribute::change_owner(&target, call.uint(1), call.uint(2))
    }),
    line(nr::UTIME, utime),
    line(nr::UTIMES, utimes),
];

/// dup2(2): the same number twice only checks it.
fn dup2(call: &mut Call) -> Result<usize, Errno> {
    let (old, new) = (call.int(0), call.int(1));
    if old == new {
        call.thread().files().get_any(old)?;
        return Ok(new as usize);
    }
    descriptor::dup_to(call, old, new, false)
}

const NOW: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: UTIME_NOW,
};

/// utime(2): two times in seconds.
fn utime(call: &mut Call) -> Result<(), Errno> {
    let times = match call.arg(1) {
        0 => [NOW, NOW],
        address => user::read::<[i64; 2]>(address)?.map(|tv_sec| Timespec { tv_sec, tv_nsec: 0 }),
    };
    attribute::change_times(&target(call, AT_FDCWD, call.arg(0), 0)?, times)
}

/// utimes(2): two times in microseconds.
fn utimes(call: &mut Call) -> Result<(), Errno> {
    let times = match call.arg(1) {
        0 => [NOW, NOW],
        address => {
            let [atime_s, atime_us, mtime_s, mtime_us] = user::read::<[i64; 4]>(address)?;
            if !(0..1_000_000).contains(&atime_us) || !(0..1_000_000).contains(&mtime_us) {
                return Err(Errno::EINVAL);
            }
            [(atime_s, atime_us), (mtime_s, mtime_us)].map(|(tv_sec, us)| Timespec {
                tv_sec,
                tv_nsec: us * 1000,
            })
        }
    };
    attribute::change_times(&target(call, AT_FDCWD, call.arg(0), 0)?, times)
}
