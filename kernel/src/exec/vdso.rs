//! vdso(7): a small shared object that every program gets, found by AT_SYSINFO_EHDR. Its functions read the clock without a
//! system call; on aarch64 a signal handler returns to one. Two pages, one of numbers and one of code, are the same for all
//! programs, and mapped into each where chance puts them.

use crate::arch::{self, PAGE_SIZE, vdso as machine, vdso_data};
use crate::mm::frame::Frame;
use crate::mm::space::{AddressSpace, Backing, Mapping, PageSource, Placement, Protection};
use crate::{fs, time};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use libsyscall::abi::Errno;
use spin::Once;

struct Page {
    frame: Frame,
    ino: u64,
    name: &'static str,
}

impl Page {
    fn new(name: &'static str) -> Result<Arc<Page>, Errno> {
        Ok(Arc::new(Page {
            frame: Frame::zeroed().map_err(|_| Errno::ENOMEM)?,
            ino: fs::new_ino(),
            name,
        }))
    }
}

impl PageSource for Page {
    fn page(&self, index: u64) -> Result<Frame, Errno> {
        self.present(index).ok_or(Errno::EFAULT)
    }

    fn present(&self, index: u64) -> Option<Frame> {
        (index == 0).then(|| self.frame.clone())
    }

    fn size(&self) -> u64 {
        PAGE_SIZE as u64
    }

    fn identity(&self) -> (u64, u64) {
        (fs::ANONYMOUS_DEVICE, self.ino)
    }

    fn name(&self) -> String {
        String::from(self.name)
    }
}

/// The pages, as they lie one behind the other.
struct Pages {
    data: Arc<Page>,
    image: Arc<Page>,
}

static PAGES: Once<Pages> = Once::new();

/// Where a program has it.
pub struct Mapped {
    /// AT_SYSINFO_EHDR.
    pub header: usize,
    /// What a signal handler without a restorer returns to, 0 where it must have one.
    pub signal_return: usize,
}

/// Maps the pages.
pub fn map(space: &AddressSpace) -> Result<Mapped, Errno> {
    let pages = PAGES.try_call_once(make)?;
    let read = Protection::READ;
    // Room for both first.
    let data = space.map(0, 2 * PAGE_SIZE, mapping(&pages.data, read), Placement::Anywhere)?;
    let header = data + PAGE_SIZE;
    let executable = mapping(&pages.image, read | Protection::EXEC);
    space.map(header, PAGE_SIZE, executable, Placement::Fixed)?;
    let signal_return = machine::SIGNAL_RETURN.map_or(0, |name| header + place_of(name));
    Ok(Mapped { header, signal_return })
}

fn mapping(page: &Arc<Page>, allowed: Protection) -> Mapping {
    let backing = Backing::PrivateFile {
        file: page.clone(),
        offset: 0,
    };
    Mapping {
        allowed,
        ..Mapping::new(allowed, backing)
    }
}

fn make() -> Result<Pages, Errno> {
    let (data, image) = (Page::new("[vvar]")?, Page::new("[vdso]")?);
    let (start, factor) = arch::timer::scale_of_counter();
    data.frame.store(vdso_data::START, start);
    data.frame.store(vdso_data::FACTOR, factor);
    data.frame.store(vdso_data::SHIFT, time::realtime_shift_ns());
    image.frame.write(0, &tables());
    image.frame.write(vdso_data::CODE, vdso_data::code());
    Ok(Pages { data, image })
}

/// CLOCK_REALTIME has been set: programs are to read it so. Whoever set it is a program, so the pages are there.
pub fn set_realtime_shift(shift_ns: u64) {
    if let Some(pages) = PAGES.get() {
        pages.data.frame.store(vdso_data::SHIFT, shift_ns);
    }
}

/// Where in the image a function of that name is.
fn place_of(name: &str) -> usize {
    let found = machine::functions().into_iter().find(|(other, _)| *other == name);
    found.map_or(0, |(_, function)| place(function))
}

fn place(function: *const u8) -> usize {
    vdso_data::CODE + (function.addr() - vdso_data::code().as_ptr().addr())
}

