//! Paths to places, path_resolution(7).

use super::access::{self, Credentials};
use super::{Link, Place};
use alloc::borrow::Cow;
use alloc::vec::Vec;
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::*;

/// The place of a path, by the running thread's rights. `follow`: a symbolic link at its end is followed.
pub fn resolve(at: &Place, path: &[u8], follow: bool) -> Result<Place, Errno> {
    resolve_as(&access::current(), at, path, follow)
}

pub fn resolve_as(who: &Credentials, at: &Place, path: &[u8], follow: bool) -> Result<Place, Errno> {
    let mut walk = Walk::new(who, at, path)?;
    loop {
        let last = walk.find_last()?;
        let place = walk.child(&last.name)?;
        if let Some(place) = walk.arrive(&last, place, follow)? {
            return Ok(place);
        }
    }
}

/// The directory of a path's last name, and that name: for calls that make or remove names.
pub fn resolve_parent(who: &Credentials, at: &Place, path: &[u8]) -> Result<(Place, Last), Errno> {
    let mut walk = Walk::new(who, at, path)?;
    let last = walk.find_last()?;
    Ok((walk.at, last))
}

/// The end of a path.
pub struct Last {
    /// Also `.` and `..`; empty for the root itself.
    pub name: Vec<u8>,
    /// A slash follows it: it must be a directory.
    pub slash: bool,
}

impl Last {
    pub fn is_dots(&self) -> bool {
        matches!(&self.name[..], b"" | b"." | b"..")
    }
}

/// A walk on its way.
pub struct Walk<'a> {
    who: &'a Credentials,
    pub at: Place,
    rest: Cow<'a, [u8]>,
    position: usize,
    links: usize,
}

impl<'a> Walk<'a> {
    /// Starts at `at`, or at the root for an absolute path. ENOENT for the empty path.
    pub fn new(who: &'a Credentials, at: &Place, path: &'a [u8]) -> Result<Walk<'a>, Errno> {
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        if path.len() >= PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let at = if path[0] == b'/' { super::root() } else { at.clone() };
        Ok(Walk {
            who,
            at,
            rest: Cow::Borrowed(path),
            position: 0,
            links: 0,
        })
    }

    /// Goes on until one name is left. The directory it is in has been checked to be one that may be searched.
    pub fn find_last(&mut self) -> Result<Last, Errno> {
        loop {
            let rest = &self.rest[self.position..];
            let Some(start) = rest.iter().position(|&byte| byte != b'/') else {
                self.check_search()?;
                return Ok(Last {
                    name: Vec::new(),
                    slash: true,
                });
            };
            let rest = &rest[start..];
            let len = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
            let name = &rest[..len];
            if len > NAME_MAX {
                return Err(Errno::ENAMETOOLONG);
            }
            if rest[len..].iter().all(|&byte| byte == b'/') {
                let last = Last {
                    name: name.to_vec(),
                    slash: len < rest.len(),
                };
                self.check_search()?;
                return Ok(last);
            }
            let next = self.child(name)?;
            self.position += start + len;
            if next.stat().kind() == S_IFLNK {
                self.enter(&next)?;
            } else {
                self.at = next;
            }
        }
    }

    fn check_search(&self) -> Result<(), Errno> {
        let stat = self.at.stat();
        if stat.kind() != S_IFDIR {
            return Err(Errno::ENOTDIR);
        }
        self.who.check(&stat, X_OK)
    }

    /// The child of where the walk is.
    pub fn child(&self, name: &[u8]) -> Result<Place, Errno> {
        self.check_search()?;
        match name {
            b"" | b"." => Ok(self.at.clone()),
            b".." => Ok(self.at.parent()),
            _ => self.at.inode().lookup(&self.at, name),
        }
    }

    /// Takes the way of a symbolic link: its target comes before the rest.
    fn enter(&mut self, link: &Place) -> Result<(), Errno> {
        self.links += 1;
        if self.links > SYMLOOP_MAX {
            return Err(Errno::ELOOP);
        }
        match link.inode().follow()? {
            Link::Place(place) => self.at = place,
            Link::Path(mut target) => {
                if target.is_empty() {
                    return Err(Errno::ENOENT);
                }
                if target[0] == b'/' {
                    self.at = super::root();
                }
                target.extend_from_slice(&self.rest[self.position..]);
                self.rest = Cow::Owned(target);
                self.position = 0;
            }
        }
        Ok(())
    }

    /// The walk found `place` by its last name: that is the end (`Some`), or a link that leads on.
    pub fn arrive(&mut self, last: &Last, place: Place, follow: bool) -> Result<Option<Place>, Errno> {
        let kind = place.stat().kind();
        if kind == S_IFLNK && (follow || last.slash) {
            if let Link::Place(target) = place.inode().follow()? {
                if last.slash && target.stat().kind() != S_IFDIR {
                    return Err(Errno::ENOTDIR);
                }
                return Ok(Some(target));
            }
            self.rest = Cow::Borrowed(if last.slash { b"/" } else { b"" });
            self.position = 0;
            self.enter(&place)?;
            return Ok(None);
        }
        if last.slash && kind != S_IFDIR {
            return Err(Errno::ENOTDIR);
        }
        Ok(Some(place))
    }
}
