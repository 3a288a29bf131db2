//! What chmod(2), chown(2) and utimensat(2) change of a file, with or without a name.

use super::access::Credentials;
use super::{Stat, now_ns};

#[derive(Clone, Copy, Debug)]
pub struct Attributes {
    /// Permission bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub nlink: u32,
    pub atime_ns: i64,
    pub mtime_ns: i64,
    pub ctime_ns: i64,
}

/// What is changed; `None` stays.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change {
    /// Permission bits.
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub atime_ns: Option<i64>,
    pub mtime_ns: Option<i64>,
}

impl Attributes {
    /// Of a file with one name, made now.
    pub fn new(mode: u32, owner: &Credentials) -> Attributes {
        let now = now_ns();
        Attributes {
            mode,
            uid: owner.uid,
            gid: owner.gid,
            nlink: 1,
            atime_ns: now,
            mtime_ns: now,
            ctime_ns: now,
        }
    }

    pub fn change(&mut self, change: &Change) {
        self.mode = change.mode.unwrap_or(self.mode);
        self.uid = change.uid.unwrap_or(self.uid);
        self.gid = change.gid.unwrap_or(self.gid);
        self.atime_ns = change.atime_ns.unwrap_or(self.atime_ns);
        self.mtime_ns = change.mtime_ns.unwrap_or(self.mtime_ns);
        self.ctime_ns = now_ns();
    }

    /// stat(2)'s answer for a file of that kind, S_IFREG and its like, as far as it is told by these.
    pub fn stat(&self, kind: u32) -> Stat {
        Stat {
            mode: kind | self.mode,
            nlink: self.nlink,
            uid: self.uid,
            gid: self.gid,
            atime_ns: self.atime_ns,
            mtime_ns: self.mtime_ns,
            ctime_ns: self.ctime_ns,
            ..Stat::default()
        }
    }
}
