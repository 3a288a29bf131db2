//! User memory as the kernel sees it: checked copies, and the two ends of read(2) and write(2).
//!
//! Every range is checked against [`USER_END`] before it is touched; a page that can't be mapped ends the copy. Nothing
//! here may run under an address space's lock, because the page fault takes it.

use super::direct;
use super::frame::Frame;
use crate::arch::{PAGE_SIZE, USER_END, uaccess};
use alloc::vec::Vec;
use core::hint::cold_path;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::{with_exposed_provenance, with_exposed_provenance_mut};
use libsyscall::abi::Errno;

/// PATH_MAX, with the NUL.
const PATH_MAX: usize = 4096;
/// UIO_MAXIOV.
const IOV_MAX: usize = 1024;
/// Linux moves no more than this in one call, whatever is asked for (read(2), "Notes").
const MAX_RW_COUNT: usize = i32::MAX as usize & !(PAGE_SIZE - 1);

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

/// Copies whole words out of user memory, which is open; whether all could be read. An odd word is the first, as it is of
/// the structure that comes by most often, x86_64's `epoll_event`: each of its fields then is one word.
///
/// # Safety
/// `to` is writable for `len` bytes, a multiple of four.
#[inline(always)]
unsafe fn load_words(address: usize, to: *mut u8, len: usize) -> bool {
    let mut faults = uaccess::Faults::NONE;
    let mut at = len % size_of::<u64>();
    if at > 0 {
        let word = uaccess::load_u32(address, &mut faults);
        // SAFETY: inside what the caller promised.
        unsafe { to.cast::<u32>().write_unaligned(word) };
    }
    while at < len {
        let word = uaccess::load_u64(address + at, &mut faults);
        // SAFETY: as above.
        unsafe { to.add(at).cast::<u64>().write_unaligned(word) };
        at += size_of::<u64>();
    }
    !faults.any()
}

/// Copies whole words into user memory, which is open; whether all could be written. An odd word is the first, as in
/// [`load_words`].
///
/// # Safety
/// `from` is readable for `len` bytes, a multiple of four.
#[inline(always)]
unsafe fn store_words(address: usize, from: *const u8, len: usize) -> bool {
    let mut at = len % size_of::<u64>();
    // SAFETY: inside what the caller promised.
    if at > 0 && !uaccess::store_u32(address, unsafe { from.cast::<u32>().read_unaligned() }) {
        return false;
    }
    while at < len {
        // SAFETY: as above.
        if !uaccess::store_u64(address + at, unsafe { from.add(at).cast::<u64>().read_unaligned() }) {
            return false;
        }
        at += size_of::<u64>();
    }
    true
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
    let whole = if is_small::<T>() {
        // SAFETY: the value's own bytes are writable.
        uaccess::with_user_pages(|| unsafe { load_words(address, bytes, size_of::<T>()) })
    } else {
        // SAFETY: the value's own bytes are writable.
        unsafe { uaccess::copy_from_user(bytes, address, size_of::<T>()) == 0 }
    };
    if whole {
        // SAFETY: every byte was written, and any bytes make a `T`.
        Ok(unsafe { value.assume_init() })
    } else {
        cold_path();
        Err(Errno::EFAULT)
    }
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

/// The pieces of an iovec array: their total is cut to what one call moves.
pub struct Pieces {
    /// (address, length) of each, in reverse order so that the next one is popped.
    reversed: Vec<(usize, usize)>,
    total: usize,
}

impl Pieces {
    /// [`read_vector`] of pieces of this program's memory.
    pub fn read(iov: usize, count: usize) -> Result<Pieces, Errno> {
        let mut pieces = read_vector(iov, count, check)?;
        let mut room = MAX_RW_COUNT;
        for (_, len) in &mut pieces {
            *len = (*len).min(room);
            room -= *len;
        }
        pieces.reverse();
        Ok(Pieces {
            reversed: pieces,
            total: MAX_RW_COUNT - room,
        })
    }
}

/// A position in memory that moves as bytes are copied: in user memory, in one piece or several, or in the kernel's. It
/// owns nothing, so that the many that are made for a read or a write of one piece leave nothing to do.
struct Cursor<'a> {
    /// The next byte.
    address: usize,
    /// Bytes left in the piece at `address`.
    piece: usize,
    /// Bytes left in all pieces.
    left: usize,
    /// `address` is the kernel's own.
    kernel: bool,
    /// The pieces after this one; only an iovec has any.
    rest: Option<&'a mut Pieces>,
}

