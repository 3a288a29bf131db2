//! Address spaces as a program sees them: mmap(2), munmap(2), mprotect(2), mremap(2), madvise(2), brk(2), mincore(2), fork's
//! copies, and the signals of bad accesses.

mod faults;
mod locking;
mod mapping;
mod pages;
mod sharing;
mod storms;

use faults::*;
use locking::*;
use mapping::*;
use sharing::*;
use std::process::ExitCode;
use storms::*;
use userspace_tests::{Test, run};

const TESTS: &[Test<Result<(), String>>] = &[
    ("map_write_unmap", map_write_unmap),
    ("mmap_errors", mmap_errors),
    ("hint_and_fixed", hint_and_fixed),
    ("unmap_splits", unmap_splits),
    ("protection_keeps_contents", protection_keeps_contents),
    ("mprotect_errors", mprotect_errors),
    ("large_reservation_is_free", large_reservation_is_free),
    ("fork_copies_private_pages", fork_copies_private_pages),
    ("fork_shares_shared_pages", fork_shares_shared_pages),
    ("fork_advice", fork_advice),
    ("file_private", file_private),
    ("file_shared", file_shared),
    ("file_protection", file_protection),
    ("past_the_end_is_sigbus", past_the_end_is_sigbus),
    ("null_is_sigsegv", null_is_sigsegv),
    ("read_only_is_sigsegv_accerr", read_only_is_sigsegv_accerr),
    ("no_execution_of_data", no_execution_of_data),
    ("handler_mends_and_goes_on", handler_mends_and_goes_on),
    ("remap_grows_and_moves", remap_grows_and_moves),
    ("remap_shrinks", remap_shrinks),
    ("remap_errors", remap_errors),
    ("dontneed_gives_zeroes", dontneed_gives_zeroes),
    ("madvise_errors", madvise_errors),
    ("break_grows_and_shrinks", break_grows_and_shrinks),
    ("mincore_tells_residency", mincore_tells_residency),
    ("populate", populate),
    ("locked_pages", locked_pages),
    ("locked_from_the_start", locked_from_the_start),
    ("stack_grows", stack_grows),
    ("bad_pointers_are_efault", bad_pointers_are_efault),
    ("copies_fault_pages_in", copies_fault_pages_in),
    ("read_into_mapping_of_same_file", read_into_mapping_of_same_file),
    ("threads_fault_together", threads_fault_together),
    ("unmap_is_seen_by_other_threads", unmap_is_seen_by_other_threads),
    ("many_regions", many_regions),
    ("fork_storm_leaks_nothing", fork_storm_leaks_nothing),
    ("exec_storm_leaks_nothing", exec_storm_leaks_nothing),
];

fn main() -> ExitCode {
    run(TESTS)
}
