//! Operations on two words: FUTEX_REQUEUE, FUTEX_CMP_REQUEUE, FUTEX_WAKE_OP.

use super::{Aim, Key, TABLE, Waiting, exchange, load, wake_in};
use crate::task::Thread;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Release;
use libsyscall::abi::Errno;
use libsyscall::abi::process::FUTEX_BITSET_MATCH_ANY;
use sync::SpinGuard;

type Bucket = SpinGuard<'static, Vec<Waiting>>;

/// Locks two buckets in the order of their numbers; the second is `None` where it is the first.
pub(super) fn lock_two(one: usize, other: usize) -> (Bucket, Option<Bucket>) {
    if one == other {
        (TABLE[one].lock(), None)
    } else if one < other {
        let first = TABLE[one].lock();
        (first, Some(TABLE[other].lock()))
    } else {
        let second = TABLE[other].lock();
        (TABLE[one].lock(), Some(second))
    }
}

/// A word's address, and whether it is the process's own.
pub type Word = (usize, bool);

/// FUTEX_(CMP_)REQUEUE: wakes `count` waiters of one word and moves up to `limit` others to another word. With
/// `expected`, EAGAIN unless the word is that. How many were woken and moved.
pub fn requeue(
    thread: &Thread,
    ((from, from_private), (to, to_private)): (Word, Word),
    (count, limit): (usize, usize),
    expected: Option<u32>,
) -> Result<(usize, usize), Errno> {
    let (key, new_key) = (Key::of(thread, from, from_private)?, Key::of(thread, to, to_private)?);
    if expected.is_some() {
        load(from)?;
    }
    let new_index = new_key.bucket();
    let (mut bucket, mut other) = lock_two(key.bucket(), new_index);
    if let Some(expected) = expected
        && load(from)? != expected
    {
        return Err(Errno::EAGAIN);
    }
    let woken = wake_in(&mut bucket, key, count, FUTEX_BITSET_MATCH_ANY)?;
    let mut moved = 0;
    let mut at = 0;
    while moved < limit && at < bucket.len() {
        if bucket[at].key != key {
            at += 1;
            continue;
        }
        if matches!(bucket[at].aim, Aim::Lock(_) | Aim::ThenLock(_)) {
            return Err(Errno::EINVAL);
        }
        moved += 1;
        match &mut other {
            None => {
                bucket[at].key = new_key;
                at += 1;
            }
            Some(other) => {
                other.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
                let mut waiting = bucket.remove(at);
                waiting.key = new_key;
                waiting.place().store(new_index, Release);
                other.push(waiting);
            }
        }
    }
    Ok((woken, moved))
}

/// FUTEX_WAKE_OP: changes the second word by `operation`, wakes waiters of the first, and of the second where the old
/// value compares as asked.
pub fn wake_op(
    thread: &Thread,
    (first, second): (usize, usize),
    private: bool,
    (count, second_count): (usize, usize),
    operation: u32,
) -> Result<usize, Errno> {
    let (key, second_key) = (Key::of(thread, first, private)?, Key::of(thread, second, private)?);
    let (kind, comparison) = ((operation >> 28) & 0xf, (operation >> 24) & 0xf);
    let mut argument = ((operation << 8) as i32 >> 20) as u32;
    let compared = (operation << 20) as i32 >> 20;
    if kind & 8 != 0 {
        argument = 1u32.wrapping_shl(argument & 31);
    }
    let mut old = load(second)?;
    loop {
        let new = match kind & 7 {
            0 => argument,
            1 => old.wrapping_add(argument),
            2 => old | argument,
            3 => old & !argument,
            4 => old ^ argument,
            _ => return Err(Errno::ENOSYS),
        };
        if exchange(second, old, new)? {
            break;
        }
        old = load(second)?;
    }
    let holds = match comparison {
        0 => old as i32 == compared,
        1 => old as i32 != compared,
        2 => (old as i32) < compared,
        3 => old as i32 <= compared,
        4 => old as i32 > compared,
        5 => old as i32 >= compared,
        _ => return Err(Errno::ENOSYS),
    };
    let mut woken = wake_in(&mut TABLE[key.bucket()].lock(), key, count, FUTEX_BITSET_MATCH_ANY)?;
    if holds {
        let mut bucket = TABLE[second_key.bucket()].lock();
        woken += wake_in(&mut bucket, second_key, second_count, FUTEX_BITSET_MATCH_ANY)?;
    }
    Ok(woken)
}
