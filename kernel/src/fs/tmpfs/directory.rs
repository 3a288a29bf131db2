//! The names in a directory.

use super::super::{Listed, Place};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use sync::SpinLock;

/// Position of the first name; 0 and 1 are `.` and `..`.
const FIRST_POSITION: u64 = 2;

/// Places by name. Each has a position that stays while others come and go, so that a listing that is interrupted by
/// removals (`rm -r`) neither skips nor repeats a name.
#[derive(Default)]
pub struct Directory {
    entries: SpinLock<Entries>,
}

#[derive(Default)]
struct Entries {
    positions: BTreeMap<Box<[u8]>, u64>,
    places: BTreeMap<u64, Place>,
    /// One past the last position given out, less [`FIRST_POSITION`].
    given: u64,
}

impl Directory {
    pub fn len(&self) -> usize {
        self.entries.lock().places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn get(&self, name: &[u8]) -> Option<Place> {
        let entries = self.entries.lock();
        let position = entries.positions.get(name)?;
        entries.places.get(position).cloned()
    }

    /// Puts a place under a name; what was there is given back.
    pub fn put(&self, name: &[u8], place: Place) -> Option<Place> {
        let mut entries = self.entries.lock();
        let old = match entries.positions.remove(name) {
            Some(position) => entries.places.remove(&position),
            None => None,
        };
        let position = FIRST_POSITION + entries.given;
        entries.given += 1;
        entries.positions.insert(name.into(), position);
        entries.places.insert(position, place);
        old
    }

    pub fn take(&self, name: &[u8]) -> Option<Place> {
        let mut entries = self.entries.lock();
        let position = entries.positions.remove(name)?;
        entries.places.remove(&position)
    }

    /// Gives the names from position `from` on until `give` says false; `give` runs without the lock.
    pub fn list(&self, from: u64, give: &mut dyn FnMut(Listed) -> bool) {
        /// Places taken out of the lock at a time.
        const BATCH: usize = 32;
        let mut from = from.max(FIRST_POSITION);
        loop {
            let batch: Vec<(u64, Place)> = self
                .entries
                .lock()
                .places
                .range(from..)
                .take(BATCH)
                .map(|(&at, place)| (at, place.clone()))
                .collect();
            for (position, place) in &batch {
                let stat = place.stat();
                let next = position + 1;
                if !give(Listed {
                    name: &place.name(),
                    ino: stat.ino,
                    kind: stat.kind(),
                    next,
                }) {
                    return;
                }
                from = next;
            }
            if batch.len() < BATCH {
                return;
            }
        }
    }
}
