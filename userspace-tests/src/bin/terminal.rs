//! Terminals: the line discipline, termios(3), pseudoterminals, pty(7). Linux passes a master's bytes on a moment later, so
//! the tests wait for what they expect and never look too early.

use libc::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLPRI};
use libsyscall::abi::Errno;
use libsyscall::abi::ioctl::*;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};
use userspace_tests::pty::{self, control, get, open, poll, request, slave_path, unlock, wait_for};
use userspace_tests::{Fd, Pty, tests};

fn main() -> ExitCode {
    userspace_tests::run(tests![
        new_settings,
        a_slave_is_locked_at_first,
        a_slave_has_a_name,
        peer,
        a_line_at_a_time,
        lines_wait_apart,
        end_of_file,
        editing,
        literal_next,
        echo_off,
        raw_bytes,
        minimum_waits,
        no_minimum_no_time,
        time_alone,
        time_between_bytes,
        poll_knows_the_minimum,
        typed_before_raw_mode,
        non_blocking,
        output_processing,
        speeds,
        short_settings,
        master_has_the_slaves_settings,
        flush_input,
        bytes_to_read,
        flow_by_request,
        flow_by_keys,
        full_output,
        input_waits_for_room,
        readiness,
        edge_triggered,
        last_slave_closes,
        hang_up,
        hang_up_wakes_readers,
        packet_mode,
        window_size,
        exclusive_is_no_matter_to_root,
        requests_of_masters_only,
        unknown_requests,
        many_pairs,
    ])
}

fn new_settings() {
    let pty = Pty::open();
    let settings = pty.settings();
    assert_eq!(settings.c_iflag, ICRNL | IXON);
    assert_eq!(settings.c_oflag, OPOST | ONLCR);
    assert_eq!(settings.c_cflag, B38400 | CS8 | CREAD);
    assert_eq!(
        settings.c_lflag,
        ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN
    );
    assert_eq!((settings.c_ispeed, settings.c_ospeed), (38400, 38400));
    let control = [
        3, 0x1c, 0x7f, 0x15, 4, 0, 1, 0, 0x11, 0x13, 0x1a, 0, 0x12, 0x0f, 0x17, 0x16, 0, 0, 0,
    ];
    assert_eq!(settings.c_cc, control);
    assert_eq!(get::<Winsize>(&pty.slave, TIOCGWINSZ), Ok(Winsize::default()));
}

fn a_slave_is_locked_at_first() {
    let master = pty::master();
    let flags = libc::O_RDWR | libc::O_NOCTTY;
    assert_eq!(get::<i32>(&master, TIOCGPTLCK), Ok(1));
    assert_eq!(open(&slave_path(&master), flags), Err(Errno::EIO));
    unlock(&master);
    assert_eq!(get::<i32>(&master, TIOCGPTLCK), Ok(0));
    open(&slave_path(&master), flags).expect("open the slave");
}

fn a_slave_has_a_name() {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let pty = Pty::open();
    let path = slave_path(&pty.master);
    let number = get::<u32>(&pty.master, TIOCGPTN).expect("TIOCGPTN");
    let metadata = std::fs::metadata(&path).expect("stat");
    assert!(metadata.file_type().is_char_device());
    assert_eq!(metadata.rdev(), libc::makedev(136, number));
    assert_eq!(metadata.mode() & 0o7007, 0, "others have no right");
    let named = std::fs::read_link(format!("/proc/self/fd/{}", pty.slave.0)).expect("readlink");
    assert_eq!(named.to_str(), Some(path.as_str()));
    let listed = std::fs::read_dir("/dev/pts").expect("read_dir");
    let names: Vec<_> = listed.map(|entry| entry.expect("an entry").path()).collect();
    assert!(names.iter().any(|name| name.to_str() == Some(&path)), "{names:?}");
    drop(pty);
    assert!(std::fs::metadata(&path).is_err());
}

