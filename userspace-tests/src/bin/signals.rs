//! Signals: handlers, masks, the alternate stack, what a call that sleeps does when one comes.

use libsyscall::abi::Errno;
use std::mem;
use std::process::ExitCode;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use userspace_tests::{Fd, Status, alarm_every, checked, child, disturbed, tests};

static CAUGHT: AtomicI32 = AtomicI32::new(0);
static COUNT: AtomicI32 = AtomicI32::new(0);
static ADDRESS: AtomicUsize = AtomicUsize::new(0);

fn main() -> ExitCode {
    userspace_tests::run(tests![
        handler_runs,
        default_actions,
        ignored_signals,
        mask_holds_back,
        pending_set,
        handler_keeps_registers,
        handler_on_another_cpu,
        handler_on_alternate_stack,
        fault_address,
        handler_mask_and_nesting,
        reset_hand,
        read_is_interrupted,
        read_is_restarted,
        epoll_is_never_restarted,
        sleep_is_interrupted,
        pwait_mask,
        broken_pipe,
        child_signal,
        thread_directed,
        kill_nobody,
        queue_for_nobody,
        children_that_nobody_waits_for,
        queued_real_time,
        stop_and_continue,
        kill_cannot_be_caught,
        wait_for_signal,
        wait_for_ignored_signal,
        frames_that_were_spoilt,
    ])
}

extern "C" fn note(signal: i32) {
    CAUGHT.store(signal, Ordering::SeqCst);
    COUNT.fetch_add(1, Ordering::SeqCst);
}

extern "C" fn note_address(signal: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    CAUGHT.store(signal, Ordering::SeqCst);
    // SAFETY: the kernel gives the handler a filled structure; a fault's has an address.
    ADDRESS.store(unsafe { (*info).si_addr() } as usize, Ordering::SeqCst);
    libsyscall::calls::process::exit_group(0);
}

fn handle(signal: i32, handler: usize, flags: i32) {
    // SAFETY: all zero bytes are an action with an empty mask; the handlers of this file do only what is
    // async-signal-safe.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        checked(libc::sigaction(signal, &action, ptr::null_mut())).expect("sigaction");
    }
    COUNT.store(0, Ordering::SeqCst);
    CAUGHT.store(0, Ordering::SeqCst);
}

fn note_handler() -> usize {
    note as extern "C" fn(i32) as usize
}

fn raise(signal: i32) {
    // SAFETY: the tests raise signals whose effect they have arranged.
    assert_eq!(unsafe { libc::raise(signal) }, 0);
}

/// A set of signals.
fn set(signals: &[i32]) -> libc::sigset_t {
    // SAFETY: all zero bytes are the empty set.
    unsafe {
        let mut set = mem::zeroed();
        signals
            .iter()
            .for_each(|&signal| assert_eq!(libc::sigaddset(&mut set, signal), 0));
        set
    }
}

fn mask(how: i32, signals: &[i32]) {
    // SAFETY: the kernel reads one set.
    assert_eq!(unsafe { libc::pthread_sigmask(how, &set(signals), ptr::null_mut()) }, 0);
}

fn handler_runs() {
    handle(libc::SIGUSR1, note_handler(), 0);
    raise(libc::SIGUSR1);
    assert_eq!(CAUGHT.load(Ordering::SeqCst), libc::SIGUSR1);
    raise(libc::SIGUSR1);
    assert_eq!(COUNT.load(Ordering::SeqCst), 2);
}

/// signal(7), the table of actions.
fn default_actions() {
    for signal in [
        libc::SIGTERM,
        libc::SIGUSR1,
        libc::SIGHUP,
        libc::SIGALRM,
        libc::SIGKILL,
        libc::SIGABRT,
    ] {
        let child = child(|| {
            handle(libc::SIGUSR1, libc::SIG_DFL, 0);
            raise(signal);
            0
        });
        assert_eq!(child.wait(), Status::Killed(signal));
    }
    for signal in [libc::SIGCHLD, libc::SIGURG, libc::SIGWINCH, libc::SIGCONT] {
        let child = child(|| {
            raise(signal);
            7
        });
        assert_eq!(child.wait(), Status::Exited(7));
    }
}

