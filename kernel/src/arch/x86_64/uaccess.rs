//! Copies between kernel and user memory that recover from faults. The caller has checked that the range lies below
//! [`super::USER_END`]; a fault is first offered to `crate::trap::kernel_fault_on_user`, and ends the copy if that declines.

/// Copies to user memory; the bytes NOT copied.
///
/// # Safety
/// `source` is readable for `len` bytes.
pub unsafe fn copy_to_user(_destination: usize, _source: *const u8, _len: usize) -> usize {
    todo!()
}

/// Copies from user memory; the bytes NOT copied.
///
/// # Safety
/// `destination` is writable for `len` bytes.
pub unsafe fn copy_from_user(_destination: *mut u8, _source: usize, _len: usize) -> usize {
    todo!()
}

/// Reads an aligned word, as futex(2) does.
pub fn load_u32(_address: usize) -> Option<u32> {
    todo!()
}

/// Compare-and-exchange of an aligned user word: the value found, `None` on a fault.
pub fn compare_exchange_u32(_address: usize, _expected: u32, _new: u32) -> Option<u32> {
    todo!()
}
