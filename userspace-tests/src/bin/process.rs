//! fork(2), execve(2), wait(2), and std's `Command`, which starts processes as posix_spawn(3) does.

use libsyscall::abi::Errno;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode, Stdio};
use userspace_tests::{Fd, Status, checked, child, tests};

fn main() -> ExitCode {
    // What the tests start themselves as.
    match std::env::args().nth(1).as_deref() {
        Some("play:status") => return ExitCode::from(42),
        Some("play:cat") => {
            let copied = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::stdout().lock());
            return if copied.is_ok() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            };
        }
        Some("play:arguments") => {
            let arguments: Vec<String> = std::env::args().skip(2).collect();
            println!(
                "{arguments:?} {:?} {:?}",
                std::env::var("PLAY"),
                std::env::current_dir().ok()
            );
            return ExitCode::SUCCESS;
        }
        Some("play:again") => return play_again(),
        Some("play:nothing") => return ExitCode::SUCCESS,
        Some("play:sleep") => {
            std::thread::sleep(std::time::Duration::from_secs(60));
            return ExitCode::FAILURE;
        }
        _ => {}
    }
    userspace_tests::run(tests![
        fork_has_its_own_memory,
        wait_for_any,
        wait_without_children,
        wait_no_hang,
        orphan_status_is_not_ours,
        command_status,
        command_output,
        command_pipes,
        command_not_found,
        command_not_executable,
        command_kill,
        command_current_dir,
        command_pre_exec,
        exec_replaces,
        close_on_exec,
        many_children,
        zombies_are_reaped,
        process_groups,
        exec_of_many_threads,
        exec_by_another_thread,
        orphans_go_to_the_subreaper,
        notes_of_a_process,
        memory_that_was_used,
        memory_that_a_child_used,
        a_shared_table_of_descriptors,
        a_table_left_by_execve,
        a_table_left_by_close_range,
        a_table_left_by_unshare,
        arguments_while_executing,
    ])
}

/// This program again, in a role.
fn play(role: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg(format!("play:{role}"));
    command
}

/// Becomes itself again as often as its arguments say, in turns with a long one and a short one after that.
fn play_again() -> ExitCode {
    let number = std::env::args().nth(2).and_then(|number| number.parse::<usize>().ok());
    match number.and_then(|number| number.checked_sub(1)) {
        Some(left) => panic!("{}", play("again").args([left.to_string(), padding(left)]).exec()),
        None => ExitCode::SUCCESS,
    }
}

fn padding(number: usize) -> String {
    if number.is_multiple_of(2) {
        "a".repeat(3000)
    } else {
        "b".into()
    }
}

fn fork_has_its_own_memory() {
    let mut value = 1;
    let child = child(|| {
        value += 1;
        value
    });
    assert_eq!(child.wait(), Status::Exited(2));
    assert_eq!(value, 1);
}

fn wait_for_any() {
    let mut expected: Vec<i32> = (0..5).map(|status| child(move || status).0).collect();
    for _ in 0..5 {
        let mut status = 0;
        // SAFETY: the kernel writes one status.
        let pid = checked(unsafe { libc::waitpid(-1, &mut status, 0) }).expect("waitpid");
        let position = expected.iter().position(|&other| other == pid).expect("one of ours");
        expected.remove(position);
    }
    assert!(expected.is_empty());
}

fn wait_without_children() {
    assert_eq!(
        // SAFETY: no status is asked for.
        checked(unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) }),
        Err(Errno::ECHILD)
    );
    assert_eq!(
        // SAFETY: as above.
        checked(unsafe { libc::waitpid(1 << 22, std::ptr::null_mut(), 0) }),
        Err(Errno::ECHILD)
    );
}

fn wait_no_hang() {
    let (read, write) = std::io::pipe().expect("pipe2");
    let child = child(|| {
        let mut byte = [0];
        i32::from((&read).read_exact(&mut byte).is_err())
    });
    assert_eq!(
        // SAFETY: no status is asked for.
        unsafe { libc::waitpid(child.0, std::ptr::null_mut(), libc::WNOHANG) },
        0
    );
    (&write).write_all(b"x").expect("write");
    assert_eq!(child.wait(), Status::Exited(0));
}

/// wait4(2) is about one's own children: a grandchild's end goes to its parent, or to the one that adopts it.
fn orphan_status_is_not_ours() {
    let parent = child(|| {
        let grandchild = child(|| 7);
        i32::from(grandchild.wait() != Status::Exited(7))
    });
    assert_eq!(parent.wait(), Status::Exited(0));
    wait_without_children();
}

