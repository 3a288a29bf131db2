//! Anonymous shared memory: pages that live as long as a mapping, or a fork's copy of one, does.

use super::PageSource;
use crate::mm::frame::{self, Frame};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};
use libsyscall::abi::Errno;
use sync::SpinLock;

/// The object behind a MAP_SHARED | MAP_ANONYMOUS mapping.
pub struct SharedMemory {
    size: u64,
    inode: u64,
    pages: SpinLock<BTreeMap<u64, Frame>>,
}

/// The device that Linux shows for shared memory: 0:1.
const DEVICE: u64 = 1;
static NEXT_INODE: AtomicU64 = AtomicU64::new(1);

impl SharedMemory {
    pub fn new(size: u64) -> Result<Arc<SharedMemory>, Errno> {
        frame::admit()?;
        let inode = NEXT_INODE.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(SharedMemory {
            size,
            inode,
            pages: SpinLock::new(BTreeMap::new()),
        }))
    }
}

impl PageSource for SharedMemory {
    fn page(&self, index: u64) -> Result<Frame, Errno> {
        if index >= self.size.div_ceil(crate::arch::PAGE_SIZE as u64) {
            return Err(Errno::EFAULT);
        }
        let mut pages = self.pages.lock();
        if let Some(frame) = pages.get(&index) {
            return Ok(frame.clone());
        }
        let frame = Frame::zeroed().map_err(|_| Errno::ENOMEM)?;
        pages.insert(index, frame.clone());
        Ok(frame)
    }

    fn present(&self, index: u64) -> Option<Frame> {
        self.pages.lock().get(&index).cloned()
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn identity(&self) -> (u64, u64) {
        (DEVICE, self.inode)
    }

    fn name(&self) -> String {
        String::from("/dev/zero (deleted)")
    }
}
