//! Addresses to the names of functions.

use anyhow::{Context, Result, ensure};
use elf::ElfBytes;
use elf::abi::{STT_FUNC, STT_NOTYPE};
use elf::endian::LittleEndian;
use std::path::Path;

struct Symbol {
    start: u64,
    /// Past the last byte; assembler's symbols have no size, and end where the next one starts.
    end: Option<u64>,
    name: String,
}

#[derive(Default)]
pub struct Symbols {
    /// By address.
    sorted: Vec<Symbol>,
}

impl Symbols {
    /// Adds a file's functions with `prefix` to their names; `place` says where one of them is when the file was not
    /// loaded at the addresses it was linked to.
    pub fn add(&mut self, file: &Path, prefix: &str, place: Option<(&str, u64)>) -> Result<()> {
        let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        self.add_bytes(&bytes, prefix, place)
            .with_context(|| format!("the symbols of {}", file.display()))
    }

    /// The same for a file's contents.
    pub fn add_bytes(&mut self, bytes: &[u8], prefix: &str, place: Option<(&str, u64)>) -> Result<()> {
        let elf = ElfBytes::<LittleEndian>::minimal_parse(bytes)?;
        let (table, strings) = elf.symbol_table()?.context("there are none")?;
        let mut added = Vec::new();
        for symbol in table {
            if symbol.st_shndx == 0 || ![STT_FUNC, STT_NOTYPE].contains(&symbol.st_symtype()) {
                continue;
            }
            let name = strings.get(symbol.st_name as usize)?;
            // `$x` and its like mark code and data in aarch64's files.
            if name.is_empty() || name.starts_with('$') {
                continue;
            }
            added.push(Symbol {
                start: symbol.st_value,
                end: (symbol.st_size > 0).then_some(symbol.st_value + symbol.st_size),
                name: format!("{:#}", rustc_demangle::demangle(name)),
            });
        }
        let distance = match place {
            None => 0,
            Some((name, loaded)) => {
                let linked = added.iter().find(|symbol| symbol.name == name);
                let linked = linked.with_context(|| format!("{name} is not there"))?;
                loaded.wrapping_sub(linked.start)
            }
        };
        ensure!(distance % 4096 == 0, "it is not the file that runs");
        for symbol in &mut added {
            symbol.start = symbol.start.wrapping_add(distance);
            symbol.end = symbol.end.map(|end| end.wrapping_add(distance));
            symbol.name.insert_str(0, prefix);
        }
        self.sorted.extend(added);
        // Of several at one address the one with a size is the function, and comes last.
        self.sorted.sort_by_key(|symbol| (symbol.start, symbol.end));
        Ok(())
    }

    pub fn name(&self, address: u64) -> &str {
        let behind = self.sorted.partition_point(|symbol| symbol.start <= address);
        let found = self.sorted[..behind].last();
        match found.filter(|symbol| symbol.end.is_none_or(|end| address < end)) {
            Some(symbol) => &symbol.name,
            None => "(unknown)",
        }
    }
}
