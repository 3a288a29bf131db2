//! Address spaces as a program sees them: mmap(2), munmap(2), mprotect(2), mremap(2), madvise(2), brk(2), mincore(2), fork's
//! copies, and the signals of bad accesses.

use std::ffi::c_void;
use std::fs::{self, OpenOptions};
use std::io::{Error, Write};
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::ptr::null_mut;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI32, AtomicUsize};
use userspace_tests::harness::ignore;
use userspace_tests::{Test, alone_on_this_machine, check, check_eq, run};

const PAGE: usize = 4096;
const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;
const PRIVATE: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
const SHARED: i32 = libc::MAP_SHARED | libc::MAP_ANONYMOUS;

const TESTS: &[Test<Result<(), String>>] = &[
    ("map_write_unmap", map_write_unmap),
    ("mmap_errors", mmap_errors),
    ("hint_and_fixed", hint_and_fixed),
    ("unmap_splits", unmap_splits),
    ("protection_keeps_contents", protection_keeps_contents),
    ("mprotect_errors", mprotect_errors),
    ("large_reservation_is_free", large_reservation_is_free),
    ("fork_copies_private_pages", fork_copies_private_pages),
    ("fork_shares_shared_pages", fork_shares_shared_pages),
    ("fork_advice", fork_advice),
    ("file_private", file_private),
    ("file_shared", file_shared),
    ("file_protection", file_protection),
    ("past_the_end_is_sigbus", past_the_end_is_sigbus),
    ("null_is_sigsegv", null_is_sigsegv),
    ("read_only_is_sigsegv_accerr", read_only_is_sigsegv_accerr),
    ("no_execution_of_data", no_execution_of_data),
    ("handler_mends_and_goes_on", handler_mends_and_goes_on),
    ("remap_grows_and_moves", remap_grows_and_moves),
    ("remap_shrinks", remap_shrinks),
    ("remap_errors", remap_errors),
    ("dontneed_gives_zeroes", dontneed_gives_zeroes),
    ("madvise_errors", madvise_errors),
    ("break_grows_and_shrinks", break_grows_and_shrinks),
    ("mincore_tells_residency", mincore_tells_residency),
    ("populate", populate),
    ("stack_grows", stack_grows),
    ("bad_pointers_are_efault", bad_pointers_are_efault),
    ("copies_fault_pages_in", copies_fault_pages_in),
    ("read_into_mapping_of_same_file", read_into_mapping_of_same_file),
    ("threads_fault_together", threads_fault_together),
    ("unmap_is_seen_by_other_threads", unmap_is_seen_by_other_threads),
    ("many_regions", many_regions),
    ("fork_storm_leaks_nothing", fork_storm_leaks_nothing),
    ("exec_storm_leaks_nothing", exec_storm_leaks_nothing),
];

fn main() -> ExitCode {
    run(TESTS)
}

fn map_at(address: usize, len: usize, protection: i32, flags: i32) -> Result<*mut u8, i32> {
    map_file(address, len, protection, flags, -1, 0)
}

fn map_file(address: usize, len: usize, protection: i32, flags: i32, fd: i32, offset: i64) -> Result<*mut u8, i32> {
    // SAFETY: a new mapping; no test maps over memory that Rust owns.
    let at = unsafe { libc::mmap(address as *mut c_void, len, protection, flags, fd, offset) };
    if at == libc::MAP_FAILED {
        Err(errno())
    } else {
        Ok(at.cast())
    }
}

fn map(len: usize, protection: i32, flags: i32) -> Result<*mut u8, String> {
    map_at(0, len, protection, flags).map_err(|error| format!("mmap: errno {error}"))
}

fn unmap(at: *mut u8, len: usize) -> Result<(), String> {
    // SAFETY: only mappings of these tests.
    result(unsafe { libc::munmap(at.cast(), len) }).map_err(|error| format!("munmap: errno {error}"))
}

fn protect(at: *mut u8, len: usize, protection: i32) -> Result<(), i32> {
    // SAFETY: only mappings of these tests.
    result(unsafe { libc::mprotect(at.cast(), len, protection) })
}

fn advise(at: *mut u8, len: usize, advice: i32) -> Result<(), i32> {
    // SAFETY: only mappings of these tests.
    result(unsafe { libc::madvise(at.cast(), len, advice) })
}

