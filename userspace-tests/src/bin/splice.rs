//! splice(2), tee(2), vmsplice(2).

use libsyscall::abi::Errno;
use std::os::fd::IntoRawFd;
use std::process::ExitCode;
use std::ptr::null_mut;
use std::thread;
use std::time::Duration;
use userspace_tests::{Fd, Status, checked, child, tests};

const NONBLOCK: u32 = libc::SPLICE_F_NONBLOCK;

fn main() -> ExitCode {
    userspace_tests::run(tests![
        pipe_to_pipe,
        pipe_to_socket_and_back,
        datagrams_to_pipe,
        file_to_pipe_and_back,
        what_is_not_taken_stays,
        ends_and_nothing,
        waits_for_bytes,
        waits_for_room,
        wrong_files,
        wrong_positions,
        nobody_reads,
        tee_leaves_the_bytes,
        tee_errors,
        memory_to_pipe,
        pipe_to_memory,
    ])
}

fn splice(from: &Fd, to: &Fd, len: usize, flags: u32) -> Result<usize, Errno> {
    splice_at(from, None, to, None, len, flags)
}

fn splice_at(
    from: &Fd,
    mut from_at: Option<&mut i64>,
    to: &Fd,
    mut to_at: Option<&mut i64>,
    len: usize,
    flags: u32,
) -> Result<usize, Errno> {
    let pointer = |at: &mut Option<&mut i64>| at.as_mut().map_or(null_mut(), |at| &raw mut **at);
    let (from_at, to_at) = (pointer(&mut from_at), pointer(&mut to_at));
    // SAFETY: the offsets are there or null.
    checked(unsafe { libc::splice(from.0, from_at, to.0, to_at, len, flags) }).map(|count| count as usize)
}

fn tee(from: &Fd, to: &Fd, len: usize, flags: u32) -> Result<usize, Errno> {
    // SAFETY: no memory is involved.
    checked(unsafe { libc::tee(from.0, to.0, len, flags) }).map(|count| count as usize)
}

fn vmsplice(pipe: &Fd, bytes: &mut [u8], flags: u32) -> Result<usize, Errno> {
    let vector = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: the vector names the bytes.
    checked(unsafe { libc::vmsplice(pipe.0, &vector, 1, flags) }).map(|count| count as usize)
}

fn read_all(fd: &Fd) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 17];
    let len = fd.read(&mut bytes).expect("read");
    bytes.truncate(len);
    bytes
}

/// A nameless file with these bytes.
fn file(bytes: &[u8]) -> Fd {
    // SAFETY: the name ends with a NUL.
    let file = Fd(checked(unsafe { libc::memfd_create(c"splice".as_ptr(), 0) }).expect("memfd_create"));
    file.write(bytes).expect("write");
    // SAFETY: no memory is involved.
    checked(unsafe { libc::lseek(file.0, 0, libc::SEEK_SET) }).expect("lseek");
    file
}

fn pipe_to_pipe() {
    let ((from, writer), (reader, to)) = (Fd::pipe(), Fd::pipe());
    writer.write(b"hello, ").expect("write");
    writer.write(b"world").expect("write");
    assert_eq!(splice(&from, &to, 8, 0), Ok(8));
    assert_eq!(splice(&from, &to, 100, 0), Ok(4));
    assert_eq!(read_all(&reader), b"hello, world");
    assert_eq!(splice(&from, &to, 100, 0), Err(Errno::EAGAIN));
    assert_eq!(splice(&from, &to, 0, 0), Ok(0));
}

fn pipe_to_socket_and_back() {
    let ((from, writer), (reader, to)) = (Fd::pipe(), Fd::pipe());
    let (left, right) = Fd::socket_pair();
    writer.write(&[7; 10_000]).expect("write");
    assert_eq!(splice(&from, &left, 100_000, 0), Ok(10_000));
    assert_eq!(splice(&right, &to, 100_000, 0), Ok(10_000));
    assert_eq!(read_all(&reader), [7; 10_000]);
    assert_eq!(splice(&right, &to, 100, 0), Err(Errno::EAGAIN));
    drop(left);
    assert_eq!(splice(&right, &to, 100, 0), Ok(0));
}

