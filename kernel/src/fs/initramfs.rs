//! The boot archive: cpio in the "newc" format (and its checksummed twin), unpacked into the root. File contents stay
//! in the archive until they are written or mapped.

use super::access::ROOT;
use super::tmpfs::{self, New, Node};
use super::{Change, Place, access::Credentials};
use alloc::collections::BTreeMap;
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::*;

const HEADER_LEN: usize = 110;

/// One member of the archive.
struct Member<'a> {
    ino: u64,
    mode: u32,
    uid: u32,
    gid: u32,
    nlink: u32,
    mtime_s: u64,
    rdev: u64,
    name: &'a [u8],
    data: &'a [u8],
}

/// Reads the member at the start of `archive`; the rest follows it. `None` where it is cut short or no member.
fn member(archive: &[u8]) -> Option<(Member<'_>, &[u8])> {
    let header = archive.get(..HEADER_LEN)?;
    if &header[..6] != b"070701" && &header[..6] != b"070702" {
        return None;
    }
    let field = |index: usize| {
        let digits = core::str::from_utf8(&header[6 + 8 * index..14 + 8 * index]).ok()?;
        u64::from_str_radix(digits, 16).ok()
    };
    let (data_len, name_len) = (field(6)? as usize, field(11)? as usize);
    let data_start = (HEADER_LEN + name_len).next_multiple_of(4);
    let name = archive.get(HEADER_LEN..(HEADER_LEN + name_len).checked_sub(1)?)?;
    let data = archive.get(data_start..data_start.checked_add(data_len)?)?;
    let rest = archive
        .get((data_start + data_len).next_multiple_of(4)..)
        .unwrap_or(&[]);
    let member = Member {
        ino: field(0)?,
        mode: field(1)? as u32,
        uid: field(2)? as u32,
        gid: field(3)? as u32,
        nlink: field(4)? as u32,
        mtime_s: field(5)?,
        rdev: device(field(9)? as u32, field(10)? as u32),
        name,
        data,
    };
    Some((member, rest))
}

/// Puts everything in the archive into the tree under `root`.
pub fn unpack(root: &Place, archive: &'static [u8]) -> Result<(), &'static str> {
    let mut rest = archive;
    // First names of files with more than one: a later member with the same inode number is another name.
    let mut linked: BTreeMap<u64, Place> = BTreeMap::new();
    loop {
        // Archives may be joined, with zeroes in between.
        let Some(start) = rest.iter().position(|&byte| byte != 0) else {
            return Ok(());
        };
        let (member, after) = member(&rest[start..]).ok_or("the archive is cut short or no cpio archive (newc)")?;
        rest = after;
        if member.name == b"TRAILER!!!" {
            linked.clear();
            continue;
        }
        place_member(root, &member, &mut linked).map_err(|_| "a file of the archive can't be made")?;
    }
}

fn place_member(root: &Place, member: &Member<'static>, linked: &mut BTreeMap<u64, Place>) -> Result<(), Errno> {
    let (directory, name) = parent_of(root, member.name)?;
    let mode = member.mode & 0o7777;
    let owner = Credentials {
        uid: member.uid,
        gid: member.gid,
        ..ROOT
    };
    let kind = member.mode & S_IFMT;
    let place = if name.is_empty() {
        directory
    } else if let (Some(first), true) = (linked.get(&member.ino), kind != S_IFDIR && member.nlink > 1) {
        // Of hard links only one, the last as a rule, carries the data.
        if let Some(node) = Node::of(first)
            && let Some(contents) = node.contents()
        {
            contents.provide(member.data);
        }
        return tmpfs::link(&ROOT, first, &directory, name);
    } else {
        // A later member takes the place of an earlier one; two directories are one.
        if kind != S_IFDIR {
            match tmpfs::remove(&ROOT, &directory, name, false) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(error) => return Err(error),
            }
        }
        match kind {
            S_IFREG => tmpfs::attach(&directory, name, Node::archived(mode, owner, member.data))?,
            S_IFDIR => match tmpfs::create(&ROOT, &directory, name, New::Directory { mode }) {
                Err(Errno::EEXIST) => directory.inode().lookup(&directory, name)?,
                made => made?,
            },
            S_IFLNK => tmpfs::create(&ROOT, &directory, name, New::SymbolicLink { target: member.data })?,
            S_IFIFO => tmpfs::create(&ROOT, &directory, name, New::Fifo { mode })?,
            S_IFCHR | S_IFBLK => tmpfs::create(
                &ROOT,
                &directory,
                name,
                New::Device {
                    kind,
                    mode,
                    number: member.rdev,
                },
            )?,
            _ => return Ok(()),
        }
    };
    if kind != S_IFDIR && member.nlink > 1 {
        linked.insert(member.ino, place.clone());
    }
    let time_ns = (member.mtime_s as i64).saturating_mul(1_000_000_000);
    place.inode().change(&Change {
        mode: (kind != S_IFLNK).then_some(mode),
        uid: Some(member.uid),
        gid: Some(member.gid),
        atime_ns: Some(time_ns),
        mtime_ns: Some(time_ns),
    })
}

/// The directory a member goes into, made where the archive does not name it, and the member's own name; an empty name
/// for the root.
fn parent_of<'a>(root: &Place, path: &'a [u8]) -> Result<(Place, &'a [u8]), Errno> {
    let mut at = root.clone();
    let mut names = path
        .split(|&byte| byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .peekable();
    while let Some(name) = names.next() {
        if names.peek().is_none() {
            return Ok((at, name));
        }
        at = match at.inode().lookup(&at, name) {
            Err(Errno::ENOENT) => tmpfs::create(&ROOT, &at, name, New::Directory { mode: 0o755 })?,
            found => found?,
        };
    }
    Ok((at, b""))
}
