//! /proc/sys/fs/mqueue and /dev/mqueue.

use super::queue::*;
use libsyscall::abi::Errno;
use std::fs;
use std::io::Write;

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
