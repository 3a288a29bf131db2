//! Who a process acts for: credentials(7).

use super::capabilities::Capabilities;
use alloc::sync::Arc;
use libsyscall::abi::Errno;
use libsyscall::abi::capability::{CAP_KILL, CAP_SETUID, CAP_SYS_PTRACE};

/// Real, effective and saved identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    pub real: u32,
    pub effective: u32,
    pub saved: u32,
}

#[derive(Clone, Debug, Default)]
pub struct Credentials {
    pub uid: Ids,
    pub gid: Ids,
    pub groups: Arc<[u32]>,
    pub capabilities: Capabilities,
}

/// "Leave it": -1 in setresuid(2).
pub const KEEP: u32 = u32::MAX;

impl Ids {
    /// setuid(2), setgid(2).
    pub fn set(&mut self, id: u32, privileged: bool) -> Result<(), Errno> {
        if privileged {
            *self = Ids {
                real: id,
                effective: id,
                saved: id,
            };
        } else if id == self.real || id == self.saved {
            self.effective = id;
        } else {
            return Err(Errno::EPERM);
        }
        Ok(())
    }

    /// setresuid(2), setresgid(2).
    pub fn set_all(&mut self, real: u32, effective: u32, saved: u32, privileged: bool) -> Result<(), Errno> {
        let allowed = |id| id == KEEP || privileged || [self.real, self.effective, self.saved].contains(&id);
        if ![real, effective, saved].into_iter().all(allowed) {
            return Err(Errno::EPERM);
        }
        let or = |id, old| if id == KEEP { old } else { id };
        *self = Ids {
            real: or(real, self.real),
            effective: or(effective, self.effective),
            saved: or(saved, self.saved),
        };
        Ok(())
    }

    /// setreuid(2), setregid(2).
    pub fn set_two(&mut self, real: u32, effective: u32, privileged: bool) -> Result<(), Errno> {
        let old_real = self.real;
        self.set_all(real, effective, KEEP, privileged)?;
        if real != KEEP || (effective != KEEP && effective != old_real) {
            self.saved = self.effective;
        }
        Ok(())
    }

    /// kill(2): whether these ids alone let their bearer signal a process with those of `target`.
    pub fn may_signal(&self, target: &Ids) -> bool {
        [target.real, target.saved]
            .iter()
            .any(|id| [self.real, self.effective].contains(id))
    }
}

impl Credentials {
    pub fn has(&self, capability: u32) -> bool {
        self.capabilities.has(capability)
    }

    /// Changes the user ids by one of the methods of [`Ids`], which is told whether any id is allowed.
    pub fn change_user(&mut self, change: impl FnOnce(&mut Ids, bool) -> Result<(), Errno>) -> Result<(), Errno> {
        let old = self.uid;
        change(&mut self.uid, self.capabilities.has(CAP_SETUID))?;
        self.capabilities.follow(&old, &self.uid);
        Ok(())
    }

    /// kill(2): whether the bearer may signal a process of `target`.
    pub fn may_signal(&self, target: &Credentials) -> bool {
        self.has(CAP_KILL) || self.uid.may_signal(&target.uid)
    }

    /// ptrace(2), "Ptrace access mode checking": whether the bearer may look into a process of `target`.
    pub fn may_trace(&self, target: &Credentials) -> bool {
        let all = |ids: &Ids, id| [ids.real, ids.effective, ids.saved].iter().all(|&other| other == id);
        self.has(CAP_SYS_PTRACE) || (all(&target.uid, self.uid.real) && all(&target.gid, self.gid.real))
    }
}
