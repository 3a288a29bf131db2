//! Exceptions and interrupts: the registers saved, and the way up to `crate::trap`.

use super::{cpu, fpu, gic, syscall, uaccess};
use crate::arch::frame::{FAST, WHOLE};
use crate::syscall::table;
use crate::task::thread;
use crate::trap::{Access, Exception};
use core::arch::{asm, global_asm};
use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, Ordering};

/// What the processor says of an exception: `fault_address` of `struct sigcontext` and `esr` of `struct esr_context`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cause {
    /// 0 where there is nothing to say.
    pub syndrome: u64,
    pub address: u64,
}

/// The registers of user code, as they lie on top of its thread's kernel stack.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct TrapFrame {
    pub x: [u64; 31],
    pub sp: u64,
    pub pc: u64,
    pub pstate: u64,
    /// x0 as the system call was entered with: its result overwrites it.
    pub original_x0: u64,
    /// How much of it there is: see [`crate::arch::frame`].
    pub full: u64,
}

const _: () = assert!(FAST == 0, "the entry writes the zero register");

pub(super) const FRAME_SIZE: usize = size_of::<TrapFrame>();

/// What user code may choose itself: the condition flags, SSBS, DIT.
const USER_PSTATE_FREE: u64 = 0xf000_0000 | 1 << 12 | 1 << 24;

/// Length of an instruction.
const INSTRUCTION_LEN: u64 = 4;

impl TrapFrame {
    /// What a program starts with: `ip`, `sp`, everything else zero, user mode, interrupts on.
    pub fn new_user(ip: usize, sp: usize) -> TrapFrame {
        TrapFrame {
            pc: ip as u64,
            sp: sp as u64,
            full: WHOLE,
            ..TrapFrame::default()
        }
    }

    #[inline]
    pub fn syscall_number(&self) -> usize {
        self.x[8] as u32 as usize
    }

    /// System-call argument 0 to 5.
    #[inline]
    pub fn argument(&self, n: usize) -> usize {
        (if n == 0 { self.original_x0 } else { self.x[n] }) as usize
    }

    /// What the system call returns: the value, or minus the error number.
    #[inline]
    pub fn set_result(&mut self, value: isize) {
        self.x[0] = value as u64;
    }

    pub fn result(&self) -> isize {
        self.x[0] as isize
    }

    /// Goes back onto the system-call instruction with its original number and arguments.
    pub fn restart_syscall(&mut self) {
        self.x[0] = self.original_x0;
        self.pc -= INSTRUCTION_LEN;
    }

    pub fn ip(&self) -> usize {
        self.pc as usize
    }

    pub fn sp(&self) -> usize {
        self.sp as usize
    }

    pub fn set_sp(&mut self, sp: usize) {
        self.sp = sp as u64;
    }

    /// Every register in the order of DWARF's numbers, and the instruction's address. For a whole frame.
    pub fn dwarf_registers(&self) -> [u64; 33] {
        let mut registers = [0; 33];
        registers[..31].copy_from_slice(&self.x);
        registers[31..].copy_from_slice(&[self.sp, self.pc]);
        registers
    }

    /// Makes registers that came from user memory (a signal frame) fit to go back with.
    pub(super) fn sanitise(&mut self) {
        self.pstate &= USER_PSTATE_FREE;
        self.full = WHOLE;
    }
}

