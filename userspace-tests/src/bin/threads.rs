//! Threads as std makes them, and the futexes under its locks.

use libsyscall::abi::process::{FUTEX_BITSET_MATCH_ANY, FUTEX_PRIVATE_FLAG, FUTEX_WAIT, FUTEX_WAIT_BITSET, FUTEX_WAKE};
use libsyscall::abi::{Errno, nr};
use libsyscall::calls::event::Timespec;
use libsyscall::calls::{process, raw};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, RwLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use userspace_tests::{Status, child, tests};

fn main() -> ExitCode {
    userspace_tests::run(tests![
        spawn_and_join,
        many_threads,
        thread_ids_differ,
        thread_locals,
        destructors_run,
        mutex_counts,
        condvar_hands_over,
        condvar_times_out,
        read_write_lock,
        barrier,
        park_and_unpark,
        channels,
        panicking_thread,
        futex_values,
        futex_timeouts,
        futex_wakes_as_many,
        futex_between_processes,
        exit_ends_all_threads,
        main_thread_ends_first,
        fork_of_many_threads,
        floats_stay_apart,
        names_and_stacks,
        memory_barriers,
    ])
}

fn spawn_and_join() {
    assert_eq!(thread::spawn(|| 6 * 7).join().expect("thread"), 42);
}

fn many_threads() {
    for _ in 0..5 {
        let threads: Vec<_> = (0..64u64)
            .map(|number| thread::spawn(move || number * number))
            .collect();
        let sum: u64 = threads.into_iter().map(|thread| thread.join().expect("thread")).sum();
        assert_eq!(sum, (0..64).map(|number| number * number).sum());
    }
}

fn thread_ids_differ() {
    let barrier = Arc::new(Barrier::new(8));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let barrier = Arc::clone(&barrier);
            thread::spawn(move || {
                barrier.wait();
                assert_eq!(process::getpid(), std::process::id() as i32);
                process::gettid()
            })
        })
        .collect();
    let mut ids: BTreeSet<_> = threads
        .into_iter()
        .map(|thread| thread.join().expect("thread"))
        .collect();
    ids.insert(process::gettid());
    assert_eq!(ids.len(), 9);
}

fn thread_locals() {
    thread_local! { static VALUE: Cell<u32> = const { Cell::new(5) }; }
    VALUE.set(6);
    let other = thread::spawn(|| {
        let before = VALUE.get();
        VALUE.set(7);
        (before, VALUE.get())
    });
    assert_eq!(other.join().expect("thread"), (5, 7));
    assert_eq!(VALUE.get(), 6);
}

fn destructors_run() {
    static DROPPED: AtomicU32 = AtomicU32::new(0);
    struct Counted;
    impl Drop for Counted {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::SeqCst);
        }
    }
    thread_local! { static COUNTED: Counted = const { Counted }; }
    for _ in 0..4 {
        thread::spawn(|| COUNTED.with(|_| ())).join().expect("thread");
    }
    assert_eq!(DROPPED.load(Ordering::SeqCst), 4);
}

fn mutex_counts() {
    let count = Arc::new(Mutex::new(0u64));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let count = Arc::clone(&count);
            thread::spawn(move || (0..5000).for_each(|_| *count.lock().expect("not poisoned") += 1))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("thread"));
    assert_eq!(*count.lock().expect("not poisoned"), 40_000);
}

fn condvar_hands_over() {
    let pair = Arc::new((Mutex::new(0u32), Condvar::new()));
    let other = Arc::clone(&pair);
    let thread = thread::spawn(move || {
        let (turn, changed) = &*other;
        let mut turn = turn.lock().expect("not poisoned");
        for round in 0..1000 {
            turn = changed
                .wait_while(turn, |turn| *turn != 2 * round + 1)
                .expect("not poisoned");
            *turn += 1;
            changed.notify_one();
        }
    });
    let (turn, changed) = &*pair;
    let mut turn = turn.lock().expect("not poisoned");
    for round in 0..1000 {
        turn = changed
            .wait_while(turn, |turn| *turn != 2 * round)
            .expect("not poisoned");
        *turn += 1;
        changed.notify_one();
    }
    drop(turn);
    thread.join().expect("thread");
}

fn condvar_times_out() {
    let (lock, never) = (Mutex::new(()), Condvar::new());
    let start = Instant::now();
    let wait = never.wait_timeout_while(lock.lock().expect("not poisoned"), Duration::from_millis(40), |()| true);
    assert!(wait.expect("not poisoned").1.timed_out());
    assert!(start.elapsed() >= Duration::from_millis(40));
}

fn read_write_lock() {
    let lock = Arc::new(RwLock::new((0u64, 0u64)));
    let writers: Vec<_> = (0..2)
        .map(|_| {
            let lock = Arc::clone(&lock);
            thread::spawn(move || {
                for _ in 0..2000 {
                    let mut pair = lock.write().expect("not poisoned");
                    pair.0 += 1;
                    pair.1 += 1;
                }
            })
        })
        .collect();
    while writers.iter().any(|writer| !writer.is_finished()) {
        let pair = lock.read().expect("not poisoned");
        assert_eq!(pair.0, pair.1);
    }
    assert_eq!(lock.read().expect("not poisoned").0, 4000);
}

