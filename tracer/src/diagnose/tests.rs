use std::time::Duration;

use super::*;
use crate::{
    http::{Fault, Lacks, Progress, Request, Response, Unfinished},
    tls::{Alert, Answer, Handshake, Version},
};

/// A plain HTTP request that was read and not answered, on a fresh connection that its process closed.
fn unanswered() -> Evidence {
    Evidence {
        time: jiff::Timestamp::UNIX_EPOCH,
        trigger: Trigger::Fin,
        peer: ("173.245.48.10".parse().unwrap(), 41234),
        local: ("10.99.0.1".parse().unwrap(), 80),
        netns: Some(1),
        seeded: false,
        protocol: Protocol::Http,
        accepted: true,
        exchanges: 1,
        turns: 1,
        age: Some(Duration::from_millis(12)),
        idle: Some(Duration::from_millis(1)),
        closed_for: None,
        bytes_received: 182,
        bytes_sent: 0,
        unread: 0,
        unacked: 0,
        retransmits: 0,
        stuck: Duration::ZERO,
        acked: 0,
        window: 65_535,
        waited: Duration::from_millis(1),
        quiet: Duration::from_millis(1),
        since_read: 0,
        turn_may_be_request: true,
        turn_out: 500,
        bodyless: true,
        request: Request { method: Some("GET".to_owned()), path: Some("/x".to_owned()), host: None, ray: None },
        request_head: None,
        unfinished: None,
        response: Response { progress: Progress::Nothing, ..Response::default() },
        handshake: None,
        limits: Limits::default(),
        process: Some(Process { name: "web".to_owned(), pid: 7, ..Process::default() }),
        end: End::Running,
        oom: false,
        oom_scope: None,
        signal: None,
        reset_reason: None,
        destroyed: false,
        outlived: false,
        around: Around::default(),
    }
}

fn with(change: impl FnOnce(&mut Evidence)) -> Evidence {
    let mut evidence = unanswered();
    change(&mut evidence);
    evidence
}

fn signal(number: u8, sender: Sender) -> Option<Signal> {
    Some(Signal { number, sender, before: Duration::from_millis(3) })
}

fn other() -> Sender {
    Sender::Other { pid: 1, name: "systemd".to_owned() }
}

fn master() -> Sender {
    Sender::Master { pid: 2, name: "web".to_owned() }
}

fn ordered() -> Sender {
    Sender::OrderedMaster { pid: 2, name: "web".to_owned(), by: "bash[9]".to_owned(), with: 15 }
}

fn progress(progress: Progress) -> Response {
    Response { status: Some(200), header_bytes: Some(40), progress, ..Response::default() }
}

/// The one way to state a rule: this evidence gives this cause, for sure or not, with this symptom and status.
#[track_caller]
fn check(e: &Evidence, cause: Cause, certainty: Certainty, symptom: Symptom, edge_status: Option<u16>) {
    let verdict = diagnose(e).expect("a failure");
    let told = (verdict.cause, verdict.certainty, verdict.symptom, verdict.edge_status);
    assert_eq!(told, (cause, certainty, symptom, edge_status), "{verdict:#?}");
    assert!(cause.edge_statuses().contains(&edge_status), "{cause} does not announce {edge_status:?}");
    assert!(!verdict.evidence.is_empty());
    assert!(verdict.advice.len() > 20);
}

#[track_caller]
fn sound(e: &Evidence) {
    assert_eq!(diagnose(e), None);
}

const C: Certainty = Certainty::Certain;
const L: Certainty = Certainty::Likely;
const S520: Option<u16> = Some(520);

#[test]
fn a_close_without_a_byte_is_empty_reply() {
    check(&unanswered(), Cause::EmptyReply, C, Symptom::FinNoResponse, S520);
}

#[test]
fn a_reset_is_closed_unread_or_app_reset_by_the_bytes_that_lay_unread() {
    let reset = with(|e| e.trigger = Trigger::Rst);
    check(&reset, Cause::AppReset, C, Symptom::RstNoResponse, S520);
    let unread = with(|e| (e.trigger, e.unread) = (Trigger::Rst, 20));
    check(&unread, Cause::ClosedUnread, C, Symptom::RstNoResponse, S520);
}

#[test]
fn a_reset_before_any_byte_is_app_reset_and_a_close_is_nothing() {
    let fresh = |trigger| {
        with(|e| {
            (e.trigger, e.protocol, e.bytes_received, e.exchanges) = (trigger, Protocol::Opaque, 0, 0);
            e.request = Request::default();
        })
    };
    check(&fresh(Trigger::Rst), Cause::AppReset, L, Symptom::RstBeforeRequest, S520);
    sound(&fresh(Trigger::Fin));
}

#[test]
fn the_end_of_the_process_outranks_how_the_connection_closed() {
    for trigger in [Trigger::Fin, Trigger::Rst] {
        let symptom = if trigger == Trigger::Fin { Symptom::FinNoResponse } else { Symptom::RstNoResponse };
        let died = |end, signal: Option<Signal>| {
            with(|e| {
                (e.trigger, e.end, e.signal) = (trigger, end, signal);
            })
        };
        check(&died(End::Signaled(11), signal(11, Sender::Kernel)), Cause::Crash, C, symptom, S520);
        check(&died(End::Signaled(6), signal(6, Sender::Own)), Cause::Crash, C, symptom, S520);
        check(&died(End::Signaled(11), None), Cause::Crash, C, symptom, S520);
        check(&died(End::Signaled(11), signal(11, other())), Cause::ProcessKilled, C, symptom, S520);
        check(&died(End::Signaled(9), signal(9, other())), Cause::ProcessKilled, C, symptom, S520);
        check(&died(End::Signaled(9), None), Cause::ProcessKilled, L, symptom, S520);
        check(&died(End::Signaled(9), signal(9, master())), Cause::SupervisorKill, C, symptom, S520);
        check(&died(End::Signaled(15), signal(15, ordered())), Cause::ProcessKilled, L, symptom, S520);
        check(&died(End::Signaled(9), signal(9, Sender::Own)), Cause::ProcessExit, C, symptom, S520);
        check(&died(End::Exited(1), None), Cause::ProcessExit, C, symptom, S520);
        check(&died(End::Exited(0), None), Cause::ProcessExit, C, symptom, S520);
        check(&died(End::Exited(0), signal(15, other())), Cause::ProcessKilled, L, symptom, S520);
        check(&died(End::Exited(1), signal(6, master())), Cause::SupervisorKill, L, symptom, S520);
    }
}

