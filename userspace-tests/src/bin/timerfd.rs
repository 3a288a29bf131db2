//! timerfd_create(2).

use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::{F_GETFD, F_GETFL, FD_CLOEXEC, O_NONBLOCK, O_RDWR};
use libsyscall::calls::file;
use std::mem;
use std::process::ExitCode;
use std::ptr;
use std::thread;
use std::time::{Duration, Instant};
use userspace_tests::{Fd, checked, tests};

const EPOLLIN: u32 = libc::EPOLLIN as u32;
const EPOLLET: u32 = libc::EPOLLET as u32;
const ABSOLUTE: i32 = libc::TFD_TIMER_ABSTIME;
const CANCEL_ON_SET: i32 = libc::TFD_TIMER_CANCEL_ON_SET;
/// `_IOW('T', 0, u64)`.
const SET_TICKS: u32 = 0x4008_5400;

fn main() -> ExitCode {
    userspace_tests::run(tests![
        clocks,
        flags,
        disarmed,
        expires_once,
        expires_again_and_again,
        nanoseconds,
        absolute,
        absolute_in_the_past,
        all_clocks_expire,
        setting_forgets,
        former_setting,
        far_future,
        blocking_read,
        edges,
        asking_goes_on,
        ticks_by_request,
        wrong_arguments,
        other_calls,
        information,
        clock_is_set,
        clock_is_set_and_set_again,
        clock_is_set_while_waiting,
        absolute_follows_the_clock,
        close_while_armed,
        set_by_many,
    ])
}

fn timer(clock: i32, flags: i32) -> Fd {
    // SAFETY: numbers in, a descriptor out.
    Fd(checked(unsafe { libc::timerfd_create(clock, flags | libc::TFD_CLOEXEC) }).expect("timerfd_create"))
}

fn ticking() -> Fd {
    timer(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK)
}

fn spec(time: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: time.as_secs() as i64,
        tv_nsec: i64::from(time.subsec_nanos()),
    }
}

fn duration(time: libc::timespec) -> Duration {
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

const NEVER: Duration = Duration::ZERO;

/// timerfd_settime(2): value and interval it had.
fn set(timer: &Fd, flags: i32, value: Duration, interval: Duration) -> Result<(Duration, Duration), Errno> {
    let new = libc::itimerspec {
        it_interval: spec(interval),
        it_value: spec(value),
    };
    // SAFETY: all zero bytes are a setting; the kernel reads one and writes one.
    unsafe {
        let mut old: libc::itimerspec = mem::zeroed();
        checked(libc::timerfd_settime(timer.0, flags, &new, &mut old))?;
        Ok((duration(old.it_value), duration(old.it_interval)))
    }
}

fn get(timer: &Fd) -> (Duration, Duration) {
    // SAFETY: all zero bytes are a setting; the kernel writes one.
    unsafe {
        let mut now: libc::itimerspec = mem::zeroed();
        checked(libc::timerfd_gettime(timer.0, &mut now)).expect("timerfd_gettime");
        (duration(now.it_value), duration(now.it_interval))
    }
}

fn read(timer: &Fd) -> Result<u64, Errno> {
    let mut count = [0; 8];
    timer.read(&mut count)?;
    Ok(u64::from_ne_bytes(count))
}

fn now(clock: i32) -> Duration {
    // SAFETY: all zero bytes are a time; the kernel writes one.
    unsafe {
        let mut time = mem::zeroed();
        checked(libc::clock_gettime(clock, &mut time)).expect("clock_gettime");
        duration(time)
    }
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Sleeps by a timer's own measure: until `epoll` reports it.
fn wait(epoll: &Fd) {
    assert_eq!(epoll.wait(-1, 1).expect("epoll_wait").len(), 1);
}

/// Semantics 176.
fn clocks() {
    // SAFETY: numbers in, a descriptor or an error out.
    let create = |clock| checked(unsafe { libc::timerfd_create(clock, libc::TFD_CLOEXEC) }).map(Fd);
    for clock in [
        libc::CLOCK_REALTIME,
        libc::CLOCK_MONOTONIC,
        libc::CLOCK_BOOTTIME,
        libc::CLOCK_REALTIME_ALARM,
        libc::CLOCK_BOOTTIME_ALARM,
    ] {
        assert!(create(clock).is_ok(), "{clock}");
    }
    for clock in [-1, 2, 3, 4, 5, 6, libc::CLOCK_TAI, 99] {
        assert_eq!(create(clock), Err(Errno::EINVAL), "{clock}");
    }
}

/// Semantics 176.
fn flags() {
    // SAFETY: numbers in, a descriptor or an error out.
    let create = |flags| checked(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) }).map(Fd);
    assert_eq!(create(-1), Err(Errno::EINVAL));
    assert_eq!(create(1), Err(Errno::EINVAL));
    let plain = create(0).expect("timerfd_create");
    assert_eq!(file::fcntl(plain.0, F_GETFL, 0), Ok(O_RDWR as usize));
    assert_eq!(file::fcntl(plain.0, F_GETFD, 0), Ok(0));
    let both = create(libc::TFD_CLOEXEC | libc::TFD_NONBLOCK).expect("timerfd_create");
    assert_eq!(file::fcntl(both.0, F_GETFL, 0), Ok((O_RDWR | O_NONBLOCK) as usize));
    assert_eq!(file::fcntl(both.0, F_GETFD, 0), Ok(FD_CLOEXEC as usize));
}

