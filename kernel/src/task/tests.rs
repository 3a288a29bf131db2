//! In-kernel tests of threads: the switch, parking, run queues.

use super::process::Process;
use super::thread::Thread;
use super::{preempt_point, sched, with_current};
use crate::arch::context;
use crate::arch::trap::TrapFrame;
use crate::arch::{self, PAGE_SIZE};
use crate::file::FdTable;
use crate::fs;
use crate::ktest::{Test, check};
use crate::mm::space::{AddressSpace, Backing, Mapping, Placement, Protection};
use crate::mm::stack::{self, KernelStack, STACK_SIZE};
use crate::time::now_ns;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hint::black_box;
use core::sync::atomic::{
    AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use event::Unparked;
use libsyscall::abi::Errno;
use sync::SpinLock;

pub const TESTS: &[Test] = &[
    ("switch::simple", simple),
    ("switch::many", many),
    ("switch::context_to_context", context_to_context),
    ("switch::stack_preserved", stack_preserved),
    ("switch::fp_registers_preserved", fp_registers_preserved),
    ("switch::stack_size_and_guard", stack_size_and_guard),
    ("park::token_is_kept", token_is_kept),
    ("park::deadline_is_not_early", deadline_is_not_early),
    ("park::wake_from_other_cpus", wake_from_other_cpus),
    ("run_queue::yield_is_fair", yield_is_fair),
    ("run_queue::affinity_is_kept", affinity_is_kept),
];

/// How long anything here may take.
const PATIENCE_NS: u64 = 5_000_000_000;

/// Lets others run until `done`, or patience ends.
fn wait_for(done: impl Fn() -> bool) -> Result<(), &'static str> {
    let deadline_ns = now_ns() + PATIENCE_NS;
    while !done() {
        if now_ns() > deadline_ns {
            return Err("nothing happened for seconds");
        }
        sched::yield_now();
        with_current(|thread| thread.park_until(Some(now_ns() + 50_000)));
    }
    Ok(())
}

fn start(work: fn(usize), argument: usize) -> Result<Arc<Thread>, &'static str> {
    let thread = Thread::kernel(work, argument).map_err(|_| "no memory for a thread")?;
    sched::start(thread.clone());
    Ok(thread)
}

/// A thread runs once and ends.
fn simple() -> Result<(), &'static str> {
    static RAN: AtomicUsize = AtomicUsize::new(0);
    RAN.store(0, SeqCst);
    let thread = start(|argument| RAN.store(argument, SeqCst), 42)?;
    wait_for(|| thread.has_ended())?;
    check(RAN.load(SeqCst) == 42, "the thread did not see its argument")
}

/// Many threads, all alive at once, each switched to several times; all are freed at the end.
fn many() -> Result<(), &'static str> {
    const THREADS: usize = 200;
    static SUM: AtomicUsize = AtomicUsize::new(0);
    SUM.store(0, SeqCst);
    let work = |number| {
        for _ in 0..10 {
            sched::yield_now();
        }
        SUM.fetch_add(number, SeqCst);
    };
    let threads = (0..THREADS)
        .map(|number| start(work, number))
        .collect::<Result<Vec<_>, _>>()?;
    wait_for(|| threads.iter().all(|thread| Arc::strong_count(thread) == 1))?;
    check(
        SUM.load(SeqCst) == THREADS * (THREADS - 1) / 2,
        "a thread ran twice or not at all",
    )
}

/// Two threads hand a counter to each other: every switch goes straight from one to the other.
fn context_to_context() -> Result<(), &'static str> {
    const ROUNDS: usize = 10_000;
    static PAIR: SpinLock<Vec<Arc<Thread>>> = SpinLock::new(Vec::new());
    static TURN: AtomicUsize = AtomicUsize::new(0);
    TURN.store(0, SeqCst);
    let work = |own: usize| {
        let other = loop {
            let pair = PAIR.lock();
            if pair.len() == 2 {
                break pair[1 - own].clone();
            }
            drop(pair);
            sched::yield_now();
        };
        loop {
            let turn = TURN.load(SeqCst);
            if turn >= ROUNDS {
                break;
            }
            if turn % 2 == own {
                TURN.store(turn + 1, SeqCst);
                other.unpark();
            } else {
                with_current(|thread| thread.park());
            }
        }
        other.unpark();
    };
    for own in 0..2 {
        let thread = start(work, own)?;
        PAIR.lock().push(thread);
    }
    let pair = PAIR.lock().clone();
    let result = wait_for(|| pair.iter().all(|thread| thread.has_ended()));
    PAIR.lock().clear();
    result?;
    check(TURN.load(SeqCst) == ROUNDS, "a turn was lost")
}

