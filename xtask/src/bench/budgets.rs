//! What an operation may cost: guest instructions as the program sees them, or what its unit says.

use crate::arch::Arch;

/// On x86_64: a third of what the leanest Linux needs.
const BUDGETS: &[(&str, f64)] = &[
    ("getppid", 90.0),
    ("eventfd_write_read", 300.0),
    ("pipe_write_read", 430.0),
    ("epoll_wait_empty", 110.0),
    ("epoll_wait_ready", 200.0),
    ("edge_arm_wait", 400.0),
    ("ctl_add_del", 650.0),
    ("ctl_mod", 170.0),
    ("ready_of_1", 600.0),
    ("ready_of_1000", 600.0),
    ("ready_of_100000", 600.0),
    ("ready_of_1000000", 600.0),
    ("harvest_1000", 45.0),
    ("nested", 900.0),
    ("oneshot", 370.0),
    ("ping_pong_eventfd_epoll", 3500.0),
    ("ping_pong_futex", 2300.0),
    ("ping_pong_pipe", 3300.0),
    ("ping_pong_unix_epoll", 5000.0),
    ("ping_pong_tcp_epoll", 7000.0),
    ("tcp_connect_accept_close", 12_000.0),
    ("thread_create_join", 9000.0),
    ("mmap_touch_munmap", 4000.0),
    ("fork_exit_wait", 60_000.0),
    ("memory_used", 6.0),
    ("exclusive_woken", 1.0),
];

/// What aarch64 may need more, where instructions are counted.
const AARCH64: f64 = 1.25;

pub fn of(arch: Arch, case: &str, unit: &str) -> Option<f64> {
    let (_, budget) = BUDGETS.iter().find(|(name, _)| *name == case)?;
    let factor = if arch == Arch::Aarch64 && unit == "ticks" {
        AARCH64
    } else {
        1.0
    };
    Some(budget * factor)
}
