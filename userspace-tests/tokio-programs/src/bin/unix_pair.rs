//! Two halves of a socket pair talk across tasks, then one shuts down and the other sees the end.

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

const LINES: usize = 1000;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> std::io::Result<()> {
    let (left, right) = UnixStream::pair()?;
    let answers = tokio::spawn(async move {
        let (reader, mut writer) = right.into_split();
        let mut lines = BufReader::new(reader).lines();
        while let Some(line) = lines.next_line().await? {
            writer.write_all(format!("{line}!\n").as_bytes()).await?;
        }
        std::io::Result::Ok(())
    });
    let (reader, mut writer) = left.into_split();
    let mut lines = BufReader::new(reader).lines();
    for number in 0..LINES {
        writer.write_all(format!("line {number}\n").as_bytes()).await?;
        let answer = lines.next_line().await?;
        assert_eq!(answer, Some(format!("line {number}!")));
    }
    println!("{LINES} lines answered");

    // More than any socket buffer holds, so that the writer must wait for the reader.
    let long = tokio::spawn(async move {
        let line = "x".repeat(1_000_000);
        writer.write_all(line.as_bytes()).await?;
        writer.write_all(b"\n").await?;
        writer.shutdown().await
    });
    let answer = lines.next_line().await?.unwrap_or_default();
    println!("a long line came back with {} bytes", answer.len());
    long.await??;
    println!("end of stream: {}", lines.next_line().await?.is_none());
    answers.await?
}
