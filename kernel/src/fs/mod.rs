//! The one tree of names: tmpfs at the root, with /dev in it and /proc on it; terminals and message queues have directories of
//! their own in /dev.
//!
//! A [`Place`] is a name in the tree with the [`Inode`] it leads to; it knows its parent, so `..`, getcwd(2) and
//! /proc/self/fd follow renames. [`walk`] turns paths into places, [`open`] places into files, [`tmpfs`] keeps what
//! programs store, [`proc`] tells what the kernel knows.
//!
//! Locks, outermost first: a description's offset, `tmpfs::TREE`, a directory's entries, a place's position, an
//! inode's attributes, a file's pages. None is held while a file or place is dropped.

pub mod access;
mod attributes;
mod device;
pub mod devpts;
pub mod directory;
mod initramfs;
mod open;
pub mod place;
pub mod proc;
#[cfg(feature = "ktest")]
pub mod tests;
pub mod tmpfs;
pub mod walk;
pub mod watch;

use crate::file::File;
use crate::mm::user::Sink;
use access::Credentials;
use alloc::sync::Arc;
use alloc::vec::Vec;
pub use attributes::{Attributes, Change};
use core::any::Any;
pub use device::CONSOLE as CONSOLE_DEVICE;
pub use directory::read_directory;
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::*;
pub use open::{open, open_place};
pub use place::Place;
use spin::Once;
use tmpfs::New;
pub use walk::{Bounds, resolve, resolve_as};

/// stat(2)'s answer, before the machine's layout.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stat {
    pub dev: u64,
    pub ino: u64,
    pub mode: u32,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    pub rdev: u64,
    pub size: u64,
    pub blocks: u64,
    pub atime_ns: i64,
    pub mtime_ns: i64,
    pub ctime_ns: i64,
    /// When the file was made, where its filesystem keeps that.
    pub birth_ns: Option<i64>,
}

impl Stat {
    /// The type bits of the mode: S_IFREG and its kind.
    pub fn kind(&self) -> u32 {
        self.mode & S_IFMT
    }
}

/// Device numbers of the filesystems, as st_dev shows them.
pub const TMPFS_DEVICE: u64 = device(0, 1);
pub const PROC_DEVICE: u64 = device(0, 2);
pub const PIPE_DEVICE: u64 = device(0, 3);
pub const ANONYMOUS_DEVICE: u64 = device(0, 4);
pub const SOCKET_DEVICE: u64 = device(0, 5);
pub const DEVPTS_DEVICE: u64 = device(0, 6);
pub const MQUEUE_DEVICE: u64 = device(0, 7);

/// Where a symbolic link leads.
pub enum Link {
    Path(Vec<u8>),
    /// Straight to a place whatever its name: /proc/self/exe, /proc/self/fd/N.
    Place(Place),
}

/// One name of a directory, as getdents64(2) gives it.
pub struct Listed<'a> {
    pub name: &'a [u8],
    pub ino: u64,
    /// S_IFREG and its kind; 0 for unknown.
    pub kind: u32,
    /// The position after it.
    pub next: u64,
}

/// A node of the tree: what is the same under all its names.
pub trait Inode: Any + Send + Sync {
    fn stat(&self) -> Stat;
    /// A file for a new description; `place` is the name it was opened by. Access has been checked.
    fn open(self: Arc<Self>, place: &Place, flags: u32) -> Result<Arc<dyn File>, Errno>;
    /// The child `name` of the directory `this`; ENOENT.
    fn lookup(&self, _this: &Place, _name: &[u8]) -> Result<Place, Errno> {
        Err(Errno::ENOTDIR)
    }
    /// Gives the names from position `from` on (without `.` and `..`) until `give` says false. Positions start at 2.
    fn list(&self, _this: &Place, _from: u64, _give: &mut dyn FnMut(Listed) -> bool) -> Result<(), Errno> {
        Err(Errno::ENOTDIR)
    }
    /// Makes `name` in the directory `this` where that is not tmpfs's, if `who` may.
    fn create(&self, _who: &Credentials, _this: &Place, _name: &[u8], _new: &New) -> Result<Place, Errno> {
        Err(Errno::ENOENT)
    }
    /// Removes `name` from it likewise: unlink(2), or rmdir(2) where `_directory_wanted`.
    fn remove(&self, _who: &Credentials, _this: &Place, _name: &[u8], _directory_wanted: bool) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }
    /// readlink(2).
    fn follow(&self) -> Result<Link, Errno> {
        Err(Errno::EINVAL)
    }
    fn truncate(&self, _size: u64) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }
    fn change(&self, _change: &Change) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }
}

/// Nanoseconds since 1970, for the times of files.
pub fn now_ns() -> i64 {
    crate::time::realtime_ns() as i64
}

/// A new inode number, unique over all filesystems.
pub fn new_ino() -> u64 {
    use core::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(2);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

static ROOT: Once<Place> = Once::new();

/// Builds the tree: tmpfs filled from the cpio archive, /dev, /proc.
pub fn init(initramfs: &'static [u8]) {
    let root = Place::root(tmpfs::Node::directory(0o755, access::ROOT));
    ROOT.call_once(|| root.clone());
    // A damaged archive leaves what came before the damage; a missing program is reported when it is started.
    if let Err(why) = initramfs::unpack(&root, initramfs) {
        log::error!("initramfs: {why}");
    }
    if let Err(error) = device::populate(&root).and_then(|()| proc::mount(&root)) {
        log::error!("the first files can't be made: {error}");
    }
}

/// The root directory.
pub fn root() -> Place {
    ROOT.get().expect("fs::init has run").clone()
}

/// Reads a whole file, for the kernel's own needs (`/.vigil/argv`).
pub fn read_file(path: &str) -> Result<Vec<u8>, Errno> {
    let place = walk::resolve_as(&access::ROOT, &root(), path.as_bytes(), true)?;
    let size = place.inode().stat().size as usize;
    let file = place.inode().clone().open(&place, O_RDONLY)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).map_err(|_| Errno::ENOMEM)?;
    bytes.resize(size, 0);
    let mut done = 0;
    while done < size {
        match file.read_at(done as u64, &mut Sink::kernel(&mut bytes[done..]))? {
            0 => break,
            count => done += count,
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}
