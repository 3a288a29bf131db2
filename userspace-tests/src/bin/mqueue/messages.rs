//! Order, lengths and attributes; bad arguments.

use super::queue::*;
use libsyscall::abi::mqueue::{MQ_PRIO_MAX, MqAttr};
use libsyscall::abi::{Errno, nr};
use libsyscall::calls::raw;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;
use userspace_tests::{Fd, checked};

pub fn order() {
    let name = Name::new();
    let queue = name.queue(8);
    for (text, priority) in [
        ("a", 1),
        ("b", 0),
        ("c", MQ_PRIO_MAX - 1),
        ("d", 1),
        ("e", 0),
        ("f", 2),
        ("g", 1),
    ] {
        send(&queue, text.as_bytes(), priority).expect("mq_send");
    }
    let messages: Vec<(Vec<u8>, u32)> = std::iter::from_fn(|| receive(&queue).ok()).collect();
    let text: String = messages.iter().map(|(text, _)| text[0] as char).collect();
    assert_eq!(text, "cfadgbe");
    let priorities: Vec<u32> = messages.iter().map(|(_, priority)| *priority).collect();
    assert_eq!(priorities, [MQ_PRIO_MAX - 1, 2, 1, 1, 1, 0, 0]);
    assert_eq!(send(&queue, b"x", MQ_PRIO_MAX), Err(Errno::EINVAL));
    assert_eq!(send(&queue, b"x", u32::MAX), Err(Errno::EINVAL));
}

pub fn lengths() {
    let name = Name::new();
    let queue = name.queue(4);
    assert_eq!(send(&queue, &[0; 65], 0), Err(Errno::EMSGSIZE));
    send(&queue, &[7; 64], 0).expect("the longest");
    send(&queue, &[], 0).expect("an empty one");
    assert_eq!(receive(&queue).expect("mq_receive").0, [7; 64]);
    assert_eq!(receive(&queue), Ok((vec![], 0)));
    // There must be room for the longest, whatever comes; also where nothing does.
    let mut room = [0u8; 64];
    let arguments = [queue.0 as usize, room.as_mut_ptr() as usize, 63, 0, 0];
    // SAFETY: the kernel writes up to 63 bytes.
    assert_eq!(unsafe { raw(nr::MQ_TIMEDRECEIVE, arguments) }, Err(Errno::EMSGSIZE));
}

