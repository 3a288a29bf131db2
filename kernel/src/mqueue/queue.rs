//! One queue: its messages by priority, and the threads that wait for a message or for room.

use super::limits::{Share, Size};
use super::notify::{Notification, Request};
use crate::fs::access::Credentials;
use crate::fs::watch::{self, Watched};
use crate::fs::{self, Attributes, Change, MQUEUE_DEVICE, Stat};
use crate::task::{self, Thread};
use alloc::collections::{BTreeMap, BinaryHeap};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Relaxed, Release},
};
use event::{EventMask, Pollable, Unparked, WaitQueue};
use libsyscall::abi::Errno;
use libsyscall::abi::fcntl::S_IFREG;
use libsyscall::abi::time::NANOSECONDS;
use sync::SpinLock;

/// st_size of a new queue.
const FILE_SIZE: u64 = 80;

pub struct Message {
    pub priority: u32,
    pub bytes: Vec<u8>,
}

/// A message among others: the highest priority comes first, and of one priority the oldest.
struct Queued {
    message: Message,
    arrival: u64,
}

impl Ord for Queued {
    fn cmp(&self, other: &Queued) -> Ordering {
        let by_priority = self.message.priority.cmp(&other.message.priority);
        by_priority.then(other.arrival.cmp(&self.arrival))
    }
}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Queued) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Queued {
    fn eq(&self, other: &Queued) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Queued {}

/// What a waiting thread leaves behind. A receiver's is empty until it is served, a sender's has its message until then.
struct Ticket {
    thread: Arc<Thread>,
    message: SpinLock<Option<Message>>,
    is_served: AtomicBool,
}

impl Ticket {
    fn new(message: Option<Message>) -> Arc<Ticket> {
        Arc::new(Ticket {
            thread: task::with_current(Arc::clone),
            message: SpinLock::new(message),
            is_served: AtomicBool::new(false),
        })
    }

    /// Gives a receiver its message, or takes a sender's: under the queue's lock. Its thread is to be woken then.
    fn serve(&self, exchange: impl FnOnce(&mut Option<Message>)) {
        exchange(&mut self.message.lock());
        self.is_served.store(true, Release);
    }
}

/// When a waiter is served: by its process's nice value, then by arrival.
type Turn = (i32, u64);

/// The threads of one side, by turn.
#[derive(Default)]
struct Waiters {
    tickets: BTreeMap<Turn, Arc<Ticket>>,
    arrivals: u64,
}

impl Waiters {
    fn join(&mut self, ticket: &Arc<Ticket>) -> Turn {
        let turn = (ticket.thread.process.nice.load(Relaxed), self.arrivals);
        self.arrivals += 1;
        self.tickets.insert(turn, ticket.clone());
        turn
    }

    fn take_first(&mut self) -> Option<Arc<Ticket>> {
        self.tickets.pop_first().map(|(_, ticket)| ticket)
    }
}

/// Which waiters of a queue's.
type Side = fn(&mut State) -> &mut Waiters;

struct State {
    messages: BinaryHeap<Queued>,
    arrivals: u64,
    /// Of all messages.
    bytes: usize,
    receivers: Waiters,
    senders: Waiters,
    notification: Option<Notification>,
    attributes: Attributes,
    /// st_size.
    file_size: u64,
}

impl State {
    /// There is room for it.
    fn push(&mut self, message: Message) {
        self.bytes += message.bytes.len();
        let arrival = self.arrivals;
        self.arrivals += 1;
        self.messages.push(Queued { message, arrival });
    }

    fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop()?.message;
        self.bytes -= message.bytes.len();
        Some(message)
    }

    /// A message has come or gone.
    fn touch(&mut self) {
        let now = fs::now_ns();
        let attributes = &mut self.attributes;
        (attributes.atime_ns, attributes.mtime_ns, attributes.ctime_ns) = (now, now, now);
    }

    /// It was read, or somebody has changed what he wants of it.
    fn accessed(&mut self) {
        let now = fs::now_ns();
        (self.attributes.atime_ns, self.attributes.ctime_ns) = (now, now);
    }
}

