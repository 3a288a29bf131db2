//! The network behind the network card: a program in the machine serves this computer, and is its client.

use super::boot::Boot;
use super::{Guests, Plan, label, queue, root_file};
use crate::arch::Arch;
use crate::build::Built;
use crate::console::Stream;
use crate::machine::{Board, Machine};
use crate::network::{Network, Published};
use crate::root::{self, Start};
use anyhow::{Context, Result, ensure};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// `userspace-tests/tokio-programs/src/bin/outside.rs`: its ports, and what it says at first and in all.
const PROGRAM: &str = "outside";
const SERVER_PORT: u16 = 80;
const END_PORT: u16 = 81;
const LISTENING: &str = "listening\n";
const OUTPUT: &str = "listening
own addresses: 300000 bytes came back from each
clients: 2400028 bytes came back from the host
refused where nobody listens, and from the loopback address
reset by the host
messages answered
ended
";

/// Clients of the server in the machine: one after the other, at the same time, and those that break off.
const ONE_BY_ONE: usize = 20;
const AT_ONCE: usize = 32;
const BROKEN_OFF: usize = 8;
const LITTLE: usize = 1000;
const MUCH: usize = 4_000_000;

const LIMIT: Duration = Duration::from_secs(60);

pub fn run(plan: &Plan, guests: &Guests) -> Result<()> {
    let microvm = |machine: &&Machine| machine.arch == Arch::X86_64 && machine.cpus == 2;
    let boards = plan.machines.iter().filter(microvm).map(|machine| Machine {
        board: Board::Microvm,
        ..machine.clone()
    });
    let name = |machine: &Machine| format!("{} network::{PROGRAM}", label(machine));
    let jobs: Vec<Machine> = plan
        .machines
        .iter()
        .cloned()
        .chain(boards)
        .filter(|machine| plan.wants(&name(machine)))
        .collect();
    queue::run(
        &jobs,
        |machine| machine.cpus,
        |machine| {
            let Some((kernel, programs)) = guests.of(machine.arch) else {
                return;
            };
            let name = name(machine);
            let start = Instant::now();
            let result = on_machine(machine, kernel, &programs.join(PROGRAM), &name);
            let seconds = start.elapsed().as_secs_f64();
            match result {
                Ok(()) => plan.report.passed(&name, seconds),
                Err(error) => plan.report.failed(&name, seconds, &format!("{error:#}")),
            }
        },
    );
    Ok(())
}

fn on_machine(machine: &Machine, kernel: &Built, program: &Path, name: &str) -> Result<()> {
    let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen")?;
    let resetting = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen")?;
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot bind a UDP socket")?;
    let ports = [tcp.local_addr(), udp.local_addr(), resetting.local_addr()];
    let ports = ports.map(|address| address.map(|address| address.port().to_string()));
    let ports = ports.into_iter().collect::<std::io::Result<Vec<String>>>()?;
    // All end with this process.
    thread::spawn(move || echo_connections(&tcp));
    thread::spawn(move || reset_connections(&resetting));
    thread::spawn(move || echo_messages(&udp));

    let published = [SERVER_PORT, END_PORT].map(publish);
    let [server, end] = published;
    let (server, end) = (server?, end?);
    let machine = Machine {
        network: Some(Network {
            published: vec![server, end],
        }),
        ..machine.clone()
    };
    let contents = std::fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let start = Start {
        path: &format!("/bin/{PROGRAM}"),
        contents: &contents,
        arguments: &ports,
        ..Start::default()
    };
    let boot = Boot {
        machine: &machine,
        kernel,
        root: &root::archive(&start),
        parameters: "",
        input: &[],
        limit: LIMIT,
    };
    let mut output = Vec::new();
    let mut clients = None;
    let ended = boot.run(&root_file(name)?, |stream, bytes| {
        if stream == Stream::Output {
            output.extend_from_slice(bytes);
        }
        if clients.is_none() && output.starts_with(LISTENING.as_bytes()) {
            clients = Some(thread::spawn(move || be_clients(server.here, end.here)));
        }
    })?;
    let said = || format!("{}\n{}", String::from_utf8_lossy(&ended.output), ended.said());
    let clients = clients.with_context(said)?.join();
    clients
        .unwrap_or_else(|_| Err(anyhow::anyhow!("a client panicked")))
        .with_context(said)?;
    ensure!(ended.status == Some(0) && ended.output == OUTPUT.as_bytes(), said());
    Ok(())
}

