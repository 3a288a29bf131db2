//! What a program gets from its start, and the plainest calls.

use libsyscall::abi::{Errno, nr};
use libsyscall::calls::{file, process, raw};
use std::process::ExitCode;
use userspace_tests::{Status, child, tests};

fn main() -> ExitCode {
    userspace_tests::run(tests![
        arguments_and_environment,
        auxiliary_vector,
        write_counts_bytes,
        write_to_closed_descriptor,
        unknown_call,
        exit_status,
        identity,
        uname_says_linux,
        random_numbers_differ,
        heap_and_strings,
        floating_point,
        thread_local_start,
        call_number_is_an_int,
    ])
}

fn arguments_and_environment() {
    assert!(std::env::args().next().is_some_and(|name| name.ends_with("basic")));
    assert!(std::env::vars().any(|(name, _)| name == "PATH"));
}

/// getauxval(3): what the loader of a static program relies on.
fn auxiliary_vector() {
    // SAFETY: reads a table libc saved at the start.
    let value = |key| unsafe { libc::getauxval(key) };
    assert_eq!(value(libc::AT_PAGESZ), 4096);
    assert_ne!(value(libc::AT_PHDR), 0);
    assert_ne!(value(libc::AT_ENTRY), 0);
    assert_ne!(value(libc::AT_RANDOM), 0);
    assert_eq!(value(libc::AT_PHENT), 56);
    assert_eq!(value(libc::AT_SECURE), 0);
}

fn write_counts_bytes() {
    let (read, write) = file::pipe(0).expect("pipe2");
    assert_eq!(file::write(write, b"hello"), Ok(5));
    assert_eq!(file::write(write, b""), Ok(0));
    let mut buffer = [0; 16];
    assert_eq!(file::read(read, &mut buffer), Ok(5));
    assert_eq!(&buffer[..5], b"hello");
    file::close(read).expect("close");
    file::close(write).expect("close");
}

fn write_to_closed_descriptor() {
    assert_eq!(file::write(999, b"x"), Err(Errno::EBADF));
    assert_eq!(file::close(999), Err(Errno::EBADF));
    assert_eq!(file::read(-1, &mut [0]), Err(Errno::EBADF));
}

fn unknown_call() {
    for number in [5000, usize::MAX >> 1, usize::MAX] {
        // SAFETY: no such call exists.
        assert_eq!(unsafe { raw(number, [1, 2, 3]) }, Err(Errno::ENOSYS));
    }
}

fn exit_status() {
    assert_eq!(child(|| 0).wait(), Status::Exited(0));
    assert_eq!(child(|| 255).wait(), Status::Exited(255));
    // exit(2) keeps the low eight bits.
    assert_eq!(child(|| 256 + 7).wait(), Status::Exited(7));
}

fn identity() {
    assert_eq!(process::getpid(), std::process::id() as i32);
    assert_eq!(process::gettid(), process::getpid());
    let parent = process::getpid();
    assert_eq!(
        // SAFETY: the call takes nothing.
        child(move || i32::from(unsafe { libc::getppid() } != parent)).wait(),
        Status::Exited(0)
    );
}

fn uname_says_linux() {
    // SAFETY: all zero bytes are a value of it.
    let mut name: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel fills the structure.
    assert_eq!(unsafe { libc::uname(&mut name) }, 0);
    let field = |field: &[libc::c_char]| {
        // SAFETY: the kernel ends each field with a NUL.
        unsafe { std::ffi::CStr::from_ptr(field.as_ptr()) }
            .to_string_lossy()
            .into_owned()
    };
    assert_eq!(field(&name.sysname), "Linux");
    assert_eq!(field(&name.machine), std::env::consts::ARCH);
}

fn random_numbers_differ() {
    let random = || {
        let mut bytes = [0u8; 32];
        // SAFETY: the kernel writes within the array.
        let count = unsafe { raw(nr::GETRANDOM, [bytes.as_mut_ptr() as usize, bytes.len(), 0]) };
        assert_eq!(count, Ok(32));
        bytes
    };
    assert_ne!(random(), random());
}

fn heap_and_strings() {
    let mut strings: Vec<String> = (0..10_000).map(|number| format!("number {number}")).collect();
    strings.sort();
    assert_eq!(strings.concat().len(), 7 * 10_000 + 38_890);
}

fn floating_point() {
    let mut sum = 0.0f64;
    for term in 0..1_000_000u32 {
        let sign = if term % 2 == 0 { 1.0 } else { -1.0 };
        sum += sign / f64::from(2 * term + 1);
    }
    assert!((4.0 * sum - std::f64::consts::PI).abs() < 1e-5);
}

fn thread_local_start() {
    thread_local! { static VALUE: std::cell::Cell<u64> = const { std::cell::Cell::new(0x0123_4567_89ab_cdef) }; }
    assert_eq!(VALUE.get(), 0x0123_4567_89ab_cdef);
}

/// The number of a call is an int: what stands above it in the register does not count.
fn call_number_is_an_int() {
    let own = std::process::id() as libc::c_long;
    // SAFETY: getpid(2) has no arguments.
    assert_eq!(unsafe { libc::syscall(libc::SYS_getpid | 1 << 32) }, own);
    // SAFETY: no call has this number.
    assert_eq!(unsafe { libc::syscall(1 << 31) }, -1);
}
