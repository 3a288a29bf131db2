//! POSIX message queues, mq_overview(7).
//!
//! - [`queue`]: the messages of one and who waits for them; [`notify`]: mq_notify(3).
//! - [`limits`]: what there may be of them; [`names`]: the queues there are, also as the files of /dev/mqueue;
//!   [`file`]: a queue as a descriptor has it.
//!
//! A message goes straight to a thread that waits for one, and where somebody waits for room the oldest of the most
//! urgent gets it: whoever comes later takes nothing away from them. A queue lives until its name and its last description
//! are gone.
//!
//! # Lock order
//!
//! `names` > a queue's state > a ticket. A queue's state is dropped before anybody is woken or told. The table of inotify's
//! watches comes after `names` too.

mod file;
pub mod limits;
mod names;
mod notify;
mod queue;

pub use file::QueueFile;
pub use names::{mount, open, unlink};
pub use notify::{Request, closed};
pub use queue::{Message, Queue};
