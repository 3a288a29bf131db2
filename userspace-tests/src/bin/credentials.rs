//! credentials(7) and capabilities(7): each thread has its own, which the C library hides. Here the calls themselves are
//! made, in processes of user 0.

use libsyscall::abi::capability::*;
use libsyscall::abi::process::*;
use libsyscall::abi::{Errno, nr};
use libsyscall::calls::raw;
use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::sync::mpsc;
use std::thread;
use userspace_tests::{Folder, Status, as_root, child, tests};

const NOBODY: usize = 65534;
const OTHER: usize = 1234;
const KEEP: usize = u32::MAX as usize;

fn main() -> ExitCode {
    // What a test starts this program as.
    if std::env::args().nth(1).as_deref() == Some("play:tell") {
        println!("{}", tell());
        return ExitCode::SUCCESS;
    }
    userspace_tests::run(tests![
        threads_apart,
        threads_inherit,
        library_asks_all,
        signals_to_others,
        signals_to_threads,
        files,
        file_identity,
        further_groups,
        sent_credentials,
        capabilities_apart,
        user_ids_and_capabilities,
        wrong_ids,
        secure_bits,
        ambient_set,
        no_new_privileges,
        executing_thread,
        secure_programs,
        ended_first_thread,
        nobody_looks_into_it,
    ])
}

/// A call that takes numbers only.
fn call(number: usize, arguments: [usize; 4]) -> Result<usize, Errno> {
    // SAFETY: the callers pass numbers.
    unsafe { raw(number, arguments) }
}

fn set_users(real: usize, effective: usize, saved: usize) -> Result<usize, Errno> {
    call(nr::SETRESUID, [real, effective, saved, 0])
}

fn set_groups(groups: &[u32]) -> Result<usize, Errno> {
    // SAFETY: the kernel reads the groups.
    unsafe { raw(nr::SETGROUPS, [groups.len(), groups.as_ptr() as usize, 0, 0]) }
}

fn ids(number: usize) -> [u32; 3] {
    let mut three = [0u32; 3];
    let at = three.as_mut_ptr() as usize;
    // SAFETY: the kernel writes the three.
    unsafe { raw(number, [at, at + 4, at + 8, 0]) }.expect("getresuid");
    three
}

fn users() -> [u32; 3] {
    ids(nr::GETRESUID)
}

fn prctl(operation: i32, argument: usize) -> Result<usize, Errno> {
    // SAFETY: the operations here take numbers, and zeroes behind them.
    unsafe { raw(nr::PRCTL, [operation as usize, argument, 0, 0]) }
}

fn capability_sets() -> ([u64; 2], u64) {
    let status = own_status();
    let set = |name| u64::from_str_radix(&line(&status, name), 16).expect("a set");
    ([set("CapEff:"), set("CapPrm:")], set("CapAmb:"))
}

fn set_capabilities(effective: u64, permitted: u64, inheritable: u64) -> Result<usize, Errno> {
    let mut header = CapabilityHeader {
        version: CAPABILITY_VERSION_3,
        pid: 0,
    };
    let half = |shift: u32| CapabilityData {
        effective: (effective >> shift) as u32,
        permitted: (permitted >> shift) as u32,
        inheritable: (inheritable >> shift) as u32,
    };
    let halves = [half(0), half(32)];
    let arguments = [&raw mut header as usize, halves.as_ptr() as usize, 0, 0];
    // SAFETY: the kernel reads the header and two halves.
    unsafe { raw(nr::CAPSET, arguments) }
}

fn bit(capability: u32) -> u64 {
    1 << capability
}

fn own_tid() -> usize {
    call(nr::GETTID, [0; 4]).expect("gettid")
}

fn status_of(tid: usize) -> String {
    fs::read_to_string(format!("/proc/self/task/{tid}/status")).expect("status")
}

fn own_status() -> String {
    status_of(own_tid())
}

