//! inotify(7).

use super::Call;
use super::descriptor::install;
use super::path::start;
use super::table::{Line, line};
use crate::file::OpenFile;
use crate::file::anon::inotify::InotifyFile;
use crate::fs::watch::Instance;
use crate::fs::{self, access};
use crate::mm::{frame, user};
use alloc::sync::Arc;
use libsyscall::abi::fcntl::{AT_FDCWD, O_NONBLOCK, O_RDONLY, R_OK, S_IFDIR};
use libsyscall::abi::inotify::*;
use libsyscall::abi::{Errno, nr};

pub const CALLS: &[Line] = &[
    line(nr::INOTIFY_INIT1, inotify_init1),
    line(nr::INOTIFY_ADD_WATCH, inotify_add_watch),
    line(nr::INOTIFY_RM_WATCH, inotify_rm_watch),
    #[cfg(target_arch = "x86_64")]
    line(nr::INOTIFY_INIT, inotify_init),
];

fn new_instance(call: &Call, flags: u32) -> Result<usize, Errno> {
    if flags & !(IN_CLOEXEC | IN_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let file = InotifyFile::new()?;
    install(
        call,
        OpenFile::new(Arc::new(file), O_RDONLY | flags & O_NONBLOCK),
        flags & IN_CLOEXEC != 0,
    )
}

fn inotify_init1(call: &mut Call) -> Result<usize, Errno> {
    new_instance(call, call.uint(0))
}

#[cfg(target_arch = "x86_64")]
fn inotify_init(call: &mut Call) -> Result<usize, Errno> {
    new_instance(call, 0)
}

/// The instance behind descriptor argument 0: EBADF, EINVAL.
fn instance(call: &Call) -> Result<Arc<Instance>, Errno> {
    let open = call.file(0)?;
    Ok(open.downcast::<InotifyFile>().ok_or(Errno::EINVAL)?.0.clone())
}

/// inotify_add_watch(2): the mask is looked at before the descriptor, the descriptor before the path.
fn inotify_add_watch(call: &mut Call) -> Result<usize, Errno> {
    const TOLD: u32 = IN_ALL_EVENTS | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED | IN_ISDIR;
    const HOW: u32 = IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK | IN_MASK_CREATE | IN_MASK_ADD | IN_ONESHOT;
    const BOTH: u32 = IN_MASK_ADD | IN_MASK_CREATE;
    let mask = call.uint(2);
    if mask == 0 || mask & !(TOLD | HOW) != 0 {
        return Err(Errno::EINVAL);
    }
    let instance = instance(call)?;
    if mask & BOTH == BOTH {
        return Err(Errno::EINVAL);
    }
    let path = user::read_path(call.arg(1))?;
    let at = start(call, AT_FDCWD, &path)?;
    let stat = fs::resolve(&at, &path, mask & IN_DONT_FOLLOW == 0)?.stat();
    if mask & IN_ONLYDIR != 0 && stat.kind() != S_IFDIR {
        return Err(Errno::ENOTDIR);
    }
    access::current().check(&stat, R_OK)?;
    frame::admit()?;
    instance.add(&stat, mask).map(|number| number as usize)
}

fn inotify_rm_watch(call: &mut Call) -> Result<(), Errno> {
    instance(call)?.remove(call.int(1))
}
