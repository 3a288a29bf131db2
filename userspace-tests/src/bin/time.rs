//! Clocks and sleeps: monotonic, agreeing, never early.

use libsyscall::abi::Errno;
use std::mem;
use std::process::ExitCode;
use std::ptr;
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use userspace_tests::harness::ignore;
use userspace_tests::{alone_on_this_machine, checked, tests};

fn main() -> ExitCode {
    userspace_tests::run(tests![
        sleep_is_not_early,
        sleep_is_not_much_late,
        absolute_sleep,
        clocks_go_forward,
        clocks_agree,
        clocks_without_a_call_agree_with_the_kernel,
        a_clock_that_is_set_reads_so,
        shared_object_of_the_kernel,
        its_functions_have_a_version,
        realtime_is_recent,
        cpu_time_counts_work,
        resolution,
        wrong_clocks,
        wrong_times,
        threads_sleep_together,
        many_short_sleeps,
        interval_timer,
        uptime,
    ])
}

fn clock(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec.
    checked(unsafe { libc::clock_gettime(clock, &mut time) }).expect("clock_gettime");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn sleep_is_not_early() {
    for microseconds in [1, 50, 999, 1000, 5000, 20_000] {
        let length = Duration::from_micros(microseconds);
        let start = Instant::now();
        thread::sleep(length);
        assert!(start.elapsed() >= length, "{length:?} took {:?}", start.elapsed());
    }
}

fn sleep_is_not_much_late() {
    let shortest = (0..10).map(|_| {
        let start = Instant::now();
        thread::sleep(Duration::from_millis(5));
        start.elapsed()
    });
    let shortest = shortest.min().expect("ten of them");
    assert!(shortest < Duration::from_millis(25), "{shortest:?}");
}

fn absolute_sleep() {
    let goal = clock(libc::CLOCK_MONOTONIC) + Duration::from_millis(20);
    let request = libc::timespec {
        tv_sec: goal.as_secs() as i64,
        tv_nsec: i64::from(goal.subsec_nanos()),
    };
    let sleep = || {
        // SAFETY: the kernel reads one timespec.
        unsafe { libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &request, ptr::null_mut()) }
    };
    assert_eq!(sleep(), 0);
    assert!(clock(libc::CLOCK_MONOTONIC) >= goal);
    // It has passed now.
    let start = Instant::now();
    assert_eq!(sleep(), 0);
    assert!(start.elapsed() < Duration::from_secs(10));
}

fn clocks_go_forward() {
    for id in [
        libc::CLOCK_MONOTONIC,
        libc::CLOCK_MONOTONIC_RAW,
        libc::CLOCK_BOOTTIME,
        libc::CLOCK_MONOTONIC_COARSE,
    ] {
        let mut last = clock(id);
        for _ in 0..10_000 {
            let now = clock(id);
            assert!(now >= last, "clock {id} went from {last:?} to {now:?}");
            last = now;
        }
    }
    // On several CPUs too.
    let threads: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(|| {
                let mut last = Instant::now();
                for _ in 0..5000 {
                    let now = Instant::now();
                    assert!(now >= last);
                    last = now;
                    thread::yield_now();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("thread"));
}

fn clocks_agree() {
    // The least of a few differences: the computer may be busy between the two readings.
    let difference = (0..10).map(|_| {
        let elapsed = |id| {
            let start = clock(id);
            move || clock(id) - start
        };
        let (monotonic, real) = (elapsed(libc::CLOCK_MONOTONIC), elapsed(libc::CLOCK_REALTIME));
        thread::sleep(Duration::from_millis(30));
        monotonic().abs_diff(real())
    });
    let difference = difference.min().expect("ten of them");
    assert!(difference < Duration::from_millis(5), "{difference:?}");
}

/// What the kernel says, asked by a system call. The C library asks vdso(7).
fn clock_of_the_kernel(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec.
    checked(unsafe { libc::syscall(libc::SYS_clock_gettime, clock, &mut time) }).expect("clock_gettime");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn clocks_without_a_call_agree_with_the_kernel() {
    let clocks = [
        libc::CLOCK_REALTIME,
        libc::CLOCK_MONOTONIC,
        libc::CLOCK_MONOTONIC_RAW,
        libc::CLOCK_REALTIME_COARSE,
        libc::CLOCK_MONOTONIC_COARSE,
        libc::CLOCK_BOOTTIME,
        libc::CLOCK_TAI,
        // These are always the kernel's.
        libc::CLOCK_PROCESS_CPUTIME_ID,
        libc::CLOCK_THREAD_CPUTIME_ID,
    ];
    for id in clocks {
        for _ in 0..100 {
            let (before, between, after) = (clock_of_the_kernel(id), clock(id), clock_of_the_kernel(id));
            assert!(
                before <= between && between <= after,
                "clock {id}: {before:?} {between:?} {after:?}"
            );
        }
    }
    let mut time = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let before = clock_of_the_kernel(libc::CLOCK_REALTIME);
    // SAFETY: the kernel writes one timeval.
    checked(unsafe { libc::gettimeofday(&mut time, ptr::null_mut()) }).expect("gettimeofday");
    let between = Duration::new(time.tv_sec as u64, 1000 * time.tv_usec as u32 + 999);
    assert!(before <= between && between <= clock_of_the_kernel(libc::CLOCK_REALTIME) + Duration::from_micros(1));
    // SAFETY: nothing is written. Linux gives the second of its last tick.
    let seconds = unsafe { libc::time(ptr::null_mut()) } as u64;
    assert!(
        (before.as_secs() - 1..=before.as_secs() + 1).contains(&seconds),
        "{seconds}"
    );
}

fn a_clock_that_is_set_reads_so() {
    const AHEAD: Duration = Duration::from_secs(1000);
    if !alone_on_this_machine() {
        ignore("other programs need the clock");
    }
    let set = |to: Duration| {
        let time = libc::timespec {
            tv_sec: to.as_secs() as i64,
            tv_nsec: i64::from(to.subsec_nanos()),
        };
        // SAFETY: the kernel reads one timespec.
        checked(unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &time) }).expect("clock_settime");
    };
    let goal = clock(libc::CLOCK_REALTIME) + AHEAD;
    let monotonic = clock(libc::CLOCK_MONOTONIC);
    set(goal);
    let (read, said) = (clock(libc::CLOCK_REALTIME), clock_of_the_kernel(libc::CLOCK_REALTIME));
    assert!(goal <= read && read <= said, "{goal:?} {read:?} {said:?}");
    assert!(
        clock(libc::CLOCK_MONOTONIC) - monotonic < AHEAD,
        "this clock is never set"
    );
    set(clock(libc::CLOCK_REALTIME) - AHEAD);
}

/// AT_SYSINFO_EHDR: an ELF image that may be executed and not written.
fn shared_object_of_the_kernel() {
    // SAFETY: takes a number.
    let header = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) } as usize;
    // SAFETY: the kernel says that the image is there.
    let magic = unsafe { std::slice::from_raw_parts(ptr::with_exposed_provenance::<u8>(header), 4) };
    assert_eq!(magic, b"\x7fELF");
    let maps = std::fs::read_to_string("/proc/self/maps").expect("maps");
    let line = maps
        .lines()
        .find(|line| line.ends_with("[vdso]"))
        .expect("a line for the image");
    assert!(
        line.starts_with(&format!("{header:x}-")) && line.contains(" r-xp "),
        "{line}"
    );
}