/// Semantics 177.
fn disarmed() {
    let timer = ticking();
    assert_eq!(get(&timer), (NEVER, NEVER));
    assert_eq!(read(&timer), Err(Errno::EAGAIN));
    // An interval alone is no start.
    set(&timer, 0, NEVER, ms(1)).expect("settime");
    assert_eq!(get(&timer), (NEVER, ms(1)));
    thread::sleep(ms(5));
    assert_eq!(read(&timer), Err(Errno::EAGAIN));
}

/// Semantics 151.
fn expires_once() {
    let (timer, epoll) = (ticking(), Fd::epoll());
    epoll.add(&timer, EPOLLIN | libc::EPOLLOUT as u32);
    assert_eq!(epoll.events(), 0);
    let start = Instant::now();
    set(&timer, 0, ms(20), NEVER).expect("settime");
    let (left, interval) = get(&timer);
    let gone = start.elapsed();
    assert!(left <= ms(20) && left + gone >= ms(20), "{left:?} after {gone:?}");
    assert_eq!(interval, NEVER);
    assert_eq!(epoll.wait(-1, 1), Ok(vec![(timer.0 as u64, EPOLLIN)]));
    assert!(start.elapsed() >= ms(20), "{:?}", start.elapsed());
    assert_eq!(get(&timer), (NEVER, NEVER));
    assert_eq!(epoll.events(), EPOLLIN);
    assert_eq!(read(&timer), Ok(1));
    assert_eq!(epoll.events(), 0);
    assert_eq!(read(&timer), Err(Errno::EAGAIN));
}

/// Semantics 178.
fn expires_again_and_again() {
    let timer = timer(libc::CLOCK_MONOTONIC, 0);
    let start = Instant::now();
    set(&timer, 0, ms(5), ms(10)).expect("settime");
    // One, unless this computer had other things to do.
    let first = read(&timer).expect("read");
    assert!(first >= 1);
    thread::sleep(ms(55));
    let count = first + read(&timer).expect("read");
    let elapsed = start.elapsed();
    let most = (elapsed.as_millis() as u64 + 5) / 10;
    assert!((6..=most).contains(&count), "{count} in {elapsed:?}");
    let (left, interval) = get(&timer);
    assert!(left <= ms(10), "{left:?}");
    assert_eq!(interval, ms(10));
}

fn nanoseconds() {
    let timer = timer(libc::CLOCK_MONOTONIC, 0);
    for nanoseconds in [1, 999, 1_234_567] {
        let start = Instant::now();
        set(&timer, 0, Duration::from_nanos(nanoseconds), NEVER).expect("settime");
        assert_eq!(read(&timer), Ok(1));
        assert!(start.elapsed() >= Duration::from_nanos(nanoseconds));
    }
    set(&timer, 0, Duration::from_nanos(1), Duration::from_nanos(1)).expect("settime");
    thread::sleep(ms(2));
    assert!(read(&timer).expect("read") > 1_000_000);
}

