//! Failures that the end of a process caused.

use super::*;

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
