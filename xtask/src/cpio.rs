//! Writes the "newc" cpio format, of which an initramfs is made.

use std::time::{SystemTime, UNIX_EPOCH};

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
const KIND: u32 = 0o170_000;

/// An archive being written.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// A directory. Parents come first.
    pub fn directory(&mut self, path: &str, permissions: u32) {
        self.entry(path, DIRECTORY | permissions, now(), &[]);
    }

    /// A file made for the archive.
    pub fn file(&mut self, path: &str, permissions: u32, contents: &[u8]) {
        self.file_of(path, permissions, now(), contents);
    }

    /// A file that was modified at a time, in seconds since 1970.
    pub fn file_of(&mut self, path: &str, permissions: u32, modified_s: u32, contents: &[u8]) {
        self.entry(path, REGULAR | permissions, modified_s, contents);
    }

    pub fn symbolic_link(&mut self, path: &str, target: &str) {
        self.entry(path, LINK | 0o777, now(), target.as_bytes());
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The whole archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, 0, &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, modified_s: u32, contents: &[u8]) {
        self.entries += 1;
        let name = path.trim_start_matches('/');
        let links = if mode & DIRECTORY != 0 { 2 } else { 1 };
        // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
        let fields = [
            self.entries,
            mode,
            0,
            0,
            links,
            modified_s,
            contents.len() as u32,
            0,
            0,
            0,
            0,
            name.len() as u32 + 1,
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(contents);
        self.pad();
    }

    /// Names and contents end on a multiple of four.
    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// A time as the format has it: seconds since 1970 in 32 bits.
pub fn seconds(time: SystemTime) -> u32 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}

fn now() -> u32 {
    seconds(SystemTime::now())
}

/// The contents of the last regular file called `path` in archives that follow one another.
pub fn find<'a>(mut archives: &'a [u8], path: &str) -> Option<&'a [u8]> {
    const HEADER: usize = 110;
    let wanted = path.trim_start_matches('/');
    let mut found = None;
    while archives.starts_with(b"070701") {
        let field = |number: usize| {
            let digits = archives.get(6 + 8 * number..14 + 8 * number)?;
            usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
        };
        let (mode, size, name_len) = (field(1)?, field(6)?, field(11)?);
        let contents_at = (HEADER + name_len).next_multiple_of(4);
        let name = archives.get(HEADER..HEADER + name_len - 1)?;
        if name == wanted.as_bytes() && mode as u32 & KIND == REGULAR {
            found = archives.get(contents_at..contents_at + size);
        }
        archives = archives.get((contents_at + size).next_multiple_of(4)..)?;
        // Archives may have zeroes between them.
        let zeroes = archives.iter().take_while(|&&byte| byte == 0).count();
        archives = &archives[zeroes..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file() {
        let mut archive = Archive::default();
        archive.file("/a", 0o644, b"hello");
        let bytes = archive.finish();
        assert!(bytes.starts_with(b"07070100000001000081a4"));
        // Header and name are 112 bytes, the contents 8 with their padding, the trailer 124.
        assert_eq!(&bytes[110..120], b"a\0hello\0\0\0");
        assert_eq!(bytes.len(), 112 + 8 + 124);
        assert_eq!(&bytes[120..126], b"070701");
    }

    #[test]
    fn files_are_found_again() {
        let archive = |contents: &[u8]| {
            let mut archive = Archive::default();
            archive.directory("/bin", 0o755);
            archive.file("/bin/a", 0o755, contents);
            archive.symbolic_link("/bin/b", "a");
            archive.finish()
        };
        let archives = [archive(b"old").as_slice(), &[0; 8], &archive(b"newer")].concat();
        assert_eq!(find(&archives, "/bin/a"), Some(b"newer".as_slice()));
        assert_eq!(find(&archives, "bin/a"), Some(b"newer".as_slice()));
        assert_eq!(find(&archives, "/bin/b"), None);
        assert_eq!(find(&archives[..200], "/bin/c"), None);
        assert_eq!(find(b"", "/bin/a"), None);
    }

    #[test]
    fn everything_is_aligned() {
        for length in 0..9 {
            let mut archive = Archive::default();
            archive.directory("/directory", 0o755);
            archive.file("/directory/file", 0o755, &vec![b'x'; length]);
            assert_eq!(archive.finish().len() % 4, 0);
        }
    }
}