pub struct Queue {
    /// Its inode number.
    pub number: u64,
    pub size: Size,
    state: SpinLock<State>,
    /// Who watches it by epoll or poll(2). Told without a mask, as on Linux: also who asked for something else looks again.
    queue: WaitQueue,
    _share: Share,
}

impl Queue {
    pub fn new(mode: u32, owner: &Credentials, size: Size, share: Share) -> Queue {
        Queue {
            number: fs::new_ino(),
            size,
            state: SpinLock::new(State {
                messages: BinaryHeap::new(),
                arrivals: 0,
                bytes: 0,
                receivers: Waiters::default(),
                senders: Waiters::default(),
                notification: None,
                attributes: Attributes::new(mode, owner),
                file_size: FILE_SIZE,
            }),
            queue: WaitQueue::new(),
            _share: share,
        }
    }

    /// Messages in it.
    pub fn count(&self) -> usize {
        self.state.lock().messages.len()
    }

    /// mq_timedsend(3). Where there is no room it waits until CLOCK_REALTIME reads `until_ns`: ETIMEDOUT, ERESTARTSYS; or
    /// it does not: EAGAIN. ENOMEM.
    pub fn send(&self, message: Message, nonblocking: bool, until_ns: Option<u64>) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if state.messages.len() >= self.size.maximum {
            if nonblocking {
                return Err(Errno::EAGAIN);
            }
            let ticket = Ticket::new(Some(message));
            let turn = state.senders.join(&ticket);
            drop(state);
            return self.wait(|state| &mut state.senders, turn, &ticket, until_ns);
        }
        if let Some(receiver) = state.receivers.take_first() {
            receiver.serve(|slot| *slot = Some(message));
            state.touch();
            drop(state);
            receiver.thread.unpark();
            return Ok(());
        }
        state.messages.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        state.push(message);
        state.touch();
        let notification = match state.messages.len() {
            1 => state.notification.take(),
            _ => None,
        };
        drop(state);
        if let Some(notification) = notification {
            notification.deliver();
        }
        self.queue.wake(EventMask::empty());
        Ok(())
    }

    /// mq_timedreceive(3): the oldest message of the highest priority. Waits as [`Queue::send`] does.
    pub fn receive(&self, nonblocking: bool, until_ns: Option<u64>) -> Result<Message, Errno> {
        let mut state = self.state.lock();
        let Some(message) = state.pop() else {
            if nonblocking {
                return Err(Errno::EAGAIN);
            }
            let ticket = Ticket::new(None);
            let turn = state.receivers.join(&ticket);
            drop(state);
            self.wait(|state| &mut state.receivers, turn, &ticket, until_ns)?;
            let message = ticket.message.lock().take();
            return Ok(message.expect("a receiver is served with a message"));
        };
        state.touch();
        let sender = state.senders.take_first();
        if let Some(sender) = &sender {
            sender.serve(|slot| slot.take().into_iter().for_each(|waiting| state.push(waiting)));
        }
        drop(state);
        match sender {
            Some(sender) => sender.thread.unpark(),
            None => self.queue.wake(EventMask::empty()),
        };
        Ok(message)
    }

    /// Sleeps until the ticket has been served. Who gives up takes it back; where it is gone it was served at the last
    /// moment, and that counts:
    ///
    /// | waiter | the other side |
    /// |---|---|
    /// | park: timed out, and not served | |
    /// | | takes the ticket and serves it, under the lock |
    /// | finds its ticket gone, under the lock: served | |
    fn wait(&self, side: Side, turn: Turn, ticket: &Arc<Ticket>, until_ns: Option<u64>) -> Result<(), Errno> {
        let Err(why) = sleep(ticket, until_ns) else {
            return Ok(());
        };
        let withdrawn = side(&mut self.state.lock()).tickets.remove(&turn);
        withdrawn.map_or(Ok(()), |_| Err(why))
    }
}

