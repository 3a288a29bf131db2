//! What the first process of a machine does for itself.

use libsyscall::calls::process;
use std::thread;
use std::time::Duration;

/// For what a kernel does behind its first process's back, such as testing its own cryptography.
const SETTLING: Duration = Duration::from_secs(2);

/// Whether this is the first process; then the limits of a bare kernel are out of the cases' way.
pub fn prepare() -> bool {
    raise_file_limit();
    let first = process::getpid() == 1;
    if first {
        raise_watch_limit();
        raise_loopback();
        thread::sleep(SETTLING);
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

/// Linux's loopback interface starts switched off.
fn raise_loopback() {
    // SAFETY: all zero bytes are a value of it.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[..2].copy_from_slice(&[b'l' as libc::c_char, b'o' as libc::c_char]);
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: takes numbers; the kernel reads the request. Where there is nothing to switch on, nothing is lost.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        libc::ioctl(socket, libc::SIOCSIFFLAGS as _, &request);
        libc::close(socket);
    }
}

/// Says that this is the whole result, and ends the machine; returns where the kernel ends it when the first process exits.
pub fn power_off() {
    println!("done");
    // SAFETY: takes a number.
    unsafe { libc::reboot(libc::RB_POWER_OFF) };
}
