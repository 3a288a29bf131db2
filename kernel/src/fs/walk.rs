//! Paths to places, path_resolution(7).

use super::access::{self, Credentials};
use super::{Link, Place};
use alloc::borrow::Cow;
use alloc::vec::Vec;
use bitflags::bitflags;
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::*;

/// The place of a path, by the running thread's rights. `follow`: a symbolic link at its end is followed.
pub fn resolve(at: &Place, path: &[u8], follow: bool) -> Result<Place, Errno> {
    resolve_as(&access::current(), at, path, follow)
}

pub fn resolve_as(who: &Credentials, at: &Place, path: &[u8], follow: bool) -> Result<Place, Errno> {
    resolve_within(who, at, path, follow, Bounds::empty())
}

pub fn resolve_within(
    who: &Credentials,
    at: &Place,
    path: &[u8],
    follow: bool,
    bounds: Bounds,
) -> Result<Place, Errno> {
    let mut walk = Walk::new(who, at, path, bounds)?;
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
    let mut walk = Walk::new(who, at, path, Bounds::empty())?;
    let last = walk.find_last()?;
    Ok((walk.at, last))
}

bitflags! {
    /// Where a path must not lead, RESOLVE_* of openat2(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Bounds: u64 {
        /// Not to another filesystem: EXDEV.
        const NO_XDEV = RESOLVE_NO_XDEV;
        /// Not through the links of /proc that are no paths: ELOOP.
        const NO_MAGICLINKS = RESOLVE_NO_MAGICLINKS;
        const NO_SYMLINKS = RESOLVE_NO_SYMLINKS;
        /// Not out of where it starts: EXDEV.
        const BENEATH = RESOLVE_BENEATH;
        /// Where it starts is the root.
        const IN_ROOT = RESOLVE_IN_ROOT;
        /// Only where nothing has to be fetched, which is everywhere.
        const CACHED = RESOLVE_CACHED;
    }
}

/// The running process's root.
pub(super) fn current_root() -> Place {
    crate::task::with_current(|thread| thread.root())
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
    bounds: Bounds,
    /// Where it started: the root, for a walk that is bound to it.
    start: Place,
}

impl<'a> Walk<'a> {
    /// Starts at `at`, or at the root for an absolute path. ENOENT for the empty path.
    pub fn new(who: &'a Credentials, at: &Place, path: &'a [u8], bounds: Bounds) -> Result<Walk<'a>, Errno> {
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        if path.len() >= PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let mut walk = Walk {
            who,
            at: at.clone(),
            rest: Cow::Borrowed(path),
            position: 0,
            links: 0,
            bounds,
            start: at.clone(),
        };
        if path[0] == b'/' {
            walk.at = walk.root()?;
        }
        Ok(walk)
    }

    fn is_bound(&self) -> bool {
        self.bounds.intersects(Bounds::BENEATH | Bounds::IN_ROOT)
    }

    /// Where a path begins that begins with a slash.
    fn root(&self) -> Result<Place, Errno> {
        if self.bounds.contains(Bounds::BENEATH) {
            return Err(Errno::EXDEV);
        }
        Ok(if self.bounds.contains(Bounds::IN_ROOT) {
            self.start.clone()
        } else {
            current_root()
        })
    }

    /// EXDEV where a step would leave the filesystem and must not.
    fn check_device(&self, next: &Place) -> Result<(), Errno> {
        if self.bounds.contains(Bounds::NO_XDEV) && next.stat().dev != self.at.stat().dev {
            return Err(Errno::EXDEV);
        }
        Ok(())
    }

    /// The directory above: of a walk that is bound, never one outside, also where its way has been moved meanwhile.
    fn above(&self) -> Result<Place, Errno> {
        if self.is_bound() && self.at.is(&self.start) {
            return if self.bounds.contains(Bounds::BENEATH) {
                Err(Errno::EXDEV)
            } else {
                Ok(self.at.clone())
            };
        }
        if self.at.is(&current_root()) {
            return Ok(self.at.clone());
        }
        let above = self.at.parent();
        if self.is_bound() && !above.is_within(&self.start) {
            return Err(Errno::EXDEV);
        }
        Ok(above)
    }

    /// Whether a link's way may be taken: ELOOP for those that are ruled out, EXDEV for a place that need not be within
    /// the bounds.
    fn check_link(&self, target: &Link) -> Result<(), Errno> {
        if self.bounds.contains(Bounds::NO_SYMLINKS) {
            return Err(Errno::ELOOP);
        }
        if let Link::Place(place) = target {
            if self.bounds.contains(Bounds::NO_MAGICLINKS) {
                return Err(Errno::ELOOP);
            }
            if self.is_bound() {
                return Err(Errno::EXDEV);
            }
            self.check_device(place)?;
        }
        Ok(())
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
        let child = match name {
            b"" | b"." => return Ok(self.at.clone()),
            b".." => self.above()?,
            _ => self.at.inode().lookup(&self.at, name)?,
        };
        self.check_device(&child)?;
        Ok(child)
    }

    /// Takes the way of a symbolic link: its target comes before the rest.
    fn enter(&mut self, link: &Place) -> Result<(), Errno> {
        self.links += 1;
        if self.links > SYMLOOP_MAX {
            return Err(Errno::ELOOP);
        }
        let target = link.inode().follow()?;
        self.check_link(&target)?;
        match target {
            Link::Place(place) => self.at = place,
            Link::Path(mut target) => {
                if target.is_empty() {
                    return Err(Errno::ENOENT);
                }
                if target[0] == b'/' {
                    let root = self.root()?;
                    self.check_device(&root)?;
                    self.at = root;
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
            let target = place.inode().follow()?;
            self.check_link(&target)?;
            if let Link::Place(target) = target {
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
