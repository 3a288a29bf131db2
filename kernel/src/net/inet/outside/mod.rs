//! The network behind the network card: smoltcp cuts bytes into packets, keeps time and sends again; sockets are those of
//! the loopback interface.
//!
//! - [`card`]: the network card as smoltcp sees it.
//! - [`tcp`]: connections. The far end of each is smoltcp's, so a program's end is the same as of one within the machine.
//! - [`udp`]: messages, each in one packet.
//!
//! Everything here happens under one lock, the outermost of all that sockets take: in calls that send, that make room for
//! more, or that end something, and when the card or the clock says that it is time. There is no thread, and no polling.
//!
//! Not there: IPv6, DHCP (the boot parameter `net` has the addresses), messages longer than a packet, multicast, SO_KEEPALIVE,
//! and what ICMP says of unreachable ports.

mod card;
pub mod tcp;
pub mod udp;

use crate::arch::{irq, virtio};
use crate::boot::BootInfo;
use crate::boot::command_line::{Network, parameters};
use crate::driver::network::Card;
use crate::net::address::Ip;
use crate::random;
use crate::time::queue::{self, Expire, Timer};
use alloc::sync::Arc;
use alloc::vec::Vec;
use card::Port;
use libsyscall::abi::Errno;
use smoltcp::iface::{Config, Interface, PollResult, SocketSet};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr, Ipv4Address};
use spin::Once;
use sync::SpinLock;
use tcp::Connections;
use udp::Messages;

/// Frames looked at before others have their turn.
const FRAMES_AT_ONCE: usize = 512;

struct Stack {
    port: Port,
    interface: Interface,
    sockets: SocketSet<'static>,
    connections: Connections,
    messages: Messages,
}

struct Outside {
    address: Ip,
    prefix_len: u8,
    hardware_address: [u8; 6],
    stack: SpinLock<Stack>,
    /// Goes off when smoltcp has something to do.
    timer: Timer,
}

static OUTSIDE: Once<Arc<Outside>> = Once::new();

/// Brings the interface up, where the boot parameters ask for it and the machine has a network card.
pub fn init(boot: &BootInfo) {
    let Some(network) = parameters().network else { return };
    let Some((transport, line)) = virtio::network_card(boot) else {
        log::error!("no virtio network card");
        return;
    };
    let started = Card::new(transport).and_then(|card| {
        let hardware_address = card.address();
        Some((hardware_address, Stack::new(card, network).ok()?))
    });
    let (Some((hardware_address, stack)), Ok(timer)) = (started, Timer::new()) else {
        log::error!("the network card does not start");
        return;
    };
    OUTSIDE.call_once(|| {
        Arc::new(Outside {
            address: Ip::V4(network.address),
            prefix_len: network.prefix_len,
            hardware_address,
            stack: SpinLock::new(stack),
            timer,
        })
    });
    irq::register(line, interrupt);
}

/// This machine's address there, if the interface is up.
pub fn address() -> Option<Ip> {
    OUTSIDE.get().map(|outside| outside.address)
}

/// The bits of that address that are the network's, and the card's own address, if the interface is up.
pub fn card() -> Option<(u8, [u8; 6])> {
    OUTSIDE
        .get()
        .map(|outside| (outside.prefix_len, outside.hardware_address))
}

/// Whether an address can be one of another machine: who says to be this one is not believed.
fn is_foreign(from: impl Into<IpAddress>) -> bool {
    let IpAddress::Ipv4(from) = from.into();
    let from = Ip::V4(from.octets());
    !from.is_local() && !from.is_unspecified() && address() != Some(from)
}

/// The network card has received frames, or has sent some after it had been full.
fn interrupt() {
    if let Some(outside) = OUTSIDE.get() {
        outside.serve(|stack| stack.port.acknowledge());
    }
}

/// Does something and all that follows from it; `None` where there is no interface.
fn with_stack<R>(act: impl FnOnce(&mut Stack) -> R) -> Option<R> {
    OUTSIDE.get().map(|outside| outside.serve(act))
}

fn now() -> Instant {
    Instant::from_micros((crate::time::now_ns() / 1000) as i64)
}

impl Outside {
    fn serve<R>(self: &Arc<Self>, act: impl FnOnce(&mut Stack) -> R) -> R {
        let mut stack = self.stack.lock();
        let result = act(&mut stack);
        // Under the lock, which makes one owner of whoever arms the timer.
        match stack.run() {
            Some(deadline_ns) => queue::arm(self.clone(), deadline_ns),
            None => self.timer.cancel(),
        }
        result
    }
}

impl Expire for Outside {
    fn timer(&self) -> &Timer {
        &self.timer
    }

    fn expired(self: Arc<Self>) {
        self.serve(|_| ());
    }
}

impl Stack {
    /// ENOMEM.
    fn new(card: Card, network: Network) -> Result<Stack, Errno> {
        let mut config = Config::new(EthernetAddress(card.address()).into());
        config.random_seed = random::number();
        let mut port = Port::new(card);
        let mut interface = Interface::new(config, &mut port, now());
        let own = IpCidr::new(Ipv4Address::from(network.address).into(), network.prefix_len);
        let gateway = Ipv4Address::from(network.gateway);
        interface.update_ip_addrs(|addresses| {
            // The list is empty, and has room for more than one.
            let _ = addresses.push(own);
        });
        if interface.routes_mut().add_default_ipv4_route(gateway).is_err() {
            log::error!("no room for a route");
        }
        let mut sockets = SocketSet::new(Vec::new());
        let messages = Messages::new(&mut sockets)?;
        Ok(Stack {
            port,
            interface,
            sockets,
            connections: Connections::default(),
            messages,
        })
    }

    /// Takes in what has come, moves bytes between sockets and packets, sends what there is. When to do so again.
    fn run(&mut self) -> Option<u64> {
        let now = now();
        let (some, more) = self.take_in(now);
        if some {
            self.connections.exchange(&mut self.sockets);
        }
        let mut sends = || self.interface.poll_egress(now, &mut self.port, &mut self.sockets);
        while sends() == PollResult::SocketStateChanged {}
        self.connections.sweep(&mut self.sockets);
        let unsent = self.messages.give_up_late(&mut self.sockets);
        if more {
            return Some(0);
        }
        let next = self.interface.poll_at(now, &self.sockets);
        let next_ns = next.map(|at| at.total_micros().max(0) as u64 * 1000);
        // A full card says itself when it goes on.
        let next_ns = next_ns.filter(|&at_ns| at_ns > crate::time::now_ns() || self.port.can_send());
        next_ns
            .into_iter()
            .chain(unsent)
            .chain(self.connections.deadline_ns())
            .min()
    }

    /// Takes frames in that have come; whether there were some, and whether there are more.
    fn take_in(&mut self, now: Instant) -> (bool, bool) {
        for count in 0..FRAMES_AT_ONCE {
            if !self.port.fetch() {
                return (count > 0, false);
            }
            let welcome = self.connections.welcome(&self.port, &mut self.sockets);
            if !welcome {
                self.port.pass_over();
                continue;
            }
            self.interface
                .poll_ingress_single(now, &mut self.port, &mut self.sockets);
            self.messages.take_in(&mut self.sockets);
            if self.port.has_frame() {
                // Answers could not be sent. The card says when it goes on.
                return (true, false);
            }
        }
        (true, true)
    }
}
