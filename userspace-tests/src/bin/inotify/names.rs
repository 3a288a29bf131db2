//! What is told of names: that they come, go and change.

use super::instance::*;
use libc::{
    IN_ACCESS, IN_ALL_EVENTS, IN_ATTRIB, IN_CLOSE_NOWRITE, IN_CLOSE_WRITE, IN_CREATE, IN_DELETE, IN_DELETE_SELF,
    IN_EXCL_UNLINK, IN_IGNORED, IN_ISDIR, IN_MODIFY, IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO, IN_OPEN,
};
use libsyscall::abi::Errno;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use userspace_tests::{Fd, Folder, checked};

pub fn names_come_and_go() {
    let folder = Folder::new("names");
    let instance = Instance::new();
    instance.add(&folder, IN_CREATE | IN_DELETE);
    fs::write(folder.join("file"), "").expect("write");
    expect(&instance, &[(IN_CREATE, "file")]);
    fs::create_dir(folder.join("sub")).expect("mkdir");
    expect(&instance, &[(IN_CREATE | IN_ISDIR, "sub")]);
    symlink("nowhere", folder.join("link")).expect("symlink");
    fs::hard_link(folder.join("file"), folder.join("other")).expect("link");
    expect(&instance, &[(IN_CREATE, "link"), (IN_CREATE, "other")]);
    let socket = std::os::unix::net::UnixListener::bind(folder.join("socket")).expect("bind");
    drop(socket);
    expect(&instance, &[(IN_CREATE, "socket")]);
    for name in ["file", "other", "link", "socket"] {
        fs::remove_file(folder.join(name)).expect("unlink");
        expect(&instance, &[(IN_DELETE, name)]);
    }
    fs::remove_dir(folder.join("sub")).expect("rmdir");
    expect(&instance, &[(IN_DELETE | IN_ISDIR, "sub")]);
    assert!(fs::remove_file(folder.join("file")).is_err());
    assert!(fs::create_dir(folder.join("no/where")).is_err());
    expect(&instance, &[]);
    drop(File::create(folder.join("new")).expect("create"));
    expect(&instance, &[(IN_CREATE, "new")]);
}

pub fn watched_file_is_deleted() {
    let folder = Folder::new("deleted");
    let path = folder.file("file");
    let instance = Instance::new();
    let parent = instance.add(&folder, IN_ALL_EVENTS);
    let child = instance.add(&path, IN_ALL_EVENTS);
    fs::remove_file(&path).expect("unlink");
    let told: Vec<(i32, u32)> = instance
        .events()
        .iter()
        .map(|event| (event.watch, event.mask))
        .collect();
    assert_eq!(
        told,
        [
            (child, IN_ATTRIB),
            (child, IN_DELETE_SELF),
            (child, IN_IGNORED),
            (parent, IN_DELETE),
        ]
    );
    assert_eq!(instance.remove(child), Err(Errno::EINVAL), "the watch has gone");
    let again = folder.file("file");
    assert!(instance.add(&again, IN_ALL_EVENTS) > child);
}

pub fn deleted_while_open() {
    let folder = Folder::new("open-deleted");
    let path = folder.file("file");
    let instance = Instance::new();
    instance.add(&path, IN_ALL_EVENTS);
    let mut file = OpenOptions::new().append(true).open(&path).expect("open");
    fs::remove_file(&path).expect("unlink");
    expect(&instance, &[(IN_OPEN, ""), (IN_ATTRIB, "")]);
    file.write_all(b"still there").expect("write");
    drop(file);
    expect(
        &instance,
        &[
            (IN_MODIFY, ""),
            (IN_CLOSE_WRITE, ""),
            (IN_DELETE_SELF, ""),
            (IN_IGNORED, ""),
        ],
    );
}

pub fn hard_links() {
    let folder = Folder::new("links");
    let (first, second) = (folder.file("first"), folder.join("second"));
    let instance = Instance::new();
    instance.add(&first, IN_ALL_EVENTS);
    let parent = Instance::new();
    parent.add(&folder, IN_ALL_EVENTS);
    fs::hard_link(&first, &second).expect("link");
    expect(&instance, &[(IN_ATTRIB, "")]);
    expect(&parent, &[(IN_CREATE, "second")]);
    // The directory hears of the name that was used.
    drop(File::open(&second).expect("open"));
    expect(&instance, &[(IN_OPEN, ""), (IN_CLOSE_NOWRITE, "")]);
    expect(&parent, &[(IN_OPEN, "second"), (IN_CLOSE_NOWRITE, "second")]);
    fs::remove_file(&first).expect("unlink");
    expect(&instance, &[(IN_ATTRIB, "")]);
    fs::remove_file(&second).expect("unlink");
    expect(&instance, &[(IN_ATTRIB, ""), (IN_DELETE_SELF, ""), (IN_IGNORED, "")]);
}