fn peer() {
    let master = pty::master();
    unlock(&master);
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    let slave = Fd(request(&master, TIOCGPTPEER, flags as usize).expect("TIOCGPTPEER"));
    slave.write(b"x").expect("write");
    assert_eq!(pty::read(&master), Ok("x".to_string()));
}

fn a_line_at_a_time() {
    let pty = Pty::open();
    pty.type_in("hel");
    assert_eq!(pty.screen_until("hel"), "hel");
    assert_eq!(poll(&pty.slave, POLLIN), 0, "half a line can't be read");
    pty.type_in("lo\rnext");
    assert_eq!(wait_for(&pty.slave, POLLIN), POLLIN);
    let mut part = [0; 3];
    assert_eq!(pty.slave.read(&mut part), Ok(3));
    assert_eq!(&part, b"hel");
    assert_eq!(pty.read().as_deref(), Ok("lo\n"));
    assert_eq!(pty.screen_until("next"), "lo\r\nnext");
    assert_eq!(poll(&pty.slave, POLLIN), 0);
}

fn lines_wait_apart() {
    let pty = Pty::open();
    pty.type_in("one\ntwo\n\n");
    pty.screen_until("two\r\n\r\n");
    assert_eq!(pty.read().as_deref(), Ok("one\n"));
    assert_eq!(pty.read().as_deref(), Ok("two\n"));
    assert_eq!(pty.read().as_deref(), Ok("\n"));
}

fn end_of_file() {
    let pty = Pty::open();
    pty.type_in("ab\x04");
    assert_eq!(pty.read().as_deref(), Ok("ab"));
    pty.type_in("\x04");
    assert_eq!(pty.read().as_deref(), Ok(""));
    pty.type_in("more\n");
    assert_eq!(pty.read().as_deref(), Ok("more\n"), "an end of file does not last");
}

fn editing() {
    let pty = Pty::open();
    pty.type_in("ab\x7fc\n");
    assert_eq!(pty.read().as_deref(), Ok("ac\n"));
    assert_eq!(pty.screen_until("\r\n"), "ab\x08 \x08c\r\n");
    pty.type_in("one two \x17three\n");
    assert_eq!(pty.read().as_deref(), Ok("one three\n"));
    pty.screen_until("three\r\n");
    pty.type_in("ab\x15c\n");
    assert_eq!(pty.read().as_deref(), Ok("c\n"));
    assert_eq!(pty.screen_until("\r\n"), "ab\x08 \x08\x08 \x08c\r\n");
    pty.type_in("\x01\x7fx\n");
    assert_eq!(pty.read().as_deref(), Ok("x\n"));
    assert_eq!(pty.screen_until("\r\n"), "^A\x08 \x08\x08 \x08x\r\n");
    pty.change(|settings| settings.c_lflag &= !(ECHOE | ECHOKE));
    pty.type_in("ab\x7fc\x15d\n");
    assert_eq!(pty.read().as_deref(), Ok("d\n"));
    assert_eq!(pty.screen_until("d\r\n"), "ab^?c^U\r\nd\r\n");
}

fn literal_next() {
    let pty = Pty::open();
    pty.type_in("a\x16\x03\x16\x7fb\n");
    assert_eq!(pty.read().as_deref(), Ok("a\x03\x7fb\n"));
}

fn echo_off() {
    let pty = Pty::open();
    pty.change(|settings| settings.c_lflag = settings.c_lflag & !ECHO | ECHONL);
    pty.type_in("secret\n");
    assert_eq!(pty.read().as_deref(), Ok("secret\n"));
    assert_eq!(
        pty.screen_until("\n"),
        "\r\n",
        "of what was typed, ECHONL shows the newline"
    );
}

fn raw_bytes() {
    let pty = Pty::raw(1, 0);
    let keys = "\x03\x04\r\n\x7f\x13\x11";
    pty.type_in(keys);
    let mut all = String::new();
    while all.len() < keys.len() {
        all.push_str(&pty.read().expect("read"));
    }
    assert_eq!(all, keys);
    pty.slave.write(b"a\nb\t").expect("write");
    assert_eq!(pty.screen_until("\t"), "a\nb\t");
}

