//! What no program should do. The kernel answers with an errno, or ends the program with the signal Linux gives.

use libsyscall::abi::event::{EPOLL_CTL_ADD, EpollEvent};
use libsyscall::abi::{Errno, nr};
use libsyscall::calls::raw;
use std::arch::asm;
use std::process::ExitCode;
use std::ptr;
use userspace_tests::{Fd, Status, child, tests};

/// Pointers that are wrong in each way: null, low, non-canonical, kernel's, the last bytes of the address space.
const BAD: [usize; 6] = [
    0,
    8,
    0x0000_8000_0000_0000,
    0xdead_beef_dead_beef,
    0xffff_ffff_8020_0000,
    usize::MAX - 7,
];

fn main() -> ExitCode {
    userspace_tests::run(tests![
        bad_buffers,
        bad_paths,
        bad_structures,
        buffer_half_mapped,
        read_only_buffer,
        bad_numbers,
        unknown_calls,
        random_calls,
        null_dereference,
        kernel_address,
        illegal_instruction,
        division_by_zero,
        privileged_instruction,
        stack_overflow,
        jump_to_nowhere,
        exec_garbage,
        exec_broken_headers,
        bad_signal_return,
        signal_return_anywhere,
        wild_alternate_stack,
        descriptor_limit,
        fork_bomb_is_bounded,
        fork_bomb_meets_the_limit,
        lengths_overflow,
        holes_without_end,
        hole_in_a_huge_file,
        killed_in_a_long_call,
    ])
}

/// A call with arguments that the kernel must refuse.
fn call<const N: usize>(number: usize, arguments: [usize; N]) -> Result<usize, Errno> {
    // SAFETY: refused, so nothing is read or written.
    unsafe { raw(number, arguments) }
}

fn dies_of(signal: i32, body: impl FnOnce()) {
    let child = child(|| {
        // SAFETY: the runtime's handler, which tells stack overflows, gives way to the default.
        unsafe {
            libc::signal(libc::SIGSEGV, libc::SIG_DFL);
            libc::signal(libc::SIGBUS, libc::SIG_DFL);
        }
        body();
        0
    });
    assert_eq!(child.wait(), Status::Killed(signal));
}

fn bad_buffers() {
    let (read, write) = Fd::pipe();
    write.write(b"12345678").expect("write");
    for bad in BAD {
        assert_eq!(
            call(nr::WRITE, [write.0 as usize, bad, 8]),
            Err(Errno::EFAULT),
            "{bad:#x}"
        );
        assert_eq!(
            call(nr::READ, [read.0 as usize, bad, 8]),
            Err(Errno::EFAULT),
            "{bad:#x}"
        );
        assert_eq!(call(nr::PIPE2, [bad, 0]), Err(Errno::EFAULT), "{bad:#x}");
        assert_eq!(call(nr::UNAME, [bad]), Err(Errno::EFAULT), "{bad:#x}");
        assert_eq!(call(nr::GETRANDOM, [bad, 8, 0]), Err(Errno::EFAULT), "{bad:#x}");
        assert_eq!(call(nr::GETCWD, [bad, 100]), Err(Errno::EFAULT), "{bad:#x}");
    }
    let mut left = [0; 8];
    assert_eq!(read.read(&mut left), Ok(8));
    assert_eq!(&left, b"12345678");
}

fn bad_paths() {
    for bad in BAD {
        assert_eq!(
            call(nr::OPENAT, [libc::AT_FDCWD as usize, bad, 0, 0]),
            Err(Errno::EFAULT),
            "{bad:#x}"
        );
        assert_eq!(call(nr::EXECVE, [bad, 0, 0]), Err(Errno::EFAULT), "{bad:#x}");
        assert_eq!(call(nr::CHDIR, [bad]), Err(Errno::EFAULT), "{bad:#x}");
    }
    let long = vec![b'x'; 5000];
    assert_eq!(call(nr::CHDIR, [long.as_ptr() as usize]), Err(Errno::ENAMETOOLONG));
}

