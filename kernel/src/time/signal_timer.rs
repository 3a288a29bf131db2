//! Timers that send a signal: setitimer(2), alarm(2) and timer_create(2).
//!
//! A periodic timer rests from its expiry until its signal is taken; the periods that pass meanwhile are its overrun. So a
//! timer costs one expiry for each signal that somebody takes, however short its period is.

use super::queue::{self, Expire, Timer};
use crate::arch;
use crate::task::signal::{Info, bit};
use crate::task::{Process, Thread};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use libsyscall::abi::signal::{SI_TIMER, SIGALRM, SIGPROF, SIGVTALRM};
use libsyscall::abi::{
    Errno,
    time::{ITIMER_REAL, ITIMER_VIRTUAL},
};
use sync::SpinLock;

/// How late the expiry of a timer on CPU time may be noticed, and the shortest period of one whose signal is ignored.
const TICK_NS: u64 = 4_000_000;

/// What a timer counts.
pub enum Clock {
    /// Nanoseconds of [`super::now_ns`]; as moments, those of CLOCK_REALTIME.
    Monotonic,
    Realtime,
    /// The CPU time of a process, of a thread.
    Process(Weak<Process>),
    Thread(Weak<Thread>),
}

impl Clock {
    /// `None` when what it counts for has gone.
    pub fn now_ns(&self) -> Option<u64> {
        match self {
            Clock::Monotonic | Clock::Realtime => Some(super::now_ns()),
            Clock::Process(process) => process.upgrade().map(|process| process.ran_ns()),
            Clock::Thread(thread) => thread.upgrade().map(|thread| thread.ran_ns()),
        }
    }

    /// A moment that a program names, as one of [`Clock::now_ns`].
    pub fn moment_ns(&self, named_ns: u64) -> u64 {
        match self {
            Clock::Realtime => super::from_realtime_ns(named_ns),
            _ => named_ns,
        }
    }

    /// How fast it may run: CPU seconds in a second.
    fn speed(&self) -> u64 {
        match self {
            Clock::Process(_) => arch::cpu::online() as u64,
            Clock::Monotonic | Clock::Realtime | Clock::Thread(_) => 1,
        }
    }
}

/// When it rings next by its clock (0: never) and how long after that again (0: not).
#[derive(Clone, Copy, Default)]
pub struct Setting {
    pub deadline_ns: u64,
    pub interval_ns: u64,
}

impl Setting {
    /// Periods that have passed by `now_ns`; the next moment that has not come.
    fn advance(&mut self, now_ns: u64) -> u64 {
        let Some(late_ns) = now_ns.checked_sub(self.deadline_ns) else {
            return 0;
        };
        let passed = late_ns / self.interval_ns + 1;
        self.deadline_ns = self.deadline_ns.saturating_add(passed.saturating_mul(self.interval_ns));
        passed
    }
}

/// The timer and the setting that queued a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    slot: u32,
    made: u32,
    serial: u32,
}

#[derive(Default)]
struct State {
    setting: Setting,
    /// Counts settings: a signal of an earlier one is void.
    serial: u32,
    /// Its signal is queued and not taken.
    is_queued: bool,
    /// Of the signal taken last.
    overrun: i32,
}

pub struct SignalTimer {
    timer: Timer,
    clock: Clock,
    process: Weak<Process>,
    /// The one thread that gets the signal, if not any.
    thread: Option<Weak<Thread>>,
    /// What is sent; nothing for a timer that is only looked at.
    signal: Option<Info>,
    slot: u32,
    /// Tells it from the timers that had its slot before: a signal of theirs is void.
    made: u32,
    state: SpinLock<State>,
}

impl SignalTimer {
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What it is set to, with the next expiry of a periodic timer that rests.
    pub fn setting(&self) -> Setting {
        let mut setting = self.state.lock().setting;
        if setting.deadline_ns != 0
            && setting.interval_ns != 0
            && let Some(now_ns) = self.clock.now_ns()
        {
            setting.advance(now_ns);
        }
        setting
    }

    /// Sets it anew; what it was set to. Arming happens under the state's lock, so that settings don't overtake each
    /// other.
    pub fn set(self: &Arc<Self>, new: Setting) -> Setting {
        let old = self.setting();
        let mut state = self.state.lock();
        *state = State {
            setting: new,
            serial: state.serial.wrapping_add(1),
            is_queued: false,
            overrun: 0,
        };
        self.arm(&state, 0);
        old
    }

    /// timer_getoverrun(2).
    pub fn overrun(&self) -> i32 {
        self.state.lock().overrun
    }

