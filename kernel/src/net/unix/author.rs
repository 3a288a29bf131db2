//! Who sent something: SCM_CREDENTIALS and SCM_PIDFD, and the options that ask for them.

use crate::net::options::Options;
use crate::net::protocol::Credentials;
use crate::task::{self, Process};
use alloc::sync::Arc;
use bitflags::bitflags;
use libsyscall::abi::socket::*;

/// The sender of something that a receiver may ask about.
#[derive(Clone)]
pub struct Author {
    pub credentials: Credentials,
    /// Kept, so that its receiver still gets it when the process has been waited for and its number is another's.
    pub process: Arc<Process>,
}

impl Author {
    pub fn running() -> Author {
        Author {
            credentials: Credentials::running(|ids| ids.real),
            process: task::with_current(|thread| thread.process.clone()),
        }
    }
}

bitflags! {
    /// What may come to a socket beside the bytes.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Passes: u8 {
        /// SO_PASSCRED.
        const CREDENTIALS = 1 << 0;
        /// SO_PASSPIDFD.
        const PROCESS = 1 << 1;
        /// SO_PASSRIGHTS, which is on at first.
        const RIGHTS = 1 << 2;
        /// Whether it is to be noted who sends.
        const AUTHOR = Passes::CREDENTIALS.bits() | Passes::PROCESS.bits();
    }
}

impl Passes {
    pub fn of(options: &Options) -> Passes {
        let mut passes = Passes::empty();
        passes.set(Passes::CREDENTIALS, options.is_on::<SO_PASSCRED>());
        passes.set(Passes::PROCESS, options.is_on::<SO_PASSPIDFD>());
        passes.set(Passes::RIGHTS, options.is_on::<SO_PASSRIGHTS>());
        passes
    }

    /// Whether it is to be told or noted who sends.
    pub fn wants_author(self) -> bool {
        self.intersects(Passes::AUTHOR)
    }
}