impl<'a> Cursor<'a> {
    #[inline]
    fn user(address: usize, len: usize) -> Result<Cursor<'static>, Errno> {
        check(address, len)?;
        let len = len.min(MAX_RW_COUNT);
        Ok(Cursor {
            address,
            piece: len,
            left: len,
            kernel: false,
            rest: None,
        })
    }

    #[inline]
    fn kernel(address: usize, len: usize) -> Cursor<'a> {
        Cursor {
            address,
            piece: len,
            left: len,
            kernel: true,
            rest: None,
        }
    }

    fn pieces(pieces: &'a mut Pieces) -> Cursor<'a> {
        let (address, piece) = pieces.reversed.pop().unwrap_or((0, 0));
        Cursor {
            address,
            piece,
            left: pieces.total,
            kernel: false,
            rest: Some(pieces),
        }
    }

    #[inline]
    fn step(&mut self, len: usize) {
        self.address += len;
        self.piece -= len;
        self.left -= len;
    }

    /// Copies up to `len` bytes; `copy(address, offset, len)` gives what it did not copy. How many were copied; EFAULT
    /// when there were some to copy and not one was.
    #[inline]
    fn advance(&mut self, len: usize, mut copy: impl FnMut(usize, usize, usize) -> usize) -> Result<usize, Errno> {
        let len = len.min(self.left);
        if len > self.piece {
            return self.advance_over_pieces(len, copy);
        }
        let missed = copy(self.address, 0, len);
        self.step(len - missed);
        if missed == 0 {
            return Ok(len);
        }
        cold_path();
        if missed < len {
            Ok(len - missed)
        } else {
            Err(Errno::EFAULT)
        }
    }

    #[inline(never)]
    fn advance_over_pieces(
        &mut self,
        len: usize,
        mut copy: impl FnMut(usize, usize, usize) -> usize,
    ) -> Result<usize, Errno> {
        let mut done = 0;
        while done < len {
            if self.piece == 0 {
                let next = self.rest.as_mut().and_then(|rest| rest.reversed.pop());
                (self.address, self.piece) = next.expect("the pieces make up what is left");
                continue;
            }
            let wanted = self.piece.min(len - done);
            let missed = copy(self.address, done, wanted);
            self.step(wanted - missed);
            done += wanted - missed;
            if missed > 0 {
                return if done > 0 { Ok(done) } else { Err(Errno::EFAULT) };
            }
        }
        Ok(done)
    }
}

/// Where the bytes of a read go: user memory (one range or an iovec) or a kernel buffer.
pub struct Sink<'a> {
    cursor: Cursor<'a>,
    buffer: PhantomData<&'a mut [u8]>,
}

/// What [`Sink::put_zeroes`] copies from.
static ZEROES: [u8; PAGE_SIZE] = [0; PAGE_SIZE];

