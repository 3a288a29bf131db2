//! POSIX message queues, mq_overview(7).

use libsyscall::abi::capability::CAP_SYS_RESOURCE;
use libsyscall::abi::mqueue::{HARD_MSGMAX, HARD_MSGSIZEMAX, MQ_PRIO_MAX, MqAttr, NOTIFY_REMOVED, NOTIFY_WOKENUP};
use libsyscall::abi::{Errno, nr};
use libsyscall::calls::raw;
use std::ffi::{CString, c_int};
use std::fs;
use std::io::Write;
use std::process::ExitCode;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};
use userspace_tests::{Fd, Status, checked, child, tests};

fn main() -> ExitCode {
    userspace_tests::run(tests![
        names,
        making,
        sizes,
        the_user_s_limit,
        how_many,
        rights,
        another_s_name,
        access_modes,
        order,
        lengths,
        bad_pointers,
        bad_times,
        full_and_empty,
        attributes,
        time_limits,
        a_receiver_is_served_first,
        receivers_in_turn,
        senders_in_turn,
        interrupted,
        restarted,
        readiness,
        edges,
        an_edge_by_each_change,
        handed_over_unseen,
        a_poll_that_sleeps,
        what_a_descriptor_tells,
        what_it_is_not,
        kept_until_closed,
        shared_by_a_child,
        closed_by_execve,
        notification_by_signal,
        notification_of_nothing,
        notification_is_one_s,
        notification_ends_with_a_descriptor,
        notification_not_past_a_receiver,
        notification_by_socket,
        notification_badly_asked,
        settings,
        the_folder,
        many_at_once,
    ])
}

/// A queue's name that is removed at the end; every test has one of its own.
struct Name(CString);

impl Name {
    fn new() -> Name {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let text = format!("vigil-{}-{}", std::process::id(), NEXT.fetch_add(1, SeqCst));
        Name(CString::new(text).expect("no NUL"))
    }

    fn text(&self) -> &str {
        self.0.to_str().expect("it is ASCII")
    }

    fn open(&self, flags: c_int) -> Result<Fd, Errno> {
        mq_open(&self.0, flags, 0, None)
    }

    /// Makes it, for `maximum` messages of at most `message` bytes.
    fn make(&self, flags: c_int, maximum: i64, message: i64) -> Result<Fd, Errno> {
        let size = MqAttr {
            mq_maxmsg: maximum,
            mq_msgsize: message,
            ..MqAttr::default()
        };
        mq_open(&self.0, flags | libc::O_CREAT | libc::O_EXCL, 0o600, Some(&size))
    }

    /// A queue that can be read and written without waiting.
    fn queue(&self, maximum: i64) -> Fd {
        self.make(libc::O_RDWR | libc::O_NONBLOCK, maximum, 64)
            .expect("mq_open")
    }

    /// One whose calls wait.
    fn waiting_queue(&self, maximum: i64) -> Fd {
        self.make(libc::O_RDWR, maximum, 64).expect("mq_open")
    }

    fn unlink(&self) -> Result<(), Errno> {
        mq_unlink(&self.0)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        // Where the test has not done so itself.
        let _ = self.unlink();
    }
}

fn address<T>(value: Option<&T>) -> usize {
    value.map_or(0, |value| ptr::from_ref(value) as usize)
}

fn mq_open(name: &CString, flags: c_int, mode: u32, size: Option<&MqAttr>) -> Result<Fd, Errno> {
    // SAFETY: the kernel reads a string and a structure.
    unsafe {
        raw(
            nr::MQ_OPEN,
            [name.as_ptr() as usize, flags as usize, mode as usize, address(size)],
        )
    }
    .map(|fd| Fd(fd as i32))
}

fn mq_unlink(name: &CString) -> Result<(), Errno> {
    // SAFETY: the kernel reads a string.
    unsafe { raw(nr::MQ_UNLINK, [name.as_ptr() as usize]) }.map(|_| ())
}

fn send_until(queue: &Fd, message: &[u8], priority: u32, until: Option<&libc::timespec>) -> Result<(), Errno> {
    let arguments = [
        queue.0 as usize,
        message.as_ptr() as usize,
        message.len(),
        priority as usize,
        address(until),
    ];
    // SAFETY: the kernel reads the message and the time.
    unsafe { raw(nr::MQ_TIMEDSEND, arguments) }.map(|_| ())
}

fn send(queue: &Fd, message: &[u8], priority: u32) -> Result<(), Errno> {
    send_until(queue, message, priority, None)
}

fn receive_until(queue: &Fd, until: Option<&libc::timespec>) -> Result<(Vec<u8>, u32), Errno> {
    let (mut message, mut priority) = (vec![0; 8192], 0u32);
    let arguments = [
        queue.0 as usize,
        message.as_mut_ptr() as usize,
        message.len(),
        &raw mut priority as usize,
        address(until),
    ];
    // SAFETY: the kernel writes the message and its priority.
    let len = unsafe { raw(nr::MQ_TIMEDRECEIVE, arguments) }?;
    message.truncate(len);
    Ok((message, priority))
}

fn receive(queue: &Fd) -> Result<(Vec<u8>, u32), Errno> {
    receive_until(queue, None)
}

/// The next message's text.
fn next(queue: &Fd) -> String {
    let (message, _) = receive(queue).expect("mq_receive");
    String::from_utf8(message).expect("text")
}

fn attributes_of(queue: &Fd) -> MqAttr {
    let mut old = MqAttr::default();
    // SAFETY: the kernel writes the structure.
    unsafe { raw(nr::MQ_GETSETATTR, [queue.0 as usize, 0, &raw mut old as usize]) }.expect("mq_getattr");
    old
}

fn set_flags(queue: &Fd, flags: i64) -> Result<MqAttr, Errno> {
    let new = MqAttr {
        mq_flags: flags,
        mq_maxmsg: 77,
        ..MqAttr::default()
    };
    let mut old = MqAttr::default();
    // SAFETY: the kernel reads one structure and writes the other.
    unsafe {
        raw(
            nr::MQ_GETSETATTR,
            [queue.0 as usize, &raw const new as usize, &raw mut old as usize],
        )
    }?;
    Ok(old)
}

/// CLOCK_REALTIME in so many milliseconds.
fn in_ms(milliseconds: i64) -> libc::timespec {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes the time.
    checked(unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &mut now) }).expect("clock_gettime");
    let ns = now.tv_nsec + milliseconds % 1000 * 1_000_000;
    libc::timespec {
        tv_sec: now.tv_sec + milliseconds / 1000 + ns / 1_000_000_000,
        tv_nsec: ns % 1_000_000_000,
    }
}

