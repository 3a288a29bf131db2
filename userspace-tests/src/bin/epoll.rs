//! epoll(7) from the arguments to the wake-ups.

use libsyscall::abi::Errno;
use libsyscall::abi::event::*;
use libsyscall::abi::fcntl::{F_DUPFD, F_GETFD, F_GETFL, F_SETPIPE_SZ, FD_CLOEXEC, O_NONBLOCK, O_RDWR};
use libsyscall::calls::{event, file};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};
use userspace_tests::{Fd, Status, checked, child, tests};

const ADD: i32 = EPOLL_CTL_ADD;
const MOD: i32 = EPOLL_CTL_MOD;
const DEL: i32 = EPOLL_CTL_DEL;
/// Long enough for another thread to have gone to sleep.
const SETTLE: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    userspace_tests::run(tests![
        create_flags,
        descriptor_status,
        control_bad_descriptors,
        control_bad_event,
        control_itself,
        control_unknown_operation,
        control_exists_and_missing,
        control_without_poll_support,
        control_every_mask,
        control_unknown_bits,
        exclusive_rules,
        data_keeps_64_bits,
        wait_arguments,
        wait_fault,
        wait_fault_keeps_the_event,
        pwait_mask_size,
        pwait2_timeouts,
        level_triggered,
        edge_triggered,
        edge_for_every_eventfd_write,
        edge_for_every_pipe_write,
        edge_for_every_socket_write,
        edge_of_room_in_a_pipe,
        edge_reports_the_whole_mask,
        edge_rearmed_by_modify,
        edges_coalesce,
        one_shot,
        one_shot_hides_hang_up,
        modify_changes_mask_and_data,
        modify_reports_what_is_ready,
        delete_stops,
        hang_up_and_error_are_implicit,
        peer_shutdown,
        order_of_becoming_ready,
        rotation_is_fair,
        room_for_one_at_a_time,
        readiness_at_delivery,
        exact_masks,
        key_is_description_and_number,
        close_of_one_number_keeps_it,
        last_close_removes_it,
        reused_number,
        forked_reference_keeps_it,
        timeout_zero,
        timeout_not_early,
        empty_set_times_out,
        wakes_a_waiter,
        add_wakes_a_waiter,
        modify_wakes_a_waiter,
        level_wakes_all_waiters,
        edge_wakes_one_waiter,
        many_epolls_of_one_file,
        exclusive_wakes_one,
        delete_while_waiting,
        threads_and_edges,
        one_shot_race,
        nested_readiness,
        nested_draining,
        nested_edge,
        nested_loop,
        nested_depth,
        nested_ways,
        inner_close,
        other_calls,
        busy_poll_parameters,
        information,
        many_descriptors,
    ])
}

/// Semantics 9, 10.
fn create_flags() {
    let plain = Fd(event::epoll_create1(0).expect("epoll_create1"));
    assert_eq!(file::fcntl(plain.0, F_GETFD, 0), Ok(0));
    let close_on_exec = Fd(event::epoll_create1(EPOLL_CLOEXEC).expect("epoll_create1"));
    assert_eq!(file::fcntl(close_on_exec.0, F_GETFD, 0), Ok(FD_CLOEXEC as usize));
    for flags in [1, 0o4000, EPOLL_CLOEXEC + 1, u32::MAX] {
        assert_eq!(event::epoll_create1(flags), Err(Errno::EINVAL), "{flags:#x}");
    }
}

/// Semantics 11, 12.
fn descriptor_status() {
    let epoll = Fd::epoll();
    assert_eq!(
        file::fcntl(epoll.0, F_GETFL, 0).map(|flags| flags & 0o3777777),
        Ok(O_RDWR as usize)
    );
    let link = std::fs::read_link(format!("/proc/self/fd/{}", epoll.0)).expect("readlink");
    assert_eq!(link.to_str(), Some("anon_inode:[eventpoll]"));
}

/// Semantics 13 to 15.
fn control_bad_descriptors() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    assert_eq!(event::epoll_set(-1, ADD, event.0, EPOLLIN, 0), Err(Errno::EBADF));
    assert_eq!(event::epoll_set(epoll.0, ADD, -1, EPOLLIN, 0), Err(Errno::EBADF));
    assert_eq!(event::epoll_set(event.0, ADD, -1, EPOLLIN, 0), Err(Errno::EBADF));
    assert_eq!(event::epoll_set(999, DEL, event.0, 0, 0), Err(Errno::EBADF));
    // Semantics 20.
    assert_eq!(event::epoll_set(event.0, ADD, epoll.0, EPOLLIN, 0), Err(Errno::EINVAL));
}

/// Semantics 16, 17.
fn control_bad_event() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    for (epfd, operation) in [(epoll.0, ADD), (epoll.0, MOD), (-1, ADD), (epoll.0, 99)] {
        assert_eq!(event::epoll_ctl(epfd, operation, event.0, None), Err(Errno::EFAULT));
    }
    epoll.add(&event, EPOLLIN);
    assert_eq!(event::epoll_ctl(epoll.0, DEL, event.0, None), Ok(()));
}

/// Semantics 19.
fn control_itself() {
    let epoll = Fd::epoll();
    let copy = epoll.dup();
    for operation in [ADD, MOD, DEL] {
        assert_eq!(epoll.control(operation, &epoll, EPOLLIN), Err(Errno::EINVAL));
        assert_eq!(epoll.control(operation, &copy, EPOLLIN), Err(Errno::EINVAL));
    }
}

/// Semantics 18.
fn control_unknown_operation() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    for operation in [-1, 0, 4, 99] {
        assert_eq!(epoll.control(operation, &event, EPOLLIN), Err(Errno::EINVAL));
    }
}

