//! Exceptions and interrupts: the registers saved, and the way up to `crate::trap`.

use super::{cpu, fpu, lapic};
use crate::arch::frame::{FAST, WHOLE};
use crate::arch::{MAX_CPUS, USER_END, fixups};
use crate::trap::{Access, Exception};
use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
use x86_64::instructions::tables::{lidt, load_tss};
use x86_64::registers::control::Cr2;
use x86_64::structures::DescriptorTablePointer;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::tss::TaskStateSegment;

/// The registers of user code, as they lie on top of its thread's kernel stack.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct TrapFrame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    /// How much of it there is: see [`crate::arch::frame`].
    pub full: u64,
    /// The system call's number; an exception's error code.
    pub original_rax: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

/// What the processor says of an exception: `trapno`, `err` and `cr2` of `struct sigcontext_64`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cause {
    pub vector: u64,
    pub error: u64,
    /// Of a page fault, otherwise 0.
    pub address: u64,
}

pub(super) const FRAME_SIZE: usize = size_of::<TrapFrame>();

pub(super) const KERNEL_CODE: u16 = 0x08;
pub(super) const USER_DATA: u16 = 0x18 | 3;
pub(super) const USER_CODE: u16 = 0x20 | 3;

/// Interrupts on; bit 1 is always set.
const USER_RFLAGS: u64 = 0x202;
/// What user code may choose itself: the arithmetic flags, TF, DF, RF, AC, ID.
const USER_RFLAGS_FREE: u64 = 0xcd5 | 0x100 | 0x1_0000 | 0x4_0000 | 0x20_0000;

/// Length of the `syscall` instruction.
const SYSCALL_LEN: u64 = 2;

impl TrapFrame {
    /// What a program starts with: `ip`, `sp`, everything else zero, user mode, interrupts on.
    pub fn new_user(ip: usize, sp: usize) -> TrapFrame {
        TrapFrame {
            rip: ip as u64,
            rsp: sp as u64,
            cs: USER_CODE as u64,
            ss: USER_DATA as u64,
            rflags: USER_RFLAGS,
            full: WHOLE,
            ..TrapFrame::default()
        }
    }

    #[inline]
    pub fn syscall_number(&self) -> usize {
        self.original_rax as u32 as usize
    }

    /// System-call argument 0 to 5.
    #[inline]
    pub fn argument(&self, n: usize) -> usize {
        (match n {
            0 => self.rdi,
            1 => self.rsi,
            2 => self.rdx,
            3 => self.r10,
            4 => self.r8,
            _ => self.r9,
        }) as usize
    }

    /// What the system call returns: the value, or minus the error number.
    #[inline]
    pub fn set_result(&mut self, value: isize) {
        self.rax = value as u64;
    }

    pub fn result(&self) -> isize {
        self.rax as isize
    }

    /// Goes back onto the system-call instruction with its original number and arguments.
    pub fn restart_syscall(&mut self) {
        self.rax = self.original_rax;
        self.set_ip((self.rip - SYSCALL_LEN) as usize);
    }

    pub fn ip(&self) -> usize {
        self.rip as usize
    }

    pub fn sp(&self) -> usize {
        self.rsp as usize
    }

    pub fn set_ip(&mut self, ip: usize) {
        self.rip = ip as u64;
        self.full = WHOLE;
    }

    pub fn set_sp(&mut self, sp: usize) {
        self.rsp = sp as u64;
    }

    /// Every register in the order of DWARF's numbers, and the instruction's address. For a whole frame.
    pub fn dwarf_registers(&self) -> [u64; 17] {
        [
            self.rax, self.rdx, self.rcx, self.rbx, self.rsi, self.rdi, self.rbp, self.rsp, self.r8, self.r9, self.r10,
            self.r11, self.r12, self.r13, self.r14, self.r15, self.rip,
        ]
    }

    /// Makes registers that came from user memory (a signal frame) fit to go back with.
    pub(super) fn sanitise(&mut self) {
        self.cs = USER_CODE as u64;
        self.ss = USER_DATA as u64;
        self.rflags = USER_RFLAGS | self.rflags & USER_RFLAGS_FREE;
        // A non-canonical RIP would fault in the kernel, at `iretq`; an address past user space faults in user mode.
        if self.rip >= super::USER_END as u64 {
            self.rip = super::USER_END as u64;
        }
        self.full = WHOLE;
    }
}

/// A stack for exceptions that must not trust the one they interrupt.
const EXCEPTION_STACK_SIZE: usize = 8192;

/// What the hardware needs from one CPU's memory.
struct Tables {
    gdt: UnsafeCell<GlobalDescriptorTable<8>>,
    tss: UnsafeCell<TaskStateSegment>,
}
// SAFETY: each CPU touches its own only.
unsafe impl Sync for Tables {}

