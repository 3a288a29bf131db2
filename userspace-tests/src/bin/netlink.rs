//! Which network interfaces there are: by netlink, and by the requests of netdevice(7).

use libsyscall::abi::Errno;
use libsyscall::abi::netlink::*;
use std::collections::BTreeSet;
use std::ffi::CStr;
use std::mem::{size_of, zeroed};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;
use userspace_tests::{Fd, checked, tests};

fn main() -> ExitCode {
    userspace_tests::run(tests![
        addresses_of_loopback,
        names_and_numbers,
        list_of_interfaces,
        facts_of_loopback,
        requests_by_family,
        dump_of_links,
        dump_of_addresses_by_family,
        one_link,
        one_that_is_not_there,
        errors_repeat_the_request,
        acknowledgement,
        several_requests_at_once,
        cut_short,
        unknown_requests,
        an_answer_is_an_edge,
        peek_and_truncate,
        ports,
        lost_answers,
        options,
        wrong_calls,
    ])
}

/// The sequence number of every request here.
const SEQUENCE: u32 = 77;

fn netlink() -> Fd {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no memory is involved.
    Fd(checked(unsafe { libc::socket(libc::AF_NETLINK, kind, NETLINK_ROUTE) }).expect("socket"))
}

fn inet(domain: i32) -> Fd {
    // SAFETY: no memory is involved.
    Fd(checked(unsafe { libc::socket(domain, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) }).expect("socket"))
}

