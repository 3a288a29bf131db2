//! A process's descriptors.
use super::OpenFile;
use alloc::sync::Arc;
use libsyscall::abi::Errno;

pub struct FdTable {}

impl FdTable {
    pub fn new() -> Arc<FdTable> {
        todo!()
    }
    /// EBADF where `fd` is not open.
    pub fn get(&self, _fd: i32) -> Result<Arc<OpenFile>, Errno> {
        todo!()
    }
    /// The lowest free number from `from` on, below `limit` (RLIMIT_NOFILE): EMFILE.
    pub fn insert(&self, _file: Arc<OpenFile>, _cloexec: bool, _from: i32, _limit: usize) -> Result<i32, Errno> {
        todo!()
    }
    /// dup2(2): what was at `fd` is closed (returned, to be dropped by the caller without locks).
    pub fn replace(
        &self,
        _fd: i32,
        _file: Arc<OpenFile>,
        _cloexec: bool,
        _limit: usize,
    ) -> Result<Option<Arc<OpenFile>>, Errno> {
        todo!()
    }
    pub fn close(&self, _fd: i32) -> Result<Arc<OpenFile>, Errno> {
        todo!()
    }
    /// fork(2).
    pub fn duplicate(&self) -> Result<Arc<FdTable>, Errno> {
        todo!()
    }
    /// execve(2).
    pub fn close_on_exec(&self) {
        todo!()
    }
}
