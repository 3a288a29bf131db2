//! unshare(2), clone(2): descriptors and directories that one thread has for itself.

use libsyscall::abi::{Errno, nr};
use libsyscall::calls::raw;
use std::ffi::c_void;
use std::fs::{self, File};
use std::io::{PipeWriter, Write};
use std::os::fd::{FromRawFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use userspace_tests::{Fd, Folder, Status, child, tests};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    // What a test starts this program as: it writes to the descriptor that it is told.
    if arguments.get(1).map(String::as_str) == Some("play:write") {
        let fd = arguments[2].parse().expect("a number");
        // SAFETY: the maker of this process has left it for this.
        let mut writer = unsafe { PipeWriter::from_raw_fd(fd) };
        writer.write_all(b"x").expect("write");
        return ExitCode::SUCCESS;
    }
    userspace_tests::run(tests![
        descriptors,
        made_by_an_unsharing_thread,
        closed_at_the_end,
        many_at_a_time,
        close_range_unshares,
        epoll_keeps_to_descriptions,
        executing_thread,
        directories,
        threads_of_clone,
        processes_share_directories,
    ])
}

fn unshare(flags: i32) -> Result<usize, Errno> {
    // SAFETY: a number only.
    unsafe { raw(nr::UNSHARE, [flags as u32 as usize]) }
}

fn is_open(fd: RawFd) -> bool {
    // SAFETY: numbers only.
    unsafe { libc::fcntl(fd, libc::F_GETFD) != -1 }
}

/// A thread that has unshared, and waits until it is let go.
struct Apart {
    tid: i32,
    go: Sender<()>,
    thread: JoinHandle<()>,
}

impl Apart {
    /// `first` is what it does at once, and `then` what it does in the end.
    fn start<R: Send + 'static>(
        flags: i32,
        first: impl FnOnce() -> R + Send + 'static,
        then: impl FnOnce(R) + Send + 'static,
    ) -> Apart {
        let (to_main, from_thread) = mpsc::channel();
        let (go, wait): (_, Receiver<()>) = mpsc::channel();
        let thread = thread::spawn(move || {
            unshare(flags).expect("unshare");
            let result = first();
            to_main.send(libsyscall::calls::process::gettid()).expect("send");
            let _ = wait.recv();
            then(result);
        });
        let tid = from_thread.recv().expect("the thread");
        Apart { tid, go, thread }
    }

    fn end(self) {
        drop(self.go);
        self.thread.join().expect("the thread");
    }

    fn link(&self, name: &str) -> std::io::Result<PathBuf> {
        fs::read_link(format!("/proc/self/task/{}/{name}", self.tid))
    }
}

fn descriptors() {
    let (ours, common) = (Fd::eventfd(0, 0), Fd::eventfd(0, 0));
    let (fd, common_fd) = (ours.0, common.0);
    let apart = Apart::start(
        libc::CLONE_FILES,
        move || {
            drop(Fd(fd));
            // The number is free here only.
            let own = Fd::pipe();
            assert_eq!(own.0.0, fd);
            own
        },
        move |(reader, writer)| {
            assert!(is_open(common_fd), "what others close stays here");
            writer.write(b"x").expect("write");
            assert_eq!(reader.read(&mut [0; 2]), Ok(1));
        },
    );
    assert_eq!(ours.write(&7u64.to_ne_bytes()), Ok(8), "an eventfd still");
    let shown = |fd: RawFd| apart.link(&format!("fd/{fd}")).map(|link| link.into_os_string());
    assert!(shown(fd).expect("a link").to_string_lossy().starts_with("pipe:"));
    drop(common);
    assert!(!is_open(common_fd));
    assert_eq!(shown(common_fd).expect("a link"), "anon_inode:[eventfd]");
    let later = Fd::eventfd(0, 0);
    assert_eq!(later.0, common_fd);
    apart.end();
}

/// Its threads share its table, and its processes get a copy of it.
fn made_by_an_unsharing_thread() {
    let fd = Fd::eventfd(0, 0);
    let number = fd.0;
    let apart = Apart::start(
        libc::CLONE_FILES,
        move || {
            drop(Fd(number));
            assert!(!thread::spawn(move || is_open(number)).join().expect("the thread"));
            let status = child(move || i32::from(is_open(number)));
            assert_eq!(status.wait(), Status::Exited(0));
            let own = thread::spawn(|| Fd::eventfd(0, 0)).join().expect("the thread");
            assert!(is_open(own.0));
        },
        drop,
    );
    assert!(is_open(number));
    assert!(thread::spawn(move || is_open(number)).join().expect("the thread"));
    apart.end();
    assert!(is_open(number));
}

