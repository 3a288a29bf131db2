//! The calling process: exit_group(2), getpid(2), gettid(2).

use super::raw;
use crate::abi::nr;
use crate::arch;

/// Ends the process with `status`.
pub fn exit_group(status: i32) -> ! {
    loop {
        // SAFETY: the call does not return; the loop only says so to the compiler.
        unsafe { arch::syscall(nr::EXIT_GROUP, [status as usize, 0, 0, 0, 0, 0]) };
    }
}

pub fn getpid() -> i32 {
    // SAFETY: the call takes nothing and cannot fail.
    unsafe { raw(nr::GETPID, []) }.unwrap_or(0) as i32
}

pub fn gettid() -> i32 {
    // SAFETY: as for `getpid`.
    unsafe { raw(nr::GETTID, []) }.unwrap_or(0) as i32
}
