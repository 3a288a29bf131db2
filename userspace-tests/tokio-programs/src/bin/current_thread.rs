//! A single-threaded runtime: local tasks that are not `Send`, a listener and its client on the same thread.

use std::cell::Cell;
use std::rc::Rc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

fn main() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let yields = Rc::new(Cell::new(0));
        let tasks: Vec<_> = (0..10)
            .map(|_| {
                let yields = Rc::clone(&yields);
                tokio::task::spawn_local(async move {
                    for _ in 0..100 {
                        yields.set(yields.get() + 1);
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await?;
        }
        println!("local tasks: {} yields", yields.get());

        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let client = tokio::task::spawn_local(async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(b"ping").await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            std::io::Result::Ok(answer)
        });
        let (mut stream, peer) = listener.accept().await?;
        let mut question = [0; 4];
        stream.read_exact(&mut question).await?;
        stream.write_all(b"pong").await?;
        drop(stream);
        println!("peer is loopback: {}", peer.ip().is_loopback());
        println!(
            "asked {}, answered {}",
            String::from_utf8_lossy(&question),
            client.await??
        );
        Ok(())
    })
}
