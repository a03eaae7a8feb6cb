//! Responses that were cut, that stopped, or that are none.

use super::*;

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
