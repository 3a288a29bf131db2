//! What a thread may do beyond what everybody may: capabilities(7). They come from having been user 0 and from the ambient
//! set; files give none.

use super::credentials::Ids;
use libsyscall::abi::Errno;
use libsyscall::abi::capability::*;

/// Every capability there is.
const ALL: u64 = (1 << (CAP_LAST + 1)) - 1;

/// Those that go and come with user 0 as the identity for files.
const FOR_FILES: u64 = 1 << CAP_CHOWN
    | 1 << CAP_DAC_OVERRIDE
    | 1 << CAP_DAC_READ_SEARCH
    | 1 << CAP_FOWNER
    | 1 << CAP_FSETID
    | 1 << CAP_LINUX_IMMUTABLE
    | 1 << CAP_MKNOD
    | 1 << CAP_MAC_OVERRIDE;

/// Sets with a bit for each capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
    pub bounding: u64,
    pub ambient: u64,
    /// SECBIT_*: which rules about user 0 do not hold.
    pub secure_bits: u32,
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
        ambient: 0,
        secure_bits: 0,
    };

    pub fn has(&self, capability: u32) -> bool {
        self.effective & 1 << capability != 0
    }

    fn is_secure(&self, bit: u32) -> bool {
        self.secure_bits & bit != 0
    }

    /// The effective ones where the real identity counts, access(2): user 0 has all that are permitted, others have none.
    pub fn by_real_user(&self, uid: u32) -> u64 {
        match uid {
            _ if self.is_secure(SECBIT_NO_SETUID_FIXUP) => self.effective,
            0 => self.permitted,
            _ => 0,
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
            ambient: self.ambient & permitted & inheritable,
            ..*self
        };
        Ok(())
    }

    /// prctl(PR_CAP_AMBIENT_RAISE): EPERM for what is not permitted and inheritable.
    pub fn raise_ambient(&mut self, capability: u32) -> Result<(), Errno> {
        let bit = 1 << capability;
        if self.permitted & self.inheritable & bit == 0 || self.is_secure(SECBIT_NO_CAP_AMBIENT_RAISE) {
            return Err(Errno::EPERM);
        }
        self.ambient |= bit;
        Ok(())
    }

    /// prctl(PR_SET_KEEPCAPS): EPERM where it is locked.
    pub fn set_kept(&mut self, on: bool) -> Result<(), Errno> {
        if self.is_secure(SECBIT_KEEP_CAPS_LOCKED) {
            return Err(Errno::EPERM);
        }
        self.secure_bits = self.secure_bits & !SECBIT_KEEP_CAPS | if on { SECBIT_KEEP_CAPS } else { 0 };
        Ok(())
    }

    pub fn are_kept(&self) -> bool {
        self.is_secure(SECBIT_KEEP_CAPS)
    }

    /// prctl(PR_SET_SECUREBITS): EPERM for what is unknown or locked, for unlocking, and without CAP_SETPCAP, but for the
    /// bits that only programs go by.
    pub fn set_secure_bits(&mut self, bits: usize) -> Result<(), Errno> {
        let (old, new) = (self.secure_bits, bits as u32);
        let (changed, locks) = (old ^ new, old & SECURE_ALL_LOCKS);
        let is_possible = bits & !(SECURE_ALL_BITS | SECURE_ALL_LOCKS) as usize == 0
            && locks >> 1 & changed == 0
            && locks & !new == 0;
        let for_programs = SECURE_ALL_UNPRIVILEGED | SECURE_ALL_UNPRIVILEGED << 1;
        let is_allowed = self.has(CAP_SETPCAP) || changed != 0 && changed & !for_programs == 0;
        if !is_possible || !is_allowed {
            return Err(Errno::EPERM);
        }
        self.secure_bits = new;
        Ok(())
    }

    /// "Effect of user ID changes on capabilities".
    pub fn follow(&mut self, old: &Ids, new: &Ids) {
        if self.is_secure(SECBIT_NO_SETUID_FIXUP) {
            return;
        }
        if old.three().contains(&0) && !new.three().contains(&0) {
            if !self.are_kept() {
                (self.permitted, self.effective) = (0, 0);
            }
            self.ambient = 0;
        }
        if old.effective == 0 && new.effective != 0 {
            self.effective = 0;
        }
        if old.effective != 0 && new.effective == 0 {
            self.effective = self.permitted;
        }
    }

    /// The same of setfsuid(2).
    pub fn follow_file_user(&mut self, old: u32, new: u32) {
        if self.is_secure(SECBIT_NO_SETUID_FIXUP) {
            return;
        }
        if old == 0 && new != 0 {
            self.effective &= !FOR_FILES;
        }
        if old != 0 && new == 0 {
            self.effective |= self.permitted & FOR_FILES;
        }
    }

    /// "Transformation of capabilities during execve()", where files have none.
    pub fn after_execve(&self, user: &Ids) -> Capabilities {
        let has_root = !self.is_secure(SECBIT_NOROOT);
        let from_root = if has_root && (user.real == 0 || user.effective == 0) {
            self.inheritable | self.bounding
        } else {
            0
        };
        let permitted = from_root | self.ambient;
        Capabilities {
            effective: if has_root && user.effective == 0 {
                permitted
            } else {
                self.ambient
            },
            permitted,
            secure_bits: self.secure_bits & !SECBIT_KEEP_CAPS,
            ..*self
        }
    }
}
