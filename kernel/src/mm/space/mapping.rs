//! What a region is: its backing, what it allows, and what fork(2) does with it.

use super::Mappers;
use crate::arch::paging::PageFlags;
use crate::mm::frame::Frame;
use crate::trap::Access;
use alloc::string::String;
use alloc::sync::Arc;
use libsyscall::abi::Errno;

bitflags::bitflags! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Protection: u32 {
        const READ = 1;
        const WRITE = 2;
        const EXEC = 4;
    }
}

/// Pages by number: a file's contents, a shared-memory object.
pub trait PageSource: Send + Sync {
    /// The frame of page `index`; SIGBUS (`EFAULT`) past the end, ENOMEM. Called without the address space's lock.
    fn page(&self, index: u64) -> Result<Frame, Errno>;
    /// The frame of page `index` if there is one already: a fault enters neighbours, but makes none for them.
    fn present(&self, index: u64) -> Option<Frame>;
    /// Size in bytes now.
    fn size(&self) -> u64;
    /// A page of it has been mapped to be written, by a write through a shared mapping. Called without the address space's
    /// lock.
    fn written(&self) {}
    /// Who is told when pages go away; nobody where none ever does.
    fn mappers(&self) -> Option<&Mappers> {
        None
    }
    /// Device and inode, which are its identity for shared futexes too.
    fn identity(&self) -> (u64, u64);
    /// Its path, for /proc/self/maps.
    fn name(&self) -> String;
}

/// What lies behind a region.
#[derive(Clone)]
pub enum Backing {
    /// Zeroes, private.
    Anonymous,
    /// A file from `offset` on, private: copied when written.
    PrivateFile { file: Arc<dyn PageSource>, offset: u64 },
    /// A file, or an object of shared memory, from `offset` on: writes are everybody's.
    SharedFile { file: Arc<dyn PageSource>, offset: u64 },
}

impl Backing {
    pub fn is_private(&self) -> bool {
        !matches!(self, Backing::SharedFile { .. })
    }

    pub fn file(&self) -> Option<(&Arc<dyn PageSource>, u64)> {
        match self {
            Backing::Anonymous => None,
            Backing::PrivateFile { file, offset } | Backing::SharedFile { file, offset } => Some((file, *offset)),
        }
    }
}

/// What fork(2) does with a region: madvise(2), MADV_DONTFORK and MADV_WIPEONFORK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFork {
    Copy,
    LeaveOut,
    Empty,
}

/// The attributes of a region.
#[derive(Clone)]
pub struct Mapping {
    pub protection: Protection,
    /// What mprotect(2) may make of it: no writing through a description opened for reading.
    pub allowed: Protection,
    pub backing: Backing,
    pub on_fork: OnFork,
    /// A stack: grows down to the limit when the page below it is touched.
    pub grows_down: bool,
    /// mlock(2). No page is ever taken away, so it only says what a program may not ask for.
    pub locked: bool,
}

impl Mapping {
    pub fn mappers(&self) -> Option<&Mappers> {
        self.backing.file().and_then(|(file, _)| file.mappers())
    }

    /// Whether it counts as data: RLIMIT_DATA, getrlimit(2).
    pub fn is_data(&self) -> bool {
        self.may_be_data() && self.protection.contains(Protection::WRITE)
    }

    /// Whether it counts as data when it may be written.
    pub fn may_be_data(&self) -> bool {
        self.backing.is_private() && !self.grows_down
    }

    pub fn new(protection: Protection, backing: Backing) -> Mapping {
        Mapping {
            protection,
            allowed: Protection::all(),
            backing,
            on_fork: OnFork::Copy,
            grows_down: false,
            locked: false,
        }
    }

    /// Whether user code may do that. As on Linux, whatever can be touched at all can be read.
    pub fn permits(&self, access: Access) -> bool {
        match access {
            Access::Read => !self.protection.is_empty(),
            Access::Write => self.protection.contains(Protection::WRITE),
            Access::Execute => self.protection.contains(Protection::EXEC),
        }
    }

    /// The flags of a page that this mapping may do with as it likes.
    pub fn page_flags(&self) -> PageFlags {
        let mut flags = PageFlags::USER | PageFlags::COUNTED;
        if !self.protection.is_empty() {
            flags |= PageFlags::READ;
        }
        if self.protection.contains(Protection::WRITE) {
            flags |= PageFlags::WRITE;
        }
        if self.protection.contains(Protection::EXEC) {
            flags |= PageFlags::EXEC;
        }
        flags
    }
}

impl regions::Attributes for Mapping {
    fn advanced(&self, bytes: usize) -> Self {
        let mut mapping = self.clone();
        if let Backing::PrivateFile { offset, .. } | Backing::SharedFile { offset, .. } = &mut mapping.backing {
            *offset += bytes as u64;
        }
        mapping
    }

    fn continues(&self, len: usize, next: &Self) -> bool {
        let backing = match (&self.backing, &next.backing) {
            (Backing::Anonymous, Backing::Anonymous) => true,
            (
                Backing::PrivateFile { file, offset },
                Backing::PrivateFile {
                    file: other,
                    offset: next,
                },
            )
            | (
                Backing::SharedFile { file, offset },
                Backing::SharedFile {
                    file: other,
                    offset: next,
                },
            ) => Arc::ptr_eq(file, other) && offset + len as u64 == *next,
            _ => false,
        };
        backing
            && self.protection == next.protection
            && self.allowed == next.allowed
            && self.on_fork == next.on_fork
            && self.locked == next.locked
            && self.grows_down == next.grows_down
    }
}
