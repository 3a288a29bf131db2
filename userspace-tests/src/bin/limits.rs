//! Limits of getrlimit(2), each in a child that sets it for itself.

use libsyscall::abi::Errno;
use std::process::ExitCode;
use std::ptr;
use userspace_tests::{Status, check, check_eq, checked, child, tests};

fn main() -> ExitCode {
    userspace_tests::run(tests![
        address_space,
        address_space_and_replacing,
        data,
        data_by_protection,
        stack,
        file_size,
        file_size_ignored,
        open_files,
        queued_signals,
        processes,
        soft_and_hard,
        inherited,
        others_limits,
    ])
}

type Outcome = Result<(), String>;

/// Runs `body` in a child with a soft limit.
fn limited(resource: u32, limit: u64, body: fn() -> Outcome) -> Outcome {
    let status = in_child(|| {
        set(resource, limit, libc::RLIM_INFINITY)?;
        body()
    });
    check_eq!(status, Status::Exited(0));
    Ok(())
}

fn in_child(body: impl FnOnce() -> Outcome) -> Status {
    let child = child(|| match body() {
        Ok(()) => 0,
        Err(why) => {
            eprintln!("{why}");
            1
        }
    });
    child.wait()
}

/// Sets a limit, the hard one no higher than it is.
fn set(resource: u32, soft: u64, hard: u64) -> Outcome {
    let hard = hard.min(get(resource).1);
    let limit = libc::rlimit {
        rlim_cur: soft.min(hard),
        rlim_max: hard,
    };
    // SAFETY: the limit is read.
    checked(unsafe { libc::setrlimit(resource, &limit) }).map_err(|error| format!("setrlimit: {error}"))?;
    Ok(())
}

fn get(resource: u32) -> (u64, u64) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the limit is written.
    unsafe { libc::getrlimit(resource, &mut limit) };
    (limit.rlim_cur, limit.rlim_max)
}

fn map(len: usize, protection: i32) -> Result<usize, Errno> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping touches no other memory.
    checked(unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, -1, 0) } as isize).map(|at| at as usize)
}

const BOTH: i32 = libc::PROT_READ | libc::PROT_WRITE;
const MIB: usize = 1 << 20;

fn address_space() -> Outcome {
    limited(libc::RLIMIT_AS, 100 << 20, || {
        check_eq!(map(200 * MIB, libc::PROT_NONE), Err(Errno::ENOMEM));
        let at = map(20 * MIB, libc::PROT_NONE).map_err(|error| error.to_string())?;
        check_eq!(map(90 * MIB, BOTH), Err(Errno::ENOMEM));
        // SAFETY: the mapping is this function's own.
        let moved = unsafe { libc::mremap(at as *mut _, 20 * MIB, 120 * MIB, libc::MREMAP_MAYMOVE) };
        check_eq!(checked(moved as isize), Err(Errno::ENOMEM));
        // SAFETY: as above.
        unsafe { libc::munmap(at as *mut _, 20 * MIB) };
        check!(map(20 * MIB, BOTH).is_ok());
        Ok(())
    })
}

/// What a fixed mapping replaces counts for it.
fn address_space_and_replacing() -> Outcome {
    limited(libc::RLIMIT_AS, 64 << 20, || {
        let at = map(40 * MIB, BOTH).map_err(|error| error.to_string())?;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        // SAFETY: the mapping that is replaced is this function's own.
        let again = unsafe { libc::mmap(at as *mut _, 40 * MIB, BOTH, flags, -1, 0) };
        check_eq!(again as usize, at);
        Ok(())
    })
}

fn data() -> Outcome {
    limited(libc::RLIMIT_DATA, 32 << 20, || {
        check_eq!(map(40 * MIB, BOTH), Err(Errno::ENOMEM));
        // What can't be written is no data, and what is shared neither.
        check!(map(40 * MIB, libc::PROT_READ).is_ok());
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping touches no other memory.
        let shared = unsafe { libc::mmap(ptr::null_mut(), 40 * MIB, BOTH, flags, -1, 0) };
        check!(shared != libc::MAP_FAILED);
        // SAFETY: brk(2) by number moves the end of the heap, or says where it is.
        let (end, moved) = unsafe {
            let end = libc::syscall(libc::SYS_brk, 0usize);
            (end, libc::syscall(libc::SYS_brk, end as usize + 40 * MIB))
        };
        check_eq!(moved, end);
        Ok(())
    })
}

