//! Files in memory: the root filesystem.
//!
//! A [`Node`] is a file of any kind with its attributes; a directory's node holds the [`Place`]s in it. Names are made,
//! removed and moved by the functions of [`names`], one change of the tree at a time.

mod contents;
mod directory;
mod names;
mod regular;
mod seals;

pub use contents::{Contents, usage};
pub use names::{End, attach, create, link, mount, remove, rename};
pub use regular::RegularFile;
pub use seals::Seals;

use super::access::Credentials;
use super::watch::{self, Watched};
use super::{Attributes, Change, Inode, Link, Listed, Place, Stat, TMPFS_DEVICE, new_ino, now_ns};
use crate::file::File;
use crate::pipe::FifoSlot;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::any::Any;
use directory::Directory;
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::*;
use sync::SpinLock;

/// A file of any kind.
pub struct Node {
    ino: u64,
    /// S_IFREG and its kind.
    kind: u32,
    birth_ns: i64,
    attributes: SpinLock<Attributes>,
    content: Content,
}

enum Content {
    Directory(Directory),
    Regular(Arc<Contents>),
    SymbolicLink(Box<[u8]>),
    Fifo(FifoSlot),
    Device(u64),
    /// A bound AF_UNIX socket; who listens is the network's to know, by inode number.
    Socket,
}

/// What to make; `mode` is permission bits, the umask applied.
pub enum New<'a> {
    Directory {
        mode: u32,
    },
    Regular {
        mode: u32,
    },
    SymbolicLink {
        target: &'a [u8],
    },
    Fifo {
        mode: u32,
    },
    Socket {
        mode: u32,
    },
    /// `kind` is S_IFCHR or S_IFBLK.
    Device {
        kind: u32,
        mode: u32,
        number: u64,
    },
}

impl Node {
    fn new(kind: u32, mode: u32, owner: Credentials, nlink: u32, content: Content) -> Arc<Node> {
        let attributes = Attributes {
            nlink,
            ..Attributes::new(mode, &owner)
        };
        Arc::new(Node {
            ino: new_ino(),
            kind,
            birth_ns: attributes.ctime_ns,
            attributes: SpinLock::new(attributes),
            content,
        })
    }

    fn make(new: New, owner: Credentials) -> Arc<Node> {
        match new {
            New::Directory { mode } => Node::directory(mode, owner),
            New::Regular { mode } => Node::regular(mode, owner, 1, Contents::new(&[], Seals::SEAL)),
            New::SymbolicLink { target } => Node::new(S_IFLNK, 0o777, owner, 1, Content::SymbolicLink(target.into())),
            New::Fifo { mode } => Node::new(S_IFIFO, mode, owner, 1, Content::Fifo(FifoSlot::default())),
            New::Socket { mode } => Node::new(S_IFSOCK, mode, owner, 1, Content::Socket),
            New::Device { kind, mode, number } => Node::new(kind, mode, owner, 1, Content::Device(number)),
        }
    }

    pub fn directory(mode: u32, owner: Credentials) -> Arc<Node> {
        Node::new(S_IFDIR, mode, owner, 2, Content::Directory(Directory::default()))
    }

    fn regular(mode: u32, owner: Credentials, nlink: u32, contents: Contents) -> Arc<Node> {
        Node::new(S_IFREG, mode, owner, nlink, Content::Regular(Arc::new(contents)))
    }

    /// A regular file without a name: O_TMPFILE, memfd_create(2).
    pub fn unnamed(mode: u32, owner: Credentials, seals: Seals) -> Arc<Node> {
        Node::regular(mode, owner, 0, Contents::new(&[], seals))
    }

    /// A regular file whose bytes lie in the boot archive until they are written.
    pub fn archived(mode: u32, owner: Credentials, bytes: &'static [u8]) -> Arc<Node> {
        Node::regular(mode, owner, 1, Contents::new(bytes, Seals::SEAL))
    }

    /// The node of a place, where it is on this filesystem.
    pub fn of(place: &Place) -> Option<Arc<Node>> {
        (place.inode().clone() as Arc<dyn Any + Send + Sync>).downcast().ok()
    }

    /// The node that an inode is, where it is on this filesystem.
    pub fn of_inode(inode: &Arc<dyn Inode>) -> Option<&Node> {
        (&**inode as &dyn Any).downcast_ref()
    }

    /// A place of it has gone: if it has no name any more, that is its end for who watches it.
    pub fn lost_place(&self) {
        if self.attributes.lock().nlink == 0 {
            watch::gone(Watched::of_tmpfs(self.ino));
        }
    }

