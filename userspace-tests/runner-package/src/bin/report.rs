//! Prints what it was given and ends as its first argument says: with a status, or by abort(3).

use std::io::Read;

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let directory = std::env::current_dir()?;
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input)?;
    println!("{arguments:?} in {}: {input:?}", directory.display());
    match arguments.first().map(String::as_str) {
        Some("abort") => std::process::abort(),
        Some(status) => std::process::exit(status.parse().unwrap_or(99)),
        None => Ok(()),
    }
}
