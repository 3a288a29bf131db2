//! POSIX message queues, mq_overview(7).

mod descriptor;
mod messages;
mod naming;
mod notification;
mod queue;
mod readiness;
mod system;
mod waiting;

use descriptor::*;
use messages::*;
use naming::*;
use notification::*;
use readiness::*;
use std::process::ExitCode;
use system::*;
use userspace_tests::tests;
use waiting::*;

fn main() -> ExitCode {
    userspace_tests::run(tests![
        names,
        making,
        sizes,
        the_user_s_limit,
        how_many,
        rights,
        another_s_name,
        access_modes,
        order,
        lengths,
        bad_pointers,
        bad_times,
        full_and_empty,
        attributes,
        time_limits,
        a_receiver_is_served_first,
        receivers_in_turn,
        senders_in_turn,
        interrupted,
        restarted,
        readiness,
        edges,
        an_edge_by_each_change,
        handed_over_unseen,
        a_poll_that_sleeps,
        what_a_descriptor_tells,
        its_link,
        its_times,
        what_it_is_not,
        kept_until_closed,
        shared_by_a_child,
        closed_by_execve,
        notification_by_signal,
        notification_of_nothing,
        notification_is_one_s,
        notification_ends_with_a_descriptor,
        notification_not_past_a_receiver,
        notification_by_socket,
        notification_badly_asked,
        settings,
        the_folder,
        the_folder_is_watched,
        many_at_once,
    ])
}
