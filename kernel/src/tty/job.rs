//! Job control: which terminal belongs to which session, and what a process in the background may do with it.

use super::terminal::Terminal;
use crate::task::signal::Info;
use crate::task::{self, kinship, table};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use libsyscall::abi::Errno;
use libsyscall::abi::capability::CAP_SYS_ADMIN;
use libsyscall::abi::fcntl::{O_ACCMODE, O_NOCTTY, O_WRONLY};
use libsyscall::abi::signal::{SIGCONT, SIGHUP, SIGTTIN};
use sync::SpinLock;

/// What a session has of its controlling terminal.
enum Control {
    Terminal(Arc<Terminal>),
    /// It was hung up while this group was in the foreground, which is told when the session's leader ends.
    Lost(i32),
}

/// By session. Taken before a terminal's own lock.
static CONTROLLING: SpinLock<BTreeMap<i32, Control>> = SpinLock::new(BTreeMap::new());

/// The controlling terminal of a session.
pub fn of_session(session: i32) -> Option<Arc<Terminal>> {
    match CONTROLLING.lock().get(&session) {
        Some(Control::Terminal(terminal)) => Some(terminal.clone()),
        _ => None,
    }
}

/// The running process as job control sees it.
struct Current {
    pid: i32,
    session: i32,
    group: i32,
}

fn current() -> Current {
    task::with_current(|thread| Current {
        pid: thread.process.pid,
        session: thread.process.session(),
        group: thread.process.group(),
    })
}

/// The controlling terminal of the running process.
pub fn of_current() -> Option<Arc<Terminal>> {
    of_session(current().session)
}

impl Terminal {
    /// The process group in the foreground, 0 for none.
    pub fn foreground(&self) -> i32 {
        self.state.lock().foreground
    }

    /// Whether it is the running process's controlling terminal.
    pub fn controls_current(self: &Arc<Self>) -> bool {
        of_current().is_some_and(|terminal| Arc::ptr_eq(&terminal, self))
    }

    /// Gives it to a session that has none, with a group in the foreground. EPERM: either belongs to another already;
    /// `steal` takes it from that.
    pub fn give_to(self: &Arc<Self>, session: i32, foreground: i32, steal: bool) -> Result<(), Errno> {
        let mut controlling = CONTROLLING.lock();
        let mut state = self.state.lock();
        if state.session == session {
            return Ok(());
        }
        let has_another = matches!(controlling.get(&session), Some(Control::Terminal(_)));
        if has_another || (state.session != 0 && !steal) {
            return Err(Errno::EPERM);
        }
        let former = core::mem::replace(&mut state.session, session);
        state.foreground = foreground;
        drop(state);
        let forgotten = (
            controlling.remove(&former),
            controlling.insert(session, Control::Terminal(self.clone())),
        );
        drop(controlling);
        drop(forgotten);
        Ok(())
    }

    /// open(2) without O_NOCTTY: a session's leader without a terminal gets this one, if it is free.
    pub fn adopt_by_leader(self: &Arc<Self>, flags: u32) {
        let Current { pid, session, group } = current();
        if flags & O_NOCTTY == 0 && flags & O_ACCMODE != O_WRONLY && pid == session {
            // Where it can't be, the terminal is open all the same.
            let _ = self.give_to(session, group, false);
        }
    }

    /// TIOCSCTTY: a session's leader takes it; root may steal it.
    pub fn set_controlling(self: &Arc<Self>, steal: bool) -> Result<(), Errno> {
        let Current { pid, session, group } = current();
        if pid != session {
            return Err(Errno::EPERM);
        }
        self.give_to(session, group, steal && crate::fs::access::current().has(CAP_SYS_ADMIN))
    }

    /// TIOCNOTTY by a session's leader: the session loses the terminal.
    pub fn give_up(self: &Arc<Self>) -> Result<(), Errno> {
        if !self.controls_current() {
            return Err(Errno::ENOTTY);
        }
        let Current { pid, session, .. } = current();
        if pid == session {
            session_ends(session);
        }
        Ok(())
    }

    /// A process in the background that touches its terminal gets `signal` instead, with its whole group; EIO where
    /// that would not stop it.
    pub fn check_foreground(self: &Arc<Self>, signal: u32) -> Result<(), Errno> {
        let group = current().group;
        let foreground = self.state.lock().foreground;
        if foreground == 0 || foreground == group || !self.controls_current() {
            return Ok(());
        }
        if task::current_ignores(signal) {
            return if signal == SIGTTIN { Err(Errno::EIO) } else { Ok(()) };
        }
        if kinship::is_orphaned(group) {
            return Err(Errno::EIO);
        }
        task::signal_group(group, signal);
        Err(Errno::ERESTARTSYS)
    }
}

/// The leader of a session ends, or gives its terminal up: those in the foreground are told, and nobody has it.
pub fn session_ends(session: i32) {
    let mut controlling = CONTROLLING.lock();
    let Some(control) = controlling.remove(&session) else {
        return;
    };
    let group = match &control {
        Control::Lost(group) => *group,
        Control::Terminal(terminal) => {
            let mut state = terminal.state.lock();
            state.session = 0;
            core::mem::take(&mut state.foreground)
        }
    };
    drop(controlling);
    drop(control);
    if group != 0 {
        task::signal_group(group, SIGHUP);
        task::signal_group(group, SIGCONT);
    }
}

/// The terminal has lost its other end: its session's leader is told.
pub fn hung_up(terminal: &Arc<Terminal>) {
    let mut controlling = CONTROLLING.lock();
    let mut state = terminal.state.lock();
    let session = core::mem::take(&mut state.session);
    let group = core::mem::take(&mut state.foreground);
    drop(state);
    if session == 0 {
        return;
    }
    let former = controlling.insert(session, Control::Lost(group));
    drop(controlling);
    drop(former);
    if let Some(leader) = table::process(session) {
        for signal in [SIGHUP, SIGCONT] {
            leader.send_signal(signal, Info::kernel(signal));
        }
    }
}

/// The device number of a session's terminal, 0 for none: /proc/PID/stat.
pub fn controlling_device(session: i32) -> u64 {
    of_session(session).map_or(0, |terminal| super::control::device(&terminal))
}

/// The foreground process group of a session's terminal, -1 for none.
pub fn foreground_of(session: i32) -> i32 {
    of_session(session).map_or(-1, |terminal| terminal.state.lock().foreground)
}