fn absolute() {
    let timer = timer(libc::CLOCK_MONOTONIC, 0);
    let goal = now(libc::CLOCK_MONOTONIC) + ms(15);
    set(&timer, ABSOLUTE, goal, NEVER).expect("settime");
    assert_eq!(read(&timer), Ok(1));
    assert!(now(libc::CLOCK_MONOTONIC) >= goal);
}

/// Semantics 178.
fn absolute_in_the_past() {
    for clock in [libc::CLOCK_MONOTONIC, libc::CLOCK_REALTIME, libc::CLOCK_BOOTTIME] {
        let timer = timer(clock, 0);
        set(&timer, ABSOLUTE, Duration::from_nanos(1), NEVER).expect("settime");
        assert_eq!(read(&timer), Ok(1));
        // Each period since then counts.
        let goal = now(clock) - ms(95);
        set(&timer, ABSOLUTE, goal, ms(10)).expect("settime");
        let count = read(&timer).expect("read");
        let most = (now(clock) - goal).as_millis() as u64 / 10 + 1;
        assert!((10..=most).contains(&count), "{count}");
    }
}

/// Semantics 176.
fn all_clocks_expire() {
    for clock in [
        libc::CLOCK_REALTIME,
        libc::CLOCK_BOOTTIME,
        libc::CLOCK_REALTIME_ALARM,
        libc::CLOCK_BOOTTIME_ALARM,
    ] {
        let timer = timer(clock, 0);
        let of = match clock {
            libc::CLOCK_REALTIME_ALARM => libc::CLOCK_REALTIME,
            libc::CLOCK_BOOTTIME_ALARM => libc::CLOCK_BOOTTIME,
            clock => clock,
        };
        for flags in [0, ABSOLUTE] {
            let goal = now(of) + ms(5);
            let value = if flags == ABSOLUTE { goal } else { ms(5) };
            set(&timer, flags, value, NEVER).expect("settime");
            assert_eq!(read(&timer), Ok(1));
            assert!(now(of) + ms(1) >= goal, "clock {clock}");
        }
    }
}

/// Semantics 178.
fn setting_forgets() {
    let (timer, epoll) = (ticking(), Fd::epoll());
    epoll.add(&timer, EPOLLIN);
    set(&timer, 0, ms(1), NEVER).expect("settime");
    wait(&epoll);
    set(&timer, 0, ms(10_000), NEVER).expect("settime");
    assert_eq!(epoll.events(), 0);
    assert_eq!(read(&timer), Err(Errno::EAGAIN));
    set(&timer, 0, NEVER, NEVER).expect("settime");
    assert_eq!(get(&timer), (NEVER, NEVER));
}

fn former_setting() {
    let timer = ticking();
    assert_eq!(set(&timer, 0, ms(1000), ms(500)), Ok((NEVER, NEVER)));
    let (value, interval) = set(&timer, 0, ms(1), ms(1)).expect("settime");
    assert!(value > ms(500) && value <= ms(1000), "{value:?}");
    assert_eq!(interval, ms(500));
    thread::sleep(ms(5));
    let (value, interval) = set(&timer, 0, NEVER, NEVER).expect("settime");
    assert!(value > NEVER && value <= ms(1), "{value:?}");
    assert_eq!(interval, ms(1));
}

/// Signed nanoseconds reach 292 years, and longer times are as long as that.
fn far_future() {
    const LONGEST: Duration = Duration::from_nanos(i64::MAX as u64);
    let timer = ticking();
    for (value, flags) in [
        (Duration::from_secs(9_000_000_000), 0),
        (Duration::from_secs(i64::MAX as u64), 0),
        (Duration::from_secs(i64::MAX as u64), ABSOLUTE),
    ] {
        set(&timer, flags, value, Duration::from_secs(i64::MAX as u64)).expect("settime");
        let (left, interval) = get(&timer);
        assert!(left > Duration::from_secs(8_999_999_000), "{left:?}");
        assert_eq!(interval, LONGEST);
    }
}