#[test]
fn reset_before_first_byte_after_oom_kill_is_oom_kill() {
    let oom = with(|e| {
        (e.trigger, e.oom, e.end, e.oom_scope) = (Trigger::Rst, true, End::Signaled(9), Some(OomScope::Memcg));
    });
    check(&oom, Cause::OomKill, C, Symptom::RstNoResponse, S520);
    let verdict = diagnose(&oom).unwrap();
    assert_eq!((verdict.oom_scope, verdict.oom_victim.as_deref()), (Some(OomScope::Memcg), Some("web[7]")));
}

#[test]
fn a_process_that_unwinds_after_its_close_is_told_by_why_it_ended() {
    let after = |status, signal| with(|e| (e.end, e.signal) = (End::ExitedAfter(status), signal));
    check(&after(1, signal(6, master())), Cause::SupervisorKill, L, Symptom::FinNoResponse, S520);
    check(&after(0, signal(15, other())), Cause::ProcessKilled, L, Symptom::FinNoResponse, S520);
    check(&after(3, None), Cause::ProcessExit, L, Symptom::FinNoResponse, S520);
    check(&after(0, None), Cause::EmptyReply, C, Symptom::FinNoResponse, S520);
}

#[test]
fn a_fault_that_a_handler_turned_into_an_exit_is_a_crash() {
    let left = |status, signal| with(|e| (e.end, e.signal) = (End::Exited(status), signal));
    check(&left(1, signal(11, Sender::Kernel)), Cause::Crash, L, Symptom::FinNoResponse, S520);
    check(&left(0, signal(11, Sender::Kernel)), Cause::ProcessExit, C, Symptom::FinNoResponse, S520);
}

#[test]
fn a_worker_that_leaves_in_good_order_after_its_master_was_told_to_stop_was_killed() {
    let told = Sender::MasterTold { pid: 2, name: "web".to_owned(), by: "bash[9]".to_owned() };
    let left = |status| with(|e| (e.end, e.signal) = (End::Exited(status), signal(1, told.clone())));
    check(&left(0), Cause::ProcessKilled, L, Symptom::FinNoResponse, S520);
    check(&left(1), Cause::ProcessExit, C, Symptom::FinNoResponse, S520);
}

#[test]
fn a_signal_that_did_not_end_the_process_explains_nothing() {
    check(&with(|e| e.signal = signal(15, other())), Cause::EmptyReply, C, Symptom::FinNoResponse, S520);
}

#[test]
fn a_whole_response_is_no_failure_however_it_closed() {
    for end in [End::Running, End::Exited(0), End::Signaled(9), End::Signaled(11)] {
        for trigger in [Trigger::Fin, Trigger::Rst] {
            for done in [Progress::Whole, Progress::Upgraded, Progress::Unknown] {
                sound(&with(|e| (e.end, e.trigger, e.response) = (end, trigger, progress(done))));
            }
        }
    }
}

#[test]
fn a_response_cut_by_the_end_of_its_process_has_no_52x_after_its_head() {
    let cut = |at, end| with(|e| (e.response, e.end) = (progress(at), end));
    check(&cut(Progress::InBody, End::Signaled(11)), Cause::Crash, C, Symptom::FinInResponse, None);
    check(&cut(Progress::InHead, End::Signaled(11)), Cause::Crash, C, Symptom::FinInResponse, S520);
    check(&cut(Progress::UntilClose, End::Signaled(11)), Cause::Crash, L, Symptom::FinInResponse, None);
    sound(&cut(Progress::UntilClose, End::Exited(0)));
}

#[test]
fn a_queue_lost_with_its_listener_is_listener_closed_unless_the_process_died_of_itself() {
    let queued = |end| {
        with(|e| {
            (e.trigger, e.accepted, e.end, e.unread) = (Trigger::Rst, false, end, 182);
        })
    };
    check(&queued(End::Running), Cause::ListenerClosed, C, Symptom::RstNoResponse, S520);
    check(&queued(End::Signaled(15)), Cause::ListenerClosed, C, Symptom::RstNoResponse, S520);
    check(&queued(End::Signaled(11)), Cause::Crash, C, Symptom::RstNoResponse, S520);
}

#[test]
fn a_request_that_met_a_close_is_a_race_or_came_to_a_fresh_close() {
    let late = |exchanges| {
        with(|e| {
            (e.trigger, e.exchanges, e.idle) = (Trigger::Late { bytes: 300 }, exchanges, Some(Duration::from_secs(5)));
            e.response = Response::default();
        })
    };
    check(&late(1), Cause::KeepaliveRace, C, Symptom::FinBeforeRequest, S520);
    check(&late(0), Cause::ClosedBeforeRequest, C, Symptom::FinBeforeRequest, S520);
    assert!(diagnose(&late(1)).unwrap().advice.contains("closed after 5.0 s idle"), "{:?}", diagnose(&late(1)));
    let at_once = with(|e| {
        *e = late(1);
        e.idle = Some(Duration::from_millis(2));
    });
    assert!(diagnose(&at_once).unwrap().advice.contains("`Connection: close`"), "{:?}", diagnose(&at_once));
    let retired = with(|e| {
        *e = late(1);
        e.end = End::Exited(0);
    });
    check(&retired, Cause::KeepaliveRace, C, Symptom::FinBeforeRequest, S520);
}

#[test]
fn what_comes_after_a_refused_handshake_is_no_request() {
    sound(&with(|e| {
        (e.trigger, e.protocol, e.exchanges) = (Trigger::Late { bytes: 600 }, Protocol::Tls, 0);
        e.request = Request::default();
    }));
}

#[test]
fn the_rest_of_an_upload_that_was_answered_early_is_no_request() {
    sound(&with(|e| {
        (e.trigger, e.bodyless) = (Trigger::Late { bytes: 1448 }, false);
        e.request = Request::default();
        e.idle = Some(Duration::from_millis(2));
    }));
}

#[test]
fn a_refused_syn_is_port_closed() {
    let refused = |seen| with(|e| (e.trigger, e.process, e.accepted) = (Trigger::Refused { seen }, None, false));
    check(&refused(true), Cause::PortClosed, C, Symptom::Refused, Some(521));
    assert_eq!(diagnose(&refused(true)).unwrap().exchanges, None);
}

#[test]
fn a_refusal_of_which_only_the_occasion_was_seen_is_less_sure() {
    let refused = with(|e| (e.trigger, e.process, e.accepted) = (Trigger::Refused { seen: false }, None, false));
    check(&refused, Cause::PortClosed, Certainty::Likely, Symptom::Refused, Some(521));
    let told = diagnose(&refused).unwrap().evidence;
    assert_eq!(told, ["TCP threw away a SYN to port 80, as it does where no socket listens"]);
}

