use tracer_common::{AttemptConnRecord, OomRecord, attempt, conn_flags, kinds, pf, sig_flags, taken};

use super::*;
use crate::diagnose::Cause;

fn clock(monotonic_ns: u64) -> Clock {
    Clock { monotonic_ns, wall: jiff::Timestamp::UNIX_EPOCH, tick_ns: 4_000_000 }
}

fn state() -> State {
    State::new(EdgeRanges::builtin(), BTreeMap::new(), BTreeMap::new())
}

/// A record of a plain connection whose request nobody answered, closed by process 7.
fn unanswered() -> tracer_common::ConnRecord {
    let bytes = vec![0; size_of::<tracer_common::ConnRecord>()];
    let mut record: tracer_common::ConnRecord = zerocopy::FromBytes::read_from_bytes(&bytes[..]).unwrap();
    record.header.kind = kinds::CONN;
    record.trigger = tracer_common::triggers::FIN;
    record.conn.flags = tracer_common::conn_flags::HTTP;
    record.conn.exchanges = 1;
    record.conn.close.accepted = 1;
    record.conn.close.time_ns = 10;
    record.conn.close.bytes_received = 18;
    record.conn.closer.tgid = 7;
    record.conn.closer.start_ns = 70;
    record.conn.closer.comm[..3].copy_from_slice(b"web");
    let head = b"GET / HTTP/1.1\r\n\r\n";
    record.heads.request[..head.len()].copy_from_slice(head);
    record.conn.request_have = u32::try_from(head.len()).unwrap();
    record
}

fn process_end(exit_code: u32) -> Event {
    let mut record = ProcessRecord::default();
    record.task.tgid = 7;
    record.task.start_ns = 70;
    record.task.exit_code = exit_code;
    Event::Process(record)
}

fn causes(outputs: &[Output]) -> Vec<Cause> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Failure(diagnosis) => Some(diagnosis.cause),
            _ => None,
        })
        .collect()
}

#[test]
fn a_verdict_on_a_living_process_waits_and_then_comes_once() {
    let mut state = state();
    assert_eq!(causes(&state.handle(&Event::Conn(Box::new(unanswered())), &clock(0))), []);
    let deadline = state.next_deadline().unwrap();
    assert_eq!(causes(&state.expire(deadline - 1)), []);
    assert_eq!(causes(&state.expire(deadline)), [Cause::EmptyReply]);
    assert_eq!(state.next_deadline(), None);
}

#[test]
fn a_process_that_exits_meanwhile_explains_it() {
    let mut state = state();
    state.handle(&Event::Conn(Box::new(unanswered())), &clock(0));
    let outputs = state.handle(&process_end(3 << 8), &clock(1));
    assert_eq!(causes(&outputs), [Cause::ProcessExit]);
    assert_eq!(state.next_deadline(), None);
}

#[test]
fn a_process_that_had_begun_another_request_was_not_unwinding() {
    let mut state = state();
    let mut record = unanswered();
    record.conn.close.closer_turns = 5;
    state.handle(&Event::Conn(Box::new(record)), &clock(0));
    let Event::Process(mut end) = process_end(3 << 8) else { unreachable!() };
    end.turns = 6;
    assert_eq!(causes(&state.handle(&Event::Process(end), &clock(1))), [Cause::EmptyReply]);
}

#[test]
fn a_signal_after_the_close_explains_nothing() {
    let mut state = state();
    state.handle(&Event::Conn(Box::new(unanswered())), &clock(0));
    assert_eq!(causes(&state.handle(&process_end(9), &clock(1))), [Cause::EmptyReply]);
}

#[test]
fn another_process_with_the_same_pid_explains_nothing() {
    let mut state = state();
    let mut record = unanswered();
    record.conn.closer.start_ns = 71;
    state.handle(&Event::Conn(Box::new(record)), &clock(0));
    assert_eq!(causes(&state.handle(&process_end(3 << 8), &clock(1))), []);
}

