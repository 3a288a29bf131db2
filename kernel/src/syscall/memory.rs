//! Memory: mmap(2), munmap(2), mprotect(2), mremap(2), madvise(2), brk(2), msync(2), mincore(2), mlock(2), membarrier(2).

use super::Call;
use super::table::{Line, line};
use crate::arch::{PAGE_SIZE, USER_END};
use crate::mm::space::{self, AddressSpace, Backing, Fault, Mapping, Placement, Protection, RemapFlags, SharedMemory};
use crate::mm::{shootdown, user};
use crate::task;
use alloc::sync::Arc;
use core::ops::Range;
use core::sync::atomic::Ordering;
use libsyscall::abi::fcntl::{O_ACCMODE, O_RDWR, O_WRONLY};
use libsyscall::abi::memory::*;
use libsyscall::abi::{Errno, nr};

pub const CALLS: &[Line] = &[
    line(nr::MMAP, mmap),
    line(nr::MUNMAP, munmap),
    line(nr::MPROTECT, mprotect),
    line(nr::MREMAP, mremap),
    line(nr::MADVISE, madvise),
    line(nr::BRK, brk),
    line(nr::MSYNC, msync),
    line(nr::MINCORE, mincore),
    line(nr::MLOCK, mlock),
    line(nr::MLOCK2, mlock2),
    line(nr::MUNLOCK, munlock),
    line(nr::MLOCKALL, mlockall),
    line(nr::MUNLOCKALL, munlockall),
    line(nr::MEMBARRIER, membarrier),
];

/// The flags that MAP_SHARED_VALIDATE knows.
const KNOWN: u32 = MAP_TYPE
    | MAP_FIXED
    | MAP_ANONYMOUS
    | MAP_32BIT
    | MAP_GROWSDOWN
    | MAP_DENYWRITE
    | MAP_EXECUTABLE
    | MAP_LOCKED
    | MAP_NORESERVE
    | MAP_POPULATE
    | MAP_NONBLOCK
    | MAP_STACK
    | MAP_HUGETLB
    | MAP_FIXED_NOREPLACE;

/// PROT_READ, PROT_WRITE and PROT_EXEC; Linux ignores what it does not know in mmap.
fn protection(bits: u32) -> Protection {
    Protection::from_bits_truncate(bits)
}

fn mmap(call: &mut Call) -> Result<usize, Errno> {
    let (address, len) = (call.arg(0), call.arg(1));
    let (prot, flags, offset) = (protection(call.uint(2)), call.uint(3), call.arg(5));
    if !offset.is_multiple_of(PAGE_SIZE) || len == 0 {
        return Err(Errno::EINVAL);
    }
    let len = len
        .checked_next_multiple_of(PAGE_SIZE)
        .filter(|&len| len <= USER_END)
        .ok_or(Errno::ENOMEM)?;
    let shared = match flags & MAP_TYPE {
        MAP_SHARED => true,
        MAP_PRIVATE => false,
        MAP_SHARED_VALIDATE if flags & !KNOWN != 0 => return Err(Errno::EOPNOTSUPP),
        MAP_SHARED_VALIDATE => true,
        _ => return Err(Errno::EINVAL),
    };
    if flags & MAP_HUGETLB != 0 {
        // There is no pool of huge pages, so it is always empty.
        return Err(Errno::ENOMEM);
    }
    let mut mapping = if flags & MAP_ANONYMOUS == 0 {
        map_file(call, prot, shared, offset as u64, len)?
    } else if shared {
        let file = SharedMemory::new(len as u64)?;
        Mapping::new(prot, Backing::SharedFile { file, offset: 0 })
    } else {
        Mapping::new(prot, Backing::Anonymous)
    };
    let charged = !shared && prot.contains(Protection::WRITE) && flags & MAP_NORESERVE == 0;
    if charged && space::exceeds_memory(len) {
        return Err(Errno::ENOMEM);
    }
    mapping.locked = flags & MAP_LOCKED != 0;
    if flags & MAP_GROWSDOWN != 0 {
        if shared {
            return Err(Errno::EINVAL);
        }
        mapping.grows_down = true;
    }
    let placement = if flags & MAP_FIXED_NOREPLACE != 0 {
        Placement::Vacant
    } else if flags & MAP_FIXED != 0 {
        Placement::Fixed
    } else {
        Placement::Anywhere
    };
    task::with_space(|space| {
        let start = space.map(address, len, mapping, placement)?;
        if flags & (MAP_POPULATE | MAP_LOCKED) != 0 && flags & MAP_NONBLOCK == 0 {
            // mmap(2): the call does not fail where populating does.
            let _ = space.populate(start..start + len);
        }
        Ok(start)
    })
}