/// The last copy of a descriptor goes with its thread.
fn closed_at_the_end() {
    let (reader, writer) = Fd::pipe();
    let apart = Apart::start(libc::CLONE_FILES, || {}, drop);
    drop(writer);
    assert_eq!(reader.read(&mut [0]), Err(Errno::EAGAIN));
    apart.end();
    // The join is over when the thread's memory is given up, which is a moment before its descriptors are.
    let mut at_end = libc::pollfd {
        fd: reader.0,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: the kernel reads and writes one entry.
    assert_eq!(unsafe { libc::poll(&mut at_end, 1, -1) }, 1);
    assert_eq!(reader.read(&mut [0]), Ok(0));
}

fn many_at_a_time() {
    let fd = Fd::eventfd(0, 0);
    let number = fd.0;
    let threads: Vec<_> = (0..8)
        .map(|_| {
            Apart::start(
                libc::CLONE_FILES,
                move || drop(Fd(number)),
                move |()| assert!(!is_open(number)),
            )
        })
        .collect();
    assert!(is_open(number));
    threads.into_iter().for_each(Apart::end);
    assert!(is_open(number));
}

fn close_range_unshares() {
    let fd = Fd::eventfd(0, 0);
    let number = fd.0;
    let closing = thread::spawn(move || {
        let all = [number as usize, number as usize, libc::CLOSE_RANGE_UNSHARE as usize];
        // SAFETY: the table is this thread's alone from then on.
        unsafe { raw(nr::CLOSE_RANGE, all) }.expect("close_range");
        is_open(number)
    });
    assert!(!closing.join().expect("the thread"));
    assert!(is_open(number));
}

/// epoll(7), question 6: an interest lasts as long as any descriptor of the description, in whatever table.
fn epoll_keeps_to_descriptions() {
    let epoll = Fd::epoll();
    let watched = Fd::eventfd(1, 0);
    epoll.add(&watched, libc::EPOLLIN as u32);
    let apart = Apart::start(libc::CLONE_FILES, || {}, drop);
    let number = watched.0;
    drop(watched);
    assert_eq!(epoll.ready(), [(number as u64, libc::EPOLLIN as u32)]);
    apart.end();
    while !epoll.ready().is_empty() {
        thread::yield_now();
    }
}

/// execve(2): the program gets the descriptors of the thread.
fn executing_thread() {
    let (reader, writer) = Fd::blocking_pipe();
    let number = writer.0;
    let status = child(move || {
        let other = thread::spawn(move || {
            unshare(libc::CLONE_FILES).expect("unshare");
            // SAFETY: numbers only.
            let own = unsafe { libc::dup(number) }.to_string();
            panic!("{}", Command::new("/proc/self/exe").args(["play:write", &own]).exec());
        });
        let _ = other.join();
        1
    });
    assert_eq!(status.wait(), Status::Exited(0));
    drop(writer);
    let mut told = [0; 2];
    assert_eq!(reader.read(&mut told), Ok(1));
}

fn cwd() -> PathBuf {
    std::env::current_dir().expect("getcwd")
}

fn umask(mask: u32) -> u32 {
    // SAFETY: a number only.
    unsafe { libc::umask(mask) }
}

fn directories() {
    let status = child(|| {
        let folder = Folder::new("directories");
        let path = folder.to_path_buf();
        umask(0o022);
        let apart = Apart::start(
            libc::CLONE_FS,
            {
                let path = path.clone();
                move || {
                    std::env::set_current_dir(&path).expect("chdir");
                    assert_eq!(umask(0o077), 0o022);
                    File::create("secret").expect("create");
                    assert_eq!(thread::spawn(cwd).join().expect("the thread"), path);
                    let status = child(|| i32::from(cwd() != path));
                    assert_eq!(status.wait(), Status::Exited(0));
                }
            },
            move |()| assert_eq!(umask(0), 0o077),
        );
        assert_eq!(apart.link("cwd").expect("a link"), path);
        assert_ne!(cwd(), path);
        assert_eq!(umask(0o022), 0o022);
        let mode = |name: &str| folder.join(name).metadata().expect("stat").permissions().mode() & 0o777;
        File::create(folder.join("ours")).expect("create");
        assert_eq!((mode("secret"), mode("ours")), (0o600, 0o644));
        apart.end();
        0
    });
    assert_eq!(status.wait(), Status::Exited(0));
}

/// What a thread without a C library's leave does, and tells.
struct Order {
    fd: RawFd,
    closed: AtomicI32,
    moved: AtomicI32,
    /// Its number, until it has ended.
    tid: AtomicI32,
}

extern "C" fn follow(order: *mut c_void) -> i32 {
    // SAFETY: the order outlives the thread.
    let order = unsafe { &*order.cast::<Order>() };
    let told = |result: Result<usize, Errno>| result.map_or(-1, |_| 1);
    // SAFETY: the descriptor is this thread's copy; the name lives on.
    unsafe {
        order
            .closed
            .store(told(raw(nr::CLOSE, [order.fd as usize])), Ordering::SeqCst);
        let moved = raw(nr::CHDIR, [c"/proc".as_ptr() as usize]);
        order.moved.store(told(moved), Ordering::SeqCst);
    }
    0
}

/// CLONE_THREAD without CLONE_FILES and CLONE_FS.
fn threads_of_clone() {
    for (shared, is_shared) in [(0, false), (libc::CLONE_FILES | libc::CLONE_FS, true)] {
        let status = child(|| {
            let fd = Fd::eventfd(0, 0);
            let before = cwd();
            let order = Order {
                fd: fd.0,
                closed: AtomicI32::new(0),
                moved: AtomicI32::new(0),
                tid: AtomicI32::new(1),
            };
            let mut stack = vec![0u128; 4096];
            let thread = libc::CLONE_VM | libc::CLONE_SIGHAND | libc::CLONE_THREAD | libc::CLONE_CHILD_CLEARTID;
            // SAFETY: stack and order stay until the thread has ended; it uses nothing of the C library.
            let made = unsafe {
                libc::clone(
                    follow,
                    stack.as_mut_ptr_range().end.cast(),
                    thread | shared,
                    (&raw const order).cast_mut().cast(),
                    std::ptr::null_mut::<c_void>(),
                    std::ptr::null_mut::<c_void>(),
                    order.tid.as_ptr(),
                )
            };
            assert!(made > 0);
            while order.tid.load(Ordering::SeqCst) != 0 {
                thread::yield_now();
            }
            assert_eq!((order.closed.into_inner(), order.moved.into_inner()), (1, 1));
            assert_eq!(is_open(fd.0), !is_shared);
            assert_eq!(cwd() == before, !is_shared);
            drop(stack);
            0
        });
        assert_eq!(status.wait(), Status::Exited(0));
    }
}

/// clone(2), CLONE_FS, until unshare(2).
fn processes_share_directories() {
    let status = child(|| {
        let made_with = |flags: i32, body: &dyn Fn()| {
            // SAFETY: it is a fork, which takes numbers only.
            let pid = unsafe { raw(nr::CLONE, [(flags | libc::SIGCHLD) as usize, 0, 0, 0, 0]) }.expect("clone");
            if pid == 0 {
                body();
                libsyscall::calls::process::exit_group(0);
            }
            let mut status = 0;
            // SAFETY: the kernel writes one status.
            assert_eq!(unsafe { libc::waitpid(pid as i32, &mut status, 0) }, pid as i32);
            assert_eq!(status, 0);
        };
        let go = |path: &'static str| std::env::set_current_dir(path).expect("chdir");
        made_with(0, &|| go("/proc"));
        assert_ne!(cwd(), Path::new("/proc"));
        made_with(libc::CLONE_FS, &|| go("/proc"));
        assert_eq!(cwd(), Path::new("/proc"));
        made_with(libc::CLONE_FS, &|| {
            unshare(libc::CLONE_FS).expect("unshare");
            go("/");
        });
        assert_eq!(cwd(), Path::new("/proc"));
        0
    });
    assert_eq!(status.wait(), Status::Exited(0));
}
