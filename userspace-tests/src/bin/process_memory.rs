//! process_vm_readv(2), process_vm_writev(2), /proc/PID/cmdline: another process's memory.

use libsyscall::abi::Errno;
use std::ffi::c_char;
use std::process::ExitCode;
use std::ptr;
use userspace_tests::child::Child;
use userspace_tests::harness::ignore;
use userspace_tests::{Fd, Status, checked, child, tests};

fn main() -> ExitCode {
    userspace_tests::run(tests![
        read,
        written,
        several_ranges,
        up_to_where_it_ends,
        what_is_refused,
        copies_of_a_fork,
        others_processes,
        titles,
        an_environment_is_its_owner_s,
    ])
}

const PAGE: usize = 4096;

/// Ranges as the calls take them.
fn ranges<const N: usize>(ranges: [(*const u8, usize); N]) -> [libc::iovec; N] {
    ranges.map(|(start, len)| libc::iovec {
        iov_base: start.cast_mut().cast(),
        iov_len: len,
    })
}

fn read_from(pid: i32, local: &[libc::iovec], remote: &[libc::iovec]) -> Result<isize, Errno> {
    let (local, local_len) = (local.as_ptr(), local.len() as u64);
    // SAFETY: the local ranges are the caller's to write.
    checked(unsafe { libc::process_vm_readv(pid, local, local_len, remote.as_ptr(), remote.len() as u64, 0) })
}

fn write_to(pid: i32, local: &[libc::iovec], remote: &[libc::iovec]) -> Result<isize, Errno> {
    let (local, local_len) = (local.as_ptr(), local.len() as u64);
    // SAFETY: the local ranges are read; whose memory the others are knows what is written there.
    checked(unsafe { libc::process_vm_writev(pid, local, local_len, remote.as_ptr(), remote.len() as u64, 0) })
}

/// A child that waits until [`Waiting::end`].
struct Waiting {
    process: Child,
    held: Fd,
}

impl Waiting {
    /// It makes its memory different first, and at the end says what it finds.
    fn new(before: impl FnOnce(), after: impl FnOnce() -> i32) -> Waiting {
        let (release, held) = Fd::blocking_pipe();
        let (ready, told) = Fd::blocking_pipe();
        let process = child(|| {
            drop(Fd(held.0));
            before();
            told.write(b"!").expect("write");
            assert_eq!(release.read(&mut [0]), Ok(0));
            after()
        });
        assert_eq!(ready.read(&mut [0]), Ok(1));
        Waiting { process, held }
    }

    fn end(self) -> Status {
        drop(self.held);
        self.process.wait()
    }
}

/// Pages of the process's own.
struct Pages(*mut u8, usize);

impl Pages {
    fn new(count: usize) -> Pages {
        let both = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: the kernel finds a place where nothing is.
        let at = unsafe { libc::mmap(ptr::null_mut(), count * PAGE, both, flags, -1, 0) };
        assert_ne!(at, libc::MAP_FAILED);
        Pages(at.cast(), count)
    }

    fn protect(&self, page: usize, protection: i32) {
        // SAFETY: it is this mapping's, into which nobody holds a reference.
        checked(unsafe { libc::mprotect(self.0.add(page * PAGE).cast(), PAGE, protection) }).expect("mprotect");
    }

    fn put(&self, offset: usize, value: u8) {
        assert!(offset < self.1 * PAGE);
        // SAFETY: within the mapping.
        unsafe { self.0.add(offset).write_volatile(value) };
    }

    fn get(&self, offset: usize) -> u8 {
        assert!(offset < self.1 * PAGE);
        // SAFETY: within the mapping.
        unsafe { self.0.add(offset).read_volatile() }
    }

    fn at(&self, offset: usize) -> *const u8 {
        self.0.wrapping_add(offset)
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: nobody refers to it any more.
        unsafe { libc::munmap(self.0.cast(), self.1 * PAGE) };
    }
}

