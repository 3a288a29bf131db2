//! System calls with wild arguments, from two threads that share memory and descriptors. Any errno and any death is right for
//! them; the kernel outlives them, and serves the next process as if they had not been.
//!
//! `HAMMER_SEED=N` makes other calls, `HAMMER_ROUNDS=N` more of them.

mod calls;

use calls::*;
use libsyscall::calls::raw;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, ptr, thread};
use userspace_tests::{Fd, Status, alarm_every, checked, child, tests};

fn main() -> ExitCode {
    userspace_tests::run(tests![
        memory,
        descriptors,
        events,
        sockets,
        files,
        signals,
        threads,
        everything
    ])
}

const NOBODY: u32 = 65534;
const PAGE: usize = 4096;

/// Memory that calls get pointers to.
#[derive(Clone, Copy)]
struct Arena {
    /// For calls that map, unmap and move.
    pages: usize,
    /// Stays, and holds structures.
    scratch: usize,
    names: usize,
    /// How many calls the round's threads have made.
    calls: &'static AtomicUsize,
}

const ARENA: usize = 64 * PAGE;
/// Behind the arena, so that lengths out of all proportion hit nothing that the process needs.
const RESERVE: usize = 32 << 20;
const SCRATCH: usize = 16 * PAGE;
/// Names in the folder: a file, a folder, one in it, a link, odd ones.
const NAMES: &[&[u8]] = &[
    b"a\0",
    b"b\0",
    b"folder\0",
    b"folder/a\0",
    b"link\0",
    b"\0",
    b".\0",
    b"a/b\0",
    b"folder/./a\0",
    b"none/a\0",
    b"\xff\xfe\n\0",
    b"/dev/null\0",
    b"/dev/zero\0",
    b"/dev/full\0",
    b"/dev/ptmx\0",
    b"/proc/self/fd/3\0",
    b"/proc/self/maps\0",
    b"/proc/self/fdinfo/4\0",
];
/// The first of them are in the folder.
const OWN_NAMES: usize = 11;
/// Room for the longest of the names.
const NAME_ROOM: usize = 32;

/// New memory, shared with children.
fn map(len: usize, protection: i32) -> usize {
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping.
    let memory = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, -1, 0) };
    assert_ne!(memory, libc::MAP_FAILED);
    memory as usize
}

impl Arena {
    fn new(calls: &'static AtomicUsize) -> Arena {
        const READ_WRITE: i32 = libc::PROT_READ | libc::PROT_WRITE;
        let pages = map(ARENA + RESERVE, libc::PROT_NONE);
        let (names, scratch) = (map(PAGE, READ_WRITE), map(SCRATCH + PAGE, READ_WRITE));
        // SAFETY: the mappings are new and have room for what is written; behind the scratch memory there is nothing.
        unsafe {
            libc::mprotect(pages as *mut libc::c_void, ARENA, READ_WRITE);
            libc::munmap((scratch + SCRATCH) as *mut libc::c_void, PAGE);
            for (at, name) in NAMES.iter().enumerate() {
                ptr::copy_nonoverlapping(name.as_ptr(), (names + at * NAME_ROOM) as *mut u8, name.len());
            }
        }
        Arena {
            pages,
            scratch,
            names,
            calls,
        }
    }
}

/// xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) as usize
    }

    fn below(&mut self, bound: usize) -> usize {
        self.next() % bound
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    fn wild(&mut self) -> usize {
        const WILD: [usize; 12] = [
            0,
            1,
            usize::MAX,
            1 << 31,
            (1 << 31) - 1,
            1 << 63,
            (1 << 63) - 1,
            0x0000_7fff_ffff_f000,
            0x0000_8000_0000_0000,
            0xffff_8000_0000_1000,
            0xffff_ffff_8010_0000,
            0xffff_ffff_ffff_f000,
        ];
        self.of(&WILD)
    }

    fn argument(&mut self, kind: Kind, arena: Arena) -> usize {
        if self.below(12) == 0 {
            return self.wild();
        }
        match kind {
            Kind::Fd => self.below(40),
            Pointer => self.pointer(arena),
            Page => {
                arena.pages + self.below(ARENA / PAGE) * PAGE + if self.below(8) == 0 { self.below(PAGE) } else { 0 }
            }
            Length => match self.below(4) {
                0 => self.below(16),
                1 => self.below(PAGE * 4),
                2 => self.below(8) * PAGE,
                _ => 1 << self.below(24),
            },
            Name => arena.names + self.below(OWN_NAMES) * NAME_ROOM,
            Path => arena.names + self.below(NAMES.len()) * NAME_ROOM,
            Flags => (1 << self.below(24)) | if self.below(2) == 0 { self.below(4) | 0o100 } else { 0 },
            Number => {
                let bound = self.of(&[8, 8, 8, 100]);
                self.below(bound)
            }
            Own if self.below(2) == 0 => std::process::id() as usize,
            // SAFETY: a number out.
            Own => unsafe { libc::gettid() as usize },
            Time => {
                let place = arena.scratch + self.below(64) * 64;
                for word in 0..4 {
                    let value = if word % 2 == 0 { 0 } else { self.below(2_000_000) };
                    // SAFETY: inside the scratch memory, which the calls don't unmap; both threads may write there.
                    unsafe { AtomicUsize::from_ptr((place + word * 8) as *mut usize) }.store(value, Ordering::Relaxed);
                }
                place
            }
            Address => {
                let place = arena.scratch + PAGE + self.below(16) * 128;
                let port = self.of(&[0usize, 34_567, 34_568]).swap_bytes() >> 48;
                let first = match self.below(4) {
                    0 => libc::AF_UNIX as usize | (self.of(b"\0abl") as usize) << 16,
                    1 => libc::AF_INET6 as usize | port << 16,
                    _ => libc::AF_INET as usize | port << 16 | self.of(&[0x0100_007fusize, 0, 0x0200_00e0]) << 32,
                };
                for (word, value) in [first, 0, 0, 0].into_iter().enumerate() {
                    // SAFETY: as above.
                    unsafe { AtomicUsize::from_ptr((place + word * 8) as *mut usize) }.store(value, Ordering::Relaxed);
                }
                place
            }
            Of(choices) => self.of(choices),
        }
    }

    /// A place with arguments in it, for structures with pointers; or the last bytes of memory, or wild.
    fn pointer(&mut self, arena: Arena) -> usize {
        match self.below(8) {
            0 => return arena.scratch + SCRATCH - self.below(64),
            1 => return arena.pages + self.below(ARENA),
            _ => {}
        }
        let place = arena.scratch + PAGE * 2 + self.below(256) * 32;
        for word in 0..16 {
            let value = match self.below(8) {
                0 => self.wild(),
                1 => arena.scratch + PAGE * 3 + self.below(PAGE),
                2 => arena.names + self.below(NAMES.len()) * NAME_ROOM,
                3 => self.next(),
                4 => 1 << self.below(32),
                _ => self.below(64),
            };
            // SAFETY: as above.
            unsafe { AtomicUsize::from_ptr((place + word * 8) as *mut usize) }.store(value, Ordering::Relaxed);
        }
        place
    }
}

fn hammer(families: &[&[Line]], mut random: Random, arena: Arena) {
    const CALLS: usize = 2000;
    for _ in 0..CALLS {
        let (number, kinds) = {
            let family = random.of(families);
            random.of(family)
        };
        let mut arguments = [0; 6];
        for (argument, kind) in arguments.iter_mut().zip(kinds) {
            *argument = random.argument(*kind, arena);
        }
        // SAFETY: not sound, and meant so: whatever comes of it stays in this process.
        let _ = unsafe { raw(number, arguments) };
        arena.calls.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a round starts with, at descriptors that the calls are likely to hit.
fn open_some() -> Vec<Fd> {
    let mut open = vec![Fd::epoll(), Fd::epoll(), Fd::eventfd(3, libc::EFD_NONBLOCK as u32)];
    for _ in 0..2 {
        let (read, write) = Fd::pipe();
        open.extend([read, write]);
    }
    for (family, kind) in [
        (libc::AF_UNIX, libc::SOCK_STREAM),
        (libc::AF_UNIX, libc::SOCK_DGRAM),
        (libc::AF_UNIX, libc::SOCK_SEQPACKET),
    ] {
        let mut ends = [0; 2];
        // SAFETY: the kernel writes two numbers.
        checked(unsafe { libc::socketpair(family, kind, 0, ends.as_mut_ptr()) }).expect("socketpair");
        open.extend(ends.map(Fd));
    }
    for (family, kind) in [
        (libc::AF_INET, libc::SOCK_STREAM),
        (libc::AF_INET, libc::SOCK_DGRAM),
        (libc::AF_INET6, libc::SOCK_STREAM),
    ] {
        // SAFETY: numbers in, a number out.
        open.push(Fd(checked(unsafe {
            libc::socket(family, kind | libc::SOCK_NONBLOCK, 0)
        })
        .expect("socket")));
    }
    for (path, flags) in [
        (c"a", libc::O_RDWR | libc::O_CREAT),
        (c".", libc::O_RDONLY | libc::O_DIRECTORY),
        (c"/dev/zero", libc::O_RDWR),
    ] {
        // SAFETY: the kernel reads the path.
        open.push(Fd(
            checked(unsafe { libc::open(path.as_ptr(), flags, 0o600) }).expect("open")
        ));
    }
    open
}

extern "C" fn noticed(_signal: i32) {}

/// One process: two threads, a timer that ends what blocks, limits to what it may take.
fn round(families: &'static [&'static [Line]], seed: u64, calls: &'static AtomicUsize) -> i32 {
    const FILE_MAX: u64 = 1 << 20;
    const MEMORY_MAX: u64 = 1 << 30;
    let arena = Arena::new(calls);
    for (resource, limit) in [
        (libc::RLIMIT_FSIZE, FILE_MAX),
        (libc::RLIMIT_AS, MEMORY_MAX),
        (libc::RLIMIT_NPROC, 100),
    ] {
        let limit = libc::rlimit {
            rlim_cur: limit,
            rlim_max: limit,
        };
        // SAFETY: the kernel reads one limit.
        checked(unsafe { libc::setrlimit(resource, &limit) }).expect("setrlimit");
    }
    let _open = open_some();
    // Nobody, so that on Linux too only the round's own folder is at stake.
    // SAFETY: numbers only.
    unsafe {
        checked(libc::setgroups(0, ptr::null())).expect("setgroups");
        checked(libc::setresgid(NOBODY, NOBODY, NOBODY)).expect("setresgid");
        checked(libc::setresuid(NOBODY, NOBODY, NOBODY)).expect("setresuid");
    }
    for signal in [
        libc::SIGALRM,
        libc::SIGUSR1,
        libc::SIGRTMIN(),
        libc::SIGXFSZ,
        libc::SIGPIPE,
    ] {
        // SAFETY: the handler does nothing.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = noticed as *const () as usize;
            checked(libc::sigaction(signal, &action, ptr::null_mut())).expect("sigaction");
        }
    }
    let other = thread::spawn(move || hammer(families, Random(seed ^ 0x5555_5555), arena));
    alarm_every(1000);
    hammer(families, Random(seed), arena);
    let _ = other.join();
    0
}

