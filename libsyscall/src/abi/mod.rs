//! Numbers and layouts of the Linux ABI, one file a family; every layout is asserted at compile time.

pub mod errno;
pub mod nr;

pub use errno::Errno;
