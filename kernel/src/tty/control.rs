//! ioctl_tty(2), from either end of a terminal.

use super::terminal::{Far, Terminal};
use crate::fs::{self, access};
use crate::mm::user;
use crate::task;
use alloc::sync::Arc;
use libsyscall::abi::Errno;
use libsyscall::abi::capability::CAP_SYS_TTY_CONFIG;
use libsyscall::abi::ioctl::*;
use libsyscall::abi::signal::SIGTTOU;

/// From which end a request comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Slave,
    Master,
}

/// A request of the terminal, made at `end`. ENOTTY for one it does not have.
pub fn ioctl(terminal: &Arc<Terminal>, end: End, command: u32, argument: usize) -> Result<usize, Errno> {
    if end == End::Slave && terminal.is_hung_up() {
        return Err(if command == TIOCSPGRP {
            Errno::ENOTTY
        } else {
            Errno::EIO
        });
    }
    match command {
        TCGETS => user::write(argument, &shorten(terminal.settings()))?,
        TCGETS2 => user::write(argument, &terminal.settings())?,
        TCSETS | TCSETSW | TCSETSF => {
            let settings = widen(user::read(argument)?, terminal.settings());
            terminal.check_foreground(SIGTTOU)?;
            terminal.set_settings(settings, command == TCSETSF);
        }
        TCSETS2 | TCSETSW2 | TCSETSF2 => {
            let settings = user::read(argument)?;
            terminal.check_foreground(SIGTTOU)?;
            terminal.set_settings(settings, command == TCSETSF2);
        }
        TIOCGWINSZ => {
            let window = terminal.state.lock().window;
            user::write(argument, &window)?;
        }
        TIOCSWINSZ => terminal.set_window(user::read(argument)?),
        TIOCGPGRP | TIOCGSID => {
            let (session, foreground) = {
                let state = terminal.state.lock();
                (state.session, state.foreground)
            };
            if end == End::Slave && !terminal.controls_current() {
                return Err(Errno::ENOTTY);
            }
            if command == TIOCGSID && session == 0 {
                return Err(Errno::ENOTTY);
            }
            let answer = if command == TIOCGPGRP { foreground } else { session };
            user::write(argument, &answer)?;
        }
        TIOCSPGRP => terminal.set_foreground(argument)?,
        TIOCSCTTY => terminal.set_controlling(argument == 1)?,
        TIOCNOTTY => terminal.give_up()?,
        TIOCEXCL | TIOCNXCL => terminal.state.lock().exclusive = command == TIOCEXCL,
        TIOCVHANGUP if access::current().has(CAP_SYS_TTY_CONFIG) => terminal.hang_up(),
        TIOCVHANGUP => return Err(Errno::EPERM),
        // The line discipline is N_TTY, number 0.
        TIOCGETD => user::write(argument, &0i32)?,
        TIOCGDEV => user::write(argument, &(device(terminal) as u32))?,
        FIONREAD => {
            let count = match end {
                End::Slave => terminal.state.lock().line.available(),
                End::Master => terminal.output_len(),
            };
            user::write(argument, &(count as i32))?;
        }
        // What was written is with the other end.
        TIOCOUTQ => user::write(argument, &0i32)?,
        TCFLSH => {
            terminal.check_foreground(SIGTTOU)?;
            let (received, sent) = match argument {
                TCIFLUSH => (true, false),
                TCOFLUSH => (false, true),
                TCIOFLUSH => (true, true),
                _ => return Err(Errno::EINVAL),
            };
            match end {
                End::Slave => terminal.flush(received, sent),
                End::Master => terminal.flush(sent, received),
            }
        }
        TCXONC => {
            terminal.check_foreground(SIGTTOU)?;
            flow(terminal, argument)?;
        }
        // tcdrain(3): all has been sent. A break is no byte; neither the console's line nor a master takes one.
        TCSBRK | TCSBRKP => terminal.check_foreground(SIGTTOU)?,
        _ => return Err(Errno::ENOTTY),
    }
    Ok(0)
}

/// The device number of a terminal.
pub fn device(terminal: &Terminal) -> u64 {
    match terminal.far {
        Far::Console => fs::CONSOLE_DEVICE,
        Far::Master(number) => fs::devpts::device_of(number),
    }
}

/// tcflow(3).
fn flow(terminal: &Terminal, action: usize) -> Result<(), Errno> {
    let characters = terminal.settings().c_cc;
    match action {
        TCOOFF | TCOON => terminal.set_stopped(action == TCOOFF),
        TCIOFF => terminal.write_unprocessed(characters[VSTOP]),
        TCION => terminal.write_unprocessed(characters[VSTART]),
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}

impl Terminal {
    /// TIOCSPGRP: a group of the session comes to the foreground.
    fn set_foreground(self: &Arc<Self>, argument: usize) -> Result<(), Errno> {
        match self.check_foreground(SIGTTOU) {
            Err(Errno::EIO) => return Err(Errno::ENOTTY),
            checked => checked?,
        }
        if !self.controls_current() {
            return Err(Errno::ENOTTY);
        }
        let group: i32 = user::read(argument)?;
        if group < 0 {
            return Err(Errno::EINVAL);
        }
        let own = task::with_current(|thread| thread.process.session());
        match task::group_session(group) {
            None => Err(Errno::ESRCH),
            Some(session) if session != own => Err(Errno::EPERM),
            Some(_) => {
                self.state.lock().foreground = group;
                Ok(())
            }
        }
    }
}

/// Speeds by their number in `c_cflag`, bits a second: the old ones, then those with [`BOTHER`]'s bit.
const SPEEDS: [[u32; 16]; 2] = [
    [
        0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400,
    ],
    [
        0, 57600, 115_200, 230_400, 460_800, 500_000, 576_000, 921_600, 1_000_000, 1_152_000, 1_500_000, 2_000_000,
        2_500_000, 3_000_000, 3_500_000, 4_000_000,
    ],
];

/// The short structure over what is there already; the speed comes from its number.
fn widen(short: Termios, old: Termios2) -> Termios2 {
    let class = SPEEDS[(short.c_cflag & BOTHER != 0) as usize];
    let speed = match short.c_cflag & CBAUD {
        BOTHER => old.c_ospeed,
        number => class[(number & 0xf) as usize],
    };
    Termios2 {
        c_iflag: short.c_iflag,
        c_oflag: short.c_oflag,
        c_cflag: short.c_cflag,
        c_lflag: short.c_lflag,
        c_line: short.c_line,
        c_cc: short.c_cc,
        c_ispeed: speed,
        c_ospeed: speed,
    }
}

fn shorten(long: Termios2) -> Termios {
    Termios {
        c_iflag: long.c_iflag,
        c_oflag: long.c_oflag,
        c_cflag: long.c_cflag,
        c_lflag: long.c_lflag,
        c_line: long.c_line,
        c_cc: long.c_cc,
    }
}
