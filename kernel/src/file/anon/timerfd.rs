//! timerfd_create(2): a timer that can be waited for.

use crate::file::{File, OpenFile};
use crate::fs::Stat;
use crate::mm::user::{self, Sink};
use crate::task;
use crate::time;
use crate::time::queue::{self, Expire, Timer};
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use core::fmt::Write;
use event::{EventMask, Pollable, WaitQueue, Waiter, Woken};
use libsyscall::abi::Errno;
use libsyscall::abi::epoll::{TFD_IOC_SET_TICKS, TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET};
use libsyscall::abi::time::{CLOCK_BOOTTIME_ALARM, CLOCK_REALTIME, CLOCK_REALTIME_ALARM};
use sync::SpinLock;

/// Bytes of a read.
const LEN: usize = size_of::<u64>();

/// What timerfd_gettime(2) says: nanoseconds to the next expiry (0: none is to come), and from there on again and again
/// (0: not).
#[derive(Clone, Copy, Default)]
pub struct Setting {
    pub value_ns: u64,
    pub interval_ns: u64,
}

#[derive(Default)]
struct State {
    /// The next expiry, on the clock that [`State::follows_realtime`] tells.
    deadline_ns: Option<u64>,
    interval_ns: u64,
    /// An absolute time of CLOCK_REALTIME, which moves against the moment it names when that clock is set. Every other
    /// time is a moment of [`time::now_ns`].
    follows_realtime: bool,
    /// Of timerfd_settime(2), for fdinfo.
    flags: u32,
    /// Expirations not read yet.
    ticks: u64,
    /// It has expired and rests: a periodic timer that nobody reads costs nothing, and the read counts what it missed.
    rests: bool,
    /// TFD_TIMER_CANCEL_ON_SET holds.
    cancel_on_set: bool,
    /// The clock was set since the last read.
    canceled: bool,
}

impl State {
    fn now_ns(&self) -> u64 {
        if self.follows_realtime {
            time::realtime_ns()
        } else {
            time::now_ns()
        }
    }

    /// Has a resting periodic timer's next expiry in the future, and the expirations up to now counted.
    fn catch_up(&mut self) {
        if let (true, Some(deadline_ns), 1..) = (self.rests, self.deadline_ns, self.interval_ns)
            && let Some(late_ns) = self.now_ns().checked_sub(deadline_ns)
        {
            let missed = late_ns / self.interval_ns + 1;
            self.ticks += missed;
            self.deadline_ns = Some(deadline_ns.saturating_add(missed.saturating_mul(self.interval_ns)));
        }
    }

    /// After [`State::catch_up`], or of a timer that rests: that has nothing left.
    fn setting(&self) -> Setting {
        Setting {
            value_ns: self
                .deadline_ns
                .map_or(0, |deadline_ns| deadline_ns.saturating_sub(self.now_ns())),
            interval_ns: self.interval_ns,
        }
    }

    /// ECANCELED, once, where the clock was set meanwhile.
    fn check_canceled(&mut self) -> Result<(), Errno> {
        if self.cancel_on_set && core::mem::take(&mut self.canceled) {
            Err(Errno::ECANCELED)
        } else {
            Ok(())
        }
    }
}

pub struct TimerFd {
    me: Weak<TimerFd>,
    clock: i32,
    state: SpinLock<State>,
    timer: Timer,
    queue: WaitQueue,
    /// Its entry among those who hear that CLOCK_REALTIME was set; from the first time that concerns it.
    clock_watch: SpinLock<Option<u32>>,
}

impl TimerFd {
    pub fn new(clock: i32) -> Result<Arc<TimerFd>, Errno> {
        let timer = Timer::new()?;
        Ok(Arc::new_cyclic(|me| TimerFd {
            me: me.clone(),
            clock,
            state: SpinLock::default(),
            timer,
            queue: WaitQueue::new(),
            clock_watch: SpinLock::new(None),
        }))
    }

    /// Whether it would wake a sleeping machine: CAP_WAKE_ALARM.
    pub fn is_alarm(&self) -> bool {
        matches!(self.clock, CLOCK_REALTIME_ALARM | CLOCK_BOOTTIME_ALARM)
    }

    /// timerfd_gettime(2). A periodic timer that rests goes on from here.
    pub fn setting(&self) -> Setting {
        let mut state = self.state.lock();
        self.go_on(&mut state);
        state.setting()
    }

    /// timerfd_settime(2): forgets expirations not read (semantics 178). What it was set to. ECANCELED, though it is set,
    /// where CLOCK_REALTIME was and the last setting asked to hear of it; ENOMEM.
    pub fn set(&self, flags: u32, new: Setting) -> Result<Setting, Errno> {
        let is_realtime = matches!(self.clock, CLOCK_REALTIME | CLOCK_REALTIME_ALARM);
        let follows_realtime = is_realtime && flags & TFD_TIMER_ABSTIME != 0;
        if follows_realtime {
            self.watch_clock()?;
        }
        let mut state = self.state.lock();
        state.catch_up();
        let old = state.setting();
        state.cancel_on_set = follows_realtime && flags & TFD_TIMER_CANCEL_ON_SET != 0;
        state.follows_realtime = follows_realtime;
        state.interval_ns = new.interval_ns;
        (state.ticks, state.rests) = (0, false);
        state.deadline_ns = match new.value_ns {
            0 => None,
            value_ns if flags & TFD_TIMER_ABSTIME != 0 => Some(value_ns),
            value_ns => Some(state.now_ns().saturating_add(value_ns)),
        };
        self.arm(&state);
        if state.deadline_ns.is_some() {
            state.check_canceled()?;
        }
        state.flags = flags;
        Ok(old)
    }

