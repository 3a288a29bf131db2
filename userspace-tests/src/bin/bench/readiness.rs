//! epoll(7) in one thread.

use libsyscall::abi::event::EpollEvent;
pub use libsyscall::abi::event::{EPOLLET as EDGE, EPOLLIN as IN};
use libsyscall::abi::nr;
use libsyscall::calls::event::{epoll_delete, epoll_set, eventfd, eventfd_read, eventfd_write};
use libsyscall::calls::raw;
use userspace_tests::Fd;
use userspace_tests::bench::{Case, Meter};

pub const CASES: &[Case] = &[
    ("epoll_wait_empty", wait_empty),
    ("epoll_wait_ready", wait_ready),
    ("edge_arm_wait", edge_arm_wait),
    ("ctl_add_del", add_delete),
    ("ctl_mod", modify),
    ("ready_of_1", one_ready_of::<1>),
    ("ready_of_1000", one_ready_of::<1000>),
    ("ready_of_100000", one_ready_of::<100_000>),
    ("ready_of_1000000", one_ready_of::<1_000_000>),
    ("harvest_1000", harvest),
    ("nested", nested),
    ("oneshot", oneshot),
];

const BATCH: u32 = 2000;

/// epoll_wait(2) by the number programs use: x86_64 has the old call.
pub fn wait(epoll: &Fd, events: &mut [EpollEvent], timeout_ms: i32) -> usize {
    #[cfg(target_arch = "x86_64")]
    const NUMBER: usize = nr::EPOLL_WAIT;
    #[cfg(target_arch = "aarch64")]
    const NUMBER: usize = nr::EPOLL_PWAIT;
    let arguments = [
        epoll.0 as usize,
        events.as_mut_ptr() as usize,
        events.len(),
        timeout_ms as usize,
        0,
        0,
    ];
    // SAFETY: the kernel writes within the slice.
    unsafe { raw(NUMBER, arguments) }.expect("epoll_wait")
}

/// Waits for, and gives, one event.
pub fn wait_one(epoll: &Fd, timeout_ms: i32) -> EpollEvent {
    let mut events = [EpollEvent::default()];
    assert_eq!(wait(epoll, &mut events, timeout_ms), 1);
    events[0]
}

fn wait_empty(meter: &mut Meter) {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    epoll.add(&event, IN);
    let mut events = [EpollEvent::default(); 8];
    meter.measure(BATCH, || assert_eq!(wait(&epoll, &mut events, 0), 0));
}

fn wait_ready(meter: &mut Meter) {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(1, 0));
    epoll.add(&event, IN);
    meter.measure(BATCH, || {
        wait_one(&epoll, 0);
    });
}

/// As tokio's waker works: each write is an edge, and nobody reads.
fn edge_arm_wait(meter: &mut Meter) {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    epoll.add(&event, IN | EDGE);
    meter.measure(BATCH, || {
        eventfd_write(event.0, 1).expect("write");
        wait_one(&epoll, 0);
    });
}

fn add_delete(meter: &mut Meter) {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    meter.measure(BATCH, || {
        epoll_set(epoll.0, libc::EPOLL_CTL_ADD, event.0, IN, 1).expect("EPOLL_CTL_ADD");
        epoll_delete(epoll.0, event.0).expect("EPOLL_CTL_DEL");
    });
}

fn modify(meter: &mut Meter) {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    epoll.add(&event, IN);
    meter.measure(BATCH, || {
        epoll_set(epoll.0, libc::EPOLL_CTL_MOD, event.0, IN, 1).expect("EPOLL_CTL_MOD");
    });
}

/// One of `N` watched descriptors becomes ready, is found and drained.
fn one_ready_of<const N: usize>(meter: &mut Meter) {
    let epoll = Fd::epoll();
    let mut watched = Vec::new();
    for _ in 0..N {
        let Ok(fd) = eventfd(0, 0) else {
            return meter.skip("too few descriptors");
        };
        watched.push(Fd(fd));
        if epoll_set(epoll.0, libc::EPOLL_CTL_ADD, fd, IN, fd as u64).is_err() {
            return meter.skip("too few watches");
        }
    }
    // Far apart, so that all of them are as cold as each other.
    const STRIDE: usize = 7919;
    let mut next = 0;
    meter.measure(BATCH, || {
        next = (next + STRIDE) % N;
        eventfd_write(watched[next].0, 1).expect("write");
        let event = wait_one(&epoll, 0);
        eventfd_read(event.data as i32).expect("read");
    });
}

/// A thousand ready descriptors, level triggered: the cost of each.
fn harvest(meter: &mut Meter) {
    const READY: usize = 1000;
    let epoll = Fd::epoll();
    let ready: Vec<Fd> = (0..READY).map(|_| Fd::eventfd(1, 0)).collect();
    ready.iter().for_each(|event| epoll.add(event, IN));
    let mut events = [EpollEvent::default(); READY];
    meter.measure_each(10, READY as u32, || assert_eq!(wait(&epoll, &mut events, 0), READY));
}

/// An epoll watched by another: both are asked, then the event is read.
fn nested(meter: &mut Meter) {
    let (outer, inner, event) = (Fd::epoll(), Fd::epoll(), Fd::eventfd(0, 0));
    inner.add(&event, IN);
    outer.add(&inner, IN);
    meter.measure(BATCH, || {
        eventfd_write(event.0, 1).expect("write");
        wait_one(&outer, 0);
        wait_one(&inner, 0);
        eventfd_read(event.0).expect("read");
    });
}

/// Armed again, then reported.
fn oneshot(meter: &mut Meter) {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(1, 0));
    let events = IN | libc::EPOLLONESHOT as u32;
    epoll.add(&event, events);
    wait_one(&epoll, 0);
    meter.measure(BATCH, || {
        epoll.modify(&event, events);
        wait_one(&epoll, 0);
    });
}
