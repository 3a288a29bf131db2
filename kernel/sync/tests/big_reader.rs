//! The big-reader lock, by threads that stand for CPUs.
#![cfg(not(loom))]

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use sync::BigReaderLock;

const CPUS: usize = 3;

/// Writers change two words one after the other; nobody ever sees the one without the other, and no change is lost.
#[test]
fn writers_have_it_alone() {
    const CHANGES: usize = 1000;
    let lock = BigReaderLock::new([0; 2]);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for cpu in 0..CPUS {
            let (lock, done) = (&lock, &done);
            scope.spawn(move || {
                while !done.load(Relaxed) {
                    let [first, second] = *lock.read(cpu);
                    assert_eq!(first, second);
                }
            });
        }
        let writers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..CHANGES {
                        let mut pair = lock.write(CPUS);
                        pair[0] += 1;
                        pair[1] += 1;
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().expect("no panic");
        }
        done.store(true, Relaxed);
    });
    assert_eq!(*lock.read(0), [2 * CHANGES; 2]);
}

/// Readers on different CPUs are in it at the same time.
#[test]
fn readers_do_not_wait_for_each_other() {
    let lock = BigReaderLock::new(7);
    let (first, second) = (lock.read(0), lock.read(1));
    assert_eq!((*first, *second), (7, 7));
}
