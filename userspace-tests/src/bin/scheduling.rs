//! Threads that want the same CPU.

use libsyscall::abi::Errno;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use userspace_tests::{checked, tests};

fn main() -> ExitCode {
    userspace_tests::run(tests![
        busy_threads_share,
        both_that_wake_together_run,
        affinity_errors,
        busy_threads_of_one_cpu,
        who_sleeps_goes_first,
    ])
}

/// Keeps the calling thread on one CPU.
fn run_on(cpu: usize) {
    // SAFETY: all zero bytes are an empty set; the kernel reads one.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        assert_eq!(libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set), 0);
    }
}

/// The CPUs that the calling thread may run on.
fn allowed_cpus() -> Vec<usize> {
    // SAFETY: all zero bytes are an empty set; the kernel writes one.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        assert_eq!(libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set), 0);
        (0..libc::CPU_SETSIZE as usize)
            .filter(|&cpu| libc::CPU_ISSET(cpu, &set))
            .collect()
    }
}

/// More busy threads than CPUs, none of which gives way: preemption lets all of them and this one go on.
fn busy_threads_share() {
    static STOP: AtomicU32 = AtomicU32::new(0);
    let threads: Vec<_> = (0..6)
        .map(|_| {
            thread::spawn(|| {
                let mut turns = 0u64;
                while STOP.load(Ordering::Relaxed) == 0 {
                    turns += 1;
                }
                turns
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(300));
    STOP.store(1, Ordering::Relaxed);
    let turns: Vec<_> = threads
        .into_iter()
        .map(|thread| thread.join().expect("thread"))
        .collect();
    assert!(turns.iter().all(|&turns| turns > 0), "{turns:?}");
}

/// Threads that wake at one moment, each of which keeps its CPU until the other has run.
fn both_that_wake_together_run() {
    const ROUNDS: u32 = 20;
    let arrived = Arc::new(AtomicU32::new(0));
    let start = Instant::now() + Duration::from_millis(20);
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let arrived = arrived.clone();
            thread::spawn(move || {
                for round in 1..=ROUNDS {
                    thread::sleep(
                        (start + round * Duration::from_millis(30)).saturating_duration_since(Instant::now()),
                    );
                    arrived.fetch_add(1, Ordering::SeqCst);
                    while arrived.load(Ordering::SeqCst) < 3 * round {
                        std::hint::spin_loop();
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("thread"));
}

/// The errors of the calls of masks, in Linux's order.
fn affinity_errors() {
    let mut word = 0u64;
    let get = |tid: i32, len: usize, mask: *mut u64| {
        // SAFETY: the kernel writes a word at most, or refuses the address.
        checked(unsafe { libc::syscall(libc::SYS_sched_getaffinity, tid, len, mask) })
    };
    assert!(get(0, 1024, [0u64; 128].as_mut_ptr()).is_ok());
    assert_eq!(get(-1, 4, &mut word), Err(Errno::EINVAL));
    assert_eq!(get(-1, 1024, &mut word), Err(Errno::ESRCH));
    assert_eq!(get(i32::MAX, 1024, &mut word), Err(Errno::ESRCH));
    let set = |tid: i32, mask: *const u64| {
        // SAFETY: the kernel reads a word, or refuses the address.
        checked(unsafe { libc::syscall(libc::SYS_sched_setaffinity, tid, 8, mask) })
    };
    assert_eq!(set(-1, std::ptr::null()), Err(Errno::EFAULT));
    assert_eq!(set(-1, &1), Err(Errno::ESRCH));
    assert_eq!(set(0, &0), Err(Errno::EINVAL));
}

/// Threads that may run on one CPU only, more than it can run at once: the others go on, and answer it.
fn busy_threads_of_one_cpu() {
    let cpus = allowed_cpus();
    let (first, last) = (cpus[0], cpus[cpus.len() - 1]);
    let stop = Arc::new(AtomicU32::new(0));
    let busy: Vec<_> = (0..3)
        .map(|_| {
            let stop = stop.clone();
            thread::spawn(move || {
                run_on(first);
                while stop.load(Ordering::Relaxed) == 0 {
                    // Memory that comes and goes, for the other CPU to forget.
                    drop(std::hint::black_box(vec![1u8; 1 << 20]));
                }
            })
        })
        .collect();
    let waiter = thread::spawn(move || {
        run_on(last);
        for _ in 0..20 {
            let start = Instant::now();
            thread::sleep(Duration::from_millis(5));
            assert!(start.elapsed() >= Duration::from_millis(5));
        }
    });
    waiter.join().expect("the thread that waits");
    stop.store(1, Ordering::Relaxed);
    for thread in busy {
        thread.join().expect("a busy thread");
    }
}

/// One thread that sleeps often and one that never does, on one CPU: whoever has slept does not wait for the other's whole
/// turns, which are 3 ms and more on Linux.
fn who_sleeps_goes_first() {
    const SLEEPS: u32 = 300;
    let cpu = allowed_cpus()[0];
    let stop = Arc::new(AtomicU32::new(0));
    let busy = {
        let stop = stop.clone();
        thread::spawn(move || {
            run_on(cpu);
            while stop.load(Ordering::Relaxed) == 0 {
                std::hint::spin_loop();
            }
            let mut used = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            // SAFETY: the kernel writes one timespec.
            checked(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut used) }).expect("clock_gettime");
            Duration::new(used.tv_sec as u64, used.tv_nsec as u32)
        })
    };
    let sleeper = thread::spawn(move || {
        run_on(cpu);
        for _ in 0..SLEEPS {
            thread::sleep(Duration::from_micros(10));
        }
    });
    sleeper.join().expect("the thread that sleeps");
    stop.store(1, Ordering::Relaxed);
    let used = busy.join().expect("the busy thread");
    assert!(used < SLEEPS * Duration::from_millis(3), "{used:?}");
}
