//! What a file is: stat(2), statx(2), access(2), statfs(2).

use super::Call;
use super::path::{Target, target, target_as};
use super::table::{Line, line};
use crate::arch::PAGE_SIZE;
use crate::fs::{self, Stat, access, tmpfs};
use crate::mm::user;
use libsyscall::abi::fcntl::*;
use libsyscall::abi::stat as abi;
use libsyscall::abi::{Errno, nr};

pub const CALLS: &[Line] = &[
    line(nr::FSTAT, fstat),
    line(nr::NEWFSTATAT, newfstatat),
    line(nr::STATX, statx),
    line(nr::FACCESSAT, faccessat),
    line(nr::FACCESSAT2, faccessat2),
    line(nr::STATFS, statfs),
    line(nr::FSTATFS, fstatfs),
];

fn timespec(ns: i64) -> abi::Timespec {
    abi::Timespec {
        tv_sec: ns.div_euclid(1_000_000_000),
        tv_nsec: ns.rem_euclid(1_000_000_000),
    }
}

/// The machine's `struct stat`. Field types differ between machines; the values fit all.
pub fn encode(stat: &Stat) -> abi::Stat {
    abi::Stat {
        st_dev: stat.dev,
        st_ino: stat.ino,
        st_nlink: stat.nlink as _,
        st_mode: stat.mode,
        st_uid: stat.uid,
        st_gid: stat.gid,
        st_rdev: stat.rdev,
        st_size: stat.size as i64,
        st_blksize: PAGE_SIZE as _,
        st_blocks: stat.blocks as i64,
        st_atim: timespec(stat.atime_ns),
        st_mtim: timespec(stat.mtime_ns),
        st_ctim: timespec(stat.ctime_ns),
        ..Default::default()
    }
}

fn fstat(call: &mut Call) -> Result<(), Errno> {
    let open = call.thread().files().get_any(call.int(0))?;
    user::write(call.arg(1), &encode(&open.file.stat()))
}

fn newfstatat(call: &mut Call) -> Result<(), Errno> {
    stat_at(call, call.int(0), call.arg(1), call.arg(2), call.uint(3))
}

/// stat(2), lstat(2), fstatat(2).
pub fn stat_at(call: &Call, directory: i32, path: usize, to: usize, flags: u32) -> Result<(), Errno> {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let target = target(call, directory, path, flags)?;
    user::write(to, &encode(&target.stat()))?;
    Ok(())
}

fn statx_time(ns: i64) -> abi::StatxTimestamp {
    let time = timespec(ns);
    abi::StatxTimestamp {
        tv_sec: time.tv_sec,
        tv_nsec: time.tv_nsec as u32,
        reserved: 0,
    }
}

/// statx(2).
fn statx(call: &mut Call) -> Result<(), Errno> {
    let (flags, mask) = (call.uint(2), call.uint(3));
    let known = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE;
    if flags & !known != 0 || flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE || mask & abi::STATX_RESERVED != 0 {
        return Err(Errno::EINVAL);
    }
    let stat = target(call, call.int(0), call.arg(1), flags)?.stat();
    // Asked for only: it is beyond what stat(2) tells.
    let birth_ns = stat.birth_ns.filter(|_| mask & abi::STATX_BTIME != 0);
    let answer = abi::Statx {
        stx_mask: abi::STATX_BASIC_STATS | birth_ns.map_or(0, |_| abi::STATX_BTIME),
        stx_blksize: PAGE_SIZE as u32,
        stx_nlink: stat.nlink,
        stx_uid: stat.uid,
        stx_gid: stat.gid,
        stx_mode: stat.mode as u16,
        stx_ino: stat.ino,
        stx_size: stat.size,
        stx_blocks: stat.blocks,
        stx_atime: statx_time(stat.atime_ns),
        stx_btime: birth_ns.map(statx_time).unwrap_or_default(),
        stx_ctime: statx_time(stat.ctime_ns),
        stx_mtime: statx_time(stat.mtime_ns),
        stx_rdev_major: major(stat.rdev),
        stx_rdev_minor: minor(stat.rdev),
        stx_dev_major: major(stat.dev),
        stx_dev_minor: minor(stat.dev),
        ..Default::default()
    };
    user::write(call.arg(4), &answer)
}

fn faccessat(call: &mut Call) -> Result<(), Errno> {
    access_at(call, call.int(0), call.arg(1), call.uint(2), 0)
}

fn faccessat2(call: &mut Call) -> Result<(), Errno> {
    access_at(call, call.int(0), call.arg(1), call.uint(2), call.uint(3))
}

/// access(2), faccessat2(2).
pub fn access_at(call: &Call, directory: i32, path: usize, wanted: u32, flags: u32) -> Result<(), Errno> {
    if wanted & !(R_OK | W_OK | X_OK) != 0 || flags & !(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let who = if flags & AT_EACCESS != 0 {
        access::current()
    } else {
        access::by_real_ids()
    };
    let target = target_as(&who, call, directory, path, flags)?;
    if wanted != F_OK {
        who.check(&target.stat(), wanted)?;
    }
    Ok(())
}

fn statfs(call: &mut Call) -> Result<(), Errno> {
    let target = target(call, AT_FDCWD, call.arg(0), 0)?;
    write_statfs(&target, call.arg(1))
}

fn fstatfs(call: &mut Call) -> Result<(), Errno> {
    let open = call.thread().files().get_any(call.int(0))?;
    write_statfs(&Target::File(open), call.arg(1))
}

fn write_statfs(target: &Target, to: usize) -> Result<(), Errno> {
    let stat = target.stat();
    let mut answer = abi::Statfs {
        f_type: match stat.dev {
            fs::TMPFS_DEVICE => abi::TMPFS_MAGIC,
            fs::PROC_DEVICE => abi::PROC_SUPER_MAGIC,
            fs::DEVPTS_DEVICE => abi::DEVPTS_SUPER_MAGIC,
            fs::PIPE_DEVICE => abi::PIPEFS_MAGIC,
            fs::MQUEUE_DEVICE => abi::MQUEUE_MAGIC,
            _ => abi::ANON_INODE_FS_MAGIC,
        },
        f_bsize: PAGE_SIZE as i64,
        f_frsize: PAGE_SIZE as i64,
        f_namelen: NAME_MAX as i64,
        ..Default::default()
    };
    if stat.dev == fs::TMPFS_DEVICE {
        let (limit, held) = tmpfs::usage();
        answer.f_blocks = limit as u64;
        answer.f_bfree = limit.saturating_sub(held) as u64;
        answer.f_bavail = answer.f_bfree;
    }
    user::write(to, &answer)?;
    Ok(())
}
