//! Timers that send signals: timer_create(2) and its calls, setitimer(2). The signals are blocked and waited for, so that
//! each test sees every one.

use libsyscall::abi::Errno;
use std::mem;
use std::process::ExitCode;
use std::ptr;
use std::time::{Duration, Instant};
use userspace_tests::{Status, checked, child, tests};

fn main() -> ExitCode {
    userspace_tests::run(tests![
        one_expiry,
        periods_and_overrun,
        overrun_of_continuing,
        absolute_and_passed,
        settings_are_told,
        none_is_only_looked_at,
        a_thread_of_its_own,
        deleting_takes_the_signal_back,
        setting_anew_takes_the_signal_back,
        wrong_requests,
        gone_after_exec_and_fork,
        process_cpu_time,
        interval_timers_of_cpu_time,
        shortest_interval,
        ignored_timers,
        many,
    ])
}

const SIGNAL: i32 = libc::SIGUSR1;

fn block(signal: i32) -> libc::sigset_t {
    // SAFETY: the set is initialised before it is used; a mask of this thread changes.
    unsafe {
        let mut set = mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, signal);
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, ptr::null_mut());
        set
    }
}

/// The next blocked signal within a time.
fn next(signal: i32, within: Duration) -> Option<libc::siginfo_t> {
    let set = block(signal);
    let timeout = timespec(within);
    // SAFETY: set and timeout are read, the information is written when a signal is taken.
    unsafe {
        let mut info = mem::zeroed();
        (libc::sigtimedwait(&set, &mut info, &timeout) == signal).then_some(info)
    }
}

