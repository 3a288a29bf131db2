//! How deep epolls may watch epolls, that none watches itself by a detour, and that no file's wake-up takes too many ways
//! (semantics 34 to 39).
//!
//! Both walks, inwards and outwards, visit an epoll once, however many ways lead there: what they found stands in its
//! [`Mark`]. The caller holds the nesting lock, so that no two additions make together what neither makes alone.

use super::{Epoll, WatchList};
use alloc::sync::Weak;
use core::sync::atomic::{AtomicU64, Ordering};
use libsyscall::abi::Errno;

/// Epolls above one another, at most: epoll_ctl(2), ELOOP.
const DEPTH_MAX: usize = 5;

/// For a file watched by an epoll: how many ways lead from there to outermost epolls, by the epolls in between.
type Paths = [u32; DEPTH_MAX];

/// How many ways there may be; an epoll that nothing watches is always allowed. Linux's numbers.
const PATHS_MAX: Paths = [u32::MAX, 500, 100, 50, 10];

/// What the last walks that came by an epoll found, and which they were.
#[derive(Default)]
pub(super) struct Mark {
    inwards: u64,
    depth: usize,
    outwards: u64,
    paths: Paths,
}

/// A number for a new walk, never used twice.
fn new_walk() -> u64 {
    static WALKS: AtomicU64 = AtomicU64::new(1);
    WALKS.fetch_add(1, Ordering::Relaxed)
}

/// Whether `outer` may watch `inner`: ELOOP where that closes a circle or makes a chain too long.
pub(super) fn check_depth(outer: &Epoll, inner: &Epoll) -> Result<(), Errno> {
    let below = depth_below(inner, outer, new_walk())?;
    let above = 1 + paths_outwards(outer, new_walk())
        .iter()
        .rposition(|&count| count > 0)
        .unwrap_or(0);
    if below + above > DEPTH_MAX {
        Err(Errno::ELOOP)
    } else {
        Ok(())
    }
}

/// Whether each file that `inner` watches, itself or through others, is within the limits: EINVAL.
pub(super) fn check_paths_below(inner: &Epoll) -> Result<(), Errno> {
    check_files_below(inner, new_walk(), new_walk())
}

/// Whether a file stays within the limits when `epoll` watches it as well: EINVAL.
pub(super) fn check_paths_of(watches: &WatchList, epoll: &Epoll) -> Result<(), Errno> {
    let outwards = new_walk();
    check_file(watches, paths_outwards(epoll, outwards), outwards)
}

/// Epolls in the longest chain from `epoll` inwards, itself included. ELOOP where `outer` is among them.
fn depth_below(epoll: &Epoll, outer: &Epoll, walk: u64) -> Result<usize, Errno> {
    if core::ptr::eq(epoll, outer) {
        return Err(Errno::ELOOP);
    }
    let mark = epoll.mark.lock();
    if mark.inwards == walk {
        return Ok(mark.depth);
    }
    drop(mark);
    let mut below = 0;
    for (_, interest) in epoll.interests.lock().slab.iter() {
        if let Some(inner) = interest.source.as_epoll() {
            below = below.max(depth_below(inner, outer, walk)?);
        }
    }
    let mut mark = epoll.mark.lock();
    (mark.inwards, mark.depth) = (walk, below + 1);
    Ok(below + 1)
}

fn check_files_below(epoll: &Epoll, inwards: u64, outwards: u64) -> Result<(), Errno> {
    let mut mark = epoll.mark.lock();
    if mark.inwards == inwards {
        return Ok(());
    }
    mark.inwards = inwards;
    drop(mark);
    for (_, interest) in epoll.interests.lock().slab.iter() {
        match interest.source.as_epoll() {
            Some(inner) => check_files_below(inner, inwards, outwards)?,
            None => check_file(&interest.watches, Paths::default(), outwards)?,
        }
    }
    Ok(())
}

/// A file's ways, through the epolls that watch it and those in `paths`.
fn check_file(watches: &WatchList, mut paths: Paths, outwards: u64) -> Result<(), Errno> {
    watches.for_each_epoll(|epoll| add(&mut paths, paths_outwards(epoll, outwards)));
    if paths.iter().zip(PATHS_MAX).all(|(&count, max)| count <= max) {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}

fn add(paths: &mut Paths, others: Paths) {
    for (count, other) in paths.iter_mut().zip(others) {
        *count = count.saturating_add(other);
    }
}

/// The ways from `epoll` outwards, by the epolls on them after it.
fn paths_outwards(epoll: &Epoll, walk: u64) -> Paths {
    let mark = epoll.mark.lock();
    if mark.outwards == walk {
        return mark.paths;
    }
    drop(mark);
    let mut paths = Paths::default();
    let outer = epoll.outer.lock();
    if outer.is_empty() {
        paths[0] = 1;
    }
    for outer in outer.iter().filter_map(Weak::upgrade) {
        let [ways @ .., _] = paths_outwards(&outer, walk);
        add(&mut paths, [0, ways[0], ways[1], ways[2], ways[3]]);
    }
    drop(outer);
    let mut mark = epoll.mark.lock();
    (mark.outwards, mark.paths) = (walk, paths);
    paths
}