#[test]
fn without_sight_of_the_bytes_the_direction_decides_and_says_so() {
    let tls = |exchanges, since_read| {
        with(|e| {
            (e.protocol, e.turns, e.exchanges, e.since_read) = (Protocol::Tls, 3, exchanges, since_read);
            e.request = Request::default();
            e.response = Response::default();
        })
    };
    check(&tls(1, 0), Cause::EmptyReply, L, Symptom::FinNoResponse, S520);
    // An alert is no answer.
    check(&tls(1, 24), Cause::EmptyReply, L, Symptom::FinNoResponse, S520);
    sound(&tls(1, 500));
    // Perhaps the rest of an upload that was answered early.
    sound(&tls(2, 0));
    sound(&with(|e| {
        *e = tls(1, 500);
        (e.trigger, e.unread) = (Trigger::Rst, 5000);
    }));
    // The origin had said goodbye before (an alert), and only read what still came.
    sound(&with(|e| {
        *e = tls(1, 0);
        e.turn_out = 24;
    }));
    // The handshake alone: no request was in hand.
    sound(&tls(0, 0));
    let died = with(|e| {
        *e = tls(0, 0);
        e.end = End::Signaled(11);
    });
    check(&died, Cause::Crash, L, Symptom::FinNoResponse, S520);
    // An edge that leaves when its timeout has passed had waited for something.
    let waited = |seconds| {
        with(|e| {
            *e = tls(1, 0);
            (e.trigger, e.waited) = (Trigger::EdgeFin, Duration::from_secs(seconds));
        })
    };
    check(&waited(125), Cause::ResponseTimeout, L, Symptom::NoResponse, Some(524));
    sound(&waited(60));
}

#[test]
fn another_protocol_is_judged_only_if_a_request_is_in_it() {
    let other = |method: Option<&str>| {
        with(|e| {
            e.protocol = Protocol::Other;
            e.request = Request { method: method.map(str::to_owned), ..Request::default() };
            e.response = Response::default();
        })
    };
    sound(&other(None));
    check(&other(Some("BREW")), Cause::EmptyReply, L, Symptom::FinNoResponse, S520);
}

#[test]
fn a_connection_older_than_the_tracer_is_never_certain() {
    let seeded = with(|e| (e.seeded, e.age, e.end) = (true, None, End::Signaled(9)));
    let verdict = diagnose(&seeded).unwrap();
    assert_eq!(verdict.certainty, L);
    assert_eq!((verdict.reused, verdict.exchanges, verdict.age_ms), (None, None, None));
    assert!(verdict.evidence[0].contains("open before the tracer"), "{:?}", verdict.evidence);
}

/// A response that began, and how far it got.
fn began(trigger: Trigger, so_far: Progress) -> Evidence {
    with(|e| {
        e.trigger = trigger;
        e.response = progress(so_far);
        (e.waited, e.quiet) = (Duration::from_secs(3), Duration::from_secs(2));
    })
}

#[test]
fn a_response_cut_by_fin_is_truncated_and_by_rst_is_reset() {
    check(&began(Trigger::Fin, Progress::InHead), Cause::TruncatedHeaders, C, Symptom::FinInResponse, S520);
    check(&began(Trigger::Fin, Progress::InBody), Cause::TruncatedBody, C, Symptom::FinInResponse, None);
    check(&began(Trigger::Rst, Progress::InHead), Cause::ResetMidResponse, C, Symptom::RstInResponse, S520);
    check(&began(Trigger::Rst, Progress::InBody), Cause::ResetMidResponse, C, Symptom::RstInResponse, None);
    // How long it was to be, nobody knows.
    check(&began(Trigger::Rst, Progress::UntilClose), Cause::ResetMidResponse, L, Symptom::RstInResponse, None);
    sound(&began(Trigger::Fin, Progress::UntilClose));
    sound(&began(Trigger::Rst, Progress::Whole));
    sound(&began(Trigger::Fin, Progress::Unknown));
}

#[test]
fn the_clock_of_an_edge_that_leaves_may_run_from_its_request() {
    let stalled = |trigger, waited, quiet| {
        let mut e = began(trigger, Progress::InBody);
        (e.waited, e.quiet) = (Duration::from_secs(waited), Duration::from_secs(quiet));
        e
    };
    for left in [Trigger::EdgeFin, Trigger::EdgeRst] {
        check(&stalled(left, 125, 112), Cause::ResponseStalled, C, Symptom::StalledResponse, None);
        // A long download that the visitor gave up; an edge that has not waited long enough.
        sound(&stalled(left, 300, 60));
        sound(&stalled(left, 112, 110));
    }
    sound(&stalled(Trigger::Overdue, 125, 112));
}

#[test]
fn an_edge_that_leaves_early_is_no_failure_and_one_that_has_waited_is() {
    for trigger in [Trigger::EdgeFin, Trigger::EdgeRst, Trigger::Overdue] {
        let so_far = |progress, seconds| {
            with(|e| {
                *e = began(trigger, progress);
                (e.waited, e.quiet) = (Duration::from_secs(seconds), Duration::from_secs(seconds));
            })
        };
        for progress in [Progress::Nothing, Progress::InHead, Progress::InBody] {
            sound(&so_far(progress, 120));
        }
        check(&so_far(Progress::Nothing, 125), Cause::ResponseTimeout, C, Symptom::NoResponse, Some(524));
        check(&so_far(Progress::InHead, 125), Cause::ResponseStalled, C, Symptom::StalledResponse, Some(524));
        check(&so_far(Progress::InBody, 125), Cause::ResponseStalled, C, Symptom::StalledResponse, None);
        sound(&so_far(Progress::Whole, 900));
        sound(&so_far(Progress::UntilClose, 900));
    }
}

/// A response that is sent again and again.
fn unacknowledged(protocol: Protocol, so_far: Progress, acked: u64) -> Evidence {
    with(|e| {
        (e.trigger, e.protocol, e.response) = (Trigger::EdgeFin, protocol, progress(so_far));
        (e.unacked, e.acked, e.retransmits, e.since_read) = (3000, acked, 9, 3000);
        let read = Duration::from_secs(125);
        (e.waited, e.stuck, e.quiet) = (read, read, Duration::from_secs(20));
    })
}

