//! Objects of each kind made and let go again many times: the kernel's memory is what it was before.
//!
//! `LEAKS_ROUNDS=N` makes each of them N times, however long that takes, and says what memory did.

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::ExitCode;
use std::ptr;
use std::time::{Duration, Instant};
use userspace_tests::{Fd, Status, alone_on_this_machine, checked, child, tests};

fn main() -> ExitCode {
    userspace_tests::run(tests![
        eventfds,
        epolls,
        registrations,
        timer_descriptors,
        signal_descriptors,
        message_queues,
        pipes,
        unix_pairs,
        unix_listeners,
        descriptors_in_flight,
        tcp_connections,
        udp_sockets,
        files,
        memory_files,
        mappings,
        threads,
        processes,
        timers,
    ])
}

/// Rounds at most, and for how long at most: whichever comes first.
const ROUNDS: u64 = 100_000;
const TIME: Duration = Duration::from_millis(400);

/// How often to make an object, where that was said.
fn rounds_wanted() -> Option<u64> {
    let text = env::var("LEAKS_ROUNDS").ok()?;
    Some(text.parse().expect("LEAKS_ROUNDS is a number"))
}
/// Memory that comes and goes with whatever else happens: buffers that keep their room, caches of frames.
const NOISE_BYTES: u64 = 512 << 10;
/// What a round may cost for good: less than the smallest object.
const ROUND_BYTES: u64 = 12;

/// Bytes that are free, and bytes that the kernel's objects take.
fn memory() -> (u64, u64) {
    let text = fs::read_to_string("/proc/meminfo").expect("meminfo");
    let bytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect(name);
        let number = line.trim_start_matches(':').trim().trim_end_matches(" kB");
        number.parse::<u64>().expect("a number") << 10
    };
    (bytes("MemFree"), bytes("Slab"))
}

/// Whether `round` gives back what it takes. Where others use the machine's memory too, it only has to work.
fn gives_back(mut round: impl FnMut()) {
    let wanted = rounds_wanted();
    let mut many = |rounds: u64| {
        let start = Instant::now();
        let mut count = 0;
        while count < rounds && (wanted.is_some() || start.elapsed() < TIME) {
            round();
            count += 1;
        }
        count
    };
    // What stays for good, the first time.
    many(if wanted.is_some() { 100 } else { ROUNDS });
    let mut lost = Vec::new();
    for _ in 0..if alone_on_this_machine() { 4 } else { 0 } {
        let before = memory();
        let allowed = many(wanted.unwrap_or(ROUNDS)) * ROUND_BYTES + NOISE_BYTES;
        let after = memory();
        if let Some(rounds) = wanted {
            let change = |before: u64, after: u64| after as i64 - before as i64;
            let (free, kept) = (change(before.0, after.0), change(before.1, after.1));
            println!("{rounds} rounds: free memory {free:+} bytes, the kernel's objects {kept:+} bytes");
        }
        let one = (before.0.saturating_sub(after.0), after.1.saturating_sub(before.1));
        if one.0 < allowed && one.1 < allowed {
            return;
        }
        lost.push((one, allowed));
    }
    assert!(
        lost.is_empty(),
        "free memory lost and objects kept, what is allowed: {lost:?}"
    );
}

fn eventfds() {
    gives_back(|| drop(Fd::eventfd(1, 0)));
}

fn epolls() {
    gives_back(|| {
        let (outer, inner) = (Fd::epoll(), Fd::epoll());
        outer.add(&inner, libc::EPOLLIN as u32);
    });
}

fn registrations() {
    let epoll = Fd::epoll();
    gives_back(|| {
        let target = Fd::eventfd(1, 0);
        epoll.add(&target, libc::EPOLLIN as u32);
        assert_eq!(epoll.ready().len(), 1);
    });
}

fn timer_descriptors() {
    gives_back(|| {
        let soon = libc::itimerspec {
            it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: libc::timespec {
                tv_sec: 1000,
                tv_nsec: 0,
            },
        };
        // SAFETY: the calls take numbers and read a time; the descriptor is closed once.
        unsafe {
            let timer = checked(libc::timerfd_create(libc::CLOCK_MONOTONIC, 0)).expect("timerfd");
            checked(libc::timerfd_settime(timer, 0, &soon, ptr::null_mut())).expect("set");
            libc::close(timer);
        }
    });
}

fn signal_descriptors() {
    gives_back(|| {
        // SAFETY: the set is initialised before it is read; the descriptor is closed once.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, libc::SIGUSR1);
            libc::close(checked(libc::signalfd(-1, &set, 0)).expect("signalfd"));
        }
    });
}

fn message_queues() {
    gives_back(|| {
        // SAFETY: the name and the message are this function's; the descriptor is closed once, which ends the request.
        unsafe {
            let name = c"vigil-leaks".as_ptr();
            let flags = libc::O_CREAT | libc::O_RDWR | libc::O_NONBLOCK;
            let queue = libc::syscall(libc::SYS_mq_open, name, flags, 0o600, 0);
            let queue = checked(queue).expect("mq_open") as i32;
            checked(libc::syscall(libc::SYS_mq_unlink, name)).expect("mq_unlink");
            for priority in [1, 0] {
                let sent = libc::syscall(libc::SYS_mq_timedsend, queue, name, 8, priority, 0);
                checked(sent).expect("mq_send");
            }
            let mut request: libc::sigevent = std::mem::zeroed();
            request.sigev_notify = libc::SIGEV_NONE;
            checked(libc::syscall(libc::SYS_mq_notify, queue, &request)).expect("mq_notify");
            libc::close(queue);
        }
    });
}

