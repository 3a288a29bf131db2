//! Where a thread's paths start, and what they are made with: clone(2), CLONE_FS.

use crate::fs::{self, Place};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use sync::SpinLock;

/// Shared by the threads of a process, and by whoever else clone(2) has been asked for it.
pub struct Directories {
    /// `None` stands for `/`.
    cwd: SpinLock<Option<Place>>,
    /// Where absolute paths start, and `..` ends, where chroot(2) has said so.
    root: SpinLock<Option<Place>>,
    umask: AtomicU32,
}

impl Directories {
    pub fn new(cwd: Option<Place>) -> Directories {
        Directories {
            cwd: SpinLock::new(cwd),
            root: SpinLock::new(None),
            umask: AtomicU32::new(0o022),
        }
    }

    /// The same, for somebody who goes his own ways.
    pub fn copy(&self) -> Arc<Directories> {
        Arc::new(Directories {
            cwd: SpinLock::new(self.cwd.lock().clone()),
            root: SpinLock::new(self.root.lock().clone()),
            umask: AtomicU32::new(self.umask()),
        })
    }

    /// Working directory.
    pub fn cwd(&self) -> Place {
        self.cwd.lock().clone().unwrap_or_else(fs::root)
    }

    pub fn set_cwd(&self, place: Place) {
        let former = self.cwd.lock().replace(place);
        drop(former);
    }

    pub fn root(&self) -> Place {
        self.root.lock().clone().unwrap_or_else(fs::root)
    }

    /// chroot(2).
    pub fn set_root(&self, place: Place) {
        let former = self.root.lock().replace(place);
        drop(former);
    }

    pub fn umask(&self) -> u32 {
        self.umask.load(Relaxed)
    }

    /// umask(2): the former one.
    pub fn set_umask(&self, mask: u32) -> u32 {
        self.umask.swap(mask & 0o777, Relaxed)
    }
}
