//! Runs an operation in batches and prints what one cost.

use super::counter;

/// A name and what measures under it.
pub type Case = (&'static str, fn(&mut Meter));

const BATCHES: usize = 9;

pub struct Meter {
    name: &'static str,
    profile: bool,
}

impl Meter {
    pub fn new(name: &'static str, profile: bool) -> Meter {
        Meter { name, profile }
    }

    /// Measures `operation`, `count` of which are a batch.
    pub fn measure(&mut self, count: u32, operation: impl FnMut()) {
        self.measure_each(count, 1, operation);
    }

    /// Measures `operation` where one call of it is `parts` operations.
    pub fn measure_each(&mut self, count: u32, parts: u32, mut operation: impl FnMut()) {
        // What is used for the first time is not the operation: pages, buffers that grow, frequencies.
        (0..count).for_each(|_| operation());
        if self.profile {
            self.repeat(operation);
        }
        let batches = std::array::from_fn(|_| {
            let start = counter::read();
            for _ in 0..count {
                operation();
            }
            counter::read() - start
        });
        self.batches(batches, u64::from(count) * u64::from(parts));
    }

    /// Prints what one operation cost, given the time of batches of `operations`.
    fn batches(&self, mut batches: [u64; BATCHES], operations: u64) {
        batches.sort_unstable();
        let one = |batch: u64| counter::ticks(batch) / operations as f64;
        println!(
            "{} {:.2} {:.2} ticks",
            self.name,
            one(batches[0]),
            one(batches[BATCHES / 2])
        );
    }

    /// Prints a figure that is no time.
    pub fn figure(&self, value: f64, unit: &str) {
        println!("{} {value:.3} {value:.3} {unit}", self.name);
    }

    /// Says why there is no figure.
    pub fn skip(&self, reason: &str) {
        println!("{} - - {reason}", self.name);
    }

    /// Repeats the operation for whoever watches the machine's instructions: each starts at the mark.
    fn repeat(&self, mut operation: impl FnMut()) -> ! {
        println!("profiling {:#x}", bench_operation_starts as *const () as usize);
        loop {
            bench_operation_starts();
            operation();
        }
    }
}

/// The mark of `--profile`, found by its name.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn bench_operation_starts() {
    // SAFETY: no instruction at all; it keeps the call from being optimised away.
    unsafe { core::arch::asm!("", options(nostack)) };
}
