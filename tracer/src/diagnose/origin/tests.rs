//! The rules on answers of 5xx: one piece of evidence changed at a time.

use std::time::Duration;

use super::{
    super::{
        Certainty, End, EndHow, OomScope, Process, Sender, Signal,
        upstream::{Address, Connect, Hangup, Upstream},
    },
    *,
};
use crate::http::{Request, Section, UpstreamAnswer};

/// nginx sent a request to php-fpm, which hung up without a byte; nginx answered 502.
fn hung_up() -> OriginEvidence {
    OriginEvidence {
        time: jiff::Timestamp::UNIX_EPOCH,
        status: 502,
        peer: ("173.245.48.10".parse().unwrap(), 41_234),
        local: ("10.99.0.1".parse().unwrap(), 80),
        netns: Some(1),
        exchanges: Some(2),
        age: Some(Duration::from_millis(40)),
        request: Request { method: Some("GET".to_owned()), path: Some("/x".to_owned()), host: None, ray: None },
        took: Some(Duration::from_millis(30)),
        process: Some(Process { name: "nginx".to_owned(), pid: 7, ..Process::default() }),
        tries: 1,
        upstream: Some(closed()),
        behind: None,
        sees_unix: true,
        stream: None,
        is_shared: false,
    }
}

fn closed() -> Upstream {
    Upstream {
        address: Address::Tcp("127.0.0.1:9000".parse().unwrap()),
        is_local: true,
        connect: Connect::Established,
        hangup: Hangup::Closed,
        reused: false,
        ambiguous: false,
        paired: false,
        sent: 320,
        received: 0,
        sent_in_all: 320,
        received_in_all: 0,
        answer: Some(UpstreamAnswer::default()),
        waited: Some(Duration::from_millis(29)),
        process: Some(Process { name: "php-fpm8.2".to_owned(), pid: 31, ..Process::default() }),
        end: End::Running,
        oom: false,
        oom_scope: None,
        signal: None,
    }
}

#[track_caller]
fn check(
    change: impl FnOnce(&mut OriginEvidence, &mut Upstream),
    cause: OriginCause,
    certainty: Certainty,
) -> OriginError {
    let (mut e, mut upstream) = (hung_up(), closed());
    change(&mut e, &mut upstream);
    if e.upstream.is_some() {
        e.upstream = Some(upstream);
    }
    let error = origin_error(&e);
    assert_eq!((error.cause, error.certainty), (cause, certainty), "{:?}", error.evidence);
    assert!(!error.advice.is_empty() && !error.evidence.is_empty());
    error
}

fn answered(status: u16, section: Section) -> Option<UpstreamAnswer> {
    Some(UpstreamAnswer { status: Some(status), section })
}

#[test]
fn a_living_upstream_that_hangs_up_is_closed_or_reset() {
    let error = check(|_, _| {}, OriginCause::UpstreamClosed, Certainty::Certain);
    assert_eq!((error.edge_status, error.response_status, error.kind), (502, 502, "origin_error"));
    assert_eq!(
        (error.upstream.upstream_process.as_deref(), error.upstream.upstream_pid),
        (Some("php-fpm8.2"), Some(31))
    );
    assert_eq!(error.upstream.upstream_addr.as_deref(), Some("127.0.0.1:9000"));
    assert_eq!((error.upstream.upstream_end_how, error.upstream.upstream_end_signal), (None, None));
    check(|_, u| u.hangup = Hangup::Reset, OriginCause::UpstreamReset, Certainty::Certain);
    let in_head = |_: &mut _, u: &mut Upstream| (u.received, u.answer) = (28, answered(200, Section::Open));
    check(in_head, OriginCause::UpstreamClosed, Certainty::Likely);
}

