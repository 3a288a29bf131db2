//! memcpy, memmove and memset, which the compiler calls wherever something large is moved. Those of its library go by single
//! words, and by bytes where source and destination are not aligned alike. These take pairs of registers and any alignment,
//! which the machine allows in ordinary memory (SCTLR_EL1.A is clear).
//!
//! After the loops the low six bits of what is left to do are still the rest's, though 64 too many have been taken off.

use core::arch::global_asm;

global_asm!(
    r#"
    .section .text.memory, "ax"
    .balign 64
    .global memcpy
    memcpy:
    mov x3, x0
    subs x2, x2, #64
    b.lo 3f
    2:
    ldp x4, x5, [x1]
    ldp x6, x7, [x1, #16]
    ldp x8, x9, [x1, #32]
    ldp x10, x11, [x1, #48]
    add x1, x1, #64
    stp x4, x5, [x3]
    stp x6, x7, [x3, #16]
    stp x8, x9, [x3, #32]
    stp x10, x11, [x3, #48]
    add x3, x3, #64
    subs x2, x2, #64
    b.hs 2b
    3:
    tbz x2, #5, 4f
    ldp x4, x5, [x1]
    ldp x6, x7, [x1, #16]
    add x1, x1, #32
    stp x4, x5, [x3]
    stp x6, x7, [x3, #16]
    add x3, x3, #32
    4:
    tbz x2, #4, 5f
    ldp x4, x5, [x1], #16
    stp x4, x5, [x3], #16
    5:
    tbz x2, #3, 6f
    ldr x4, [x1], #8
    str x4, [x3], #8
    6:
    tbz x2, #2, 7f
    ldr w4, [x1], #4
    str w4, [x3], #4
    7:
    tbz x2, #1, 8f
    ldrh w4, [x1], #2
    strh w4, [x3], #2
    8:
    tbz x2, #0, 9f
    ldrb w4, [x1]
    strb w4, [x3]
    9:
    ret

    // Upwards is right but where the destination starts inside the source: what is read is read before it is overwritten.
    .balign 64
    .global memmove
    memmove:
    sub x3, x0, x1
    cmp x3, x2
    b.hs memcpy
    add x3, x0, x2
    add x1, x1, x2
    subs x2, x2, #64
    b.lo 3f
    2:
    ldp x4, x5, [x1, #-16]
    ldp x6, x7, [x1, #-32]
    ldp x8, x9, [x1, #-48]
    ldp x10, x11, [x1, #-64]!
    stp x4, x5, [x3, #-16]
    stp x6, x7, [x3, #-32]
    stp x8, x9, [x3, #-48]
    stp x10, x11, [x3, #-64]!
    subs x2, x2, #64
    b.hs 2b
    3:
    tbz x2, #5, 4f
    ldp x4, x5, [x1, #-16]
    ldp x6, x7, [x1, #-32]!
    stp x4, x5, [x3, #-16]
    stp x6, x7, [x3, #-32]!
    4:
    tbz x2, #4, 5f
    ldp x4, x5, [x1, #-16]!
    stp x4, x5, [x3, #-16]!
    5:
    tbz x2, #3, 6f
    ldr x4, [x1, #-8]!
    str x4, [x3, #-8]!
    6:
    tbz x2, #2, 7f
    ldr w4, [x1, #-4]!
    str w4, [x3, #-4]!
    7:
    tbz x2, #1, 8f
    ldrh w4, [x1, #-2]!
    strh w4, [x3, #-2]!
    8:
    tbz x2, #0, 9f
    ldrb w4, [x1, #-1]
    strb w4, [x3, #-1]
    9:
    ret

    .balign 64
    .global memset
    memset:
    and x1, x1, #0xff
    mov x4, #0x0101010101010101
    mul x1, x1, x4
    mov x3, x0
    subs x2, x2, #64
    b.lo 3f
    2:
    stp x1, x1, [x3]
    stp x1, x1, [x3, #16]
    stp x1, x1, [x3, #32]
    stp x1, x1, [x3, #48]
    add x3, x3, #64
    subs x2, x2, #64
    b.hs 2b
    3:
    tbz x2, #5, 4f
    stp x1, x1, [x3]
    stp x1, x1, [x3, #16]
    add x3, x3, #32
    4:
    tbz x2, #4, 5f
    stp x1, x1, [x3], #16
    5:
    tbz x2, #3, 6f
    str x1, [x3], #8
    6:
    tbz x2, #2, 7f
    str w1, [x3], #4
    7:
    tbz x2, #1, 8f
    strh w1, [x3], #2
    8:
    tbz x2, #0, 9f
    strb w1, [x3]
    9:
    ret
    .previous
"#
);