global_asm!(
    r#"
    // What a called function may spoil.
    .macro save_spoiled
    stp x0, x1, [sp]
    stp x2, x3, [sp, #16]
    stp x4, x5, [sp, #32]
    stp x6, x7, [sp, #48]
    stp x8, x9, [sp, #64]
    stp x10, x11, [sp, #80]
    stp x12, x13, [sp, #96]
    stp x14, x15, [sp, #112]
    stp x16, x17, [sp, #128]
    .endm

    // What it keeps, but for x19.
    .macro save_preserved
    stp x20, x21, [sp, #160]
    stp x22, x23, [sp, #176]
    stp x24, x25, [sp, #192]
    stp x26, x27, [sp, #208]
    stp x28, x29, [sp, #224]
    .endm

    .macro restore_from_x2
    ldp x2, x3, [sp, #16]
    ldp x4, x5, [sp, #32]
    ldp x6, x7, [sp, #48]
    ldp x8, x9, [sp, #64]
    ldp x10, x11, [sp, #80]
    ldp x12, x13, [sp, #96]
    ldp x14, x15, [sp, #112]
    ldp x16, x17, [sp, #128]
    .endm

    .macro save_frame
    sub sp, sp, #{frame}
    save_spoiled
    stp x18, x19, [sp, #144]
    save_preserved
    mrs x20, elr_el1
    mrs x21, spsr_el1
    mov x22, #{whole}
    stp x20, x21, [sp, #{pc}]
    stp x0, x22, [sp, #{original_x0}]
    .endm

    // The registers that a system call does not save at once.
    .macro save_kept
    str x19, [sp, #152]
    save_preserved
    mov x9, #{whole}
    str x9, [sp, #{full}]
    .endm

    .macro restore_frame
    ldp x20, x21, [sp, #{pc}]
    msr elr_el1, x20
    msr spsr_el1, x21
    ldp x0, x1, [sp]
    restore_from_x2
    ldp x18, x19, [sp, #144]
    ldp x20, x21, [sp, #160]
    ldp x22, x23, [sp, #176]
    ldp x24, x25, [sp, #192]
    ldp x26, x27, [sp, #208]
    ldp x28, x29, [sp, #224]
    .endm

    .macro from_kernel handler
    save_frame
    add x1, sp, #{frame}
    stp x30, x1, [sp, #240]
    mov x0, sp
    bl \handler
    restore_frame
    ldr x30, [sp, #240]
    add sp, sp, #{frame}
    eret
    .endm

    .macro vector target
    .balign 128
    b \target
    .endm

    .text
    .balign 2048
    trap_vectors:
    // From the kernel on the user's stack pointer, which it never runs on.
    vector kernel_fatal
    vector kernel_fatal
    vector kernel_fatal
    vector kernel_fatal
    vector kernel_synchronous
    vector kernel_interrupt
    vector kernel_fatal
    vector kernel_fatal
    vector user_synchronous
    vector user_interrupt
    vector user_error
    vector user_error
    // 32-bit user code, which nothing can start.
    vector user_error
    vector user_error
    vector user_error
    vector user_error

    // The stack may be the reason: whether the frame has a place is asked before it is written.
    kernel_synchronous:
    msr tpidrro_el0, x0
    sub x0, sp, #{frame}
    at s1e1w, x0
    isb
    mrs x0, par_el1
    tbnz x0, #0, kernel_stack_overflow
    mrs x0, tpidrro_el0
    msr tpidrro_el0, xzr
    from_kernel {kernel_exception}
    kernel_interrupt:
    from_kernel {kernel_interrupt}

    kernel_stack_overflow:
    mrs x0, tpidr_el1
    add x0, x0, #{emergency_stack_end}
    mov sp, x0
    mrs x0, tpidrro_el0
    kernel_fatal:
    from_kernel {fatal}

    // For debuggers: nobody in the kernel called what follows.
    .cfi_sections .debug_frame
    .cfi_startproc
    .cfi_undefined x30
    // A system call saves what the kernel's code may spoil. What that keeps comes back by itself; where something is left
    // to do before user code goes on it is saved too, and then everything is as after a trap.
    .balign 64
    user_synchronous:
    sub sp, sp, #{frame}
    save_spoiled
    str x18, [sp, #144]
    mrs x9, elr_el1
    mrs x10, spsr_el1
    mrs x11, sp_el0
    stp x9, x10, [sp, #{pc}]
    stp x30, x11, [sp, #240]
    mrs x1, esr_el1
    lsr x2, x1, #26
    cmp x2, #{svc}
    b.ne 3f
    stp x0, xzr, [sp, #{original_x0}]
    mov x0, sp
    cmp w8, #{calls}
    b.hs 4f
    adrp x9, {table}
    ldr x9, [x9, #:lo12:{table}]
    ldr x9, [x9, w8, uxtw #3]
    blr x9
    5:
    mrs x1, tpidr_el1
    ldr x1, [x1, #{current}]
    ldr w1, [x1, #{flags}]
    tst w1, #{work}
    b.ne 2f
    ldp x9, x10, [sp, #{pc}]
    ldp x30, x11, [sp, #240]
    msr elr_el1, x9
    msr spsr_el1, x10
    msr sp_el0, x11
    ldr x1, [sp, #8]
    restore_from_x2
    ldr x18, [sp, #144]
    add sp, sp, #{frame}
    eret

    2:
    save_kept
    mov x1, x0
    mov x0, sp
    bl {syscall_finish}
    b trap_return
    4:
    bl {unknown}
    b 5b
    3:
    str x0, [sp, #{original_x0}]
    save_kept
    mov x0, sp
    bl {user_exception}

    .global trap_return
    trap_return:
    ldp x30, x22, [sp, #240]
    msr sp_el0, x22
    restore_frame
    add sp, sp, #{frame}
    eret

    user_interrupt:
    save_frame
    mrs x22, sp_el0
    stp x30, x22, [sp, #240]
    mov x0, sp
    mov x29, xzr
    mov x30, xzr
    bl {user_interrupt}
    b trap_return

    user_error:
    save_frame
    mrs x22, sp_el0
    stp x30, x22, [sp, #240]
    mov x0, sp
    mov x29, xzr
    mov x30, xzr
    bl {fatal}
    .cfi_endproc
"#,
    frame = const FRAME_SIZE,
    original_x0 = const offset_of!(TrapFrame, original_x0),
    pc = const offset_of!(TrapFrame, pc),
    full = const offset_of!(TrapFrame, full),
    whole = const WHOLE,
    svc = const CLASS_SVC,
    calls = const table::TABLE_LEN,
    table = sym table::CHOSEN,
    unknown = sym table::unknown,
    syscall_finish = sym syscall::finish,
    current = const cpu::CURRENT_OFFSET,
    flags = const thread::FLAGS_OFFSET,
    work = const thread::WORK,
    user_exception = sym user_exception,
    user_interrupt = sym user_interrupt,
    kernel_exception = sym kernel_exception,
    kernel_interrupt = sym kernel_interrupt,
    fatal = sym fatal,
    emergency_stack_end = const cpu::EMERGENCY_STACK_END,
);

/// Points the exceptions of this CPU to the vectors.
pub(super) fn init_cpu() {
    unsafe extern "C" {
        fn trap_vectors();
    }
    // SAFETY: the vectors above.
    unsafe { asm!("msr vbar_el1, {}", "isb", in(reg) trap_vectors as *const () as usize, options(nostack)) };
}

const CLASS_FP: u64 = 0x07;
const CLASS_ILLEGAL_STATE: u64 = 0x0e;
const CLASS_SVC: u64 = 0x15;
const CLASS_SYSTEM_REGISTER: u64 = 0x18;
const CLASS_INSTRUCTION_ABORT_USER: u64 = 0x20;
const CLASS_PC_ALIGNMENT: u64 = 0x22;
const CLASS_DATA_ABORT_USER: u64 = 0x24;
const CLASS_DATA_ABORT_KERNEL: u64 = 0x25;
const CLASS_SP_ALIGNMENT: u64 = 0x26;
const CLASS_FP_EXCEPTION: u64 = 0x2c;
const CLASS_STEP_USER: u64 = 0x32;
const CLASS_WATCHPOINT_USER: u64 = 0x34;
const CLASS_BREAKPOINT_USER: u64 = 0x30;
const CLASS_BRK: u64 = 0x3c;

/// Fault status of a misaligned access; others are translation, access flag and permission faults.
const STATUS_ALIGNMENT: u64 = 0x21;

fn syndrome() -> (u64, u64, usize) {
    let (esr, far): (u64, usize);
    // SAFETY: reads registers.
    unsafe { asm!("mrs {}, esr_el1", "mrs {}, far_el1", out(reg) esr, out(reg) far, options(nostack, nomem)) };
    (esr >> 26, esr, far)
}

/// Set in every address of the kernel's half, whatever its tag.
const KERNEL_HALF: usize = 1 << 55;
const TAG: usize = 0xff << 56;

// Of a data abort's syndrome.
const ABORT_WRITE: u64 = 1 << 6;
const ABORT_CACHE_MAINTENANCE: u64 = 1 << 8;

fn data_access(esr: u64) -> Access {
    if esr & ABORT_WRITE != 0 && esr & ABORT_CACHE_MAINTENANCE == 0 {
        Access::Write
    } else {
        Access::Read
    }
}

/// The syndrome of an abort as programs see it: of a kernel address they learn that nothing is there, whatever is.
fn told_syndrome(class: u64, esr: u64, far: usize) -> u64 {
    const INSTRUCTION_LENGTH: u64 = 1 << 25;
    const TRANSLATION_FAULT: u64 = 4;
    if far & KERNEL_HALF == 0 {
        return esr;
    }
    let told = if class == CLASS_DATA_ABORT_USER {
        INSTRUCTION_LENGTH | ABORT_CACHE_MAINTENANCE | ABORT_WRITE
    } else {
        INSTRUCTION_LENGTH
    };
    class << 26 | esr & told | TRANSLATION_FAULT
}

extern "C" fn user_exception(frame: &mut TrapFrame) {
    let (class, esr, far) = syndrome();
    // An address of the lower half has its tag, which the tables do not know.
    let address = if far & KERNEL_HALF == 0 { far & !TAG } else { far };
    let exception = match class {
        CLASS_FP => return fpu::first_use(),
        CLASS_INSTRUCTION_ABORT_USER => Exception::PageFault {
            address: far,
            access: Access::Execute,
        },
        CLASS_DATA_ABORT_USER if esr & 0x3f == STATUS_ALIGNMENT => Exception::Alignment { address: far },
        CLASS_DATA_ABORT_USER => Exception::PageFault {
            address,
            access: data_access(esr),
        },
        CLASS_PC_ALIGNMENT => Exception::Alignment {
            address: frame.pc as usize,
        },
        CLASS_SP_ALIGNMENT => Exception::Alignment {
            address: frame.sp as usize,
        },
        CLASS_FP_EXCEPTION => Exception::FloatingPoint(fpu::exception_code(esr)),
        CLASS_BRK => Exception::Breakpoint,
        CLASS_STEP_USER | CLASS_WATCHPOINT_USER | CLASS_BREAKPOINT_USER => Exception::Trace,
        CLASS_SYSTEM_REGISTER | CLASS_ILLEGAL_STATE => Exception::IllegalInstruction,
        _ => Exception::IllegalInstruction,
    };
    let cause = match class {
        CLASS_INSTRUCTION_ABORT_USER | CLASS_DATA_ABORT_USER => Cause {
            syndrome: told_syndrome(class, esr, far),
            address: address as u64,
        },
        CLASS_PC_ALIGNMENT | CLASS_SP_ALIGNMENT => Cause {
            syndrome: esr,
            address: 0,
        },
        _ => Cause::default(),
    };
    crate::trap::user_exception(frame, exception, cause);
    crate::trap::before_user(frame);
}

extern "C" fn user_interrupt(frame: &mut TrapFrame) {
    gic::interrupt();
    crate::trap::before_user(frame);
}

extern "C" fn kernel_interrupt(_frame: &mut TrapFrame) {
    gic::interrupt();
}

/// Set while the one instruction runs that traps on a machine without semihosting.
static HALT_TRAP: AtomicBool = AtomicBool::new(false);

pub(super) fn expect_halt_trap() {
    HALT_TRAP.store(true, Ordering::Relaxed);
}

/// The kernel itself trapped: a user copy that met a fault goes on or ends early, anything else is a bug.
extern "C" fn kernel_exception(frame: &mut TrapFrame) {
    let (class, esr, far) = syndrome();
    if let Some(fixup) = uaccess::fixup(frame.pc as usize) {
        let mended = class == CLASS_DATA_ABORT_KERNEL
            && esr & 0x3f != STATUS_ALIGNMENT
            && far < super::USER_END
            && crate::trap::kernel_fault_on_user(far, data_access(esr));
        if !mended {
            frame.pc = fixup as u64;
        }
        return;
    }
    if HALT_TRAP.swap(false, Ordering::Relaxed) {
        frame.pc += INSTRUCTION_LEN;
        return;
    }
    fatal(frame)
}

/// Says what happened and ends the machine.
extern "C" fn fatal(frame: &TrapFrame) -> ! {
    let (class, esr, far) = syndrome();
    panic!("trap in the kernel, class {class:#x}, syndrome {esr:#x}, address {far:#x}\n{frame:#x?}")
}
