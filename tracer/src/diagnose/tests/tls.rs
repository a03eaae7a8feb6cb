//! Handshakes.

use super::*;

#[test]
fn what_comes_after_a_refused_handshake_is_no_request() {
    sound(&with(|e| {
        (e.trigger, e.protocol, e.exchanges) = (Trigger::Late { bytes: 600 }, Protocol::Tls, 0);
        e.request = Request::default();
    }));
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
fn a_missing_client_certificate_is_the_reason_only_where_an_alert_came_before_anything_else_was_read() {
    let ended = |exchanges, since_read, turn_out| {
        let mut e = shaking(Trigger::Fin, |h| {
            (h.agreed, h.edge_certificate_empty, h.edge_finished) = (Some(Version::Tls13), true, true);
        });
        (e.exchanges, e.since_read, e.turn_out) = (exchanges, since_read, turn_out);
        e
    };
    for (exchanges, since_read, turn_out) in [(0, 24, 900), (1, 24, 900), (0, 0, 24), (1, 0, 24)] {
        let refused = ended(exchanges, since_read, turn_out);
        check(&refused, Cause::TlsClientCertRequired, L, Symptom::TlsAlertLate, S520);
    }
    // It read the first request, after its session tickets or without any, and hung up on that.
    for turn_out in [500, 900] {
        check(&ended(1, 0, turn_out), Cause::EmptyReply, L, Symptom::FinNoResponse, S520);
    }
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
