//! What is counted for each user, for as long as the user has something that counts.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use libsyscall::abi::Errno;
use sync::SpinLock;

/// A `T` for each user id that has one.
pub struct PerUser<T>(SpinLock<Vec<(u32, Weak<T>)>>);

impl<T> PerUser<T> {
    pub const fn new() -> PerUser<T> {
        PerUser(SpinLock::new(Vec::new()))
    }

    /// The user's, made where there is none. ENOMEM.
    pub fn get(&self, uid: u32, make: impl FnOnce() -> T) -> Result<Arc<T>, Errno> {
        let mut users = self.0.lock();
        let known = users.iter().find(|(of, _)| *of == uid);
        if let Some(known) = known.and_then(|(_, known)| known.upgrade()) {
            return Ok(known);
        }
        users.retain(|(_, known)| known.strong_count() > 0);
        users.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let made = Arc::new(make());
        users.push((uid, Arc::downgrade(&made)));
        Ok(made)
    }
}
