//! Fetches `http://HOST[:PORT][/PATH]` and prints what the server says.

use std::io::{Error, Read, Write, stdout};
use std::net::TcpStream;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(address) = std::env::args().nth(1) else {
        eprintln!("usage: get http://HOST[:PORT][/PATH]");
        return ExitCode::from(2);
    };
    match get(&address) {
        Ok(status) if status.contains(" 200 ") => ExitCode::SUCCESS,
        Ok(status) => {
            eprintln!("get: {address}: {status}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("get: {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the body; the answer's first line.
fn get(address: &str) -> Result<String, Error> {
    let address = address.strip_prefix("http://").unwrap_or(address);
    let (server, path) = address.split_once('/').unwrap_or((address, ""));
    let (host, port) = match server.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().map_err(Error::other)?),
        None => (server, 80),
    };
    let mut stream = TcpStream::connect((host, port))?;
    // In HTTP/1.0 the body ends where the connection does.
    write!(stream, "GET /{path} HTTP/1.0\r\nHost: {server}\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let (head, body) = answer.split_at(end.ok_or_else(|| Error::other("no answer"))? + 4);
    stdout().write_all(body)?;
    let head = String::from_utf8_lossy(head);
    Ok(head.lines().next().unwrap_or_default().to_string())
}
