//! openat2(2): paths that must not lead everywhere.

use libsyscall::abi::Errno;
use std::ffi::{CString, c_int};
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::{MetadataExt, symlink};
use std::process::ExitCode;
use userspace_tests::{Folder, checked, tests};

fn main() -> ExitCode {
    userspace_tests::run(tests![
        plain,
        what_is_refused,
        longer_structures,
        cached,
        without_links,
        without_magic_links,
        on_one_filesystem,
        beneath,
        in_a_root,
        made_beneath,
        without_a_name,
    ])
}

const HERE: c_int = libc::AT_FDCWD;
const NO_XDEV: u64 = 1;
const NO_MAGICLINKS: u64 = 2;
const NO_SYMLINKS: u64 = 4;
const BENEATH: u64 = 8;
const IN_ROOT: u64 = 0x10;
const CACHED: u64 = 0x20;

/// struct open_how.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct How {
    flags: u64,
    mode: u64,
    resolve: u64,
    /// Of a kernel to come.
    more: u64,
}

fn call(directory: c_int, path: &str, how: *const How, size: usize) -> Result<File, Errno> {
    let path = CString::new(path).expect("a path");
    // SAFETY: path and structure are read as far as they go.
    let fd = checked(unsafe { libc::syscall(libc::SYS_openat2, directory, path.as_ptr(), how, size) })?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { File::from_raw_fd(fd as c_int) })
}

fn open_as(directory: c_int, path: &str, flags: c_int, mode: u64, resolve: u64) -> Result<File, Errno> {
    let how = How {
        flags: flags as u32 as u64,
        mode,
        resolve,
        more: 0,
    };
    call(directory, path, &how, 24)
}

fn open(directory: &File, path: &str, resolve: u64) -> Result<File, Errno> {
    open_as(directory.as_raw_fd(), path, libc::O_RDONLY, 0, resolve)
}

/// A folder with `file`, `inner/file` and links, and itself opened.
fn tree(name: &str) -> (Folder, File) {
    let folder = Folder::new(name);
    folder.file("file");
    fs::create_dir(folder.join("inner")).expect("mkdir");
    fs::write(folder.join("inner/file"), "inner").expect("write");
    symlink("file", folder.join("near")).expect("symlink");
    symlink("../file", folder.join("inner/up")).expect("symlink");
    symlink("../../file", folder.join("inner/out")).expect("symlink");
    symlink("/file", folder.join("absolute")).expect("symlink");
    symlink("/inner/file", folder.join("inner/absolute")).expect("symlink");
    let opened = File::open(&*folder).expect("open");
    (folder, opened)
}

fn ok(result: Result<File, Errno>) -> Result<(), Errno> {
    result.map(drop)
}

fn plain() {
    let (folder, opened) = tree("plain");
    let mut text = String::new();
    let mut file = open(&opened, "near", 0).expect("open");
    file.read_to_string(&mut text).expect("read");
    assert_eq!(text, "contents");
    let path = folder.join("file");
    assert_eq!(ok(open_as(-1, path.to_str().expect("text"), 0, 0, 0)), Ok(()));
    assert_eq!(ok(open_as(-1, "file", 0, 0, 0)), Err(Errno::EBADF));
    assert_eq!(ok(open(&opened, "none", 0)), Err(Errno::ENOENT));
}

fn what_is_refused() {
    let how = |flags: u64, mode, resolve| {
        let how = How {
            flags,
            mode,
            resolve,
            more: 0,
        };
        ok(call(HERE, "/", &how, 24))
    };
    assert_eq!(how(0, 0, 0), Ok(()));
    // Unlike open(2), which takes no notice of what it does not know.
    assert_eq!(how(1 << 32, 0, 0), Err(Errno::EINVAL));
    assert_eq!(how(1 << 31, 0, 0), Err(Errno::EINVAL));
    assert_eq!(how(0, 0o600, 0), Err(Errno::EINVAL));
    assert_eq!(how(libc::O_CREAT as u64, 1 << 12, 0), Err(Errno::EINVAL));
    assert_eq!(how(0, 0, 0x40), Err(Errno::EINVAL));
    assert_eq!(how(0, 0, BENEATH | IN_ROOT), Err(Errno::EINVAL));
    assert_eq!(how((libc::O_PATH | libc::O_APPEND) as u64, 0, 0), Err(Errno::EINVAL));
    assert_eq!(how((libc::O_PATH | libc::O_DIRECTORY) as u64, 0, 0), Ok(()));
}

fn longer_structures() {
    let mut how = How::default();
    for size in [0, 23] {
        assert_eq!(ok(call(HERE, "/", &how, size)), Err(Errno::EINVAL));
    }
    assert_eq!(ok(call(HERE, "/", &how, 32)), Ok(()));
    assert_eq!(ok(call(HERE, "/", &how, 4097)), Err(Errno::E2BIG));
    how.more = 1;
    assert_eq!(ok(call(HERE, "/", &how, 24)), Ok(()));
    assert_eq!(ok(call(HERE, "/", &how, 32)), Err(Errno::E2BIG));
    assert_eq!(ok(call(HERE, "/", std::ptr::null(), 24)), Err(Errno::EFAULT));
}

fn cached() {
    let (_folder, opened) = tree("cached");
    assert_eq!(ok(open(&opened, "inner/file", 0)), Ok(()));
    assert_eq!(ok(open(&opened, "inner/file", CACHED)), Ok(()));
    let flags = libc::O_CREAT | libc::O_RDWR;
    let made = open_as(opened.as_raw_fd(), "new", flags, 0o600, CACHED);
    assert_eq!(ok(made), Err(Errno::EAGAIN));
}