impl<'a> Sink<'a> {
    /// A user range. Checked against the user limit here (EFAULT), touched only when written.
    #[inline]
    pub fn user(address: usize, len: usize) -> Result<Sink<'static>, Errno> {
        Ok(Sink {
            cursor: Cursor::user(address, len)?,
            buffer: PhantomData,
        })
    }

    /// Pieces of user memory, from the first on.
    pub fn user_pieces(pieces: &'a mut Pieces) -> Sink<'a> {
        Sink {
            cursor: Cursor::pieces(pieces),
            buffer: PhantomData,
        }
    }

    pub fn kernel(bytes: &'a mut [u8]) -> Sink<'a> {
        Sink {
            cursor: Cursor::kernel(bytes.as_mut_ptr().expose_provenance(), bytes.len()),
            buffer: PhantomData,
        }
    }

    /// Room left.
    #[inline]
    pub fn len(&self) -> usize {
        self.cursor.left
    }

    /// Takes a value: EFAULT where it could not be written, or did not fit.
    #[inline]
    pub fn put_value<T: Plain>(&mut self, value: &T) -> Result<(), Errno> {
        let cursor = &mut self.cursor;
        if cursor.kernel || cursor.piece < size_of::<T>() {
            cold_path();
            return self.put_value_in_pieces(value);
        }
        if !write_checked(cursor.address, value) {
            return Err(Errno::EFAULT);
        }
        cursor.step(size_of::<T>());
        Ok(())
    }

    /// [`Sink::put_value`] where nothing is put after it: the position may stay as it is.
    #[inline]
    pub fn put_last_value<T: Plain>(&mut self, value: &T) -> Result<(), Errno> {
        let cursor = &self.cursor;
        if cursor.kernel || cursor.piece < size_of::<T>() {
            cold_path();
            return self.put_value_in_pieces(value);
        }
        if write_checked(cursor.address, value) {
            Ok(())
        } else {
            Err(Errno::EFAULT)
        }
    }

    #[cold]
    fn put_value_in_pieces<T: Plain>(&mut self, value: &T) -> Result<(), Errno> {
        // SAFETY: plain data has no padding, so all of its bytes are readable.
        let taken = unsafe { self.put_raw((value as *const T).cast(), size_of::<T>()) }?;
        if taken == size_of::<T>() {
            Ok(())
        } else {
            Err(Errno::EFAULT)
        }
    }

    /// Takes as much of `bytes` as fits and can be written; EFAULT only when not one byte could be.
    pub fn put(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        // SAFETY: a slice is readable.
        unsafe { self.put_raw(bytes.as_ptr(), bytes.len()) }
    }

    /// Takes all of some bytes: EFAULT where not all could be.
    pub fn put_all(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        if self.put(bytes)? == bytes.len() {
            Ok(())
        } else {
            Err(Errno::EFAULT)
        }
    }

    /// Takes `len` bytes of a frame from `start` on, straight from it; the frame may be mapped by user code.
    #[inline]
    pub fn put_frame(&mut self, frame: &Frame, start: usize, len: usize) -> Result<usize, Errno> {
        assert!(start <= PAGE_SIZE && len <= PAGE_SIZE - start);
        // SAFETY: inside a frame, which the direct map maps.
        unsafe { self.put_raw((direct(frame.physical()) + start) as *const u8, len) }
    }

    /// Takes `len` zero bytes.
    pub fn put_zeroes(&mut self, len: usize) -> Result<usize, Errno> {
        let mut done = 0;
        while done < len && self.len() > 0 {
            let piece = (len - done).min(ZEROES.len());
            match self.put(&ZEROES[..piece]) {
                Ok(taken) => {
                    done += taken;
                    if taken < piece {
                        break;
                    }
                }
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// # Safety
    /// `source` is readable for `len` bytes.
    #[inline]
    unsafe fn put_raw(&mut self, source: *const u8, len: usize) -> Result<usize, Errno> {
        let kernel = self.cursor.kernel;
        // SAFETY: the caller's, for every piece of `source`. A kernel cursor walks over the buffer of `Sink::kernel`,
        // borrowed for as long as the sink lives and ours alone.
        self.cursor.advance(len, |address, offset, piece| unsafe {
            if kernel {
                let to = with_exposed_provenance_mut::<u8>(address);
                to.copy_from_nonoverlapping(source.add(offset), piece);
                return 0;
            }
            uaccess::copy_to_user(address, source.add(offset), piece)
        })
    }
}

/// Where the bytes of a write come from.
pub struct Source<'a> {
    cursor: Cursor<'a>,
    buffer: PhantomData<&'a [u8]>,
}

impl<'a> Source<'a> {
    #[inline]
    pub fn user(address: usize, len: usize) -> Result<Source<'static>, Errno> {
        Ok(Source {
            cursor: Cursor::user(address, len)?,
            buffer: PhantomData,
        })
    }

    /// Pieces of user memory, from the first on.
    pub fn user_pieces(pieces: &'a mut Pieces) -> Source<'a> {
        Source {
            cursor: Cursor::pieces(pieces),
            buffer: PhantomData,
        }
    }

    pub fn kernel(bytes: &'a [u8]) -> Source<'a> {
        Source {
            cursor: Cursor::kernel(bytes.as_ptr().expose_provenance(), bytes.len()),
            buffer: PhantomData,
        }
    }

    /// Bytes left.
    #[inline]
    pub fn len(&self) -> usize {
        self.cursor.left
    }

    /// Gives a value: EFAULT where it could not be read, or was not all there.
    #[inline]
    pub fn get_value<T: Plain>(&mut self) -> Result<T, Errno> {
        let cursor = &mut self.cursor;
        if cursor.kernel || cursor.piece < size_of::<T>() {
            cold_path();
            return self.get_value_in_pieces();
        }
        let value = read_checked(cursor.address)?;
        cursor.step(size_of::<T>());
        Ok(value)
    }

    /// [`Source::get_value`] where nothing is got after it: the position may stay as it is.
    #[inline]
    pub fn get_last_value<T: Plain>(&mut self) -> Result<T, Errno> {
        let cursor = &self.cursor;
        if cursor.kernel || cursor.piece < size_of::<T>() {
            cold_path();
            return self.get_value_in_pieces();
        }
        read_checked(cursor.address)
    }

    #[cold]
    fn get_value_in_pieces<T: Plain>(&mut self) -> Result<T, Errno> {
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: the value's own bytes are writable.
        if unsafe { self.get_raw(value.as_mut_ptr().cast(), size_of::<T>()) }? == size_of::<T>() {
            // SAFETY: every byte was written, and any bytes make a `T`.
            Ok(unsafe { value.assume_init() })
        } else {
            Err(Errno::EFAULT)
        }
    }

    /// Gives up to `bytes.len()` bytes; EFAULT only when not one could be read.
    pub fn get(&mut self, bytes: &mut [u8]) -> Result<usize, Errno> {
        // SAFETY: a slice is writable.
        unsafe { self.get_raw(bytes.as_mut_ptr(), bytes.len()) }
    }

    /// Gives up to `len` bytes straight into a frame from `start` on.
    #[inline]
    pub fn get_frame(&mut self, frame: &Frame, start: usize, len: usize) -> Result<usize, Errno> {
        assert!(start <= PAGE_SIZE && len <= PAGE_SIZE - start);
        // SAFETY: inside a frame, which the direct map maps.
        unsafe { self.get_raw((direct(frame.physical()) + start) as *mut u8, len) }
    }

    /// Passes over up to `len` bytes without reading them; how many.
    pub fn skip(&mut self, len: usize) -> usize {
        // Nothing is touched, so nothing can fault.
        self.cursor.advance(len, |_, _, _| 0).unwrap_or(0)
    }

    /// # Safety
    /// `destination` is writable for `len` bytes.
    #[inline]
    unsafe fn get_raw(&mut self, destination: *mut u8, len: usize) -> Result<usize, Errno> {
        let kernel = self.cursor.kernel;
        // SAFETY: the caller's, for every piece of `destination`. A kernel cursor walks over the slice of
        // `Source::kernel`, borrowed for as long as the source lives.
        self.cursor.advance(len, |address, offset, piece| unsafe {
            if kernel {
                let from = with_exposed_provenance::<u8>(address);
                destination.add(offset).copy_from_nonoverlapping(from, piece);
                return 0;
            }
            uaccess::copy_from_user(destination.add(offset), address, piece)
        })
    }
}