#[test]
fn a_response_that_nobody_acknowledges_is_reply_lost() {
    let lost = Cause::ReplyLost;
    for so_far in [Progress::Whole, Progress::InBody, Progress::UntilClose, Progress::Unknown] {
        for trigger in [Trigger::EdgeFin, Trigger::EdgeRst, Trigger::Overdue] {
            let sent = |acked| with(|e| *e = Evidence { trigger, ..unacknowledged(Protocol::Http, so_far, acked) });
            check(&sent(0), lost, C, Symptom::NoResponse, Some(524));
            check(&sent(39), lost, C, Symptom::StalledResponse, Some(524));
            check(&sent(40), lost, C, Symptom::StalledResponse, None);
        }
    }
    for protocol in [Protocol::Tls, Protocol::Opaque] {
        check(&unacknowledged(protocol, Progress::Unknown, 0), lost, L, Symptom::NoResponse, Some(524));
        check(&unacknowledged(protocol, Progress::Unknown, 9), lost, L, Symptom::StalledResponse, None);
    }
    let told = diagnose(&unacknowledged(Protocol::Http, Progress::Whole, 900)).unwrap();
    let line = "3000 bytes to the edge stood unacknowledged for 2.1 min, after 900 bytes of the response: the first of \
                them were sent again 9 times, and its window was open";
    assert!(told.evidence.contains(&line.to_owned()), "{told:#?}");
    assert!(told.advice.contains("clamp-mss-to-pmtu"), "{}", told.advice);
    let small = with(|e| *e = Evidence { unacked: 90, ..unacknowledged(Protocol::Http, Progress::Whole, 0) });
    assert!(diagnose(&small).unwrap().advice.contains("ip route get 173.245.48.10"));
}

#[test]
fn a_slow_visitor_is_never_told_as_a_lost_reply() {
    let sent = |change: fn(&mut Evidence)| {
        let mut e = unacknowledged(Protocol::Http, Progress::Whole, 900);
        change(&mut e);
        e
    };
    // It acknowledges; its window is shut; it left before its timeout; all that it asked for is a WebSocket.
    sound(&sent(|e| (e.retransmits, e.stuck) = (0, Duration::ZERO)));
    sound(&sent(|e| e.stuck = Duration::ZERO));
    sound(&sent(|e| e.stuck = Duration::from_secs(100)));
    sound(&sent(|e| (e.stuck, e.trigger) = (Duration::from_secs(120), Trigger::Overdue)));
    sound(&sent(|e| e.response.progress = Progress::Upgraded));
    // A control frame on an idle connection of HTTP/2.
    sound(&with(|e| *e = Evidence { unacked: 60, ..unacknowledged(Protocol::Tls, Progress::Unknown, 0) }));
    // The clock of one that leaves may run from its request, if nothing of the response came.
    let late = |acked, retransmits| {
        let stuck = Duration::from_secs(30);
        Evidence { stuck, retransmits, ..unacknowledged(Protocol::Http, Progress::Whole, acked) }
    };
    check(&late(0, 3), Cause::ReplyLost, C, Symptom::NoResponse, Some(524));
    sound(&late(0, 2));
    sound(&late(1, 3));
}

#[test]
fn a_shut_window_with_bytes_unread_is_request_stalled_and_an_open_one_is_not() {
    let stalled = |window, waited| {
        with(|e| {
            (e.trigger, e.unread, e.window) = (Trigger::EdgeRst, 4000, window);
            e.waited = Duration::from_secs(waited);
        })
    };
    check(&stalled(0, 30), Cause::RequestStalled, C, Symptom::ZeroWindow, Some(524));
    // The last bytes came after the edge's clock had begun.
    check(&stalled(0, 23), Cause::RequestStalled, C, Symptom::ZeroWindow, Some(524));
    sound(&with(|e| {
        *e = stalled(0, 23);
        e.trigger = Trigger::Overdue;
    }));
    sound(&stalled(0, 10));
    sound(&stalled(4096, 30));
}

#[test]
fn a_socket_that_vanishes_is_silent_drop_only_if_something_was_owed() {
    check(&began(Trigger::Silent, Progress::Nothing), Cause::SilentDrop, C, Symptom::NoResponse, Some(524));
    check(&began(Trigger::Silent, Progress::InBody), Cause::SilentDrop, C, Symptom::StalledResponse, None);
    sound(&began(Trigger::Silent, Progress::Whole));
}

#[test]
fn what_is_no_response_is_malformed_unless_the_edge_stays() {
    let odd = |trigger, fault| {
        with(|e| {
            *e = began(trigger, Progress::Malformed);
            e.response.fault = Some(fault);
            e.quiet = Duration::from_millis(5);
        })
    };
    let stayed = |seconds| {
        with(|e| {
            *e = odd(Trigger::EdgeFin, Fault::StatusLine);
            e.quiet = Duration::from_secs(seconds);
        })
    };
    // It had taken it; it had waited for the rest.
    sound(&stayed(60));
    check(&stayed(125), Cause::MalformedResponse, C, Symptom::BadResponse, S520);
    for trigger in [Trigger::Fin, Trigger::EdgeFin, Trigger::EdgeRst] {
        let verdict = odd(trigger, Fault::StatusLine);
        check(&verdict, Cause::MalformedResponse, C, Symptom::BadResponse, S520);
    }
    check(&odd(Trigger::EdgeFin, Fault::Field), Cause::MalformedResponse, L, Symptom::BadResponse, S520);
    check(&odd(Trigger::EdgeFin, Fault::ChunkSize), Cause::MalformedResponse, L, Symptom::BadResponse, None);
    sound(&odd(Trigger::Overdue, Fault::StatusLine));
}

#[test]
fn a_header_section_is_too_large_above_the_limit_and_not_at_it() {
    let sized = |bytes| {
        with(|e| {
            *e = began(Trigger::EdgeRst, Progress::Unknown);
            e.response.header_bytes = Some(bytes);
            e.quiet = Duration::from_millis(5);
        })
    };
    sound(&sized(131_072));
    check(&sized(131_073), Cause::HeadersTooLarge, C, Symptom::HeadersTooLarge, S520);
    assert_eq!(diagnose(&sized(131_073)).unwrap().response_header_bytes, Some(131_073));
}

