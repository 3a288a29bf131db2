//! Tests of the strands: the switch by itself, then strands that wait for descriptors. `--measure` tells what a switch costs.

use event_loops::strand::{self, Context, Socket, Stack, switch};
use std::cell::{Cell, RefCell};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;
use userspace_tests::{child, tests};

const TESTS: &[userspace_tests::Test] = tests![
    switch_simple,
    switch_many,
    switch_context_to_context,
    switch_keeps_the_stack,
    switch_keeps_fp_registers,
    stack_size_and_guard,
    strands_take_turns,
    reading_blocks_until_written,
    writing_blocks_until_read,
    one_modify_a_wait,
    a_reused_descriptor_is_added_again,
    end_of_stream,
    ten_thousand_strands_echo,
];

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--measure") {
        measure();
        return ExitCode::SUCCESS;
    }
    userspace_tests::run(TESTS)
}

/// Two contexts for the switch by itself: the test's own, and one other.
#[derive(Default)]
struct Two {
    home: Context,
    other: Context,
    /// Seen by both sides.
    word: usize,
}

thread_local! {
    static TWO: Cell<*mut Two> = const { Cell::new(std::ptr::null_mut()) };
}

fn two() -> &'static mut Two {
    // SAFETY: set by `with_two` to what lives as long as both sides; one of them runs at a time.
    unsafe { &mut *TWO.get() }
}

/// Has `entry` ready on a stack of its own, switches to it `times` times and hands the word back.
fn with_two(entry: extern "C" fn() -> !, times: usize) -> usize {
    let stack = Stack::new(strand::STACK).expect("a stack");
    let mut both = Two {
        other: Context::new(&stack, entry),
        ..Two::default()
    };
    TWO.set(&raw mut both);
    for _ in 0..times {
        go_out();
    }
    both.word
}

fn go_out() {
    let both = TWO.get();
    // SAFETY: the other side is off the CPU, on a stack that `with_two` keeps.
    unsafe { switch(&raw mut (*both).home, &raw const (*both).other) };
}

fn go_home() {
    let both = TWO.get();
    // SAFETY: `go_out` waits for this.
    unsafe { switch(&raw mut (*both).other, &raw const (*both).home) };
}

fn switch_simple() {
    extern "C" fn entry() -> ! {
        two().word = 7;
        go_home();
        unreachable!("nobody comes again")
    }
    assert_eq!(with_two(entry, 1), 7);
}

extern "C" fn counting() -> ! {
    loop {
        two().word += 1;
        go_home();
    }
}

fn switch_many() {
    assert_eq!(with_two(counting, 100_000), 100_000);
}

/// Around a ring of contexts that switch to each other directly, and home in the end.
fn switch_context_to_context() {
    const RING: usize = 8;
    const ROUNDS: usize = 1000;
    struct Ring {
        contexts: Vec<Context>,
        home: Context,
        steps: usize,
    }
    thread_local! {
        static RING_CELL: Cell<*mut Ring> = const { Cell::new(std::ptr::null_mut()) };
    }
    extern "C" fn entry() -> ! {
        loop {
            let ring = RING_CELL.get();
            // SAFETY: the ring lives as long as its contexts run, and one of them runs at a time; the next one, and home
            // in the end, are off the CPU.
            unsafe {
                let at = (*ring).steps % RING;
                (*ring).steps += 1;
                let contexts = (*ring).contexts.as_mut_ptr();
                let next = if (*ring).steps == RING * ROUNDS {
                    &raw const (*ring).home
                } else {
                    contexts.add((at + 1) % RING).cast_const()
                };
                switch(contexts.add(at), next);
            }
        }
    }
    let stacks: Vec<Stack> = (0..RING).map(|_| Stack::new(strand::STACK).expect("a stack")).collect();
    let mut ring = Ring {
        contexts: stacks.iter().map(|stack| Context::new(stack, entry)).collect(),
        home: Context::default(),
        steps: 0,
    };
    let ring = &raw mut ring;
    RING_CELL.set(ring);
    // SAFETY: as above.
    unsafe { switch(&raw mut (*ring).home, (*ring).contexts.as_ptr()) };
    // SAFETY: all of them are off the CPU again.
    assert_eq!(unsafe { (*ring).steps }, RING * ROUNDS);
}

fn switch_keeps_the_stack() {
    extern "C" fn entry() -> ! {
        let mut words: [usize; 64] = std::array::from_fn(|at| at * 3);
        loop {
            // Kept out of registers, and changed in every round.
            let seen = std::hint::black_box(&mut words);
            let round = two().word;
            let right = seen.iter().enumerate().all(|(at, &word)| word == at * 3 + round);
            two().word = if right { round + 1 } else { usize::MAX / 2 };
            seen.iter_mut().for_each(|word| *word += 1);
            go_home();
        }
    }
    let words: [usize; 64] = std::array::from_fn(|at| at * 5);
    let words = std::hint::black_box(words);
    assert_eq!(with_two(entry, 100), 100);
    assert!(words.iter().enumerate().all(|(at, &word)| word == at * 5));
}

