//! pipe(2) and fifo(7).

use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::{F_GETPIPE_SZ, F_SETPIPE_SZ, O_CLOEXEC, O_NONBLOCK};
use libsyscall::abi::stat::PIPEFS_MAGIC;
use libsyscall::calls::file;
use std::io::{Read, Write};
use std::mem;
use std::process::ExitCode;
use std::ptr;
use std::thread;
use std::time::Duration;
use userspace_tests::{Fd, Status, checked, child, tests};

fn main() -> ExitCode {
    userspace_tests::run(tests![
        bytes_in_order,
        wrong_end,
        end_of_file,
        capacity,
        resizing,
        non_blocking,
        atomic_writes,
        blocked_reader_wakes,
        blocked_writer_wakes,
        all_readers_see_the_end,
        writer_fails_when_reader_goes,
        writer_is_cut_short,
        one_inode,
        opened_by_its_number,
        looked_at_by_its_number,
        large_transfer,
        between_processes,
        flags,
        no_positions,
        bytes_to_read,
        fifo,
    ])
}

fn bytes_in_order() {
    let (read, write) = Fd::pipe();
    assert_eq!(write.write(b"one"), Ok(3));
    assert_eq!(write.write(b"two"), Ok(3));
    let mut buffer = [0; 4];
    assert_eq!(read.read(&mut buffer), Ok(4));
    assert_eq!(&buffer, b"onet");
    assert_eq!(read.read(&mut buffer), Ok(2));
    assert_eq!(&buffer[..2], b"wo");
}

/// Semantics 167.
fn wrong_end() {
    let (read, write) = Fd::pipe();
    assert_eq!(read.write(b"x"), Err(Errno::EBADF));
    assert_eq!(write.read(&mut [0]), Err(Errno::EBADF));
}

/// Semantics 170.
fn end_of_file() {
    let (read, write) = Fd::pipe();
    write.write(b"x").expect("write");
    drop(write);
    let mut buffer = [0; 8];
    assert_eq!(read.read(&mut buffer), Ok(1));
    assert_eq!(read.read(&mut buffer), Ok(0));
}

/// Semantics 171.
fn capacity() {
    let (read, write) = Fd::pipe();
    assert_eq!(file::fcntl(read.0, F_GETPIPE_SZ, 0), Ok(65536));
    assert_eq!(write.fill(), 65536);
}

/// Semantics 171.
fn resizing() {
    let (read, write) = Fd::pipe();
    assert_eq!(file::fcntl(write.0, F_SETPIPE_SZ, 5000), Ok(8192));
    assert_eq!(file::fcntl(read.0, F_GETPIPE_SZ, 0), Ok(8192));
    assert_eq!(write.fill(), 8192);
    assert_eq!(file::fcntl(write.0, F_SETPIPE_SZ, 4096), Err(Errno::EBUSY));
    assert_eq!(file::fcntl(write.0, F_SETPIPE_SZ, 1 << 17), Ok(1 << 17));
    assert_eq!(write.fill(), (1 << 17) - 8192);
    assert_eq!(file::fcntl(write.0, F_SETPIPE_SZ, (1 << 31) + 1), Err(Errno::EINVAL));
}

/// Semantics 172.
fn non_blocking() {
    let (read, write) = Fd::pipe();
    assert_eq!(read.read(&mut [0]), Err(Errno::EAGAIN));
    assert_eq!(read.read(&mut []), Ok(0));
    write.fill();
    assert_eq!(write.write(b"x"), Err(Errno::EAGAIN));
    assert_eq!(write.write(b""), Ok(0));
}

/// Semantics 172: up to PIPE_BUF bytes go whole or not at all.
fn atomic_writes() {
    let (read, write) = Fd::pipe();
    write.fill();
    assert_eq!(read.read(&mut [0; 4096]), Ok(4096));
    assert_eq!(write.write(&[1; 1000]), Ok(1000));
    assert_eq!(write.write(&[2; 4000]), Err(Errno::EAGAIN));
    assert_eq!(write.write(&[3; 3000]), Ok(3000));
}

