//! A program's first stack: argc, argv, envp, the auxiliary vector, and above them what they point to.

use super::elf::Image;
use crate::arch::{self, PAGE_SIZE};
use crate::mm::space::{AddressSpace, Backing, Mapping, Placement, Protection, Strings};
use crate::{random, task};
use alloc::vec::Vec;
use libsyscall::abi::Errno;

/// The stack's first size; it grows by itself.
const FIRST_SIZE: usize = 128 * 1024;
/// Arguments and environment together: 3/4 of the stack's limit, as on Linux.
const STRINGS_MAX: usize = crate::mm::space::STACK_LIMIT / 4 * 3;
/// USER_HZ.
const CLOCK_TICKS: usize = 100;

// Types of auxiliary vector entries, getauxval(3).
const AT_NULL: usize = 0;
const AT_PHDR: usize = 3;
const AT_PHENT: usize = 4;
const AT_PHNUM: usize = 5;
const AT_PAGESZ: usize = 6;
const AT_BASE: usize = 7;
const AT_FLAGS: usize = 8;
const AT_ENTRY: usize = 9;
const AT_UID: usize = 11;
const AT_EUID: usize = 12;
const AT_GID: usize = 13;
const AT_EGID: usize = 14;
const AT_PLATFORM: usize = 15;
const AT_HWCAP: usize = 16;
const AT_CLKTCK: usize = 17;
const AT_SECURE: usize = 23;
const AT_RANDOM: usize = 25;
const AT_HWCAP2: usize = 26;
const AT_EXECFN: usize = 31;
const AT_SYSINFO_EHDR: usize = 33;
const AT_MINSIGSTKSZ: usize = 51;

/// What a program is told.
pub struct Contents<'a> {
    /// The path it was executed by.
    pub name: &'a [u8],
    pub arguments: &'a [Vec<u8>],
    pub environment: &'a [Vec<u8>],
    /// Where the image of vdso(7) is mapped.
    pub vdso: usize,
}

/// Strings one after the other, each with its NUL.
fn joined(strings: &[Vec<u8>]) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::new();
    let len = strings.iter().map(|string| string.len() + 1).sum();
    bytes.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
    for string in strings {
        bytes.extend_from_slice(string);
        bytes.push(0);
    }
    Ok(bytes)
}

/// The addresses of strings that lie one after the other from `start` on.
fn addresses(strings: &[Vec<u8>], start: usize) -> impl Iterator<Item = usize> {
    strings.iter().scan(start, |next, string| {
        let at = *next;
        *next += string.len() + 1;
        Some(at)
    })
}

/// Maps and fills the stack. `interpreter` is where the dynamic loader lies, 0 for none. The stack pointer.
pub fn build(space: &AddressSpace, contents: &Contents, image: &Image, interpreter: usize) -> Result<usize, Errno> {
    let platform = arch::MACHINE.as_bytes();
    let mut random = [0; 16];
    random::fill(&mut random);

    // From the lowest address up: the random bytes, the platform's name, arguments, environment, the program's path, and
    // a word of zero at the very top.
    let mut strings = Vec::new();
    let arguments = joined(contents.arguments)?;
    let environment = joined(contents.environment)?;
    let len = random.len() + platform.len() + 1 + arguments.len() + environment.len() + contents.name.len() + 1 + 8;
    let pointers = (contents.arguments.len() + contents.environment.len()) * size_of::<usize>();
    if len + pointers > STRINGS_MAX {
        return Err(Errno::E2BIG);
    }
    strings.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
    let start = (space.stack_top() - len) & !15;
    strings.extend_from_slice(&random);
    let platform_at = start + strings.len();
    strings.extend_from_slice(platform);
    strings.push(0);
    let arguments_at = start + strings.len();
    strings.extend_from_slice(&arguments);
    let environment_at = start + strings.len();
    strings.extend_from_slice(&environment);
    let name_at = start + strings.len();
    strings.extend_from_slice(contents.name);
    strings.push(0);

    let credentials = task::with_current(|thread| thread.credentials().clone());
    let (hwcap, hwcap2) = arch::cpu::hwcap();
    let auxiliary = [
        (AT_SYSINFO_EHDR, contents.vdso),
        (AT_MINSIGSTKSZ, arch::cpu::signal_stack_min()),
        (AT_HWCAP, hwcap),
        (AT_PAGESZ, PAGE_SIZE),
        (AT_CLKTCK, CLOCK_TICKS),
        (AT_PHDR, image.headers),
        (AT_PHENT, 56),
        (AT_PHNUM, image.header_count),
        (AT_BASE, interpreter),
        (AT_FLAGS, 0),
        (AT_ENTRY, image.entry),
        (AT_UID, credentials.uid.real as usize),
        (AT_EUID, credentials.uid.effective as usize),
        (AT_GID, credentials.gid.real as usize),
        (AT_EGID, credentials.gid.effective as usize),
        (AT_SECURE, usize::from(credentials.is_secure())),
        (AT_RANDOM, start),
        (AT_HWCAP2, hwcap2),
        (AT_EXECFN, name_at),
        (AT_PLATFORM, platform_at),
        (AT_NULL, 0),
    ];

    let mut words = Vec::new();
    let count = 1 + contents.arguments.len() + 1 + contents.environment.len() + 1 + 2 * auxiliary.len();
    words
        .try_reserve_exact(count * size_of::<usize>())
        .map_err(|_| Errno::ENOMEM)?;
    let mut push = |word: usize| words.extend_from_slice(&word.to_ne_bytes());
    push(contents.arguments.len());
    addresses(contents.arguments, arguments_at).for_each(&mut push);
    push(0);
    addresses(contents.environment, environment_at).for_each(&mut push);
    push(0);
    for (kind, value) in auxiliary {
        push(kind);
        push(value);
    }
    // The stack pointer is aligned to 16 whatever argc is.
    let sp = (start - words.len()) & !15;

    map(space, space.stack_top() - sp, image.executable_stack)?;
    space.write(start, &strings)?;
    space.write(sp, &words)?;
    space.set_strings(Strings {
        arguments: arguments_at..environment_at,
        environment: environment_at..name_at,
    });
    Ok(sp)
}

fn map(space: &AddressSpace, used: usize, executable: bool) -> Result<(), Errno> {
    let mut protection = Protection::READ | Protection::WRITE;
    protection.set(Protection::EXEC, executable);
    let mut mapping = Mapping::new(protection, Backing::Anonymous);
    mapping.grows_down = true;
    let size = (used + FIRST_SIZE).next_multiple_of(PAGE_SIZE);
    space.map(space.stack_top() - size, size, mapping, Placement::Vacant)?;
    Ok(())
}