fn result(value: i32) -> Result<(), i32> {
    if value < 0 { Err(errno()) } else { Ok(()) }
}

fn errno() -> i32 {
    Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn get(at: *mut u8, offset: usize) -> u8 {
    // SAFETY: the tests ask for mapped bytes, or run this in a child that may die.
    unsafe { at.add(offset).read_volatile() }
}

fn put(at: *mut u8, offset: usize, value: u8) {
    // SAFETY: as in `get`.
    unsafe { at.add(offset).write_volatile(value) }
}

/// Runs `f` in a forked child; the wait status.
fn in_child(f: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child calls only what is safe after a fork of a process that may have had threads.
    unsafe {
        match libc::fork() {
            0 => {
                // The runtime's handler would print a message about stack overflows.
                libc::signal(libc::SIGSEGV, libc::SIG_DFL);
                libc::signal(libc::SIGBUS, libc::SIG_DFL);
                libc::_exit(f())
            }
            child => {
                let mut status = 0;
                libc::waitpid(child, &mut status, 0);
                status
            }
        }
    }
}

fn exits(f: impl FnOnce() -> i32) -> Option<i32> {
    let status = in_child(f);
    libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status))
}

fn dies_by(f: impl FnOnce()) -> Option<i32> {
    let status = in_child(|| {
        f();
        0
    });
    libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status))
}

/// A file of `len` bytes, each its offset's low byte, opened for reading and writing and already unlinked.
fn file(len: usize) -> Result<fs::File, String> {
    let path = std::env::temp_dir().join(format!("memory-test-{}", std::process::id()));
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    let bytes: Vec<u8> = (0..len).map(|offset| offset as u8).collect();
    file.write_all(&bytes).map_err(|error| error.to_string())?;
    fs::remove_file(&path).map_err(|error| error.to_string())?;
    Ok(file)
}

