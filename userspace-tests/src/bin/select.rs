//! pselect6(2), which every machine has, and what becomes of poll(2) and its kind when signals and stops come.

use libsyscall::abi::Errno;
use libsyscall::abi::event::{EPOLLIN, EpollEvent, PollFd};
use libsyscall::abi::nr;
use libsyscall::calls::event::{self, Timespec};
use libsyscall::calls::raw;
use std::mem;
use std::process::ExitCode;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use userspace_tests::{Fd, Status, checked, child, disturbed, tests};

fn main() -> ExitCode {
    userspace_tests::run(tests![
        sets,
        end_of_pipe,
        broken_pipe,
        only_exceptional,
        closed_descriptor,
        numbers_above_the_count,
        sets_stay_when_it_fails,
        count_errors,
        timeouts,
        time_left,
        time_that_cannot_be_written,
        mask_size,
        mask_holds_back,
        mask_lets_through,
        waits_for_any,
        limit_of_descriptors,
        handler_interrupts_all,
        stop_and_poll,
        stop_and_ppoll,
        stop_and_select,
        stop_and_epoll,
        ignored_signals_do_not_interrupt,
    ])
}

/// Words of an fd_set.
const WORDS: usize = 16;
type Set = [u64; WORDS];

fn set(numbers: &[i32]) -> Set {
    let mut set = [0; WORDS];
    for &number in numbers {
        set[number as usize / 64] |= 1 << (number % 64);
    }
    set
}

/// pselect6(2) on three sets, with a timeout that is written back, and no mask.
fn select(
    count: i32,
    sets: [Option<&mut Set>; 3],
    timeout: Option<&mut Timespec>,
    mask: Option<(&u64, usize)>,
) -> Result<usize, Errno> {
    let [read, write, except] = sets.map(|set| set.map_or(0, |set| set.as_mut_ptr() as usize));
    let timeout = timeout.map_or(0, |timeout| ptr::from_mut(timeout) as usize);
    let pair = mask.map(|(mask, size)| [ptr::from_ref(mask) as usize, size]);
    let mask = pair.as_ref().map_or(0, |pair| pair.as_ptr() as usize);
    // SAFETY: the kernel reads and writes the sets and the timeout, and reads the mask.
    unsafe { raw(nr::PSELECT6, [count as usize, read, write, except, timeout, mask]) }
}

fn ms(milliseconds: i64) -> Timespec {
    Timespec {
        seconds: milliseconds / 1000,
        nanoseconds: milliseconds % 1000 * 1_000_000,
    }
}

fn now(sets: [Option<&mut Set>; 3]) -> Result<usize, Errno> {
    select(1024, sets, Some(&mut ms(0)), None)
}

/// Semantics 163.
fn sets() {
    let ((read, write), other) = (Fd::pipe(), Fd::eventfd(0, 0));
    let (mut reads, mut writes, mut excepts) = (set(&[read.0, other.0]), set(&[write.0]), set(&[read.0]));
    assert_eq!(now([Some(&mut reads), Some(&mut writes), Some(&mut excepts)]), Ok(1));
    assert_eq!((reads, writes, excepts), (set(&[]), set(&[write.0]), set(&[])));
    write.write(b"x").expect("write");
    let mut reads = set(&[read.0, other.0]);
    assert_eq!(now([Some(&mut reads), None, None]), Ok(1));
    assert_eq!(reads, set(&[read.0]));
}

/// Semantics 164.
fn end_of_pipe() {
    let (read, write) = Fd::pipe();
    drop(write);
    let (mut reads, mut writes) = (set(&[read.0]), set(&[read.0]));
    assert_eq!(now([Some(&mut reads), Some(&mut writes), None]), Ok(1));
    assert_eq!((reads, writes), (set(&[read.0]), set(&[])));
}

