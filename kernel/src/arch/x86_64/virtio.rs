//! Where the network card is: on the PCI bus, or where the command line says.

use super::irq::Line;
use super::paging;
use crate::boot::BootInfo;
use crate::boot::command_line::parameters;
use crate::driver::network::{self, Memory};
use sync::SpinLock;
use virtio_drivers::transport::pci::bus::{Command, ConfigurationAccess, DeviceFunction, PciRoot};
use virtio_drivers::transport::pci::{PciTransport, virtio_device_type};
use virtio_drivers::transport::{DeviceType, SomeTransport};
use x86_64::instructions::port::Port;

/// The card and its interrupt line.
pub fn network_card(_boot: &BootInfo) -> Option<(SomeTransport<'static>, Line)> {
    if let Some((physical, line)) = parameters().virtio_mmio {
        let registers = paging::map_device(physical, network::REGISTERS_LEN);
        return network::at_registers(registers).map(|transport| (transport, line));
    }
    let mut root = PciRoot::new(ConfigurationPorts);
    let (place, _) = root
        .enumerate_bus(0)
        .find(|(_, info)| virtio_device_type(info) == Some(DeviceType::Network))?;
    root.set_command(place, Command::MEMORY_SPACE | Command::BUS_MASTER);
    let transport = PciTransport::new::<Memory, _>(&mut root, place).ok()?;
    // The firmware has routed the card's pin to a line of the ISA bus, and left its number where drivers look for it.
    const INTERRUPT_LINE: u8 = 0x3c;
    let line = ConfigurationPorts.read_word(place, INTERRUPT_LINE) & 0xff;
    Some((transport.into(), line))
}

/// PCI's configuration space through its two I/O ports.
struct ConfigurationPorts;

/// Whoever selects a register reads or writes it before another is selected.
static PORTS: SpinLock<(Port<u32>, Port<u32>)> = SpinLock::new((Port::new(0xcf8), Port::new(0xcfc)));

/// What selects a register.
fn selector(place: DeviceFunction, register: u8) -> u32 {
    const ENABLE: u32 = 1 << 31;
    let DeviceFunction { bus, device, function } = place;
    ENABLE | u32::from(bus) << 16 | u32::from(device) << 11 | u32::from(function) << 8 | u32::from(register & !3)
}

impl ConfigurationAccess for ConfigurationPorts {
    fn read_word(&self, place: DeviceFunction, register: u8) -> u32 {
        let mut ports = PORTS.lock();
        // SAFETY: reading a configuration register changes nothing; where there is no device it gives all ones.
        unsafe {
            ports.0.write(selector(place, register));
            ports.1.read()
        }
    }

    fn write_word(&mut self, place: DeviceFunction, register: u8, data: u32) {
        let mut ports = PORTS.lock();
        // SAFETY: the transport's own writes: a device's command register and the sizing of its memory ranges.
        unsafe {
            ports.0.write(selector(place, register));
            ports.1.write(data);
        }
    }

    unsafe fn unsafe_clone(&self) -> ConfigurationPorts {
        ConfigurationPorts
    }
}