fn bad_structures() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(1, 0));
    let (epfd, fd) = (epoll.0 as usize, event.0 as usize);
    for bad in BAD {
        assert_eq!(
            call(nr::EPOLL_CTL, [epfd, EPOLL_CTL_ADD as usize, fd, bad]),
            Err(Errno::EFAULT),
            "{bad:#x}"
        );
        assert_eq!(call(nr::FSTAT, [fd, bad]), Err(Errno::EFAULT), "{bad:#x}");
        assert_eq!(call(nr::CLOCK_GETTIME, [1, bad]), Err(Errno::EFAULT), "{bad:#x}");
        assert_eq!(call(nr::NANOSLEEP, [bad, 0]), Err(Errno::EFAULT), "{bad:#x}");
        assert_eq!(call(nr::PPOLL, [bad, 1, 0, 0, 8]), Err(Errno::EFAULT), "{bad:#x}");
    }
    for bad in &BAD[1..] {
        assert_eq!(call(nr::RT_SIGACTION, [10, *bad, 0, 8]), Err(Errno::EFAULT), "{bad:#x}");
        assert_eq!(
            call(nr::RT_SIGPROCMASK, [0, *bad, 0, 8]),
            Err(Errno::EFAULT),
            "{bad:#x}"
        );
    }
}

/// A copy goes as far as the memory does.
fn buffer_half_mapped() {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping, of which the second page is given back.
    let memory = unsafe {
        let memory = libc::mmap(ptr::null_mut(), 8192, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        assert_ne!(memory, libc::MAP_FAILED);
        assert_eq!(libc::munmap(memory.byte_add(4096), 4096), 0);
        memory as usize
    };
    let event = Fd::eventfd(1, 0);
    assert_eq!(call(nr::READ, [event.0 as usize, memory + 4092, 8]), Err(Errno::EFAULT));
    let name = memory + 4093;
    // SAFETY: within the first page.
    unsafe { ptr::with_exposed_provenance_mut::<[u8; 3]>(name).write(*b"abc") };
    assert_eq!(call(nr::CHDIR, [name]), Err(Errno::EFAULT));
}

fn read_only_buffer() {
    static TEXT: [u8; 8] = *b"constant";
    let event = Fd::eventfd(5, 0);
    assert_eq!(
        call(nr::READ, [event.0 as usize, TEXT.as_ptr() as usize, 8]),
        Err(Errno::EFAULT)
    );
    assert_eq!(&TEXT, b"constant");
    let mut events = [EpollEvent::default()];
    assert_eq!(
        call(nr::EPOLL_PWAIT, [usize::MAX, events.as_mut_ptr() as usize, 1, 0, 0, 8]),
        Err(Errno::EBADF)
    );
}

fn bad_numbers() {
    for fd in [-1i32, i32::MIN, i32::MAX, 1000] {
        assert_eq!(call(nr::CLOSE, [fd as usize]), Err(Errno::EBADF));
        assert_eq!(call(nr::DUP, [fd as usize]), Err(Errno::EBADF));
        assert_eq!(call(nr::FCNTL, [fd as usize, 1, 0]), Err(Errno::EBADF));
        assert_eq!(call(nr::FSTAT, [fd as usize, 8]), Err(Errno::EBADF));
    }
    assert_eq!(call(nr::DUP3, [1, usize::MAX >> 33, 0]), Err(Errno::EBADF));
    assert!(call(nr::LSEEK, [0, 0, 99]).is_err());
    assert_eq!(call(nr::KILL, [1 << 22, 9]), Err(Errno::ESRCH));
}

fn unknown_calls() {
    for number in [1000, 0xffff, 1 << 31, usize::MAX] {
        assert_eq!(call(number, [0; 6]), Err(Errno::ENOSYS), "{number:#x}");
    }
}

/// Event calls with every mixture of odd arguments, in a child: it may be refused anything, and the kernel lives.
fn random_calls() {
    const NUMBERS: [usize; 8] = [
        nr::EPOLL_CTL,
        nr::EPOLL_PWAIT,
        nr::EVENTFD2,
        nr::EPOLL_CREATE1,
        nr::MPROTECT,
        nr::MADVISE,
        nr::FCNTL,
        nr::RT_SIGACTION,
    ];
    const ODD: [usize; 8] = [0, 1, 3, 8, 64, 0x1000, usize::MAX, 0x7fff_ffff];
    let child = child(|| {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 60) as usize % 8
        };
        for _ in 0..20_000 {
            let number = NUMBERS[next()];
            let mut arguments = [0; 6].map(|_: usize| ODD[next()]);
            if number == nr::EPOLL_PWAIT {
                arguments[3] = 0;
            }
            let _ = call(number, arguments);
        }
        0
    });
    assert_eq!(child.wait(), Status::Exited(0));
}

