//! Packets and connections that went missing, and bytes that nobody took.

use super::*;

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