fn without_links() {
    let (folder, opened) = tree("links");
    assert_eq!(ok(open(&opened, "inner/file", NO_SYMLINKS)), Ok(()));
    assert_eq!(ok(open(&opened, "near", NO_SYMLINKS)), Err(Errno::ELOOP));
    symlink("inner", folder.join("way")).expect("symlink");
    assert_eq!(ok(open(&opened, "way/file", NO_SYMLINKS)), Err(Errno::ELOOP));
    // The link itself is no way to anywhere.
    let itself = libc::O_PATH | libc::O_NOFOLLOW;
    let link = open_as(opened.as_raw_fd(), "near", itself, 0, NO_SYMLINKS);
    assert_eq!(ok(link), Ok(()));
    assert_eq!(
        ok(open_as(HERE, "/proc/self/exe", 0, 0, NO_SYMLINKS)),
        Err(Errno::ELOOP)
    );
}

fn without_magic_links() {
    let (_folder, opened) = tree("magic");
    assert_eq!(ok(open(&opened, "near", NO_MAGICLINKS)), Ok(()));
    let path = format!("/proc/self/fd/{}", opened.as_raw_fd());
    assert_eq!(ok(open_as(HERE, &path, 0, 0, 0)), Ok(()));
    assert_eq!(ok(open_as(HERE, &path, 0, 0, NO_MAGICLINKS)), Err(Errno::ELOOP));
    let through = format!("{path}/file");
    assert_eq!(ok(open_as(HERE, &through, 0, 0, 0)), Ok(()));
    assert_eq!(ok(open_as(HERE, &through, 0, 0, NO_MAGICLINKS)), Err(Errno::ELOOP));
    assert_eq!(ok(open_as(HERE, &through, 0, 0, BENEATH)), Err(Errno::EXDEV));
    let root = File::open("/").expect("open");
    assert_eq!(ok(open(&root, &through, IN_ROOT)), Err(Errno::EXDEV));
}

fn on_one_filesystem() {
    let root = File::open("/").expect("open");
    assert_eq!(ok(open(&root, "proc", 0)), Ok(()));
    assert_eq!(ok(open(&root, "proc", NO_XDEV)), Err(Errno::EXDEV));
    assert_eq!(ok(open(&root, "proc/self/maps", NO_XDEV)), Err(Errno::EXDEV));
    assert_eq!(ok(open(&root, ".", NO_XDEV)), Ok(()));
    let proc = File::open("/proc").expect("open");
    assert_eq!(ok(open(&proc, "self/maps", NO_XDEV)), Ok(()));
    assert_eq!(ok(open(&proc, "..", NO_XDEV)), Err(Errno::EXDEV));
    // An absolute path has not been anywhere before.
    assert_eq!(ok(open(&proc, "/", NO_XDEV)), Ok(()));
    assert_eq!(ok(open(&proc, "/proc", NO_XDEV)), Err(Errno::EXDEV));
}

fn beneath() {
    let (folder, opened) = tree("beneath");
    for path in [
        "file",
        "./inner/file",
        "inner/../file",
        "near",
        "inner/up",
        "inner/..",
        ".",
    ] {
        assert_eq!(ok(open(&opened, path, BENEATH)), Ok(()), "{path}");
    }
    let whole = folder.join("file");
    for path in [
        "..",
        "../",
        "inner/../..",
        "inner/out",
        "absolute",
        "/",
        whole.to_str().expect("text"),
    ] {
        assert_eq!(ok(open(&opened, path, BENEATH)), Err(Errno::EXDEV), "{path}");
    }
    // What comes back does not count.
    let name = folder.file_name().expect("a name").to_str().expect("text").to_string();
    let path = format!("../{name}/file");
    assert_eq!(ok(open(&opened, &path, 0)), Ok(()));
    assert_eq!(ok(open(&opened, &path, BENEATH)), Err(Errno::EXDEV));
}

fn in_a_root() {
    let (folder, opened) = tree("root");
    let inode = |path: &str| fs::metadata(folder.join(path)).expect("stat").ino();
    let (file, inner, root) = (inode("file"), inode("inner/file"), inode("."));
    for (path, expected) in [
        ("file", file),
        ("/file", file),
        ("../../file", file),
        ("inner/out", file),
        ("absolute", file),
        ("inner/absolute", inner),
        ("/inner/../..//inner/file", inner),
        ("/", root),
        ("..", root),
    ] {
        let found = open(&opened, path, IN_ROOT).map(|found| found.metadata().expect("stat").ino());
        assert_eq!(found, Ok(expected), "{path}");
    }
    assert_eq!(ok(open(&opened, "/etc/passwd", IN_ROOT)), Err(Errno::ENOENT));
    assert_eq!(ok(open_as(-1, "/file", 0, 0, IN_ROOT)), Err(Errno::EBADF));
}

fn made_beneath() {
    let (folder, opened) = tree("made");
    let make = |path: &str| open_as(opened.as_raw_fd(), path, libc::O_CREAT | libc::O_RDWR, 0o640, BENEATH);
    assert_eq!(ok(make("inner/new")), Ok(()));
    assert_eq!(
        fs::metadata(folder.join("inner/new")).expect("stat").mode() & 0o7777,
        0o640
    );
    assert_eq!(ok(make("../new-beside")), Err(Errno::EXDEV));
    symlink("../not-there", folder.join("dangling")).expect("symlink");
    assert_eq!(ok(make("dangling")), Err(Errno::EXDEV));
}

fn without_a_name() {
    let (_folder, opened) = tree("temporary");
    let flags = libc::O_TMPFILE | libc::O_RDWR;
    let make = |path: &str| open_as(opened.as_raw_fd(), path, flags, 0o600, BENEATH);
    assert_eq!(ok(make("inner")), Ok(()));
    assert_eq!(ok(make("..")), Err(Errno::EXDEV));
}