fn line(status: &str, name: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn in_thread<R: Send>(body: impl FnOnce() -> R + Send) -> R {
    thread::scope(|scope| scope.spawn(body).join().expect("the thread"))
}

fn threads_apart() {
    as_root(|| {
        let (to_main, from_thread) = mpsc::channel();
        let (to_thread, from_main) = mpsc::channel::<()>();
        let before = own_status();
        let other = thread::spawn(move || {
            set_groups(&[7, 77]).expect("setgroups");
            call(nr::SETRESGID, [1, 2, 3, 0]).expect("setresgid");
            set_users(4, 5, 6).expect("setresuid");
            to_main.send(own_tid()).expect("send");
            from_main.recv().expect("receive");
            assert_eq!((users(), ids(nr::GETRESGID)), ([4, 5, 6], [1, 2, 3]));
            assert_eq!(call(nr::GETUID, [0; 4]), Ok(4));
            assert_eq!(call(nr::GETEGID, [0; 4]), Ok(2));
        });
        let theirs = status_of(from_thread.recv().expect("receive"));
        assert_eq!(
            ["Uid:", "Gid:", "Groups:", "CapEff:"].map(|name| line(&theirs, name)),
            ["4 5 6 5", "1 2 3 2", "7 77", "0000000000000000"]
        );
        let own = own_status();
        for name in ["Uid:", "Gid:", "Groups:", "CapEff:"] {
            assert_eq!(line(&own, name), line(&before, name));
        }
        assert_eq!(users(), [0; 3]);
        let whole = fs::read_to_string("/proc/self/status").expect("status");
        assert_eq!(line(&whole, "Uid:"), "0 0 0 0");
        to_thread.send(()).expect("send");
        other.join().expect("the thread");
    });
}

/// clone(2): the maker's, which is not the first thread.
fn threads_inherit() {
    as_root(|| {
        in_thread(|| {
            set_groups(&[9]).expect("setgroups");
            set_users(1, 2, 3).expect("setresuid");
            assert_eq!(
                in_thread(|| (users(), line(&own_status(), "Groups:"))),
                ([1, 2, 3], "9".into())
            );
            let status = child(|| {
                assert_eq!(users(), [1, 2, 3]);
                let whole = fs::read_to_string("/proc/self/status").expect("status");
                assert_eq!(line(&whole, "Uid:"), "1 2 3 2");
                0
            });
            assert_eq!(status.wait(), Status::Exited(0));
        });
        assert_eq!(in_thread(users), [0; 3]);
    });
}

/// setresuid(3) of the C library reaches every thread.
fn library_asks_all() {
    as_root(|| {
        let (to_main, from_thread) = mpsc::channel();
        let (to_thread, from_main) = mpsc::channel::<()>();
        let other = thread::spawn(move || {
            to_main.send(users()).expect("send");
            from_main.recv().expect("receive");
            users()
        });
        assert_eq!(from_thread.recv(), Ok([0; 3]));
        // SAFETY: numbers only.
        assert_eq!(unsafe { libc::setresuid(10, 11, 12) }, 0);
        to_thread.send(()).expect("send");
        assert_eq!(other.join().expect("the thread"), [10, 11, 12]);
    });
}

/// kill(2): what counts is the calling thread's identity, and of the target its first thread's.
fn signals_to_others() {
    as_root(|| {
        // SAFETY: it takes nothing.
        let parent = unsafe { libc::getppid() } as usize;
        in_thread(|| {
            set_users(NOBODY, NOBODY, NOBODY).expect("setresuid");
            assert_eq!(call(nr::KILL, [parent, 0, 0, 0]), Err(Errno::EPERM));
            // SAFETY: it takes nothing.
            let own = unsafe { libc::getpid() } as usize;
            assert_eq!(call(nr::KILL, [own, 0, 0, 0]), Ok(0));
        });
        assert_eq!(call(nr::KILL, [parent, 0, 0, 0]), Ok(0));
    });
}

fn signals_to_threads() {
    as_root(|| {
        let (to_main, from_thread) = mpsc::channel();
        let (to_thread, from_main) = mpsc::channel::<()>();
        // A process of user 0 with a thread that has become another.
        let mut ends = UnixStream::pair().expect("socketpair");
        let other = child(move || {
            let thread = thread::spawn(move || {
                set_users(NOBODY, NOBODY, NOBODY).expect("setresuid");
                to_main.send(own_tid()).expect("send");
                let _ = from_main.recv();
            });
            let tid = from_thread.recv().expect("receive") as u32;
            ends.1.write_all(&tid.to_ne_bytes()).expect("write");
            let _ = ends.1.read(&mut [0]);
            drop(to_thread);
            thread.join().expect("the thread");
            0
        });
        let mut tid = [0; 4];
        ends.0.read_exact(&mut tid).expect("read");
        let (pid, tid) = (other.0 as usize, u32::from_ne_bytes(tid) as usize);
        in_thread(|| {
            set_users(NOBODY, NOBODY, NOBODY).expect("setresuid");
            assert_eq!(call(nr::KILL, [pid, 0, 0, 0]), Err(Errno::EPERM));
            assert_eq!(call(nr::TGKILL, [pid, pid, 0, 0]), Err(Errno::EPERM));
            assert_eq!(call(nr::TGKILL, [pid, tid, 0, 0]), Ok(0));
            assert_eq!(call(nr::TKILL, [tid, 0, 0, 0]), Ok(0));
        });
        ends.0.write_all(&[1]).expect("write");
        assert_eq!(other.wait(), Status::Exited(0));
    });
}

fn files() {
    as_root(|| {
        let folder = Folder::new("credentials");
        fs::set_permissions(&*folder, Permissions::from_mode(0o777)).expect("chmod");
        let secret = folder.file("secret");
        fs::set_permissions(&secret, Permissions::from_mode(0o600)).expect("chmod");
        in_thread(|| {
            call(nr::SETRESGID, [OTHER, OTHER, OTHER, 0]).expect("setresgid");
            set_users(NOBODY, NOBODY, NOBODY).expect("setresuid");
            let refused = File::open(&secret).map_err(|error| error.raw_os_error());
            assert_eq!(refused.map(drop), Err(Some(libc::EACCES)));
            let own = folder.file("own").metadata().expect("stat");
            assert_eq!((own.uid(), own.gid()), (NOBODY as u32, OTHER as u32));
        });
        File::open(&secret).expect("open");
        assert_eq!(folder.file("ours").metadata().expect("stat").uid(), 0);
    });
}

/// setfsuid(2), setfsgid(2).
fn file_identity() {
    as_root(|| {
        let folder = Folder::new("file-identity");
        fs::set_permissions(&*folder, Permissions::from_mode(0o777)).expect("chmod");
        let set_user = |uid: usize| call(nr::SETFSUID, [uid, 0, 0, 0]);
        in_thread(|| {
            let ([all, _], _) = capability_sets();
            assert_eq!(set_user(KEEP), Ok(0));
            assert_eq!(set_user(NOBODY), Ok(0));
            assert_eq!(call(nr::SETFSGID, [OTHER, 0, 0, 0]), Ok(0));
            assert_eq!(set_user(KEEP), Ok(NOBODY));
            let status = own_status();
            assert_eq!(
                (line(&status, "Uid:"), line(&status, "Gid:")),
                ("0 0 0 65534".into(), "0 0 0 1234".into())
            );
            let for_files = [0, 1, 2, 3, 4, 9, 27, 32]
                .into_iter()
                .fold(0, |all, number| all | bit(number));
            assert_eq!(capability_sets().0, [all & !for_files, all]);
            let own = folder.file("own").metadata().expect("stat");
            assert_eq!((own.uid(), own.gid()), (NOBODY as u32, OTHER as u32));
            // Where nothing changes it stays, and otherwise it follows.
            set_users(KEEP, KEEP, 0).expect("setresuid");
            assert_eq!(set_user(KEEP), Ok(NOBODY));
            set_users(KEEP, 0, KEEP).expect("setresuid");
            assert_eq!(set_user(KEEP), Ok(0));
            set_user(NOBODY).expect("setfsuid");
            call(nr::SETREUID, [KEEP, KEEP, 0, 0]).expect("setreuid");
            assert_eq!(set_user(KEEP), Ok(0));
            set_user(NOBODY).expect("setfsuid");
            set_user(0).expect("setfsuid");
            assert_eq!(capability_sets().0, [all, all], "they come back");
            // Others may be one of the three.
            set_users(1, 2, 3).expect("setresuid");
            assert_eq!([1, 3, 4, 0].map(set_user), [Ok(2), Ok(1), Ok(3), Ok(3)]);
        });
        assert_eq!(set_user(KEEP), Ok(0));
    });
}

fn further_groups() {
    as_root(|| {
        let folder = Folder::new("further-groups");
        fs::set_permissions(&*folder, Permissions::from_mode(0o755)).expect("chmod");
        let path = folder.file("shared");
        std::os::unix::fs::chown(&path, None, Some(OTHER as u32)).expect("chown");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("chmod");
        let reads = |groups: &[u32]| {
            in_thread(|| {
                set_groups(groups).expect("setgroups");
                set_users(NOBODY, NOBODY, NOBODY).expect("setresuid");
                assert_eq!(set_groups(&[]), Err(Errno::EPERM));
                File::open(&path).is_ok()
            })
        };
        assert_eq!((reads(&[]), reads(&[5, OTHER as u32])), (false, true));
    });
}

/// The struct ucred that comes with the next byte.
fn receive_credentials(fd: RawFd) -> libc::ucred {
    let mut byte = 0u8;
    let mut part = libc::iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    let mut control = [0u64; 8];
    // SAFETY: all zeroes are a message without anything.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    // SAFETY: the kernel writes a byte and control data, whose first header is followed by the struct.
    unsafe {
        assert_eq!(libc::recvmsg(fd, &mut message, 0), 1);
        let header = libc::CMSG_FIRSTHDR(&message);
        assert_eq!((*header).cmsg_type, libc::SCM_CREDENTIALS);
        libc::CMSG_DATA(header).cast::<libc::ucred>().read_unaligned()
    }
}

fn peer(fd: RawFd) -> libc::ucred {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = size_of::<libc::ucred>() as u32;
    // SAFETY: the kernel writes one struct.
    let got = unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &mut len,
        )
    };
    assert_eq!(got, 0);
    peer
}

