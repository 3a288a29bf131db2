//! Random bytes: ChaCha20 whose key is replaced after every use, so that what was given out can't be computed back
//! from memory. Seeded from the hardware's generator, where it has one, and from the clock.

use crate::arch::{cpu, timer};
use crate::boot::command_line::parameters;
use crate::mm::user::Sink;
use crate::task::in_steps;
use libsyscall::abi::Errno;
use spin::Once;
use sync::SpinLock;

/// ChaCha20's input block: four constants, the key, counter and nonce.
struct Generator {
    block: [u32; 16],
}

static GENERATOR: Once<SpinLock<Generator>> = Once::new();

/// Fills `bytes` with random ones.
pub fn fill(bytes: &mut [u8]) {
    let mut generator = GENERATOR.call_once(|| SpinLock::new(Generator::seeded())).lock();
    for chunk in bytes.chunks_mut(64) {
        let block = generator.next();
        chunk.copy_from_slice(&block[..chunk.len()]);
    }
    generator.replace_key();
}

/// Fills a sink; EFAULT where not one byte can be put.
pub fn fill_sink(to: &mut Sink) -> Result<usize, Errno> {
    in_steps(to.len(), 256, |count| {
        let mut bytes = [0; 256];
        let bytes = &mut bytes[..count];
        fill(bytes);
        to.put(bytes)
    })
}

/// A random number.
pub fn number() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}

/// A random place among `places` in an address space; always the first with `aslr=off`.
pub fn place(places: usize) -> usize {
    if parameters().aslr {
        (number() % places as u64) as usize
    } else {
        0
    }
}

impl Generator {
    fn seeded() -> Generator {
        let mut generator = Generator { block: [0; 16] };
        generator.block[..4].copy_from_slice(&[0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574]);
        for index in (4..12).step_by(2) {
            let word = cpu::random().unwrap_or(0) ^ timer::now_ns().rotate_left(8 * index as u32) ^ timer::epoch_ns();
            generator.block[index] = word as u32;
            generator.block[index + 1] = (word >> 32) as u32;
        }
        generator.replace_key();
        generator
    }

    fn next(&mut self) -> [u8; 64] {
        let mut words = self.block;
        for _ in 0..10 {
            quarter_round(&mut words, 0, 4, 8, 12);
            quarter_round(&mut words, 1, 5, 9, 13);
            quarter_round(&mut words, 2, 6, 10, 14);
            quarter_round(&mut words, 3, 7, 11, 15);
            quarter_round(&mut words, 0, 5, 10, 15);
            quarter_round(&mut words, 1, 6, 11, 12);
            quarter_round(&mut words, 2, 7, 8, 13);
            quarter_round(&mut words, 3, 4, 9, 14);
        }
        let mut bytes = [0; 64];
        for (index, out) in bytes.chunks_exact_mut(4).enumerate() {
            out.copy_from_slice(&words[index].wrapping_add(self.block[index]).to_le_bytes());
        }
        self.block[12] = self.block[12].wrapping_add(1);
        if self.block[12] == 0 {
            self.block[13] = self.block[13].wrapping_add(1);
        }
        bytes
    }

    fn replace_key(&mut self) {
        let bytes = self.next();
        for (index, word) in bytes[..32].chunks_exact(4).enumerate() {
            self.block[4 + index] = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        }
    }
}

fn quarter_round(words: &mut [u32; 16], a: usize, b: usize, c: usize, d: usize) {
    words[a] = words[a].wrapping_add(words[b]);
    words[d] = (words[d] ^ words[a]).rotate_left(16);
    words[c] = words[c].wrapping_add(words[d]);
    words[b] = (words[b] ^ words[c]).rotate_left(12);
    words[a] = words[a].wrapping_add(words[b]);
    words[d] = (words[d] ^ words[a]).rotate_left(8);
    words[c] = words[c].wrapping_add(words[d]);
    words[b] = (words[b] ^ words[c]).rotate_left(7);
}
