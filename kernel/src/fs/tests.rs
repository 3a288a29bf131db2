//! In-kernel tests of the tree and of tmpfs.

use super::access::ROOT;
use super::tmpfs::{self, End, New};
use super::{Place, open, resolve, root};
use crate::arch::PAGE_SIZE;
use crate::file::OpenFile;
use crate::ktest::{Test, check};
use crate::mm::user::{Sink, Source};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::*;

pub const TESTS: &[Test] = &[
    ("fs::write_and_read_back", write_and_read_back),
    ("fs::holes_read_as_zeroes", holes_read_as_zeroes),
    ("fs::truncated_bytes_are_gone", truncated_bytes_are_gone),
    ("fs::append_goes_to_the_end", append_goes_to_the_end),
    ("fs::unlinked_file_lives_while_open", unlinked_file_lives_while_open),
    ("fs::links_and_loops", links_and_loops),
    ("fs::rename_moves_trees", rename_moves_trees),
    ("fs::listing_survives_removals", listing_survives_removals),
    (
        "fs::deep_tree_is_dropped_without_recursion",
        deep_tree_is_dropped_without_recursion,
    ),
];

/// A fresh directory. The machine ends with the tests, so nothing cleans it up.
struct Scratch(Place);

impl Scratch {
    fn new() -> Result<Scratch, &'static str> {
        let name = format!("ktest{}", super::new_ino());
        let made = tmpfs::create(&ROOT, &root(), name.as_bytes(), New::Directory { mode: 0o755 });
        made.map(Scratch).map_err(|_| "no directory to work in")
    }

    fn open(&self, name: &str, flags: u32) -> Result<Arc<OpenFile>, &'static str> {
        open(&self.0, name.as_bytes(), flags, 0o644, super::Bounds::empty()).map_err(|_| "a file can't be opened")
    }

    fn mkdir(&self, at: &Place, name: &str) -> Result<Place, &'static str> {
        tmpfs::create(&ROOT, at, name.as_bytes(), New::Directory { mode: 0o755 }).map_err(|_| "mkdir fails")
    }
}

fn write_all(open: &OpenFile, bytes: &[u8]) -> Result<(), &'static str> {
    check(
        open.write(&mut Source::kernel(bytes)) == Ok(bytes.len()),
        "a write is short",
    )
}

fn read_at(open: &OpenFile, offset: u64, len: usize) -> Result<Vec<u8>, &'static str> {
    let mut bytes = vec![0xee; len];
    let count = open
        .read_at(offset, &mut Sink::kernel(&mut bytes))
        .map_err(|_| "a read fails")?;
    bytes.truncate(count);
    Ok(bytes)
}

fn write_and_read_back() -> Result<(), &'static str> {
    let scratch = Scratch::new()?;
    let file = scratch.open("f", O_CREAT | O_RDWR)?;
    // Over several pages, ending inside one.
    let pattern: Vec<u8> = (0..3 * PAGE_SIZE + 100).map(|at| (at * 7 / 3) as u8).collect();
    write_all(&file, &pattern)?;
    check(read_at(&file, 0, pattern.len() + 50)? == pattern, "the bytes differ")?;
    let middle = PAGE_SIZE - 10;
    check(
        read_at(&file, middle as u64, 20)? == pattern[middle..middle + 20],
        "a read over a page's edge differs",
    )?;
    check(
        read_at(&file, pattern.len() as u64, 1)?.is_empty(),
        "bytes behind the end",
    )
}

fn holes_read_as_zeroes() -> Result<(), &'static str> {
    let scratch = Scratch::new()?;
    let file = scratch.open("f", O_CREAT | O_RDWR)?;
    let far = 10 * PAGE_SIZE as u64 + 5;
    check(
        file.write_at(far, &mut Source::kernel(b"x")) == Ok(1),
        "a write is short",
    )?;
    let stat = file.file.stat();
    check(stat.size == far + 1, "the size is wrong")?;
    check(stat.blocks == (PAGE_SIZE / 512) as u64, "a hole takes space")?;
    check(read_at(&file, far - 3, 9)? == b"\0\0\0x", "a hole is not zeroes")
}

fn truncated_bytes_are_gone() -> Result<(), &'static str> {
    let scratch = Scratch::new()?;
    let file = scratch.open("f", O_CREAT | O_RDWR)?;
    write_all(&file, b"secret")?;
    let inode = file.file.place().ok_or("no place")?.inode().clone();
    check(inode.truncate(2).is_ok() && inode.truncate(6).is_ok(), "truncate fails")?;
    check(read_at(&file, 0, 10)? == b"se\0\0\0\0", "bytes come back")
}

fn append_goes_to_the_end() -> Result<(), &'static str> {
    let scratch = Scratch::new()?;
    let (one, other) = (
        scratch.open("f", O_CREAT | O_WRONLY | O_APPEND)?,
        scratch.open("f", O_RDWR | O_APPEND)?,
    );
    write_all(&one, b"ab")?;
    write_all(&other, b"cd")?;
    write_all(&one, b"ef")?;
    check(read_at(&other, 0, 10)? == b"abcdef", "appends overwrite each other")?;
    check(one.offset() == 6, "the offset is not behind what was appended")
}