#[test]
fn a_dying_process_needs_no_waiting() {
    let mut state = state();
    let mut record = unanswered();
    record.conn.closer.flags = pf::EXITING;
    record.conn.closer.exit_code = 11;
    assert_eq!(causes(&state.handle(&Event::Conn(Box::new(record)), &clock(0))), [Cause::Crash]);
}

#[test]
fn the_edges_fin_is_no_byte_of_a_request() {
    let told = |change: fn(&mut tracer_common::ConnRecord)| {
        let mut record = unanswered();
        record.trigger = tracer_common::triggers::EDGE_FIN;
        (record.conn.request_len, record.conn.close.received_jiffies_ago) = (18, 50_000);
        record.conn.close.sent_jiffies_ago = 50_000;
        (record.conn.close.bytes_received, record.conn.close.window) = (19, 65_535);
        change(&mut record);
        let mut state = state();
        let mut outputs = state.handle(&Event::Conn(Box::new(record)), &clock(0));
        outputs.extend(state.flush());
        let [Output::Failure(diagnosis)] = &outputs[..] else { panic!("{outputs:?}") };
        Diagnosis::clone(diagnosis)
    };
    assert_eq!(told(|record| record.conn.turns = 1).bytes_received, Some(18));
    let waiting = told(|record| (record.conn.close.accepted, record.conn.close.unread) = (0, 18));
    assert_eq!((waiting.cause, waiting.bytes_received), (Cause::ResponseTimeout, Some(18)));
    let first = "nobody has accepted the connection: it waits in the accept queue with 18 bytes of a request";
    assert_eq!(waiting.evidence[0], first);
    assert!(waiting.advice.contains("accepted no connection for"), "{}", waiting.advice);
    // A second request, or bytes that nobody looked at: nothing is known of it.
    assert_eq!(told(|record| record.conn.exchanges = 2).bytes_received, Some(19));
}

#[test]
fn what_went_out_after_the_close_was_sent() {
    let mut record = unanswered();
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n12345";
    record.heads.response[..head.len()].copy_from_slice(head);
    let len = u32::try_from(head.len()).unwrap();
    (record.conn.response_have, record.conn.response_len, record.conn.close.response_bytes) = (len, len, len);
    record.conn.head_len = len - 5;
    (record.conn.closer.flags, record.conn.closer.exit_code) = (pf::EXITING, 11);
    let outputs = state().handle(&Event::Conn(Box::new(record)), &clock(0));
    let [Output::Failure(diagnosis)] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!(diagnosis.bytes_sent, Some(len.into()));
    let ended = format!("the response ended inside its body, {len} bytes were sent in all");
    assert!(diagnosis.evidence.contains(&ended), "{diagnosis:#?}");
}

#[test]
fn a_head_is_measured_where_more_of_it_came_than_was_kept() {
    let told = |kept: &[u8], flags| {
        let mut record = unanswered();
        record.heads.request[..kept.len()].copy_from_slice(kept);
        record.conn.request_have = u32::try_from(kept.len()).unwrap();
        (record.conn.request_len, record.conn.flags) = (9_000, record.conn.flags | flags);
        state().evidence(&record, &clock(0)).request_head
    };
    let cut = b"GET / HTTP/1.1\r\nCookie: aaaa";
    assert_eq!(told(cut, conn_flags::BODYLESS), Some(9_000));
    assert_eq!(told(cut, 0), None, "the rest may be a body");
    assert_eq!(told(cut, conn_flags::BODYLESS | conn_flags::PIPELINED), None, "the rest is another request");
    assert_eq!(told(b"GET / HTTP/1.1\r\n\r\n", conn_flags::BODYLESS), None, "the rest is a body");
}

