//! Ranges of addresses with attributes: what mmap(2), munmap(2) and mprotect(2) do to an address space, as pure logic that
//! the host tests.
//!
//! Regions never overlap and are never empty. Two neighbours whose attributes continue one another are one region, as
//! Linux merges its areas, so that a heap grown by a thousand mprotect calls stays one region.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod chunks;

use alloc::collections::TryReserveError;
use chunks::{Chunks, Place};
use core::ops::Range;

/// What a region is, besides its place.
pub trait Attributes: Clone {
    /// The attributes of the part that starts `bytes` further on: a file's offset grows.
    fn advanced(&self, bytes: usize) -> Self;
    /// Whether `next`, directly behind a region of `len` bytes with these attributes, is the same thing continued.
    fn continues(&self, len: usize, next: &Self) -> bool;
    /// Becomes the attributes of one region that was two; `next` continues these.
    fn absorb(&mut self, _next: &Self) {}
}

/// One range and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region<A> {
    pub range: Range<usize>,
    pub attributes: A,
}

/// All regions of an address space, by start.
pub struct RegionMap<A> {
    regions: Chunks<A>,
}

impl<A: Attributes> Default for RegionMap<A> {
    fn default() -> Self {
        RegionMap { regions: Chunks::new() }
    }
}

impl<A: Attributes> RegionMap<A> {
    pub fn len(&self) -> usize {
        self.regions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A copy of them all. There may be many: `admit` is asked every few whether the next may be made; `None` where it says
    /// no, or memory is short.
    pub fn try_clone(&self, admit: impl FnMut() -> bool) -> Option<Self> {
        let regions = self.regions.try_clone(admit)?;
        Some(RegionMap { regions })
    }

    /// Makes sure that `more` regions find room: no large piece of memory is allocated for them later.
    pub fn try_reserve(&mut self, more: usize) -> Result<(), TryReserveError> {
        self.regions.try_reserve(more)
    }

    /// The region that holds `address`.
    pub fn find(&self, address: usize) -> Option<(Range<usize>, &A)> {
        let region = self.regions.get(self.regions.ending_after(address))?;
        (region.range.start <= address).then(|| region.parts())
    }

    /// The first region that starts at or after `address`.
    pub fn next_from(&self, address: usize) -> Option<(Range<usize>, &A)> {
        let mut later = self.regions.from(self.regions.ending_after(address));
        later.find(|region| region.range.start >= address).map(Region::parts)
    }

    /// The last region that ends at or before `address`.
    pub fn previous_to(&self, address: usize) -> Option<(Range<usize>, &A)> {
        let place = self.regions.before(self.regions.ending_after(address))?;
        self.regions.get(place).map(Region::parts)
    }

    /// All regions that share a byte with `range`, in order, whole.
    pub fn overlapping(&self, range: Range<usize>) -> impl Iterator<Item = (Range<usize>, &A)> {
        let mut place = self.regions.ending_after(range.start);
        core::iter::from_fn(move || {
            let region = self
                .regions
                .get(place)
                .filter(|region| region.range.start < range.end)?;
            place = self.regions.after(place);
            Some(region.parts())
        })
    }

    /// Every region, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Range<usize>, &A)> {
        self.overlapping(0..usize::MAX)
    }

    /// Whether regions cover every byte of `range`.
    pub fn covers(&self, range: Range<usize>) -> bool {
        self.covers_with(range, |_| ())
    }

    /// [`RegionMap::covers`]; every region that shares a byte with the range shows what it is.
    pub fn covers_with(&self, range: Range<usize>, mut show: impl FnMut(&A)) -> bool {
        let mut reached = range.start;
        let mut has_hole = false;
        for (region, attributes) in self.overlapping(range.clone()) {
            show(attributes);
            has_hole |= region.start > reached;
            reached = region.end;
        }
        !has_hole && reached >= range.end
    }

    /// Whether no region shares a byte with `range`.
    pub fn is_vacant(&self, range: Range<usize>) -> bool {
        let next = self.regions.get(self.regions.ending_after(range.start));
        next.is_none_or(|region| region.range.start >= range.end)
    }

    /// Puts a region into vacant addresses and joins it with its neighbours.
    pub fn insert(&mut self, range: Range<usize>, mut attributes: A) {
        debug_assert!(range.start < range.end && self.is_vacant(range.clone()));
        let next = self.regions.ending_after(range.start);
        let before = self.regions.before(next);
        if let Some(before) = before
            && let Some(region) = self.regions.get_mut(before)
            && region.is_continued_by(range.start, &attributes)
        {
            region.range.end = range.end;
            region.attributes.absorb(&attributes);
            self.join(next);
            return;
        }
        if let Some(region) = self.regions.get_mut(next)
            && range.end == region.range.start
            && attributes.continues(range.len(), &region.attributes)
        {
            attributes.absorb(&region.attributes);
            region.range.start = range.start;
            region.attributes = attributes;
            return;
        }
        self.regions.insert(next, Region { range, attributes });
    }