/// Waits until a thread of this process sleeps.
fn until_asleep(tid: i32) {
    loop {
        let text = fs::read_to_string(format!("/proc/self/task/{tid}/stat")).expect("a thread's stat");
        let state = text.rsplit(") ").next().and_then(|rest| rest.chars().next());
        if state == Some('S') {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn tid() -> i32 {
    // SAFETY: it takes nothing.
    unsafe { libc::gettid() }
}

/// Runs `body` in a child without privileges, if this process has them.
fn as_nobody(uid: u32, body: impl FnOnce() -> bool) -> Status {
    child(|| {
        // SAFETY: the calls take numbers.
        let done = unsafe { libc::getuid() != 0 || libc::setgid(uid) == 0 && libc::setuid(uid) == 0 };
        i32::from(!done || !body())
    })
    .wait()
}

fn is_root() -> bool {
    // SAFETY: it takes nothing.
    unsafe { libc::geteuid() == 0 }
}

/// Whether this process has CAP_SYS_RESOURCE, which root need not have.
fn is_unlimited() -> bool {
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .expect("CapEff");
    let set = u64::from_str_radix(line.trim(), 16).expect("a number");
    set & 1 << CAP_SYS_RESOURCE != 0
}

const DONE: Status = Status::Exited(0);
const READABLE: u32 = (libc::EPOLLIN | libc::EPOLLRDNORM) as u32;
const WRITABLE: u32 = (libc::EPOLLOUT | libc::EPOLLWRNORM) as u32;
const ALL: u32 = READABLE | WRITABLE;
const EDGE: u32 = libc::EPOLLET as u32;

fn names() {
    let open = |name: &str, flags| {
        let name = CString::new(name).expect("no NUL");
        let opened = mq_open(&name, flags, 0o600, None);
        let unlinked = mq_unlink(&name);
        (opened.map(drop), unlinked)
    };
    let create = libc::O_CREAT | libc::O_RDWR;
    let refused = |error| (Err(error), Err(error));
    assert_eq!(open("/vigil-slash", create), refused(Errno::EACCES));
    assert_eq!(open("vigil/slash", create), refused(Errno::EACCES));
    assert_eq!(open(".", create), refused(Errno::EACCES));
    assert_eq!(open("..", create), refused(Errno::EACCES));
    assert_eq!(open("", create), refused(Errno::ENOENT));
    assert_eq!(open("vigil-none", libc::O_RDWR), refused(Errno::ENOENT));
    let (longest, too_long) = ("v".repeat(255), "v".repeat(256));
    assert_eq!(open(&longest, create), (Ok(()), Ok(())));
    assert_eq!(open(&too_long, create), refused(Errno::ENAMETOOLONG));
    assert_eq!(open(&"v".repeat(5000), create), refused(Errno::ENAMETOOLONG));
    assert_eq!(open("/", create), refused(Errno::EACCES));
}

fn making() {
    let name = Name::new();
    assert_eq!(name.open(libc::O_RDWR), Err(Errno::ENOENT));
    assert_eq!(name.open(libc::O_RDWR | libc::O_EXCL), Err(Errno::ENOENT));
    let made = mq_open(&name.0, libc::O_RDWR | libc::O_CREAT, 0o600, None).expect("mq_open");
    let size = attributes_of(&made);
    assert_eq!((size.mq_maxmsg, size.mq_msgsize, size.mq_curmsgs), (10, 8192, 0));
    let again = libc::O_RDWR | libc::O_CREAT;
    assert_eq!(mq_open(&name.0, again | libc::O_EXCL, 0o600, None), Err(Errno::EEXIST));
    // What an existing one is to be like is not looked at.
    let wrong = MqAttr {
        mq_maxmsg: -1,
        ..MqAttr::default()
    };
    let second = mq_open(&name.0, again, 0, Some(&wrong)).expect("mq_open");
    assert_eq!(attributes_of(&second).mq_maxmsg, 10);
    assert_eq!(name.unlink(), Ok(()));
    assert_eq!(name.unlink(), Err(Errno::ENOENT));
    assert_eq!(name.open(libc::O_RDWR), Err(Errno::ENOENT));
    // Another of the same name is another.
    let other = name.queue(1);
    send(&made, b"old", 0).expect("mq_send");
    assert_eq!(receive(&other), Err(Errno::EAGAIN));
}

fn sizes() {
    let check = || {
        let name = Name::new();
        let (most, longest) = if is_unlimited() {
            (i64::from(HARD_MSGMAX), i64::from(HARD_MSGSIZEMAX))
        } else {
            (10, 8192)
        };
        for (maximum, message) in [
            (0, 1),
            (1, 0),
            (-1, 1),
            (1, -1),
            (most + 1, 1),
            (1, longest + 1),
            (i64::MIN, i64::MIN),
        ] {
            let made = name.make(libc::O_RDWR, maximum, message).map(drop);
            assert_eq!(made, Err(Errno::EINVAL), "{maximum} of {message}");
        }
        name.make(libc::O_RDWR, 1, 1).expect("the smallest");
        // As long as any: RLIMIT_MSGQUEUE is another matter.
        if is_unlimited() {
            limit_bytes(u64::MAX);
            let largest = Name::new();
            largest.make(libc::O_RDWR, most, longest).expect("the largest");
        }
        true
    };
    let with_rights = child(|| i32::from(!check()));
    assert_eq!(with_rights.wait(), DONE);
    assert_eq!(as_nobody(65534, check), DONE);
}

/// Lowers RLIMIT_MSGQUEUE.
fn limit_bytes(bytes: u64) {
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: bytes,
    };
    // SAFETY: the kernel reads the structure.
    checked(unsafe { libc::setrlimit(libc::RLIMIT_MSGQUEUE, &limit) }).expect("setrlimit");
}

fn the_user_s_limit() {
    let filled = as_nobody(54_322, || {
        // Each message counts with what is kept beside it, and each priority.
        let one = 10 * 64 + 10 * (48 + 48);
        limit_bytes(2 * one);
        let (first, second, third) = (Name::new(), Name::new(), Name::new());
        let kept = first.make(libc::O_RDWR, 10, 64).expect("the first");
        let second_queue = second.make(libc::O_RDWR, 10, 64).expect("the second");
        assert_eq!(third.make(libc::O_RDWR, 10, 64), Err(Errno::EMFILE));
        assert_eq!(third.make(libc::O_RDWR, 1, 1), Err(Errno::EMFILE));
        // It counts for as long as it is open.
        second.unlink().expect("mq_unlink");
        assert_eq!(third.make(libc::O_RDWR, 10, 64), Err(Errno::EMFILE));
        drop(second_queue);
        let third_queue = third.make(libc::O_RDWR, 10, 64).expect("room again");
        drop(kept);
        drop(third_queue);
        // And for as long as it has a name.
        assert_eq!(second.make(libc::O_RDWR, 10, 64), Err(Errno::EMFILE));
        limit_bytes(2 * one - 1);
        first.unlink().expect("mq_unlink");
        assert_eq!(second.make(libc::O_RDWR, 10, 64), Err(Errno::EMFILE));
        true
    });
    if is_root() {
        assert_eq!(filled, DONE);
    }
}

/// There is a limit, which does not bind who has CAP_SYS_RESOURCE.
fn how_many() {
    if !is_root() {
        return;
    }
    let most: usize = setting("queues_max").parse().expect("a number");
    // There may be others'.
    let names: Vec<Name> = (0..most).map(|_| Name::new()).collect();
    let queues: Vec<Fd> = names
        .iter()
        .map_while(|name| name.make(libc::O_RDWR, 1, 1).ok())
        .collect();
    let refused = as_nobody(65534, || {
        let one_more = Name::new();
        one_more.make(libc::O_RDWR, 1, 1) == Err(Errno::ENOSPC)
    });
    assert_eq!(refused, DONE);
    let one_more = Name::new().make(libc::O_RDWR, 1, 1).map(drop);
    assert_eq!(one_more, if is_unlimited() { Ok(()) } else { Err(Errno::ENOSPC) });
    drop((queues, names));
    let made = as_nobody(65534, || Name::new().make(libc::O_RDWR, 1, 1).is_ok());
    assert_eq!(made, DONE);
}

fn rights() {
    if !is_root() {
        return;
    }
    let name = Name::new();
    let size = MqAttr {
        mq_maxmsg: 1,
        mq_msgsize: 1,
        ..MqAttr::default()
    };
    // SAFETY: umask(2) takes a number.
    let umask = unsafe { libc::umask(0o022) };
    let queue = mq_open(&name.0, libc::O_CREAT | libc::O_RDWR, 0o646, Some(&size)).expect("mq_open");
    // SAFETY: likewise.
    unsafe { libc::umask(umask) };
    assert_eq!(stat(&queue).st_mode, libc::S_IFREG | 0o644);
    let seen = as_nobody(65534, || {
        name.open(libc::O_RDONLY).is_ok()
            && name.open(libc::O_WRONLY) == Err(Errno::EACCES)
            && name.open(libc::O_RDWR) == Err(Errno::EACCES)
            && name.open(libc::O_RDWR | libc::O_CREAT) == Err(Errno::EACCES)
    });
    assert_eq!(seen, DONE);
    // What a mode keeps from its owner, CAP_DAC_OVERRIDE allows.
    // SAFETY: fchmod(2) takes numbers.
    checked(unsafe { libc::fchmod(queue.0, 0) }).expect("fchmod");
    name.open(libc::O_RDWR).expect("root opens it");
    assert_eq!(
        as_nobody(65534, || name.open(libc::O_RDONLY) == Err(Errno::EACCES)),
        DONE
    );
}

fn another_s_name() {
    if !is_root() {
        return;
    }
    let name = Name::new();
    mq_open(&name.0, libc::O_CREAT | libc::O_RDWR, 0o666, None).expect("mq_open");
    assert_eq!(as_nobody(65534, || name.unlink() == Err(Errno::EPERM)), DONE);
    assert_eq!(name.unlink(), Ok(()));
}

fn access_modes() {
    let name = Name::new();
    let both = name.queue(2);
    let reader = name.open(libc::O_RDONLY | libc::O_NONBLOCK).expect("for reading");
    let writer = name.open(libc::O_WRONLY | libc::O_NONBLOCK).expect("for writing");
    assert_eq!(name.open(libc::O_ACCMODE), Err(Errno::EINVAL));
    assert_eq!(send(&reader, b"a", 0), Err(Errno::EBADF));
    assert_eq!(receive(&writer), Err(Errno::EBADF));
    send(&writer, b"b", 0).expect("mq_send");
    assert_eq!(next(&reader), "b");
    // No queue at all.
    let (pipe, _other) = Fd::pipe();
    for fd in [&pipe, &Fd(-1), &Fd(4000)] {
        assert_eq!(send(fd, b"a", 0), Err(Errno::EBADF));
        assert_eq!(receive(fd), Err(Errno::EBADF));
        assert_eq!(set_flags(fd, 0), Err(Errno::EBADF));
        assert_eq!(notify(fd, None), Err(Errno::EBADF));
    }
    drop(both);
}

fn order() {
    let name = Name::new();
    let queue = name.queue(8);
    for (text, priority) in [
        ("a", 1),
        ("b", 0),
        ("c", MQ_PRIO_MAX - 1),
        ("d", 1),
        ("e", 0),
        ("f", 2),
        ("g", 1),
    ] {
        send(&queue, text.as_bytes(), priority).expect("mq_send");
    }
    let messages: Vec<(Vec<u8>, u32)> = std::iter::from_fn(|| receive(&queue).ok()).collect();
    let text: String = messages.iter().map(|(text, _)| text[0] as char).collect();
    assert_eq!(text, "cfadgbe");
    let priorities: Vec<u32> = messages.iter().map(|(_, priority)| *priority).collect();
    assert_eq!(priorities, [MQ_PRIO_MAX - 1, 2, 1, 1, 1, 0, 0]);
    assert_eq!(send(&queue, b"x", MQ_PRIO_MAX), Err(Errno::EINVAL));
    assert_eq!(send(&queue, b"x", u32::MAX), Err(Errno::EINVAL));
}

fn lengths() {
    let name = Name::new();
    let queue = name.queue(4);
    assert_eq!(send(&queue, &[0; 65], 0), Err(Errno::EMSGSIZE));
    send(&queue, &[7; 64], 0).expect("the longest");
    send(&queue, &[], 0).expect("an empty one");
    assert_eq!(receive(&queue).expect("mq_receive").0, [7; 64]);
    assert_eq!(receive(&queue), Ok((vec![], 0)));
    // There must be room for the longest, whatever comes; also where nothing does.
    let mut room = [0u8; 64];
    let arguments = [queue.0 as usize, room.as_mut_ptr() as usize, 63, 0, 0];
    // SAFETY: the kernel writes up to 63 bytes.
    assert_eq!(unsafe { raw(nr::MQ_TIMEDRECEIVE, arguments) }, Err(Errno::EMSGSIZE));
}

fn bad_pointers() {
    const NOWHERE: usize = 8;
    let name = Name::new();
    let queue = name.queue(4);
    let fd = queue.0 as usize;
    let flags = (libc::O_CREAT | libc::O_RDWR) as usize;
    let text = name.0.as_ptr() as usize;
    // SAFETY: the kernel refuses addresses that are none, and reads or writes what it is lent.
    unsafe {
        assert_eq!(raw(nr::MQ_OPEN, [NOWHERE, flags, 0o600, 0]), Err(Errno::EFAULT));
        // It is read before anything is looked up.
        assert_eq!(raw(nr::MQ_OPEN, [text, flags, 0o600, NOWHERE]), Err(Errno::EFAULT));
        assert_eq!(raw(nr::MQ_UNLINK, [NOWHERE]), Err(Errno::EFAULT));
        assert_eq!(raw(nr::MQ_TIMEDSEND, [fd, NOWHERE, 4, 0, 0]), Err(Errno::EFAULT));
        assert_eq!(raw(nr::MQ_TIMEDSEND, [fd, NOWHERE, 0, 0, 0]), Ok(0));
        assert_eq!(raw(nr::MQ_TIMEDSEND, [fd, text, 4, 0, NOWHERE]), Err(Errno::EFAULT));
        assert_eq!(attributes_of(&queue).mq_curmsgs, 1);
        assert_eq!(raw(nr::MQ_TIMEDRECEIVE, [fd, NOWHERE, 64, 0, 0]), Ok(0));
        // One that ends where memory does.
        let pages = libc::mmap(
            ptr::null_mut(),
            8192,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        checked(libc::munmap(pages.byte_add(4096), 4096)).expect("munmap");
        let end = pages.expose_provenance() + 4096;
        assert_eq!(raw(nr::MQ_TIMEDSEND, [fd, end - 10, 20, 0, 0]), Err(Errno::EFAULT));
        assert_eq!(raw(nr::MQ_TIMEDSEND, [fd, end - 10, 10, 0, 0]), Ok(0));
        assert_eq!(raw(nr::MQ_TIMEDRECEIVE, [fd, end - 10, 64, 0, 0]), Ok(10));
        send(&queue, &[1; 20], 0).expect("mq_send");
        assert_eq!(raw(nr::MQ_TIMEDRECEIVE, [fd, end - 10, 64, 0, 0]), Err(Errno::EFAULT));
        // A message that can't be given is lost.
        send(&queue, b"lost", 3).expect("mq_send");
        send(&queue, b"too", 2).expect("mq_send");
        let mut room = [0u8; 64];
        let to = room.as_mut_ptr() as usize;
        assert_eq!(raw(nr::MQ_TIMEDRECEIVE, [fd, NOWHERE, 64, 0, 0]), Err(Errno::EFAULT));
        assert_eq!(raw(nr::MQ_TIMEDRECEIVE, [fd, to, 64, NOWHERE, 0]), Err(Errno::EFAULT));
        assert_eq!(attributes_of(&queue).mq_curmsgs, 0);
        assert_eq!(raw(nr::MQ_NOTIFY, [fd, NOWHERE]), Err(Errno::EFAULT));
        assert_eq!(raw(nr::MQ_GETSETATTR, [fd, NOWHERE, 0]), Err(Errno::EFAULT));
        assert_eq!(raw(nr::MQ_GETSETATTR, [fd, 0, NOWHERE]), Err(Errno::EFAULT));
        assert_eq!(raw(nr::MQ_GETSETATTR, [fd, 0, 0]), Ok(0));
    }
}

fn bad_times() {
    let name = Name::new();
    let queue = name.queue(1);
    for (tv_sec, tv_nsec) in [(-1, 0), (0, -1), (0, 1_000_000_000)] {
        let wrong = libc::timespec { tv_sec, tv_nsec };
        // A time that is none is refused also where nobody would wait, and before all else.
        assert_eq!(send_until(&queue, b"x", 0, Some(&wrong)), Err(Errno::EINVAL));
        assert_eq!(receive_until(&queue, Some(&wrong)), Err(Errno::EINVAL));
        assert_eq!(receive_until(&Fd(-1), Some(&wrong)), Err(Errno::EINVAL));
    }
}

fn full_and_empty() {
    let name = Name::new();
    let queue = name.queue(2);
    assert_eq!(receive(&queue), Err(Errno::EAGAIN));
    send(&queue, b"a", 0).expect("mq_send");
    send(&queue, b"b", 9).expect("mq_send");
    assert_eq!(send(&queue, b"c", 9), Err(Errno::EAGAIN));
    assert_eq!(next(&queue), "b");
    send(&queue, b"d", 0).expect("mq_send");
    assert_eq!((next(&queue), next(&queue)), ("a".into(), "d".into()));
}

fn attributes() {
    let name = Name::new();
    let queue = name.queue(3);
    send(&queue, b"a", 0).expect("mq_send");
    let expected = MqAttr {
        mq_flags: libc::O_NONBLOCK.into(),
        mq_maxmsg: 3,
        mq_msgsize: 64,
        mq_curmsgs: 1,
        ..MqAttr::default()
    };
    assert_eq!(attributes_of(&queue), expected);
    // Only the one flag, and of this description.
    let other = name.open(libc::O_RDWR | libc::O_NONBLOCK).expect("mq_open");
    assert_eq!(set_flags(&queue, 0), Ok(expected));
    assert_eq!(
        attributes_of(&queue),
        MqAttr {
            mq_flags: 0,
            ..expected
        }
    );
    assert_eq!(attributes_of(&other), expected);
    assert_eq!(set_flags(&queue, libc::O_APPEND.into()), Err(Errno::EINVAL));
    assert_eq!(
        set_flags(&queue, libc::O_NONBLOCK.into()).expect("mq_setattr").mq_flags,
        0
    );
    assert_eq!(attributes_of(&queue), expected);
    // SAFETY: fcntl(2) with numbers.
    let flags = unsafe { libc::fcntl(queue.0, libc::F_GETFL) };
    assert_eq!(flags, libc::O_RDWR | libc::O_NONBLOCK);
    // SAFETY: likewise.
    assert_eq!(unsafe { libc::fcntl(queue.0, libc::F_GETFD) }, libc::FD_CLOEXEC);
}

fn time_limits() {
    let name = Name::new();
    let queue = name.waiting_queue(1);
    let long_ago = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    assert_eq!(receive_until(&queue, Some(&long_ago)), Err(Errno::ETIMEDOUT));
    let start = Instant::now();
    assert_eq!(receive_until(&queue, Some(&in_ms(30))), Err(Errno::ETIMEDOUT));
    assert!(start.elapsed() >= Duration::from_millis(29));
    // Who need not wait does not look at the time.
    send_until(&queue, b"a", 0, Some(&long_ago)).expect("mq_timedsend");
    assert_eq!(send_until(&queue, b"b", 0, Some(&in_ms(30))), Err(Errno::ETIMEDOUT));
    assert_eq!(receive_until(&queue, Some(&long_ago)), Ok((b"a".to_vec(), 0)));
    assert_eq!(receive_until(&queue, Some(&long_ago)), Err(Errno::ETIMEDOUT));
}

fn a_receiver_is_served_first() {
    let name = Name::new();
    let queue = name.waiting_queue(1);
    let received = one_after_another(
        1,
        |_| receive(&queue),
        || {
            send(&queue, b"a", 5).expect("mq_send");
            // It went to who waited, so there is room for another.
            send(&queue, b"b", 6).expect("mq_send");
        },
    );
    assert_eq!(received, [Ok((b"a".to_vec(), 5))]);
    assert_eq!(next(&queue), "b");
}

/// Runs `body` in `count` threads, each of which sleeps in it before the next comes.
fn one_after_another<R: Send>(count: usize, body: impl Fn(usize) -> R + Sync, then: impl FnOnce()) -> Vec<R> {
    let body = &body;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|number| {
                let (tell, told) = std::sync::mpsc::channel();
                let waits = scope.spawn(move || {
                    tell.send(tid()).expect("the main thread waits");
                    body(number)
                });
                until_asleep(told.recv().expect("a number"));
                waits
            })
            .collect();
        then();
        threads
            .into_iter()
            .map(|waits| waits.join().expect("no panic"))
            .collect()
    })
}

