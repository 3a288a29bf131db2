//! What epoll_create1(2) and epoll_ctl(2) take and refuse.

use super::{ADD, DEL, MOD};
use libsyscall::abi::Errno;
use libsyscall::abi::event::*;
use libsyscall::abi::fcntl::{F_GETFD, F_GETFL, FD_CLOEXEC, O_RDWR};
use libsyscall::calls::{event, file};
use userspace_tests::Fd;

/// Semantics 9, 10.
pub fn create_flags() {
    let plain = Fd(event::epoll_create1(0).expect("epoll_create1"));
    assert_eq!(file::fcntl(plain.0, F_GETFD, 0), Ok(0));
    let close_on_exec = Fd(event::epoll_create1(EPOLL_CLOEXEC).expect("epoll_create1"));
    assert_eq!(file::fcntl(close_on_exec.0, F_GETFD, 0), Ok(FD_CLOEXEC as usize));
    for flags in [1, 0o4000, EPOLL_CLOEXEC + 1, u32::MAX] {
        assert_eq!(event::epoll_create1(flags), Err(Errno::EINVAL), "{flags:#x}");
    }
}

/// Semantics 11, 12.
pub fn descriptor_status() {
    let epoll = Fd::epoll();
    assert_eq!(
        file::fcntl(epoll.0, F_GETFL, 0).map(|flags| flags & 0o3777777),
        Ok(O_RDWR as usize)
    );
    let link = std::fs::read_link(format!("/proc/self/fd/{}", epoll.0)).expect("readlink");
    assert_eq!(link.to_str(), Some("anon_inode:[eventpoll]"));
}

/// Semantics 13 to 15.
pub fn control_bad_descriptors() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    assert_eq!(event::epoll_set(-1, ADD, event.0, EPOLLIN, 0), Err(Errno::EBADF));
    assert_eq!(event::epoll_set(epoll.0, ADD, -1, EPOLLIN, 0), Err(Errno::EBADF));
    assert_eq!(event::epoll_set(event.0, ADD, -1, EPOLLIN, 0), Err(Errno::EBADF));
    assert_eq!(event::epoll_set(999, DEL, event.0, 0, 0), Err(Errno::EBADF));
    // Semantics 20.
    assert_eq!(event::epoll_set(event.0, ADD, epoll.0, EPOLLIN, 0), Err(Errno::EINVAL));
}

/// Semantics 16, 17.
pub fn control_bad_event() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    for (epfd, operation) in [(epoll.0, ADD), (epoll.0, MOD), (-1, ADD), (epoll.0, 99)] {
        assert_eq!(event::epoll_ctl(epfd, operation, event.0, None), Err(Errno::EFAULT));
    }
    epoll.add(&event, EPOLLIN);
    assert_eq!(event::epoll_ctl(epoll.0, DEL, event.0, None), Ok(()));
}

/// Semantics 19; also of an epoll that another one watches, and of one whose descriptors other threads share.
pub fn control_itself() {
    let epoll = Fd::epoll();
    let copy = epoll.dup();
    let refuses_itself = || {
        for operation in [ADD, MOD, DEL] {
            assert_eq!(epoll.control(operation, &epoll, EPOLLIN), Err(Errno::EINVAL));
            assert_eq!(epoll.control(operation, &copy, EPOLLIN), Err(Errno::EINVAL));
        }
    };
    refuses_itself();
    let outer = Fd::epoll();
    outer.add(&epoll, EPOLLIN);
    refuses_itself();
    std::thread::scope(|scope| scope.spawn(refuses_itself).join().expect("thread"));
}

/// Semantics 18.
pub fn control_unknown_operation() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    for operation in [-1, 0, 4, 99] {
        assert_eq!(epoll.control(operation, &event, EPOLLIN), Err(Errno::EINVAL));
    }
}