/// Rounds one after another, each with an end in sight; then the kernel must serve as ever.
fn run(families: &'static [&'static [Line]]) {
    const ROUNDS: u64 = 4;
    /// Below this the rounds ended before they began.
    const CALLS_MIN: usize = 100;
    /// What a round gets before it is ended.
    const PATIENCE: Duration = Duration::from_millis(400);
    let variable = |name, default| env::var(name).map_or(default, |text| text.parse().expect("a number"));
    let first = variable("HAMMER_SEED", 1u64);
    // SAFETY: the mapping is new, zeroed and never unmapped.
    let calls = unsafe { AtomicUsize::from_ptr(map(PAGE, libc::PROT_READ | libc::PROT_WRITE) as *mut usize) };
    let folder = env::temp_dir().join(format!("hammer-{}", std::process::id()));
    for seed in first..first + variable("HAMMER_ROUNDS", ROUNDS) {
        std::fs::create_dir_all(&folder).expect("a folder");
        std::os::unix::fs::chown(&folder, Some(NOBODY), Some(NOBODY)).expect("chown");
        let worker = child(|| {
            env::set_current_dir(&folder).expect("it was just made");
            // SAFETY: in this process only, whose output and input nobody needs; the round's files come behind them.
            unsafe {
                let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
                for standard in 0..3 {
                    libc::dup2(null, standard);
                }
                libc::close_range(3, u32::MAX, 0);
                libc::setsid();
            }
            round(families, seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, calls)
        });
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end && !ended(worker.0) {
            thread::sleep(Duration::from_millis(5));
        }
        worker.signal(libc::SIGKILL);
        worker.wait();
        let _ = std::fs::remove_dir_all(&folder);
    }
    let calls = calls.load(Ordering::Relaxed);
    assert!(calls >= CALLS_MIN, "{calls} calls");
    serves_as_ever();
}

/// Whether a child has ended; it stays to be waited for.
fn ended(pid: i32) -> bool {
    // SAFETY: all zero bytes are a siginfo; the kernel writes one.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        checked(libc::waitid(libc::P_PID, pid as u32, &mut info, options)).expect("waitid");
        info.si_pid() != 0
    }
}

fn serves_as_ever() {
    let (read, write) = Fd::pipe();
    let twice = child(|| {
        write.write(b"as ever").expect("write");
        child(|| 7).wait();
        3
    });
    assert_eq!(twice.wait(), Status::Exited(3));
    let mut bytes = [0; 7];
    assert_eq!(read.read(&mut bytes), Ok(7));
    assert_eq!(&bytes, b"as ever");
    assert_eq!(
        thread::spawn(|| vec![1u8; 1 << 20].iter().map(|&one| one as u32).sum::<u32>())
            .join()
            .ok(),
        Some(1 << 20)
    );
}

fn memory() {
    run(&[MEMORY]);
}

fn descriptors() {
    run(&[DESCRIPTORS]);
}

fn events() {
    run(&[EVENTS, EVENTS, DESCRIPTORS]);
}

fn sockets() {
    run(&[SOCKETS, SOCKETS, DESCRIPTORS, EVENTS]);
}

fn files() {
    run(&[FILES]);
}

fn signals() {
    run(&[SIGNALS]);
}

fn threads() {
    run(&[THREADS]);
}

fn everything() {
    run(&[MEMORY, DESCRIPTORS, EVENTS, SOCKETS, FILES, SIGNALS, THREADS]);
}
