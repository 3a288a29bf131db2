//! Control messages between their layout in user memory, cmsg(3), and what the kernel keeps.

use crate::file::OpenFile;
use crate::mm::user;
use crate::net::message::{Control, Incoming, Outgoing};
use crate::net::protocol::Credentials;
use crate::net::unix::author::Author;
use crate::net::unix::rights::Rights;
use crate::syscall::Call;
use crate::task::{Process, pidfd, table};
use alloc::sync::Arc;
use alloc::vec::Vec;
use libsyscall::abi::Errno;
use libsyscall::abi::capability::{CAP_SETGID, CAP_SETUID, CAP_SYS_ADMIN};
use libsyscall::abi::socket::*;

/// The longest control data, net.core.optmem_max.
const CONTROL_MAX: usize = 131_072;
const HEADER_LEN: usize = size_of::<ControlHeader>();

/// CMSG_ALIGN.
fn aligned(len: usize) -> usize {
    len.next_multiple_of(size_of::<u64>())
}

/// Reads the control data of a message to be sent: ENOBUFS where it is too long, EINVAL for a length that can't be, and
/// what [`read_rights`] and [`read_credentials`] say.
pub fn read(call: &Call, domain: u16, header: &MessageHeader, message: &mut Outgoing) -> Result<(), Errno> {
    let (start, len) = (header.control as usize, header.control_len as usize);
    if len > CONTROL_MAX {
        return Err(Errno::ENOBUFS);
    }
    let mut files = Vec::new();
    let mut offset = 0;
    while offset + HEADER_LEN <= len {
        let at = start + offset;
        let control: ControlHeader = user::read(at)?;
        let control_len = usize::try_from(control.len).map_err(|_| Errno::EINVAL)?;
        if control_len < HEADER_LEN || control_len > len - offset {
            return Err(Errno::EINVAL);
        }
        let data_len = control_len - HEADER_LEN;
        match (domain, control.level, control.kind) {
            (AF_UNIX, SOL_SOCKET, SCM_RIGHTS) => read_rights(call, at + HEADER_LEN, data_len, &mut files)?,
            (AF_UNIX, SOL_SOCKET, SCM_CREDENTIALS) => {
                message.author = Some(read_credentials(call, at + HEADER_LEN, data_len)?);
            }
            (AF_UNIX, SOL_SOCKET, _) => return Err(Errno::EINVAL),
            (AF_UNIX, ..) => {}
            _ => {
                let mut data = Vec::new();
                data.try_reserve_exact(data_len).map_err(|_| Errno::ENOMEM)?;
                data.resize(data_len, 0);
                user::read_bytes(at + HEADER_LEN, &mut data)?;
                message.control.push(Control {
                    level: control.level,
                    kind: control.kind,
                    data,
                });
            }
        }
        offset += aligned(control_len);
    }
    if !files.is_empty() {
        message.rights = Some(Rights::new(files)?);
    }
    Ok(())
}

/// The descriptions behind an array of descriptors: EBADF, EINVAL for too many in one message.
fn read_rights(call: &Call, at: usize, len: usize, files: &mut Vec<Arc<OpenFile>>) -> Result<(), Errno> {
    let count = len / size_of::<i32>();
    if files.len() + count > SCM_MAX_FD {
        return Err(Errno::EINVAL);
    }
    files.try_reserve(count).map_err(|_| Errno::ENOMEM)?;
    for index in 0..count {
        let fd: i32 = user::read(at + index * size_of::<i32>())?;
        files.push(call.thread().files().get_any(fd)?);
    }
    Ok(())
}

/// A struct ucred that the caller may send: EINVAL for another length, EPERM for what it is not, unless it could become that,
/// ESRCH for a process that there is none of.
fn read_credentials(call: &Call, at: usize, len: usize) -> Result<Author, Errno> {
    if len != size_of::<[u32; 3]>() {
        return Err(Errno::EINVAL);
    }
    let [pid, uid, gid]: [u32; 3] = user::read(at)?;
    let own = call.thread().credentials();
    let may_say = (pid as i32 == call.thread().process.pid || own.has(CAP_SYS_ADMIN))
        && (own.uid.three().contains(&uid) || own.has(CAP_SETUID))
        && (own.gid.three().contains(&gid) || own.has(CAP_SETGID));
    if !may_say {
        return Err(Errno::EPERM);
    }
    let pid = pid as i32;
    let process = match table::process(pid) {
        Some(process) => process,
        None => table::thread(pid).ok_or(Errno::ESRCH)?.process.clone(),
    };
    Ok(Author {
        credentials: Credentials { pid, uid, gid },
        process,
    })
}

