//! Code that programs read the clock by without a system call; what surrounds it is in `crate::exec::vdso`.

use crate::arch::vdso_data::{DATA, FACTOR, MONOTONIC, REALTIME, SHIFT, START};
use core::arch::global_asm;
use libsyscall::abi::nr;

/// The version of what it exports: vdso(7).
pub const VERSION: &str = "LINUX_2.6";

/// What the image exports, as on Linux: vdso(7).
pub fn functions() -> [(&'static str, *const u8); 3] {
    unsafe extern "C" {
        static vdso_clock_gettime: u8;
        static vdso_gettimeofday: u8;
        static vdso_time: u8;
    }
    [
        ("__vdso_clock_gettime", &raw const vdso_clock_gettime),
        ("__vdso_gettimeofday", &raw const vdso_gettimeofday),
        ("__vdso_time", &raw const vdso_time),
    ]
}

/// Where a signal handler without a restorer of its own returns to: nowhere, sigaction(2) must name one on this machine.
pub const SIGNAL_RETURN: Option<&str> = None;

// The code is copied to where programs have it, and finds its data in the page before. It uses no stack.
global_asm!(
    r#"
    .pushsection .rodata.vdso, "a"
    .balign 16
    .global vdso_code
    vdso_code:
    .set vdso_data, vdso_code - {data}

    // rax: nanoseconds of CLOCK_MONOTONIC. The fence keeps the counter from being read early.
    .macro monotonic
    lfence
    rdtsc
    shl rdx, 32
    or rax, rdx
    sub rax, [rip + vdso_data + {start}]
    mul qword ptr [rip + vdso_data + {factor}]
    shrd rax, rdx, 32
    .endm

    // rax, rdx: seconds and the rest of rax nanoseconds.
    .macro split
    xor edx, edx
    mov ecx, 1000000000
    div rcx
    .endm

    vdso_clock_gettime:
    cmp edi, 31
    ja 2f
    mov r8d, {realtime}
    mov eax, {realtime} | {monotonic}
    bt eax, edi
    jnc 2f
    monotonic
    bt r8d, edi
    jnc 1f
    add rax, [rip + vdso_data + {shift}]
    1:
    split
    mov [rsi], rax
    mov [rsi + 8], rdx
    xor eax, eax
    ret
    2:
    mov eax, {nr_clock_gettime}
    syscall
    ret

    // The time zone is the kernel's to know.
    vdso_gettimeofday:
    test rdi, rdi
    jz 2f
    test rsi, rsi
    jnz 2f
    monotonic
    add rax, [rip + vdso_data + {shift}]
    split
    mov [rdi], rax
    mov rax, rdx
    xor edx, edx
    mov ecx, 1000
    div rcx
    mov [rdi + 8], rax
    xor eax, eax
    ret
    2:
    mov eax, {nr_gettimeofday}
    syscall
    ret

    vdso_time:
    monotonic
    add rax, [rip + vdso_data + {shift}]
    split
    test rdi, rdi
    jz 1f
    mov [rdi], rax
    1:
    ret

    .global vdso_code_end
    vdso_code_end:
    .popsection
"#,
    data = const DATA,
    start = const START,
    factor = const FACTOR,
    shift = const SHIFT,
    realtime = const REALTIME,
    monotonic = const MONOTONIC,
    nr_clock_gettime = const nr::CLOCK_GETTIME,
    nr_gettimeofday = const nr::GETTIMEOFDAY,
);