/// Semantics 21, 22.
fn control_exists_and_missing() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    assert_eq!(epoll.control(MOD, &event, EPOLLIN), Err(Errno::ENOENT));
    assert_eq!(epoll.control(DEL, &event, EPOLLIN), Err(Errno::ENOENT));
    epoll.add(&event, EPOLLIN);
    assert_eq!(epoll.control(ADD, &event, EPOLLIN), Err(Errno::EEXIST));
    epoll.delete(&event);
    assert_eq!(epoll.control(DEL, &event, EPOLLIN), Err(Errno::ENOENT));
}

/// Semantics 23.
fn control_without_poll_support() {
    use std::os::fd::AsRawFd;
    let epoll = Fd::epoll();
    for path in ["/proc/self/exe", "/tmp", "/dev/null", "/dev/zero"] {
        let file = std::fs::File::open(path).expect("open");
        for operation in [ADD, MOD, DEL] {
            let result = event::epoll_set(epoll.0, operation, file.as_raw_fd(), EPOLLIN, 0);
            assert_eq!(result, Err(Errno::EPERM), "{path}");
        }
    }
}

/// Semantics 26.
fn control_every_mask() {
    let (epoll, (read, _write)) = (Fd::epoll(), Fd::pipe());
    epoll.add(&read, 0);
    let bits = [
        EPOLLIN,
        EPOLLOUT,
        EPOLLPRI,
        EPOLLERR,
        EPOLLHUP,
        EPOLLET,
        EPOLLONESHOT,
        EPOLLRDHUP,
    ];
    for set in 0..256u32 {
        let mask = bits
            .iter()
            .enumerate()
            .filter(|(bit, _)| set & 1 << bit != 0)
            .map(|(_, mask)| mask)
            .sum();
        assert_eq!(epoll.control(MOD, &read, mask), Ok(()), "{mask:#x}");
    }
}

/// Semantics 27.
fn control_unknown_bits() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    assert_eq!(epoll.control(ADD, &event, 0xefff_ffff), Ok(()));
    assert_eq!(epoll.control(MOD, &event, EPOLLNVAL | EPOLLMSG), Ok(()));
}

/// Semantics 30 to 33.
fn exclusive_rules() {
    let (epoll, event, inner) = (Fd::epoll(), Fd::eventfd(0, 0), Fd::epoll());
    for bit in [EPOLLONESHOT, EPOLLRDHUP, EPOLLPRI, EPOLLRDNORM, EPOLLMSG] {
        assert_eq!(
            epoll.control(ADD, &event, EPOLLEXCLUSIVE | EPOLLIN | bit),
            Err(Errno::EINVAL),
            "{bit:#x}"
        );
    }
    assert_eq!(epoll.control(ADD, &inner, EPOLLEXCLUSIVE | EPOLLIN), Err(Errno::EINVAL));
    assert_eq!(epoll.control(MOD, &event, EPOLLEXCLUSIVE | EPOLLIN), Err(Errno::EINVAL));
    epoll.add(&event, EPOLLEXCLUSIVE | EPOLLIN | EPOLLOUT | EPOLLET);
    assert_eq!(epoll.control(MOD, &event, EPOLLIN), Err(Errno::EINVAL));
    epoll.delete(&event);
}

/// Semantics 2.
fn data_keeps_64_bits() {
    let epoll = Fd::epoll();
    let files: Vec<_> = (0..3).map(|_| Fd::eventfd(1, 0)).collect();
    let data = |number: usize| 0xdead_beef_face_feed_u64.rotate_left(number as u32 * 8);
    for (number, file) in files.iter().enumerate() {
        event::epoll_set(epoll.0, ADD, file.0, EPOLLIN, data(number)).expect("ADD");
    }
    assert_eq!(
        epoll.ready(),
        (0..3).map(|number| (data(number), EPOLLIN)).collect::<Vec<_>>()
    );
}

/// Semantics 46 to 49.
fn wait_arguments() {
    use libsyscall::abi::nr;
    use libsyscall::calls::raw;
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(1, 0));
    let wait = |epfd: i32, room: i32| {
        // Low enough for any size to end below the address space's top.
        let buffer = 4096;
        // SAFETY: nothing is ready, and the calls are refused.
        unsafe { raw(nr::EPOLL_PWAIT, [epfd as usize, buffer, room as usize, 0, 0, 8]) }
    };
    assert_eq!(wait(epoll.0, 0), Err(Errno::EINVAL));
    assert_eq!(wait(epoll.0, -1), Err(Errno::EINVAL));
    let most = i32::MAX / size_of::<EpollEvent>() as i32;
    assert_eq!(wait(epoll.0, most), Ok(0));
    assert_eq!(wait(epoll.0, most + 1), Err(Errno::EINVAL));
    assert_eq!(wait(-1, 1), Err(Errno::EBADF));
    assert_eq!(wait(event.0, 1), Err(Errno::EINVAL));
}

/// Semantics 51: nothing ready, nothing written, no fault.
fn wait_fault() {
    use libsyscall::abi::nr;
    use libsyscall::calls::raw;
    let epoll = Fd::epoll();
    // SAFETY: the kernel finds nothing to write at the null pointer.
    assert_eq!(
        // SAFETY: a null buffer and mask: nothing is written, whatever the answer.
        unsafe { raw(nr::EPOLL_PWAIT, [epoll.0 as usize, 0, 1, 0, 0, 8]) },
        Ok(0)
    );
}

