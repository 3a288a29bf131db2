//! Threads, processes and pages.

use std::thread;
use userspace_tests::bench::{Case, Meter};
use userspace_tests::{Status, child};

pub const CASES: &[Case] = &[
    ("thread_create_join", thread_create),
    ("mmap_touch_munmap", map),
    ("fork_exit_wait", fork),
];

fn thread_create(meter: &mut Meter) {
    meter.measure(50, || thread::spawn(|| ()).join().expect("thread"));
}

/// One page, mapped, written to and unmapped.
fn map(meter: &mut Meter) {
    const PAGE: usize = 4096;
    meter.measure(200, || {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping, which nobody else knows of until it is gone again.
        unsafe {
            let page = libc::mmap(std::ptr::null_mut(), PAGE, protection, flags, -1, 0);
            assert_ne!(page, libc::MAP_FAILED);
            page.cast::<u8>().write_volatile(1);
            assert_eq!(libc::munmap(page, PAGE), 0);
        }
    });
}

fn fork(meter: &mut Meter) {
    meter.measure(20, || assert_eq!(child(|| 0).wait(), Status::Exited(0)));
}
