//! What a process may do beyond what everybody may: capabilities(7). They come from having been user 0, files give none,
//! and there is no ambient set. Like identities they belong to the process here, not to each of its threads.

use super::credentials::Ids;
use libsyscall::abi::Errno;
use libsyscall::abi::capability::{CAP_LAST, CAP_SETPCAP};

/// Every capability there is.
const ALL: u64 = (1 << (CAP_LAST + 1)) - 1;

/// Sets with a bit for each capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
    pub bounding: u64,
    /// PR_SET_KEEPCAPS: the permitted ones stay when the last id of user 0 goes.
    pub kept: bool,
}

impl Default for Capabilities {
    fn default() -> Capabilities {
        Capabilities::ALL
    }
}

fn is_within(inner: u64, outer: u64) -> bool {
    inner & !outer == 0
}

impl Capabilities {
    /// User 0's.
    pub const ALL: Capabilities = Capabilities {
        effective: ALL,
        permitted: ALL,
        inheritable: 0,
        bounding: ALL,
        kept: false,
    };

    pub fn has(&self, capability: u32) -> bool {
        self.effective & 1 << capability != 0
    }

    /// What counts where the real identity does, access(2): user 0 has all that are permitted, others have none.
    pub fn by_real_user(&self, uid: u32) -> Capabilities {
        Capabilities {
            effective: if uid == 0 { self.permitted } else { 0 },
            ..*self
        }
    }

    /// capset(2): EPERM for what it does not have. Bits that stand for nothing are forgotten.
    pub fn set(&mut self, effective: u64, permitted: u64, inheritable: u64) -> Result<(), Errno> {
        let (effective, permitted, inheritable) = (effective & ALL, permitted & ALL, inheritable & ALL);
        let may_inherit = self.has(CAP_SETPCAP) || is_within(inheritable, self.inheritable | self.permitted);
        if !may_inherit
            || !is_within(inheritable, self.inheritable | self.bounding)
            || !is_within(permitted, self.permitted)
            || !is_within(effective, permitted)
        {
            return Err(Errno::EPERM);
        }
        *self = Capabilities {
            effective,
            permitted,
            inheritable,
            ..*self
        };
        Ok(())
    }

    /// "Effect of user ID changes on capabilities".
    pub fn follow(&mut self, old: &Ids, new: &Ids) {
        let is_zero = |ids: &Ids| [ids.real, ids.effective, ids.saved].contains(&0);
        if is_zero(old) && !is_zero(new) {
            self.effective = 0;
            if !self.kept {
                self.permitted = 0;
            }
        }
        if old.effective == 0 && new.effective != 0 {
            self.effective = 0;
        }
        if old.effective != 0 && new.effective == 0 {
            self.effective = self.permitted;
        }
    }

    /// "Transformation of capabilities during execve()", where files have none.
    pub fn after_execve(&self, user: &Ids) -> Capabilities {
        let permitted = if user.real == 0 || user.effective == 0 {
            self.inheritable | self.bounding
        } else {
            0
        };
        Capabilities {
            effective: if user.effective == 0 { permitted } else { 0 },
            permitted,
            kept: false,
            ..*self
        }
    }
}
