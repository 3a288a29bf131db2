//! The calls that led to a crash: from the registers and the stack that the kernel prints and the program's own file, by its
//! unwind tables (`.eh_frame`), with names and lines as far as the file has them.

use crate::cpio;
use crate::symbols::Symbols;
use addr2line::Context as Lines;
use elf::ElfBytes;
use elf::abi::PT_LOAD;
use elf::endian::LittleEndian;
use gimli::{BaseAddresses, CfaRule, EhFrame, EndianSlice, Register, RegisterRule, UnwindContext, UnwindSection};
use std::collections::HashMap;
use std::ops::Range;

type Bytes<'a> = EndianSlice<'a, gimli::LittleEndian>;

/// Frames that are shown at most.
const FRAMES: usize = 64;

/// What calls `main`, in Rust's library and in C's: from here on out no program differs from another.
const BEFORE_MAIN: [&str; 2] = ["__rust_begin_short_backtrace", "__libc_start_call_main"];

/// What the kernel prints of a program that dies.
#[derive(Default)]
pub struct Crash {
    /// In the order of DWARF's numbers, the instruction's address last.
    registers: Vec<u64>,
    code: Vec<Code>,
    stack_start: u64,
    stack: Vec<u8>,
}

/// A mapping of a file's code.
struct Code {
    range: Range<u64>,
    offset: u64,
    path: String,
}