fn map_write_unmap() -> Result<(), String> {
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

fn mmap_errors() -> Result<(), String> {
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

fn hint_and_fixed() -> Result<(), String> {
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

fn unmap_splits() -> Result<(), String> {
    let at = map(3 * PAGE, RW, PRIVATE)?;
    for page in 0..3 {
        put(at, page * PAGE, page as u8 + 1);
    }
    unmap(at.wrapping_add(PAGE), PAGE)?;
    check_eq!((get(at, 0), get(at, 2 * PAGE)), (1, 3));
    check_eq!(dies_by(|| put(at, PAGE, 1)), Some(libc::SIGSEGV));
    unmap(at, 3 * PAGE)
}

fn protection_keeps_contents() -> Result<(), String> {
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

fn mprotect_errors() -> Result<(), String> {
    let at = map(3 * PAGE, RW, PRIVATE)?;
    unmap(at.wrapping_add(PAGE), PAGE)?;
    check_eq!(protect(at, 3 * PAGE, libc::PROT_READ), Err(libc::ENOMEM));
    check_eq!(protect(at.wrapping_add(1), PAGE, libc::PROT_READ), Err(libc::EINVAL));
    check_eq!(protect(at, 0, libc::PROT_READ), Ok(()));
    unmap(at, 3 * PAGE)
}

fn large_reservation_is_free() -> Result<(), String> {
    let len = 64 << 30;
    let at = map(len, libc::PROT_NONE, PRIVATE | libc::MAP_NORESERVE)?;
    let middle = at.wrapping_add(len / 2);
    check_eq!(protect(middle, 1 << 20, RW), Ok(()));
    put(middle, 5, 9);
    check_eq!(get(middle, 5), 9);
    unmap(at, len)
}

fn fork_copies_private_pages() -> Result<(), String> {
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

fn fork_shares_shared_pages() -> Result<(), String> {
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

fn fork_advice() -> Result<(), String> {
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

fn file_private() -> Result<(), String> {
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

fn file_shared() -> Result<(), String> {
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

fn file_protection() -> Result<(), String> {
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

fn past_the_end_is_sigbus() -> Result<(), String> {
    let file = file(PAGE)?;
    let at = map_file(0, 3 * PAGE, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0);
    let at = at.map_err(|error| error.to_string())?;
    check_eq!(get(at, 1), 1);
    check_eq!(dies_by(|| _ = get(at, PAGE)), Some(libc::SIGBUS));
    unmap(at, 3 * PAGE)
}

fn null_is_sigsegv() -> Result<(), String> {
    check_eq!(dies_by(|| put(null_mut(), 8, 1)), Some(libc::SIGSEGV));
    check_eq!(dies_by(|| _ = get(usize::MAX as *mut u8, 0)), Some(libc::SIGSEGV));
    Ok(())
}

/// The code and the address of the fault that [`remember_and_allow`] saw last.
static SEEN_CODE: AtomicI32 = AtomicI32::new(0);
static SEEN_ADDRESS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn remember_and_allow(_signal: i32, info: *mut libc::siginfo_t, _context: *mut c_void) {
    // SAFETY: the kernel's siginfo; the page is the test's.
    unsafe {
        let address = (*info).si_addr() as usize;
        SEEN_CODE.store((*info).si_code, Relaxed);
        SEEN_ADDRESS.store(address, Relaxed);
        libc::mprotect((address & !(PAGE - 1)) as *mut c_void, PAGE, RW);
    }
}

/// Runs `f` with a SIGSEGV handler that remembers the fault and allows the page.
fn with_handler(f: impl FnOnce()) -> (i32, usize) {
    // SAFETY: the handler does only what is safe in one; the old action is put back.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = remember_and_allow as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        let mut old = std::mem::zeroed();
        libc::sigaction(libc::SIGSEGV, &action, &mut old);
        f();
        libc::sigaction(libc::SIGSEGV, &old, null_mut());
    }
    (SEEN_CODE.load(Relaxed), SEEN_ADDRESS.load(Relaxed))
}

fn read_only_is_sigsegv_accerr() -> Result<(), String> {
    const SEGV_ACCERR: i32 = 2;
    let at = map(PAGE, libc::PROT_READ, PRIVATE)?;
    check_eq!(get(at, 0), 0);
    check_eq!(with_handler(|| put(at, 12, 1)), (SEGV_ACCERR, at as usize + 12));
    check_eq!(get(at, 12), 1);
    unmap(at, PAGE)
}

fn no_execution_of_data() -> Result<(), String> {
    let at = map(PAGE, RW, PRIVATE)?;
    #[cfg(target_arch = "x86_64")]
    put(at, 0, 0xc3);
    #[cfg(target_arch = "aarch64")]
    (0..4).for_each(|byte| put(at, byte, 0xd65f_03c0u32.to_le_bytes()[byte]));
    // SAFETY: a page with one return instruction; without the right to execute it, the child dies.
    let call = || unsafe { std::mem::transmute::<*mut u8, extern "C" fn()>(at)() };
    check_eq!(dies_by(call), Some(libc::SIGSEGV));
    check_eq!(protect(at, PAGE, libc::PROT_READ | libc::PROT_EXEC), Ok(()));
    check_eq!(
        exits(|| {
            call();
            3
        }),
        Some(3)
    );
    unmap(at, PAGE)
}

fn handler_mends_and_goes_on() -> Result<(), String> {
    let at = map(8 * PAGE, libc::PROT_NONE, PRIVATE)?;
    for page in 0..8 {
        let (_, address) = with_handler(|| put(at, page * PAGE, page as u8));
        check_eq!(address, at as usize + page * PAGE);
    }
    for page in 0..8 {
        check_eq!(get(at, page * PAGE), page as u8);
    }
    unmap(at, 8 * PAGE)
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

fn remap_grows_and_moves() -> Result<(), String> {
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

fn remap_shrinks() -> Result<(), String> {
    let at = map(4 * PAGE, RW, PRIVATE)?;
    put(at, 0, 4);
    check_eq!(remap(at, 4 * PAGE, PAGE, 0), Ok(at));
    check_eq!(get(at, 0), 4);
    check_eq!(dies_by(|| _ = get(at, PAGE)), Some(libc::SIGSEGV));
    unmap(at, PAGE)
}

fn remap_errors() -> Result<(), String> {
    let at = map(2 * PAGE, RW, PRIVATE)?;
    check_eq!(remap(at.wrapping_add(1), PAGE, PAGE, 0), Err(libc::EINVAL));
    check_eq!(remap(at, PAGE, 0, 0), Err(libc::EINVAL));
    check_eq!(remap(at, PAGE, 2 * PAGE, 64), Err(libc::EINVAL));
    check_eq!(remap(at, PAGE, 2 * PAGE, libc::MREMAP_FIXED), Err(libc::EINVAL));
    unmap(at, 2 * PAGE)?;
    check_eq!(remap(at, PAGE, 2 * PAGE, libc::MREMAP_MAYMOVE), Err(libc::EFAULT));
    Ok(())
}

fn dontneed_gives_zeroes() -> Result<(), String> {
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

fn madvise_errors() -> Result<(), String> {
    let at = map(2 * PAGE, RW, PRIVATE)?;
    check_eq!(advise(at, PAGE, 77), Err(libc::EINVAL));
    check_eq!(advise(at.wrapping_add(1), PAGE, libc::MADV_DONTNEED), Err(libc::EINVAL));
    check_eq!(advise(at, 0, libc::MADV_DONTNEED), Ok(()));
    unmap(at.wrapping_add(PAGE), PAGE)?;
    check_eq!(advise(at, 2 * PAGE, libc::MADV_DONTNEED), Err(libc::ENOMEM));
    check_eq!(advise(at, PAGE, libc::MADV_FREE), Ok(()));
    unmap(at, PAGE)
}

fn break_grows_and_shrinks() -> Result<(), String> {
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

fn mincore_tells_residency() -> Result<(), String> {
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

fn populate() -> Result<(), String> {
    let at = map(4 * PAGE, RW, PRIVATE | libc::MAP_POPULATE)?;
    let mut seen = [0u8; 4];
    // SAFETY: the mapping and the vector of this test.
    check_eq!(unsafe { libc::mincore(at.cast(), 4 * PAGE, seen.as_mut_ptr()) }, 0);
    check_eq!(seen.map(|byte| byte & 1), [1; 4]);
    unmap(at, 4 * PAGE)
}

fn stack_grows() -> Result<(), String> {
    /// Uses some 4 KiB of stack for each level.
    fn descend(levels: usize) -> usize {
        let mut filler = [levels as u8; 4000];
        std::hint::black_box(&mut filler);
        if levels == 0 {
            0
        } else {
            descend(levels - 1) + filler[17] as usize - levels as u8 as usize + 1
        }
    }
    check_eq!(exits(|| (descend(1500) == 1500) as i32), Some(1));
    check_eq!(dies_by(|| _ = descend(4000)), Some(libc::SIGSEGV));
    Ok(())
}

fn bad_pointers_are_efault() -> Result<(), String> {
    let at = map(2 * PAGE, RW, PRIVATE)?;
    unmap(at.wrapping_add(PAGE), PAGE)?;
    let mut pipe = [0; 2];
    // SAFETY: descriptors of this test; the kernel judges the pointers.
    unsafe {
        check_eq!(libc::pipe(pipe.as_mut_ptr()), 0);
        check_eq!(
            (libc::write(pipe[1], at.add(PAGE).cast(), 1), errno()),
            (-1, libc::EFAULT)
        );
        check_eq!(
            (libc::write(pipe[1], usize::MAX as *const c_void, 1), errno()),
            (-1, libc::EFAULT)
        );
        check_eq!(
            (libc::write(pipe[1], (1usize << 63) as *const c_void, 1), errno()),
            (-1, libc::EFAULT)
        );
        libc::write(pipe[1], at.cast(), 8);
        check_eq!(
            (libc::read(pipe[0], at.add(PAGE).cast(), 8), errno()),
            (-1, libc::EFAULT)
        );
        // The kernel's own addresses are no user's.
        check_eq!(
            (
                libc::read(pipe[0], 0xffff_8880_0000_0000usize as *mut c_void, 8),
                errno()
            ),
            (-1, libc::EFAULT)
        );
        check_eq!(
            (libc::pipe(std::ptr::without_provenance_mut::<i32>(1)), errno()),
            (-1, libc::EFAULT)
        );
        libc::close(pipe[0]);
        libc::close(pipe[1]);
    }
    unmap(at, PAGE)
}

fn copies_fault_pages_in() -> Result<(), String> {
    let at = map(32 * PAGE, RW, PRIVATE)?;
    let file = file(20 * PAGE)?;
    // SAFETY: reads into the mapping of this test.
    let count = unsafe { libc::pread(file.as_raw_fd(), at.add(100).cast(), 20 * PAGE, 0) };
    check_eq!(count, 20 * PAGE as isize);
    for offset in 0..20 * PAGE {
        check_eq!(get(at, 100 + offset), offset as u8);
    }
    // A forked child's system call writes to its own copy.
    let child = exits(|| {
        // SAFETY: as above.
        let count = unsafe { libc::pread(file.as_raw_fd(), at.add(3 * PAGE).cast(), 16, 1) };
        (count == 16 && get(at, 3 * PAGE) == 1) as i32
    });
    check_eq!(child, Some(1));
    check_eq!(get(at, 3 * PAGE), (3 * PAGE - 100) as u8);
    unmap(at, 32 * PAGE)
}

fn read_into_mapping_of_same_file() -> Result<(), String> {
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

fn threads_fault_together() -> Result<(), String> {
    const THREADS: usize = 4;
    const PAGES: usize = 512;
    let at = map(PAGES * PAGE, RW, PRIVATE)? as usize;
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || (0..PAGES).for_each(|page| put(at as *mut u8, page * PAGE + thread, thread as u8 + 1)));
        }
    });
    for page in 0..PAGES {
        for thread in 0..THREADS {
            check_eq!(get(at as *mut u8, page * PAGE + thread), thread as u8 + 1);
        }
    }
    unmap(at as *mut u8, PAGES * PAGE)
}

fn unmap_is_seen_by_other_threads() -> Result<(), String> {
    use std::sync::atomic::{AtomicUsize, Ordering};
    // One thread maps, unmaps and maps again at the same address while others read: no reader ever sees old contents.
    const ROUNDS: usize = 300;
    let at = map(PAGE, RW, PRIVATE)? as usize;
    let round = AtomicUsize::new(0);
    let wrong = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let now = round.load(Ordering::SeqCst);
                    if now == ROUNDS {
                        break;
                    }
                    let seen = get(at as *mut u8, 0) as usize;
                    // Zero is a fresh page; the round before may be over by now, older ones are gone.
                    if seen != 0 && seen < now % 251 && round.load(Ordering::SeqCst) == now && now % 251 > 1 {
                        wrong.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
        for now in 1..=ROUNDS {
            let _ = map_at(at, PAGE, RW, PRIVATE | libc::MAP_FIXED);
            round.store(now, Ordering::SeqCst);
            put(at as *mut u8, 0, (now % 251) as u8);
        }
    });
    check_eq!(wrong.load(Ordering::SeqCst), 0);
    unmap(at as *mut u8, PAGE)
}

fn many_regions() -> Result<(), String> {
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

/// MemFree of /proc/meminfo, in KiB.
fn free_kib() -> Result<u64, String> {
    let text = fs::read_to_string("/proc/meminfo").map_err(|error| error.to_string())?;
    text.lines()
        .find_map(|line| line.strip_prefix("MemFree:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse().ok())
        .ok_or_else(|| String::from("no MemFree in /proc/meminfo"))
}

/// Runs a storm of children some times; what was free before must be free again after one of them at least. Other work on
/// the machine may hide that once, but not always.
fn leaks_nothing(noise_kib: u64, mut storm: impl FnMut() -> Result<(), String>) -> Result<(), String> {
    if !alone_on_this_machine() {
        ignore("other programs use this machine's memory too");
    }
    storm()?;
    let mut lost = Vec::new();
    for _ in 0..5 {
        let before = free_kib()?;
        storm()?;
        lost.push(before.saturating_sub(free_kib()?));
        if lost.last() < Some(&noise_kib) {
            return Ok(());
        }
    }
    Err(format!("KiB lost in five storms: {lost:?}"))
}

fn fork_storm_leaks_nothing() -> Result<(), String> {
    let at = map(64 * PAGE, RW, PRIVATE)?;
    // A leak of one page a child would be 800 KiB.
    leaks_nothing(300, || {
        for _ in 0..200 {
            in_child(|| {
                (0..64).for_each(|page| put(at, page * PAGE, 1));
                0
            });
        }
        Ok(())
    })?;
    unmap(at, 64 * PAGE)
}

fn exec_storm_leaks_nothing() -> Result<(), String> {
    // The children are asked for a test that there is not.
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    // A leak of one page a child would be 160 KiB.
    leaks_nothing(100, || {
        for _ in 0..40 {
            let status = std::process::Command::new(&program).arg("none").status();
            check!(status.map_err(|error| error.to_string())?.success());
        }
        Ok(())
    })
}
