use core::arch::asm;

/// Makes the system call `number` and returns what the kernel left in the result register.
///
/// # Safety
/// The call with these arguments must be sound for the program: the kernel writes through the pointers it is given
/// and may unmap, replace or end anything it is told to.
#[inline]
pub unsafe fn syscall(number: usize, arguments: [usize; 6]) -> isize {
    let result;
    // SAFETY: the instruction clobbers rcx and r11 beside its result; what the call itself does is the caller's promise.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            in("r10") arguments[3],
            in("r8") arguments[4],
            in("r9") arguments[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}