/// What a thread has on its stack is there after others have run on theirs.
fn stack_preserved() -> Result<(), &'static str> {
    static SPOILED: AtomicUsize = AtomicUsize::new(0);
    SPOILED.store(0, SeqCst);
    let work = |number: usize| {
        let mut words = [0usize; 512];
        for round in 0..20usize {
            for (index, word) in words.iter_mut().enumerate() {
                *word = number.wrapping_mul(0x9e37_79b9) ^ (round << 20) ^ index;
            }
            black_box(&mut words);
            sched::yield_now();
            let kept = words
                .iter()
                .enumerate()
                .all(|(index, &word)| word == number.wrapping_mul(0x9e37_79b9) ^ (round << 20) ^ index);
            if !kept {
                SPOILED.fetch_add(1, SeqCst);
            }
        }
    };
    let threads = (1..20)
        .map(|number| start(work, number))
        .collect::<Result<Vec<_>, _>>()?;
    wait_for(|| threads.iter().all(|thread| thread.has_ended()))?;
    check(SPOILED.load(SeqCst) == 0, "a thread's stack changed under it")
}

/// Programs with different words in their FP/SIMD registers take turns on one CPU; each finds its own.
fn fp_registers_preserved() -> Result<(), &'static str> {
    let run = |word: u64| -> Result<Arc<Process>, Errno> {
        let space = AddressSpace::new()?;
        let writable = Mapping::new(Protection::READ | Protection::WRITE, Backing::Anonymous);
        let ip = space.map(0, PAGE_SIZE, writable.clone(), Placement::Anywhere)?;
        let page = space.map(0, PAGE_SIZE, writable, Placement::Anywhere)?;
        let sp = page + PAGE_SIZE / 2;
        space.write(ip, arch::fp_test::program())?;
        space.protect(ip, PAGE_SIZE, Protection::READ | Protection::EXEC)?;
        space.write(sp, &word.to_ne_bytes())?;
        let process = Process::first(super::table::new_id(), 1, space);
        let frame = TrapFrame::new_user(ip, sp);
        super::clone::start_first(process.clone(), &frame, b"fp_test", FdTable::new(), fs::root())?;
        process.threads().iter().for_each(|thread| thread.set_affinity(1));
        Ok(process)
    };
    let processes = (1..=8u64)
        .map(|number| run(number.wrapping_mul(0x0123_4567_89ab_cdef)).map_err(|_| "no memory for a process"))
        .collect::<Result<Vec<_>, _>>()?;
    wait_for(|| processes.iter().all(|process| process.is_zombie()))?;
    check(
        processes.iter().all(|process| process.ending_status() == Some(0)),
        "a program's registers changed under it",
    )
}

fn stack_size_and_guard() -> Result<(), &'static str> {
    let kernel_stack = KernelStack::new().map_err(|_| "no memory for a stack")?;
    check(
        kernel_stack.top() + context::state_size() - kernel_stack.bottom() == STACK_SIZE,
        "a stack has another size",
    )?;
    check(kernel_stack.top().is_multiple_of(16), "a stack's top is not aligned")?;
    check(stack::is_guard(kernel_stack.bottom() - 1), "no guard below a stack")?;
    check(
        !stack::is_guard(kernel_stack.bottom()),
        "a stack's last word is in its guard",
    )
}

/// An unpark before the park is not lost, and two make one.
fn token_is_kept() -> Result<(), &'static str> {
    with_current(|thread| {
        thread.unpark();
        thread.unpark();
        let first = thread.park_until(Some(now_ns() + PATIENCE_NS));
        let second = thread.park_until(Some(now_ns() + 1_000_000));
        check(first == Unparked::Woken, "the token was lost")?;
        check(second == Unparked::TimedOut, "two tokens were kept")
    })
}