/// Semantics 50, 51.
fn wait_fault_keeps_the_event() {
    use libsyscall::abi::nr;
    use libsyscall::calls::raw;
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(1, 0));
    epoll.add(&event, EPOLLIN | EPOLLET);
    // SAFETY: the write to the null pointer is refused.
    assert_eq!(
        // SAFETY: a null buffer and mask: nothing is written, whatever the answer.
        unsafe { raw(nr::EPOLL_PWAIT, [epoll.0 as usize, 0, 1, 0, 0, 8]) },
        Err(Errno::EFAULT)
    );
    assert_eq!(epoll.events(), EPOLLIN);
}

/// Semantics 55.
fn pwait_mask_size() {
    use libsyscall::abi::nr;
    use libsyscall::calls::raw;
    let epoll = Fd::epoll();
    let mask = 0u64;
    let mut events = [EpollEvent::default()];
    let mut wait = |epfd: i32, mask: usize, size: usize| {
        let buffer = events.as_mut_ptr() as usize;
        // SAFETY: the kernel writes within the array.
        unsafe { raw(nr::EPOLL_PWAIT, [epfd as usize, buffer, 1, 0, mask, size]) }
    };
    let mask = &raw const mask as usize;
    assert_eq!(wait(epoll.0, mask, 8), Ok(0));
    assert_eq!(wait(epoll.0, mask, 7), Err(Errno::EINVAL));
    assert_eq!(wait(-1, mask, 16), Err(Errno::EINVAL));
    assert_eq!(wait(epoll.0, 0, 7), Ok(0));
    assert_eq!(wait(epoll.0, 8, 8), Err(Errno::EFAULT));
}

/// Semantics 56.
fn pwait2_timeouts() {
    let epoll = Fd::epoll();
    let mut events = [EpollEvent::default()];
    let mut wait = |seconds, nanoseconds| {
        event::epoll_pwait2(
            epoll.0,
            &mut events,
            Some(&event::Timespec { seconds, nanoseconds }),
            None,
        )
    };
    for (seconds, nanoseconds) in [(-1, 0), (0, -1), (0, 1_000_000_000)] {
        assert_eq!(wait(seconds, nanoseconds), Err(Errno::EINVAL));
    }
    assert_eq!(wait(0, 0), Ok(0));
    let start = Instant::now();
    assert_eq!(wait(0, 1_500_000), Ok(0));
    assert!(start.elapsed() >= Duration::from_micros(1500), "{:?}", start.elapsed());
}

/// Semantics 70.
fn level_triggered() {
    let (epoll, (read, write)) = (Fd::epoll(), Fd::pipe());
    epoll.add(&read, EPOLLIN);
    assert_eq!(epoll.events(), 0);
    write.write(b"ab").expect("write");
    assert_eq!((epoll.events(), epoll.events()), (EPOLLIN, EPOLLIN));
    read.read(&mut [0]).expect("read");
    assert_eq!(epoll.events(), EPOLLIN);
    read.read(&mut [0]).expect("read");
    assert_eq!(epoll.events(), 0);
}

/// Semantics 71.
fn edge_triggered() {
    let (epoll, (read, write)) = (Fd::epoll(), Fd::pipe());
    write.write(b"ab").expect("write");
    epoll.add(&read, EPOLLIN | EPOLLET);
    assert_eq!((epoll.events(), epoll.events()), (EPOLLIN, 0));
    read.read(&mut [0]).expect("read");
    assert_eq!(epoll.events(), 0);
    write.write(b"c").expect("write");
    assert_eq!((epoll.events(), epoll.events()), (EPOLLIN, 0));
}

/// Semantics 72: mio's waker never reads its eventfd.
fn edge_for_every_eventfd_write() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, EFD_NONBLOCK));
    epoll.add(&event, EPOLLIN | EPOLLET);
    for _ in 0..100 {
        event::eventfd_write(event.0, 1).expect("write");
        assert_eq!((epoll.events(), epoll.events()), (EPOLLIN, 0));
    }
    event::eventfd_write(event.0, 0).expect("write");
    assert_eq!(epoll.events(), EPOLLIN);
    event::eventfd_read(event.0).expect("read");
    event::eventfd_write(event.0, 0).expect("write");
    assert_eq!(epoll.events(), 0);
}

/// Semantics 74.
fn edge_for_every_pipe_write() {
    let (epoll, (read, write)) = (Fd::epoll(), Fd::pipe());
    epoll.add(&read, EPOLLIN | EPOLLET);
    for _ in 0..10 {
        write.write(b"x").expect("write");
        assert_eq!((epoll.events(), epoll.events()), (EPOLLIN, 0));
    }
}

/// Semantics 73.
fn edge_for_every_socket_write() {
    let (epoll, (left, right)) = (Fd::epoll(), Fd::socket_pair());
    epoll.add(&left, EPOLLIN | EPOLLET);
    for _ in 0..10 {
        right.write(b"x").expect("write");
        assert_eq!((epoll.events(), epoll.events()), (EPOLLIN, 0));
    }
}

/// Semantics 75.
fn edge_of_room_in_a_pipe() {
    let (epoll, (read, write)) = (Fd::epoll(), Fd::pipe());
    file::fcntl(write.0, F_SETPIPE_SZ, 4096).expect("F_SETPIPE_SZ");
    epoll.add(&write, EPOLLOUT | EPOLLET);
    assert_eq!(epoll.events(), EPOLLOUT);
    assert_eq!(write.fill(), 4096);
    assert_eq!(epoll.events(), 0);
    let mut half = [0; 2048];
    assert_eq!(read.read(&mut half), Ok(2048));
    assert_eq!(epoll.events(), 0);
    assert_eq!(read.read(&mut half), Ok(2048));
    assert_eq!((epoll.events(), epoll.events()), (EPOLLOUT, 0));
}

