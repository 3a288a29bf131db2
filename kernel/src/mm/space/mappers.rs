//! Who maps a file whose pages can go away: ftruncate(2) takes them out of every address space.
//!
//! A page fault gets a file's page without a lock on the address space, and enters it under that lock. In between the page
//! may have been cut off:
//!
//! | faults | truncates |
//! |---|---|
//! | remembers the count of cuts | |
//! | gets the page | takes the page out of the file |
//! | | counts the cut |
//! | | locks the space: the page is not there yet |
//! | locks the space: the count has changed | |
//! | asks the file again | |

use super::{AddressSpace, Inner};
use crate::arch::PAGE_SIZE;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::ops::{Bound, Range};
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};
use sync::SpinLock;

/// The address spaces that have mapped a file.
pub struct Mappers {
    spaces: SpinLock<Spaces>,
    cuts: AtomicU64,
}

struct Spaces {
    /// By their ids. Some have gone, others map it no more.
    known: BTreeMap<u64, Weak<AddressSpace>>,
    /// When there are so many, those that have gone are removed.
    full: usize,
}

/// Address spaces that are remembered before anyone looks which have gone.
const FEW: usize = 8;

impl Default for Mappers {
    fn default() -> Mappers {
        Mappers {
            spaces: SpinLock::new(Spaces {
                known: BTreeMap::new(),
                full: FEW,
            }),
            cuts: AtomicU64::new(0),
        }
    }
}

impl Mappers {
    /// Has `space` told from now on.
    pub(super) fn add(&self, space: &AddressSpace) {
        let mut spaces = self.spaces.lock();
        let Spaces { known, full } = &mut *spaces;
        if known.len() >= *full {
            known.retain(|_, space| space.strong_count() > 0);
            *full = (2 * known.len()).max(FEW);
        }
        known.entry(space.id).or_insert_with(|| space.this.clone());
    }

    /// How often pages have gone.
    pub(super) fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::SeqCst)
    }

    /// These pages have gone from the file. Not under a lock that a page fault wants.
    pub fn cut(&self, pages: Range<u64>) {
        self.cuts.fetch_add(1, Ordering::SeqCst);
        // A fork's child has a higher id than its parent: one that copies entries before the parent loses them is found.
        let mut last = None;
        while let Some((id, space)) = self.after(last) {
            if let Some(space) = space {
                space.inner.lock().drop_file_pages(&space, self, pages.clone());
            }
            last = Some(id);
        }
    }

    fn after(&self, last: Option<u64>) -> Option<(u64, Option<Arc<AddressSpace>>)> {
        let spaces = self.spaces.lock();
        let start = last.map_or(Bound::Unbounded, Bound::Excluded);
        let (&id, space) = spaces.known.range((start, Bound::Unbounded)).next()?;
        Some((id, space.upgrade()))
    }
}

impl Inner {
    /// Takes a file's pages out of the tables, copies of them too.
    fn drop_file_pages(&mut self, space: &AddressSpace, mappers: &Mappers, pages: Range<u64>) {
        let mut from = 0;
        while let Some((region, mapping)) = self.regions.next_from(from) {
            from = region.end;
            let Some((file, offset)) = mapping.backing.file() else {
                continue;
            };
            if !file.mappers().is_some_and(|of| ptr::eq(of, mappers)) {
                continue;
            }
            let first = offset / PAGE_SIZE as u64;
            let address = |page: u64| {
                let distance = page.saturating_sub(first).saturating_mul(PAGE_SIZE as u64);
                region.start + distance.min(region.len() as u64) as usize
            };
            let gone = address(pages.start)..address(pages.end);
            if !gone.is_empty() {
                self.drop_pages(space, gone);
            }
        }
    }
}
