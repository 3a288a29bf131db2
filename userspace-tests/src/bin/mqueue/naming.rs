//! Names, sizes and limits, and who may open what.

use super::queue::*;
use libsyscall::abi::Errno;
use libsyscall::abi::mqueue::{HARD_MSGMAX, HARD_MSGSIZEMAX, MqAttr};
use std::ffi::CString;
use userspace_tests::{Fd, checked, child};

pub fn names() {
    let open = |name: &str, flags| {
        let name = CString::new(name).expect("no NUL");
        let opened = mq_open(&name, flags, 0o600, None);
        let unlinked = mq_unlink(&name);
        (opened.map(drop), unlinked)
    };
    let create = libc::O_CREAT | libc::O_RDWR;
    let refused = |error| (Err(error), Err(error));
    assert_eq!(open("/vigil-slash", create), refused(Errno::EACCES));
    assert_eq!(open("vigil/slash", create), refused(Errno::EACCES));
    assert_eq!(open(".", create), refused(Errno::EACCES));
    assert_eq!(open("..", create), refused(Errno::EACCES));
    assert_eq!(open("", create), refused(Errno::ENOENT));
    assert_eq!(open("vigil-none", libc::O_RDWR), refused(Errno::ENOENT));
    let (longest, too_long) = ("v".repeat(255), "v".repeat(256));
    assert_eq!(open(&longest, create), (Ok(()), Ok(())));
    assert_eq!(open(&too_long, create), refused(Errno::ENAMETOOLONG));
    assert_eq!(open(&"v".repeat(5000), create), refused(Errno::ENAMETOOLONG));
    assert_eq!(open("/", create), refused(Errno::EACCES));
}

pub fn making() {
    let name = Name::new();
    assert_eq!(name.open(libc::O_RDWR), Err(Errno::ENOENT));
    assert_eq!(name.open(libc::O_RDWR | libc::O_EXCL), Err(Errno::ENOENT));
    let made = mq_open(&name.0, libc::O_RDWR | libc::O_CREAT, 0o600, None).expect("mq_open");
    let size = attributes_of(&made);
    assert_eq!((size.mq_maxmsg, size.mq_msgsize, size.mq_curmsgs), (10, 8192, 0));
    let again = libc::O_RDWR | libc::O_CREAT;
    assert_eq!(mq_open(&name.0, again | libc::O_EXCL, 0o600, None), Err(Errno::EEXIST));
    // What an existing one is to be like is not looked at.
    let wrong = MqAttr {
        mq_maxmsg: -1,
        ..MqAttr::default()
    };
    let second = mq_open(&name.0, again, 0, Some(&wrong)).expect("mq_open");
    assert_eq!(attributes_of(&second).mq_maxmsg, 10);
    assert_eq!(name.unlink(), Ok(()));
    assert_eq!(name.unlink(), Err(Errno::ENOENT));
    assert_eq!(name.open(libc::O_RDWR), Err(Errno::ENOENT));
    // Another of the same name is another.
    let other = name.queue(1);
    send(&made, b"old", 0).expect("mq_send");
    assert_eq!(receive(&other), Err(Errno::EAGAIN));
}

pub fn sizes() {
    let check = || {
        let name = Name::new();
        let (most, longest) = if is_unlimited() {
            (i64::from(HARD_MSGMAX), i64::from(HARD_MSGSIZEMAX))
        } else {
            (10, 8192)
        };
        for (maximum, message) in [
            (0, 1),
            (1, 0),
            (-1, 1),
            (1, -1),
            (most + 1, 1),
            (1, longest + 1),
            (i64::MIN, i64::MIN),
        ] {
            let made = name.make(libc::O_RDWR, maximum, message).map(drop);
            assert_eq!(made, Err(Errno::EINVAL), "{maximum} of {message}");
        }
        name.make(libc::O_RDWR, 1, 1).expect("the smallest");
        // As long as any: RLIMIT_MSGQUEUE is another matter.
        if is_unlimited() {
            limit_bytes(u64::MAX);
            let largest = Name::new();
            largest.make(libc::O_RDWR, most, longest).expect("the largest");
        }
        true
    };
    let with_rights = child(|| i32::from(!check()));
    assert_eq!(with_rights.wait(), DONE);
    assert_eq!(as_nobody(65534, check), DONE);
}

/// Lowers RLIMIT_MSGQUEUE.
fn limit_bytes(bytes: u64) {
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: bytes,
    };
    // SAFETY: the kernel reads the structure.
    checked(unsafe { libc::setrlimit(libc::RLIMIT_MSGQUEUE, &limit) }).expect("setrlimit");
}

