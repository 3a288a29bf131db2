//! Typed wrappers, one file a family: references in, `Result` out, errors as [`Errno`].

pub mod event;
pub mod file;
pub mod process;

use crate::abi::Errno;
use crate::arch;

/// Makes a system call with up to six arguments, for calls that have no wrapper and for wrong arguments.
///
/// # Safety
/// As for [`arch::syscall`].
#[inline]
pub unsafe fn raw<const N: usize>(number: usize, arguments: [usize; N]) -> Result<usize, Errno> {
    const { assert!(N <= 6, "a system call takes at most six arguments") };
    let mut registers = [0; 6];
    registers[..N].copy_from_slice(&arguments);
    // SAFETY: the caller's promise.
    Errno::result(unsafe { arch::syscall(number, registers) })
}
