//! epoll by the book: each test names the line of docs/semantics.md that it holds to.
#![cfg(not(loom))]

mod support;

use event::epoll::{Budget, Place, Target};
use event::{Epoll, EventMask, Pollable, WatchList};
use libsyscall::abi::Errno;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use support::{File, Room, Thread, add, harvest};
use sync::DirectArc;

const IN: EventMask = EventMask::IN;
const OUT: EventMask = EventMask::OUT;
const ET: EventMask = EventMask::ET;

#[test]
fn semantics_21_22_exist_and_missing() {
    let epoll = Epoll::new();
    let file = File::new(1, 0);
    assert_eq!(epoll.modify(&file.watches, 3, IN, 0), Err(Errno::ENOENT));
    assert_eq!(epoll.remove(&file.watches, 3), Err(Errno::ENOENT));
    assert_eq!(add(&epoll, &file, 3, IN), Ok(()));
    assert_eq!(add(&epoll, &file, 3, IN), Err(Errno::EEXIST));
    assert_eq!(epoll.remove(&file.watches, 3), Ok(()));
    assert_eq!(epoll.len(), 0);
}

#[test]
fn semantics_30_to_33_exclusive() {
    let epoll = Epoll::new();
    let file = File::new(1, 0);
    let exclusive = EventMask::EXCLUSIVE | IN;
    assert_eq!(add(&epoll, &file, 3, exclusive | EventMask::RDHUP), Err(Errno::EINVAL));
    assert_eq!(
        add(&epoll, &file, 3, exclusive | EventMask::ONESHOT),
        Err(Errno::EINVAL)
    );
    assert_eq!(epoll.modify(&file.watches, 3, exclusive, 0), Err(Errno::EINVAL));
    assert_eq!(add(&epoll, &file, 3, exclusive | ET), Ok(()));
    assert_eq!(epoll.modify(&file.watches, 3, IN, 0), Err(Errno::EINVAL));
    assert_eq!(epoll.remove(&file.watches, 3), Ok(()));
    let inner = nested(&Epoll::new());
    assert_eq!(epoll.add(inner.target(), exclusive, 0), Err(Errno::EINVAL));
}

/// An epoll as something to watch.
struct Inner(Arc<Epoll>, DirectArc<WatchList>);

fn nested(epoll: &Arc<Epoll>) -> Inner {
    static NEXT_ID: AtomicU64 = AtomicU64::new(1000);
    let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
    Inner(epoll.clone(), DirectArc::new(WatchList::new(id)))
}

impl Inner {
    fn target(&self) -> Target<'_> {
        Target {
            watches: &self.1,
            fd: 9,
            source: self.0.clone(),
        }
    }
}

#[test]
fn semantics_34_35_depth_is_counted_both_ways() {
    let file = File::new(1, 0);
    let chain: Vec<_> = (0..6).map(|_| Epoll::new()).collect();
    add(&chain[0], &file, 3, IN).unwrap();
    for at in 1..5 {
        assert_eq!(
            chain[at].add(nested(&chain[at - 1]).target(), IN, 0),
            Ok(()),
            "level {at}"
        );
    }
    assert_eq!(chain[5].add(nested(&chain[4]).target(), IN, 0), Err(Errno::ELOOP));

    let down: Vec<_> = (0..6).map(|_| Epoll::new()).collect();
    for at in (2..6).rev() {
        assert_eq!(
            down[at].add(nested(&down[at - 1]).target(), IN, 0),
            Ok(()),
            "level {at}"
        );
    }
    assert_eq!(down[1].add(nested(&down[0]).target(), IN, 0), Err(Errno::ELOOP));
}

#[test]
fn semantics_36_37_no_circles() {
    let [a, b, c] = [(); 3].map(|()| Epoll::new());
    a.add(nested(&b).target(), IN, 0).unwrap();
    assert_eq!(b.add(nested(&a).target(), IN, 0), Err(Errno::ELOOP));
    b.add(nested(&c).target(), IN, 0).unwrap();
    assert_eq!(c.add(nested(&a).target(), IN, 0), Err(Errno::ELOOP));
}

