//! capabilities(7), capset(2): what a process may that used to be user 0, and what groups may read.

use libsyscall::abi::capability::*;
use libsyscall::abi::{Errno, nr};
use libsyscall::calls::raw;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::{Command, ExitCode};
use userspace_tests::{Folder, Status, as_root, checked, child, tests};

const NOBODY: u32 = 65534;

fn main() -> ExitCode {
    // What a test starts this program as.
    if std::env::args().nth(1).as_deref() == Some("play:permitted") {
        println!("{}", get().expect("capget").permitted);
        return ExitCode::SUCCESS;
    }
    userspace_tests::run(tests![
        versions,
        others,
        put_down_and_taken_up,
        user_ids,
        kept,
        started_programs,
        bounding_set,
        status_lines,
        further_groups,
        access_by_real_ids,
    ])
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sets {
    effective: u64,
    permitted: u64,
    inheritable: u64,
}

fn call(number: usize, version: u32, pid: i32, data: Option<&mut [CapabilityData]>) -> Result<u32, (Errno, u32)> {
    let mut header = CapabilityHeader { version, pid };
    let data = data.map_or(0, |data| data.as_mut_ptr() as usize);
    // SAFETY: the kernel reads or writes the header, and as many halves as the version says, which the callers give.
    match unsafe { raw(number, [&raw mut header as usize, data, 0, 0]) } {
        Ok(_) => Ok(header.version),
        Err(error) => Err((error, header.version)),
    }
}

fn get_of(pid: i32) -> Result<Sets, Errno> {
    let mut data = [CapabilityData::default(); 2];
    call(nr::CAPGET, CAPABILITY_VERSION_3, pid, Some(&mut data)).map_err(|(error, _)| error)?;
    let whole = |half: fn(&CapabilityData) -> u32| u64::from(half(&data[1])) << 32 | u64::from(half(&data[0]));
    Ok(Sets {
        effective: whole(|half| half.effective),
        permitted: whole(|half| half.permitted),
        inheritable: whole(|half| half.inheritable),
    })
}

fn get() -> Result<Sets, Errno> {
    get_of(0)
}

fn set(sets: Sets) -> Result<(), Errno> {
    let half = |shift: u32| CapabilityData {
        effective: (sets.effective >> shift) as u32,
        permitted: (sets.permitted >> shift) as u32,
        inheritable: (sets.inheritable >> shift) as u32,
    };
    let made = call(nr::CAPSET, CAPABILITY_VERSION_3, 0, Some(&mut [half(0), half(32)]));
    made.map(drop).map_err(|(error, _)| error)
}

fn set_user(real: u32, effective: u32, saved: u32) {
    // SAFETY: numbers only. The call itself, because the C library's asks the other threads too.
    let done = unsafe { libc::syscall(libc::SYS_setresuid, real, effective, saved) };
    assert_eq!(done, 0);
}

fn bit(capability: u32) -> u64 {
    1 << capability
}

const KEEP: u32 = u32::MAX;

fn versions() {
    let mut data = [CapabilityData::default(); 2];
    for version in [0, 1, CAPABILITY_VERSION_3 + 1] {
        for number in [nr::CAPGET, nr::CAPSET] {
            let told = call(number, version, 0, Some(&mut data));
            assert_eq!(told, Err((Errno::EINVAL, CAPABILITY_VERSION_3)));
        }
        // The question which version there is.
        assert_eq!(call(nr::CAPGET, version, 0, None), Ok(CAPABILITY_VERSION_3));
    }
    let sets = get().expect("capget");
    let old = CapabilityData {
        effective: 1,
        permitted: 2,
        inheritable: 3,
    };
    let mut halves = [old; 2];
    assert_eq!(
        call(nr::CAPGET, CAPABILITY_VERSION_1, 0, Some(&mut halves)),
        Ok(CAPABILITY_VERSION_1)
    );
    assert_eq!((halves[0].permitted, halves[1]), (sets.permitted as u32, old));
    assert_eq!(
        call(nr::CAPGET, CAPABILITY_VERSION_2, 0, Some(&mut halves)),
        Ok(CAPABILITY_VERSION_2)
    );
    assert_eq!(halves[1].permitted, (sets.permitted >> 32) as u32);
    for number in [nr::CAPGET, nr::CAPSET] {
        // SAFETY: nothing is there.
        assert_eq!(unsafe { raw(number, [8, 0, 0, 0]) }, Err(Errno::EFAULT));
    }
    assert_eq!(
        call(nr::CAPSET, CAPABILITY_VERSION_3, 0, None),
        Err((Errno::EFAULT, CAPABILITY_VERSION_3))
    );
}

fn others() {
    assert_eq!(get_of(-1), Err(Errno::EINVAL));
    assert_eq!(get_of(i32::MAX), Err(Errno::ESRCH));
    // SAFETY: they take nothing.
    let (this, parent) = unsafe { (libc::getpid(), libc::getppid()) };
    assert_eq!(get_of(this), get());
    let status = child(|| {
        assert_eq!(get_of(this), get());
        for pid in [this, parent, -1] {
            let mut data = [CapabilityData::default(); 2];
            let told = call(nr::CAPSET, CAPABILITY_VERSION_3, pid, Some(&mut data));
            assert_eq!(told, Err((Errno::EPERM, CAPABILITY_VERSION_3)));
        }
        0
    });
    assert_eq!(status.wait(), Status::Exited(0));
}

fn put_down_and_taken_up() {
    as_root(|| {
        let path = format!("/tmp/capabilities-{}", std::process::id());
        File::create(&path).expect("create");
        let all = get().expect("capget");
        let less = Sets {
            effective: all.effective & !bit(CAP_CHOWN),
            ..all
        };
        set(less).expect("capset");
        assert_eq!(get(), Ok(less));
        assert_eq!(
            chown(&path, Some(1), None).map_err(|error| error.raw_os_error()),
            Err(Some(libc::EPERM))
        );
        set(all).expect("capset");
        chown(&path, Some(1), None).expect("chown");
        fs::remove_file(&path).expect("remove");
        // What is permitted no more does not come back, and only what is permitted has an effect.
        let none = Sets {
            permitted: less.effective,
            ..less
        };
        set(none).expect("capset");
        assert_eq!(set(all), Err(Errno::EPERM));
        assert_eq!(
            set(Sets {
                effective: all.effective,
                ..none
            }),
            Err(Errno::EPERM)
        );
        // Bits that stand for nothing are as if they were not there.
        let wide = Sets {
            inheritable: 1 << 63,
            ..none
        };
        set(wide).expect("capset");
        assert_eq!(get(), Ok(none));
        set(Sets::default()).expect("capset");
        assert_eq!(
            set(Sets {
                inheritable: bit(CAP_KILL),
                ..Sets::default()
            }),
            Err(Errno::EPERM)
        );
    });
}

fn user_ids() {
    as_root(|| {
        let all = get().expect("capget");
        set_user(KEEP, NOBODY, KEEP);
        assert_eq!(get(), Ok(Sets { effective: 0, ..all }));
        set_user(KEEP, 0, KEEP);
        assert_eq!(
            get(),
            Ok(Sets {
                effective: all.permitted,
                ..all
            })
        );
        set_user(NOBODY, NOBODY, NOBODY);
        assert_eq!(get(), Ok(Sets::default()));
    });
}

/// PR_SET_KEEPCAPS.
fn kept() {
    as_root(|| {
        let all = get().expect("capget");
        // SAFETY: these calls take numbers.
        unsafe {
            let parent = libc::getppid();
            assert_eq!(libc::prctl(libc::PR_GET_KEEPCAPS), 0);
            assert_eq!(checked(libc::prctl(libc::PR_SET_KEEPCAPS, 2)), Err(Errno::EINVAL));
            assert_eq!(libc::prctl(libc::PR_SET_KEEPCAPS, 1), 0);
            assert_eq!(libc::prctl(libc::PR_GET_KEEPCAPS), 1);
            set_user(NOBODY, NOBODY, NOBODY);
            let kept = Sets { effective: 0, ..all };
            assert_eq!(get(), Ok(kept));
            assert_eq!(checked(libc::kill(parent, 0)), Err(Errno::EPERM));
            set(Sets {
                effective: bit(CAP_KILL),
                ..kept
            })
            .expect("capset");
            assert_eq!(checked(libc::kill(parent, 0)), Ok(0));
        }
    });
}

/// The permitted set of a program that this process starts.
fn permitted_by_execve() -> u64 {
    let this = Command::new("/proc/self/exe")
        .arg("play:permitted")
        .output()
        .expect("start");
    String::from_utf8_lossy(&this.stdout).trim().parse().expect("a number")
}

fn started_programs() {
    as_root(|| {
        let all = get().expect("capget");
        let status = child(|| {
            set(Sets::default()).expect("capset");
            assert_eq!(permitted_by_execve(), all.permitted, "user 0 gets what it put down");
            0
        });
        assert_eq!(status.wait(), Status::Exited(0));
        set_user(NOBODY, NOBODY, NOBODY);
        assert_eq!(permitted_by_execve(), 0);
    });
}

fn bounding_set() {
    as_root(|| {
        let all = get().expect("capget");
        // SAFETY: prctl(2) takes numbers.
        let has = |capability: u32| checked(unsafe { libc::prctl(libc::PR_CAPBSET_READ, capability) });
        // SAFETY: as above.
        let drop = |capability: u32| checked(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability) });
        assert_eq!(has(CAP_CHOWN), Ok(1));
        assert_eq!((has(64), drop(64)), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
        assert_eq!((drop(CAP_CHOWN), has(CAP_CHOWN)), (Ok(0), Ok(0)));
        assert_eq!(get(), Ok(all), "only execve looks at it");
        assert_eq!(permitted_by_execve(), all.permitted & !bit(CAP_CHOWN));
        set(Sets {
            effective: all.effective & !bit(CAP_SETPCAP),
            ..all
        })
        .expect("capset");
        assert_eq!(drop(CAP_KILL), Err(Errno::EPERM));
    });
}

