//! ELF files: elf(5). 64-bit, little-endian, this machine's; at a fixed address (ET_EXEC) or anywhere (ET_DYN).

use super::Executable;
use crate::arch::{ELF_MACHINE, PAGE_SIZE, USER_END};
use crate::mm::space::{AddressSpace, Backing, Mapping, Placement, Protection};
use crate::random;
use ::elf::abi::{ET_DYN, ET_EXEC, PF_R, PF_W, PF_X, PT_GNU_STACK, PT_INTERP, PT_LOAD, PT_PHDR};
use ::elf::endian::LittleEndian;
use ::elf::file::{Class, FileHeader, parse_ident};
use ::elf::parse::ParsingTable;
use ::elf::segment::ProgramHeader;
use alloc::vec::Vec;
use libsyscall::abi::Errno;

/// Bytes of an Elf64_Ehdr and an Elf64_Phdr.
const HEADER_LEN: usize = 64;
const PROGRAM_HEADER_LEN: usize = 56;
/// Linux reads no more than 64 KiB of program headers.
const PROGRAM_HEADERS_MAX: usize = 65536 / PROGRAM_HEADER_LEN;
/// Programs that may lie anywhere start at two thirds of user space, as on Linux: far from mmap's area and the stack.
const PROGRAM_BASE: usize = (USER_END / 3 * 2) & !(PAGE_SIZE - 1);
/// How many places they may have from there on, a page apart.
const PROGRAM_PLACES: usize = 1 << 28;

/// What a file is loaded as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Program,
    /// The dynamic loader that the program names.
    Interpreter,
}

/// An ELF file's headers, checked.
pub struct Program {
    header: FileHeader<LittleEndian>,
    segments: Vec<ProgramHeader>,
}

/// A program in an address space.
pub struct Image {
    pub entry: usize,
    /// What was added to the file's addresses.
    pub base: usize,
    /// Where its program headers lie, for the auxiliary vector.
    pub headers: usize,
    pub header_count: usize,
    /// One past its last page.
    pub end: usize,
    pub executable_stack: bool,
}

/// A file whose numbers make no sense is no program.
fn broken<E>(_: E) -> Errno {
    Errno::ENOEXEC
}

impl Program {
    /// Reads and checks the headers: ENOEXEC for what is no program of this machine, or one cut short.
    pub fn read(executable: &Executable) -> Result<Program, Errno> {
        let bytes = executable.read(0, HEADER_LEN)?;
        if bytes.len() < HEADER_LEN {
            return Err(Errno::ENOEXEC);
        }
        let ident = parse_ident::<LittleEndian>(&bytes).map_err(broken)?;
        if ident.1 != Class::ELF64 {
            return Err(Errno::ENOEXEC);
        }
        let header = FileHeader::parse_tail(ident, &bytes[::elf::abi::EI_NIDENT..]).map_err(broken)?;
        let count = header.e_phnum as usize;
        if !matches!(header.e_type, ET_EXEC | ET_DYN)
            || header.e_machine != ELF_MACHINE
            || header.e_phentsize as usize != PROGRAM_HEADER_LEN
            || !(1..=PROGRAM_HEADERS_MAX).contains(&count)
        {
            return Err(Errno::ENOEXEC);
        }
        let table = executable.read(header.e_phoff, count * PROGRAM_HEADER_LEN)?;
        if table.len() < count * PROGRAM_HEADER_LEN {
            return Err(Errno::ENOEXEC);
        }
        let table: ParsingTable<_, ProgramHeader> = ParsingTable::new(LittleEndian, Class::ELF64, &table);
        let program = Program {
            header,
            segments: table.iter().collect(),
        };
        program.check(executable.pages.size())?;
        Ok(program)
    }

    /// Every segment lies in the file and in user space, and they ascend.
    fn check(&self, file_size: u64) -> Result<(), Errno> {
        let mut reached = 0;
        for segment in self.loads() {
            let in_file = segment
                .p_offset
                .checked_add(segment.p_filesz)
                .is_some_and(|end| end <= file_size);
            let end = segment
                .p_vaddr
                .checked_add(segment.p_memsz)
                .filter(|&end| end <= USER_END as u64);
            let aligned = segment.p_vaddr % PAGE_SIZE as u64 == segment.p_offset % PAGE_SIZE as u64;
            let ascends = segment.p_vaddr >= reached;
            let Some(end) = end else { return Err(Errno::ENOEXEC) };
            if !in_file || !aligned || !ascends || segment.p_filesz > segment.p_memsz {
                return Err(Errno::ENOEXEC);
            }
            reached = end;
        }
        if reached == 0 { Err(Errno::ENOEXEC) } else { Ok(()) }
    }

    fn loads(&self) -> impl Iterator<Item = &ProgramHeader> {
        self.segments
            .iter()
            .filter(|segment| segment.p_type == PT_LOAD && segment.p_memsz > 0)
    }

