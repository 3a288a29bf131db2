//! UDP over loopback.

mod connecting;
mod corked;
mod errors;
mod groups;
mod messages;
mod options;
mod ports;
mod sockets;

use connecting::*;
use corked::*;
use errors::*;
use groups::*;
use messages::*;
use options::*;
use ports::*;
use std::process::ExitCode;
use userspace_tests::tests;

fn main() -> ExitCode {
    userspace_tests::run(tests![
        send_and_receive,
        source_addresses,
        connected_pair,
        connected_hears_its_peer_only,
        connect_chooses_addresses,
        disconnect,
        no_destination,
        cut_to_the_buffer,
        peek,
        empty_message,
        longest_message,
        full_queue_drops,
        receive_waits,
        receive_timeout,
        readable_length,
        unreachable_port,
        unreachable_port_unconnected,
        error_queue,
        error_queue_v6,
        readiness,
        send_is_an_edge,
        shutdown_readiness,
        shutdown_connected,
        one_message_of_many_sends,
        corked_by_option,
        where_a_corked_message_goes,
        corked_and_too_long,
        corked_rows,
        corked_and_shut_down,
        vectors,
        many_at_once,
        address_in_use,
        reuse_address,
        reuse_port_spreads,
        both_families,
        own_family_first,
        v6_only,
        options_round_trip,
        option_ranges,
        packet_information,
        packet_information_v6,
        time_stamps,
        broadcast_needs_leave,
        broadcast,
        multicast,
        multicast_membership,
        multicast_sources,
        multicast_sources_of_both_families,
        bind_errors,
        bad_pointers,
        wrong_calls,
    ])
}