    /// Takes everything in `range` out, splitting what reaches over its borders; each piece is shown to `take`, in order.
    /// Where the next region starts.
    pub fn remove(&mut self, range: Range<usize>, mut take: impl FnMut(Range<usize>, &mut A)) -> Option<usize> {
        let mut place = self.regions.ending_after(range.start);
        if let Some(region) = self.regions.get_mut(place)
            && region.range.start < range.start
        {
            let Range { start, end } = region.range;
            region.range.end = range.start;
            let mut attributes = region.attributes.advanced(range.start - start);
            if end > range.end {
                let behind = Region {
                    range: range.end..end,
                    attributes: region.attributes.advanced(range.end - start),
                };
                let after = self.regions.after(place);
                self.regions.insert(after, behind);
                let end = range.end;
                take(range, &mut attributes);
                return Some(end);
            }
            take(range.start..end, &mut attributes);
            place = self.regions.after(place);
        }
        loop {
            let mut whole = 0;
            for region in self.regions.rest_of_chunk(place) {
                if region.range.end > range.end {
                    break;
                }
                take(region.range.clone(), &mut region.attributes);
                whole += 1;
            }
            if whole == 0 {
                break;
            }
            place = self.regions.remove(place, whole);
        }
        let region = self.regions.get_mut(place)?;
        if region.range.start < range.end {
            let advanced = region.attributes.advanced(range.end - region.range.start);
            let mut attributes = core::mem::replace(&mut region.attributes, advanced);
            take(region.range.start..range.end, &mut attributes);
            region.range.start = range.end;
        }
        Some(region.range.start)
    }

    /// Changes the attributes of everything in `range`, splitting at its borders and joining again. Each piece goes to
    /// `change`, in order.
    pub fn update(&mut self, range: Range<usize>, mut change: impl FnMut(Range<usize>, &mut A)) {
        if self.update_start(&range, &mut change) {
            return;
        }
        self.split(range.end);
        self.split(range.start);
        let mut place = self.regions.ending_after(range.start);
        while let Some(region) = self.regions.get_mut(place)
            && region.range.start < range.end
        {
            change(region.range.clone(), &mut region.attributes);
            place = self.join(place);
        }
        self.join(place);
    }

    /// [`RegionMap::update`] of the start of a region, as of a stack's guard; whether the range is one.
    fn update_start(&mut self, range: &Range<usize>, change: &mut impl FnMut(Range<usize>, &mut A)) -> bool {
        let place = self.regions.ending_after(range.start);
        let Some(region) = self.regions.get_mut(place) else {
            return false;
        };
        if region.range.start != range.start || region.range.end <= range.end {
            return false;
        }
        let mut attributes = region.attributes.clone();
        change(range.clone(), &mut attributes);
        let rest = region.attributes.advanced(range.len());
        if attributes.continues(range.len(), &rest) {
            // It was so already.
            return true;
        }
        region.range.start = range.end;
        region.attributes = rest;
        if let Some(before) = self.regions.before(place)
            && let Some(region) = self.regions.get_mut(before)
            && region.is_continued_by(range.start, &attributes)
        {
            region.range.end = range.end;
            region.attributes.absorb(&attributes);
            return true;
        }
        let range = range.clone();
        self.regions.insert(place, Region { range, attributes });
        true
    }

    /// The highest vacant range of `len` bytes inside `window`, by its start.
    pub fn gap_below(&self, len: usize, window: Range<usize>) -> Option<usize> {
        let mut top = window.end;
        let mut above = self.regions.ending_after(window.end);
        let mut next = match self.regions.get(above) {
            Some(region) if region.range.start < window.end => Some(above),
            _ => self.regions.before(above),
        };
        while let Some(place) = next
            && let Some(region) = self.regions.get(place)
        {
            let bottom = region.range.end.max(window.start);
            if top >= bottom && top - bottom >= len {
                self.regions.expect(above);
                return Some(top - len);
            }
            top = top.min(region.range.start);
            if top <= window.start {
                return None;
            }
            above = place;
            next = self.regions.before(place);
        }
        (top >= window.start && top - window.start >= len).then(|| top - len)
    }

    /// Cuts the region that holds `address` in two there.
    fn split(&mut self, address: usize) {
        let place = self.regions.ending_after(address);
        let Some(region) = self.regions.get_mut(place) else {
            return;
        };
        let Range { start, end } = region.range;
        if start >= address {
            return;
        }
        region.range.end = address;
        let upper = Region {
            range: address..end,
            attributes: region.attributes.advanced(address - start),
        };
        let after = self.regions.after(place);
        self.regions.insert(after, upper);
    }

    /// Makes one region of the one at `place` and the one before, if it continues that. The place behind both.
    fn join(&mut self, place: Place) -> Place {
        let Some(region) = self.regions.get(place) else {
            return place;
        };
        let before = self.regions.before(place).and_then(|before| self.regions.get(before));
        if !before.is_some_and(|before| before.is_continued_by(region.range.start, &region.attributes)) {
            return self.regions.after(place);
        }
        let joined = region.clone();
        self.regions.remove(place, 1);
        let before = self.regions.ending_after(joined.range.start - 1);
        if let Some(region) = self.regions.get_mut(before) {
            region.range.end = joined.range.end;
            region.attributes.absorb(&joined.attributes);
        }
        self.regions.after(before)
    }
}

impl<A: Attributes> Region<A> {
    fn parts(&self) -> (Range<usize>, &A) {
        (self.range.clone(), &self.attributes)
    }

    /// Whether what starts at `start` is the same thing continued.
    fn is_continued_by(&self, start: usize, attributes: &A) -> bool {
        self.range.end == start && self.attributes.continues(self.range.len(), attributes)
    }
}