fn ignored_signals() {
    handle(libc::SIGTERM, libc::SIG_IGN, 0);
    raise(libc::SIGTERM);
    handle(libc::SIGTERM, libc::SIG_DFL, 0);
}

fn mask_holds_back() {
    handle(libc::SIGUSR1, note_handler(), 0);
    mask(libc::SIG_BLOCK, &[libc::SIGUSR1]);
    raise(libc::SIGUSR1);
    raise(libc::SIGUSR1);
    assert_eq!(COUNT.load(Ordering::SeqCst), 0);
    mask(libc::SIG_UNBLOCK, &[libc::SIGUSR1]);
    // Standard signals merge.
    assert_eq!(COUNT.load(Ordering::SeqCst), 1);
}

fn pending_set() {
    handle(libc::SIGUSR2, note_handler(), 0);
    mask(libc::SIG_BLOCK, &[libc::SIGUSR2]);
    raise(libc::SIGUSR2);
    let mut pending = set(&[]);
    // SAFETY: the kernel writes one set.
    checked(unsafe { libc::sigpending(&mut pending) }).expect("sigpending");
    // SAFETY: reads one set.
    assert_eq!(unsafe { libc::sigismember(&pending, libc::SIGUSR2) }, 1);
    mask(libc::SIG_UNBLOCK, &[libc::SIGUSR2]);
}

/// A thread goes to another CPU, changes a floating-point register, is interrupted by a handler and goes back: the first CPU
/// may have what the register held before. Where there is one CPU, the calls that move it fail, and the handler is left.
fn handler_on_another_cpu() {
    handle(libc::SIGUSR1, note_handler(), 0);
    // SAFETY: both take nothing.
    let (process, thread) = unsafe { (libc::getpid(), libc::syscall(libc::SYS_gettid)) };
    let masks = [1u64, 2];
    let first = masks.as_ptr();
    let value: f64;
    // SAFETY: four system calls, which read a mask each or raise a signal that has a handler; the registers they use are
    // named, and the calls are made in one block so that nothing else touches the one register that is looked at.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::asm!(
            "movsd xmm15, [{values}]",
            "mov eax, {affinity}", "xor edi, edi", "mov esi, 8", "mov rdx, {first}", "syscall",
            "mov eax, {affinity}", "xor edi, edi", "mov esi, 8", "lea rdx, [{first} + 8]", "syscall",
            "movsd xmm15, [{values} + 8]",
            "mov eax, {tgkill}", "mov edi, {process:e}", "mov esi, {thread:e}", "mov edx, {signal}", "syscall",
            "mov eax, {affinity}", "xor edi, edi", "mov esi, 8", "mov rdx, {first}", "syscall",
            "movsd {value}, xmm15",
            affinity = const libc::SYS_sched_setaffinity,
            tgkill = const libc::SYS_tgkill,
            signal = const libc::SIGUSR1,
            values = in(reg) [1.0f64, 2.0].as_ptr(),
            first = in(reg) first,
            process = in(reg) process,
            thread = in(reg) thread,
            value = lateout(xmm_reg) value,
            out("xmm15") _, out("rax") _, out("rcx") _, out("rdx") _, out("rsi") _, out("rdi") _, out("r11") _,
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        std::arch::asm!(
            "fmov d15, #1.0",
            "mov x0, #0", "mov x1, #8", "mov x2, {first}", "mov x8, #{affinity}", "svc #0",
            "mov x0, #0", "mov x1, #8", "add x2, {first}, #8", "mov x8, #{affinity}", "svc #0",
            "fmov d15, #2.0",
            "mov w0, {process:w}", "mov w1, {thread:w}", "mov x2, #{signal}", "mov x8, #{tgkill}", "svc #0",
            "mov x0, #0", "mov x1, #8", "mov x2, {first}", "mov x8, #{affinity}", "svc #0",
            "fmov {value:d}, d15",
            affinity = const libc::SYS_sched_setaffinity,
            tgkill = const libc::SYS_tgkill,
            signal = const libc::SIGUSR1,
            first = in(reg) first,
            process = in(reg) process,
            thread = in(reg) thread,
            value = lateout(vreg) value,
            out("d15") _, out("x0") _, out("x1") _, out("x2") _, out("x8") _,
        );
    }
    assert_eq!((COUNT.load(Ordering::SeqCst), value), (1, 2.0));
}