/// ETIMEDOUT, ERESTARTSYS, ENOMEM: then the ticket may still have been served.
fn sleep(ticket: &Ticket, until_ns: Option<u64>) -> Result<(), Errno> {
    let is_served = || ticket.is_served.load(Acquire);
    match ticket.thread.park_to_realtime(until_ns, is_served)? {
        Unparked::Woken => Ok(()),
        Unparked::TimedOut => Err(Errno::ETIMEDOUT),
        Unparked::Interrupted => Err(Errno::ERESTARTSYS),
    }
}

/// Notification and attributes.
impl Queue {
    /// mq_notify(3) for the running process: EBUSY where somebody waits for a notification already.
    pub fn notify(&self, request: Request) -> Result<(), Errno> {
        let notification = Notification::new(request);
        let mut state = self.state.lock();
        if state.notification.is_some() {
            drop(state);
            // It goes without a word, and not under the lock.
            drop(notification);
            return Err(Errno::EBUSY);
        }
        state.notification = Some(notification);
        state.accessed();
        Ok(())
    }

    /// mq_setattr(3): nothing of the queue itself can be set, but it is noted.
    pub fn was_set(&self) {
        self.state.lock().accessed();
    }

    /// The running process wants no notification any more, whether it says so or closes a descriptor.
    pub fn forget_notification(&self, is_asked: bool) {
        let mut state = self.state.lock();
        let notification = state.notification.take_if(|notification| notification.is_mine());
        if is_asked && notification.is_some() {
            state.accessed();
        }
        drop(state);
        if let Some(notification) = notification {
            notification.take_back();
        }
    }

    /// What read(2) gives.
    pub fn describe(&self) -> String {
        let mut state = self.state.lock();
        state.accessed();
        let (kind, signal, pid) = state.notification.as_ref().map_or((0, 0, 0), Notification::describe);
        format!(
            "QSIZE:{:<10} NOTIFY:{kind:<5} SIGNO:{signal:<5} NOTIFY_PID:{pid:<6}\n",
            state.bytes
        )
    }

    /// As on Linux its times are whole seconds.
    pub fn stat(&self) -> Stat {
        let state = self.state.lock();
        let mut stat = state.attributes.stat(S_IFREG);
        for time_ns in [&mut stat.atime_ns, &mut stat.mtime_ns, &mut stat.ctime_ns] {
            *time_ns -= time_ns.rem_euclid(NANOSECONDS as i64);
        }
        Stat {
            dev: MQUEUE_DEVICE,
            ino: self.number,
            size: state.file_size,
            ..stat
        }
    }

    pub fn change(&self, change: &Change) {
        self.state.lock().attributes.change(change);
    }

    /// ftruncate(2): what a file's size is says nothing of a queue.
    pub fn truncate(&self, size: u64) {
        self.state.lock().file_size = size;
    }

    /// Its name is gone.
    pub fn unlinked(&self) {
        let attributes = &mut self.state.lock().attributes;
        (attributes.nlink, attributes.ctime_ns) = (0, fs::now_ns());
    }
}

/// Nobody has it open, and it has no name.
impl Drop for Queue {
    fn drop(&mut self) {
        if watch::is_used() {
            watch::gone(Watched::new(&self.stat()));
        }
    }
}

impl Pollable for Queue {
    /// Whatever the descriptor may do: the access mode is not asked.
    fn readiness(&self) -> EventMask {
        let count = self.count();
        let mut ready = EventMask::empty();
        if count > 0 {
            ready |= EventMask::READABLE;
        }
        if count < self.size.maximum {
            ready |= EventMask::WRITABLE;
        }
        ready
    }

    fn wait_queue(&self) -> &WaitQueue {
        &self.queue
    }
}