fn pipes() {
    gives_back(|| {
        let (_reader, writer) = Fd::pipe();
        assert_eq!(writer.write(b"left in it"), Ok(10));
    });
}

fn unix_pairs() {
    gives_back(|| {
        let (mut one, _other) = UnixStream::pair().expect("streams");
        one.write_all(b"left in it").expect("write");
        let (one, _other) = UnixDatagram::pair().expect("datagrams");
        one.send(b"left in it").expect("send");
    });
}

fn unix_listeners() {
    let path = format!("/tmp/leaks-{}", std::process::id());
    gives_back(|| {
        let listener = UnixListener::bind(&path).expect("bind");
        let _never_accepted = UnixStream::connect(&path).expect("connect");
        drop(listener);
        fs::remove_file(&path).expect("remove");
    });
}

/// A socket in a message that waits in that same socket: nobody can reach the two any more.
fn descriptors_in_flight() {
    gives_back(|| {
        let (one, other) = UnixStream::pair().expect("streams");
        let mut byte = [0u8];
        let mut part = libc::iovec {
            iov_base: byte.as_mut_ptr().cast(),
            iov_len: 1,
        };
        let mut control = [0u64; 4];
        // SAFETY: the message's parts live until the call returns, and the control room holds one descriptor.
        unsafe {
            let mut message: libc::msghdr = std::mem::zeroed();
            message.msg_iov = &mut part;
            message.msg_iovlen = 1;
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(4) as _;
            let header = libc::CMSG_FIRSTHDR(&message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(4) as _;
            libc::CMSG_DATA(header).cast::<i32>().write_unaligned(other.as_raw_fd());
            checked(libc::sendmsg(one.as_raw_fd(), &message, 0)).expect("sendmsg");
        }
    });
}

fn tcp_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("name");
    let mut left = 4000u32;
    gives_back(|| {
        let mut client = TcpStream::connect(address).expect("connect");
        let (server, _) = listener.accept().expect("accept");
        client.write_all(b"left in it").expect("write");
        // Ports of connections that were closed in order rest for a minute.
        left = left.saturating_sub(1);
        if left == 0 {
            break_off(&client);
            break_off(&server);
        }
    });
}

/// Makes the close(2) that follows a reset.
fn break_off(connection: &TcpStream) {
    let at_once = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    let len = size_of::<libc::linger>() as u32;
    let option = ptr::from_ref(&at_once).cast();
    // SAFETY: the option's value lives on.
    let set = unsafe { libc::setsockopt(connection.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, option, len) };
    checked(set).expect("SO_LINGER");
}

fn udp_sockets() {
    gives_back(|| {
        let one = UdpSocket::bind("127.0.0.1:0").expect("bind");
        one.send_to(b"left in it", one.local_addr().expect("name"))
            .expect("send");
    });
}

fn files() {
    let path = format!("/tmp/leaks-file-{}", std::process::id());
    gives_back(|| {
        File::create(&path)
            .expect("create")
            .write_all(&[1; 5000])
            .expect("write");
        fs::remove_file(&path).expect("remove");
    });
}

fn memory_files() {
    gives_back(|| {
        // SAFETY: the name lives on; the mapping is taken away again and the descriptor closed once.
        unsafe {
            let file = checked(libc::memfd_create(c"leaks".as_ptr(), 0)).expect("memfd");
            checked(libc::ftruncate(file, 8192)).expect("longer");
            let both = libc::PROT_READ | libc::PROT_WRITE;
            let at = libc::mmap(ptr::null_mut(), 8192, both, libc::MAP_SHARED, file, 0);
            assert_ne!(at, libc::MAP_FAILED);
            at.cast::<u8>().write_volatile(1);
            libc::munmap(at, 8192);
            libc::close(file);
        }
    });
}

fn mappings() {
    gives_back(|| {
        let both = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: the mapping is this function's alone.
        unsafe {
            let at = libc::mmap(ptr::null_mut(), 8192, both, flags, -1, 0);
            assert_ne!(at, libc::MAP_FAILED);
            at.cast::<u8>().write_volatile(1);
            libc::munmap(at, 8192);
        }
    });
}

fn threads() {
    gives_back(|| std::thread::spawn(|| ()).join().expect("a thread"));
}

fn processes() {
    gives_back(|| assert_eq!(child(|| 0).wait(), Status::Exited(0)));
}

fn timers() {
    gives_back(|| {
        let mut timer = 0i32;
        // SAFETY: no event asks for the usual signal; the timer's number is written, then given back.
        unsafe {
            let created = libc::syscall(libc::SYS_timer_create, libc::CLOCK_MONOTONIC, 0, &mut timer);
            checked(created).expect("a timer");
            libc::syscall(libc::SYS_timer_delete, timer);
        }
    });
}
