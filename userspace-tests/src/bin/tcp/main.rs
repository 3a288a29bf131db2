//! TCP over loopback.

mod bytes;
mod connecting;
mod ending;
mod lingering;
mod listening;
mod options;
mod ports;
mod sockets;

use bytes::*;
use connecting::*;
use ending::*;
use lingering::*;
use listening::*;
use options::*;
use ports::*;
use std::process::ExitCode;
use userspace_tests::tests;

fn main() -> ExitCode {
    userspace_tests::run(tests![
        connect_and_echo,
        addresses,
        refused,
        address_in_use,
        end_of_stream,
        reset_by_peer,
        non_blocking_accept,
        non_blocking_connect,
        backpressure,
        large_transfer,
        many_connections,
        readiness,
        peer_shutdown_readiness,
        listener_readiness,
        options,
        accept_blocks,
        port_is_free_again,
        port_rests,
        port_rests_after_shutdown,
        port_rests_for_those_who_share,
        reset_lets_no_port_rest,
        both_directions_over,
        own_shutdown,
        peer_closed,
        send_much_to_closed,
        reset_by_unread_bytes,
        reset_by_linger,
        reset_keeps_what_came,
        state_changes_are_edges,
        waits_for_the_reader,
        waits_no_longer_than_asked,
        waits_for_no_end,
        waits_for_the_end_so_long,
        waits_until_the_peer_is_gone,
        signal_ends_the_waiting,
        nothing_to_wait_for,
        urgent_byte,
        urgent_byte_inline,
        urgent_byte_passed_over,
        low_water_mark,
        connect_in_steps,
        connect_refused_in_steps,
        connect_refused_without_asking,
        not_connected,
        full_backlog,
        listener_shut_down,
        listener_closed,
        given_up_while_waiting,
        dissolved,
        option_values,
        information,
        mapped_addresses,
        ipv6,
        listening_twice,
        reuse_port_spreads,
        accepted_keep_the_port,
        bad_pointers,
    ])
}
