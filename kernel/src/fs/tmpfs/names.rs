//! Changes of the tree: create, link, remove, rename.

use super::super::access::Credentials;
use super::super::watch::{self, Watched};
use super::super::{Inode, Place};
use super::directory::Directory;
use super::{New, Node};
use crate::mm::frame;
use alloc::sync::Arc;
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::*;
use libsyscall::abi::inotify::*;
use sync::SpinLock;

/// Held over every change of the tree, so that a check ("empty", "not below itself") still holds when the change is
/// made.
static TREE: SpinLock<()> = SpinLock::new(());

/// A directory in which names can be changed by `who`.
struct Parent<'a> {
    place: &'a Place,
    node: Arc<Node>,
}

impl<'a> Parent<'a> {
    /// `elsewhere`: the error where the directory is on a filesystem whose names can't be changed.
    fn new(who: &Credentials, place: &'a Place, elsewhere: Errno) -> Result<Parent<'a>, Errno> {
        let stat = place.stat();
        if stat.kind() != S_IFDIR {
            return Err(Errno::ENOTDIR);
        }
        let node = Node::of(place).ok_or(elsewhere)?;
        who.check(&stat, W_OK | X_OK)?;
        Ok(Parent { place, node })
    }

    fn entries(&self) -> &Directory {
        self.node.as_directory().expect("a parent is a directory")
    }

    /// The directory itself was removed: nothing new may come into it.
    fn check_alive(&self) -> Result<(), Errno> {
        if self.place.is_deleted() {
            Err(Errno::ENOENT)
        } else {
            Ok(())
        }
    }

    /// A name came or went, `subdirectories` of them being directories.
    fn changed(&self, subdirectories: i32) {
        self.node.modified();
        if subdirectories != 0 {
            self.node.change_links(subdirectories);
        }
    }

    /// Tells who watches the directory what happened to a name in it; `cookie` is that of a move.
    fn tell(&self, event: u32, name: &[u8], is_directory: bool, cookie: u32) {
        watch::in_directory(Watched::of_tmpfs(self.node.ino), event, name, is_directory, cookie);
    }
}

/// The directory's inode where another filesystem has it, which knows how its names change.
fn elsewhere(directory: &Place) -> Result<Option<&Arc<dyn Inode>>, Errno> {
    if directory.stat().kind() != S_IFDIR {
        return Err(Errno::ENOTDIR);
    }
    Ok(Node::of(directory).is_none().then(|| directory.inode()))
}

/// Makes `name` in `directory`. EEXIST where it is there already.
pub fn create(who: &Credentials, directory: &Place, name: &[u8], new: New) -> Result<Place, Errno> {
    frame::admit().map_err(|_| Errno::ENOSPC)?;
    if let Some(inode) = elsewhere(directory)? {
        return inode.create(who, directory, name, &new);
    }
    let parent = Parent::new(who, directory, Errno::ENOENT)?;
    let parent_stat = directory.stat();
    let mut owner = *who;
    let inherits_group = parent_stat.mode & S_ISGID != 0;
    if inherits_group {
        owner.gid = parent_stat.gid;
    }
    let node = match new {
        New::Directory { mode } if inherits_group => Node::directory(mode | S_ISGID, owner),
        new => Node::make(new, owner),
    };
    insert(&parent, name, node, None)
}

/// Puts a node that exists already at `name`: the files of the boot archive, the root of another filesystem.
pub fn attach(directory: &Place, name: &[u8], inode: Arc<dyn Inode>) -> Result<Place, Errno> {
    let parent = Parent::new(&super::super::access::ROOT, directory, Errno::ENOENT)?;
    insert(&parent, name, inode, None)
}

/// Puts another filesystem's root at `name`, in place of the empty directory that may be there.
pub fn mount(directory: &Place, name: &[u8], inode: Arc<dyn Inode>) -> Result<Place, Errno> {
    match remove(&super::super::access::ROOT, directory, name, true) {
        Ok(()) | Err(Errno::ENOENT) => attach(directory, name, inode),
        Err(error) => Err(error),
    }
}

/// `linked`: the inode's node, where this is a further name of it.
fn insert(parent: &Parent, name: &[u8], inode: Arc<dyn Inode>, linked: Option<&Node>) -> Result<Place, Errno> {
    let _tree = TREE.lock();
    parent.check_alive()?;
    if parent.entries().get(name).is_some() {
        return Err(Errno::EEXIST);
    }
    let is_directory = inode.stat().kind() == S_IFDIR;
    let place = Place::child(parent.place, name, inode);
    parent.entries().put(name, place.clone());
    parent.changed(is_directory as i32);
    if let Some(node) = linked {
        node.change_links(1);
        watch::at_inode(Watched::of_tmpfs(node.ino), IN_ATTRIB);
    }
    parent.tell(IN_CREATE, name, is_directory, 0);
    Ok(place)
}

/// link(2): another name for `target`.
pub fn link(who: &Credentials, target: &Place, directory: &Place, name: &[u8]) -> Result<(), Errno> {
    frame::admit().map_err(|_| Errno::ENOSPC)?;
    let node = Node::of(target).ok_or(Errno::EXDEV)?;
    let parent = Parent::new(who, directory, Errno::EXDEV)?;
    if node.kind == S_IFDIR {
        return Err(Errno::EPERM);
    }
    insert(&parent, name, node.clone(), Some(&node))?;
    Ok(())
}

/// unlink(2), or rmdir(2) where `directory_wanted`.
pub fn remove(who: &Credentials, directory: &Place, name: &[u8], directory_wanted: bool) -> Result<(), Errno> {
    if let Some(inode) = elsewhere(directory)? {
        return inode.remove(who, directory, name, directory_wanted);
    }
    let parent = Parent::new(who, directory, Errno::EPERM)?;
    let removed;
    {
        let _tree = TREE.lock();
        let child = parent.entries().get(name).ok_or(Errno::ENOENT)?;
        let stat = child.stat();
        who.check_sticky(&directory.stat(), &stat)?;
        let node = check_removable(&child, directory_wanted)?;
        let _ = parent.entries().take(name);
        child.mark_deleted();
        node.change_links(if directory_wanted { -2 } else { -1 });
        parent.changed(if directory_wanted { -1 } else { 0 });
        if !directory_wanted {
            watch::at_inode(Watched::of_tmpfs(node.ino), IN_ATTRIB);
        }
        // Nobody has it open: its end is told before its name's.
        if child.is_sole() {
            node.lost_place();
        }
        parent.tell(IN_DELETE, name, directory_wanted, 0);
        removed = child;
    }
    drop(removed);
    Ok(())
}

/// The node of a name that may go: of the right kind, and empty where it is a directory.
fn check_removable(child: &Place, directory_wanted: bool) -> Result<Arc<Node>, Errno> {
    let is_directory = child.stat().kind() == S_IFDIR;
    match (directory_wanted, is_directory) {
        (true, false) => return Err(Errno::ENOTDIR),
        (false, true) => return Err(Errno::EISDIR),
        _ => {}
    }
    // What is not ours in our directory is mounted there.
    let node = Node::of(child).ok_or(Errno::EBUSY)?;
    if is_directory && !node.as_directory()?.is_empty() {
        return Err(Errno::ENOTEMPTY);
    }
    Ok(node)
}

/// One end of a rename.
pub struct End<'a> {
    pub directory: &'a Place,
    pub name: &'a [u8],
    /// A slash followed the name: it is to be a directory.
    pub slash: bool,
}