/// Packets of the connection above, after its first request, that netfilter took; the flags are the connection's.
fn dropped(outward: u32, asked: u16, flags: u32) -> Diagnosis {
    let bytes = vec![0; size_of::<AttemptConnRecord>()];
    let mut record: AttemptConnRecord = zerocopy::FromBytes::read_from_bytes(&bytes[..]).unwrap();
    let conn = unanswered();
    record.attempt.header.kind = kinds::ATTEMPT_CONN;
    record.attempt.attempt =
        tracer_common::Attempt { kind: attempt::DATA, cause: taken::DROPPED, outward, ..Default::default() };
    record.attempt.listener_pid = 6;
    record.conn = conn.conn;
    record.conn.owner = 7;
    record.conn.flags |= flags;
    record.conn.asked = asked;
    record.request = conn.heads.request;
    let outputs = state().handle(&Event::AttemptConn(Box::new(record)), &clock(0));
    let [Output::Failure(diagnosis)] = &outputs[..] else { panic!("{outputs:?}") };
    Diagnosis::clone(diagnosis)
}

#[test]
fn packets_that_vanish_are_of_the_request_that_was_read_or_of_one_that_nobody_saw() {
    let (of_response, of_upload) = (dropped(1, 0, 0), dropped(0, 1, 0));
    for known in [&of_response, &of_upload] {
        assert_eq!((known.cause, known.path.as_deref()), (Cause::FirewallDrop, Some("/")));
        assert_eq!((known.exchanges, known.reused, known.pid), (Some(1), Some(false), Some(7)));
    }
    let next = dropped(0, 0, 0);
    assert_eq!((next.path, next.exchanges, next.reused, next.pid), (None, Some(2), Some(true), Some(7)));
    assert_eq!(dropped(1, 0, conn_flags::PIPELINED).path, None, "which of them is not known");
    assert_eq!(dropped(1, 0, conn_flags::SEEDED).exchanges, None);
}

#[test]
fn held_verdicts_are_bounded_and_none_is_lost() {
    let mut state = state();
    let record = Event::Conn(Box::new(unanswered()));
    let given: usize = (0..MAX_HELD + 10).map(|_| causes(&state.handle(&record, &clock(0))).len()).sum();
    assert_eq!(given, 10);
    assert_eq!(causes(&state.flush()).len(), MAX_HELD);
}

#[test]
fn an_oom_kill_is_named_by_its_record_or_by_what_proc_said() {
    let mut state = state();
    let mut record = OomRecord { tgid: 5, ..OomRecord::default() };
    let named = |name: &str| vec![Output::OomKill { process: name.to_owned() }];
    assert_eq!(state.handle(&Event::Oom(record), &clock(0)), named("unknown"));
    state.learn((5, 1), Facts { name: "php".to_owned(), ..Facts::default() });
    assert_eq!(state.handle(&Event::Oom(record), &clock(0)), named("php"));
    record.comm[..4].copy_from_slice(b"node");
    assert_eq!(state.handle(&Event::Oom(record), &clock(0)), named("node"));
}

#[test]
fn kernel_time_becomes_wall_time() {
    let clock = clock(5_000_000_000);
    assert_eq!(clock.at(4_000_000_000), jiff::Timestamp::from_second(-1).unwrap());
    assert_eq!(clock.at(9_000_000_000), jiff::Timestamp::UNIX_EPOCH);
}

/// A signal to process 7 from its master, or from a stranger, so long before `now_ns`.
fn signal(number: u32, flags: u32, time_ns: u64) -> tracer_common::LastSignal {
    tracer_common::LastSignal {
        time_ns,
        target_start_ns: 70,
        signal: number,
        flags,
        sender: 6,
        ..tracer_common::LastSignal::default()
    }
}

const SECOND: u64 = 1_000_000_000;

/// The origin closes without an answer at one second, with this signal behind it; then the process dies of that one.
fn closed_and_killed(before: tracer_common::LastSignal, killed_by: u32) -> Vec<Cause> {
    let mut state = state();
    let mut record = unanswered();
    record.signal = before;
    record.conn.close.time_ns = SECOND;
    state.handle(&Event::Conn(Box::new(record)), &clock(SECOND));
    let Event::Process(mut end) = process_end(9) else { unreachable!() };
    end.header.time_ns = SECOND + SECOND / 10;
    end.signal = signal(9, killed_by, end.header.time_ns - 1000);
    causes(&state.handle(&Event::Process(end), &clock(end.header.time_ns)))
}

