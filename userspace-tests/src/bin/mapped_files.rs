//! Mapped files whose pages go away: what is past the end is SIGBUS, and what comes back is the file's.

use libsyscall::abi::Errno;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::process::ExitCode;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use userspace_tests::{Folder, Status, checked, child, tests};

fn main() -> ExitCode {
    userspace_tests::run(tests![
        past_the_end,
        what_the_signal_says,
        cut_off_while_mapped,
        other_processes_mappings,
        private_copies_go_too,
        the_last_page_is_cleared,
        grown_again_it_is_the_files,
        opened_with_truncation,
        holes,
        parts_and_offsets,
        system_calls_are_told,
        cut_while_read,
        mapping_is_an_access,
        writing_changes_times,
    ])
}

const PAGE: usize = 4096;

/// A file of `pages` pages of `filling`, with no name.
fn file(pages: usize, filling: u8) -> File {
    // SAFETY: memfd_create(2) reads a string that lives on.
    let fd = checked(unsafe { libc::memfd_create(c"mapped".as_ptr(), 0) }).expect("memfd_create");
    // SAFETY: the descriptor is new and nobody else's.
    let file = unsafe { <File as std::os::fd::FromRawFd>::from_raw_fd(fd) };
    file.write_all_at(&vec![filling; pages * PAGE], 0).expect("write");
    file
}

/// A mapping; unmapped when dropped.
struct Map {
    at: *mut u8,
    pages: usize,
}

impl Map {
    fn new(file: &File, pages: usize, flags: i32) -> Map {
        Map::from_page(file, 0, pages, flags)
    }

    fn from_page(file: &File, first: usize, pages: usize, flags: i32) -> Map {
        let both = libc::PROT_READ | libc::PROT_WRITE;
        let offset = (first * PAGE) as i64;
        // SAFETY: the kernel finds a place where nothing is.
        let at = unsafe { libc::mmap(ptr::null_mut(), pages * PAGE, both, flags, file.as_raw_fd(), offset) };
        assert_ne!(at, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
        Map { at: at.cast(), pages }
    }

    fn get(&self, offset: usize) -> u8 {
        assert!(offset < self.pages * PAGE);
        // SAFETY: it lies in the mapping, which is readable; where the file has ended the process gets a signal.
        unsafe { self.at.add(offset).read_volatile() }
    }

    fn put(&self, offset: usize, value: u8) {
        assert!(offset < self.pages * PAGE);
        // SAFETY: as in `get`, and it is writable.
        unsafe { self.at.add(offset).write_volatile(value) };
    }

    /// How reading a byte ends.
    fn reading(&self, offset: usize) -> Status {
        child(|| {
            self.get(offset);
            0
        })
        .wait()
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: nothing refers to the mapping any more.
        unsafe { libc::munmap(self.at.cast(), self.pages * PAGE) };
    }
}

const BUS_ERROR: Status = Status::Killed(libc::SIGBUS);

fn past_the_end() {
    let file = file(1, 1);
    for flags in [libc::MAP_SHARED, libc::MAP_PRIVATE] {
        let map = Map::new(&file, 3, flags);
        assert_eq!(map.get(PAGE - 1), 1);
        assert_eq!((map.reading(PAGE), map.reading(2 * PAGE)), (BUS_ERROR, BUS_ERROR));
    }
}

static CODE: AtomicI32 = AtomicI32::new(0);
static ADDRESS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn note(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes a siginfo_t of a fault; _exit(2) is safe in a handler.
    unsafe {
        let expected = (*info).si_code == CODE.load(Ordering::Relaxed)
            && (*info).si_addr() as usize == ADDRESS.load(Ordering::Relaxed);
        libc::_exit(if expected { 7 } else { 8 });
    }
}

fn what_the_signal_says() {
    let map = Map::new(&file(2, 1), 2, libc::MAP_SHARED);
    let short = file(0, 0);
    let empty = Map::new(&short, 1, libc::MAP_SHARED);
    drop(map);
    ADDRESS.store(empty.at as usize + 5, Ordering::Relaxed);
    CODE.store(libc::BUS_ADRERR, Ordering::Relaxed);
    let child = child(|| {
        // SAFETY: the handler takes the three arguments that SA_SIGINFO gives.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = note as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO;
            libc::sigaction(libc::SIGBUS, &action, ptr::null_mut());
        }
        empty.get(5);
        0
    });
    assert_eq!(child.wait(), Status::Exited(7));
}