    /// Has the queue call by the deadline, not within `rest_ns` from now.
    fn arm(self: &Arc<Self>, state: &State, rest_ns: u64) {
        let deadline_ns = state.setting.deadline_ns;
        let until_ns = match (deadline_ns, self.clock.now_ns()) {
            (0, _) | (_, None) => return self.timer.cancel(),
            (_, Some(now_ns)) => deadline_ns.saturating_sub(now_ns) / self.clock.speed(),
        };
        queue::arm(self.clone(), super::now_ns().saturating_add(until_ns.max(rest_ns)));
    }

    /// Its signal has been taken: counts the overrun and goes on. False where the signal is void.
    fn taken(self: &Arc<Self>, origin: Origin, info: &mut Info) -> bool {
        if self.made != origin.made {
            return false;
        }
        let mut state = self.state.lock();
        if state.serial != origin.serial {
            // setitimer(2) takes nothing back.
            return self.is_interval_timer();
        }
        state.is_queued = false;
        if state.setting.interval_ns != 0
            && let Some(now_ns) = self.clock.now_ns()
        {
            // The first of them is the one whose signal this is.
            let passed = state.setting.advance(now_ns);
            state.overrun = passed.saturating_sub(1).min(i32::MAX as u64) as i32;
            self.arm(&state, 0);
        }
        if !self.is_interval_timer() {
            info.set_overrun(state.overrun);
        }
        true
    }

    fn is_interval_timer(&self) -> bool {
        self.slot < INTERVAL_TIMERS
    }

    /// Nobody will take its signal: a timer of timer_create(2) goes on by itself, but no faster than one needs to look; one
    /// of setitimer(2) has rung for the last time.
    fn goes_on(self: &Arc<Self>) {
        if self.is_interval_timer() {
            return;
        }
        let mut state = self.state.lock();
        state.is_queued = false;
        if state.setting.interval_ns != 0
            && let Some(now_ns) = self.clock.now_ns()
        {
            state.setting.advance(now_ns);
            self.arm(&state, TICK_NS);
        }
    }
}

impl Expire for SignalTimer {
    fn timer(&self) -> &Timer {
        &self.timer
    }

    fn expired(self: Arc<Self>) {
        let mut state = self.state.lock();
        let Setting {
            deadline_ns,
            interval_ns,
        } = state.setting;
        let Some(now_ns) = self.clock.now_ns() else { return };
        // Set anew or off while this expiry was on its way.
        if deadline_ns == 0 || state.is_queued {
            return;
        }
        if now_ns < deadline_ns {
            // CPU time passes no faster than this timer was armed for, and often slower.
            return self.arm(&state, TICK_NS);
        }
        if interval_ns == 0 {
            state.setting.deadline_ns = 0;
        }
        let (Some(mut info), Some(process)) = (self.signal, self.process.upgrade()) else {
            return;
        };
        info.origin = Some(Origin {
            slot: self.slot,
            made: self.made,
            serial: state.serial,
        });
        state.is_queued = true;
        drop(state);
        let thread = match &self.thread {
            None => None,
            Some(thread) => match thread.upgrade() {
                None => return,
                thread => thread,
            },
        };
        if !process.queue_timer_signal(info, thread.as_deref()) {
            self.goes_on();
        }
    }
}

/// The places of the interval timers in [`Timers`], by their ITIMER_* numbers.
const INTERVAL_TIMERS: u32 = 3;

/// A process's timers: the three of setitimer(2), made when first used, then those of timer_create(2).
#[derive(Default)]
pub struct Timers {
    slots: SpinLock<Vec<Option<Arc<SignalTimer>>>>,
    /// Timers made by timer_create(2) so far.
    made: AtomicU32,
}

/// What timer_create(2) asks for.
pub struct Request {
    pub clock: Clock,
    /// `None` sends nothing.
    pub signal: Option<u32>,
    /// si_value; the timer's number where none is given.
    pub value: Option<u64>,
    pub thread: Option<Weak<Thread>>,
}

