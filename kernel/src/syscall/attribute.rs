//! Attributes of files: chmod(2), chown(2), utimensat(2), umask(2), xattr(7).

use super::Call;
use super::path::{Target, target};
use super::table::{Line, line};
use crate::fs::{Change, access, now_ns};
use crate::mm::user;
use libsyscall::abi::capability::{CAP_CHOWN, CAP_FSETID};
use libsyscall::abi::fcntl::*;
use libsyscall::abi::inotify::{IN_ACCESS, IN_ATTRIB, IN_MODIFY};
use libsyscall::abi::stat::{Timespec, UTIME_NOW, UTIME_OMIT};
use libsyscall::abi::{Errno, nr};

pub const CALLS: &[Line] = &[
    line(nr::FCHMOD, fchmod),
    line(nr::FCHMODAT, fchmodat),
    line(nr::FCHMODAT2, fchmodat2),
    line(nr::FCHOWN, fchown),
    line(nr::FCHOWNAT, fchownat),
    line(nr::UTIMENSAT, utimensat),
    line(nr::UMASK, umask),
    line(nr::SETXATTR, set_by_path),
    line(nr::LSETXATTR, set_by_link),
    line(nr::FSETXATTR, set_by_descriptor),
    line(nr::GETXATTR, get_by_path),
    line(nr::LGETXATTR, get_by_link),
    line(nr::FGETXATTR, get_by_descriptor),
    line(nr::LISTXATTR, list_by_path),
    line(nr::LLISTXATTR, list_by_link),
    line(nr::FLISTXATTR, list_by_descriptor),
    line(nr::REMOVEXATTR, get_by_path),
    line(nr::LREMOVEXATTR, get_by_link),
    line(nr::FREMOVEXATTR, get_by_descriptor),
];

/// chmod(2): only the owner; the set-group-id bit only for the group's members.
pub fn change_mode(target: &Target, mode: u32) -> Result<(), Errno> {
    let file = target.changeable()?;
    let who = access::current();
    let stat = target.stat();
    if !who.owns(&stat) {
        return Err(Errno::EPERM);
    }
    if stat.kind() == S_IFLNK {
        return Err(Errno::EOPNOTSUPP);
    }
    let mut mode = mode & 0o7777;
    if !who.has(CAP_FSETID) && !who.is_member(stat.gid) {
        mode &= !S_ISGID;
    }
    let change = Change {
        mode: Some(mode),
        ..Change::default()
    };
    file.change(&change, IN_ATTRIB)?;
    Ok(())
}

fn descriptor(call: &Call) -> Result<Target, Errno> {
    Ok(Target::File(call.file(0)?))
}

fn fchmod(call: &mut Call) -> Result<(), Errno> {
    change_mode(&descriptor(call)?, call.uint(1))
}

fn fchmodat(call: &mut Call) -> Result<(), Errno> {
    change_mode(&target(call, call.int(0), call.arg(1), 0)?, call.uint(2))
}

fn fchmodat2(call: &mut Call) -> Result<(), Errno> {
    let flags = call.uint(3);
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    change_mode(&target(call, call.int(0), call.arg(1), flags)?, call.uint(2))
}

/// chown(2): root, or the owner giving the file to a group of his. -1 leaves an id as it is.
pub fn change_owner(target: &Target, uid: u32, gid: u32) -> Result<(), Errno> {
    let file = target.changeable()?;
    let who = access::current();
    let stat = target.stat();
    let keep = |id: u32| (id != u32::MAX).then_some(id);
    let (uid, gid) = (keep(uid), keep(gid));
    let uid_stays = uid.is_none_or(|uid| uid == stat.uid);
    let gid_is_own = gid.is_none_or(|gid| gid == stat.gid || who.is_member(gid));
    let may = who.has(CAP_CHOWN) || (who.uid == stat.uid && uid_stays && gid_is_own);
    if !may {
        return Err(Errno::EPERM);
    }
    // A program that changes hands is set-id no more.
    let executable_group = stat.mode & 0o010 != 0;
    let lost = S_ISUID | if executable_group { S_ISGID } else { 0 };
    let mode = (stat.kind() != S_IFDIR).then_some(stat.mode & 0o7777 & !lost);
    let change = Change {
        mode,
        uid,
        gid,
        ..Change::default()
    };
    let event = if uid.is_some() || gid.is_some() { IN_ATTRIB } else { 0 };
    file.change(&change, event)?;
    Ok(())
}

