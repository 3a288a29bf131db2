//! What a signal handler is told of a fault: siginfo_t, and the machine's own words in the frame.

use std::arch::asm;
use std::io::{PipeWriter, Read, Write, pipe};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::{mem, ptr};
use userspace_tests::{Status, checked, child, tests};

fn main() -> ExitCode {
    userspace_tests::run(tests![
        breakpoint,
        illegal_instruction,
        nothing_mapped,
        kernel_memory,
        no_right
    ])
}

const SI_KERNEL: i64 = 0x80;
const SEGV_MAPERR: i64 = 1;

/// siginfo_t's signal, code and address; where the fault was; what the machine says of it.
#[derive(Debug)]
struct Told {
    signal: i32,
    code: i64,
    address: u64,
    at: u64,
    /// x86_64: trapno and err. aarch64: fault_address, and the syndrome of the record, 0 without one.
    machine: [u64; 2],
}

#[cfg(target_arch = "x86_64")]
fn words(context: &libc::ucontext_t) -> [u64; 4] {
    let register = |n: i32| context.uc_mcontext.gregs[n as usize] as u64;
    [
        register(libc::REG_RIP),
        register(libc::REG_TRAPNO),
        register(libc::REG_ERR),
        register(libc::REG_CR2),
    ]
}

#[cfg(target_arch = "aarch64")]
fn words(context: &libc::ucontext_t) -> [u64; 4] {
    const FPSIMD_LEN: usize = 528;
    const ESR_MAGIC: u32 = 0x4553_5201;
    let machine = &context.uc_mcontext;
    // SAFETY: the records are in what libc hides at the structure's end, from a multiple of 16 on; FP/SIMD is the first.
    let (magic, syndrome) = unsafe {
        let records = ptr::from_ref(machine).cast::<u8>().add(288);
        let second = records.add(FPSIMD_LEN);
        (second.cast::<u32>().read(), second.add(8).cast::<u64>().read())
    };
    let syndrome = if magic == ESR_MAGIC { syndrome } else { 0 };
    [machine.pc, machine.fault_address, syndrome, machine.fault_address]
}

static REPORT: OnceLock<PipeWriter> = OnceLock::new();

extern "C" fn tell(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel gives the handler both, filled in; a fault's siginfo_t has room for an address.
    let (info, address, context) = unsafe { (&*info, (*info).si_addr(), &*context.cast::<libc::ucontext_t>()) };
    let [at, first, second, third] = words(context);
    let mut bytes = [0; 56];
    let all = [
        signal as u64,
        info.si_code as u64,
        address as u64,
        at,
        first,
        second,
        third,
    ];
    for (to, word) in bytes.chunks_exact_mut(8).zip(all) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    let sent = REPORT.get().is_some_and(|mut pipe| pipe.write_all(&bytes).is_ok());
    libsyscall::calls::process::exit_group(i32::from(!sent));
}

/// What a handler in a child is told of the fault that `body` makes.
fn told(body: impl FnOnce()) -> Told {
    let (mut reader, writer) = pipe().expect("pipe");
    let child = child(|| {
        REPORT.set(writer).expect("the child's first");
        for signal in [libc::SIGILL, libc::SIGTRAP, libc::SIGBUS, libc::SIGSEGV] {
            // SAFETY: all zero bytes are an action with an empty mask; the handler ends the process.
            unsafe {
                let mut action: libc::sigaction = mem::zeroed();
                action.sa_sigaction = tell as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO;
                checked(libc::sigaction(signal, &action, ptr::null_mut())).expect("sigaction");
            }
        }
        body();
        2
    });
    let mut bytes = [0; 56];
    let read = reader.read_exact(&mut bytes);
    assert_eq!(child.wait(), Status::Exited(0));
    read.expect("a report");
    let word = |n: usize| u64::from_ne_bytes(bytes[n * 8..n * 8 + 8].try_into().expect("eight bytes"));
    let told = Told {
        signal: word(0) as i32,
        code: word(1) as i64,
        address: word(2),
        at: word(3),
        machine: [word(4), word(5)],
    };
    let is_access = told.signal == libc::SIGSEGV && told.code != SI_KERNEL;
    if is_access {
        assert_eq!(word(6), told.address, "cr2, or fault_address");
    }
    told
}

