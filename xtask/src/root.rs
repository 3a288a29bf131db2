//! The file system a machine boots into: a small root, the program, and how to start it.

use crate::cpio::Archive;

/// What the first process runs.
#[derive(Default)]
pub struct Start<'a> {
    /// The program's path, which is its first argument too; a relative one starts from `directory`.
    pub path: &'a str,
    /// What is there; nothing where it is among the `files`.
    pub contents: &'a [u8],
    /// Those behind the first.
    pub arguments: &'a [String],
    /// `NAME=VALUE` each.
    pub environment: &'a [String],
    /// Where it starts; the root when empty.
    pub directory: &'a str,
    /// Whether it is an init, and process 1.
    pub is_init: bool,
    /// An archive of further files.
    pub files: &'a [u8],
}

const HOSTS: &[u8] = b"127.0.0.1 localhost\n::1 localhost\n";
/// QEMU's own name server, which a program reaches when there is a network card.
const RESOLV_CONF: &[u8] = b"nameserver 10.0.2.3\n";
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
    archive.file("etc/resolv.conf", 0o644, RESOLV_CONF);
    archive.file("etc/passwd", 0o644, PASSWD);
    archive.file("etc/group", 0o644, GROUP);
    archive
}

/// The archive that boots into `start`.
pub fn archive(start: &Start) -> Vec<u8> {
    let directory = if start.directory.is_empty() {
        "/"
    } else {
        start.directory
    };
    let mut archive = bare_root();
    archive.directory(directory, 0o755);
    let program = match start.path.starts_with('/') {
        true => start.path.to_string(),
        false => format!("{directory}/{}", start.path),
    };
    if !start.contents.is_empty() {
        archive.file(&program, 0o755, start.contents);
    }
    let arguments = [start.path]
        .into_iter()
        .chain(start.arguments.iter().map(String::as_str));
    archive.file(".vigil/argv", 0o644, &strings(arguments));
    archive.file(
        ".vigil/env",
        0o644,
        &strings(start.environment.iter().map(String::as_str)),
    );
    if start.is_init {
        archive.file(".vigil/init", 0o644, b"");
    }
    archive.file(".vigil/cwd", 0o644, &strings([directory]));
    let mut bytes = archive.finish();
    bytes.extend_from_slice(start.files);
    bytes
}

/// The archive for the in-kernel tests, which start no program.
pub fn without_program() -> Vec<u8> {
    bare_root().finish()
}

fn strings<'a>(strings: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for string in strings {
        bytes.extend_from_slice(string.as_bytes());
        bytes.push(0);
    }
    bytes
}
