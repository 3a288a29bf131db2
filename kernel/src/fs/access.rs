//! Who may do what: permission bits against a caller's identity, path_resolution(7).

use super::Stat;
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::*;

/// Whose rights count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub uid: u32,
    pub gid: u32,
}

/// The kernel itself.
pub const ROOT: Credentials = Credentials { uid: 0, gid: 0 };

/// The running thread's.
pub fn current() -> Credentials {
    let (uid, gid) = crate::task::with_current(|thread| thread.process.credentials());
    Credentials { uid, gid }
}

impl Credentials {
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// EACCES unless all of `wanted` (R_OK, W_OK, X_OK) is granted. Root needs one x bit only to execute a file.
    pub fn check(&self, stat: &Stat, wanted: u32) -> Result<(), Errno> {
        let granted = if self.is_root() {
            let any_x = stat.kind() == S_IFDIR || stat.mode & 0o111 != 0;
            R_OK | W_OK | if any_x { X_OK } else { 0 }
        } else if self.uid == stat.uid {
            stat.mode >> 6
        } else if self.gid == stat.gid {
            stat.mode >> 3
        } else {
            stat.mode
        };
        if wanted & !granted & 7 == 0 {
            Ok(())
        } else {
            Err(Errno::EACCES)
        }
    }

    /// Whether this is the file's owner or root.
    pub fn owns(&self, stat: &Stat) -> bool {
        self.is_root() || self.uid == stat.uid
    }

    /// EPERM where the sticky bit of the directory keeps others' names from being removed.
    pub fn check_sticky(&self, directory: &Stat, child: &Stat) -> Result<(), Errno> {
        if directory.mode & S_ISVTX != 0 && !self.owns(directory) && !self.owns(child) {
            return Err(Errno::EPERM);
        }
        Ok(())
    }
}
