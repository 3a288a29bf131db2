//! Free RAM while a boot door puts the map together.

use super::{MAX_REGIONS, Region};
use core::ops::Range;

pub struct RegionList {
    regions: [Region; MAX_REGIONS],
    count: usize,
}

impl RegionList {
    pub const fn new() -> RegionList {
        RegionList {
            regions: [Region { start: 0, end: 0 }; MAX_REGIONS],
            count: 0,
        }
    }

    pub fn as_slice(&self) -> &[Region] {
        &self.regions[..self.count]
    }

    /// From the first region's start to the last one's end.
    pub fn extent(&self) -> Range<u64> {
        let regions = self.as_slice().iter();
        let start = regions.clone().map(|region| region.start).min();
        start.unwrap_or(0)..regions.map(|region| region.end).max().unwrap_or(0)
    }

    pub fn as_mut_slice(&mut self) -> &mut [Region] {
        &mut self.regions[..self.count]
    }

    /// The regions and how many there are, as [`super::BootInfo`] keeps them.
    pub fn into_parts(self) -> ([Region; MAX_REGIONS], usize) {
        (self.regions, self.count)
    }

    /// Adds whole pages of RAM; a map with more pieces than there is room for loses the last ones.
    pub fn add(&mut self, start: u64, end: u64) {
        let (start, end) = (start.next_multiple_of(4096), end & !4095);
        if start < end && self.count < MAX_REGIONS {
            self.regions[self.count] = Region { start, end };
            self.count += 1;
        }
    }

    /// Takes a range away, to whole pages.
    pub fn remove(&mut self, start: u64, end: u64) {
        let (start, end) = (start & !4095, end.next_multiple_of(4096));
        for index in 0..self.count {
            let region = self.regions[index];
            if end <= region.start || region.end <= start {
                continue;
            }
            self.regions[index].end = region.start.max(start.min(region.end));
            if end < region.end {
                if start <= region.start {
                    self.regions[index] = Region {
                        start: end,
                        end: region.end,
                    };
                } else {
                    self.add(end, region.end);
                }
            }
        }
    }
}
