//! Files as descriptors see them: the [`File`] trait, the open file description, the table of descriptors.

pub mod anon;
pub mod holder;
pub mod lock;
pub mod open_file;
pub mod signal_driven;
pub mod table;
#[cfg(feature = "ktest")]
pub mod tests;

use crate::fs::{Attributes, Place, Stat};
use crate::mm::space::PageSource;
use crate::mm::user::{Sink, Source};
use alloc::string::String;
use alloc::sync::Arc;
use core::any::Any;
use event::{Epoll, EventMask, Pollable};
pub use holder::TableHolder;
use libsyscall::abi::Errno;
pub use open_file::OpenFile;
use signal_driven::{Band, Owner};
use sync::SpinLock;
pub use table::{FdTable, Slots};

/// Registrations a user may have in all epolls, /proc/sys/fs/epoll/max_user_watches.
pub const MAX_USER_WATCHES: usize = 1 << 20;

/// What is made at a time of a long /proc/PID/fdinfo/N, in bytes.
pub const FDINFO_PIECE: usize = 4096;

/// What an open file description does. A method not given answers as Linux does for a file without that operation.
pub trait File: Any + Send + Sync {
    /// read(2) at no position: streams. May block unless `open.nonblocking()`.
    fn read(&self, _open: &OpenFile, _to: &mut Sink) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }
    fn write(&self, _open: &OpenFile, _from: &mut Source) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }
    /// Whether it has a read and a write at all: where it has none a call is EINVAL before its address is looked at.
    fn transfers(&self) -> (bool, bool) {
        (true, true)
    }
    /// Whether writev(2) is a write of each segment on its own, as Linux does it for files without a `write_iter`.
    fn writes_by_segment(&self) -> bool {
        false
    }
    /// Whether it has positions: read(2) then goes through [`File::read_at`] and the description's offset.
    fn seekable(&self) -> bool {
        false
    }
    /// Whether pread(2) and pwrite(2) work.
    fn positioned(&self) -> bool {
        self.seekable()
    }
    /// pread(2); ESPIPE for streams. Moves at most [`open_file::PIECE`] bytes; fewer mean the end.
    fn read_at(&self, _offset: u64, _to: &mut Sink) -> Result<usize, Errno> {
        Err(Errno::ESPIPE)
    }
    /// pwrite(2); ESPIPE for streams. Moves at most [`open_file::PIECE`] bytes; fewer mean that no more go.
    fn write_at(&self, _offset: u64, _from: &mut Source) -> Result<usize, Errno> {
        Err(Errno::ESPIPE)
    }
    /// A write with O_APPEND: bytes written and the offset after them.
    fn append(&self, _from: &mut Source) -> Result<(usize, u64), Errno> {
        Err(Errno::ESPIPE)
    }
    /// lseek(2) on a file that is not [`File::seekable`]: ESPIPE, or 0 for the anon_inode files.
    fn seek_stream(&self) -> Result<u64, Errno> {
        Err(Errno::ESPIPE)
    }
    /// Whether F_SETFL may set O_DIRECT.
    fn takes_direct(&self) -> bool {
        false
    }
    /// ioctl(2).
    fn ioctl(&self, _open: &OpenFile, _command: u32, _argument: usize) -> Result<usize, Errno> {
        Err(Errno::ENOTTY)
    }
    /// fstat(2).
    fn stat(&self) -> Stat;
    /// What epoll and poll watch; `None`: always ready, and EPERM from epoll_ctl(2).
    fn pollable(self: Arc<Self>) -> Option<Arc<dyn Pollable>> {
        None
    }
    /// Whether O_ASYNC is of use: it then has a [`File::pollable`] and says what its wake-ups mean.
    fn sends_signals(&self) -> bool {
        false
    }
    /// What a signal says of a wake-up with these bits; none for `None`. Called under the queue's lock.
    fn band(&self, _events: EventMask) -> Option<Band> {
        None
    }
    /// Whether bytes with urgent ones among them come (`RDBAND` in a wake-up): the owner hears of those by SIGURG, O_ASYNC or
    /// not.
    fn has_urgent_bytes(&self) -> bool {
        false
    }
    /// Who gets the signals where the program has named nobody.
    fn usual_owner(&self) -> Option<Owner> {
        None
    }
    /// The epoll behind the file, if it is one.
    fn epoll(&self) -> Option<&Arc<Epoll>> {
        None
    }
    /// What mmap(2) maps; ENODEV where it can't.
    fn pages(&self) -> Result<Arc<dyn PageSource>, Errno> {
        Err(Errno::ENODEV)
    }
    /// What mmap(2) maps where the mapping is shared and may be written, now or after mprotect(2); `None` where the file
    /// is sealed against that.
    fn writable_pages(&self) -> Result<Option<Arc<dyn PageSource>>, Errno> {
        self.pages().map(Some)
    }
    /// Its place in the tree, for fchmod, ftruncate, getdents and their kind; nameless files have none.
    fn place(&self) -> Option<&Place> {
        None
    }
    /// What fchmod and its kind change of a nameless file; `None` where nothing can be.
    fn attributes(&self) -> Option<&SpinLock<Attributes>> {
        None
    }
    /// What readlink of /proc/self/fd/N says: a path, or "anon_inode:[eventpoll]".
    fn link_name(&self) -> String;
    /// A new description's file for opening /proc/self/fd/N; only asked where there is no [`File::place`].
    fn reopen(&self, _flags: u32) -> Result<Arc<dyn File>, Errno> {
        Err(Errno::ENXIO)
    }
    /// Lines of /proc/self/fdinfo/N after the common ones.
    fn fdinfo(&self, _out: &mut String) {}
    /// Lines after those, of which there may be any number: from item `from` on, some [`FDINFO_PIECE`] bytes of them. The
    /// item to go on from, if there are more.
    fn fdinfo_items(&self, _from: u32, _out: &mut String) -> Option<u32> {
        None
    }
    /// The last reference to the description has gone.
    fn release(&self, _open: &OpenFile) {}
    /// Whether who closes the last descriptor waits for something, once the description is released: SO_LINGER.
    fn lingers(&self) -> bool {
        false
    }
    /// That wait.
    fn linger(&self) {}
}
