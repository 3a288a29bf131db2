//! Who a thread acts for: credentials(7). Every thread has its own, as on Linux, which its C library hides by asking all
//! threads of a process to change theirs. They never change themselves: threads share them, and who changes its own gets
//! others.

use super::capabilities::Capabilities;
use alloc::sync::Arc;
use libsyscall::abi::Errno;
use libsyscall::abi::capability::{CAP_KILL, CAP_SETGID, CAP_SETUID, CAP_SYS_PTRACE};

/// Real, effective and saved identity, and the one that counts for files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    pub real: u32,
    pub effective: u32,
    pub saved: u32,
    pub file: u32,
}

#[derive(Clone, Debug, Default)]
pub struct Credentials {
    pub uid: Ids,
    pub gid: Ids,
    pub groups: Arc<[u32]>,
    pub capabilities: Capabilities,
    /// prctl(PR_SET_NO_NEW_PRIVS). No program here is given privileges by its file, so nothing depends on it.
    pub no_new_privileges: bool,
}

/// "Leave it": -1 in setresuid(2), and no identity anywhere.
pub const KEEP: u32 = u32::MAX;

impl Ids {
    /// Real, effective and saved identity.
    pub fn three(&self) -> [u32; 3] {
        [self.real, self.effective, self.saved]
    }

    /// setuid(2), setgid(2): EINVAL, EPERM.
    pub fn set(&mut self, id: u32, privileged: bool) -> Result<(), Errno> {
        if id == KEEP {
            return Err(Errno::EINVAL);
        }
        if privileged {
            (self.real, self.saved) = (id, id);
        } else if id != self.real && id != self.saved {
            return Err(Errno::EPERM);
        }
        (self.effective, self.file) = (id, id);
        Ok(())
    }

    /// setresuid(2), setresgid(2): EPERM. Where all three stay what they are, so does the one for files.
    pub fn set_all(&mut self, real: u32, effective: u32, saved: u32, privileged: bool) -> Result<(), Errno> {
        let allowed = |id| id == KEEP || privileged || self.three().contains(&id);
        if ![real, effective, saved].into_iter().all(allowed) {
            return Err(Errno::EPERM);
        }
        let or = |id, old| if id == KEEP { old } else { id };
        let three = [
            or(real, self.real),
            or(effective, self.effective),
            or(saved, self.saved),
        ];
        if three != self.three() || effective != KEEP {
            self.become_three(three);
        }
        Ok(())
    }

    /// setreuid(2), setregid(2): EPERM.
    pub fn set_two(&mut self, real: u32, effective: u32, privileged: bool) -> Result<(), Errno> {
        let may_be_real = privileged || real == KEEP || [self.real, self.effective].contains(&real);
        let may_be_effective = privileged || effective == KEEP || self.three().contains(&effective);
        if !may_be_real || !may_be_effective {
            return Err(Errno::EPERM);
        }
        let or = |id, old| if id == KEEP { old } else { id };
        let acts_for = or(effective, self.effective);
        let saved = if real != KEEP || acts_for != self.real && effective != KEEP {
            acts_for
        } else {
            self.saved
        };
        self.become_three([or(real, self.real), acts_for, saved]);
        Ok(())
    }

    fn become_three(&mut self, [real, effective, saved]: [u32; 3]) {
        *self = Ids {
            real,
            effective,
            saved,
            file: effective,
        };
    }

    /// setfsuid(2), setfsgid(2), which say nothing where it is not allowed.
    pub fn set_file(&mut self, id: u32, privileged: bool) {
        if id != KEEP && (privileged || self.three().contains(&id)) {
            self.file = id;
        }
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
        let (old, privileged) = (self.uid, self.has(CAP_SETUID));
        change(&mut self.uid, privileged)?;
        self.capabilities.follow(&old, &self.uid);
        Ok(())
    }

    /// Changes the group ids likewise.
    pub fn change_group(&mut self, change: impl FnOnce(&mut Ids, bool) -> Result<(), Errno>) -> Result<(), Errno> {
        let privileged = self.has(CAP_SETGID);
        change(&mut self.gid, privileged)
    }

    /// setfsuid(2): the former one.
    pub fn set_file_user(&mut self, id: u32) -> u32 {
        let (old, privileged) = (self.uid, self.has(CAP_SETUID));
        self.uid.set_file(id, privileged);
        self.capabilities.follow_file_user(old.file, self.uid.file);
        old.file
    }

    /// setfsgid(2): the former one.
    pub fn set_file_group(&mut self, id: u32) -> u32 {
        let (old, privileged) = (self.gid, self.has(CAP_SETGID));
        self.gid.set_file(id, privileged);
        old.file
    }

    /// What the program has that execve(2) starts.
    pub fn after_execve(&self) -> Credentials {
        let mut new = self.clone();
        for ids in [&mut new.uid, &mut new.gid] {
            (ids.saved, ids.file) = (ids.effective, ids.effective);
        }
        new.capabilities = self.capabilities.after_execve(&new.uid);
        new
    }

    /// Whether it acts for somebody else than who started it: getauxval(3), AT_SECURE.
    pub fn is_secure(&self) -> bool {
        self.uid.real != self.uid.effective || self.gid.real != self.gid.effective
    }

    /// Whether one that was `old` and is this now is to be looked into by nobody, prctl(2), PR_SET_DUMPABLE: it may know
    /// what its new identity may not.
    pub fn is_other_than(&self, old: &Credentials) -> bool {
        let acts_for = |ids: &Ids| (ids.effective, ids.file);
        acts_for(&self.uid) != acts_for(&old.uid)
            || acts_for(&self.gid) != acts_for(&old.gid)
            || self.capabilities.permitted & !old.capabilities.permitted != 0
    }

    /// kill(2): whether the bearer may signal a process of `target`.
    pub fn may_signal(&self, target: &Credentials) -> bool {
        self.has(CAP_KILL) || self.uid.may_signal(&target.uid)
    }

    /// ptrace(2), "Ptrace access mode checking": whether the bearer, by its identity `own` says, may look into a process of
    /// `target`.
    pub fn may_trace(&self, target: &Credentials, own: fn(&Ids) -> u32) -> bool {
        let all = |target: &Ids, id| target.three().iter().all(|&other| other == id);
        self.has(CAP_SYS_PTRACE) || (all(&target.uid, own(&self.uid)) && all(&target.gid, own(&self.gid)))
    }
}