fn read() {
    let pages = Pages::new(2);
    let other = Waiting::new(|| pages.put(PAGE - 1, 7), || 0);
    let mut bytes = [1u8; 3];
    let local = ranges([(bytes.as_mut_ptr().cast_const(), 3)]);
    let remote = ranges([(pages.at(PAGE - 2), 3)]);
    assert_eq!(read_from(other.process.0, &local, &remote), Ok(3));
    assert_eq!((bytes, pages.get(PAGE - 1)), ([0, 7, 0], 0));
    assert_eq!(other.end(), Status::Exited(0));
}

fn written() {
    let pages = Pages::new(2);
    let other = Waiting::new(|| (), || pages.get(PAGE - 1).into());
    let bytes = [5u8; 2];
    let local = ranges([(bytes.as_ptr(), 2)]);
    assert_eq!(
        write_to(other.process.0, &local, &ranges([(pages.at(PAGE - 1), 2)])),
        Ok(2)
    );
    assert_eq!(other.end(), Status::Exited(5));
    assert_eq!(pages.get(PAGE - 1), 0);
}

fn several_ranges() {
    let pages = Pages::new(3);
    let fill = || (0..3 * PAGE).for_each(|offset| pages.put(offset, (offset / 100) as u8));
    let other = Waiting::new(fill, || 0);
    let mut bytes = [0u8; 10];
    let start = bytes.as_mut_ptr().cast_const();
    let local = ranges([(start, 3), (start.wrapping_add(3), 0), (start.wrapping_add(3), 7)]);
    let remote = ranges([
        (pages.at(100), 5),
        (pages.at(8100), 0),
        (pages.at(8190), 4),
        (pages.at(0), 100),
    ]);
    // As much as there is room for.
    assert_eq!(read_from(other.process.0, &local, &remote), Ok(10));
    assert_eq!(bytes, [1, 1, 1, 1, 1, 81, 81, 81, 81, 0]);
    assert_eq!(other.end(), Status::Exited(0));
}

fn up_to_where_it_ends() {
    let pages = Pages::new(3);
    let other = Waiting::new(|| pages.protect(1, libc::PROT_NONE), || 0);
    let mut bytes = [0u8; 100];
    let local = ranges([(bytes.as_mut_ptr().cast_const(), 100)]);
    let pid = other.process.0;
    assert_eq!(read_from(pid, &local, &ranges([(pages.at(PAGE - 30), 60)])), Ok(30));
    assert_eq!(
        read_from(pid, &local, &ranges([(pages.at(PAGE), 60)])),
        Err(Errno::EFAULT)
    );
    let around = ranges([(pages.at(0), 10), (pages.at(PAGE), 10), (pages.at(2 * PAGE), 10)]);
    assert_eq!(read_from(pid, &local, &around), Ok(10));
    assert_eq!(
        read_from(pid, &local, &ranges([(8 as *const u8, 1)])),
        Err(Errno::EFAULT)
    );
    assert_eq!(other.end(), Status::Exited(0));
    // What may only be read is not written.
    let other = Waiting::new(|| pages.protect(1, libc::PROT_READ), || 0);
    let pid = other.process.0;
    assert_eq!(read_from(pid, &local, &ranges([(pages.at(PAGE), 60)])), Ok(60));
    assert_eq!(
        write_to(pid, &local, &ranges([(pages.at(PAGE), 60)])),
        Err(Errno::EFAULT)
    );
    assert_eq!(write_to(pid, &local, &ranges([(pages.at(PAGE - 5), 60)])), Ok(5));
    assert_eq!(other.end(), Status::Exited(0));
}