/// Semantics 77.
fn edge_reports_the_whole_mask() {
    let (epoll, (left, right)) = (Fd::epoll(), Fd::socket_pair());
    epoll.add(&left, EPOLLIN | EPOLLOUT | EPOLLET);
    assert_eq!(epoll.events(), EPOLLOUT);
    right.write(b"x").expect("write");
    assert_eq!(epoll.events(), EPOLLIN | EPOLLOUT);
}

/// Semantics 78.
fn edge_rearmed_by_modify() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(1, 0));
    epoll.add(&event, EPOLLIN | EPOLLET);
    assert_eq!((epoll.events(), epoll.events()), (EPOLLIN, 0));
    epoll.modify(&event, EPOLLIN | EPOLLET);
    assert_eq!((epoll.events(), epoll.events()), (EPOLLIN, 0));
}

/// Semantics 80.
fn edges_coalesce() {
    let (epoll, (read, write)) = (Fd::epoll(), Fd::pipe());
    epoll.add(&read, EPOLLIN | EPOLLET);
    write.write(b"a").expect("write");
    write.write(b"b").expect("write");
    assert_eq!((epoll.events(), epoll.events()), (EPOLLIN, 0));
    write.write(b"c").expect("write");
    read.drain();
    assert_eq!(epoll.events(), 0);
}

/// Semantics 81.
fn one_shot() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(1, 0));
    epoll.add(&event, EPOLLIN | EPOLLONESHOT);
    assert_eq!((epoll.events(), epoll.events()), (EPOLLIN, 0));
    event::eventfd_write(event.0, 1).expect("write");
    assert_eq!(epoll.events(), 0);
    assert_eq!(epoll.control(ADD, &event, EPOLLIN), Err(Errno::EEXIST));
    epoll.modify(&event, EPOLLIN | EPOLLONESHOT);
    assert_eq!((epoll.events(), epoll.events()), (EPOLLIN, 0));
}

/// Semantics 81, 82.
fn one_shot_hides_hang_up() {
    let (epoll, (read, write)) = (Fd::epoll(), Fd::pipe());
    epoll.add(&read, EPOLLIN | EPOLLONESHOT | EPOLLET);
    write.write(b"x").expect("write");
    assert_eq!(epoll.events(), EPOLLIN);
    drop(write);
    assert_eq!(epoll.events(), 0);
    epoll.modify(&read, 0);
    assert_eq!(epoll.events(), EPOLLHUP);
}

/// Semantics 65.
fn modify_changes_mask_and_data() {
    let (epoll, (left, right)) = (Fd::epoll(), Fd::socket_pair());
    right.write(b"x").expect("write");
    event::epoll_set(epoll.0, ADD, left.0, EPOLLIN, 1).expect("ADD");
    assert_eq!(epoll.ready(), [(1, EPOLLIN)]);
    event::epoll_set(epoll.0, MOD, left.0, EPOLLOUT, 2).expect("MOD");
    assert_eq!(epoll.ready(), [(2, EPOLLOUT)]);
    event::epoll_set(epoll.0, MOD, left.0, 0, 3).expect("MOD");
    assert_eq!(epoll.ready(), []);
}

/// Semantics 66.
fn modify_reports_what_is_ready() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(1, 0));
    epoll.add(&event, 0);
    assert_eq!(epoll.events(), 0);
    epoll.modify(&event, EPOLLIN);
    assert_eq!(epoll.events(), EPOLLIN);
}

/// Semantics 65.
fn delete_stops() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(1, 0));
    epoll.add(&event, EPOLLIN);
    assert_eq!(epoll.events(), EPOLLIN);
    epoll.delete(&event);
    assert_eq!(epoll.events(), 0);
    event::eventfd_write(event.0, 1).expect("write");
    assert_eq!(epoll.events(), 0);
}

/// Semantics 60, 144, 145.
fn hang_up_and_error_are_implicit() {
    let (epoll, (read, write)) = (Fd::epoll(), Fd::pipe());
    epoll.add(&read, 0);
    drop(write);
    assert_eq!(epoll.events(), EPOLLHUP);

    let (epoll, (read, write)) = (Fd::epoll(), Fd::pipe());
    epoll.add(&write, 0);
    drop(read);
    assert_eq!(epoll.events(), EPOLLERR);
}

