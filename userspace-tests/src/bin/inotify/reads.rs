//! How events are read, waited for, and lost.

use super::instance::*;
use libc::{IN_ACCESS, IN_ATTRIB, IN_CREATE, IN_DELETE, IN_MODIFY, IN_Q_OVERFLOW};
use libsyscall::abi::Errno;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::thread;
use std::time::Duration;
use userspace_tests::{Fd, Folder, checked};

pub fn equal_events_are_one() {
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

pub fn sizes_of_reads() {
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

pub fn reads_that_fault() {
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

pub fn blocking_read() {
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

pub fn readiness() {
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

pub fn edges() {
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

pub fn overflow() {
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

/// One thread makes and removes files while another reads what it hears: nothing is lost, and the order is kept.
pub fn writer_beside_a_reader() {
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
