//! The program `cargo xtask run` shows: a multi-thread runtime with two workers, TCP echo over loopback, timers, channels
//! and blocking work. Every line is deterministic, so its output inside Vigil can be compared with Linux's.

use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinSet;

const CLIENTS: usize = 8;
const ROUNDS: usize = 50;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(demonstrate())
}

async fn demonstrate() -> Outcome<()> {
    println!("runtime: 2 workers");
    let bytes = echo().await?;
    println!("echo: {CLIENTS} clients, {ROUNDS} rounds each, {bytes} bytes came back");
    let ticks = timers().await;
    println!("timers: {ticks} ticks of 10 ms, none early; a timeout ended a wait for ever");
    let sum = channels().await?;
    println!("channels: the sum over mpsc, oneshot and broadcast is {sum}");
    let blocking = blocking_work().await?;
    println!("blocking: 4 tasks summed to {blocking}");
    println!("demonstration: all 4 parts done");
    Ok(())
}

/// Clients write and read back lines of growing length from one echo server; gives the bytes that came back.
async fn echo() -> Outcome<usize> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        for _ in 0..CLIENTS {
            let (mut stream, _) = listener.accept().await?;
            connections.spawn(async move {
                let (mut reader, mut writer) = stream.split();
                tokio::io::copy(&mut reader, &mut writer).await
            });
        }
        while let Some(copied) = connections.join_next().await {
            copied??;
        }
        Outcome::Ok(())
    });
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            let mut received = 0;
            for round in 0..ROUNDS {
                let sent = vec![(client * ROUNDS + round) as u8; 1 + round * 97];
                stream.write_all(&sent).await?;
                let mut back = vec![0; sent.len()];
                stream.read_exact(&mut back).await?;
                assert!(back == sent, "client {client} round {round}: other bytes came back");
                received += back.len();
            }
            stream.shutdown().await?;
            Outcome::Ok(received)
        });
    }
    let mut bytes = 0;
    while let Some(received) = clients.join_next().await {
        bytes += received??;
    }
    server.await??;
    Ok(bytes)
}

/// Counts an interval's ticks, none of which may come early, and lets a timeout end a wait that nothing else would.
async fn timers() -> usize {
    const TICK: Duration = Duration::from_millis(10);
    const TICKS: usize = 10;
    let start = Instant::now();
    let mut interval = tokio::time::interval(TICK);
    for tick in 0..TICKS as u32 {
        interval.tick().await;
        assert!(
            start.elapsed() >= TICK * tick,
            "tick {tick} came after {:?}",
            start.elapsed()
        );
    }
    let never = tokio::time::timeout(TICK, std::future::pending::<()>()).await;
    assert!(never.is_err(), "a pending future finished");
    TICKS
}

/// Sends 1..=100 through an mpsc channel, the sum of it through a oneshot, and that to two broadcast receivers.
async fn channels() -> Outcome<u64> {
    let (numbers, mut received) = mpsc::channel(4);
    let (result, sum) = oneshot::channel();
    tokio::spawn(async move {
        for number in 1..=100u64 {
            if numbers.send(number).await.is_err() {
                break;
            }
        }
    });
    tokio::spawn(async move {
        let mut sum = 0;
        while let Some(number) = received.recv().await {
            sum += number;
        }
        result.send(sum)
    });
    let (broadcast, mut first) = broadcast::channel(1);
    let mut second = broadcast.subscribe();
    broadcast.send(sum.await?)?;
    let (first, second) = tokio::try_join!(first.recv(), second.recv())?;
    assert_eq!(first, second);
    Ok(first)
}

/// Work on the blocking pool's own threads.
async fn blocking_work() -> Outcome<u64> {
    let mut tasks = JoinSet::new();
    for task in 0..4u64 {
        tasks.spawn_blocking(move || (task * 1000..(task + 1) * 1000).sum::<u64>());
    }
    Ok(tasks.join_all().await.into_iter().sum())
}
