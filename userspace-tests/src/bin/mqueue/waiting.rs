//! Calls that wait: time limits, turns, signals.

use super::queue::*;
use libsyscall::abi::Errno;
use std::ffi::c_int;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};
use userspace_tests::checked;

pub fn time_limits() {
    let name = Name::new();
    let queue = name.waiting_queue(1);
    let long_ago = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    assert_eq!(receive_until(&queue, Some(&long_ago)), Err(Errno::ETIMEDOUT));
    let start = Instant::now();
    assert_eq!(receive_until(&queue, Some(&in_ms(30))), Err(Errno::ETIMEDOUT));
    assert!(start.elapsed() >= Duration::from_millis(29));
    // Who need not wait does not look at the time.
    send_until(&queue, b"a", 0, Some(&long_ago)).expect("mq_timedsend");
    assert_eq!(send_until(&queue, b"b", 0, Some(&in_ms(30))), Err(Errno::ETIMEDOUT));
    assert_eq!(receive_until(&queue, Some(&long_ago)), Ok((b"a".to_vec(), 0)));
    assert_eq!(receive_until(&queue, Some(&long_ago)), Err(Errno::ETIMEDOUT));
}

pub fn a_receiver_is_served_first() {
    let name = Name::new();
    let queue = name.waiting_queue(1);
    let received = one_after_another(
        1,
        |_| receive(&queue),
        || {
            send(&queue, b"a", 5).expect("mq_send");
            // It went to who waited, so there is room for another.
            send(&queue, b"b", 6).expect("mq_send");
        },
    );
    assert_eq!(received, [Ok((b"a".to_vec(), 5))]);
    assert_eq!(next(&queue), "b");
}

pub fn receivers_in_turn() {
    let name = Name::new();
    let queue = name.waiting_queue(4);
    let received = one_after_another(
        4,
        |_| next(&queue),
        || {
            for text in ["a", "b", "c", "d"] {
                send(&queue, text.as_bytes(), 0).expect("mq_send");
            }
        },
    );
    assert_eq!(received, ["a", "b", "c", "d"]);
}

pub fn senders_in_turn() {
    let name = Name::new();
    let queue = name.waiting_queue(1);
    send(&queue, b"first", 0).expect("mq_send");
    let mut received = Vec::new();
    one_after_another(
        3,
        |number| send(&queue, &[b'a' + number as u8], number as u32).expect("mq_send"),
        || received.extend((0..4).map(|_| next(&queue))),
    );
    // Whoever waits longest gets the room, whatever the priority of what it sends.
    assert_eq!(received, ["first", "a", "b", "c"]);
}

/// Has a signal interrupt the calling thread's waits.
fn catch(signal: c_int, flags: c_int) {
    extern "C" fn nothing(_: c_int) {}
    // SAFETY: the handler does nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        action.sa_flags = flags;
        checked(libc::sigaction(signal, &action, ptr::null_mut())).expect("sigaction");
    }
}

fn interrupt(tid: i32) {
    // SAFETY: it takes numbers.
    checked(unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, libc::SIGUSR1) }).expect("tgkill");
}

pub fn interrupted() {
    let name = Name::new();
    let queue = name.waiting_queue(1);
    catch(libc::SIGUSR1, 0);
    let tid_of = AtomicU32::new(0);
    let waits = |what: &(dyn Fn() -> Result<(), Errno> + Sync)| {
        one_after_another(
            1,
            |_| {
                tid_of.store(tid() as u32, SeqCst);
                what()
            },
            || interrupt(tid_of.load(SeqCst) as i32),
        )
    };
    assert_eq!(waits(&|| receive(&queue).map(drop)), [Err(Errno::EINTR)]);
    assert_eq!(
        waits(&|| receive_until(&queue, Some(&in_ms(60_000))).map(drop)),
        [Err(Errno::EINTR)]
    );
    send(&queue, b"a", 0).expect("mq_send");
    assert_eq!(waits(&|| send(&queue, b"b", 0)), [Err(Errno::EINTR)]);
    // Nobody waits any more: what comes stays.
    assert_eq!(next(&queue), "a");
    assert_eq!(attributes_of(&queue).mq_curmsgs, 0);
    send(&queue, b"c", 0).expect("mq_send");
    assert_eq!(attributes_of(&queue).mq_curmsgs, 1);
}

pub fn restarted() {
    let name = Name::new();
    let queue = name.waiting_queue(1);
    catch(libc::SIGUSR1, libc::SA_RESTART);
    let tid_of = AtomicU32::new(0);
    let received = one_after_another(
        1,
        |_| {
            tid_of.store(tid() as u32, SeqCst);
            receive_until(&queue, Some(&in_ms(60_000)))
        },
        || {
            let tid = tid_of.load(SeqCst) as i32;
            interrupt(tid);
            thread::sleep(Duration::from_millis(10));
            until_asleep(tid);
            send(&queue, b"a", 1).expect("mq_send");
        },
    );
    assert_eq!(received, [Ok((b"a".to_vec(), 1))]);
}