/// unix(7): a message tells the sending thread's real ids, a connection the effective ones of who made it.
fn sent_credentials() {
    as_root(|| {
        let (mut one, other) = UnixStream::pair().expect("socketpair");
        let on = 1i32;
        // SAFETY: the kernel reads an int.
        let set = unsafe {
            let (fd, value) = (other.as_raw_fd(), (&raw const on).cast());
            libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_PASSCRED, value, 4)
        };
        assert_eq!(set, 0);
        in_thread(|| {
            call(nr::SETRESGID, [10, 20, 30, 0]).expect("setresgid");
            set_users(1, 2, 3).expect("setresuid");
            one.write_all(b"x").expect("write");
            let pair = UnixStream::pair().expect("socketpair");
            let maker = peer(pair.0.as_raw_fd());
            assert_eq!((maker.uid, maker.gid), (2, 20));
        });
        let sender = receive_credentials(other.as_raw_fd());
        assert_eq!((sender.pid, sender.uid, sender.gid), (std::process::id() as i32, 1, 10));
        one.write_all(b"x").expect("write");
        assert_eq!(receive_credentials(other.as_raw_fd()).uid, 0);
        assert_eq!(peer(one.as_raw_fd()).uid, 0);
    });
}

fn capabilities_apart() {
    as_root(|| {
        let ([all, _], _) = capability_sets();
        in_thread(|| {
            set_capabilities(all & !bit(CAP_CHOWN), all, 0).expect("capset");
            prctl(PR_SET_KEEPCAPS, 1).expect("PR_SET_KEEPCAPS");
            prctl(PR_CAPBSET_DROP, CAP_KILL as usize).expect("PR_CAPBSET_DROP");
            let chowned = call(nr::FCHOWN, [0, KEEP, KEEP, 0]);
            assert_eq!(chowned, Ok(0), "nothing changes");
            assert_eq!(prctl(PR_GET_KEEPCAPS, 0), Ok(1));
            assert_eq!(in_thread(|| prctl(PR_GET_KEEPCAPS, 0)), Ok(1));
            assert_eq!(prctl(PR_CAPBSET_READ, CAP_KILL as usize), Ok(0));
        });
        assert_eq!(capability_sets().0, [all, all]);
        assert_eq!(prctl(PR_GET_KEEPCAPS, 0), Ok(0));
        assert_eq!(prctl(PR_CAPBSET_READ, CAP_KILL as usize), Ok(1));
    });
}

