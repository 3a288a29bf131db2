//! The calls, and what may be watched how.

use super::instance::*;
use libc::{
    IN_ACCESS, IN_ALL_EVENTS, IN_ATTRIB, IN_CLOSE_NOWRITE, IN_CLOSE_WRITE, IN_CREATE, IN_DELETE_SELF, IN_DONT_FOLLOW,
    IN_EXCL_UNLINK, IN_IGNORED, IN_MASK_ADD, IN_MASK_CREATE, IN_MODIFY, IN_ONESHOT, IN_ONLYDIR, IN_OPEN,
};
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::{F_GETFD, F_GETFL, FD_CLOEXEC, O_ACCMODE, O_NONBLOCK};
use libsyscall::calls::file;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use userspace_tests::{Fd, Folder, checked};

pub fn flags() {
    let instance = Instance::with_flags(0).expect("inotify_init1");
    assert_eq!(file::fcntl(instance.0.0, F_GETFD, 0), Ok(0));
    let flags = file::fcntl(instance.0.0, F_GETFL, 0).expect("F_GETFL") as u32;
    assert_eq!((flags & O_ACCMODE, flags & O_NONBLOCK), (0, 0), "it is for reading");
    let instance = Instance::new();
    assert_eq!(file::fcntl(instance.0.0, F_GETFD, 0), Ok(FD_CLOEXEC as usize));
    let flags = file::fcntl(instance.0.0, F_GETFL, 0).expect("F_GETFL") as u32;
    assert_eq!(flags & O_NONBLOCK, O_NONBLOCK);
    assert_eq!(Instance::with_flags(1).err(), Some(Errno::EINVAL));
    assert_eq!(Instance::with_flags(libc::O_APPEND).err(), Some(Errno::EINVAL));
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: nothing in, a descriptor out.
        let old = Fd(checked(unsafe { libc::inotify_init() }).expect("inotify_init"));
        assert_eq!(file::fcntl(old.0, F_GETFD, 0), Ok(0));
    }
}

pub fn wrong_arguments() {
    let folder = Folder::new("arguments");
    let instance = Instance::new();
    let missing = folder.join("missing");
    // The mask comes before all else, then the descriptor, then the path.
    assert_eq!(Instance(Fd(-1)).try_add(&missing, 0), Err(Errno::EINVAL));
    assert_eq!(Instance(Fd(-1)).try_add(&missing, 0x8_0000), Err(Errno::EINVAL));
    assert_eq!(Instance(Fd(-1)).try_add(&missing, IN_OPEN), Err(Errno::EBADF));
    let other = Instance(Fd::eventfd(0, 0));
    assert_eq!(other.try_add(&missing, IN_OPEN), Err(Errno::EINVAL));
    assert_eq!(other.remove(1), Err(Errno::EINVAL));
    let both = IN_MASK_ADD | IN_MASK_CREATE | IN_OPEN;
    assert_eq!(instance.try_add(&missing, both), Err(Errno::EINVAL));
    assert_eq!(instance.try_add(&missing, IN_OPEN), Err(Errno::ENOENT));
    assert_eq!(instance.try_add(Path::new(""), IN_OPEN), Err(Errno::ENOENT));
    for address in [std::ptr::null(), usize::MAX as *const _] {
        // SAFETY: the kernel is to refuse the address.
        let refused = checked(unsafe { libc::inotify_add_watch(instance.0.0, address, IN_OPEN) });
        assert_eq!(refused, Err(Errno::EFAULT));
    }
    assert_eq!(instance.remove(1), Err(Errno::EINVAL));
    assert_eq!(instance.remove(-1), Err(Errno::EINVAL));
    assert_eq!(Instance(Fd(-1)).remove(1), Err(Errno::EBADF));
    assert!(instance.try_add(&folder, IN_ONLYDIR).is_ok(), "a mask without events");
}