#[cfg(target_arch = "x86_64")]
fn control_words() -> (u32, u16) {
    let (mut sse, mut x87) = (0u32, 0u16);
    // SAFETY: stores two control registers.
    unsafe { std::arch::asm!("stmxcsr [{}]", "fnstcw [{}]", in(reg) &raw mut sse, in(reg) &raw mut x87) };
    (sse & !0x3f, x87)
}

#[cfg(target_arch = "x86_64")]
fn set_control_words((sse, x87): (u32, u16)) {
    // SAFETY: rounding modes only; every exception stays masked.
    unsafe { std::arch::asm!("ldmxcsr [{}]", "fldcw [{}]", in(reg) &raw const sse, in(reg) &raw const x87) };
}

/// Rounding towards zero in both units.
#[cfg(target_arch = "x86_64")]
const OTHER_ROUNDING: (u32, u16) = (0x7f80, 0x0f7f);

#[cfg(target_arch = "aarch64")]
fn control_words() -> u64 {
    let word;
    // SAFETY: reads a register.
    unsafe { std::arch::asm!("mrs {}, fpcr", out(reg) word) };
    word
}

#[cfg(target_arch = "aarch64")]
fn set_control_words(word: u64) {
    // SAFETY: the rounding mode only.
    unsafe { std::arch::asm!("msr fpcr, {}", in(reg) word) };
}

/// Rounding towards zero.
#[cfg(target_arch = "aarch64")]
const OTHER_ROUNDING: u64 = 3 << 22;

/// Each side keeps its values and its rounding mode.
fn switch_keeps_fp_registers() {
    extern "C" fn entry() -> ! {
        set_control_words(OTHER_ROUNDING);
        let mut sum = 0.0f64;
        loop {
            sum += 1.5;
            go_home();
            let kept = control_words() == OTHER_ROUNDING && sum == 1.5 * (two().word as f64 + 1.0);
            two().word = if kept { two().word + 1 } else { usize::MAX / 2 };
        }
    }
    let own = control_words();
    assert_ne!(own, OTHER_ROUNDING, "nearest to begin with");
    let mut product = 1.0f64;
    let stack = Stack::new(strand::STACK).expect("a stack");
    let mut both = Two {
        other: Context::new(&stack, entry),
        ..Two::default()
    };
    TWO.set(&raw mut both);
    for round in 0..40 {
        product *= 1.25;
        go_out();
        assert_eq!(control_words(), own, "round {round}");
    }
    assert!((product - 1.25f64.powi(40)).abs() < 1e-6);
    assert_eq!(both.word, 39, "the last round is not looked at");
}

/// All of the stack can be used, and not a byte below it.
fn stack_size_and_guard() {
    let stack = Stack::new(strand::STACK).expect("a stack");
    assert_eq!(stack.top() - stack.bottom(), strand::STACK);
    for at in [stack.bottom(), stack.top() - 1] {
        // SAFETY: inside the stack, which nobody runs on.
        unsafe { (at as *mut u8).write_volatile(1) };
    }
    let below = (stack.bottom() - 1) as *mut u8;
    let child = child(|| {
        // SAFETY: none: the child is to die of it.
        unsafe { below.write_volatile(1) };
        0
    });
    assert_eq!(child.wait(), userspace_tests::Status::Killed(libc::SIGSEGV));
}

fn strands_take_turns() {
    let order = Rc::new(RefCell::new(Vec::new()));
    let seen = order.clone();
    strand::run(move || {
        for name in ["a", "b", "c"] {
            let order = order.clone();
            let body = move || {
                for round in 0..3 {
                    order.borrow_mut().push(format!("{name}{round}"));
                    strand::yield_now();
                }
            };
            strand::spawn(body).expect("a strand");
        }
    })
    .expect("they run");
    assert_eq!(seen.borrow().join(" "), "a0 b0 c0 a1 b1 c1 a2 b2 c2");
}

fn reading_blocks_until_written() {
    let counts = strand::run(|| {
        let (near, far) = Socket::pair().expect("a pair");
        strand::spawn(move || {
            strand::yield_now();
            far.write(b"hello").expect("room");
        })
        .expect("a strand");
        let mut word = [0; 5];
        near.read_exact(&mut word).expect("it comes");
        assert_eq!(&word, b"hello");
    })
    .expect("they run");
    assert_eq!((counts.adds, counts.modifies), (1, 0));
}