/// Semantics 164.
fn broken_pipe() {
    let (read, write) = Fd::pipe();
    drop(read);
    let (mut reads, mut writes) = (set(&[write.0]), set(&[write.0]));
    assert_eq!(now([Some(&mut reads), Some(&mut writes), None]), Ok(2));
    assert_eq!((reads, writes), (set(&[write.0]), set(&[write.0])));
}

/// Semantics 164: a hang-up is none of what the third set asks for, nor of the second.
fn only_exceptional() {
    let (read, write) = Fd::pipe();
    drop(write);
    for place in [1, 2] {
        let mut asked = set(&[read.0]);
        let mut sets = [None, None, None];
        sets[place] = Some(&mut asked);
        let start = Instant::now();
        assert_eq!(select(1024, sets, Some(&mut ms(30)), None), Ok(0));
        assert!(start.elapsed() >= Duration::from_millis(30));
        assert_eq!(asked, set(&[]));
    }
}

/// Semantics 163.
fn closed_descriptor() {
    for place in 0..3 {
        let mut asked = set(&[63]);
        let mut sets = [None, None, None];
        sets[place] = Some(&mut asked);
        assert_eq!(now(sets), Err(Errno::EBADF));
        assert_eq!(asked, set(&[63]));
    }
}

/// Semantics 163.
fn numbers_above_the_count() {
    let event = Fd::eventfd(1, 0);
    let mut reads = set(&[event.0, 63]);
    assert_eq!(select(event.0 + 1, [Some(&mut reads), None, None], None, None), Ok(1));
    // The word that holds the count's last bit is written as a whole.
    assert_eq!(reads, set(&[event.0]));
    let mut reads = set(&[event.0]);
    assert_eq!(
        select(event.0, [Some(&mut reads), None, None], Some(&mut ms(0)), None),
        Ok(0)
    );
}

fn sets_stay_when_it_fails() {
    let event = Fd::eventfd(1, 0);
    let (mut reads, mut writes) = (set(&[event.0]), set(&[63]));
    assert_eq!(now([Some(&mut reads), Some(&mut writes), None]), Err(Errno::EBADF));
    assert_eq!((reads, writes), (set(&[event.0]), set(&[63])));
}

/// Semantics 163, 165: the time goes on whatever the result.
fn count_errors() {
    let mut timeout = ms(5000);
    assert_eq!(
        select(-1, [None, None, None], Some(&mut timeout), None),
        Err(Errno::EINVAL)
    );
    assert_eq!(timeout.seconds, 4);
    let mut timeout = ms(5000);
    let mut asked = set(&[63]);
    assert_eq!(
        select(64, [Some(&mut asked), None, None], Some(&mut timeout), None),
        Err(Errno::EBADF)
    );
    assert_eq!(timeout.seconds, 4);
    // More than there can be is as many as there can be.
    assert_eq!(select(i32::MAX, [None, None, None], Some(&mut ms(0)), None), Ok(0));
}

/// Semantics 165, 166.
fn timeouts() {
    for (seconds, nanoseconds) in [(-1, 0), (0, -1), (0, 1_000_000_000)] {
        let mut wrong = Timespec { seconds, nanoseconds };
        assert_eq!(
            select(0, [None, None, None], Some(&mut wrong), None),
            Err(Errno::EINVAL)
        );
        assert_eq!(wrong, Timespec { seconds, nanoseconds });
    }
    for nanoseconds in [1, 300_000, 7_000_000] {
        let start = Instant::now();
        let mut timeout = Timespec {
            seconds: 0,
            nanoseconds,
        };
        assert_eq!(select(0, [None, None, None], Some(&mut timeout), None), Ok(0));
        assert!(start.elapsed() >= Duration::from_nanos(nanoseconds as u64));
        assert_eq!(timeout, Timespec::default());
    }
}

/// Semantics 163, 165.
fn time_left() {
    let event = Fd::eventfd(1, 0);
    for mut timeout in [
        ms(2000),
        Timespec {
            seconds: i64::MAX,
            nanoseconds: 999_999_999,
        },
    ] {
        let before = timeout.seconds;
        let mut reads = set(&[event.0]);
        assert_eq!(
            select(64, [Some(&mut reads), None, None], Some(&mut timeout), None),
            Ok(1)
        );
        assert!(timeout.seconds > 0 && timeout.seconds < before, "{timeout:?}");
    }
}

