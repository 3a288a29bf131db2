//! /proc/sys/fs/mqueue and /dev/mqueue.

use super::queue::*;
use libsyscall::abi::Errno;
use std::ffi::CString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::ptr;
use userspace_tests::{Fd, Status, checked, child};

pub fn settings() {
    let mut names: Vec<String> = fs::read_dir(SETTINGS)
        .expect("the settings")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["msg_default", "msg_max", "msgsize_default", "msgsize_max", "queues_max"]
    );
    let values: Vec<String> = names.iter().map(|name| setting(name)).collect();
    assert_eq!(values, ["10", "10", "8192", "8192", "256"]);
    if !is_root() {
        return;
    }
    let set = |name: &str, value: &str| {
        let mut file = fs::OpenOptions::new().write(true).open(format!("{SETTINGS}/{name}"))?;
        file.write_all(value.as_bytes())
    };
    for (name, value) in [
        ("msg_max", "0"),
        ("msg_max", "65537"),
        ("msgsize_max", "127"),
        ("msgsize_max", "16777217"),
        ("msg_default", "x"),
    ] {
        let refused = set(name, value).expect_err("a value that is not allowed");
        assert_eq!(refused.raw_os_error(), Some(libc::EINVAL), "{name} = {value}");
    }
    set("msg_default", "7\n").expect("a value that is allowed");
    let name = Name::new();
    let queue = mq_open(&name.0, libc::O_CREAT | libc::O_RDWR, 0o600, None).expect("mq_open");
    set("msg_default", "10\n").expect("the value it had");
    assert_eq!(attributes_of(&queue).mq_maxmsg, 7);
}

/// Where the file system is mounted.
pub fn the_folder() {
    const FOLDER: &str = "/dev/mqueue";
    if !fs::exists(FOLDER).is_ok_and(|there| there) {
        userspace_tests::harness::ignore("there is no /dev/mqueue");
    }
    let name = Name::new();
    let path = format!("{FOLDER}/{}", name.text());
    assert!(!fs::exists(&path).expect("stat"));
    let queue = name.queue(1);
    send(&queue, b"a", 0).expect("mq_send");
    let listed = || {
        fs::read_dir(FOLDER)
            .expect("the folder")
            .any(|entry| entry.is_ok_and(|entry| entry.file_name() == name.text()))
    };
    assert!(listed());
    assert_eq!(
        fs::read_to_string(&path).expect("read"),
        "QSIZE:1          NOTIFY:0     SIGNO:0     NOTIFY_PID:0     \n"
    );
    fs::remove_file(&path).expect("unlink");
    assert!(!listed());
    assert_eq!(name.open(libc::O_RDWR), Err(Errno::ENOENT));
    // A file that is made there is a queue.
    fs::File::create(&path).expect("creat");
    let made = name.open(libc::O_RDWR | libc::O_NONBLOCK).expect("mq_open");
    assert_eq!(attributes_of(&made).mq_maxmsg, 10);
    assert!(fs::create_dir(format!("{path}-folder")).is_err());
    assert!(fs::rename(&path, format!("{path}-other")).is_err());
    fs::remove_file(&path).expect("unlink");
}

/// What inotify(7) tells of the folder and of a queue, in words.
fn events(instance: &Fd) -> Vec<String> {
    const NAMES: [(u32, &str); 9] = [
        (libc::IN_ACCESS, "access"),
        (libc::IN_ATTRIB, "attributes"),
        (libc::IN_CLOSE_WRITE, "close"),
        (libc::IN_CLOSE_NOWRITE, "close a reader"),
        (libc::IN_OPEN, "open"),
        (libc::IN_CREATE, "create"),
        (libc::IN_DELETE, "delete"),
        (libc::IN_DELETE_SELF, "gone"),
        (libc::IN_IGNORED, "end"),
    ];
    let mut bytes = [0; 4096];
    let len = instance.read(&mut bytes).unwrap_or(0);
    let mut rest = &bytes[..len];
    let mut events = Vec::new();
    while let [w0, w1, w2, w3, m0, m1, m2, m3, _, _, _, _, l0, l1, l2, l3, behind @ ..] = rest {
        let [watch, mask, len] = [[w0, w1, w2, w3], [m0, m1, m2, m3], [l0, l1, l2, l3]]
            .map(|bytes| u32::from_ne_bytes(bytes.map(|&byte| byte)));
        let (name, behind) = behind.split_at(len as usize);
        let names = NAMES.iter().find(|&&(bit, _)| bit == mask);
        let is_named = name.first().is_some_and(|&byte| byte != 0);
        events.push(format!(
            "{watch} {}{}",
            names.map_or("?", |name| name.1),
            if is_named { " it" } else { "" }
        ));
        rest = behind;
    }
    events
}