/// What a read of the slave gives that starts before anything is typed, and how long it took.
fn read_while(pty: &Pty, typing: impl FnOnce()) -> (String, Duration) {
    thread::scope(|scope| {
        let start = Instant::now();
        let reader = scope.spawn(|| pty.read().expect("read"));
        typing();
        (reader.join().expect("the reader"), start.elapsed())
    })
}

fn minimum_waits() {
    let pty = Pty::raw(3, 0);
    let (read, _) = read_while(&pty, || {
        for key in ["a", "b", "c"] {
            thread::sleep(Duration::from_millis(20));
            pty.type_in(key);
        }
    });
    assert_eq!(read, "abc");
}

fn no_minimum_no_time() {
    let pty = Pty::raw(0, 0);
    assert_eq!(pty.read().as_deref(), Ok(""));
    pty.type_in("x");
    wait_for(&pty.slave, POLLIN);
    assert_eq!(pty.read().as_deref(), Ok("x"));
}

fn time_alone() {
    let pty = Pty::raw(0, 2);
    let (read, took) = read_while(&pty, || {});
    assert_eq!(read, "");
    assert!(took >= Duration::from_millis(190), "{took:?}");
    let (read, _) = read_while(&pty, || pty.type_in("x"));
    assert_eq!(read, "x");
}

fn time_between_bytes() {
    let pty = Pty::raw(5, 1);
    let (read, took) = read_while(&pty, || {
        thread::sleep(Duration::from_millis(250));
        pty.type_in("a");
    });
    assert_eq!(read, "a", "the time runs from the first byte on");
    assert!(took >= Duration::from_millis(340), "{took:?}");
}

fn poll_knows_the_minimum() {
    let pty = Pty::raw(3, 0);
    pty.type_in("ab");
    thread::sleep(Duration::from_millis(50));
    assert_eq!(poll(&pty.slave, POLLIN), 0);
    pty.type_in("c");
    assert_eq!(wait_for(&pty.slave, POLLIN), POLLIN);
    pty.change(|settings| settings.c_cc[VTIME] = 1);
    assert_eq!(pty.read().as_deref(), Ok("abc"));
    pty.type_in("d");
    assert_eq!(
        wait_for(&pty.slave, POLLIN),
        POLLIN,
        "with a time limit one byte is enough"
    );
}

fn typed_before_raw_mode() {
    let pty = Pty::open();
    pty.type_in("half");
    pty.screen_until("half");
    pty.change(|settings| settings.c_lflag &= !ICANON);
    assert_eq!(pty.read().as_deref(), Ok("half"));
}

fn set_non_blocking(fd: &Fd) {
    // SAFETY: fcntl(2) with numbers touches no memory.
    userspace_tests::checked(unsafe { libc::fcntl(fd.0, libc::F_SETFL, libc::O_NONBLOCK) }).expect("F_SETFL");
}

fn non_blocking() {
    let pty = Pty::open();
    set_non_blocking(&pty.slave);
    set_non_blocking(&pty.master);
    assert_eq!(pty.read(), Err(Errno::EAGAIN));
    assert_eq!(pty::read(&pty.master), Err(Errno::EAGAIN));
    pty.type_in("half");
    wait_for(&pty.master, POLLIN);
    assert_eq!(pty.read(), Err(Errno::EAGAIN));
}

fn output_processing() {
    let pty = Pty::open();
    let shown = |flags: u32, text: &str| {
        pty.change(|settings| settings.c_oflag = flags);
        pty.slave.write(text.as_bytes()).expect("write");
        pty.change(|settings| settings.c_oflag = 0);
        pty.slave.write(b"|").expect("write");
        pty.screen_until("|")
    };
    assert_eq!(shown(OPOST | ONLCR, "a\nb"), "a\r\nb|");
    assert_eq!(shown(OPOST, "a\nb\r"), "a\nb\r|");
    assert_eq!(shown(OPOST | OCRNL, "a\r"), "a\n|");
    assert_eq!(shown(OPOST | ONLCR, "\r\n"), "\r\r\n|");
    assert_eq!(shown(OPOST | ONOCR, "\ra\r"), "a\r|");
    assert_eq!(shown(OPOST | TAB3, "\tb\tc"), "        b       c|");
    assert_eq!(shown(OPOST | OLCUC, "aB"), "AB|");
}

