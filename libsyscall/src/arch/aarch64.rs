use core::arch::asm;

/// Makes the system call `number` and returns what the kernel left in the result register.
///
/// # Safety
/// The call with these arguments must be sound for the program: the kernel writes through the pointers it is given
/// and may unmap, replace or end anything it is told to.
#[inline]
pub unsafe fn syscall(number: usize, arguments: [usize; 6]) -> isize {
    let result;
    // SAFETY: the instruction changes its result register only; what the call itself does is the caller's promise.
    unsafe {
        asm!(
            "svc #0",
            in("x8") number,
            inlateout("x0") arguments[0] => result,
            in("x1") arguments[1],
            in("x2") arguments[2],
            in("x3") arguments[3],
            in("x4") arguments[4],
            in("x5") arguments[5],
            options(nostack),
        );
    }
    result
}
