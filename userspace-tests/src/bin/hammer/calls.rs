//! The calls and what may be given to each.

use libsyscall::abi::nr;

const AT_FDCWD: usize = -100isize as usize;

/// What an argument may be.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A descriptor: mostly one of the files opened at the start.
    Fd,
    /// Memory to read or write: full of arguments, half there, not there, the kernel's.
    Pointer,
    /// Pages of [`Arena`], or a wild address.
    Page,
    Length,
    /// A name in the round's own folder.
    Name,
    /// A name there, or one of a file that all share.
    Path,
    /// Bits.
    Flags,
    /// A small number, or a wild one.
    Number,
    /// One of the running process and its threads.
    Own,
    /// A short time.
    Time,
    /// A socket's address, of which there are few.
    Address,
    /// One of these.
    Of(&'static [usize]),
}
pub use Kind::{Address, Flags, Length, Name, Number, Of, Own, Page, Path, Pointer, Time};

/// A call and what its arguments are; those left out are 0.
pub type Line = (usize, &'static [Kind]);

pub const MEMORY: &[Line] = &[
    (nr::MMAP, &[Page, Length, Number, Flags, Kind::Fd, Page]),
    (
        nr::MMAP,
        &[Page, Length, Of(&[3]), Of(&[0x32, 0x31]), Of(&[usize::MAX]), Of(&[0])],
    ),
    (nr::MUNMAP, &[Page, Length]),
    (nr::MPROTECT, &[Page, Length, Number]),
    (nr::MREMAP, &[Page, Length, Length, Number, Page]),
    (nr::MADVISE, &[Page, Length, Number]),
    (nr::MSYNC, &[Page, Length, Number]),
    (nr::MINCORE, &[Page, Length, Pointer]),
    (nr::MLOCK, &[Page, Length]),
    (nr::MUNLOCK, &[Page, Length]),
    (nr::MLOCK2, &[Page, Length, Number]),
    (nr::BRK, &[Page]),
    (nr::MEMBARRIER, &[Number, Number]),
    (nr::MEMFD_CREATE, &[Path, Number]),
    (nr::FTRUNCATE, &[Kind::Fd, Length]),
    (nr::WRITE, &[Kind::Fd, Page, Length]),
    (nr::READ, &[Kind::Fd, Page, Length]),
];

pub const DESCRIPTORS: &[Line] = &[
    (nr::READ, &[Kind::Fd, Pointer, Length]),
    (nr::WRITE, &[Kind::Fd, Pointer, Length]),
    (nr::READV, &[Kind::Fd, Pointer, Number]),
    (nr::WRITEV, &[Kind::Fd, Pointer, Number]),
    (nr::PREAD64, &[Kind::Fd, Pointer, Length, Length]),
    (nr::PWRITE64, &[Kind::Fd, Pointer, Length, Length]),
    (nr::PREADV2, &[Kind::Fd, Pointer, Number, Length, Length, Number]),
    (nr::PWRITEV2, &[Kind::Fd, Pointer, Number, Length, Length, Number]),
    (nr::CLOSE, &[Kind::Fd]),
    (nr::DUP, &[Kind::Fd]),
    (nr::DUP3, &[Kind::Fd, Kind::Fd, Flags]),
    (nr::FCNTL, &[Kind::Fd, Of(COMMANDS), Number]),
    (nr::FCNTL, &[Kind::Fd, Of(COMMANDS), Pointer]),
    (nr::IOCTL, &[Kind::Fd, Of(REQUESTS), Pointer]),
    (nr::FLOCK, &[Kind::Fd, Number]),
    (nr::LSEEK, &[Kind::Fd, Length, Number]),
    (nr::PIPE2, &[Pointer, Flags]),
    (nr::CLOSE_RANGE, &[Of(&[8, 20, 40]), Number, Number]),
    (nr::FSTAT, &[Kind::Fd, Pointer]),
    (nr::SENDFILE, &[Kind::Fd, Kind::Fd, Pointer, Length]),
    (nr::SPLICE, &[Kind::Fd, Pointer, Kind::Fd, Pointer, Length, Number]),
    (nr::TEE, &[Kind::Fd, Kind::Fd, Length, Number]),
    (nr::VMSPLICE, &[Kind::Fd, Pointer, Number, Number]),
    (
        nr::COPY_FILE_RANGE,
        &[Kind::Fd, Pointer, Kind::Fd, Pointer, Length, Of(&[0])],
    ),
];

/// F_DUPFD to F_SETLKW, F_GETSIG, F_OFD_GETLK to F_OFD_SETLKW, F_DUPFD_CLOEXEC, the pipe's size, seals; not who gets a signal.
pub const COMMANDS: &[usize] = &[
    0, 1, 2, 3, 4, 5, 6, 7, 9, 11, 36, 37, 38, 1024, 1030, 1031, 1032, 1033, 1034,
];
/// TCGETS, TCSETS, TIOCGPGRP, TIOCGWINSZ, TIOCSWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX, FIOASYNC, SIOCATMARK, the
/// busy-poll parameters of an epoll file, TIOCGPTN, TIOCSPTLCK, and none.
pub const REQUESTS: &[usize] = &[
    0x5401,
    0x5402,
    0x540f,
    0x5413,
    0x5414,
    0x541b,
    0x5421,
    0x5450,
    0x5451,
    0x5452,
    0x8905,
    0x4008_8a01,
    0x8008_8a02,
    0x8004_5430,
    0x4004_5431,
    0x1234,
];

pub const EVENTS: &[Line] = &[
    (nr::EPOLL_CREATE1, &[Flags]),
    (nr::EPOLL_CTL, &[Kind::Fd, Number, Kind::Fd, Pointer]),
    (nr::EPOLL_CTL, &[Kind::Fd, Of(&[1, 2, 3]), Kind::Fd, Of(&[0])]),
    (
        nr::EPOLL_PWAIT,
        &[Kind::Fd, Pointer, Number, Of(&[0, 1]), Pointer, Of(&[8, 0])],
    ),
    (
        nr::EPOLL_PWAIT2,
        &[Kind::Fd, Pointer, Number, Time, Pointer, Of(&[8, 0])],
    ),
    (nr::EVENTFD2, &[Number, Flags]),
    (nr::TIMERFD_CREATE, &[Number, Flags]),
    (nr::TIMERFD_SETTIME, &[Kind::Fd, Number, Time, Pointer]),
    (nr::TIMERFD_GETTIME, &[Kind::Fd, Pointer]),
    (nr::SIGNALFD4, &[Kind::Fd, Pointer, Of(&[8, 0]), Flags]),
    (nr::MQ_OPEN, &[Pointer, Of(&[0o102, 0o4102, 2]), Of(&[0o600]), Of(&[0])]),
    (nr::MQ_OPEN, &[Pointer, Flags, Number, Pointer]),
    (nr::MQ_UNLINK, &[Pointer]),
    (nr::MQ_TIMEDSEND, &[Kind::Fd, Pointer, Of(&[1, 64, 8192]), Number, Time]),
    (
        nr::MQ_TIMEDRECEIVE,
        &[Kind::Fd, Pointer, Of(&[8192, 64]), Pointer, Time],
    ),
    (nr::MQ_NOTIFY, &[Kind::Fd, Pointer]),
    (nr::MQ_NOTIFY, &[Kind::Fd, Of(&[0])]),
    (nr::MQ_GETSETATTR, &[Kind::Fd, Pointer, Pointer]),
    (nr::PIDFD_OPEN, &[Own, Flags]),
    (nr::PPOLL, &[Pointer, Number, Time, Pointer, Of(&[8, 0])]),
    (nr::PSELECT6, &[Number, Pointer, Pointer, Pointer, Time, Pointer]),
    (nr::READ, &[Kind::Fd, Pointer, Of(&[8, 16, 128])]),
    (nr::WRITE, &[Kind::Fd, Pointer, Of(&[8, 1])]),
    (nr::CLOSE, &[Kind::Fd]),
    (nr::DUP, &[Kind::Fd]),
];

pub const SOCKETS: &[Line] = &[
    (
        nr::SOCKET,
        &[Of(&[1, 2, 10, 16, 17]), Of(&[1, 2, 3, 5, 0x801, 0x802, 0x805]), Number],
    ),
    (nr::SOCKETPAIR, &[Of(&[1, 2]), Of(&[1, 2, 5, 0x801]), Number, Pointer]),
    (nr::BIND, &[Kind::Fd, Address, Of(&[16, 28, 6, 110])]),
    (nr::LISTEN, &[Kind::Fd, Number]),
    (nr::ACCEPT4, &[Kind::Fd, Pointer, Pointer, Flags]),
    (nr::CONNECT, &[Kind::Fd, Address, Of(&[16, 28, 6, 110])]),
    (nr::GETSOCKNAME, &[Kind::Fd, Pointer, Pointer]),
    (nr::GETPEERNAME, &[Kind::Fd, Pointer, Pointer]),
    (
        nr::SENDTO,
        &[Kind::Fd, Pointer, Length, Flags, Address, Of(&[0, 16, 28, 6])],
    ),
    (nr::RECVFROM, &[Kind::Fd, Pointer, Length, Flags, Pointer, Pointer]),
    (nr::SENDMSG, &[Kind::Fd, Pointer, Flags]),
    (nr::RECVMSG, &[Kind::Fd, Pointer, Flags]),
    (nr::SENDMMSG, &[Kind::Fd, Pointer, Number, Flags]),
    (nr::RECVMMSG, &[Kind::Fd, Pointer, Number, Flags, Time]),
    (nr::SHUTDOWN, &[Kind::Fd, Number]),
    (
        nr::SETSOCKOPT,
        &[Kind::Fd, Of(&[0, 1, 6, 17, 41]), Number, Pointer, Number],
    ),
    (
        nr::GETSOCKOPT,
        &[Kind::Fd, Of(&[0, 1, 6, 17, 41]), Number, Pointer, Pointer],
    ),
    (nr::CLOSE, &[Kind::Fd]),
];

pub const FILES: &[Line] = &[
    (nr::OPENAT, &[Of(&[AT_FDCWD]), Path, Flags, Flags]),
    (nr::OPENAT, &[Kind::Fd, Path, Flags, Flags]),
    (nr::OPENAT2, &[Of(&[AT_FDCWD]), Path, Pointer, Length]),
    (nr::MKDIRAT, &[Of(&[AT_FDCWD]), Name, Flags]),
    (nr::UNLINKAT, &[Of(&[AT_FDCWD]), Name, Of(&[0, 0x200])]),
    (nr::RENAMEAT2, &[Of(&[AT_FDCWD]), Name, Of(&[AT_FDCWD]), Name, Number]),
    (nr::LINKAT, &[Of(&[AT_FDCWD]), Name, Of(&[AT_FDCWD]), Name, Flags]),
    (nr::SYMLINKAT, &[Name, Of(&[AT_FDCWD]), Name]),
    (nr::READLINKAT, &[Of(&[AT_FDCWD]), Path, Pointer, Length]),
    (nr::FCHMODAT, &[Of(&[AT_FDCWD]), Name, Flags]),
    (nr::FCHOWNAT, &[Of(&[AT_FDCWD]), Name, Number, Number, Number]),
    (nr::FACCESSAT2, &[Of(&[AT_FDCWD]), Path, Number, Flags]),
    (nr::NEWFSTATAT, &[Of(&[AT_FDCWD]), Path, Pointer, Flags]),
    (nr::STATX, &[Of(&[AT_FDCWD]), Path, Flags, Flags, Pointer]),
    (nr::UTIMENSAT, &[Of(&[AT_FDCWD]), Name, Time, Flags]),
    (nr::TRUNCATE, &[Name, Length]),
    (nr::FTRUNCATE, &[Kind::Fd, Length]),
    (nr::FALLOCATE, &[Kind::Fd, Number, Length, Length]),
    (nr::GETDENTS64, &[Kind::Fd, Pointer, Length]),
    (nr::GETCWD, &[Pointer, Length]),
    (nr::CHDIR, &[Name]),
    (nr::STATFS, &[Path, Pointer]),
    (nr::FSTATFS, &[Kind::Fd, Pointer]),
    (nr::FSYNC, &[Kind::Fd]),
    (nr::GETXATTR, &[Path, Path, Pointer, Length]),
    (nr::FADVISE64, &[Kind::Fd, Length, Length, Number]),
    (nr::READ, &[Kind::Fd, Pointer, Length]),
    (nr::WRITE, &[Kind::Fd, Pointer, Length]),
    (nr::CLOSE, &[Kind::Fd]),
];

pub const SIGNALS: &[Line] = &[
    (nr::RT_SIGACTION, &[Number, Pointer, Pointer, Of(&[8, 0])]),
    (nr::RT_SIGPROCMASK, &[Number, Pointer, Pointer, Of(&[8, 0])]),
    (nr::RT_SIGPENDING, &[Pointer, Of(&[8, 16])]),
    (nr::RT_SIGTIMEDWAIT, &[Pointer, Pointer, Time, Of(&[8])]),
    (nr::RT_SIGQUEUEINFO, &[Own, Of(GENTLE), Pointer]),
    (nr::RT_TGSIGQUEUEINFO, &[Own, Own, Of(GENTLE), Pointer]),
    (nr::SIGALTSTACK, &[Pointer, Pointer]),
    (nr::KILL, &[Own, Of(GENTLE)]),
    (nr::TGKILL, &[Own, Own, Of(GENTLE)]),
    (nr::SETITIMER, &[Number, Time, Pointer]),
    (nr::GETITIMER, &[Number, Pointer]),
    (nr::TIMER_CREATE, &[Number, Pointer, Pointer]),
    (nr::TIMER_CREATE, &[Number, Of(&[0]), Pointer]),
    (nr::TIMER_SETTIME, &[Number, Number, Time, Pointer]),
    (nr::TIMER_GETTIME, &[Number, Pointer]),
    (nr::TIMER_GETOVERRUN, &[Number]),
    (nr::TIMER_DELETE, &[Number]),
    (nr::CLOCK_NANOSLEEP, &[Number, Number, Time, Pointer]),
    (nr::CLOCK_GETTIME, &[Number, Pointer]),
    (nr::CLOCK_GETRES, &[Number, Pointer]),
    (nr::NANOSLEEP, &[Time, Pointer]),
    (
        nr::WAITID,
        &[Number, Number, Pointer, Of(&[5, 6, 7, 0x0100_0005]), Pointer],
    ),
    (nr::PIDFD_OPEN, &[Own, Number]),
    (nr::PIDFD_SEND_SIGNAL, &[Kind::Fd, Of(GENTLE), Pointer, Number]),
];

/// Signals that end no round early: SIGURG, SIGWINCH, SIGCHLD, SIGCONT, two that have a handler, and none.
pub const GENTLE: &[usize] = &[0, 17, 18, 23, 28, 10, 34, 65, usize::MAX];

pub const THREADS: &[Line] = &[
    (nr::FUTEX, &[Page, Of(OPERATIONS), Number, Time, Page, Number]),
    (nr::FUTEX, &[Page, Of(OPERATIONS), Number, Number, Page, Number]),
    (nr::FUTEX_WAITV, &[Pointer, Number, Number, Time, Number]),
    (nr::SET_ROBUST_LIST, &[Pointer, Of(&[24, 0])]),
    (nr::GET_ROBUST_LIST, &[Own, Pointer, Pointer]),
    (nr::SET_TID_ADDRESS, &[Pointer]),
    (nr::RSEQ, &[Pointer, Of(&[32]), Number, Number]),
    (nr::SCHED_YIELD, &[]),
    (nr::SCHED_GETAFFINITY, &[Own, Length, Pointer]),
    (nr::SCHED_SETAFFINITY, &[Of(&[0]), Length, Pointer]),
    (nr::SCHED_GETPARAM, &[Own, Pointer]),
    (nr::SCHED_GETSCHEDULER, &[Own]),
    (nr::GETCPU, &[Pointer, Pointer]),
    (nr::PRLIMIT64, &[Own, Number, Of(&[0]), Pointer]),
    (nr::GETRUSAGE, &[Number, Pointer]),
    (nr::SYSINFO, &[Pointer]),
    (nr::TIMES, &[Pointer]),
    (nr::UNAME, &[Pointer]),
    (nr::GETRANDOM, &[Pointer, Length, Number]),
    (
        nr::PRCTL,
        &[
            Of(&[1, 2, 3, 4, 8, 15, 16, 29, 30, 36, 37, 38, 39, 0x59616d61]),
            Number,
            Number,
            Number,
            Number,
        ],
    ),
    (nr::PRCTL, &[Of(&[15, 16, 2, 37, 40]), Pointer]),
    (nr::CAPGET, &[Pointer, Pointer]),
    (nr::GETGROUPS, &[Number, Pointer]),
    (nr::GETPGID, &[Own]),
    (nr::GETSID, &[Own]),
];

/// FUTEX_WAIT to FUTEX_LOCK_PI2, private ones, on the clock of CLOCK_REALTIME.
pub const OPERATIONS: &[usize] = &[
    0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 128, 129, 131, 132, 133, 134, 135, 136, 137, 138, 139, 140, 256, 265,
];