#[test]
fn semantics_39_ways_of_a_wake_up() {
    let (inner, file) = (Epoll::new(), File::new(1, 0));
    add(&inner, &file, 3, IN).unwrap();
    let outers: Vec<_> = (0..501).map(|_| Epoll::new()).collect();
    let (last, first) = outers.split_last().unwrap();
    for outer in first {
        assert_eq!(outer.add(nested(&inner).target(), IN, 0), Ok(()));
    }
    assert_eq!(last.add(nested(&inner).target(), IN, 0), Err(Errno::EINVAL));
    assert_eq!(last.len(), 0);
    // One less, and there is room for one more.
    first[7].close();
    assert_eq!(last.add(nested(&inner).target(), IN, 0), Ok(()));
    // A file that comes to a watched epoll later counts as well, with the ways it has elsewhere.
    let late = File::new(2, 0);
    assert_eq!(add(&inner, &late, 3, IN), Ok(()));
    let (other, beyond) = (Epoll::new(), Epoll::new());
    beyond.add(nested(&other).target(), IN, 0).unwrap();
    assert_eq!(add(&other, &late, 3, IN), Err(Errno::EINVAL));
    assert_eq!(add(&other, &late, 3, IN), Err(Errno::EINVAL));
    assert_eq!((inner.len(), other.len()), (2, 0));
}

#[test]
fn semantics_39_a_file_in_many_flat_epolls() {
    let file = File::new(1, 0);
    let epolls: Vec<_> = (0..2000).map(|_| Epoll::new()).collect();
    assert!(epolls.iter().all(|epoll| add(epoll, &file, 3, IN).is_ok()));
}

/// Each level is watched by all of the next, so that the ways are many times the epolls; a walk must not go them all.
#[test]
fn semantics_34_39_walks_visit_an_epoll_once() {
    const WIDTH: usize = 60;
    let levels: Vec<Vec<_>> = (0..5).map(|_| (0..WIDTH).map(|_| Epoll::new()).collect()).collect();
    let start = std::time::Instant::now();
    for pair in levels.windows(2) {
        for inner in &pair[0] {
            for outer in &pair[1] {
                outer.add(nested(inner).target(), IN, 0).unwrap();
            }
        }
    }
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    let top = Epoll::new();
    assert_eq!(top.add(nested(&levels[4][0]).target(), IN, 0), Err(Errno::ELOOP));
}

#[test]
fn semantics_29_a_user_has_so_many_registrations() {
    let budget = Arc::new(Budget::new(3));
    let epolls = [(); 2].map(|()| Epoll::with_budget(budget.clone()));
    let files: Vec<_> = (1..=4).map(|id| File::new(id, 0)).collect();
    for (number, file) in files[..3].iter().enumerate() {
        add(&epolls[number % 2], file, 3, IN).unwrap();
    }
    assert_eq!(add(&epolls[0], &files[3], 3, IN), Err(Errno::ENOSPC));
    // What is there already is said first.
    assert_eq!(add(&epolls[0], &files[0], 3, IN), Err(Errno::EEXIST));
    // Each way a registration goes gives its place back.
    epolls[0].remove(&files[0].watches, 3).unwrap();
    add(&epolls[0], &files[3], 3, IN).unwrap();
    files[3].watches.close();
    add(&epolls[0], &files[0], 3, IN).unwrap();
    epolls[1].close();
    add(&epolls[0], &files[1], 3, IN).unwrap();
    assert_eq!(add(&epolls[0], &files[3], 3, IN), Err(Errno::ENOSPC));
}

#[test]
fn semantics_40_to_44_nested_readiness() {
    let (inner, outer) = (Epoll::new(), Epoll::new());
    let file = File::new(1, 0);
    add(&inner, &file, 3, IN | ET).unwrap();
    outer.add(nested(&inner).target(), IN, 7).unwrap();
    assert_eq!(inner.readiness(), EventMask::empty());
    file.write(1);
    assert_eq!(inner.readiness(), EventMask::READABLE);
    // Asking does not take the edge away.
    assert_eq!(harvest(&outer, 8), [(IN, 7)]);
    assert_eq!(harvest(&outer, 8), [(IN, 7)]);
    // A drained leaf is seen through.
    file.counter.try_read();
    assert_eq!(harvest(&outer, 8), []);
    assert_eq!(inner.readiness(), EventMask::empty());
}

/// An array with so many places before memory that is not there.
#[derive(Clone, Copy)]
struct BeforeAHole(usize);

impl Place for BeforeAHole {
    fn put(self, _events: EventMask, _data: u64) -> Result<Option<Self>, Errno> {
        let left = self.0.checked_sub(1).ok_or(Errno::EFAULT)?;
        Ok(Some(BeforeAHole(left)))
    }
}

#[test]
fn semantics_51_an_error_of_delivery_loses_nothing() {
    let epoll = Epoll::new();
    let files = [File::new(1, 1), File::new(2, 1)];
    add(&epoll, &files[0], 3, IN | ET).unwrap();
    add(&epoll, &files[1], 4, IN | ET).unwrap();
    assert_eq!(epoll.harvest(BeforeAHole(1)), Ok(1));
    assert_eq!(epoll.harvest(BeforeAHole(0)), Err(Errno::EFAULT));
    assert_eq!(harvest(&epoll, 8), [(IN, 4)]);
}

