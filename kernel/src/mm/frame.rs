//! Physical frames of 4 KiB, each with a count of its owners.

use crate::arch::paging::OutOfFrames;

/// An owner's share in a frame; the last one to go frees it.
#[derive(Debug)]
pub struct Frame(u64);

impl Frame {
    /// A frame with anything in it.
    pub fn new() -> Result<Frame, OutOfFrames> {
        todo!()
    }
    pub fn zeroed() -> Result<Frame, OutOfFrames> {
        todo!()
    }
    pub fn copy_of(_other: &Frame) -> Result<Frame, OutOfFrames> {
        todo!()
    }
    pub fn physical(&self) -> u64 {
        self.0
    }
    /// Gives the share away: the caller keeps it as a number (in a page table).
    pub fn into_raw(self) -> u64 {
        todo!()
    }
    /// Takes back what [`Frame::into_raw`] gave.
    ///
    /// # Safety
    /// The share is taken back once.
    pub unsafe fn from_raw(_physical: u64) -> Frame {
        todo!()
    }
    /// Whether this is the only share.
    pub fn is_sole(&self) -> bool {
        todo!()
    }
    /// Copies bytes in; `offset + bytes.len()` is at most a page. Races with user code that maps the frame are as on any
    /// shared memory: bytes, in any order.
    pub fn write(&self, _offset: usize, _bytes: &[u8]) {
        todo!()
    }
    pub fn read(&self, _offset: usize, _bytes: &mut [u8]) {
        todo!()
    }
}

impl Clone for Frame {
    fn clone(&self) -> Frame {
        todo!()
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        todo!()
    }
}

/// Frames in all, and free ones.
pub fn totals() -> (usize, usize) {
    todo!()
}