fn command_status() {
    assert_eq!(play("status").status().expect("spawn").code(), Some(42));
}

fn command_output() {
    let output = play("arguments")
        .args(["one", "two three", ""])
        .env("PLAY", "value")
        .output()
        .expect("spawn");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.starts_with("[\"one\", \"two three\", \"\"] Ok(\"value\")"),
        "{text}"
    );
    assert!(output.status.success());
}

fn command_pipes() {
    let mut cat = play("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("spawn");
    let mut input = cat.stdin.take().expect("piped");
    let text: String = (0..20_000).map(|number| format!("{number}\n")).collect();
    let sent = text.clone();
    let writer = std::thread::spawn(move || input.write_all(sent.as_bytes()));
    let mut back = String::new();
    cat.stdout
        .take()
        .expect("piped")
        .read_to_string(&mut back)
        .expect("read");
    writer.join().expect("thread").expect("write");
    assert!(back == text, "{} bytes came back of {}", back.len(), text.len());
    assert!(cat.wait().expect("wait").success());
}

fn command_not_found() {
    let error = Command::new("/no/such/program").status().expect_err("ENOENT");
    assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
}

fn command_not_executable() {
    let path = std::env::temp_dir().join(format!("vigil-process-{}", std::process::id()));
    std::fs::write(&path, b"not a program").expect("write");
    let refused = |mode| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("chmod");
        Command::new(&path).status().expect_err("refused").raw_os_error()
    };
    assert_eq!(refused(0o644), Some(libc::EACCES));
    assert_eq!(refused(0o755), Some(libc::ENOEXEC));
    std::fs::remove_file(path).expect("unlink");
}

fn command_kill() {
    let mut sleeper = play("sleep").spawn().expect("spawn");
    assert!(sleeper.try_wait().expect("wait").is_none());
    sleeper.kill().expect("kill");
    assert_eq!(sleeper.wait().expect("wait").signal(), Some(libc::SIGKILL));
}

fn command_current_dir() {
    let output = play("arguments").current_dir("/proc").output().expect("spawn");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("\"/proc\""), "{text}");
}

/// With a closure std forks instead of spawning.
fn command_pre_exec() {
    let mut command = play("status");
    // SAFETY: the closure does nothing that is unsafe after a fork.
    unsafe { command.pre_exec(|| Ok(())) };
    assert_eq!(command.status().expect("spawn").code(), Some(42));
}

fn exec_replaces() {
    let child = child(|| {
        let error = play("status").exec();
        error.raw_os_error().unwrap_or(1)
    });
    assert_eq!(child.wait(), Status::Exited(42));
}

/// The read end sees the end of file when exec closes the child's copy of the write end.
fn close_on_exec() {
    let (mut read, write) = std::io::pipe().expect("pipe2");
    let mut sleeper = play("sleep").spawn().expect("spawn");
    drop(write);
    let mut nothing = Vec::new();
    read.read_to_end(&mut nothing).expect("read");
    assert!(nothing.is_empty());
    sleeper.kill().expect("kill");
    sleeper.wait().expect("wait");
}

fn many_children() {
    let children: Vec<_> = (0..50).map(|number| child(move || number)).collect();
    for (number, child) in children.into_iter().enumerate() {
        assert_eq!(child.wait(), Status::Exited(number as i32));
    }
}

fn zombies_are_reaped() {
    for _ in 0..500 {
        assert_eq!(child(|| 3).wait(), Status::Exited(3));
    }
}

fn process_groups() {
    // SAFETY: numbers in, a number out.
    let child = child(|| unsafe {
        let leads = libc::setpgid(0, 0) == 0 && libc::getpgrp() == libc::getpid();
        i32::from(!leads)
    });
    assert_eq!(child.wait(), Status::Exited(0));
    // SAFETY: as above.
    assert_eq!(checked(unsafe { libc::getpgid(1 << 22) }), Err(Errno::ESRCH));
}

/// Executes this program in the role of one that exits with 42.
fn execute() -> std::io::Error {
    play("status").exec()
}

/// One of them wins, and the others are gone without a trace.
fn exec_of_many_threads() {
    for _ in 0..5 {
        let status = child(|| {
            let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(execute)).collect();
            for thread in threads {
                // Whoever comes back has failed.
                let _ = thread.join();
            }
            1
        });
        assert_eq!(status.wait(), Status::Exited(42));
    }
}

/// The process keeps its number, and its first thread goes.
fn exec_by_another_thread() {
    let status = child(|| {
        let thread = std::thread::spawn(execute);
        let _ = thread.join();
        1
    });
    assert_eq!(status.wait(), Status::Exited(42));
}