fn unlinked_file_lives_while_open() -> Result<(), &'static str> {
    let scratch = Scratch::new()?;
    let file = scratch.open("f", O_CREAT | O_RDWR)?;
    write_all(&file, b"still here")?;
    check(tmpfs::remove(&ROOT, &scratch.0, b"f", false).is_ok(), "unlink fails")?;
    check(resolve(&scratch.0, b"f", true).is_err(), "the name is still there")?;
    check(read_at(&file, 0, 20)? == b"still here", "the bytes are gone")?;
    check(file.file.stat().nlink == 0, "a link is left")?;
    check(
        file.file.link_name().ends_with("/f (deleted)"),
        "the name is not told as deleted",
    )
}

fn links_and_loops() -> Result<(), &'static str> {
    let scratch = Scratch::new()?;
    scratch.open("f", O_CREAT | O_WRONLY)?;
    let directory = scratch.mkdir(&scratch.0, "d")?;
    let link = |at: &Place, name: &[u8], target: &[u8]| {
        tmpfs::create(&ROOT, at, name, New::SymbolicLink { target }).map_err(|_| "symlink fails")
    };
    link(&directory, b"up", b"../f")?;
    link(&scratch.0, b"loop", b"d/back")?;
    link(&directory, b"back", b"../loop")?;
    let error = |path: &[u8]| resolve(&scratch.0, path, true).err();
    check(error(b"d/up").is_none(), "a link upwards is not followed")?;
    check(error(b"d/../d/./up").is_none(), "dots are not walked")?;
    check(error(b"loop") == Some(Errno::ELOOP), "a loop is not noticed")?;
    check(error(b"f/") == Some(Errno::ENOTDIR), "a file is taken for a directory")?;
    check(error(b"f/x") == Some(Errno::ENOTDIR), "a walk goes through a file")?;
    check(
        error(b"nothing/x") == Some(Errno::ENOENT),
        "a walk goes through nothing",
    )?;
    let up = resolve(&scratch.0, b"d/up", false).map_err(|_| "the link itself is not found")?;
    check(up.stat().kind() == S_IFLNK, "the link is followed where it must not be")
}

fn rename_moves_trees() -> Result<(), &'static str> {
    let scratch = Scratch::new()?;
    let a = scratch.mkdir(&scratch.0, "a")?;
    let inner = scratch.mkdir(&a, "inner")?;
    let b = scratch.mkdir(&scratch.0, "b")?;
    let end = |directory, name| End {
        directory,
        name,
        slash: false,
    };
    let below = tmpfs::rename(&ROOT, &end(&scratch.0, b"a"), &end(&inner, b"x"), 0);
    check(below == Err(Errno::EINVAL), "a directory moves below itself")?;
    check(
        tmpfs::rename(&ROOT, &end(&scratch.0, b"a"), &end(&b, b"c"), 0).is_ok(),
        "rename fails",
    )?;
    check(
        inner.display().ends_with("/b/c/inner"),
        "the path does not follow the rename",
    )?;
    check(inner.parent().parent().is(&b), "the parent is the old one")?;
    let onto_parent = tmpfs::rename(&ROOT, &end(&b, b"c"), &end(&scratch.0, b"b"), 0);
    check(onto_parent == Err(Errno::ENOTEMPTY), "a directory replaces its parent")?;
    check(
        scratch.0.stat().nlink == 3 && b.stat().nlink == 3,
        "links are miscounted",
    )
}

fn listing_survives_removals() -> Result<(), &'static str> {
    let scratch = Scratch::new()?;
    const COUNT: usize = 100;
    for number in 0..COUNT {
        scratch.open(&format!("file{number}"), O_CREAT | O_WRONLY)?;
    }
    let listing = scratch.open(".", O_RDONLY | O_DIRECTORY)?;
    let mut removed = 0;
    loop {
        let records = super::read_directory(&listing, 300).map_err(|_| "a listing fails")?;
        let mut rest = &records[..];
        if rest.is_empty() {
            break;
        }
        while rest.len() > 19 {
            let len = u16::from_ne_bytes([rest[16], rest[17]]) as usize;
            let name = rest[19..len].split(|&byte| byte == 0).next().unwrap_or_default();
            if !name.starts_with(b".") {
                check(
                    tmpfs::remove(&ROOT, &scratch.0, name, false).is_ok(),
                    "a listed name is not there",
                )?;
                removed += 1;
            }
            rest = &rest[len..];
        }
    }
    check(removed == COUNT, "names are skipped")
}

fn deep_tree_is_dropped_without_recursion() -> Result<(), &'static str> {
    let scratch = Scratch::new()?;
    let mut at = scratch.mkdir(&scratch.0, "d")?;
    let mut path = vec![at.clone()];
    for _ in 0..5000 {
        at = scratch.mkdir(&at, "d")?;
        path.push(at.clone());
    }
    // Removed from the bottom up while the deepest place is held: then that one holds the whole chain.
    while let Some(place) = path.pop() {
        let parent = place.parent();
        check(tmpfs::remove(&ROOT, &parent, b"d", true).is_ok(), "rmdir fails")?;
    }
    check(at.path().is_none(), "a removed directory has a path")?;
    drop(at);
    Ok(())
}
