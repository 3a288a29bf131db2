//! What the tests of message queues are made with: the calls, names that go by themselves, other users.

use libsyscall::abi::capability::CAP_SYS_RESOURCE;
use libsyscall::abi::mqueue::MqAttr;
use libsyscall::abi::{Errno, nr};
use libsyscall::calls::raw;
use std::ffi::{CString, c_int};
use std::fs;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;
use std::time::Duration;
use userspace_tests::{Fd, Status, checked, child};

/// A queue's name that is removed at the end; every test has one of its own.
pub struct Name(pub CString);

impl Name {
    pub fn new() -> Name {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let text = format!("vigil-{}-{}", std::process::id(), NEXT.fetch_add(1, SeqCst));
        Name(CString::new(text).expect("no NUL"))
    }

    pub fn text(&self) -> &str {
        self.0.to_str().expect("it is ASCII")
    }

    pub fn open(&self, flags: c_int) -> Result<Fd, Errno> {
        mq_open(&self.0, flags, 0, None)
    }

    /// Makes it, for `maximum` messages of at most `message` bytes.
    pub fn make(&self, flags: c_int, maximum: i64, message: i64) -> Result<Fd, Errno> {
        let size = MqAttr {
            mq_maxmsg: maximum,
            mq_msgsize: message,
            ..MqAttr::default()
        };
        mq_open(&self.0, flags | libc::O_CREAT | libc::O_EXCL, 0o600, Some(&size))
    }

    /// A queue that can be read and written without waiting.
    pub fn queue(&self, maximum: i64) -> Fd {
        self.make(libc::O_RDWR | libc::O_NONBLOCK, maximum, 64)
            .expect("mq_open")
    }

    /// One whose calls wait.
    pub fn waiting_queue(&self, maximum: i64) -> Fd {
        self.make(libc::O_RDWR, maximum, 64).expect("mq_open")
    }

    pub fn unlink(&self) -> Result<(), Errno> {
        mq_unlink(&self.0)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        // Where the test has not done so itself.
        let _ = self.unlink();
    }
}

pub fn address<T>(value: Option<&T>) -> usize {
    value.map_or(0, |value| ptr::from_ref(value) as usize)
}

pub fn mq_open(name: &CString, flags: c_int, mode: u32, size: Option<&MqAttr>) -> Result<Fd, Errno> {
    // SAFETY: the kernel reads a string and a structure.
    unsafe {
        raw(
            nr::MQ_OPEN,
            [name.as_ptr() as usize, flags as usize, mode as usize, address(size)],
        )
    }
    .map(|fd| Fd(fd as i32))
}

pub fn mq_unlink(name: &CString) -> Result<(), Errno> {
    // SAFETY: the kernel reads a string.
    unsafe { raw(nr::MQ_UNLINK, [name.as_ptr() as usize]) }.map(|_| ())
}

pub fn send_until(queue: &Fd, message: &[u8], priority: u32, until: Option<&libc::timespec>) -> Result<(), Errno> {
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

pub fn send(queue: &Fd, message: &[u8], priority: u32) -> Result<(), Errno> {
    send_until(queue, message, priority, None)
}

pub fn receive_until(queue: &Fd, until: Option<&libc::timespec>) -> Result<(Vec<u8>, u32), Errno> {
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

pub fn receive(queue: &Fd) -> Result<(Vec<u8>, u32), Errno> {
    receive_until(queue, None)
}

/// The next message's text.
pub fn next(queue: &Fd) -> String {
    let (message, _) = receive(queue).expect("mq_receive");
    String::from_utf8(message).expect("text")
}

pub fn attributes_of(queue: &Fd) -> MqAttr {
    let mut old = MqAttr::default();
    // SAFETY: the kernel writes the structure.
    unsafe { raw(nr::MQ_GETSETATTR, [queue.0 as usize, 0, &raw mut old as usize]) }.expect("mq_getattr");
    old
}

pub fn set_flags(queue: &Fd, flags: i64) -> Result<MqAttr, Errno> {
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
pub fn in_ms(milliseconds: i64) -> libc::timespec {
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
pub fn until_asleep(tid: i32) {
    loop {
        let text = fs::read_to_string(format!("/proc/self/task/{tid}/stat")).expect("a thread's stat");
        let state = text.rsplit(") ").next().and_then(|rest| rest.chars().next());
        if state == Some('S') {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

pub fn tid() -> i32 {
    // SAFETY: it takes nothing.
    unsafe { libc::gettid() }
}

/// Runs `body` in a child without privileges, if this process has them.
pub fn as_nobody(uid: u32, body: impl FnOnce() -> bool) -> Status {
    child(|| {
        // SAFETY: the calls take numbers.
        let done = unsafe { libc::getuid() != 0 || libc::setgid(uid) == 0 && libc::setuid(uid) == 0 };
        i32::from(!done || !body())
    })
    .wait()
}

pub fn is_root() -> bool {
    // SAFETY: it takes nothing.
    unsafe { libc::geteuid() == 0 }
}

/// Whether this process has CAP_SYS_RESOURCE, which root need not have.
pub fn is_unlimited() -> bool {
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .expect("CapEff");
    let set = u64::from_str_radix(line.trim(), 16).expect("a number");
    set & 1 << CAP_SYS_RESOURCE != 0
}

pub const DONE: Status = Status::Exited(0);
pub const READABLE: u32 = (libc::EPOLLIN | libc::EPOLLRDNORM) as u32;
pub const WRITABLE: u32 = (libc::EPOLLOUT | libc::EPOLLWRNORM) as u32;
pub const ALL: u32 = READABLE | WRITABLE;
pub const EDGE: u32 = libc::EPOLLET as u32;

/// Runs `body` in `count` threads, each of which sleeps in it before the next comes.
pub fn one_after_another<R: Send>(count: usize, body: impl Fn(usize) -> R + Sync, then: impl FnOnce()) -> Vec<R> {
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

pub fn stat(queue: &Fd) -> libc::stat {
    // SAFETY: the kernel writes the structure.
    unsafe {
        let mut stat = std::mem::zeroed();
        checked(libc::fstat(queue.0, &mut stat)).expect("fstat");
        stat
    }
}

/// What read(2) says from a position on.
pub fn told(queue: &Fd, room: usize) -> Result<String, Errno> {
    let mut bytes = vec![0; room];
    let count = queue.read(&mut bytes)?;
    bytes.truncate(count);
    Ok(String::from_utf8(bytes).expect("text"))
}

pub fn notify(queue: &Fd, request: Option<&libc::sigevent>) -> Result<(), Errno> {
    // SAFETY: the kernel reads the structure.
    unsafe { raw(nr::MQ_NOTIFY, [queue.0 as usize, address(request)]) }.map(|_| ())
}

pub fn request(kind: c_int, signal: c_int, value: usize) -> libc::sigevent {
    // SAFETY: zeroes are a sigevent.
    let mut request: libc::sigevent = unsafe { std::mem::zeroed() };
    request.sigev_notify = kind;
    request.sigev_signo = signal;
    request.sigev_value.sival_ptr = ptr::without_provenance_mut(value);
    request
}

pub fn notify_signal(queue: &Fd, signal: c_int, value: usize) -> Result<(), Errno> {
    notify(queue, Some(&request(libc::SIGEV_SIGNAL, signal, value)))
}

pub const SETTINGS: &str = "/proc/sys/fs/mqueue";

pub fn setting(name: &str) -> String {
    let text = fs::read_to_string(format!("{SETTINGS}/{name}")).expect(name);
    text.trim().to_string()
}