fn orphans_go_to_the_subreaper() {
    let status = child(|| {
        // SAFETY: prctl(2) and the calls below take numbers.
        let me = unsafe {
            libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
            libc::getpid()
        };
        let middle = child(move || {
            let _orphan = child(move || {
                let start = std::time::Instant::now();
                // SAFETY: as above.
                while unsafe { libc::getppid() } != me {
                    if start.elapsed().as_secs() > 10 {
                        return 1;
                    }
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                33
            });
            0
        });
        assert_eq!(middle.wait(), Status::Exited(0));
        let mut status = 0;
        // SAFETY: the kernel writes one status.
        let orphan = unsafe { libc::waitpid(-1, &mut status, 0) };
        i32::from(orphan <= 0 || libc::WEXITSTATUS(status) != 33)
    });
    assert_eq!(status.wait(), Status::Exited(0));
}

/// What prctl(2) remembers.
fn notes_of_a_process() {
    let status = child(|| {
        // SAFETY: these options take numbers, or write one.
        unsafe {
            let mut value = -1;
            assert_eq!(libc::prctl(libc::PR_GET_CHILD_SUBREAPER, &mut value), 0);
            assert_eq!(value, 0);
            libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
            libc::prctl(libc::PR_GET_CHILD_SUBREAPER, &mut value);
            assert_eq!(value, 1);
            assert_eq!(libc::prctl(libc::PR_GET_DUMPABLE), 1);
            assert_eq!(libc::prctl(libc::PR_SET_DUMPABLE, 0), 0);
            assert_eq!(libc::prctl(libc::PR_GET_DUMPABLE), 0);
            assert_eq!(checked(libc::prctl(libc::PR_SET_DUMPABLE, 7)), Err(Errno::EINVAL));
            assert_eq!(libc::prctl(libc::PR_GET_KEEPCAPS), 0);
            assert_eq!(libc::prctl(libc::PR_SET_KEEPCAPS, 1), 0);
            assert_eq!(libc::prctl(libc::PR_GET_KEEPCAPS), 1);
            assert_eq!(checked(libc::prctl(libc::PR_SET_KEEPCAPS, 2)), Err(Errno::EINVAL));
            assert_eq!(checked(libc::prctl(9999)), Err(Errno::EINVAL));
            let inner = child(|| {
                let mut value = -1;
                libc::prctl(libc::PR_GET_CHILD_SUBREAPER, &mut value);
                value + libc::prctl(libc::PR_GET_DUMPABLE)
            });
            assert_eq!(
                inner.wait(),
                Status::Exited(0),
                "a child inherits the one and not the other"
            );
        }
        0
    });
    assert_eq!(status.wait(), Status::Exited(0));
}

fn usage(whose: i32) -> libc::rusage {
    // SAFETY: the structure is plain data, which the kernel fills.
    unsafe {
        let mut usage = std::mem::zeroed();
        checked(libc::getrusage(whose, &mut usage)).expect("getrusage");
        usage
    }
}

/// Writes to this much memory, and gives it back.
fn use_memory(kib: usize) {
    let mut memory = vec![0u8; kib * 1024];
    for page in memory.chunks_mut(4096) {
        page[0] = 1;
    }
    std::hint::black_box(&memory);
}

fn memory_that_was_used() {
    let before = usage(libc::RUSAGE_SELF);
    let enough = before.ru_maxrss as usize + 16 * 1024;
    use_memory(enough);
    let after = usage(libc::RUSAGE_SELF);
    assert!(after.ru_maxrss as usize >= enough, "{}", after.ru_maxrss);
    assert!(after.ru_minflt > before.ru_minflt);
    let thread = usage(libc::RUSAGE_THREAD);
    assert_eq!(thread.ru_maxrss, after.ru_maxrss);
    assert!(thread.ru_minflt > 0);
    // It stays the most there was.
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number")
    };
    assert!(kib("VmHWM:") >= enough);
    assert!(kib("VmRSS:") < enough);
}

fn memory_that_a_child_used() {
    let enough = usage(libc::RUSAGE_SELF).ru_maxrss as usize + 16 * 1024;
    let busy = child(|| {
        use_memory(enough);
        0
    });
    // SAFETY: the kernel fills the status and the structure, which is plain data.
    let told = unsafe {
        let mut told: libc::rusage = std::mem::zeroed();
        let mut status = 0;
        assert_eq!(libc::wait4(busy.0, &mut status, 0, &mut told), busy.0);
        assert_eq!(status, 0);
        told
    };
    assert!(told.ru_maxrss as usize >= enough, "{}", told.ru_maxrss);
    assert!(told.ru_minflt > 0);
    let children = usage(libc::RUSAGE_CHILDREN);
    assert!(children.ru_maxrss >= told.ru_maxrss && children.ru_minflt >= told.ru_minflt);
}

