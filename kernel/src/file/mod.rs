//! Files as descriptors see them: the [`File`] trait, the open file description, the table of descriptors.

pub mod open_file;
pub mod table;

use crate::mm::space::PageSource;
use crate::mm::user::{Sink, Source};
use alloc::string::String;
use alloc::sync::Arc;
use core::any::Any;
use event::Pollable;
use libsyscall::abi::Errno;
pub use open_file::OpenFile;
pub use table::FdTable;

/// What an open file description does. A method not given answers as Linux does for a file without that operation.
pub trait File: Any + Send + Sync {
    /// read(2) at no position: streams. May block unless `open.nonblocking()`.
    fn read(&self, _open: &OpenFile, _to: &mut Sink) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }
    fn write(&self, _open: &OpenFile, _from: &mut Source) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }
    /// Whether it has positions: read(2) then goes through [`File::read_at`] and the description's offset.
    fn seekable(&self) -> bool {
        false
    }
    /// pread(2); ESPIPE for streams.
    fn read_at(&self, _offset: u64, _to: &mut Sink) -> Result<usize, Errno> {
        Err(Errno::ESPIPE)
    }
    fn write_at(&self, _offset: u64, _from: &mut Source) -> Result<usize, Errno> {
        Err(Errno::ESPIPE)
    }
    /// lseek(2) on a file that is not [`File::seekable`]: ESPIPE, or 0 for the anon_inode files.
    fn seek_stream(&self) -> Result<u64, Errno> {
        Err(Errno::ESPIPE)
    }
    /// ioctl(2).
    fn ioctl(&self, _open: &OpenFile, _command: u32, _argument: usize) -> Result<usize, Errno> {
        Err(Errno::ENOTTY)
    }
    /// fstat(2).
    fn stat(&self) -> crate::fs::Stat;
    /// What epoll and poll watch; `None`: always ready, and EPERM from epoll_ctl(2).
    fn pollable(self: Arc<Self>) -> Option<Arc<dyn Pollable>> {
        None
    }
    /// What mmap(2) maps; ENODEV where it can't.
    fn pages(&self) -> Result<Arc<dyn PageSource>, Errno> {
        Err(Errno::ENODEV)
    }
    /// The inode behind it, for fchmod, ftruncate, getdents and their kind.
    fn inode(&self) -> Option<Arc<dyn crate::fs::Inode>> {
        None
    }
    /// What readlink of /proc/self/fd/N says: a path, or "anon_inode:[eventpoll]".
    fn link_name(&self) -> String;
    /// Lines of /proc/self/fdinfo/N after the common ones.
    fn fdinfo(&self, _out: &mut String) {}
    /// The last reference to the description has gone.
    fn release(&self, _open: &OpenFile) {}
}
