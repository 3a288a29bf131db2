//! A pseudoterminal for tests: both ends open, unlocked.

use crate::{Fd, checked};
use libsyscall::abi::Errno;
use libsyscall::abi::ioctl::*;
use libsyscall::calls::file;
use std::ffi::CString;

#[derive(Debug)]
pub struct Pty {
    pub master: Fd,
    pub slave: Fd,
}

/// open(2).
pub fn open(path: &str, flags: i32) -> Result<Fd, Errno> {
    let path = CString::new(path).expect("a path without NUL");
    // SAFETY: the path ends with a NUL and lives through the call.
    checked(unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC) }).map(Fd)
}

/// ioctl(2) with a structure to fill or to read.
pub fn control<T>(fd: &Fd, command: u32, argument: &mut T) -> Result<(), Errno> {
    // SAFETY: every request used with a pointer takes one to a `T`, which lives through the call.
    checked(unsafe { libc::ioctl(fd.0, command.into(), std::ptr::from_mut(argument)) }).map(drop)
}

/// ioctl(2) with a number.
pub fn request(fd: &Fd, command: u32, argument: usize) -> Result<i32, Errno> {
    // SAFETY: the requests used with a number take no pointer.
    checked(unsafe { libc::ioctl(fd.0, command.into(), argument) })
}

pub fn get<T: Default>(fd: &Fd, command: u32) -> Result<T, Errno> {
    let mut value = T::default();
    control(fd, command, &mut value).map(|()| value)
}

/// A new master, its slave still locked.
pub fn master() -> Fd {
    open("/dev/ptmx", libc::O_RDWR | libc::O_NOCTTY).expect("open /dev/ptmx")
}

/// The slave's name.
pub fn slave_path(master: &Fd) -> String {
    format!("/dev/pts/{}", get::<u32>(master, TIOCGPTN).expect("TIOCGPTN"))
}

pub fn unlock(master: &Fd) {
    control(master, TIOCSPTLCK, &mut 0i32).expect("TIOCSPTLCK");
}

impl Pty {
    pub fn open() -> Pty {
        let master = master();
        unlock(&master);
        let slave = open(&slave_path(&master), libc::O_RDWR | libc::O_NOCTTY).expect("open the slave");
        Pty { master, slave }
    }

    /// A pair whose slave is raw: no lines, no echo, no signals, no translation.
    pub fn raw(minimum: u8, tenths: u8) -> Pty {
        let pty = Pty::open();
        pty.change(|settings| {
            settings.c_iflag = 0;
            settings.c_oflag = 0;
            settings.c_lflag = 0;
            settings.c_cc[VMIN] = minimum;
            settings.c_cc[VTIME] = tenths;
        });
        pty
    }

    pub fn settings(&self) -> Termios2 {
        settings(&self.slave)
    }

    /// Changes the slave's settings.
    pub fn change(&self, change: impl FnOnce(&mut Termios2)) {
        let mut settings = self.settings();
        change(&mut settings);
        control(&self.slave, TCSETS2, &mut settings).expect("TCSETS2");
    }

    /// Types at the master.
    pub fn type_in(&self, keys: &str) {
        file::write_all(self.master.0, keys.as_bytes()).expect("write to the master");
    }

    /// One read of the slave.
    pub fn read(&self) -> Result<String, Errno> {
        read(&self.slave)
    }

    /// Reads the screen until it shows `end`; all that was read.
    pub fn screen_until(&self, end: &str) -> String {
        let mut screen = String::new();
        while !screen.ends_with(end) {
            match read(&self.master) {
                Ok(more) => screen.push_str(&more),
                Err(errno) => panic!("{errno:?} after {screen:?}, before {end:?}"),
            }
        }
        screen
    }
}

pub fn settings(fd: &Fd) -> Termios2 {
    // SAFETY: all zero bytes are a termios2.
    let mut settings = unsafe { std::mem::zeroed() };
    control(fd, TCGETS2, &mut settings).expect("TCGETS2");
    settings
}

/// One read as text.
pub fn read(fd: &Fd) -> Result<String, Errno> {
    let mut buffer = [0; 4096];
    let count = fd.read(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..count]).into_owned())
}

/// Waits until poll(2) reports one of `events`, or one that is always reported; what it reports. Bytes take a moment from
/// one end to the other on Linux.
pub fn wait_for(fd: &Fd, events: i16) -> i16 {
    let mut polled = libc::pollfd {
        fd: fd.0,
        events,
        revents: 0,
    };
    // SAFETY: one entry, which lives through the call.
    let count = checked(unsafe { libc::poll(&mut polled, 1, 10_000) }).expect("poll");
    assert_ne!(count, 0, "nothing of {events:#x} came");
    polled.revents
}

/// What poll(2) reports now.
pub fn poll(fd: &Fd, events: i16) -> i16 {
    let mut polled = libc::pollfd {
        fd: fd.0,
        events,
        revents: 0,
    };
    // SAFETY: as above.
    checked(unsafe { libc::poll(&mut polled, 1, 0) }).expect("poll");
    polled.revents
}
