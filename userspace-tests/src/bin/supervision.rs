//! What programs need that run others and watch over them, as test harnesses do: groups that end together, states that can
//! be seen from outside, memory shared by a file that has no name, and settings that are asked for on the way.

use libsyscall::abi::Errno;
use std::fs;
use std::io::{Read, Write};
use std::process::ExitCode;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};
use std::thread;
use std::time::Duration;
use userspace_tests::child::Child;
use userspace_tests::{Fd, Status, checked, child, tests};

fn main() -> ExitCode {
    userspace_tests::run(tests![
        parent_is_no_init,
        group_ends_together,
        alarm_ends_a_group,
        states_of_sleepers,
        futex_in_a_nameless_file,
        oom_score,
        timer_slack,
        scheduling,
        kernel_settings,
        smallest_pipe,
    ])
}

/// A program whose parent's number is 1 takes itself for an orphan.
fn parent_is_no_init() {
    // SAFETY: it takes nothing.
    let ask = || unsafe { libc::getppid() };
    // SAFETY: it takes nothing.
    let this = unsafe { libc::getpid() };
    assert_ne!(this, 1);
    assert_eq!(child(|| i32::from(ask() != this)).wait(), Status::Exited(0));
}

/// A child with a group of its own and a child in it; both sleep. The pipe ends when both have ended.
fn sleeping_group() -> (Child, Fd) {
    let (read, write) = Fd::blocking_pipe();
    let leader = child(|| {
        // SAFETY: numbers only; the grandchild does nothing but sleep.
        unsafe {
            checked(libc::setpgid(0, 0)).expect("setpgid");
            if checked(libc::fork()).expect("fork") > 0 {
                write.write(b"x").expect("write");
            }
            loop {
                libc::pause();
            }
        }
    });
    drop(write);
    assert_eq!(read.read(&mut [0; 2]), Ok(1));
    (leader, read)
}

fn group_ends_together() {
    let (leader, end) = sleeping_group();
    // SAFETY: numbers only.
    checked(unsafe { libc::kill(-leader.0, libc::SIGKILL) }).expect("kill");
    assert_eq!(leader.wait(), Status::Killed(libc::SIGKILL));
    assert_eq!(end.read(&mut [0]), Ok(0));
}

static GROUP: AtomicI32 = AtomicI32::new(0);

extern "C" fn kill_group(_signal: i32) {
    // SAFETY: kill(2) may be called in a handler.
    unsafe { libc::kill(-GROUP.load(SeqCst), libc::SIGKILL) };
}

/// wait(2) goes on after the handler that brings about what it waits for.
fn alarm_ends_a_group() {
    let (leader, end) = sleeping_group();
    GROUP.store(leader.0, SeqCst);
    // SAFETY: the handler only calls kill(2).
    unsafe {
        libc::signal(libc::SIGALRM, kill_group as extern "C" fn(i32) as usize);
        libc::alarm(1);
    }
    assert_eq!(leader.wait(), Status::Killed(libc::SIGKILL));
    assert_eq!(end.read(&mut [0]), Ok(0));
    // SAFETY: as above.
    unsafe { libc::signal(libc::SIGALRM, libc::SIG_DFL) };
}

/// The third field of /proc/PID/stat.
fn state(pid: i32) -> char {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).expect("stat");
    let (_, fields) = text.rsplit_once(") ").expect("a name");
    fields.chars().next().expect("a state")
}