/// Stacks for double faults, NMIs and machine checks. Only the hardware writes them.
#[repr(align(16))]
struct ExceptionStacks(UnsafeCell<[[u8; EXCEPTION_STACK_SIZE]; 3]>);
// SAFETY: as above.
unsafe impl Sync for ExceptionStacks {}

static EXCEPTION_STACKS: [ExceptionStacks; MAX_CPUS] =
    [const { ExceptionStacks(UnsafeCell::new([[0; EXCEPTION_STACK_SIZE]; 3])) }; MAX_CPUS];

static TABLES: [Tables; MAX_CPUS] = [const {
    Tables {
        gdt: UnsafeCell::new(GlobalDescriptorTable::empty()),
        tss: UnsafeCell::new(TaskStateSegment::new()),
    }
}; MAX_CPUS];

/// A gate of the interrupt descriptor table.
#[derive(Clone, Copy)]
#[repr(C)]
struct Gate {
    offset_low: u16,
    selector: u16,
    ist: u8,
    kind: u8,
    offset_middle: u16,
    offset_high: u32,
    _reserved: u32,
}

#[repr(C, align(16))]
struct GateTable(UnsafeCell<[Gate; 256]>);
// SAFETY: written by CPU 0 before any interrupt, only read (by hardware) after.
unsafe impl Sync for GateTable {}
static GATES: GateTable = GateTable(UnsafeCell::new(
    [Gate {
        offset_low: 0,
        selector: 0,
        ist: 0,
        kind: 0,
        offset_middle: 0,
        offset_high: 0,
        _reserved: 0,
    }; 256],
));

const VECTOR_NMI: usize = 2;
const VECTOR_BREAKPOINT: usize = 3;
const VECTOR_OVERFLOW: usize = 4;
const VECTOR_DOUBLE_FAULT: usize = 8;
const VECTOR_MACHINE_CHECK: usize = 18;

/// Sets up segments, task state and gates on this CPU.
pub(super) fn init_cpu(id: usize) {
    let tables = &TABLES[id];
    // SAFETY: this CPU's own tables, before it takes any trap.
    unsafe {
        let tss = &mut *tables.tss.get();
        for (slot, stack) in (*EXCEPTION_STACKS[id].0.get()).iter().enumerate() {
            tss.interrupt_stack_table[slot] = VirtAddr::from_ptr(stack.as_ptr_range().end);
        }
        let gdt = &mut *tables.gdt.get();
        *gdt = GlobalDescriptorTable::empty();
        gdt.append(Descriptor::kernel_code_segment());
        gdt.append(Descriptor::kernel_data_segment());
        gdt.append(Descriptor::user_data_segment());
        gdt.append(Descriptor::user_code_segment());
        let task = gdt.append(Descriptor::tss_segment_unchecked(tss));
        (*tables.gdt.get()).load_unsafe();
        CS::set_reg(SegmentSelector(KERNEL_CODE));
        SS::set_reg(SegmentSelector(0x10));
        DS::set_reg(SegmentSelector(0));
        ES::set_reg(SegmentSelector(0));
        load_tss(task);
        if id == 0 {
            init_gates();
        }
        lidt(&DescriptorTablePointer {
            limit: (size_of::<[Gate; 256]>() - 1) as u16,
            base: VirtAddr::from_ptr(GATES.0.get()),
        });
    }
}

/// # Safety
/// Called once, before any trap.
unsafe fn init_gates() {
    unsafe extern "C" {
        static trap_stubs: [u64; 256];
    }
    // SAFETY: the table of stub addresses is made by the assembler below.
    let (stubs, gates) = unsafe { (&trap_stubs, &mut *GATES.0.get()) };
    for (vector, (gate, &stub)) in gates.iter_mut().zip(stubs).enumerate() {
        let user = vector == VECTOR_BREAKPOINT || vector == VECTOR_OVERFLOW;
        *gate = Gate {
            offset_low: stub as u16,
            selector: KERNEL_CODE,
            ist: match vector {
                VECTOR_DOUBLE_FAULT => 1,
                VECTOR_NMI => 2,
                VECTOR_MACHINE_CHECK => 3,
                _ => 0,
            },
            // An interrupt gate: present, masks interrupts; `int3` and `into` may come from user code.
            kind: 0x8e | if user { 0x60 } else { 0 },
            offset_middle: (stub >> 16) as u16,
            offset_high: (stub >> 32) as u32,
            _reserved: 0,
        };
    }
}

/// The stack that traps from user mode and system calls start on.
pub(super) fn set_kernel_stack(top: usize) {
    // SAFETY: this CPU's own block and task state; interrupts are masked.
    unsafe {
        *cpu::block().frame_base.get() = top - FRAME_SIZE;
        (*TABLES[cpu::id()].tss.get()).privilege_stack_table[0] = VirtAddr::new_truncate(top as u64);
    }
}

