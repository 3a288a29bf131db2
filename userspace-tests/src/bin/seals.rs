//! Seals of memory files: memfd_create(2) and F_ADD_SEALS in fcntl(2).

use libsyscall::abi::Errno;
use std::ffi::{c_int, c_uint};
use std::fs::{File, Permissions};
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::process::ExitCode;
use std::ptr;
use userspace_tests::{Fd, Status, checked, child, tests};

fn main() -> ExitCode {
    userspace_tests::run(tests![
        flags,
        what_a_new_file_has,
        files_that_have_none,
        who_may_seal,
        the_last_seal,
        shrinking,
        growing,
        growing_by_a_long_write,
        writing,
        read_only_views_stay_so,
        writers_are_counted,
        writers_in_other_processes,
        parts_of_a_writable_mapping,
        future_writes,
        opened_again,
        executing,
        executable_for_good,
        handed_to_a_child,
    ])
}

const PAGE: usize = 4096;

fn create(flags: c_uint) -> Result<File, Errno> {
    // SAFETY: memfd_create(2) reads a string that lives on.
    let fd = checked(unsafe { libc::memfd_create(c"sealed".as_ptr(), flags) })?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { File::from_raw_fd(fd) })
}

/// Two pages that can be sealed.
fn file() -> File {
    let file = create(libc::MFD_ALLOW_SEALING).expect("memfd_create");
    file.write_all_at(&[1; 2 * PAGE], 0).expect("write");
    file
}

fn add(file: &impl AsRawFd, seals: c_int) -> Result<(), Errno> {
    // SAFETY: numbers only.
    checked(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) }).map(drop)
}

fn get(file: &impl AsRawFd) -> Result<c_int, Errno> {
    // SAFETY: numbers only.
    checked(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GET_SEALS) })
}

fn code<T>(result: std::io::Result<T>) -> Result<T, Errno> {
    result.map_err(|error| {
        let code = error.raw_os_error().unwrap_or(0);
        Errno::new(code as usize).expect("an error of the system")
    })
}

fn allocate(file: &File, mode: c_int, offset: usize, len: usize) -> Result<(), Errno> {
    // SAFETY: numbers only.
    checked(unsafe { libc::fallocate(file.as_raw_fd(), mode, offset as i64, len as i64) }).map(drop)
}

const PUNCH: c_int = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
const READ: c_int = libc::PROT_READ;
const BOTH: c_int = libc::PROT_READ | libc::PROT_WRITE;

/// A mapping of the first two pages; unmapped when dropped.
#[derive(Debug, PartialEq)]
struct Map(*mut u8);

impl Map {
    fn new(file: &File, protection: c_int, flags: c_int) -> Result<Map, Errno> {
        // SAFETY: the kernel finds a place where nothing is.
        let at = unsafe { libc::mmap(ptr::null_mut(), 2 * PAGE, protection, flags, file.as_raw_fd(), 0) };
        if at == libc::MAP_FAILED {
            return Err(code::<()>(Err(std::io::Error::last_os_error())).unwrap_err());
        }
        Ok(Map(at.cast()))
    }

    fn protect(&self, protection: c_int) -> Result<(), Errno> {
        // SAFETY: the range is this mapping's, which nobody holds a reference into.
        checked(unsafe { libc::mprotect(self.0.cast(), 2 * PAGE, protection) }).map(drop)
    }

    fn unmap(&self, from: usize, len: usize) {
        // SAFETY: a part of this mapping, which nobody holds a reference into.
        checked(unsafe { libc::munmap(self.0.add(from).cast(), len) }).expect("munmap");
    }

    fn put(&self, offset: usize, value: u8) {
        // SAFETY: within the mapping; where it can't be written the process gets a signal.
        unsafe { self.0.add(offset).write_volatile(value) };
    }

    fn get(&self, offset: usize) -> u8 {
        // SAFETY: within the mapping.
        unsafe { self.0.add(offset).read_volatile() }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        self.unmap(0, 2 * PAGE);
    }
}

