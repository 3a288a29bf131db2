//! futex(2) beyond waiting and waking one word: moving waiters, several words at once, locks that the kernel passes on, and
//! owners that end. `threads` has the rest.

mod calls;
mod locks;
mod moving;
mod newer;
mod robust;
mod several;
mod words;

use locks::*;
use moving::*;
use newer::*;
use robust::*;
use several::*;
use std::process::ExitCode;
use userspace_tests::tests;
use words::*;

fn main() -> ExitCode {
    userspace_tests::run(tests![
        none_is_one,
        shared_objects_are_told_apart,
        moved_waiters,
        moved_while_equal,
        wake_with_operation,
        any_of_several,
        any_of_several_refused,
        any_of_several_in_time,
        moved_from_among_several,
        by_the_newer_calls,
        newer_calls_refused,
        newer_calls_in_time,
        moved_by_the_newer_call,
        lock_words,
        lock_refused,
        lock_in_time,
        lock_passes_on,
        lock_counts,
        lock_of_one_that_ends,
        locks_are_not_woken,
        moved_to_a_lock,
        moved_to_a_free_lock,
        robust_owner_ends,
        robust_lists_of_nonsense,
        words_of_several_mappings,
    ])
}