fn barrier() {
    let barrier = Arc::new(Barrier::new(4));
    let leaders: usize = (0..4)
        .map(|_| {
            let barrier = Arc::clone(&barrier);
            thread::spawn(move || (0..100).filter(|_| barrier.wait().is_leader()).count())
        })
        .collect::<Vec<_>>()
        .into_iter()
        .map(|thread| thread.join().expect("thread"))
        .sum();
    assert_eq!(leaders, 100);
}

fn park_and_unpark() {
    let (sender, receiver) = mpsc::channel();
    let thread = thread::spawn(move || {
        for _ in 0..500 {
            thread::park();
            sender.send(()).expect("received");
        }
    });
    for _ in 0..500 {
        thread.thread().unpark();
        receiver
            .recv_timeout(Duration::from_secs(5))
            .expect("a wake-up was lost");
    }
    thread.join().expect("thread");
}

fn channels() {
    let (sender, receiver) = mpsc::sync_channel(3);
    let senders: Vec<_> = (0..4u64)
        .map(|number| {
            let sender = sender.clone();
            thread::spawn(move || (0..500).for_each(|step| sender.send(number * 500 + step).expect("received")))
        })
        .collect();
    drop(sender);
    assert_eq!(receiver.iter().sum::<u64>(), (0..2000).sum());
    senders.into_iter().for_each(|sender| sender.join().expect("thread"));
}

/// A panic unwinds its own thread only.
fn panicking_thread() {
    let thread = thread::spawn(|| std::panic::resume_unwind(Box::new("on purpose")));
    let payload = thread.join().expect_err("a panic");
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"on purpose"));
}

fn futex(word: &AtomicU32, operation: u32, value: u32, timeout: Option<&Timespec>) -> Result<usize, Errno> {
    let timeout = timeout.map_or(0, |timeout| std::ptr::from_ref(timeout) as usize);
    let bits = FUTEX_BITSET_MATCH_ANY as usize;
    // SAFETY: the kernel reads the word and the timeout.
    unsafe {
        raw(
            nr::FUTEX,
            [
                word.as_ptr() as usize,
                operation as usize,
                value as usize,
                timeout,
                0,
                bits,
            ],
        )
    }
}

/// futex(2), errors.
fn futex_values() {
    let word = AtomicU32::new(5);
    assert_eq!(futex(&word, FUTEX_WAIT, 6, None), Err(Errno::EAGAIN));
    assert_eq!(futex(&word, FUTEX_WAKE, 1, None), Ok(0));
    assert_eq!(futex(&word, 99, 0, None), Err(Errno::ENOSYS));
    // SAFETY: the address is refused.
    let call = |address: usize| unsafe { raw(nr::FUTEX, [address, FUTEX_WAIT as usize, 0, 0, 0, 0]) };
    assert_eq!(call(word.as_ptr() as usize + 1), Err(Errno::EINVAL));
    assert_eq!(call(8), Err(Errno::EFAULT));
    let wrong = Timespec {
        seconds: 0,
        nanoseconds: 1_000_000_000,
    };
    assert_eq!(futex(&word, FUTEX_WAIT, 5, Some(&wrong)), Err(Errno::EINVAL));
}

fn futex_timeouts() {
    let word = AtomicU32::new(0);
    let short = Timespec {
        seconds: 0,
        nanoseconds: 20_000_000,
    };
    let start = Instant::now();
    assert_eq!(
        futex(&word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, Some(&short)),
        Err(Errno::ETIMEDOUT)
    );
    assert!(start.elapsed() >= Duration::from_millis(20));
    // FUTEX_WAIT_BITSET takes a point in time; this one has passed.
    let past = Timespec {
        seconds: 0,
        nanoseconds: 1,
    };
    assert_eq!(futex(&word, FUTEX_WAIT_BITSET, 0, Some(&past)), Err(Errno::ETIMEDOUT));
}

fn futex_wakes_as_many() {
    static WORD: AtomicU32 = AtomicU32::new(0);
    static WOKEN: AtomicU32 = AtomicU32::new(0);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(|| {
                assert_eq!(futex(&WORD, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, None), Ok(0));
                WOKEN.fetch_add(1, Ordering::SeqCst);
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(100));
    // A private key is not a shared one.
    assert_eq!(futex(&WORD, FUTEX_WAKE, 4, None), Ok(0));
    assert_eq!(futex(&WORD, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, None), Ok(1));
    thread::sleep(Duration::from_millis(50));
    assert_eq!(WOKEN.load(Ordering::SeqCst), 1);
    assert_eq!(
        futex(&WORD, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, i32::MAX as u32, None),
        Ok(3)
    );
    threads.into_iter().for_each(|thread| thread.join().expect("thread"));
}

fn futex_between_processes() {
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping.
    let memory = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            4096,
            libc::PROT_READ | libc::PROT_WRITE,
            flags,
            -1,
            0,
        )
    };
    assert_ne!(memory, libc::MAP_FAILED);
    // SAFETY: the page is zero, aligned, and stays mapped to the program's end.
    let word: &AtomicU32 = unsafe { AtomicU32::from_ptr(memory.cast()) };
    let child = child(|| {
        while word.load(Ordering::SeqCst) == 0 {
            match futex(word, FUTEX_WAIT, 0, None) {
                Ok(_) | Err(Errno::EAGAIN) => {}
                Err(_) => return 1,
            }
        }
        0
    });
    thread::sleep(Duration::from_millis(50));
    word.store(1, Ordering::SeqCst);
    futex(word, FUTEX_WAKE, 1, None).expect("futex");
    assert_eq!(child.wait(), Status::Exited(0));
}