/// EACCES: a descriptor that can't be read, or shared writing through one not open for both. EPERM: shared writing of a file
/// that is sealed against it. EOVERFLOW: past the largest file.
fn map_file(call: &Call, prot: Protection, shared: bool, offset: u64, len: usize) -> Result<Mapping, Errno> {
    let open = call.file(4)?;
    let mode = open.flags() & O_ACCMODE;
    let writable = mode == O_RDWR;
    if mode == O_WRONLY || shared && prot.contains(Protection::WRITE) && !writable {
        return Err(Errno::EACCES);
    }
    if offset.checked_add(len as u64).is_none_or(|end| end > i64::MAX as u64) {
        return Err(Errno::EOVERFLOW);
    }
    if !shared {
        let file = open.file.pages()?;
        return Ok(Mapping::new(prot, Backing::PrivateFile { file, offset }));
    }
    let to_write = if writable { open.file.writable_pages()? } else { None };
    if writable && to_write.is_none() && prot.contains(Protection::WRITE) {
        return Err(Errno::EPERM);
    }
    let may_write = to_write.is_some();
    let file = to_write.map_or_else(|| open.file.pages(), Ok)?;
    let mut mapping = Mapping::new(prot, Backing::SharedFile { file, offset });
    if !may_write {
        mapping.allowed -= Protection::WRITE;
    }
    Ok(mapping)
}

fn munmap(call: &mut Call) -> Result<(), Errno> {
    task::with_space(|space| space.unmap(call.arg(0), call.arg(1)))
}

fn mprotect(call: &mut Call) -> Result<(), Errno> {
    let bits = call.uint(2);
    // PROT_GROWSDOWN and PROT_GROWSUP need a mapping that grows that way; Vigil knows the plain rights only.
    if bits & !(PROT_READ | PROT_WRITE | PROT_EXEC) != 0 {
        return Err(Errno::EINVAL);
    }
    task::with_space(|space| space.protect(call.arg(0), call.arg(1), protection(bits)))
}

fn mremap(call: &mut Call) -> Result<usize, Errno> {
    let flags = RemapFlags::from_bits(call.arg(3)).ok_or(Errno::EINVAL)?;
    task::with_space(|space| space.remap(call.arg(0), call.arg(1), call.arg(2), flags, call.arg(4)))
}

fn madvise(call: &mut Call) -> Result<(), Errno> {
    task::with_space(|space| space.advise(call.arg(0), call.arg(1), call.int(2)))
}

fn brk(call: &mut Call) -> Result<usize, Errno> {
    Ok(task::with_space(|space| space.set_heap_end(call.arg(0))))
}

/// A page range of user space; ENOMEM where it leaves it.
fn pages(address: usize, len: usize) -> Result<Range<usize>, Errno> {
    if !address.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    let end = len
        .checked_next_multiple_of(PAGE_SIZE)
        .and_then(|len| address.checked_add(len));
    match end {
        Some(end) if end <= USER_END => Ok(address..end),
        _ => Err(Errno::ENOMEM),
    }
}

fn msync(call: &mut Call) -> Result<(), Errno> {
    let flags = call.uint(2);
    if flags & !(MS_ASYNC | MS_INVALIDATE | MS_SYNC) != 0 || flags & MS_ASYNC != 0 && flags & MS_SYNC != 0 {
        return Err(Errno::EINVAL);
    }
    let range = pages(call.arg(0), call.arg(1))?;
    let space = call.thread().process.space();
    space.synchronise(range, flags & MS_INVALIDATE != 0)
}