fn speeds() {
    const B9600: u32 = 0o15;
    let pty = Pty::open();
    // SAFETY: all zero bytes are a termios.
    let mut short: Termios = unsafe { std::mem::zeroed() };
    control(&pty.slave, TCGETS, &mut short).expect("TCGETS");
    short.c_cflag = short.c_cflag & !CBAUD | B9600;
    control(&pty.slave, TCSETS, &mut short).expect("TCSETS");
    let settings = pty.settings();
    assert_eq!((settings.c_ispeed, settings.c_ospeed), (9600, 9600));
    assert_eq!(settings.c_cflag & CBAUD, B9600);
}

fn short_settings() {
    let pty = Pty::open();
    // SAFETY: all zero bytes are a termios.
    let mut short: Termios = unsafe { std::mem::zeroed() };
    control(&pty.slave, TCGETS, &mut short).expect("TCGETS");
    let long = pty.settings();
    assert_eq!(
        (short.c_iflag, short.c_oflag, short.c_cflag, short.c_lflag, short.c_cc),
        (long.c_iflag, long.c_oflag, long.c_cflag, long.c_lflag, long.c_cc)
    );
    for command in [TCSETS, TCSETSW, TCSETSF] {
        short.c_lflag ^= ECHO;
        control(&pty.slave, command, &mut short).expect("TCSETS");
        assert_eq!(pty.settings().c_lflag, short.c_lflag);
    }
    for command in [TCSETS2, TCSETSW2, TCSETSF2] {
        let mut long = pty.settings();
        long.c_lflag ^= ECHO;
        control(&pty.slave, command, &mut long).expect("TCSETS2");
        assert_eq!(pty.settings().c_lflag, long.c_lflag);
    }
    // Bytes to another program have eight bits and no parity.
    pty.change(|settings| settings.c_cflag = settings.c_cflag & !CSIZE | PARENB);
    assert_eq!(pty.settings().c_cflag & (CSIZE | PARENB | CREAD), CS8 | CREAD);
}

fn master_has_the_slaves_settings() {
    let pty = Pty::open();
    let mut settings = pty::settings(&pty.master);
    settings.c_lflag &= !ECHO;
    control(&pty.master, TCSETS2, &mut settings).expect("TCSETS2");
    assert_eq!(pty.settings().c_lflag & ECHO, 0);
}

fn flush_input() {
    let pty = Pty::open();
    pty.type_in("old\nhalf");
    pty.screen_until("half");
    request(&pty.slave, TCFLSH, TCIFLUSH).expect("TCFLSH");
    assert_eq!(poll(&pty.slave, POLLIN), 0);
    pty.type_in("new\n");
    assert_eq!(pty.read().as_deref(), Ok("new\n"));
    pty.screen_until("new\r\n");
    pty.type_in("old\n");
    pty.screen_until("old\r\n");
    let mut settings = pty.settings();
    control(&pty.slave, TCSETSF2, &mut settings).expect("TCSETSF2");
    assert_eq!(poll(&pty.slave, POLLIN), 0, "TCSETSF flushes");
    assert_eq!(request(&pty.slave, TCFLSH, 7), Err(Errno::EINVAL));
}