/// renameat2(2), with RENAME_NOREPLACE and RENAME_EXCHANGE.
pub fn rename(who: &Credentials, from: &End, to: &End, flags: u32) -> Result<(), Errno> {
    let old_parent = Parent::new(who, from.directory, Errno::EXDEV)?;
    let new_parent = Parent::new(who, to.directory, Errno::EXDEV)?;
    let replaced;
    {
        let _tree = TREE.lock();
        let moved = old_parent.entries().get(from.name).ok_or(Errno::ENOENT)?;
        let target = new_parent.entries().get(to.name);
        let moved_stat = moved.stat();
        let moves_directory = moved_stat.kind() == S_IFDIR;
        if flags & RENAME_NOREPLACE != 0 && target.is_some() {
            return Err(Errno::EEXIST);
        }
        if flags & RENAME_EXCHANGE != 0 && target.is_none() {
            return Err(Errno::ENOENT);
        }
        if (from.slash || to.slash) && !moves_directory {
            return Err(Errno::ENOTDIR);
        }
        new_parent.check_alive()?;
        who.check_sticky(&from.directory.stat(), &moved_stat)?;
        Node::of(&moved).ok_or(Errno::EBUSY)?;
        if to.directory.is_within(&moved) {
            return Err(Errno::EINVAL);
        }
        if let Some(target) = &target {
            if Arc::ptr_eq(target.inode(), moved.inode()) {
                return Ok(());
            }
            let target_stat = target.stat();
            who.check_sticky(&to.directory.stat(), &target_stat)?;
            if flags & RENAME_EXCHANGE != 0 {
                if from.directory.is_within(target) {
                    return Err(Errno::EINVAL);
                }
                Node::of(target).ok_or(Errno::EBUSY)?;
                exchange(&old_parent, from.name, &moved, &new_parent, to.name, target);
                tell_move((&old_parent, from.name), (&new_parent, to.name), &moved, None);
                tell_move((&new_parent, to.name), (&old_parent, from.name), target, None);
                return Ok(());
            }
            if from.directory.is_within(target) {
                return Err(Errno::ENOTEMPTY);
            }
            let node = check_removable(target, moves_directory)?;
            node.change_links(if moves_directory { -2 } else { -1 });
            target.mark_deleted();
            new_parent.changed(-(moves_directory as i32));
        }
        let _ = old_parent.entries().take(from.name);
        moved.move_to(to.directory, to.name);
        replaced = new_parent.entries().put(to.name, moved.clone());
        if let Some(node) = Node::of(&moved) {
            node.change_links(0);
        }
        old_parent.changed(-(moves_directory as i32));
        new_parent.changed(moves_directory as i32);
        tell_move(
            (&old_parent, from.name),
            (&new_parent, to.name),
            &moved,
            replaced.as_ref(),
        );
    }
    drop((replaced, old_parent, new_parent));
    Ok(())
}

