//! The queue of an inotify instance, inotify(7).
#![cfg(not(loom))]

use event::{EventMask, NoticeQueue, Pollable};
use libsyscall::abi::Errno;
use libsyscall::abi::inotify::{IN_CREATE, IN_IGNORED, IN_MODIFY, IN_Q_OVERFLOW};

const ROOM: usize = 4096;

fn masks(queue: &NoticeQueue) -> Vec<(i32, u32)> {
    std::iter::from_fn(|| queue.take(ROOM).ok())
        .map(|notice| (notice.watch, notice.mask))
        .collect()
}

#[test]
fn equal_neighbours_are_one() {
    let queue = NoticeQueue::new(10);
    for name in [b"a", b"a", b"b", b"a"] {
        queue.put(1, IN_MODIFY, 0, name);
    }
    queue.put(1, IN_MODIFY, 0, b"");
    queue.put(2, IN_MODIFY, 0, b"");
    assert_eq!(
        masks(&queue),
        [(1, IN_MODIFY); 4]
            .into_iter()
            .chain([(2, IN_MODIFY)])
            .collect::<Vec<_>>()
    );
}

#[test]
fn the_end_of_a_watch_is_always_said() {
    let queue = NoticeQueue::new(10);
    queue.put(1, IN_IGNORED, 0, b"");
    queue.put(1, IN_IGNORED, 0, b"");
    assert_eq!(masks(&queue).len(), 2);
}

#[test]
fn lengths_are_of_whole_headers() {
    let queue = NoticeQueue::new(10);
    assert_eq!(queue.take(ROOM), Err(Errno::EAGAIN));
    for (name, len) in [(0, 16), (1, 32), (15, 32), (16, 48), (255, 272)] {
        queue.put(1, IN_CREATE, 0, &vec![b'n'; name]);
        assert_eq!(queue.bytes(), len);
        assert_eq!(queue.take(len - 1), Err(Errno::EINVAL), "it stays");
        assert_eq!(queue.take(len).map(|notice| notice.read_len()), Ok(len));
        assert_eq!(queue.bytes(), 0);
    }
}

#[test]
fn an_overflow_is_said_once() {
    let queue = NoticeQueue::new(3);
    for watch in 0..10 {
        queue.put(watch, IN_MODIFY, 0, b"");
    }
    let expected = [(0, IN_MODIFY), (1, IN_MODIFY), (2, IN_MODIFY), (-1, IN_Q_OVERFLOW)];
    assert_eq!(masks(&queue), expected);
    queue.put(5, IN_MODIFY, 0, b"");
    assert_eq!(masks(&queue), [(5, IN_MODIFY)], "and there is room again");
}

#[test]
fn readable_while_there_is_something() {
    let queue = NoticeQueue::new(3);
    assert_eq!(queue.readiness(), EventMask::empty());
    queue.put(1, IN_MODIFY, 0, b"");
    assert_eq!(queue.readiness(), EventMask::READABLE);
    queue.take(ROOM).unwrap();
    assert_eq!(queue.readiness(), EventMask::empty());
}
