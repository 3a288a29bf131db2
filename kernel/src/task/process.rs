//! A process: what its threads share.
use crate::file::FdTable;
use crate::mm::space::AddressSpace;
use alloc::sync::Arc;

pub struct Process {
    pub pid: i32,
}

impl Process {
    pub fn files(&self) -> &Arc<FdTable> {
        todo!()
    }
    pub fn space(&self) -> Arc<AddressSpace> {
        todo!()
    }
    /// Soft limit of RLIMIT_NOFILE.
    pub fn file_limit(&self) -> usize {
        todo!()
    }
    /// Working directory.
    pub fn cwd(&self) -> crate::fs::Place {
        todo!()
    }
    pub fn umask(&self) -> u32 {
        todo!()
    }
    /// (effective uid, effective gid); permission checks.
    pub fn credentials(&self) -> (u32, u32) {
        todo!()
    }

    pub fn set_umask(&self, _mask: u32) -> u32 {
        todo!()
    }
    pub fn set_cwd(&self, _place: crate::fs::Place) {
        todo!()
    }
    pub fn session(&self) -> i32 {
        todo!()
    }
    pub fn group(&self) -> i32 {
        todo!()
    }
}
