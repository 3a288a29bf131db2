//! The big-reader lock, by threads that stand for CPUs.
#![cfg(not(loom))]

use std::thread;
use sync::BigReaderLock;

const CPUS: usize = 3;

/// Writers change two words one after the other; nobody ever sees the one without the other, and no change is lost.
#[test]
fn writers_have_it_alone() {
    const ROUNDS: usize = 2000;
    // More threads than CPUs: one that spins lets the holder run.
    sync::set_relax_hook(thread::yield_now);
    let lock = BigReaderLock::new([0; 2]);
    thread::scope(|scope| {
        for cpu in 0..CPUS {
            let lock = &lock;
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    let [first, second] = *lock.read(cpu);
                    assert_eq!(first, second);
                    let mut pair = lock.write(CPUS);
                    pair[0] += 1;
                    pair[1] += 1;
                }
            });
        }
    });
    assert_eq!(*lock.read(0), [CPUS * ROUNDS; 2]);
}

/// Readers on different CPUs are in it at the same time.
#[test]
fn readers_do_not_wait_for_each_other() {
    let lock = BigReaderLock::new(7);
    let (first, second) = (lock.read(0), lock.read(1));
    assert_eq!((*first, *second), (7, 7));
}