fn shared(file: &File, protection: c_int) -> Result<Map, Errno> {
    Map::new(file, protection, libc::MAP_SHARED)
}

fn flags() {
    let both = libc::MFD_EXEC | libc::MFD_NOEXEC_SEAL;
    assert_eq!(create(both).unwrap_err(), Errno::EINVAL);
    assert_eq!(create(0x20).unwrap_err(), Errno::EINVAL);
    assert!(create(libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING | libc::MFD_EXEC).is_ok());
}

fn what_a_new_file_has() {
    let of = |flags| {
        let file = create(flags).expect("memfd_create");
        (get(&file), file.metadata().expect("fstat").mode())
    };
    assert_eq!(of(0), (Ok(libc::F_SEAL_SEAL), 0o100777));
    assert_eq!(of(libc::MFD_EXEC), (Ok(libc::F_SEAL_SEAL), 0o100777));
    assert_eq!(of(libc::MFD_ALLOW_SEALING), (Ok(0), 0o100777));
    // Which can be sealed without being asked to.
    assert_eq!(of(libc::MFD_NOEXEC_SEAL), (Ok(libc::F_SEAL_EXEC), 0o100666));
    assert_eq!(
        of(libc::MFD_NOEXEC_SEAL | libc::MFD_ALLOW_SEALING),
        (Ok(libc::F_SEAL_EXEC), 0o100666)
    );
}

fn files_that_have_none() {
    let event = Fd::eventfd(0, 0);
    let (read, write) = Fd::pipe();
    for fd in [event.0, write.0] {
        assert_eq!(add(&fd, libc::F_SEAL_SEAL), Err(Errno::EINVAL));
        assert_eq!(get(&fd), Err(Errno::EINVAL));
    }
    assert_eq!(add(&read.0, libc::F_SEAL_SEAL), Err(Errno::EPERM));
    assert_eq!(get(&read.0), Err(Errno::EINVAL));
    assert_eq!(add(&-1, libc::F_SEAL_SEAL), Err(Errno::EBADF));
}

fn who_may_seal() {
    let file = file();
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let reader = File::open(path).expect("opened again");
    assert_eq!(add(&reader, libc::F_SEAL_WRITE), Err(Errno::EPERM));
    assert_eq!(add(&reader, 0x40), Err(Errno::EPERM));
    assert_eq!(get(&reader), Ok(0));
    assert_eq!(add(&file, 0x40), Err(Errno::EINVAL));
    assert_eq!(add(&file, 0), Ok(()));
    let plain = create(0).expect("memfd_create");
    assert_eq!(add(&plain, libc::F_SEAL_WRITE), Err(Errno::EPERM));
    assert_eq!(add(&plain, 0), Err(Errno::EPERM));
}

fn the_last_seal() {
    let file = file();
    assert_eq!(add(&file, libc::F_SEAL_GROW | libc::F_SEAL_SEAL), Ok(()));
    assert_eq!(get(&file), Ok(libc::F_SEAL_GROW | libc::F_SEAL_SEAL));
    assert_eq!(add(&file, libc::F_SEAL_SHRINK), Err(Errno::EPERM));
    assert_eq!(add(&file, libc::F_SEAL_GROW), Err(Errno::EPERM));
    assert!(shared(&file, BOTH).is_ok());
}

fn shrinking() {
    let file = file();
    add(&file, libc::F_SEAL_SHRINK).expect("sealed");
    assert_eq!(code(file.set_len(PAGE as u64)), Err(Errno::EPERM));
    assert_eq!(code(file.set_len(2 * PAGE as u64)), Ok(()));
    assert_eq!(code(file.set_len(3 * PAGE as u64)), Ok(()));
    assert_eq!(allocate(&file, PUNCH, 0, PAGE), Ok(()));
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    assert_eq!(code(File::create(path)).map(drop), Err(Errno::EPERM));
    assert_eq!(file.metadata().expect("fstat").len(), 3 * PAGE as u64);
}