#[test]
fn packets_that_went_missing_are_told_by_what_took_them() {
    let lost = |missing, taken| {
        with(|e| {
            e.trigger = Trigger::Attempt(Attempt {
                missing,
                taken,
                packets: 3,
                for_: Duration::from_secs(19),
                hook: Some(FirewallHook::Input),
                table_full: false,
            });
            (e.accepted, e.bytes_received, e.exchanges, e.request) = (false, 0, 0, Request::default());
        })
    };
    let icmp = |v6, code| Taken::Icmp { v6, kind: if v6 { 1 } else { 3 }, code };
    let queue = Taken::Queue { length: 3, limit: 2 };
    let (drop, reject) = (Cause::FirewallDrop, Cause::FirewallReject);
    for (missing, taken, cause, symptom, status) in [
        (Missing::Syn, Taken::Dropped, drop, Symptom::NoSynack, 522),
        (Missing::SynAck, Taken::Dropped, drop, Symptom::NoSynack, 522),
        (Missing::Data, Taken::Dropped, drop, Symptom::NoAck, 522),
        (Missing::Answer, Taken::Dropped, drop, Symptom::NoAck, 522),
        (Missing::Syn, Taken::Reset, reject, Symptom::Refused, 521),
        (Missing::Data, Taken::Reset, reject, Symptom::RstNoResponse, 520),
        (Missing::Syn, icmp(false, 3), reject, Symptom::IcmpUnreachable, 521),
        (Missing::Syn, icmp(false, 10), reject, Symptom::IcmpUnreachable, 523),
        (Missing::Syn, icmp(true, 4), reject, Symptom::IcmpUnreachable, 521),
        (Missing::Syn, icmp(true, 1), reject, Symptom::IcmpUnreachable, 523),
        (Missing::Data, icmp(false, 3), drop, Symptom::NoAck, 522),
        (Missing::Syn, queue, Cause::ListenOverflow, Symptom::NoSynack, 522),
        (Missing::Data, queue, Cause::ListenOverflow, Symptom::NoAck, 522),
        (Missing::Syn, Taken::SynQueue { length: 49, limit: 48 }, Cause::ListenOverflow, Symptom::NoSynack, 522),
        (Missing::SynAck, Taken::Lost, Cause::ReplyLost, Symptom::NoSynack, 522),
        (Missing::Syn, Taken::QueueReset, Cause::ListenOverflow, Symptom::RstBeforeRequest, 520),
    ] {
        check(&lost(missing, taken), cause, C, symptom, Some(status));
    }
    let verdict = diagnose(&lost(Missing::Syn, Taken::Reset)).unwrap();
    assert_eq!((verdict.reset_by, verdict.firewall_hook), (Some(ResetBy::Firewall), Some(FirewallHook::Input)));
    assert_eq!((verdict.bytes_received, verdict.exchanges), (None, None));
    let full = diagnose(&lost(Missing::Syn, Taken::SynQueue { length: 49, limit: 48 })).unwrap();
    assert!(
        full.evidence[0].contains("SYN queue of port 80 was full (49 half-open connections, limit 48)"),
        "{full:#?}"
    );
    assert!(full.advice.contains("tcp_syncookies=1"), "{}", full.advice);
    let unanswered = diagnose(&lost(Missing::SynAck, Taken::Lost)).unwrap();
    assert_eq!(
        unanswered.evidence,
        [
            "the SYN-ACK from port 80 was sent again 3 times, and nothing in this host took it",
            "no answer to it came in 19.0 s"
        ]
    );
    assert!(unanswered.advice.contains("ip route get 173.245.48.10"), "{}", unanswered.advice);
}

/// A connection on which the edge began a handshake.
fn shaking(trigger: Trigger, change: impl FnOnce(&mut Handshake)) -> Evidence {
    with(|e| {
        (e.trigger, e.protocol, e.exchanges) = (trigger, Protocol::Tls, 0);
        (e.request, e.response) = (Request::default(), Response::default());
        let mut handshake = Handshake { hello: true, answer: Answer::Tls, ..Handshake::default() };
        change(&mut handshake);
        e.handshake = Some(handshake);
    })
}

#[test]
fn a_handshake_is_told_by_what_its_outside_shows() {
    let failed = Cause::TlsHandshakeFailed;
    let alert = |description| Some(Alert { fatal: true, description });
    check(
        &shaking(Trigger::EdgeFin, |h| h.answer = Answer::PlainHttp),
        Cause::TlsToPlainPort,
        C,
        Symptom::TlsGarbage,
        Some(525),
    );
    check(&shaking(Trigger::EdgeFin, |h| h.answer = Answer::Garbage), failed, C, Symptom::TlsGarbage, Some(525));
    check(&shaking(Trigger::Fin, |h| h.origin_alert = alert(40)), failed, C, Symptom::TlsAlert, Some(525));
    let wanted = shaking(Trigger::Fin, |h| (h.origin_alert, h.edge_certificate_empty) = (alert(40), true));
    check(&wanted, Cause::TlsClientCertRequired, C, Symptom::TlsAlert, Some(525));
    check(
        &shaking(Trigger::EdgeFin, |h| h.edge_alert = alert(45)),
        Cause::CertInvalid,
        C,
        Symptom::TlsEdgeAlert,
        Some(526),
    );
    check(&shaking(Trigger::EdgeFin, |h| h.edge_alert = alert(70)), failed, L, Symptom::TlsEdgeAlert, Some(525));
    for first in [Trigger::EdgeFin, Trigger::EdgeRst, Trigger::Fin, Trigger::Rst] {
        let refused = shaking(first, |h| h.edge_alert_encrypted = true);
        check(&refused, Cause::CertInvalid, L, Symptom::TlsEdgeAlert, Some(526));
    }
    check(&shaking(Trigger::Fin, |h| h.answer = Answer::Nothing), failed, C, Symptom::TlsFin, Some(525));
    check(&shaking(Trigger::Rst, |h| h.answer = Answer::Nothing), failed, C, Symptom::TlsRst, Some(525));
    let late = shaking(Trigger::Fin, |h| {
        (h.agreed, h.edge_certificate_empty, h.edge_finished) = (Some(Version::Tls13), true, true);
    });
    check(&late, Cause::TlsClientCertRequired, L, Symptom::TlsAlertLate, S520);
}

#[test]
fn a_handshake_that_the_edge_ends_or_leaves_unfinished_is_no_failure() {
    // A monitor that only looks at the certificate, and an edge that leaves early.
    sound(&shaking(Trigger::EdgeFin, |h| h.edge_finished = true));
    sound(&shaking(Trigger::EdgeFin, |h| h.answer = Answer::Nothing));
    // It was the edge's turn, and the origin has waited long enough.
    sound(&with(|e| {
        *e = shaking(Trigger::Fin, |_| {});
        (e.since_read, e.idle) = (1200, Some(Duration::from_secs(60)));
    }));
    let silent = with(|e| {
        *e = shaking(Trigger::EdgeFin, |h| h.answer = Answer::Nothing);
        e.waited = Duration::from_secs(125);
    });
    check(&silent, Cause::TlsHandshakeFailed, C, Symptom::TlsNoAnswer, Some(525));
}

