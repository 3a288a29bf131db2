//! A sorted list in pieces: what a [`RegionMap`](crate::RegionMap) is kept in.
//!
//! An address space has a score of regions, or tens of thousands. They lie in chunks of a few, in order, and a list of the
//! chunks: a place is found by halving twice, its neighbours lie beside it, and what makes room moves no more than a chunk.

use crate::Region;
use alloc::collections::TryReserveError;
use alloc::vec::Vec;
use core::cell::Cell;

/// Regions in a chunk. The most that are moved for one more; and of two neighbouring chunks more than half is in use.
const CHUNK: usize = 16;

/// Where a region is, or would be. Changes to the list make it invalid.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Place {
    chunk: usize,
    index: usize,
}

pub struct Chunks<A> {
    /// None is empty.
    chunks: Vec<Vec<Region<A>>>,
    len: usize,
    /// What was found last, where the next search looks first: a call looks for one place several times, and the next call
    /// is often about the same. A hint, which may be old.
    last: Cell<Place>,
}

impl<A> Chunks<A> {
    pub const fn new() -> Self {
        Chunks {
            chunks: Vec::new(),
            len: 0,
            last: Cell::new(Place { chunk: 0, index: 0 }),
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// A copy; `None` where the list finds no memory, or `admit` refuses a chunk's.
    pub fn try_clone(&self, mut admit: impl FnMut() -> bool) -> Option<Self>
    where
        A: Clone,
    {
        let mut copy = Chunks::new();
        copy.chunks.try_reserve_exact(self.chunks.len()).ok()?;
        for chunk in &self.chunks {
            if !admit() {
                return None;
            }
            copy.chunks.push(chunk.clone());
        }
        copy.len = self.len;
        Some(copy)
    }

    /// Room in the list of chunks for `more` regions: what else is allocated is small.
    pub fn try_reserve(&mut self, more: usize) -> Result<(), TryReserveError> {
        self.chunks.try_reserve(more)
    }

    /// The first region that ends after `address`: the one that holds it, or else the next.
    #[inline]
    pub fn ending_after(&self, address: usize) -> Place {
        let last = self.last.get();
        if self.is_ending_after(last, address) {
            return last;
        }
        let place = self.search(address);
        self.last.set(place);
        place
    }

    /// The next search is likely to find this.
    #[inline]
    pub fn expect(&self, place: Place) {
        self.last.set(place);
    }

    /// Whether this is what [`Chunks::ending_after`] looks for.
    #[inline]
    fn is_ending_after(&self, place: Place, address: usize) -> bool {
        let Some(region) = self.get(place) else {
            return false;
        };
        let ends_before = |before| self.get(before).is_some_and(|region| region.range.end <= address);
        region.range.end > address && (region.range.start <= address || self.before(place).is_none_or(ends_before))
    }

    fn search(&self, address: usize) -> Place {
        let ends_before = |region: &Region<A>| region.range.end <= address;
        let chunk = self
            .chunks
            .partition_point(|chunk| chunk.last().is_none_or(ends_before));
        let index = self
            .chunks
            .get(chunk)
            .map_or(0, |chunk| chunk.partition_point(ends_before));
        Place { chunk, index }
    }

    #[inline]
    pub fn get(&self, place: Place) -> Option<&Region<A>> {
        self.chunks.get(place.chunk)?.get(place.index)
    }

    #[inline]
    pub fn get_mut(&mut self, place: Place) -> Option<&mut Region<A>> {
        self.chunks.get_mut(place.chunk)?.get_mut(place.index)
    }

    /// The region at a place and those behind it that lie in the same chunk.
    #[inline]
    pub fn rest_of_chunk(&mut self, place: Place) -> &mut [Region<A>] {
        let chunk = self.chunks.get_mut(place.chunk);
        chunk.and_then(|chunk| chunk.get_mut(place.index..)).unwrap_or_default()
    }

    /// The place before; `None` at the start.
    #[inline]
    pub fn before(&self, place: Place) -> Option<Place> {
        if let Some(index) = place.index.checked_sub(1) {
            return Some(Place { index, ..place });
        }
        let chunk = place.chunk.checked_sub(1)?;
        let index = self.chunks[chunk].len() - 1;
        Some(Place { chunk, index })
    }

    /// The place behind a region's.
    #[inline]
    pub fn after(&self, place: Place) -> Place {
        if place.index + 1 < self.chunks[place.chunk].len() {
            Place {
                index: place.index + 1,
                ..place
            }
        } else {
            Place {
                chunk: place.chunk + 1,
                index: 0,
            }
        }
    }

    /// The regions from a place on.
    pub fn from(&self, place: Place) -> impl Iterator<Item = &Region<A>> {
        let (first, rest) = match self.chunks.get(place.chunk..) {
            Some([first, rest @ ..]) => (&first[place.index..], rest),
            _ => (&[][..], &[][..]),
        };
        first.iter().chain(rest.iter().flatten())
    }

    /// Puts a region before the one at `place`; where it is then.
    pub fn insert(&mut self, place: Place, region: Region<A>) -> Place {
        self.len += 1;
        let Place { mut chunk, mut index } = place;
        if index == 0 && chunk > 0 {
            // Between two chunks: the one before may have room, and at the end of the list there is no other.
            chunk -= 1;
            index = self.chunks[chunk].len();
        }
        let Some(regions) = self.chunks.get_mut(chunk) else {
            let mut regions = Vec::with_capacity(CHUNK);
            regions.push(region);
            self.chunks.push(regions);
            return Place { chunk, index };
        };
        if regions.len() == CHUNK {
            let mut upper = Vec::with_capacity(CHUNK);
            upper.extend(regions.drain(CHUNK / 2..));
            self.chunks.insert(chunk + 1, upper);
            if index > CHUNK / 2 {
                chunk += 1;
                index -= CHUNK / 2;
            }
        }
        self.chunks[chunk].insert(index, region);
        let place = Place { chunk, index };
        self.last.set(place);
        place
    }

    /// Drops `count` regions of one chunk, the first at `place`; where the next one is then.
    pub fn remove(&mut self, place: Place, count: usize) -> Place {
        let Place { mut chunk, mut index } = place;
        self.len -= count;
        let regions = &mut self.chunks[chunk];
        regions.drain(index..index + count);
        let len = regions.len();
        let next_len = self.chunks.get(chunk + 1).map_or(CHUNK, Vec::len);
        if len == 0 {
            self.chunks.remove(chunk);
        } else if len + next_len <= CHUNK / 2 {
            let next = self.chunks.remove(chunk + 1);
            self.chunks[chunk].extend(next);
        } else if let Some(before) = chunk.checked_sub(1)
            && self.chunks[before].len() + len <= CHUNK / 2
        {
            let regions = self.chunks.remove(chunk);
            chunk = before;
            index += self.chunks[chunk].len();
            self.chunks[chunk].extend(regions);
        }
        if self.chunks.get(chunk).is_some_and(|regions| index == regions.len()) {
            (chunk, index) = (chunk + 1, 0);
        }
        let next = Place { chunk, index };
        self.last.set(next);
        next
    }
}
