//! The loom twins: the same names, every acquisition a point where the model may switch threads.

pub use loom::sync::atomic;

/// Twin of the spinning lock; loom's mutex makes every order of acquisition happen once.
#[derive(Debug, Default)]
pub struct SpinLock<T>(loom::sync::Mutex<T>);

pub type SpinGuard<'a, T> = loom::sync::MutexGuard<'a, T>;

impl<T> SpinLock<T> {
    pub fn new(value: T) -> Self {
        SpinLock(loom::sync::Mutex::new(value))
    }

    pub fn lock(&self) -> SpinGuard<'_, T> {
        self.0.lock().expect("a model thread panicked with the lock held")
    }

    pub fn try_lock(&self) -> Option<SpinGuard<'_, T>> {
        self.0.try_lock().ok()
    }
}

/// One turn of a spin loop: lets another model thread run.
pub fn relax() {
    loom::thread::yield_now();
}