impl Timers {
    /// The interval timer `which`, an ITIMER_* number.
    pub fn interval(&self, which: i32, process: &Arc<Process>) -> Result<Arc<SignalTimer>, Errno> {
        let slot = which as usize;
        let find = |timers: &[Option<Arc<SignalTimer>>]| timers.get(slot).cloned().flatten();
        if let Some(timer) = find(&self.slots.lock()) {
            return Ok(timer);
        }
        let (signal, clock) = match which {
            ITIMER_REAL => (SIGALRM, Clock::Monotonic),
            // All CPU time counts as user time.
            ITIMER_VIRTUAL => (SIGVTALRM, Clock::Process(Arc::downgrade(process))),
            _ => (SIGPROF, Clock::Process(Arc::downgrade(process))),
        };
        let timer = Arc::new(SignalTimer {
            timer: Timer::new()?,
            clock,
            process: Arc::downgrade(process),
            thread: None,
            signal: Some(Info::kernel(signal)),
            slot: slot as u32,
            made: 0,
            state: SpinLock::default(),
        });
        let mut timers = self.slots.lock();
        // Another thread may have been first.
        if let Some(timer) = find(&timers) {
            return Ok(timer);
        }
        make_room(&mut timers, slot)?;
        timers[slot] = Some(timer.clone());
        Ok(timer)
    }

    /// timer_create(2): the new timer's number. EAGAIN past `limit` of them, ENOMEM.
    pub fn create(&self, process: &Arc<Process>, request: Request, limit: u64) -> Result<i32, Errno> {
        let timer = Timer::new()?;
        let mut timers = self.slots.lock();
        let made = timers.iter().skip(INTERVAL_TIMERS as usize).flatten().count() as u64;
        if made >= limit {
            return Err(Errno::EAGAIN);
        }
        let free = (INTERVAL_TIMERS as usize..).find(|&slot| timers.get(slot).is_none_or(Option::is_none));
        let slot = free.ok_or(Errno::EAGAIN)?;
        make_room(&mut timers, slot)?;
        let number = slot as i32 - INTERVAL_TIMERS as i32;
        let value = request.value.unwrap_or(number as u64);
        let signal = request
            .signal
            .map(|signal| Info::new(signal, SI_TIMER).with_timer(number, value));
        timers[slot] = Some(Arc::new(SignalTimer {
            timer,
            clock: request.clock,
            process: Arc::downgrade(process),
            thread: request.thread,
            signal,
            slot: slot as u32,
            made: self.made.fetch_add(1, Ordering::Relaxed),
            state: SpinLock::default(),
        }));
        Ok(number)
    }

    /// A timer of timer_create(2): EINVAL.
    pub fn get(&self, number: i32) -> Result<Arc<SignalTimer>, Errno> {
        let slot = slot_of(number)?;
        self.at(slot).ok_or(Errno::EINVAL)
    }

    fn at(&self, slot: usize) -> Option<Arc<SignalTimer>> {
        self.slots.lock().get(slot).cloned().flatten()
    }

    /// timer_delete(2): EINVAL.
    pub fn delete(&self, number: i32) -> Result<(), Errno> {
        let slot = slot_of(number)?;
        let timer = self
            .slots
            .lock()
            .get_mut(slot)
            .and_then(Option::take)
            .ok_or(Errno::EINVAL)?;
        timer.set(Setting::default());
        Ok(())
    }

    /// execve(2) deletes the timers of timer_create(2), the process's end the others too.
    pub fn clear(&self, with_interval_timers: bool) {
        let first = if with_interval_timers {
            0
        } else {
            INTERVAL_TIMERS as usize
        };
        let mut timers = self.slots.lock();
        let ended = if timers.len() > first {
            timers.split_off(first)
        } else {
            Vec::new()
        };
        drop(timers);
        for timer in ended.into_iter().flatten() {
            timer.set(Setting::default());
        }
    }

    /// A timer's signal has been taken out of its queue. False where it is void: its timer was deleted or set anew.
    pub fn taken(&self, origin: Origin, info: &mut Info) -> bool {
        let timer = self.at(origin.slot as usize);
        timer.is_some_and(|timer| timer.taken(origin, info))
    }

    /// Queued signals of this set were thrown away: their timers go on without them.
    pub fn discarded(&self, signals: u64) {
        for slot in 0.. {
            let timer = match self.slots.lock().get(slot) {
                None => return,
                Some(timer) => timer.clone(),
            };
            if let Some(timer) = timer
                && timer.signal.is_some_and(|info| bit(info.signal) & signals != 0)
                && timer.state.lock().is_queued
            {
                timer.goes_on();
            }
        }
    }
}

fn slot_of(number: i32) -> Result<usize, Errno> {
    let number = usize::try_from(number).map_err(|_| Errno::EINVAL)?;
    Ok(number + INTERVAL_TIMERS as usize)
}

/// Makes `slot` exist.
fn make_room(timers: &mut Vec<Option<Arc<SignalTimer>>>, slot: usize) -> Result<(), Errno> {
    if slot >= timers.len() {
        timers.try_reserve(slot + 1 - timers.len()).map_err(|_| Errno::ENOMEM)?;
        timers.resize(slot + 1, None);
    }
    Ok(())
}