/// Whoever sleeps is seen to, in every call that can sleep for ever.
fn states_of_sleepers() {
    let (read, write) = Fd::blocking_pipe();
    let (full_read, full) = Fd::blocking_pipe();
    full.write(&vec![0; 65536]).expect("a full pipe");
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    epoll.add(&event, libc::EPOLLIN as u32);
    let word = AtomicI32::new(0);
    let mut entry = libc::pollfd {
        fd: read.0,
        events: libc::POLLIN,
        revents: 0,
    };
    let entry = &raw mut entry;
    let no_timeout = ptr::null::<libc::timespec>();
    // SAFETY: what the calls are given lies on this stack, which each child has a copy of.
    let calls: [Box<dyn Fn() + '_>; 10] = unsafe {
        [
            Box::new(|| _ = epoll.wait(-1, 1)),
            Box::new(|| _ = libc::poll(entry, 1, -1)),
            Box::new(|| _ = libc::ppoll(entry, 1, ptr::null(), ptr::null())),
            Box::new(|| _ = libc::select(0, ptr::null_mut(), ptr::null_mut(), ptr::null_mut(), ptr::null_mut())),
            Box::new(|| _ = read.read(&mut [0])),
            Box::new(|| _ = full.write(&[0])),
            Box::new(|| _ = event.read(&mut [0; 8])),
            Box::new(|| thread::sleep(Duration::from_secs(1000))),
            Box::new(|| _ = libc::pause()),
            Box::new(|| _ = libc::syscall(libc::SYS_futex, &word, libc::FUTEX_WAIT, 0, no_timeout)),
        ]
    };
    for call in calls {
        let sleeper = child(|| {
            call();
            1
        });
        while state(sleeper.0) != 'S' {
            thread::sleep(Duration::from_millis(1));
        }
        sleeper.signal(libc::SIGKILL);
        assert_eq!(sleeper.wait(), Status::Killed(libc::SIGKILL));
    }
    drop((write, full_read));
}

/// Parent and child meet at a word of a file that is mapped by both and has been removed.
fn futex_in_a_nameless_file() {
    let path = std::env::temp_dir().join(format!("supervision-{}", std::process::id()));
    let file = fs::File::create_new(&path).expect("a file");
    file.set_len(4096).expect("a length");
    drop(file);
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(&path)
        .expect("the file");
    // SAFETY: the mapping is the file's one page, and stays until the end.
    let word = unsafe {
        let (protection, fd) = (
            libc::PROT_READ | libc::PROT_WRITE,
            std::os::fd::AsRawFd::as_raw_fd(&file),
        );
        let page = libc::mmap(ptr::null_mut(), 4096, protection, libc::MAP_SHARED, fd, 0);
        assert_ne!(page, libc::MAP_FAILED);
        &*page.cast::<AtomicI32>()
    };
    drop(file);
    fs::remove_file(&path).expect("remove");
    let futex = |operation: i32, value: i32| {
        // SAFETY: the word is mapped; no timeout.
        unsafe { libc::syscall(libc::SYS_futex, word, operation, value, ptr::null::<libc::timespec>()) }
    };
    let waiter = child(|| {
        let result = futex(libc::FUTEX_WAIT, 0);
        word.fetch_add(1, SeqCst);
        result as i32
    });
    while futex(libc::FUTEX_WAKE, i32::MAX) != 1 {
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(waiter.wait(), Status::Exited(0));
    assert_eq!(word.load(SeqCst), 1);
}

fn oom_score() {
    let path = "/proc/self/oom_score_adj";
    let set = |text: &str| {
        // As fopen(3) opens for "w".
        let mut options = fs::File::options();
        let mut file = options.write(true).create(true).truncate(true).open(path)?;
        file.write_all(text.as_bytes())
    };
    let get = || fs::read_to_string(path).expect("the score");
    assert_eq!(get(), "0\n");
    set("500").expect("raise");
    assert_eq!(get(), "500\n");
    assert_eq!(child(|| i32::from(get() != "500\n")).wait(), Status::Exited(0));
    for wrong in ["1001", "-1001", "high"] {
        let error = set(wrong).expect_err("wrong").raw_os_error();
        assert_eq!(error, Some(libc::EINVAL), "{wrong}");
    }
    set("0\n").expect("lower");
    assert_eq!(get(), "0\n");
    // Where this program may protect itself, it is protected.
    if set("-1000").is_ok() {
        assert_eq!(get(), "-1000\n");
        set("0").expect("raise");
    }
}

fn timer_slack() {
    // SAFETY: numbers only.
    let slack = || checked(unsafe { libc::prctl(libc::PR_GET_TIMERSLACK) }).expect("prctl");
    let first = slack();
    assert!(first > 0);
    // SAFETY: numbers only.
    checked(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 7000) }).expect("prctl");
    assert_eq!(slack(), 7000);
    assert_eq!(thread::spawn(slack).join().expect("a thread"), 7000);
    // SAFETY: numbers only.
    checked(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 0) }).expect("prctl");
    assert_eq!(slack(), first);
}