fn cut_off_while_mapped() {
    let file = file(4, 1);
    let map = Map::new(&file, 4, libc::MAP_SHARED);
    assert!((0..4).all(|page| map.get(page * PAGE) == 1));
    file.set_len(2 * PAGE as u64).expect("shorter");
    assert_eq!((map.get(PAGE), map.reading(2 * PAGE)), (1, BUS_ERROR));
    assert_eq!(map.reading(3 * PAGE), BUS_ERROR);
}

fn other_processes_mappings() {
    let file = file(2, 1);
    let map = Map::new(&file, 2, libc::MAP_SHARED);
    let (mut ready, ready_there) = std::io::pipe().expect("a pipe");
    let (go, mut go_there) = std::io::pipe().expect("a pipe");
    let child = child(|| {
        use std::io::{Read, Write};
        assert_eq!(map.get(PAGE), 1);
        (&ready_there).write_all(b"!").expect("say so");
        let mut byte = [0];
        (&go).read_exact(&mut byte).expect("wait");
        map.get(PAGE);
        0
    });
    std::io::Read::read_exact(&mut ready, &mut [0]).expect("ready");
    file.set_len(PAGE as u64).expect("shorter");
    std::io::Write::write_all(&mut go_there, b"!").expect("go");
    assert_eq!(child.wait(), BUS_ERROR);
}

fn private_copies_go_too() {
    let file = file(2, 1);
    let map = Map::new(&file, 2, libc::MAP_PRIVATE);
    map.put(0, 9);
    map.put(PAGE, 9);
    file.set_len(PAGE as u64).expect("shorter");
    assert_eq!((map.get(0), map.reading(PAGE)), (9, BUS_ERROR));
    file.set_len(2 * PAGE as u64).expect("longer");
    assert_eq!((map.get(0), map.get(PAGE)), (9, 0));
}

fn the_last_page_is_cleared() {
    let file = file(1, 1);
    let map = Map::new(&file, 1, libc::MAP_SHARED);
    file.set_len(10).expect("shorter");
    assert_eq!((map.get(9), map.get(10), map.get(PAGE - 1)), (1, 0, 0));
}

fn grown_again_it_is_the_files() {
    let file = file(2, 1);
    let map = Map::new(&file, 2, libc::MAP_SHARED);
    assert_eq!(map.get(PAGE), 1);
    file.set_len(0).expect("empty");
    file.set_len(2 * PAGE as u64).expect("longer");
    assert_eq!((map.get(0), map.get(PAGE)), (0, 0));
    file.write_all_at(&[5], PAGE as u64).expect("write");
    map.put(0, 6);
    let mut byte = [0];
    file.read_exact_at(&mut byte, 0).expect("read");
    assert_eq!((map.get(PAGE), byte), (5, [6]));
}

fn opened_with_truncation() {
    let file = file(1, 1);
    let map = Map::new(&file, 1, libc::MAP_SHARED);
    assert_eq!(map.get(0), 1);
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    File::create(path).expect("opened again");
    assert_eq!(map.reading(0), BUS_ERROR);
}

fn holes() {
    let file = file(3, 1);
    let (shared, private) = (
        Map::new(&file, 3, libc::MAP_SHARED),
        Map::new(&file, 3, libc::MAP_PRIVATE),
    );
    assert_eq!((shared.get(PAGE), private.get(PAGE)), (1, 1));
    private.put(PAGE + 1, 9);
    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    // SAFETY: fallocate(2) takes numbers.
    let punched = unsafe { libc::fallocate(file.as_raw_fd(), mode, 100, 2 * PAGE as i64) };
    checked(punched).expect("a hole");
    assert_eq!((shared.get(99), shared.get(100), shared.get(PAGE)), (1, 0, 0));
    assert_eq!(private.get(100), 0);
    assert_eq!((shared.get(2 * PAGE + 99), shared.get(2 * PAGE + 100)), (0, 1));
    file.write_all_at(&[5], PAGE as u64).expect("write");
    // A copy stays.
    assert_eq!((shared.get(PAGE), private.get(PAGE)), (5, 1));
}

fn parts_and_offsets() {
    let file = file(6, 1);
    let upper = Map::from_page(&file, 3, 3, libc::MAP_SHARED);
    let lower = Map::new(&file, 2, libc::MAP_SHARED);
    assert!((0..3).all(|page| upper.get(page * PAGE) == 1));
    assert_eq!(lower.get(PAGE), 1);
    file.set_len(4 * PAGE as u64).expect("shorter");
    assert_eq!(
        (lower.get(PAGE), upper.get(PAGE - 1), upper.reading(PAGE)),
        (1, 1, BUS_ERROR)
    );
    file.set_len(0).expect("empty");
    assert_eq!((lower.reading(0), upper.reading(0)), (BUS_ERROR, BUS_ERROR));
}

