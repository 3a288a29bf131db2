//! An open file description's registrations, so that its last reference can remove them everywhere.

use super::Epoll;
use crate::slab::{NONE, Slab};
use alloc::sync::Weak;
use libsyscall::abi::Errno;
use sync::SpinLock;
use sync::atomic::{AtomicU32, Ordering};

struct Watch {
    epoll: Weak<Epoll>,
    interest: u32,
}

/// Belongs to one open file description; shared with the interests registered through it.
pub struct WatchList {
    /// The description's identity, never used twice: one half of a registration's key.
    file: u64,
    /// What fstat(2) says of the file, for fdinfo.
    node: Node,
    /// The number of one registration, in whichever epoll it is: most descriptions have no other, and that epoll finds it
    /// here. [`NONE`] where no registration has the place.
    primary: AtomicU32,
    watches: SpinLock<Slab<Watch>>,
}

/// A file's inode number and device, as fstat(2) gives them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Node {
    pub inode: u64,
    pub device: u64,
}

impl WatchList {
    pub fn new(file: u64) -> WatchList {
        WatchList::with_node(file, Node::default())
    }

    pub fn with_node(file: u64, node: Node) -> WatchList {
        WatchList {
            file,
            node,
            primary: AtomicU32::new(NONE),
            watches: SpinLock::new(Slab::new()),
        }
    }

    pub(super) fn node(&self) -> Node {
        self.node
    }

    pub fn file(&self) -> u64 {
        self.file
    }

    /// A registration's number to look under first. Another epoll's may be any interest's here, or nobody's.
    #[inline]
    pub(super) fn primary(&self) -> u32 {
        self.primary.load(Ordering::Relaxed)
    }

    /// Takes the place of [`WatchList::primary`] for a registration; whether it was free. An epoll takes it, gives it up
    /// and looks for its own registrations under its interests' lock, which orders these for all that it relies on.
    pub(super) fn claim_primary(&self, number: u32) -> bool {
        self.primary
            .compare_exchange(NONE, number, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    pub(super) fn release_primary(&self) {
        self.primary.store(NONE, Ordering::Relaxed);
    }

    pub(super) fn insert(&self, epoll: Weak<Epoll>, interest: u32) -> Result<u32, Errno> {
        self.watches.lock().insert(Watch { epoll, interest })
    }

    /// Calls `f` with each epoll that watches the description, as often as it does. A leaf lock is held.
    pub(super) fn for_each_epoll(&self, mut f: impl FnMut(&Epoll)) {
        for (_, watch) in self.watches.lock().iter() {
            if let Some(epoll) = watch.epoll.upgrade() {
                f(&epoll);
            }
        }
    }

    pub(super) fn remove(&self, watch: u32) {
        // Dropped without the lock: a weak reference's memory may be the last of its epoll.
        let removed = self.watches.lock().remove(watch);
        drop(removed);
    }

    /// The description's last reference has gone: every epoll forgets it. An ADD can't come in between, as it holds a
    /// reference itself.
    pub fn close(&self) {
        let watches = core::mem::take(&mut *self.watches.lock());
        for (_, watch) in watches.iter() {
            if let Some(epoll) = watch.epoll.upgrade() {
                epoll.forget(watch.interest, self.file);
            }
        }
    }
}
