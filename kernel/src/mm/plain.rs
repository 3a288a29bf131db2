//! The structures of the ABI that cross the border to user memory as they lie.

use super::user::Plain;
use libsyscall::abi::{capability, epoll, fcntl, ioctl, mqueue, netlink, socket, stat};

/// Structures without padding, of integers only.
macro_rules! plain {
    ($($structure:ty),* $(,)?) => {
        $(
            // SAFETY: repr(C) or packed, made of integers, and every gap is a named field; sizes are asserted where it is defined.
            unsafe impl Plain for $structure {}
        )*
    };
}

plain! {
    socket::MessageHeader,
    socket::NumberedMessageHeader,
    socket::ControlHeader,
    epoll::EpollEvent,
    capability::CapabilityHeader,
    capability::CapabilityData,
    epoll::EpollParams,
    epoll::PollFd,
    stat::Stat,
    stat::Statx,
    stat::Statfs,
    stat::Timespec,
    fcntl::Flock,
    ioctl::Termios,
    ioctl::Termios2,
    ioctl::Winsize,
    mqueue::MqAttr,
    netlink::NetlinkHeader,
    netlink::LinkMessage,
    netlink::AddressMessage,
    netlink::InterfaceRequest,
    netlink::InterfaceList,
}