/// The image's ELF header and what a program finds the functions by: elf(5).
fn tables() -> Vec<u8> {
    const HEADER: usize = 64;
    const PROGRAM_HEADER: usize = 56;
    const DYNAMIC: usize = HEADER + 2 * PROGRAM_HEADER;
    const DYNAMIC_ENTRIES: usize = 10;
    const SYMBOLS: usize = DYNAMIC + DYNAMIC_ENTRIES * 16;
    const SYMBOL: usize = 24;
    const SONAME: &str = "linux-vdso.so.1";
    const PT_LOAD: u32 = 1;
    const PT_DYNAMIC: u32 = 2;
    const VERSION_DEFINITION: usize = 20 + 8;

    let functions = machine::functions();
    let count = functions.len() + 1;
    let strings_at = SYMBOLS + count * SYMBOL;
    let mut strings = Vec::from([0]);
    let mut intern = |name: &str| {
        let at = strings.len();
        strings.extend_from_slice(name.as_bytes());
        strings.push(0);
        at
    };
    let soname = intern(SONAME);
    let version = intern(machine::VERSION);
    let names = functions.map(|(name, _)| intern(name));
    let hash_at = (strings_at + strings.len()).next_multiple_of(8);
    let definitions_at = hash_at + (2 + 1 + count) * 4;
    let versions_at = definitions_at + 2 * VERSION_DEFINITION;

    let mut image = Image::default();
    // 64 bits, little-endian, version 1; a shared object.
    image.bytes(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    image.halves(&[3, arch::ELF_MACHINE]);
    image.word(1);
    image.longs(&[0, HEADER, 0]);
    image.word(0);
    image.halves(&[HEADER as u16, PROGRAM_HEADER as u16, 2, 0, 0, 0]);
    // Readable and executable; readable.
    image.word(PT_LOAD);
    image.word(5);
    image.longs(&[0, 0, 0, PAGE_SIZE, PAGE_SIZE, PAGE_SIZE]);
    image.word(PT_DYNAMIC);
    image.word(4);
    let dynamic_len = DYNAMIC_ENTRIES * 16;
    image.longs(&[DYNAMIC, DYNAMIC, DYNAMIC, dynamic_len, dynamic_len, 8]);
    let dynamic: [(usize, usize); DYNAMIC_ENTRIES] = [
        (DT_SONAME, soname),
        (DT_HASH, hash_at),
        (DT_STRTAB, strings_at),
        (DT_SYMTAB, SYMBOLS),
        (DT_STRSZ, strings.len()),
        (DT_SYMENT, SYMBOL),
        (DT_VERSYM, versions_at),
        (DT_VERDEF, definitions_at),
        (DT_VERDEFNUM, 2),
        (DT_NULL, 0),
    ];
    for (tag, value) in dynamic {
        image.longs(&[tag, value]);
    }
    // The first symbol is none.
    image.longs(&[0, 0, 0]);
    for ((_, function), name) in functions.into_iter().zip(names) {
        image.word(name as u32);
        // A global function, in a section, whichever: there are none.
        image.bytes(&[0x12, 0]);
        image.halves(&[1]);
        image.longs(&[place(function), 0]);
    }
    image.bytes(&strings);
    image.0.resize(hash_at, 0);
    // One bucket, in which all are: each leads to the next one.
    image.word(1);
    image.word(count as u32);
    image.word(1);
    image.word(0);
    for next in 2..=count {
        image.word(if next < count { next as u32 } else { 0 });
    }
    // The versions: that of the image itself, and that of every function. Go looks for them without asking whether there
    // are any.
    let definitions = [
        (VER_FLG_BASE, SONAME, soname, VERSION_DEFINITION as u32),
        (0, machine::VERSION, version, 0),
    ];
    for (number, (flags, name, at, next)) in (1..).zip(definitions) {
        image.halves(&[1, flags, number, 1]);
        image.word(hash(name));
        image.word(20);
        image.word(next);
        image.word(at as u32);
        image.word(0);
    }
    image.halves(&[0]);
    functions.iter().for_each(|_| image.halves(&[2]));
    assert!(image.0.len() <= vdso_data::CODE, "the code begins behind the tables");
    image.0
}

// Tags of the dynamic section.
const DT_NULL: usize = 0;
const DT_HASH: usize = 4;
const DT_STRTAB: usize = 5;
const DT_SYMTAB: usize = 6;
const DT_STRSZ: usize = 10;
const DT_SYMENT: usize = 11;
const DT_SONAME: usize = 14;
const DT_VERSYM: usize = 0x6fff_fff0;
const DT_VERDEF: usize = 0x6fff_fffc;
const DT_VERDEFNUM: usize = 0x6fff_fffd;

/// A version definition that is the object's own.
const VER_FLG_BASE: u16 = 1;

/// By which names and versions are looked up: System V's.
fn hash(name: &str) -> u32 {
    name.bytes().fold(0u32, |hash, byte| {
        let hash = (hash << 4).wrapping_add(u32::from(byte));
        let high = hash & 0xf000_0000;
        (hash ^ (high >> 24)) & !high
    })
}

/// Bytes, with numbers little end first.
#[derive(Default)]
struct Image(Vec<u8>);

impl Image {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn halves(&mut self, values: &[u16]) {
        values.iter().for_each(|value| self.bytes(&value.to_le_bytes()));
    }

    fn word(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    fn longs(&mut self, values: &[usize]) {
        values.iter().for_each(|value| self.bytes(&value.to_le_bytes()));
    }
}