fn bytes_to_read() {
    let pty = Pty::open();
    assert_eq!(get::<i32>(&pty.slave, FIONREAD), Ok(0));
    pty.type_in("four\nfi");
    pty.screen_until("fi");
    assert_eq!(
        get::<i32>(&pty.slave, FIONREAD),
        Ok(5),
        "the unfinished line does not count"
    );
    pty.slave.write(b"seven\n").expect("write");
    wait_for(&pty.master, POLLIN);
    assert_eq!(get::<i32>(&pty.master, FIONREAD), Ok(7));
    assert_eq!(get::<i32>(&pty.slave, TIOCOUTQ), Ok(0));
}

fn flow_by_request() {
    let pty = Pty::open();
    set_non_blocking(&pty.slave);
    request(&pty.slave, TCXONC, TCOOFF).expect("TCOOFF");
    assert_eq!(poll(&pty.slave, POLLOUT), 0);
    assert_eq!(pty.slave.write(b"x"), Err(Errno::EAGAIN));
    request(&pty.slave, TCXONC, TCOON).expect("TCOON");
    assert_eq!(wait_for(&pty.slave, POLLOUT), POLLOUT);
    pty.slave.write(b"y").expect("write");
    assert_eq!(pty.screen_until("y"), "y");
    request(&pty.slave, TCXONC, TCIOFF).expect("TCIOFF");
    assert_eq!(pty.screen_until("\x13"), "\x13");
    request(&pty.slave, TCXONC, TCION).expect("TCION");
    assert_eq!(pty.screen_until("\x11"), "\x11");
    assert_eq!(request(&pty.slave, TCXONC, 9), Err(Errno::EINVAL));
}

fn flow_by_keys() {
    let pty = Pty::open();
    set_non_blocking(&pty.slave);
    pty.type_in("\x13");
    let stopped = Instant::now();
    while poll(&pty.slave, POLLOUT) != 0 {
        assert!(stopped.elapsed() < Duration::from_secs(10), "^S does not stop");
        thread::yield_now();
    }
    assert_eq!(pty.slave.write(b"x"), Err(Errno::EAGAIN));
    pty.type_in("\x11");
    assert_eq!(wait_for(&pty.slave, POLLOUT), POLLOUT);
    assert_eq!(poll(&pty.slave, POLLIN), 0, "neither is input");
    pty.type_in("\x13");
    while poll(&pty.slave, POLLOUT) != 0 {
        thread::yield_now();
    }
    pty.change(|settings| settings.c_iflag &= !IXON);
    assert_eq!(
        wait_for(&pty.slave, POLLOUT),
        POLLOUT,
        "without IXON nothing stays stopped"
    );
}

fn full_output() {
    let pty = Pty::raw(1, 0);
    set_non_blocking(&pty.slave);
    let written = pty.slave.fill();
    assert!(written >= 4096, "{written}");
    assert_eq!(pty.slave.write(b"x"), Err(Errno::EAGAIN));
    assert_eq!(poll(&pty.slave, POLLOUT), 0);
    // A writer that waits gets its turn when the master reads.
    let mut read = 0;
    let mut buffer = [0; 4096];
    while read < written {
        read += pty.master.read(&mut buffer).expect("read");
    }
    assert_eq!(read, written);
    assert_eq!(wait_for(&pty.slave, POLLOUT), POLLOUT);
}

fn input_waits_for_room() {
    const TOTAL: usize = 200_000;
    let pty = Pty::raw(1, 0);
    thread::scope(|scope| {
        scope.spawn(|| pty.type_in(&"x".repeat(TOTAL)));
        let mut read = 0;
        while read < TOTAL {
            read += pty.read().expect("read").len();
        }
        assert_eq!(read, TOTAL);
    });
}

fn readiness() {
    let pty = Pty::open();
    let all = POLLIN | POLLOUT | POLLPRI;
    assert_eq!(poll(&pty.slave, all), POLLOUT);
    assert_eq!(poll(&pty.master, all), POLLOUT);
    pty.type_in("x\n");
    assert_eq!(wait_for(&pty.slave, POLLIN), POLLIN);
    assert_eq!(wait_for(&pty.master, POLLIN), POLLIN, "the echo");
    assert_eq!(pty.read().as_deref(), Ok("x\n"));
    pty.screen_until("x\r\n");
    assert_eq!(poll(&pty.slave, all), POLLOUT);
    assert_eq!(poll(&pty.master, all), POLLOUT);
}