pub fn masks_of_a_watch() {
    let folder = Folder::new("masks");
    let path = folder.file("file");
    let instance = Instance::new();
    let watch = instance.add(&path, IN_OPEN);
    drop(File::open(&path).expect("open"));
    expect(&instance, &[(IN_OPEN, "")]);
    assert_eq!(instance.try_add(&path, IN_OPEN | IN_MASK_CREATE), Err(Errno::EEXIST));
    assert_eq!(instance.add(&path, IN_CLOSE_NOWRITE), watch, "replaced");
    drop(File::open(&path).expect("open"));
    expect(&instance, &[(IN_CLOSE_NOWRITE, "")]);
    assert_eq!(instance.add(&path, IN_OPEN | IN_MASK_ADD), watch, "added to");
    drop(File::open(&path).expect("open"));
    expect(&instance, &[(IN_OPEN, ""), (IN_CLOSE_NOWRITE, "")]);
    // The inode counts, not the name.
    fs::hard_link(&path, folder.join("other")).expect("link");
    assert_eq!(instance.add(&folder.join("other"), IN_ATTRIB), watch);
    let fresh = folder.file("fresh");
    assert!(instance.add(&fresh, IN_OPEN | IN_MASK_CREATE) > watch);
}

pub fn one_shot() {
    let folder = Folder::new("one-shot");
    let path = folder.file("file");
    let instance = Instance::new();
    let watch = instance.add(&path, IN_CLOSE_NOWRITE | IN_ONESHOT);
    drop(File::open(&path).expect("open"));
    drop(File::open(&path).expect("open"));
    expect(&instance, &[(IN_CLOSE_NOWRITE, ""), (IN_IGNORED, "")]);
    assert_eq!(instance.remove(watch), Err(Errno::EINVAL));
}

pub fn links_and_folders_only() {
    let folder = Folder::new("ways");
    let path = folder.file("file");
    let link = folder.join("link");
    symlink(&path, &link).expect("symlink");
    let instance = Instance::new();
    assert_eq!(instance.try_add(&path, IN_OPEN | IN_ONLYDIR), Err(Errno::ENOTDIR));
    assert!(instance.try_add(&folder, IN_OPEN | IN_ONLYDIR).is_ok());
    let instance = Instance::new();
    let through = instance.add(&link, IN_ALL_EVENTS);
    assert_eq!(instance.add(&path, IN_ALL_EVENTS), through, "one file");
    let own = instance.add(&link, IN_ALL_EVENTS | IN_DONT_FOLLOW);
    assert_ne!(own, through);
    fs::remove_file(&link).expect("unlink");
    let told: Vec<(i32, u32)> = instance
        .events()
        .iter()
        .map(|event| (event.watch, event.mask))
        .collect();
    assert_eq!(told, [(own, IN_ATTRIB), (own, IN_DELETE_SELF), (own, IN_IGNORED)]);
}

pub fn removed_watches() {
    let folder = Folder::new("removed");
    let path = folder.file("file");
    let instance = Instance::new();
    let watch = instance.add(&path, IN_ALL_EVENTS);
    drop(File::open(&path).expect("open"));
    instance.remove(watch).expect("inotify_rm_watch");
    drop(File::open(&path).expect("open"));
    // What was told before stays.
    expect(&instance, &[(IN_OPEN, ""), (IN_CLOSE_NOWRITE, ""), (IN_IGNORED, "")]);
    assert_eq!(instance.remove(watch), Err(Errno::EINVAL));
}

pub fn numbers_are_not_used_again() {
    let folder = Folder::new("numbers");
    let path = folder.file("file");
    let instance = Instance::new();
    for watch in 1..=20 {
        assert_eq!(instance.add(&path, IN_OPEN), watch);
        instance.remove(watch).expect("inotify_rm_watch");
    }
    assert_eq!(instance.events().len(), 20, "one for each end");
}

