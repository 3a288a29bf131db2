//! The region map against a model that keeps one attribute a page.

use regions::{Attributes, RegionMap};

/// A kind, and an offset that grows with the address, as a file mapping's does; 0 for kinds that have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mapping {
    kind: u32,
    offset: Option<usize>,
}

impl Attributes for Mapping {
    fn advanced(&self, bytes: usize) -> Self {
        Mapping {
            kind: self.kind,
            offset: self.offset.map(|offset| offset + bytes),
        }
    }
    fn continues(&self, len: usize, next: &Self) -> bool {
        self.advanced(len) == *next
    }
}

const ANONYMOUS: Mapping = Mapping { kind: 1, offset: None };
const READ_ONLY: Mapping = Mapping { kind: 2, offset: None };

fn file(offset: usize) -> Mapping {
    Mapping {
        kind: 9,
        offset: Some(offset),
    }
}

fn ranges(map: &RegionMap<Mapping>) -> Vec<(usize, usize, Mapping)> {
    map.iter()
        .map(|(range, &mapping)| (range.start, range.end, mapping))
        .collect()
}

#[test]
fn neighbours_that_continue_join() {
    let mut map = RegionMap::default();
    map.insert(10..20, ANONYMOUS);
    map.insert(30..40, ANONYMOUS);
    map.insert(20..30, ANONYMOUS);
    assert_eq!(ranges(&map), [(10, 40, ANONYMOUS)]);
}

#[test]
fn a_file_joins_only_at_its_next_offset() {
    let mut map = RegionMap::default();
    map.insert(10..20, file(100));
    map.insert(20..30, file(110));
    map.insert(30..40, file(100));
    assert_eq!(ranges(&map), [(10, 30, file(100)), (30, 40, file(100))]);
}

#[test]
fn removing_the_middle_splits() {
    let mut map = RegionMap::default();
    map.insert(10..40, file(0));
    let mut removed = Vec::new();
    map.remove(20..30, |range, attributes| removed.push((range, *attributes)));
    assert_eq!(removed, [(20..30, file(10))]);
    assert_eq!(ranges(&map), [(10, 20, file(0)), (30, 40, file(20))]);
}

#[test]
fn a_change_there_and_back_leaves_one_region() {
    let mut map = RegionMap::default();
    map.insert(0..100, ANONYMOUS);
    map.update(40..60, |_, mapping| *mapping = READ_ONLY);
    assert_eq!(map.len(), 3);
    map.update(40..60, |_, mapping| *mapping = ANONYMOUS);
    assert_eq!(ranges(&map), [(0, 100, ANONYMOUS)]);
}

#[test]
fn gaps_are_found_from_the_top() {
    let mut map = RegionMap::default();
    assert_eq!(map.gap_below(10, 0..100), Some(90));
    map.insert(90..100, ANONYMOUS);
    map.insert(70..85, ANONYMOUS);
    assert_eq!(map.gap_below(5, 0..100), Some(85));
    assert_eq!(map.gap_below(6, 0..100), Some(64));
    assert_eq!(map.gap_below(6, 65..100), None);
    assert_eq!(map.gap_below(10, 0..80), Some(60));
    assert_eq!(map.gap_below(71, 0..100), None);
}

#[test]
fn cover_and_vacancy() {
    let mut map = RegionMap::default();
    map.insert(10..20, ANONYMOUS);
    map.insert(20..30, READ_ONLY);
    map.insert(31..40, ANONYMOUS);
    assert!(map.covers(10..30));
    assert!(map.covers(12..28));
    assert!(!map.covers(10..31));
    assert!(!map.covers(9..20));
    assert!(map.is_vacant(30..31));
    assert!(map.is_vacant(0..10));
    assert!(!map.is_vacant(39..50));
    assert_eq!(map.previous_to(35).map(|(range, _)| range), Some(20..30));
    assert_eq!(map.next_from(11).map(|(range, _)| range), Some(20..30));
}

/// A linear congruential generator: the same sequence on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % limit
    }
}

#[test]
fn random_calls_agree_with_a_model_of_single_bytes() {
    for seed in 0..300 {
        // Long ranges in a small space, and then short ones: many regions.
        random_calls(seed, 64, 64);
        random_calls(seed, 400, 5);
    }
}

fn random_calls(seed: u64, space: usize, longest: usize) {
    let mut random = Random(seed);
    let mut map = RegionMap::default();
    let mut model = vec![None; space];
    for _ in 0..200 {
        let start = random.below(space - 1);
        let end = start + 1 + random.below(longest.min(space - start - 1));
        let mapping = match random.below(3) {
            0 => ANONYMOUS,
            1 => READ_ONLY,
            _ => file(start),
        };
        match random.below(3) {
            0 => {
                let mut removed = 0;
                map.remove(start..end, |range, _| removed += range.len());
                assert_eq!(removed, model[start..end].iter().flatten().count());
                map.insert(start..end, mapping);
                for (step, slot) in model[start..end].iter_mut().enumerate() {
                    *slot = Some(mapping.advanced(step));
                }
            }
            1 => {
                map.remove(start..end, |_, _| ());
                model[start..end].fill(None);
            }
            _ => {
                map.update(start..end, |_, mapping| mapping.kind = 7);
                for mapping in model[start..end].iter_mut().flatten() {
                    mapping.kind = 7;
                }
            }
        }
        check(&map, &model, &mut random);
    }
}

fn check(map: &RegionMap<Mapping>, model: &[Option<Mapping>], random: &mut Random) {
    for (address, expected) in model.iter().enumerate() {
        let found = map
            .find(address)
            .map(|(range, mapping)| mapping.advanced(address - range.start));
        assert_eq!(found, *expected, "at {address}");
    }
    let all = ranges(map);
    for pair in all.windows(2) {
        let (start, end, mapping) = pair[0];
        assert!(end <= pair[1].0);
        assert!(
            end < pair[1].0 || !mapping.continues(end - start, &pair[1].2),
            "{pair:?} should be one"
        );
    }
    let start = random.below(model.len());
    let end = start + random.below(model.len() - start) + 1;
    assert_eq!(map.covers(start..end), model[start..end].iter().all(Option::is_some));
    assert_eq!(map.is_vacant(start..end), model[start..end].iter().all(Option::is_none));
    let len = 1 + random.below(8);
    let highest = (start..(end + 1).saturating_sub(len))
        .rev()
        .find(|&at| model[at..at + len].iter().all(Option::is_none));
    assert_eq!(map.gap_below(len, start..end), highest);
}

#[test]
fn a_copy_asks_for_every_few() {
    let mut map = RegionMap::default();
    (0..1000).for_each(|number| map.insert(2 * number..2 * number + 1, ANONYMOUS));
    let mut asked = 0;
    let copy = map.try_clone(|| {
        asked += 1;
        true
    });
    assert_eq!(ranges(&copy.expect("memory")), ranges(&map));
    assert!((30..=200).contains(&asked), "{asked}");
    let mut left = 5;
    let refused = map.try_clone(|| {
        left -= 1;
        left > 0
    });
    assert!(refused.is_none());
}
