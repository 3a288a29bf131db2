//! What the page tables of both machines have in common: words, most of them zero.

use core::sync::atomic::{AtomicU64, Ordering};

/// Shows the entries that are not zero, each with its index and value. Eight at a time are looked at first: walking a
/// process's tables, when it forks or ends, is mostly stepping over what is not there.
#[inline]
pub fn for_each_occupied(entries: &[AtomicU64], mut show: impl FnMut(usize, &AtomicU64, u64)) {
    let (groups, rest) = entries.as_chunks::<8>();
    let mut each = |first: usize, entries: &[AtomicU64]| {
        for (index, entry) in entries.iter().enumerate() {
            let value = entry.load(Ordering::Relaxed);
            if value != 0 {
                show(first + index, entry, value);
            }
        }
    };
    for (number, group) in groups.iter().enumerate() {
        let any = group.iter().fold(0, |any, entry| any | entry.load(Ordering::Relaxed));
        if any != 0 {
            each(8 * number, group);
        }
    }
    each(8 * groups.len(), rest);
}
