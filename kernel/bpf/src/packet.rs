//! What a filter sees of a packet.

use libsyscall::abi::filter::*;

/// The interface a packet came by.
#[derive(Clone, Copy)]
pub struct Device {
    pub number: u32,
    /// ARPHRD_*.
    pub kind: u16,
}

/// A packet: its headers where it has some, and its bytes. A filter counts from the transport's header on.
pub struct Packet<'a> {
    pub link: &'a [u8],
    pub network: &'a [u8],
    pub transport: &'a [u8],
    pub payload: &'a [u8],
    /// ETH_P_*; 0 for what no network has carried.
    pub protocol: u16,
    pub device: Option<Device>,
    /// SO_MARK of the sender.
    pub mark: u32,
    /// The CPU that runs the filter.
    pub cpu: u32,
    pub random: &'a dyn Fn() -> u32,
}

impl Packet<'_> {
    /// Bytes from the transport's header on.
    pub(crate) fn len(&self) -> u32 {
        (self.transport.len() + self.payload.len()) as u32
    }

    /// A number in the packet, the most significant byte first. Where it is may be below nothing: in a header further out.
    pub(crate) fn load(&self, place: u32, width: usize) -> Option<u32> {
        let pieces = [self.link, self.network, self.transport, self.payload];
        let place = place as i32;
        let (first, mut skip) = match place {
            0.. => (2, place as usize),
            SKF_NET_OFF.. => (1, (place - SKF_NET_OFF) as usize),
            SKF_LL_OFF.. if !self.link.is_empty() => (0, (place - SKF_LL_OFF) as usize),
            _ => return None,
        };
        let (mut value, mut left) = (0, width);
        for piece in &pieces[first..] {
            let found = piece.get(skip..).unwrap_or_default();
            for &byte in &found[..left.min(found.len())] {
                value = value << 8 | u32::from(byte);
                left -= 1;
            }
            skip = skip.saturating_sub(piece.len());
        }
        (left == 0).then_some(value)
    }

    pub(crate) fn byte(&self, place: u32) -> Option<u32> {
        self.load(place, 1)
    }

    /// A fact that [`is_known`]; `None` of a device where there is none.
    pub(crate) fn fact(&self, fact: u32) -> Option<u32> {
        Some(match fact {
            SKF_AD_PROTOCOL => self.protocol.into(),
            SKF_AD_IFINDEX => self.device?.number,
            SKF_AD_HATYPE => self.device?.kind.into(),
            SKF_AD_MARK => self.mark,
            SKF_AD_CPU => self.cpu,
            SKF_AD_RANDOM => (self.random)(),
            SKF_AD_PAY_OFFSET if self.device.is_some() => self.transport.len() as u32,
            // For this machine, by its one queue, without a hash or a virtual network.
            _ => 0,
        })
    }
}

/// Whether there is such a fact. Those that search a packet for an attribute are not: one search may take as long as the
/// packet is.
pub(crate) fn is_known(fact: u32) -> bool {
    matches!(
        fact,
        SKF_AD_PROTOCOL
            | SKF_AD_PKTTYPE
            | SKF_AD_IFINDEX
            | SKF_AD_MARK
            | SKF_AD_QUEUE
            | SKF_AD_HATYPE
            | SKF_AD_RXHASH
            | SKF_AD_CPU
            | SKF_AD_ALU_XOR_X
            | SKF_AD_VLAN_TAG
            | SKF_AD_VLAN_TAG_PRESENT
            | SKF_AD_PAY_OFFSET
            | SKF_AD_RANDOM
            | SKF_AD_VLAN_TPID
    )
}