fn growing() {
    let file = file();
    add(&file, libc::F_SEAL_GROW).expect("sealed");
    assert_eq!(code(file.set_len(3 * PAGE as u64)), Err(Errno::EPERM));
    assert_eq!(code(file.write_at(&[2], 2 * PAGE as u64)), Err(Errno::EPERM));
    assert_eq!(code(file.write_at(&[2], 2 * PAGE as u64 - 1)), Ok(1));
    assert_eq!(code(file.write_at(&[], 2 * PAGE as u64)), Ok(0));
    assert_eq!(allocate(&file, 0, 2 * PAGE, 1), Err(Errno::EPERM));
    let keep = libc::FALLOC_FL_KEEP_SIZE;
    assert_eq!(allocate(&file, keep, 2 * PAGE, 1), Err(Errno::EPERM));
    assert_eq!(allocate(&file, 0, PAGE, PAGE), Ok(()));
    assert_eq!(code(file.set_len(PAGE as u64)), Ok(()));
    assert_eq!(code(file.set_len(PAGE as u64 + 1)), Err(Errno::EPERM));
}

/// What still fits is written.
fn growing_by_a_long_write() {
    let file = file();
    add(&file, libc::F_SEAL_GROW).expect("sealed");
    assert_eq!(code(file.write_at(&[2; 2 * PAGE], PAGE as u64)), Ok(PAGE));
    assert_eq!(file.metadata().expect("fstat").len(), 2 * PAGE as u64);
}

fn writing() {
    let mut file = file();
    let private = Map::new(&file, BOTH, libc::MAP_PRIVATE).expect("mmap");
    add(&file, libc::F_SEAL_WRITE).expect("sealed");
    assert_eq!(code(file.write_at(&[2], 0)), Err(Errno::EPERM));
    assert_eq!(code(file.write(&[2])), Err(Errno::EPERM));
    assert_eq!(code(file.write_at(&[], 0)), Ok(0));
    assert_eq!(allocate(&file, PUNCH, 0, 1), Err(Errno::EPERM));
    assert_eq!(shared(&file, BOTH), Err(Errno::EPERM));
    // The size is another matter.
    assert_eq!(code(file.set_len(3 * PAGE as u64)), Ok(()));
    assert_eq!(code(file.set_len(2 * PAGE as u64)), Ok(()));
    assert_eq!(allocate(&file, 0, 0, 3 * PAGE), Ok(()));
    // A copy is its own.
    private.put(0, 9);
    assert!(Map::new(&file, BOTH, libc::MAP_PRIVATE).is_ok());
    assert_eq!(shared(&file, READ).expect("mmap").get(0), 1);
    assert_eq!(add(&file, libc::F_SEAL_WRITE), Ok(()));
}

fn read_only_views_stay_so() {
    let file = file();
    add(&file, libc::F_SEAL_WRITE).expect("sealed");
    let view = shared(&file, READ).expect("mmap");
    assert_eq!(view.protect(BOTH), Err(Errno::EACCES));
    assert_eq!(view.protect(READ), Ok(()));
}

fn writers_are_counted() {
    let file = file();
    // As long as mprotect(2) could make it writable.
    for protection in [BOTH, READ] {
        let (first, second) = (shared(&file, protection), shared(&file, protection));
        let everything_but = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;
        assert_eq!(add(&file, libc::F_SEAL_WRITE | everything_but), Err(Errno::EBUSY));
        assert_eq!(get(&file), Ok(0));
        drop(first);
        assert_eq!(add(&file, libc::F_SEAL_WRITE), Err(Errno::EBUSY));
        drop(second);
    }
    assert_eq!(add(&file, libc::F_SEAL_WRITE), Ok(()));
}

fn writers_in_other_processes() {
    let file = file();
    let map = shared(&file, BOTH).expect("mmap");
    let (release, held) = Fd::blocking_pipe();
    let child = child(|| {
        drop(Fd(held.0));
        // The parent closes its end.
        assert_eq!(release.read(&mut [0]), Ok(0));
        0
    });
    drop(map);
    assert_eq!(add(&file, libc::F_SEAL_WRITE), Err(Errno::EBUSY));
    drop(held);
    assert_eq!(child.wait(), Status::Exited(0));
    assert_eq!(add(&file, libc::F_SEAL_WRITE), Ok(()));
}