fn datagrams_to_pipe() {
    let (reader, to) = Fd::pipe();
    let (left, right) = Fd::unix_pair(libc::SOCK_DGRAM | libc::SOCK_NONBLOCK);
    left.write(b"one").expect("write");
    left.write(b"two").expect("write");
    assert_eq!(splice(&right, &to, 100, 0), Ok(3));
    assert_eq!(splice(&right, &to, 100, 0), Ok(3));
    assert_eq!(read_all(&reader), b"onetwo");
}

fn file_to_pipe_and_back() {
    let (reader, writer) = Fd::pipe();
    let from = file(b"0123456789");
    assert_eq!(splice(&from, &writer, 4, 0), Ok(4));
    let mut at = 8;
    assert_eq!(splice_at(&from, Some(&mut at), &writer, None, 100, 0), Ok(2));
    assert_eq!(at, 10);
    assert_eq!(splice_at(&from, Some(&mut at), &writer, None, 100, 0), Ok(0));
    let to = file(b"");
    let mut at = 2;
    assert_eq!(splice_at(&reader, None, &to, Some(&mut at), 3, 0), Ok(3));
    assert_eq!(at, 5);
    assert_eq!(splice(&reader, &to, 100, 0), Ok(3));
    // The first part went to where it was to go, the second to the offset.
    let mut bytes = [0; 16];
    // SAFETY: the buffer is as long as said.
    let len = unsafe { libc::pread(to.0, bytes.as_mut_ptr().cast(), 16, 0) };
    assert_eq!(&bytes[..len as usize], b"38912");
}

fn what_is_not_taken_stays() {
    let (from, writer) = Fd::pipe();
    let (left, right) = Fd::socket_pair();
    left.fill();
    writer.write(b"kept").expect("write");
    assert_eq!(splice(&from, &left, 100, 0), Err(Errno::EAGAIN));
    right.drain();
    assert_eq!(splice(&from, &left, 100, 0), Ok(4));
    assert_eq!(read_all(&right), b"kept");
    // As much as there is room for.
    let (reader, to) = Fd::pipe();
    to.fill();
    writer.write(b"kept").expect("write");
    assert_eq!(splice(&from, &to, 100, 0), Err(Errno::EAGAIN));
    reader.drain();
    assert_eq!(splice(&from, &to, 100, 0), Ok(4));
}

fn ends_and_nothing() {
    let ((from, writer), (_reader, to)) = (Fd::blocking_pipe(), Fd::blocking_pipe());
    assert_eq!(splice(&from, &to, 100, NONBLOCK), Err(Errno::EAGAIN));
    drop(writer);
    assert_eq!(splice(&from, &to, 100, 0), Ok(0));
    assert_eq!(tee(&from, &to, 100, 0), Ok(0));
}

fn waits_for_bytes() {
    let ((from, writer), (reader, to)) = (Fd::blocking_pipe(), Fd::blocking_pipe());
    let splicer = thread::spawn(move || splice(&from, &to, 100, 0));
    thread::sleep(Duration::from_millis(20));
    assert!(!splicer.is_finished());
    writer.write(b"late").expect("write");
    assert_eq!(splicer.join().expect("thread"), Ok(4));
    assert_eq!(read_all(&reader), b"late");
}

fn waits_for_room() {
    let ((from, writer), (reader, to)) = (Fd::pipe(), Fd::pipe());
    to.fill();
    // SAFETY: no memory is involved.
    checked(unsafe { libc::fcntl(to.0, libc::F_SETFL, 0) }).expect("F_SETFL");
    // SAFETY: as above.
    checked(unsafe { libc::fcntl(from.0, libc::F_SETFL, 0) }).expect("F_SETFL");
    writer.write(b"late").expect("write");
    let splicer = thread::spawn(move || splice(&from, &to, 100, 0));
    thread::sleep(Duration::from_millis(20));
    assert!(!splicer.is_finished());
    reader.drain();
    assert_eq!(splicer.join().expect("thread"), Ok(4));
}