/// Resets the machine: no gates, then a trap.
pub(super) fn triple_fault() -> ! {
    let nothing = DescriptorTablePointer {
        limit: 0,
        base: VirtAddr::zero(),
    };
    // SAFETY: nothing runs after this.
    unsafe {
        lidt(&nothing);
        asm!("int3", "2: hlt", "jmp 2b", options(noreturn))
    }
}

global_asm!(
    r#"
    .macro trap_stub vector
    .balign 16
    trap_stub_\vector:
    .if (\vector == 8) || (\vector >= 10 && \vector <= 14) || (\vector == 17) || (\vector == 21) || (\vector == 29) || (\vector == 30)
    .else
    push 0
    .endif
    push \vector
    jmp trap_common
    .endm

    .text
    .altmacro
    .set vector, 0
    .rept 256
    trap_stub %vector
    .set vector, vector + 1
    .endr

    // On the stack: vector (in the slot of `full`), error code, then what the CPU pushed.
    trap_common:
    test byte ptr [rsp + 24], 3
    jz 2f
    swapgs
    2:
    push rdi
    push rsi
    push rdx
    push rcx
    push rax
    push r8
    push r9
    push r10
    push r11
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    xor ebp, ebp
    cld
    mov rdi, rsp
    call {entry}

    .global trap_return
    trap_return:
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    pop r11
    pop r10
    pop r9
    pop r8
    pop rax
    pop rcx
    pop rdx
    pop rsi
    pop rdi
    mov qword ptr [rsp], {fast}
    add rsp, 16
    test byte ptr [rsp + 8], 3
    jz 3f
    swapgs
    3:
    iretq

    .section .rodata
    .balign 8
    .macro trap_address vector
    .quad trap_stub_\vector
    .endm
    trap_stubs:
    .set vector, 0
    .rept 256
    trap_address %vector
    .set vector, vector + 1
    .endr
    .text
    .noaltmacro
"#,
    entry = sym entry,
    fast = const FAST,
);

const PAGE_FAULT_PROTECTION: u64 = 1 << 0;
const PAGE_FAULT_WRITE: u64 = 1 << 1;
const PAGE_FAULT_FETCH: u64 = 1 << 4;

/// From the stubs, with every register in `frame`; the vector is in the slot of `full`, so going back is by `iretq`.
extern "C" fn entry(frame: &mut TrapFrame) {
    let vector = frame.full;
    frame.full = WHOLE;
    let user = frame.cs & 3 != 0;
    if vector >= 32 {
        lapic::interrupt(vector as u8);
        if user {
            crate::trap::before_user(frame);
        }
        return;
    }
    if vector == VECTOR_NMI as u64 {
        // The only one who sends it is a CPU that panics.
        super::irq::halt();
    }
    // Read first: handling may fault again on a user copy.
    let fault_address = Cr2::read_raw() as usize;
    if vector == 7 {
        fpu::first_use();
        return;
    }
    if !user {
        kernel_exception(frame, vector, fault_address);
        return;
    }
    let exception = match vector {
        0 => Exception::Divide,
        1 => Exception::Trace,
        3 => Exception::Breakpoint,
        6 => Exception::IllegalInstruction,
        11 | 12 => Exception::Stack,
        14 => Exception::PageFault {
            address: fault_address,
            access: access(frame.original_rax),
        },
        16 | 19 => Exception::FloatingPoint(fpu::exception_code(vector == 19)),
        17 => Exception::Alignment { address: 0 },
        8 | 18 => fatal(frame, vector, fault_address),
        _ => Exception::Protection,
    };
    let mut cause = Cause {
        vector,
        error: frame.original_rax,
        address: 0,
    };
    if vector == 14 {
        cause.address = fault_address as u64;
        if fault_address >= USER_END {
            // Whether the kernel has something there is not for programs to know.
            cause.error |= PAGE_FAULT_PROTECTION;
        }
    }
    crate::trap::user_exception(frame, exception, cause);
    crate::trap::before_user(frame);
}

fn access(error: u64) -> Access {
    if error & PAGE_FAULT_FETCH != 0 {
        Access::Execute
    } else if error & PAGE_FAULT_WRITE != 0 {
        Access::Write
    } else {
        Access::Read
    }
}

/// The kernel itself trapped: a user copy that met a fault goes on or ends early, anything else is a bug.
fn kernel_exception(frame: &mut TrapFrame, vector: u64, fault_address: usize) {
    if let Some(fixup) = fixups::find(frame.rip as usize) {
        let mended = vector == 14
            && fault_address < super::USER_END
            && crate::trap::kernel_fault_on_user(fault_address, access(frame.original_rax));
        if !mended {
            frame.rip = fixup as u64;
        }
        return;
    }
    fatal(frame, vector, fault_address)
}

fn fatal(frame: &TrapFrame, vector: u64, fault_address: usize) -> ! {
    panic!(
        "trap {vector} in the kernel, error {:#x}, address {fault_address:#x}\n{frame:#x?}",
        frame.original_rax
    )
}
