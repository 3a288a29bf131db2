//! Files and directories of a writable tree, through std.

use libsyscall::abi::{Errno, fcntl};
use libsyscall::calls::file;
use std::env;
use std::ffi::CString;
use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, fchown, symlink};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};
use userspace_tests::{Folder, Status, as_root, checked, child, tests};

fn main() -> ExitCode {
    userspace_tests::run(tests![
        create_write_read,
        append,
        truncate_and_holes,
        positioned_io,
        missing_and_existing,
        directories,
        rename_and_hard_links,
        symbolic_links,
        unlinked_file_lives_on,
        permissions_and_times,
        time_of_birth,
        attributes_without_a_name,
        descriptor_flags,
        dup_shares_the_offset,
        null_zero_full,
        proc_self,
        large_file,
        the_programs_own_time,
        another_root,
        another_root_and_outside,
        another_root_refused,
    ])
}

fn create_write_read() {
    let folder = Folder::new("create");
    let path = folder.join("file");
    fs::write(&path, b"hello").expect("write");
    assert_eq!(fs::read(&path).expect("read"), b"hello");
    assert_eq!(fs::metadata(&path).expect("stat").len(), 5);
}

fn append() {
    let folder = Folder::new("append");
    let path = folder.join("file");
    let mut file = OpenOptions::new().append(true).create(true).open(&path).expect("open");
    file.write_all(b"one").expect("write");
    file.seek(SeekFrom::Start(0)).expect("lseek");
    file.write_all(b"two").expect("write");
    assert_eq!(fs::read_to_string(&path).expect("read"), "onetwo");
}

fn truncate_and_holes() {
    let folder = Folder::new("truncate");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(folder.join("file"))
        .expect("open");
    file.write_all_at(b"end", 10_000).expect("pwrite");
    assert_eq!(file.metadata().expect("stat").len(), 10_003);
    let mut hole = [1; 100];
    file.read_exact_at(&mut hole, 5_000).expect("pread");
    assert_eq!(hole, [0; 100]);
    file.set_len(4).expect("ftruncate");
    file.set_len(8).expect("ftruncate");
    assert_eq!(file.read_at(&mut hole, 0).expect("pread"), 8);
    assert_eq!(hole[..8], [0; 8]);
}

fn positioned_io() {
    let folder = Folder::new("positioned");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(folder.join("file"))
        .expect("open");
    file.write_all(b"0123456789").expect("write");
    assert_eq!(file.seek(SeekFrom::End(-3)).expect("lseek"), 7);
    let mut text = String::new();
    file.read_to_string(&mut text).expect("read");
    assert_eq!(text, "789");
    assert_eq!(file.seek(SeekFrom::Start(2)).expect("lseek"), 2);
    assert_eq!(
        file.seek(SeekFrom::Current(-5))
            .expect_err("before the start")
            .raw_os_error(),
        Some(libc::EINVAL)
    );
}

fn missing_and_existing() {
    let folder = Folder::new("missing");
    assert_eq!(
        File::open(folder.join("no")).expect_err("ENOENT").kind(),
        ErrorKind::NotFound
    );
    fs::write(folder.join("file"), b"").expect("write");
    assert_eq!(
        File::create_new(folder.join("file")).expect_err("EEXIST").kind(),
        ErrorKind::AlreadyExists
    );
    assert_eq!(
        File::open(folder.join("file/no")).expect_err("ENOTDIR").kind(),
        ErrorKind::NotADirectory
    );
    assert_eq!(
        fs::write(&*folder, b"").expect_err("EISDIR").kind(),
        ErrorKind::IsADirectory
    );
    let long = "x".repeat(256);
    assert_eq!(
        File::open(folder.join(long)).expect_err("ENAMETOOLONG").raw_os_error(),
        Some(libc::ENAMETOOLONG)
    );
}

