//! What happened behind the process that held the connection.

use super::*;
use crate::diagnose::upstream::{Address, Behind, Connect, Hangup, Upstream};

/// The pair of the connection in [`unanswered`]: as many bytes went on as had come, and the server hung up.
fn pair() -> Upstream {
    Upstream {
        address: Address::Tcp("127.0.0.1:8080".parse().unwrap()),
        is_local: true,
        connect: Connect::Established,
        hangup: Hangup::Closed,
        reused: false,
        ambiguous: false,
        paired: true,
        sent: 182,
        received: 0,
        sent_in_all: 182,
        received_in_all: 0,
        answer: None,
        waited: None,
        process: Some(Process { name: "node".to_owned(), pid: 31, ..Process::default() }),
        end: End::Running,
        oom: false,
        oom_scope: None,
        signal: None,
    }
}

fn behind(change: impl FnOnce(&mut Evidence, &mut Upstream)) -> Evidence {
    let (mut e, mut upstream) = (unanswered(), pair());
    change(&mut e, &mut upstream);
    e.behind = Some(Behind { tries: 1, upstream, next: None, is_current: true });
    e
}

/// The verdict, by cause, certainty, the process behind, and how that ended.
#[track_caller]
fn told(e: &Evidence) -> (Cause, Certainty, Option<String>, Option<EndHow>) {
    let verdict = diagnose(e).expect("a failure");
    assert!(verdict.cause.edge_statuses().contains(&verdict.edge_status), "{verdict:#?}");
    (verdict.cause, verdict.certainty, verdict.upstream.upstream_process, verdict.upstream.upstream_end_how)
}

fn node() -> Option<String> {
    Some("node".to_owned())
}

fn killed(upstream: &mut Upstream) {
    (upstream.oom, upstream.end) = (true, End::Signaled(9));
}

#[test]
fn the_end_of_the_process_behind_a_proxy_that_passes_bytes_on_is_the_root() {
    let died = behind(|_, u| killed(u));
    let verdict = diagnose(&died).unwrap();
    assert_eq!((verdict.cause, verdict.edge_status), (Cause::OomKill, Some(520)));
    assert_eq!((verdict.end_how, verdict.oom_victim), (None, None), "the proxy lives");
    assert_eq!(verdict.upstream.upstream_end_signal.as_deref(), Some("SIGKILL"));
    assert_eq!(verdict.pid, Some(7));
    // Whatever it did with its own connection: a child that serves it alone exits.
    let exits = behind(|e, u| (e.end, u.end) = (End::Exited(1), End::Signaled(11)));
    assert_eq!(told(&exits), (Cause::Crash, C, node(), Some(EndHow::Crash)));
    let crashes = behind(|e, u| {
        e.end = End::Signaled(11);
        killed(u);
    });
    assert_eq!(told(&crashes), (Cause::Crash, C, None, None), "it died of a fault of its own");
    let reset = behind(|e, u| {
        (e.trigger, u.hangup, u.end) = (Trigger::Rst, Hangup::Reset, End::Exited(3));
    });
    assert_eq!(told(&reset), (Cause::ProcessExit, C, node(), Some(EndHow::Exit)));
}

#[test]
fn an_upstream_that_lives_or_refuses_leaves_the_cause_and_is_named() {
    let lives = diagnose(&behind(|_, _| {})).unwrap();
    assert_eq!((lives.cause, lives.upstream.upstream_pid), (Cause::EmptyReply, Some(31)));
    assert!(lives.advice.contains("node[31]"), "{}", lives.advice);
    assert!(lives.evidence.iter().any(|line| line == "node[31] closed the connection"), "{:?}", lives.evidence);
    let refused = diagnose(&behind(|_, u| (u.connect, u.sent, u.sent_in_all) = (Connect::Refused, 0, 0))).unwrap();
    assert_eq!((refused.cause, refused.upstream.upstream_process), (Cause::EmptyReply, None));
    assert_eq!(refused.upstream.upstream_addr.as_deref(), Some("127.0.0.1:8080"));
    assert!(refused.advice.starts_with("web was refused at 127.0.0.1:8080"), "{}", refused.advice);
}

#[test]
fn a_proxy_that_reads_requests_hangs_up_for_reasons_of_its_own_unless_its_answer_was_under_way() {
    let reads = |u: &mut Upstream| (u.paired, u.sent, u.sent_in_all) = (false, 210, 210);
    let own = behind(|_, u| {
        reads(u);
        killed(u);
    });
    assert_eq!(told(&own), (Cause::EmptyReply, C, None, None));
    let cut = behind(|e, u| {
        (e.response, e.bytes_sent) = (progress(Progress::InBody), 400);
        (u.received, u.received_in_all) = (300, 300);
        reads(u);
        killed(u);
    });
    assert_eq!(told(&cut), (Cause::TruncatedBody, C, node(), Some(EndHow::Oom)));
    assert_eq!(diagnose(&cut).unwrap().edge_status, None);
    let mut earlier = cut.clone();
    earlier.behind.as_mut().unwrap().is_current = false;
    assert_eq!(told(&earlier), (Cause::TruncatedBody, C, None, None), "it had served another request");
}