/// A timer's signals interrupt arithmetic; the registers, those of floating point too, come back each time.
fn handler_keeps_registers() {
    extern "C" fn disturb(_: i32) {
        let mut value = 1.0f64;
        for step in 1..100 {
            value = value * 1.000_1 + f64::from(step).sqrt();
        }
        COUNT.fetch_add(i32::from(value > 0.0), Ordering::SeqCst);
    }
    handle(libc::SIGALRM, disturb as extern "C" fn(i32) as usize, libc::SA_RESTART);
    alarm_every(1000);
    let work = || {
        (1..20_000u32).fold((0.0f64, 0u64), |(sum, hash), n| {
            (
                sum + 1.0 / f64::from(n),
                hash.wrapping_mul(31).wrapping_add(u64::from(n)),
            )
        })
    };
    let expected = work();
    let start = Instant::now();
    while COUNT.load(Ordering::SeqCst) < 20 && start.elapsed() < Duration::from_secs(10) {
        assert_eq!(work(), expected);
    }
    alarm_every(0);
    assert!(COUNT.load(Ordering::SeqCst) >= 20);
}

fn handler_on_alternate_stack() {
    const SIZE: usize = 64 * 1024;
    extern "C" fn where_am_i(_: i32) {
        let local = 0u8;
        ADDRESS.store(&raw const local as usize, Ordering::SeqCst);
    }
    let stack = vec![0u8; SIZE].leak();
    let range = stack.as_ptr_range();
    let new = libc::stack_t {
        ss_sp: stack.as_mut_ptr().cast(),
        ss_flags: 0,
        ss_size: SIZE,
    };
    // SAFETY: all zero bytes are a stack; the new one lives for ever.
    let mut old: libc::stack_t = unsafe { mem::zeroed() };
    // SAFETY: as above.
    checked(unsafe { libc::sigaltstack(&new, &mut old) }).expect("sigaltstack");
    handle(
        libc::SIGUSR1,
        where_am_i as extern "C" fn(i32) as usize,
        libc::SA_ONSTACK,
    );
    raise(libc::SIGUSR1);
    let inside = ADDRESS.load(Ordering::SeqCst);
    assert!((range.start as usize..range.end as usize).contains(&inside));
    // SAFETY: the old stack is the one the runtime had set.
    checked(unsafe { libc::sigaltstack(&old, ptr::null_mut()) }).expect("sigaltstack");
}

fn fault_address() {
    let child = child(|| {
        let handler = note_address as extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) as usize;
        handle(libc::SIGSEGV, handler, libc::SA_SIGINFO);
        // The handler ends the child, successfully; the exit status below is the failure's.
        // SAFETY: not sound, and meant so: the child ends here.
        unsafe { ptr::without_provenance::<u8>(0x10).read_volatile() };
        1
    });
    assert_eq!(child.wait(), Status::Exited(0));
}

/// The signal is masked while its handler runs, but for SA_NODEFER.
fn handler_mask_and_nesting() {
    static DEPTH: AtomicI32 = AtomicI32::new(0);
    static DEEPEST: AtomicI32 = AtomicI32::new(0);
    extern "C" fn again(signal: i32) {
        let depth = DEPTH.fetch_add(1, Ordering::SeqCst) + 1;
        DEEPEST.fetch_max(depth, Ordering::SeqCst);
        if COUNT.fetch_add(1, Ordering::SeqCst) < 2 {
            // SAFETY: raising a signal this handler is for.
            unsafe { libc::raise(signal) };
        }
        DEPTH.fetch_sub(1, Ordering::SeqCst);
    }
    handle(libc::SIGUSR1, again as extern "C" fn(i32) as usize, 0);
    raise(libc::SIGUSR1);
    assert_eq!((COUNT.load(Ordering::SeqCst), DEEPEST.load(Ordering::SeqCst)), (3, 1));
    handle(libc::SIGUSR1, again as extern "C" fn(i32) as usize, libc::SA_NODEFER);
    raise(libc::SIGUSR1);
    assert_eq!((COUNT.load(Ordering::SeqCst), DEEPEST.load(Ordering::SeqCst)), (3, 3));
}