fn wrong_files() {
    let (reader, writer) = Fd::pipe();
    let (left, right) = Fd::socket_pair();
    let bytes = file(b"bytes");
    writer.write(b"x").expect("write");
    assert_eq!(splice(&reader, &writer, 1, 0), Err(Errno::EINVAL));
    assert_eq!(splice(&left, &right, 1, 0), Err(Errno::EINVAL));
    assert_eq!(splice(&bytes, &left, 1, 0), Err(Errno::EINVAL));
    assert_eq!(splice(&reader, &Fd::epoll(), 1, 0), Err(Errno::EINVAL));
    assert_eq!(splice(&Fd::epoll(), &writer, 1, 0), Err(Errno::EINVAL));
    assert_eq!(splice(&writer, &left, 1, 0), Err(Errno::EBADF));
    assert_eq!(splice(&left, &reader, 1, 0), Err(Errno::EBADF));
    assert_eq!(splice(&Fd(-1), &writer, 1, 0), Err(Errno::EBADF));
    assert_eq!(splice(&reader, &left, 1, 0x100), Err(Errno::EINVAL));
    let name = format!("{}/vigil-append-{}", std::env::temp_dir().display(), std::process::id());
    let append = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&name)
        .expect("open");
    assert_eq!(splice(&reader, &Fd(append.into_raw_fd()), 1, 0), Err(Errno::EINVAL));
    std::fs::remove_file(name).expect("unlink");
}

fn wrong_positions() {
    let (reader, writer) = Fd::pipe();
    let (left, _right) = Fd::socket_pair();
    let bytes = file(b"bytes");
    writer.write(b"x").expect("write");
    let mut at = 0;
    assert_eq!(
        splice_at(&reader, Some(&mut at), &bytes, None, 1, 0),
        Err(Errno::ESPIPE)
    );
    assert_eq!(
        splice_at(&bytes, None, &writer, Some(&mut at), 1, 0),
        Err(Errno::ESPIPE)
    );
    at = -1;
    assert_eq!(
        splice_at(&bytes, Some(&mut at), &writer, None, 1, 0),
        Err(Errno::EINVAL)
    );
    assert_eq!(splice_at(&reader, None, &left, Some(&mut at), 1, 0), Err(Errno::EINVAL));
}

fn nobody_reads() {
    let (reader, writer) = Fd::pipe();
    let bytes = file(b"bytes");
    drop(reader);
    let splicer = child(|| {
        // SAFETY: the signal gets its default action.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        i32::from(splice(&bytes, &writer, 1, 0).is_ok())
    });
    assert_eq!(splicer.wait(), Status::Killed(libc::SIGPIPE));
    assert_eq!(splice(&bytes, &writer, 1, 0), Err(Errno::EPIPE));
}

fn tee_leaves_the_bytes() {
    let ((from, writer), (reader, to)) = (Fd::pipe(), Fd::pipe());
    writer.write(&[1; 5000]).expect("write");
    writer.write(&[2; 5000]).expect("write");
    assert_eq!(tee(&from, &to, 100_000, 0), Ok(10_000));
    assert_eq!(tee(&from, &to, 6000, 0), Ok(6000));
    assert_eq!(read_all(&from), [[1; 5000], [2; 5000]].concat());
    assert_eq!(read_all(&reader).len(), 16_000);
}

fn tee_errors() {
    let ((from, writer), (reader, to)) = (Fd::pipe(), Fd::pipe());
    let (left, _right) = Fd::socket_pair();
    assert_eq!(tee(&from, &to, 1, 0), Err(Errno::EAGAIN));
    writer.write(b"x").expect("write");
    assert_eq!(tee(&from, &writer, 1, 0), Err(Errno::EINVAL));
    assert_eq!(tee(&from, &left, 1, 0), Err(Errno::EINVAL));
    assert_eq!(tee(&from, &reader, 1, 0), Err(Errno::EBADF));
    to.fill();
    assert_eq!(tee(&from, &to, 1, 0), Err(Errno::EAGAIN));
}

fn memory_to_pipe() {
    let (reader, writer) = Fd::pipe();
    assert_eq!(vmsplice(&writer, &mut [5; 300], 0), Ok(300));
    assert_eq!(read_all(&reader), [5; 300]);
    writer.fill();
    assert_eq!(vmsplice(&writer, &mut [5; 300], NONBLOCK), Err(Errno::EAGAIN));
    assert_eq!(vmsplice(&file(b""), &mut [5; 300], 0), Err(Errno::EBADF));
    assert_eq!(vmsplice(&writer, &mut [], 0), Ok(0));
}

fn pipe_to_memory() {
    let (reader, writer) = Fd::pipe();
    let mut bytes = [0; 16];
    assert_eq!(vmsplice(&reader, &mut bytes, NONBLOCK), Err(Errno::EAGAIN));
    writer.write(b"abc").expect("write");
    assert_eq!(vmsplice(&reader, &mut bytes, 0), Ok(3));
    assert_eq!(&bytes[..3], b"abc");
}
