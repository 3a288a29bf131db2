//! timerfd_create(2): a timer that can be waited for.

use crate::file::{File, OpenFile};
use crate::fs::Stat;
use crate::mm::user::Sink;
use crate::task;
use crate::time;
use crate::time::queue::{self, Expire, Timer};
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt::Write;
use event::{EventMask, Pollable, WaitQueue};
use libsyscall::abi::Errno;
use sync::SpinLock;

/// Bytes of a read.
const LEN: usize = size_of::<u64>();

/// When it expires next (`None`: disarmed), and how long after that again (0: not).
#[derive(Clone, Copy, Default)]
pub struct Setting {
    pub deadline_ns: Option<u64>,
    pub interval_ns: u64,
}

#[derive(Default)]
struct State {
    setting: Setting,
    /// Expirations not read yet. While there are some, a periodic timer rests: the read counts those missed meanwhile and
    /// starts it again, so that an unread timer costs nothing.
    expirations: u64,
}

pub struct TimerFd {
    pub clock: i32,
    state: SpinLock<State>,
    timer: Timer,
    queue: WaitQueue,
}

impl TimerFd {
    pub fn new(clock: i32) -> Result<Arc<TimerFd>, Errno> {
        Ok(Arc::new(TimerFd {
            clock,
            state: SpinLock::default(),
            timer: Timer::new()?,
            queue: WaitQueue::new(),
        }))
    }

    /// timerfd_gettime(2), the next expiry as a moment of [`time::now_ns`].
    pub fn setting(&self) -> Setting {
        let state = self.state.lock();
        let mut setting = state.setting;
        if let (Some(deadline_ns), 1..) = (setting.deadline_ns, setting.interval_ns) {
            setting.deadline_ns = Some(deadline_ns + missed(deadline_ns, setting.interval_ns) * setting.interval_ns);
        }
        setting
    }

    /// timerfd_settime(2): forgets expirations not read (semantics 178). What it was set to.
    pub fn set(self: &Arc<Self>, new: Setting) -> Setting {
        let old = self.setting();
        let mut state = self.state.lock();
        *state = State {
            setting: new,
            expirations: 0,
        };
        match new.deadline_ns {
            Some(deadline_ns) => queue::arm(self.clone(), deadline_ns),
            None => self.timer.cancel(),
        }
        old
    }

    /// Takes the count of expirations; `None` while there is none.
    fn try_read(self: &Arc<Self>) -> Option<u64> {
        let mut state = self.state.lock();
        if state.expirations == 0 {
            return None;
        }
        let mut count = core::mem::take(&mut state.expirations);
        let interval_ns = state.setting.interval_ns;
        if let (Some(deadline_ns), 1..) = (state.setting.deadline_ns, interval_ns) {
            let missed = missed(deadline_ns, interval_ns);
            count += missed;
            let next_ns = deadline_ns + missed * interval_ns;
            state.setting.deadline_ns = Some(next_ns);
            queue::arm(self.clone(), next_ns);
        }
        Some(count)
    }
}

/// Periods from `deadline_ns` on that have passed by now.
fn missed(deadline_ns: u64, interval_ns: u64) -> u64 {
    match time::now_ns().checked_sub(deadline_ns) {
        Some(late_ns) => late_ns / interval_ns + 1,
        None => 0,
    }
}

impl Expire for TimerFd {
    fn timer(&self) -> &Timer {
        &self.timer
    }

    fn expired(self: Arc<Self>) {
        let mut state = self.state.lock();
        match state.setting.deadline_ns {
            Some(deadline_ns) if deadline_ns <= time::now_ns() && state.expirations == 0 => {
                state.expirations = 1;
                let interval_ns = state.setting.interval_ns;
                state.setting.deadline_ns = (interval_ns != 0).then(|| deadline_ns.saturating_add(interval_ns));
            }
            // Set anew while this expiry was on its way.
            _ => return,
        }
        drop(state);
        self.queue.wake(EventMask::IN);
    }
}

impl Pollable for TimerFd {
    fn readiness(&self) -> EventMask {
        if self.state.lock().expirations > 0 {
            EventMask::IN
        } else {
            EventMask::empty()
        }
    }

    fn wait_queue(&self) -> &WaitQueue {
        &self.queue
    }
}

pub struct TimerFile(pub Arc<TimerFd>);

impl File for TimerFile {
    fn read(&self, open: &OpenFile, to: &mut Sink) -> Result<usize, Errno> {
        if to.len() < LEN {
            return Err(Errno::EINVAL);
        }
        let attempt = || self.0.try_read().ok_or(Errno::EAGAIN);
        let count = match attempt() {
            Err(Errno::EAGAIN) if !open.nonblocking() => task::block_on(&self.0.queue, EventMask::IN, None, attempt)?,
            result => result?,
        };
        to.put(&count.to_ne_bytes())?;
        Ok(LEN)
    }

    fn stat(&self) -> Stat {
        super::stat()
    }

    fn seek_stream(&self) -> Result<u64, Errno> {
        Ok(0)
    }

    fn pollable(self: Arc<Self>) -> Option<Arc<dyn Pollable>> {
        Some(self.0.clone())
    }

    fn link_name(&self) -> String {
        String::from("anon_inode:[timerfd]")
    }

    fn fdinfo(&self, out: &mut String) {
        let setting = self.0.setting();
        let ticks = self.0.state.lock().expirations;
        let value_ns = setting
            .deadline_ns
            .map_or(0, |deadline_ns| deadline_ns.saturating_sub(time::now_ns()));
        let pair = |ns: u64| (ns / 1_000_000_000, ns % 1_000_000_000);
        let _ = writeln!(
            out,
            "clockid: {}\nticks: {ticks}\nsettime flags: 00\nit_value: {:?}\nit_interval: {:?}",
            self.0.clock,
            pair(value_ns),
            pair(setting.interval_ns)
        );
    }

    fn release(&self, _open: &OpenFile) {
        self.0.set(Setting::default());
    }
}
