//! Pages, and children that may die of them.

use std::ffi::c_void;
use std::fs::{self, OpenOptions};
use std::io::{Error, Write};

pub const PAGE: usize = 4096;
pub const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;
pub const PRIVATE: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
pub const SHARED: i32 = libc::MAP_SHARED | libc::MAP_ANONYMOUS;

pub fn map_at(address: usize, len: usize, protection: i32, flags: i32) -> Result<*mut u8, i32> {
    map_file(address, len, protection, flags, -1, 0)
}

pub fn map_file(address: usize, len: usize, protection: i32, flags: i32, fd: i32, offset: i64) -> Result<*mut u8, i32> {
    // SAFETY: a new mapping; no test maps over memory that Rust owns.
    let at = unsafe { libc::mmap(address as *mut c_void, len, protection, flags, fd, offset) };
    if at == libc::MAP_FAILED {
        Err(errno())
    } else {
        Ok(at.cast())
    }
}

pub fn map(len: usize, protection: i32, flags: i32) -> Result<*mut u8, String> {
    map_at(0, len, protection, flags).map_err(|error| format!("mmap: errno {error}"))
}

pub fn unmap(at: *mut u8, len: usize) -> Result<(), String> {
    // SAFETY: only mappings of these tests.
    result(unsafe { libc::munmap(at.cast(), len) }).map_err(|error| format!("munmap: errno {error}"))
}

pub fn protect(at: *mut u8, len: usize, protection: i32) -> Result<(), i32> {
    // SAFETY: only mappings of these tests.
    result(unsafe { libc::mprotect(at.cast(), len, protection) })
}

pub fn advise(at: *mut u8, len: usize, advice: i32) -> Result<(), i32> {
    // SAFETY: only mappings of these tests.
    result(unsafe { libc::madvise(at.cast(), len, advice) })
}

pub fn result(value: i32) -> Result<(), i32> {
    if value < 0 { Err(errno()) } else { Ok(()) }
}

pub fn errno() -> i32 {
    Error::last_os_error().raw_os_error().unwrap_or(0)
}

pub fn get(at: *mut u8, offset: usize) -> u8 {
    // SAFETY: the tests ask for mapped bytes, or run this in a child that may die.
    unsafe { at.add(offset).read_volatile() }
}

pub fn put(at: *mut u8, offset: usize, value: u8) {
    // SAFETY: as in `get`.
    unsafe { at.add(offset).write_volatile(value) }
}

/// Runs `f` in a forked child; the wait status.
pub fn in_child(f: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child calls only what is safe after a fork of a process that may have had threads.
    unsafe {
        match libc::fork() {
            0 => {
                // The runtime's handler would print a message about stack overflows.
                libc::signal(libc::SIGSEGV, libc::SIG_DFL);
                libc::signal(libc::SIGBUS, libc::SIG_DFL);
                libc::_exit(f())
            }
            child => {
                let mut status = 0;
                libc::waitpid(child, &mut status, 0);
                status
            }
        }
    }
}

pub fn exits(f: impl FnOnce() -> i32) -> Option<i32> {
    let status = in_child(f);
    libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status))
}

pub fn dies_by(f: impl FnOnce()) -> Option<i32> {
    let status = in_child(|| {
        f();
        0
    });
    libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status))
}

/// A file of `len` bytes, each its offset's low byte, opened for reading and writing and already unlinked.
pub fn file(len: usize) -> Result<fs::File, String> {
    let path = std::env::temp_dir().join(format!("memory-test-{}", std::process::id()));
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    let bytes: Vec<u8> = (0..len).map(|offset| offset as u8).collect();
    file.write_all(&bytes).map_err(|error| error.to_string())?;
    fs::remove_file(&path).map_err(|error| error.to_string())?;
    Ok(file)
}
