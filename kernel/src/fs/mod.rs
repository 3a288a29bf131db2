//! The one tree of names: tmpfs at the root, with /proc and /dev on it.
use crate::file::OpenFile;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use libsyscall::abi::Errno;

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
}

/// A node of the tree. The owner of `fs` completes this.
pub trait Inode: Send + Sync {
    fn stat(&self) -> Stat;
}

/// A place in the tree: working directories, roots.
#[derive(Clone)]
pub struct Place {
    pub inode: Arc<dyn Inode>,
    /// Absolute path, for getcwd(2) and /proc.
    pub path: Arc<str>,
}

/// Builds the tree: tmpfs filled from the cpio archive, /dev, /proc.
pub fn init(_initramfs: &'static [u8]) {
    todo!()
}

/// The root directory.
pub fn root() -> Place {
    todo!()
}

/// open(2) relative to `at` with the running thread's credentials.
pub fn open(_at: &Place, _path: &[u8], _flags: u32, _mode: u32) -> Result<Arc<OpenFile>, Errno> {
    todo!()
}

/// Reads a whole file, for the kernel's own needs (`/.vigil/argv`).
pub fn read_file(_path: &str) -> Result<Vec<u8>, Errno> {
    todo!()
}

/// The name of a place as text.
pub fn display(place: &Place) -> String {
    String::from(&*place.path)
}