#[test]
fn a_worker_that_closes_on_its_masters_abort_and_is_killed_was_killed() {
    let abort = signal(6, sig_flags::MASTER, SECOND / 2);
    assert_eq!(closed_and_killed(abort, sig_flags::MASTER), [Cause::SupervisorKill]);
    assert_eq!(closed_and_killed(signal(15, 0, SECOND / 2), 0), [Cause::ProcessKilled]);
    // It had hung up by itself.
    assert_eq!(closed_and_killed(Default::default(), sig_flags::MASTER), [Cause::EmptyReply]);
    assert_eq!(closed_and_killed(signal(6, sig_flags::SELF, SECOND / 2), 0), [Cause::EmptyReply]);
}

/// The edge has waited for all of its timeout and leaves, at 200 s; process 7 had read its request.
fn left() -> tracer_common::ConnRecord {
    let mut record = unanswered();
    record.trigger = tracer_common::triggers::EDGE_FIN;
    record.header.time_ns = 200 * SECOND;
    record.conn.close.time_ns = 200 * SECOND;
    record.conn.close.received_jiffies_ago = 125 * 250;
    record.conn.close.sent_jiffies_ago = 125 * 250;
    record.conn.closer = Default::default();
    record.conn.owner = 7;
    record.conn.owner_start_ns = 70;
    record
}

/// The end of process 7 at this time, by this code and signal.
fn death(at_ns: u64, exit_code: u32, by: tracer_common::LastSignal) -> Event {
    let Event::Process(mut end) = process_end(exit_code) else { unreachable!() };
    end.header.time_ns = at_ns;
    end.signal = by;
    Event::Process(end)
}

#[test]
fn a_death_while_a_child_keeps_the_socket_is_the_root_of_the_timeout() {
    for (at, code, cause) in [
        (100, 11, Cause::Crash),
        (100, 9, Cause::ProcessKilled),
        (100, 3 << 8, Cause::ProcessExit),
        // In good order; and before the request came.
        (100, 0, Cause::ResponseTimeout),
        (70, 11, Cause::ResponseTimeout),
    ] {
        let mut state = state();
        state.handle(&death(at * SECOND, code, Default::default()), &clock(at * SECOND));
        let mut told = state.handle(&Event::Conn(Box::new(left())), &clock(200 * SECOND));
        told.extend(state.flush());
        let [Output::Failure(diagnosis)] = &told[..] else { panic!("{told:?}") };
        assert_eq!((diagnosis.cause, diagnosis.edge_status), (cause, Some(524)), "at {at} s, code {code}");
        let says = diagnosis.evidence.iter().any(|line| line.contains("stayed open in another process"));
        assert_eq!(says, cause != Cause::ResponseTimeout, "{:?}", diagnosis.evidence);
    }
}

#[test]
fn a_death_moments_after_the_edge_left_counts_unless_it_may_follow_from_that() {
    let just_after = 200 * SECOND + SECOND / 10;
    let master = |number| signal(number, sig_flags::MASTER, just_after);
    let told_before = signal(15, 0, 199 * SECOND);
    for (code, by, cause) in [
        (9, master(9), Cause::SupervisorKill),
        (1 << 8, told_before, Cause::ProcessKilled),
        // A broken pipe, or an exit for want of the edge.
        (13, Default::default(), Cause::ResponseTimeout),
        (1 << 8, Default::default(), Cause::ResponseTimeout),
        (1 << 8, signal(15, 0, just_after), Cause::ResponseTimeout),
    ] {
        let mut state = state();
        assert_eq!(causes(&state.handle(&Event::Conn(Box::new(left())), &clock(200 * SECOND))), []);
        let told = state.handle(&death(just_after, code, by), &clock(just_after));
        assert_eq!(causes(&told), [cause], "code {code}, {by:?}");
    }
}