/// Semantics 61, 148.
fn peer_shutdown() {
    let (epoll, (left, right)) = (Fd::epoll(), Fd::socket_pair());
    epoll.add(&left, EPOLLIN | EPOLLOUT);
    let shutdown = |socket: &Fd, how| {
        // SAFETY: numbers in, a number out.
        userspace_tests::checked(unsafe { libc::shutdown(socket.0, how) }).expect("shutdown");
    };
    shutdown(&right, libc::SHUT_WR);
    assert_eq!(epoll.events(), EPOLLIN | EPOLLOUT);
    epoll.modify(&left, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
    assert_eq!(epoll.events(), EPOLLIN | EPOLLOUT | EPOLLRDHUP);
    shutdown(&left, libc::SHUT_WR);
    assert_eq!(epoll.events(), EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP);
}

/// Semantics 64.
fn order_of_becoming_ready() {
    let epoll = Fd::epoll();
    let files: Vec<_> = (0..5).map(|_| Fd::eventfd(0, 0)).collect();
    files.iter().for_each(|file| epoll.add(file, EPOLLIN));
    let order = [3, 1, 4, 0];
    for &number in &order {
        event::eventfd_write(files[number].0, 1).expect("write");
    }
    let expected: Vec<_> = order.iter().map(|&number| (files[number].0 as u64, EPOLLIN)).collect();
    assert_eq!(epoll.ready(), expected);
}

/// Semantics 63.
fn rotation_is_fair() {
    const FILES: usize = 10;
    const ROUNDS: usize = 7;
    let epoll = Fd::epoll();
    let files: Vec<_> = (0..FILES).map(|_| Fd::eventfd(1, 0)).collect();
    files.iter().for_each(|file| epoll.add(file, EPOLLIN));
    let mut seen = std::collections::BTreeMap::new();
    for _ in 0..FILES * ROUNDS / 2 {
        for (data, _) in epoll.wait(0, 2).expect("epoll_wait") {
            *seen.entry(data).or_insert(0) += 1;
        }
    }
    assert_eq!(seen.len(), FILES);
    assert!(seen.values().all(|&count| count == ROUNDS), "{seen:?}");
}

/// Semantics 62.
fn room_for_one_at_a_time() {
    let epoll = Fd::epoll();
    let files: Vec<_> = (0..8).map(|_| Fd::eventfd(1, 0)).collect();
    files.iter().for_each(|file| epoll.add(file, EPOLLIN | EPOLLET));
    for file in &files {
        assert_eq!(epoll.wait(0, 1), Ok(vec![(file.0 as u64, EPOLLIN)]));
    }
    assert_eq!(epoll.wait(0, 1), Ok(vec![]));
}

/// Semantics 67.
fn readiness_at_delivery() {
    let (epoll, (read, write)) = (Fd::epoll(), Fd::pipe());
    epoll.add(&read, EPOLLIN);
    write.write(b"x").expect("write");
    read.drain();
    assert_eq!(epoll.events(), 0);
}

/// Semantics 59.
fn exact_masks() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, EFD_NONBLOCK));
    epoll.add(&event, EPOLLIN | EPOLLOUT);
    assert_eq!(epoll.events(), EPOLLOUT);
    event::eventfd_write(event.0, u64::MAX - 1).expect("write");
    assert_eq!(epoll.events(), EPOLLIN);
    event::eventfd_read(event.0).expect("read");
    event::eventfd_write(event.0, 1).expect("write");
    assert_eq!(epoll.events(), EPOLLIN | EPOLLOUT);
}

/// Semantics 101.
fn key_is_description_and_number() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    let copy = event.dup();
    epoll.add(&event, EPOLLIN);
    epoll.add(&copy, EPOLLIN);
    event::eventfd_write(event.0, 1).expect("write");
    // A wait queue tells the newest first.
    let mut ready = epoll.ready();
    ready.sort();
    assert_eq!(ready, [(event.0 as u64, EPOLLIN), (copy.0 as u64, EPOLLIN)]);
    epoll.delete(&copy);
    assert_eq!(epoll.ready(), [(event.0 as u64, EPOLLIN)]);
}

/// Semantics 102, 103.
fn close_of_one_number_keeps_it() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    let copy = event.dup();
    let number = event.0;
    epoll.add(&event, EPOLLIN);
    drop(event);
    event::eventfd_write(copy.0, 1).expect("write");
    assert_eq!(epoll.ready(), [(number as u64, EPOLLIN)]);
    assert_eq!(event::epoll_delete(epoll.0, number), Err(Errno::EBADF));
    drop(copy);
    assert_eq!(epoll.ready(), []);
}

/// Semantics 102.
fn last_close_removes_it() {
    let (epoll, (read, write)) = (Fd::epoll(), Fd::pipe());
    epoll.add(&read, EPOLLIN);
    write.write(b"x").expect("write");
    assert_eq!(epoll.events(), EPOLLIN);
    drop(read);
    assert_eq!(epoll.ready(), []);
}

/// Semantics 103.
fn reused_number() {
    let (epoll, old) = (Fd::epoll(), Fd::eventfd(1, 0));
    let copy = old.dup();
    let number = old.0;
    event::epoll_set(epoll.0, ADD, number, EPOLLIN, 1).expect("ADD");
    drop(old);
    let new = Fd::eventfd(1, 0);
    let new = if new.0 == number {
        new
    } else {
        Fd(file::fcntl(new.0, F_DUPFD, number as usize).expect("F_DUPFD") as i32)
    };
    assert_eq!(new.0, number);
    event::epoll_set(epoll.0, ADD, number, EPOLLIN, 2).expect("ADD");
    assert_eq!(epoll.ready(), [(1, EPOLLIN), (2, EPOLLIN)]);
    epoll.delete(&new);
    assert_eq!(epoll.ready(), [(1, EPOLLIN)]);
    drop(copy);
    assert_eq!(epoll.ready(), []);
}

/// Semantics 104.
fn forked_reference_keeps_it() {
    let (epoll, (read, write)) = (Fd::epoll(), Fd::pipe());
    let (go_read, go_write) = Fd::blocking_pipe();
    let number = read.0;
    epoll.add(&read, EPOLLIN);
    let child = child(|| i32::from(go_read.read(&mut [0]) != Ok(1)));
    drop(read);
    write.write(b"x").expect("write");
    assert_eq!(epoll.ready(), [(number as u64, EPOLLIN)]);
    go_write.write(b"x").expect("write");
    assert_eq!(child.wait(), Status::Exited(0));
    assert_eq!(epoll.ready(), []);
}

/// Semantics 52.
fn timeout_zero() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    epoll.add(&event, EPOLLIN);
    let start = Instant::now();
    for _ in 0..100 {
        assert_eq!(epoll.wait(0, 1), Ok(vec![]));
    }
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
}

/// Semantics 53.
fn timeout_not_early() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    epoll.add(&event, EPOLLIN);
    for timeout_ms in [1, 2, 10, 33] {
        let start = Instant::now();
        assert_eq!(epoll.wait(timeout_ms, 1), Ok(vec![]));
        let took = start.elapsed();
        assert!(
            took >= Duration::from_millis(timeout_ms as u64),
            "{timeout_ms} ms took {took:?}"
        );
        assert!(
            took < Duration::from_millis(timeout_ms as u64 + 500),
            "{timeout_ms} ms took {took:?}"
        );
    }
}