fn reset_hand() {
    let child = child(|| {
        handle(libc::SIGUSR1, note_handler(), libc::SA_RESETHAND);
        raise(libc::SIGUSR1);
        raise(libc::SIGUSR1);
        0
    });
    assert_eq!(child.wait(), Status::Killed(libc::SIGUSR1));
}

/// What `call` gives that a signal disturbs.
fn interrupted<T>(flags: i32, call: impl FnOnce() -> T) -> T {
    handle(libc::SIGUSR1, note_handler(), flags);
    let result = disturbed(libc::SIGUSR1, call);
    assert_eq!(CAUGHT.load(Ordering::SeqCst), libc::SIGUSR1);
    result
}

fn read_is_interrupted() {
    let (read, _write) = Fd::blocking_pipe();
    assert_eq!(interrupted(0, || read.read(&mut [0])), Err(Errno::EINTR));
}

fn read_is_restarted() {
    let (read, write) = Fd::blocking_pipe();
    let writer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(150));
        write.write(b"x").expect("write")
    });
    assert_eq!(interrupted(libc::SA_RESTART, || read.read(&mut [0])), Ok(1));
    writer.join().expect("thread");
}

/// Semantics 107.
fn epoll_is_never_restarted() {
    let epoll = Fd::epoll();
    assert_eq!(interrupted(libc::SA_RESTART, || epoll.wait(5000, 1)), Err(Errno::EINTR));
}

fn sleep_is_interrupted() {
    let long = libc::timespec { tv_sec: 5, tv_nsec: 0 };
    let mut left = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let result = interrupted(libc::SA_RESTART, || {
        // SAFETY: the kernel reads and writes one timespec.
        checked(unsafe { libc::nanosleep(&long, &mut left) })
    });
    assert_eq!(result, Err(Errno::EINTR));
    assert!(left.tv_sec == 4, "{} s left", left.tv_sec);
}

/// Semantics 110, 111.
fn pwait_mask() {
    use libsyscall::abi::event::EpollEvent;
    use libsyscall::calls::event::epoll_pwait;
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    epoll.add(&event, libc::EPOLLIN as u32);
    handle(libc::SIGUSR1, note_handler(), 0);
    mask(libc::SIG_BLOCK, &[libc::SIGUSR1]);
    raise(libc::SIGUSR1);
    let mut events = [EpollEvent::default()];
    let open = 0u64;
    assert_eq!(epoll_pwait(epoll.0, &mut events, 0, Some(&open)), Ok(0));
    COUNT.store(0, Ordering::SeqCst);
    raise(libc::SIGUSR1);
    assert_eq!(epoll_pwait(epoll.0, &mut events, 1000, Some(&open)), Err(Errno::EINTR));
    assert_eq!(COUNT.load(Ordering::SeqCst), 1);
    mask(libc::SIG_UNBLOCK, &[libc::SIGUSR1]);
}

/// Semantics 169.
fn broken_pipe() {
    let (read, write) = Fd::pipe();
    drop(read);
    // Rust programs ignore SIGPIPE.
    assert_eq!(write.write(b"x"), Err(Errno::EPIPE));
    let child = child(|| {
        handle(libc::SIGPIPE, libc::SIG_DFL, 0);
        i32::from(write.write(b"x").is_ok())
    });
    assert_eq!(child.wait(), Status::Killed(libc::SIGPIPE));
}

fn child_signal() {
    handle(libc::SIGCHLD, note_handler(), libc::SA_RESTART);
    assert_eq!(child(|| 0).wait(), Status::Exited(0));
    assert_eq!(CAUGHT.load(Ordering::SeqCst), libc::SIGCHLD);
    handle(libc::SIGCHLD, libc::SIG_DFL, 0);
}

/// tgkill(2) reaches the one thread, whose mask counts.
fn thread_directed() {
    handle(libc::SIGUSR1, note_handler(), 0);
    mask(libc::SIG_BLOCK, &[libc::SIGUSR1]);
    // SAFETY: the thread has not ended: it is this one.
    assert_eq!(unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGUSR1) }, 0);
    thread::spawn(|| {
        mask(libc::SIG_UNBLOCK, &[libc::SIGUSR1]);
        assert_eq!(COUNT.load(Ordering::SeqCst), 0);
    })
    .join()
    .expect("thread");
    mask(libc::SIG_UNBLOCK, &[libc::SIGUSR1]);
    assert_eq!(COUNT.load(Ordering::SeqCst), 1);
}