fn receivers_in_turn() {
    let name = Name::new();
    let queue = name.waiting_queue(4);
    let received = one_after_another(
        4,
        |_| next(&queue),
        || {
            for text in ["a", "b", "c", "d"] {
                send(&queue, text.as_bytes(), 0).expect("mq_send");
            }
        },
    );
    assert_eq!(received, ["a", "b", "c", "d"]);
}

fn senders_in_turn() {
    let name = Name::new();
    let queue = name.waiting_queue(1);
    send(&queue, b"first", 0).expect("mq_send");
    let mut received = Vec::new();
    one_after_another(
        3,
        |number| send(&queue, &[b'a' + number as u8], number as u32).expect("mq_send"),
        || received.extend((0..4).map(|_| next(&queue))),
    );
    // Whoever waits longest gets the room, whatever the priority of what it sends.
    assert_eq!(received, ["first", "a", "b", "c"]);
}

/// Has a signal interrupt the calling thread's waits.
fn catch(signal: c_int, flags: c_int) {
    extern "C" fn nothing(_: c_int) {}
    // SAFETY: the handler does nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        action.sa_flags = flags;
        checked(libc::sigaction(signal, &action, ptr::null_mut())).expect("sigaction");
    }
}

fn interrupt(tid: i32) {
    // SAFETY: it takes numbers.
    checked(unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, libc::SIGUSR1) }).expect("tgkill");
}