fn writing_blocks_until_read() {
    const LEN: usize = 4 << 20;
    let counts = strand::run(|| {
        let (near, far) = Socket::pair().expect("a pair");
        strand::spawn(move || {
            let bytes: Vec<u8> = (0..LEN).map(|at| (at % 251) as u8).collect();
            near.write(&bytes).expect("it goes");
        })
        .expect("a strand");
        let mut at = 0;
        let mut buffer = [0; 8192];
        while at < LEN {
            let count = far.read(&mut buffer).expect("it comes");
            for byte in &buffer[..count] {
                assert_eq!(*byte, (at % 251) as u8);
                at += 1;
            }
        }
    })
    .expect("they run");
    assert!(counts.modifies > 1, "the writer waited more than once");
}

/// A descriptor is added when it is first waited for, and modified once for each wait after.
fn one_modify_a_wait() {
    const ROUNDS: u64 = 50;
    let counts = strand::run(|| {
        let (near, far) = Socket::pair().expect("a pair");
        strand::spawn(move || {
            let mut byte = [0];
            for _ in 0..ROUNDS {
                far.read_exact(&mut byte).expect("it comes");
                far.write(&byte).expect("room");
            }
        })
        .expect("a strand");
        let mut byte = [0];
        for round in 0..ROUNDS {
            near.write(&[round as u8]).expect("room");
            near.read_exact(&mut byte).expect("it comes");
            assert_eq!(byte, [round as u8]);
        }
    })
    .expect("they run");
    // Each of the two waits for its first byte by an ADD. The far one finds that byte there, so its waits are one fewer.
    assert_eq!(counts.adds, 2);
    assert!(
        (2 * ROUNDS - 3..=2 * ROUNDS - 2).contains(&counts.modifies),
        "{counts:?}"
    );
}

fn a_reused_descriptor_is_added_again() {
    const TIMES: u64 = 20;
    let counts = strand::run(|| {
        for _ in 0..TIMES {
            let (near, far) = Socket::pair().expect("a pair");
            strand::spawn(move || {
                strand::yield_now();
                far.write(b"x").expect("room");
            })
            .expect("a strand");
            near.read_exact(&mut [0]).expect("it comes");
        }
    })
    .expect("they run");
    assert_eq!((counts.adds, counts.modifies), (TIMES, 0));
}

fn end_of_stream() {
    strand::run(|| {
        let (near, far) = Socket::pair().expect("a pair");
        strand::spawn(move || {
            strand::yield_now();
            drop(far);
        })
        .expect("a strand");
        assert_eq!(near.read(&mut [0; 8]).expect("no error"), 0);
    })
    .expect("they run");
}

/// 5000 pairs, a strand on each end, and every byte goes there and back.
fn ten_thousand_strands_echo() {
    const PAIRS: usize = 5000;
    const ROUNDS: usize = 4;
    let descriptors = 2 * PAIRS as u64 + 64;
    let limit = libc::rlimit {
        rlim_cur: descriptors,
        rlim_max: descriptors,
    };
    let mut before = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both structures outlive the calls.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut before);
        if before.rlim_max < descriptors {
            userspace_tests::harness::ignore("this user may not have that many descriptors");
        }
        let limit = libc::rlimit {
            rlim_max: before.rlim_max,
            ..limit
        };
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
    }
    let done = Rc::new(Cell::new(0));
    let count = done.clone();
    strand::run(move || {
        for pair in 0..PAIRS {
            let (near, far) = Socket::pair().expect("a pair");
            strand::spawn(move || {
                let mut buffer = [0; 64];
                loop {
                    match far.read(&mut buffer).expect("no error") {
                        0 => break,
                        count => far.write(&buffer[..count]).expect("room"),
                    }
                }
            })
            .expect("a strand");
            let done = done.clone();
            strand::spawn(move || {
                for round in 0..ROUNDS {
                    let sent = (pair * ROUNDS + round).to_le_bytes();
                    near.write(&sent).expect("room");
                    let mut back = [0; 8];
                    near.read_exact(&mut back).expect("it comes back");
                    assert_eq!(back, sent);
                    done.set(done.get() + 1);
                }
            })
            .expect("a strand");
        }
    })
    .expect("they run");
    assert_eq!(count.get(), PAIRS * ROUNDS);
}

fn measure() {
    const TIMES: usize = 1_000_000;
    let start = Instant::now();
    with_two(counting, TIMES);
    let ns = start.elapsed().as_nanos() as f64 / (2 * TIMES) as f64;
    println!("switch: {ns:.1} ns (instructions, where a nanosecond is one)");
}