/// PR_SET_KEEPCAPS and the ids; what is not effective any more stays permitted.
fn user_ids_and_capabilities() {
    as_root(|| {
        let ([all, _], _) = capability_sets();
        in_thread(|| {
            prctl(PR_SET_KEEPCAPS, 1).expect("PR_SET_KEEPCAPS");
            set_users(NOBODY, NOBODY, 0).expect("setresuid");
            set_capabilities(bit(CAP_CHOWN), all, 0).expect("capset");
            set_users(KEEP, KEEP, NOBODY).expect("setresuid");
            assert_eq!(capability_sets().0, [bit(CAP_CHOWN), all]);
        });
        in_thread(|| {
            set_users(NOBODY, NOBODY, 0).expect("setresuid");
            set_capabilities(bit(CAP_CHOWN), all, 0).expect("capset");
            set_users(KEEP, KEEP, NOBODY).expect("setresuid");
            assert_eq!(capability_sets().0, [0, 0]);
        });
    });
}

fn wrong_ids() {
    as_root(|| {
        for number in [nr::SETUID, nr::SETGID] {
            assert_eq!(call(number, [KEEP, 0, 0, 0]), Err(Errno::EINVAL));
        }
        assert_eq!(set_users(KEEP, KEEP, KEEP), Ok(0));
        in_thread(|| {
            call(nr::SETRESGID, [1, 2, 3, 0]).expect("setresgid");
            set_users(1, 2, 3).expect("setresuid");
            assert_eq!(call(nr::SETUID, [2, 0, 0, 0]), Err(Errno::EPERM));
            for number in [nr::SETREUID, nr::SETREGID] {
                // The saved one becomes the effective one, but not the real one.
                assert_eq!(call(number, [3, KEEP, 0, 0]), Err(Errno::EPERM));
                assert_eq!(call(number, [KEEP, 4, 0, 0]), Err(Errno::EPERM));
                assert_eq!(call(number, [KEEP, 3, 0, 0]), Ok(0));
            }
            assert_eq!((users(), ids(nr::GETRESGID)), ([1, 3, 3], [1, 3, 3]));
            assert_eq!(set_users(4, KEEP, KEEP), Err(Errno::EPERM));
            assert_eq!(call(nr::SETUID, [1, 0, 0, 0]), Ok(0));
            assert_eq!(users(), [1, 1, 3]);
        });
    });
}

