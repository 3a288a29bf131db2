//! User memory as the kernel sees it: checked copies of values, bytes, strings and vectors, and the two ends of read(2) and
//! write(2).
//!
//! Every range is checked against [`USER_END`] before it is touched; a page that can't be mapped ends the copy. Nothing
//! here may run under an address space's lock, because the page fault takes it.

mod cursor;
mod transfer;

pub use cursor::Pieces;
pub use transfer::{Sink, Source};

use crate::arch::uaccess::{self, Faults};
use crate::arch::{PAGE_SIZE, USER_END};
use alloc::vec::Vec;
use core::hint::cold_path;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::num::NonZeroUsize;
use libsyscall::abi::Errno;

/// PATH_MAX, with the NUL.
const PATH_MAX: usize = 4096;
/// UIO_MAXIOV.
const IOV_MAX: usize = 1024;

/// EFAULT where the range does not lie in user space.
#[inline]
pub fn check(address: usize, len: usize) -> Result<(), Errno> {
    if len <= USER_END && address <= USER_END - len {
        Ok(())
    } else {
        Err(Errno::EFAULT)
    }
}

/// Copies from user memory; EFAULT where any byte can't be read.
pub fn read_bytes(address: usize, bytes: &mut [u8]) -> Result<(), Errno> {
    check(address, bytes.len())?;
    // SAFETY: `bytes` is writable for its length.
    match unsafe { uaccess::copy_from_user(bytes.as_mut_ptr(), address, bytes.len()) } {
        0 => Ok(()),
        _ => Err(Errno::EFAULT),
    }
}

/// Copies to user memory; EFAULT where any byte can't be written (those before it may have been).
pub fn write_bytes(address: usize, bytes: &[u8]) -> Result<(), Errno> {
    check(address, bytes.len())?;
    // SAFETY: `bytes` is readable for its length.
    match unsafe { uaccess::copy_to_user(address, bytes.as_ptr(), bytes.len()) } {
        0 => Ok(()),
        _ => Err(Errno::EFAULT),
    }
}

/// A value of plain data: any bit pattern is one. Implemented for integers and arrays of plain data here, and for the
/// ABI's structures in [`super::plain`].
///
/// # Safety
/// Any bytes make a valid value, and none is padding.
pub unsafe trait Plain: Copy + 'static {}

macro_rules! plain_integers {
    ($($integer:ty),*) => {
        $(
            // SAFETY: an integer.
            unsafe impl Plain for $integer {}
        )*
    };
}
plain_integers!(u8, u16, u32, u64, usize, i8, i16, i32, i64, isize);

// SAFETY: an array has no padding of its own.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

/// Largest value that [`read`] and [`write`] move word by word.
const SMALL: usize = 32;

/// Whether a value is moved by loads and stores of its words. The compiler decides it where it knows the type.
const fn is_small<T>() -> bool {
    size_of::<T>() <= SMALL && size_of::<T>().is_multiple_of(size_of::<u32>())
}

/// Copies whole words out of user memory, which is open; what could not be read. An odd word is the first, as it is of
/// the structure that comes by most often, x86_64's `epoll_event`: each of its fields then is one word.
///
/// # Safety
/// `to` is writable for `len` bytes, a multiple of four and [`SMALL`] at most.
#[inline(always)]
unsafe fn load_words(address: usize, to: *mut u8, len: usize) -> Faults {
    let mut faults = Faults::NONE;
    macro_rules! load {
        ($load:ident: $word:ty, $($at:literal)*) => {
            $(if $at < len {
                let word = uaccess::$load::<$at>(address, &mut faults);
                // SAFETY: inside what the caller promised.
                unsafe { to.add($at).cast::<$word>().write_unaligned(word) };
            })*
        };
    }
    if len.is_multiple_of(size_of::<u64>()) {
        load!(load_u64: u64, 0 8 16 24);
    } else {
        load!(load_u32: u32, 0);
        load!(load_u64: u64, 4 12 20);
    }
    faults
}

/// Copies whole words into user memory, which is open; whether all could be written. An odd word is the first, as in
/// [`load_words`].
///
/// # Safety
/// `from` is readable for `len` bytes, a multiple of four and [`SMALL`] at most.
#[inline(always)]
unsafe fn store_words(address: usize, from: *const u8, len: usize) -> bool {
    macro_rules! store {
        ($store:ident: $word:ty, $($at:literal)*) => {
            // SAFETY: inside what the caller promised.
            $(($at >= len || uaccess::$store::<$at>(address, unsafe { from.add($at).cast::<$word>().read_unaligned() })))&&*
        };
    }
    if len.is_multiple_of(size_of::<u64>()) {
        store!(store_u64: u64, 0 8 16 24)
    } else {
        store!(store_u32: u32, 0) && store!(store_u64: u64, 4 12 20)
    }
}

/// A value out of user memory: EFAULT.
#[inline]
pub fn read<T: Plain>(address: usize) -> Result<T, Errno> {
    check(address, size_of::<T>())?;
    read_checked(address)
}