/// Semantics 151.
fn blocking_read() {
    let timer = timer(libc::CLOCK_MONOTONIC, 0);
    let fd = timer.0;
    let readers: Vec<_> = (0..2)
        .map(|_| thread::spawn(move || file::read(fd, &mut [0; 8])))
        .collect();
    thread::sleep(ms(20));
    for _ in 0..2 {
        set(&timer, 0, ms(1), NEVER).expect("settime");
        let left = || readers.iter().filter(|reader| !reader.is_finished()).count();
        let before = left();
        while left() == before {
            thread::sleep(ms(1));
        }
    }
    for reader in readers {
        assert_eq!(reader.join().expect("thread"), Ok(8));
    }
}

/// One expiry, one edge, and no other before the count has been read.
fn edges() {
    let (timer, epoll) = (ticking(), Fd::epoll());
    epoll.add(&timer, EPOLLIN | EPOLLET);
    set(&timer, 0, ms(1), ms(3)).expect("settime");
    wait(&epoll);
    thread::sleep(ms(10));
    assert_eq!(epoll.events(), 0);
    assert!(read(&timer).expect("read") >= 3);
    wait(&epoll);
}

/// timerfd_gettime(2) counts what a periodic timer missed and lets it go on, so that there is an edge again.
fn asking_goes_on() {
    let (timer, epoll) = (ticking(), Fd::epoll());
    epoll.add(&timer, EPOLLIN | EPOLLET);
    set(&timer, 0, ms(1), ms(5)).expect("settime");
    wait(&epoll);
    thread::sleep(ms(20));
    assert_eq!(epoll.events(), 0);
    let (left, _) = get(&timer);
    assert!(left > NEVER && left <= ms(5), "{left:?}");
    wait(&epoll);
    assert!(read(&timer).expect("read") >= 4);
}

fn ioctl(timer: &Fd, command: u32, argument: *const u64) -> Result<i32, Errno> {
    // SAFETY: the kernel reads one number, or refuses the address.
    checked(unsafe { libc::ioctl(timer.0, command as _, argument) })
}

/// TFD_IOC_SET_TICKS, proc_pid_fdinfo(5).
fn ticks_by_request() {
    let (timer, epoll) = (ticking(), Fd::epoll());
    epoll.add(&timer, EPOLLIN | EPOLLET);
    assert_eq!(ioctl(&timer, SET_TICKS, &7), Ok(0));
    assert_eq!(epoll.events(), EPOLLIN);
    assert_eq!(read(&timer), Ok(7));
    assert_eq!(read(&timer), Err(Errno::EAGAIN));
    assert_eq!(ioctl(&timer, SET_TICKS, &0), Err(Errno::EINVAL));
    assert_eq!(ioctl(&timer, SET_TICKS, ptr::null()), Err(Errno::EFAULT));
    // The timer goes on beside it.
    set(&timer, 0, ms(2), NEVER).expect("settime");
    assert_eq!(ioctl(&timer, SET_TICKS, &5), Ok(0));
    assert_eq!(epoll.events(), EPOLLIN);
    wait(&epoll);
    assert_eq!(read(&timer), Ok(6));
}

/// Semantics 177.
fn wrong_arguments() {
    let (timer, event) = (ticking(), Fd::eventfd(0, 0));
    assert_eq!(set(&timer, -1, ms(1), NEVER), Err(Errno::EINVAL));
    assert_eq!(set(&timer, 4, ms(1), NEVER), Err(Errno::EINVAL));
    assert_eq!(set(&Fd(-1), 0, ms(1), NEVER), Err(Errno::EBADF));
    assert_eq!(set(&event, 0, ms(1), NEVER), Err(Errno::EINVAL));
    for (tv_sec, tv_nsec) in [(0, -1), (0, 1_000_000_000), (-1, 0)] {
        let wrong = libc::timespec { tv_sec, tv_nsec };
        let fine = spec(ms(1));
        for (it_interval, it_value) in [(wrong, fine), (fine, wrong)] {
            let new = libc::itimerspec { it_interval, it_value };
            // SAFETY: the kernel reads one setting.
            let result = unsafe { libc::timerfd_settime(timer.0, 0, &new, ptr::null_mut()) };
            assert_eq!(checked(result), Err(Errno::EINVAL));
        }
    }
    assert_eq!(get(&timer), (NEVER, NEVER));
}

