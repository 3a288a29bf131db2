//! mq_notify(3).

use super::queue::*;
use libsyscall::abi::Errno;
use libsyscall::abi::mqueue::{NOTIFY_REMOVED, NOTIFY_WOKENUP};
use std::ptr;
use userspace_tests::{Fd, checked, child};

/// SIGUSR1 blocked, to be taken when it comes.
struct Signals(libc::sigset_t);

impl Signals {
    fn block() -> Signals {
        // SAFETY: an empty set, filled and blocked.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, libc::SIGUSR1);
            libc::pthread_sigmask(libc::SIG_BLOCK, &set, ptr::null_mut());
            let signals = Signals(set);
            while signals.take(0).is_some() {}
            signals
        }
    }

    fn take(&self, seconds: i64) -> Option<libc::siginfo_t> {
        // SAFETY: siginfo_t is plain data, which the kernel fills.
        unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let limit = libc::timespec {
                tv_sec: seconds,
                tv_nsec: 0,
            };
            (libc::sigtimedwait(&self.0, &mut info, &limit) > 0).then_some(info)
        }
    }

    /// What has been sent by now.
    fn sent(&self) -> bool {
        self.take(0).is_some()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        while self.sent() {}
        // SAFETY: the set is this test's.
        unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &self.0, ptr::null_mut()) };
    }
}

pub fn notification_by_signal() {
    let signals = Signals::block();
    let name = Name::new();
    let queue = name.queue(3);
    notify_signal(&queue, libc::SIGUSR1, 0x1234_5678_9abc).expect("mq_notify");
    assert!(!signals.sent());
    let sender = child(|| {
        send(&queue, b"a", 0).expect("mq_send");
        0
    });
    let sender_pid = sender.0;
    assert_eq!(sender.wait(), DONE);
    let info = signals.take(60).expect("a signal");
    // SAFETY: the kernel fills these for SI_MESGQ.
    unsafe {
        assert_eq!((info.si_signo, info.si_code), (libc::SIGUSR1, libc::SI_MESGQ));
        assert_eq!((info.si_pid(), info.si_uid()), (sender_pid, libc::getuid()));
        assert_eq!(info.si_value().sival_ptr.addr(), 0x1234_5678_9abc);
    }
    // Once only, and then by nothing but a message into an empty queue.
    send(&queue, b"b", 0).expect("mq_send");
    assert!(!signals.sent());
    notify_signal(&queue, libc::SIGUSR1, 0).expect("mq_notify");
    send(&queue, b"c", 0).expect("mq_send");
    assert!(!signals.sent());
    (0..3).for_each(|_| drop(next(&queue)));
    send(&queue, b"d", 0).expect("mq_send");
    assert!(signals.sent());
}

pub fn notification_of_nothing() {
    let signals = Signals::block();
    let name = Name::new();
    let queue = name.queue(3);
    notify(&queue, Some(&request(libc::SIGEV_NONE, libc::SIGUSR1, 0))).expect("mq_notify");
    assert!(
        told(&queue, 100)
            .expect("read")
            .contains("NOTIFY:1     SIGNO:0     NOTIFY_PID:")
    );
    assert_eq!(notify_signal(&queue, libc::SIGUSR1, 0), Err(Errno::EBUSY));
    send(&queue, b"a", 0).expect("mq_send");
    assert!(!signals.sent());
    // It has had its one.
    notify_signal(&queue, 0, 0).expect("no signal is a signal here");
    next(&queue);
    send(&queue, b"b", 0).expect("mq_send");
    assert!(!signals.sent());
    notify_signal(&queue, libc::SIGUSR1, 0).expect("mq_notify");
    notify(&queue, None).expect("taken back");
    next(&queue);
    send(&queue, b"c", 0).expect("mq_send");
    assert!(!signals.sent());
    notify(&queue, None).expect("nothing to take back");
}

pub fn notification_is_one_s() {
    let signals = Signals::block();
    let name = Name::new();
    let queue = name.queue(3);
    notify_signal(&queue, libc::SIGUSR1, 0).expect("mq_notify");
    let other = child(|| {
        assert_eq!(notify_signal(&queue, libc::SIGUSR1, 0), Err(Errno::EBUSY));
        // It is not the child's to take back, nor does a descriptor of the child's end it.
        notify(&queue, None).expect("without effect");
        drop(name.open(libc::O_RDWR).expect("mq_open"));
        0
    });
    assert_eq!(other.wait(), DONE);
    send(&queue, b"a", 0).expect("mq_send");
    assert!(signals.sent());
}

