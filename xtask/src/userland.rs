//! The interactive system: the programs of the `userland` workspace and the few files a shell looks for, as an archive.

use crate::arch::Arch;
use crate::cpio::Archive;
use crate::{build, paths};
use anyhow::{Context, Result};

/// The workspace's programs, in `/bin` there.
const PROGRAMS: [&str; 7] = [
    "brush",
    "tools",
    "mini-redis-server",
    "mini-redis-cli",
    "hello-server",
    "get",
    "init",
];

/// Process 1, which starts the program of its arguments.
pub const INIT: &str = "/bin/init";

/// The shell, and that it is the session's first.
pub fn shell() -> Vec<String> {
    ["/bin/brush", "--login"].map(str::to_string).into()
}

const PROFILE: &str = r"export PATH=/bin
export PS1='\u@\h:\w\$ '
cat /etc/motd
";
const MESSAGE: &str = "\
Vigil, with the brush shell. `ls /bin` shows what there is, `exit` ends the machine.
Control-A x ends it at once, control-A d shows who waits for what.
";

/// Everything under its path in the machine. Builds the programs where that has not been done.
pub fn archive(arch: Arch) -> Result<Vec<u8>> {
    let folder = build::userland(arch)?;
    let mut archive = Archive::default();
    archive.directory("bin", 0o755);
    for program in PROGRAMS {
        let path = folder.join(program);
        let contents = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        archive.file(&format!("bin/{program}"), 0o755, &contents);
    }
    for shell in ["sh", "bash"] {
        archive.symbolic_link(&format!("bin/{shell}"), "brush");
    }
    for tool in tools()?.iter().map(String::as_str).chain(["["]) {
        archive.symbolic_link(&format!("bin/{tool}"), "tools");
    }
    // Scripts begin with #!/usr/bin/env.
    archive.directory("usr", 0o755);
    archive.symbolic_link("usr/bin", "../bin");
    archive.directory("etc", 0o755);
    archive.file("etc/profile", 0o644, PROFILE.as_bytes());
    archive.file("etc/motd", 0o644, MESSAGE.as_bytes());
    Ok(archive.finish())
}

/// The names `tools` goes by: its dependencies are one crate for each.
fn tools() -> Result<Vec<String>> {
    let manifest = paths::repository().join("userland/tools/Cargo.toml");
    let text = std::fs::read_to_string(&manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
    Ok(text
        .lines()
        .filter_map(|line| line.strip_prefix("uu_")?.split_whitespace().next())
        .map(str::to_string)
        .collect())
}