fn what_is_refused() {
    let own = std::process::id() as i32;
    let mut bytes = [1u8, 2];
    let local = ranges([(bytes.as_mut_ptr().cast_const(), 1)]);
    let remote = ranges([(bytes.as_ptr().wrapping_add(1), 1)]);
    // SAFETY: nothing is touched for flags that there are not.
    let flags = unsafe { libc::process_vm_readv(own, local.as_ptr(), 1, remote.as_ptr(), 1, 1) };
    assert_eq!(checked(flags), Err(Errno::EINVAL));
    assert_eq!(read_from(4_000_000, &local, &remote), Err(Errno::ESRCH));
    // Which nobody asks for nothing.
    assert_eq!(read_from(4_000_000, &[], &remote), Ok(0));
    assert_eq!(read_from(4_000_000, &local, &[]), Ok(0));
    // SAFETY: nothing is there, and more than may be named.
    unsafe {
        let nowhere = libc::process_vm_readv(own, local.as_ptr(), 1, ptr::without_provenance(8), 1, 0);
        assert_eq!(checked(nowhere), Err(Errno::EFAULT));
        let many = libc::process_vm_readv(own, local.as_ptr(), 1, remote.as_ptr(), 1025, 0);
        assert_eq!(checked(many), Err(Errno::EINVAL));
    }
    assert_eq!(read_from(own, &local, &remote), Ok(1));
    assert_eq!(bytes, [2, 2]);
}

/// What a fork shares until one side writes is not written for both.
fn copies_of_a_fork() {
    let pages = Pages::new(1);
    pages.put(0, 1);
    let other = Waiting::new(|| (), || pages.get(0).into());
    let bytes = [9u8];
    let local = ranges([(bytes.as_ptr(), 1)]);
    assert_eq!(write_to(other.process.0, &local, &ranges([(pages.at(0), 1)])), Ok(1));
    assert_eq!(pages.get(0), 1);
    assert_eq!(other.end(), Status::Exited(9));
}

fn others_processes() {
    // SAFETY: it takes nothing.
    if unsafe { libc::geteuid() } != 0 {
        ignore("it takes user 0");
    }
    let own = std::process::id() as i32;
    let mut byte = 0u8;
    let range = ranges([(ptr::from_mut(&mut byte).cast_const(), 1)]);
    let status = child(|| {
        // SAFETY: a number only.
        checked(unsafe { libc::setuid(65534) }).expect("setuid");
        assert_eq!(read_from(own, &range, &range), Err(Errno::EPERM));
        assert_eq!(write_to(own, &range, &range), Err(Errno::EPERM));
        0
    });
    assert_eq!(status.wait(), Status::Exited(0));
}

/// setproctitle(3): a program writes over its arguments what it does, and on over its environment if that is longer.
fn titles() {
    unsafe extern "C" {
        static program_invocation_name: *mut c_char;
    }
    let shown = || std::fs::read("/proc/self/cmdline").expect("/proc/self/cmdline");
    let status = child(|| {
        let before = shown();
        assert_eq!(before.last(), Some(&0));
        // SAFETY: the C library has it point to the first argument; nobody else is in this process.
        let write = |at: usize, bytes: &[u8]| unsafe {
            let arguments = program_invocation_name.cast::<u8>();
            arguments.add(at).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        };
        write(0, b"#");
        assert_eq!((shown()[0], &shown()[1..]), (b'#', &before[1..]));
        write(0, b"a\0");
        assert_eq!((&shown()[..2], &shown()[2..]), (&b"a\0"[..], &before[2..]));
        let long = vec![b'x'; before.len()];
        write(0, &long);
        write(long.len(), b"y\0");
        assert_eq!(shown(), [&long[..], b"y\0"].concat());
        0
    });
    assert_eq!(status.wait(), Status::Exited(0));
}

/// It may hold what nobody else is to know.
fn an_environment_is_its_owner_s() {
    // SAFETY: it takes nothing.
    if unsafe { libc::geteuid() } != 0 {
        ignore("it takes user 0");
    }
    std::fs::read("/proc/self/environ").expect("/proc/self/environ");
    let own = format!("/proc/{}/environ", std::process::id());
    let status = child(|| {
        // SAFETY: a number only.
        checked(unsafe { libc::setuid(65534) }).expect("setuid");
        let error = std::fs::read(&own).expect_err("another's");
        assert_eq!(error.raw_os_error(), Some(libc::EACCES));
        0
    });
    assert_eq!(status.wait(), Status::Exited(0));
}
