//! The machine's network card, and the ports of this computer that lead to the guest.

use crate::arch::Arch;
use crate::machine::{Board, Machine};
use anyhow::{Context, Result};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::Command;
use std::str::FromStr;

/// A network card on QEMU's user network: the guest is 10.0.2.15 there, and this computer 10.0.2.2.
#[derive(Clone, Debug, Default)]
pub struct Network {
    pub published: Vec<Published>,
}

/// A TCP port of this computer that leads to one of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    pub here: SocketAddrV4,
    pub guest: u16,
}

impl FromStr for Published {
    type Err = anyhow::Error;

    /// `[ADDRESS:]PORT:GUEST-PORT`; without an address it can be reached from this computer only.
    fn from_str(text: &str) -> Result<Published> {
        let form = || format!("{text} is not [ADDRESS:]PORT:GUEST-PORT");
        let (here, guest) = text.rsplit_once(':').with_context(form)?;
        let (address, port) = match here.rsplit_once(':') {
            Some((address, port)) => (address.parse().with_context(form)?, port),
            None => (Ipv4Addr::LOCALHOST, here),
        };
        Ok(Published {
            here: SocketAddrV4::new(address, port.parse().with_context(form)?),
            guest: guest.parse().with_context(form)?,
        })
    }
}

impl Network {
    /// What the kernel is told of it.
    const PARAMETER: &str = "net=10.0.2.15/24,10.0.2.2";
    /// Where microvm has its first virtio device, as the kernel is told, and the name of that place.
    const MICROVM_DEVICE: &str = "virtio_mmio.device=512@0xfeb00000:16";
    const MICROVM_BUS: &str = "virtio-mmio-bus.0";

    /// Adds the card to a machine.
    pub fn add_to(&self, qemu: &mut Command, machine: &Machine) {
        let mut backend = "user,id=net,ipv6=off".to_string();
        for Published { here, guest } in &self.published {
            backend.push_str(&format!(",hostfwd=tcp:{}:{}-:{guest}", here.ip(), here.port()));
        }
        let device = match (machine.arch, machine.board) {
            (Arch::X86_64, Board::Q35) => "virtio-net-pci,netdev=net,romfile=".to_string(),
            (Arch::X86_64, Board::Microvm) => format!("virtio-net-device,netdev=net,bus={}", Self::MICROVM_BUS),
            (Arch::Aarch64, _) => "virtio-net-device,netdev=net".to_string(),
        };
        qemu.args(["-global", "virtio-mmio.force-legacy=false"]);
        qemu.args(["-netdev", &backend, "-device", &device]);
    }

    /// The kernel's parameters for it.
    pub fn parameters(machine: &Machine) -> String {
        let on_microvm = machine.arch == Arch::X86_64 && machine.board == Board::Microvm;
        let device = if on_microvm { Self::MICROVM_DEVICE } else { "" };
        format!("{} {device}", Self::PARAMETER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_ports() {
        let published = |text: &str| text.parse::<Published>().ok();
        let here = |address: [u8; 4], port, guest| {
            let here = SocketAddrV4::new(address.into(), port);
            Some(Published { here, guest })
        };
        assert_eq!(published("8080:80"), here([127, 0, 0, 1], 8080, 80));
        assert_eq!(published("0.0.0.0:8080:80"), here([0, 0, 0, 0], 8080, 80));
        for wrong in ["", "80", "8080:", ":80", "a:b", "1.2.3:1:2", "65536:80"] {
            assert_eq!(published(wrong), None, "{wrong}");
        }
    }
}
