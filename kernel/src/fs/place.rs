//! Names in the tree.

use super::tmpfs::Node;
use super::{Inode, Stat, watch};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use sync::SpinLock;

/// A name in the tree and the inode behind it: working directories, roots, what a file was opened by.
#[derive(Clone)]
pub struct Place(Arc<Entry>);

struct Entry {
    inode: Arc<dyn Inode>,
    position: SpinLock<Position>,
}

struct Position {
    /// None for a root and for nameless files.
    parent: Option<Place>,
    name: Box<[u8]>,
    /// Unlinked: /proc/self/fd shows it as deleted.
    deleted: bool,
}

/// The names that lead to a place.
struct Trail {
    path: Vec<u8>,
    /// It or a directory above it was removed.
    gone: bool,
    /// It starts at the running process's root, or is a file outside the tree.
    reached: bool,
}

impl Place {
    fn new(inode: Arc<dyn Inode>, parent: Option<Place>, name: &[u8]) -> Place {
        Place(Arc::new(Entry {
            inode,
            position: SpinLock::new(Position {
                parent,
                name: name.into(),
                deleted: false,
            }),
        }))
    }

    pub fn root(inode: Arc<dyn Inode>) -> Place {
        Place::new(inode, None, b"")
    }

    pub fn child(parent: &Place, name: &[u8], inode: Arc<dyn Inode>) -> Place {
        Place::new(inode, Some(parent.clone()), name)
    }

    /// A file outside the tree: `name` is all that it has ("pipe:[7]", "/memfd:name (deleted)").
    pub fn nameless(name: &[u8], inode: Arc<dyn Inode>) -> Place {
        Place::new(inode, None, name)
    }

    #[inline]
    pub fn inode(&self) -> &Arc<dyn Inode> {
        &self.0.inode
    }

    pub fn stat(&self) -> Stat {
        self.0.inode.stat()
    }

    /// The directory it is in; a root is its own.
    pub fn parent(&self) -> Place {
        self.0.position.lock().parent.clone().unwrap_or_else(|| self.clone())
    }

    /// The directory it is in and its name there, of one moment; `None` for a root and for nameless files.
    pub fn parent_and_name(&self) -> Option<(Place, Vec<u8>)> {
        let position = self.0.position.lock();
        Some((position.parent.clone()?, position.name.to_vec()))
    }

    /// Whether nobody else has it: it is in no directory and in nobody's use.
    pub fn is_sole(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    pub fn name(&self) -> Vec<u8> {
        self.0.position.lock().name.to_vec()
    }

    pub fn is_deleted(&self) -> bool {
        self.0.position.lock().deleted
    }

    /// Whether both are the same name, not only the same inode.
    pub fn is(&self, other: &Place) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether `other` is it or lies above it.
    pub fn is_within(&self, other: &Place) -> bool {
        let mut at = self.clone();
        while !at.is(other) {
            let parent = at.parent();
            if parent.is(&at) {
                return false;
            }
            at = parent;
        }
        true
    }

    /// rename(2): the place gets another name; `tmpfs::TREE` is held.
    pub fn move_to(&self, parent: &Place, name: &[u8]) {
        let mut position = self.0.position.lock();
        let old = position.parent.replace(parent.clone());
        position.name = name.into();
        drop(position);
        drop(old);
    }

    pub fn mark_deleted(&self) {
        self.0.position.lock().deleted = true;
    }

    /// The path from the running process's root, `None` where it or a directory above it was removed. One that lies outside
    /// that root is the machine's, and is said to be out of reach, as by getcwd(2).
    pub fn path(&self) -> Option<Vec<u8>> {
        let trail = self.trail();
        let start: &[u8] = if trail.reached { b"" } else { b"(unreachable)" };
        (!trail.gone).then(|| [start, &trail.path].concat())
    }

    fn trail(&self) -> Trail {
        let root = super::walk::current_root();
        let mut names: Vec<Box<[u8]>> = Vec::new();
        let mut at = self.clone();
        let mut gone = false;
        let reached = loop {
            let position = at.0.position.lock();
            gone |= position.deleted;
            if at.is(&root) {
                break true;
            }
            let Some(parent) = position.parent.clone() else {
                if !position.name.is_empty() {
                    return Trail {
                        path: position.name.to_vec(),
                        gone,
                        reached: true,
                    };
                }
                break false;
            };
            names.push(position.name.clone());
            drop(position);
            at = parent;
        };
        let mut path = Vec::new();
        for name in names.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        if path.is_empty() {
            path.push(b'/');
        }
        Trail { path, gone, reached }
    }

    /// As /proc/self/fd and /proc/self/maps show it.
    pub fn display(&self) -> String {
        let trail = self.trail();
        let mut text = String::from_utf8_lossy(&trail.path).into_owned();
        if trail.gone {
            text.push_str(" (deleted)");
        }
        text
    }
}

impl Drop for Entry {
    /// Lets go of the parents one by one: a chain of removed directories may be longer than the kernel stack is deep.
    fn drop(&mut self) {
        if watch::is_used()
            && let Some(node) = Node::of_inode(&self.inode)
        {
            node.lost_place();
        }
        let mut next = self.position.get_mut().parent.take();
        while let Some(Place(entry)) = next {
            next = Arc::into_inner(entry).and_then(|mut entry| entry.position.get_mut().parent.take());
        }
    }
}