fn interrupted() {
    let name = Name::new();
    let queue = name.waiting_queue(1);
    catch(libc::SIGUSR1, 0);
    let tid_of = AtomicU32::new(0);
    let waits = |what: &(dyn Fn() -> Result<(), Errno> + Sync)| {
        one_after_another(
            1,
            |_| {
                tid_of.store(tid() as u32, SeqCst);
                what()
            },
            || interrupt(tid_of.load(SeqCst) as i32),
        )
    };
    assert_eq!(waits(&|| receive(&queue).map(drop)), [Err(Errno::EINTR)]);
    assert_eq!(
        waits(&|| receive_until(&queue, Some(&in_ms(60_000))).map(drop)),
        [Err(Errno::EINTR)]
    );
    send(&queue, b"a", 0).expect("mq_send");
    assert_eq!(waits(&|| send(&queue, b"b", 0)), [Err(Errno::EINTR)]);
    // Nobody waits any more: what comes stays.
    assert_eq!(next(&queue), "a");
    assert_eq!(attributes_of(&queue).mq_curmsgs, 0);
    send(&queue, b"c", 0).expect("mq_send");
    assert_eq!(attributes_of(&queue).mq_curmsgs, 1);
}

fn restarted() {
    let name = Name::new();
    let queue = name.waiting_queue(1);
    catch(libc::SIGUSR1, libc::SA_RESTART);
    let tid_of = AtomicU32::new(0);
    let received = one_after_another(
        1,
        |_| {
            tid_of.store(tid() as u32, SeqCst);
            receive_until(&queue, Some(&in_ms(60_000)))
        },
        || {
            let tid = tid_of.load(SeqCst) as i32;
            interrupt(tid);
            thread::sleep(Duration::from_millis(10));
            until_asleep(tid);
            send(&queue, b"a", 1).expect("mq_send");
        },
    );
    assert_eq!(received, [Ok((b"a".to_vec(), 1))]);
}