fn edge_triggered() {
    let pty = Pty::raw(1, 0);
    let epoll = Fd::epoll();
    let events = (libc::EPOLLIN | libc::EPOLLET) as u32;
    epoll.add(&pty.slave, events);
    epoll.add(&pty.master, events);
    let next = || epoll.wait(10_000, 8).expect("epoll_wait");
    pty.type_in("a");
    assert_eq!(next(), [(pty.slave.0 as u64, libc::EPOLLIN as u32)]);
    assert_eq!(epoll.ready(), [], "no new edge");
    pty.type_in("b");
    assert_eq!(next(), [(pty.slave.0 as u64, libc::EPOLLIN as u32)]);
    pty.slave.write(b"c").expect("write");
    assert_eq!(next(), [(pty.master.0 as u64, libc::EPOLLIN as u32)]);
}

fn last_slave_closes() {
    let Pty { master, slave } = Pty::open();
    let second = slave.dup();
    slave.write(b"left").expect("write");
    drop(slave);
    assert_eq!(poll(&master, POLLIN) & POLLHUP, 0, "one is still open");
    drop(second);
    assert_eq!(wait_for(&master, 0), POLLHUP);
    wait_for(&master, POLLIN);
    assert_eq!(pty::read(&master).as_deref(), Ok("left"), "what was written stays");
    assert_eq!(pty::read(&master), Err(Errno::EIO));
    let slave = open(&slave_path(&master), libc::O_RDWR | libc::O_NOCTTY).expect("open it again");
    assert_eq!(poll(&master, POLLIN), 0);
    drop(slave);
    assert_eq!(wait_for(&master, 0), POLLHUP);
}

fn hang_up() {
    let Pty { master, slave } = Pty::open();
    master.write(b"lost\n").expect("write");
    wait_for(&slave, POLLIN);
    drop(master);
    assert_eq!(poll(&slave, POLLIN | POLLOUT), POLLIN | POLLOUT | POLLERR | POLLHUP);
    assert_eq!(pty::read(&slave).as_deref(), Ok(""));
    assert_eq!(slave.write(b"x"), Err(Errno::EIO));
    assert_eq!(get::<Winsize>(&slave, TIOCGWINSZ), Err(Errno::EIO));
    assert_eq!(get::<i32>(&slave, FIONREAD), Err(Errno::EIO));
}

fn hang_up_wakes_readers() {
    let Pty { master, slave } = Pty::open();
    let epoll = Fd::epoll();
    epoll.add(&slave, libc::EPOLLIN as u32);
    thread::scope(|scope| {
        let reader = scope.spawn(|| pty::read(&slave));
        let waiter = scope.spawn(|| epoll.wait(10_000, 8));
        thread::sleep(Duration::from_millis(50));
        drop(master);
        // The end of file is for those who come later.
        assert_eq!(reader.join().expect("the reader"), Err(Errno::EIO));
        let hung_up = (libc::EPOLLIN | libc::EPOLLERR | libc::EPOLLHUP) as u32;
        assert_eq!(waiter.join().expect("the waiter"), Ok(vec![(slave.0 as u64, hung_up)]));
    });
}

