//! An inotify instance as the tests use it.

use libsyscall::abi::Errno;
use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use userspace_tests::{Fd, checked};

pub const EPOLLIN: u32 = libc::EPOLLIN as u32;
pub const EPOLLET: u32 = libc::EPOLLET as u32;

/// One event: watch, mask, cookie, name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub watch: i32,
    pub mask: u32,
    pub cookie: u32,
    pub name: String,
}

/// An inotify instance.
pub struct Instance(pub Fd);

impl Instance {
    pub fn new() -> Instance {
        Instance::with_flags(libc::IN_NONBLOCK | libc::IN_CLOEXEC).expect("inotify_init1")
    }

    pub fn with_flags(flags: i32) -> Result<Instance, Errno> {
        // SAFETY: a number in, a descriptor out.
        checked(unsafe { libc::inotify_init1(flags) }).map(|fd| Instance(Fd(fd)))
    }

    pub fn try_add(&self, path: &Path, mask: u32) -> Result<i32, Errno> {
        let path = CString::new(path.as_os_str().as_bytes()).expect("no NUL in it");
        // SAFETY: the path ends with NUL.
        checked(unsafe { libc::inotify_add_watch(self.0.0, path.as_ptr(), mask) })
    }

    pub fn add(&self, path: &Path, mask: u32) -> i32 {
        self.try_add(path, mask).expect("inotify_add_watch")
    }

    pub fn remove(&self, watch: i32) -> Result<(), Errno> {
        // SAFETY: numbers only.
        checked(unsafe { libc::inotify_rm_watch(self.0.0, watch) }).map(drop)
    }

    /// All that is queued.
    pub fn events(&self) -> Vec<Event> {
        let mut buffer = [0; 8192];
        let mut events = Vec::new();
        loop {
            match self.0.read(&mut buffer) {
                Ok(count) => events.extend(decode(&buffer[..count])),
                Err(Errno::EAGAIN) => return events,
                Err(error) => panic!("read: {error}"),
            }
        }
    }

    /// All that is queued, without the watch and the cookie.
    pub fn told(&self) -> Vec<(u32, String)> {
        self.events()
            .into_iter()
            .map(|event| (event.mask, event.name))
            .collect()
    }

    /// FIONREAD.
    pub fn unread(&self) -> i32 {
        let mut count = 0;
        // SAFETY: the kernel writes one number.
        checked(unsafe { libc::ioctl(self.0.0, libc::FIONREAD, &mut count) }).expect("FIONREAD");
        count
    }
}

/// The events in what read(2) gave.
pub fn decode(mut bytes: &[u8]) -> Vec<Event> {
    let word = |bytes: &[u8], at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let mut events = Vec::new();
    while !bytes.is_empty() {
        let len = word(bytes, 12) as usize;
        assert_eq!(len % 16, 0, "the length of a name");
        let name = &bytes[16..16 + len];
        let end = name.iter().position(|&byte| byte == 0).unwrap_or(0);
        assert!(len == 0 || name[end..].iter().all(|&byte| byte == 0));
        events.push(Event {
            watch: word(bytes, 0) as i32,
            mask: word(bytes, 4),
            cookie: word(bytes, 8),
            name: String::from_utf8(name[..end].to_vec()).expect("a name of this test"),
        });
        bytes = &bytes[16 + len..];
    }
    events
}

/// Asserts what an instance was told since it was asked last.
#[track_caller]
pub fn expect(instance: &Instance, expected: &[(u32, &str)]) {
    let told = instance.told();
    let told: Vec<(u32, &str)> = told.iter().map(|(mask, name)| (*mask, name.as_str())).collect();
    assert_eq!(told, expected, "told on the left");
}

pub fn limit(name: &str) -> usize {
    let text = fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).expect("a limit");
    text.trim().parse().expect("a number")
}
