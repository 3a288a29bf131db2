//! Ranges of addresses with attributes: what mmap(2), munmap(2) and mprotect(2) do to an address space, as pure logic that
//! the host tests.
//!
//! Regions never overlap and are never empty. Two neighbours whose attributes continue one another are one region, as
//! Linux merges its areas, so that a heap grown by a thousand mprotect calls stays one region.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Range;

/// What a region is, besides its place.
pub trait Attributes: Clone {
    /// The attributes of the part that starts `bytes` further on: a file's offset grows.
    fn advanced(&self, bytes: usize) -> Self;
    /// Whether `next`, directly behind a region of `len` bytes with these attributes, is the same thing continued.
    fn continues(&self, len: usize, next: &Self) -> bool;
}

/// One range and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region<A> {
    pub range: Range<usize>,
    pub attributes: A,
}

struct Entry<A> {
    end: usize,
    attributes: A,
}

/// All regions of an address space, by start.
pub struct RegionMap<A> {
    entries: BTreeMap<usize, Entry<A>>,
}

impl<A: Attributes> Default for RegionMap<A> {
    fn default() -> Self {
        RegionMap {
            entries: BTreeMap::new(),
        }
    }
}

impl<A: Attributes> RegionMap<A> {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The region that holds `address`.
    pub fn find(&self, address: usize) -> Option<(Range<usize>, &A)> {
        let (&start, entry) = self.entries.range(..=address).next_back()?;
        (address < entry.end).then_some((start..entry.end, &entry.attributes))
    }

    /// The first region that starts at or after `address`.
    pub fn next_from(&self, address: usize) -> Option<(Range<usize>, &A)> {
        self.entries
            .range(address..)
            .next()
            .map(|(&start, entry)| (start..entry.end, &entry.attributes))
    }

    /// The last region that ends at or before `address`.
    pub fn previous_to(&self, address: usize) -> Option<(Range<usize>, &A)> {
        self.entries
            .range(..address)
            .rev()
            .find(|(_, entry)| entry.end <= address)
            .map(|(&start, entry)| (start..entry.end, &entry.attributes))
    }

    /// All regions that share a byte with `range`, in order, whole.
    pub fn overlapping(&self, range: Range<usize>) -> impl Iterator<Item = (Range<usize>, &A)> {
        let first = match self.find(range.start) {
            Some((found, _)) => found.start,
            None => range.start,
        };
        let last = range.end.max(first);
        self.entries
            .range(first..last)
            .map(|(&start, entry)| (start..entry.end, &entry.attributes))
    }

    /// Every region, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Range<usize>, &A)> {
        self.entries
            .iter()
            .map(|(&start, entry)| (start..entry.end, &entry.attributes))
    }

    /// Whether regions cover every byte of `range`.
    pub fn covers(&self, range: Range<usize>) -> bool {
        let mut reached = range.start;
        for (region, _) in self.overlapping(range.clone()) {
            if region.start > reached {
                return false;
            }
            reached = region.end;
        }
        reached >= range.end
    }

    /// Whether no region shares a byte with `range`.
    pub fn is_vacant(&self, range: Range<usize>) -> bool {
        self.overlapping(range).next().is_none()
    }

    /// Puts a region into vacant addresses and joins it with its neighbours.
    pub fn insert(&mut self, range: Range<usize>, attributes: A) {
        debug_assert!(range.start < range.end && self.is_vacant(range.clone()));
        self.entries.insert(
            range.start,
            Entry {
                end: range.end,
                attributes,
            },
        );
        self.join(range.end);
        self.join(range.start);
    }

    /// Takes everything in `range` out, splitting what reaches over its borders; what was taken, in order.
    pub fn remove(&mut self, range: Range<usize>) -> Vec<Region<A>> {
        self.split(range.start);
        self.split(range.end);
        let mut removed = Vec::new();
        while let Some((&start, _)) = self.entries.range(range.clone()).next() {
            if let Some(entry) = self.entries.remove(&start) {
                removed.push(Region {
                    range: start..entry.end,
                    attributes: entry.attributes,
                });
            }
        }
        removed
    }

    /// Changes the attributes of everything in `range`, splitting at its borders and joining again.
    pub fn update(&mut self, range: Range<usize>, mut change: impl FnMut(&mut A)) {
        self.split(range.start);
        self.split(range.end);
        for (_, entry) in self.entries.range_mut(range.clone()) {
            change(&mut entry.attributes);
        }
        // Joining removes entries, so the borders are walked from the end.
        let mut at = range.end;
        loop {
            self.join(at);
            match self.entries.range(range.start..at).next_back() {
                Some((&start, _)) => at = start,
                None => break,
            }
        }
    }

    /// The highest vacant range of `len` bytes inside `window`, by its start.
    pub fn gap_below(&self, len: usize, window: Range<usize>) -> Option<usize> {
        let mut top = window.end;
        for (&start, entry) in self.entries.range(..window.end).rev() {
            let bottom = entry.end.max(window.start);
            if top >= bottom && top - bottom >= len {
                return Some(top - len);
            }
            top = top.min(start);
            if top <= window.start {
                return None;
            }
        }
        (top >= window.start && top - window.start >= len).then(|| top - len)
    }

    /// Cuts the region that holds `address` in two there.
    fn split(&mut self, address: usize) {
        let Some((&start, entry)) = self.entries.range_mut(..address).next_back() else {
            return;
        };
        if entry.end <= address {
            return;
        }
        let end = core::mem::replace(&mut entry.end, address);
        let attributes = entry.attributes.advanced(address - start);
        self.entries.insert(address, Entry { end, attributes });
    }

    /// Makes one region of the two that meet at `address`, if they continue one another.
    fn join(&mut self, address: usize) {
        let Some(next) = self.entries.get(&address) else { return };
        let Some((&start, before)) = self.entries.range(..address).next_back() else {
            return;
        };
        if before.end != address || !before.attributes.continues(address - start, &next.attributes) {
            return;
        }
        let end = next.end;
        self.entries.remove(&address);
        if let Some(before) = self.entries.get_mut(&start) {
            before.end = end;
        }
    }
}
