//! The smallest std program: what a Rust program does before and after `main` works when this prints.

fn main() {
    println!("hello from std, {} argument(s)", std::env::args().count() - 1);
    for argument in std::env::args().skip(1) {
        println!("{argument}");
    }
    std::process::exit(std::env::args().count() as i32 - 1);
}
