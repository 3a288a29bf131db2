//! inotify(7): what happens to files and directories, told to who watches them.

use libc::{
    IN_ACCESS, IN_ALL_EVENTS, IN_ATTRIB, IN_CLOSE_NOWRITE, IN_CLOSE_WRITE, IN_CREATE, IN_DELETE, IN_DELETE_SELF,
    IN_DONT_FOLLOW, IN_EXCL_UNLINK, IN_IGNORED, IN_ISDIR, IN_MASK_ADD, IN_MASK_CREATE, IN_MODIFY, IN_MOVE_SELF,
    IN_MOVED_FROM, IN_MOVED_TO, IN_ONESHOT, IN_ONLYDIR, IN_OPEN, IN_Q_OVERFLOW,
};
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::{F_GETFD, F_GETFL, FD_CLOEXEC, O_ACCMODE, O_NONBLOCK};
use libsyscall::calls::file;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;
use userspace_tests::{Fd, Folder, checked, tests};

const EPOLLIN: u32 = libc::EPOLLIN as u32;
const EPOLLET: u32 = libc::EPOLLET as u32;

fn main() -> ExitCode {
    userspace_tests::run(tests![
        flags,
        wrong_arguments,
        open_and_close,
        reading_and_writing,
        positions_vectors_and_copies,
        truncation,
        attributes,
        names_come_and_go,
        watched_file_is_deleted,
        deleted_while_open,
        hard_links,
        renames,
        rename_over_another,
        exchange,
        watched_folder,
        listing,
        masks_of_a_watch,
        one_shot,
        unlinked_children,
        links_and_folders_only,
        removed_watches,
        numbers_are_not_used_again,
        two_instances,
        equal_events_are_one,
        sizes_of_reads,
        reads_that_fault,
        blocking_read,
        readiness,
        edges,
        overflow,
        instances_of_a_user,
        other_calls,
        information,
        special_files,
        writer_beside_a_reader,
        watch_of_an_editor,
    ])
}

/// One event: watch, mask, cookie, name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Event {
    watch: i32,
    mask: u32,
    cookie: u32,
    name: String,
}

/// An inotify instance.
struct Instance(Fd);

impl Instance {
    fn new() -> Instance {
        Instance::with_flags(libc::IN_NONBLOCK | libc::IN_CLOEXEC).expect("inotify_init1")
    }

    fn with_flags(flags: i32) -> Result<Instance, Errno> {
        // SAFETY: a number in, a descriptor out.
        checked(unsafe { libc::inotify_init1(flags) }).map(|fd| Instance(Fd(fd)))
    }

    fn try_add(&self, path: &Path, mask: u32) -> Result<i32, Errno> {
        let path = CString::new(path.as_os_str().as_bytes()).expect("no NUL in it");
        // SAFETY: the path ends with NUL.
        checked(unsafe { libc::inotify_add_watch(self.0.0, path.as_ptr(), mask) })
    }

    fn add(&self, path: &Path, mask: u32) -> i32 {
        self.try_add(path, mask).expect("inotify_add_watch")
    }

    fn remove(&self, watch: i32) -> Result<(), Errno> {
        // SAFETY: numbers only.
        checked(unsafe { libc::inotify_rm_watch(self.0.0, watch) }).map(drop)
    }

    /// All that is queued.
    fn events(&self) -> Vec<Event> {
        let mut buffer = [0; 8192];
        let mut events = Vec::new();
        loop {
            match self.0.read(&mut buffer) {
                Ok(count) => events.extend(decode(&buffer[..count])),
                Err(Errno::EAGAIN) => return events,
                Err(error) => panic!("read: {error}"),
            }
        }
    }

    /// All that is queued, without the watch and the cookie.
    fn told(&self) -> Vec<(u32, String)> {
        self.events()
            .into_iter()
            .map(|event| (event.mask, event.name))
            .collect()
    }

    /// FIONREAD.
    fn unread(&self) -> i32 {
        let mut count = 0;
        // SAFETY: the kernel writes one number.
        checked(unsafe { libc::ioctl(self.0.0, libc::FIONREAD, &mut count) }).expect("FIONREAD");
        count
    }
}

/// The events in what read(2) gave.
fn decode(mut bytes: &[u8]) -> Vec<Event> {
    let word = |bytes: &[u8], at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let mut events = Vec::new();
    while !bytes.is_empty() {
        let len = word(bytes, 12) as usize;
        assert_eq!(len % 16, 0, "the length of a name");
        let name = &bytes[16..16 + len];
        let end = name.iter().position(|&byte| byte == 0).unwrap_or(0);
        assert!(len == 0 || name[end..].iter().all(|&byte| byte == 0));
        events.push(Event {
            watch: word(bytes, 0) as i32,
            mask: word(bytes, 4),
            cookie: word(bytes, 8),
            name: String::from_utf8(name[..end].to_vec()).expect("a name of this test"),
        });
        bytes = &bytes[16 + len..];
    }
    events
}