fn fchown(call: &mut Call) -> Result<(), Errno> {
    change_owner(&descriptor(call)?, call.uint(1), call.uint(2))
}

fn fchownat(call: &mut Call) -> Result<(), Errno> {
    let flags = call.uint(4);
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    change_owner(
        &target(call, call.int(0), call.arg(1), flags)?,
        call.uint(2),
        call.uint(3),
    )
}

/// utimensat(2). A null path means the descriptor itself.
fn utimensat(call: &mut Call) -> Result<(), Errno> {
    let flags = call.uint(3);
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_NOW,
    };
    let times = if call.arg(2) == 0 {
        [now, now]
    } else {
        [
            user::read::<Timespec>(call.arg(2))?,
            user::read::<Timespec>(call.arg(2) + size_of::<Timespec>())?,
        ]
    };
    if times.iter().all(|time| time.tv_nsec == UTIME_OMIT) {
        // Nothing to do, wherever.
        return Ok(());
    }
    let target = if call.arg(1) == 0 && call.int(0) != AT_FDCWD {
        descriptor(call)?
    } else {
        target(call, call.int(0), call.arg(1), flags)?
    };
    change_times(&target, times)
}

/// Sets access and modification time. To the present who may write may set them, to anything else the owner.
pub fn change_times(target: &Target, times: [Timespec; 2]) -> Result<(), Errno> {
    let [atime, mtime] = times;
    let in_range = |time: Timespec| matches!(time.tv_nsec, UTIME_NOW | UTIME_OMIT | 0..1_000_000_000);
    if !in_range(atime) || !in_range(mtime) {
        return Err(Errno::EINVAL);
    }
    let file = target.changeable()?;
    let who = access::current();
    let stat = target.stat();
    if !who.owns(&stat) {
        if atime.tv_nsec != UTIME_NOW || mtime.tv_nsec != UTIME_NOW {
            return Err(Errno::EPERM);
        }
        who.check(&stat, W_OK)?;
    }
    let now = now_ns();
    let value = |time: Timespec| match time.tv_nsec {
        UTIME_NOW => Some(now),
        UTIME_OMIT => None,
        ns => Some(time.tv_sec.saturating_mul(1_000_000_000).saturating_add(ns)),
    };
    let change = Change {
        atime_ns: value(atime),
        mtime_ns: value(mtime),
        ..Change::default()
    };
    // One time alone counts as what moves it otherwise.
    let event = match (change.atime_ns, change.mtime_ns) {
        (Some(_), None) => IN_ACCESS,
        (None, Some(_)) => IN_MODIFY,
        _ => IN_ATTRIB,
    };
    file.change(&change, event)?;
    Ok(())
}

fn umask(call: &mut Call) -> Result<usize, Errno> {
    Ok(call.thread().set_umask(call.uint(0) & 0o777) as usize)
}

// Extended attributes: files have none and take none, as on a filesystem without them.

fn by_path(call: &Call, flags: u32) -> Result<Target, Errno> {
    target(call, AT_FDCWD, call.arg(0), flags)
}

fn set_by_path(call: &mut Call) -> Result<usize, Errno> {
    by_path(call, 0)?;
    Err(Errno::EOPNOTSUPP)
}

fn set_by_link(call: &mut Call) -> Result<usize, Errno> {
    by_path(call, AT_SYMLINK_NOFOLLOW)?;
    Err(Errno::EOPNOTSUPP)
}

fn set_by_descriptor(call: &mut Call) -> Result<usize, Errno> {
    descriptor(call)?;
    Err(Errno::EOPNOTSUPP)
}

fn get_by_path(call: &mut Call) -> Result<usize, Errno> {
    by_path(call, 0)?;
    Err(Errno::ENODATA)
}

fn get_by_link(call: &mut Call) -> Result<usize, Errno> {
    by_path(call, AT_SYMLINK_NOFOLLOW)?;
    Err(Errno::ENODATA)
}

fn get_by_descriptor(call: &mut Call) -> Result<usize, Errno> {
    descriptor(call)?;
    Err(Errno::ENODATA)
}

fn list_by_path(call: &mut Call) -> Result<usize, Errno> {
    by_path(call, 0)?;
    Ok(0)
}

fn list_by_link(call: &mut Call) -> Result<usize, Errno> {
    by_path(call, AT_SYMLINK_NOFOLLOW)?;
    Ok(0)
}

fn list_by_descriptor(call: &mut Call) -> Result<usize, Errno> {
    descriptor(call)?;
    Ok(0)
}
