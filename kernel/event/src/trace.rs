//! Lets the kernel follow wake-ups on their way through epolls. Off, it costs one predictable branch an epoll.

use crate::EventMask;
use sync::SpinLock;
use sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A wake-up comes in through an epoll's interest, by its number, with these bits; or it has told all there is to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Enter(u32, EventMask),
    Leave,
}

/// Called on the CPU that wakes, under the locks that waking needs: it must neither sleep nor wake.
pub type Hook = fn(Step);

static ON: AtomicBool = AtomicBool::new(false);
static HOOK: SpinLock<Option<Hook>> = SpinLock::new(None);

/// Has `hook` called from now on.
pub fn start(hook: Hook) {
    *HOOK.lock() = Some(hook);
    ON.store(true, Relaxed);
}

#[inline]
pub(crate) fn is_on() -> bool {
    ON.load(Relaxed)
}

/// Calls `tell` between the steps into an epoll and out of it.
#[cold]
pub(crate) fn through<R>(interest: u32, events: EventMask, tell: impl FnOnce() -> R) -> R {
    let hook = *HOOK.lock();
    if let Some(hook) = hook {
        hook(Step::Enter(interest, events));
    }
    let told = tell();
    if let Some(hook) = hook {
        hook(Step::Leave);
    }
    told
}