fn deadline_is_not_early() -> Result<(), &'static str> {
    with_current(|thread| {
        for sleep_ns in [1, 1_000, 100_000, 3_000_000] {
            let deadline_ns = now_ns() + sleep_ns;
            while thread.park_until(Some(deadline_ns)) != Unparked::TimedOut {}
            check(now_ns() >= deadline_ns, "woken before its time")?;
        }
        Ok(())
    })
}

/// Wake-ups of one sleeper from several threads, on whatever CPUs there are.
fn wake_from_other_cpus() -> Result<(), &'static str> {
    const WAKERS: usize = 4;
    const WAKES: usize = 2000;
    static SENT: AtomicUsize = AtomicUsize::new(0);
    static SLEEPER: SpinLock<Option<Arc<Thread>>> = SpinLock::new(None);
    SENT.store(0, SeqCst);
    *SLEEPER.lock() = Some(with_current(Arc::clone));
    let work = |_| {
        let sleeper = SLEEPER.lock().clone();
        for _ in 0..WAKES {
            SENT.fetch_add(1, SeqCst);
            if let Some(sleeper) = &sleeper {
                sleeper.unpark();
            }
            sched::yield_now();
        }
    };
    let wakers = (0..WAKERS)
        .map(|number| start(work, number))
        .collect::<Result<Vec<_>, _>>()?;
    let deadline_ns = now_ns() + PATIENCE_NS;
    with_current(|thread| {
        while SENT.load(SeqCst) < WAKERS * WAKES {
            if thread.park_until(Some(deadline_ns)) == Unparked::TimedOut {
                return Err("a wake-up was lost");
            }
        }
        Ok(())
    })?;
    *SLEEPER.lock() = None;
    wait_for(|| wakers.iter().all(|thread| thread.has_ended()))
}

/// Threads of one CPU that yield take turns.
fn yield_is_fair() -> Result<(), &'static str> {
    const ROUNDS: usize = 100;
    static TURNS: SpinLock<Vec<usize>> = SpinLock::new(Vec::new());
    TURNS.lock().clear();
    TURNS.lock().reserve(2 * ROUNDS);
    let work = |number| {
        for _ in 0..ROUNDS {
            TURNS.lock().push(number);
            sched::yield_now();
        }
    };
    let here = 1 << arch::cpu::id();
    let threads = (0..2)
        .map(|number| {
            let thread = Thread::kernel(work, number).map_err(|_| "no memory for a thread")?;
            thread.set_affinity(here);
            Ok(thread)
        })
        .collect::<Result<Vec<_>, &'static str>>()?;
    threads.iter().for_each(|thread| sched::start(thread.clone()));
    wait_for(|| threads.iter().all(|thread| thread.has_ended()))?;
    let turns = TURNS.lock();
    let longest = turns
        .chunk_by(|one, other| one == other)
        .map(<[usize]>::len)
        .max()
        .unwrap_or(0);
    // Three, where the test's own thread came between.
    check(longest <= 3, "a thread was passed over again and again")
}

/// A thread that may run on one CPU runs there.
fn affinity_is_kept() -> Result<(), &'static str> {
    static ELSEWHERE: AtomicUsize = AtomicUsize::new(0);
    ELSEWHERE.store(0, SeqCst);
    for cpu in 0..arch::cpu::online() {
        let work = |cpu: usize| {
            for _ in 0..100 {
                if arch::cpu::id() != cpu {
                    ELSEWHERE.fetch_add(1, Relaxed);
                }
                sched::yield_now();
                preempt_point();
            }
        };
        let thread = Thread::kernel(work, cpu).map_err(|_| "no memory for a thread")?;
        thread.set_affinity(1 << cpu);
        sched::start(thread.clone());
        wait_for(|| thread.has_ended())?;
    }
    check(
        ELSEWHERE.load(SeqCst) == 0,
        "a thread ran on a CPU that was not its own",
    )
}