fn readiness() {
    let name = Name::new();
    let queue = name.queue(2);
    let epoll = Fd::epoll();
    epoll.add(&queue, ALL | libc::EPOLLPRI as u32);
    assert_eq!(epoll.events(), WRITABLE);
    send(&queue, b"a", 0).expect("mq_send");
    assert_eq!(epoll.events(), ALL);
    send(&queue, b"b", 0).expect("mq_send");
    assert_eq!(epoll.events(), READABLE);
    next(&queue);
    assert_eq!(epoll.events(), ALL);
    next(&queue);
    assert_eq!(epoll.events(), WRITABLE);
    // The access mode says nothing.
    let reader = name.open(libc::O_RDONLY).expect("mq_open");
    let other = Fd::epoll();
    other.add(&reader, ALL);
    assert_eq!(other.events(), WRITABLE);
}

fn edges() {
    let name = Name::new();
    let queue = name.queue(3);
    let epoll = Fd::epoll();
    epoll.add(&queue, READABLE | EDGE);
    assert_eq!(epoll.events(), 0);
    send(&queue, b"a", 0).expect("mq_send");
    assert_eq!(epoll.events(), READABLE);
    assert_eq!(epoll.events(), 0);
    // Each message is news.
    send(&queue, b"b", 0).expect("mq_send");
    assert_eq!(epoll.events(), READABLE);
    assert_eq!(epoll.events(), 0);
    // And what fails is none.
    send(&queue, b"c", 0).expect("mq_send");
    assert_eq!(epoll.events(), READABLE);
    assert_eq!(send(&queue, b"d", 0), Err(Errno::EAGAIN));
    assert_eq!(epoll.events(), 0);
}

/// A queue's wake-ups name no events: each change makes whoever watches look again, at whatever it asked for.
fn an_edge_by_each_change() {
    let name = Name::new();
    let queue = name.queue(3);
    send(&queue, b"a", 0).expect("mq_send");
    send(&queue, b"b", 0).expect("mq_send");
    let (reads, writes) = (Fd::epoll(), Fd::epoll());
    reads.add(&queue, READABLE | EDGE);
    writes.add(&queue, WRITABLE | EDGE);
    assert_eq!((reads.events(), writes.events()), (READABLE, WRITABLE));
    assert_eq!((reads.events(), writes.events()), (0, 0));
    next(&queue);
    assert_eq!((reads.events(), writes.events()), (READABLE, WRITABLE));
    send(&queue, b"c", 0).expect("mq_send");
    assert_eq!((reads.events(), writes.events()), (READABLE, WRITABLE));
    send(&queue, b"d", 0).expect("mq_send");
    assert_eq!((reads.events(), writes.events()), (READABLE, 0));
    next(&queue);
    next(&queue);
    next(&queue);
    assert_eq!((reads.events(), writes.events()), (0, WRITABLE));
}

/// What goes from hand to hand changes nothing that could be watched.
fn handed_over_unseen() {
    let name = Name::new();
    let queue = name.waiting_queue(1);
    let epoll = Fd::epoll();
    epoll.add(&queue, ALL | EDGE);
    assert_eq!(epoll.events(), WRITABLE);
    one_after_another(
        1,
        |_| next(&queue),
        || {
            send(&queue, b"a", 0).expect("mq_send");
            assert_eq!(epoll.events(), 0);
        },
    );
    send(&queue, b"b", 0).expect("mq_send");
    assert_eq!(epoll.events(), READABLE);
    one_after_another(
        1,
        |_| send(&queue, b"c", 0).expect("mq_send"),
        || {
            assert_eq!(next(&queue), "b");
            assert_eq!(epoll.events(), 0);
        },
    );
    assert_eq!(next(&queue), "c");
    assert_eq!(epoll.events(), WRITABLE);
}

