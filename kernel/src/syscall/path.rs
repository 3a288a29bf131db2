//! Path arguments: where they start, what they lead to.

use super::Call;
use crate::file::OpenFile;
use crate::fs::access::{self, Credentials};
use crate::fs::{self, Attributes, Change, Place, Stat, watch};
use crate::mm::user;
use alloc::sync::Arc;
use alloc::vec::Vec;
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::*;
use sync::SpinLock;

/// Where a path relative to descriptor `directory` starts. An absolute one does not look at the descriptor.
pub fn start(call: &Call, directory: i32, path: &[u8]) -> Result<Place, Errno> {
    if path.first() == Some(&b'/') {
        return Ok(call.thread().root());
    }
    if directory == AT_FDCWD {
        return Ok(call.thread().cwd());
    }
    let open = call.thread().files().get_any(directory)?;
    if path.is_empty() {
        // Not looked at: the empty path is ENOENT wherever it starts.
        return Ok(call.thread().cwd());
    }
    open.file.place().cloned().ok_or(Errno::ENOTDIR)
}

/// What a path argument with its flags leads to.
pub enum Target {
    Place(Place),
    /// The descriptor's own file, by AT_EMPTY_PATH.
    File(Arc<OpenFile>),
}

impl Target {
    pub fn stat(&self) -> Stat {
        match self {
            Target::Place(place) => place.stat(),
            Target::File(open) => open.file.stat(),
        }
    }

    /// The place; EINVAL for a file outside the tree.
    pub fn place(&self) -> Result<&Place, Errno> {
        match self {
            Target::Place(place) => Ok(place),
            Target::File(open) => open.file.place().ok_or(Errno::EINVAL),
        }
    }

    /// Whose attributes can be changed; EOPNOTSUPP.
    pub fn changeable(&self) -> Result<Changeable<'_>, Errno> {
        let file = match self {
            Target::Place(place) => return Ok(Changeable::Place(place)),
            Target::File(open) => &open.file,
        };
        let nameless = || file.attributes().map(Changeable::Nameless);
        let place = file.place().map(Changeable::Place);
        place.or_else(nameless).ok_or(Errno::EOPNOTSUPP)
    }
}

/// A file whose attributes can be changed.
pub enum Changeable<'a> {
    Place(&'a Place),
    /// Of a file outside the tree.
    Nameless(&'a SpinLock<Attributes>),
}

impl Changeable<'_> {
    /// `event` is what inotify(7) tells of it; 0: nothing.
    pub fn change(&self, change: &Change, event: u32) -> Result<(), Errno> {
        match self {
            Changeable::Place(place) => {
                place.inode().change(change)?;
                if event != 0 {
                    watch::at_place(place, event);
                }
            }
            Changeable::Nameless(attributes) => attributes.lock().change(change),
        }
        Ok(())
    }
}

/// Resolves the path at user address `path` from descriptor `directory`; `flags` are AT_SYMLINK_NOFOLLOW and
/// AT_EMPTY_PATH, others are the caller's.
pub fn target(call: &Call, directory: i32, path: usize, flags: u32) -> Result<Target, Errno> {
    target_as(&access::current(), call, directory, path, flags)
}

/// The same by the rights of `who`.
pub fn target_as(who: &Credentials, call: &Call, directory: i32, path: usize, flags: u32) -> Result<Target, Errno> {
    // Since Linux 6.11 a null path is an empty one here.
    let bytes = if path == 0 && flags & AT_EMPTY_PATH != 0 {
        Vec::new()
    } else {
        user::read_path(path)?
    };
    target_of(who, call, directory, &bytes, flags)
}

pub fn target_of(who: &Credentials, call: &Call, directory: i32, path: &[u8], flags: u32) -> Result<Target, Errno> {
    if path.is_empty() && flags & AT_EMPTY_PATH != 0 {
        if directory == AT_FDCWD {
            return Ok(Target::Place(call.thread().cwd()));
        }
        return Ok(Target::File(call.thread().files().get_any(directory)?));
    }
    let at = start(call, directory, path)?;
    Ok(Target::Place(fs::resolve_as(
        who,
        &at,
        path,
        flags & AT_SYMLINK_NOFOLLOW == 0,
    )?))
}
