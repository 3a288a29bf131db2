//! A server that other machines reach, and a client of theirs. The other machine is the test on the host
//! (`xtask/src/test/network.rs`); the arguments are its ports: those that give back what comes, by TCP and UDP, and one
//! that resets its connections.

use std::io::{Error, ErrorKind, Result};
use std::net::{Ipv4Addr, SocketAddr};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
const SERVER_PORT: u16 = 80;
/// Whoever connects here ends the program.
const END_PORT: u16 = 81;
/// Nobody on the host listens to it.
const REFUSED_PORT: u16 = 1;

const CLIENTS: usize = 8;
const BYTES: usize = 300_000;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let mut ports = std::env::args().skip(1).map(|port| port.parse().unwrap_or(0));
    let [tcp_port, udp_port, reset_port] = std::array::from_fn(|_| ports.next().unwrap_or(0));
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, SERVER_PORT)).await?;
    let end = TcpListener::bind((Ipv4Addr::UNSPECIFIED, END_PORT)).await?;
    tokio::spawn(serve(listener));
    println!("listening");

    for own in [Ipv4Addr::LOCALHOST, OWN] {
        let (local, peer, count) = echo((own, SERVER_PORT).into(), BYTES).await?;
        assert_eq!((local.ip(), peer.ip(), count), (own.into(), own.into(), BYTES));
    }
    println!("own addresses: {BYTES} bytes came back from each");

    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(echo((HOST, tcp_port).into(), BYTES + number));
    }
    let mut total = 0;
    while let Some(client) = clients.join_next().await {
        let (local, peer, count) = client??;
        assert_eq!((local.ip(), peer), (OWN.into(), (HOST, tcp_port).into()));
        total += count;
    }
    println!("clients: {total} bytes came back from the host");

    let refused = TcpStream::connect((HOST, REFUSED_PORT))
        .await
        .map_err(|error| error.kind());
    assert_eq!(refused.err(), Some(ErrorKind::ConnectionRefused));
    let bound = tokio::net::TcpSocket::new_v4()?;
    bound.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let unroutable = bound
        .connect((HOST, tcp_port).into())
        .await
        .map_err(|error| error.kind());
    assert_eq!(unroutable.err(), Some(ErrorKind::InvalidInput));
    println!("refused where nobody listens, and from the loopback address");

    let mut socket = TcpStream::connect((HOST, reset_port)).await?;
    socket.write_all(&[1]).await?;
    // All of it at once: an error, and the end of both directions.
    let reading = socket.ready(Interest::READABLE | Interest::ERROR).await?;
    let writing = socket.ready(Interest::WRITABLE).await?;
    assert!(reading.is_error() && reading.is_read_closed(), "{reading:?}");
    assert!(writing.is_write_closed(), "{writing:?}");
    let error = socket.read(&mut [0]).await.map_err(|error| error.kind());
    assert_eq!(error.err(), Some(ErrorKind::ConnectionReset));
    println!("reset by the host");

    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    let mut answer = [0; 2048];
    for len in [1, 1472] {
        let (len, from) = loop {
            // It may be lost, as messages are.
            socket.send_to(&vec![7; len], (HOST, udp_port)).await?;
            let answered = socket.recv_from(&mut answer);
            match tokio::time::timeout(std::time::Duration::from_secs(1), answered).await {
                Ok(answered) => break answered?,
                Err(_) => continue,
            }
        };
        assert_eq!((&answer[..len], from), (&vec![7; len][..], (HOST, udp_port).into()));
    }
    let too_long = socket.send_to(&[0; 1473], (HOST, udp_port)).await;
    assert_eq!(too_long.err().and_then(|error| error.raw_os_error()), Some(90));
    println!("messages answered");

    end.accept().await?;
    println!("ended");
    Ok(())
}

/// Gives everyone back what they send, and then the end.
async fn serve(listener: TcpListener) -> Result<()> {
    loop {
        let (mut socket, peer) = listener.accept().await?;
        assert_eq!(peer.ip().is_ipv4(), socket.local_addr()?.is_ipv4());
        tokio::spawn(async move {
            let (mut reader, mut writer) = socket.split();
            // A client that breaks off is an error that is none of ours.
            if tokio::io::copy(&mut reader, &mut writer).await.is_ok() {
                let _ = writer.shutdown().await;
            }
        });
    }
}

/// Sends bytes and the end, while reading what comes back; both addresses and how many came.
async fn echo(to: SocketAddr, len: usize) -> Result<(SocketAddr, SocketAddr, usize)> {
    let sent: Vec<u8> = (0..len).map(|at| (at / 7) as u8).collect();
    let mut socket = TcpStream::connect(to).await?;
    let (local, peer) = (socket.local_addr()?, socket.peer_addr()?);
    let (mut reader, mut writer) = socket.split();
    let sending = async {
        writer.write_all(&sent).await?;
        writer.shutdown().await
    };
    let mut came = Vec::new();
    let (sending, receiving) = tokio::join!(sending, reader.read_to_end(&mut came));
    sending?;
    receiving?;
    if came != sent {
        return Err(Error::other("other bytes came back"));
    }
    Ok((local, peer, came.len()))
}