fn secure_bits() {
    as_root(|| {
        let ([all, _], _) = capability_sets();
        let set = |bits: u32| prctl(PR_SET_SECUREBITS, bits as usize);
        in_thread(|| {
            assert_eq!(set(1 << 20), Err(Errno::EPERM));
            set(SECBIT_NO_SETUID_FIXUP).expect("PR_SET_SECUREBITS");
            set_users(NOBODY, NOBODY, NOBODY).expect("setresuid");
            assert_eq!(capability_sets().0, [all, all]);
            // Locked bits stay, and so do locks.
            set(SECBIT_KEEP_CAPS | SECBIT_KEEP_CAPS_LOCKED).expect("PR_SET_SECUREBITS");
            assert_eq!(set(SECBIT_KEEP_CAPS_LOCKED), Err(Errno::EPERM));
            assert_eq!(set(SECBIT_KEEP_CAPS), Err(Errno::EPERM));
            assert_eq!(prctl(PR_SET_KEEPCAPS, 0), Err(Errno::EPERM));
            assert_eq!(prctl(PR_GET_KEEPCAPS, 0), Ok(1));
            set_capabilities(0, all, 0).expect("capset");
            assert_eq!(set(SECBIT_KEEP_CAPS | SECBIT_KEEP_CAPS_LOCKED), Err(Errno::EPERM));
        });
        assert_eq!(prctl(PR_GET_SECUREBITS, 0), Ok(0));
        // User 0 is nobody special to execve(2).
        let status = child(|| {
            set(SECBIT_NOROOT | SECBIT_KEEP_CAPS).expect("PR_SET_SECUREBITS");
            assert_eq!(told_by_execve(), format!("[0, 0, 0] {SECBIT_NOROOT} [0, 0] 0 0"));
            0
        });
        assert_eq!(status.wait(), Status::Exited(0));
    });
}

