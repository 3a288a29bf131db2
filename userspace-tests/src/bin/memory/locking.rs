//! mlock(2): what may not be asked for of locked pages, msync(2) and madvise(2), and who has them.

use super::pages::*;
use std::fs;
use userspace_tests::check_eq;

fn lock(at: *mut u8, len: usize) -> Result<(), i32> {
    // SAFETY: only mappings of these tests.
    result(unsafe { libc::mlock(at.cast(), len) })
}

fn unlock(at: *mut u8, len: usize) -> Result<(), i32> {
    // SAFETY: likewise.
    result(unsafe { libc::munlock(at.cast(), len) })
}

fn sync(at: *mut u8, len: usize, flags: i32) -> Result<(), i32> {
    // SAFETY: likewise.
    result(unsafe { libc::msync(at.cast(), len, flags) })
}

/// VmLck of /proc/self/status, in KiB.
fn locked_kib() -> Result<usize, String> {
    let status = fs::read_to_string("/proc/self/status").map_err(|error| error.to_string())?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmLck:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| "no VmLck".into())
}

pub fn locked_pages() -> Result<(), String> {
    let at = map(4 * PAGE, RW, SHARED)?;
    let before = locked_kib()?;
    check_eq!(sync(at, 4 * PAGE, libc::MS_INVALIDATE), Ok(()));
    // SAFETY: it lies in the mapping.
    let second = unsafe { at.add(PAGE) };
    check_eq!(lock(second, PAGE), Ok(()));
    check_eq!(locked_kib()?, before + 4);
    for flags in [libc::MS_INVALIDATE, libc::MS_INVALIDATE | libc::MS_SYNC] {
        check_eq!(sync(at, 4 * PAGE, flags), Err(libc::EBUSY));
        check_eq!(sync(at, PAGE, flags), Ok(()));
    }
    check_eq!(sync(at, 4 * PAGE, libc::MS_SYNC), Ok(()));
    check_eq!(advise(at, 4 * PAGE, libc::MADV_DONTNEED), Err(libc::EINVAL));
    check_eq!(advise(at, 4 * PAGE, libc::MADV_DONTNEED_LOCKED), Ok(()));
    // A child has none of them.
    let seen = exits(|| {
        let is_free = sync(at, 4 * PAGE, libc::MS_INVALIDATE) == Ok(()) && locked_kib() == Ok(0);
        i32::from(!is_free)
    });
    check_eq!(seen, Some(0));
    // SAFETY: it lies in the mapping.
    unmap(unsafe { at.add(2 * PAGE) }, PAGE)?;
    check_eq!(sync(at, 4 * PAGE, libc::MS_INVALIDATE), Err(libc::EBUSY));
    check_eq!(unlock(at, 2 * PAGE), Ok(()));
    check_eq!(sync(at, 4 * PAGE, libc::MS_INVALIDATE), Err(libc::ENOMEM));
    check_eq!(locked_kib()?, before);
    unmap(at, 4 * PAGE)
}

/// mlockall(MCL_FUTURE), MAP_LOCKED.
pub fn locked_from_the_start() -> Result<(), String> {
    let is_locked = |flags: i32| {
        let at = map(PAGE, RW, SHARED | flags)?;
        let refused = sync(at, PAGE, libc::MS_INVALIDATE);
        unmap(at, PAGE)?;
        Ok::<_, String>(refused == Err(libc::EBUSY))
    };
    check_eq!(is_locked(0)?, false);
    check_eq!(is_locked(libc::MAP_LOCKED)?, true);
    // SAFETY: numbers only.
    check_eq!(result(unsafe { libc::mlockall(libc::MCL_FUTURE) }), Ok(()));
    let later = is_locked(0);
    // SAFETY: it takes nothing.
    check_eq!(result(unsafe { libc::munlockall() }), Ok(()));
    check_eq!(later?, true);
    check_eq!(is_locked(0)?, false);
    check_eq!(locked_kib()?, 0);
    Ok(())
}
