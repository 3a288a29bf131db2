//! Copies standard input to standard output, then says how much it was.

fn main() -> std::io::Result<()> {
    let count = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::stdout().lock())?;
    println!("\n{count} bytes");
    Ok(())
}
