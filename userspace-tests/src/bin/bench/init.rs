//! What the first process of a machine does for itself.

use libsyscall::calls::process;

/// Whether this is the first process; then the limits of a bare kernel are out of the cases' way.
pub fn prepare() -> bool {
    raise_file_limit();
    let first = process::getpid() == 1;
    if first {
        raise_watch_limit();
    }
    first
}

/// For the cases that watch a million descriptors. Those say themselves when it did not help.
fn raise_file_limit() {
    const MOST: libc::rlim_t = 1 << 20;
    let limit = libc::rlimit {
        rlim_cur: MOST,
        rlim_max: MOST,
    };
    // SAFETY: the kernel reads the structure.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
}

/// Linux allows epoll a share of memory that is too small for a million.
fn raise_watch_limit() {
    // SAFETY: the strings end in NUL. Where /proc is there already, or there is no such call, nothing is lost.
    unsafe {
        libc::mount(
            c"proc".as_ptr(),
            c"/proc".as_ptr(),
            c"proc".as_ptr(),
            0,
            std::ptr::null(),
        )
    };
    // Only Linux has, and needs, the file.
    let _ = std::fs::write("/proc/sys/fs/epoll/max_user_watches", "4000000");
}

/// Ends the machine; returns where the kernel ends it when the first process exits.
pub fn power_off() {
    // SAFETY: takes a number.
    unsafe { libc::reboot(libc::RB_POWER_OFF) };
}
