//! The open file description: what dup(2) and fork(2) share.
use super::File;
use alloc::sync::Arc;
use libsyscall::abi::Errno;

/// Status flags, offset and the file itself; the registrations of epoll hang on it.
pub struct OpenFile {
    pub file: Arc<dyn File>,
}

impl OpenFile {
    /// `flags`: access mode and status flags of open(2), as F_GETFL gives them back.
    pub fn new(_file: Arc<dyn File>, _flags: u32) -> Arc<OpenFile> {
        todo!()
    }
    pub fn flags(&self) -> u32 {
        todo!()
    }
    /// F_SETFL: changes O_APPEND, O_ASYNC, O_DIRECT, O_NOATIME, O_NONBLOCK only.
    pub fn set_flags(&self, _flags: u32) {
        todo!()
    }
    pub fn nonblocking(&self) -> bool {
        todo!()
    }
    /// Identity for epoll's keys and fdinfo; never used twice.
    pub fn id(&self) -> u64 {
        todo!()
    }
    /// The concrete file, where it is a `T`.
    pub fn downcast<T: File>(&self) -> Option<&T> {
        (&*self.file as &dyn core::any::Any).downcast_ref()
    }
    /// read(2): EBADF by access mode, then the file's stream or positioned read.
    pub fn read(&self, _to: &mut crate::mm::user::Sink) -> Result<usize, Errno> {
        todo!()
    }
    pub fn write(&self, _from: &mut crate::mm::user::Source) -> Result<usize, Errno> {
        todo!()
    }
}