/// Tells who watches of a move from one name to another, over a place that lost its name there.
fn tell_move(from: (&Parent, &[u8]), to: (&Parent, &[u8]), moved: &Place, replaced: Option<&Place>) {
    if !watch::is_used() {
        return;
    }
    let cookie = watch::new_cookie();
    let is_directory = moved.stat().kind() == S_IFDIR;
    from.0.tell(IN_MOVED_FROM, from.1, is_directory, cookie);
    to.0.tell(IN_MOVED_TO, to.1, is_directory, cookie);
    for (place, event) in [(replaced, IN_ATTRIB), (Some(moved), IN_MOVE_SELF)] {
        if let Some(place) = place {
            watch::at_inode(Watched::new(&place.stat()), event);
        }
    }
}

/// RENAME_EXCHANGE: two names change places.
fn exchange(parent_a: &Parent, name_a: &[u8], a: &Place, parent_b: &Parent, name_b: &[u8], b: &Place) {
    a.move_to(parent_b.place, name_b);
    b.move_to(parent_a.place, name_a);
    parent_b.entries().put(name_b, a.clone());
    parent_a.entries().put(name_a, b.clone());
    let directories = |place: &Place| (place.stat().kind() == S_IFDIR) as i32;
    parent_a.changed(directories(b) - directories(a));
    parent_b.changed(directories(a) - directories(b));
}