fn timespec(duration: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: duration.as_secs() as i64,
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

fn event(signal: i32, notify: i32, value: usize) -> libc::sigevent {
    // SAFETY: all zero bytes are a sigevent.
    let mut event: libc::sigevent = unsafe { mem::zeroed() };
    event.sigev_signo = signal;
    event.sigev_notify = notify;
    event.sigev_value.sival_ptr = ptr::without_provenance_mut(value);
    event
}

/// A timer; deleted when dropped. The calls are made by number: libc has timer numbers of its own.
struct Timer(i32);

impl Timer {
    fn new(clock: i32, event: Option<&libc::sigevent>) -> Result<Timer, Errno> {
        let mut number = -1i32;
        let event = event.map_or(ptr::null(), ptr::from_ref);
        // SAFETY: the event is read and one number written.
        checked(unsafe { libc::syscall(libc::SYS_timer_create, clock, event, &mut number) })?;
        Ok(Timer(number))
    }

    fn with_signal() -> Timer {
        block(SIGNAL);
        Timer::new(libc::CLOCK_MONOTONIC, Some(&event(SIGNAL, libc::SIGEV_SIGNAL, 77))).expect("a timer")
    }

    fn set(&self, flags: i32, value: Duration, interval: Duration) -> Result<(Duration, Duration), Errno> {
        let new = libc::itimerspec {
            it_interval: timespec(interval),
            it_value: timespec(value),
        };
        // SAFETY: the new setting is read, the old one written.
        unsafe {
            let mut old: libc::itimerspec = mem::zeroed();
            checked(libc::syscall(libc::SYS_timer_settime, self.0, flags, &new, &mut old))?;
            Ok(durations(&old))
        }
    }

    fn get(&self) -> Result<(Duration, Duration), Errno> {
        // SAFETY: the setting is written.
        unsafe {
            let mut now: libc::itimerspec = mem::zeroed();
            checked(libc::syscall(libc::SYS_timer_gettime, self.0, &mut now))?;
            Ok(durations(&now))
        }
    }

    fn overrun(&self) -> i64 {
        // SAFETY: it takes a number.
        unsafe { libc::syscall(libc::SYS_timer_getoverrun, self.0) }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: it takes a number.
        unsafe { libc::syscall(libc::SYS_timer_delete, self.0) };
    }
}

/// (value, interval).
fn durations(setting: &libc::itimerspec) -> (Duration, Duration) {
    let duration = |time: &libc::timespec| Duration::new(time.tv_sec as u64, time.tv_nsec as u32);
    (duration(&setting.it_value), duration(&setting.it_interval))
}

fn milliseconds(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

const LONG: Duration = Duration::from_secs(10);

/// SI_TIMER's fields: the timer's number, its overrun and the value.
fn fields(info: &libc::siginfo_t) -> (i32, i32, usize) {
    // SAFETY: siginfo_t has 128 bytes, and every pattern of them is a number.
    unsafe {
        let words = ptr::from_ref(info).cast::<i32>();
        (
            words.add(4).read(),
            words.add(5).read(),
            words.add(6).cast::<usize>().read(),
        )
    }
}

fn one_expiry() {
    let timer = Timer::with_signal();
    let start = Instant::now();
    timer.set(0, milliseconds(30), Duration::ZERO).expect("set");
    let info = next(SIGNAL, LONG).expect("a signal");
    assert!(start.elapsed() >= milliseconds(30));
    assert_eq!(info.si_code, libc::SI_TIMER);
    assert_eq!(fields(&info), (timer.0, 0, 77));
    assert_eq!(timer.get(), Ok((Duration::ZERO, Duration::ZERO)));
    assert!(next(SIGNAL, milliseconds(50)).is_none());
}

fn periods_and_overrun() {
    let timer = Timer::with_signal();
    timer.set(0, milliseconds(5), milliseconds(5)).expect("set");
    assert!(next(SIGNAL, LONG).is_some());
    std::thread::sleep(milliseconds(60));
    // One is queued, and those since are its overrun.
    let info = next(SIGNAL, LONG).expect("a signal");
    let (_, overrun, _) = fields(&info);
    assert!(overrun >= 8, "{overrun}");
    assert_eq!(timer.overrun(), i64::from(overrun));
    assert!(next(SIGNAL, LONG).is_some());
}

/// SIGCONT takes stops out of the queues, and not itself.
fn overrun_of_continuing() {
    block(libc::SIGCONT);
    let timer = Timer::new(
        libc::CLOCK_MONOTONIC,
        Some(&event(libc::SIGCONT, libc::SIGEV_SIGNAL, 0)),
    )
    .expect("timer");
    timer.set(0, milliseconds(2), milliseconds(5)).expect("set");
    std::thread::sleep(milliseconds(100));
    let (_, overrun, _) = fields(&next(libc::SIGCONT, LONG).expect("a signal"));
    assert!(overrun >= 18, "{overrun}");
    assert!(timer.overrun() >= 18);
}

fn absolute_and_passed() {
    let timer = Timer::with_signal();
    let start = Instant::now();
    // SAFETY: one time is written.
    let now = unsafe {
        let mut now: libc::timespec = mem::zeroed();
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now);
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    };
    timer
        .set(libc::TIMER_ABSTIME, now + milliseconds(40), Duration::ZERO)
        .expect("set");
    assert!(next(SIGNAL, LONG).is_some());
    assert!(start.elapsed() >= milliseconds(40));
    timer
        .set(libc::TIMER_ABSTIME, milliseconds(1), Duration::ZERO)
        .expect("set");
    assert!(next(SIGNAL, LONG).is_some(), "a moment that has passed expires at once");
}

fn settings_are_told() {
    let timer = Timer::with_signal();
    assert_eq!(timer.get(), Ok((Duration::ZERO, Duration::ZERO)));
    let interval = Duration::from_secs(3);
    assert_eq!(timer.set(0, LONG, interval), Ok((Duration::ZERO, Duration::ZERO)));
    let (left, told) = timer.set(0, Duration::ZERO, Duration::ZERO).expect("set");
    assert!(left <= LONG && left > milliseconds(5000), "{left:?}");
    assert_eq!(told, interval);
    assert_eq!(timer.get().map(|(left, _)| left), Ok(Duration::ZERO));
}

fn none_is_only_looked_at() {
    let timer = Timer::new(libc::CLOCK_MONOTONIC, Some(&event(0, libc::SIGEV_NONE, 0))).expect("a timer");
    timer.set(0, milliseconds(10), LONG).expect("set");
    std::thread::sleep(milliseconds(20));
    let (left, interval) = timer.get().expect("get");
    assert!(
        left <= LONG && left > milliseconds(5000),
        "the second period runs: {left:?}"
    );
    assert_eq!(interval, LONG);
}

fn a_thread_of_its_own() {
    block(SIGNAL);
    let thread = std::thread::spawn(|| {
        block(SIGNAL);
        // SAFETY: gettid(2) takes nothing.
        let me = unsafe { libc::syscall(libc::SYS_gettid) } as i32;
        let mut event = event(SIGNAL, libc::SIGEV_THREAD_ID, 5);
        event.sigev_notify_thread_id = me;
        let timer = Timer::new(libc::CLOCK_MONOTONIC, Some(&event)).expect("a timer");
        timer.set(0, milliseconds(20), Duration::ZERO).expect("set");
        next(SIGNAL, LONG).map(|info| fields(&info).2)
    });
    assert!(
        next(SIGNAL, milliseconds(60)).is_none(),
        "it is not this thread's signal"
    );
    assert_eq!(thread.join().expect("joined"), Some(5));
}

fn deleting_takes_the_signal_back() {
    let timer = Timer::with_signal();
    timer.set(0, milliseconds(5), Duration::ZERO).expect("set");
    std::thread::sleep(milliseconds(30));
    drop(timer);
    // Nor is it taken for one of the timer that comes next.
    let timer = Timer::with_signal();
    timer.set(0, LONG, Duration::ZERO).expect("set");
    assert!(next(SIGNAL, milliseconds(20)).is_none());
    drop(timer);
}

fn setting_anew_takes_the_signal_back() {
    let timer = Timer::with_signal();
    timer.set(0, milliseconds(5), Duration::ZERO).expect("set");
    std::thread::sleep(milliseconds(30));
    timer.set(0, LONG, Duration::ZERO).expect("set");
    assert!(next(SIGNAL, milliseconds(20)).is_none());
}

fn wrong_requests() {
    let signal = event(SIGNAL, libc::SIGEV_SIGNAL, 0);
    let error = |clock: i32, event: &libc::sigevent| Timer::new(clock, Some(event)).err();
    assert_eq!(error(99, &signal), Some(Errno::EINVAL));
    assert_eq!(error(libc::CLOCK_MONOTONIC_RAW, &signal), Some(Errno::EOPNOTSUPP));
    assert_eq!(
        error(libc::CLOCK_MONOTONIC, &event(65, libc::SIGEV_SIGNAL, 0)),
        Some(Errno::EINVAL)
    );
    assert_eq!(error(libc::CLOCK_MONOTONIC, &event(SIGNAL, 9, 0)), Some(Errno::EINVAL));
    // Of another process, and of nobody.
    let mut foreign = event(SIGNAL, libc::SIGEV_THREAD_ID, 0);
    foreign.sigev_notify_thread_id = 1;
    if std::process::id() != 1 {
        assert_eq!(error(libc::CLOCK_MONOTONIC, &foreign), Some(Errno::EINVAL));
    }
    let timer = Timer::with_signal();
    let nonsense = Duration::ZERO;
    assert_eq!(Timer(timer.0 + 50).get(), Err(Errno::EINVAL));
    assert_eq!(Timer(-1).set(0, nonsense, nonsense).err(), Some(Errno::EINVAL));
    // SAFETY: an address that is not mapped is what is tested.
    let bad = unsafe { libc::syscall(libc::SYS_timer_settime, timer.0, 0, 8usize, 0usize) };
    assert_eq!(checked(bad), Err(Errno::EFAULT));
}

fn gone_after_exec_and_fork() {
    let timer = Timer::with_signal();
    timer.set(0, LONG, Duration::ZERO).expect("set");
    let number = timer.0;
    let status = child(|| {
        let inherited = Timer(number);
        i32::from(inherited.get() != Err(Errno::EINVAL))
    });
    assert_eq!(status.wait(), Status::Exited(0));
    assert!(timer.get().is_ok());
}

/// Works until a signal has come, up to a limit.
fn work_until(signal: i32) -> Duration {
    let start = Instant::now();
    let mut sum = 0u64;
    while start.elapsed() < LONG {
        (0..10_000).for_each(|number| sum = std::hint::black_box(sum.wrapping_add(number)));
        if next(signal, Duration::ZERO).is_some() {
            return start.elapsed();
        }
    }
    panic!("no signal in {LONG:?} of work");
}

fn process_cpu_time() {
    block(SIGNAL);
    let timer = Timer::new(
        libc::CLOCK_PROCESS_CPUTIME_ID,
        Some(&event(SIGNAL, libc::SIGEV_SIGNAL, 0)),
    )
    .expect("a timer");
    timer.set(0, milliseconds(50), Duration::ZERO).expect("set");
    assert!(next(SIGNAL, milliseconds(150)).is_none(), "sleeping takes no CPU time");
    assert!(work_until(SIGNAL) >= milliseconds(30));
}

fn set_interval(which: i32, value: Duration, interval: Duration) {
    let timeval = |time: Duration| libc::timeval {
        tv_sec: time.as_secs() as i64,
        tv_usec: i64::from(time.subsec_micros()),
    };
    let new = libc::itimerval {
        it_interval: timeval(interval),
        it_value: timeval(value),
    };
    // SAFETY: the new setting is read.
    checked(unsafe { libc::syscall(libc::SYS_setitimer, which, &new, ptr::null::<u8>()) }).expect("setitimer");
}

fn interval_timers_of_cpu_time() {
    for (which, signal) in [
        (libc::ITIMER_VIRTUAL, libc::SIGVTALRM),
        (libc::ITIMER_PROF, libc::SIGPROF),
    ] {
        block(signal);
        set_interval(which, milliseconds(20), milliseconds(20));
        work_until(signal);
        work_until(signal);
        set_interval(which, Duration::ZERO, Duration::ZERO);
        while next(signal, Duration::ZERO).is_some() {}
    }
}

/// Nobody takes the signal, and nothing else suffers.
fn shortest_interval() {
    block(libc::SIGALRM);
    let microsecond = Duration::from_micros(1);
    set_interval(libc::ITIMER_REAL, microsecond, microsecond);
    let timer = Timer::with_signal();
    timer
        .set(0, Duration::from_nanos(1), Duration::from_nanos(1))
        .expect("set");
    std::thread::sleep(milliseconds(50));
    assert!(next(libc::SIGALRM, LONG).is_some() && next(libc::SIGALRM, LONG).is_some());
    assert!(next(SIGNAL, LONG).is_some() && next(SIGNAL, LONG).is_some());
    set_interval(libc::ITIMER_REAL, Duration::ZERO, Duration::ZERO);
    while next(libc::SIGALRM, Duration::ZERO).is_some() {}
}

/// A timer outlives a time in which its signal is ignored; an interval timer does not.
fn ignored_timers() {
    const PERIOD: Duration = Duration::from_micros(50);
    let ignored_for_a_while = |signal: i32, start: fn()| {
        let child = child(|| {
            // SAFETY: ignoring and the default are no handlers; the mask of the one thread changes.
            unsafe {
                libc::signal(signal, libc::SIG_IGN);
                let set = block(signal);
                libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, ptr::null_mut());
            }
            start();
            std::thread::sleep(milliseconds(30));
            // SAFETY: as above.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
            std::thread::sleep(milliseconds(200));
            0
        });
        child.wait()
    };
    let interval = ignored_for_a_while(libc::SIGALRM, || {
        set_interval(libc::ITIMER_REAL, PERIOD, PERIOD);
    });
    assert_eq!(interval, Status::Exited(0));
    let timer = ignored_for_a_while(SIGNAL, || {
        let event = event(SIGNAL, libc::SIGEV_SIGNAL, 0);
        let timer = Timer::new(libc::CLOCK_MONOTONIC, Some(&event)).expect("a timer");
        timer.set(0, PERIOD, PERIOD).expect("set");
        mem::forget(timer);
    });
    assert_eq!(timer, Status::Killed(SIGNAL));
}

fn many() {
    for _ in 0..3 {
        let timers: Vec<Timer> = (0..200).map(|_| Timer::with_signal()).collect();
        for timer in &timers {
            timer.set(0, milliseconds(1), Duration::ZERO).expect("set");
        }
        for _ in &timers {
            assert!(next(SIGNAL, LONG).is_some(), "each timer has a signal of its own");
        }
        assert!(next(SIGNAL, Duration::ZERO).is_none());
    }
}