fn null_dereference() {
    dies_of(libc::SIGSEGV, || {
        // SAFETY: not sound, and meant so: the child ends here.
        unsafe { ptr::without_provenance_mut::<u8>(1).write_volatile(1) };
    });
}

fn kernel_address() {
    for bad in [0xffff_ffff_8020_0000usize, 0xffff_8880_0000_0000, 0xffff_0000_0000_0000] {
        dies_of(libc::SIGSEGV, || {
            // SAFETY: not sound, and meant so: the child ends here.
            unsafe { ptr::without_provenance::<u8>(bad).read_volatile() };
        });
    }
}

fn illegal_instruction() {
    dies_of(libc::SIGILL, || {
        // SAFETY: not sound, and meant so: the child ends here.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            asm!("ud2");
            #[cfg(target_arch = "aarch64")]
            asm!("udf #0");
        }
    });
}

/// aarch64 gives zero and no trap.
fn division_by_zero() {
    #[cfg(target_arch = "x86_64")]
    dies_of(libc::SIGFPE, || {
        // SAFETY: not sound, and meant so: the child ends here.
        unsafe { asm!("div {zero:e}", zero = in(reg) 0, inout("eax") 1 => _, inout("edx") 0 => _) };
    });
    #[cfg(target_arch = "aarch64")]
    userspace_tests::harness::ignore("this machine does not trap");
}

fn privileged_instruction() {
    // The general-protection fault of x86_64 is a SIGSEGV, the undefined instruction of aarch64 a SIGILL.
    let signal = if cfg!(target_arch = "x86_64") {
        libc::SIGSEGV
    } else {
        libc::SIGILL
    };
    dies_of(signal, || {
        // SAFETY: not sound, and meant so: the child ends here.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            asm!("cli");
            #[cfg(target_arch = "aarch64")]
            asm!("msr vbar_el1, xzr");
        }
    });
}

fn stack_overflow() {
    fn deep(depth: u64) -> u64 {
        let block = std::hint::black_box([depth; 500]);
        if depth == u64::MAX {
            0
        } else {
            deep(depth + 1) + block[499]
        }
    }
    dies_of(libc::SIGSEGV, || {
        std::hint::black_box(deep(0));
    });
}

fn jump_to_nowhere() {
    dies_of(libc::SIGSEGV, || {
        // SAFETY: not sound, and meant so: the child ends here.
        let code: extern "C" fn() = unsafe { std::mem::transmute(0x1000usize) };
        code();
    });
}

/// The errno of executing a file with these bytes.
fn exec(bytes: &[u8]) -> Option<i32> {
    use std::os::unix::fs::PermissionsExt;
    let path = std::env::temp_dir().join(format!("vigil-hostile-{}", std::process::id()));
    std::fs::write(&path, bytes).expect("write");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("chmod");
    let error = std::process::Command::new(&path)
        .status()
        .expect_err("it is no program");
    std::fs::remove_file(path).expect("unlink");
    error.raw_os_error()
}

/// execve(2): ENOEXEC.
fn exec_garbage() {
    assert_eq!(exec(b"plain text\n"), Some(libc::ENOEXEC));
    assert_eq!(exec(&[0; 4096]), Some(libc::ENOEXEC));
    assert_eq!(exec(b""), Some(libc::ENOEXEC));
    assert_eq!(exec(b"\x7fELF"), Some(libc::ENOEXEC));
}

fn exec_broken_headers() {
    let mut program = std::fs::read("/proc/self/exe").expect("read");
    program.truncate(64);
    assert!(matches!(exec(&program), Some(libc::ENOEXEC | libc::EIO)));
    let mut other = program.clone();
    other[18] = 0x28;
    assert_eq!(exec(&other), Some(libc::ENOEXEC));
    program[56..58].copy_from_slice(&0xffffu16.to_le_bytes());
    assert!(exec(&program).is_some());
}

