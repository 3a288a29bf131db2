//! setitimer(ITIMER_REAL) and alarm(2): SIGALRM to a process after a time, and perhaps again.

use super::queue::{self, Expire, Timer};
use crate::task::Process;
use crate::task::signal::Info;
use alloc::sync::{Arc, Weak};
use libsyscall::abi::{Errno, signal::SIGALRM};
use sync::SpinLock;

/// The one real-time interval timer of a process.
pub struct IntervalTimer {
    timer: Timer,
    process: Weak<Process>,
    setting: SpinLock<Setting>,
}

/// When it rings next (0: never) and how long after that again (0: not).
#[derive(Clone, Copy, Default)]
pub struct Setting {
    pub deadline_ns: u64,
    pub interval_ns: u64,
}

impl IntervalTimer {
    pub fn new(process: &Arc<Process>) -> Result<Arc<IntervalTimer>, Errno> {
        Ok(Arc::new(IntervalTimer {
            timer: Timer::new()?,
            process: Arc::downgrade(process),
            setting: SpinLock::default(),
        }))
    }

    pub fn setting(&self) -> Setting {
        *self.setting.lock()
    }

    /// Sets it anew; what it was set to. Arming happens under the setting's lock, so that settings don't overtake each
    /// other.
    pub fn set(self: &Arc<Self>, new: Setting) -> Setting {
        let mut setting = self.setting.lock();
        let old = core::mem::replace(&mut *setting, new);
        if new.deadline_ns == 0 {
            self.timer.cancel();
        } else {
            queue::arm(self.clone(), new.deadline_ns);
        }
        old
    }
}

impl Expire for IntervalTimer {
    fn timer(&self) -> &Timer {
        &self.timer
    }

    fn expired(self: Arc<Self>) {
        let mut setting = self.setting.lock();
        let now_ns = super::now_ns();
        if setting.deadline_ns == 0 || setting.deadline_ns > now_ns {
            return; // Set anew while this expiry was on its way.
        }
        match (now_ns - setting.deadline_ns).checked_div(setting.interval_ns) {
            None => setting.deadline_ns = 0,
            Some(missed) => {
                setting.deadline_ns += (missed + 1) * setting.interval_ns;
                queue::arm(self.clone(), setting.deadline_ns);
            }
        }
        drop(setting);
        if let Some(process) = self.process.upgrade() {
            process.send_signal(SIGALRM, Info::kernel(SIGALRM));
        }
    }
}