fn a_poll_that_sleeps() {
    let name = Name::new();
    let queue = name.queue(1);
    let poll = |events| {
        let mut fds = [libc::pollfd {
            fd: queue.0,
            events,
            revents: 0,
        }];
        // SAFETY: the kernel writes one structure.
        checked(unsafe { libc::poll(fds.as_mut_ptr(), 1, 60_000) }).expect("poll");
        fds[0].revents
    };
    let seen = one_after_another(1, |_| poll(libc::POLLIN), || send(&queue, b"a", 0).expect("mq_send"));
    assert_eq!(seen, [libc::POLLIN]);
    let seen = one_after_another(
        1,
        |_| poll(libc::POLLOUT),
        || {
            next(&queue);
        },
    );
    assert_eq!(seen, [libc::POLLOUT]);
}

fn stat(queue: &Fd) -> libc::stat {
    // SAFETY: the kernel writes the structure.
    unsafe {
        let mut stat = std::mem::zeroed();
        checked(libc::fstat(queue.0, &mut stat)).expect("fstat");
        stat
    }
}

/// What read(2) says from a position on.
fn told(queue: &Fd, room: usize) -> Result<String, Errno> {
    let mut bytes = vec![0; room];
    let count = queue.read(&mut bytes)?;
    bytes.truncate(count);
    Ok(String::from_utf8(bytes).expect("text"))
}

fn rewind(queue: &Fd) {
    // SAFETY: lseek(2) takes numbers.
    assert_eq!(unsafe { libc::lseek(queue.0, 0, libc::SEEK_SET) }, 0);
}

fn what_a_descriptor_tells() {
    let name = Name::new();
    let queue = name.queue(3);
    send(&queue, b"12345", 0).expect("mq_send");
    send(&queue, b"678", 0).expect("mq_send");
    let nobody = "QSIZE:8          NOTIFY:0     SIGNO:0     NOTIFY_PID:0     \n";
    assert_eq!(told(&queue, 100).expect("read"), nobody);
    assert_eq!(told(&queue, 100).expect("read"), "");
    rewind(&queue);
    assert_eq!(told(&queue, 6).expect("read"), "QSIZE:");
    assert_eq!(told(&queue, 100).expect("read"), &nobody[6..]);
    notify_signal(&queue, libc::SIGUSR1, 0).expect("mq_notify");
    rewind(&queue);
    let pid = std::process::id();
    let expected = format!(
        "QSIZE:8          NOTIFY:0     SIGNO:{:<5} NOTIFY_PID:{pid:<6}\n",
        libc::SIGUSR1
    );
    assert_eq!(told(&queue, 100).expect("read"), expected);
    notify(&queue, None).expect("mq_notify");
    let writer = name.open(libc::O_WRONLY).expect("mq_open");
    assert_eq!(told(&writer, 100), Err(Errno::EBADF));
    assert_eq!(writer.write(b"x"), Err(Errno::EINVAL));
    let stat = stat(&queue);
    assert_eq!(stat.st_mode, libc::S_IFREG | 0o600);
    assert_eq!((stat.st_size, stat.st_nlink), (80, 1));
    // SAFETY: lseek(2) takes numbers.
    assert_eq!(unsafe { libc::lseek(queue.0, 0, libc::SEEK_END) }, 80);
}

fn what_it_is_not() {
    let name = Name::new();
    let queue = name.queue(3);
    // SAFETY: nothing is mapped, and the ioctl writes a number.
    unsafe {
        let mapped = libc::mmap(ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_SHARED, queue.0, 0);
        assert_eq!(mapped, libc::MAP_FAILED);
        let mut count: c_int = 0;
        assert_eq!(
            checked(libc::ioctl(queue.0, libc::TIOCGWINSZ, &mut count)),
            Err(Errno::ENOTTY)
        );
    }
    let link = fs::read_link(format!("/proc/self/fd/{}", queue.0)).expect("readlink");
    assert!(
        link.to_str()
            .is_some_and(|link| link.ends_with(&format!("/{}", name.text()))),
        "{link:?}"
    );
    name.unlink().expect("mq_unlink");
    let link = fs::read_link(format!("/proc/self/fd/{}", queue.0)).expect("readlink");
    assert!(
        link.to_str().is_some_and(|link| link.ends_with(" (deleted)")),
        "{link:?}"
    );
    assert_eq!(stat(&queue).st_nlink, 0);
}

fn kept_until_closed() {
    let name = Name::new();
    let queue = name.queue(3);
    send(&queue, b"a", 0).expect("mq_send");
    drop(queue);
    let again = name.open(libc::O_RDWR | libc::O_NONBLOCK).expect("it is still there");
    name.unlink().expect("mq_unlink");
    assert_eq!(next(&again), "a");
    send(&again, b"b", 0).expect("mq_send");
    assert_eq!(next(&again), "b");
}

fn shared_by_a_child() {
    let name = Name::new();
    let queue = name.waiting_queue(3);
    let sends = child(|| {
        send(&queue, b"from the child", 3).expect("mq_send");
        set_flags(&queue, libc::O_NONBLOCK.into()).expect("mq_setattr");
        0
    });
    assert_eq!(receive(&queue), Ok((b"from the child".to_vec(), 3)));
    assert_eq!(sends.wait(), DONE);
    // One description.
    assert_eq!(receive(&queue), Err(Errno::EAGAIN));
    assert_eq!(receive(&queue.dup()), Err(Errno::EAGAIN));
}

/// mq_open(3) sets FD_CLOEXEC whatever was asked for, and it can be taken off.
fn closed_by_execve() {
    let name = Name::new();
    let queue = mq_open(&name.0, libc::O_CREAT | libc::O_RDWR | libc::O_CLOEXEC, 0o600, None).expect("mq_open");
    // SAFETY: fcntl(2) with numbers.
    unsafe {
        assert_eq!(libc::fcntl(queue.0, libc::F_GETFD), libc::FD_CLOEXEC);
        assert_eq!(libc::fcntl(queue.0, libc::F_SETFD, 0), 0);
        assert_eq!(libc::fcntl(queue.0, libc::F_GETFD), 0);
    }
}

fn notify(queue: &Fd, request: Option<&libc::sigevent>) -> Result<(), Errno> {
    // SAFETY: the kernel reads the structure.
    unsafe { raw(nr::MQ_NOTIFY, [queue.0 as usize, address(request)]) }.map(|_| ())
}

fn request(kind: c_int, signal: c_int, value: usize) -> libc::sigevent {
    // SAFETY: zeroes are a sigevent.
    let mut request: libc::sigevent = unsafe { std::mem::zeroed() };
    request.sigev_notify = kind;
    request.sigev_signo = signal;
    request.sigev_value.sival_ptr = ptr::without_provenance_mut(value);
    request
}

fn notify_signal(queue: &Fd, signal: c_int, value: usize) -> Result<(), Errno> {
    notify(queue, Some(&request(libc::SIGEV_SIGNAL, signal, value)))
}

