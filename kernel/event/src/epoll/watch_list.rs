//! An open file description's registrations, so that its last reference can remove them everywhere.

use super::Epoll;
use crate::slab::{NONE, Slab};
use alloc::sync::Arc;
use libsyscall::abi::Errno;
use sync::SpinLock;
use sync::atomic::{AtomicU32, Ordering};

/// The place of a registration that is found by [`WatchList::primary`].
pub(super) const PRIMARY: u32 = NONE;

struct Watch {
    epoll: Arc<Epoll>,
    interest: u32,
}

#[derive(Default)]
struct Watches {
    /// The epoll of the registration whose number is [`WatchList::primary`].
    primary: Option<Arc<Epoll>>,
    others: Slab<Watch>,
}

/// Belongs to one open file description; shared with the interests registered through it.
pub struct WatchList {
    /// The description's identity, never used twice: one half of a registration's key.
    file: u64,
    /// What fstat(2) says of the file, for fdinfo.
    node: Node,
    /// The number of one registration, in whichever epoll it is: most descriptions have no other, and that epoll finds it
    /// here. [`NONE`] where no registration has the place. Written under the lock of the rest.
    primary: AtomicU32,
    watches: SpinLock<Watches>,
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
            watches: SpinLock::new(Watches::default()),
        }
    }

    pub(super) fn node(&self) -> Node {
        self.node
    }

    pub fn file(&self) -> u64 {
        self.file
    }

    /// A registration's number to look under first. Another epoll's may be any interest's here, or nobody's: an epoll makes
    /// its registrations, removes them and looks for them under its interests' lock, which orders this for its own.
    #[inline]
    pub(super) fn primary(&self) -> u32 {
        self.primary.load(Ordering::Relaxed)
    }

    /// Enters a registration: its place here, [`PRIMARY`] where no other has that. ENOMEM.
    #[inline(always)]
    pub(super) fn insert(&self, epoll: &Arc<Epoll>, interest: u32) -> Result<u32, Errno> {
        let mut watches = self.watches.lock();
        let epoll = epoll.clone();
        if watches.primary.is_some() {
            return watches.others.insert(Watch { epoll, interest });
        }
        watches.primary = Some(epoll);
        self.primary.store(interest, Ordering::Relaxed);
        Ok(PRIMARY)
    }

    /// Calls `f` with each epoll that watches the description, as often as it does. A leaf lock is held.
    pub(super) fn for_each_epoll(&self, mut f: impl FnMut(&Epoll)) {
        let watches = self.watches.lock();
        let others = watches.others.iter().map(|(_, watch)| &watch.epoll);
        watches.primary.iter().chain(others).for_each(|epoll| f(epoll));
    }

    /// Takes the registration at a place out. The share of its epoll is dropped under the lock, and is not the last: the
    /// caller has one.
    #[inline(always)]
    pub(super) fn remove(&self, place: u32) {
        let mut watches = self.watches.lock();
        if place == PRIMARY {
            self.primary.store(NONE, Ordering::Relaxed);
            watches.primary = None;
        } else {
            watches.others.remove(place);
        }
    }

    /// The description's last reference has gone: every epoll forgets it. An ADD can't come in between, as it holds a
    /// reference itself.
    pub fn close(&self) {
        let mut watches = self.watches.lock();
        let Watches { primary, others } = core::mem::take(&mut *watches);
        let number = self.primary();
        drop(watches);
        if let Some(epoll) = primary {
            epoll.forget(number, self.file);
        }
        for (_, watch) in others.iter() {
            watch.epoll.forget(watch.interest, self.file);
        }
    }
}