pub fn notification_ends_with_a_descriptor() {
    let signals = Signals::block();
    let name = Name::new();
    let queue = name.queue(3);
    notify_signal(&queue, libc::SIGUSR1, 0).expect("mq_notify");
    // Any descriptor of the queue.
    drop(name.open(libc::O_RDONLY).expect("mq_open"));
    notify_signal(&queue, libc::SIGUSR1, 0).expect("it had ended");
    drop(queue.dup());
    notify_signal(&queue, libc::SIGUSR1, 0).expect("it had ended");
    let (pipe, _other) = Fd::pipe();
    // SAFETY: dup2(2) takes numbers.
    checked(unsafe { libc::dup2(pipe.0, queue.dup().0) }).expect("dup2");
    send(&queue, b"a", 0).expect("mq_send");
    assert!(!signals.sent());
    // A process's end is the end of its descriptors.
    let asks = child(|| {
        notify_signal(&queue, libc::SIGUSR1, 0).expect("mq_notify");
        0
    });
    assert_eq!(asks.wait(), DONE);
    notify_signal(&queue, libc::SIGUSR1, 0).expect("nobody's");
}

pub fn notification_not_past_a_receiver() {
    let signals = Signals::block();
    let name = Name::new();
    let queue = name.waiting_queue(3);
    notify_signal(&queue, libc::SIGUSR1, 0).expect("mq_notify");
    let received = one_after_another(1, |_| next(&queue), || send(&queue, b"a", 0).expect("mq_send"));
    assert_eq!(received, ["a"]);
    assert!(!signals.sent());
    send(&queue, b"b", 0).expect("mq_send");
    assert!(signals.sent());
}

/// A netlink socket, as the C library has one for SIGEV_THREAD.
fn netlink() -> Fd {
    // SAFETY: socket(2) takes numbers.
    let fd = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_NONBLOCK, 0) };
    Fd(checked(fd).expect("socket"))
}

fn received(socket: &Fd) -> Option<[u8; 32]> {
    let mut bytes = [0u8; 64];
    let count = socket.read(&mut bytes).ok()?;
    assert_eq!(count, 32);
    bytes[..32].try_into().ok()
}

pub fn notification_by_socket() {
    let name = Name::new();
    let (queue, socket) = (name.queue(3), netlink());
    let cookie: [u8; 32] = std::array::from_fn(|index| index as u8 + 100);
    let with_end = |end| {
        let mut cookie = cookie;
        cookie[31] = end;
        Some(cookie)
    };
    let ask = || {
        notify(
            &queue,
            Some(&request(libc::SIGEV_THREAD, socket.0, cookie.as_ptr().addr())),
        )
    };
    let epoll = Fd::epoll();
    epoll.add(&socket, libc::EPOLLIN as u32);
    cookie.as_ptr().expose_provenance();
    ask().expect("mq_notify");
    assert!(
        told(&queue, 100)
            .expect("read")
            .contains("NOTIFY:2     SIGNO:0     NOTIFY_PID:")
    );
    assert_eq!(ask(), Err(Errno::EBUSY));
    assert_eq!(received(&socket), None);
    assert_eq!(epoll.events(), 0);
    send(&queue, b"a", 0).expect("mq_send");
    assert_eq!(epoll.events(), libc::EPOLLIN as u32);
    assert_eq!(received(&socket), with_end(NOTIFY_WOKENUP));
    assert_eq!(received(&socket), None);
    ask().expect("mq_notify");
    notify(&queue, None).expect("mq_notify");
    assert_eq!(received(&socket), with_end(NOTIFY_REMOVED));
    ask().expect("mq_notify");
    drop(queue.dup());
    assert_eq!(received(&socket), with_end(NOTIFY_REMOVED));
    // The socket may go first.
    ask().expect("mq_notify");
    drop(socket);
    next(&queue);
    send(&queue, b"b", 0).expect("mq_send");
    notify_signal(&queue, 0, 0).expect("it had ended");
}

pub fn notification_badly_asked() {
    let name = Name::new();
    let queue = name.queue(3);
    let ask = |kind, signal, value: usize| notify(&queue, Some(&request(kind, signal, value)));
    assert_eq!(ask(3, libc::SIGUSR1, 0), Err(Errno::EINVAL));
    assert_eq!(ask(libc::SIGEV_THREAD_ID, libc::SIGUSR1, 0), Err(Errno::EINVAL));
    assert_eq!(ask(libc::SIGEV_SIGNAL, 65, 0), Err(Errno::EINVAL));
    assert_eq!(ask(libc::SIGEV_SIGNAL, -1, 0), Err(Errno::EINVAL));
    let cookie = [0u8; 32];
    let at = cookie.as_ptr().expose_provenance();
    assert_eq!(ask(libc::SIGEV_THREAD, -1, 8), Err(Errno::EFAULT));
    assert_eq!(ask(libc::SIGEV_THREAD, -1, at), Err(Errno::EBADF));
    assert_eq!(ask(libc::SIGEV_THREAD, queue.0, at), Err(Errno::ENOTSOCK));
    let (socket, _other) = Fd::socket_pair();
    assert_eq!(ask(libc::SIGEV_THREAD, socket.0, at), Err(Errno::EINVAL));
    // A request is looked at before the descriptor.
    assert_eq!(notify(&Fd(-1), Some(&request(3, 0, 0))), Err(Errno::EINVAL));
}
