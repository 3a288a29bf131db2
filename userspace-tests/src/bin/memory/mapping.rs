//! What the calls do to the address space.

use super::pages::*;
use std::ffi::c_void;
use std::os::fd::AsRawFd;
use userspace_tests::{check, check_eq};

pub fn map_write_unmap() -> Result<(), String> {
    let at = map(16 * PAGE, RW, PRIVATE)?;
    for page in 0..16 {
        check_eq!(get(at, page * PAGE + 17), 0);
        put(at, page * PAGE + 17, page as u8);
    }
    for page in 0..16 {
        check_eq!(get(at, page * PAGE + 17), page as u8);
    }
    unmap(at, 16 * PAGE)?;
    check_eq!(dies_by(|| put(at, 0, 1)), Some(libc::SIGSEGV));
    // What is not mapped does not matter.
    unmap(at, 16 * PAGE)
}

pub fn mmap_errors() -> Result<(), String> {
    check_eq!(map_at(0, 0, RW, PRIVATE), Err(libc::EINVAL));
    check_eq!(map_at(0, PAGE, RW, libc::MAP_ANONYMOUS), Err(libc::EINVAL));
    check_eq!(map_at(PAGE + 1, PAGE, RW, PRIVATE | libc::MAP_FIXED), Err(libc::EINVAL));
    check_eq!(map_at(0, usize::MAX - PAGE, RW, PRIVATE), Err(libc::ENOMEM));
    check_eq!(map_at(0, 1 << 56, RW, PRIVATE | libc::MAP_NORESERVE), Err(libc::ENOMEM));
    check_eq!(map_file(0, PAGE, RW, libc::MAP_PRIVATE, -1, 0), Err(libc::EBADF));
    let file = file(PAGE)?;
    check_eq!(
        map_file(0, PAGE, RW, libc::MAP_PRIVATE, file.as_raw_fd(), 1),
        Err(libc::EINVAL)
    );
    // SAFETY: a descriptor for this test.
    let epoll = unsafe { libc::epoll_create1(0) };
    check_eq!(
        map_file(0, PAGE, libc::PROT_READ, libc::MAP_PRIVATE, epoll, 0),
        Err(libc::ENODEV)
    );
    // SAFETY: ours.
    unsafe { libc::close(epoll) };
    check_eq!(
        // SAFETY: nothing is unmapped: the arguments are refused.
        unsafe {
            (
                libc::munmap(std::ptr::without_provenance_mut::<c_void>(1), PAGE),
                errno(),
            )
        },
        (-1, libc::EINVAL)
    );
    check_eq!(
        // SAFETY: as above.
        unsafe { (libc::munmap(PAGE as *mut c_void, 0), errno()) },
        (-1, libc::EINVAL)
    );
    Ok(())
}

pub fn hint_and_fixed() -> Result<(), String> {
    let at = map(4 * PAGE, RW, PRIVATE)?;
    put(at, PAGE, 7);
    let address = at as usize;
    // A hint that is taken is passed over.
    let other = map_at(address, PAGE, RW, PRIVATE).map_err(|error| format!("hint: errno {error}"))?;
    check!(other != at);
    unmap(other, PAGE)?;
    let fixed = libc::MAP_FIXED_NOREPLACE;
    check_eq!(map_at(address + PAGE, PAGE, RW, PRIVATE | fixed), Err(libc::EEXIST));
    check_eq!(
        map_at(address + PAGE, PAGE, RW, PRIVATE | libc::MAP_FIXED),
        Ok((address + PAGE) as *mut u8)
    );
    check_eq!(get(at, PAGE), 0);
    unmap(at, 4 * PAGE)?;
    // A free hint is taken.
    check_eq!(
        map_at(address + PAGE, PAGE, RW, PRIVATE),
        Ok((address + PAGE) as *mut u8)
    );
    unmap((address + PAGE) as *mut u8, PAGE)
}

pub fn unmap_splits() -> Result<(), String> {
    let at = map(3 * PAGE, RW, PRIVATE)?;
    for page in 0..3 {
        put(at, page * PAGE, page as u8 + 1);
    }
    unmap(at.wrapping_add(PAGE), PAGE)?;
    check_eq!((get(at, 0), get(at, 2 * PAGE)), (1, 3));
    check_eq!(dies_by(|| put(at, PAGE, 1)), Some(libc::SIGSEGV));
    unmap(at, 3 * PAGE)
}

