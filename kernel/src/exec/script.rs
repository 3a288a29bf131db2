//! `#!` lines: execve(2), "Interpreter scripts".

use alloc::vec::Vec;
use libsyscall::abi::Errno;

/// What a `#!` line names.
pub struct Line {
    pub interpreter: Vec<u8>,
    /// Everything behind the interpreter's path, as one argument.
    pub argument: Option<Vec<u8>>,
}

/// The `#!` line of a file that starts with `head`; `None` where it has none. ENOEXEC for one that names no interpreter or
/// does not fit.
pub fn parse(head: &[u8]) -> Result<Option<Line>, Errno> {
    let Some(line) = head.strip_prefix(b"#!") else {
        return Ok(None);
    };
    let end = line.iter().position(|&byte| byte == b'\n');
    let cut = end.is_none() && head.len() == 256;
    let line = line[..end.unwrap_or(line.len())].trim_ascii();
    let split = line.iter().position(|&byte| byte == b' ' || byte == b'\t' || byte == 0);
    if line.is_empty() || cut && split.is_none() {
        return Err(Errno::ENOEXEC);
    }
    let (interpreter, rest) = line.split_at(split.unwrap_or(line.len()));
    let argument = rest.trim_ascii();
    Ok(Some(Line {
        interpreter: interpreter.to_vec(),
        argument: (!argument.is_empty()).then(|| argument.to_vec()),
    }))
}

/// argv of the interpreter: itself, the line's argument, the script in the place of the old argv[0], the rest.
pub fn prepend(arguments: &mut Vec<Vec<u8>>, argument: Option<Vec<u8>>, interpreter: &[u8], script: Vec<u8>) {
    arguments[0] = script;
    if let Some(argument) = argument {
        arguments.insert(0, argument);
    }
    arguments.insert(0, interpreter.to_vec());
}