/// [`read`] from an address that was checked.
#[inline]
fn read_checked<T: Plain>(address: usize) -> Result<T, Errno> {
    let mut value = MaybeUninit::<T>::uninit();
    let bytes = value.as_mut_ptr().cast::<u8>();
    let fails = if is_small::<T>() {
        // SAFETY: the value's own bytes are writable.
        uaccess::with_user_pages(|| unsafe { load_words(address, bytes, size_of::<T>()) }).any()
    } else {
        // SAFETY: the value's own bytes are writable.
        unsafe { uaccess::copy_from_user(bytes, address, size_of::<T>()) > 0 }
    };
    if fails {
        cold_path();
        return Err(Errno::EFAULT);
    }
    // SAFETY: every byte was written, and any bytes make a `T`.
    Ok(unsafe { value.assume_init() })
}

/// A value into user memory: EFAULT; some of its words may have been written then.
#[inline]
pub fn write<T: Plain>(address: usize, value: &T) -> Result<(), Errno> {
    check(address, size_of::<T>())?;
    if write_checked(address, value) {
        Ok(())
    } else {
        Err(Errno::EFAULT)
    }
}

/// [`write`] to an address that was checked; whether it could be done.
#[inline]
fn write_checked<T: Plain>(address: usize, value: &T) -> bool {
    let bytes = (value as *const T).cast::<u8>();
    if is_small::<T>() {
        // SAFETY: the value's own bytes are readable, and none is padding.
        uaccess::with_user_pages(|| unsafe { store_words(address, bytes, size_of::<T>()) })
    } else {
        // SAFETY: the value's own bytes are readable, and none is padding.
        unsafe { uaccess::copy_to_user(address, bytes, size_of::<T>()) == 0 }
    }
}

/// A place in an array in user memory, for a value to be written to.
#[derive(Clone, Copy)]
pub struct Place<T> {
    address: usize,
    /// The array's, behind the place.
    end: usize,
    values: PhantomData<T>,
}

impl<T: Plain> Place<T> {
    /// The first of an array of `len`, of which all are checked: EFAULT.
    #[inline]
    pub fn first(address: usize, len: NonZeroUsize) -> Result<Place<T>, Errno> {
        let size = len.get().saturating_mul(size_of::<T>());
        check(address, size)?;
        Ok(Place {
            address,
            end: address + size,
            values: PhantomData,
        })
    }

    /// Writes a value. The next place, if there is one: EFAULT.
    #[inline]
    pub fn put(self, value: &T) -> Result<Option<Place<T>>, Errno> {
        if !write_checked(self.address, value) {
            return Err(Errno::EFAULT);
        }
        let address = self.address + size_of::<T>();
        Ok((address != self.end).then_some(Place { address, ..self }))
    }
}

/// A NUL-terminated string of at most `limit` bytes with its NUL; `too_long` (ENAMETOOLONG, E2BIG) past that. Read page
/// by page: a string may end just before a page that is not there.
pub fn read_string(address: usize, limit: usize, too_long: Errno) -> Result<Vec<u8>, Errno> {
    let mut string = Vec::new();
    while string.len() < limit {
        let at = address.checked_add(string.len()).ok_or(Errno::EFAULT)?;
        // Most strings are short: the first piece is small.
        let piece = if string.is_empty() { 64 } else { 512 };
        let to_page_end = PAGE_SIZE - at % PAGE_SIZE;
        let mut buffer = [0; 512];
        let piece = &mut buffer[..piece.min(to_page_end).min(limit - string.len())];
        read_bytes(at, piece)?;
        let end = piece.iter().position(|&byte| byte == 0);
        let taken = &piece[..end.unwrap_or(piece.len())];
        string.try_reserve(taken.len()).map_err(|_| Errno::ENOMEM)?;
        string.extend_from_slice(taken);
        if end.is_some() {
            return Ok(string);
        }
    }
    Err(too_long)
}

/// A path argument: EFAULT, ENAMETOOLONG past PATH_MAX.
pub fn read_path(address: usize) -> Result<Vec<u8>, Errno> {
    read_string(address, PATH_MAX, Errno::ENAMETOOLONG)
}

/// An iovec array in user memory, as readv(2) takes it: (address, length) of each piece, which `allow` looks at. EINVAL for
/// more than 1024 pieces or a negative length.
pub fn read_vector(
    iov: usize,
    count: usize,
    mut allow: impl FnMut(usize, usize) -> Result<(), Errno>,
) -> Result<Vec<(usize, usize)>, Errno> {
    if count > IOV_MAX {
        return Err(Errno::EINVAL);
    }
    check(iov, count * size_of::<[usize; 2]>())?;
    let mut pieces = Vec::new();
    pieces.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
    for at in 0..count {
        let [address, len] = read::<[usize; 2]>(iov + at * size_of::<[usize; 2]>())?;
        if len > isize::MAX as usize {
            return Err(Errno::EINVAL);
        }
        allow(address, len)?;
        pieces.push((address, len));
    }
    Ok(pieces)
}