    pub fn ino(&self) -> u64 {
        self.ino
    }

    fn as_directory(&self) -> Result<&Directory, Errno> {
        match &self.content {
            Content::Directory(directory) => Ok(directory),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// The bytes of a regular file.
    pub fn contents(&self) -> Option<&Arc<Contents>> {
        match &self.content {
            Content::Regular(contents) => Some(contents),
            _ => None,
        }
    }

    /// F_ADD_SEALS: EINVAL for what is no regular file.
    fn add_seals(&self, seals: Seals) -> Result<(), Errno> {
        let contents = self.contents().ok_or(Errno::EINVAL)?;
        // Held over both: chmod(2) looks at the seals under it.
        let attributes = self.attributes.lock();
        contents.add_seals(seals.for_mode(attributes.mode))
    }

    /// Changes the count of names and the time of that.
    fn change_links(&self, by: i32) {
        let now = now_ns();
        let mut attributes = self.attributes.lock();
        attributes.nlink = attributes.nlink.saturating_add_signed(by);
        attributes.ctime_ns = now;
    }

    /// The contents were changed.
    pub fn modified(&self) {
        let now = now_ns();
        let mut attributes = self.attributes.lock();
        attributes.mtime_ns = now;
        attributes.ctime_ns = now;
    }

    /// The contents were read. As with "relatime": noted when it tells more than before, or once a day.
    pub fn accessed(&self) {
        const DAY_NS: i64 = 24 * 3600 * 1_000_000_000;
        let now = now_ns();
        let mut attributes = self.attributes.lock();
        let newest = attributes.mtime_ns.max(attributes.ctime_ns);
        if attributes.atime_ns <= newest || attributes.atime_ns + DAY_NS <= now {
            attributes.atime_ns = now;
        }
    }
}

impl Inode for Node {
    fn stat(&self) -> Stat {
        let attributes = *self.attributes.lock();
        let (size, blocks) = match &self.content {
            Content::Regular(contents) => contents.size_and_blocks(),
            Content::SymbolicLink(target) => (target.len() as u64, 0),
            // 20 bytes a name, as Linux's tmpfs has it.
            Content::Directory(directory) => (40 + 20 * directory.len() as u64, 0),
            _ => (0, 0),
        };
        Stat {
            dev: TMPFS_DEVICE,
            ino: self.ino,
            rdev: if let Content::Device(number) = self.content {
                number
            } else {
                0
            },
            size,
            blocks,
            birth_ns: Some(self.birth_ns),
            ..attributes.stat(self.kind)
        }
    }

    fn open(self: Arc<Self>, place: &Place, flags: u32) -> Result<Arc<dyn File>, Errno> {
        match &self.content {
            Content::Regular(_) => Ok(Arc::new(RegularFile::new(self, place.clone()))),
            Content::Directory(_) => Ok(Arc::new(super::directory::DirectoryFile::new(place.clone()))),
            Content::Fifo(slot) => crate::pipe::open_fifo(slot, place, flags),
            Content::Device(number) if self.kind == S_IFCHR => super::device::open(*number, place),
            Content::Device(_) | Content::Socket => Err(Errno::ENXIO),
            Content::SymbolicLink(_) => Err(Errno::ELOOP),
        }
    }

    fn lookup(&self, _this: &Place, name: &[u8]) -> Result<Place, Errno> {
        self.as_directory()?.get(name).ok_or(Errno::ENOENT)
    }

    fn list(&self, _this: &Place, from: u64, give: &mut dyn FnMut(Listed) -> bool) -> Result<(), Errno> {
        self.as_directory()?.list(from, give);
        self.accessed();
        Ok(())
    }

    fn follow(&self) -> Result<Link, Errno> {
        match &self.content {
            Content::SymbolicLink(target) => Ok(Link::Path(target.to_vec())),
            _ => Err(Errno::EINVAL),
        }
    }

    fn truncate(&self, size: u64) -> Result<(), Errno> {
        match &self.content {
            Content::Regular(contents) => {
                contents.set_size(size)?;
                self.modified();
                Ok(())
            }
            Content::Directory(_) => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    fn change(&self, change: &Change) -> Result<(), Errno> {
        let mut attributes = self.attributes.lock();
        let mode = change.mode.unwrap_or(attributes.mode);
        if (mode ^ attributes.mode) & 0o111 != 0
            && let Content::Regular(contents) = &self.content
            && contents.seals().contains(Seals::EXEC)
        {
            return Err(Errno::EPERM);
        }
        attributes.change(change);
        Ok(())
    }
}