/// A timeout in memory that can only be read is used and left as it is.
fn time_that_cannot_be_written() {
    static TIMEOUT: Timespec = Timespec {
        seconds: 0,
        nanoseconds: 1_000_000,
    };
    let address = &raw const TIMEOUT as usize;
    // SAFETY: the kernel reads the timeout.
    unsafe {
        assert_eq!(raw(nr::PSELECT6, [0, 0, 0, 0, address, 0]), Ok(0));
        assert_eq!(raw(nr::PPOLL, [0, 0, address, 0, 8]), Ok(0));
    }
}

/// Semantics 165.
fn mask_size() {
    let mask = 0;
    let mut timeout = ms(5000);
    let nothing = [None, None, None];
    assert_eq!(
        select(0, nothing, Some(&mut timeout), Some((&mask, 7))),
        Err(Errno::EINVAL)
    );
    assert_eq!(timeout, ms(5000));
    // A null mask has any size.
    let pair = [0usize, 7];
    let timeout = ms(0);
    // SAFETY: the kernel reads the pair and the timeout.
    let result = unsafe {
        raw(
            nr::PSELECT6,
            [0, 0, 0, 0, &raw const timeout as usize, pair.as_ptr() as usize],
        )
    };
    assert_eq!(result, Ok(0));
}

static CAUGHT: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(_: i32) {
    CAUGHT.fetch_add(1, Ordering::SeqCst);
}

fn handle(signal: i32, flags: i32) {
    // SAFETY: all zero bytes are an action; the handler stores a number.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = note as extern "C" fn(i32) as usize;
        action.sa_flags = flags;
        checked(libc::sigaction(signal, &action, ptr::null_mut())).expect("sigaction");
    }
    CAUGHT.store(0, Ordering::SeqCst);
}

fn mask(how: i32, signal: i32) {
    // SAFETY: all zero bytes are the empty set; the kernel reads one set.
    unsafe {
        let mut set = mem::zeroed();
        assert_eq!(libc::sigaddset(&mut set, signal), 0);
        assert_eq!(libc::pthread_sigmask(how, &set, ptr::null_mut()), 0);
    }
}

fn raise(signal: i32) {
    // SAFETY: the tests arrange what the signal does.
    assert_eq!(unsafe { libc::raise(signal) }, 0);
}

const USR1: u64 = 1 << (libc::SIGUSR1 - 1);

/// Semantics 162, 165: a signal that the mask blocks does not interrupt.
fn mask_holds_back() {
    handle(libc::SIGUSR1, 0);
    // SAFETY: the thread lives as long as the sender is joined.
    let me = unsafe { libc::pthread_self() };
    let sender = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        // SAFETY: as above.
        assert_eq!(unsafe { libc::pthread_kill(me, libc::SIGUSR1) }, 0);
    });
    let nothing = [None, None, None];
    assert_eq!(select(0, nothing, Some(&mut ms(500)), Some((&USR1, 8))), Ok(0));
    // It ran when the old mask came back.
    assert_eq!(CAUGHT.load(Ordering::SeqCst), 1);
    sender.join().expect("thread");
}