fn kill_nobody() {
    // SAFETY: nobody has this number, or the signal is none.
    let kill = |pid, signal| checked(unsafe { libc::kill(pid, signal) });
    assert_eq!(kill(1 << 22, libc::SIGTERM), Err(Errno::ESRCH));
    assert_eq!(kill(1 << 22, 65), Err(Errno::ESRCH));
    assert_eq!(kill(std::process::id() as i32, 65), Err(Errno::EINVAL));
    assert_eq!(kill(std::process::id() as i32, 0), Ok(0));
}

/// Signal 0 asks whether one could be queued (sigqueue(3)); whether the receiver is there comes before what is sent.
fn queue_for_nobody() {
    let value = libc::sigval {
        sival_ptr: ptr::null_mut(),
    };
    // SAFETY: nobody has this number, or the signal is none.
    let queue = |pid, signal| checked(unsafe { libc::sigqueue(pid, signal, value) });
    let this = std::process::id() as i32;
    assert_eq!(queue(this, 0), Ok(0));
    assert_eq!(queue(this, 65), Err(Errno::EINVAL));
    assert_eq!(queue(1 << 22, 0), Err(Errno::ESRCH));
    assert_eq!(queue(1 << 22, 65), Err(Errno::ESRCH));
}

/// SA_NOCLDWAIT: the signal comes, yet there is no child; and who waits hears that rather than of the interruption.
fn children_that_nobody_waits_for() {
    handle(libc::SIGCHLD, note_handler(), libc::SA_NOCLDWAIT);
    for count in 1..=20 {
        child(|| 0);
        // SAFETY: no status is asked for.
        let waited = checked(unsafe { libc::waitpid(-1, ptr::null_mut(), 0) });
        assert_eq!(waited, Err(Errno::ECHILD));
        assert_eq!(COUNT.load(Ordering::SeqCst), count);
    }
    handle(libc::SIGCHLD, libc::SIG_DFL, 0);
}

/// Real-time signals queue and keep their order (signal(7)).
fn queued_real_time() {
    let signal = libc::SIGRTMIN() + 1;
    handle(signal, note_handler(), 0);
    mask(libc::SIG_BLOCK, &[signal]);
    (0..5).for_each(|_| raise(signal));
    mask(libc::SIG_UNBLOCK, &[signal]);
    assert_eq!(COUNT.load(Ordering::SeqCst), 5);
}

fn stop_and_continue() {
    let child = child(|| {
        thread::sleep(Duration::from_millis(100));
        9
    });
    let wait = |options| {
        let mut status = 0;
        // SAFETY: the kernel writes one status.
        assert_eq!(unsafe { libc::waitpid(child.0, &mut status, options) }, child.0);
        status
    };
    child.signal(libc::SIGSTOP);
    let status = wait(libc::WUNTRACED);
    assert!(libc::WIFSTOPPED(status) && libc::WSTOPSIG(status) == libc::SIGSTOP);
    child.signal(libc::SIGCONT);
    assert!(libc::WIFCONTINUED(wait(libc::WCONTINUED)));
    assert_eq!(child.wait(), Status::Exited(9));
}

fn kill_cannot_be_caught() {
    for signal in [libc::SIGKILL, libc::SIGSTOP] {
        // SAFETY: all zero bytes are an action; the call is refused.
        let refused = unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            action.sa_sigaction = libc::SIG_IGN;
            checked(libc::sigaction(signal, &action, ptr::null_mut()))
        };
        assert_eq!(refused, Err(Errno::EINVAL));
    }
}

