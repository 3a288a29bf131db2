//! A regular file as descriptors and mappings know it.

use super::super::{Inode, Place, Stat};
use super::seals::Seals;
use super::{Contents, Node};
use crate::file::{File, OpenFile};
use crate::mm::frame::Frame;
use crate::mm::space::{Mappers, PageSource};
use crate::mm::user::{self, Sink, Source};
use alloc::string::String;
use alloc::sync::Arc;
use libsyscall::abi::Errno;
use libsyscall::abi::ioctl::FIONREAD;

/// An open regular file.
pub struct RegularFile {
    mapping: Arc<Mapping>,
}

/// A file as a mapping knows it: its pages, and the name it was opened by for /proc/self/maps.
struct Mapping {
    node: Arc<Node>,
    place: Place,
}

impl Mapping {
    fn contents(&self) -> &Contents {
        self.node.contents().expect("a regular file has contents")
    }
}

impl RegularFile {
    pub fn new(node: Arc<Node>, place: Place) -> RegularFile {
        RegularFile {
            mapping: Arc::new(Mapping { node, place }),
        }
    }

    pub fn contents(&self) -> &Contents {
        self.mapping.contents()
    }

    /// F_ADD_SEALS: [`Node::add_seals`].
    pub fn add_seals(&self, seals: Seals) -> Result<(), Errno> {
        self.mapping.node.add_seals(seals)
    }
}

impl File for RegularFile {
    fn seekable(&self) -> bool {
        true
    }

    fn takes_direct(&self) -> bool {
        true
    }

    fn read_at(&self, offset: u64, to: &mut Sink) -> Result<usize, Errno> {
        let count = self.contents().read_at(offset, to)?;
        if count > 0 {
            self.mapping.node.accessed();
        }
        Ok(count)
    }

    fn write_at(&self, offset: u64, from: &mut Source) -> Result<usize, Errno> {
        let count = self.contents().write_at(offset, from)?;
        if count > 0 {
            self.mapping.node.modified();
        }
        Ok(count)
    }

    fn append(&self, from: &mut Source) -> Result<(usize, u64), Errno> {
        let (count, end) = self.contents().append(from)?;
        if count > 0 {
            self.mapping.node.modified();
        }
        Ok((count, end))
    }

    fn ioctl(&self, open: &OpenFile, command: u32, argument: usize) -> Result<usize, Errno> {
        /// FICLONE: this filesystem shares no blocks.
        const FICLONE: u32 = 0x4004_9409;
        match command {
            FIONREAD => {
                let left = self.contents().size().saturating_sub(open.offset());
                user::write(argument, &(left.min(i32::MAX as u64) as i32))?;
                Ok(0)
            }
            FICLONE => Err(Errno::EOPNOTSUPP),
            _ => Err(Errno::ENOTTY),
        }
    }

    fn stat(&self) -> Stat {
        self.mapping.node.stat()
    }

    /// To map a file is to access it.
    fn pages(&self) -> Result<Arc<dyn PageSource>, Errno> {
        self.mapping.node.accessed();
        Ok(self.mapping.clone())
    }

    fn writable_pages(&self) -> Result<Option<Arc<dyn PageSource>>, Errno> {
        self.mapping.node.accessed();
        if self.contents().seals().contains(Seals::SEAL) {
            // As it is now it stays.
            let may_write = self.contents().seals().check_writing().is_ok();
            return Ok(may_write.then(|| self.mapping.clone() as Arc<dyn PageSource>));
        }
        Ok(WritableMapping::new(&self.mapping).map(|mapping| mapping as Arc<dyn PageSource>))
    }

    fn place(&self) -> Option<&Place> {
        Some(&self.mapping.place)
    }

    fn link_name(&self) -> String {
        self.mapping.place.display()
    }
}

impl PageSource for Mapping {
    fn page(&self, index: u64) -> Result<Frame, Errno> {
        self.contents().page(index)
    }

    fn present(&self, index: u64) -> Option<Frame> {
        self.contents().present(index)
    }

    fn size(&self) -> u64 {
        self.contents().size()
    }

    /// A file's times change when a page is first written, as those of Linux's tmpfs do: later writes to it nobody sees.
    fn written(&self) {
        self.node.modified();
    }

    fn mappers(&self) -> Option<&Mappers> {
        Some(&self.contents().mappers)
    }

    fn identity(&self) -> (u64, u64) {
        (super::super::TMPFS_DEVICE, self.node.ino())
    }

    fn name(&self) -> String {
        self.place.display()
    }
}

/// What a shared mapping that may be written maps of a file that can still be sealed: counted as long as it is mapped
/// anywhere.
struct WritableMapping(Arc<Mapping>);

impl WritableMapping {
    /// `None` where the file is sealed against writing.
    fn new(mapping: &Arc<Mapping>) -> Option<Arc<WritableMapping>> {
        mapping.contents().enter_writable_mapping().ok()?;
        Some(Arc::new(WritableMapping(mapping.clone())))
    }
}

impl Drop for WritableMapping {
    fn drop(&mut self) {
        self.0.contents().leave_writable_mapping();
    }
}

impl PageSource for WritableMapping {
    fn page(&self, index: u64) -> Result<Frame, Errno> {
        self.0.page(index)
    }

    fn present(&self, index: u64) -> Option<Frame> {
        self.0.present(index)
    }

    fn size(&self) -> u64 {
        self.0.size()
    }

    fn written(&self) {
        self.0.written();
    }

    fn mappers(&self) -> Option<&Mappers> {
        self.0.mappers()
    }

    fn identity(&self) -> (u64, u64) {
        self.0.identity()
    }

    fn name(&self) -> String {
        self.0.name()
    }
}
