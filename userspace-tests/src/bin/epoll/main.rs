//! epoll(7) from the arguments to the wake-ups.

mod arguments;
mod control;
mod descriptor;
mod identity;
mod nested;
mod sleep;
mod triggers;

use arguments::*;
use control::*;
use descriptor::*;
use identity::*;
use libsyscall::abi::event::{EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD};
use nested::*;
use sleep::*;
use std::process::ExitCode;
use std::time::Duration;
use triggers::*;
use userspace_tests::tests;

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
