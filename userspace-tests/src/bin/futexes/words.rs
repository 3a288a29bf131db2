//! Which words are the same, and which are not.

use super::calls::*;
use libsyscall::abi::process::*;
use std::sync::atomic::AtomicU32;
use std::thread;
use userspace_tests::{Status, child};

pub fn none_is_one() {
    let word = AtomicU32::new(0);
    for count in [0, u32::MAX] {
        thread::scope(|scope| {
            let waiter = scope.spawn(|| wait(&word, 0));
            until_waiting(&word, 1);
            assert_eq!(wake(&word, count), Ok(1));
            assert_eq!(waiter.join().expect("waiter"), Ok(0));
        });
    }
}

/// Objects of shared memory that were made one after the other, and the same place in each.
pub fn shared_objects_are_told_apart() {
    let words = [(); 3].map(|()| {
        // SAFETY: new memory, which stays; zeroes are a word.
        unsafe { &(*shared()).word }
    });
    thread::scope(|scope| {
        let waiter = scope.spawn(|| futex(words[1], FUTEX_WAIT, 0, 0, words[1], 0));
        until(|| futex(words[1], FUTEX_REQUEUE, 0, i32::MAX as usize, words[1], 0) == Ok(1));
        let wake = |word| futex(word, FUTEX_WAKE, 1, 0, word, 0);
        assert_eq!(words.map(wake), [Ok(0), Ok(1), Ok(0)]);
        assert_eq!(waiter.join().expect("waiter"), Ok(0));
    });
}

/// Wakes one waiter, at the first of `words` that has any: its place.
fn wake_first(words: &[&AtomicU32]) -> Option<usize> {
    words
        .iter()
        .position(|word| futex(word, FUTEX_WAKE, 1, 0, word, 0) == Ok(1))
}

/// Mappings made one after the other differ, whatever of the same place in them somebody waits for.
pub fn words_of_several_mappings() {
    // SAFETY: zero is a valid word, and the mappings stay.
    let words = [(); 8].map(|()| unsafe { &(*shared()).word });
    for (place, word) in words.iter().enumerate() {
        let waiter = child(|| {
            let woken = futex(word, FUTEX_WAIT, 0, 0, word, 0);
            i32::from(woken != Ok(0))
        });
        // The others are asked more often than the right one, and have nobody.
        let mut others = words.to_vec();
        others.remove(place);
        until(|| {
            assert_eq!(wake_first(&others), None);
            wake_first(&[word]).is_some()
        });
        assert_eq!(waiter.wait(), Status::Exited(0));
    }
}
