//! The virtio network card: frames in and out. It says by interrupt that frames have come, or that it has sent some.

use crate::arch::paging;
use crate::mm::{direct, physical};
use alloc::alloc::{alloc_zeroed, dealloc};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::alloc::Layout;
use core::iter;
use core::ptr::NonNull;
use virtio_drivers::device::net::VirtIONetRaw;
use virtio_drivers::transport::mmio::MmioTransport;
use virtio_drivers::transport::{DeviceType, SomeTransport, Transport};
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

/// Bytes of a virtio device's registers in memory, with what is special to its kind.
pub const REGISTERS_LEN: usize = 0x200;

/// The network card at a virtio device's registers, if it is one.
pub fn at_registers(registers: usize) -> Option<SomeTransport<'static>> {
    let header = NonNull::new(registers as *mut _)?;
    // SAFETY: the caller has mapped `REGISTERS_LEN` bytes of registers there for ever.
    let transport = unsafe { MmioTransport::new(header, REGISTERS_LEN) }.ok()?;
    (transport.device_type() == DeviceType::Network).then(|| transport.into())
}

/// The kernel's memory as a virtio device sees it: at its physical address.
pub struct Memory;

fn pages(count: usize) -> Layout {
    Layout::from_size_align(count * PAGE_SIZE, PAGE_SIZE).expect("a few pages")
}

// SAFETY: the heap gives aligned zeroed memory that nobody else has. It lies in the direct map, in a piece, so that an
// address there has its physical one at a fixed distance.
unsafe impl Hal for Memory {
    fn dma_alloc(count: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        // SAFETY: a queue has some pages.
        match NonNull::new(unsafe { alloc_zeroed(pages(count)) }) {
            Some(address) => (physical(address.as_ptr() as usize), address),
            // Address 0 says that there was none.
            None => (0, NonNull::dangling()),
        }
    }

    unsafe fn dma_dealloc(_at: PhysAddr, address: NonNull<u8>, count: usize) -> i32 {
        // SAFETY: from `dma_alloc`, with as many pages.
        unsafe { dealloc(address.as_ptr(), pages(count)) };
        0
    }

    unsafe fn mmio_phys_to_virt(at: PhysAddr, len: usize) -> NonNull<u8> {
        NonNull::new(paging::map_device(at, len) as *mut u8).expect("devices are mapped in the kernel's half")
    }

    unsafe fn share(buffer: NonNull<[u8]>, _direction: BufferDirection) -> PhysAddr {
        let address = buffer.cast::<u8>().as_ptr() as usize;
        debug_assert!(address >= direct(0), "buffers are on the heap");
        physical(address)
    }

    unsafe fn unshare(_at: PhysAddr, _buffer: NonNull<[u8]>, _direction: BufferDirection) {}
}

/// Buffers each way.
const QUEUE_LEN: usize = 64;
/// Room for a frame and virtio's header before it.
const BUFFER_LEN: usize = 2048;

type Buffer = Box<[u8; BUFFER_LEN]>;

/// A frame that has come.
pub struct Frame {
    buffer: Buffer,
    start: usize,
    len: usize,
}

impl Frame {
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.start + self.len]
    }
}

type Device = VirtIONetRaw<Memory, SomeTransport<'static>, QUEUE_LEN>;

pub struct Card {
    /// On the heap like all that is long here: stacks are short.
    device: Box<Device>,
    /// Buffers that the device has to fill, and to send with their lengths; by their tokens.
    receiving: Vec<Option<Buffer>>,
    sending: Vec<Option<(Buffer, usize)>>,
    /// Buffers for sending.
    spare: Vec<Buffer>,
}

/// A device with its queues set up. Not inlined, so that its copies on the way to the heap are off the stack before the
/// next ones come.
#[inline(never)]
fn start(transport: SomeTransport<'static>) -> Option<Box<Device>> {
    Device::new(transport).ok().map(Box::new)
}

impl Card {
    /// `None` where the device does not answer as one, or where there is no memory.
    pub fn new(transport: SomeTransport<'static>) -> Option<Card> {
        let mut card = Card {
            device: start(transport)?,
            receiving: iter::repeat_with(|| None).take(QUEUE_LEN).collect(),
            sending: iter::repeat_with(|| None).take(QUEUE_LEN).collect(),
            spare: Vec::with_capacity(QUEUE_LEN),
        };
        for _ in 0..QUEUE_LEN {
            card.lend(Box::new([0; BUFFER_LEN]));
            card.spare.push(Box::new([0; BUFFER_LEN]));
        }
        Some(card)
    }

    /// The card's hardware address.
    pub fn address(&self) -> [u8; 6] {
        self.device.mac_address()
    }

    /// Takes the interrupt down.
    pub fn acknowledge(&mut self) {
        self.device.ack_interrupt();
    }

    /// Gives the device a buffer to fill.
    fn lend(&mut self, mut buffer: Buffer) {
        // SAFETY: the buffer is kept by its token, untouched, until the device is through with it.
        if let Ok(token) = unsafe { self.device.receive_begin(&mut buffer[..]) } {
            self.receiving[usize::from(token)] = Some(buffer);
        }
    }

    /// The next frame that has come.
    pub fn receive(&mut self) -> Option<Frame> {
        let token = self.device.poll_receive()?;
        let mut buffer = self.receiving.get_mut(usize::from(token))?.take()?;
        // SAFETY: the buffer that was lent with this token.
        let received = unsafe { self.device.receive_complete(token, &mut buffer[..]) };
        match received {
            Ok((start, len)) if start + len <= BUFFER_LEN => Some(Frame { buffer, start, len }),
            _ => {
                self.lend(buffer);
                None
            }
        }
    }

    /// A frame has been read.
    pub fn give_back(&mut self, frame: Frame) {
        self.lend(frame.buffer);
    }

    /// Whether a frame can be sent. Where not, an interrupt will say when that has changed.
    pub fn can_send(&mut self) -> bool {
        // Looked at only now: the device would say so after every frame otherwise.
        if self.spare.is_empty() {
            self.collect();
        }
        !self.spare.is_empty()
    }

    /// Takes back what has been sent.
    fn collect(&mut self) {
        while let Some(token) = self.device.poll_transmit() {
            let Some((buffer, len)) = self.sending.get_mut(usize::from(token)).and_then(Option::take) else {
                return;
            };
            // SAFETY: the bytes that were sent with this token.
            let sent = unsafe { self.device.transmit_complete(token, &buffer[..len]) };
            self.spare.push(buffer);
            if sent.is_err() {
                return;
            }
        }
    }

    /// Sends a frame of `len` bytes that `fill` writes; it is lost where [`Card::can_send`] was not asked.
    pub fn send<R>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        let mut buffer = self.spare.pop().unwrap_or_else(|| Box::new([0; BUFFER_LEN]));
        let start = self.device.fill_buffer_header(&mut buffer[..]).unwrap_or(0);
        let result = fill(&mut buffer[start..start + len]);
        // SAFETY: the buffer is kept by its token, untouched, until the device is through with it.
        if let Ok(token) = unsafe { self.device.transmit_begin(&buffer[..start + len]) } {
            self.sending[usize::from(token)] = Some((buffer, start + len));
        }
        result
    }
}
