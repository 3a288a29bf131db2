//! Code that programs read the clock by without a system call, and that signal handlers return to; what surrounds it is in
//! `crate::exec::vdso`.

use crate::arch::vdso_data::{DATA, FACTOR, MONOTONIC, REALTIME, SHIFT, START};
use core::arch::global_asm;
use libsyscall::abi::nr;

/// The version of what it exports: vdso(7).
pub const VERSION: &str = "LINUX_2.6.39";

/// What the image exports, as on Linux: vdso(7).
pub fn functions() -> [(&'static str, *const u8); 3] {
    unsafe extern "C" {
        static vdso_clock_gettime: u8;
        static vdso_gettimeofday: u8;
        static vdso_rt_sigreturn: u8;
    }
    [
        ("__kernel_clock_gettime", &raw const vdso_clock_gettime),
        ("__kernel_gettimeofday", &raw const vdso_gettimeofday),
        ("__kernel_rt_sigreturn", &raw const vdso_rt_sigreturn),
    ]
}

/// Where a signal handler without a restorer of its own returns to: the C libraries of this machine leave it to the kernel.
pub const SIGNAL_RETURN: Option<&str> = Some("__kernel_rt_sigreturn");

// The code is copied to where programs have it, and finds its data in the page before. It uses no stack.
global_asm!(
    r#"
    .pushsection .rodata.vdso, "a"
    .balign 16
    .global vdso_code
    vdso_code:
    .set vdso_data, vdso_code - {data}

    // x9: nanoseconds of CLOCK_MONOTONIC; x5: the data. The barrier keeps the counter from being read early.
    .macro monotonic
    adr x5, vdso_data
    ldp x6, x7, [x5, #{start}]
    isb
    mrs x9, cntvct_el0
    sub x9, x9, x6
    umulh x10, x9, x7
    mul x9, x9, x7
    extr x9, x10, x9, #32
    .endm

    // x11, x12: seconds and the rest of x9 nanoseconds.
    .macro split
    movz x10, #0xca00
    movk x10, #0x3b9a, lsl #16
    udiv x11, x9, x10
    msub x12, x11, x10, x9
    .endm

    vdso_clock_gettime:
    cmp w0, #31
    b.hi 2f
    mov w2, #1
    lsl w2, w2, w0
    mov w3, #{realtime}
    mov w4, #{monotonic}
    orr w4, w4, w3
    tst w2, w4
    b.eq 2f
    monotonic
    tst w2, w3
    b.eq 1f
    ldr x10, [x5, #{shift}]
    add x9, x9, x10
    1:
    split
    stp x11, x12, [x1]
    mov x0, #0
    ret
    2:
    mov x8, #{nr_clock_gettime}
    svc #0
    ret

    // The time zone is the kernel's to know.
    vdso_gettimeofday:
    cbz x0, 2f
    cbnz x1, 2f
    monotonic
    ldr x10, [x5, #{shift}]
    add x9, x9, x10
    split
    mov x10, #1000
    udiv x12, x12, x10
    stp x11, x12, [x0]
    mov x0, #0
    ret
    2:
    mov x8, #{nr_gettimeofday}
    svc #0
    ret

    vdso_rt_sigreturn:
    mov x8, #{nr_rt_sigreturn}
    svc #0

    .global vdso_code_end
    vdso_code_end:
    .popsection
"#,
    data = const DATA,
    start = const START,
    shift = const SHIFT,
    realtime = const REALTIME,
    monotonic = const MONOTONIC,
    nr_clock_gettime = const nr::CLOCK_GETTIME,
    nr_gettimeofday = const nr::GETTIMEOFDAY,
    nr_rt_sigreturn = const nr::RT_SIGRETURN,
);

const _: () = assert!(FACTOR == START + 8, "they are loaded as a pair");
