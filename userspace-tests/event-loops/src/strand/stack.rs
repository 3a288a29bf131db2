//! A strand's stack: private memory that costs what is touched, with a page below it that nothing may touch.

use std::io;
use std::ptr::NonNull;

pub const GUARD: usize = 4096;

pub struct Stack {
    /// The guard page; the stack begins behind it.
    start: NonNull<u8>,
    len: usize,
}

impl Stack {
    /// A stack of `len` bytes, in whole pages.
    pub fn new(len: usize) -> io::Result<Stack> {
        let len = len.next_multiple_of(4096);
        // SAFETY: new memory, wherever the kernel likes.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len + GUARD,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let stack = Stack { start, len };
        // SAFETY: the first page of what was just mapped.
        if unsafe { libc::mprotect(start.as_ptr().cast(), GUARD, libc::PROT_NONE) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(stack)
    }

    /// The lowest address that may be used.
    pub fn bottom(&self) -> usize {
        self.start.as_ptr() as usize + GUARD
    }

    /// The address behind the highest.
    pub fn top(&self) -> usize {
        self.bottom() + self.len
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`; whoever ran on it has ended.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len + GUARD) };
    }
}
