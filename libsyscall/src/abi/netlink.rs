//! Netlink: netlink(7), rtnetlink(7), and the requests of netdevice(7). The numbers are the same on both machines.

pub const NETLINK_ROUTE: i32 = 0;

/// Types below this one are netlink's own.
pub const NLMSG_MIN_TYPE: u16 = 16;
pub const NLMSG_ERROR: u16 = 2;
pub const NLMSG_DONE: u16 = 3;

pub const NLM_F_REQUEST: u16 = 1;
pub const NLM_F_MULTI: u16 = 2;
pub const NLM_F_ACK: u16 = 4;
/// In a request: all there are.
pub const NLM_F_DUMP: u16 = 0x300;
/// In an error: only the request's header follows it.
pub const NLM_F_CAPPED: u16 = 0x100;

pub const SOL_NETLINK: i32 = 270;
pub const NETLINK_ADD_MEMBERSHIP: i32 = 1;
pub const NETLINK_DROP_MEMBERSHIP: i32 = 2;
pub const NETLINK_NO_ENOBUFS: i32 = 5;
pub const NETLINK_CAP_ACK: i32 = 10;
pub const NETLINK_EXT_ACK: i32 = 11;
pub const NETLINK_GET_STRICT_CHK: i32 = 12;

/// The groups of [`NETLINK_ROUTE`].
pub const RTNLGRP_MAX: i32 = 39;

pub const RTM_NEWLINK: u16 = 16;
pub const RTM_GETLINK: u16 = 18;
pub const RTM_NEWADDR: u16 = 20;
pub const RTM_GETADDR: u16 = 22;
/// No type is as high, RTM_MAX and one.
pub const RTM_END: u16 = 124;

pub const IFLA_ADDRESS: u16 = 1;
pub const IFLA_BROADCAST: u16 = 2;
pub const IFLA_IFNAME: u16 = 3;
pub const IFLA_MTU: u16 = 4;
pub const IFLA_OPERSTATE: u16 = 16;
pub const IFLA_CARRIER: u16 = 33;

pub const IF_OPER_UNKNOWN: u8 = 0;
pub const IF_OPER_UP: u8 = 6;

pub const IFA_ADDRESS: u16 = 1;
pub const IFA_LOCAL: u16 = 2;
pub const IFA_LABEL: u16 = 3;
pub const IFA_BROADCAST: u16 = 4;
pub const IFA_CACHEINFO: u16 = 6;
pub const IFA_FLAGS: u16 = 8;

pub const IFA_F_PERMANENT: u32 = 0x80;

pub const RT_SCOPE_UNIVERSE: u8 = 0;
pub const RT_SCOPE_HOST: u8 = 254;

pub const IFF_UP: u32 = 1;
pub const IFF_BROADCAST: u32 = 2;
pub const IFF_LOOPBACK: u32 = 8;
pub const IFF_RUNNING: u32 = 0x40;
pub const IFF_LOWER_UP: u32 = 0x1_0000;

pub const ARPHRD_ETHER: u16 = 1;
pub const ARPHRD_LOOPBACK: u16 = 772;

/// The longest name of an interface, with its NUL.
pub const IFNAMSIZ: usize = 16;

pub const SIOCGIFNAME: u32 = 0x8910;
pub const SIOCGIFCONF: u32 = 0x8912;
pub const SIOCGIFFLAGS: u32 = 0x8913;
pub const SIOCGIFADDR: u32 = 0x8915;
pub const SIOCGIFBRDADDR: u32 = 0x8919;
pub const SIOCGIFNETMASK: u32 = 0x891b;
pub const SIOCGIFMETRIC: u32 = 0x891d;
pub const SIOCGIFMTU: u32 = 0x8921;
pub const SIOCGIFHWADDR: u32 = 0x8927;
pub const SIOCGIFINDEX: u32 = 0x8933;

/// `struct nlmsghdr`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct NetlinkHeader {
    /// Of the whole message, this header too.
    pub len: u32,
    pub kind: u16,
    pub flags: u16,
    pub sequence: u32,
    /// The sender's port.
    pub port: u32,
}

const _: () = assert!(size_of::<NetlinkHeader>() == 16);

/// `struct ifinfomsg`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct LinkMessage {
    pub family: u8,
    pub _gap: u8,
    /// ARPHRD_*.
    pub kind: u16,
    pub number: i32,
    /// IFF_*.
    pub flags: u32,
    pub change: u32,
}

const _: () = assert!(size_of::<LinkMessage>() == 16);

/// `struct ifaddrmsg`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct AddressMessage {
    pub family: u8,
    pub prefix_len: u8,
    /// IFA_F_*.
    pub flags: u8,
    /// RT_SCOPE_*.
    pub scope: u8,
    pub number: u32,
}

const _: () = assert!(size_of::<AddressMessage>() == 8);

/// `struct ifreq`: an interface's name, and the value asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct InterfaceRequest {
    pub name: [u8; IFNAMSIZ],
    pub value: [u8; 24],
}

const _: () = assert!(size_of::<InterfaceRequest>() == 40);

/// `struct ifconf`: room for requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct InterfaceList {
    /// In bytes.
    pub len: i32,
    pub _gap: u32,
    pub requests: u64,
}

const _: () = assert!(size_of::<InterfaceList>() == 16);