/// rt_sigreturn(2) from nowhere reads a frame of nonsense.
fn bad_signal_return() {
    let child = child(|| {
        // SAFETY: takes no pointers. Rust's own handler would return, and the program go on.
        unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
        // SAFETY: not sound, and meant so: the child ends here.
        let _ = unsafe { raw(nr::RT_SIGRETURN, [0; 6]) };
        0
    });
    assert!(matches!(child.wait(), Status::Killed(_)));
}

/// With the stack pointer where no stack can be.
fn signal_return_anywhere() {
    for bad in BAD {
        dies_of(libc::SIGSEGV, || {
            // SAFETY: not sound, and meant so: the child ends here.
            unsafe {
                #[cfg(target_arch = "x86_64")]
                asm!("mov rsp, {}", "syscall", "ud2", in(reg) bad, in("rax") nr::RT_SIGRETURN, options(noreturn));
                #[cfg(target_arch = "aarch64")]
                asm!("mov sp, {}", "svc #0", "udf #0", in(reg) bad & !15, in("x8") nr::RT_SIGRETURN, options(noreturn));
            }
        });
    }
}

/// A stack for handlers that ends past the end of the address space, or where nothing is.
fn wild_alternate_stack() {
    extern "C" fn handler(_signal: i32) {}
    for base in [usize::MAX - 4096, 1 << 63, 4096] {
        dies_of(libc::SIGSEGV, || {
            let stack = libc::stack_t {
                ss_sp: base as *mut libc::c_void,
                ss_flags: 0,
                ss_size: 1 << 20,
            };
            // SAFETY: the kernel reads both structures; the stack is not sound, and meant so.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = handler as *const () as usize;
                action.sa_flags = libc::SA_ONSTACK;
                libc::sigaction(libc::SIGUSR1, &action, ptr::null_mut());
                libc::sigaltstack(&stack, ptr::null_mut());
                libc::raise(libc::SIGUSR1);
            }
        });
    }
}

fn descriptor_limit() {
    let child = child(|| {
        let limit = libc::rlimit {
            rlim_cur: 20,
            rlim_max: 20,
        };
        // SAFETY: the kernel reads one limit.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } != 0 {
            return 1;
        }
        let opened: Vec<_> = (0..30)
            .map_while(|_| libsyscall::calls::event::eventfd(0, 0).ok())
            .collect();
        let refused = libsyscall::calls::event::eventfd(0, 0);
        i32::from(opened.len() > 17 || refused != Err(Errno::EMFILE))
    });
    assert_eq!(child.wait(), Status::Exited(0));
}

/// Many processes at once, all of which end.
fn fork_bomb_is_bounded() {
    let root = child(|| {
        let mut children = Vec::new();
        for _ in 0..100 {
            children.push(child(|| {
                std::thread::sleep(std::time::Duration::from_millis(20));
                0
            }));
        }
        i32::from(children.into_iter().any(|child| child.wait() != Status::Exited(0)))
    });
    assert_eq!(root.wait(), Status::Exited(0));
}

/// Processes that do nothing but fork, under RLIMIT_NPROC: each meets EAGAIN in the end, and all can be killed.
fn fork_bomb_meets_the_limit() {
    const LIMIT: u64 = 20;
    /// User and group of their own, since root has no limit.
    const OWNER: u32 = 54_321;
    let (reader, writer) = Fd::blocking_pipe();
    // SAFETY: no pointers.
    let is_root = unsafe { libc::geteuid() } == 0;
    let leader = child(|| {
        let limit = libc::rlimit {
            rlim_cur: LIMIT,
            rlim_max: LIMIT,
        };
        // SAFETY: the kernel reads one limit; a forked process has what this one has, which has one thread.
        unsafe {
            if libc::setpgid(0, 0) != 0
                || libc::setrlimit(libc::RLIMIT_NPROC, &limit) != 0
                || is_root && (libc::setgid(OWNER) != 0 || libc::setuid(OWNER) != 0)
            {
                return 1;
            }
            while libc::fork() >= 0 {}
            let met = *libc::__errno_location() == libc::EAGAIN;
            let _ = writer.write(&[u8::from(met)]);
            // Should nobody kill it.
            libc::alarm(60);
            libc::pause();
        }
        0
    });
    drop(writer);
    // Another user of this computer has processes already, which count.
    let expected = if is_root { LIMIT } else { 1 };
    let mut met = [0];
    for _ in 0..expected {
        assert_eq!(reader.read(&mut met), Ok(1));
        assert_eq!(met, [1]);
    }
    // SAFETY: the group is the leader's, which is a child not yet waited for.
    assert_eq!(unsafe { libc::kill(-leader.0, libc::SIGKILL) }, 0);
    assert_eq!(leader.wait(), Status::Killed(libc::SIGKILL));
    // The pipe ends with the last of them.
    while reader.read(&mut met) != Ok(0) {}
}