/// prctl(PR_CAP_AMBIENT).
fn ambient_set() {
    as_root(|| {
        let ([all, _], _) = capability_sets();
        let ambient = |operation: usize, number: u32| {
            // SAFETY: numbers only.
            unsafe { raw(nr::PRCTL, [PR_CAP_AMBIENT as usize, operation, number as usize, 0]) }
        };
        assert_eq!(
            ambient(PR_CAP_AMBIENT_RAISE, CAP_KILL),
            Err(Errno::EPERM),
            "not inheritable"
        );
        assert_eq!(ambient(PR_CAP_AMBIENT_RAISE, 64), Err(Errno::EINVAL));
        assert_eq!(ambient(9, CAP_KILL), Err(Errno::EINVAL));
        assert_eq!(ambient(PR_CAP_AMBIENT_CLEAR_ALL, 1), Err(Errno::EINVAL));
        let (kill, chown) = (bit(CAP_KILL), bit(CAP_CHOWN));
        in_thread(|| {
            set_capabilities(all, all, kill | chown).expect("capset");
            for number in [CAP_KILL, CAP_CHOWN] {
                ambient(PR_CAP_AMBIENT_RAISE, number).expect("PR_CAP_AMBIENT_RAISE");
            }
            assert_eq!(ambient(PR_CAP_AMBIENT_IS_SET, CAP_KILL), Ok(1));
            assert_eq!(capability_sets().1, kill | chown);
            ambient(PR_CAP_AMBIENT_LOWER, CAP_KILL).expect("PR_CAP_AMBIENT_LOWER");
            assert_eq!(ambient(PR_CAP_AMBIENT_IS_SET, CAP_KILL), Ok(0));
            set_capabilities(all, all, kill).expect("capset");
            assert_eq!(capability_sets().1, 0, "what is not inheritable goes");
            ambient(PR_CAP_AMBIENT_RAISE, CAP_KILL).expect("PR_CAP_AMBIENT_RAISE");
            let status = child(|| {
                prctl(PR_SET_KEEPCAPS, 1).expect("PR_SET_KEEPCAPS");
                set_users(NOBODY, NOBODY, NOBODY).expect("setresuid");
                assert_eq!(capability_sets(), ([0, all], 0));
                ambient(PR_CAP_AMBIENT_RAISE, CAP_KILL).expect("PR_CAP_AMBIENT_RAISE");
                let ids = [NOBODY; 3];
                assert_eq!(told_by_execve(), format!("{ids:?} 0 [{kill}, {kill}] {kill} 0"));
                0
            });
            assert_eq!(status.wait(), Status::Exited(0));
            ambient(PR_CAP_AMBIENT_CLEAR_ALL, 0).expect("PR_CAP_AMBIENT_CLEAR_ALL");
            assert_eq!(capability_sets().1, 0);
        });
    });
}

fn no_new_privileges() {
    as_root(|| {
        in_thread(|| {
            assert_eq!(prctl(PR_SET_NO_NEW_PRIVS, 0), Err(Errno::EINVAL));
            assert_eq!(prctl(PR_SET_NO_NEW_PRIVS, 1), Ok(0));
            assert_eq!(prctl(PR_GET_NO_NEW_PRIVS, 0), Ok(1));
            assert_eq!(prctl(PR_GET_NO_NEW_PRIVS, 1), Err(Errno::EINVAL));
            assert_eq!(line(&own_status(), "NoNewPrivs:"), "1");
        });
        assert_eq!(prctl(PR_GET_NO_NEW_PRIVS, 0), Ok(0));
    });
}

