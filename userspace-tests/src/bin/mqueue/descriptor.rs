//! What a queue is as a file, and how long it lives.

use super::queue::*;
use libsyscall::abi::Errno;
use std::ffi::c_int;
use std::fs;
use std::ptr;
use userspace_tests::{Fd, checked, child};

fn rewind(queue: &Fd) {
    // SAFETY: lseek(2) takes numbers.
    assert_eq!(unsafe { libc::lseek(queue.0, 0, libc::SEEK_SET) }, 0);
}

pub fn what_a_descriptor_tells() {
    let name = Name::new();
    let queue = name.queue(3);
    send(&queue, b"12345", 0).expect("mq_send");
    send(&queue, b"678", 0).expect("mq_send");
    let nobody = "QSIZE:8          NOTIFY:0     SIGNO:0     NOTIFY_PID:0     \n";
    assert_eq!(told(&queue, 100).expect("read"), nobody);
    assert_eq!(told(&queue, 100).expect("read"), "");
    rewind(&queue);
    assert_eq!(told(&queue, 6).expect("read"), "QSIZE:");
    assert_eq!(told(&queue, 100).expect("read"), &nobody[6..]);
    notify_signal(&queue, libc::SIGUSR1, 0).expect("mq_notify");
    rewind(&queue);
    let pid = std::process::id();
    let expected = format!(
        "QSIZE:8          NOTIFY:0     SIGNO:{:<5} NOTIFY_PID:{pid:<6}\n",
        libc::SIGUSR1
    );
    assert_eq!(told(&queue, 100).expect("read"), expected);
    notify(&queue, None).expect("mq_notify");
    let writer = name.open(libc::O_WRONLY).expect("mq_open");
    assert_eq!(told(&writer, 100), Err(Errno::EBADF));
    assert_eq!(writer.write(b"x"), Err(Errno::EINVAL));
    let stat = stat(&queue);
    assert_eq!(stat.st_mode, libc::S_IFREG | 0o600);
    assert_eq!((stat.st_size, stat.st_nlink), (80, 1));
    // SAFETY: lseek(2) takes numbers.
    assert_eq!(unsafe { libc::lseek(queue.0, 0, libc::SEEK_END) }, 80);
}

/// /proc/self/fd: it is found where nothing is mounted.
pub fn its_link() {
    let name = Name::new();
    let queue = name.queue(1);
    let link = || std::fs::read_link(format!("/proc/self/fd/{}", queue.0)).expect("readlink");
    assert_eq!(link().to_str(), Some(&*format!("/{}", name.text())));
    name.unlink().expect("mq_unlink");
    assert_eq!(link().to_str(), Some(&*format!("/{} (deleted)", name.text())));
}

/// Whole seconds; mq_setattr(3) counts, also where it sets nothing.
pub fn its_times() {
    let name = Name::new();
    let queue = name.queue(1);
    let times = || {
        let stat = stat(&queue);
        assert_eq!((stat.st_atime_nsec, stat.st_mtime_nsec, stat.st_ctime_nsec), (0, 0, 0));
        (stat.st_atime, stat.st_mtime, stat.st_ctime)
    };
    let made = times();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let flags = attributes_of(&queue).mq_flags;
    assert_eq!(times(), made);
    set_flags(&queue, flags).expect("mq_setattr");
    let set = times();
    assert!(set.0 > made.0 && set.2 > made.2);
    assert_eq!(set.1, made.1);
}

pub fn what_it_is_not() {
    let name = Name::new();
    let queue = name.queue(3);
    // SAFETY: nothing is mapped, and the ioctl writes a number.
    unsafe {
        let mapped = libc::mmap(ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_SHARED, queue.0, 0);
        assert_eq!(mapped, libc::MAP_FAILED);
        let mut count: c_int = 0;
        assert_eq!(
            checked(libc::ioctl(queue.0, libc::TIOCGWINSZ, &mut count)),
            Err(Errno::ENOTTY)
        );
    }
    let link = fs::read_link(format!("/proc/self/fd/{}", queue.0)).expect("readlink");
    assert!(
        link.to_str()
            .is_some_and(|link| link.ends_with(&format!("/{}", name.text()))),
        "{link:?}"
    );
    name.unlink().expect("mq_unlink");
    let link = fs::read_link(format!("/proc/self/fd/{}", queue.0)).expect("readlink");
    assert!(
        link.to_str().is_some_and(|link| link.ends_with(" (deleted)")),
        "{link:?}"
    );
    assert_eq!(stat(&queue).st_nlink, 0);
}

pub fn kept_until_closed() {
    let name = Name::new();
    let queue = name.queue(3);
    send(&queue, b"a", 0).expect("mq_send");
    drop(queue);
    let again = name.open(libc::O_RDWR | libc::O_NONBLOCK).expect("it is still there");
    name.unlink().expect("mq_unlink");
    assert_eq!(next(&again), "a");
    send(&again, b"b", 0).expect("mq_send");
    assert_eq!(next(&again), "b");
}

pub fn shared_by_a_child() {
    let name = Name::new();
    let queue = name.waiting_queue(3);
    let sends = child(|| {
        send(&queue, b"from the child", 3).expect("mq_send");
        set_flags(&queue, libc::O_NONBLOCK.into()).expect("mq_setattr");
        0
    });
    assert_eq!(receive(&queue), Ok((b"from the child".to_vec(), 3)));
    assert_eq!(sends.wait(), DONE);
    // One description.
    assert_eq!(receive(&queue), Err(Errno::EAGAIN));
    assert_eq!(receive(&queue.dup()), Err(Errno::EAGAIN));
}

/// mq_open(3) sets FD_CLOEXEC whatever was asked for, and it can be taken off.
pub fn closed_by_execve() {
    let name = Name::new();
    let queue = mq_open(&name.0, libc::O_CREAT | libc::O_RDWR | libc::O_CLOEXEC, 0o600, None).expect("mq_open");
    // SAFETY: fcntl(2) with numbers.
    unsafe {
        assert_eq!(libc::fcntl(queue.0, libc::F_GETFD), libc::FD_CLOEXEC);
        assert_eq!(libc::fcntl(queue.0, libc::F_SETFD, 0), 0);
        assert_eq!(libc::fcntl(queue.0, libc::F_GETFD), 0);
    }
}