fn lengths_overflow() {
    let event = Fd::eventfd(1, 0);
    let buffer = [0u8; 8];
    let address = buffer.as_ptr() as usize;
    for length in [usize::MAX, usize::MAX - address + 1, 1 << 63] {
        assert_eq!(
            call(nr::WRITE, [event.0 as usize, address, length]),
            Err(Errno::EFAULT),
            "{length:#x}"
        );
        assert!(call(nr::MUNMAP, [4096, length]).is_err());
        assert!(call(nr::MPROTECT, [4096, length, 1]).is_err());
    }
    let vectors = [0usize; 2];
    let writev = |count: usize| call(nr::WRITEV, [event.0 as usize, vectors.as_ptr() as usize, count]);
    assert_eq!(writev(1025), Err(Errno::EINVAL));
    assert_eq!(writev(usize::MAX), Err(Errno::EINVAL));
}

/// A mapping with a hole in every other page, up to what the kernel keeps count of.
fn holes_without_end() {
    const PAGE: usize = 4096;
    const HOLES: usize = 70_000;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping, which nobody touches.
    let memory = unsafe { libc::mmap(ptr::null_mut(), 2 * HOLES * PAGE, libc::PROT_NONE, flags, -1, 0) };
    assert_ne!(memory, libc::MAP_FAILED);
    let memory = memory as usize;
    let made = (0..HOLES)
        .map(|hole| call(nr::MUNMAP, [memory + (2 * hole + 1) * PAGE, PAGE]))
        .find(Result::is_err);
    assert!(matches!(made, None | Some(Err(Errno::ENOMEM))), "{made:?}");
    assert_eq!(call(nr::MUNMAP, [memory, 2 * HOLES * PAGE]), Ok(0));
    assert!(call(nr::MREMAP, [memory, PAGE, usize::MAX - PAGE, 1, 0]).is_err());
}

/// A hole as large as a file can be, which costs no more than what is there.
fn hole_in_a_huge_file() {
    // SAFETY: the kernel reads the name.
    let file = Fd(unsafe { libc::memfd_create(c"huge".as_ptr(), 0) });
    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    let last = i64::MAX - 0xffff;
    // SAFETY: numbers only, and bytes that are there.
    unsafe {
        assert_eq!(libc::ftruncate(file.0, last), 0);
        assert_eq!(libc::pwrite(file.0, b"end".as_ptr().cast(), 3, last - 3), 3);
        assert_eq!(libc::fallocate(file.0, mode, 0, last), 0);
        let mut bytes = [1u8; 3];
        assert_eq!(libc::pread(file.0, bytes.as_mut_ptr().cast(), 3, last - 3), 3);
        assert_eq!(bytes, [0; 3]);
    }
}

/// A call that would take seconds ends with its process, and holds nobody up meanwhile.
fn killed_in_a_long_call() {
    let child = child(|| {
        let random = std::fs::File::open("/dev/urandom").expect("open");
        let buffer = vec![0u8; 2 << 20];
        let vectors = [[buffer.as_ptr() as usize, buffer.len()]; 1023];
        let fd = std::os::fd::AsRawFd::as_raw_fd(&random) as usize;
        // SAFETY: the kernel writes the one buffer again and again.
        while unsafe { raw(nr::READV, [fd, vectors.as_ptr() as usize, vectors.len()]) }.is_ok() {}
        0
    });
    std::thread::sleep(std::time::Duration::from_millis(50));
    child.signal(libc::SIGKILL);
    assert_eq!(child.wait(), Status::Killed(libc::SIGKILL));
}