/// A port that nobody has, for one of the machine's.
fn publish(guest: u16) -> Result<Published> {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot find a free port")?;
    Ok(Published {
        here: SocketAddrV4::new(Ipv4Addr::LOCALHOST, free.local_addr()?.port()),
        guest,
    })
}

/// Gives everyone back what they send, and then the end.
fn echo_connections(listener: &TcpListener) {
    for socket in listener.incoming().flatten() {
        thread::spawn(move || -> std::io::Result<()> {
            std::io::copy(&mut &socket, &mut &socket)?;
            socket.shutdown(Shutdown::Write)
        });
    }
}

/// Closes what has come with a byte that is not read: that is a reset.
fn reset_connections(listener: &TcpListener) {
    for socket in listener.incoming().flatten() {
        let _ = socket.peek(&mut [0]);
    }
}

fn echo_messages(socket: &UdpSocket) {
    let mut message = [0; 2048];
    while let Ok((len, from)) = socket.recv_from(&mut message) {
        // A lost answer is asked for again.
        let _ = socket.send_to(&message[..len], from);
    }
}

/// All that is done with the server in the machine, and at last its end.
fn be_clients(server: SocketAddrV4, end: SocketAddrV4) -> Result<()> {
    for _ in 0..ONE_BY_ONE {
        exchange(&connect(server)?, LITTLE).context("one by one")?;
    }
    let broken_off: Vec<TcpStream> = (0..BROKEN_OFF).map(|_| break_off(server)).collect::<Result<_>>()?;
    // QEMU has room for one connection that it has not taken yet; more at a time are the host's to refuse.
    let connected: Vec<TcpStream> = (0..AT_ONCE).map(|_| connect(server)).collect::<Result<_>>()?;
    let clients = connected.into_iter().enumerate();
    let clients: Vec<_> = clients
        .map(|(number, socket)| thread::spawn(move || exchange(&socket, LITTLE * (number + 1))))
        .collect();
    for client in clients {
        client.join().expect("a client panicked").context("at once")?;
    }
    drop(broken_off);
    exchange(&connect(server)?, MUCH).context("much")?;
    TcpStream::connect(end).context("the end")?;
    Ok(())
}

/// A connection that the machine has taken: a byte came back.
fn connect(server: SocketAddrV4) -> Result<TcpStream> {
    let mut socket = TcpStream::connect(server).context("cannot connect")?;
    socket.write_all(&[1]).context("cannot send a byte")?;
    socket.read_exact(&mut [0]).context("cannot read a byte")?;
    Ok(socket)
}

/// Sends bytes and the end, while reading what comes back.
fn exchange(socket: &TcpStream, len: usize) -> Result<()> {
    let sent: Vec<u8> = (0..len).map(|at| (at / 7) as u8).collect();
    let came = thread::scope(|scope| {
        let sending = scope.spawn(|| -> std::io::Result<()> {
            (&*socket).write_all(&sent)?;
            socket.shutdown(Shutdown::Write)
        });
        let mut came = Vec::new();
        (&*socket).read_to_end(&mut came).context("cannot read")?;
        sending.join().expect("the sender panicked").context("cannot send")?;
        anyhow::Ok(came)
    })?;
    ensure!(came == sent, "{} other bytes came back than the {len} sent", came.len());
    Ok(())
}

/// A client that does not read what it is sent; dropped, it breaks off.
fn break_off(server: SocketAddrV4) -> Result<TcpStream> {
    let mut socket = connect(server)?;
    socket.write_all(&[1; LITTLE]).context("cannot send")?;
    Ok(socket)
}
