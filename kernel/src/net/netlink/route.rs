//! What NETLINK_ROUTE answers: which interfaces there are, and their addresses. To change them is not there, nor are routes
//! and neighbours.

use super::message::{Answer, Request, value};
use crate::net::address::Ip;
use crate::net::inet::interfaces::{self, Interface, Own};
use crate::task;
use libsyscall::abi::Errno;
use libsyscall::abi::capability::CAP_NET_ADMIN;
use libsyscall::abi::netlink::*;
use libsyscall::abi::socket::{AF_INET, AF_INET6};

/// Answers a request of the socket at `port`; nothing where it asks for nothing. `capped`: an error does not repeat the
/// request, NETLINK_CAP_ACK.
pub fn answer(request: &Request, port: u32, capped: bool) -> Answer {
    let mut answer = Answer::default();
    let NetlinkHeader { kind, flags, .. } = request.header;
    let result = match flags & NLM_F_REQUEST != 0 && kind >= NLMSG_MIN_TYPE {
        true => tell(request, port, &mut answer),
        false => Ok(()),
    };
    let is_dump = flags & NLM_F_DUMP == NLM_F_DUMP && result.is_ok() && !answer.bytes.is_empty();
    if is_dump {
        answer.begin(header(request, port, NLMSG_DONE, NLM_F_MULTI), &0i32);
    } else if result.is_err() || flags & NLM_F_ACK != 0 {
        complain(request, port, result.err(), capped, &mut answer);
    }
    answer
}

fn header(request: &Request, port: u32, kind: u16, flags: u16) -> NetlinkHeader {
    NetlinkHeader {
        len: 0,
        kind,
        flags,
        sequence: request.header.sequence,
        port,
    }
}

/// Tells of an error, or that there was none, with the request it is about.
fn complain(request: &Request, port: u32, error: Option<Errno>, capped: bool, answer: &mut Answer) {
    let is_whole = error.is_some() && !capped;
    let flags = if is_whole { 0 } else { NLM_F_CAPPED };
    let code = error.map_or(0, |error| -(error.number() as i32));
    answer.begin(header(request, port, NLMSG_ERROR, flags), &code);
    let shown = if is_whole {
        request.bytes.len()
    } else {
        size_of::<NetlinkHeader>()
    };
    answer.put_bytes(&request.bytes[..shown]);
}

/// EOPNOTSUPP for what is not there, EPERM where somebody without privileges asks for a change; and what each says.
fn tell(request: &Request, port: u32, answer: &mut Answer) -> Result<(), Errno> {
    let kind = request.header.kind;
    let is_dump = request.header.flags & NLM_F_DUMP == NLM_F_DUMP;
    // The first byte of every structure.
    let Some(&family) = request.body.first() else {
        return Ok(());
    };
    match kind {
        RTM_GETLINK if is_dump => {
            for interface in interfaces::all() {
                link(request, port, &interface, NLM_F_MULTI, answer);
            }
            Ok(())
        }
        RTM_GETLINK => {
            link(request, port, &asked_for(request)?, 0, answer);
            Ok(())
        }
        RTM_GETADDR if is_dump => {
            for interface in interfaces::all() {
                for own in interface.addresses() {
                    // Another family than these two asks for all.
                    let differs = u16::from(family) != family_of(own);
                    if differs && matches!(u16::from(family), AF_INET | AF_INET6) {
                        continue;
                    }
                    address(request, port, &interface, own, answer);
                }
            }
            Ok(())
        }
        RTM_END.. => Err(Errno::EOPNOTSUPP),
        // Two bits say what is wanted of it: new, delete, get, set.
        _ if kind & 3 != RTM_GETLINK & 3 && !is_privileged() => Err(Errno::EPERM),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

fn is_privileged() -> bool {
    task::with_current(|thread| thread.credentials().has(CAP_NET_ADMIN))
}

fn family_of(own: Own) -> u16 {
    match own.ip {
        Ip::V4(_) => AF_INET,
        Ip::V6(_) => AF_INET6,
    }
}

/// The interface of a request's number, or of its name: EINVAL where it has neither, ENODEV.
fn asked_for(request: &Request) -> Result<Interface, Errno> {
    let message: LinkMessage = value(request.body).ok_or(Errno::EINVAL)?;
    let name = request.attribute(size_of::<LinkMessage>(), IFLA_IFNAME);
    let name = name.map(|name| name.strip_suffix(b"\0").unwrap_or(name));
    if message.number <= 0 && name.is_none() {
        return Err(Errno::EINVAL);
    }
    let found = interfaces::all().find(|interface| match message.number {
        1.. => interface.number == message.number as u32,
        _ => name == Some(interface.name.as_bytes()),
    });
    found.ok_or(Errno::ENODEV)
}

fn link(request: &Request, port: u32, interface: &Interface, flags: u16, answer: &mut Answer) {
    let message = LinkMessage {
        kind: interface.kind,
        number: interface.number as i32,
        flags: interface.flags,
        ..LinkMessage::default()
    };
    answer.begin(header(request, port, RTM_NEWLINK, flags), &message);
    answer.name(IFLA_IFNAME, interface.name);
    answer.attribute(IFLA_OPERSTATE, &[interface.state]);
    answer.attribute(IFLA_MTU, &interface.mtu.to_ne_bytes());
    answer.attribute(IFLA_CARRIER, &[1]);
    answer.attribute(IFLA_ADDRESS, &interface.hardware_address);
    answer.attribute(IFLA_BROADCAST, &interface.hardware_broadcast);
}

fn address(request: &Request, port: u32, interface: &Interface, own: Own, answer: &mut Answer) {
    let message = AddressMessage {
        family: family_of(own) as u8,
        prefix_len: own.prefix_len,
        flags: IFA_F_PERMANENT as u8,
        scope: if own.ip.is_local() {
            RT_SCOPE_HOST
        } else {
            RT_SCOPE_UNIVERSE
        },
        number: interface.number,
    };
    answer.begin(header(request, port, RTM_NEWADDR, NLM_F_MULTI), &message);
    match own.ip {
        Ip::V4(ip) => {
            answer.attribute(IFA_ADDRESS, &ip);
            answer.attribute(IFA_LOCAL, &ip);
            if let Some(Ip::V4(ip)) = own.broadcast() {
                answer.attribute(IFA_BROADCAST, &ip);
            }
            answer.name(IFA_LABEL, interface.name);
        }
        Ip::V6(ip) => answer.attribute(IFA_ADDRESS, &ip),
    }
    // Preferred and valid for ever; made and changed when the machine started, in hundredths of a second.
    let lifetimes = [u32::MAX, u32::MAX, 0, 0];
    answer.attribute(IFA_CACHEINFO, lifetimes.map(u32::to_ne_bytes).as_flattened());
    answer.attribute(IFA_FLAGS, &IFA_F_PERMANENT.to_ne_bytes());
}
