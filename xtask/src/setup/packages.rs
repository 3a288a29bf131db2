//! Programs of the distribution: looked for by what they bring, installed by apt-get where there is one and the right to.

use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::{Command, Stdio};

/// A Debian package, and how to tell that its content is there, however it came.
pub struct Package {
    name: &'static str,
    brings: Brings,
}

enum Brings {
    /// A program in `PATH`.
    Program(&'static str),
    File(&'static str),
}

pub const QEMU_X86: Package = Package {
    name: "qemu-system-x86",
    brings: Brings::Program("qemu-system-x86_64"),
};
pub const QEMU_ARM: Package = Package {
    name: "qemu-system-arm",
    brings: Brings::Program("qemu-system-aarch64"),
};
pub const CROSS_GCC: Package = Package {
    name: "gcc-aarch64-linux-gnu",
    brings: Brings::Program("aarch64-linux-gnu-gcc"),
};
pub const CROSS_LIBC: Package = Package {
    name: "libc6-dev-arm64-cross",
    brings: Brings::File("/usr/aarch64-linux-gnu/lib/libc.a"),
};

pub const OVMF_FILE: &str = "/usr/share/ovmf/OVMF.fd";
pub const OVMF: Package = Package {
    name: "ovmf",
    brings: Brings::File(OVMF_FILE),
};
pub const AAVMF_FILE: &str = "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd";
pub const AAVMF: Package = Package {
    name: "qemu-efi-aarch64",
    brings: Brings::File(AAVMF_FILE),
};
pub const GDB: Package = Package {
    name: "gdb-multiarch",
    brings: Brings::Program(GDB_PROGRAM),
};
pub const GDB_PROGRAM: &str = "gdb-multiarch";
pub const XORRISO: Package = Package {
    name: "xorriso",
    brings: Brings::Program("xorriso"),
};

pub const CXX: Package = Package {
    name: "g++",
    brings: Brings::Program("g++"),
};
pub const CROSS_CXX: Package = Package {
    name: "g++-aarch64-linux-gnu",
    brings: Brings::Program("aarch64-linux-gnu-g++"),
};
pub const BOOST: Package = Package {
    name: "libboost-dev",
    brings: Brings::File("/usr/include/boost/asio.hpp"),
};

impl Package {
    fn is_there(&self) -> bool {
        match self.brings {
            Brings::Program(program) => in_path(program),
            Brings::File(file) => Path::new(file).exists(),
        }
    }
}

/// Whether `PATH` has a program.
pub fn in_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// Installs those of `packages` that are missing, or says what to install.
pub fn need(packages: &[Package]) -> Result<()> {
    let missing: Vec<&str> = packages
        .iter()
        .filter(|package| !package.is_there())
        .map(|package| package.name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    let Some(apt_get) = apt_get() else {
        bail!("please install these Debian packages, or what your system calls them: {list}");
    };
    eprintln!("installing {list}");
    let advice = || format!("please install these Debian packages: {list}");
    // The machine's lists may be old or absent; an old list may still do, so only the installation's end decides.
    let _ = run(&apt_get, &["update", "-qq"]);
    let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
    arguments.extend(&missing);
    run(&apt_get, &arguments).with_context(advice)?;
    if packages.iter().any(|package| !package.is_there()) {
        bail!("{} (apt-get did, and something is still missing)", advice());
    }
    Ok(())
}

/// apt-get as root, by sudo without a password for others; `None` without either.
fn apt_get() -> Option<Vec<&'static str>> {
    if !in_path("apt-get") {
        None
    } else if rustix::process::geteuid().is_root() {
        Some(vec!["apt-get"])
    } else if run(&["sudo"], &["-n", "true"]).is_ok() {
        Some(vec!["sudo", "-n", "apt-get"])
    } else {
        None
    }
}

/// Runs a command quietly; its complaint is the error.
pub fn run(program: &[&str], arguments: &[&str]) -> Result<String> {
    let (first, rest) = program.split_first().context("no program")?;
    let output = Command::new(first)
        .args(rest)
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {first}"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{first} failed: {}",
            complaint.lines().last().unwrap_or("without a word")
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
