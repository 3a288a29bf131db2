//! Sessions and job control: the controlling terminal, foreground and background, stopping and going on, hang-ups;
//! credentials(7), setsid(2), tcsetpgrp(3).

use libsyscall::abi::Errno;
use libsyscall::abi::ioctl::*;
use libsyscall::calls::file::close;
use libsyscall::calls::process::exit_group;
use std::process::ExitCode;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};
use userspace_tests::child::Child;
use userspace_tests::pty::{control, get, open, request, slave_path};
use userspace_tests::{Fd, Pty, Status, checked, child, tests};

fn main() -> ExitCode {
    userspace_tests::run(tests![
        terminal_by_request,
        terminal_by_opening,
        terminals_are_not_shared,
        given_up,
        interrupt_goes_to_the_foreground,
        quit_and_no_signals,
        suspend_and_continue,
        waitid_tells_of_stops,
        background_read_stops,
        background_read_that_cannot_stop,
        background_write,
        foreground_from_the_background,
        foreground_errors,
        settings_from_the_background,
        window_change_is_told,
        hang_up_ends_the_leader,
        hang_up_then_the_leader_ends,
        leader_ends,
        orphans_are_not_stopped,
        stopped_orphans_are_continued,
        program_of_a_build,
    ])
}

/// Seconds after which a test that hangs is killed.
const LIMIT_S: u32 = 20;

fn pid() -> i32 {
    std::process::id() as i32
}

fn set_session() {
    // SAFETY: numbers only.
    checked(unsafe { libc::setsid() }).expect("setsid");
}

fn set_group(pid: i32, group: i32) {
    // SAFETY: numbers only.
    checked(unsafe { libc::setpgid(pid, group) }).expect("setpgid");
}

fn set_foreground(fd: &Fd, group: i32) -> Result<(), Errno> {
    control(fd, TIOCSPGRP, &mut { group })
}