#[test]
fn the_end_of_the_process_behind_outranks_how_the_connection_broke() {
    let signal = |number, sender| Some(Signal { number, sender, before: Duration::from_millis(1) });
    let error = check(
        |_, u| (u.oom, u.end, u.oom_scope) = (true, End::Signaled(9), Some(OomScope::Memcg)),
        OriginCause::OomKill,
        Certainty::Certain,
    );
    assert_eq!(
        (error.upstream.upstream_end_how, error.upstream.upstream_end_signal.as_deref()),
        (Some(EndHow::Oom), Some("SIGKILL"))
    );
    assert!(error.advice.contains("`pm.max_children`"), "{}", error.advice);
    check(
        |_, u| (u.end, u.signal) = (End::Signaled(11), signal(11, Sender::Kernel)),
        OriginCause::Crash,
        Certainty::Certain,
    );
    let master = || Sender::Master { pid: 5, name: "php-fpm8.2".to_owned() };
    let error = check(
        |_, u| (u.end, u.signal) = (End::Signaled(15), signal(15, master())),
        OriginCause::SupervisorKill,
        Certainty::Certain,
    );
    assert!(error.advice.contains("`request_terminate_timeout`"), "{}", error.advice);
    let other = || Sender::Other { pid: 5, name: "bash".to_owned() };
    check(
        |_, u| (u.end, u.signal) = (End::Signaled(9), signal(9, other())),
        OriginCause::ProcessKilled,
        Certainty::Certain,
    );
    let error = check(|_, u| u.end = End::Exited(3), OriginCause::ProcessExit, Certainty::Certain);
    assert_eq!(error.upstream.upstream_end_code, Some(3));
    // Reset or not.
    check(|_, u| (u.end, u.hangup) = (End::Exited(3), Hangup::Reset), OriginCause::ProcessExit, Certainty::Certain);
}

#[test]
fn the_status_that_the_upstream_gave_itself_is_the_applications() {
    for (status, hangup) in [(503, Hangup::Closed), (502, Hangup::Owner), (500, Hangup::Nobody)] {
        let own = |e: &mut OriginEvidence, u: &mut Upstream| {
            (e.status, u.hangup, u.received, u.answer) = (status, hangup, 200, answered(status, Section::Whole));
        };
        check(own, OriginCause::ApplicationError, Certainty::Certain);
    }
    // Whatever becomes of the process afterwards.
    let ends = |_: &mut _, u: &mut Upstream| {
        (u.received, u.answer, u.end) = (200, answered(502, Section::Whole), End::Signaled(9));
    };
    check(ends, OriginCause::ApplicationError, Certainty::Certain);
    // On a unix socket the bytes are not seen.
    let unseen = |e: &mut OriginEvidence, u: &mut Upstream| (e.status, u.received, u.answer) = (500, 200, None);
    check(unseen, OriginCause::ApplicationError, Certainty::Likely);
    let leaves = |e: &mut OriginEvidence, u: &mut Upstream| {
        (e.status, u.received, u.answer, u.end) = (500, 200, None, End::Exited(0));
    };
    check(leaves, OriginCause::ApplicationError, Certainty::Likely);
}

#[test]
fn an_answer_that_the_gateway_does_not_take_is_invalid() {
    for section in [Section::Whole, Section::Broken] {
        let whole = |_: &mut _, u: &mut Upstream| (u.received, u.answer) = (70, answered(200, section));
        check(whole, OriginCause::UpstreamInvalid, Certainty::Certain);
    }
    let large = |_: &mut _, u: &mut Upstream| {
        (u.received, u.answer, u.hangup) = (9_000, answered(200, Section::Open), Hangup::Owner)
    };
    let error = check(large, OriginCause::UpstreamInvalid, Certainty::Likely);
    assert!(error.advice.contains("`proxy_buffer_size`"), "{}", error.advice);
    let unseen = |_: &mut _, u: &mut Upstream| (u.received, u.answer) = (9_000, None);
    check(unseen, OriginCause::UpstreamInvalid, Certainty::Likely);
    // A process that dies in the middle of it said no more because it died.
    let dies =
        |_: &mut _, u: &mut Upstream| (u.received, u.answer, u.end, u.oom) = (9_000, None, End::Signaled(9), true);
    check(dies, OriginCause::OomKill, Certainty::Certain);
}

#[test]
fn a_connection_that_nobody_takes_is_refused_or_leads_nowhere() {
    let error = check(|_, u| u.connect = Connect::Refused, OriginCause::UpstreamRefused, Certainty::Certain);
    assert_eq!(
        (error.upstream.upstream_process, error.upstream.upstream_addr.as_deref()),
        (None, Some("127.0.0.1:9000"))
    );
    check(|_, u| u.connect = Connect::Unreachable(113), OriginCause::UpstreamUnreachable, Certainty::Certain);
    check(|_, u| u.connect = Connect::Unanswered, OriginCause::UpstreamRefused, Certainty::Likely);
    let elsewhere = |_: &mut _, u: &mut Upstream| (u.connect, u.is_local) = (Connect::Unanswered, false);
    check(elsewhere, OriginCause::UpstreamUnreachable, Certainty::Certain);
}