/// Asserts what an instance was told since it was asked last.
#[track_caller]
fn expect(instance: &Instance, expected: &[(u32, &str)]) {
    let told = instance.told();
    let told: Vec<(u32, &str)> = told.iter().map(|(mask, name)| (*mask, name.as_str())).collect();
    assert_eq!(told, expected, "told on the left");
}

fn limit(name: &str) -> usize {
    let text = fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).expect("a limit");
    text.trim().parse().expect("a number")
}

fn flags() {
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

fn wrong_arguments() {
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

fn open_and_close() {
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

fn reading_and_writing() {
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

fn positions_vectors_and_copies() {
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

fn truncation() {
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

fn attributes() {
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

fn names_come_and_go() {
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

fn watched_file_is_deleted() {
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

fn deleted_while_open() {
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

fn hard_links() {
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

fn renames() {
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

fn rename_over_another() {
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

fn exchange() {
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

fn watched_folder() {
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

fn listing() {
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

fn masks_of_a_watch() {
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

fn one_shot() {
    let folder = Folder::new("one-shot");
    let path = folder.file("file");
    let instance = Instance::new();
    let watch = instance.add(&path, IN_CLOSE_NOWRITE | IN_ONESHOT);
    drop(File::open(&path).expect("open"));
    drop(File::open(&path).expect("open"));
    expect(&instance, &[(IN_CLOSE_NOWRITE, ""), (IN_IGNORED, "")]);
    assert_eq!(instance.remove(watch), Err(Errno::EINVAL));
}

fn unlinked_children() {
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

fn links_and_folders_only() {
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

fn removed_watches() {
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

fn numbers_are_not_used_again() {
    let folder = Folder::new("numbers");
    let path = folder.file("file");
    let instance = Instance::new();
    for watch in 1..=20 {
        assert_eq!(instance.add(&path, IN_OPEN), watch);
        instance.remove(watch).expect("inotify_rm_watch");
    }
    assert_eq!(instance.events().len(), 20, "one for each end");
}

fn two_instances() {
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

fn equal_events_are_one() {
    let folder = Folder::new("equal");
    let path = folder.file("file");
    let mut file = OpenOptions::new().append(true).open(&path).expect("open");
    let instance = Instance::new();
    instance.add(&path, IN_MODIFY | IN_ATTRIB);
    for _ in 0..5 {
        file.write_all(b"x").expect("write");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("chmod");
    file.write_all(b"x").expect("write");
    assert_eq!(instance.unread(), 48);
    expect(&instance, &[(IN_MODIFY, ""), (IN_ATTRIB, ""), (IN_MODIFY, "")]);
}

fn sizes_of_reads() {
    let folder = Folder::new("sizes");
    let instance = Instance::new();
    let mut buffer = [0; 4096];
    for size in [0, 15, 16, 4096] {
        assert_eq!(
            instance.0.read(&mut buffer[..size]),
            Err(Errno::EAGAIN),
            "nothing is there"
        );
    }
    instance.add(&folder, IN_CREATE);
    let long = "n".repeat(255);
    for (name, len) in [
        ("a", 32),
        ("fifteen-letters", 32),
        ("sixteen--letters", 48),
        (&long, 272),
    ] {
        fs::write(folder.join(name), "").expect("write");
        assert_eq!(instance.unread(), len);
        for size in [0, 15, 16, len as usize - 1] {
            assert_eq!(instance.0.read(&mut buffer[..size]), Err(Errno::EINVAL));
        }
        assert_eq!(instance.0.read(&mut buffer[..len as usize]), Ok(len as usize));
        assert_eq!(instance.unread(), 0);
    }
    for name in ["first", "second", "third"] {
        fs::write(folder.join(name), "").expect("write");
    }
    assert_eq!(instance.0.read(&mut buffer[..95]), Ok(64), "whole events only");
    expect(&instance, &[(IN_CREATE, "third")]);
}

fn reads_that_fault() {
    let folder = Folder::new("faults");
    let instance = Instance::new();
    instance.add(&folder, IN_CREATE);
    fs::write(folder.join("lost"), "").expect("write");
    fs::write(folder.join("kept"), "").expect("write");
    // SAFETY: the kernel is to refuse the address.
    let refused = checked(unsafe { libc::read(instance.0.0, std::ptr::null_mut(), 100) } as i32);
    assert_eq!(refused, Err(Errno::EFAULT));
    expect(&instance, &[(IN_CREATE, "kept")]);
}

fn blocking_read() {
    let folder = Folder::new("blocking");
    let instance = Instance::with_flags(libc::IN_CLOEXEC).expect("inotify_init1");
    instance.add(&folder, IN_CREATE);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut buffer = [0; 100];
            let count = instance.0.read(&mut buffer).expect("read");
            decode(&buffer[..count])
        });
        thread::sleep(Duration::from_millis(30));
        fs::write(folder.join("file"), "").expect("write");
        assert_eq!(reader.join().expect("the reader")[0].name, "file");
    });
}

fn readiness() {
    let folder = Folder::new("readiness");
    let instance = Instance::new();
    instance.add(&folder, IN_CREATE);
    let epoll = Fd::epoll();
    let all = (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLPRI | libc::EPOLLRDNORM | libc::EPOLLRDHUP) as u32;
    epoll.add(&instance.0, all);
    assert_eq!(epoll.events(), 0);
    let poll = || {
        let mut entry = libc::pollfd {
            fd: instance.0.0,
            events: libc::POLLIN | libc::POLLOUT,
            revents: 0,
        };
        // SAFETY: one entry.
        checked(unsafe { libc::poll(&mut entry, 1, 0) }).expect("poll");
        entry.revents
    };
    assert_eq!(poll(), 0);
    fs::write(folder.join("file"), "").expect("write");
    assert_eq!(epoll.events(), (libc::EPOLLIN | libc::EPOLLRDNORM) as u32);
    assert_eq!(epoll.events(), (libc::EPOLLIN | libc::EPOLLRDNORM) as u32);
    assert_eq!(poll(), libc::POLLIN);
    instance.events();
    assert_eq!((epoll.events(), poll()), (0, 0));
    thread::scope(|scope| {
        let waiter = scope.spawn(|| epoll.wait(-1, 4));
        thread::sleep(Duration::from_millis(30));
        fs::remove_file(folder.join("file")).expect("unlink");
        fs::write(folder.join("file"), "").expect("write");
        assert_eq!(waiter.join().expect("the waiter").expect("epoll_wait").len(), 1);
    });
}

fn edges() {
    let folder = Folder::new("edges");
    let instance = Instance::new();
    instance.add(&folder, IN_CREATE | IN_MODIFY);
    let epoll = Fd::epoll();
    epoll.add(&instance.0, EPOLLIN | EPOLLET);
    let mut file = File::create(folder.join("file")).expect("create");
    assert_eq!(epoll.events(), EPOLLIN);
    assert_eq!(epoll.events(), 0);
    file.write_all(b"x").expect("write");
    assert_eq!(epoll.events(), EPOLLIN, "another event");
    file.write_all(b"x").expect("write");
    assert_eq!(epoll.events(), 0, "the same event");
    epoll.modify(&instance.0, EPOLLIN | EPOLLET);
    assert_eq!(epoll.events(), EPOLLIN);
}

fn overflow() {
    let folder = Folder::new("overflow");
    let path = folder.file("file");
    let file = OpenOptions::new().read(true).write(true).open(&path).expect("open");
    let instance = Instance::new();
    let watch = instance.add(&path, IN_ACCESS | IN_MODIFY);
    let room = limit("max_queued_events");
    let mut buffer = [0];
    for _ in 0..room / 2 + 10 {
        file.read_at(&mut buffer, 0).expect("pread");
        file.write_at(&buffer, 0).expect("pwrite");
    }
    let events = instance.events();
    assert_eq!(events.len(), room + 1);
    assert!(events[..room].iter().all(|event| event.watch == watch));
    let last = &events[room];
    assert_eq!((last.watch, last.mask, last.cookie), (-1, IN_Q_OVERFLOW, 0));
    file.read_at(&mut buffer, 0).expect("pread");
    expect(&instance, &[(IN_ACCESS, "")]);
}

fn instances_of_a_user() {
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

fn other_calls() {
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

fn information() {
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

fn special_files() {
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

/// One thread makes and removes files while another reads what it hears: nothing is lost, and the order is kept.
fn writer_beside_a_reader() {
    const FILES: usize = 500;
    let folder = Folder::new("beside");
    let instance = Instance::with_flags(libc::IN_CLOEXEC).expect("inotify_init1");
    instance.add(&folder, IN_CREATE | IN_DELETE);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut events = Vec::new();
            let mut buffer = [0; 1024];
            while events.len() < 2 * FILES {
                let count = instance.0.read(&mut buffer).expect("read");
                events.extend(decode(&buffer[..count]));
            }
            events
        });
        for number in 0..FILES {
            let path = folder.join(number.to_string());
            drop(File::create(&path).expect("create"));
            fs::remove_file(&path).expect("unlink");
        }
        for (number, pair) in reader.join().expect("the reader").chunks(2).enumerate() {
            let name = number.to_string();
            let told: Vec<(u32, &str)> = pair.iter().map(|event| (event.mask, event.name.as_str())).collect();
            assert_eq!(told, [(IN_CREATE, name.as_str()), (IN_DELETE, name.as_str())]);
        }
    });
}

/// What an event loop does that watches one file while an editor saves it: the new contents are written beside it and
/// renamed over it; the old watch ends and the name is watched again.
fn watch_of_an_editor() {
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
