//! The interest list: registrations by number, and by what they are of.

use super::WatchList;
use super::watch_list::PRIMARY;
use crate::slab::Slab;
use crate::{EventMask, Pollable};
use core::cell::Cell;
use core::ptr;
use hashbrown::HashTable;
use libsyscall::abi::Errno;
use sync::DirectArc;

/// One registration: which description and number, what is watched, what it says to the program.
pub(super) struct Interest {
    /// Its own number: a harvest that has the interest in hand keeps no register for it.
    pub number: u32,
    /// The description's list; its identity is half of the key.
    pub watches: DirectArc<WatchList>,
    /// Its place there. With that of [`PRIMARY`] it is found by the list, and not in the index.
    pub watch: u32,
    pub fd: i32,
    pub data: Cell<u64>,
    /// What its entry in the source's wait queue does not hear of: what it has not asked for at any time.
    pub unheard: Cell<EventMask>,
    pub source: DirectArc<dyn Pollable>,
    /// [`Pollable::answers_at_once`] and whether it has a [`Pollable::as_epoll`], asked once.
    pub answers_at_once: bool,
    pub is_epoll: bool,
    /// Entry in the source's wait queue.
    pub entry: u32,
}

impl Interest {
    /// Has its entry in the source's queue hear of the bits in `mask` too. The caller asks for readiness afterwards, as who
    /// is new in a queue does.
    #[inline(never)]
    pub fn hear_more(&self, mask: EventMask) {
        let unheard = self.unheard.get().difference(mask);
        self.unheard.set(unheard);
        let queue = self.source.wait_queue();
        queue.set_mask(self.entry, queue_mask(&*self.source, unheard.complement()));
    }
}

/// What the entry of an interest with `mask` listens to: no more than it wants, so that the wake-ups of others end at the
/// queue, and of that what is about the source.
pub(super) fn queue_mask(source: &dyn Pollable, mask: EventMask) -> EventMask {
    mask & (source.told_of().difference(EventMask::PRIVATE) | EventMask::EXCLUSIVE)
}

pub(super) struct Interests {
    pub slab: Slab<Interest>,
    /// Numbers by (description, fd), of the interests that are not found by their description.
    pub index: HashTable<u32>,
}

/// Spreads a key over the table's bits (Fibonacci hashing of both halves).
fn hash(file: u64, fd: i32) -> u64 {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    (file.wrapping_mul(GOLDEN) ^ fd as u64).wrapping_mul(GOLDEN)
}

/// The hash of the key of an interest.
fn hash_at(slab: &Slab<Interest>, number: u32) -> u64 {
    slab.get(number)
        .map_or(0, |interest| hash(interest.watches.file(), interest.fd))
}

impl Interests {
    /// The interest of a description and descriptor, with its number.
    #[inline(always)]
    pub fn find(&self, watches: &WatchList, fd: i32) -> Option<(u32, &Interest)> {
        let primary = watches.primary();
        if let Some(interest) = self.of(primary, watches, fd) {
            return Some((primary, interest));
        }
        if self.index.is_empty() {
            return None;
        }
        self.find_indexed(watches, fd)
    }

    /// Apart, so that who finds by the description saves no registers for it.
    #[inline(never)]
    fn find_indexed(&self, watches: &WatchList, fd: i32) -> Option<(u32, &Interest)> {
        let hash = hash(watches.file(), fd);
        let number = *self
            .index
            .find(hash, |&number| self.of(number, watches, fd).is_some())?;
        Some((number, self.slab.get(number)?))
    }

    /// The interest of a number, if it is that of the description and descriptor.
    #[inline]
    fn of(&self, number: u32, watches: &WatchList, fd: i32) -> Option<&Interest> {
        let interest = self.slab.get(number)?;
        (interest.fd == fd && ptr::eq(&*interest.watches, watches)).then_some(interest)
    }

    /// Room in the index for one more: ENOMEM.
    pub fn reserve(&mut self) -> Result<(), Errno> {
        let Interests { slab, index } = self;
        index
            .try_reserve(1, |&number| hash_at(slab, number))
            .map_err(|_| Errno::ENOMEM)
    }

    /// Enters an interest that is in the slab into the index, which has room.
    pub fn enter(&mut self, number: u32) {
        let Interests { slab, index } = self;
        index.insert_unique(hash_at(slab, number), number, |&number| hash_at(slab, number));
    }

    /// Takes an interest out: the shares that it had.
    #[inline(always)]
    pub fn remove(&mut self, number: u32) -> Option<(DirectArc<WatchList>, DirectArc<dyn Pollable>)> {
        let Interest {
            watches,
            watch,
            fd,
            source,
            ..
        } = self.slab.remove(number)?;
        if watch != PRIMARY {
            self.leave_index(number, hash(watches.file(), fd));
        }
        Some((watches, source))
    }

    #[inline(never)]
    fn leave_index(&mut self, number: u32, hash: u64) {
        if let Ok(entry) = self.index.find_entry(hash, |&other| other == number) {
            entry.remove();
        }
    }
}
