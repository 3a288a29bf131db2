//! What /proc tells about the whole machine.

use super::{Item, What};
use crate::arch::{PAGE_SIZE, cpu};
use crate::file::table::NUMBERS_MAX;
use crate::fs::watch;
use crate::mm::{frame, heap};
use crate::mqueue::limits;
use crate::pipe;
use crate::syscall::system;
use crate::task::{sched, table};
use crate::time::now_ns;
use alloc::string::String;
use core::fmt::Write;

pub const ROOT: &[Item] = &[
    Item {
        name: "self",
        what: What::Link(|| crate::task::with_current(|t| alloc::format!("{}", t.process.pid))),
    },
    Item {
        name: "thread-self",
        what: What::Link(thread_self),
    },
    Item {
        name: "cpuinfo",
        what: What::Text(cpu_info),
    },
    Item {
        name: "filesystems",
        what: What::Text(|text| text.push_str("nodev\tproc\nnodev\ttmpfs\nnodev\tpipefs\nnodev\tmqueue\n")),
    },
    Item {
        name: "loadavg",
        what: What::Text(load_average),
    },
    Item {
        name: "meminfo",
        what: What::Text(memory_info),
    },
    Item {
        name: "mounts",
        what: What::Link(|| String::from("self/mounts")),
    },
    Item {
        name: "stat",
        what: What::Text(statistics),
    },
    Item {
        name: "sys",
        what: What::Directory(SYS),
    },
    Item {
        name: "uptime",
        what: What::Text(uptime),
    },
    Item {
        name: "version",
        what: What::Text(version),
    },
    Item {
        name: "vigil",
        what: What::Text(crate::dump::write_state),
    },
];

const SYS: &[Item] = &[
    Item {
        name: "fs",
        what: What::Directory(SYS_FS),
    },
    Item {
        name: "kernel",
        what: What::Directory(SYS_KERNEL),
    },
    Item {
        name: "vm",
        what: What::Directory(SYS_VM),
    },
];

const SYS_FS: &[Item] = &[
    Item {
        name: "epoll",
        what: What::Directory(SYS_FS_EPOLL),
    },
    Item {
        name: "file-max",
        what: What::Text(|text| line(text, i64::MAX as usize)),
    },
    Item {
        name: "nr_open",
        what: What::Text(|text| line(text, NUMBERS_MAX)),
    },
    Item {
        name: "pipe-max-size",
        what: What::Text(|text| line(text, pipe::SIZE_MAX)),
    },
    Item {
        name: "inotify",
        what: What::Directory(SYS_FS_INOTIFY),
    },
    Item {
        name: "mqueue",
        what: What::Directory(SYS_FS_MQUEUE),
    },
    // A user with CAP_SYS_RESOURCE is not held to it, and others are held to their descriptors only.
    Item {
        name: "pipe-user-pages-soft",
        what: What::Text(|text| line(text, 16384)),
    },
];

const SYS_FS_EPOLL: &[Item] = &[Item {
    name: "max_user_watches",
    what: What::Text(|text| line(text, crate::file::MAX_USER_WATCHES)),
}];

const SYS_FS_INOTIFY: &[Item] = &[
    Item {
        name: "max_queued_events",
        what: What::Text(|text| line(text, watch::QUEUED_MAX)),
    },
    Item {
        name: "max_user_instances",
        what: What::Text(|text| line(text, watch::INSTANCES_MAX)),
    },
    Item {
        name: "max_user_watches",
        what: What::Text(|text| line(text, watch::WATCHES_MAX)),
    },
];

const SYS_FS_MQUEUE: &[Item] = &[
    Item {
        name: "msg_default",
        what: What::Setting(&limits::MSG_DEFAULT),
    },
    Item {
        name: "msg_max",
        what: What::Setting(&limits::MSG_MAX),
    },
    Item {
        name: "msgsize_default",
        what: What::Setting(&limits::MSGSIZE_DEFAULT),
    },
    Item {
        name: "msgsize_max",
        what: What::Setting(&limits::MSGSIZE_MAX),
    },
    Item {
        name: "queues_max",
        what: What::Setting(&limits::QUEUES_MAX),
    },
];