fn data_by_protection() -> Outcome {
    limited(libc::RLIMIT_DATA, 32 << 20, || {
        let at = map(40 * MIB, libc::PROT_READ).map_err(|error| error.to_string())?;
        // SAFETY: the mapping is this function's own.
        let made_writable = unsafe { libc::mprotect(at as *mut _, 40 * MIB, BOTH) };
        check_eq!(checked(made_writable), Err(Errno::ENOMEM));
        // SAFETY: as above.
        let part = unsafe { libc::mprotect(at as *mut _, 4 * MIB, BOTH) };
        check_eq!(checked(part), Ok(0));
        Ok(())
    })
}

#[inline(never)]
fn deep(levels: u32) -> u64 {
    let page = std::hint::black_box([levels as u8; 4096]);
    match levels {
        0 => u64::from(page[0]),
        _ => u64::from(std::hint::black_box(&page)[1]) + deep(levels - 1),
    }
}

/// The main thread's stack grows as far as the limit; the test itself may run on one that is deep already.
fn stack() -> Outcome {
    let status = in_child(|| {
        set(libc::RLIMIT_STACK, 1 << 20, libc::RLIM_INFINITY)?;
        deep(100);
        Ok(())
    });
    check_eq!(status, Status::Exited(0));
    let status = in_child(|| {
        set(libc::RLIMIT_STACK, 1 << 20, libc::RLIM_INFINITY)?;
        // SAFETY: the default is no handler: a Rust program's own explains the fault and aborts.
        unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
        deep(1000);
        Ok(())
    });
    check_eq!(status, Status::Killed(libc::SIGSEGV));
    Ok(())
}

fn scratch() -> Result<i32, String> {
    // SAFETY: the name is a string.
    let fd = unsafe { libc::memfd_create(c"limits".as_ptr(), 0) };
    checked(fd).map_err(|error| error.to_string())
}

fn write(fd: i32, len: usize) -> Result<isize, Errno> {
    let bytes = vec![b'x'; len];
    // SAFETY: the bytes are read.
    checked(unsafe { libc::write(fd, bytes.as_ptr().cast(), len) })
}

fn file_size() -> Outcome {
    let status = in_child(|| {
        set(libc::RLIMIT_FSIZE, 10_000, libc::RLIM_INFINITY)?;
        let fd = scratch()?;
        check_eq!(write(fd, 9_000), Ok(9_000));
        check_eq!(write(fd, 9_000), Ok(1_000));
        check_eq!(write(fd, 1), Err(Errno::EFBIG));
        Ok(())
    });
    check_eq!(status, Status::Killed(libc::SIGXFSZ));
    Ok(())
}

fn file_size_ignored() -> Outcome {
    let status = in_child(|| {
        // SAFETY: ignoring is no handler.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
        set(libc::RLIMIT_FSIZE, 10_000, libc::RLIM_INFINITY)?;
        let fd = scratch()?;
        // SAFETY: these calls take numbers.
        let (grown, cut) = unsafe { (libc::ftruncate(fd, 10_001), libc::ftruncate(fd, 10_000)) };
        check_eq!(grown, -1);
        check_eq!(cut, 0);
        // SAFETY: as above.
        unsafe { libc::lseek(fd, 0, libc::SEEK_END) };
        check_eq!(write(fd, 1), Err(Errno::EFBIG));
        // SAFETY: as above.
        unsafe { libc::lseek(fd, 5_000, libc::SEEK_SET) };
        check_eq!(write(fd, 9_000), Ok(5_000));
        Ok(())
    });
    check_eq!(status, Status::Exited(0));
    Ok(())
}

fn open_files() -> Outcome {
    limited(libc::RLIMIT_NOFILE, 20, || {
        let fds: Vec<_> = (0..30).map(|_| scratch()).take_while(Result::is_ok).collect();
        check!(fds.len() < 20);
        // SAFETY: dup2(2) takes numbers.
        check_eq!(checked(unsafe { libc::dup2(0, 20) }), Err(Errno::EBADF));
        Ok(())
    })
}