/// The dynamic linker and the Go runtime look a function up by its version too.
fn its_functions_have_a_version() {
    let (version, function) = if cfg!(target_arch = "aarch64") {
        ("LINUX_2.6.39", "__kernel_clock_gettime")
    } else {
        ("LINUX_2.6", "__vdso_clock_gettime")
    };
    let maps = std::fs::read_to_string("/proc/self/maps").expect("maps");
    let line = maps.lines().find(|line| line.ends_with("[vdso]")).expect("an image");
    let (start, end) = line
        .split_once(' ')
        .expect("fields")
        .0
        .split_once('-')
        .expect("a range");
    let address = |hexadecimal| usize::from_str_radix(hexadecimal, 16).expect("an address");
    let (start, end) = (address(start), address(end));
    // SAFETY: mapped, readable and never changed.
    let image = unsafe { std::slice::from_raw_parts(ptr::with_exposed_provenance::<u8>(start), end - start) };
    let half = |at: usize| usize::from(u16::from_le_bytes([image[at], image[at + 1]]));
    let word = |at: usize| half(at) | half(at + 2) << 16;
    let long = |at: usize| word(at) | word(at + 4) << 32;
    let text = |at: usize| image[at..].split(|byte| *byte == 0).next();

    const PT_DYNAMIC: usize = 2;
    let program_header = (0..half(56)).map(|number| long(32) + number * half(54));
    let dynamic = program_header
        .filter(|at| word(*at) == PT_DYNAMIC)
        .map(|at| long(at + 8))
        .next()
        .expect("a dynamic section");
    let entry = |tag: usize| {
        (dynamic..)
            .step_by(16)
            .take_while(|at| long(*at) != 0)
            .find(|at| long(*at) == tag)
            .map(|at| long(at + 8))
            .unwrap_or_else(|| panic!("no entry {tag:#x}"))
    };
    const DT_STRTAB: usize = 5;
    const DT_SYMTAB: usize = 6;
    const DT_VERSYM: usize = 0x6fff_fff0;
    const DT_VERDEF: usize = 0x6fff_fffc;
    const DT_VERDEFNUM: usize = 0x6fff_fffd;
    let (strings, symbols) = (entry(DT_STRTAB), entry(DT_SYMTAB));
    let string = |at: usize| text(strings + at).expect("a string");

    let mut definition = entry(DT_VERDEF);
    let definitions: Vec<usize> = (0..entry(DT_VERDEFNUM))
        .map(|_| {
            let this = definition;
            definition += word(this + 16);
            this
        })
        .collect();
    assert_eq!(
        word(definitions[definitions.len() - 1] + 16),
        0,
        "the last leads nowhere"
    );
    let defined = definitions
        .into_iter()
        .find(|at| string(word(at + word(at + 12))) == version.as_bytes())
        .expect("the version");
    // Bit 0 of the flags is that of the image's own version.
    assert_eq!((half(defined), half(defined + 2) & 1, half(defined + 6)), (1, 0, 1));
    let hash = version.bytes().fold(0u32, |hash, byte| {
        let hash = (hash << 4) + u32::from(byte);
        (hash ^ hash >> 28 << 4) & 0x0fff_ffff
    });
    assert_eq!(word(defined + 8), hash as usize);

    // The strings follow the symbols.
    let symbol = (0..(strings - symbols) / 24)
        .find(|number| string(word(symbols + number * 24)) == function.as_bytes())
        .expect("the function");
    assert_eq!(half(entry(DT_VERSYM) + 2 * symbol) & 0x7fff, half(defined + 4));
}

