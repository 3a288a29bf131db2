//! Says hello on port 80, or on the port of its argument, until it is interrupted.

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use std::io::Error;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let port = match std::env::args().nth(1) {
        Some(port) => port.parse().map_err(Error::other)?,
        None => 80,
    };
    let app = Router::new().route("/", get(async || "Hello from Vigil\n")).route(
        "/{name}",
        get(async |Path(name): Path<String>| format!("Hello, {name}\n")),
    );
    let listener = TcpListener::bind(("0.0.0.0", port)).await?;
    println!("listening on {}", listener.local_addr()?);
    let interrupted = async {
        // Without a handler the signal ends the process all the same.
        let _ = tokio::signal::ctrl_c().await;
    };
    axum::serve(listener, app).with_graceful_shutdown(interrupted).await
}
