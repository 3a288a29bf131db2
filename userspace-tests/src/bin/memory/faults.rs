//! Faults: of programs, of the kernel on their behalf, of several threads.

use super::pages::*;
use std::ffi::c_void;
use std::os::fd::AsRawFd;
use std::ptr::null_mut;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI32, AtomicUsize};
use userspace_tests::check_eq;

pub fn past_the_end_is_sigbus() -> Result<(), String> {
    let file = file(PAGE)?;
    let at = map_file(0, 3 * PAGE, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0);
    let at = at.map_err(|error| error.to_string())?;
    check_eq!(get(at, 1), 1);
    check_eq!(dies_by(|| _ = get(at, PAGE)), Some(libc::SIGBUS));
    unmap(at, 3 * PAGE)
}

pub fn null_is_sigsegv() -> Result<(), String> {
    check_eq!(dies_by(|| put(null_mut(), 8, 1)), Some(libc::SIGSEGV));
    check_eq!(dies_by(|| _ = get(usize::MAX as *mut u8, 0)), Some(libc::SIGSEGV));
    Ok(())
}

/// The code and the address of the fault that [`remember_and_allow`] saw last.
static SEEN_CODE: AtomicI32 = AtomicI32::new(0);
static SEEN_ADDRESS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn remember_and_allow(_signal: i32, info: *mut libc::siginfo_t, _context: *mut c_void) {
    // SAFETY: the kernel's siginfo; the page is the test's.
    unsafe {
        let address = (*info).si_addr() as usize;
        SEEN_CODE.store((*info).si_code, Relaxed);
        SEEN_ADDRESS.store(address, Relaxed);
        libc::mprotect((address & !(PAGE - 1)) as *mut c_void, PAGE, RW);
    }
}

/// Runs `f` with a SIGSEGV handler that remembers the fault and allows the page.
fn with_handler(f: impl FnOnce()) -> (i32, usize) {
    // SAFETY: the handler does only what is safe in one; the old action is put back.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = remember_and_allow as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        let mut old = std::mem::zeroed();
        libc::sigaction(libc::SIGSEGV, &action, &mut old);
        f();
        libc::sigaction(libc::SIGSEGV, &old, null_mut());
    }
    (SEEN_CODE.load(Relaxed), SEEN_ADDRESS.load(Relaxed))
}

pub fn read_only_is_sigsegv_accerr() -> Result<(), String> {
    const SEGV_ACCERR: i32 = 2;
    let at = map(PAGE, libc::PROT_READ, PRIVATE)?;
    check_eq!(get(at, 0), 0);
    check_eq!(with_handler(|| put(at, 12, 1)), (SEGV_ACCERR, at as usize + 12));
    check_eq!(get(at, 12), 1);
    unmap(at, PAGE)
}

pub fn no_execution_of_data() -> Result<(), String> {
    let at = map(PAGE, RW, PRIVATE)?;
    #[cfg(target_arch = "x86_64")]
    put(at, 0, 0xc3);
    #[cfg(target_arch = "aarch64")]
    (0..4).for_each(|byte| put(at, byte, 0xd65f_03c0u32.to_le_bytes()[byte]));
    // SAFETY: a page with one return instruction; without the right to execute it, the child dies.
    let call = || unsafe { std::mem::transmute::<*mut u8, extern "C" fn()>(at)() };
    check_eq!(dies_by(call), Some(libc::SIGSEGV));
    check_eq!(protect(at, PAGE, libc::PROT_READ | libc::PROT_EXEC), Ok(()));
    check_eq!(
        exits(|| {
            call();
            3
        }),
        Some(3)
    );
    unmap(at, PAGE)
}

pub fn handler_mends_and_goes_on() -> Result<(), String> {
    let at = map(8 * PAGE, libc::PROT_NONE, PRIVATE)?;
    for page in 0..8 {
        let (_, address) = with_handler(|| put(at, page * PAGE, page as u8));
        check_eq!(address, at as usize + page * PAGE);
    }
    for page in 0..8 {
        check_eq!(get(at, page * PAGE), page as u8);
    }
    unmap(at, 8 * PAGE)
}

pub fn stack_grows() -> Result<(), String> {
    /// Uses some 4 KiB of stack for each level.
    fn descend(levels: usize) -> usize {
        let mut filler = [levels as u8; 4000];
        std::hint::black_box(&mut filler);
        if levels == 0 {
            0
        } else {
            descend(levels - 1) + filler[17] as usize - levels as u8 as usize + 1
        }
    }
    check_eq!(exits(|| (descend(1500) == 1500) as i32), Some(1));
    check_eq!(dies_by(|| _ = descend(4000)), Some(libc::SIGSEGV));
    Ok(())
}