fn blocked_reader_wakes() {
    let (read, write) = Fd::blocking_pipe();
    let reader = thread::spawn(move || {
        let mut buffer = [0; 8];
        read.read(&mut buffer)
    });
    thread::sleep(Duration::from_millis(30));
    assert!(!reader.is_finished());
    write.write(b"abc").expect("write");
    assert_eq!(reader.join().expect("thread"), Ok(3));
}

fn blocked_writer_wakes() {
    let (read, write) = Fd::blocking_pipe();
    let writer = thread::spawn(move || write.write(&vec![7; 100_000]));
    thread::sleep(Duration::from_millis(30));
    assert!(!writer.is_finished());
    let mut left = 100_000;
    let mut buffer = vec![0; 4096];
    while left > 0 {
        let count = read.read(&mut buffer).expect("read");
        assert!(buffer[..count].iter().all(|&byte| byte == 7));
        left -= count;
    }
    assert_eq!(writer.join().expect("thread"), Ok(100_000));
}

/// Semantics 175.
fn all_readers_see_the_end() {
    let (read, write) = Fd::blocking_pipe();
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let read = read.dup();
            thread::spawn(move || read.read(&mut [0]))
        })
        .collect();
    thread::sleep(Duration::from_millis(30));
    drop(write);
    assert!(
        readers
            .into_iter()
            .all(|reader| reader.join().expect("thread") == Ok(0))
    );
}

/// Semantics 169.
fn writer_fails_when_reader_goes() {
    let (read, write) = Fd::blocking_pipe();
    let writer = thread::spawn(move || {
        let first = write.write(&vec![0; 100_000]);
        (first, write.write(b"x"))
    });
    thread::sleep(Duration::from_millis(30));
    drop(read);
    let (first, second) = writer.join().expect("thread");
    assert!(first.is_ok_and(|count| (65536..100_000).contains(&count)), "{first:?}");
    assert_eq!(second, Err(Errno::EPIPE));
}

/// Semantics 169: a write that has put something says so, and the signal comes nevertheless.
fn writer_is_cut_short() {
    let (read, write) = Fd::blocking_pipe();
    let writer = child(|| {
        // SAFETY: the set is initialised before it is used.
        let mut set = unsafe {
            let mut set = mem::zeroed();
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, libc::SIGPIPE);
            libc::sigprocmask(libc::SIG_BLOCK, &set, ptr::null_mut());
            set
        };
        // The parent's is the only reader.
        // SAFETY: the number is not used again.
        unsafe { libc::close(read.0) };
        assert_eq!(write.write(&[0; 3 * 65536]), Ok(65536));
        // SAFETY: the set is written.
        i32::from(unsafe { libc::sigpending(&mut set) != 0 || libc::sigismember(&set, libc::SIGPIPE) != 1 })
    });
    while !is_asleep(writer.0) {
        thread::sleep(Duration::from_millis(1));
    }
    drop(read);
    assert_eq!(writer.wait(), Status::Exited(0));
}

/// By the third field of /proc/PID/stat.
fn is_asleep(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("stat");
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
}

fn one_inode() {
    let (read, write) = Fd::pipe();
    // SAFETY: all zero bytes are these structures, which the kernel writes.
    unsafe {
        let inode = |fd: &Fd| {
            let mut stat: libc::stat = mem::zeroed();
            checked(libc::fstat(fd.0, &mut stat)).expect("fstat");
            (stat.st_dev, stat.st_ino)
        };
        assert_eq!(inode(&read), inode(&write));
        assert_ne!(inode(&read), inode(&Fd::pipe().0));
        let mut system: libc::statfs = mem::zeroed();
        checked(libc::fstatfs(read.0, &mut system)).expect("fstatfs");
        assert_eq!(system.f_type as i64, PIPEFS_MAGIC);
        assert_eq!(
            (system.f_bsize as i64, system.f_namelen as i64),
            (libc::sysconf(libc::_SC_PAGESIZE), 255)
        );
    }
}

