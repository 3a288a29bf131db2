//! SCM_RIGHTS: descriptions in flight from one descriptor table to another.

use crate::file::OpenFile;
use alloc::sync::Arc;
use alloc::vec::Vec;
use libsyscall::abi::Errno;

/// Descriptions that go with a segment.
pub struct Rights {
    files: Vec<Arc<OpenFile>>,
}

impl Rights {
    pub fn new(files: Vec<Arc<OpenFile>>) -> Result<Rights, Errno> {
        Ok(Rights { files })
    }

    /// The same once more, for MSG_PEEK: ENOMEM.
    pub fn duplicate(&self) -> Result<Rights, Errno> {
        let mut files = Vec::new();
        files.try_reserve_exact(self.files.len()).map_err(|_| Errno::ENOMEM)?;
        files.extend(self.files.iter().cloned());
        Rights::new(files)
    }

    /// They arrived.
    pub fn land(self) -> Vec<Arc<OpenFile>> {
        self.files
    }
}