pub fn protection_keeps_contents() -> Result<(), String> {
    let at = map(4 * PAGE, RW, PRIVATE)?;
    for page in 0..4 {
        put(at, page * PAGE, 40 + page as u8);
    }
    check_eq!(protect(at, 2 * PAGE, libc::PROT_NONE), Ok(()));
    check_eq!(dies_by(|| _ = get(at, 0)), Some(libc::SIGSEGV));
    // The kernel is bound by it too.
    let mut pipe = [0; 2];
    // SAFETY: two descriptors of this test; the pointer is judged by the kernel.
    unsafe {
        check_eq!(libc::pipe(pipe.as_mut_ptr()), 0);
        check_eq!((libc::write(pipe[1], at.cast(), 1), errno()), (-1, libc::EFAULT));
        libc::close(pipe[0]);
        libc::close(pipe[1]);
    }
    check_eq!(
        exits(|| (protect(at, PAGE, RW).is_ok() && get(at, 0) == 40) as i32),
        Some(1)
    );
    check_eq!(protect(at, PAGE, libc::PROT_READ), Ok(()));
    check_eq!((get(at, 0), get(at, 3 * PAGE)), (40, 43));
    check_eq!(dies_by(|| put(at, 0, 1)), Some(libc::SIGSEGV));
    check_eq!(protect(at, 4 * PAGE, RW), Ok(()));
    for page in 0..4 {
        check_eq!(get(at, page * PAGE), 40 + page as u8);
        put(at, page * PAGE, 1);
    }
    unmap(at, 4 * PAGE)
}

pub fn mprotect_errors() -> Result<(), String> {
    let at = map(3 * PAGE, RW, PRIVATE)?;
    unmap(at.wrapping_add(PAGE), PAGE)?;
    check_eq!(protect(at, 3 * PAGE, libc::PROT_READ), Err(libc::ENOMEM));
    check_eq!(protect(at.wrapping_add(1), PAGE, libc::PROT_READ), Err(libc::EINVAL));
    check_eq!(protect(at, 0, libc::PROT_READ), Ok(()));
    unmap(at, 3 * PAGE)
}

pub fn large_reservation_is_free() -> Result<(), String> {
    let len = 64 << 30;
    let at = map(len, libc::PROT_NONE, PRIVATE | libc::MAP_NORESERVE)?;
    let middle = at.wrapping_add(len / 2);
    check_eq!(protect(middle, 1 << 20, RW), Ok(()));
    put(middle, 5, 9);
    check_eq!(get(middle, 5), 9);
    unmap(at, len)
}

fn remap(at: *mut u8, old: usize, new: usize, flags: i32) -> Result<*mut u8, i32> {
    // SAFETY: only mappings of these tests.
    let moved = unsafe { libc::mremap(at.cast(), old, new, flags) };
    if moved == libc::MAP_FAILED {
        Err(errno())
    } else {
        Ok(moved.cast())
    }
}

pub fn remap_grows_and_moves() -> Result<(), String> {
    let room = map(8 * PAGE, RW, PRIVATE)?;
    unmap(room.wrapping_add(2 * PAGE), 6 * PAGE)?;
    put(room, PAGE, 6);
    // Room behind it: it stays.
    check_eq!(remap(room, 2 * PAGE, 4 * PAGE, 0), Ok(room));
    check_eq!((get(room, PAGE), get(room, 3 * PAGE)), (6, 0));
    // None: it moves, with what was written.
    let wall = map_at(
        room as usize + 4 * PAGE,
        PAGE,
        libc::PROT_READ,
        PRIVATE | libc::MAP_FIXED,
    );
    let wall = wall.map_err(|error| error.to_string())?;
    check_eq!(remap(room, 4 * PAGE, 8 * PAGE, 0), Err(libc::ENOMEM));
    let moved = remap(room, 4 * PAGE, 8 * PAGE, libc::MREMAP_MAYMOVE).map_err(|error| error.to_string())?;
    check!(moved != room);
    check_eq!((get(moved, PAGE), get(moved, 7 * PAGE)), (6, 0));
    check_eq!(dies_by(|| _ = get(room, PAGE)), Some(libc::SIGSEGV));
    put(moved, PAGE, 8);
    unmap(wall, PAGE)?;
    unmap(moved, 8 * PAGE)
}

pub fn remap_shrinks() -> Result<(), String> {
    let at = map(4 * PAGE, RW, PRIVATE)?;
    put(at, 0, 4);
    check_eq!(remap(at, 4 * PAGE, PAGE, 0), Ok(at));
    check_eq!(get(at, 0), 4);
    check_eq!(dies_by(|| _ = get(at, PAGE)), Some(libc::SIGSEGV));
    unmap(at, PAGE)
}