pub fn two_instances() {
    let folder = Folder::new("two");
    let path = folder.file("file");
    let (first, second) = (Instance::new(), Instance::new());
    first.add(&path, IN_OPEN);
    second.add(&path, IN_OPEN | IN_CLOSE_NOWRITE);
    drop(File::open(&path).expect("open"));
    expect(&first, &[(IN_OPEN, "")]);
    drop(first);
    drop(File::open(&path).expect("open"));
    expect(
        &second,
        &[
            (IN_OPEN, ""),
            (IN_CLOSE_NOWRITE, ""),
            (IN_OPEN, ""),
            (IN_CLOSE_NOWRITE, ""),
        ],
    );
}

pub fn instances_of_a_user() {
    let room = limit("max_user_instances");
    assert!(limit("max_user_watches") > 0);
    let mut instances = Vec::new();
    let refused = loop {
        match Instance::with_flags(libc::IN_CLOEXEC) {
            Ok(instance) => instances.push(instance),
            Err(error) => break error,
        }
        assert!(instances.len() <= room, "more than there may be");
    };
    assert_eq!(refused, Errno::EMFILE);
    instances.pop();
    assert!(Instance::with_flags(libc::IN_CLOEXEC).is_ok(), "one was given back");
}

pub fn other_calls() {
    let instance = Instance::new();
    assert_eq!(instance.0.write(b"x"), Err(Errno::EBADF));
    // SAFETY: numbers only, and no buffer is touched at a position that is none.
    unsafe {
        assert_eq!(libc::lseek(instance.0.0, 5, libc::SEEK_SET), 0);
        assert_eq!(checked(libc::ftruncate(instance.0.0, 0)), Err(Errno::EINVAL));
        assert_eq!(checked(libc::ioctl(instance.0.0, libc::TCGETS, 0)), Err(Errno::ENOTTY));
        let mut byte = 0u8;
        let read = libc::pread(instance.0.0, (&raw mut byte).cast(), 1, 0);
        assert_eq!(checked(read as i32), Err(Errno::ESPIPE));
    }
}

pub fn information() {
    let folder = Folder::new("information");
    let instance = Instance::new();
    let watch = instance.add(&folder, IN_CREATE | IN_ONESHOT | IN_EXCL_UNLINK);
    let number = instance.0.0;
    let link = fs::read_link(format!("/proc/self/fd/{number}")).expect("readlink");
    assert_eq!(link, Path::new("anon_inode:inotify"));
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).expect("fdinfo");
    let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(&*folder).expect("stat"));
    let line = text.lines().find(|line| line.starts_with("inotify ")).expect("a watch");
    assert!(
        line.starts_with(&format!("inotify wd:{watch:x} ino:{inode:x} sdev:")),
        "{line}"
    );
    assert!(line.contains(" mask:84000100 ignored_mask:0 "), "{line}");
}

pub fn special_files() {
    let folder = Folder::new("special");
    let path = folder.join("fifo");
    let name = CString::new(path.as_os_str().as_bytes()).expect("no NUL in it");
    // SAFETY: the path ends with NUL.
    checked(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }).expect("mkfifo");
    let instance = Instance::new();
    instance.add(&path, IN_ALL_EVENTS);
    let mut fifo = OpenOptions::new().read(true).write(true).open(&path).expect("open");
    fifo.write_all(b"x").expect("write");
    fifo.read_exact(&mut [0]).expect("read");
    drop(fifo);
    expect(
        &instance,
        &[(IN_OPEN, ""), (IN_MODIFY, ""), (IN_ACCESS, ""), (IN_CLOSE_WRITE, "")],
    );
    let devices = Instance::new();
    devices.add(Path::new("/dev/null"), IN_OPEN | IN_MODIFY);
    fs::write("/dev/null", "x").expect("write");
    let told = devices.told();
    assert!(told.iter().any(|(mask, _)| *mask == IN_OPEN), "{told:?}");
    assert!(told.iter().any(|(mask, _)| *mask == IN_MODIFY), "{told:?}");
}
