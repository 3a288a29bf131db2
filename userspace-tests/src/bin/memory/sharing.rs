//! What is copied and what is shared, by fork(2) and with files.

use super::pages::*;
use std::fs::OpenOptions;
use std::os::fd::AsRawFd;
use userspace_tests::check_eq;

pub fn fork_copies_private_pages() -> Result<(), String> {
    let at = map(8 * PAGE, RW, PRIVATE)?;
    (0..8).for_each(|page| put(at, page * PAGE, 1));
    let child = exits(|| {
        let seen = (0..8).all(|page| get(at, page * PAGE) == 1);
        (0..8).for_each(|page| put(at, page * PAGE, 2));
        (seen && (0..8).all(|page| get(at, page * PAGE) == 2)) as i32
    });
    check_eq!(child, Some(1));
    for page in 0..8 {
        check_eq!(get(at, page * PAGE), 1);
        put(at, page * PAGE, 3);
    }
    unmap(at, 8 * PAGE)
}

pub fn fork_shares_shared_pages() -> Result<(), String> {
    let at = map(4 * PAGE, RW, SHARED)?;
    put(at, 0, 1);
    let child = exits(|| {
        put(at, 3 * PAGE, 5);
        get(at, 0) as i32
    });
    check_eq!(child, Some(1));
    check_eq!(get(at, 3 * PAGE), 5);
    unmap(at, 4 * PAGE)
}

pub fn fork_advice() -> Result<(), String> {
    let at = map(2 * PAGE, RW, PRIVATE)?;
    put(at, 0, 1);
    put(at, PAGE, 1);
    check_eq!(advise(at, PAGE, libc::MADV_DONTFORK), Ok(()));
    check_eq!(advise(at.wrapping_add(PAGE), PAGE, libc::MADV_WIPEONFORK), Ok(()));
    check_eq!(dies_by(|| put(at, 0, 1)), Some(libc::SIGSEGV));
    check_eq!(exits(|| get(at, PAGE) as i32), Some(0));
    check_eq!(get(at, PAGE), 1);
    unmap(at, 2 * PAGE)
}

pub fn file_private() -> Result<(), String> {
    let file = file(3 * PAGE + 100)?;
    let at = map_file(0, 4 * PAGE, RW, libc::MAP_PRIVATE, file.as_raw_fd(), 0).map_err(|error| error.to_string())?;
    check_eq!((get(at, 5), get(at, 3 * PAGE + 99)), (5, 99));
    // Behind the end of the file the page is zero.
    check_eq!(get(at, 3 * PAGE + 100), 0);
    put(at, 5, 77);
    let mut byte = [0];
    std::os::unix::fs::FileExt::read_at(&file, &mut byte, 5).map_err(|error| error.to_string())?;
    check_eq!(byte[0], 5);
    check_eq!(get(at, 5), 77);
    unmap(at, 4 * PAGE)?;
    let at = map_file(
        0,
        PAGE,
        libc::PROT_READ,
        libc::MAP_PRIVATE,
        file.as_raw_fd(),
        2 * PAGE as i64,
    );
    let at = at.map_err(|error| error.to_string())?;
    check_eq!(get(at, 3), 3);
    unmap(at, PAGE)
}

pub fn file_shared() -> Result<(), String> {
    use std::os::unix::fs::FileExt;
    let file = file(2 * PAGE)?;
    let at = map_file(0, 2 * PAGE, RW, libc::MAP_SHARED, file.as_raw_fd(), 0).map_err(|error| error.to_string())?;
    put(at, PAGE + 1, 200);
    let mut byte = [0];
    file.read_at(&mut byte, PAGE as u64 + 1)
        .map_err(|error| error.to_string())?;
    check_eq!(byte[0], 200);
    file.write_at(&[201], 3).map_err(|error| error.to_string())?;
    check_eq!(get(at, 3), 201);
    check_eq!(
        exits(|| {
            put(at, 4, 9);
            0
        }),
        Some(0)
    );
    check_eq!(get(at, 4), 9);
    // SAFETY: the mapping of this test.
    check_eq!(unsafe { libc::msync(at.cast(), 2 * PAGE, libc::MS_SYNC) }, 0);
    unmap(at, 2 * PAGE)
}

pub fn file_protection() -> Result<(), String> {
    let writable = file(PAGE)?;
    let path = format!("/proc/self/fd/{}", writable.as_raw_fd());
    let readable = OpenOptions::new()
        .read(true)
        .open(&path)
        .map_err(|error| error.to_string())?;
    let fd = readable.as_raw_fd();
    check_eq!(map_file(0, PAGE, RW, libc::MAP_SHARED, fd, 0), Err(libc::EACCES));
    let at = map_file(0, PAGE, libc::PROT_READ, libc::MAP_SHARED, fd, 0).map_err(|error| error.to_string())?;
    check_eq!(protect(at, PAGE, RW), Err(libc::EACCES));
    unmap(at, PAGE)?;
    let at = map_file(0, PAGE, RW, libc::MAP_PRIVATE, fd, 0).map_err(|error| error.to_string())?;
    put(at, 0, 1);
    unmap(at, PAGE)?;
    let write_only = OpenOptions::new()
        .write(true)
        .open(&path)
        .map_err(|error| error.to_string())?;
    check_eq!(
        map_file(0, PAGE, libc::PROT_READ, libc::MAP_PRIVATE, write_only.as_raw_fd(), 0),
        Err(libc::EACCES)
    );
    Ok(())
}

pub fn read_into_mapping_of_same_file() -> Result<(), String> {
    let file = file(4 * PAGE)?;
    let fd = file.as_raw_fd();
    let at = map_file(0, 4 * PAGE, RW, libc::MAP_SHARED, fd, 0).map_err(|error| error.to_string())?;
    // SAFETY: source and destination are the same file, which only this thread uses.
    unsafe {
        check_eq!(libc::pread(fd, at.add(2 * PAGE).cast(), PAGE, 1), PAGE as isize);
        check_eq!(
            libc::pwrite(fd, at.add(PAGE).cast(), PAGE, 3 * PAGE as i64),
            PAGE as isize
        );
    }
    check_eq!(get(at, 2 * PAGE), 1);
    check_eq!(get(at, 3 * PAGE + 5), 5);
    unmap(at, 4 * PAGE)
}
