//! Ends by a signal, so that its parent sees which.

fn main() {
    println!("before the end");
    match std::env::args().nth(1).as_deref() {
        Some("segv") => {
            // SAFETY: not sound, and meant so: the address is not mapped and the process ends here.
            unsafe { std::ptr::without_provenance_mut::<u8>(8).write_volatile(1) }
        }
        _ => std::process::abort(),
    }
}