fn kernel_settings() {
    let number = |name: &str| -> u64 {
        let mut text = String::new();
        let mut file = fs::File::open(format!("/proc/sys/{name}")).expect(name);
        file.read_to_string(&mut text).expect(name);
        text.trim().parse().expect(name)
    };
    number("kernel/tainted");
    assert!(number("kernel/pid_max") >= 300);
    assert!(number("fs/pipe-max-size") >= 4096);
    number("fs/pipe-user-pages-soft");
    assert!(number("fs/epoll/max_user_watches") > 0);
}

/// A size of 0 is one page.
fn smallest_pipe() {
    let (read, write) = Fd::pipe();
    // SAFETY: numbers only.
    let (set, page) = unsafe {
        (
            libc::fcntl(read.0, libc::F_SETPIPE_SZ, 0),
            libc::sysconf(libc::_SC_PAGESIZE),
        )
    };
    assert_eq!(set as i64, page);
    // SAFETY: numbers only.
    assert_eq!(i64::from(unsafe { libc::fcntl(write.0, libc::F_GETPIPE_SZ) }), page);
    assert_eq!(write.fill() as i64, page);
    assert_eq!(write.write(b"x"), Err(Errno::EAGAIN));
}

/// What scheduling can be asked of without a right to it.
fn scheduling() {
    let set = |pid, priority| {
        let param = libc::sched_param {
            sched_priority: priority,
        };
        // SAFETY: the structure is read.
        checked(unsafe { libc::sched_setparam(pid, &param) })
    };
    let get = |pid| {
        let mut param = libc::sched_param { sched_priority: -1 };
        // SAFETY: the structure is written.
        checked(unsafe { libc::sched_getparam(pid, &mut param) }).map(|_| param.sched_priority)
    };
    let slice = |pid| {
        let mut slice = libc::timespec {
            tv_sec: -1,
            tv_nsec: -1,
        };
        // SAFETY: as above.
        checked(unsafe { libc::sched_rr_get_interval(pid, &mut slice) }).map(|_| slice)
    };
    assert_eq!(
        (set(0, 0), set(0, 1), set(0, -1)),
        (Ok(0), Err(Errno::EINVAL), Err(Errno::EINVAL))
    );
    assert_eq!(
        (get(0), get(-1), get(1 << 22)),
        (Ok(0), Err(Errno::EINVAL), Err(Errno::ESRCH))
    );
    assert_eq!((set(-1, 0), set(1 << 22, 0)), (Err(Errno::EINVAL), Err(Errno::ESRCH)));
    // SAFETY: null is refused.
    let none = unsafe {
        [
            libc::sched_setparam(0, ptr::null()),
            libc::sched_getparam(0, ptr::null_mut()),
        ]
    };
    assert_eq!(none.map(checked), [Err(Errno::EINVAL); 2]);
    let own = slice(0).expect("sched_rr_get_interval");
    assert!(own.tv_sec == 0 && own.tv_nsec >= 0, "{} {}", own.tv_sec, own.tv_nsec);
    assert_eq!(slice(-1).err(), Some(Errno::EINVAL));
    assert_eq!(slice(1 << 22).err(), Some(Errno::ESRCH));
    for policy in [
        libc::SCHED_OTHER,
        libc::SCHED_BATCH,
        libc::SCHED_FIFO,
        libc::SCHED_RR,
        -1,
        77,
    ] {
        let real_time = [libc::SCHED_FIFO, libc::SCHED_RR].contains(&policy);
        let param = libc::sched_param {
            sched_priority: if real_time { 0 } else { 1 },
        };
        // SAFETY: the structure is read.
        let result = checked(unsafe { libc::sched_setscheduler(0, policy, &param) });
        assert_eq!(result, Err(Errno::EINVAL), "{policy}");
    }
}