fn parts_of_a_writable_mapping() {
    let file = file();
    let map = shared(&file, BOTH).expect("mmap");
    map.unmap(0, PAGE);
    assert_eq!(add(&file, libc::F_SEAL_WRITE), Err(Errno::EBUSY));
    map.unmap(PAGE, PAGE);
    assert_eq!(add(&file, libc::F_SEAL_WRITE), Ok(()));
}

fn future_writes() {
    let file = file();
    let (writes, reads) = (shared(&file, BOTH), shared(&file, READ));
    let (writes, reads) = (writes.expect("mmap"), reads.expect("mmap"));
    assert_eq!(add(&file, libc::F_SEAL_FUTURE_WRITE), Ok(()));
    assert_eq!(code(file.write_at(&[2], 0)), Err(Errno::EPERM));
    assert_eq!(allocate(&file, PUNCH, 0, 1), Err(Errno::EPERM));
    assert_eq!(shared(&file, BOTH), Err(Errno::EPERM));
    assert_eq!(shared(&file, READ).expect("mmap").protect(BOTH), Err(Errno::EACCES));
    // What could write before still can.
    writes.put(0, 5);
    assert_eq!((reads.get(0), reads.protect(BOTH)), (5, Ok(())));
    reads.put(0, 6);
    assert_eq!(writes.get(0), 6);
    assert_eq!(add(&file, libc::F_SEAL_WRITE), Err(Errno::EBUSY));
    drop((writes, reads));
    assert_eq!(add(&file, libc::F_SEAL_WRITE), Ok(()));
}

/// A seal is the file's, not the descriptor's.
fn opened_again() {
    let file = file();
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let again = File::options().read(true).write(true).open(path).expect("opened again");
    add(&again, libc::F_SEAL_WRITE).expect("sealed");
    assert_eq!(get(&file), Ok(libc::F_SEAL_WRITE));
    assert_eq!(code(file.write_at(&[2], 0)), Err(Errno::EPERM));
}

fn executing() {
    let file = create(libc::MFD_NOEXEC_SEAL).expect("memfd_create");
    let set = |mode| code(file.set_permissions(Permissions::from_mode(mode)));
    assert_eq!(set(0o755), Err(Errno::EPERM));
    assert_eq!(set(0o600), Ok(()));
    assert_eq!(file.metadata().expect("fstat").mode(), 0o100600);
    // It can still be written.
    assert_eq!(code(file.write_at(&[2], 0)), Ok(1));
    assert_eq!(add(&file, libc::F_SEAL_EXEC | libc::F_SEAL_GROW), Ok(()));
    assert_eq!(get(&file), Ok(libc::F_SEAL_EXEC | libc::F_SEAL_GROW));
}

/// What can be executed for good is not written any more.
fn executable_for_good() {
    let file = file();
    let map = shared(&file, BOTH).expect("mmap");
    assert_eq!(add(&file, libc::F_SEAL_EXEC), Err(Errno::EBUSY));
    drop(map);
    assert_eq!(add(&file, libc::F_SEAL_EXEC), Ok(()));
    let sealed = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE | libc::F_SEAL_FUTURE_WRITE;
    assert_eq!(get(&file), Ok(libc::F_SEAL_EXEC | sealed));
    let mode = |mode| code(file.set_permissions(Permissions::from_mode(mode)));
    assert_eq!((mode(0o777), mode(0o666)), (Ok(()), Err(Errno::EPERM)));
}

/// What seals are for: whoever gets the descriptor can rely on the bytes.
fn handed_to_a_child() {
    let file = file();
    let all = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE | libc::F_SEAL_SEAL;
    add(&file, all).expect("sealed");
    let child = child(|| {
        let view = shared(&file, READ).expect("mmap");
        view.put(0, 7);
        0
    });
    assert_eq!(child.wait(), Status::Killed(libc::SIGSEGV));
    assert_eq!(shared(&file, READ).expect("mmap").get(0), 1);
}
