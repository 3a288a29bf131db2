//! What the code of both machines' `vdso` reads, and where it lies: a page of numbers before the page of the code.
#![allow(unsafe_code)]

use super::PAGE_SIZE;
use libsyscall::abi::time::*;

/// Where the code lies in its page, behind the headers and tables of the image.
pub const CODE: usize = 0x400;
/// The distance from the data to the code.
pub(super) const DATA: usize = PAGE_SIZE + CODE;

/// The counter's value at time 0.
pub const START: usize = 0;
/// Nanoseconds of a count, as a 32.32 fixed-point number.
pub const FACTOR: usize = 8;
/// What CLOCK_REALTIME is ahead of CLOCK_MONOTONIC, in nanoseconds.
pub const SHIFT: usize = 16;

/// The clocks that are one of the two, as bits.
pub(super) const REALTIME: u32 = 1 << CLOCK_REALTIME | 1 << CLOCK_REALTIME_COARSE | 1 << CLOCK_TAI;
pub(super) const MONOTONIC: u32 =
    1 << CLOCK_MONOTONIC | 1 << CLOCK_MONOTONIC_RAW | 1 << CLOCK_MONOTONIC_COARSE | 1 << CLOCK_BOOTTIME;

/// The machine's code.
pub fn code() -> &'static [u8] {
    unsafe extern "C" {
        static vdso_code: u8;
        static vdso_code_end: u8;
    }
    let (start, end) = (&raw const vdso_code, &raw const vdso_code_end);
    // SAFETY: both lie in the image's read-only data, the second behind the first.
    unsafe { core::slice::from_raw_parts(start, end.addr() - start.addr()) }
}
