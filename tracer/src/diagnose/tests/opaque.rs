//! Connections of which the bytes, or the beginning, were not seen.

use super::*;

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
