//! The calls a line can make.

use super::{Interpreter, Outcome, Refused, bits, number};
use crate::words;
use libsyscall::abi::event::{EpollEvent, PollFd};
use libsyscall::abi::fcntl::*;
use libsyscall::abi::ioctl::FIONREAD;
use libsyscall::abi::mqueue::MqAttr;
use libsyscall::abi::signal::SIGSET_SIZE;
use libsyscall::abi::{Errno, nr};
use libsyscall::calls::event::{self, Timespec};
use libsyscall::calls::{file, process, raw};
use std::ffi::CString;

/// Bytes of a queue's messages at most.
const QUEUE_MESSAGE: i64 = 16;
const EVENT_SIZE: usize = size_of::<EpollEvent>();
/// Far enough away never to come.
const FAR_S: i64 = 1000;

/// A call all of whose addresses lie in memory that is there for it, or are bad.
fn call<const N: usize>(number: usize, arguments: [usize; N]) -> Result<usize, Errno> {
    // SAFETY: the callers below pass addresses of their own buffers, of `Edge` or bad ones.
    unsafe { raw(number, arguments) }
}

/// Blocks exactly the signals of a set.
pub fn block_signals(set: &u64) -> Result<usize, Errno> {
    let address = core::ptr::from_ref(set) as usize;
    call(
        nr::RT_SIGPROCMASK,
        [libc::SIG_SETMASK as usize, address, 0, SIGSET_SIZE],
    )
}

