//! The socket calls over descriptors, where std has none: kinds, flags, abstract names, control data.

use crate::{Fd, checked};
use libsyscall::abi::Errno;
use std::io::{IoSlice, IoSliceMut};
use std::mem::{offset_of, size_of, zeroed};
use std::net::UdpSocket;

/// An AF_UNIX address: the path's bytes, or a NUL and an abstract name.
fn address(name: &[u8]) -> (libc::sockaddr_un, u32) {
    // SAFETY: all zeroes are a valid sockaddr_un.
    let mut address: libc::sockaddr_un = unsafe { zeroed() };
    address.sun_family = libc::AF_UNIX as u16;
    for (to, from) in address.sun_path.iter_mut().zip(name) {
        *to = *from as libc::c_char;
    }
    let mut len = offset_of!(libc::sockaddr_un, sun_path) + name.len();
    if name.first().is_some_and(|&byte| byte != 0) {
        len += 1;
    }
    (address, len as u32)
}

/// What a call has written into an address.
fn name(address: &libc::sockaddr_un, len: u32) -> Vec<u8> {
    let len = (len as usize).saturating_sub(offset_of!(libc::sockaddr_un, sun_path));
    let mut name: Vec<u8> = address.sun_path[..len].iter().map(|&byte| byte as u8).collect();
    if name.first().is_some_and(|&byte| byte != 0) {
        name.pop();
    }
    name
}

/// An abstract name that no other test has.
pub fn abstract_name(suffix: &str) -> Vec<u8> {
    format!("\0vigil-{}-{suffix}", std::process::id()).into_bytes()
}

/// A path in the temporary directory that no other test has.
pub fn path(suffix: &str) -> Vec<u8> {
    let name = format!("vigil-{}-{suffix}", std::process::id());
    std::env::temp_dir().join(name).into_os_string().into_encoded_bytes()
}

/// What recvmsg(2) gave beside the bytes.
#[derive(Debug, Default)]
pub struct Received {
    pub len: usize,
    pub from: Vec<u8>,
    pub flags: i32,
    pub files: Vec<Fd>,
    /// pid, uid, gid.
    pub credentials: Option<[u32; 3]>,
    /// SCM_PIDFD: a descriptor, or in its place why there is none.
    pub process: Option<Result<Fd, Errno>>,
}

const SCM_PIDFD: i32 = 4;

/// Control data of up to `SCM_MAX_FD` descriptors, as aligned as its headers.
type ControlBuffer = [u64; 160];

impl Fd {
    /// socket(2) of AF_UNIX.
    pub fn unix(kind: i32) -> Fd {
        // SAFETY: no memory is involved.
        Fd(checked(unsafe { libc::socket(libc::AF_UNIX, kind | libc::SOCK_CLOEXEC, 0) }).expect("socket"))
    }

    /// socketpair(2) of AF_UNIX.
    pub fn unix_pair(kind: i32) -> (Fd, Fd) {
        let mut ends = [0; 2];
        // SAFETY: the array has room for two descriptors.
        let result = unsafe { libc::socketpair(libc::AF_UNIX, kind | libc::SOCK_CLOEXEC, 0, ends.as_mut_ptr()) };
        checked(result).expect("socketpair");
        (Fd(ends[0]), Fd(ends[1]))
    }

    /// A UDP socket and the one it is connected to, both of an address.
    pub fn udp_pair(at: &str) -> (Fd, Fd) {
        let bound = || UdpSocket::bind(at).expect("bind");
        let (sender, receiver) = (bound(), bound());
        let name = receiver.local_addr().expect("getsockname");
        sender.connect(name).expect("connect");
        (Fd::of(sender), Fd::of(receiver))
    }

    pub fn bind(&self, name: &[u8]) -> Result<(), Errno> {
        let (address, len) = address(name);
        // SAFETY: the address is as long as said.
        checked(unsafe { libc::bind(self.0, (&raw const address).cast(), len) }).map(drop)
    }

    pub fn connect(&self, name: &[u8]) -> Result<(), Errno> {
        let (address, len) = address(name);
        // SAFETY: the address is as long as said.
        checked(unsafe { libc::connect(self.0, (&raw const address).cast(), len) }).map(drop)
    }

    /// connect(2) with AF_UNSPEC.
    pub fn disconnect(&self) -> Result<(), Errno> {
        let family = libc::AF_UNSPEC as u16;
        // SAFETY: the address is its family only.
        checked(unsafe { libc::connect(self.0, (&raw const family).cast(), 2) }).map(drop)
    }

    pub fn listen(&self, backlog: i32) -> Result<(), Errno> {
        // SAFETY: no memory is involved.
        checked(unsafe { libc::listen(self.0, backlog) }).map(drop)
    }

    pub fn accept(&self) -> Result<Fd, Errno> {
        // SAFETY: no address is asked for.
        let result = unsafe { libc::accept4(self.0, std::ptr::null_mut(), std::ptr::null_mut(), libc::SOCK_CLOEXEC) };
        checked(result).map(Fd)
    }

    pub fn shut_down(&self, how: i32) -> Result<(), Errno> {
        // SAFETY: no memory is involved.
        checked(unsafe { libc::shutdown(self.0, how) }).map(drop)
    }

    pub fn local_name(&self) -> Result<Vec<u8>, Errno> {
        self.asked_name(libc::getsockname)
    }

    pub fn peer_name(&self) -> Result<Vec<u8>, Errno> {
        self.asked_name(libc::getpeername)
    }

    fn asked_name(
        &self,
        call: unsafe extern "C" fn(i32, *mut libc::sockaddr, *mut u32) -> i32,
    ) -> Result<Vec<u8>, Errno> {
        let (mut address, _) = address(b"");
        let mut len = size_of::<libc::sockaddr_un>() as u32;
        // SAFETY: the address has room for what is said.
        checked(unsafe { call(self.0, (&raw mut address).cast(), &mut len) })?;
        Ok(name(&address, len))
    }