/// Without waiting for the other end, unlike a fifo.
fn opened_by_its_number() {
    let (read, write) = Fd::blocking_pipe();
    write.write(b"abcd").expect("write");
    drop(write);
    let mut again = std::fs::File::open(format!("/proc/self/fd/{}", read.0)).expect("open");
    let mut bytes = [0; 8];
    assert_eq!(again.read(&mut bytes).expect("read"), 4);
    assert_eq!(again.read(&mut bytes).expect("read"), 0);
}

/// Looking at an end keeps it from nothing.
fn looked_at_by_its_number() {
    for folder in ["fd", "fdinfo"] {
        let (read, write) = Fd::pipe();
        std::fs::symlink_metadata(format!("/proc/self/{folder}/{}", write.0)).expect("lstat");
        drop(write);
        assert_eq!(read.read(&mut [0]), Ok(0), "{folder}");
    }
}

fn large_transfer() {
    const BYTES: usize = 8 << 20;
    let (mut read, mut write) = std::io::pipe().expect("pipe2");
    let writer = thread::spawn(move || {
        let piece: Vec<u8> = (0..65_521u32).map(|number| number as u8).collect();
        let mut left = BYTES;
        while left > 0 {
            let count = left.min(piece.len());
            write.write_all(&piece[..count]).expect("write");
            left -= count;
        }
    });
    let mut received = Vec::new();
    read.read_to_end(&mut received).expect("read");
    writer.join().expect("thread");
    assert_eq!(received.len(), BYTES);
    assert!(
        received
            .iter()
            .enumerate()
            .all(|(at, &byte)| byte == (at % 65_521) as u8)
    );
}

fn between_processes() {
    let (read, write) = Fd::blocking_pipe();
    let child = child(|| i32::from(write.write(b"from the child") != Ok(14)));
    let mut buffer = [0; 32];
    assert_eq!(read.read(&mut buffer), Ok(14));
    assert_eq!(&buffer[..14], b"from the child");
    assert_eq!(child.wait(), Status::Exited(0));
}

/// Semantics 173.
fn flags() {
    assert_eq!(file::pipe(1), Err(Errno::EINVAL));
    let (read, write) = file::pipe(O_NONBLOCK | O_CLOEXEC).expect("pipe2");
    drop((Fd(read), Fd(write)));
}

/// Semantics 173.
fn no_positions() {
    let (read, _write) = Fd::pipe();
    assert_eq!(
        // SAFETY: numbers in, a number out.
        checked(unsafe { libc::lseek(read.0, 0, libc::SEEK_SET) }),
        Err(Errno::ESPIPE)
    );
    let mut byte = 0u8;
    // SAFETY: the kernel writes one byte, if at all.
    let pread = unsafe { libc::pread(read.0, (&raw mut byte).cast(), 1, 0) };
    assert_eq!(checked(pread), Err(Errno::ESPIPE));
}

/// Semantics 172.
fn bytes_to_read() {
    let (read, write) = Fd::pipe();
    write.write(&[0; 123]).expect("write");
    for end in [&read, &write] {
        let mut count = 0i32;
        // SAFETY: the kernel writes one number.
        checked(unsafe { libc::ioctl(end.0, libc::FIONREAD, &mut count) }).expect("FIONREAD");
        assert_eq!(count, 123);
    }
}

fn fifo() {
    let path = std::env::temp_dir().join(format!("vigil-fifo-{}", std::process::id()));
    let name = std::ffi::CString::new(path.to_str().expect("UTF-8")).expect("no NUL");
    // SAFETY: the kernel reads the name.
    checked(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }).expect("mkfifo");
    // SAFETY: as above.
    let open = |flags| checked(unsafe { libc::open(name.as_ptr(), flags) });
    assert_eq!(open(libc::O_WRONLY | libc::O_NONBLOCK), Err(Errno::ENXIO));
    // Each open waits for the other.
    let writer = {
        let path = path.clone();
        thread::spawn(move || std::fs::write(path, b"through the fifo"))
    };
    assert_eq!(std::fs::read(&path).expect("read"), b"through the fifo");
    writer.join().expect("thread").expect("write");
    std::fs::remove_file(path).expect("unlink");
}