fn packet_mode() {
    let pty = Pty::open();
    control(&pty.master, TIOCPKT, &mut 1i32).expect("TIOCPKT");
    assert_eq!(get::<i32>(&pty.master, TIOCGPKT), Ok(1));
    pty.slave.write(b"data").expect("write");
    wait_for(&pty.master, POLLIN);
    assert_eq!(pty::read(&pty.master).as_deref(), Ok("\0data"));
    let status = |status: u8| {
        assert_eq!(wait_for(&pty.master, POLLIN | POLLPRI), POLLIN | POLLPRI);
        let mut buffer = [0; 8];
        assert_eq!(pty.master.read(&mut buffer), Ok(1));
        assert_eq!(buffer[0], status);
    };
    request(&pty.slave, TCFLSH, TCIFLUSH).expect("TCFLSH");
    status(TIOCPKT_FLUSHREAD);
    request(&pty.slave, TCXONC, TCOOFF).expect("TCOOFF");
    status(TIOCPKT_STOP);
    request(&pty.slave, TCXONC, TCOON).expect("TCOON");
    status(TIOCPKT_START);
    pty.change(|settings| settings.c_iflag &= !IXON);
    status(TIOCPKT_NOSTOP);
    pty.change(|settings| settings.c_iflag |= IXON);
    status(TIOCPKT_DOSTOP);
    control(&pty.master, TIOCPKT, &mut 0i32).expect("TIOCPKT");
    pty.slave.write(b"plain").expect("write");
    assert_eq!(pty.screen_until("plain"), "plain");
}

fn window_size() {
    let pty = Pty::open();
    let mut size = Winsize {
        ws_row: 50,
        ws_col: 132,
        ws_xpixel: 1,
        ws_ypixel: 2,
    };
    control(&pty.master, TIOCSWINSZ, &mut size).expect("TIOCSWINSZ");
    assert_eq!(get(&pty.slave, TIOCGWINSZ), Ok(size));
    size.ws_row = 25;
    control(&pty.slave, TIOCSWINSZ, &mut size).expect("TIOCSWINSZ");
    assert_eq!(get(&pty.master, TIOCGWINSZ), Ok(size));
}

fn exclusive_is_no_matter_to_root() {
    // SAFETY: geteuid(2) touches no memory.
    if unsafe { libc::geteuid() } != 0 {
        userspace_tests::harness::ignore("not root");
    }
    let pty = Pty::open();
    request(&pty.slave, TIOCEXCL, 0).expect("TIOCEXCL");
    open(&slave_path(&pty.master), libc::O_RDWR | libc::O_NOCTTY).expect("open");
    request(&pty.slave, TIOCNXCL, 0).expect("TIOCNXCL");
}

fn requests_of_masters_only() {
    let pty = Pty::open();
    assert_eq!(get::<u32>(&pty.slave, TIOCGPTN), Err(Errno::ENOTTY));
    assert_eq!(control(&pty.slave, TIOCSPTLCK, &mut 0i32), Err(Errno::ENOTTY));
    assert_eq!(control(&pty.slave, TIOCPKT, &mut 1i32), Err(Errno::ENOTTY));
    assert_eq!(
        get::<i32>(&pty.slave, TIOCGSID),
        Err(Errno::ENOTTY),
        "no session has it"
    );
    assert_eq!(get::<i32>(&pty.slave, TIOCGPGRP), Err(Errno::ENOTTY));
    assert_eq!(get::<i32>(&pty.master, TIOCGPGRP), Ok(0));
}

fn unknown_requests() {
    let pty = Pty::open();
    assert_eq!(request(&pty.slave, 0x5499, 0), Err(Errno::ENOTTY));
    assert_eq!(request(&pty.slave, TCGETS, 8), Err(Errno::EFAULT));
    assert_eq!(request(&pty.slave, TIOCSWINSZ, 8), Err(Errno::EFAULT));
    let (read, _write) = Fd::pipe();
    assert_eq!(request(&read, TIOCGWINSZ, 8), Err(Errno::ENOTTY));
    assert_eq!(get::<i32>(&pty.slave, TIOCGETD), Ok(0), "N_TTY");
    assert_eq!(pty.master.read(&mut []), Ok(0));
}

fn many_pairs() {
    for _ in 0..20 {
        let pairs: Vec<Pty> = (0..20).map(|_| Pty::open()).collect();
        for pty in &pairs {
            pty.type_in("x\n");
        }
        for pty in &pairs {
            assert_eq!(pty.read().as_deref(), Ok("x\n"));
        }
    }
}
