//! The network interfaces as programs are told of them: by netlink, and by the requests of netdevice(7). They are there
//! from the start on, and nothing of them changes.

use super::outside;
use super::route::{LOOPBACK, OUTSIDE};
use crate::mm::user;
use crate::net::address::{Address, Inet, Ip, encode};
use libsyscall::abi::Errno;
use libsyscall::abi::netlink::*;
use libsyscall::abi::socket::AF_INET;

/// An address of this machine's, on one of its networks.
#[derive(Clone, Copy)]
pub struct Own {
    pub ip: Ip,
    /// Bits of the address that are the network's.
    pub prefix_len: u8,
}

impl Own {
    /// An IPv4 address as a number, and the mask of its network; "any" of an IPv6 one.
    fn v4(self) -> (u32, u32) {
        match self.ip {
            Ip::V4(bytes) => (
                u32::from_be_bytes(bytes),
                u32::MAX.checked_shl(32 - u32::from(self.prefix_len)).unwrap_or(0),
            ),
            Ip::V6(_) => (0, 0),
        }
    }

    /// The address of all on its network; a network of one machine has none.
    pub fn broadcast(self) -> Option<Ip> {
        let (ip, mask) = self.v4();
        let is_wide = matches!(self.ip, Ip::V4(_)) && !self.ip.is_local() && self.prefix_len < 31;
        is_wide.then(|| Ip::V4((ip | !mask).to_be_bytes()))
    }
}

pub struct Interface {
    pub number: u32,
    pub name: &'static str,
    /// ARPHRD_*.
    pub kind: u16,
    /// IFF_*.
    pub flags: u32,
    pub hardware_address: [u8; 6],
    pub hardware_broadcast: [u8; 6],
    /// The longest packet, in bytes.
    pub mtu: u32,
    /// IF_OPER_*.
    pub state: u8,
    v4: Own,
    v6: Option<Own>,
}

impl Interface {
    pub fn addresses(&self) -> impl Iterator<Item = Own> {
        [Some(self.v4), self.v6].into_iter().flatten()
    }

    fn loopback() -> Interface {
        Interface {
            number: LOOPBACK,
            name: "lo",
            kind: ARPHRD_LOOPBACK,
            flags: IFF_UP | IFF_LOOPBACK | IFF_RUNNING | IFF_LOWER_UP,
            hardware_address: [0; 6],
            hardware_broadcast: [0; 6],
            mtu: 65536,
            state: IF_OPER_UNKNOWN,
            v4: Own {
                ip: Ip::LOOPBACK_V4,
                prefix_len: 8,
            },
            v6: Some(Own {
                ip: Ip::LOOPBACK_V6,
                prefix_len: 128,
            }),
        }
    }

    fn card() -> Option<Interface> {
        let (prefix_len, hardware_address) = outside::card()?;
        Some(Interface {
            number: OUTSIDE,
            name: "eth0",
            kind: ARPHRD_ETHER,
            // Not IFF_MULTICAST: what is for a group stays on the loopback interface.
            flags: IFF_UP | IFF_BROADCAST | IFF_RUNNING | IFF_LOWER_UP,
            hardware_address,
            hardware_broadcast: [0xff; 6],
            mtu: 1500,
            state: IF_OPER_UP,
            v4: Own {
                ip: outside::address()?,
                prefix_len,
            },
            v6: None,
        })
    }

    fn named(request: &InterfaceRequest) -> Option<Interface> {
        let name = request.name[..IFNAMSIZ - 1].split(|&byte| byte == 0).next()?;
        all().find(|interface| interface.name.as_bytes() == name)
    }

    fn request(&self) -> InterfaceRequest {
        let mut request = InterfaceRequest::default();
        request.name[..self.name.len()].copy_from_slice(self.name.as_bytes());
        request
    }
}

pub fn all() -> impl Iterator<Item = Interface> {
    [Some(Interface::loopback()), Interface::card()].into_iter().flatten()
}

/// A `struct sockaddr_in` without a port.
fn socket_address(ip: Ip) -> [u8; 16] {
    let (bytes, _) = encode(&Address::Inet(Inet { ip, port: 0 }), AF_INET);
    let mut address = [0; 16];
    address.copy_from_slice(&bytes[..16]);
    address
}

/// SIOCGIFCONF: the interfaces with their IPv4 addresses, as many as there is room for; without room, how much it takes.
fn list(argument: usize) -> Result<(), Errno> {
    let mut list: InterfaceList = user::read(argument)?;
    let room = match list.requests {
        0 => usize::MAX,
        _ => usize::try_from(list.len).map_err(|_| Errno::EINVAL)? / size_of::<InterfaceRequest>(),
    };
    let mut len = 0;
    for interface in all().take(room) {
        let mut request = interface.request();
        request.value[..16].copy_from_slice(&socket_address(interface.v4.ip));
        if list.requests != 0 {
            user::write((list.requests as usize).wrapping_add(len), &request)?;
        }
        len += size_of::<InterfaceRequest>();
    }
    list.len = len as i32;
    user::write(argument, &list)
}

/// The requests of netdevice(7) that ask, for a socket of `domain`: ENODEV where there is no such interface, ENOTTY for
/// another request.
pub fn ioctl(domain: u16, command: u32, argument: usize) -> Result<(), Errno> {
    match command {
        SIOCGIFCONF => return list(argument),
        // Only what names IPv4 addresses asks for them.
        SIOCGIFADDR | SIOCGIFBRDADDR | SIOCGIFNETMASK if domain == AF_INET => {}
        SIOCGIFNAME | SIOCGIFINDEX | SIOCGIFFLAGS | SIOCGIFMTU | SIOCGIFMETRIC | SIOCGIFHWADDR => {}
        _ => return Err(Errno::ENOTTY),
    }
    let mut request: InterfaceRequest = user::read(argument)?;
    if command == SIOCGIFNAME {
        let [a, b, c, d, ..] = request.value;
        let number = u32::from_ne_bytes([a, b, c, d]);
        let interface = all().find(|interface| interface.number == number);
        request.name = interface.ok_or(Errno::ENODEV)?.request().name;
        return user::write(argument, &request);
    }
    let interface = Interface::named(&request).ok_or(Errno::ENODEV)?;
    let mut put = |value: &[u8]| request.value[..value.len()].copy_from_slice(value);
    match command {
        SIOCGIFINDEX => put(&interface.number.to_ne_bytes()),
        SIOCGIFFLAGS => put(&(interface.flags as u16).to_ne_bytes()),
        SIOCGIFMTU => put(&interface.mtu.to_ne_bytes()),
        SIOCGIFMETRIC => put(&0i32.to_ne_bytes()),
        SIOCGIFADDR => put(&socket_address(interface.v4.ip)),
        SIOCGIFNETMASK => put(&socket_address(Ip::V4(interface.v4.v4().1.to_be_bytes()))),
        SIOCGIFBRDADDR => put(&socket_address(interface.v4.broadcast().unwrap_or(Ip::V4([0; 4])))),
        _ => {
            // SIOCGIFHWADDR: a struct sockaddr, whose family says what kind of hardware it is.
            let mut address = [0; 16];
            address[..2].copy_from_slice(&interface.kind.to_ne_bytes());
            address[2..8].copy_from_slice(&interface.hardware_address);
            put(&address);
        }
    }
    user::write(argument, &request)
}