#[test]
fn a_tie_that_is_a_guess_makes_no_cause_unless_the_bytes_agree() {
    let guess = |ahead: u64| {
        behind(move |_, u| {
            (u.ambiguous, u.sent_in_all) = (true, 182 + ahead);
            killed(u);
        })
    };
    assert_eq!(told(&guess(30)), (Cause::EmptyReply, C, None, None));
    assert_eq!(told(&guess(0)), (Cause::OomKill, L, node(), Some(EndHow::Oom)));
    // With a PROXY header before them.
    let sure = behind(|_, u| {
        u.sent_in_all = 182 + 30;
        killed(u);
    });
    assert_eq!(told(&sure), (Cause::OomKill, C, node(), Some(EndHow::Oom)));
    let other = behind(|_, u| {
        u.sent_in_all = 9_000;
        killed(u);
    });
    assert_eq!(told(&other), (Cause::EmptyReply, C, None, None), "far more than had come");
}

#[test]
fn a_proxy_that_hung_up_first_or_on_an_edge_that_left_is_not_explained_by_what_stands_behind() {
    let first = behind(|_, u| {
        u.hangup = Hangup::Owner;
        killed(u);
    });
    assert_eq!(told(&first), (Cause::EmptyReply, C, None, None));
    let left = behind(|e, u| {
        (e.trigger, e.waited, e.quiet) = (Trigger::EdgeFin, Duration::from_secs(125), Duration::from_secs(125));
        killed(u);
    });
    assert_eq!(told(&left), (Cause::ResponseTimeout, C, None, None));
    let destroyed = behind(|e, u| {
        (e.trigger, e.destroyed) = (Trigger::Rst, true);
        killed(u);
    });
    assert_eq!(told(&destroyed), (Cause::AppReset, C, None, None));
}

#[test]
fn where_the_edge_waits_in_vain_the_server_that_has_yet_to_answer_is_named() {
    let waits = |hangup, received| {
        behind(move |e, u| {
            (e.trigger, e.waited, e.quiet) = (Trigger::Overdue, Duration::from_secs(125), Duration::from_secs(125));
            (u.hangup, u.received) = (hangup, received);
        })
    };
    let verdict = diagnose(&waits(Hangup::Nobody, 0)).unwrap();
    assert_eq!((verdict.cause, verdict.upstream.upstream_pid), (Cause::ResponseTimeout, Some(31)));
    assert!(verdict.advice.starts_with("web waits for node[31]: look there first."), "{}", verdict.advice);
    // It has answered, and it is the proxy that says nothing.
    assert_eq!(told(&waits(Hangup::Nobody, 300)), (Cause::ResponseTimeout, C, None, None));
    assert_eq!(told(&waits(Hangup::Owner, 0)), (Cause::ResponseTimeout, C, None, None));
}

#[test]
fn an_idle_connection_that_the_server_behind_closed_is_a_race_for_that_one_to_avoid() {
    let late = |end| {
        behind(move |e, u| {
            (e.trigger, e.idle) = (Trigger::Late { bytes: 90 }, Some(Duration::from_secs(5)));
            e.closed_for = Some(Duration::from_millis(1));
            u.end = end;
        })
    };
    let race = diagnose(&late(End::Running)).unwrap();
    assert_eq!((race.cause, race.upstream.upstream_pid), (Cause::KeepaliveRace, Some(31)));
    let says = "node[31], behind web, closed first after 5.0 s idle; Cloudflare keeps connections up to 900 s: raise \
                the keep-alive timeout of node[31] above that.";
    assert_eq!(race.advice, says);
    assert_eq!(told(&late(End::Exited(0))).0, Cause::KeepaliveRace, "it retired in good order");
    assert_eq!(told(&late(End::Signaled(11))).0, Cause::Crash);
}

#[test]
fn a_handshake_that_is_passed_on_keeps_its_status() {
    let mut broken = shaking(Trigger::Fin, |h| h.answer = Answer::Nothing);
    broken.behind = behind(|_, u| killed(u)).behind;
    let verdict = diagnose(&broken).unwrap();
    assert_eq!((verdict.cause, verdict.edge_status, verdict.symptom), (Cause::OomKill, Some(525), Symptom::TlsFin));
}

#[test]
fn what_failed_two_connections_behind_is_the_root() {
    let mut e = behind(|_, _| {});
    let mut next = pair();
    (next.process, next.end) =
        (Some(Process { name: "app".to_owned(), pid: 40, ..Process::default() }), End::Exited(2));
    e.behind.as_mut().unwrap().next = Some(next);
    assert_eq!(told(&e), (Cause::ProcessExit, C, Some("app".to_owned()), Some(EndHow::Exit)));
}