/// What the program says that `play:tell` starts: ids, secure bits, capabilities, and whether it is to be careful.
fn tell() -> String {
    let (sets, ambient) = capability_sets();
    // SAFETY: it takes a number.
    let secure = unsafe { libc::getauxval(libc::AT_SECURE) };
    let bits = prctl(PR_GET_SECUREBITS, 0).expect("PR_GET_SECUREBITS");
    format!("{:?} {bits} {sets:?} {ambient} {secure}", users())
}

fn told_by_execve() -> String {
    let told = Command::new("/proc/self/exe").arg("play:tell").output().expect("start");
    String::from_utf8_lossy(&told.stdout).trim().to_string()
}

/// execve(2) by one of several threads: the program acts for whom that thread did.
fn executing_thread() {
    as_root(|| {
        let (reader, writer) = std::io::pipe().expect("pipe");
        let status = child(move || {
            let other = thread::spawn(move || {
                set_users(NOBODY, NOBODY, NOBODY).expect("setresuid");
                let mut program = Command::new("/proc/self/exe");
                panic!("{}", program.arg("play:tell").stdout(writer).exec());
            });
            let _ = other.join();
            1
        });
        assert_eq!(status.wait(), Status::Exited(0));
        let mut told = String::new();
        let mut reader = reader;
        reader.read_to_string(&mut told).expect("read");
        assert_eq!(told.trim(), format!("{:?} 0 [0, 0] 0 0", [NOBODY; 3]));
    });
}

/// AT_SECURE, and the saved identity, which becomes the effective one.
fn secure_programs() {
    as_root(|| {
        set_users(NOBODY, 1, 2).expect("setresuid");
        assert_eq!(told_by_execve(), "[65534, 1, 1] 0 [0, 0] 0 1");
    });
}

/// A process is what its first thread was, as others see it, also after the end of that.
fn ended_first_thread() {
    as_root(|| {
        let (mut ours, mut theirs) = UnixStream::pair().expect("socketpair");
        let other = child(move || {
            let main = own_tid();
            thread::spawn(move || {
                let path = format!("/proc/self/task/{main}/status");
                // Linux shows it as a zombie, others not at all.
                while fs::read_to_string(&path).is_ok_and(|status| !line(&status, "State:").starts_with('Z')) {
                    thread::yield_now();
                }
                theirs.write_all(&[1]).expect("write");
                let _ = theirs.read(&mut [0]);
                std::process::exit(0);
            });
            set_users(NOBODY, NOBODY, 1).expect("setresuid");
            let _ = call(nr::EXIT, [0; 4]);
            1
        });
        ours.read_exact(&mut [0]).expect("read");
        let path = format!("/proc/{}/status", other.0);
        assert_eq!(
            fs::read_to_string(path)
                .map(|status| line(&status, "Uid:"))
                .expect("status"),
            "65534 65534 1 65534"
        );
        ours.write_all(&[1]).expect("write");
        assert_eq!(other.wait(), Status::Exited(0));
    });
}

/// prctl(2), PR_SET_DUMPABLE and PR_SET_PDEATHSIG: both are reset when the identity changes, and execve(2) says anew.
fn nobody_looks_into_it() {
    as_root(|| {
        let death_signal = || {
            let mut signal = 0i32;
            prctl(PR_GET_PDEATHSIG, &raw mut signal as usize).expect("PR_GET_PDEATHSIG");
            signal
        };
        prctl(PR_SET_PDEATHSIG, 9).expect("PR_SET_PDEATHSIG");
        assert_eq!((prctl(PR_GET_DUMPABLE, 0), death_signal()), (Ok(1), 9));
        set_users(NOBODY, KEEP, KEEP).expect("setresuid");
        assert_eq!((prctl(PR_GET_DUMPABLE, 0), death_signal()), (Ok(1), 9));
        set_users(KEEP, NOBODY, KEEP).expect("setresuid");
        assert_ne!(prctl(PR_GET_DUMPABLE, 0), Ok(1));
        assert_eq!(death_signal(), 0);
    });
}
