//! Address spaces: regions, demand paging, copy on write.
use super::frame::Frame;
use crate::trap::Access;
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

/// What lies behind a region.
#[derive(Clone)]
pub enum Backing {
    /// Zeroes, private.
    Anonymous,
    /// Zeroes shared over fork: an object of its own.
    Shared(Arc<dyn PageSource>),
    /// A file from `offset` on, private: copied when written.
    PrivateFile { file: Arc<dyn PageSource>, offset: u64 },
    /// A file from `offset` on: writes are the file's.
    SharedFile { file: Arc<dyn PageSource>, offset: u64 },
}

/// Pages by number: a file's contents, a shared-memory object.
pub trait PageSource: Send + Sync {
    /// The frame of page `index`; SIGBUS (`EFAULT`) past the end, ENOMEM.
    fn page(&self, index: u64) -> Result<Frame, Errno>;
    /// Size in bytes now.
    fn size(&self) -> u64;
    /// What /proc/self/maps names it: (device, inode, path).
    fn identity(&self) -> (u64, u64, alloc::string::String);
}

/// Why a fault can't be mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGSEGV, SEGV_MAPERR.
    NotMapped,
    /// SIGSEGV, SEGV_ACCERR.
    NotAllowed,
    /// SIGBUS, BUS_ADRERR: past the end of the file.
    PastEnd,
    OutOfMemory,
}

/// One address space; threads of a process share it, and so do a vfork's parent and child.
pub struct AddressSpace {}

impl AddressSpace {
    pub fn new() -> Result<Arc<AddressSpace>, Errno> {
        todo!()
    }
    /// fork(2): the same regions, private ones copied when written.
    pub fn fork(&self) -> Result<Arc<AddressSpace>, Errno> {
        todo!()
    }
    /// mmap(2). `address` is a hint, or the place itself where `fixed`.
    pub fn map(
        &self,
        _address: usize,
        _len: usize,
        _protection: Protection,
        _backing: Backing,
        _fixed: Placement,
    ) -> Result<usize, Errno> {
        todo!()
    }
    pub fn unmap(&self, _address: usize, _len: usize) -> Result<(), Errno> {
        todo!()
    }
    /// Mends a fault, or says why it can't be.
    pub fn handle_fault(&self, _address: usize, _access: Access) -> Result<(), Fault> {
        todo!()
    }
    /// Writes into the space whether it is active or not (exec fills a new one): EFAULT where not mapped.
    pub fn write(&self, _address: usize, _bytes: &[u8]) -> Result<(), Errno> {
        todo!()
    }
    /// Where brk(2) starts; set by exec.
    pub fn set_heap_start(&self, _address: usize) {
        todo!()
    }
    /// Makes this the current CPU's address space.
    pub fn activate(&self) {
        todo!()
    }
    /// (bytes mapped, bytes of them in memory), for /proc.
    pub fn usage(&self) -> (usize, usize) {
        todo!()
    }
    /// The lines of /proc/PID/maps, proc_pid_maps(5); regions named `[heap]` and `[stack]` as on Linux.
    pub fn describe(&self, _text: &mut alloc::string::String) {
        todo!()
    }
    /// A key of a shared futex: what the page at `address` is, the same for all who map it; private pages by space.
    pub fn futex_key(&self, _address: usize) -> Result<(u64, u64), Errno> {
        todo!()
    }
}

/// Where mmap(2) may put a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    Anywhere,
    /// MAP_FIXED: what is there goes.
    Fixed,
    /// MAP_FIXED_NOREPLACE: EEXIST where something is.
    Vacant,
}

/// Moves this CPU off its address space if that one is about to be freed.
pub(super) fn leave_if_dying(_cpu: usize) {}
