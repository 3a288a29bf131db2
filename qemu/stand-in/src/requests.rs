//! The requests: found in the loaded kernel by their numbers, answered in memory that the kernel is told not to touch.

use crate::machine::{Cpu, DIRECT_MAP, MAX_CPUS, MP_HEADER};
use crate::{Pages, Region};
use alloc::vec::Vec;

const REVISION_MAGIC: [u64; 2] = [0xf956_2b2d_5c95_a6c8, 0x6a7b_3849_4453_6bdc];
const COMMON_MAGIC: [u64; 2] = [0xc7b1_dd30_df4c_8b88, 0x0a82_e883_a194_f07b];
const REVISION: u64 = 6;

/// Memory for the answers, handed out in 64-bit words.
pub struct Arena {
    pages: Pages,
    used: usize,
}

impl Arena {
    pub fn new(pages: Pages) -> Arena {
        Arena { pages, used: 0 }
    }

    /// Stores words and gives the direct map's address of them.
    fn words(&mut self, words: &[u64]) -> u64 {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.bytes(&bytes)
    }

    fn bytes(&mut self, bytes: &[u8]) -> u64 {
        let at = self.used;
        self.pages.bytes()[at..at + bytes.len()].copy_from_slice(bytes);
        self.used = (at + bytes.len()).next_multiple_of(8);
        DIRECT_MAP + self.pages.start + at as u64
    }
}

/// What the answers are made of; addresses are physical.
pub struct Facts<'a> {
    pub regions: &'a [Region],
    pub kernel: u64,
    pub base: u64,
    pub command_line: &'a [u8],
    pub module: (u64, u64),
    pub rsdp: Option<u64>,
    pub device_tree: Option<u64>,
    /// The CPUs; the first is this one.
    pub cpus: Vec<Cpu>,
}

/// Adds a region, joined to the one before where both are of one kind.
pub fn add_region(regions: &mut Vec<Region>, start: u64, len: u64, kind: u64) {
    match regions.last_mut() {
        Some(last) if last.kind == kind && last.start + last.len == start => last.len += len,
        _ => regions.push(Region { start, len, kind }),
    }
}

/// Makes a part of a region another kind.
pub fn carve(regions: &mut Vec<Region>, start: u64, len: u64, kind: u64) {
    let mut carved = Vec::new();
    for region in regions.drain(..) {
        let (first, last) = (region.start, region.start + region.len);
        if start < first || last < start + len {
            carved.push(region);
            continue;
        }
        for (start, end, kind) in [
            (first, start, region.kind),
            (start, start + len, kind),
            (start + len, last, region.kind),
        ] {
            if start < end {
                carved.push(Region {
                    start,
                    len: end - start,
                    kind,
                });
            }
        }
    }
    *regions = carved;
}

/// Answers every request in the image that is known here. Gives the addresses of the other CPUs' structures.
pub fn answer(image: &mut [u8], arena: &mut Arena, facts: &Facts) -> Vec<u64> {
    let mut processors = Vec::new();
    let word = |image: &[u8], at: usize| {
        image
            .get(at..at + 8)
            .map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().expect("8 bytes")))
    };
    for at in (0..image.len().saturating_sub(48)).step_by(8) {
        let numbers = [
            word(image, at),
            word(image, at + 8),
            word(image, at + 16),
            word(image, at + 24),
        ];
        if numbers[..2] == REVISION_MAGIC {
            // Understood: the number becomes 0; and which revision it is.
            assert!(numbers[2] == REVISION, "the kernel asks for another base revision");
            image[at + 8..at + 16].copy_from_slice(&REVISION.to_le_bytes());
            image[at + 16..at + 24].fill(0);
        }
        if numbers[..2] != COMMON_MAGIC {
            continue;
        }
        let answer = match numbers[2] {
            // Direct map.
            0x48dc_f1cb_8ad2_b852 => arena.words(&[0, DIRECT_MAP]),
            // Memory map.
            0x67cf_3d9d_378a_806f => {
                let entries: Vec<u64> = facts
                    .regions
                    .iter()
                    .map(|region| arena.words(&[region.start, region.len, region.kind]))
                    .collect();
                let list = arena.words(&entries);
                arena.words(&[0, entries.len() as u64, list])
            }
            // Where the kernel is.
            0x71ba_7686_3cc5_5f63 => arena.words(&[0, facts.kernel, facts.base]),
            // The kernel's file, of which only the command line is here.
            0xad97_e90e_83f1_ed67 => {
                let line = arena.bytes(facts.command_line);
                let file = arena.words(&[0, 0, 0, line, line, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
                arena.words(&[0, file])
            }
            // Modules.
            0x3e7e_2797_02be_32af => {
                let path = arena.bytes(b"module\0");
                let (start, len) = facts.module;
                let file = arena.words(&[0, DIRECT_MAP + start, len, path, path, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
                let list = arena.words(&[file]);
                arena.words(&[0, 1, list])
            }
            // Paging mode: the 4 levels it asks for.
            0x95c1_a0ed_ab09_44cb => arena.words(&[0, 0]),
            0xc5e7_7b6b_397e_7b43 => match facts.rsdp {
                Some(rsdp) => arena.words(&[0, DIRECT_MAP + rsdp]),
                None => continue,
            },
            0xb40d_db48_fb54_bac7 => match facts.device_tree {
                Some(tree) => arena.words(&[0, DIRECT_MAP + tree]),
                None => continue,
            },
            // CPUs: number, machine's number, reserved, the address to go to, the kernel's own word.
            0x95a6_7b81_9a1b_857e => {
                let infos: Vec<u64> = facts
                    .cpus
                    .iter()
                    .take(MAX_CPUS)
                    .map(|cpu| arena.words(&cpu.info()))
                    .collect();
                processors.extend(infos.iter().skip(1));
                let list = arena.words(&infos);
                let own = facts.cpus.first().map_or(0, |cpu| cpu.id);
                let mut words = Vec::from([0]);
                words.extend(MP_HEADER(own));
                words.extend([infos.len() as u64, list]);
                arena.words(&words)
            }
            _ => continue,
        };
        image[at + 40..at + 48].copy_from_slice(&answer.to_le_bytes());
    }
    processors
}