/// mincore(2).
fn mincore(call: &mut Call) -> Result<(), Errno> {
    let range = pages(call.arg(0), call.arg(1))?;
    let space = call.thread().process.space();
    let mut bytes = [0; 64];
    for (number, start) in range.clone().step_by(bytes.len() * PAGE_SIZE).enumerate() {
        let count = ((range.end - start) / PAGE_SIZE).min(bytes.len());
        space.residency(start, &mut bytes[..count])?;
        user::write_bytes(call.arg(2) + number * bytes.len(), &bytes[..count])?;
        task::preempt_point();
    }
    Ok(())
}

/// The pages of mlock(2) and munlock(2), all of them mapped, are locked or not. EINVAL, ENOMEM.
fn set_locked(call: &Call, locked: bool) -> Result<(Arc<AddressSpace>, Range<usize>), Errno> {
    let (address, len) = (call.arg(0), call.arg(1));
    let start = address & !(PAGE_SIZE - 1);
    let range = pages(start, len.checked_add(address - start).ok_or(Errno::EINVAL)?)?;
    let space = call.thread().process.space();
    if !space.covers(range.clone()) {
        return Err(Errno::ENOMEM);
    }
    space.set_locked(range.clone(), locked)?;
    Ok((space, range))
}

/// Pages are never taken away, so a page that is locked is one that is there.
fn lock(call: &Call, on_fault: bool) -> Result<(), Errno> {
    let (space, range) = set_locked(call, true)?;
    if on_fault {
        return Ok(());
    }
    space.populate(range).map_err(|fault| match fault {
        Fault::OutOfMemory => Errno::EAGAIN,
        _ => Errno::ENOMEM,
    })
}

fn mlock(call: &mut Call) -> Result<(), Errno> {
    lock(call, false)
}

fn mlock2(call: &mut Call) -> Result<(), Errno> {
    let flags = call.uint(2);
    if flags & !MLOCK_ONFAULT != 0 {
        return Err(Errno::EINVAL);
    }
    lock(call, flags & MLOCK_ONFAULT != 0)
}

fn munlock(call: &mut Call) -> Result<(), Errno> {
    set_locked(call, false).map(drop)
}

fn mlockall(call: &mut Call) -> Result<(), Errno> {
    let flags = call.uint(0);
    if flags & !(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0 || flags & (MCL_CURRENT | MCL_FUTURE) == 0 {
        return Err(Errno::EINVAL);
    }
    let space = call.thread().process.space();
    space.set_locks_all(flags & MCL_FUTURE != 0);
    if flags & MCL_CURRENT != 0 {
        space.set_locked(0..USER_END, true)?;
    }
    if flags & MCL_CURRENT != 0 && flags & MCL_ONFAULT == 0 {
        // As on Linux, what can't be populated is no error here.
        let _ = space.populate(space.extent());
    }
    Ok(())
}

fn munlockall(call: &mut Call) -> Result<(), Errno> {
    let space = call.thread().process.space();
    space.set_locks_all(false);
    space.set_locked(0..USER_END, false)
}

/// membarrier(2): an answered shootdown request is a full barrier on every CPU that runs the space, and a CPU that does not
/// is inside the kernel, which it left or entered with one.
fn membarrier(call: &mut Call) -> Result<usize, Errno> {
    if call.uint(1) != 0 {
        return Err(Errno::EINVAL);
    }
    let space = call.thread().process.space();
    match call.int(0) {
        MEMBARRIER_CMD_QUERY => Ok((MEMBARRIER_CMD_GLOBAL
            | MEMBARRIER_CMD_GLOBAL_EXPEDITED
            | MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED
            | MEMBARRIER_CMD_PRIVATE_EXPEDITED
            | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) as usize),
        MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED => {
            shootdown::ask_everyone();
            Ok(0)
        }
        // A global barrier reaches every CPU, whatever it runs.
        MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED => Ok(0),
        MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED => {
            space.expedited.store(true, Ordering::Relaxed);
            Ok(0)
        }
        MEMBARRIER_CMD_PRIVATE_EXPEDITED => {
            if !space.expedited.load(Ordering::Relaxed) {
                return Err(Errno::EPERM);
            }
            space.barrier();
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}