pub fn renames() {
    let folder = Folder::new("renames");
    let (from, to) = (folder.join("from"), folder.join("to"));
    for path in [&from, &to] {
        fs::create_dir(path).expect("mkdir");
    }
    fs::write(from.join("file"), "").expect("write");
    let instance = Instance::new();
    let (watch_from, watch_to) = (instance.add(&from, IN_ALL_EVENTS), instance.add(&to, IN_ALL_EVENTS));
    let watch_file = instance.add(&from.join("file"), IN_ALL_EVENTS);
    fs::rename(from.join("file"), to.join("renamed")).expect("rename");
    let events = instance.events();
    let told: Vec<(i32, u32, &str)> = events
        .iter()
        .map(|event| (event.watch, event.mask, event.name.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (watch_from, IN_MOVED_FROM, "file"),
            (watch_to, IN_MOVED_TO, "renamed"),
            (watch_file, IN_MOVE_SELF, ""),
        ]
    );
    assert_ne!(events[0].cookie, 0);
    assert_eq!((events[1].cookie, events[2].cookie), (events[0].cookie, 0));
    fs::rename(to.join("renamed"), to.join("again")).expect("rename");
    let second = instance.events();
    assert_eq!(second.len(), 3);
    assert_eq!(second[0].cookie, second[1].cookie);
    assert_ne!(second[0].cookie, events[0].cookie);
    // A file onto itself, and one that is not there.
    fs::rename(to.join("again"), to.join("again")).expect("rename");
    assert!(fs::rename(to.join("missing"), to.join("other")).is_err());
    assert_eq!(instance.events(), []);
    // A watch stays with its file, and its new folder is told.
    fs::write(to.join("again"), "x").expect("write");
    let told: Vec<(i32, u32)> = instance
        .events()
        .iter()
        .map(|event| (event.watch, event.mask))
        .collect();
    assert!(told.contains(&(watch_to, IN_CLOSE_WRITE)) && told.contains(&(watch_file, IN_CLOSE_WRITE)));
    fs::rename(&to, from.join("to")).expect("rename");
    expect(&instance, &[(IN_MOVED_TO | IN_ISDIR, "to"), (IN_MOVE_SELF, "")]);
}

pub fn rename_over_another() {
    let folder = Folder::new("over");
    let (new, old) = (folder.file("new"), folder.file("old"));
    let instance = Instance::new();
    instance.add(&folder, IN_ALL_EVENTS);
    let target = Instance::new();
    target.add(&old, IN_ALL_EVENTS);
    let source = Instance::new();
    source.add(&new, IN_ALL_EVENTS);
    fs::rename(&new, &old).expect("rename");
    expect(&instance, &[(IN_MOVED_FROM, "new"), (IN_MOVED_TO, "old")]);
    expect(&target, &[(IN_ATTRIB, ""), (IN_DELETE_SELF, ""), (IN_IGNORED, "")]);
    expect(&source, &[(IN_MOVE_SELF, "")]);
}

pub fn exchange() {
    let folder = Folder::new("exchange");
    let (first, second) = (folder.file("first"), folder.join("second"));
    fs::create_dir(&second).expect("mkdir");
    let instance = Instance::new();
    instance.add(&folder, IN_MOVED_FROM | IN_MOVED_TO);
    let own = Instance::new();
    own.add(&first, IN_MOVE_SELF);
    own.add(&second, IN_MOVE_SELF);
    let [from, to] = [&first, &second].map(|path| CString::new(path.as_os_str().as_bytes()).expect("no NUL in it"));
    // SAFETY: both paths end with NUL.
    let exchanged = unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            libc::AT_FDCWD,
            from.as_ptr(),
            libc::AT_FDCWD,
            to.as_ptr(),
            libc::RENAME_EXCHANGE,
        )
    };
    checked(exchanged as i32).expect("renameat2");
    let events = instance.events();
    let told: Vec<(u32, &str)> = events.iter().map(|event| (event.mask, event.name.as_str())).collect();
    assert_eq!(
        told,
        [
            (IN_MOVED_FROM, "first"),
            (IN_MOVED_TO, "second"),
            (IN_MOVED_FROM | IN_ISDIR, "second"),
            (IN_MOVED_TO | IN_ISDIR, "first"),
        ]
    );
    assert_eq!(events[0].cookie, events[1].cookie);
    assert_eq!(events[2].cookie, events[3].cookie);
    assert_ne!(events[0].cookie, events[2].cookie);
    expect(&own, &[(IN_MOVE_SELF, ""), (IN_MOVE_SELF, "")]);
}