/// A request: its header, then its body.
fn request(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(((16 + body.len()) as u32).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((NLM_F_REQUEST | flags).to_ne_bytes());
    bytes.extend(SEQUENCE.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(body);
    bytes
}

/// `struct ifinfomsg` of an interface, with its name as an attribute where there is one.
fn link_of(number: i32, name: Option<&str>) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    bytes.extend(number.to_ne_bytes());
    bytes.extend([0; 8]);
    if let Some(name) = name {
        bytes.extend((4 + name.len() as u16 + 1).to_ne_bytes());
        bytes.extend(IFLA_IFNAME.to_ne_bytes());
        bytes.extend(name.as_bytes());
        bytes.push(0);
    }
    bytes
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

struct Message {
    kind: u16,
    flags: u16,
    sequence: u32,
    port: u32,
    body: Vec<u8>,
}

impl Message {
    /// The first attribute of a type behind a structure of `start` bytes.
    fn attribute(&self, start: usize, kind: u16) -> Option<&[u8]> {
        let mut rest = &self.body[start..];
        while rest.len() >= 4 {
            let len = usize::from(u16_at(rest, 0));
            if u16_at(rest, 2) == kind {
                return Some(&rest[4..len]);
            }
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        }
        None
    }

    /// What an NLMSG_ERROR says.
    fn error(&self) -> Option<Errno> {
        assert_eq!(self.kind, NLMSG_ERROR);
        Errno::new(-(u32_at(&self.body, 0) as i32) as usize)
    }
}

/// The messages of one receive.
fn receive(socket: &Fd) -> Result<Vec<Message>, Errno> {
    let mut buffer = vec![0; 65536];
    let len = socket.receive(&mut buffer, 0)?;
    let mut rest = &buffer[..len];
    let mut messages = Vec::new();
    while !rest.is_empty() {
        let len = u32_at(rest, 0) as usize;
        messages.push(Message {
            kind: u16_at(rest, 4),
            flags: u16_at(rest, 6),
            sequence: u32_at(rest, 8),
            port: u32_at(rest, 12),
            body: rest[16..len].to_vec(),
        });
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or(&[]);
    }
    Ok(messages)
}

/// All messages of a dump, without the last, which says that it is one.
fn dump(socket: &Fd, kind: u16, family: i32) -> Vec<Message> {
    let mut body = vec![family as u8];
    body.resize(16, 0);
    let bytes = request(kind, NLM_F_DUMP, &body);
    assert_eq!(socket.send(&bytes, 0), Ok(bytes.len()));
    let mut messages: Vec<Message> = Vec::new();
    while messages.last().is_none_or(|last| last.kind != NLMSG_DONE) {
        messages.extend(receive(socket).expect("an answer is there at once"));
    }
    for message in &messages {
        assert_eq!((message.sequence, message.port), (SEQUENCE, port(socket)));
        assert_ne!(message.flags & NLM_F_MULTI, 0);
    }
    messages.pop();
    messages
}

/// The one message that answers a request.
fn ask(socket: &Fd, bytes: &[u8]) -> Message {
    assert_eq!(socket.send(bytes, 0), Ok(bytes.len()));
    let mut messages = receive(socket).expect("an answer is there at once");
    assert_eq!(messages.len(), 1);
    messages.remove(0)
}

fn address_of(port: u32, groups: u32) -> libc::sockaddr_nl {
    // SAFETY: all zeroes are a valid sockaddr_nl.
    let mut address: libc::sockaddr_nl = unsafe { zeroed() };
    address.nl_family = libc::AF_NETLINK as u16;
    address.nl_pid = port;
    address.nl_groups = groups;
    address
}

fn bind(socket: &Fd, port: u32) -> Result<(), Errno> {
    let address = address_of(port, 0);
    // SAFETY: the address is as long as said.
    checked(unsafe { libc::bind(socket.0, (&raw const address).cast(), 12) }).map(drop)
}

fn name_by(
    socket: &Fd,
    call: unsafe extern "C" fn(i32, *mut libc::sockaddr, *mut u32) -> i32,
) -> Result<libc::sockaddr_nl, Errno> {
    let (mut address, mut len) = (address_of(0, 0), 12);
    // SAFETY: the address has room for what is said.
    checked(unsafe { call(socket.0, (&raw mut address).cast(), &mut len) })?;
    assert_eq!((len, address.nl_family), (12, libc::AF_NETLINK as u16));
    Ok(address)
}

fn port(socket: &Fd) -> u32 {
    name_by(socket, libc::getsockname).expect("getsockname").nl_pid
}

fn set(socket: &Fd, name: i32, value: i32) -> Result<(), Errno> {
    // SAFETY: the kernel reads one number.
    let result = unsafe { libc::setsockopt(socket.0, SOL_NETLINK, name, (&raw const value).cast(), 4) };
    checked(result).map(drop)
}

fn get(socket: &Fd, name: i32) -> Result<i32, Errno> {
    let (mut value, mut len) = (0i32, 4u32);
    // SAFETY: the kernel writes one number.
    let result = unsafe { libc::getsockopt(socket.0, SOL_NETLINK, name, (&raw mut value).cast(), &mut len) };
    checked(result).map(|_| value)
}

/// A request of netdevice(7) about an interface.
fn device(socket: &Fd, command: u32, name: &str, value: u32) -> Result<InterfaceRequest, Errno> {
    let mut request = InterfaceRequest::default();
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    request.value[..4].copy_from_slice(&value.to_ne_bytes());
    // SAFETY: the kernel reads and writes one request.
    checked(unsafe { libc::ioctl(socket.0, command as _, &raw mut request) })?;
    Ok(request)
}

fn addresses_of_loopback() {
    let mut list = std::ptr::null_mut();
    // SAFETY: there is room for the list's address.
    checked(unsafe { libc::getifaddrs(&mut list) }).expect("getifaddrs");
    let mut found = BTreeSet::new();
    let mut next = list;
    // SAFETY: the list ends with a null pointer.
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.ifa_next;
        // SAFETY: the name is a string.
        if unsafe { CStr::from_ptr(entry.ifa_name) } != c"lo" || entry.ifa_addr.is_null() {
            continue;
        }
        assert_eq!(entry.ifa_flags & IFF_LOOPBACK, IFF_LOOPBACK);
        // SAFETY: every address begins with its family.
        match i32::from(unsafe { (*entry.ifa_addr).sa_family }) {
            libc::AF_INET => {
                // SAFETY: so this is one of IPv4, and so is its mask.
                let [address, mask] = [entry.ifa_addr, entry.ifa_netmask]
                    .map(|at| unsafe { at.cast::<libc::sockaddr_in>().read_unaligned() }.sin_addr.s_addr);
                let [address, mask] = [address, mask].map(|bits| Ipv4Addr::from(bits.to_ne_bytes()));
                found.insert(format!("{address} {mask}"));
            }
            libc::AF_INET6 => {
                // SAFETY: so this is one of IPv6.
                let address = unsafe { entry.ifa_addr.cast::<libc::sockaddr_in6>().read_unaligned() };
                found.insert(Ipv6Addr::from(address.sin6_addr.s6_addr).to_string());
            }
            _ => {}
        }
    }
    // SAFETY: getifaddrs made it.
    unsafe { libc::freeifaddrs(list) };
    assert!(found.contains("127.0.0.1 255.0.0.0"), "{found:?}");
    assert!(found.contains("::1"), "{found:?}");
}

fn names_and_numbers() {
    // SAFETY: the names are strings.
    let number = |name: &CStr| unsafe { libc::if_nametoindex(name.as_ptr()) };
    assert_eq!(number(c"lo"), 1);
    assert_eq!(number(c"nowhere0"), 0);
    let socket = inet(libc::AF_INET);
    let request = device(&socket, SIOCGIFNAME, "", 1).expect("SIOCGIFNAME");
    assert_eq!(&request.name[..3], b"lo\0");
    assert_eq!(device(&socket, SIOCGIFNAME, "", 123_456), Err(Errno::ENODEV));
    assert_eq!(device(&socket, SIOCGIFINDEX, "nowhere0", 0), Err(Errno::ENODEV));
}

fn list_of_interfaces() {
    let socket = inet(libc::AF_INET);
    let ask = |requests: &mut [InterfaceRequest], len: i32| {
        let mut list = InterfaceList {
            len,
            requests: if requests.is_empty() {
                0
            } else {
                requests.as_mut_ptr() as u64
            },
            ..InterfaceList::default()
        };
        // SAFETY: the kernel writes as many requests as there is room for.
        checked(unsafe { libc::ioctl(socket.0, SIOCGIFCONF as _, &raw mut list) }).map(|_| list.len as usize)
    };
    let one = size_of::<InterfaceRequest>();
    let needed = ask(&mut [], 0).expect("SIOCGIFCONF");
    assert!(needed >= one && needed.is_multiple_of(one));
    let mut requests = vec![InterfaceRequest::default(); needed / one];
    assert_eq!(ask(&mut requests, needed as i32), Ok(needed));
    assert_eq!(&requests[0].name[..3], b"lo\0");
    assert_eq!(requests[0].value[4..8], [127, 0, 0, 1]);
    // Only whole ones.
    assert_eq!(ask(&mut requests, one as i32 + 7), Ok(one));
    assert_eq!(ask(&mut requests, one as i32 - 1), Ok(0));
}

fn facts_of_loopback() {
    let socket = inet(libc::AF_INET);
    let ask = |command| device(&socket, command, "lo", 0).expect("an interface").value;
    let flags = u16_at(&ask(SIOCGIFFLAGS), 0);
    assert_eq!(u32::from(flags) & 0xff, IFF_UP | IFF_LOOPBACK | IFF_RUNNING);
    assert_eq!(u32_at(&ask(SIOCGIFINDEX), 0), 1);
    assert_eq!(u32_at(&ask(SIOCGIFMTU), 0), 65536);
    assert_eq!(u32_at(&ask(SIOCGIFMETRIC), 0), 0);
    assert_eq!(u16_at(&ask(SIOCGIFHWADDR), 0), ARPHRD_LOOPBACK);
    assert_eq!(ask(SIOCGIFADDR)[4..8], [127, 0, 0, 1]);
    assert_eq!(ask(SIOCGIFNETMASK)[4..8], [255, 0, 0, 0]);
    assert_eq!(ask(SIOCGIFBRDADDR)[4..8], [0; 4]);
}

/// What is no IPv4 address any socket may ask; an address only an IPv4 one.
fn requests_by_family() {
    for socket in [inet(libc::AF_INET6), Fd::unix(libc::SOCK_STREAM), netlink()] {
        device(&socket, SIOCGIFINDEX, "lo", 0).expect("SIOCGIFINDEX");
        assert_eq!(device(&socket, SIOCGIFADDR, "lo", 0), Err(Errno::ENOTTY));
    }
}

fn dump_of_links() {
    let links = dump(&netlink(), RTM_GETLINK, libc::AF_UNSPEC);
    let lo = links
        .iter()
        .find(|link| link.attribute(16, IFLA_IFNAME) == Some(b"lo\0"))
        .expect("the loopback interface");
    assert_eq!(
        (lo.kind, u16_at(&lo.body, 2), u32_at(&lo.body, 4)),
        (RTM_NEWLINK, ARPHRD_LOOPBACK, 1)
    );
    let flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING | IFF_LOWER_UP;
    assert_eq!(u32_at(&lo.body, 8) & 0x100ff, flags);
    assert_eq!(lo.attribute(16, IFLA_MTU), Some(&65536u32.to_ne_bytes()[..]));
    assert_eq!(lo.attribute(16, IFLA_ADDRESS), Some(&[0; 6][..]));
    assert_eq!(lo.attribute(16, IFLA_OPERSTATE), Some(&[IF_OPER_UNKNOWN][..]));
    assert_eq!(lo.attribute(16, IFLA_CARRIER), Some(&[1][..]));
}

fn dump_of_addresses_by_family() {
    let socket = netlink();
    let of_lo = |family| {
        let mut messages = dump(&socket, RTM_GETADDR, family);
        for message in &messages {
            assert_eq!(message.kind, RTM_NEWADDR);
            let its_family = i32::from(message.body[0]);
            assert!(family == libc::AF_UNSPEC || its_family == family);
        }
        messages.retain(|message| u32_at(&message.body, 4) == 1);
        messages
    };
    let v4 = of_lo(libc::AF_INET);
    assert_eq!(v4[0].body[1..4], [8, IFA_F_PERMANENT as u8, RT_SCOPE_HOST]);
    assert_eq!(v4[0].attribute(8, IFA_ADDRESS), Some(&[127, 0, 0, 1][..]));
    assert_eq!(v4[0].attribute(8, IFA_LOCAL), Some(&[127, 0, 0, 1][..]));
    assert_eq!(v4[0].attribute(8, IFA_BROADCAST), None);
    assert_eq!(v4[0].attribute(8, IFA_LABEL), Some(&b"lo\0"[..]));
    let lifetimes = v4[0].attribute(8, IFA_CACHEINFO).expect("lifetimes");
    assert_eq!(lifetimes[..8], [0xff; 8]);
    let v6 = of_lo(libc::AF_INET6);
    assert_eq!(v6[0].attribute(8, IFA_ADDRESS), Some(&Ipv6Addr::LOCALHOST.octets()[..]));
    assert_eq!((v6[0].body[1], v6[0].body[3]), (128, RT_SCOPE_HOST));
    assert_eq!(of_lo(libc::AF_UNSPEC).len(), v4.len() + v6.len());
}

fn one_link() {
    let socket = netlink();
    for body in [link_of(1, None), link_of(0, Some("lo"))] {
        let link = ask(&socket, &request(RTM_GETLINK, 0, &body));
        assert_eq!((link.kind, link.flags & NLM_F_MULTI), (RTM_NEWLINK, 0));
        assert_eq!(link.attribute(16, IFLA_IFNAME), Some(&b"lo\0"[..]));
    }
}

fn one_that_is_not_there() {
    let socket = netlink();
    for body in [link_of(123_456, None), link_of(0, Some("nowhere0"))] {
        let answer = ask(&socket, &request(RTM_GETLINK, 0, &body));
        assert_eq!(answer.error(), Some(Errno::ENODEV));
    }
    let answer = ask(&socket, &request(RTM_GETLINK, 0, &link_of(0, None)));
    assert_eq!(answer.error(), Some(Errno::EINVAL));
}

fn errors_repeat_the_request() {
    let socket = netlink();
    let bytes = request(RTM_GETLINK, 0, &link_of(123_456, None));
    let answer = ask(&socket, &bytes);
    assert_eq!(answer.body[4..], bytes);
    assert_eq!(answer.flags & NLM_F_CAPPED, 0);
    set(&socket, NETLINK_CAP_ACK, 1).expect("NETLINK_CAP_ACK");
    let answer = ask(&socket, &bytes);
    assert_eq!(answer.body[4..], bytes[..16]);
    assert_eq!(answer.flags & NLM_F_CAPPED, NLM_F_CAPPED);
}

fn acknowledgement() {
    let socket = netlink();
    // The types below the first are netlink's own, and ask for nothing.
    let answer = ask(&socket, &request(NLMSG_MIN_TYPE - 1, NLM_F_ACK, &[]));
    assert_eq!((answer.error(), answer.sequence), (None, SEQUENCE));
    assert_eq!(answer.body.len(), 20);
    let bytes = request(NLMSG_MIN_TYPE - 1, 0, &[]);
    assert_eq!(socket.send(&bytes, 0), Ok(bytes.len()));
    assert_eq!(receive(&socket).err(), Some(Errno::EAGAIN));
}

fn several_requests_at_once() {
    let socket = netlink();
    let mut bytes = request(RTM_GETLINK, 0, &link_of(1, None));
    bytes.extend(request(RTM_GETLINK, 0, &link_of(123_456, None)));
    assert_eq!(socket.send(&bytes, 0), Ok(bytes.len()));
    assert_eq!(receive(&socket).expect("the first answer")[0].kind, RTM_NEWLINK);
    assert_eq!(
        receive(&socket).expect("the second answer")[0].error(),
        Some(Errno::ENODEV)
    );
}

/// A message that is shorter than it says is passed over.
fn cut_short() {
    let socket = netlink();
    let bytes = request(RTM_GETLINK, NLM_F_ACK, &link_of(1, None));
    for len in [1, 15, 16, bytes.len() - 1] {
        assert_eq!(socket.send(&bytes[..len], 0), Ok(len));
        assert_eq!(receive(&socket).err(), Some(Errno::EAGAIN));
    }
    // Of one that is shorter than its structure there is nothing to be known.
    assert_eq!(
        ask(&socket, &request(RTM_GETLINK, 0, &[0; 8])).error(),
        Some(Errno::EINVAL)
    );
}

fn unknown_requests() {
    let answer = ask(&netlink(), &request(1002, 0, &[0; 16]));
    assert_eq!(answer.error(), Some(Errno::EOPNOTSUPP));
}

fn an_answer_is_an_edge() {
    let (socket, epoll) = (netlink(), Fd::epoll());
    epoll.add(&socket, libc::EPOLLIN as u32 | libc::EPOLLET as u32);
    assert_eq!(epoll.ready(), []);
    let bytes = request(RTM_GETLINK, 0, &link_of(1, None));
    for _ in 0..2 {
        socket.send(&bytes, 0).expect("send");
        assert_eq!(epoll.ready(), [(socket.0 as u64, libc::EPOLLIN as u32)]);
        assert_eq!(epoll.ready(), []);
    }
    while receive(&socket).is_ok() {}
    assert_eq!(epoll.ready(), []);
}

fn peek_and_truncate() {
    let socket = netlink();
    socket
        .send(&request(RTM_GETLINK, 0, &link_of(1, None)), 0)
        .expect("send");
    let len = socket
        .receive(&mut [], libc::MSG_PEEK | libc::MSG_TRUNC)
        .expect("its length");
    assert!(len > 32);
    let mut buffer = vec![0; len];
    assert_eq!(socket.receive(&mut buffer, libc::MSG_PEEK), Ok(len));
    assert_eq!(socket.receive(&mut buffer[..16], libc::MSG_TRUNC), Ok(len));
    assert_eq!(u32_at(&buffer, 0) as usize, len);
    assert_eq!(socket.receive(&mut buffer, 0), Err(Errno::EAGAIN));
}

fn ports() {
    let (first, second) = (netlink(), netlink());
    assert_eq!(port(&first), 0);
    bind(&first, 0).expect("bind");
    bind(&second, 0).expect("bind");
    assert_ne!(port(&first), 0);
    assert_ne!(port(&first), port(&second));
    assert_eq!(bind(&first, port(&first)), Ok(()));
    assert_eq!(bind(&first, port(&first).wrapping_add(1)), Err(Errno::EINVAL));
    let third = netlink();
    assert_eq!(bind(&third, port(&first)), Err(Errno::EADDRINUSE));
    let old = port(&first);
    drop(first);
    assert_eq!(bind(&third, old), Ok(()));
    assert_eq!(name_by(&third, libc::getpeername).map(|name| name.nl_pid), Ok(0));
}

fn lost_answers() {
    let socket = netlink();
    let bytes = request(RTM_GETLINK, 0, &link_of(1, None));
    for _ in 0..2000 {
        assert_eq!(socket.send(&bytes, 0), Ok(bytes.len()));
    }
    assert_eq!(receive(&socket).err(), Some(Errno::ENOBUFS));
    let mut count = 0;
    while receive(&socket).is_ok() {
        count += 1;
    }
    assert!((1..2000).contains(&count), "{count}");
    assert_eq!(ask(&socket, &bytes).kind, RTM_NEWLINK);
}

fn options() {
    let socket = netlink();
    for name in [
        NETLINK_NO_ENOBUFS,
        NETLINK_CAP_ACK,
        NETLINK_EXT_ACK,
        NETLINK_GET_STRICT_CHK,
    ] {
        assert_eq!(get(&socket, name), Ok(0));
        assert_eq!(set(&socket, name, 5), Ok(()));
        assert_eq!(get(&socket, name), Ok(1));
    }
    assert_eq!(set(&socket, NETLINK_ADD_MEMBERSHIP, 1), Ok(()));
    assert_eq!(name_by(&socket, libc::getsockname).map(|name| name.nl_groups), Ok(1));
    assert_eq!(set(&socket, NETLINK_DROP_MEMBERSHIP, 1), Ok(()));
    assert_eq!(name_by(&socket, libc::getsockname).map(|name| name.nl_groups), Ok(0));
    assert_eq!(set(&socket, NETLINK_ADD_MEMBERSHIP, 0), Err(Errno::EINVAL));
    assert_eq!(set(&socket, NETLINK_ADD_MEMBERSHIP, 1000), Err(Errno::EINVAL));
    assert_eq!(set(&socket, 1000, 1), Err(Errno::ENOPROTOOPT));
}

fn wrong_calls() {
    // SAFETY: no memory is involved.
    let create = |kind, protocol| checked(unsafe { libc::socket(libc::AF_NETLINK, kind, protocol) }).map(Fd);
    assert_eq!(create(libc::SOCK_STREAM, NETLINK_ROUTE), Err(Errno::ESOCKTNOSUPPORT));
    assert_eq!(create(libc::SOCK_RAW, -1), Err(Errno::EPROTONOSUPPORT));
    assert_eq!(create(libc::SOCK_RAW, 1000), Err(Errno::EPROTONOSUPPORT));
    let socket = netlink();
    assert_eq!(socket.listen(1), Err(Errno::EOPNOTSUPP));
    assert_eq!(socket.accept(), Err(Errno::EOPNOTSUPP));
    assert_eq!(socket.shut_down(libc::SHUT_RD), Err(Errno::EOPNOTSUPP));
    assert_eq!(socket.send(b"", libc::MSG_OOB), Err(Errno::EOPNOTSUPP));
    assert_eq!(socket.receive(&mut [0], libc::MSG_OOB), Err(Errno::EOPNOTSUPP));
    assert_eq!(socket.send(&vec![0; 1 << 20], 0), Err(Errno::EMSGSIZE));
    // The address of another kind, and one that is too short.
    assert_eq!(socket.bind(b"/nowhere"), Err(Errno::EINVAL));
    let address = address_of(0, 0);
    // SAFETY: the address is longer than said.
    let result = checked(unsafe { libc::bind(socket.0, (&raw const address).cast(), 11) });
    assert_eq!(result, Err(Errno::EINVAL));
}