fn ignore(signal: i32) {
    // SAFETY: SIG_IGN is no function.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

fn kill(pid: i32, signal: i32) {
    // SAFETY: numbers only.
    checked(unsafe { libc::kill(pid, signal) }).expect("kill");
}

fn sleep_for_ever() -> ! {
    loop {
        // SAFETY: no memory is touched.
        unsafe { libc::pause() };
    }
}

/// Runs `body` in a child that leads a session of its own, without a terminal.
fn leader(body: impl FnOnce()) -> Child {
    child(|| {
        // SAFETY: a number only.
        unsafe { libc::alarm(LIMIT_S) };
        set_session();
        body();
        0
    })
}

/// Runs `body` as the leader of a session that has the pair's slave.
fn session(pty: &Pty, body: impl FnOnce()) -> Child {
    leader(|| {
        request(&pty.slave, TIOCSCTTY, 0).expect("TIOCSCTTY");
        body();
    })
}

/// Runs `body` in a process group of its own.
fn job(body: impl FnOnce()) -> Child {
    let job = child(|| {
        // SAFETY: a number only.
        unsafe { libc::alarm(LIMIT_S) };
        set_group(0, 0);
        body();
        0
    });
    set_group(job.0, job.0);
    job
}

/// What wait4(2) says of a child, stops and continuations included.
fn news(child: &Child) -> i32 {
    let mut status = 0;
    let options = libc::WUNTRACED | libc::WCONTINUED;
    // SAFETY: the kernel writes one status.
    let told = checked(unsafe { libc::waitpid(child.0, &mut status, options) });
    assert_eq!(told, Ok(child.0));
    status
}

fn stopped_by(signal: i32) -> i32 {
    signal << 8 | 0x7f
}

const CONTINUED: i32 = 0xffff;

/// What a child that was just continued does then. That it went on is told to who asks before it stops again or ends.
fn news_after_continuing(child: &Child) -> i32 {
    match news(child) {
        CONTINUED => news(child),
        later => later,
    }
}

fn ended_well(child: Child) {
    assert_eq!(child.wait(), Status::Exited(0));
}

/// Goes on when the other side has closed or written.
fn await_end(read: &Fd) {
    let mut byte = [0];
    let _ = read.read(&mut byte);
}

fn terminal_by_request() {
    let pty = Pty::open();
    ended_well(leader(|| {
        assert_eq!(open("/dev/tty", libc::O_RDWR), Err(Errno::ENXIO));
        assert_eq!(get::<i32>(&pty.slave, TIOCGSID), Err(Errno::ENOTTY));
        request(&pty.slave, TIOCSCTTY, 0).expect("TIOCSCTTY");
        request(&pty.slave, TIOCSCTTY, 0).expect("TIOCSCTTY again");
        assert_eq!(get(&pty.slave, TIOCGSID), Ok(pid()));
        assert_eq!(get(&pty.slave, TIOCGPGRP), Ok(pid()));
        assert_eq!(get(&pty.master, TIOCGPGRP), Ok(pid()));
        let tty = open("/dev/tty", libc::O_RDWR).expect("open /dev/tty");
        tty.write(b"hello").expect("write");
        assert_eq!(pty.screen_until("hello"), "hello");
        ended_well(child(|| {
            assert_eq!(get(&tty, TIOCGSID), Ok(std::os::unix::process::parent_id() as i32));
            0
        }));
        // The session of a child that leaves has none.
        ended_well(child(|| {
            set_session();
            assert_eq!(open("/dev/tty", libc::O_RDWR), Err(Errno::ENXIO));
            assert_eq!(get::<i32>(&tty, TIOCGPGRP), Err(Errno::ENOTTY));
            0
        }));
    }));
}

fn terminal_by_opening() {
    let Pty { master, slave } = Pty::open();
    let path = slave_path(&master);
    drop(slave);
    ended_well(leader(|| {
        let slave = open(&path, libc::O_RDWR | libc::O_NOCTTY).expect("open");
        assert_eq!(open("/dev/tty", libc::O_RDWR), Err(Errno::ENXIO));
        ended_well(child(|| {
            open(&path, libc::O_RDWR).expect("open");
            i32::from(open("/dev/tty", libc::O_RDWR).is_ok())
        }));
        open(&path, libc::O_RDWR).expect("open");
        open("/dev/tty", libc::O_RDWR).expect("open /dev/tty");
        assert_eq!(get(&slave, TIOCGSID), Ok(pid()));
    }));
}

fn terminals_are_not_shared() {
    let (one, other) = (Pty::open(), Pty::open());
    ended_well(session(&one, || {
        assert_eq!(request(&other.slave, TIOCSCTTY, 0), Err(Errno::EPERM), "it has one");
        ended_well(child(|| {
            assert_eq!(request(&one.slave, TIOCSCTTY, 0), Err(Errno::EPERM), "no leader");
            set_session();
            assert_eq!(request(&one.slave, TIOCSCTTY, 0), Err(Errno::EPERM), "another's");
            0
        }));
    }));
}

fn given_up() {
    let pty = Pty::open();
    ended_well(session(&pty, || {
        ignore(libc::SIGHUP);
        request(&pty.slave, TIOCNOTTY, 0).expect("TIOCNOTTY");
        assert_eq!(request(&pty.slave, TIOCNOTTY, 0), Err(Errno::ENOTTY));
        assert_eq!(open("/dev/tty", libc::O_RDWR), Err(Errno::ENXIO));
        assert_eq!(get(&pty.master, TIOCGPGRP), Ok(0));
        request(&pty.slave, TIOCSCTTY, 0).expect("TIOCSCTTY");
    }));
}

fn interrupt_goes_to_the_foreground() {
    let pty = Pty::open();
    ended_well(session(&pty, || {
        ignore(libc::SIGTTOU);
        let background = job(|| sleep_for_ever());
        let foreground = job(|| sleep_for_ever());
        set_foreground(&pty.slave, foreground.0).expect("TIOCSPGRP");
        pty.type_in("\x03");
        assert_eq!(foreground.wait(), Status::Killed(libc::SIGINT));
        kill(background.0, libc::SIGTERM);
        assert_eq!(background.wait(), Status::Killed(libc::SIGTERM));
        assert_eq!(pty.screen_until("^C"), "^C");
    }));
}

fn quit_and_no_signals() {
    let pty = Pty::open();
    ended_well(session(&pty, || {
        ignore(libc::SIGTTOU);
        let foreground = job(|| sleep_for_ever());
        set_foreground(&pty.slave, foreground.0).expect("TIOCSPGRP");
        pty.change(|settings| settings.c_lflag &= !ISIG);
        pty.type_in("\x03\x1a\x1c\n");
        assert_eq!(pty.screen_until("\r\n"), "^C^Z^\\\r\n");
        set_foreground(&pty.slave, pid()).expect("TIOCSPGRP");
        assert_eq!(pty.read().as_deref(), Ok("\x03\x1a\x1c\n"));
        set_foreground(&pty.slave, foreground.0).expect("TIOCSPGRP");
        pty.change(|settings| settings.c_lflag |= ISIG);
        pty.type_in("\x1c");
        assert_eq!(foreground.wait(), Status::Killed(libc::SIGQUIT));
    }));
}

fn suspend_and_continue() {
    let pty = Pty::open();
    ended_well(session(&pty, || {
        ignore(libc::SIGTTOU);
        let job = job(|| sleep_for_ever());
        set_foreground(&pty.slave, job.0).expect("TIOCSPGRP");
        pty.type_in("\x1a");
        assert_eq!(news(&job), stopped_by(libc::SIGTSTP));
        set_foreground(&pty.slave, pid()).expect("TIOCSPGRP");
        kill(-job.0, libc::SIGCONT);
        assert_eq!(news(&job), CONTINUED);
        kill(-job.0, libc::SIGSTOP);
        assert_eq!(news(&job), stopped_by(libc::SIGSTOP));
        // A stopped process dies without going on.
        kill(job.0, libc::SIGKILL);
        assert_eq!(news(&job), libc::SIGKILL);
    }));
}

fn waitid_tells_of_stops() {
    let pty = Pty::open();
    ended_well(session(&pty, || {
        let job = job(|| sleep_for_ever());
        let wait = |options: i32| {
            // SAFETY: all zero bytes are a siginfo; the kernel fills it.
            unsafe {
                let mut info: libc::siginfo_t = std::mem::zeroed();
                checked(libc::waitid(libc::P_ALL, 0, &mut info, options)).expect("waitid");
                (info.si_pid(), info.si_code, info.si_status())
            }
        };
        assert_eq!(wait(libc::WSTOPPED | libc::WNOHANG), (0, 0, 0));
        kill(job.0, libc::SIGTSTP);
        let told = (job.0, libc::CLD_STOPPED, libc::SIGTSTP);
        assert_eq!(wait(libc::WSTOPPED | libc::WNOWAIT), told);
        assert_eq!(wait(libc::WSTOPPED), told);
        assert_eq!(wait(libc::WSTOPPED | libc::WNOHANG), (0, 0, 0), "told once");
        kill(job.0, libc::SIGCONT);
        assert_eq!(wait(libc::WCONTINUED), (job.0, libc::CLD_CONTINUED, libc::SIGCONT));
        kill(job.0, libc::SIGKILL);
        assert_eq!(wait(libc::WEXITED), (job.0, libc::CLD_KILLED, libc::SIGKILL));
    }));
}

fn background_read_stops() {
    let pty = Pty::open();
    ended_well(session(&pty, || {
        ignore(libc::SIGTTOU);
        let job = job(|| assert_eq!(pty.read().as_deref(), Ok("line\n")));
        assert_eq!(news(&job), stopped_by(libc::SIGTTIN));
        pty.type_in("line\n");
        // Continued in the background it only tries again.
        kill(-job.0, libc::SIGCONT);
        assert_eq!(news_after_continuing(&job), stopped_by(libc::SIGTTIN));
        set_foreground(&pty.slave, job.0).expect("TIOCSPGRP");
        kill(-job.0, libc::SIGCONT);
        assert_eq!(news_after_continuing(&job), 0);
    }));
}

fn background_read_that_cannot_stop() {
    let pty = Pty::open();
    ended_well(session(&pty, || {
        ended_well(job(|| {
            ignore(libc::SIGTTIN);
            assert_eq!(pty.read(), Err(Errno::EIO));
        }));
        ended_well(job(|| {
            // SAFETY: an empty set is filled and read by libc.
            unsafe {
                let mut set = std::mem::zeroed();
                libc::sigemptyset(&mut set);
                libc::sigaddset(&mut set, libc::SIGTTIN);
                libc::sigprocmask(libc::SIG_BLOCK, &set, ptr::null_mut());
            }
            assert_eq!(pty.read(), Err(Errno::EIO));
        }));
    }));
}

fn background_write() {
    let pty = Pty::open();
    ended_well(session(&pty, || {
        ended_well(job(|| assert_eq!(pty.slave.write(b"free"), Ok(4))));
        pty.screen_until("free");
        pty.change(|settings| settings.c_lflag |= TOSTOP);
        let stopped = job(|| assert_eq!(pty.slave.write(b"late"), Ok(4)));
        assert_eq!(news(&stopped), stopped_by(libc::SIGTTOU));
        ended_well(job(|| {
            ignore(libc::SIGTTOU);
            assert_eq!(pty.slave.write(b"ignored"), Ok(7));
        }));
        pty.change(|settings| settings.c_lflag &= !TOSTOP);
        kill(-stopped.0, libc::SIGCONT);
        assert_eq!(news_after_continuing(&stopped), 0);
        assert_eq!(pty.screen_until("late"), "ignoredlate");
    }));
}

fn foreground_from_the_background() {
    let pty = Pty::open();
    ended_well(session(&pty, || {
        let stopped = job(|| set_foreground(&pty.slave, pid()).expect("TIOCSPGRP"));
        assert_eq!(news(&stopped), stopped_by(libc::SIGTTOU));
        assert_eq!(get(&pty.slave, TIOCGPGRP), Ok(pid()));
        kill(stopped.0, libc::SIGKILL);
        assert_eq!(news(&stopped), libc::SIGKILL);
        let bold = job(|| {
            ignore(libc::SIGTTOU);
            set_foreground(&pty.slave, pid()).expect("TIOCSPGRP");
        });
        let group = bold.0;
        ended_well(bold);
        assert_eq!(get(&pty.master, TIOCGPGRP), Ok(group));
    }));
}

fn foreground_errors() {
    let pty = Pty::open();
    let stranger = Pty::open();
    ended_well(session(&pty, || {
        ignore(libc::SIGTTOU);
        assert_eq!(set_foreground(&stranger.slave, pid()), Err(Errno::ENOTTY));
        assert_eq!(set_foreground(&pty.slave, -1), Err(Errno::EINVAL));
        assert_eq!(set_foreground(&pty.slave, 1 << 22), Err(Errno::ESRCH));
        let elsewhere = child(|| {
            set_session();
            sleep_for_ever()
        });
        // Until it has left, its number will do: that of a process of this session, if of no group.
        let refused = loop {
            match set_foreground(&pty.slave, elsewhere.0) {
                Ok(()) => std::thread::yield_now(),
                other => break other,
            }
        };
        assert_eq!(refused, Err(Errno::EPERM));
        kill(elsewhere.0, libc::SIGKILL);
        elsewhere.wait();
        assert_eq!(request(&pty.slave, TIOCSPGRP, 8), Err(Errno::EFAULT));
    }));
}

fn settings_from_the_background() {
    let pty = Pty::open();
    ended_well(session(&pty, || {
        let job = job(|| pty.change(|settings| settings.c_lflag &= !ECHO));
        assert_eq!(news(&job), stopped_by(libc::SIGTTOU));
        assert_ne!(pty.settings().c_lflag & ECHO, 0);
        kill(job.0, libc::SIGKILL);
        assert_eq!(news(&job), libc::SIGKILL);
    }));
}

static CAUGHT: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(signal: i32) {
    CAUGHT.store(signal, Ordering::SeqCst);
}

fn window_change_is_told() {
    let pty = Pty::open();
    ended_well(session(&pty, || {
        let handler: extern "C" fn(i32) = note;
        // SAFETY: the handler stores a number.
        unsafe { libc::signal(libc::SIGWINCH, handler as usize) };
        let mut size = Winsize {
            ws_row: 10,
            ws_col: 20,
            ..Winsize::default()
        };
        control(&pty.master, TIOCSWINSZ, &mut size).expect("TIOCSWINSZ");
        assert_eq!(CAUGHT.swap(0, Ordering::SeqCst), libc::SIGWINCH);
        control(&pty.master, TIOCSWINSZ, &mut size).expect("TIOCSWINSZ");
        assert_eq!(CAUGHT.load(Ordering::SeqCst), 0, "no change, no signal");
    }));
}

fn hang_up_ends_the_leader() {
    let pty = Pty::open();
    let (read, write) = Fd::blocking_pipe();
    let leader = session(&pty, || {
        // The child's copy: only the parent holds the master.
        let _ = close(pty.master.0);
        write.write(b"x").expect("write");
        sleep_for_ever();
    });
    await_end(&read);
    drop(pty);
    assert_eq!(leader.wait(), Status::Killed(libc::SIGHUP));
}

fn hang_up_then_the_leader_ends() {
    let pty = Pty::open();
    let (read, write) = Fd::blocking_pipe();
    let leader = session(&pty, || {
        let _ = close(pty.master.0);
        ignore(libc::SIGTTOU);
        let handler: extern "C" fn(i32) = note;
        // SAFETY: the handler stores a number.
        unsafe { libc::signal(libc::SIGHUP, handler as usize) };
        let job = job(|| {
            // SAFETY: SIG_DFL is no function.
            unsafe { libc::signal(libc::SIGHUP, libc::SIG_DFL) };
            sleep_for_ever()
        });
        set_foreground(&pty.slave, job.0).expect("TIOCSPGRP");
        write.write(b"x").expect("write");
        while CAUGHT.load(Ordering::SeqCst) == 0 {
            // SAFETY: a number only.
            unsafe { libc::usleep(1000) };
        }
        assert_eq!(open("/dev/tty", libc::O_RDWR), Err(Errno::ENXIO));
        assert_eq!(set_foreground(&pty.slave, pid()), Err(Errno::ENOTTY));
        // The job does not hear of it by the hang-up, but by the end of the leader: its pipe then closes.
        // SAFETY: numbers only.
        assert_eq!(unsafe { libc::kill(job.0, 0) }, 0);
        exit_group(0)
    });
    await_end(&read);
    drop(pty);
    drop(write);
    ended_well(leader);
    // The job held the other copy of the writing end.
    let mut byte = [0];
    assert_eq!(read.read(&mut byte), Ok(0));
}

fn leader_ends() {
    let pty = Pty::open();
    let (read, write) = Fd::blocking_pipe();
    ended_well(session(&pty, || {
        ignore(libc::SIGTTOU);
        let job = job(|| sleep_for_ever());
        set_foreground(&pty.slave, job.0).expect("TIOCSPGRP");
    }));
    drop(write);
    let mut byte = [0];
    assert_eq!(read.read(&mut byte), Ok(0), "the foreground group ends with the leader");
    // The terminal is free for another session.
    assert_eq!(get(&pty.master, TIOCGPGRP), Ok(0));
    ended_well(session(&pty, || {}));
}

fn orphans_are_not_stopped() {
    let pty = Pty::open();
    // The leader's own group has no other of the session above it.
    ended_well(session(&pty, || {
        kill(pid(), libc::SIGTSTP);
        kill(pid(), libc::SIGTTIN);
        kill(pid(), libc::SIGTTOU);
        ended_well(child(|| {
            // SAFETY: a number only.
            unsafe { libc::raise(libc::SIGTSTP) };
            0
        }));
    }));
    // A group that has lost its parent reads from the background, and there is nobody to bring it forward.
    let (read, write) = Fd::blocking_pipe();
    ended_well(session(&pty, || {
        let (go, going) = Fd::blocking_pipe();
        ended_well(child(|| {
            job(|| {
                let _ = close(going.0);
                await_end(&go);
                let outcome = pty.read();
                write
                    .write(if outcome == Err(Errno::EIO) { b"e" } else { b"x" })
                    .expect("write");
            });
            0
        }));
        drop(going);
        let mut told = [0];
        assert_eq!(read.read(&mut told), Ok(1));
        assert_eq!(&told, b"e");
    }));
}

fn stopped_orphans_are_continued() {
    let pty = Pty::open();
    let (read, write) = Fd::blocking_pipe();
    ended_well(session(&pty, || {
        // A job whose parent ends while it is stopped: SIGHUP ends it, where nobody could continue it.
        let parent = job(|| {
            let stopped = job(|| sleep_for_ever());
            kill(stopped.0, libc::SIGSTOP);
            assert_eq!(news(&stopped), stopped_by(libc::SIGSTOP));
        });
        ended_well(parent);
        drop(write);
        let mut byte = [0];
        assert_eq!(read.read(&mut byte), Ok(0));
    }));
}

/// What a build starts leads no session: a terminal that it opens does not become its own, whose other end's closing would
/// end it.
fn program_of_a_build() {
    // SAFETY: numbers only.
    assert_ne!(unsafe { libc::getsid(0) }, pid());
    let pty = Pty::open();
    let slave = open(&slave_path(&pty.master), libc::O_RDWR).expect("open the slave");
    assert_eq!(get::<i32>(&slave, TIOCGSID), Err(Errno::ENOTTY));
}
