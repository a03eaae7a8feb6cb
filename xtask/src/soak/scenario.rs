//! The table of scenarios: how each failure is provoked, what the edge must see of it, and what tracer must tell. Those
//! without anything to tell are no failures, however much they look like one.

use super::edge::{Leave, Seen};
use super::server::{
    APACHE, APACHE_IDLE, APACHE_TLS, CADDY, CADDY_TLS, GUNICORN, GUNICORN_TLS, HAPROXY, HAPROXY_REJECT, HAPROXY_TLS,
    NGINX, NGINX_IDLE, NGINX_IDLE_TLS, NGINX_TLS, NOBODY, NODE, NODE_CLOSER, NODE_CLUSTER, NODE_TLS, PHP, PHP_TLS,
    Server,
};

/// One way to provoke a failure, or something that is none.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) server: &'static Server,
    pub(super) how: How,
    /// What the edge may see. Anything else: the scenario was not staged, and says nothing about tracer.
    pub(super) seen: &'static [Seen],
    /// Causes that tracer may tell, the best first, each with any of the statuses. None: it must be silent.
    pub(super) causes: &'static [&'static str],
    /// `None`: no 52x.
    pub(super) statuses: &'static [Option<u16>],
    /// An error of the origin's own, and no failure.
    pub(super) own: bool,
}

