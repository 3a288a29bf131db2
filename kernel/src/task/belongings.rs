//! What a thread has for itself, or shares by clone(2)'s and unshare(2)'s leave: whom it acts for, its descriptors, and
//! where its paths start.

use super::credentials::{Credentials, Ids};
use super::directories::Directories;
use super::{Process, Thread};
use crate::file::{FdTable, TableHolder};
use crate::fs::{self, Place};
use alloc::sync::Arc;
use core::ptr;
use core::sync::atomic::Ordering::Relaxed;
use libsyscall::abi::Errno;
use libsyscall::abi::capability::CAP_SYS_PTRACE;
use libsyscall::abi::process::{CLONE_FILES, CLONE_FS};
use sync::{SpinGuard, SpinLock};

pub struct Belongings {
    credentials: SpinLock<Arc<Credentials>>,
    files: TableHolder,
    /// Gone at its end.
    directories: SpinLock<Option<Arc<Directories>>>,
}

impl Belongings {
    /// User 0's.
    pub fn new(files: Arc<FdTable>, cwd: Option<Place>) -> Belongings {
        Belongings {
            credentials: SpinLock::default(),
            files: TableHolder::new(files),
            directories: SpinLock::new(Some(Arc::new(Directories::new(cwd)))),
        }
    }

    /// A thread's of the kernel's own, which opens nothing.
    pub fn kernel() -> Belongings {
        Belongings::new(FdTable::new(), None)
    }

    /// Of a thread that the running one, `parent`, makes: CLONE_FILES and CLONE_FS say what they share. ENOMEM.
    pub(super) fn inherited(parent: &Thread, flags: u64) -> Result<Belongings, Errno> {
        let files = if flags & CLONE_FILES != 0 {
            // Who closes descriptors is not the only one any more to use them.
            parent.own_files.store(ptr::null_mut(), Relaxed);
            parent.files().clone()
        } else {
            parent.files().duplicate()?
        };
        let directories = match parent.directories() {
            Some(own) if flags & CLONE_FS == 0 => Some(own.copy()),
            shared => shared,
        };
        Ok(Belongings {
            credentials: SpinLock::new(parent.credentials().clone()),
            files: TableHolder::new(files),
            directories: SpinLock::new(directories),
        })
    }

    /// Its thread ends: descriptors are closed that nobody shares, and directories free to go.
    pub(super) fn leave(&self) {
        self.files.leave_last();
        let former = self.directories.lock().take();
        drop(former);
    }
}

/// Directories.
impl Thread {
    fn directories(&self) -> Option<Arc<Directories>> {
        self.belongings.directories.lock().clone()
    }

    /// They, without a share, for what is short.
    fn with_directories<R>(&self, f: impl FnOnce(&Directories) -> R) -> Option<R> {
        self.belongings.directories.lock().as_deref().map(f)
    }

    /// Working directory.
    pub fn cwd(&self) -> Place {
        self.with_directories(Directories::cwd).unwrap_or_else(fs::root)
    }

    pub fn set_cwd(&self, place: Place) {
        if let Some(directories) = self.directories() {
            directories.set_cwd(place);
        }
    }

    /// Where its absolute paths start, and its `..` ends.
    pub fn root(&self) -> Place {
        self.with_directories(Directories::root).unwrap_or_else(fs::root)
    }

    /// chroot(2).
    pub fn set_root(&self, place: Place) {
        if let Some(directories) = self.directories() {
            directories.set_root(place);
        }
    }

    pub fn umask(&self) -> u32 {
        self.with_directories(Directories::umask).unwrap_or(0)
    }

    /// umask(2): the former one.
    pub fn set_umask(&self, mask: u32) -> u32 {
        self.with_directories(|directories| directories.set_umask(mask))
            .unwrap_or(0)
    }

    /// unshare(CLONE_FS) by the running thread.
    pub fn unshare_directories(&self) {
        let copy = self.directories().map(|shared| shared.copy());
        let former = core::mem::replace(&mut *self.belongings.directories.lock(), copy);
        drop(former);
    }
}

/// Descriptors.
impl Thread {
    #[inline]
    pub fn files(&self) -> &Arc<FdTable> {
        self.belongings.files.table()
    }

    /// unshare(CLONE_FILES) by the running thread: ENOMEM.
    pub fn unshare_files(&self) -> Result<(), Errno> {
        self.belongings.files.unshare()
    }
}

/// Credentials.
impl Thread {
    /// They, locked; a share of them stays what they are now.
    pub fn credentials(&self) -> SpinGuard<'_, Arc<Credentials>> {
        self.belongings.credentials.lock()
    }

    /// The running thread's become what `change` makes of them, if it does. Those of its process's first thread are what
    /// others see of the process.
    pub fn change_credentials<R>(&self, change: impl FnOnce(&mut Credentials) -> Result<R, Errno>) -> Result<R, Errno> {
        let former = self.credentials().clone();
        let mut new = (*former).clone();
        let result = change(&mut new)?;
        if new.is_other_than(&former) {
            self.process.dumpable.store(0, Relaxed);
            self.death_signal.store(0, Relaxed);
        }
        self.set_credentials(Arc::new(new));
        Ok(result)
    }

    /// ptrace(2), "Ptrace access mode checking": whether the running thread, by its identity `own` says, may look into
    /// another process and change it.
    pub fn may_trace(&self, other: &Process, own: fn(&Ids) -> u32) -> bool {
        let bearer = self.credentials().clone();
        let is_open_to_all = other.dumpable.load(Relaxed) == 1 || bearer.has(CAP_SYS_PTRACE);
        self.process.pid == other.pid || is_open_to_all && bearer.may_trace(&other.credentials(), own)
    }

    fn set_credentials(&self, new: Arc<Credentials>) {
        if self.tid() == self.process.pid {
            self.process.set_credentials(new.clone());
        }
        let former = core::mem::replace(&mut *self.credentials(), new);
        drop(former);
    }

    /// execve(2) by the running thread, which is the process's first now.
    pub(super) fn reset_credentials(&self) {
        let former = self.credentials().clone();
        let new = former.after_execve();
        let is_closed = new.is_secure() || new.is_other_than(&former);
        self.process.dumpable.store(u32::from(!is_closed), Relaxed);
        if is_closed {
            self.death_signal.store(0, Relaxed);
        }
        self.set_credentials(Arc::new(new));
    }
}