pub fn watched_folder() {
    let folder = Folder::new("folder");
    let path = folder.join("sub");
    fs::create_dir(&path).expect("mkdir");
    let instance = Instance::new();
    let parent = instance.add(&folder, IN_ALL_EVENTS);
    let own = instance.add(&path, IN_ALL_EVENTS);
    // What happens two levels below is nobody's.
    fs::create_dir(path.join("deep")).expect("mkdir");
    fs::write(path.join("deep/file"), "").expect("write");
    let events = instance.events();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!((events[0].watch, events[0].mask), (own, IN_CREATE | IN_ISDIR));
    fs::remove_file(path.join("deep/file")).expect("unlink");
    fs::remove_dir(path.join("deep")).expect("rmdir");
    instance.events();
    fs::remove_dir(&path).expect("rmdir");
    let told: Vec<(i32, u32)> = instance
        .events()
        .iter()
        .map(|event| (event.watch, event.mask))
        .collect();
    assert_eq!(
        told,
        [(own, IN_DELETE_SELF), (own, IN_IGNORED), (parent, IN_DELETE | IN_ISDIR)]
    );
}

pub fn listing() {
    let folder = Folder::new("listing");
    folder.file("file");
    let instance = Instance::new();
    instance.add(&folder, IN_ALL_EVENTS);
    assert_eq!(fs::read_dir(&*folder).expect("opendir").count(), 1);
    expect(
        &instance,
        &[
            (IN_OPEN | IN_ISDIR, ""),
            (IN_ACCESS | IN_ISDIR, ""),
            (IN_CLOSE_NOWRITE | IN_ISDIR, ""),
        ],
    );
}

pub fn unlinked_children() {
    let folder = Folder::new("unlinked");
    let all = Instance::new();
    all.add(&folder, IN_ALL_EVENTS);
    let named = Instance::new();
    named.add(&folder, IN_ALL_EVENTS | IN_EXCL_UNLINK);
    let mut file = File::create(folder.join("file")).expect("create");
    fs::remove_file(folder.join("file")).expect("unlink");
    let before = [(IN_CREATE, "file"), (IN_OPEN, "file"), (IN_DELETE, "file")];
    expect(&all, &before);
    expect(&named, &before);
    file.write_all(b"x").expect("write");
    drop(file);
    expect(&all, &[(IN_MODIFY, "file"), (IN_CLOSE_WRITE, "file")]);
    expect(&named, &[]);
}

/// What an event loop does that watches one file while an editor saves it: the new contents are written beside it and
/// renamed over it; the old watch ends and the name is watched again.
pub fn watch_of_an_editor() {
    let folder = Folder::new("editor");
    let path = folder.file("file");
    let instance = Instance::new();
    let epoll = Fd::epoll();
    epoll.add(&instance.0, EPOLLIN);
    let mask =
        IN_ATTRIB | IN_CREATE | IN_MODIFY | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_MOVED_FROM | IN_MOVED_TO;
    let mut watch = instance.add(&path, mask);
    for round in 0..3 {
        let beside = folder.join("file~");
        fs::write(&beside, format!("round {round}")).expect("write");
        fs::rename(&beside, &path).expect("rename");
        assert_eq!(epoll.wait(-1, 4).expect("epoll_wait").len(), 1);
        let events = instance.events();
        assert!(events.iter().all(|event| event.watch == watch));
        let masks: Vec<u32> = events.iter().map(|event| event.mask).collect();
        assert_eq!(masks, [IN_ATTRIB, IN_DELETE_SELF, IN_IGNORED]);
        watch = instance.add(&path, mask);
        let mut file = OpenOptions::new().append(true).open(&path).expect("open");
        file.write_all(b"!").expect("write");
        expect(&instance, &[(IN_MODIFY, "")]);
    }
}