    /// TFD_IOC_SET_TICKS: as if it had expired so often. EINVAL for 0; ECANCELED.
    fn set_ticks(&self, ticks: u64) -> Result<(), Errno> {
        if ticks == 0 {
            return Err(Errno::EINVAL);
        }
        let mut state = self.state.lock();
        state.check_canceled()?;
        state.ticks = ticks;
        drop(state);
        self.queue.wake(EventMask::IN);
        Ok(())
    }

    /// Takes the count of expirations. EAGAIN while there is none; ECANCELED.
    fn try_read(&self) -> Result<u64, Errno> {
        let mut state = self.state.lock();
        if let Err(canceled) = state.check_canceled() {
            (state.ticks, state.rests) = (0, false);
            return Err(canceled);
        }
        if state.ticks == 0 {
            return Err(Errno::EAGAIN);
        }
        self.go_on(&mut state);
        Ok(core::mem::take(&mut state.ticks))
    }

    /// Starts a periodic timer again that rests.
    fn go_on(&self, state: &mut State) {
        if state.rests && state.interval_ns > 0 {
            state.catch_up();
            self.arm(state);
        }
        state.rests = false;
    }

    fn arm(&self, state: &State) {
        let Some(deadline_ns) = state.deadline_ns else {
            return self.timer.cancel();
        };
        let moment_ns = if state.follows_realtime {
            time::from_realtime_ns(deadline_ns)
        } else {
            deadline_ns
        };
        if let Some(me) = self.me.upgrade() {
            queue::arm(me, moment_ns);
        }
    }

    /// From here on it hears of CLOCK_REALTIME being set.
    fn watch_clock(&self) -> Result<(), Errno> {
        let mut watch = self.clock_watch.lock();
        if let (None, Some(me)) = (*watch, self.me.upgrade()) {
            *watch = Some(time::CLOCK_SET.add(me, 0, EventMask::IN)?);
        }
        Ok(())
    }
}

/// CLOCK_REALTIME was set.
impl Waiter for TimerFd {
    fn wake(&self, _token: u32, _events: EventMask) -> Woken {
        let mut state = self.state.lock();
        if state.follows_realtime && !state.rests {
            self.arm(&state);
        }
        if state.cancel_on_set {
            state.canceled = true;
            state.ticks += 1;
            drop(state);
            self.queue.wake(EventMask::IN);
        }
        Woken::Yes
    }
}

impl Expire for TimerFd {
    fn timer(&self) -> &Timer {
        &self.timer
    }

    fn expired(self: Arc<Self>) {
        let mut state = self.state.lock();
        match state.deadline_ns {
            Some(deadline_ns) if deadline_ns <= state.now_ns() && !state.rests => {
                state.ticks += 1;
                state.rests = true;
                let interval_ns = state.interval_ns;
                state.deadline_ns = (interval_ns != 0).then(|| deadline_ns.saturating_add(interval_ns));
            }
            // Set anew while this expiry was on its way, or the clock was set back.
            _ => return,
        }
        drop(state);
        self.queue.wake(EventMask::IN);
    }
}

impl Pollable for TimerFd {
    fn readiness(&self) -> EventMask {
        if self.state.lock().ticks > 0 {
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
        let attempt = || self.0.try_read();
        let count = match attempt() {
            Err(Errno::EAGAIN) if !open.nonblocking() => task::block_on(&self.0.queue, EventMask::IN, None, attempt)?,
            result => result?,
        };
        to.put(&count.to_ne_bytes())
    }

    fn ioctl(&self, _open: &OpenFile, command: u32, argument: usize) -> Result<usize, Errno> {
        match command {
            TFD_IOC_SET_TICKS => self.0.set_ticks(user::read(argument)?).map(|()| 0),
            _ => Err(Errno::ENOTTY),
        }
    }

    fn transfers(&self) -> (bool, bool) {
        (true, false)
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
        let state = self.0.state.lock();
        let setting = state.setting();
        let value_ns = if state.rests { 0 } else { setting.value_ns };
        let (clock, ticks, flags) = (self.0.clock, state.ticks, state.flags);
        drop(state);
        let pair = |ns: u64| (ns / 1_000_000_000, ns % 1_000_000_000);
        let _ = writeln!(
            out,
            "clockid: {clock}\nticks: {ticks}\nsettime flags: 0{flags:o}\nit_value: {:?}\nit_interval: {:?}",
            pair(value_ns),
            pair(setting.interval_ns)
        );
    }

    fn release(&self, _open: &OpenFile) {
        self.0.timer.cancel();
        // Not under its own lock: it may be the last share.
        let watch = self.0.clock_watch.lock().take();
        if let Some(entry) = watch {
            time::CLOCK_SET.remove(entry);
        }
    }
}