/// Has the file system mounted for this process alone, where it is not mounted anyway.
fn mounted() -> PathBuf {
    let usual = Path::new("/dev/mqueue");
    if usual.exists() {
        return usual.into();
    }
    let folder = std::env::temp_dir();
    let path = CString::new(folder.as_os_str().as_encoded_bytes()).expect("no NUL");
    // SAFETY: the strings live on.
    let done = unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(
                c"none".as_ptr(),
                c"/".as_ptr(),
                ptr::null(),
                libc::MS_REC | libc::MS_PRIVATE,
                ptr::null(),
            ) == 0
            && libc::mount(c"none".as_ptr(), path.as_ptr(), c"mqueue".as_ptr(), 0, ptr::null()) == 0
    };
    if !done {
        std::process::exit(NOT_MOUNTED);
    }
    folder
}

/// What a child exits with that cannot mount it.
const NOT_MOUNTED: i32 = 77;

pub fn the_folder_is_watched() {
    let status = child(|| {
        let folder = mounted();
        let name = Name::new();
        // SAFETY: numbers only.
        let instance = Fd(checked(unsafe { libc::inotify_init1(libc::IN_NONBLOCK) }).expect("inotify_init1"));
        let watch = |path: &Path| {
            let path = CString::new(path.as_os_str().as_encoded_bytes()).expect("no NUL");
            // SAFETY: the path lives on.
            checked(unsafe { libc::inotify_add_watch(instance.0, path.as_ptr(), libc::IN_ALL_EVENTS) })
        };
        watch(&folder).expect("inotify_add_watch");
        let queue = name.queue(1);
        assert_eq!(events(&instance), ["1 create it", "1 open it"]);
        let path = folder.join(name.text());
        watch(&path).expect("inotify_add_watch");
        send(&queue, b"a", 0).expect("mq_send");
        receive(&queue).expect("mq_receive");
        assert!(events(&instance).is_empty());
        drop(name.open(libc::O_RDONLY).expect("mq_open"));
        assert_eq!(
            events(&instance),
            ["1 open it", "2 open", "1 close a reader it", "2 close a reader"]
        );
        queue.read(&mut [0; 100]).expect("read");
        assert_eq!(events(&instance), ["1 access it", "2 access"]);
        // SAFETY: numbers only.
        checked(unsafe { libc::fchmod(queue.0, 0o640) }).expect("fchmod");
        assert_eq!(events(&instance), ["1 attributes it", "2 attributes"]);
        name.unlink().expect("mq_unlink");
        assert_eq!(events(&instance), ["2 attributes", "1 delete it"]);
        drop(queue);
        assert_eq!(events(&instance), ["1 close it", "2 close", "2 gone", "2 end"]);
        // As a file; and one that nobody has open when it goes.
        drop(fs::File::create(&path).expect("creat"));
        assert_eq!(events(&instance), ["1 create it", "1 open it", "1 close it"]);
        watch(&path).expect("inotify_add_watch");
        fs::remove_file(&path).expect("unlink");
        assert_eq!(events(&instance), ["3 attributes", "3 gone", "3 end", "1 delete it"]);
        0
    });
    match status.wait() {
        Status::Exited(NOT_MOUNTED) => {
            userspace_tests::harness::ignore("there is no /dev/mqueue, and none can be mounted")
        }
        status => assert_eq!(status, Status::Exited(0)),
    }
}
