//! Two threads that wake one another by eventfds, one in an epoll and one in an epoll of an epoll, [`ROUNDS`] times each
//! way. Each writes only when the other sleeps, so that every write is a wake-up. It prints what the trace of wake-ups must
//! call those of each thread, and how many there are.

use libsyscall::calls::event::{epoll_wait, eventfd_read, eventfd_write};
use libsyscall::calls::process::gettid;
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};
use std::thread;
use userspace_tests::Fd;

const ROUNDS: u32 = 20;

static PING: AtomicI32 = AtomicI32::new(0);
static PONG: AtomicI32 = AtomicI32::new(0);

/// Until the other thread is there and sleeps.
fn await_sleeper(tid: &AtomicI32) {
    loop {
        let stat = format!("/proc/self/task/{}/stat", tid.load(SeqCst));
        let asleep = std::fs::read_to_string(stat)
            .is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S')));
        if asleep {
            return;
        }
        thread::yield_now();
    }
}

/// Waits in `epoll` for `event`, and takes its count.
fn await_event(epoll: &Fd, event: &Fd) {
    let mut events = [Default::default(); 4];
    assert_eq!(epoll_wait(epoll.0, &mut events, -1), Ok(1));
    assert_eq!(eventfd_read(event.0), Ok(1));
}

fn main() {
    let (to_ping, to_pong) = (Fd::eventfd(0, 0), Fd::eventfd(0, 0));
    let (ping_epoll, pong_epoll, inner) = (Fd::epoll(), Fd::epoll(), Fd::epoll());
    ping_epoll.add(&to_ping, libc::EPOLLIN as u32);
    inner.add(&to_pong, libc::EPOLLIN as u32);
    pong_epoll.add(&inner, libc::EPOLLIN as u32);
    println!("fd {} EPOLLIN through epoll {} in epoll_pwait", to_ping.0, ping_epoll.0);
    println!(
        "fd {} EPOLLIN through epoll {} through epoll {} in epoll_pwait",
        to_pong.0, inner.0, pong_epoll.0
    );
    println!("{ROUNDS}");
    PING.store(gettid(), SeqCst);
    thread::scope(|scope| {
        let pong = || {
            PONG.store(gettid(), SeqCst);
            for _ in 0..ROUNDS {
                await_event(&pong_epoll, &to_pong);
                await_sleeper(&PING);
                eventfd_write(to_ping.0, 1).expect("write");
            }
        };
        thread::Builder::new()
            .name("pong".to_string())
            .spawn_scoped(scope, pong)
            .expect("a thread");
        for _ in 0..ROUNDS {
            await_sleeper(&PONG);
            eventfd_write(to_pong.0, 1).expect("write");
            await_event(&ping_epoll, &to_ping);
        }
    });
}