/// What the edge does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// Asks for the path, on a connection of its own or after sound exchanges.
    Ask(&'static str),
    /// Asks for the path from outside the ranges.
    AskAsStranger(&'static str),
    /// Has its connection refused.
    Refused,
    /// Asks again just after the origin closed the idle connection.
    Late,
    /// Asks on a fresh connection that the origin has left already.
    Rejected,
    /// Asks, and the worker that holds the request is killed.
    HolderKilled,
    /// Asks for the path and leaves before the answer, or with its first byte.
    LeaveEarly(&'static str, Leave),
    LeaveInBody(&'static str, Leave),
    /// Asks for the path and ends its own direction.
    HalfClose(&'static str),
    /// Connects and leaves without a byte, or with half a request.
    Monitor(Leave),
    HalfRequest(Leave),
    /// Lets the origin close the idle connection.
    Idle,
}

impl Scenario {
    /// Whether there is something to tell.
    pub(super) fn fails(&self) -> bool {
        !self.causes.is_empty()
    }
}

const S520: &[Option<u16>] = &[Some(520)];
const S521: &[Option<u16>] = &[Some(521)];
const S524: &[Option<u16>] = &[Some(524)];
/// After a whole header section the visitor gets the origin's own status.
const CUT: &[Option<u16>] = &[None, Some(520)];
const STALLED: &[Option<u16>] = &[None, Some(524)];
const NONE: &[Seen] = &[Seen::Empty, Seen::Reset];
const PART: &[Seen] = &[Seen::Cut, Seen::CutReset];
const LEFT: &[Seen] = &[Seen::Left];

const fn failure(
    name: &'static str,
    server: &'static Server,
    how: How,
    seen: &'static [Seen],
    causes: &'static [&'static str],
    statuses: &'static [Option<u16>],
) -> Scenario {
    Scenario { name, server, how, seen, causes, statuses, own: false }
}

/// An answer of 502 for which the upstream is to blame.
const fn own(
    name: &'static str,
    server: &'static Server,
    path: &'static str,
    cause: &'static [&'static str],
) -> Scenario {
    Scenario { own: true, ..failure(name, server, How::Ask(path), &[Seen::Whole(502)], cause, &[Some(502)]) }
}

const fn sound(name: &'static str, server: &'static Server, how: How, seen: &'static [Seen]) -> Scenario {
    Scenario { name, server, how, seen, causes: &[], statuses: &[], own: false }
}

/// Every scenario.
#[rustfmt::skip] // A table: one line each.
pub(super) static SCENARIOS: [Scenario; 65] = [
    failure("nginx-444", &NGINX, How::Ask("/nothing"), NONE, &["empty_reply"], S520),
    failure("nginx-reset", &NGINX, How::Ask("/reset"), &[Seen::Reset], &["app_reset"], S520),
    failure("nginx-late", &NGINX_IDLE, How::Late, NONE, &["keepalive_race"], S520),
    failure("nginx-upstream-cuts", &NGINX, How::Ask("/raw/cut"), PART, &["truncated_body", "reset_mid_response"], CUT),
    failure("nginx-upstream-resets", &NGINX, How::Ask("/raw/cut-reset"), PART, &["truncated_body", "reset_mid_response"], CUT),
    failure("nginx-upstream-garbage", &NGINX, How::Ask("/raw/garbage"), &[Seen::Malformed], &["malformed_response"], S520),
    failure("nginx-upstream-headers", &NGINX, How::Ask("/raw/headers"), &[Seen::TooLarge], &["headers_too_large"], S520),
    failure("nginx-upstream-hangs", &NGINX, How::Ask("/raw/hang"), &[Seen::Silent], &["response_timeout"], S524),
    failure("port-closed", &NOBODY, How::Refused, &[Seen::Refused], &["port_closed"], S521),
    failure("apache-late", &APACHE_IDLE, How::Late, NONE, &["keepalive_race"], S520),
    failure("apache-worker-killed", &APACHE, How::HolderKilled, NONE, &["process_killed"], S520),
    failure("haproxy-reject", &HAPROXY, How::Ask("/reject"), NONE, &["empty_reply"], S520),
    failure("haproxy-silent-drop", &HAPROXY, How::Ask("/drop"), &[Seen::Silent], &["silent_drop", "response_timeout"], S524),
    failure("haproxy-connection-reject", &HAPROXY_REJECT, How::Rejected, NONE, &["closed_before_request", "app_reset"], S520),
    failure("caddy-abort", &CADDY, How::Ask("/abort"), NONE, &["empty_reply"], S520),
    failure("node-destroy", &NODE, How::Ask("/destroy"), NONE, &["empty_reply"], S520),
    failure("node-reset", &NODE, How::Ask("/reset"), &[Seen::Reset], &["app_reset"], S520),
    failure("node-destroy-in-body", &NODE, How::Ask("/mid-destroy"), PART, &["truncated_body"], CUT),
    failure("node-destroy-in-chunks", &NODE, How::Ask("/mid-chunk"), PART, &["truncated_body"], CUT),
    failure("node-reset-in-body", &NODE, How::Ask("/mid-reset"), PART, &["reset_mid_response"], CUT),
    failure("node-exit", &NODE_CLUSTER, How::Ask("/exit"), NONE, &["process_exit"], S520),
    failure("node-hang", &NODE, How::Ask("/hang"), &[Seen::Silent], &["response_timeout"], S524),
    failure("node-half-answer", &NODE, How::Ask("/half"), &[Seen::Stalled], &["response_stalled"], STALLED),
    failure("node-closes-at-accept", &NODE_CLOSER, How::Rejected, NONE, &["closed_before_request"], S520),
    failure("gunicorn-exit", &GUNICORN, How::Ask("/exit"), NONE, &["process_exit"], S520),
    failure("gunicorn-crash", &GUNICORN, How::Ask("/fault"), NONE, &["crash"], S520),
    failure("nginx-444-tls", &NGINX_TLS, How::Ask("/nothing"), NONE, &["empty_reply"], S520),
    failure("nginx-late-tls", &NGINX_IDLE_TLS, How::Late, NONE, &["keepalive_race"], S520),
    failure("nginx-upstream-cuts-tls", &NGINX_TLS, How::Ask("/raw/cut"), PART, &["truncated_body", "reset_mid_response"], CUT),
    failure("nginx-upstream-garbage-tls", &NGINX_TLS, How::Ask("/raw/garbage"), &[Seen::Malformed], &["malformed_response"], S520),
    failure("nginx-upstream-headers-tls", &NGINX_TLS, How::Ask("/raw/headers"), &[Seen::TooLarge], &["headers_too_large"], S520),
    failure("nginx-upstream-hangs-tls", &NGINX_TLS, How::Ask("/raw/hang"), &[Seen::Silent], &["response_timeout"], S524),
    failure("apache-worker-killed-tls", &APACHE_TLS, How::HolderKilled, NONE, &["process_killed"], S520),
    failure("haproxy-reject-tls", &HAPROXY_TLS, How::Ask("/reject"), NONE, &["empty_reply"], S520),
    failure("caddy-abort-tls", &CADDY_TLS, How::Ask("/abort"), NONE, &["empty_reply"], S520),
    failure("node-destroy-tls", &NODE_TLS, How::Ask("/destroy"), NONE, &["empty_reply", "app_reset"], S520),
    failure("node-destroy-in-body-tls", &NODE_TLS, How::Ask("/mid-destroy"), PART, &["truncated_body", "reset_mid_response"], CUT),
    failure("node-destroy-in-chunks-tls", &NODE_TLS, How::Ask("/mid-chunk"), PART, &["truncated_body", "reset_mid_response"], CUT),
    failure("node-hang-tls", &NODE_TLS, How::Ask("/hang"), &[Seen::Silent], &["response_timeout"], S524),
    failure("node-half-answer-tls", &NODE_TLS, How::Ask("/half"), &[Seen::Stalled], &["response_stalled"], STALLED),
    failure("gunicorn-exit-tls", &GUNICORN_TLS, How::Ask("/exit"), NONE, &["process_exit"], S520),
    failure("gunicorn-crash-tls", &GUNICORN_TLS, How::Ask("/fault"), NONE, &["crash"], S520),
    own("php-worker-dies", &PHP, "/die", &["process_exit"]),
    own("php-worker-dies-tls", &PHP_TLS, "/die", &["process_exit"]),
    own("php-out-of-memory", &PHP, "/eat", &["oom_kill"]),
    own("php-out-of-memory-tls", &PHP_TLS, "/eat", &["oom_kill"]),
    own("nginx-upstream-dead", &NGINX, "/dead", &["upstream_refused"]),
    own("nginx-upstream-dead-tls", &NGINX_TLS, "/dead", &["upstream_refused"]),
    own("nginx-gunicorn-exits", &NGINX, "/wsgi/exit", &["process_exit"]),
    own("nginx-gunicorn-exits-tls", &NGINX_TLS, "/wsgi/exit", &["process_exit"]),
    own("nginx-gunicorn-crashes", &NGINX, "/wsgi/fault", &["crash"]),
    own("nginx-gunicorn-crashes-tls", &NGINX_TLS, "/wsgi/fault", &["crash"]),
    sound("edge-leaves-tls", &NODE_TLS, How::LeaveEarly("/slow", Leave::Fin), LEFT),
    sound("edge-resets-tls", &NGINX_TLS, How::LeaveEarly("/slow", Leave::Rst), LEFT),
    sound("edge-leaves-in-body-tls", &CADDY_TLS, How::LeaveInBody("/large", Leave::Rst), LEFT),
    sound("idle-close-tls", &NGINX_IDLE_TLS, How::Idle, &[Seen::Left]),
    sound("stranger-444", &NGINX, How::AskAsStranger("/nothing"), NONE),
    sound("edge-leaves", &NODE, How::LeaveEarly("/slow", Leave::Fin), LEFT),
    sound("edge-resets", &NGINX, How::LeaveEarly("/slow", Leave::Rst), LEFT),
    sound("edge-leaves-in-body", &CADDY, How::LeaveInBody("/large", Leave::Rst), LEFT),
    sound("edge-half-closes", &NGINX, How::HalfClose("/slow"), &[Seen::Whole(200), Seen::Empty, Seen::Reset]),
    sound("monitor", &HAPROXY, How::Monitor(Leave::Fin), LEFT),
    sound("monitor-resets", &NGINX, How::Monitor(Leave::Rst), LEFT),
    sound("half-request", &NGINX, How::HalfRequest(Leave::Fin), LEFT),
    sound("idle-close", &NGINX_IDLE, How::Idle, &[Seen::Left]),
];

/// The refusal that is staged last: once it is told, all before it has been dealt with.
pub(super) static FENCE: Scenario = failure("fence", &NOBODY, How::Refused, &[Seen::Refused], &["port_closed"], S521);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_a_failure_has_a_status() {
        let names: BTreeSet<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), SCENARIOS.len());
        for scenario in &SCENARIOS {
            assert_eq!(scenario.causes.is_empty(), scenario.statuses.is_empty(), "{}", scenario.name);
            assert!(!scenario.seen.is_empty(), "{}", scenario.name);
        }
    }
}