/// A child that shares the table of descriptors, as no fork(2) makes one.
fn sharing_child(body: impl FnOnce() -> i32) -> Status {
    let flags = libc::CLONE_FILES | libc::SIGCHLD;
    // SAFETY: as fork(2): there is one thread, and the child has the memory for itself.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    if pid == 0 {
        libsyscall::calls::process::exit_group(body());
    }
    userspace_tests::child::Child(checked(pid).expect("clone") as i32).wait()
}

/// Whether a number is an open descriptor.
fn is_open(fd: i32) -> bool {
    // SAFETY: a number only.
    unsafe { libc::fcntl(fd, libc::F_GETFD) >= 0 }
}

const HIGH: i32 = 300;

fn a_shared_table_of_descriptors() {
    let open = Fd::eventfd(0, 0);
    let status = sharing_child(|| {
        // SAFETY: the numbers are this test's.
        unsafe { libc::dup2(open.0, HIGH) - HIGH + libc::close(open.0) }
    });
    assert_eq!(status, Status::Exited(0));
    assert_eq!((is_open(open.0), is_open(HIGH)), (false, true));
    // SAFETY: the same.
    unsafe { libc::dup2(HIGH, open.0) };
    drop(Fd(HIGH));
}

fn a_table_left_by_execve() {
    let open = Fd::eventfd(0, 0);
    let status = sharing_child(|| {
        let arguments = [c"/proc/self/exe".as_ptr(), c"play:nothing".as_ptr(), std::ptr::null()];
        // SAFETY: the strings live on.
        unsafe {
            libc::fcntl(open.0, libc::F_SETFD, libc::FD_CLOEXEC);
            libc::execv(arguments[0], arguments.as_ptr());
        }
        1
    });
    assert_eq!(status, Status::Exited(0));
    // It was closed for the new program, which had a table of its own by then.
    assert!(is_open(open.0));
}

fn a_table_left_by_close_range() {
    let open = Fd::eventfd(0, 0);
    let unshare = 2;
    let status = sharing_child(|| {
        // SAFETY: the range is this test's descriptor, and only the child's.
        let closed = unsafe { libc::syscall(libc::SYS_close_range, open.0, open.0, unshare) };
        if closed == 0 && !is_open(open.0) { 0 } else { 1 }
    });
    assert_eq!(status, Status::Exited(0));
    assert!(is_open(open.0));
    let status = sharing_child(|| {
        // SAFETY: the same without a table of its own.
        let closed = unsafe { libc::syscall(libc::SYS_close_range, open.0, open.0, 0) };
        closed as i32
    });
    assert_eq!(status, Status::Exited(0));
    assert!(!is_open(open.0));
    // Its number is free, and is not closed again.
    std::mem::forget(open);
}

fn a_table_left_by_unshare() {
    let open = Fd::eventfd(0, 0);
    let status = sharing_child(|| {
        // SAFETY: numbers only; the table is the child's by then.
        let left = unsafe { libc::unshare(libc::CLONE_FILES) };
        drop(Fd(open.0));
        if left == 0 && !is_open(open.0) { 0 } else { 1 }
    });
    assert_eq!(status, Status::Exited(0));
    assert!(is_open(open.0));
    // Where nobody shares it there is nothing to do.
    // SAFETY: a number only.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_FILES) }, 0);
    assert!(is_open(open.0));
}

/// proc_pid_cmdline(5): those of one program, whenever one looks. While it has none yet, nothing.
fn arguments_while_executing() {
    let first = 50;
    let mut child = play("again")
        .args([first.to_string(), padding(first)])
        .spawn()
        .expect("start");
    let path = format!("/proc/{}/cmdline", child.id());
    while child.try_wait().expect("wait").is_none() {
        // By one call: the next may be told of the next program.
        let mut shown = vec![0; 8192];
        let Ok(len) = File::open(&path).and_then(|mut file| file.read(&mut shown)) else {
            continue;
        };
        shown.truncate(len);
        let shown = String::from_utf8(shown).expect("letters");
        let Some((_, rest)) = shown.split_once("play:again\0") else {
            assert_eq!(shown, "");
            continue;
        };
        let (number, rest) = rest.split_once('\0').expect("a number");
        let number: usize = number.parse().expect("a number");
        assert!(rest.strip_suffix('\0') == Some(&padding(number)), "of {number}: {rest}");
    }
    assert!(child.wait().expect("wait").success());
}