pub fn bad_pointers() {
    const NOWHERE: usize = 8;
    let name = Name::new();
    let queue = name.queue(4);
    let fd = queue.0 as usize;
    let flags = (libc::O_CREAT | libc::O_RDWR) as usize;
    let text = name.0.as_ptr() as usize;
    // SAFETY: the kernel refuses addresses that are none, and reads or writes what it is lent.
    unsafe {
        assert_eq!(raw(nr::MQ_OPEN, [NOWHERE, flags, 0o600, 0]), Err(Errno::EFAULT));
        // It is read before anything is looked up.
        assert_eq!(raw(nr::MQ_OPEN, [text, flags, 0o600, NOWHERE]), Err(Errno::EFAULT));
        assert_eq!(raw(nr::MQ_UNLINK, [NOWHERE]), Err(Errno::EFAULT));
        assert_eq!(raw(nr::MQ_TIMEDSEND, [fd, NOWHERE, 4, 0, 0]), Err(Errno::EFAULT));
        assert_eq!(raw(nr::MQ_TIMEDSEND, [fd, NOWHERE, 0, 0, 0]), Ok(0));
        assert_eq!(raw(nr::MQ_TIMEDSEND, [fd, text, 4, 0, NOWHERE]), Err(Errno::EFAULT));
        assert_eq!(attributes_of(&queue).mq_curmsgs, 1);
        assert_eq!(raw(nr::MQ_TIMEDRECEIVE, [fd, NOWHERE, 64, 0, 0]), Ok(0));
        // One that ends where memory does.
        let pages = libc::mmap(
            ptr::null_mut(),
            8192,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        checked(libc::munmap(pages.byte_add(4096), 4096)).expect("munmap");
        let end = pages.expose_provenance() + 4096;
        assert_eq!(raw(nr::MQ_TIMEDSEND, [fd, end - 10, 20, 0, 0]), Err(Errno::EFAULT));
        assert_eq!(raw(nr::MQ_TIMEDSEND, [fd, end - 10, 10, 0, 0]), Ok(0));
        assert_eq!(raw(nr::MQ_TIMEDRECEIVE, [fd, end - 10, 64, 0, 0]), Ok(10));
        send(&queue, &[1; 20], 0).expect("mq_send");
        assert_eq!(raw(nr::MQ_TIMEDRECEIVE, [fd, end - 10, 64, 0, 0]), Err(Errno::EFAULT));
        // A message that can't be given is lost.
        send(&queue, b"lost", 3).expect("mq_send");
        send(&queue, b"too", 2).expect("mq_send");
        let mut room = [0u8; 64];
        let to = room.as_mut_ptr() as usize;
        assert_eq!(raw(nr::MQ_TIMEDRECEIVE, [fd, NOWHERE, 64, 0, 0]), Err(Errno::EFAULT));
        assert_eq!(raw(nr::MQ_TIMEDRECEIVE, [fd, to, 64, NOWHERE, 0]), Err(Errno::EFAULT));
        assert_eq!(attributes_of(&queue).mq_curmsgs, 0);
        assert_eq!(raw(nr::MQ_NOTIFY, [fd, NOWHERE]), Err(Errno::EFAULT));
        assert_eq!(raw(nr::MQ_GETSETATTR, [fd, NOWHERE, 0]), Err(Errno::EFAULT));
        assert_eq!(raw(nr::MQ_GETSETATTR, [fd, 0, NOWHERE]), Err(Errno::EFAULT));
        assert_eq!(raw(nr::MQ_GETSETATTR, [fd, 0, 0]), Ok(0));
    }
}

pub fn bad_times() {
    let name = Name::new();
    let queue = name.queue(1);
    for (tv_sec, tv_nsec) in [(-1, 0), (0, -1), (0, 1_000_000_000)] {
        let wrong = libc::timespec { tv_sec, tv_nsec };
        // A time that is none is refused also where nobody would wait, and before all else.
        assert_eq!(send_until(&queue, b"x", 0, Some(&wrong)), Err(Errno::EINVAL));
        assert_eq!(receive_until(&queue, Some(&wrong)), Err(Errno::EINVAL));
        assert_eq!(receive_until(&Fd(-1), Some(&wrong)), Err(Errno::EINVAL));
    }
}

pub fn full_and_empty() {
    let name = Name::new();
    let queue = name.queue(2);
    assert_eq!(receive(&queue), Err(Errno::EAGAIN));
    send(&queue, b"a", 0).expect("mq_send");
    send(&queue, b"b", 9).expect("mq_send");
    assert_eq!(send(&queue, b"c", 9), Err(Errno::EAGAIN));
    assert_eq!(next(&queue), "b");
    send(&queue, b"d", 0).expect("mq_send");
    assert_eq!((next(&queue), next(&queue)), ("a".into(), "d".into()));
}

pub fn attributes() {
    let name = Name::new();
    let queue = name.queue(3);
    send(&queue, b"a", 0).expect("mq_send");
    let expected = MqAttr {
        mq_flags: libc::O_NONBLOCK.into(),
        mq_maxmsg: 3,
        mq_msgsize: 64,
        mq_curmsgs: 1,
        ..MqAttr::default()
    };
    assert_eq!(attributes_of(&queue), expected);
    // Only the one flag, and of this description.
    let other = name.open(libc::O_RDWR | libc::O_NONBLOCK).expect("mq_open");
    assert_eq!(set_flags(&queue, 0), Ok(expected));
    assert_eq!(
        attributes_of(&queue),
        MqAttr {
            mq_flags: 0,
            ..expected
        }
    );
    assert_eq!(attributes_of(&other), expected);
    assert_eq!(set_flags(&queue, libc::O_APPEND.into()), Err(Errno::EINVAL));
    assert_eq!(
        set_flags(&queue, libc::O_NONBLOCK.into()).expect("mq_setattr").mq_flags,
        0
    );
    assert_eq!(attributes_of(&queue), expected);
    // SAFETY: fcntl(2) with numbers.
    let flags = unsafe { libc::fcntl(queue.0, libc::F_GETFL) };
    assert_eq!(flags, libc::O_RDWR | libc::O_NONBLOCK);
    // SAFETY: likewise.
    assert_eq!(unsafe { libc::fcntl(queue.0, libc::F_GETFD) }, libc::FD_CLOEXEC);
}

/// Threads that send and receive through a queue too small for them, some with time limits that pass.
pub fn many_at_once() {
    const EACH: usize = 200;
    const THREADS: usize = 4;
    let name = Name::new();
    let queue = name.waiting_queue(2);
    let received = AtomicU32::new(0);
    let sum = AtomicU32::new(0);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let queue = &queue;
            scope.spawn(move || {
                for number in 0..EACH {
                    let text = [thread as u8, number as u8];
                    while send_until(queue, &text, thread as u32, Some(&in_ms(1))) == Err(Errno::ETIMEDOUT) {}
                }
            });
        }
        for _ in 0..THREADS {
            scope.spawn(|| {
                while (received.load(SeqCst) as usize) < EACH * THREADS {
                    match receive_until(&queue, Some(&in_ms(1))) {
                        Ok((message, priority)) => {
                            assert_eq!(u32::from(message[0]), priority);
                            received.fetch_add(1, SeqCst);
                            sum.fetch_add(u32::from(message[1]), SeqCst);
                        }
                        Err(error) => assert_eq!(error, Errno::ETIMEDOUT),
                    }
                }
            });
        }
    });
    assert_eq!(received.load(SeqCst) as usize, EACH * THREADS);
    assert_eq!(sum.load(SeqCst) as usize, THREADS * EACH * (EACH - 1) / 2);
    assert_eq!(attributes_of(&queue).mq_curmsgs, 0);
}
