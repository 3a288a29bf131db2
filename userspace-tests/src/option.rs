//! The options of sockets, and the control messages that they bring.

use crate::checked;
use libsyscall::abi::Errno;
use std::mem::{size_of, zeroed};
use std::os::fd::AsRawFd;

/// setsockopt(2).
pub fn set<T>(socket: &impl AsRawFd, level: i32, name: i32, value: T) -> Result<(), Errno> {
    let len = size_of::<T>() as u32;
    // SAFETY: `value` is readable for its size.
    checked(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), len) }).map(drop)
}

/// getsockopt(2) of an int.
pub fn get(socket: &impl AsRawFd, level: i32, name: i32) -> Result<i32, Errno> {
    let (mut value, mut len) = (0i32, 4);
    // SAFETY: there is room for one int.
    checked(unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut value).cast(), &mut len) })?;
    assert_eq!(len, 4);
    Ok(value)
}

/// A message with its length, the flags it came with and its control messages: level, type and data of each.
pub struct Received {
    pub len: usize,
    pub flags: i32,
    pub control: Vec<(i32, i32, Vec<u8>)>,
    /// The sender's port.
    pub from: Option<u16>,
    pub bytes: Vec<u8>,
}

/// recvmsg(2) with room for many control messages.
pub fn receive_message(socket: &impl AsRawFd, room: usize, flags: i32) -> Result<Received, Errno> {
    let mut bytes = vec![0u8; room];
    let mut control = [0u64; 64];
    // SAFETY: all zeroes are a msghdr and a sockaddr_storage without anything.
    let (mut header, mut name): (libc::msghdr, libc::sockaddr_storage) = unsafe { (zeroed(), zeroed()) };
    let mut vector = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: room,
    };
    header.msg_name = (&raw mut name).cast();
    header.msg_namelen = size_of::<libc::sockaddr_storage>() as u32;
    (header.msg_iov, header.msg_iovlen) = (&mut vector, 1);
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control) as _;
    // SAFETY: the header describes buffers that live here.
    let len = checked(unsafe { libc::recvmsg(socket.as_raw_fd(), &mut header, flags) })? as usize;
    let mut messages = Vec::new();
    // SAFETY: the kernel filled the control buffer, which these macros walk.
    unsafe {
        let mut at = libc::CMSG_FIRSTHDR(&header);
        while !at.is_null() {
            let data = libc::CMSG_DATA(at);
            let data_len = (*at).cmsg_len as usize - (data as usize - at as usize);
            let data = std::slice::from_raw_parts(data, data_len).to_vec();
            messages.push(((*at).cmsg_level, (*at).cmsg_type, data));
            at = libc::CMSG_NXTHDR(&header, at);
        }
    }
    // SAFETY: a socket address of either family has its port in this place.
    let port = unsafe { (*(&raw const name).cast::<libc::sockaddr_in>()).sin_port };
    bytes.truncate(len);
    Ok(Received {
        len,
        flags: header.msg_flags,
        control: messages,
        from: (header.msg_namelen > 0).then(|| u16::from_be(port)),
        bytes,
    })
}

impl Received {
    /// The data of a control message.
    pub fn told(&self, level: i32, name: i32) -> Option<&[u8]> {
        let mut found = self.control.iter().filter(|(l, n, _)| (*l, *n) == (level, name));
        found.next().map(|(_, _, data)| data.as_slice())
    }
}