fn queued_signals() -> Outcome {
    limited(libc::RLIMIT_SIGPENDING, 8, || {
        let signal = libc::SIGRTMIN();
        // SAFETY: the set is initialised; the mask of the one thread changes; a signal goes to this process.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, signal);
            libc::sigprocmask(libc::SIG_BLOCK, &set, ptr::null_mut());
        }
        let value = libc::sigval {
            sival_ptr: ptr::null_mut(),
        };
        // SAFETY: as above.
        let queue = || checked(unsafe { libc::sigqueue(libc::getpid(), signal, value) });
        let queued = (0..20).take_while(|_| queue().is_ok()).count();
        check!(queued <= 8);
        check_eq!(queue(), Err(Errno::EAGAIN));
        Ok(())
    })
}

/// User 0 is free of it, so the child becomes somebody whom nobody else is.
fn processes() -> Outcome {
    let status = in_child(|| {
        // SAFETY: these calls take numbers.
        if unsafe { libc::setresuid(54_321, 54_321, 54_321) } != 0 {
            return Ok(());
        }
        set(libc::RLIMIT_NPROC, 3, libc::RLIM_INFINITY)?;
        let mut made = 0;
        let error = loop {
            // SAFETY: the child only waits to be killed.
            match checked(unsafe { libc::fork() }) {
                Ok(0) => loop {
                    // SAFETY: pause(2) takes nothing.
                    unsafe { libc::pause() };
                },
                Ok(_) => made += 1,
                Err(error) => break error,
            }
        };
        check_eq!(error, Errno::EAGAIN);
        check_eq!(made, 2);
        // SAFETY: the children are of this user, and this process ignores what it sends itself.
        unsafe {
            libc::signal(libc::SIGTERM, libc::SIG_IGN);
            libc::kill(-1, libc::SIGKILL);
            while libc::wait(ptr::null_mut()) > 0 {}
        }
        Ok(())
    });
    check_eq!(status, Status::Exited(0));
    Ok(())
}

fn soft_and_hard() -> Outcome {
    let status = in_child(|| {
        let above = libc::rlimit {
            rlim_cur: 20,
            rlim_max: 10,
        };
        // SAFETY: the limit is read.
        let refused = checked(unsafe { libc::setrlimit(libc::RLIMIT_CORE, &above) });
        check_eq!(refused, Err(Errno::EINVAL));
        // SAFETY: as above.
        check_eq!(checked(unsafe { libc::setrlimit(99, &above) }), Err(Errno::EINVAL));
        set(libc::RLIMIT_CORE, 0, 0)?;
        // SAFETY: setuid(2) takes a number.
        if unsafe { libc::setuid(54_321) } == 0 {
            let more = libc::rlimit {
                rlim_cur: 0,
                rlim_max: 1,
            };
            // SAFETY: the limit is read.
            let refused = checked(unsafe { libc::setrlimit(libc::RLIMIT_CORE, &more) });
            check_eq!(refused, Err(Errno::EPERM));
        }
        Ok(())
    });
    check_eq!(status, Status::Exited(0));
    Ok(())
}

fn inherited() -> Outcome {
    limited(libc::RLIMIT_AS, 100 << 20, || {
        let status = in_child(|| {
            check_eq!(get(libc::RLIMIT_AS).0, 100 << 20);
            check_eq!(map(200 * MIB, BOTH), Err(Errno::ENOMEM));
            Ok(())
        });
        check_eq!(status, Status::Exited(0));
        Ok(())
    })
}

/// prlimit(2) on the parent: for the same user only.
fn others_limits() -> Outcome {
    let status = in_child(|| {
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: these calls take numbers; the limit is written.
        unsafe {
            let parent = libc::getppid();
            check_eq!(libc::prlimit(parent, libc::RLIMIT_CORE, ptr::null(), &mut limit), 0);
            if libc::getuid() == 0 && libc::setuid(54_321) == 0 {
                let other = checked(libc::prlimit(parent, libc::RLIMIT_CORE, ptr::null(), &mut limit));
                check_eq!(other, Err(Errno::EPERM));
            }
            let nobody = checked(libc::prlimit(i32::MAX, libc::RLIMIT_CORE, ptr::null(), &mut limit));
            check_eq!(nobody, Err(Errno::ESRCH));
        }
        Ok(())
    });
    check_eq!(status, Status::Exited(0));
    Ok(())
}