fn directories() {
    let folder = Folder::new("directories");
    fs::create_dir_all(folder.join("a/b/c")).expect("mkdir");
    for number in 0..300 {
        fs::write(folder.join(format!("a/file-{number}")), b"x").expect("write");
    }
    let mut names: Vec<_> = fs::read_dir(folder.join("a"))
        .expect("open")
        .map(|entry| entry.expect("getdents64").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    assert_eq!(names.len(), 301);
    assert_eq!(names[0], "b");
    let full = fs::remove_dir(folder.join("a")).expect_err("ENOTEMPTY");
    assert_eq!(full.kind(), ErrorKind::DirectoryNotEmpty);
    fs::remove_dir_all(folder.join("a")).expect("rm -r");
    assert!(!folder.join("a").exists());
}

fn rename_and_hard_links() {
    let folder = Folder::new("rename");
    let (old, new) = (folder.join("old"), folder.join("new"));
    fs::write(&old, b"old").expect("write");
    fs::write(&new, b"new").expect("write");
    fs::rename(&old, &new).expect("rename");
    assert_eq!(fs::read(&new).expect("read"), b"old");
    assert!(!old.exists());
    fs::hard_link(&new, &old).expect("link");
    assert_eq!(fs::metadata(&old).expect("stat").nlink(), 2);
    assert_eq!(
        fs::metadata(&old).expect("stat").ino(),
        fs::metadata(&new).expect("stat").ino()
    );
    fs::remove_file(&new).expect("unlink");
    assert_eq!(fs::metadata(&old).expect("stat").nlink(), 1);
}

fn symbolic_links() {
    let folder = Folder::new("symbolic");
    fs::write(folder.join("file"), b"through").expect("write");
    symlink("file", folder.join("link")).expect("symlink");
    assert_eq!(fs::read(folder.join("link")).expect("read"), b"through");
    assert_eq!(fs::read_link(folder.join("link")).expect("readlink"), Path::new("file"));
    assert!(fs::symlink_metadata(folder.join("link")).expect("lstat").is_symlink());
    symlink("loop", folder.join("loop")).expect("symlink");
    assert_eq!(
        File::open(folder.join("loop")).expect_err("ELOOP").raw_os_error(),
        Some(libc::ELOOP)
    );
}

fn unlinked_file_lives_on() {
    let folder = Folder::new("unlinked");
    let path = folder.join("file");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .expect("open");
    fs::remove_file(&path).expect("unlink");
    file.write_all(b"still here").expect("write");
    file.rewind().expect("lseek");
    let mut text = String::new();
    file.read_to_string(&mut text).expect("read");
    assert_eq!(text, "still here");
    assert_eq!(file.metadata().expect("stat").nlink(), 0);
}

fn permissions_and_times() {
    let folder = Folder::new("permissions");
    let path = folder.join("file");
    fs::write(&path, b"x").expect("write");
    fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("chmod");
    assert_eq!(fs::metadata(&path).expect("stat").mode() & 0o7777, 0o640);
    let time = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    File::options()
        .write(true)
        .open(&path)
        .expect("open")
        .set_modified(time)
        .expect("utimensat");
    assert_eq!(fs::metadata(&path).expect("stat").modified().expect("mtime"), time);
}

/// statx(2) tells when a file was made, which nothing done to it changes; of what no filesystem keeps it tells nothing.
fn time_of_birth() {
    let folder = Folder::new("birth");
    let (path, link, directory) = (folder.join("file"), folder.join("link"), folder.join("directory"));
    fs::write(&path, b"x").expect("write");
    symlink("nowhere", &link).expect("symlink");
    fs::create_dir(&directory).expect("mkdir");
    let born = fs::metadata(&path).expect("statx").created().expect("a file's birth");
    assert!(born > UNIX_EPOCH + Duration::from_secs(1_000_000_000));
    let moved = directory.join("moved");
    fs::rename(&path, &moved).expect("rename");
    fs::write(&moved, b"other").expect("write");
    fs::set_permissions(&moved, Permissions::from_mode(0o600)).expect("chmod");
    let after = fs::metadata(&moved).expect("statx");
    assert_eq!(after.created().expect("birth"), born);
    assert!(after.modified().expect("mtime") >= born);
    for made_later in [&link, &directory] {
        let metadata = fs::symlink_metadata(made_later).expect("statx");
        assert!(metadata.created().expect("birth") >= born, "{made_later:?}");
    }
    let (reader, _writer) = io::pipe().expect("pipe");
    let pipe = File::from(OwnedFd::from(reader)).metadata().expect("statx");
    assert!(pipe.created().is_err());
}

/// Pipes and sockets have their own, those of a pipe are both ends'.
fn attributes_without_a_name() {
    let (reader, writer) = io::pipe().expect("pipe");
    let (left, right) = UnixStream::pair().expect("socketpair");
    let (reader, writer) = (File::from(OwnedFd::from(reader)), File::from(OwnedFd::from(writer)));
    let (left, right) = (File::from(OwnedFd::from(left)), File::from(OwnedFd::from(right)));
    let permissions = |file: &File| file.metadata().expect("fstat").mode() & 0o7777;
    assert_eq!((permissions(&reader), permissions(&left)), (0o600, 0o777));
    for file in [&reader, &left] {
        file.set_permissions(Permissions::from_mode(0o4711)).expect("fchmod");
        assert_eq!(permissions(file), 0o4711);
        let owner = file.metadata().expect("fstat");
        fchown(file, Some(owner.uid()), Some(owner.gid())).expect("fchown");
        assert_eq!(permissions(file), 0o711, "no set-id file changes hands");
        let then = UNIX_EPOCH + Duration::from_secs(1000);
        file.set_times(FileTimes::new().set_modified(then)).expect("futimens");
        let after = file.metadata().expect("fstat");
        assert_eq!((after.mtime(), after.atime()), (1000, owner.atime()));
        assert!(after.ctime() > after.mtime());
    }
    assert_eq!((permissions(&writer), permissions(&right)), (0o711, 0o777));
}

/// FD_CLOEXEC belongs to the descriptor, status flags to the description (fcntl(2)).
fn descriptor_flags() {
    let folder = Folder::new("flags");
    let file = File::create(folder.join("file")).expect("open");
    let fd = file.as_raw_fd();
    assert_eq!(file::fcntl(fd, fcntl::F_GETFD, 0), Ok(fcntl::FD_CLOEXEC as usize));
    let copy = file::dup(fd).expect("dup");
    assert_eq!(file::fcntl(copy, fcntl::F_GETFD, 0), Ok(0));
    file::fcntl(fd, fcntl::F_SETFL, fcntl::O_APPEND as usize).expect("F_SETFL");
    assert_ne!(
        file::fcntl(copy, fcntl::F_GETFL, 0).expect("F_GETFL") & fcntl::O_APPEND as usize,
        0
    );
    assert_eq!(file::dup3(fd, fd, 0), Err(Errno::EINVAL));
    file::close(copy).expect("close");
    assert_eq!(file::fcntl(copy, fcntl::F_GETFD, 0), Err(Errno::EBADF));
}

fn dup_shares_the_offset() {
    let folder = Folder::new("offset");
    fs::write(folder.join("file"), b"0123456789").expect("write");
    let mut first = File::open(folder.join("file")).expect("open");
    let mut second = first.try_clone().expect("dup");
    let mut bytes = [0; 4];
    first.read_exact(&mut bytes).expect("read");
    second.read_exact(&mut bytes).expect("read");
    assert_eq!(&bytes, b"4567");
}

fn null_zero_full() {
    fs::write("/dev/null", b"gone").expect("write");
    assert_eq!(fs::read("/dev/null").expect("read"), b"");
    let mut zeros = [1; 10_000];
    File::open("/dev/zero")
        .expect("open")
        .read_exact(&mut zeros)
        .expect("read");
    assert!(zeros.iter().all(|&byte| byte == 0));
    let full = OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .expect("open")
        .write(b"x");
    assert_eq!(full.expect_err("ENOSPC").kind(), ErrorKind::StorageFull);
}

fn proc_self() {
    let program = fs::read_link("/proc/self/exe").expect("readlink");
    assert!(program.ends_with("files"), "{}", program.display());
    let file = File::open("/dev/null").expect("open");
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    assert_eq!(fs::read_link(link).expect("readlink"), Path::new("/dev/null"));
    let maps = fs::read_to_string("/proc/self/maps").expect("read");
    assert!(maps.lines().any(|line| line.ends_with("[stack]")), "{maps}");
    let status = fs::read_to_string("/proc/self/status").expect("read");
    assert!(
        status
            .lines()
            .any(|line| line == format!("Pid:\t{}", std::process::id())),
        "{status}"
    );
}

fn large_file() {
    let folder = Folder::new("large");
    let bytes: Vec<u8> = (0..3_000_000u32).map(|number| (number % 251) as u8).collect();
    fs::write(folder.join("file"), &bytes).expect("write");
    assert!(fs::read(folder.join("file")).expect("read") == bytes);
    fs::copy(folder.join("file"), folder.join("copy")).expect("copy_file_range");
    assert!(fs::read(folder.join("copy")).expect("read") == bytes);
}

/// A file that the machine started with is as old as where it came from.
fn the_programs_own_time() {
    let modified = fs::metadata("/proc/self/exe").and_then(|about| about.modified());
    let since = modified.expect("a time").duration_since(std::time::UNIX_EPOCH);
    const YEAR_S: u64 = 365 * 24 * 3600;
    assert!(since.expect("after 1970").as_secs() > 50 * YEAR_S);
}

fn chroot(path: &Path) -> Result<(), Errno> {
    let path = CString::new(path.as_os_str().as_bytes()).expect("no NUL");
    // SAFETY: the kernel reads a path.
    checked(unsafe { libc::chroot(path.as_ptr()) }).map(|_| ())
}

fn another_root() {
    let folder = Folder::new("root");
    fs::create_dir_all(folder.join("inside/sub")).expect("mkdir");
    folder.file("inside/file");
    symlink("/file", folder.join("inside/sub/link")).expect("symlink");
    let directory = File::open(folder.join("inside/sub")).expect("open");
    as_root(|| {
        chroot(&folder.join("inside")).expect("chroot");
        env::set_current_dir("/sub").expect("chdir");
        assert_eq!(env::current_dir().expect("getcwd"), Path::new("/sub"));
        for path in [
            "/file",
            "/../file",
            "../file",
            "../../../file",
            "/sub/link",
            "link",
            "/sub/../../file",
        ] {
            assert_eq!(fs::read_to_string(path).expect(path), "contents", "{path}");
        }
        assert_eq!(fs::canonicalize("link").expect("canonicalize"), Path::new("/file"));
        // A child has its parent's root.
        let again = child(|| i32::from(!fs::exists("/file").expect("stat")));
        assert_eq!(again.wait(), Status::Exited(0));
        // A descriptor from outside starts where it is, and `..` ends at the root here too.
        let path = c"../../../file".as_ptr();
        // SAFETY: the kernel reads a path.
        unsafe { checked(libc::faccessat(directory.as_raw_fd(), path, libc::R_OK, 0)).expect("faccessat") };
        chroot(Path::new("/sub")).expect("chroot again");
        assert!(!fs::exists("/file").expect("stat"));
        assert!(fs::symlink_metadata("/link").expect("lstat").is_symlink());
        env::set_current_dir("/").expect("chdir");
        assert_eq!(env::current_dir().expect("getcwd"), Path::new("/"));
    });
    // The parent has kept its own.
    assert!(fs::exists(folder.join("inside/file")).expect("stat"));
}

/// The working directory stays where it was, and from outside its root a process can go up.
fn another_root_and_outside() {
    let folder = Folder::new("outside");
    fs::create_dir_all(folder.join("inside")).expect("mkdir");
    folder.file("file");
    as_root(|| {
        env::set_current_dir(&*folder).expect("chdir");
        chroot(Path::new("inside")).expect("chroot");
        assert!(!fs::exists("/file").expect("stat"));
        assert!(fs::exists("file").expect("stat"));
        assert!(
            fs::exists("inside/../file").is_ok_and(|there| !there),
            "`..` ends at the root"
        );
        let name = folder.file_name().expect("a name").to_str().expect("text");
        assert!(fs::exists(format!("../{name}/file")).expect("stat"));
        let mut path = [0u8; 4096];
        // SAFETY: the kernel writes into the buffer.
        let len = unsafe { libc::syscall(libc::SYS_getcwd, path.as_mut_ptr(), path.len()) };
        let len = checked(len).expect("getcwd") as usize;
        assert!(path[..len].starts_with(b"(unreachable)/"));
    });
}

fn another_root_refused() {
    let folder = Folder::new("refused");
    let file = folder.file("file");
    assert_eq!(chroot(&file), Err(Errno::ENOTDIR));
    assert_eq!(chroot(&folder.join("none")), Err(Errno::ENOENT));
    assert_eq!(chroot(Path::new("")), Err(Errno::ENOENT));
    let closed = folder.join("closed");
    fs::create_dir(&closed).expect("mkdir");
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).expect("chmod");
    fs::set_permissions(&*folder, Permissions::from_mode(0o755)).expect("chmod");
    as_root(|| {
        // SAFETY: it takes a number.
        checked(unsafe { libc::setuid(65534) }).expect("setuid");
        assert_eq!(chroot(&folder), Err(Errno::EPERM));
        assert_eq!(chroot(&closed), Err(Errno::EACCES));
    });
}
