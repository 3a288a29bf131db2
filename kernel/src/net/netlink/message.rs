//! Netlink's messages: a header, a structure, then attributes, each at a multiple of four bytes.

use crate::mm::user::{Plain, Sink, Source};
use alloc::vec::Vec;
use libsyscall::abi::netlink::NetlinkHeader;

const ALIGNMENT: usize = 4;
const HEADER_LEN: usize = size_of::<NetlinkHeader>();
/// An attribute's length and type, two bytes each.
const ATTRIBUTE_HEADER_LEN: usize = 4;

/// A request of a program.
pub struct Request<'a> {
    pub header: NetlinkHeader,
    pub body: &'a [u8],
    /// All of it, as it came.
    pub bytes: &'a [u8],
}

impl<'a> Request<'a> {
    /// Takes the first of the messages in `bytes`; `None` behind the last, and where one is cut short.
    pub fn take(bytes: &mut &'a [u8]) -> Option<Request<'a>> {
        let header: NetlinkHeader = value(bytes)?;
        let len = usize::try_from(header.len).ok()?;
        let body = bytes.get(HEADER_LEN..len)?;
        let request = Request {
            header,
            body,
            bytes: &bytes[..len],
        };
        *bytes = bytes.get(len.next_multiple_of(ALIGNMENT)..).unwrap_or(&[]);
        Some(request)
    }

    /// The first attribute of a type behind a body's first `start` bytes.
    pub fn attribute(&self, start: usize, kind: u16) -> Option<&'a [u8]> {
        let mut rest = self.body.get(start..)?;
        loop {
            let [len, its_kind] = value::<[u16; 2]>(rest)?;
            let data = rest.get(ATTRIBUTE_HEADER_LEN..len.into())?;
            if its_kind == kind {
                return Some(data);
            }
            rest = rest.get(usize::from(len).next_multiple_of(ALIGNMENT)..)?;
        }
    }
}

/// The structure `bytes` begin with, if they are as long.
pub fn value<T: Plain>(bytes: &[u8]) -> Option<T> {
    Source::kernel(bytes).get_value().ok()
}

/// Messages on their way to a program.
#[derive(Default)]
pub struct Answer {
    pub bytes: Vec<u8>,
    /// Where the last message starts.
    start: usize,
}

impl Answer {
    /// Begins a message; its length follows with what is put into it.
    pub fn begin<T: Plain>(&mut self, header: NetlinkHeader, body: &T) {
        self.start = self.bytes.len();
        self.put(&header);
        self.put(body);
    }

    fn put<T: Plain>(&mut self, value: &T) {
        let at = self.bytes.len();
        self.bytes.resize(at + size_of::<T>(), 0);
        Sink::kernel(&mut self.bytes[at..])
            .put_value(value)
            .expect("the room was just made");
        self.measure();
    }

    pub fn put_bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.measure();
    }

    pub fn attribute(&mut self, kind: u16, data: &[u8]) {
        let len = (ATTRIBUTE_HEADER_LEN + data.len()) as u16;
        self.put(&[len, kind]);
        self.put_bytes(data);
        let padded = self.bytes.len().next_multiple_of(ALIGNMENT);
        self.bytes.resize(padded, 0);
        self.measure();
    }

    /// A name with its NUL.
    pub fn name(&mut self, kind: u16, name: &str) {
        let mut bytes = Vec::from(name);
        bytes.push(0);
        self.attribute(kind, &bytes);
    }

    /// The last message ends here.
    fn measure(&mut self) {
        let len = (self.bytes.len() - self.start) as u32;
        self.bytes[self.start..self.start + 4].copy_from_slice(&len.to_ne_bytes());
    }
}
