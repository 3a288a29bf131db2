//! Random operations on epolls and eventfds, step by step against an oracle that knows nothing of lists: for each
//! registration it keeps what was asked, whether an edge is due, and the data.
#![cfg(not(loom))]

mod support;

use event::{Epoll, EventMask, Pollable};
use libsyscall::abi::Errno;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use support::{File, harvest};

/// xorshift64: the same steps for the same seed on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[derive(Clone, Copy)]
struct Expected {
    mask: EventMask,
    data: u64,
    /// On the ready list, as far as an outsider can tell.
    due: bool,
    disabled: bool,
}

const FILES: usize = 6;
const STEPS: u32 = 400_000;

const MASKS: [EventMask; 6] = [
    EventMask::IN,
    EventMask::IN.union(EventMask::ET),
    EventMask::IN.union(EventMask::OUT).union(EventMask::ET),
    EventMask::OUT.union(EventMask::ET),
    EventMask::IN.union(EventMask::ONESHOT),
    EventMask::IN.union(EventMask::ET).union(EventMask::ONESHOT),
];

#[test]
fn random_operations_agree_with_the_oracle() {
    for seed in 1..=5 {
        run(seed);
    }
}

fn run(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let epoll = Epoll::new();
    let mut next_id = 0;
    let mut fresh = || {
        next_id += 1;
        File::new(next_id, 0)
    };
    let mut files: Vec<File> = (0..FILES).map(|_| fresh()).collect();
    let mut expected: HashMap<(usize, i32), Expected> = HashMap::new();
    for step in 0..STEPS {
        let at = random.below(FILES as u64) as usize;
        let fd = random.below(2) as i32;
        let mask = MASKS[random.below(MASKS.len() as u64) as usize];
        let context = || format!("seed {seed}, step {step}");
        match random.below(8) {
            0 => {
                let result = epoll.add(files[at].target(fd), mask, step.into());
                match expected.entry((at, fd)) {
                    Entry::Occupied(_) => assert_eq!(result, Err(Errno::EEXIST), "{}", context()),
                    Entry::Vacant(place) => {
                        assert_eq!(result, Ok(()), "{}", context());
                        let due = files[at].counter.readiness().intersects(mask);
                        let (data, disabled) = (step.into(), false);
                        place.insert(Expected {
                            mask,
                            data,
                            due,
                            disabled,
                        });
                    }
                }
            }
            1 => {
                let result = epoll.modify(&files[at].watches, fd, mask, step.into());
                match expected.get_mut(&(at, fd)) {
                    None => assert_eq!(result, Err(Errno::ENOENT), "{}", context()),
                    Some(entry) => {
                        let due = entry.due || files[at].counter.readiness().intersects(mask);
                        *entry = Expected {
                            mask,
                            data: step.into(),
                            due,
                            disabled: false,
                        };
                    }
                }
            }
            2 => {
                let result = epoll.remove(&files[at].watches, fd);
                let there = expected.remove(&(at, fd)).is_some();
                assert_eq!(result, if there { Ok(()) } else { Err(Errno::ENOENT) }, "{}", context());
            }
            3 => {
                files[at].watches.close();
                expected.retain(|key, _| key.0 != at);
                files[at] = fresh();
            }
            4 if files[at].counter.try_read().is_some() => edge(&mut expected, at, EventMask::OUT),
            5 | 6 => {
                let value = random.below(3);
                files[at].write(value);
                edge(&mut expected, at, EventMask::IN);
            }
            _ => {
                let max = 1 + random.below(4) as usize;
                let got = harvest(&epoll, max);
                check(&mut expected, &files, got, max, &context());
            }
        }
    }
}

/// A wake-up with these bits.
fn edge(expected: &mut HashMap<(usize, i32), Expected>, at: usize, bits: EventMask) {
    for (_, entry) in expected.iter_mut().filter(|(key, _)| key.0 == at) {
        entry.due |= !entry.disabled && entry.mask.intersects(bits);
    }
}

fn check(
    expected: &mut HashMap<(usize, i32), Expected>,
    files: &[File],
    got: Vec<(EventMask, u64)>,
    max: usize,
    context: &str,
) {
    let ready_now = |at: usize, entry: &Expected| files[at].counter.readiness() & entry.mask;
    let deliverable = expected
        .iter()
        .filter(|((at, _), entry)| entry.due && !ready_now(*at, entry).is_empty())
        .count();
    assert_eq!(got.len(), deliverable.min(max), "{context}");
    for (events, data) in got {
        let ((at, _), entry) = expected
            .iter_mut()
            .find(|(_, entry)| entry.data == data)
            .unwrap_or_else(|| panic!("{context}: {data}"));
        assert!(entry.due && !entry.disabled, "{context}");
        assert_eq!(events, ready_now(*at, entry), "{context}");
        entry.due = !entry.mask.intersects(EventMask::ET | EventMask::ONESHOT);
        entry.disabled = entry.mask.contains(EventMask::ONESHOT);
    }
    if deliverable <= max {
        // All was looked at: what was due and not ready has left the list.
        for ((at, _), entry) in expected.iter_mut() {
            if (files[*at].counter.readiness() & entry.mask).is_empty() {
                entry.due = false;
            }
        }
    }
}