    pub fn option(&self, name: i32) -> Result<i32, Errno> {
        let (mut value, mut len) = (0i32, 4u32);
        // SAFETY: the kernel writes one number.
        let result = unsafe { libc::getsockopt(self.0, libc::SOL_SOCKET, name, (&raw mut value).cast(), &mut len) };
        checked(result).map(|_| value)
    }

    pub fn set_option(&self, name: i32, value: i32) -> Result<(), Errno> {
        // SAFETY: the kernel reads one number.
        let result = unsafe { libc::setsockopt(self.0, libc::SOL_SOCKET, name, (&raw const value).cast(), 4) };
        checked(result).map(drop)
    }

    /// An ioctl(2) that gives a number.
    pub fn asked_count(&self, request: u64) -> Result<i32, Errno> {
        let mut count = 0i32;
        // SAFETY: the kernel writes one number.
        checked(unsafe { libc::ioctl(self.0, request as _, &mut count) }).map(|_| count)
    }

    pub fn send(&self, bytes: &[u8], flags: i32) -> Result<usize, Errno> {
        // SAFETY: the bytes are as long as said.
        checked(unsafe { libc::send(self.0, bytes.as_ptr().cast(), bytes.len(), flags) }).map(|len| len as usize)
    }

    pub fn receive(&self, buffer: &mut [u8], flags: i32) -> Result<usize, Errno> {
        // SAFETY: the buffer is as long as said.
        checked(unsafe { libc::recv(self.0, buffer.as_mut_ptr().cast(), buffer.len(), flags) }).map(|len| len as usize)
    }

    pub fn send_to(&self, bytes: &[u8], flags: i32, name: &[u8]) -> Result<usize, Errno> {
        let (address, len) = address(name);
        let to = (&raw const address).cast();
        // SAFETY: the bytes and the address are as long as said.
        let result = unsafe { libc::sendto(self.0, bytes.as_ptr().cast(), bytes.len(), flags, to, len) };
        checked(result).map(|len| len as usize)
    }

    /// sendmsg(2) with descriptors, credentials, both or neither.
    pub fn send_message(
        &self,
        bytes: &[u8],
        files: &[i32],
        credentials: Option<[u32; 3]>,
        flags: i32,
    ) -> Result<usize, Errno> {
        let mut control: ControlBuffer = [0; 160];
        let mut words: Vec<(i32, Vec<u32>)> = Vec::new();
        if let Some(credentials) = credentials {
            words.push((libc::SCM_CREDENTIALS, credentials.to_vec()));
        }
        if !files.is_empty() {
            words.push((libc::SCM_RIGHTS, files.iter().map(|&fd| fd as u32).collect()));
        }
        let mut at = 0;
        for (kind, data) in words {
            control[at] = 16 + data.len() as u64 * 4;
            control[at + 1] = libc::SOL_SOCKET as u64 | (kind as u64) << 32;
            for (index, pair) in data.chunks(2).enumerate() {
                control[at + 2 + index] = u64::from(pair[0]) | u64::from(*pair.get(1).unwrap_or(&0)) << 32;
            }
            at += 2 + data.len().div_ceil(2);
        }
        let mut vector = [IoSlice::new(bytes)];
        // SAFETY: all zeroes are a valid msghdr.
        let mut header: libc::msghdr = unsafe { zeroed() };
        header.msg_iov = vector.as_mut_ptr().cast();
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = (at * 8) as _;
        // SAFETY: the header names the bytes and the control data.
        checked(unsafe { libc::sendmsg(self.0, &header, flags) }).map(|len| len as usize)
    }

    /// recvmsg(2) with so many bytes of room for control data.
    pub fn receive_message(&self, buffer: &mut [u8], room: usize, flags: i32) -> Result<Received, Errno> {
        let mut control: ControlBuffer = [0; 160];
        let (mut address, _) = address(b"");
        let mut vector = [IoSliceMut::new(buffer)];
        // SAFETY: all zeroes are a valid msghdr.
        let mut header: libc::msghdr = unsafe { zeroed() };
        header.msg_name = (&raw mut address).cast();
        header.msg_namelen = size_of::<libc::sockaddr_un>() as u32;
        header.msg_iov = vector.as_mut_ptr().cast();
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = room as _;
        // SAFETY: the header names the address, the buffer and the control data, which are as long as it says.
        let len = checked(unsafe { libc::recvmsg(self.0, &mut header, flags) })? as usize;
        let mut received = Received {
            len,
            from: name(&address, header.msg_namelen),
            flags: header.msg_flags,
            ..Received::default()
        };
        let mut at = 0;
        while at + 2 <= header.msg_controllen as usize / 8 {
            let words = (control[at] as usize - 16) / 4;
            let data = |index: usize| (control[at + 2 + index / 2] >> (index % 2 * 32)) as u32;
            match (control[at + 1] >> 32) as i32 {
                libc::SCM_RIGHTS => received.files.extend((0..words).map(|index| Fd(data(index) as i32))),
                libc::SCM_CREDENTIALS => received.credentials = Some([data(0), data(1), data(2)]),
                SCM_PIDFD => {
                    let number = Errno::result(data(0) as i32 as isize);
                    received.process = Some(number.map(|number| Fd(number as i32)));
                }
                other => panic!("control message {other}"),
            }
            at += 2 + words.div_ceil(2);
        }
        Ok(received)
    }
}

/// Room for the control data of `count` descriptors.
pub fn room_for(count: usize) -> usize {
    16 + (count * 4).next_multiple_of(8)
}