fn status_lines() {
    let status = fs::read_to_string("/proc/self/status").expect("/proc/self/status");
    let line = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        u64::from_str_radix(line.trim(), 16).expect("a set")
    };
    let sets = get().expect("capget");
    assert_eq!(
        (line("CapInh:"), line("CapPrm:"), line("CapEff:")),
        (sets.inheritable, sets.permitted, sets.effective)
    );
    assert_eq!(line("CapBnd:") & sets.permitted, sets.permitted);
}

/// setgroups(2): a member of the file's group by it may read.
fn further_groups() {
    as_root(|| {
        let path = format!("/tmp/capabilities-group-{}", std::process::id());
        File::create(&path).expect("create");
        chown(&path, None, Some(1234)).expect("chown");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("chmod");
        for (groups, may) in [(&[77u32][..], false), (&[77, 1234], true)] {
            let status = child(|| {
                // SAFETY: the groups are read; the others take numbers.
                unsafe {
                    assert_eq!(libc::setgroups(groups.len(), groups.as_ptr()), 0);
                    assert_eq!(libc::setgid(NOBODY), 0);
                }
                set_user(NOBODY, NOBODY, NOBODY);
                assert_eq!(File::open(&path).is_ok(), may);
                0
            });
            assert_eq!(status.wait(), Status::Exited(0));
        }
        fs::remove_file(&path).expect("remove");
    });
}