/// Semantics 151.
fn other_calls() {
    let timer = ticking();
    let mut word = 0u64;
    let address: *mut u64 = &mut word;
    for size in [0, 4, 7] {
        assert_eq!(timer.read(&mut vec![0; size]), Err(Errno::EINVAL));
    }
    assert_eq!(timer.write(&[0; 8]), Err(Errno::EINVAL));
    // SAFETY: the kernel writes within the word, if at all.
    unsafe {
        assert_eq!(checked(libc::pread(timer.0, address.cast(), 8, 0)), Err(Errno::ESPIPE));
        assert_eq!(checked(libc::pwrite(timer.0, address.cast(), 8, 0)), Err(Errno::ESPIPE));
        assert_eq!(checked(libc::lseek(timer.0, 0, libc::SEEK_CUR)), Ok(0));
    }
    assert_eq!(ioctl(&timer, libc::FIONREAD as u32, address), Err(Errno::ENOTTY));
}

/// proc_pid_fdinfo(5).
fn information() {
    let timer = timer(libc::CLOCK_REALTIME, 0);
    let text = || {
        let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", timer.0)).expect("read");
        let start = text.find("clockid").expect("the timer's own lines");
        text[start..].to_string()
    };
    assert_eq!(
        text(),
        "clockid: 0\nticks: 0\nsettime flags: 00\nit_value: (0, 0)\nit_interval: (0, 0)\n"
    );
    set(&timer, ABSOLUTE | CANCEL_ON_SET, Duration::from_nanos(1), NEVER).expect("settime");
    let epoll = Fd::epoll();
    epoll.add(&timer, EPOLLIN);
    wait(&epoll);
    assert_eq!(
        text(),
        "clockid: 0\nticks: 1\nsettime flags: 03\nit_value: (0, 0)\nit_interval: (0, 0)\n"
    );
    set(&timer, 0, Duration::from_secs(1000), Duration::new(3, 4)).expect("settime");
    let text = text();
    assert!(text.contains("it_value: (999, "), "{text}");
    assert!(text.ends_with("it_interval: (3, 4)\n"), "{text}");
}

/// Sets CLOCK_REALTIME `ahead` of what it is, which all that waits for a time of it hears of.
fn set_clock(ahead: Duration) {
    let time = spec(now(libc::CLOCK_REALTIME) + ahead);
    // SAFETY: the kernel reads one time.
    checked(unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &time) }).expect("clock_settime");
}

fn cancelable() -> Fd {
    let timer = timer(libc::CLOCK_REALTIME, libc::TFD_NONBLOCK);
    let goal = now(libc::CLOCK_REALTIME) + Duration::from_secs(1000);
    set(&timer, ABSOLUTE | CANCEL_ON_SET, goal, NEVER).expect("settime");
    timer
}

/// TFD_TIMER_CANCEL_ON_SET: the clock is set to what it reads, as timerfd_create(2) says that is enough.
fn clock_is_set() {
    let (timer, epoll) = (cancelable(), Fd::epoll());
    epoll.add(&timer, EPOLLIN | EPOLLET);
    let indifferent = [
        (libc::CLOCK_REALTIME, CANCEL_ON_SET),
        (libc::CLOCK_MONOTONIC, ABSOLUTE | CANCEL_ON_SET),
    ];
    let indifferent = indifferent.map(|(clock, flags)| {
        let timer = self::timer(clock, libc::TFD_NONBLOCK);
        set(&timer, flags, now(clock) + Duration::from_secs(1000), NEVER).expect("settime");
        timer
    });
    set_clock(NEVER);
    assert_eq!(epoll.events(), EPOLLIN);
    assert_eq!(read(&timer), Err(Errno::ECANCELED));
    assert_eq!(read(&timer), Err(Errno::EAGAIN));
    for timer in &indifferent {
        assert_eq!(read(timer), Err(Errno::EAGAIN));
    }
    // Once more, as it is still armed.
    set_clock(NEVER);
    assert_eq!(epoll.events(), EPOLLIN);
    assert_eq!(read(&timer), Err(Errno::ECANCELED));
}