fn realtime_is_recent() {
    const YEAR_2024: Duration = Duration::from_secs(54 * 365 * 86400);
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("after 1970");
    assert!(now > YEAR_2024, "{now:?}");
}

fn cpu_time_counts_work() {
    let (process, thread) = (
        clock(libc::CLOCK_PROCESS_CPUTIME_ID),
        clock(libc::CLOCK_THREAD_CPUTIME_ID),
    );
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(60) {
        std::hint::black_box((0..1000u64).sum::<u64>());
    }
    let used = clock(libc::CLOCK_THREAD_CPUTIME_ID) - thread;
    assert!(
        used > Duration::from_millis(5) && used <= start.elapsed() + Duration::from_millis(5),
        "{used:?}"
    );
    assert!(clock(libc::CLOCK_PROCESS_CPUTIME_ID) - process >= used / 2);
    let before = clock(libc::CLOCK_THREAD_CPUTIME_ID);
    thread::sleep(Duration::from_millis(50));
    assert!(clock(libc::CLOCK_THREAD_CPUTIME_ID) - before < Duration::from_millis(25));
}

fn resolution() {
    let mut resolution = libc::timespec { tv_sec: 1, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec.
    checked(unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC, &mut resolution) }).expect("clock_getres");
    assert_eq!((resolution.tv_sec, resolution.tv_nsec), (0, 1));
}

fn wrong_clocks() {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    assert_eq!(
        // SAFETY: the kernel refuses the clock.
        checked(unsafe { libc::clock_gettime(99, &mut time) }),
        Err(Errno::EINVAL)
    );
}

fn wrong_times() {
    for (tv_sec, tv_nsec) in [(0, -1), (0, 1_000_000_000), (-1, 0)] {
        let request = libc::timespec { tv_sec, tv_nsec };
        assert_eq!(
            // SAFETY: the kernel refuses the time.
            checked(unsafe { libc::nanosleep(&request, ptr::null_mut()) }),
            Err(Errno::EINVAL)
        );
    }
}

fn threads_sleep_together() {
    let start = Instant::now();
    let threads: Vec<_> = (0..20)
        .map(|_| thread::spawn(|| thread::sleep(Duration::from_millis(200))))
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("thread"));
    let took = start.elapsed();
    assert!(
        (Duration::from_millis(200)..Duration::from_millis(4000)).contains(&took),
        "{took:?}"
    );
}

fn many_short_sleeps() {
    let start = Instant::now();
    (0..200).for_each(|_| thread::sleep(Duration::from_micros(100)));
    assert!(start.elapsed() >= Duration::from_millis(20));
}

fn interval_timer() {
    // SAFETY: all zero bytes are a timer that is off.
    let mut left: libc::itimerval = unsafe { mem::zeroed() };
    // SAFETY: as above.
    let mut timer: libc::itimerval = unsafe { mem::zeroed() };
    timer.it_value.tv_sec = 100;
    // SAFETY: the kernel reads and writes timer values.
    unsafe {
        checked(libc::setitimer(libc::ITIMER_REAL, &timer, ptr::null_mut())).expect("setitimer");
        checked(libc::getitimer(libc::ITIMER_REAL, &mut left)).expect("getitimer");
        assert!((98..=100).contains(&left.it_value.tv_sec), "{}", left.it_value.tv_sec);
        timer.it_value.tv_sec = 0;
        checked(libc::setitimer(libc::ITIMER_REAL, &timer, &mut left)).expect("setitimer");
    }
}

fn uptime() {
    let text = std::fs::read_to_string("/proc/uptime").expect("read");
    let seconds: f64 = text
        .split_whitespace()
        .next()
        .and_then(|word| word.parse().ok())
        .expect("a number");
    let clock = clock(libc::CLOCK_BOOTTIME).as_secs_f64();
    assert!((clock - seconds).abs() < 1.0, "{seconds} and {clock}");
}