/// sigtimedwait(2) takes a blocked signal without its handler.
fn wait_for_signal() {
    mask(libc::SIG_BLOCK, &[libc::SIGUSR2]);
    raise(libc::SIGUSR2);
    let second = libc::timespec { tv_sec: 1, tv_nsec: 0 };
    // SAFETY: the kernel reads one set and one timespec.
    let taken = unsafe { libc::sigtimedwait(&set(&[libc::SIGUSR2]), ptr::null_mut(), &second) };
    assert_eq!(taken, libc::SIGUSR2);
    let soon = libc::timespec {
        tv_sec: 0,
        tv_nsec: 10_000_000,
    };
    // SAFETY: as above.
    let nothing = unsafe { libc::sigtimedwait(&set(&[libc::SIGUSR2]), ptr::null_mut(), &soon) };
    assert_eq!(checked(nothing), Err(Errno::EAGAIN));
    mask(libc::SIG_UNBLOCK, &[libc::SIGUSR2]);
}

/// A signal that is ignored by default arrives all the same where it is blocked, also while somebody waits for it.
fn wait_for_ignored_signal() {
    mask(libc::SIG_BLOCK, &[libc::SIGCHLD]);
    let child = child(|| {
        thread::sleep(Duration::from_millis(50));
        0
    });
    let minute = libc::timespec { tv_sec: 60, tv_nsec: 0 };
    // SAFETY: the kernel reads one set and one timespec.
    let taken = unsafe { libc::sigtimedwait(&set(&[libc::SIGCHLD]), ptr::null_mut(), &minute) };
    assert_eq!(checked(taken), Ok(libc::SIGCHLD));
    assert_eq!(child.wait(), Status::Exited(0));
    mask(libc::SIG_UNBLOCK, &[libc::SIGCHLD]);
}

/// What a handler may change in its frame on the way out.
static SPOIL: AtomicI32 = AtomicI32::new(0);

#[cfg(target_arch = "aarch64")]
extern "C" fn spoil(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    /// Where the records of other state start in struct sigcontext.
    const RECORDS: usize = 288;
    // SAFETY: the kernel passes the frame's ucontext_t; the records lie within it.
    unsafe {
        let machine = &raw mut (*context.cast::<libc::ucontext_t>()).uc_mcontext;
        match SPOIL.load(Ordering::SeqCst) {
            // Flags are the program's.
            0 => (*machine).pstate ^= 1 << 28,
            // EL1, 32 bits, a masked interrupt.
            1 => (*machine).pstate |= 5,
            2 => (*machine).pstate |= 1 << 4,
            3 => (*machine).pstate |= 1 << 7,
            _ => *machine.cast::<u8>().add(RECORDS).cast::<u32>() ^= 1,
        }
    }
}

/// How a process ends whose handler spoils its frame.
fn spoilt(how: i32) -> Status {
    child(|| {
        SPOIL.store(how, Ordering::SeqCst);
        // The standard library has a handler, which would go back into nowhere.
        handle(libc::SIGSEGV, libc::SIG_DFL, 0);
        handle(libc::SIGUSR1, spoil as *const () as usize, libc::SA_SIGINFO);
        // SAFETY: the handler is installed.
        unsafe { libc::raise(libc::SIGUSR1) };
        0
    })
    .wait()
}

/// rt_sigreturn(2) of a state that no program can be in is SIGSEGV.
#[cfg(target_arch = "aarch64")]
fn frames_that_were_spoilt() {
    assert_eq!(spoilt(0), Status::Exited(0));
    for how in 1..=4 {
        assert_eq!(spoilt(how), Status::Killed(libc::SIGSEGV));
    }
}

#[cfg(target_arch = "x86_64")]
extern "C" fn spoil(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes the frame's ucontext_t.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    match SPOIL.load(Ordering::SeqCst) {
        // Flags are the program's; those that are not are put right.
        0 => registers[libc::REG_EFL as usize] ^= 1 << 6,
        1 => registers[libc::REG_EFL as usize] |= 3 << 12 | 1 << 17,
        // No address at all.
        _ => registers[libc::REG_RIP as usize] = 1 << 62,
    }
}

/// rt_sigreturn(2) to where no program can be is SIGSEGV.
#[cfg(target_arch = "x86_64")]
fn frames_that_were_spoilt() {
    assert_eq!((spoilt(0), spoilt(1)), (Status::Exited(0), Status::Exited(0)));
    assert_eq!(spoilt(2), Status::Killed(libc::SIGSEGV));
}