#[test]
fn semantics_59_to_61_the_mask_is_exact() {
    let epoll = Epoll::new();
    let file = File::new(1, 0);
    add(&epoll, &file, 3, IN | OUT).unwrap();
    assert_eq!(harvest(&epoll, 8), [(OUT, 3)]);
    file.write(event::COUNT_MAX);
    assert_eq!(harvest(&epoll, 8), [(IN, 3)]);
}

#[test]
fn semantics_62_63_fair_rotation() {
    let epoll = Epoll::new();
    let files: Vec<_> = (0..10).map(|id| File::new(id, 1)).collect();
    for (fd, file) in files.iter().enumerate() {
        add(&epoll, file, fd as i32, IN).unwrap();
    }
    let mut seen = [0; 10];
    for _ in 0..10 {
        for (_, data) in harvest(&epoll, 3) {
            seen[data as usize] += 1;
        }
    }
    assert_eq!(seen, [3; 10]);
    assert_eq!(harvest(&epoll, 100).len(), 10, "each once a call");
}

#[test]
fn semantics_64_first_come_first_delivered() {
    let epoll = Epoll::new();
    let files: Vec<_> = (0..5).map(|id| File::new(id, 0)).collect();
    for (fd, file) in files.iter().enumerate() {
        add(&epoll, file, fd as i32, IN).unwrap();
    }
    for at in [3, 1, 4] {
        files[at].write(1);
    }
    let order: Vec<_> = harvest(&epoll, 8).into_iter().map(|(_, data)| data).collect();
    assert_eq!(order, [3, 1, 4]);
}

#[test]
fn semantics_65_66_modify_is_whole_and_asks_again() {
    let epoll = Epoll::new();
    let file = File::new(1, 1);
    epoll.add(file.target(3), EventMask::PRI, 1).unwrap();
    assert_eq!(harvest(&epoll, 8), []);
    epoll.modify(&file.watches, 3, IN, 0xdead_beef_face_feed).unwrap();
    assert_eq!(harvest(&epoll, 8), [(IN, 0xdead_beef_face_feed)]);
    epoll.remove(&file.watches, 3).unwrap();
    assert_eq!(harvest(&epoll, 8), []);
}

#[test]
fn semantics_70_to_72_level_and_edge() {
    let epoll = Epoll::new();
    let [level, edge] = [File::new(1, 1), File::new(2, 1)];
    add(&epoll, &level, 3, IN).unwrap();
    add(&epoll, &edge, 4, IN | ET).unwrap();
    assert_eq!(harvest(&epoll, 8), [(IN, 3), (IN, 4)]);
    assert_eq!(harvest(&epoll, 8), [(IN, 3)]);
    // Never drained, as mio's waker: every write is an edge, and so is one of 0.
    edge.write(1);
    assert_eq!(harvest(&epoll, 8), [(IN, 3), (IN, 4)]);
    edge.write(0);
    assert_eq!(harvest(&epoll, 8), [(IN, 3), (IN, 4)]);
    level.counter.try_read();
    assert_eq!(harvest(&epoll, 8), []);
}

#[test]
fn semantics_76_77_keys_choose_the_edge() {
    let epoll = Epoll::new();
    let file = File::new(1, 1);
    add(&epoll, &file, 3, OUT | ET).unwrap();
    assert_eq!(harvest(&epoll, 8), [(OUT, 3)]);
    file.write(1);
    assert_eq!(harvest(&epoll, 8), [], "a write is no OUT edge");
    file.counter.try_read();
    assert_eq!(harvest(&epoll, 8), [(OUT, 3)], "a read is");
}

#[test]
fn semantics_78_80_rearm_and_coalesce() {
    let epoll = Epoll::new();
    let file = File::new(1, 1);
    add(&epoll, &file, 3, IN | ET).unwrap();
    assert_eq!(harvest(&epoll, 8).len(), 1);
    epoll.modify(&file.watches, 3, IN | ET, 3).unwrap();
    assert_eq!(harvest(&epoll, 8).len(), 1);
    file.write(1);
    file.write(1);
    assert_eq!(harvest(&epoll, 8).len(), 1);
    file.write(1);
    file.counter.try_read();
    assert_eq!(harvest(&epoll, 8), []);
}