#[test]
fn a_handshake_that_freezes_after_the_origins_flight_is_told_where_the_next_step_is_its_own() {
    let frozen = |trigger, change: fn(&mut Evidence, &mut Handshake)| {
        let mut e = shaking(trigger, |h| (h.agreed, h.edge_finished) = (Some(Version::Tls12), true));
        (e.waited, e.since_read, e.unread) = (Duration::from_secs(125), 1200, 93);
        let mut handshake = e.handshake.take().unwrap();
        change(&mut e, &mut handshake);
        Evidence { handshake: Some(handshake), ..e }
    };
    let told = |e: &Evidence| check(e, Cause::TlsHandshakeFailed, C, Symptom::TlsNoAnswer, Some(525));
    for left in [Trigger::EdgeFin, Trigger::EdgeRst, Trigger::Overdue] {
        told(&frozen(left, |_, _| ()));
        told(&frozen(left, |e, _| (e.unread, e.since_read) = (0, 0)));
        sound(&frozen(left, |e, _| e.waited = Duration::from_secs(60)));
        // The edge's turn: it has not answered the origin's flight, or, in a session that goes on, has the last word.
        sound(&frozen(left, |e, h| (e.unread, h.edge_finished) = (0, false)));
        sound(&frozen(left, |e, h| (e.unread, e.since_read, h.resumed) = (0, 0, true)));
        sound(&frozen(left, |e, h| (e.unread, e.since_read, h.agreed) = (0, 0, Some(Version::Tls13))));
        sound(&frozen(left, |e, _| e.exchanges = 1));
    }
}

#[test]
fn a_handshake_whose_answer_nobody_acknowledges_is_reply_lost() {
    let sent = |trigger, retransmits, seconds| {
        with(|e| {
            *e = shaking(trigger, |_| {});
            (e.unacked, e.retransmits, e.since_read) = (3000, retransmits, 3000);
            (e.stuck, e.waited) = (Duration::from_secs(seconds), Duration::from_secs(seconds));
        })
    };
    for left in [Trigger::EdgeFin, Trigger::EdgeRst] {
        check(&sent(left, 3, 5), Cause::ReplyLost, C, Symptom::TlsNoAnswer, Some(525));
        sound(&sent(left, 2, 5));
    }
    check(&sent(Trigger::Overdue, 9, 125), Cause::ReplyLost, C, Symptom::TlsNoAnswer, Some(525));
    sound(&sent(Trigger::Overdue, 9, 100));
}

#[test]
fn every_cause_is_spelled_once_and_announces_its_statuses() {
    let mut names: Vec<_> = Cause::ALL.iter().map(|cause| cause.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Cause::ALL.len());
    assert!(Cause::ALL.iter().all(|cause| !cause.edge_statuses().is_empty()));
}

#[test]
fn the_age_of_a_request_counts_from_its_last_byte_and_not_from_what_was_sent_meanwhile() {
    let killed = with(|e| {
        (e.end, e.signal) = (End::Signaled(9), signal(9, master()));
        (e.waited, e.quiet, e.idle) =
            (Duration::from_millis(1070), Duration::from_millis(72), Some(Duration::from_millis(72)));
    });
    let verdict = diagnose(&killed).unwrap();
    assert_eq!((verdict.cause, verdict.request_age_ms), (Cause::SupervisorKill, Some(1070.0)));
    assert!(verdict.advice.contains("1.1 s after the last byte of the request"), "{}", verdict.advice);
    assert!(verdict.evidence.contains(&"the request's last byte had come 1.1 s before".to_owned()), "{verdict:#?}");
    let upload = diagnose(&with(|e| (e.bodyless, e.trigger, e.unread) = (false, Trigger::Rst, 5))).unwrap();
    let soon = "the last byte from the edge had come less than 10 ms before";
    assert!(upload.evidence.contains(&soon.to_owned()), "{upload:#?}");
    let late = with(|e| (e.trigger, e.request.method) = (Trigger::Late { bytes: 9 }, Some("GET".to_owned())));
    assert_eq!(diagnose(&late).unwrap().request_age_ms, None);
}

#[test]
fn a_close_after_a_round_time_is_told_as_a_timeout_of_the_servers_own() {
    let advice = |millis, name: &str| {
        let closed = with(|e| {
            e.waited = Duration::from_millis(millis);
            e.process = Some(Process { name: name.to_owned(), pid: 7, ..Process::default() });
        });
        diagnose(&closed).unwrap().advice
    };
    let node = advice(5_004, "node");
    assert!(node.contains("timeout of its own of 5 s") && node.contains("server.requestTimeout"), "{node}");
    assert!(advice(10_010, "api").contains("WriteTimeout"));
    assert!(!advice(1_300, "api").contains("timeout of its own"));
}

#[test]
fn a_connection_that_nobody_accepted_comes_with_its_queue_and_with_who_holds_others() {
    let waiting = with(|e| {
        (e.trigger, e.accepted, e.turns) = (Trigger::Overdue, false, 0);
        (e.waited, e.quiet, e.unread) = (Duration::from_secs(125), Duration::from_secs(125), 182);
        e.around.queue = Some(Queue { waiting: 12, limit: Some(128), sockets: 1 });
        e.around.held = Some(Held { connections: 4, processes: 4, awaited: Some(0) });
        e.around.descriptors = Some(Descriptors { open: 20, limit: 1024 });
    });
    let verdict = diagnose(&waiting).unwrap();
    assert_eq!(verdict.cause, Cause::ResponseTimeout);
    assert_eq!(
        verdict.evidence,
        [
            "nobody has accepted the connection: it waits in the accept queue with 182 bytes of a request",
            "no response byte was sent in 2.1 min (the edge's read timeout is 2.1 min)",
            "12 of at most 128 connections wait in the accept queue of port 80",
            "4 connections of port 80 had been accepted and read by 4 processes, and none of these waits for an answer",
        ]
    );
    assert!(verdict.advice.contains("more workers"), "{}", verdict.advice);
    let full = Evidence {
        around: Around { descriptors: Some(Descriptors { open: 1024, limit: 1024 }), ..Around::default() },
        ..waiting
    };
    let advice = diagnose(&full).unwrap().advice;
    assert!(advice.starts_with("web has 1024 of at most 1024 descriptors open"), "{advice}");
    let silent = with(|e| {
        (e.trigger, e.accepted, e.turns, e.protocol) = (Trigger::Overdue, false, 0, Protocol::Tls);
        (e.waited, e.exchanges) = (Duration::from_secs(125), 0);
        e.handshake = Some(Handshake { hello: true, answer: Answer::Nothing, ..Handshake::default() });
        e.around.queue = Some(Queue { waiting: 1, limit: None, sockets: 2 });
    });
    let verdict = diagnose(&silent).unwrap();
    assert!(verdict.evidence[0].starts_with("nobody has accepted the connection"), "{verdict:#?}");
    assert!(verdict.evidence.contains(&"1 connection waits in the 2 accept queues of port 80".to_owned()));
    assert!(verdict.advice.contains("accepted no connection") && !verdict.advice.contains("ciphers"));
}

