//! Programs: from a file to an address space with a first stack.

use crate::fs::Place;
use crate::mm::space::AddressSpace;
use alloc::sync::Arc;
use alloc::vec::Vec;
use libsyscall::abi::Errno;

/// A program ready to run.
pub struct Loaded {
    pub space: Arc<AddressSpace>,
    /// Where it starts, and its stack pointer then.
    pub ip: usize,
    pub sp: usize,
    /// The program file: the interpreter's where the file named one by `#!`.
    pub place: Place,
    /// The arguments it really got, each with its NUL, for /proc/PID/cmdline; and the environment.
    pub arguments: Vec<u8>,
    pub environment: Vec<u8>,
}

/// execve(2) up to the point of no return: loads the program at `place`, which was called `name`, into a new space.
/// Checks that the running thread may execute it. ENOEXEC, EACCES, E2BIG, ENOMEM and what reading gives.
pub fn load(
    _place: &Place,
    _name: &[u8],
    _arguments: Vec<Vec<u8>>,
    _environment: Vec<Vec<u8>>,
) -> Result<Loaded, Errno> {
    Err(Errno::ENOEXEC)
}
