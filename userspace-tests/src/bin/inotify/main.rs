//! inotify(7): what happens to files and directories, told to who watches them.

mod calls;
mod contents;
mod instance;
mod names;
mod reads;

use calls::*;
use contents::*;
use names::*;
use reads::*;
use std::process::ExitCode;
use userspace_tests::tests;

fn main() -> ExitCode {
    userspace_tests::run(tests![
        flags,
        wrong_arguments,
        open_and_close,
        reading_and_writing,
        positions_vectors_and_copies,
        truncation,
        attributes,
        names_come_and_go,
        watched_file_is_deleted,
        deleted_while_open,
        hard_links,
        renames,
        rename_over_another,
        exchange,
        watched_folder,
        listing,
        masks_of_a_watch,
        one_shot,
        unlinked_children,
        links_and_folders_only,
        removed_watches,
        numbers_are_not_used_again,
        two_instances,
        equal_events_are_one,
        sizes_of_reads,
        reads_that_fault,
        blocking_read,
        readiness,
        edges,
        overflow,
        instances_of_a_user,
        other_calls,
        information,
        special_files,
        writer_beside_a_reader,
        watch_of_an_editor,
    ])
}