/// SIGUSR1 blocked, to be taken when it comes.
struct Signals(libc::sigset_t);

impl Signals {
    fn block() -> Signals {
        // SAFETY: an empty set, filled and blocked.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, libc::SIGUSR1);
            libc::pthread_sigmask(libc::SIG_BLOCK, &set, ptr::null_mut());
            let signals = Signals(set);
            while signals.take(0).is_some() {}
            signals
        }
    }

    fn take(&self, seconds: i64) -> Option<libc::siginfo_t> {
        // SAFETY: siginfo_t is plain data, which the kernel fills.
        unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let limit = libc::timespec {
                tv_sec: seconds,
                tv_nsec: 0,
            };
            (libc::sigtimedwait(&self.0, &mut info, &limit) > 0).then_some(info)
        }
    }

    /// What has been sent by now.
    fn sent(&self) -> bool {
        self.take(0).is_some()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        while self.sent() {}
        // SAFETY: the set is this test's.
        unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &self.0, ptr::null_mut()) };
    }
}

fn notification_by_signal() {
    let signals = Signals::block();
    let name = Name::new();
    let queue = name.queue(3);
    notify_signal(&queue, libc::SIGUSR1, 0x1234_5678_9abc).expect("mq_notify");
    assert!(!signals.sent());
    let sender = child(|| {
        send(&queue, b"a", 0).expect("mq_send");
        0
    });
    let sender_pid = sender.0;
    assert_eq!(sender.wait(), DONE);
    let info = signals.take(60).expect("a signal");
    // SAFETY: the kernel fills these for SI_MESGQ.
    unsafe {
        assert_eq!((info.si_signo, info.si_code), (libc::SIGUSR1, libc::SI_MESGQ));
        assert_eq!((info.si_pid(), info.si_uid()), (sender_pid, libc::getuid()));
        assert_eq!(info.si_value().sival_ptr.addr(), 0x1234_5678_9abc);
    }
    // Once only, and then by nothing but a message into an empty queue.
    send(&queue, b"b", 0).expect("mq_send");
    assert!(!signals.sent());
    notify_signal(&queue, libc::SIGUSR1, 0).expect("mq_notify");
    send(&queue, b"c", 0).expect("mq_send");
    assert!(!signals.sent());
    (0..3).for_each(|_| drop(next(&queue)));
    send(&queue, b"d", 0).expect("mq_send");
    assert!(signals.sent());
}

fn notification_of_nothing() {
    let signals = Signals::block();
    let name = Name::new();
    let queue = name.queue(3);
    notify(&queue, Some(&request(libc::SIGEV_NONE, libc::SIGUSR1, 0))).expect("mq_notify");
    assert!(
        told(&queue, 100)
            .expect("read")
            .contains("NOTIFY:1     SIGNO:0     NOTIFY_PID:")
    );
    assert_eq!(notify_signal(&queue, libc::SIGUSR1, 0), Err(Errno::EBUSY));
    send(&queue, b"a", 0).expect("mq_send");
    assert!(!signals.sent());
    // It has had its one.
    notify_signal(&queue, 0, 0).expect("no signal is a signal here");
    next(&queue);
    send(&queue, b"b", 0).expect("mq_send");
    assert!(!signals.sent());
    notify_signal(&queue, libc::SIGUSR1, 0).expect("mq_notify");
    notify(&queue, None).expect("taken back");
    next(&queue);
    send(&queue, b"c", 0).expect("mq_send");
    assert!(!signals.sent());
    notify(&queue, None).expect("nothing to take back");
}

fn notification_is_one_s() {
    let signals = Signals::block();
    let name = Name::new();
    let queue = name.queue(3);
    notify_signal(&queue, libc::SIGUSR1, 0).expect("mq_notify");
    let other = child(|| {
        assert_eq!(notify_signal(&queue, libc::SIGUSR1, 0), Err(Errno::EBUSY));
        // It is not the child's to take back, nor does a descriptor of the child's end it.
        notify(&queue, None).expect("without effect");
        drop(name.open(libc::O_RDWR).expect("mq_open"));
        0
    });
    assert_eq!(other.wait(), DONE);
    send(&queue, b"a", 0).expect("mq_send");
    assert!(signals.sent());
}

fn notification_ends_with_a_descriptor() {
    let signals = Signals::block();
    let name = Name::new();
    let queue = name.queue(3);
    notify_signal(&queue, libc::SIGUSR1, 0).expect("mq_notify");
    // Any descriptor of the queue.
    drop(name.open(libc::O_RDONLY).expect("mq_open"));
    notify_signal(&queue, libc::SIGUSR1, 0).expect("it had ended");
    drop(queue.dup());
    notify_signal(&queue, libc::SIGUSR1, 0).expect("it had ended");
    let (pipe, _other) = Fd::pipe();
    // SAFETY: dup2(2) takes numbers.
    checked(unsafe { libc::dup2(pipe.0, queue.dup().0) }).expect("dup2");
    send(&queue, b"a", 0).expect("mq_send");
    assert!(!signals.sent());
    // A process's end is the end of its descriptors.
    let asks = child(|| {
        notify_signal(&queue, libc::SIGUSR1, 0).expect("mq_notify");
        0
    });
    assert_eq!(asks.wait(), DONE);
    notify_signal(&queue, libc::SIGUSR1, 0).expect("nobody's");
}

fn notification_not_past_a_receiver() {
    let signals = Signals::block();
    let name = Name::new();
    let queue = name.waiting_queue(3);
    notify_signal(&queue, libc::SIGUSR1, 0).expect("mq_notify");
    let received = one_after_another(1, |_| next(&queue), || send(&queue, b"a", 0).expect("mq_send"));
    assert_eq!(received, ["a"]);
    assert!(!signals.sent());
    send(&queue, b"b", 0).expect("mq_send");
    assert!(signals.sent());
}

/// A netlink socket, as the C library has one for SIGEV_THREAD.
fn netlink() -> Fd {
    // SAFETY: socket(2) takes numbers.
    let fd = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_NONBLOCK, 0) };
    Fd(checked(fd).expect("socket"))
}

fn received(socket: &Fd) -> Option<[u8; 32]> {
    let mut bytes = [0u8; 64];
    let count = socket.read(&mut bytes).ok()?;
    assert_eq!(count, 32);
    bytes[..32].try_into().ok()
}

