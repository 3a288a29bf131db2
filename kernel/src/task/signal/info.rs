//! siginfo_t: what a signal says of itself.

use crate::task::current;
use crate::time::signal_timer::Origin;
use libsyscall::abi::signal::*;

/// siginfo_t without its padding: three ints and the union's first 32 bytes, which is all of it that Linux uses here.
#[derive(Clone, Copy, Debug)]
pub struct Info {
    pub signal: u32,
    pub error: i32,
    pub code: i32,
    pub payload: [u8; 32],
    /// The timer that sent it, which wants to know when it is taken.
    pub origin: Option<Origin>,
}

/// The kinds of siginfo_t, sigaction(2), "The siginfo_t argument".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// si_pid, si_uid.
    Kill,
    /// The same and si_value.
    Queue,
    /// si_timerid, si_overrun, si_value.
    Timer,
    /// si_band, si_fd.
    Poll,
    /// si_pid, si_uid, si_status, si_utime, si_stime.
    Child,
    /// si_addr.
    Fault,
    /// si_call_addr, si_syscall, si_arch.
    System,
}

impl Info {
    pub fn new(signal: u32, code: i32) -> Info {
        Info {
            signal,
            error: 0,
            code,
            payload: [0; 32],
            origin: None,
        }
    }

    /// From the kernel itself.
    pub fn kernel(signal: u32) -> Info {
        Info::new(signal, SI_KERNEL)
    }

    /// From the running process: kill(2), tgkill(2).
    pub fn from_running(signal: u32, code: i32) -> Info {
        current::with_current(|thread| {
            Info::new(signal, code).with_sender(thread.process.pid, thread.credentials().uid.real)
        })
    }

    /// A fault at an address.
    pub fn fault(signal: u32, code: i32, address: usize) -> Info {
        let mut info = Info::new(signal, code);
        info.payload[..8].copy_from_slice(&(address as u64).to_ne_bytes());
        info
    }

    /// The address that a fault was at, where it had one.
    pub fn fault_address(&self) -> Option<u64> {
        let [address, ..] = self.payload.as_chunks::<8>().0 else {
            return None;
        };
        (self.layout() == Layout::Fault).then(|| u64::from_ne_bytes(*address))
    }

    pub fn with_sender(mut self, pid: i32, uid: u32) -> Info {
        self.payload[..4].copy_from_slice(&pid.to_ne_bytes());
        self.payload[4..8].copy_from_slice(&uid.to_ne_bytes());
        self
    }

    /// si_status, si_utime, si_stime of SIGCHLD.
    pub fn with_status(mut self, status: i32, user_ticks: u64) -> Info {
        self.payload[8..12].copy_from_slice(&status.to_ne_bytes());
        self.payload[16..24].copy_from_slice(&user_ticks.to_ne_bytes());
        self
    }

    /// si_band and si_fd of SIGIO and what stands for it.
    pub fn with_band(mut self, band: u32, fd: i32) -> Info {
        self.payload[..8].copy_from_slice(&u64::from(band).to_ne_bytes());
        self.payload[8..12].copy_from_slice(&fd.to_ne_bytes());
        self
    }

    /// si_value of SI_MESGQ and SI_TIMER.
    pub fn with_value(mut self, value: u64) -> Info {
        self.payload[8..16].copy_from_slice(&value.to_ne_bytes());
        self
    }

    /// si_timerid and si_value of SI_TIMER.
    pub fn with_timer(mut self, number: i32, value: u64) -> Info {
        self.payload[..4].copy_from_slice(&number.to_ne_bytes());
        self.with_value(value)
    }

    /// si_overrun of SI_TIMER.
    pub fn set_overrun(&mut self, overrun: i32) {
        self.payload[4..8].copy_from_slice(&overrun.to_ne_bytes());
    }

    /// Which members of the union it has.
    pub fn layout(&self) -> Layout {
        match (self.code, self.signal) {
            (SI_TIMER, _) => Layout::Timer,
            (SI_SIGIO, _) => Layout::Poll,
            (..SI_USER, _) => Layout::Queue,
            (SI_USER | SI_KERNEL.., _) => Layout::Kill,
            (_, SIGCHLD) => Layout::Child,
            (_, SIGSEGV | SIGBUS | SIGILL | SIGFPE | SIGTRAP) => Layout::Fault,
            (_, SIGSYS) => Layout::System,
            (POLL_IN..=POLL_HUP, _) => Layout::Poll,
            _ => Layout::Kill,
        }
    }

    pub fn to_bytes(self) -> [u8; SIGINFO_SIZE] {
        let mut bytes = [0; SIGINFO_SIZE];
        bytes[..4].copy_from_slice(&self.signal.to_ne_bytes());
        bytes[4..8].copy_from_slice(&self.error.to_ne_bytes());
        bytes[8..12].copy_from_slice(&self.code.to_ne_bytes());
        bytes[16..48].copy_from_slice(&self.payload);
        bytes
    }

    pub fn from_bytes(signal: u32, bytes: &[u8; SIGINFO_SIZE]) -> Info {
        let int = |at: usize| i32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let mut payload = [0; 32];
        payload.copy_from_slice(&bytes[16..48]);
        Info {
            signal,
            error: int(4),
            code: int(8),
            payload,
            origin: None,
        }
    }
}
