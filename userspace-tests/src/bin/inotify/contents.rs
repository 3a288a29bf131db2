//! What is told of a file: that it was opened, read, written, changed.

use super::instance::*;
use libc::{IN_ACCESS, IN_ALL_EVENTS, IN_ATTRIB, IN_CLOSE_NOWRITE, IN_CLOSE_WRITE, IN_ISDIR, IN_MODIFY, IN_OPEN};
use libsyscall::calls::file;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use userspace_tests::{Folder, checked};

pub fn open_and_close() {
    let folder = Folder::new("open");
    let path = folder.file("file");
    let instance = Instance::new();
    let watch = instance.add(&path, IN_ALL_EVENTS);
    assert_eq!(watch, 1);
    drop(File::open(&path).expect("open"));
    let event = |mask| Event {
        watch,
        mask,
        cookie: 0,
        name: String::new(),
    };
    assert_eq!(instance.events(), [event(IN_OPEN), event(IN_CLOSE_NOWRITE)]);
    let writer = OpenOptions::new().append(true).open(&path).expect("open");
    let copy = writer.try_clone().expect("dup");
    drop(writer);
    expect(&instance, &[(IN_OPEN, "")]);
    drop(copy);
    expect(&instance, &[(IN_CLOSE_WRITE, "")]);
    let only_a_place = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(&path);
    drop(only_a_place.expect("O_PATH"));
    fs::metadata(&path).expect("stat");
    expect(&instance, &[]);
}

pub fn reading_and_writing() {
    let folder = Folder::new("transfer");
    let path = folder.file("file");
    let mut file = OpenOptions::new().read(true).write(true).open(&path).expect("open");
    let instance = Instance::new();
    instance.add(&path, IN_ALL_EVENTS);
    let parent = Instance::new();
    parent.add(&folder, IN_ALL_EVENTS);
    let mut buffer = [0; 100];
    assert_eq!(file.read(&mut buffer).expect("read"), 8);
    assert_eq!(file.read(&mut buffer).expect("read"), 0, "the end is no access");
    expect(&instance, &[(IN_ACCESS, "")]);
    expect(&parent, &[(IN_ACCESS, "file")]);
    file.write_all(b"more").expect("write");
    assert_eq!(file.write(b"").expect("write"), 0);
    expect(&instance, &[(IN_MODIFY, "")]);
    expect(&parent, &[(IN_MODIFY, "file")]);
    assert_eq!(file::read(file.as_raw_fd(), &mut []), Ok(0));
    file.seek(SeekFrom::Start(0)).expect("seek");
    expect(&instance, &[]);
}

pub fn positions_vectors_and_copies() {
    let folder = Folder::new("positions");
    let path = folder.file("file");
    let file = OpenOptions::new().read(true).write(true).open(&path).expect("open");
    let to = File::create(folder.join("to")).expect("create");
    let instance = Instance::new();
    let (read, written) = (
        instance.add(&path, IN_ACCESS | IN_MODIFY),
        instance.add(&folder.join("to"), IN_ACCESS | IN_MODIFY),
    );
    let mut buffer = [0; 4];
    file.read_at(&mut buffer, 2).expect("pread");
    file.write_at(&buffer, 2).expect("pwrite");
    expect(&instance, &[(IN_ACCESS, ""), (IN_MODIFY, "")]);
    // SAFETY: without positions the descriptors are all there is to it.
    let sent = checked(unsafe { libc::sendfile(to.as_raw_fd(), file.as_raw_fd(), std::ptr::null_mut(), 4) } as i32);
    assert_eq!(sent, Ok(4));
    let events = instance.events();
    assert!(
        events
            .iter()
            .any(|event| (event.watch, event.mask) == (read, IN_ACCESS))
    );
    assert!(
        events
            .iter()
            .any(|event| (event.watch, event.mask) == (written, IN_MODIFY))
    );
}

pub fn truncation() {
    let folder = Folder::new("truncation");
    let path = folder.file("file");
    let instance = Instance::new();
    instance.add(&folder, IN_ALL_EVENTS);
    let file = OpenOptions::new().write(true).open(&path).expect("open");
    file.set_len(3).expect("ftruncate");
    expect(&instance, &[(IN_OPEN, "file"), (IN_MODIFY, "file")]);
    // SAFETY: numbers only.
    checked(unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, 100) }).expect("fallocate");
    expect(&instance, &[(IN_MODIFY, "file")]);
    drop(file);
    let name = CString::new(path.as_os_str().as_bytes()).expect("no NUL in it");
    // SAFETY: the path ends with NUL.
    checked(unsafe { libc::truncate(name.as_ptr(), 0) }).expect("truncate");
    expect(&instance, &[(IN_CLOSE_WRITE, "file"), (IN_MODIFY, "file")]);
    // Opening it cuts it too, even where nothing is left to cut.
    drop(File::create(&path).expect("open"));
    let told = instance.told();
    let masks: Vec<u32> = told.iter().map(|(mask, _)| *mask).collect();
    assert_eq!(masks.len(), 3);
    assert!(masks.contains(&IN_MODIFY) && masks.contains(&IN_OPEN) && masks[2] == IN_CLOSE_WRITE);
}

pub fn attributes() {
    let folder = Folder::new("attributes");
    let path = folder.file("file");
    let instance = Instance::new();
    instance.add(&path, IN_ALL_EVENTS);
    let parent = Instance::new();
    parent.add(&folder, IN_ALL_EVENTS);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("chmod");
    expect(&instance, &[(IN_ATTRIB, "")]);
    expect(&parent, &[(IN_ATTRIB, "file")]);
    let name = CString::new(path.as_os_str().as_bytes()).expect("no NUL in it");
    let touch = |access: i64, modification: i64| {
        let times = [access, modification].map(|nanoseconds| libc::timespec {
            tv_sec: 0,
            tv_nsec: nanoseconds,
        });
        // SAFETY: the path ends with NUL, and the times are two.
        checked(unsafe { libc::utimensat(libc::AT_FDCWD, name.as_ptr(), times.as_ptr(), 0) }).expect("utimensat");
    };
    touch(libc::UTIME_NOW, libc::UTIME_NOW);
    expect(&instance, &[(IN_ATTRIB, "")]);
    touch(5, libc::UTIME_OMIT);
    expect(&instance, &[(IN_ACCESS, "")]);
    touch(libc::UTIME_OMIT, 5);
    expect(&instance, &[(IN_MODIFY, "")]);
    touch(libc::UTIME_OMIT, libc::UTIME_OMIT);
    expect(&instance, &[]);
    // SAFETY: the path ends with NUL; its owner stays what it is.
    checked(unsafe { libc::chown(name.as_ptr(), libc::geteuid(), u32::MAX) }).expect("chown");
    expect(&instance, &[(IN_ATTRIB, "")]);
    fs::set_permissions(&*folder, fs::Permissions::from_mode(0o755)).expect("chmod");
    expect(&instance, &[]);
    parent.events();
    fs::set_permissions(&*folder, fs::Permissions::from_mode(0o700)).expect("chmod");
    expect(&parent, &[(IN_ATTRIB | IN_ISDIR, "")]);
}