/// Semantics 54.
fn empty_set_times_out() {
    let start = Instant::now();
    assert_eq!(Fd::epoll().wait(20, 1), Ok(vec![]));
    assert!(start.elapsed() >= Duration::from_millis(20));
}

/// A thread that waits for one event for at most two seconds.
fn waiter(epoll: &Fd) -> thread::JoinHandle<usize> {
    let epfd = epoll.0;
    thread::spawn(move || {
        let mut events = [EpollEvent::default()];
        event::epoll_wait(epfd, &mut events, 2000).expect("epoll_wait")
    })
}

fn wakes_a_waiter() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    epoll.add(&event, EPOLLIN);
    let waiter = waiter(&epoll);
    thread::sleep(SETTLE);
    event::eventfd_write(event.0, 1).expect("write");
    assert_eq!(waiter.join().expect("thread"), 1);
}

/// Semantics 66.
fn add_wakes_a_waiter() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(1, 0));
    let waiter = waiter(&epoll);
    thread::sleep(SETTLE);
    epoll.add(&event, EPOLLIN);
    assert_eq!(waiter.join().expect("thread"), 1);
}

/// Semantics 66.
fn modify_wakes_a_waiter() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(1, 0));
    epoll.add(&event, 0);
    let waiter = waiter(&epoll);
    thread::sleep(SETTLE);
    epoll.modify(&event, EPOLLIN);
    assert_eq!(waiter.join().expect("thread"), 1);
}

/// Semantics 86.
fn level_wakes_all_waiters() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    epoll.add(&event, EPOLLIN);
    let waiters = [waiter(&epoll), waiter(&epoll)];
    thread::sleep(SETTLE);
    event::eventfd_write(event.0, 1).expect("write");
    assert_eq!(waiters.map(|waiter| waiter.join().expect("thread")), [1, 1]);
}

/// Semantics 87.
fn edge_wakes_one_waiter() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    epoll.add(&event, EPOLLIN | EPOLLET);
    let waiters = [waiter(&epoll), waiter(&epoll)];
    thread::sleep(SETTLE);
    event::eventfd_write(event.0, 1).expect("write");
    assert_eq!(
        waiters
            .map(|waiter| waiter.join().expect("thread"))
            .iter()
            .sum::<usize>(),
        1
    );
}

/// Semantics 90.
fn many_epolls_of_one_file() {
    let event = Fd::eventfd(0, 0);
    let epolls: Vec<_> = (0..8).map(|_| Fd::epoll()).collect();
    epolls.iter().for_each(|epoll| epoll.add(&event, EPOLLIN | EPOLLET));
    let waiters: Vec<_> = epolls.iter().map(waiter).collect();
    thread::sleep(SETTLE);
    event::eventfd_write(event.0, 1).expect("write");
    let woken: usize = waiters.into_iter().map(|waiter| waiter.join().expect("thread")).sum();
    assert_eq!(woken, 8);
}

/// Semantics 91: children, as each round wakes exactly one more of them.
fn exclusive_wakes_one() {
    const WAITERS: usize = 4;
    let event = Fd::eventfd(0, 0);
    let (read, write) = Fd::pipe();
    let children: Vec<_> = (0..WAITERS)
        .map(|_| {
            child(|| {
                let epoll = Fd::epoll();
                epoll.add(&event, EPOLLIN | EPOLLET | EPOLLEXCLUSIVE);
                let woken = epoll.wait(5000, 1).is_ok_and(|events| events.len() == 1);
                i32::from(!woken || write.write(b"x") != Ok(1))
            })
        })
        .collect();
    thread::sleep(4 * SETTLE);
    for _ in 0..WAITERS {
        event::eventfd_write(event.0, 1).expect("write");
        thread::sleep(2 * SETTLE);
        let mut woken = [0; WAITERS];
        assert_eq!(read.read(&mut woken), Ok(1));
    }
    for child in children {
        assert_eq!(child.wait(), Status::Exited(0));
    }
}

/// Semantics 99.
fn delete_while_waiting() {
    let (epoll, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    epoll.add(&event, EPOLLIN);
    let epfd = epoll.0;
    let waiter = thread::spawn(move || {
        let start = Instant::now();
        let mut events = [EpollEvent::default()];
        (event::epoll_wait(epfd, &mut events, 200), start.elapsed())
    });
    thread::sleep(SETTLE);
    epoll.delete(&event);
    event::eventfd_write(event.0, 1).expect("write");
    let (result, took) = waiter.join().expect("thread");
    assert_eq!(result, Ok(0));
    assert!(took >= Duration::from_millis(200), "{took:?}");
}

/// Semantics 96, smaller: every waiter of one epoll gets one of as many edges.
fn threads_and_edges() {
    const THREADS: usize = 4;
    for _ in 0..20 {
        let epoll = Fd::epoll();
        let files: Vec<_> = (0..THREADS).map(|_| Fd::eventfd(0, 0)).collect();
        files.iter().for_each(|file| epoll.add(file, EPOLLIN | EPOLLET));
        let waiters: Vec<_> = (0..THREADS).map(|_| waiter(&epoll)).collect();
        files
            .iter()
            .for_each(|file| event::eventfd_write(file.0, 1).expect("write"));
        assert!(waiters.into_iter().all(|waiter| waiter.join().expect("thread") == 1));
    }
}

/// Semantics 83, 84, smaller: re-arming races with wake-ups and none is lost. The next event is sent as soon as the last one
/// is taken, beside the MOD that it needs.
fn one_shot_race() {
    const ROUNDS: u32 = 1000;
    let (epoll, event, taken) = (Fd::epoll(), Fd::eventfd(0, EFD_NONBLOCK), Fd::eventfd(0, 0));
    epoll.add(&event, EPOLLIN | EPOLLONESHOT | EPOLLET);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..ROUNDS {
                assert_eq!(epoll.wait(-1, 1).map(|events| events.len()), Ok(1));
                assert_eq!(event::eventfd_read(event.0), Ok(1));
                event::eventfd_write(taken.0, 1).expect("write");
                epoll.modify(&event, EPOLLIN | EPOLLONESHOT | EPOLLET);
            }
        });
        for _ in 0..ROUNDS {
            event::eventfd_write(event.0, 1).expect("write");
            assert_eq!(event::eventfd_read(taken.0), Ok(1));
        }
    });
}

