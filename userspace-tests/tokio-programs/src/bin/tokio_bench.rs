//! What tokio's operations cost, on whatever kernel this runs: `tokio_bench [--list] [CASE...]`, as
//! [`userspace_tests::bench`] says. A case whose name ends in `_2` runs on two workers, the others on one thread.

use std::process::ExitCode;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinSet, yield_now};
use userspace_tests::bench::{self, Case, Meter};

const CASES: &[Case] = &[
    ("spawn", |meter| spawn(meter, one_thread())),
    ("spawn_2", |meter| spawn(meter, two_workers())),
    ("yield", yielding),
    ("timeout", timeout),
    ("tcp_ping_pong", |meter| ping_pong(meter, one_thread(), tcp)),
    ("tcp_ping_pong_2", |meter| ping_pong(meter, two_workers(), tcp)),
    ("unix_ping_pong", |meter| ping_pong(meter, one_thread(), unix)),
    ("unix_ping_pong_2", |meter| ping_pong(meter, two_workers(), unix)),
    ("tcp_echo_32", |meter| echo(meter, one_thread(), tcp, 32, 0)),
    ("tcp_echo_32_2", |meter| echo(meter, two_workers(), tcp, 32, 0)),
    ("unix_echo_32", |meter| echo(meter, one_thread(), unix, 32, 0)),
    ("tcp_echo_100_of_10000", |meter| {
        echo(meter, one_thread(), tcp, 100, 9900)
    }),
];

/// Operations of a batch.
const OPERATIONS: u32 = 1000;
/// Bytes of a request, and of its answer.
const REQUEST: usize = 64;

fn main() -> ExitCode {
    bench::run(&[CASES], |_| true)
}

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn two_workers() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Measures rounds of [`OPERATIONS`] in the runtime.
fn rounds<F: Future>(meter: &mut Meter, runtime: &Runtime, mut round: impl FnMut() -> F) {
    meter.measure_each(1, OPERATIONS, || drop(runtime.block_on(round())));
}

/// A task comes and goes.
fn spawn(meter: &mut Meter, runtime: Runtime) {
    rounds(meter, &runtime, || async {
        for _ in 0..OPERATIONS {
            tokio::spawn(async {}).await.expect("a task");
        }
    });
}

fn yielding(meter: &mut Meter) {
    rounds(meter, &one_thread(), || async {
        for _ in 0..OPERATIONS {
            yield_now().await;
        }
    });
}

/// A timer is set and taken back.
fn timeout(meter: &mut Meter) {
    rounds(meter, &one_thread(), || async {
        for _ in 0..OPERATIONS {
            tokio::time::timeout(Duration::from_secs(60), yield_now())
                .await
                .expect("no timeout");
        }
    });
}

/// Both ends of a connection.
type Pair<S> = (S, S);

async fn tcp() -> Pair<TcpStream> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("an address");
    let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (client, (server, _)) = (client.expect("connect"), server.expect("accept"));
    for end in [&client, &server] {
        end.set_nodelay(true).expect("no delay");
    }
    (client, server)
}

async fn unix() -> Pair<UnixStream> {
    UnixStream::pair().expect("a pair")
}

/// Sends back what comes, until the other end is closed.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut bytes = [0; REQUEST];
    while let Ok(count @ 1..) = stream.read(&mut bytes).await {
        stream.write_all(&bytes[..count]).await.expect("write");
    }
}

/// A request and its answer.
async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let mut bytes = [7; REQUEST];
    stream.write_all(&bytes).await.expect("write");
    stream.read_exact(&mut bytes).await.expect("read");
}

/// One client that asks again when it has its answer.
fn ping_pong<S, F>(meter: &mut Meter, runtime: Runtime, connect: fn() -> F)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = Pair<S>>,
{
    let mut client = runtime.block_on(async {
        let (client, server) = connect().await;
        tokio::spawn(serve(server));
        client
    });
    meter.measure_each(1, OPERATIONS, || {
        runtime.block_on(async {
            for _ in 0..OPERATIONS {
                ask(&mut client).await;
            }
        });
    });
}

/// `active` clients at once, each as in [`ping_pong`], among `idle` ones that never ask.
fn echo<S, F>(meter: &mut Meter, runtime: Runtime, connect: fn() -> F, active: usize, idle: usize)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = Pair<S>>,
{
    const ASKS: usize = 20;
    let mut clients = Vec::new();
    runtime.block_on(async {
        for _ in 0..active + idle {
            let (client, server) = connect().await;
            tokio::spawn(serve(server));
            clients.push(client);
        }
    });
    let _idle = clients.split_off(active);
    meter.measure_each(1, (active * ASKS) as u32, || {
        let asking = clients.drain(..).map(|mut client| async move {
            for _ in 0..ASKS {
                ask(&mut client).await;
            }
            client
        });
        clients = runtime.block_on(async { asking.collect::<JoinSet<_>>().join_all().await });
    });
}
