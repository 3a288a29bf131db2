//! Who may do what: permission bits against a caller's identity, path_resolution(7).

use super::Stat;
use crate::task::Thread;
use crate::task::capabilities::Capabilities;
use alloc::sync::Arc;
use libsyscall::abi::Errno;
use libsyscall::abi::capability::{CAP_DAC_OVERRIDE, CAP_FOWNER};
use libsyscall::abi::fcntl::*;

/// Whose rights count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub uid: u32,
    pub gid: u32,
    /// The effective ones.
    pub capabilities: u64,
}

/// The kernel itself.
pub const ROOT: Credentials = Credentials {
    uid: 0,
    gid: 0,
    capabilities: Capabilities::ALL.effective,
};

/// The running thread's.
pub fn current() -> Credentials {
    crate::task::with_current(|thread| {
        let credentials = thread.credentials();
        Credentials {
            uid: credentials.uid.file,
            gid: credentials.gid.file,
            capabilities: credentials.capabilities.effective,
        }
    })
}

/// The running thread's by its real ids, access(2).
pub fn by_real_ids() -> Credentials {
    crate::task::with_current(|thread| {
        let credentials = thread.credentials();
        Credentials {
            uid: credentials.uid.real,
            gid: credentials.gid.real,
            capabilities: credentials.capabilities.by_real_user(credentials.uid.real),
        }
    })
}

impl Credentials {
    pub fn has(&self, capability: u32) -> bool {
        self.capabilities & 1 << capability != 0
    }

    /// Whether this is a member of the group, also by the running thread's further groups.
    pub fn is_member(&self, gid: u32) -> bool {
        let is_other = |thread: &Arc<Thread>| thread.credentials().groups.contains(&gid);
        self.gid == gid || crate::task::with_current(is_other)
    }

    /// EACCES unless all of `wanted` (R_OK, W_OK, X_OK) is granted. CAP_DAC_OVERRIDE needs one x bit only to execute a file.
    pub fn check(&self, stat: &Stat, wanted: u32) -> Result<(), Errno> {
        let granted = if self.has(CAP_DAC_OVERRIDE) {
            let any_x = stat.kind() == S_IFDIR || stat.mode & 0o111 != 0;
            R_OK | W_OK | if any_x { X_OK } else { 0 }
        } else if self.uid == stat.uid {
            stat.mode >> 6
        } else if self.is_member(stat.gid) {
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

    /// Whether this is the file's owner, or may do what owners may.
    pub fn owns(&self, stat: &Stat) -> bool {
        self.has(CAP_FOWNER) || self.uid == stat.uid
    }

    /// EPERM where the sticky bit of the directory keeps others' names from being removed.
    pub fn check_sticky(&self, directory: &Stat, child: &Stat) -> Result<(), Errno> {
        if directory.mode & S_ISVTX != 0 && !self.owns(directory) && !self.owns(child) {
            return Err(Errno::EPERM);
        }
        Ok(())
    }
}
