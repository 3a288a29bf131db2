//! What has come for a UDP socket: messages, and errors about those it sent.

use crate::net::address::Inet;
use crate::net::protocol::Memory;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bpf::Program;
use libsyscall::abi::Errno;

/// A message on its way.
pub struct Datagram {
    pub from: Inet,
    /// The address it was sent to: one of this machine's, or a group's.
    pub to: Inet,
    /// The interface it came by.
    pub interface: u32,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// Type of service, or traffic class.
    pub tos: u8,
    /// Nanoseconds since 1970 at its arrival.
    pub arrival_ns: u64,
    /// How many messages its receiver had lost when it came (SO_RXQ_OVFL).
    pub lost_before: u32,
    /// The length of the messages that this is a row of, all but the last as long as that (UDP_SEGMENT).
    pub segment_len: Option<u16>,
    /// SO_MARK of the sender.
    pub mark: u32,
    /// Of no bytes, and peeked at: a peek from an offset passes over it.
    pub was_seen: bool,
    pub bytes: Vec<u8>,
}

impl Datagram {
    /// The same with other bytes, which are those of one message: ENOBUFS.
    pub fn with(&self, bytes: &[u8]) -> Result<Datagram, Errno> {
        let mut copy = Vec::new();
        copy.try_reserve_exact(bytes.len()).map_err(|_| Errno::ENOBUFS)?;
        copy.extend_from_slice(bytes);
        Ok(Datagram {
            bytes: copy,
            segment_len: None,
            ..*self
        })
    }

    /// The messages this is a row of.
    pub fn messages(&self) -> impl Iterator<Item = &[u8]> {
        let len = self.segment_len.map_or(self.bytes.len(), usize::from);
        // One without bytes is a message too.
        let empty = self.bytes.is_empty().then_some(&self.bytes[..]);
        empty.into_iter().chain(self.bytes.chunks(len.max(1)))
    }
}

/// What an ICMP message said of one that was sent (IP_RECVERR).
pub struct Complaint {
    pub error: Errno,
    /// Type and code of the ICMP message.
    pub icmp: (u8, u8),
    /// Who sent it.
    pub offender: Inet,
    /// What it is about: where that was to go, and its bytes.
    pub to: Inet,
    pub bytes: Vec<u8>,
}

#[derive(Default)]
pub struct Inbox {
    /// SO_ATTACH_FILTER: looks at the messages that come.
    pub filter: Option<Arc<Program>>,
    messages: VecDeque<Datagram>,
    complaints: VecDeque<Complaint>,
    /// What both queues cost.
    used: usize,
    /// Messages there was no room for.
    lost: u32,
    /// What the next call reports, once: SO_ERROR.
    pub error: Option<Errno>,
    pub shut_read: bool,
    pub shut_write: bool,
}

/// What a message costs whoever has it: the memory Linux would take for it, so that SO_RCVBUF means as many.
pub fn cost(len: usize) -> usize {
    /// A descriptor of a buffer, and what a buffer has before and after the bytes.
    const DESCRIPTOR: usize = 256;
    const AROUND: usize = 400;
    DESCRIPTOR
        + (len + AROUND)
            .next_power_of_two()
            .min((len + AROUND).next_multiple_of(4096))
}

impl Inbox {
    /// Takes a message in, or what the filter keeps of it, unless `limit` is reached: it is then lost, as are those that the
    /// filter drops.
    pub fn put(&mut self, mut message: Datagram, limit: usize) -> bool {
        let is_kept = self.filter.as_ref().is_none_or(|filter| message.keep(filter));
        if !is_kept || self.used > limit || self.messages.try_reserve(1).is_err() {
            self.lost = self.lost.wrapping_add(1);
            return false;
        }
        self.used += cost(message.bytes.len());
        message.lost_before = self.lost;
        self.messages.push_back(message);
        true
    }

    pub fn first(&self) -> Option<&Datagram> {
        self.messages.front()
    }

    /// The message that a peek from `offset` looks at, and how many of its bytes that passes over.
    pub fn peek(&mut self, offset: Option<usize>) -> Option<(&Datagram, usize)> {
        let mut skip = offset.unwrap_or(0);
        for message in &mut self.messages {
            let len = message.bytes.len();
            if offset.is_none() || skip < len || skip == 0 && !message.was_seen {
                message.was_seen = len == 0;
                return Some((message, skip));
            }
            skip -= len;
        }
        None
    }

    pub fn take(&mut self) -> Option<Datagram> {
        let message = self.messages.pop_front()?;
        self.used -= cost(message.bytes.len());
        Some(message)
    }

    /// Takes an error in; one there is no room for leaves its number only.
    pub fn complain(&mut self, complaint: Complaint, limit: usize) {
        self.error = Some(complaint.error);
        if self.used <= limit && self.complaints.try_reserve(1).is_ok() {
            self.used += cost(complaint.bytes.len());
            self.complaints.push_back(complaint);
        }
    }

    /// The oldest error; what remains to be reported is the next one.
    pub fn take_complaint(&mut self) -> Option<Complaint> {
        let complaint = self.complaints.pop_front()?;
        self.used -= cost(complaint.bytes.len());
        self.error = self.complaints.front().map(|next| next.error);
        Some(complaint)
    }

    /// SO_MEMINFO.
    pub fn memory(&self) -> Memory {
        Memory {
            received: self.used,
            lost: self.lost,
            ..Memory::default()
        }
    }

    pub fn has_messages(&self) -> bool {
        !self.messages.is_empty()
    }

    pub fn has_errors(&self) -> bool {
        self.error.is_some() || !self.complaints.is_empty()
    }

    /// Throws away what is there.
    pub fn clear(&mut self) {
        (self.messages, self.complaints, self.used) = Default::default();
    }
}