const SYS_KERNEL: &[Item] = &[
    Item {
        name: "hostname",
        what: What::Text(|text| word(text, &String::from_utf8_lossy(&system::hostname()))),
    },
    Item {
        name: "osrelease",
        what: What::Text(|text| word(text, system::RELEASE)),
    },
    Item {
        name: "ostype",
        what: What::Text(|text| word(text, system::NAME)),
    },
    Item {
        name: "pid_max",
        what: What::Text(|text| line(text, table::PID_MAX as usize)),
    },
    Item {
        name: "tainted",
        what: What::Text(|text| line(text, 0)),
    },
    Item {
        name: "threads-max",
        what: What::Text(|text| line(text, table::PID_MAX as usize)),
    },
];

/// 1: mappings are granted whatever memory there is, as demand paging here does.
const SYS_VM: &[Item] = &[
    Item {
        name: "max_map_count",
        what: What::Text(|text| line(text, 65530)),
    },
    Item {
        name: "overcommit_memory",
        what: What::Text(|text| line(text, 1)),
    },
];

pub fn line(text: &mut String, value: usize) {
    let _ = writeln!(text, "{value}");
}

fn word(text: &mut String, value: &str) {
    let _ = writeln!(text, "{value}");
}

fn thread_self() -> String {
    crate::task::with_current(|thread| alloc::format!("{}/task/{}", thread.process.pid, thread.tid()))
}

fn cpu_info(text: &mut String) {
    for index in 0..cpu::online() {
        let _ = cpu::describe(index, text);
    }
}

/// Running and all threads, and the newest number; the averages are of the moment.
fn load_average(text: &mut String) {
    let running = sched::runnable();
    let (_, threads) = table::counts();
    let _ = writeln!(
        text,
        "{running}.00 {running}.00 {running}.00 {running}/{threads} {}",
        table::last_id()
    );
}

fn memory_info(text: &mut String) {
    let (total, free) = frame::totals();
    let (_, files) = super::super::tmpfs::usage();
    let mut kib = |name: &str, pages: usize| {
        let _ = writeln!(
            text,
            "{:<16}{:>8} kB",
            alloc::format!("{name}:"),
            pages * PAGE_SIZE / 1024
        );
    };
    kib("MemTotal", total);
    kib("MemFree", free);
    kib("MemAvailable", free);
    kib("Buffers", 0);
    kib("Cached", files);
    kib("SwapCached", 0);
    kib("Shmem", files);
    // The kernel's own objects, to the page.
    kib("Slab", heap::used().div_ceil(PAGE_SIZE));
    kib("SwapTotal", 0);
    kib("SwapFree", 0);
}

fn statistics(text: &mut String) {
    let cpus = cpu::online();
    // Ticks of 10 ms. What is not idle was user's or the kernel's: the split is not kept.
    let idle = sched::idle_ns() / 10_000_000;
    let busy = (now_ns() / 10_000_000 * cpus as u64).saturating_sub(idle);
    let _ = writeln!(text, "cpu  {busy} 0 0 {idle} 0 0 0 0 0 0");
    for index in 0..cpus {
        let share = cpus as u64;
        let _ = writeln!(text, "cpu{index} {} 0 0 {} 0 0 0 0 0 0", busy / share, idle / share);
    }
    let _ = writeln!(
        text,
        "intr 0\nctxt {}\nbtime {}",
        sched::switches(),
        crate::arch::timer::epoch_ns() / 1_000_000_000
    );
    let _ = writeln!(
        text,
        "processes {}\nprocs_running {}\nprocs_blocked 0",
        table::last_id(),
        sched::runnable()
    );
}

fn uptime(text: &mut String) {
    let hundredths = |ns: u64| (ns / 1_000_000_000, ns / 10_000_000 % 100);
    let (up, up_part) = hundredths(now_ns());
    let (idle, idle_part) = hundredths(sched::idle_ns());
    let _ = writeln!(text, "{up}.{up_part:02} {idle}.{idle_part:02}");
}

fn version(text: &mut String) {
    let _ = writeln!(
        text,
        "{} version {} (vigil) {}",
        system::NAME,
        system::RELEASE,
        system::VERSION
    );
}

pub fn mounts(text: &mut String) {
    text.push_str("tmpfs / tmpfs rw,relatime 0 0\nproc /proc proc rw,relatime 0 0\n");
    text.push_str("mqueue /dev/mqueue mqueue rw,relatime 0 0\n");
}

pub fn mount_info(text: &mut String) {
    text.push_str("1 0 0:1 / / rw,relatime - tmpfs tmpfs rw\n2 1 0:2 / /proc rw,relatime - proc proc rw\n");
    text.push_str("3 1 0:7 / /dev/mqueue rw,relatime - mqueue mqueue rw\n");
}
