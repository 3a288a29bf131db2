//! The virtual machines as QEMU command lines.

use crate::arch::Arch;
use clap::ValueEnum;
use std::path::Path;
use std::process::Command;

/// The x86_64 boards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Board {
    Q35,
    Microvm,
}

/// A machine to boot.
#[derive(Clone, Debug)]
pub struct Machine {
    pub arch: Arch,
    pub cpus: u32,
    /// As QEMU takes it: `512M`, `2G`.
    pub memory: String,
    pub board: Board,
    /// The aarch64 interrupt controller's version.
    pub gic: u8,
    /// Enter the aarch64 kernel at EL2.
    pub el2: bool,
}

impl Machine {
    pub fn new(arch: Arch, cpus: u32) -> Machine {
        Machine {
            arch,
            cpus,
            memory: "512M".to_string(),
            board: Board::Q35,
            gic: 3,
            el2: false,
        }
    }

    /// QEMU with this machine and its console on standard input and output, without anything to boot.
    pub fn qemu(&self) -> Command {
        let mut qemu = Command::new(self.arch.qemu());
        match self.arch {
            Arch::X86_64 => {
                let board = match self.board {
                    Board::Q35 => "q35",
                    Board::Microvm => "microvm",
                };
                qemu.args(["-machine", board, "-cpu", "max"]);
                qemu.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]);
            }
            Arch::Aarch64 => {
                let virtualization = if self.el2 { ",virtualization=on" } else { "" };
                qemu.arg("-machine")
                    .arg(format!("virt,gic-version={}{virtualization}", self.gic));
                qemu.args(["-cpu", "cortex-a76", "-semihosting"]);
            }
        }
        qemu.args([
            "-accel",
            "tcg,thread=multi",
            "-display",
            "none",
            "-monitor",
            "none",
            "-no-reboot",
            "-nic",
            "none",
        ]);
        // `signal=off`: an interrupt character typed on the terminal is the guest's.
        qemu.args(["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]);
        qemu.arg("-smp").arg(self.cpus.to_string()).arg("-m").arg(&self.memory);
        qemu
    }

    /// QEMU that boots `kernel` directly with the root archive and the kernel parameters.
    pub fn direct(&self, kernel: &Path, root: &Path, parameters: &str) -> Command {
        let mut qemu = self.qemu();
        qemu.arg("-kernel")
            .arg(kernel)
            .arg("-initrd")
            .arg(root)
            .arg("-append")
            .arg(parameters);
        qemu
    }
}
