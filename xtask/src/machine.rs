//! The virtual machines as QEMU command lines.

use crate::arch::Arch;
use crate::build::Built;
use crate::limine::{Content, Release};
use crate::network::Network;
use crate::setup;
use anyhow::Result;
use clap::ValueEnum;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The x86_64 boards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Board {
    Q35,
    Microvm,
}

/// How the guest's time passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// With the computer's, each CPU in a thread of its own.
    Free,
    /// A nanosecond is one instruction of the only CPU: whatever is measured comes out the same in every run.
    Counted,
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
    pub pace: Pace,
    /// Features of the x86_64 CPU to switch on or off, as QEMU takes them behind the model.
    pub cpu_features: &'static str,
    pub door: Door,
    /// Where QEMU listens for gdb; then the machine waits for it to say `continue`.
    pub debugger: Option<PathBuf>,
    pub network: Option<Network>,
}

/// How the kernel gets into the machine.
#[derive(Clone, Debug)]
pub enum Door {
    /// By QEMU itself.
    Direct,
    /// By firmware and Limine.
    Limine(Release, Firmware),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// From an ISO image.
    Bios,
    /// From a disk with an EFI system partition.
    Uefi,
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
            pace: Pace::Free,
            cpu_features: "",
            door: Door::Direct,
            debugger: None,
            network: None,
        }
    }

    /// QEMU with this machine and its console on standard input and output, without anything to boot.
    pub fn qemu(&self) -> Command {
        let mut qemu = Command::new(self.arch.qemu());
        match self.arch {
            Arch::X86_64 => {
                let board = match self.board {
                    Board::Q35 => "q35",
                    // With the second interrupt controller, devices would be on its lines.
                    Board::Microvm => "microvm,ioapic2=off",
                };
                qemu.args(["-machine", board, "-cpu"]);
                qemu.arg(format!("max{}", self.cpu_features));
                qemu.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]);
            }
            Arch::Aarch64 => {
                let virtualization = if self.el2 { ",virtualization=on" } else { "" };
                // With ACPI, the firmware would keep the device tree to itself.
                let acpi = if matches!(self.door, Door::Limine(..)) {
                    ",acpi=off"
                } else {
                    ""
                };
                qemu.arg("-machine")
                    .arg(format!("virt,gic-version={}{virtualization}{acpi}", self.gic));
                qemu.args(["-cpu", "cortex-a76", "-semihosting"]);
            }
        }
        if let Some(socket) = &self.debugger {
            let server = format!("unix:{},server=on,wait=off", socket.display());
            qemu.args(["-gdb", &server, "-S"]);
            // Control-C on the terminal is for gdb.
            qemu.process_group(0);
        }
        match self.pace {
            Pace::Free => qemu.args(["-accel", "tcg,thread=multi"]),
            Pace::Counted => qemu.args([
                "-accel",
                "tcg,thread=single",
                "-icount",
                "shift=0,sleep=off",
                "-rtc",
                "base=2025-01-01T00:00:00,clock=vm",
                "-seed",
                "42",
            ]),
        };
        qemu.args(["-display", "none", "-monitor", "none", "-no-reboot", "-nic", "none"]);
        // `signal=off`: an interrupt character typed on the terminal is the guest's.
        qemu.args(["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]);
        if let Some(network) = &self.network {
            network.add_to(&mut qemu, self);
        }
        qemu.arg("-smp").arg(self.cpus.to_string()).arg("-m").arg(&self.memory);
        qemu
    }

    /// QEMU that boots `kernel` with the root archive and the kernel parameters. Media lie beside the archive.
    pub fn boot(&self, kernel: &Built, root: &Path, parameters: &str) -> Result<Command> {
        let with_network = format!("{parameters} {}", Network::parameters(self));
        let parameters = if self.network.is_some() {
            &with_network
        } else {
            parameters
        };
        let mut qemu = self.qemu();
        match &self.door {
            Door::Direct => return Ok(self.direct(&kernel.boot_file, root, parameters)),
            Door::Limine(release, firmware) => {
                let content = Content {
                    arch: self.arch,
                    release,
                    kernel: &kernel.elf,
                    root,
                    parameters,
                };
                self.add_medium(&mut qemu, &content, *firmware)?;
            }
        }
        Ok(qemu)
    }

    /// QEMU that boots an image by itself, whatever the door.
    pub fn direct(&self, image: &Path, root: &Path, parameters: &str) -> Command {
        let mut qemu = self.qemu();
        qemu.arg("-kernel").arg(image).arg("-initrd").arg(root);
        qemu.arg("-append").arg(parameters);
        qemu
    }

    fn add_medium(&self, qemu: &mut Command, content: &Content, firmware: Firmware) -> Result<()> {
        let medium = medium(content.root, firmware);
        match firmware {
            Firmware::Bios => {
                content.write_iso(&medium)?;
                qemu.arg("-cdrom").arg(medium).args(["-boot", "d"]);
            }
            Firmware::Uefi => {
                content.write_disk(&medium)?;
                qemu.arg("-bios").arg(setup::for_firmware(self.arch)?);
                let drive = format!("if=none,id=disk,format=raw,file={}", medium.display());
                qemu.args(["-drive", &drive, "-device", "virtio-blk-pci,drive=disk"]);
            }
        }
        Ok(())
    }

    /// Removes the files of a boot. A leftover costs some disk space only, and hides no result.
    pub fn clean(&self, root: &Path) {
        if let Door::Limine(_, firmware) = self.door {
            let _ = std::fs::remove_file(medium(root, firmware));
        }
        let _ = std::fs::remove_file(root);
    }
}

/// The medium that carries a root archive.
fn medium(root: &Path, firmware: Firmware) -> PathBuf {
    root.with_extension(match firmware {
        Firmware::Bios => "iso",
        Firmware::Uefi => "img",
    })
}