pub fn the_user_s_limit() {
    let filled = as_nobody(54_322, || {
        // Each message counts with what is kept beside it, and each priority.
        let one = 10 * 64 + 10 * (48 + 48);
        limit_bytes(2 * one);
        let (first, second, third) = (Name::new(), Name::new(), Name::new());
        let kept = first.make(libc::O_RDWR, 10, 64).expect("the first");
        let second_queue = second.make(libc::O_RDWR, 10, 64).expect("the second");
        assert_eq!(third.make(libc::O_RDWR, 10, 64), Err(Errno::EMFILE));
        assert_eq!(third.make(libc::O_RDWR, 1, 1), Err(Errno::EMFILE));
        // It counts for as long as it is open.
        second.unlink().expect("mq_unlink");
        assert_eq!(third.make(libc::O_RDWR, 10, 64), Err(Errno::EMFILE));
        drop(second_queue);
        let third_queue = third.make(libc::O_RDWR, 10, 64).expect("room again");
        drop(kept);
        drop(third_queue);
        // And for as long as it has a name.
        assert_eq!(second.make(libc::O_RDWR, 10, 64), Err(Errno::EMFILE));
        limit_bytes(2 * one - 1);
        first.unlink().expect("mq_unlink");
        assert_eq!(second.make(libc::O_RDWR, 10, 64), Err(Errno::EMFILE));
        true
    });
    if is_root() {
        assert_eq!(filled, DONE);
    }
}

/// There is a limit, which does not bind who has CAP_SYS_RESOURCE.
pub fn how_many() {
    if !is_root() {
        return;
    }
    let most: usize = setting("queues_max").parse().expect("a number");
    // There may be others'.
    let names: Vec<Name> = (0..most).map(|_| Name::new()).collect();
    let queues: Vec<Fd> = names
        .iter()
        .map_while(|name| name.make(libc::O_RDWR, 1, 1).ok())
        .collect();
    let refused = as_nobody(65534, || {
        let one_more = Name::new();
        // Before it is looked at how large it would be.
        [1, 0].map(|size| one_more.make(libc::O_RDWR, size, 1).map(drop)) == [Err(Errno::ENOSPC); 2]
    });
    assert_eq!(refused, DONE);
    let one_more = Name::new().make(libc::O_RDWR, 1, 1).map(drop);
    assert_eq!(one_more, if is_unlimited() { Ok(()) } else { Err(Errno::ENOSPC) });
    drop((queues, names));
    let made = as_nobody(65534, || Name::new().make(libc::O_RDWR, 1, 1).is_ok());
    assert_eq!(made, DONE);
}

pub fn rights() {
    if !is_root() {
        return;
    }
    let name = Name::new();
    let size = MqAttr {
        mq_maxmsg: 1,
        mq_msgsize: 1,
        ..MqAttr::default()
    };
    // SAFETY: umask(2) takes a number.
    let umask = unsafe { libc::umask(0o022) };
    let queue = mq_open(&name.0, libc::O_CREAT | libc::O_RDWR, 0o646, Some(&size)).expect("mq_open");
    // SAFETY: likewise.
    unsafe { libc::umask(umask) };
    assert_eq!(stat(&queue).st_mode, libc::S_IFREG | 0o644);
    let seen = as_nobody(65534, || {
        name.open(libc::O_RDONLY).is_ok()
            && name.open(libc::O_WRONLY) == Err(Errno::EACCES)
            && name.open(libc::O_RDWR) == Err(Errno::EACCES)
            && name.open(libc::O_RDWR | libc::O_CREAT) == Err(Errno::EACCES)
    });
    assert_eq!(seen, DONE);
    // What a mode keeps from its owner, CAP_DAC_OVERRIDE allows.
    // SAFETY: fchmod(2) takes numbers.
    checked(unsafe { libc::fchmod(queue.0, 0) }).expect("fchmod");
    name.open(libc::O_RDWR).expect("root opens it");
    assert_eq!(
        as_nobody(65534, || name.open(libc::O_RDONLY) == Err(Errno::EACCES)),
        DONE
    );
}

pub fn another_s_name() {
    if !is_root() {
        return;
    }
    let name = Name::new();
    mq_open(&name.0, libc::O_CREAT | libc::O_RDWR, 0o666, None).expect("mq_open");
    assert_eq!(as_nobody(65534, || name.unlink() == Err(Errno::EPERM)), DONE);
    assert_eq!(name.unlink(), Ok(()));
}

pub fn access_modes() {
    let name = Name::new();
    let both = name.queue(2);
    let reader = name.open(libc::O_RDONLY | libc::O_NONBLOCK).expect("for reading");
    let writer = name.open(libc::O_WRONLY | libc::O_NONBLOCK).expect("for writing");
    assert_eq!(name.open(libc::O_ACCMODE), Err(Errno::EINVAL));
    assert_eq!(send(&reader, b"a", 0), Err(Errno::EBADF));
    assert_eq!(receive(&writer), Err(Errno::EBADF));
    send(&writer, b"b", 0).expect("mq_send");
    assert_eq!(next(&reader), "b");
    // No queue at all.
    let (pipe, _other) = Fd::pipe();
    for fd in [&pipe, &Fd(-1), &Fd(4000)] {
        assert_eq!(send(fd, b"a", 0), Err(Errno::EBADF));
        assert_eq!(receive(fd), Err(Errno::EBADF));
        assert_eq!(set_flags(fd, 0), Err(Errno::EBADF));
        assert_eq!(notify(fd, None), Err(Errno::EBADF));
    }
    drop(both);
}
