//! The arguments of epoll_wait(2), epoll_pwait(2) and epoll_pwait2(2).

use libsyscall::abi::Errno;
use libsyscall::abi::event::*;
use libsyscall::calls::event;
use std::time::{Duration, Instant};
use userspace_tests::Fd;

/// Semantics 46 to 49.
pub fn wait_arguments() {
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
pub fn wait_fault() {
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
pub fn wait_fault_keeps_the_event() {
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
pub fn pwait_mask_size() {
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
pub fn pwait2_timeouts() {
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
