//! sigaltstack(2): the stack of a thread's handlers with SA_ONSTACK.

use libsyscall::abi::Errno;
use libsyscall::abi::signal::{MIN_SIGNAL_STACK, SS_AUTODISARM, SS_DISABLE, SS_ONSTACK};

/// stack_t. Whatever the program says it is: nothing here is an address that the kernel trusts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlternateStack {
    pub base: usize,
    pub flags: u32,
    pub size: usize,
}

impl AlternateStack {
    pub const NONE: AlternateStack = AlternateStack {
        base: 0,
        flags: SS_DISABLE,
        size: 0,
    };

    /// Whether a handler runs on it. Not with SS_AUTODISARM: then it is taken away while one does.
    fn is_in_use(&self, sp: usize) -> bool {
        self.flags & SS_AUTODISARM == 0 && sp > self.base && sp - self.base <= self.size
    }

    /// Where the frame of a handler with SA_ONSTACK starts, when the interrupted code is not on it already.
    pub fn top_for(&self, sp: usize) -> Option<usize> {
        (self.size != 0 && !self.is_in_use(sp)).then_some(self.base.wrapping_add(self.size))
    }

    /// ss_flags, as sigaltstack(2) tells them.
    pub fn shown_flags(&self, sp: usize) -> u32 {
        let state = match self.size {
            0 => SS_DISABLE,
            _ if self.is_in_use(sp) => SS_ONSTACK,
            _ => 0,
        };
        state | self.flags & SS_AUTODISARM
    }

    /// What a request makes of it. EPERM while in use, EINVAL, ENOMEM.
    pub fn changed(&self, new: AlternateStack, sp: usize) -> Result<AlternateStack, Errno> {
        if self.is_in_use(sp) {
            return Err(Errno::EPERM);
        }
        match new.flags & !SS_AUTODISARM {
            SS_DISABLE => Ok(AlternateStack {
                base: 0,
                size: 0,
                ..new
            }),
            // SS_ONSTACK means nothing here and is taken for 0, as on Linux.
            0 | SS_ONSTACK if new.size >= MIN_SIGNAL_STACK => Ok(new),
            0 | SS_ONSTACK => Err(Errno::ENOMEM),
            _ => Err(Errno::EINVAL),
        }
    }
}