    /// The path of the dynamic loader, for a program that names one.
    pub fn interpreter(&self, executable: &Executable) -> Result<Option<Vec<u8>>, Errno> {
        let Some(segment) = self.segments.iter().find(|segment| segment.p_type == PT_INTERP) else {
            return Ok(None);
        };
        if !(2..=4096).contains(&segment.p_filesz) {
            return Err(Errno::ENOEXEC);
        }
        let mut path = executable.read(segment.p_offset, segment.p_filesz as usize)?;
        if path.len() as u64 != segment.p_filesz || path.pop() != Some(0) {
            return Err(Errno::ENOEXEC);
        }
        Ok(Some(path))
    }

    /// Maps the segments.
    pub fn map(&self, executable: &Executable, space: &AddressSpace, role: Role) -> Result<Image, Errno> {
        let start = self.loads().next().map_or(0, |first| first.p_vaddr as usize) & !(PAGE_SIZE - 1);
        let end = self
            .loads()
            .last()
            .map_or(0, |last| (last.p_vaddr + last.p_memsz) as usize);
        let end = end.next_multiple_of(PAGE_SIZE);
        let base = if self.header.e_type == ET_EXEC {
            0
        } else {
            self.choose_base(space, start, end, role)?
        };
        for segment in self.loads() {
            map_segment(executable, space, segment, base)?;
        }
        Ok(Image {
            entry: base.wrapping_add(self.header.e_entry as usize),
            base,
            headers: base.wrapping_add(self.headers_address()),
            header_count: self.segments.len(),
            end: base + end,
            executable_stack: self
                .segments
                .iter()
                .any(|segment| segment.p_type == PT_GNU_STACK && segment.p_flags & PF_X != 0),
        })
    }

    /// What to add to the addresses of a program that may lie anywhere.
    fn choose_base(&self, space: &AddressSpace, start: usize, end: usize, role: Role) -> Result<usize, Errno> {
        let alignment = self
            .loads()
            .map(|segment| segment.p_align as usize)
            .max()
            .unwrap_or(0)
            .max(PAGE_SIZE);
        if !alignment.is_power_of_two() || alignment > 1 << 30 {
            return Err(Errno::ENOEXEC);
        }
        let room = end - start + alignment;
        let place = match role {
            Role::Program => PROGRAM_BASE + random::place(PROGRAM_PLACES) * PAGE_SIZE,
            Role::Interpreter => 0,
        };
        // Takes the room, to learn where it is; the segments then replace it.
        let nothing = Mapping::new(Protection::empty(), Backing::Anonymous);
        let found = space.map(place, room, nothing, Placement::Anywhere)?;
        space.unmap(found, room)?;
        Ok(found.next_multiple_of(alignment) - start)
    }

    /// The program headers' address in the file's terms.
    fn headers_address(&self) -> usize {
        let offset = self.header.e_phoff;
        let table = self
            .segments
            .iter()
            .find(|segment| segment.p_type == PT_PHDR)
            .map(|segment| segment.p_vaddr);
        let in_segment = || {
            self.loads()
                .find(|segment| (segment.p_offset..segment.p_offset + segment.p_filesz).contains(&offset))
                .map(|segment| offset - segment.p_offset + segment.p_vaddr)
        };
        table.or_else(in_segment).unwrap_or(0) as usize
    }
}

/// Maps one segment: the file's pages, privately, and zeroes behind them.
fn map_segment(
    executable: &Executable,
    space: &AddressSpace,
    segment: &ProgramHeader,
    base: usize,
) -> Result<(), Errno> {
    let mut protection = Protection::empty();
    for (flag, right) in [
        (PF_R, Protection::READ),
        (PF_W, Protection::WRITE),
        (PF_X, Protection::EXEC),
    ] {
        if segment.p_flags & flag != 0 {
            protection |= right;
        }
    }
    // `check` has made sure that none of these wraps; the base leaves room for the last.
    let address = base + segment.p_vaddr as usize;
    let start = address & !(PAGE_SIZE - 1);
    let file_end = address + segment.p_filesz as usize;
    let end = (address + segment.p_memsz as usize).next_multiple_of(PAGE_SIZE);
    let mut zeroes = start;
    if segment.p_filesz > 0 {
        zeroes = file_end.next_multiple_of(PAGE_SIZE);
        let offset = segment.p_offset - (address - start) as u64;
        let backing = Backing::PrivateFile {
            file: executable.pages.clone(),
            offset,
        };
        space.map(
            start,
            zeroes - start,
            Mapping::new(protection, backing),
            Placement::Fixed,
        )?;
        // The file goes on behind the segment's end; what the segment has there is zero.
        if segment.p_memsz > segment.p_filesz && protection.contains(Protection::WRITE) && zeroes > file_end {
            space.write(file_end, &[0; PAGE_SIZE][..zeroes - file_end])?;
        }
    }
    if end > zeroes {
        space.map(
            zeroes,
            end - zeroes,
            Mapping::new(protection, Backing::Anonymous),
            Placement::Fixed,
        )?;
    }
    Ok(())
}
