//! The two ends of a read or a write.

use super::cursor::{At, Cursor, Pieces};
use super::{Plain, read_checked, write_checked};
use crate::arch::{PAGE_SIZE, uaccess};
use crate::mm::direct;
use crate::mm::frame::Frame;
use core::hint::cold_path;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::{with_exposed_provenance, with_exposed_provenance_mut};
use libsyscall::abi::Errno;

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
        let in_one = self.cursor.has_whole(size_of::<T>());
        self.put_last_value(value)?;
        if in_one {
            self.cursor.step(size_of::<T>());
        }
        Ok(())
    }

    /// [`Sink::put_value`] where nothing is put after it: the position may stay as it is.
    #[inline]
    pub fn put_last_value<T: Plain>(&mut self, value: &T) -> Result<(), Errno> {
        if !self.cursor.has_whole(size_of::<T>()) {
            cold_path();
            return self.put_value_in_pieces(value);
        }
        if write_checked(self.cursor.address, value) {
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
        // SAFETY: the caller's, for every piece of `source`. A kernel cursor walks over the buffer of `Sink::kernel`,
        // borrowed for as long as the sink lives and ours alone.
        self.cursor.advance(len, |to, offset, piece| unsafe {
            match to {
                At::User(address) => uaccess::copy_to_user(address, source.add(offset), piece),
                At::Kernel(address) => {
                    let to = with_exposed_provenance_mut::<u8>(address);
                    to.copy_from_nonoverlapping(source.add(offset), piece);
                    0
                }
            }
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
        let in_one = self.cursor.has_whole(size_of::<T>());
        let value = self.get_last_value()?;
        if in_one {
            self.cursor.step(size_of::<T>());
        }
        Ok(value)
    }

    /// [`Source::get_value`] where nothing is got after it: the position may stay as it is.
    #[inline]
    pub fn get_last_value<T: Plain>(&mut self) -> Result<T, Errno> {
        if !self.cursor.has_whole(size_of::<T>()) {
            cold_path();
            return self.get_value_in_pieces();
        }
        read_checked(self.cursor.address)
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
        // SAFETY: the caller's, for every piece of `destination`. A kernel cursor walks over the slice of
        // `Source::kernel`, borrowed for as long as the source lives.
        self.cursor.advance(len, |from, offset, piece| unsafe {
            match from {
                At::User(address) => uaccess::copy_from_user(destination.add(offset), address, piece),
                At::Kernel(address) => {
                    let from = with_exposed_provenance::<u8>(address);
                    destination.add(offset).copy_from_nonoverlapping(from, piece);
                    0
                }
            }
        })
    }
}