pub fn bad_pointers_are_efault() -> Result<(), String> {
    let at = map(2 * PAGE, RW, PRIVATE)?;
    unmap(at.wrapping_add(PAGE), PAGE)?;
    let mut pipe = [0; 2];
    // SAFETY: descriptors of this test; the kernel judges the pointers.
    unsafe {
        check_eq!(libc::pipe(pipe.as_mut_ptr()), 0);
        check_eq!(
            (libc::write(pipe[1], at.add(PAGE).cast(), 1), errno()),
            (-1, libc::EFAULT)
        );
        check_eq!(
            (libc::write(pipe[1], usize::MAX as *const c_void, 1), errno()),
            (-1, libc::EFAULT)
        );
        check_eq!(
            (libc::write(pipe[1], (1usize << 63) as *const c_void, 1), errno()),
            (-1, libc::EFAULT)
        );
        libc::write(pipe[1], at.cast(), 8);
        check_eq!(
            (libc::read(pipe[0], at.add(PAGE).cast(), 8), errno()),
            (-1, libc::EFAULT)
        );
        // The kernel's own addresses are no user's.
        check_eq!(
            (
                libc::read(pipe[0], 0xffff_8880_0000_0000usize as *mut c_void, 8),
                errno()
            ),
            (-1, libc::EFAULT)
        );
        check_eq!(
            (libc::pipe(std::ptr::without_provenance_mut::<i32>(1)), errno()),
            (-1, libc::EFAULT)
        );
        libc::close(pipe[0]);
        libc::close(pipe[1]);
    }
    unmap(at, PAGE)
}

pub fn copies_fault_pages_in() -> Result<(), String> {
    let at = map(32 * PAGE, RW, PRIVATE)?;
    let file = file(20 * PAGE)?;
    // SAFETY: reads into the mapping of this test.
    let count = unsafe { libc::pread(file.as_raw_fd(), at.add(100).cast(), 20 * PAGE, 0) };
    check_eq!(count, 20 * PAGE as isize);
    for offset in 0..20 * PAGE {
        check_eq!(get(at, 100 + offset), offset as u8);
    }
    // A forked child's system call writes to its own copy.
    let child = exits(|| {
        // SAFETY: as above.
        let count = unsafe { libc::pread(file.as_raw_fd(), at.add(3 * PAGE).cast(), 16, 1) };
        (count == 16 && get(at, 3 * PAGE) == 1) as i32
    });
    check_eq!(child, Some(1));
    check_eq!(get(at, 3 * PAGE), (3 * PAGE - 100) as u8);
    unmap(at, 32 * PAGE)
}

pub fn threads_fault_together() -> Result<(), String> {
    const THREADS: usize = 4;
    const PAGES: usize = 512;
    let at = map(PAGES * PAGE, RW, PRIVATE)? as usize;
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || (0..PAGES).for_each(|page| put(at as *mut u8, page * PAGE + thread, thread as u8 + 1)));
        }
    });
    for page in 0..PAGES {
        for thread in 0..THREADS {
            check_eq!(get(at as *mut u8, page * PAGE + thread), thread as u8 + 1);
        }
    }
    unmap(at as *mut u8, PAGES * PAGE)
}

pub fn unmap_is_seen_by_other_threads() -> Result<(), String> {
    use std::sync::atomic::{AtomicUsize, Ordering};
    // One thread maps, unmaps and maps again at the same address while others read: no reader ever sees old contents.
    const ROUNDS: usize = 300;
    let at = map(PAGE, RW, PRIVATE)? as usize;
    let round = AtomicUsize::new(0);
    let wrong = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let now = round.load(Ordering::SeqCst);
                    if now == ROUNDS {
                        break;
                    }
                    let seen = get(at as *mut u8, 0) as usize;
                    // Zero is a fresh page; the round before may be over by now, older ones are gone.
                    if seen != 0 && seen < now % 251 && round.load(Ordering::SeqCst) == now && now % 251 > 1 {
                        wrong.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
        for now in 1..=ROUNDS {
            let _ = map_at(at, PAGE, RW, PRIVATE | libc::MAP_FIXED);
            round.store(now, Ordering::SeqCst);
            put(at as *mut u8, 0, (now % 251) as u8);
        }
    });
    check_eq!(wrong.load(Ordering::SeqCst), 0);
    unmap(at as *mut u8, PAGE)
}