/// On x86_64, `int3` and the overflow trap come without an address or a code of their own.
fn breakpoint() {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: the handler ends the child.
        let int3 = told(|| unsafe { asm!("int3") });
        assert_eq!((int3.signal, int3.code, int3.address), (libc::SIGTRAP, SI_KERNEL, 0));
        assert_eq!(int3.machine, [3, 0]);
        // SAFETY: as above.
        let overflow = told(|| unsafe { asm!("int 4") });
        assert_eq!(
            (overflow.signal, overflow.code, overflow.address),
            (libc::SIGSEGV, SI_KERNEL, 0)
        );
        assert_eq!(overflow.machine, [4, 0]);
    }
    #[cfg(target_arch = "aarch64")]
    {
        const TRAP_BRKPT: i64 = 1;
        // SAFETY: the handler ends the child.
        let brk = told(|| unsafe { asm!("brk #0") });
        assert_eq!((brk.signal, brk.code, brk.address), (libc::SIGTRAP, TRAP_BRKPT, brk.at));
    }
}

fn illegal_instruction() {
    // SAFETY: the handler ends the child.
    let told = told(|| unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("ud2");
        #[cfg(target_arch = "aarch64")]
        asm!("udf #0");
    });
    // ILL_ILLOPN, ILL_ILLOPC.
    let (code, machine) = if cfg!(target_arch = "x86_64") {
        (2, [6, 0])
    } else {
        (1, [0, 0])
    };
    assert_eq!((told.signal, told.code, told.address), (libc::SIGILL, code, told.at));
    assert_eq!(told.machine, machine);
}

/// What the machine says of an access. The status of aarch64 also names a level of the page tables, which is left out here.
fn access(told: &Told, write: bool, protection: bool) {
    if cfg!(target_arch = "x86_64") {
        let error = 4 | u64::from(write) << 1 | u64::from(protection);
        assert_eq!(told.machine, [14, error]);
    } else {
        let [address, syndrome] = told.machine;
        assert_eq!((address, syndrome >> 26), (told.address, 0x24));
        assert_eq!(syndrome >> 6 & 1, u64::from(write));
        let status = syndrome & 0x3f;
        assert_eq!(status & !3, if protection { 12 } else { 4 }, "status {status:#x}");
    }
}

fn nothing_mapped() {
    // SAFETY: the handler ends the child.
    let written = told(|| unsafe { ptr::without_provenance_mut::<u8>(0x18).write_volatile(1) });
    assert_eq!(
        (written.signal, written.code, written.address),
        (libc::SIGSEGV, SEGV_MAPERR, 0x18)
    );
    access(&written, true, false);
    // SAFETY: as above.
    let read = told(|| _ = unsafe { ptr::without_provenance::<u8>(0x18).read_volatile() });
    assert_eq!(
        (read.signal, read.code, read.address),
        (libc::SIGSEGV, SEGV_MAPERR, 0x18)
    );
    access(&read, false, false);
}

/// Nobody learns where the kernel has memory: every address of its half looks alike.
fn kernel_memory() {
    let spots: [usize; 3] = if cfg!(target_arch = "x86_64") {
        [0xffff_ffff_8020_0000, 0xffff_8880_0000_0000, 0xffff_ffff_ffff_f000]
    } else {
        [0xffff_8000_8020_0000, 0xffff_0000_0000_0000, 0xffff_ffff_ffff_f000]
    };
    for spot in spots {
        // SAFETY: the handler ends the child.
        let told = told(|| _ = unsafe { ptr::without_provenance::<u8>(spot).read_volatile() });
        assert_eq!(
            (told.signal, told.code, told.address),
            (libc::SIGSEGV, SEGV_MAPERR, spot as u64)
        );
        if cfg!(target_arch = "x86_64") {
            access(&told, false, true);
        } else {
            assert_eq!(told.machine[1] & 0x3f, 4);
        }
    }
}

fn no_right() {
    const SEGV_ACCERR: i64 = 2;
    let text = no_right as *const () as *mut u8;
    // SAFETY: the handler ends the child.
    let told = told(|| unsafe { text.write_volatile(1) });
    assert_eq!(
        (told.signal, told.code, told.address),
        (libc::SIGSEGV, SEGV_ACCERR, text as u64)
    );
    access(&told, true, true);
}
