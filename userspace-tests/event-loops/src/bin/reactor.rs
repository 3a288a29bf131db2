//! Tests of the single-reactor scheduler.

use event_loops::scheduler::Scheduler;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use userspace_tests::tests;

fn main() -> ExitCode {
    userspace_tests::run(tests![
        run_ends_without_work,
        tasks_of_a_task_in_order,
        dispatched_tasks_within_the_budget,
        run_one_runs_one,
        poll_does_not_wait,
        wait_one_waits_no_longer,
        stop_and_restart,
        timers_in_order_and_not_early,
        a_nearer_timer_reaches_the_reactor,
        descriptors,
        forgotten_descriptors,
        a_wake_up_cascades,
        one_interrupt_for_many_posts,
        a_panicking_task_loses_nothing,
        no_wake_up_is_lost,
    ])
}

fn scheduler() -> Arc<Scheduler> {
    Arc::new(Scheduler::new().expect("descriptors"))
}

/// A log that tasks write.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u32>>>);

impl Log {
    fn note(&self, what: u32) -> impl FnOnce() + Send + 'static {
        let log = self.clone();
        move || log.0.lock().expect("no panics").push(what)
    }

    fn all(&self) -> Vec<u32> {
        self.0.lock().expect("no panics").clone()
    }
}

fn run_ends_without_work() {
    let own = scheduler();
    assert_eq!(own.run(), 0);
    assert!(own.is_stopped());
    own.restart();
    let log = Log::default();
    for what in 0..10 {
        own.post(log.note(what));
    }
    assert_eq!(own.run(), 10);
    assert_eq!(log.all(), (0..10).collect::<Vec<_>>());
}

fn tasks_of_a_task_in_order() {
    let own = scheduler();
    let log = Log::default();
    let (inner, inner_log) = (own.clone(), log.clone());
    own.post(move || {
        for what in 0..100 {
            inner.post(inner_log.note(what));
        }
    });
    assert_eq!(own.run(), 101);
    assert_eq!(log.all(), (0..100).collect::<Vec<_>>());
}

/// A chain of tasks, each of which dispatches the next: the first rounds run 2 more inside a task, then 4, the most while no
/// other thread is idle; so the depth goes back to 0 after as many.
fn dispatched_tasks_within_the_budget() {
    fn link(own: Arc<Scheduler>, depths: Arc<Mutex<Vec<usize>>>, depth: Arc<AtomicUsize>, left: usize) {
        let at = depth.fetch_add(1, Ordering::Relaxed);
        depths.lock().expect("no panics").push(at);
        if left > 0 {
            let (next, next_depths, next_depth) = (own.clone(), depths.clone(), depth.clone());
            own.dispatch(move || link(next, next_depths, next_depth, left - 1));
        }
        depth.fetch_sub(1, Ordering::Relaxed);
    }
    let own = scheduler();
    let depths = Arc::new(Mutex::new(Vec::new()));
    let (first, first_depths) = (own.clone(), depths.clone());
    own.post(move || link(first, first_depths, Arc::default(), 12));
    own.run();
    assert_eq!(
        *depths.lock().expect("no panics"),
        [0, 1, 2, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4]
    );
    let (outside, outside_log) = (own.clone(), Log::default());
    outside.restart();
    outside.dispatch(outside_log.note(1));
    assert_eq!(outside_log.all(), [], "outside it is a post");
    assert_eq!(outside.run(), 1);
}

fn run_one_runs_one() {
    let own = scheduler();
    let log = Log::default();
    let (inner, inner_log) = (own.clone(), log.clone());
    own.post(move || inner.post(inner_log.note(1)));
    assert_eq!(own.run_one(), 1);
    assert_eq!(log.all(), []);
    assert_eq!(own.run_one(), 1);
    assert_eq!(log.all(), [1]);
    assert_eq!(own.run_one(), 0, "no work");
}

fn poll_does_not_wait() {
    let own = scheduler();
    let _work = own.work();
    assert_eq!(own.poll(), 0);
    assert_eq!(own.poll_one(), 0);
    let log = Log::default();
    own.post(log.note(1));
    own.post(log.note(2));
    assert_eq!(own.poll_one(), 1);
    assert_eq!(own.poll(), 1);
    own.post_at(Instant::now(), log.note(3));
    assert_eq!(own.poll(), 1, "a timer whose time has come");
    assert_eq!(log.all(), [1, 2, 3]);
}

fn wait_one_waits_no_longer() {
    let own = scheduler();
    let _work = own.work();
    let start = Instant::now();
    let time = Duration::from_millis(20);
    assert_eq!(own.wait_one(time), 0);
    assert!(start.elapsed() >= time, "not early");
    own.post(|| {});
    assert_eq!(own.wait_one(Duration::from_secs(1000)), 1);
}

fn stop_and_restart() {
    let own = scheduler();
    let _work = own.work();
    let (began, begins) = mpsc::channel();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (own, began) = (&own, began.clone());
                scope.spawn(move || {
                    began.send(()).expect("heard");
                    own.run()
                })
            })
            .collect();
        for _ in 0..3 {
            begins.recv().expect("they begin");
        }
        own.stop();
        for thread in threads {
            assert_eq!(thread.join().expect("no panic"), 0);
        }
    });
    own.post(|| {});
    assert_eq!(own.run(), 0, "stopped");
    own.restart();
    assert_eq!(own.poll(), 1, "what was posted is still there");
}