/// What the read was to say, the next setting does, and sets all the same.
fn clock_is_set_and_set_again() {
    let timer = cancelable();
    set_clock(NEVER);
    let goal = now(libc::CLOCK_REALTIME) + Duration::from_secs(500);
    assert_eq!(
        set(&timer, ABSOLUTE | CANCEL_ON_SET, goal, NEVER),
        Err(Errno::ECANCELED)
    );
    let (left, _) = get(&timer);
    assert!(left > NEVER && left <= Duration::from_secs(500), "{left:?}");
    assert!(set(&timer, ABSOLUTE | CANCEL_ON_SET, goal, NEVER).is_ok());
    assert_eq!(ioctl(&timer, SET_TICKS, &5), Ok(0));
    set_clock(NEVER);
    assert_eq!(ioctl(&timer, SET_TICKS, &5), Err(Errno::ECANCELED));
}

fn clock_is_set_while_waiting() {
    let timer = timer(libc::CLOCK_REALTIME, 0);
    let goal = now(libc::CLOCK_REALTIME) + Duration::from_secs(1000);
    set(&timer, ABSOLUTE | CANCEL_ON_SET, goal, NEVER).expect("settime");
    let reader = thread::spawn(move || read(&timer));
    thread::sleep(ms(30));
    set_clock(NEVER);
    assert_eq!(reader.join().expect("thread"), Err(Errno::ECANCELED));
}

/// An absolute time of CLOCK_REALTIME is that time, whenever the clock comes to read it; others stay where they are.
fn absolute_follows_the_clock() {
    const HOUR: Duration = Duration::from_secs(3600);
    let (absolute, relative) = (timer(libc::CLOCK_REALTIME, libc::TFD_NONBLOCK), ticking());
    set(&absolute, ABSOLUTE, now(libc::CLOCK_REALTIME) + HOUR, NEVER).expect("settime");
    set(&relative, 0, HOUR, NEVER).expect("settime");
    let goal = spec(now(libc::CLOCK_REALTIME) + HOUR);
    let sleeper = thread::spawn(move || {
        // SAFETY: the kernel reads one time.
        unsafe { libc::clock_nanosleep(libc::CLOCK_REALTIME, ABSOLUTE, &goal, ptr::null_mut()) }
    });
    thread::sleep(ms(30));
    set_clock(2 * HOUR);
    let epoll = Fd::epoll();
    epoll.add(&absolute, EPOLLIN);
    wait(&epoll);
    assert_eq!(read(&absolute), Ok(1));
    assert_eq!(read(&relative), Err(Errno::EAGAIN));
    assert_eq!(sleeper.join().expect("thread"), 0);
}

fn close_while_armed() {
    for round in 0..200 {
        let timer = ticking();
        set(&timer, 0, Duration::from_micros(round), Duration::from_micros(10)).expect("settime");
    }
    let timer = cancelable();
    drop(timer);
    set_clock(NEVER);
}

/// Semantics 178: settings that race, with and without the clock's list.
fn set_by_many() {
    let timer = timer(libc::CLOCK_REALTIME, libc::TFD_NONBLOCK);
    let fd = timer.0;
    let threads: Vec<_> = [0, ABSOLUTE | CANCEL_ON_SET]
        .into_iter()
        .map(|flags| {
            thread::spawn(move || {
                let timer = mem::ManuallyDrop::new(Fd(fd));
                for _ in 0..5000 {
                    set(&timer, flags, Duration::from_secs(5_000_000_000), NEVER).expect("settime");
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("thread"));
    set(&timer, 0, ms(1), NEVER).expect("settime");
    thread::sleep(ms(5));
    assert_eq!(read(&timer), Ok(1));
}