/// Control data on its way to user memory.
struct Writer {
    at: usize,
    room: usize,
    written: usize,
}

impl Writer {
    /// Appends a message, cut to the room there is; whether it was whole.
    fn put(&mut self, level: i32, kind: i32, data: &[u8]) -> Result<bool, Errno> {
        let room = self.room - self.written;
        if room < HEADER_LEN {
            return Ok(false);
        }
        let len = (HEADER_LEN + data.len()).min(room);
        let header = ControlHeader {
            len: len as u64,
            level,
            kind,
        };
        let at = self.at + self.written;
        user::write(at, &header)?;
        user::write_bytes(at + HEADER_LEN, &data[..len - HEADER_LEN])?;
        self.written += aligned(HEADER_LEN + data.len()).min(room);
        Ok(len == HEADER_LEN + data.len())
    }
}

/// Writes what came with a message: how many bytes of control data there are. What there was no room for sets MSG_CTRUNC
/// in `told`; descriptions among it are gone.
pub fn write(
    call: &Call,
    header: &MessageHeader,
    message: Incoming,
    cloexec: bool,
    told: &mut u32,
) -> Result<usize, Errno> {
    let mut writer = Writer {
        at: header.control as usize,
        room: if header.control == 0 {
            0
        } else {
            header.control_len as usize
        },
        written: 0,
    };
    let mut whole = true;
    if let Some(Credentials { pid, uid, gid }) = message.credentials {
        let mut data = [0; 12];
        for (bytes, value) in data.chunks_exact_mut(4).zip([pid as u32, uid, gid]) {
            bytes.copy_from_slice(&value.to_ne_bytes());
        }
        whole &= writer.put(SOL_SOCKET, SCM_CREDENTIALS, &data)?;
    }
    if let Some(rights) = message.rights {
        whole &= write_rights(call, &mut writer, rights, cloexec)?;
    }
    if let Some(process) = message.process {
        whole &= write_process(call, &mut writer, process)?;
    }
    for Control { level, kind, data } in &message.control {
        whole &= writer.put(*level, *kind, data)?;
    }
    if !whole {
        *told |= MSG_CTRUNC;
    }
    Ok(writer.written)
}

/// Gives a descriptor to the sender's process, or says in its place why there is none; whether there was room for that.
fn write_process(call: &Call, writer: &mut Writer, process: Arc<Process>) -> Result<bool, Errno> {
    if writer.room - writer.written < HEADER_LEN + size_of::<i32>() {
        return Ok(false);
    }
    let (opened, number) = match pidfd::open_process(call.thread(), process) {
        Ok(fd) => (Some(fd), fd),
        Err(error) => (None, -(error.number() as i32)),
    };
    writer
        .put(SOL_SOCKET, SCM_PIDFD, &number.to_ne_bytes())
        .inspect_err(|_| {
            // The program does not know of it.
            drop(opened.map(|fd| call.thread().files().close(fd)));
        })
}

/// Gives descriptors to as many descriptions as there is room for, in the message and in the table; whether to all.
fn write_rights(call: &Call, writer: &mut Writer, rights: Rights, cloexec: bool) -> Result<bool, Errno> {
    let thread = call.thread();
    let files = rights.land();
    let room = (writer.room - writer.written).saturating_sub(HEADER_LEN) / size_of::<i32>();
    let count = files.len();
    let mut numbers = Vec::new();
    numbers
        .try_reserve_exact(count.min(room) * size_of::<i32>())
        .map_err(|_| Errno::ENOMEM)?;
    for open in files.into_iter().take(room) {
        match thread.files().insert(open, cloexec, 0, thread.process.file_limit()) {
            Ok(fd) => numbers.extend_from_slice(&fd.to_ne_bytes()),
            Err(_) => break,
        }
    }
    if !numbers.is_empty() {
        writer.put(SOL_SOCKET, SCM_RIGHTS, &numbers)?;
    }
    Ok(numbers.len() == count * size_of::<i32>())
}