fn timers_in_order_and_not_early() {
    let own = scheduler();
    let log = Log::default();
    let start = Instant::now();
    for ms in [30, 10, 20, 10] {
        let at = start + Duration::from_millis(ms);
        let note = log.note(ms as u32);
        own.post_at(at, move || {
            assert!(Instant::now() >= at, "not early");
            note();
        });
    }
    assert_eq!(own.run(), 4);
    assert_eq!(log.all(), [10, 10, 20, 30]);
}

/// The reactor waits for a timer far away, and has to come back to set the timerfd for a nearer one.
fn a_nearer_timer_reaches_the_reactor() {
    let own = scheduler();
    let far = own.clone();
    own.post_at(Instant::now() + Duration::from_secs(100_000), || {});
    let stopper = own.clone();
    let (armed, arms) = mpsc::channel();
    own.post(move || armed.send(()).expect("heard"));
    let waiting = thread::spawn(move || far.run());
    arms.recv().expect("it runs");
    own.post_at(Instant::now() + Duration::from_millis(5), move || stopper.stop());
    assert_eq!(waiting.join().expect("no panic"), 2);
}

fn descriptors() {
    let own = scheduler();
    let (near, mut far) = UnixStream::pair().expect("a pair");
    let log = Log::default();
    own.when_readable(near.as_raw_fd(), log.note(1)).expect("armed");
    assert_eq!(own.poll(), 0);
    own.when_writable(near.as_raw_fd(), log.note(2)).expect("armed");
    assert_eq!(own.run_one(), 1, "writable at once");
    far.write_all(b"x").expect("room");
    assert_eq!(own.run(), 1, "and still armed for reading");
    assert_eq!(log.all(), [2, 1]);
    own.restart();
    own.when_readable(near.as_raw_fd(), log.note(3)).expect("armed again");
    assert_eq!(own.run(), 1, "it is still readable");
}

fn forgotten_descriptors() {
    let own = scheduler();
    let log = Log::default();
    let (near, far) = UnixStream::pair().expect("a pair");
    own.when_readable(near.as_raw_fd(), log.note(1)).expect("armed");
    own.forget(near.as_raw_fd()).expect("known");
    drop((near, far));
    assert_eq!(own.run(), 0, "nothing is left to wait for");
    assert_eq!(log.all(), []);
    own.forget(12_345).expect("unknown is no error");
    assert!(own.when_readable(-1, || {}).is_err());
}

/// Four tasks that only end together need four threads, each woken by the one before.
fn a_wake_up_cascades() {
    const THREADS: usize = 4;
    let own = scheduler();
    for _ in 0..50 {
        own.restart();
        let work = own.work();
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| own.run());
            }
            let together = Arc::new(Barrier::new(THREADS));
            let (done, dones) = mpsc::channel();
            let (outer, inner) = (own.clone(), own.clone());
            outer.post(move || {
                for _ in 0..THREADS {
                    let (together, done) = (together.clone(), done.clone());
                    inner.post(move || {
                        together.wait();
                        done.send(()).expect("heard");
                    });
                }
            });
            for _ in 0..THREADS {
                dones.recv().expect("they end");
            }
            drop(work);
        });
    }
}

fn one_interrupt_for_many_posts() {
    let own = scheduler();
    let before = own.interrupts();
    for _ in 0..1000 {
        own.post(|| {});
    }
    assert_eq!(own.interrupts(), before, "nobody waits");
    assert_eq!(own.run(), 1000);
    assert_eq!(own.interrupts(), before);
}

fn a_panicking_task_loses_nothing() {
    let own = scheduler();
    let log = Log::default();
    let (inner, inner_log) = (own.clone(), log.clone());
    own.post(move || {
        inner.post(inner_log.note(1));
        std::panic::resume_unwind(Box::new("a task that panics"));
    });
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| own.run()));
    assert!(caught.is_err());
    assert_eq!(own.run(), 1);
    assert_eq!(log.all(), [1]);
}

/// Threads outside post one task at a time and wait for it without any timeout, while tasks post tasks of their own: a lost
/// wake-up is a test that hangs.
fn no_wake_up_is_lost() {
    const OUTSIDE: usize = 3;
    const INSIDE: usize = 3;
    const ROUNDS: usize = 2000;
    let own = scheduler();
    let work = own.work();
    let ran = Arc::new(AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..INSIDE {
            scope.spawn(|| own.run());
        }
        let outside: Vec<_> = (0..OUTSIDE)
            .map(|_| {
                scope.spawn(|| {
                    let (done, dones) = mpsc::channel();
                    for round in 0..ROUNDS {
                        let (inner, done, ran) = (own.clone(), done.clone(), ran.clone());
                        let task = move || {
                            let again = ran.clone();
                            inner.post(move || {
                                again.fetch_add(1, Ordering::Relaxed);
                                done.send(()).expect("heard");
                            });
                            ran.fetch_add(1, Ordering::Relaxed);
                        };
                        if round % 16 == 0 {
                            own.post_at(Instant::now() + Duration::from_micros(50), task);
                        } else {
                            own.post(task);
                        }
                        dones.recv().expect("it ran");
                    }
                })
            })
            .collect();
        for thread in outside {
            thread.join().expect("no panic");
        }
        drop(work);
    });
    assert_eq!(ran.load(Ordering::Relaxed), 2 * OUTSIDE * ROUNDS);
}