#[test]
fn what_runs_out_around_a_failure_is_named_and_what_does_not_is_not() {
    let told = |descriptors, memory_pressure| {
        diagnose(&with(|e| (e.around.descriptors, e.around.memory_pressure) = (descriptors, memory_pressure))).unwrap()
    };
    let short = told(Some(Descriptors { open: 1020, limit: 1024 }), Some(43)).evidence;
    assert!(short.contains(&"web[7] has 1020 of at most 1024 descriptors open".to_owned()), "{short:?}");
    let memory = "memory is short: in 43 % of the last ten seconds some task waited for it";
    assert!(short.contains(&memory.to_owned()), "{short:?}");
    let calm = told(Some(Descriptors { open: 20, limit: 1024 }), Some(3)).evidence;
    assert_eq!(calm, diagnose(&unanswered()).unwrap().evidence);
}

#[test]
fn a_full_disk_is_named_with_what_the_process_has_to_do_with_it_and_comes_first_in_the_advice() {
    let full = |lack, by| Some(FullDisk { mount: "/var/log".to_owned(), lack, by });
    let space = Lack::Space { left: 512, total: 64 << 20 };
    let told = |change: &dyn Fn(&mut Evidence), lack, by| {
        let verdict = diagnose(&with(|e| {
            e.around.full_disk = full(lack, by);
            change(e);
        }));
        let verdict = verdict.unwrap();
        (verdict.evidence.into_iter().find(|line| line.contains("is full")), verdict.advice)
    };
    let cut = |e: &mut Evidence| e.response = progress(Progress::InBody);
    let (line, advice) = told(&cut, space, Writes::File);
    let open = "web[7] has a file open for writing on /var/log, a file system that is full: 0 of 65536 KiB are left";
    assert_eq!(line.as_deref(), Some(open));
    assert!(advice.starts_with("/var/log is full: make room there first"), "{advice}");
    assert!(advice.contains("If it goes on, web closed before its response was whole"), "{advice}");
    let (line, advice) = told(&|_| (), Lack::Inodes(1024), Writes::Temporary("/tmp"));
    let inodes = "web[7] may keep temporary files in /tmp, on /var/log, a file system that is full: none of its 1024 \
                  inodes is left";
    assert_eq!(line.as_deref(), Some(inodes));
    assert!(advice.contains("df -i"), "{advice}");
    let (line, _) = told(&|_| (), space, Writes::Folder);
    assert!(line.is_some_and(|line| line.starts_with("web[7] has its working directory on /var/log")));
    // Another's signal is no failure to write, and an idle connection has nothing to write.
    let killed = |e: &mut Evidence| (e.end, e.signal) = (End::Signaled(9), signal(9, other()));
    assert!(!told(&killed, space, Writes::File).1.contains("is full"));
    let idle = |e: &mut Evidence| {
        (e.trigger, e.closed_for) = (Trigger::Late { bytes: 240 }, Some(Duration::ZERO));
        e.idle = Some(Duration::from_secs(5));
    };
    assert_eq!(told(&idle, space, Writes::File).0, None);
}

#[test]
fn the_address_that_was_dialled_before_nat_is_told_beside_that_of_the_socket() {
    let told = diagnose(&with(|e| e.around.published = Some("203.0.113.5:8443".parse().unwrap()))).unwrap();
    let published = (told.published_addr.map(|addr| addr.to_string()), told.published_port);
    assert_eq!(published, (Some("203.0.113.5".to_owned()), Some(8443)));
    assert_eq!((told.local_addr.to_string().as_str(), told.local_port), ("10.99.0.1", 80));
    let line = "the edge had connected to 203.0.113.5:8443, which NAT on this host translates to 10.99.0.1:80";
    assert_eq!(told.evidence[0], line);
    let plain = diagnose(&unanswered()).unwrap();
    assert_eq!((plain.published_addr, plain.published_port), (None, None));
}

#[test]
fn a_count_of_bytes_that_contradicts_the_response_is_left_out() {
    let cut = |sent| {
        let verdict =
            diagnose(&with(|e| (e.response, e.bytes_sent) = (progress(Progress::InBody), sent))).expect("a failure");
        verdict.evidence.into_iter().find(|line| line.contains("inside its body")).unwrap()
    };
    assert_eq!(cut(1080), "the response ended inside its body, 1080 bytes were sent in all");
    assert_eq!(cut(0), "the response ended inside its body");
    assert_eq!(cut(39), "the response ended inside its body");
}

#[test]
fn a_close_amid_the_hello_is_told_by_how_much_had_come_and_not_as_a_matter_of_ciphers() {
    let cut = with(|e| {
        (e.protocol, e.exchanges, e.bytes_received) = (Protocol::Tls, 0, 200);
        let hello_cut = Some((200, 517));
        e.handshake = Some(Handshake { hello: true, hello_cut, answer: Answer::Nothing, ..Handshake::default() });
    });
    check(&cut, Cause::TlsHandshakeFailed, C, Symptom::TlsFin, Some(525));
    let verdict = diagnose(&cut).unwrap();
    assert_eq!(verdict.evidence[1], "the origin closed after 200 of 517 bytes of the ClientHello");
    assert!(!verdict.evidence.iter().any(|line| line.contains("did not answer")), "{verdict:#?}");
    assert!(verdict.advice.contains("inspect-delay") && !verdict.advice.contains("cipher"), "{}", verdict.advice);
}