impl Interpreter<'_> {
    /// The calls that make descriptors.
    pub(super) fn make(&mut self, words: &[&str]) -> Result<Vec<i32>, Refused> {
        let one = |result: Result<usize, Errno>| Ok(vec![result? as i32]);
        match *words {
            ["epoll", flags] => one(call(nr::EPOLL_CREATE1, [bits(flags)? as usize])),
            ["eventfd", value, flags] => one(call(nr::EVENTFD2, [number(value)? as usize, bits(flags)? as usize])),
            ["timerfd", clock, flags] => one(call(
                nr::TIMERFD_CREATE,
                [number(clock)? as usize, bits(flags)? as usize],
            )),
            ["signalfd", old, set, flags] => Ok(vec![self.signalfd(old, set, flags)? as i32]),
            ["pipe", flags] => {
                let flags = bits(flags)? as usize;
                self.two(|ends| call(nr::PIPE2, [ends, flags]))
            }
            ["pair", kind, flags] => {
                let kind = number(kind)? as usize | bits(flags)? as usize;
                self.two(|ends| call(nr::SOCKETPAIR, [libc::AF_UNIX as usize, kind, 0, ends]))
            }
            ["queue", maximum, flags] => Ok(vec![self.queue(number(maximum)?, bits(flags)?)? as i32]),
            ["dup", fd] => one(call(nr::DUP, [self.fd(fd)? as usize])),
            ["dupfd", fd, from] => one(file::fcntl(self.fd(fd)?, F_DUPFD, number(from)? as usize)),
            ["dup3", fd, to, flags] => one(call(
                nr::DUP3,
                [self.fd(fd)? as usize, self.fd(to)? as usize, bits(flags)? as usize],
            )),
            _ => Err(Refused::NotUnderstood),
        }
    }

    fn two(&mut self, make: impl FnOnce(usize) -> Result<usize, Errno>) -> Result<Vec<i32>, Refused> {
        make(self.edge.with_room(8))?;
        let ends = self.edge.bytes(8).as_chunks().0;
        Ok(ends.iter().map(|&end| i32::from_ne_bytes(end)).collect())
    }

    fn signalfd(&self, old: &str, set: &str, flags: &str) -> Result<usize, Refused> {
        let set = words::signals(set).ok_or(Refused::NotUnderstood)?;
        let address = core::ptr::from_ref(&set) as usize;
        let arguments = [self.fd(old)? as usize, address, SIGSET_SIZE, bits(flags)? as usize];
        Ok(call(nr::SIGNALFD4, arguments)?)
    }

    /// A message queue, whose name is gone at once.
    fn queue(&self, maximum: i64, flags: u32) -> Result<usize, Refused> {
        let name = CString::new(format!("vigil-differ-{}", process::getpid())).map_err(|_| Refused::NotUnderstood)?;
        let size = MqAttr {
            mq_maxmsg: maximum,
            mq_msgsize: QUEUE_MESSAGE,
            ..MqAttr::default()
        };
        let address = core::ptr::from_ref(&size) as usize;
        let flags = (O_RDWR | O_CREAT | flags) as usize;
        let queue = call(nr::MQ_OPEN, [name.as_ptr() as usize, flags, 0o600, address]);
        // Where the queue could not be made its name is not there.
        let _ = call(nr::MQ_UNLINK, [name.as_ptr() as usize]);
        Ok(queue?)
    }

    /// All other calls.
    pub(super) fn act(&mut self, words: &[&str]) -> Outcome {
        match *words {
            ["look"] => self.look(),
            ["close", fd] => done(file::close(self.fd(fd)?).map(|()| 0)),
            ["signalfd", old, set, flags] => Ok(self.signalfd(old, set, flags)?.to_string()),
            ["ctl", epoll, operation, fd, events, ref rest @ ..] => self.control(epoll, operation, fd, events, rest),
            ["wait", epoll, max, ref rest @ ..] => self.wait(epoll, max, rest),
            ["poll", ref files @ ..] => self.poll(files),
            ["read", fd, len, ref place @ ..] => {
                let (fd, len) = (self.unblocking(fd)?, number(len)? as usize);
                let (address, room) = self.place(len, place)?;
                let count = call(nr::READ, [fd as usize, address, len])?;
                Ok(self.shown_bytes(room, count))
            }
            ["receive", fd, len, flags] => {
                let (fd, len) = (self.fd(fd)?, number(len)? as usize);
                let flags = receive_flags(flags)? | libc::MSG_DONTWAIT;
                let address = self.edge.with_room(len);
                let count = call(nr::RECVFROM, [fd as usize, address, len, flags as usize, 0, 0])?;
                Ok(self.shown_bytes(len, count.min(len)))
            }
            ["write", fd, len, ref place @ ..] => {
                let (fd, len) = (self.unblocking(fd)?, number(len)? as usize);
                let (address, room) = self.place(len, place)?;
                self.fill(room);
                let count = call(nr::WRITE, [fd as usize, address, len]);
                self.sent(count)
            }
            ["send", fd, len] => {
                let (fd, len) = (self.fd(fd)?, number(len)? as usize);
                self.fill(len);
                let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
                let address = self.edge.with_room(len);
                let count = call(nr::SENDTO, [fd as usize, address, len, flags as usize, 0, 0]);
                self.sent(count)
            }
            ["post", fd, len, priority] => {
                let (fd, len) = (self.unblocking(fd)?, number(len)? as usize);
                self.fill(len);
                let address = self.edge.with_room(len);
                done(call(
                    nr::MQ_TIMEDSEND,
                    [fd as usize, address, len, number(priority)? as usize, 0],
                ))
            }
            ["take", fd, len] => {
                let (fd, len) = (self.unblocking(fd)?, number(len)? as usize);
                let address = self.edge.with_room(len);
                let count = call(nr::MQ_TIMEDRECEIVE, [fd as usize, address, len, 0, 0])?;
                Ok(self.shown_bytes(len, count))
            }
            ["put", fd, value] => {
                let fd = self.unblocking(fd)?;
                let value = number(value)? as u64;
                done(file::write(fd, &value.to_ne_bytes()))
            }
            ["shutdown", fd, how] => done(call(nr::SHUTDOWN, [self.fd(fd)? as usize, number(how)? as usize])),
            ["arm", fd, how, flags] => self.arm(fd, how, flags),
            ["left", fd] => self.time_left(fd),
            ["kill", signal] => {
                let signal = words::signal(signal).ok_or(Refused::NotUnderstood)?;
                done(call(nr::KILL, [process::getpid() as usize, signal as usize]))
            }
            ["setfl", fd, flags] => done(file::fcntl(self.fd(fd)?, F_SETFL, bits(flags)? as usize)),
            ["getfl", fd] => Ok(status_flags(file::fcntl(self.fd(fd)?, F_GETFL, 0)? as u32)),
            ["setfd", fd, flags] => done(file::fcntl(self.fd(fd)?, F_SETFD, number(flags)? as usize)),
            ["getfd", fd] => done(file::fcntl(self.fd(fd)?, F_GETFD, 0)),
            ["pipesize", fd, size] => done(file::fcntl(self.fd(fd)?, F_SETPIPE_SZ, number(size)? as usize)),
            ["unread", fd] => {
                let count = self.edge.with_room(4);
                call(nr::IOCTL, [self.fd(fd)? as usize, FIONREAD as usize, count])?;
                Ok(self
                    .edge
                    .bytes(4)
                    .first_chunk()
                    .map_or(0, |&count| i32::from_ne_bytes(count))
                    .to_string())
            }
            ["seek", fd] => done(call(nr::LSEEK, [self.fd(fd)? as usize, 0, 0])),
            _ => Err(Refused::NotUnderstood),
        }
    }

    fn bad(&self, word: &str) -> Result<usize, Refused> {
        self.edge.bad(word).ok_or(Refused::NotUnderstood)
    }

    /// Where `len` bytes are to lie, and how many of them can: `[room N | a bad address]`, all where nothing is said.
    fn place(&self, len: usize, words: &[&str]) -> Result<(usize, usize), Refused> {
        let room = match *words {
            [] => len,
            ["room", room] => number(room)? as usize,
            [bad] => return Ok((self.bad(bad)?, 0)),
            _ => return Err(Refused::NotUnderstood),
        };
        Ok((self.edge.with_room(room), room))
    }

    /// `ctl EPOLL OPERATION FD EVENTS [as NAME | a bad address]`
    fn control(&mut self, epoll: &str, operation: &str, fd: &str, events: &str, rest: &[&str]) -> Outcome {
        let name = match *rest {
            ["as", name] => name,
            _ => fd,
        };
        let event = EpollEvent {
            events: bits(events)?,
            data: words::data(name),
        };
        let address = match *rest {
            [] | ["as", _] => core::ptr::from_ref(&event) as usize,
            [bad] => self.bad(bad)?,
            _ => return Err(Refused::NotUnderstood),
        };
        let (epoll, fd) = (self.fd(epoll)?, self.fd(fd)?);
        done(call(
            nr::EPOLL_CTL,
            [epoll as usize, number(operation)? as usize, fd as usize, address],
        ))
    }

    /// `wait EPOLL MAX [room N | a bad address]`: there is room for so many events and a half before memory ends.
    fn wait(&mut self, epoll: &str, max: &str, rest: &[&str]) -> Outcome {
        let max = number(max)?;
        let (address, room) = match *rest {
            ["room", room] => {
                let room = number(room)? as usize * EVENT_SIZE + EVENT_SIZE / 2;
                (self.edge.with_room(room), room)
            }
            _ => self.place(max.clamp(0, 64) as usize * EVENT_SIZE, rest)?,
        };
        let arguments = [self.fd(epoll)? as usize, address, max as usize, 0, 0, SIGSET_SIZE];
        let count = call(nr::EPOLL_PWAIT, arguments)?;
        let mut shown = count.to_string();
        for event in self.edge.bytes(room).chunks_exact(EVENT_SIZE).take(count) {
            let (events, data) = event.split_at(EVENT_SIZE - 8);
            let (Some(&events), Some(&data)) = (events.first_chunk(), data.first_chunk()) else {
                continue;
            };
            let data = words::data_name(u64::from_ne_bytes(data));
            shown += &format!(" {data}:{}", words::events(u32::from_ne_bytes(events)));
        }
        Ok(shown)
    }

    /// `poll FD:EVENTS ...`
    fn poll(&mut self, words: &[&str]) -> Outcome {
        let mut files = Vec::new();
        for word in words {
            let (fd, events) = word.split_once(':').ok_or(Refused::NotUnderstood)?;
            files.push(PollFd {
                fd: self.fd(fd)?,
                events: bits(events)? as u16,
                revents: 0,
            });
        }
        let count = event::ppoll(&mut files, Some(&mut Timespec::default()), None)?;
        let mut shown = count.to_string();
        for (word, file) in words.iter().zip(files) {
            let name = word.split(':').next().unwrap_or(word);
            shown += &format!(" {name}:{}", words::events(u32::from(file.revents)));
        }
        Ok(shown)
    }

    /// Sets a timer: `off`, `far` away, `past` (1 ns, and waits until it has expired), or `past` and then `periodic` with
    /// a period too long to end.
    fn arm(&mut self, fd: &str, how: &str, flags: &str) -> Outcome {
        let (value, interval) = match how {
            "off" => ([0, 0], [0, 0]),
            "far" => ([FAR_S, 0], [0, 0]),
            "past" => ([0, 1], [0, 0]),
            "periodic" => ([0, 1], [FAR_S, 0]),
            "wrong" => ([0, 1_000_000_000], [0, 0]),
            "negative" => ([-1, 0], [0, 0]),
            _ => return Err(Refused::NotUnderstood),
        };
        let setting: [[i64; 2]; 2] = [interval, value];
        let fd = self.fd(fd)?;
        let arguments = [
            fd as usize,
            number(flags)? as usize,
            core::ptr::from_ref(&setting) as usize,
            0,
        ];
        call(nr::TIMERFD_SETTIME, arguments)?;
        if matches!(how, "past" | "periodic") {
            let mut file = PollFd {
                fd,
                events: libsyscall::abi::event::EPOLLIN as u16,
                revents: 0,
            };
            const LONG: Timespec = Timespec {
                seconds: 10,
                nanoseconds: 0,
            };
            event::ppoll(std::slice::from_mut(&mut file), Some(&mut LONG.clone()), None)?;
        }
        Ok("0".to_string())
    }

    fn time_left(&mut self, fd: &str) -> Outcome {
        const LEN: usize = 32;
        call(nr::TIMERFD_GETTIME, [self.fd(fd)? as usize, self.edge.with_room(LEN)])?;
        let (interval, value) = self.edge.bytes(LEN).split_at(LEN / 2);
        let state = |bytes: &[u8]| {
            if bytes.iter().any(|&byte| byte != 0) {
                "some"
            } else {
                "none"
            }
        };
        Ok(format!("{} left, period {}", state(value), state(interval)))
    }

    /// Puts the next `len` bytes of the program's pattern before the edge.
    fn fill(&mut self, len: usize) {
        let first = self.written;
        for (number, byte) in self.edge.bytes(len).iter_mut().enumerate() {
            *byte = (first + number) as u8;
        }
    }

    fn sent(&mut self, count: Result<usize, Errno>) -> Outcome {
        self.written += count.unwrap_or(0);
        done(count)
    }

    /// How many bytes came, and the first and last of them: of a signal its number, of an eventfd its value.
    fn shown_bytes(&mut self, len: usize, count: usize) -> String {
        const SHOWN: usize = 8;
        let bytes = self.edge.bytes(len);
        let Some(bytes) = bytes.get(..count) else {
            return format!("{count}, more than asked for");
        };
        let mut shown = count.to_string();
        for byte in bytes.iter().take(SHOWN) {
            shown += &format!(" {byte:02x}");
        }
        // The rest of what a signalfd gives has process numbers in it.
        if count > SHOWN && !count.is_multiple_of(128) {
            shown += &format!(" .. {:02x}", bytes[count - 1]);
        }
        shown
    }
}

fn done(result: Result<usize, Errno>) -> Outcome {
    Ok(result?.to_string())
}

fn receive_flags(word: &str) -> Result<i32, Refused> {
    match word {
        "0" => Ok(0),
        "peek" => Ok(libc::MSG_PEEK),
        "trunc" => Ok(libc::MSG_TRUNC),
        _ => Err(Refused::NotUnderstood),
    }
}

/// Status flags by name, since some have other numbers on other machines.
fn status_flags(flags: u32) -> String {
    let mut shown = ["read", "write", "read-write", "path"][(flags & O_ACCMODE) as usize].to_string();
    for (flag, name) in [(O_NONBLOCK, " nonblock"), (O_DIRECT, " direct"), (O_APPEND, " append")] {
        if flags & flag != 0 {
            shown += name;
        }
    }
    shown
}