/// access(2) asks for the real user, who started a program that acts as another.
fn access_by_real_ids() {
    as_root(|| {
        let folder = Folder::new("access");
        let open_folder = |path: &std::path::Path| fs::set_permissions(path, Permissions::from_mode(0o755));
        open_folder(&folder).expect("chmod");
        let path = folder.file("secret");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("chmod");
        let name = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).expect("a path");
        let ask = |flags: usize| {
            // SAFETY: the name lives on.
            let asked = unsafe {
                raw(
                    nr::FACCESSAT2,
                    [libc::AT_FDCWD as usize, name.as_ptr() as usize, 4, flags],
                )
            };
            asked.map(drop)
        };
        let effective = libc::AT_EACCESS as usize;
        // SAFETY: numbers only, of this process, which has one thread.
        let become_ids = |real, effective| checked(unsafe { libc::setresuid(real, effective, 0) }).expect("setresuid");
        assert_eq!((ask(0), ask(effective)), (Ok(()), Ok(())));
        become_ids(NOBODY, 0);
        assert_eq!((ask(0), ask(effective)), (Err(Errno::EACCES), Ok(())));
        become_ids(0, NOBODY);
        assert_eq!((ask(0), ask(effective)), (Ok(()), Err(Errno::EACCES)));
        become_ids(NOBODY, NOBODY);
        assert_eq!((ask(0), ask(effective)), (Err(Errno::EACCES), Err(Errno::EACCES)));
        become_ids(0, 0);
    });
}
