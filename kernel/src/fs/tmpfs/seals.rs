//! Seals: what nobody may do to a file any more, F_ADD_SEALS in fcntl(2) and memfd_create(2).

use bitflags::bitflags;
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::*;

bitflags! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Seals: u32 {
        /// There are to be no more seals.
        const SEAL = F_SEAL_SEAL;
        const SHRINK = F_SEAL_SHRINK;
        const GROW = F_SEAL_GROW;
        const WRITE = F_SEAL_WRITE;
        /// As WRITE, but the shared mappings that are there go on writing.
        const FUTURE_WRITE = F_SEAL_FUTURE_WRITE;
        /// The mode's bits for executing stay as they are.
        const EXEC = F_SEAL_EXEC;
    }
}

impl Seals {
    /// EPERM where a seal forbids to change the bytes.
    pub fn check_writing(self) -> Result<(), Errno> {
        if self.intersects(Seals::WRITE | Seals::FUTURE_WRITE) {
            return Err(Errno::EPERM);
        }
        Ok(())
    }

    /// These, and what a file of this mode gets with them: one that can be executed and stays so is not written any more.
    pub fn for_mode(self, mode: u32) -> Seals {
        if self.contains(Seals::EXEC) && mode & 0o111 != 0 {
            self | Seals::SHRINK | Seals::GROW | Seals::WRITE | Seals::FUTURE_WRITE
        } else {
            self
        }
    }
}
