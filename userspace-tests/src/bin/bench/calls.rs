//! The machine as the program finds it, and system calls of one thread that never wait.

use libsyscall::abi::nr;
use libsyscall::calls::event::{eventfd_read, eventfd_write};
use libsyscall::calls::raw;
use userspace_tests::Fd;
use userspace_tests::bench::{Case, Meter};

pub const CASES: &[Case] = &[
    // First, before other cases have used memory.
    ("memory_used", memory_used),
    ("getppid", getppid),
    ("eventfd_write_read", eventfd),
    ("pipe_write_read", pipe),
];

const BATCH: u32 = 2000;

/// What is not free of all the memory the kernel counts, this program's pages among it.
fn memory_used(meter: &mut Meter) {
    // SAFETY: all zero bytes are a value of it.
    let mut info: libc::sysinfo = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel fills the structure.
    assert_eq!(unsafe { libc::sysinfo(&mut info) }, 0);
    let bytes = (info.totalram - info.freeram) * libc::c_ulong::from(info.mem_unit);
    meter.figure(bytes as f64 / 1e6, "MB");
}

/// The way into the kernel and back; no libc remembers its result.
fn getppid(meter: &mut Meter) {
    meter.measure(BATCH, || {
        // SAFETY: the call takes nothing.
        let parent = unsafe { raw(nr::GETPPID, []) };
        std::hint::black_box(&parent);
    });
}

fn eventfd(meter: &mut Meter) {
    let event = Fd::eventfd(0, 0);
    meter.measure(BATCH, || {
        eventfd_write(event.0, 1).expect("write");
        eventfd_read(event.0).expect("read");
    });
}

fn pipe(meter: &mut Meter) {
    let (read, write) = Fd::blocking_pipe();
    let mut byte = [0];
    meter.measure(BATCH, || {
        write.write(&[1]).expect("write");
        read.read(&mut byte).expect("read");
    });
}