pub fn remap_errors() -> Result<(), String> {
    let at = map(2 * PAGE, RW, PRIVATE)?;
    check_eq!(remap(at.wrapping_add(1), PAGE, PAGE, 0), Err(libc::EINVAL));
    check_eq!(remap(at, PAGE, 0, 0), Err(libc::EINVAL));
    check_eq!(remap(at, PAGE, 2 * PAGE, 64), Err(libc::EINVAL));
    check_eq!(remap(at, PAGE, 2 * PAGE, libc::MREMAP_FIXED), Err(libc::EINVAL));
    unmap(at, 2 * PAGE)?;
    check_eq!(remap(at, PAGE, 2 * PAGE, libc::MREMAP_MAYMOVE), Err(libc::EFAULT));
    Ok(())
}

pub fn dontneed_gives_zeroes() -> Result<(), String> {
    let at = map(4 * PAGE, RW, PRIVATE)?;
    (0..4).for_each(|page| put(at, page * PAGE, 1));
    check_eq!(advise(at.wrapping_add(PAGE), 2 * PAGE, libc::MADV_DONTNEED), Ok(()));
    let bytes: Vec<u8> = (0..4).map(|page| get(at, page * PAGE)).collect();
    check_eq!(bytes, [1, 0, 0, 1]);
    unmap(at, 4 * PAGE)?;
    // A private file page is the file's again.
    let file = file(PAGE)?;
    let at = map_file(0, PAGE, RW, libc::MAP_PRIVATE, file.as_raw_fd(), 0).map_err(|error| error.to_string())?;
    put(at, 9, 100);
    check_eq!(advise(at, PAGE, libc::MADV_DONTNEED), Ok(()));
    check_eq!(get(at, 9), 9);
    unmap(at, PAGE)
}

pub fn madvise_errors() -> Result<(), String> {
    let at = map(2 * PAGE, RW, PRIVATE)?;
    check_eq!(advise(at, PAGE, 77), Err(libc::EINVAL));
    check_eq!(advise(at.wrapping_add(1), PAGE, libc::MADV_DONTNEED), Err(libc::EINVAL));
    check_eq!(advise(at, 0, libc::MADV_DONTNEED), Ok(()));
    unmap(at.wrapping_add(PAGE), PAGE)?;
    check_eq!(advise(at, 2 * PAGE, libc::MADV_DONTNEED), Err(libc::ENOMEM));
    check_eq!(advise(at, PAGE, libc::MADV_FREE), Ok(()));
    unmap(at, PAGE)
}

pub fn break_grows_and_shrinks() -> Result<(), String> {
    let done = exits(|| {
        // SAFETY: the child's own heap end; it allocates nothing meanwhile.
        unsafe {
            let start = libc::sbrk(0).cast::<u8>();
            if libc::sbrk(64 * PAGE as isize).cast::<u8>() != start {
                return 1;
            }
            put(start, 63 * PAGE, 5);
            libc::sbrk(-(64 * PAGE as isize));
            libc::sbrk(64 * PAGE as isize);
            (libc::sbrk(0).cast::<u8>() == start.add(64 * PAGE) && get(start, 63 * PAGE) == 0) as i32 + 1
        }
    });
    check_eq!(done, Some(2));
    Ok(())
}

pub fn mincore_tells_residency() -> Result<(), String> {
    let at = map(4 * PAGE, RW, PRIVATE)?;
    put(at, PAGE, 1);
    let mut seen = [9u8; 4];
    // SAFETY: the mapping and the vector of this test.
    check_eq!(unsafe { libc::mincore(at.cast(), 4 * PAGE, seen.as_mut_ptr()) }, 0);
    check_eq!(seen.map(|byte| byte & 1), [0, 1, 0, 0]);
    unmap(at, 4 * PAGE)?;
    check_eq!(
        // SAFETY: as above.
        unsafe { (libc::mincore(at.cast(), PAGE, seen.as_mut_ptr()), errno()) },
        (-1, libc::ENOMEM)
    );
    Ok(())
}

pub fn populate() -> Result<(), String> {
    let at = map(4 * PAGE, RW, PRIVATE | libc::MAP_POPULATE)?;
    let mut seen = [0u8; 4];
    // SAFETY: the mapping and the vector of this test.
    check_eq!(unsafe { libc::mincore(at.cast(), 4 * PAGE, seen.as_mut_ptr()) }, 0);
    check_eq!(seen.map(|byte| byte & 1), [1; 4]);
    unmap(at, 4 * PAGE)
}

pub fn many_regions() -> Result<(), String> {
    const COUNT: usize = 2000;
    let at = map(2 * COUNT * PAGE, RW, PRIVATE)?;
    for region in 0..COUNT {
        check_eq!(
            protect(at.wrapping_add(2 * region * PAGE), PAGE, libc::PROT_READ),
            Ok(())
        );
    }
    for region in 0..COUNT {
        put(at, (2 * region + 1) * PAGE, 1);
    }
    check_eq!(protect(at, 2 * COUNT * PAGE, RW), Ok(()));
    put(at, 0, 1);
    unmap(at, 2 * COUNT * PAGE)
}
