//! How deep epolls may watch epolls, and that none watches itself by a detour (semantics 34 to 38).

use super::Epoll;
use libsyscall::abi::Errno;

/// Epolls above one another, at most: epoll_ctl(2), ELOOP.
const DEPTH_MAX: usize = 5;

/// Whether `outer` may watch `inner`: ELOOP where that closes a circle or makes a chain too long. The caller holds the
/// nesting lock, so that no two additions make together what neither makes alone.
pub(super) fn check(outer: &Epoll, inner: &Epoll) -> Result<(), Errno> {
    let below = depth_below(inner, outer, 1)?;
    let above = depth_above(outer, 1)?;
    if below + above > DEPTH_MAX {
        Err(Errno::ELOOP)
    } else {
        Ok(())
    }
}

/// Epolls in the longest chain from `epoll` inwards, itself included.
fn depth_below(epoll: &Epoll, outer: &Epoll, depth: usize) -> Result<usize, Errno> {
    if core::ptr::eq(epoll, outer) || depth > DEPTH_MAX {
        return Err(Errno::ELOOP);
    }
    let mut deepest = depth;
    for inner in epoll.inner_epolls() {
        if let Some(inner) = inner.as_epoll() {
            deepest = deepest.max(depth_below(inner, outer, depth + 1)?);
        }
    }
    Ok(deepest)
}

/// Epolls in the longest chain from `epoll` outwards, itself included.
fn depth_above(epoll: &Epoll, depth: usize) -> Result<usize, Errno> {
    if depth > DEPTH_MAX {
        return Err(Errno::ELOOP);
    }
    let mut highest = depth;
    for outer in epoll.outer_epolls() {
        highest = highest.max(depth_above(&outer, depth + 1)?);
    }
    Ok(highest)
}