/// Semantics 40, 41.
fn nested_readiness() {
    let (outer, inner, event) = (Fd::epoll(), Fd::epoll(), Fd::eventfd(0, 0));
    inner.add(&event, EPOLLIN);
    outer.add(&inner, EPOLLIN | EPOLLOUT);
    assert_eq!(outer.events(), 0);
    event::eventfd_write(event.0, 1).expect("write");
    assert_eq!(outer.ready(), [(inner.0 as u64, EPOLLIN)]);
    assert_eq!(inner.ready(), [(event.0 as u64, EPOLLIN)]);
}

/// Semantics 42.
fn nested_draining() {
    let (outer, inner, (read, write)) = (Fd::epoll(), Fd::epoll(), Fd::pipe());
    inner.add(&read, EPOLLIN);
    outer.add(&inner, EPOLLIN);
    write.write(b"x").expect("write");
    read.drain();
    assert_eq!(outer.events(), 0);
}

/// Semantics 43, 44.
fn nested_edge() {
    let (outer, inner, event) = (Fd::epoll(), Fd::epoll(), Fd::eventfd(0, 0));
    inner.add(&event, EPOLLIN | EPOLLET);
    outer.add(&inner, EPOLLIN);
    event::eventfd_write(event.0, 1).expect("write");
    assert_eq!((outer.events(), outer.events()), (EPOLLIN, EPOLLIN));

    let (outer, inner, event) = (Fd::epoll(), Fd::epoll(), Fd::eventfd(0, 0));
    inner.add(&event, EPOLLIN);
    outer.add(&inner, EPOLLIN | EPOLLET);
    event::eventfd_write(event.0, 1).expect("write");
    assert_eq!((outer.events(), outer.events()), (EPOLLIN, 0));
}

/// Semantics 36, 37.
fn nested_loop() {
    let epolls = [Fd::epoll(), Fd::epoll(), Fd::epoll()];
    epolls[0].add(&epolls[1], EPOLLIN);
    assert_eq!(epolls[1].control(ADD, &epolls[0], EPOLLIN), Err(Errno::ELOOP));
    epolls[1].add(&epolls[2], EPOLLIN);
    assert_eq!(epolls[2].control(ADD, &epolls[0], EPOLLIN), Err(Errno::ELOOP));
}

/// Semantics 34, 35.
fn nested_depth() {
    let ((read, _write), epolls) = (Fd::pipe(), (0..6).map(|_| Fd::epoll()).collect::<Vec<_>>());
    epolls[0].add(&read, EPOLLIN);
    for level in 1..5 {
        epolls[level].add(&epolls[level - 1], EPOLLIN);
    }
    assert_eq!(epolls[5].control(ADD, &epolls[4], EPOLLIN), Err(Errno::ELOOP));

    let epolls: Vec<_> = (0..6).map(|_| Fd::epoll()).collect();
    for level in (2..6).rev() {
        epolls[level].add(&epolls[level - 1], EPOLLIN);
    }
    assert_eq!(epolls[1].control(ADD, &epolls[0], EPOLLIN), Err(Errno::ELOOP));
}

/// Semantics 39.
fn nested_ways() {
    let (inner, event) = (Fd::epoll(), Fd::eventfd(0, 0));
    inner.add(&event, EPOLLIN);
    let outers: Vec<_> = (0..501).map(|_| Fd::epoll()).collect();
    let (last, first) = outers.split_last().expect("501 of them");
    first.iter().for_each(|outer| outer.add(&inner, EPOLLIN));
    assert_eq!(last.control(ADD, &inner, EPOLLIN), Err(Errno::EINVAL));
    first[0].delete(&inner);
    assert_eq!(last.control(ADD, &inner, EPOLLIN), Ok(()));
    // An epoll that nothing watches is no way through another.
    first.iter().for_each(|epoll| epoll.add(&event, EPOLLIN));
}

/// Semantics 106.
fn inner_close() {
    let (outer, inner, event) = (Fd::epoll(), Fd::epoll(), Fd::eventfd(1, 0));
    inner.add(&event, EPOLLIN);
    outer.add(&inner, EPOLLIN);
    assert_eq!(outer.events(), EPOLLIN);
    drop(inner);
    assert_eq!(outer.ready(), []);
    event::eventfd_write(event.0, 1).expect("write");
    assert_eq!(outer.ready(), []);
}