/// Semantics 21, 22.
pub fn control_exists_and_missing() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    assert_eq!(epoll.control(MOD, &event, EPOLLIN), Err(Errno::ENOENT));
    assert_eq!(epoll.control(DEL, &event, EPOLLIN), Err(Errno::ENOENT));
    epoll.add(&event, EPOLLIN);
    assert_eq!(epoll.control(ADD, &event, EPOLLIN), Err(Errno::EEXIST));
    let other = Fd::epoll();
    assert_eq!(other.control(MOD, &event, EPOLLIN), Err(Errno::ENOENT));
    assert_eq!(other.control(DEL, &event, EPOLLIN), Err(Errno::ENOENT));
    epoll.delete(&event);
    assert_eq!(epoll.control(DEL, &event, EPOLLIN), Err(Errno::ENOENT));
}

/// Semantics 23.
pub fn control_without_poll_support() {
    use std::os::fd::AsRawFd;
    let epoll = Fd::epoll();
    for path in ["/proc/self/exe", "/tmp", "/dev/null", "/dev/zero"] {
        let file = std::fs::File::open(path).expect("open");
        for operation in [ADD, MOD, DEL] {
            let result = event::epoll_set(epoll.0, operation, file.as_raw_fd(), EPOLLIN, 0);
            assert_eq!(result, Err(Errno::EPERM), "{path}");
        }
    }
}

/// Semantics 26.
pub fn control_every_mask() {
    let (epoll, (read, _write)) = (Fd::epoll(), Fd::pipe());
    epoll.add(&read, 0);
    let bits = [
        EPOLLIN,
        EPOLLOUT,
        EPOLLPRI,
        EPOLLERR,
        EPOLLHUP,
        EPOLLET,
        EPOLLONESHOT,
        EPOLLRDHUP,
    ];
    for set in 0..256u32 {
        let mask = bits
            .iter()
            .enumerate()
            .filter(|(bit, _)| set & 1 << bit != 0)
            .map(|(_, mask)| mask)
            .sum();
        assert_eq!(epoll.control(MOD, &read, mask), Ok(()), "{mask:#x}");
    }
}

/// Semantics 27.
pub fn control_unknown_bits() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    assert_eq!(epoll.control(ADD, &event, 0xefff_ffff), Ok(()));
    assert_eq!(epoll.control(MOD, &event, EPOLLNVAL | EPOLLMSG), Ok(()));
}

/// Semantics 30 to 33.
pub fn exclusive_rules() {
    let (epoll, event, inner) = (Fd::epoll(), Fd::eventfd(0, 0), Fd::epoll());
    for bit in [EPOLLONESHOT, EPOLLRDHUP, EPOLLPRI, EPOLLRDNORM, EPOLLMSG] {
        assert_eq!(
            epoll.control(ADD, &event, EPOLLEXCLUSIVE | EPOLLIN | bit),
            Err(Errno::EINVAL),
            "{bit:#x}"
        );
    }
    assert_eq!(epoll.control(ADD, &inner, EPOLLEXCLUSIVE | EPOLLIN), Err(Errno::EINVAL));
    assert_eq!(epoll.control(MOD, &event, EPOLLEXCLUSIVE | EPOLLIN), Err(Errno::EINVAL));
    epoll.add(&event, EPOLLEXCLUSIVE | EPOLLIN | EPOLLOUT | EPOLLET);
    assert_eq!(epoll.control(MOD, &event, EPOLLIN), Err(Errno::EINVAL));
    epoll.delete(&event);
}

/// Semantics 2.
pub fn data_keeps_64_bits() {
    let epoll = Fd::epoll();
    let files: Vec<_> = (0..3).map(|_| Fd::eventfd(1, 0)).collect();
    let data = |number: usize| 0xdead_beef_face_feed_u64.rotate_left(number as u32 * 8);
    for (number, file) in files.iter().enumerate() {
        event::epoll_set(epoll.0, ADD, file.0, EPOLLIN, data(number)).expect("ADD");
    }
    assert_eq!(
        epoll.ready(),
        (0..3).map(|number| (data(number), EPOLLIN)).collect::<Vec<_>>()
    );
}
