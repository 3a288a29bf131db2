//! The spin lock's word, in every order (`RUSTFLAGS="--cfg loom" cargo test -p sync --release`).
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;
use std::sync::Arc;
use sync::Word;

trait Lock: Default + Send + Sync + 'static {
    fn take(&self);
    fn give_back(&self);
}

impl Lock for Word {
    fn take(&self) {
        Word::take(self);
    }

    fn give_back(&self) {
        Word::give_back(self);
    }
}

#[derive(Default)]
struct Shared<L> {
    lock: L,
    value: UnsafeCell<u32>,
}

// SAFETY: the value is touched under the lock; where the lock is none, loom says so before anything is read.
unsafe impl<L: Lock> Sync for Shared<L> {}

/// Two threads count under the lock: neither count is lost, and loom finds no access beside another.
fn two_count<L: Lock>() {
    loom::model(|| {
        let shared = Arc::new(Shared::<L>::default());
        let count = |shared: &Shared<L>| {
            shared.lock.take();
            // SAFETY: the lock is held.
            shared.value.with_mut(|value| unsafe { *value += 1 });
            shared.lock.give_back();
        };
        let other = thread::spawn({
            let shared = shared.clone();
            move || count(&shared)
        });
        count(&shared);
        other.join().unwrap();
        // SAFETY: the other thread has ended.
        assert_eq!(shared.value.with(|value| unsafe { *value }), 2);
    });
}

#[test]
fn word() {
    two_count::<Word>();
}

/// Looks, and then writes.
#[derive(Default)]
struct LooksFirst(AtomicU32);

impl Lock for LooksFirst {
    fn take(&self) {
        while self.0.load(Ordering::Acquire) != 0 {
            thread::yield_now();
        }
        self.0.store(1, Ordering::Relaxed);
    }

    fn give_back(&self) {
        self.0.swap(0, Ordering::Release);
    }
}

#[test]
#[should_panic(expected = "Causality violation")]
fn word_planted_looks_first() {
    two_count::<LooksFirst>();
}

/// Lets the next one in, but does not show it what was written.
#[derive(Default)]
struct ShowsNothing(AtomicU32);

impl Lock for ShowsNothing {
    fn take(&self) {
        while self.0.fetch_or(1, Ordering::Acquire) != 0 {
            thread::yield_now();
        }
    }

    fn give_back(&self) {
        self.0.swap(0, Ordering::Relaxed);
    }
}

#[test]
#[should_panic(expected = "Causality violation")]
fn word_planted_shows_nothing() {
    two_count::<ShowsNothing>();
}