#[test]
fn a_request_head_above_what_the_server_takes_is_named_with_its_size() {
    let told = |bytes, name: &str| {
        diagnose(&with(|e| {
            e.request_head = Some(bytes);
            e.process = Some(Process { name: name.to_owned(), pid: 7, ..Process::default() });
        }))
        .unwrap()
    };
    let uwsgi = told(5_000, "uwsgi");
    let large = "the request's header section is large: 5000 bytes of it came";
    assert!(uwsgi.evidence.contains(&large.to_owned()), "{uwsgi:#?}");
    assert!(uwsgi.advice.contains("buffer-size") && uwsgi.advice.contains("5000"), "{}", uwsgi.advice);
    let other = told(5_000, "web");
    assert!(!other.evidence.contains(&large.to_owned()) && !other.advice.contains("5000"), "{other:#?}");
    assert!(told(9_000, "web").advice.contains("9000 bytes of header fields"));
}

/// A request of 20,310 bytes out of 50,310, after which nothing came for a while.
fn half_an_upload(trigger: Trigger, waited: Duration) -> Evidence {
    with(|e| {
        (e.trigger, e.bodyless, e.bytes_received, e.waited) = (trigger, false, 20_310, waited);
        let lacks = Lacks::Body { announced: 50_310, at_least: false };
        e.unfinished = Some(Unfinished { came: 20_310, lacks });
    })
}

#[test]
fn a_close_in_the_middle_of_a_request_is_request_cut_whatever_lies_unread() {
    let pause = Duration::from_secs(60);
    check(&half_an_upload(Trigger::Fin, pause), Cause::RequestCut, C, Symptom::FinNoResponse, S520);
    check(&half_an_upload(Trigger::Rst, pause), Cause::RequestCut, C, Symptom::RstNoResponse, S520);
    let upload = |change: fn(&mut Evidence)| {
        let mut e = half_an_upload(Trigger::Rst, pause);
        change(&mut e);
        e
    };
    check(&upload(|e| e.unread = 900), Cause::RequestCut, C, Symptom::RstNoResponse, S520);
    // All that came of an answer is an interim response.
    let interim = upload(|e| e.response = Response { progress: Progress::InHead, ..Response::default() });
    check(&interim, Cause::RequestCut, C, Symptom::RstInResponse, S520);
    let told = diagnose(&interim).unwrap().evidence;
    assert!(told.contains(&"of a response only interim ones (1xx) were written".to_owned()), "{told:?}");
    check(&upload(|e| e.seeded = true), Cause::RequestCut, L, Symptom::RstNoResponse, S520);
    check(&upload(|e| e.end = End::Signaled(11)), Cause::Crash, C, Symptom::RstNoResponse, S520);
    check(&upload(|e| e.destroyed = true), Cause::AppReset, C, Symptom::RstNoResponse, S520);
    // Complete, and unread.
    let whole = upload(|e| (e.unfinished, e.unread) = (None, 900));
    check(&whole, Cause::ClosedUnread, C, Symptom::RstNoResponse, S520);
}

#[test]
fn a_cut_request_comes_with_how_much_was_missing_and_for_how_long() {
    let told = |lacks, waited, name: &str| {
        let mut e = half_an_upload(Trigger::Fin, Duration::from_millis(waited));
        e.process = Some(Process { name: name.to_owned(), pid: 7, ..Process::default() });
        e.unfinished = Some(Unfinished { came: 20_310, lacks });
        diagnose(&e).unwrap()
    };
    let slow = told(Lacks::Body { announced: 50_310, at_least: false }, 60_004, "nginx");
    assert_eq!(
        slow.evidence,
        [
            "nginx[7] read what came of the request (20310 bytes received)",
            "the request announced 50310 bytes, 20310 had come, nothing came for 60.0 s before the close",
            "no response byte was written",
            "FIN sent by the close in nginx[7]",
        ]
    );
    assert!(slow.advice.contains("60.0 s") && slow.advice.contains("client_body_timeout"), "{}", slow.advice);
    assert!(told(Lacks::Head, 5_000, "api").advice.contains("ReadHeaderTimeout"));
    let line = |lacks, waited| told(lacks, waited, "nginx").evidence.swap_remove(1);
    let head = "the request's header section had not ended, 20310 bytes of it had come, nothing came for 400 ms before \
                the close";
    assert_eq!(line(Lacks::Head, 400), head);
    let at_least = line(Lacks::Body { announced: 60_000, at_least: true }, 2);
    assert!(at_least.starts_with("the request announced at least 60000 bytes"), "{at_least}");
    assert!(at_least.ends_with("the last of them less than 10 ms before the close"), "{at_least}");
    assert!(line(Lacks::Chunks, 400).starts_with("the last chunk of the request's body had not come, 20310 bytes"));
    let refused = told(Lacks::Body { announced: 50_310, at_least: false }, 2, "nginx");
    assert!(refused.advice.contains("limit on its size"), "{}", refused.advice);
}

#[test]
fn a_process_that_does_not_run_is_named_wherever_the_edge_waited_in_vain_and_nowhere_else() {
    let told = |e: &Evidence, halt, pid| {
        let halted = Some(Halted { pid, halt, others: 2 });
        let verdict = diagnose(&Evidence { around: Around { halted, ..e.around.clone() }, ..e.clone() }).unwrap();
        (verdict.evidence.into_iter().find(|line| line.contains("does not run")), verdict.advice)
    };
    let waited = with(|e| {
        (e.trigger, e.waited, e.quiet) = (Trigger::EdgeRst, Duration::from_secs(125), Duration::from_secs(125));
    });
    let stalled = Evidence { response: progress(Progress::InBody), ..waited.clone() };
    let not_read = Evidence { unread: 900, window: 0, ..waited.clone() };
    let mut shaking = shaking(Trigger::Overdue, |h| h.answer = Answer::Nothing);
    shaking.waited = Duration::from_secs(125);
    for e in [&waited, &stalled, &not_read, &shaking] {
        let (line, advice) = told(e, Halt::Stopped, 7);
        let expected = "web[7] does not run: it is stopped by a signal (SIGSTOP; state T), and so are 2 more of them";
        assert_eq!(line.as_deref(), Some(expected));
        assert!(advice.contains("kill -CONT 7"), "{advice}");
    }
    let (line, advice) = told(&waited, Halt::Frozen, 8);
    let line = line.unwrap();
    assert!(line.starts_with("process 8, a child of web[7], does not run: it is frozen"), "{line}");
    assert!(advice.contains("docker unpause"), "{advice}");
    assert!(told(&waited, Halt::Uninterruptible, 7).1.contains("/proc/7/stack"));
    assert!(told(&waited, Halt::Traced, 7).1.contains("TracerPid"));
    let (line, advice) = told(&unanswered(), Halt::Stopped, 7);
    assert_eq!((line, advice), (None, diagnose(&unanswered()).unwrap().advice));
}