/// Semantics 113.
fn other_calls() {
    let epoll = Fd::epoll();
    assert_eq!(epoll.read(&mut [0; 8]), Err(Errno::EINVAL));
    assert_eq!(epoll.write(&[0; 8]), Err(Errno::EINVAL));
    let mut byte = 0u8;
    // SAFETY: the kernel writes one byte, if at all, and maps nothing; the others take numbers.
    unsafe {
        assert_eq!(
            checked(libc::pread(epoll.0, (&raw mut byte).cast(), 1, 0)),
            Err(Errno::ESPIPE)
        );
        for (offset, whence) in [
            (0, libc::SEEK_SET),
            (5, libc::SEEK_SET),
            (-1, libc::SEEK_CUR),
            (9, libc::SEEK_END),
        ] {
            assert_eq!(checked(libc::lseek(epoll.0, offset, whence)), Ok(0));
        }
        let mapped = libc::mmap(
            std::ptr::null_mut(),
            4096,
            libc::PROT_READ,
            libc::MAP_SHARED,
            epoll.0,
            0,
        );
        assert_eq!(checked(mapped as isize as i64), Err(Errno::ENODEV));
        assert_eq!(checked(libc::ftruncate(epoll.0, 0)), Err(Errno::EINVAL));
        assert_eq!(checked(libc::fsync(epoll.0)), Err(Errno::EINVAL));
    }
    let mut word = [0u8; 64];
    for command in [libc::FIONREAD as u32, libc::TCGETS as u32] {
        assert_eq!(ioctl(&epoll, command, word.as_mut_ptr()), Err(Errno::EINVAL));
    }
    // Blocking is not the descriptor's affair (semantics 11).
    word[0] = 1;
    assert_eq!(ioctl(&epoll, libc::FIONBIO as u32, word.as_mut_ptr()), Ok(0));
    assert_eq!(file::fcntl(epoll.0, F_GETFL, 0), Ok((O_RDWR | O_NONBLOCK) as usize));
    let start = Instant::now();
    assert_eq!(epoll.wait(20, 1), Ok(vec![]));
    assert!(start.elapsed() >= Duration::from_millis(20));
}

/// ioctl(2) with a pointer.
fn ioctl(fd: &Fd, command: u32, argument: *mut u8) -> Result<i32, Errno> {
    // SAFETY: the callers give what the command reads or writes, or what is refused.
    checked(unsafe { libc::ioctl(fd.0, command as _, argument) })
}

/// Semantics 114, ioctl_eventpoll(2).
fn busy_poll_parameters() {
    const SET: u32 = 0x4008_8a01;
    const GET: u32 = 0x8008_8a02;
    let epoll = Fd::epoll();
    let mut parameters = [0xffu8; 8];
    assert_eq!(ioctl(&epoll, GET, parameters.as_mut_ptr()), Ok(0));
    assert_eq!(parameters, [0; 8]);
    // Microseconds, packets, preference, padding.
    let mut wished = [0x10, 0x27, 0, 0, 16, 0, 1, 0];
    assert_eq!(ioctl(&epoll, SET, wished.as_mut_ptr()), Ok(0));
    assert_eq!(ioctl(&epoll, GET, parameters.as_mut_ptr()), Ok(0));
    assert_eq!(parameters, wished);
    for wrong in [
        [0, 0, 0, 0x80, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 2, 0],
        [0, 0, 0, 0, 0, 0, 0, 1],
    ] {
        assert_eq!(ioctl(&epoll, SET, { wrong }.as_mut_ptr()), Err(Errno::EINVAL));
    }
    for command in [SET, GET] {
        assert_eq!(ioctl(&epoll, command, std::ptr::null_mut()), Err(Errno::EFAULT));
        assert_eq!(
            ioctl(&Fd::eventfd(0, 0), command, parameters.as_mut_ptr()),
            Err(Errno::ENOTTY)
        );
    }
    assert_eq!(parameters, wished);
}

/// Semantics 115.
fn information() {
    let (epoll, (read, _write), event) = (Fd::epoll(), Fd::pipe(), Fd::eventfd(1, 0));
    let node = |fd: &Fd| {
        // SAFETY: all zero bytes are a stat; the kernel writes one.
        unsafe {
            let mut stat: libc::stat = std::mem::zeroed();
            checked(libc::fstat(fd.0, &mut stat)).expect("fstat");
            (stat.st_ino, stat.st_dev)
        }
    };
    let line = |fd: &Fd, events: u32, data: u64| {
        let (number, (ino, device)) = (fd.0, node(fd));
        format!("tfd: {number:8} events: {events:8x} data: {data:16x}  pos:0 ino:{ino:x} sdev:{device:x}")
    };
    let lines = || {
        let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", epoll.0)).expect("read");
        let mut lines: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("tfd:"))
            .map(String::from)
            .collect();
        lines.sort();
        lines
    };
    assert!(lines().is_empty());
    event::epoll_set(epoll.0, ADD, read.0, EPOLLIN | EPOLLET, u64::MAX).expect("ADD");
    event::epoll_set(epoll.0, ADD, event.0, EPOLLIN | EPOLLONESHOT, 5).expect("ADD");
    let of_pipe = line(&read, 0x8000_0019, u64::MAX);
    let both = |of_event: String| {
        let mut lines = vec![of_pipe.clone(), of_event];
        lines.sort();
        lines
    };
    assert_eq!(lines(), both(line(&event, 0x4000_0019, 5)));
    // A one-shot registration that has had its event waits for nothing.
    assert_eq!(epoll.events(), EPOLLIN);
    assert_eq!(lines(), both(line(&event, 0x4000_0000, 5)));
}

/// As many as a server has connections.
fn many_descriptors() {
    const FILES: usize = 400;
    let epoll = Fd::epoll();
    let files: Vec<_> = (0..FILES).map(|_| Fd::eventfd(0, 0)).collect();
    files.iter().for_each(|file| epoll.add(file, EPOLLIN | EPOLLET));
    for step in [1, 7, 50] {
        let written: Vec<_> = files.iter().step_by(step).map(|file| file.0 as u64).collect();
        files
            .iter()
            .step_by(step)
            .for_each(|file| event::eventfd_write(file.0, 1).expect("write"));
        let seen: Vec<_> = epoll
            .wait(0, FILES)
            .expect("epoll_wait")
            .into_iter()
            .map(|(data, _)| data)
            .collect();
        assert_eq!(seen, written);
    }
}
