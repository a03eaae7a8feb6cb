//! What the gate runs in virtual machines: as little as shows that a change still loads, attaches and judges elsewhere.

/// The oldest kernel and the newest: their verifiers and layouts differ most.
pub(super) const KERNELS: [&str; 2] = ["5.10", "7.2"];

/// The cases that show most for their time. Together they run every kernel program and make every kind of record. The
/// other cases send other traffic through the same programs.
pub(super) const CASES: [&str; 21] = [
    "the_kernels_layout_is_the_recorded_one",
    "every_program_is_attached",
    "started_mid_incident_it_knows_the_open_connections",
    "sound_nginx_traffic_is_silent_and_counted",
    "an_nginx_reload_is_silent",
    "packets_that_interrupt_a_close_are_seen",
    "empty_reply_on_a_kept_alive_connection",
    "app_reset",
    "port_closed",
    "over_ipv6_as_over_ipv4",
    "keepalive_race_in_which_fin_and_request_cross",
    "oom_kill",
    "a_crash_takes_its_neighbours_but_not_the_idle",
    "supervisor_kill",
    "a_handshake_that_either_side_refuses",
    "inside_tls_a_failure_is_told_with_its_ray",
    "a_chunked_response_cut_between_two_chunks",
    "an_answer_that_stops",
    "a_firewall_on_the_way_to_a_container",
    "a_response_that_netfilter_rejects",
    "a_full_accept_queue",
];
