//! User memory as the kernel sees it: checked copies, and the two ends of read(2) and write(2).
use libsyscall::abi::Errno;

/// Copies from user memory; EFAULT where any byte can't be read.
pub fn read_bytes(_address: usize, _bytes: &mut [u8]) -> Result<(), Errno> {
    todo!()
}

/// Copies to user memory; EFAULT where any byte can't be written (those before it may have been).
pub fn write_bytes(_address: usize, _bytes: &[u8]) -> Result<(), Errno> {
    todo!()
}

/// A value of plain data: any bit pattern is one. Implemented for integers, arrays of plain data and, by
/// `plain!(Type)`, for `repr(C)` structs without padding.
///
/// # Safety
/// Any bytes make a valid value, and none is padding.
pub unsafe trait Plain: Copy + 'static {}

pub fn read<T: Plain>(_address: usize) -> Result<T, Errno> {
    todo!()
}

pub fn write<T: Plain>(_address: usize, _value: &T) -> Result<(), Errno> {
    todo!()
}

/// A NUL-terminated string of at most `limit` bytes with its NUL; `too_long` (ENAMETOOLONG, E2BIG) past that.
pub fn read_string(_address: usize, _limit: usize, _too_long: Errno) -> Result<alloc::vec::Vec<u8>, Errno> {
    todo!()
}

/// A path argument: EFAULT, ENAMETOOLONG past PATH_MAX.
pub fn read_path(_address: usize) -> Result<alloc::vec::Vec<u8>, Errno> {
    todo!()
}

/// Where the bytes of a read go: user memory (one range or an iovec) or a kernel buffer.
pub struct Sink<'a> {
    _lifetime: core::marker::PhantomData<&'a mut [u8]>,
}

impl<'a> Sink<'a> {
    /// A user range. Checked against the user limit here (EFAULT), touched only when written.
    pub fn user(_address: usize, _len: usize) -> Result<Sink<'static>, Errno> {
        todo!()
    }
    /// An iovec array in user memory, as readv(2): EINVAL for more than 1024 or a total past SSIZE_MAX.
    pub fn user_vector(_iov: usize, _count: usize) -> Result<Sink<'static>, Errno> {
        todo!()
    }
    pub fn kernel(_bytes: &'a mut [u8]) -> Sink<'a> {
        todo!()
    }
    /// Room left.
    pub fn len(&self) -> usize {
        todo!()
    }
    /// Bytes taken so far.
    pub fn taken(&self) -> usize {
        todo!()
    }
    /// Takes as much of `bytes` as fits and can be written; EFAULT only when not one byte could be.
    pub fn put(&mut self, _bytes: &[u8]) -> Result<usize, Errno> {
        todo!()
    }
    /// Takes `len` bytes of a frame from `start` on, straight from it; the frame may be mapped by user code.
    pub fn put_frame(&mut self, _frame: &super::frame::Frame, _start: usize, _len: usize) -> Result<usize, Errno> {
        todo!()
    }
    /// Takes `len` zero bytes.
    pub fn put_zeroes(&mut self, _len: usize) -> Result<usize, Errno> {
        todo!()
    }
}

/// Where the bytes of a write come from.
pub struct Source<'a> {
    _lifetime: core::marker::PhantomData<&'a [u8]>,
}

impl<'a> Source<'a> {
    pub fn user(_address: usize, _len: usize) -> Result<Source<'static>, Errno> {
        todo!()
    }
    pub fn user_vector(_iov: usize, _count: usize) -> Result<Source<'static>, Errno> {
        todo!()
    }
    pub fn kernel(_bytes: &'a [u8]) -> Source<'a> {
        todo!()
    }
    /// Bytes left.
    pub fn len(&self) -> usize {
        todo!()
    }
    pub fn taken(&self) -> usize {
        todo!()
    }
    /// Gives up to `bytes.len()` bytes; EFAULT only when not one could be read.
    pub fn get(&mut self, _bytes: &mut [u8]) -> Result<usize, Errno> {
        todo!()
    }
    /// Gives up to `len` bytes straight into a frame from `start` on.
    pub fn get_frame(&mut self, _frame: &super::frame::Frame, _start: usize, _len: usize) -> Result<usize, Errno> {
        todo!()
    }
    /// Passes over up to `len` bytes without reading them; how many.
    pub fn skip(&mut self, _len: usize) -> usize {
        todo!()
    }
    /// The segments in order, as (address, length), for calls that treat each on its own (writev on an eventfd).
    pub fn segments(&self) -> usize {
        todo!()
    }
}

unsafe impl Plain for i32 {}
unsafe impl Plain for i64 {}
unsafe impl Plain for u64 {}
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}