/// Semantics 162, 165: a signal that waits and is let through interrupts, unless there is something to report.
fn mask_lets_through() {
    handle(libc::SIGUSR1, libc::SA_RESTART);
    let event = Fd::eventfd(1, 0);
    let file = |events| {
        [PollFd {
            fd: event.0,
            events,
            revents: 0,
        }]
    };
    let nothing = || [None, None, None];
    mask(libc::SIG_BLOCK, libc::SIGUSR1);
    raise(libc::SIGUSR1);
    // What is ready comes first, and the signal waits on.
    let mut reads = set(&[event.0]);
    assert_eq!(
        select(64, [Some(&mut reads), None, None], Some(&mut ms(5000)), Some((&0, 8))),
        Ok(1)
    );
    assert_eq!(event::ppoll(&mut file(1), Some(&mut ms(5000)), Some(&0)), Ok(1));
    assert_eq!(CAUGHT.load(Ordering::SeqCst), 0);
    let mut timeout = ms(5000);
    assert_eq!(
        select(0, nothing(), Some(&mut timeout), Some((&0, 8))),
        Err(Errno::EINTR)
    );
    assert!(timeout.seconds == 4, "{timeout:?}");
    assert_eq!(CAUGHT.load(Ordering::SeqCst), 1);
    raise(libc::SIGUSR1);
    let mut timeout = ms(5000);
    assert_eq!(
        event::ppoll(&mut file(0), Some(&mut timeout), Some(&0)),
        Err(Errno::EINTR)
    );
    assert!(timeout.seconds == 4, "{timeout:?}");
    assert_eq!(CAUGHT.load(Ordering::SeqCst), 2);
    // The old mask is back.
    raise(libc::SIGUSR1);
    assert_eq!(CAUGHT.load(Ordering::SeqCst), 2);
    mask(libc::SIG_UNBLOCK, libc::SIGUSR1);
    assert_eq!(CAUGHT.load(Ordering::SeqCst), 3);
}

fn waits_for_any() {
    let (event, (read, write)) = (Fd::eventfd(0, 0), Fd::pipe());
    let numbers = [event.0, read.0];
    let waiter = thread::spawn(move || {
        let mut reads = set(&numbers);
        (select(1024, [Some(&mut reads), None, None], None, None), reads)
    });
    thread::sleep(Duration::from_millis(30));
    write.write(b"x").expect("write");
    assert_eq!(waiter.join().expect("thread"), (Ok(1), set(&[read.0])));
}

/// Semantics 156, 163.
fn limit_of_descriptors() {
    let child = child(|| {
        let event = Fd::eventfd(1, 0);
        let limit = |soft| {
            let limit = libc::rlimit {
                rlim_cur: soft,
                rlim_max: 1024,
            };
            // SAFETY: the kernel reads one limit.
            checked(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }).expect("setrlimit");
        };
        let file = PollFd {
            fd: event.0,
            events: 1,
            revents: 0,
        };
        limit(4);
        assert_eq!(event::ppoll(&mut [file; 4], Some(&mut ms(0)), None), Ok(4));
        assert_eq!(event::ppoll(&mut [file; 5], Some(&mut ms(0)), None), Err(Errno::EINVAL));
        limit(0);
        assert_eq!(event::ppoll(&mut [], Some(&mut ms(0)), None), Ok(0));
        assert_eq!(event::ppoll(&mut [file], Some(&mut ms(0)), None), Err(Errno::EINVAL));
        let mut reads = set(&[event.0]);
        assert_eq!(now([Some(&mut reads), None, None]), Ok(1));
        0
    });
    assert_eq!(child.wait(), Status::Exited(0));
}

