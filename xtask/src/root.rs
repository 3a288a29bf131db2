//! The file system a machine boots into: a small root, the program, and how to start it.

use crate::cpio::Archive;

/// What the first process runs.
pub struct Start<'a> {
    /// The program's file name; it lies in `/bin`.
    pub name: &'a str,
    pub contents: &'a [u8],
    pub arguments: &'a [String],
    /// `NAME=VALUE` each.
    pub environment: &'a [String],
}

const HOSTS: &[u8] = b"127.0.0.1 localhost\n::1 localhost\n";
const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n";
const GROUP: &[u8] = b"root:x:0:\nnogroup:x:65534:\n";

/// A root without a program.
fn bare_root() -> Archive {
    let mut archive = Archive::default();
    for folder in ["bin", "dev", "etc", "proc", "root", "run", "var", ".vigil"] {
        archive.directory(folder, 0o755);
    }
    archive.directory("tmp", 0o1777);
    archive.file("etc/hosts", 0o644, HOSTS);
    archive.file("etc/passwd", 0o644, PASSWD);
    archive.file("etc/group", 0o644, GROUP);
    archive
}

/// The archive that boots into `start`.
pub fn archive(start: &Start) -> Vec<u8> {
    let path = format!("/bin/{}", start.name);
    let mut archive = bare_root();
    archive.file(&path, 0o755, start.contents);
    let arguments = [&path].into_iter().chain(start.arguments);
    archive.file(".vigil/argv", 0o644, &strings(arguments));
    archive.file(".vigil/env", 0o644, &strings(start.environment));
    archive.finish()
}

/// The archive for the in-kernel tests, which start no program.
pub fn without_program() -> Vec<u8> {
    bare_root().finish()
}

fn strings<'a>(strings: impl IntoIterator<Item = &'a String>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for string in strings {
        bytes.extend_from_slice(string.as_bytes());
        bytes.push(0);
    }
    bytes
}
