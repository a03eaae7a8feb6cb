//! Connections that were closed, reset or refused before a response.

use super::*;

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

/// A request of 20,310 bytes out of 50,310, after which nothing came for a while.
fn half_an_upload(trigger: Trigger, waited: Duration) -> Evidence {
    with(|e| {
        (e.trigger, e.bodyless, e.bytes_received, e.waited) = (trigger, false, 20_310, waited);
        let lacks = Lacks::Body { announced: 50_310, at_least: false };
        e.unfinished = Some(Unfinished { came: 20_310, lacks });
    })
}

#[test]
fn a_close_in_the_middle_of_a_request_that_paused_is_request_cut_whatever_lies_unread() {
    let pause = Duration::from_secs(60);
    check(&half_an_upload(Trigger::Fin, pause), Cause::RequestCut, C, Symptom::FinNoResponse, S520);
    check(&half_an_upload(Trigger::Rst, pause), Cause::RequestCut, C, Symptom::RstNoResponse, S520);
    let upload = |change: fn(&mut Evidence)| {
        let mut e = half_an_upload(Trigger::Rst, pause);
        change(&mut e);
        e
    };
    check(&upload(|e| e.unread = 900), Cause::RequestCut, C, Symptom::RstNoResponse, S520);
    let in_flow = upload(|e| (e.unread, e.waited) = (900, Duration::from_millis(4)));
    check(&in_flow, Cause::ClosedUnread, C, Symptom::RstNoResponse, S520);
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
