//! execve(2): the process's program, space and handlers are replaced; its number, files and parent stay.

use super::{Process, Thread, clone, exit, sched, table};
use crate::arch::PAGE_SIZE;
use crate::arch::trap::TrapFrame;
use crate::boot::command_line::parameters;
use crate::exec;
use crate::file::FdTable;
use crate::fs::{self, Place};
use crate::mm::user;
use crate::{console, println, tty};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use libsyscall::abi::Errno;

/// MAX_ARG_STRLEN: one string of the arguments or the environment.
const STRING_MAX: usize = 32 * PAGE_SIZE;
/// All of them together: 3/4 of the largest stack, as on Linux.
const STRINGS_MAX: usize = 6 << 20;

/// A NULL-terminated array of pointers to strings; a null array is an empty one. EFAULT, E2BIG.
pub fn read_strings(mut array: usize) -> Result<Vec<Vec<u8>>, Errno> {
    let mut strings = Vec::new();
    let mut total = 0;
    if array == 0 {
        return Ok(strings);
    }
    loop {
        let pointer: u64 = user::read(array)?;
        if pointer == 0 {
            return Ok(strings);
        }
        let string = user::read_string(pointer as usize, STRING_MAX, Errno::E2BIG)?;
        total += string.len() + 1 + size_of::<usize>();
        if total > STRINGS_MAX {
            return Err(Errno::E2BIG);
        }
        strings.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        strings.push(string);
        array += size_of::<u64>();
        sched::preempt_point();
    }
}

/// Runs the program at `place`, called `name`, in the running thread. On success `frame` is the new program's.
pub fn execve(
    thread: &Arc<Thread>,
    frame: &mut TrapFrame,
    place: &Place,
    name: &[u8],
    arguments: Vec<Vec<u8>>,
    environment: Vec<Vec<u8>>,
) -> Result<usize, Errno> {
    let loaded = exec::load(place, name, arguments, environment)?;
    if !exit::end_other_threads(thread) {
        return Err(Errno::EAGAIN);
    }
    thread.unshare_files()?;
    // From here on nothing fails.
    exit::leave_memory(thread);
    let process = &thread.process;
    thread.files().close_on_exec();
    process.reset_for_execve();
    thread.signals.reset_for_execve();
    thread.set_name(base_name(name));
    clone::become_first(thread);
    thread.reset_credentials();
    *frame = TrapFrame::new_user(loaded.ip, loaded.stack);
    thread.arch().reset_user();
    process.signal_return.store(loaded.signal_return, Relaxed);
    process.limit_space(&loaded.space);
    let former = process.replace_space(Some(loaded.space.clone()));
    sched::enter_space(&loaded.space);
    drop(former);
    sched::nudge_idle();
    process.set_executable(loaded.place);
    exit::release_vfork_parent(process);
    // What the new program finds in its result register.
    Ok(frame.result() as usize)
}

fn base_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)
}

/// NUL-terminated strings as a list.
fn split(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes
        .split_inclusive(|&byte| byte == 0)
        .map(|s| s.strip_suffix(b"\0").unwrap_or(s).to_vec())
        .collect()
}

/// Starts the first program as the initramfs says: `/.vigil/argv`, `/.vigil/env` and `/.vigil/cwd`; without them the `init=`
/// parameter or /init. It is process 1 in this case, and where there is a `/.vigil/init`. A program that can't be started ends the machine with the status a shell would give.
pub fn start_first() {
    let mut arguments = fs::read_file("/.vigil/argv")
        .map(|bytes| split(&bytes))
        .unwrap_or_default();
    let is_init = arguments.is_empty() || fs::read_file("/.vigil/init").is_ok();
    if arguments.is_empty() {
        arguments.push(parameters().init.unwrap_or("/init").into());
    }
    let environment = match fs::read_file("/.vigil/env") {
        Ok(bytes) => split(&bytes),
        Err(_) => alloc::vec![
            b"HOME=/".to_vec(),
            b"PATH=/bin:/usr/bin".to_vec(),
            b"TERM=linux".to_vec()
        ],
    };
    let path = arguments[0].clone();
    if let Err(error) = try_start_first(is_init, &path, arguments, environment) {
        println!("vigil: can't run {}: {error}", String::from_utf8_lossy(&path));
        let status = if error == Errno::ENOENT { 127 } else { 126 };
        console::finish(console::End::Exited(status));
    }
}

fn try_start_first(
    is_init: bool,
    path: &[u8],
    arguments: Vec<Vec<u8>>,
    environment: Vec<Vec<u8>>,
) -> Result<(), Errno> {
    let cwd = match fs::read_file("/.vigil/cwd") {
        Ok(name) => fs::resolve(&fs::root(), name.strip_suffix(b"\0").unwrap_or(&name), true)?,
        Err(_) => fs::root(),
    };
    let place = fs::resolve(&cwd, path, true)?;
    let loaded = exec::load(&place, path, arguments, environment)?;
    let files = FdTable::new();
    for open in tty::first_files()? {
        files.insert(open, false, 0, 3)?;
    }
    let frame = TrapFrame::new_user(loaded.ip, loaded.stack);
    let signal_return = loaded.signal_return;
    let id = table::first_id(is_init);
    // Without a terminal it is a job of process 1's, as a build's programs are: a terminal that it opens stays nobody's.
    let session = if tty::lead_first_session(id) { id } else { 1 };
    let process: Arc<Process> = Process::first(id, session, loaded.space.clone());
    process.set_executable(loaded.place);
    process.has_executed.store(false, Relaxed);
    process.signal_return.store(signal_return, Relaxed);
    clone::start_first(process, &frame, base_name(path), files, cwd)
}