fn exit_ends_all_threads() {
    let child = child(|| {
        for _ in 0..4 {
            thread::spawn(|| {
                loop {
                    thread::park();
                }
            });
        }
        thread::spawn(|| {
            loop {
                std::hint::spin_loop();
            }
        });
        thread::spawn(|| process::exit_group(33));
        thread::sleep(Duration::from_secs(60));
        1
    });
    assert_eq!(child.wait(), Status::Exited(33));
}

/// The process lives on until its last thread ends.
fn main_thread_ends_first() {
    let child = child(|| {
        thread::spawn(|| {
            thread::sleep(Duration::from_millis(50));
            process::exit_group(12);
        });
        // SAFETY: ends this thread and nothing else.
        let _ = unsafe { raw(nr::EXIT, [0]) };
        1
    });
    assert_eq!(child.wait(), Status::Exited(12));
}

/// Only the calling thread is in the child.
fn fork_of_many_threads() {
    static STOP: AtomicU32 = AtomicU32::new(0);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let threads: Vec<_> = (0..3)
        .map(|_| {
            thread::spawn(|| {
                while STOP.load(Ordering::Relaxed) == 0 {
                    COUNT.fetch_add(1, Ordering::Relaxed);
                    thread::yield_now();
                }
            })
        })
        .collect();
    for _ in 0..20 {
        let child = child(|| {
            let before = COUNT.load(Ordering::Relaxed);
            let pause = libc::timespec {
                tv_sec: 0,
                tv_nsec: 2_000_000,
            };
            // SAFETY: the kernel reads one timespec.
            unsafe { libc::nanosleep(&pause, std::ptr::null_mut()) };
            i32::from(COUNT.load(Ordering::Relaxed) != before)
        });
        assert_eq!(child.wait(), Status::Exited(0));
    }
    STOP.store(1, Ordering::Relaxed);
    threads.into_iter().for_each(|thread| thread.join().expect("thread"));
}

/// Floating-point registers are each thread's own.
fn floats_stay_apart() {
    let work = |seed: f64| (1..200_000u32).fold(seed, |value, step| (value + f64::from(step)).sqrt() * 1.5);
    let expected: Vec<_> = (0..6).map(|seed| work(f64::from(seed))).collect();
    let threads: Vec<_> = (0..6)
        .map(|seed| thread::spawn(move || work(f64::from(seed))))
        .collect();
    let got: Vec<_> = threads
        .into_iter()
        .map(|thread| thread.join().expect("thread"))
        .collect();
    assert_eq!(got, expected);
}

fn names_and_stacks() {
    fn deep(depth: u32) -> u32 {
        let block = std::hint::black_box([depth; 1000]);
        if depth == 0 {
            block[999]
        } else {
            deep(depth - 1) + block[0] - depth + 1
        }
    }
    let thread = thread::Builder::new()
        .name("worker".to_string())
        .stack_size(8 << 20)
        .spawn(|| {
            let name = std::fs::read_to_string("/proc/thread-self/comm").expect("read");
            assert_eq!(name, "worker\n");
            deep(500)
        });
    assert_eq!(thread.expect("spawn").join().expect("thread"), 500);
}

/// membarrier(2): a command that is offered works, the expedited one of a process after its registration.
fn memory_barriers() {
    // SAFETY: the call takes numbers.
    let ask = |command: i32| unsafe { libc::syscall(libc::SYS_membarrier, command, 0) };
    let offered = ask(libc::MEMBARRIER_CMD_QUERY);
    let wanted = libc::MEMBARRIER_CMD_GLOBAL
        | libc::MEMBARRIER_CMD_GLOBAL_EXPEDITED
        | libc::MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED
        | libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED
        | libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED;
    assert_eq!(offered & i64::from(wanted), i64::from(wanted));
    assert_eq!(ask(libc::MEMBARRIER_CMD_GLOBAL), 0);
    assert_eq!(ask(libc::MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED), 0);
    assert_eq!(ask(libc::MEMBARRIER_CMD_GLOBAL_EXPEDITED), 0);
    assert_eq!(ask(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED), 0);
    assert_eq!(ask(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED), 0);
}