fn notification_by_socket() {
    let name = Name::new();
    let (queue, socket) = (name.queue(3), netlink());
    let cookie: [u8; 32] = std::array::from_fn(|index| index as u8 + 100);
    let with_end = |end| {
        let mut cookie = cookie;
        cookie[31] = end;
        Some(cookie)
    };
    let ask = || {
        notify(
            &queue,
            Some(&request(libc::SIGEV_THREAD, socket.0, cookie.as_ptr().addr())),
        )
    };
    let epoll = Fd::epoll();
    epoll.add(&socket, libc::EPOLLIN as u32);
    cookie.as_ptr().expose_provenance();
    ask().expect("mq_notify");
    assert!(
        told(&queue, 100)
            .expect("read")
            .contains("NOTIFY:2     SIGNO:0     NOTIFY_PID:")
    );
    assert_eq!(ask(), Err(Errno::EBUSY));
    assert_eq!(received(&socket), None);
    assert_eq!(epoll.events(), 0);
    send(&queue, b"a", 0).expect("mq_send");
    assert_eq!(epoll.events(), libc::EPOLLIN as u32);
    assert_eq!(received(&socket), with_end(NOTIFY_WOKENUP));
    assert_eq!(received(&socket), None);
    ask().expect("mq_notify");
    notify(&queue, None).expect("mq_notify");
    assert_eq!(received(&socket), with_end(NOTIFY_REMOVED));
    ask().expect("mq_notify");
    drop(queue.dup());
    assert_eq!(received(&socket), with_end(NOTIFY_REMOVED));
    // The socket may go first.
    ask().expect("mq_notify");
    drop(socket);
    next(&queue);
    send(&queue, b"b", 0).expect("mq_send");
    notify_signal(&queue, 0, 0).expect("it had ended");
}

fn notification_badly_asked() {
    let name = Name::new();
    let queue = name.queue(3);
    let ask = |kind, signal, value: usize| notify(&queue, Some(&request(kind, signal, value)));
    assert_eq!(ask(3, libc::SIGUSR1, 0), Err(Errno::EINVAL));
    assert_eq!(ask(libc::SIGEV_THREAD_ID, libc::SIGUSR1, 0), Err(Errno::EINVAL));
    assert_eq!(ask(libc::SIGEV_SIGNAL, 65, 0), Err(Errno::EINVAL));
    assert_eq!(ask(libc::SIGEV_SIGNAL, -1, 0), Err(Errno::EINVAL));
    let cookie = [0u8; 32];
    let at = cookie.as_ptr().expose_provenance();
    assert_eq!(ask(libc::SIGEV_THREAD, -1, 8), Err(Errno::EFAULT));
    assert_eq!(ask(libc::SIGEV_THREAD, -1, at), Err(Errno::EBADF));
    assert_eq!(ask(libc::SIGEV_THREAD, queue.0, at), Err(Errno::ENOTSOCK));
    let (socket, _other) = Fd::socket_pair();
    assert_eq!(ask(libc::SIGEV_THREAD, socket.0, at), Err(Errno::EINVAL));
    // A request is looked at before the descriptor.
    assert_eq!(notify(&Fd(-1), Some(&request(3, 0, 0))), Err(Errno::EINVAL));
}

const SETTINGS: &str = "/proc/sys/fs/mqueue";

fn setting(name: &str) -> String {
    let text = fs::read_to_string(format!("{SETTINGS}/{name}")).expect(name);
    text.trim().to_string()
}

fn settings() {
    let mut names: Vec<String> = fs::read_dir(SETTINGS)
        .expect("the settings")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["msg_default", "msg_max", "msgsize_default", "msgsize_max", "queues_max"]
    );
    let values: Vec<String> = names.iter().map(|name| setting(name)).collect();
    assert_eq!(values, ["10", "10", "8192", "8192", "256"]);
    if !is_root() {
        return;
    }
    let set = |name: &str, value: &str| {
        let mut file = fs::OpenOptions::new().write(true).open(format!("{SETTINGS}/{name}"))?;
        file.write_all(value.as_bytes())
    };
    for (name, value) in [
        ("msg_max", "0"),
        ("msg_max", "65537"),
        ("msgsize_max", "127"),
        ("msgsize_max", "16777217"),
        ("msg_default", "x"),
    ] {
        let refused = set(name, value).expect_err("a value that is not allowed");
        assert_eq!(refused.raw_os_error(), Some(libc::EINVAL), "{name} = {value}");
    }
    set("msg_default", "7\n").expect("a value that is allowed");
    let name = Name::new();
    let queue = mq_open(&name.0, libc::O_CREAT | libc::O_RDWR, 0o600, None).expect("mq_open");
    set("msg_default", "10\n").expect("the value it had");
    assert_eq!(attributes_of(&queue).mq_maxmsg, 7);
}

/// Where the file system is mounted.
fn the_folder() {
    const FOLDER: &str = "/dev/mqueue";
    if !fs::exists(FOLDER).is_ok_and(|there| there) {
        userspace_tests::harness::ignore("there is no /dev/mqueue");
    }
    let name = Name::new();
    let path = format!("{FOLDER}/{}", name.text());
    assert!(!fs::exists(&path).expect("stat"));
    let queue = name.queue(1);
    send(&queue, b"a", 0).expect("mq_send");
    let listed = || {
        fs::read_dir(FOLDER)
            .expect("the folder")
            .any(|entry| entry.is_ok_and(|entry| entry.file_name() == name.text()))
    };
    assert!(listed());
    assert_eq!(
        fs::read_to_string(&path).expect("read"),
        "QSIZE:1          NOTIFY:0     SIGNO:0     NOTIFY_PID:0     \n"
    );
    fs::remove_file(&path).expect("unlink");
    assert!(!listed());
    assert_eq!(name.open(libc::O_RDWR), Err(Errno::ENOENT));
    // A file that is made there is a queue.
    fs::File::create(&path).expect("creat");
    let made = name.open(libc::O_RDWR | libc::O_NONBLOCK).expect("mq_open");
    assert_eq!(attributes_of(&made).mq_maxmsg, 10);
    assert!(fs::create_dir(format!("{path}-folder")).is_err());
    assert!(fs::rename(&path, format!("{path}-other")).is_err());
    fs::remove_file(&path).expect("unlink");
}

/// Threads that send and receive through a queue too small for them, some with time limits that pass.
fn many_at_once() {
    const EACH: usize = 200;
    const THREADS: usize = 4;
    let name = Name::new();
    let queue = name.waiting_queue(2);
    let received = AtomicU32::new(0);
    let sum = AtomicU32::new(0);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let queue = &queue;
            scope.spawn(move || {
                for number in 0..EACH {
                    let text = [thread as u8, number as u8];
                    while send_until(queue, &text, thread as u32, Some(&in_ms(1))) == Err(Errno::ETIMEDOUT) {}
                }
            });
        }
        for _ in 0..THREADS {
            scope.spawn(|| {
                while (received.load(SeqCst) as usize) < EACH * THREADS {
                    match receive_until(&queue, Some(&in_ms(1))) {
                        Ok((message, priority)) => {
                            assert_eq!(u32::from(message[0]), priority);
                            received.fetch_add(1, SeqCst);
                            sum.fetch_add(u32::from(message[1]), SeqCst);
                        }
                        Err(error) => assert_eq!(error, Errno::ETIMEDOUT),
                    }
                }
            });
        }
    });
    assert_eq!(received.load(SeqCst) as usize, EACH * THREADS);
    assert_eq!(sum.load(SeqCst) as usize, THREADS * EACH * (EACH - 1) / 2);
    assert_eq!(attributes_of(&queue).mq_curmsgs, 0);
}
