//! Descriptors: read(2), write(2), pipe(2), dup(2), fcntl(2), close(2).

use super::raw;
use crate::abi::{Errno, fcntl, nr};

pub fn read(fd: i32, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the kernel writes within the buffer.
    unsafe { raw(nr::READ, [fd as usize, buffer.as_mut_ptr() as usize, buffer.len()]) }
}

pub fn write(fd: i32, bytes: &[u8]) -> Result<usize, Errno> {
    // SAFETY: the kernel reads within the slice.
    unsafe { raw(nr::WRITE, [fd as usize, bytes.as_ptr() as usize, bytes.len()]) }
}

/// Writes all of `bytes`, however many calls it takes.
pub fn write_all(fd: i32, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match write(fd, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

pub fn close(fd: i32) -> Result<(), Errno> {
    // SAFETY: a descriptor is a number; nothing of the program's memory is touched.
    unsafe { raw(nr::CLOSE, [fd as usize]) }.map(drop)
}

/// A pipe's read and write end.
pub fn pipe(flags: u32) -> Result<(i32, i32), Errno> {
    let mut ends = [0i32; 2];
    // SAFETY: the kernel writes two descriptors.
    unsafe { raw(nr::PIPE2, [ends.as_mut_ptr() as usize, flags as usize]) }?;
    Ok((ends[0], ends[1]))
}

pub fn dup(fd: i32) -> Result<i32, Errno> {
    // SAFETY: as for `close`.
    unsafe { raw(nr::DUP, [fd as usize]) }.map(|fd| fd as i32)
}

pub fn dup3(old: i32, new: i32, flags: u32) -> Result<i32, Errno> {
    // SAFETY: as for `close`.
    unsafe { raw(nr::DUP3, [old as usize, new as usize, flags as usize]) }.map(|fd| fd as i32)
}

/// fcntl(2) with a number for argument.
pub fn fcntl(fd: i32, command: u32, argument: usize) -> Result<usize, Errno> {
    assert!(
        !matches!(command, fcntl::F_GETLK | fcntl::F_OFD_GETLK),
        "takes a pointer"
    );
    // SAFETY: the commands that write to an address the caller made up were just refused; they are left to `raw`.
    unsafe { raw(nr::FCNTL, [fd as usize, command as usize, argument]) }
}