#[test]
fn semantics_81_82_one_shot() {
    let epoll = Epoll::new();
    let file = File::new(1, 1);
    add(&epoll, &file, 3, IN | EventMask::ONESHOT).unwrap();
    assert_eq!(harvest(&epoll, 8), [(IN, 3)]);
    file.write(1);
    assert_eq!(harvest(&epoll, 8), []);
    assert_eq!(add(&epoll, &file, 3, IN), Err(Errno::EEXIST));
    epoll.modify(&file.watches, 3, IN | EventMask::ONESHOT, 5).unwrap();
    assert_eq!(harvest(&epoll, 8), [(IN, 5)]);
    assert_eq!(harvest(&epoll, 8), []);
}

/// Threads that wait on `epoll` for ever; how many have returned once all that will have.
fn waiters(epoll: &Arc<Epoll>, count: usize, max: usize) -> Vec<std::thread::JoinHandle<usize>> {
    let handles = (0..count)
        .map(|_| {
            let epoll = epoll.clone();
            std::thread::spawn(move || {
                let thread = Arc::new(Thread::default());
                epoll.wait(Room(max), || (&thread, None)).unwrap()
            })
        })
        .collect();
    std::thread::sleep(Duration::from_millis(50));
    handles
}

#[test]
fn semantics_86_level_wakes_the_next() {
    let epoll = Epoll::new();
    let file = File::new(1, 0);
    add(&epoll, &file, 3, IN).unwrap();
    let handles = waiters(&epoll, 3, 8);
    file.write(1);
    assert!(handles.into_iter().all(|handle| handle.join().unwrap() == 1));
}

#[test]
fn semantics_87_an_edge_wakes_one() {
    let epoll = Epoll::new();
    let file = File::new(1, 0);
    add(&epoll, &file, 3, IN | ET).unwrap();
    let handles = waiters(&epoll, 3, 8);
    for returned in 1..=3 {
        file.write(1);
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(handles.iter().filter(|handle| handle.is_finished()).count(), returned);
    }
    handles
        .into_iter()
        .for_each(|handle| assert_eq!(handle.join().unwrap(), 1));
}

#[test]
fn semantics_91_92_exclusive_interests_share_one_event() {
    let file = File::new(1, 0);
    let epolls: Vec<_> = (0..3).map(|_| Epoll::new()).collect();
    for epoll in &epolls {
        add(epoll, &file, 3, IN | EventMask::EXCLUSIVE | ET).unwrap();
    }
    let plain = Epoll::new();
    add(&plain, &file, 3, IN | ET).unwrap();
    let handles: Vec<_> = epolls.iter().flat_map(|epoll| waiters(epoll, 1, 8)).collect();
    for returned in 1..=3 {
        file.write(1);
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(handles.iter().filter(|handle| handle.is_finished()).count(), returned);
        assert_eq!(harvest(&plain, 8).len(), 1);
    }
    handles
        .into_iter()
        .for_each(|handle| assert_eq!(handle.join().unwrap(), 1));
}

#[test]
fn semantics_101_102_keys_and_the_last_reference() {
    let epoll = Epoll::new();
    let file = File::new(1, 1);
    add(&epoll, &file, 3, IN).unwrap();
    add(&epoll, &file, 4, IN).unwrap();
    assert_eq!(harvest(&epoll, 8), [(IN, 3), (IN, 4)]);
    // Number 3 names another description now: a registration of its own.
    let other = File::new(2, 1);
    add(&epoll, &other, 3, IN).unwrap();
    epoll.remove(&other.watches, 3).unwrap();
    assert_eq!(harvest(&epoll, 8), [(IN, 3), (IN, 4)]);
    file.watches.close();
    assert_eq!(harvest(&epoll, 8), []);
    assert_eq!(epoll.len(), 0);
    assert!(file.counter.wait_queue().is_empty());
}

#[test]
fn semantics_106_closing_an_epoll_detaches_it() {
    let (inner, outer) = (Epoll::new(), Epoll::new());
    let file = File::new(1, 1);
    add(&inner, &file, 3, IN).unwrap();
    let target = nested(&inner);
    outer.add(target.target(), IN, 7).unwrap();
    assert_eq!(harvest(&outer, 8), [(IN, 7)]);
    inner.close();
    target.1.close();
    assert_eq!(outer.len(), 0);
    assert!(file.counter.wait_queue().is_empty());
    outer.close();
    assert_eq!(Arc::strong_count(&outer), 1);
}

#[test]
fn a_timeout_ends_a_wait() {
    let epoll = Epoll::new();
    let thread = Arc::new(Thread::default());
    assert_eq!(epoll.wait(Room(8), || (&thread, Some(0))), Ok(0));
    assert_eq!(epoll.wait(Room(8), || (&thread, Some(1_000_000))), Ok(0));
}