#[test]
fn silence_until_the_gateway_gives_up_is_a_timeout() {
    let silent =
        |status| move |e: &mut OriginEvidence, u: &mut Upstream| (e.status, u.hangup) = (status, Hangup::Owner);
    let error = check(silent(504), OriginCause::UpstreamTimeout, Certainty::Certain);
    assert!(error.advice.contains("`proxy_read_timeout`"), "{}", error.advice);
    check(silent(502), OriginCause::UpstreamTimeout, Certainty::Likely);
    let stalls = |e: &mut OriginEvidence, u: &mut Upstream| {
        (e.status, u.hangup, u.received, u.answer) = (504, Hangup::Owner, 30, answered(200, Section::Open));
    };
    check(stalls, OriginCause::UpstreamTimeout, Certainty::Likely);
}

#[test]
fn without_an_upstream_the_status_tells_and_an_unseen_one_is_not_made_up() {
    let none = |status| move |e: &mut OriginEvidence, _: &mut _| (e.upstream, e.tries, e.status) = (None, 0, status);
    for status in [500, 503, 507, 520] {
        check(none(status), OriginCause::ApplicationError, Certainty::Likely);
    }
    check(none(502), OriginCause::UpstreamRefused, Certainty::Possible);
    check(none(504), OriginCause::Unexplained, Certainty::Possible);
    // A server that changes threads may have opened one that is tied to nothing.
    let roaming = |e: &mut OriginEvidence, u: &mut Upstream| {
        none(502)(e, u);
        e.process = Some(Process { name: "caddy".into(), ..Process::default() });
    };
    check(roaming, OriginCause::Unexplained, Certainty::Possible);
    let blind = |e: &mut OriginEvidence, _: &mut _| (e.upstream, e.tries, e.sees_unix) = (None, 0, false);
    check(blind, OriginCause::Unexplained, Certainty::Possible);
    // There was one, and it is not known any more; or it took too long for a refusal.
    let lost = |e: &mut OriginEvidence, _: &mut _| (e.upstream, e.tries) = (None, 1);
    check(lost, OriginCause::Unexplained, Certainty::Possible);
    let late =
        |e: &mut OriginEvidence, _: &mut _| (e.upstream, e.tries, e.took) = (None, 0, Some(Duration::from_secs(2)));
    check(late, OriginCause::Unexplained, Certainty::Possible);
}

#[test]
fn an_uncertain_tie_lowers_the_certainty_and_blames_no_idle_connection() {
    check(|_, u| u.ambiguous = true, OriginCause::UpstreamClosed, Certainty::Likely);
    let idle = |_: &mut _, u: &mut Upstream| (u.ambiguous, u.hangup, u.sent) = (true, Hangup::Nobody, 0);
    check(idle, OriginCause::Unexplained, Certainty::Possible);
}

#[test]
fn what_failed_two_connections_behind_is_the_root() {
    let own = |e: &mut OriginEvidence, u: &mut Upstream, behind: Upstream| {
        (u.received, u.answer) = (300, answered(502, Section::Whole));
        u.process = Some(Process { name: "inner".to_owned(), pid: 8, ..Process::default() });
        e.behind = Some(behind);
    };
    let error = check(|e, u| own(e, u, closed()), OriginCause::UpstreamClosed, Certainty::Certain);
    assert_eq!(error.upstream.upstream_process.as_deref(), Some("php-fpm8.2"));
    let sound = Upstream { received: 90, answer: answered(200, Section::Whole), hangup: Hangup::Owner, ..closed() };
    let error = check(|e, u| own(e, u, sound), OriginCause::ApplicationError, Certainty::Certain);
    assert_eq!(error.upstream.upstream_process.as_deref(), Some("inner"));
}

#[test]
fn addresses_are_written_as_a_configuration_names_them() {
    assert_eq!(Address::Unix(Some("/run/php/php8.2-fpm.sock".to_owned())).to_string(), "unix:/run/php/php8.2-fpm.sock");
    assert_eq!(Address::Tcp("[::1]:9000".parse().unwrap()).to_string(), "[::1]:9000");
}
