//! Where the network card is: among the virtio devices of the device tree.

use super::boot::interrupt;
use super::irq::Line;
use super::paging;
use crate::boot::BootInfo;
use crate::driver::network;
use fdt::Fdt;
use virtio_drivers::transport::SomeTransport;

/// The card and its interrupt line.
pub fn network_card(boot: &BootInfo) -> Option<(SomeTransport<'static>, Line)> {
    let tree = Fdt::new(boot.device_tree?).ok()?;
    let is_virtio = |names: fdt::standard_nodes::Compatible| names.all().any(|name| name == "virtio,mmio");
    tree.all_nodes()
        .filter(|node| node.compatible().is_some_and(is_virtio))
        .find_map(|node| {
            let physical = node.reg()?.next()?.starting_address as u64;
            let line = interrupt(node.property("interrupts")?.value);
            // Most places have no device behind them.
            let registers = paging::map_device(physical, network::REGISTERS_LEN);
            network::at_registers(registers).map(|transport| (transport, line))
        })
}