/// A call that waits, by its name.
type Wait = (&'static str, Box<dyn Fn() -> Result<usize, Errno>>);

/// The calls that wait, each for `milliseconds` with nothing to come.
fn waits(milliseconds: i32) -> [Wait; 5] {
    let epoll = Fd::epoll();
    let other = Fd::epoll();
    [
        (
            "poll",
            Box::new(move || {
                // SAFETY: no entries.
                checked(unsafe { libc::poll(ptr::null_mut(), 0, milliseconds) }).map(|count| count as usize)
            }),
        ),
        (
            "ppoll",
            Box::new(move || event::ppoll(&mut [], Some(&mut ms(milliseconds.into())), None)),
        ),
        (
            "pselect6",
            Box::new(move || select(0, [None, None, None], Some(&mut ms(milliseconds.into())), None)),
        ),
        (
            "epoll_pwait",
            Box::new(move || epoll.wait(milliseconds, 1).map(|events| events.len())),
        ),
        (
            "epoll_pwait2",
            Box::new(move || {
                let (other, timeout) = (&other, ms(milliseconds.into()));
                event::epoll_pwait2(other.0, &mut [EpollEvent::default()], Some(&timeout), None)
            }),
        ),
    ]
}

/// Semantics 107, 161, 162: SA_RESTART or not.
fn handler_interrupts_all() {
    for flags in [0, libc::SA_RESTART] {
        for (name, wait) in waits(5000) {
            handle(libc::SIGUSR1, flags);
            assert_eq!(disturbed(libc::SIGUSR1, wait), Err(Errno::EINTR), "{name}");
            assert!(CAUGHT.load(Ordering::SeqCst) >= 1);
        }
    }
}

/// A child that waits for 300 ms is stopped for 200 of them: what the call gave, and how long it took.
fn stopped(call: &str) -> (Result<usize, Errno>, Duration) {
    let (read, write) = Fd::blocking_pipe();
    let child = child(|| {
        let (_, wait) = waits(300).into_iter().find(|(name, _)| *name == call).expect("a call");
        let start = Instant::now();
        let result = wait();
        let took = start.elapsed().as_micros() as u64;
        let code = result.map_or_else(|error| error.number() as u64, |_| 0);
        let told = [code.to_ne_bytes(), took.to_ne_bytes()].concat();
        i32::from(write.write(&told) != Ok(16))
    });
    thread::sleep(Duration::from_millis(50));
    child.signal(libc::SIGSTOP);
    thread::sleep(Duration::from_millis(200));
    child.signal(libc::SIGCONT);
    let mut told = [0; 16];
    assert_eq!(read.read(&mut told), Ok(16));
    assert_eq!(child.wait(), Status::Exited(0));
    let word = |at: usize| u64::from_ne_bytes(told[at..at + 8].try_into().expect("8 bytes"));
    let result = Errno::new(word(0) as usize).map_or(Ok(0), Err);
    (result, Duration::from_micros(word(8)))
}

/// Semantics 109: the call goes on to the moment it had.
fn stop_and_poll() {
    let (result, took) = stopped("poll");
    assert_eq!(result, Ok(0));
    assert!(took >= Duration::from_millis(300), "{took:?}");
}

/// The time left when it was stopped is what it goes on with.
fn stop_and_ppoll() {
    let (result, took) = stopped("ppoll");
    assert_eq!(result, Ok(0));
    assert!(took >= Duration::from_millis(300), "{took:?}");
}

fn stop_and_select() {
    let (result, took) = stopped("pselect6");
    assert_eq!(result, Ok(0));
    assert!(took >= Duration::from_millis(300), "{took:?}");
}

/// Semantics 109.
fn stop_and_epoll() {
    for call in ["epoll_pwait", "epoll_pwait2"] {
        assert_eq!(stopped(call).0, Err(Errno::EINTR), "{call}");
    }
}

/// Semantics 108.
fn ignored_signals_do_not_interrupt() {
    let (event, epoll) = (Fd::eventfd(0, 0), Fd::epoll());
    epoll.add(&event, EPOLLIN);
    // SAFETY: no handler is set.
    unsafe { libc::signal(libc::SIGUSR2, libc::SIG_IGN) };
    let pid = std::process::id() as i32;
    let number = event.0;
    let sender = thread::spawn(move || {
        for signal in [
            libc::SIGUSR2,
            libc::SIGCHLD,
            libc::SIGWINCH,
            libc::SIGURG,
            libc::SIGCONT,
        ] {
            thread::sleep(Duration::from_millis(10));
            // SAFETY: all of these are ignored.
            checked(unsafe { libc::kill(pid, signal) }).expect("kill");
        }
        thread::sleep(Duration::from_millis(10));
        event::eventfd_write(number, 1).expect("write");
    });
    assert_eq!(epoll.wait(-1, 1), Ok(vec![(event.0 as u64, EPOLLIN)]));
    sender.join().expect("thread");
}