impl Crash {
    /// Takes a line behind `crash `; `None` when it can't be one.
    pub fn take(&mut self, line: &str) -> Option<()> {
        let (kind, rest) = line.split_once(' ')?;
        match kind {
            "registers" => {
                let registers = rest.split(' ').map(hexadecimal);
                self.registers = registers.collect::<Option<_>>()?;
            }
            // START-END RIGHTS OFFSET DEVICE INODE, and a path with spaces before it.
            "code" => {
                let mut words = rest.splitn(6, ' ');
                let (start, end) = words.next()?.split_once('-')?;
                let offset = words.nth(1)?;
                self.code.push(Code {
                    range: hexadecimal(start)?..hexadecimal(end)?,
                    offset: hexadecimal(offset)?,
                    path: words.nth(2)?.trim().to_string(),
                });
            }
            "stack" => {
                let (at, digits) = rest.split_once(' ')?;
                if self.stack.is_empty() {
                    self.stack_start = hexadecimal(at)?;
                }
                for pair in digits.as_bytes().chunks(2) {
                    self.stack.push(hexadecimal(std::str::from_utf8(pair).ok()?)? as u8);
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// The calls, innermost first, a numbered line each with another one for the place in the source; `archive` has the
    /// files.
    pub fn backtrace(&self, archive: &[u8]) -> String {
        let mut text = String::new();
        let mut depth = 0;
        self.each_call(archive, |ip, call| {
            text.push_str(&format!("  {depth:2}: {ip:#018x} {}\n", call.name));
            if let Some(place) = call.place {
                text.push_str(&format!("             at {place}\n"));
            }
            depth += 1;
            depth < FRAMES
        });
        text
    }

    /// Shows calls until `show` wants no more.
    fn each_call(&self, archive: &[u8], mut show: impl FnMut(u64, Call) -> bool) {
        let mut files = HashMap::new();
        let Some((&ip, registers)) = self.registers.split_last() else {
            return;
        };
        let mut frame = Frame {
            ip,
            registers: registers.to_vec(),
        };
        // The address behind a call may be in the next function.
        let mut back = 0;
        loop {
            let at = frame.ip - back;
            let code = self.code.iter().find(|code| code.range.contains(&at));
            let file = code.and_then(|code| {
                let file = files
                    .entry(&code.path)
                    .or_insert_with(|| File::read(cpio::find(archive, &code.path)?));
                let file = file.as_ref()?;
                Some((file, file.linked(at - code.range.start + code.offset)?))
            });
            let Some((file, linked)) = file else {
                show(frame.ip, Call::unknown());
                return;
            };
            for call in file.calls(linked) {
                if BEFORE_MAIN.iter().any(|end| call.name.contains(end)) || !show(frame.ip, call) {
                    return;
                }
            }
            match file.caller(&frame, linked, |address| self.word(address)) {
                Some(caller) if caller.ip != 0 => frame = caller,
                _ => return,
            }
            back = 1;
        }
    }

    /// What lies on the stack.
    fn word(&self, address: u64) -> Option<u64> {
        let at = usize::try_from(address.checked_sub(self.stack_start)?).ok()?;
        let bytes = self.stack.get(at..at.checked_add(8)?)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }
}

fn hexadecimal(digits: &str) -> Option<u64> {
    u64::from_str_radix(digits, 16).ok()
}

/// A function that has not returned.
struct Call {
    name: String,
    /// The line that it is at.
    place: Option<String>,
}

impl Call {
    fn unknown() -> Call {
        Call {
            name: "(unknown)".to_string(),
            place: None,
        }
    }
}

struct Frame {
    ip: u64,
    registers: Vec<u64>,
}

impl Frame {
    fn get(&self, register: Register) -> Option<u64> {
        self.registers.get(usize::from(register.0)).copied()
    }

    /// Where DWARF has the stack pointer and the return address: 7 and 16 on x86_64, 31 and 30 on aarch64.
    fn special(&self) -> (Register, Register) {
        match self.registers.len() {
            16 => (gimli::X86_64::RSP, gimli::X86_64::RA),
            _ => (gimli::AArch64::SP, gimli::AArch64::X30),
        }
    }
}

/// A program's file.
struct File<'a> {
    elf: ElfBytes<'a, LittleEndian>,
    unwind: Option<(EhFrame<Bytes<'a>>, BaseAddresses)>,
    lines: Option<Lines<Bytes<'a>>>,
    symbols: Symbols,
}

impl<'a> File<'a> {
    fn read(bytes: &'a [u8]) -> Option<File<'a>> {
        let elf = ElfBytes::<LittleEndian>::minimal_parse(bytes).ok()?;
        let section = |name: &str| {
            let header = elf.section_header_by_name(name).ok()??;
            match elf.section_data(&header).ok()? {
                (data, None) => Some((data, header.sh_addr)),
                // Compressed, which no compiler does by itself.
                _ => None,
            }
        };
        let unwind = section(".eh_frame").map(|(data, address)| {
            let mut table = EhFrame::new(data, gimli::LittleEndian);
            table.set_address_size(8);
            let text = section(".text").map_or(0, |(_, address)| address);
            (table, BaseAddresses::default().set_eh_frame(address).set_text(text))
        });
        let dwarf = gimli::Dwarf::load(|id| {
            let data = section(id.name()).map_or(&[][..], |(data, _)| data);
            Ok::<_, gimli::Error>(EndianSlice::new(data, gimli::LittleEndian))
        });
        let lines = dwarf.and_then(Lines::from_dwarf).ok();
        let mut symbols = Symbols::default();
        // A stripped file has none, and the addresses still help.
        let _ = symbols.add_bytes(bytes, "", None);
        Some(File {
            elf,
            unwind,
            lines,
            symbols,
        })
    }

    /// The address that the byte at `offset` was linked to.
    fn linked(&self, offset: u64) -> Option<u64> {
        let mut loaded = self.elf.segments()?.iter().filter(|segment| segment.p_type == PT_LOAD);
        let segment =
            loaded.find(|segment| (segment.p_offset..segment.p_offset + segment.p_filesz).contains(&offset))?;
        Some(offset - segment.p_offset + segment.p_vaddr)
    }

    /// The functions that an address is in, those inlined there first.
    fn calls(&self, linked: u64) -> Vec<Call> {
        let from_symbols = || Call {
            name: self.symbols.name(linked).to_string(),
            place: None,
        };
        self.calls_with_lines(linked)
            .filter(|calls| !calls.is_empty())
            .unwrap_or_else(|| vec![from_symbols()])
    }

    fn calls_with_lines(&self, linked: u64) -> Option<Vec<Call>> {
        let mut frames = self.lines.as_ref()?.find_frames(linked).skip_all_loads().ok()?;
        let mut calls = Vec::new();
        while let Some(frame) = frames.next().ok()? {
            calls.push(Call {
                name: frame.function.as_ref()?.demangle().ok()?.into_owned(),
                place: frame
                    .location
                    .and_then(|place| Some(format!("{}:{}", place.file?, place.line?))),
            });
        }
        Some(calls)
    }

    /// The frame that called `frame`; `None` where that can't be told. `word` reads the stack.
    fn caller(&self, frame: &Frame, linked: u64, word: impl Fn(u64) -> Option<u64>) -> Option<Frame> {
        let (table, bases) = self.unwind.as_ref()?;
        let mut context = UnwindContext::new();
        let row = table
            .unwind_info_for_address(bases, &mut context, linked, EhFrame::cie_from_offset)
            .ok()?;
        let (stack_pointer, return_address) = frame.special();
        let top = match row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => frame.get(*register)?.wrapping_add_signed(*offset),
            CfaRule::Expression(_) => return None,
        };
        let value = |register: Register| match row.register(register) {
            None | Some(RegisterRule::SameValue) => frame.get(register),
            Some(RegisterRule::Offset(offset)) => word(top.wrapping_add_signed(offset)),
            Some(RegisterRule::ValOffset(offset)) => Some(top.wrapping_add_signed(offset)),
            Some(RegisterRule::Register(other)) => frame.get(other),
            Some(RegisterRule::Constant(value)) => Some(value),
            _ => None,
        };
        let ip = value(return_address)?;
        let mut registers: Vec<u64> = (0..frame.registers.len() as u16)
            .map(|number| value(Register(number)).unwrap_or(0))
            .collect();
        registers[usize::from(stack_pointer.0)] = top;
        Some(Frame { ip, registers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_prints_is_taken() {
        let mut crash = Crash::default();
        for line in [
            "registers 1 2 f",
            "code 400000-401000 r-xp 00001000 00:01 15      /bin/a b",
            "stack 7ff0 0100000000000000",
            "stack 7ff8 0200000000000000",
        ] {
            assert_eq!(crash.take(line), Some(()), "{line}");
        }
        assert_eq!(crash.registers, [1, 2, 15]);
        assert_eq!(crash.code[0].path, "/bin/a b");
        assert_eq!((crash.code[0].range.start, crash.code[0].offset), (0x40_0000, 0x1000));
        assert_eq!(
            [0x7fe8, 0x7ff0, 0x7ff8, 0x7ff9].map(|at| crash.word(at)),
            [None, Some(1), Some(2), None]
        );
    }

    #[test]
    fn what_is_cut_off_does_no_harm() {
        let mut crash = Crash::default();
        for line in [
            "",
            "registers",
            "registers x",
            "code 1-2",
            "code 1 r-xp 0 0 0 /a",
            "stack 1",
            "stack 1 zz",
        ] {
            assert_eq!(crash.take(line), None, "{line}");
        }
        assert_eq!(crash.backtrace(&[]), "");
    }

    #[test]
    fn code_of_no_file_is_unknown() {
        let mut crash = Crash::default();
        crash.take("registers 0 10");
        assert_eq!(crash.backtrace(&[]), "   0: 0x0000000000000010 (unknown)\n");
    }
}