/// How many bytes of a mapping write(2) takes.
fn written_from(map: &Map, offset: usize, len: usize) -> Result<isize, Errno> {
    let sink = file(0, 0);
    // SAFETY: a buffer that is not there is EFAULT.
    checked(unsafe { libc::write(sink.as_raw_fd(), map.at.add(offset).cast(), len) })
}

fn system_calls_are_told() {
    let file = file(2, 1);
    let map = Map::new(&file, 2, libc::MAP_SHARED);
    assert_eq!(written_from(&map, PAGE, 10), Ok(10));
    file.set_len(PAGE as u64).expect("shorter");
    assert_eq!(written_from(&map, PAGE, 10), Err(Errno::EFAULT));
    assert_eq!(written_from(&map, PAGE - 16, 32), Ok(16));
}

/// One cuts and fills the file again and again while another reads it: once it is over, what is mapped is the file's.
fn cut_while_read() {
    let file = file(1, 1);
    let map = Map::new(&file, 1, libc::MAP_SHARED);
    let over = AtomicBool::new(false);
    let at = map.at as usize;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let null = File::create("/dev/shm/mapped_files").or_else(|_| File::create("/tmp/mapped_files"));
            let null = null.expect("a file");
            while !over.load(Ordering::Relaxed) {
                // SAFETY: a page that is not there is EFAULT.
                unsafe { libc::pwrite(null.as_raw_fd(), at as *const _, 1, 0) };
            }
        });
        for round in 0..200u32 {
            file.set_len(0).expect("empty");
            file.write_all_at(&[round as u8], 0).expect("write");
            assert_eq!(map.get(0), round as u8);
        }
        over.store(true, Ordering::Relaxed);
    });
}

fn mapping_is_an_access() {
    let folder = Folder::new("mapped");
    let path = folder.file("file");
    for flags in [libc::MAP_PRIVATE, libc::MAP_SHARED] {
        // Written anew, so that an access tells something, and long enough ago for any clock.
        std::fs::write(&path, "contents").expect("write");
        std::thread::sleep(std::time::Duration::from_millis(20));
        let times = |file: &File| {
            let stat = file.metadata().expect("fstat");
            let ns = |seconds, nanoseconds| seconds * 1_000_000_000 + nanoseconds;
            (ns(stat.atime(), stat.atime_nsec()), ns(stat.mtime(), stat.mtime_nsec()))
        };
        let file = File::options().read(true).write(true).open(&path).expect("open");
        let (_, written) = times(&file);
        drop(Map::new(&file, 1, flags));
        let (accessed, still_written) = times(&file);
        assert!(accessed > written);
        assert_eq!(still_written, written);
    }
}

/// mmap(2): a write to a shared mapping is one to the file, which its times tell after msync(2) at the latest.
fn writing_changes_times() {
    let folder = Folder::new("written");
    let in_memory = PathBuf::from(format!("/dev/shm/written-{}", std::process::id()));
    for path in [folder.join("file"), in_memory] {
        let mut options = File::options();
        let file = options
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .expect("open");
        file.set_len(3 * PAGE as u64).expect("ftruncate");
        let times = || {
            // Long enough for any clock.
            std::thread::sleep(std::time::Duration::from_millis(20));
            let stat = file.metadata().expect("fstat");
            [(stat.mtime(), stat.mtime_nsec()), (stat.ctime(), stat.ctime_nsec())]
        };
        let [private, shared] = [libc::MAP_PRIVATE, libc::MAP_SHARED].map(|flags| Map::new(&file, 3, flags));
        let made = times();
        private.put(0, 1);
        assert_eq!((private.get(0), shared.get(0)), (1, 0));
        assert_eq!(times(), made);
        shared.put(PAGE, 1);
        // SAFETY: the mapping is there.
        assert_eq!(unsafe { libc::msync(shared.at.cast(), 3 * PAGE, libc::MS_SYNC) }, 0);
        let written = times();
        assert!((0..2).all(|which| written[which] > made[which]));
        // A system call may write there too.
        // SAFETY: the kernel writes one byte.
        unsafe { assert_eq!(libc::getrandom(shared.at.add(2 * PAGE).cast(), 1, 0), 1) };
        drop(shared);
        let written_again = times();
        assert!((0..2).all(|which| written_again[which] > written[which]));
        std::fs::remove_file(&path).expect("remove");
    }
}
