//! The network card as smoltcp sees it: one frame at a time, each way.

use crate::driver::network::{Card, Frame};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

/// The longest frame: Ethernet's.
const FRAME_MAX: usize = 1514;

pub struct Port {
    card: Card,
    /// The frame that comes next, and one that smoltcp is through with.
    next: Option<Frame>,
    read: Option<Frame>,
}

impl Port {
    pub fn new(card: Card) -> Port {
        Port {
            card,
            next: None,
            read: None,
        }
    }

    pub fn acknowledge(&mut self) {
        self.card.acknowledge();
    }

    pub fn can_send(&mut self) -> bool {
        self.card.can_send()
    }

    /// Whether there is a frame to be looked at.
    pub fn fetch(&mut self) -> bool {
        if let Some(read) = self.read.take() {
            self.card.give_back(read);
        }
        if self.next.is_none() {
            self.next = self.card.receive();
        }
        self.has_frame()
    }

    pub fn has_frame(&self) -> bool {
        self.next.is_some()
    }

    pub fn frame(&self) -> &[u8] {
        self.next.as_ref().map_or(&[], Frame::bytes)
    }

    /// The next frame is not for anybody.
    pub fn pass_over(&mut self) {
        self.read = self.next.take();
    }
}

impl Device for Port {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = ToSend<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Received<'_>, ToSend<'_>)> {
        if !self.card.can_send() {
            return None;
        }
        self.read = self.next.take();
        let frame = self.read.as_ref()?;
        Some((Received(frame), ToSend(&mut self.card)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<ToSend<'_>> {
        self.card.can_send().then_some(ToSend(&mut self.card))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME_MAX;
        capabilities
    }
}

pub struct Received<'a>(&'a Frame);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, look: F) -> R {
        look(self.0.bytes())
    }
}

pub struct ToSend<'a>(&'a mut Card);

impl TxToken for ToSend<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        self.0.send(len, fill)
    }
}
