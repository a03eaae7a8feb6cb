//! Records of what lies behind a connection: which failure takes which, and what waits for the end of a process.

use tracer_common::{
    ConnRecord, Header, LastSignal, ProcessRecord, Task, Upstream, conn_flags, kinds, pf, triggers,
    upstream_flags as flag,
};

use super::*;
use crate::{
    decode::Event,
    diagnose::{Cause, Diagnosis},
    edge::EdgeRanges,
    state::{Clock, Output, State},
};

const SERVER: Task =
    Task { tgid: 31, flags: 0, exit_code: 0, oom: 0, start_ns: 1_000, comm: *b"node\0\0\0\0\0\0\0\0\0\0\0\0" };

fn clock(monotonic_ns: u64) -> Clock {
    Clock { monotonic_ns, wall: jiff::Timestamp::UNIX_EPOCH, tick_ns: 4_000_000 }
}

fn state() -> State {
    State::new(EdgeRanges::builtin(), [].into(), [].into())
}

/// Process 7 closes a connection whose request it has read, without an answer.
fn conn() -> Event {
    let bytes = vec![0; size_of::<ConnRecord>()];
    let mut record: ConnRecord = zerocopy::FromBytes::read_from_bytes(&bytes[..]).unwrap();
    (record.header.kind, record.trigger) = (kinds::CONN, triggers::FIN);
    let conn = &mut record.conn;
    (conn.flags, conn.exchanges, conn.key, conn.opened_ns) = (conn_flags::HTTP, 1, 64, 5);
    (conn.close.accepted, conn.close.time_ns, conn.close.bytes_received) = (1, 10, 18);
    (conn.closer.tgid, conn.closer.start_ns, conn.turns, conn.request_len) = (7, 70, 1, 18);
    record.heads.request[..18].copy_from_slice(b"GET / HTTP/1.1\r\n\r\n");
    conn.request_have = 18;
    Event::Conn(Box::new(record))
}

/// Its pair: process 31 had read the request and hung up.
fn behind(change: impl FnOnce(&mut BehindRecord)) -> Event {
    let mut record = BehindRecord {
        header: Header { kind: kinds::BEHIND, size: 0, time_ns: 10 },
        conn: 64,
        opened_ns: 5,
        tries: 1,
        pad: 0,
        upstream: Upstream {
            key: 128,
            exchange: 1,
            flags: flag::CONNECTED | flag::SERVED | flag::SERVER_FIN | flag::CLOSED_BY | flag::PAIRED,
            asked_ns: 6,
            ended_ns: 9,
            sent: 18,
            server: SERVER,
            server_turns: 3,
            ..Upstream::default()
        },
        behind: Upstream::default(),
    };
    change(&mut record);
    Event::Behind(Box::new(record))
}

/// Process 31 died of its own fault, having begun so many turns.
fn death(turns: u32) -> Event {
    Event::Process(ProcessRecord {
        header: Header { kind: kinds::PROCESS, size: 0, time_ns: 12 },
        turns,
        behind: 1,
        task: Task { flags: pf::EXITING, exit_code: 11, ..SERVER },
        signal: LastSignal {
            time_ns: 8,
            target_start_ns: 1_000,
            signal: 11,
            flags: tracer_common::sig_flags::KERNEL,
            ..LastSignal::default()
        },
    })
}

fn told(outputs: Vec<Output>) -> Vec<Diagnosis> {
    let failure = |output| match output {
        Output::Failure(diagnosis) => Some(*diagnosis),
        _ => None,
    };
    outputs.into_iter().filter_map(failure).collect()
}

#[test]
fn a_failure_takes_what_came_for_its_connection_and_no_other() {
    let mut state = state();
    state.handle(&behind(|record| record.opened_ns = 4), &clock(10));
    assert_eq!(told(state.handle(&conn(), &clock(10))), []);
    let verdict = told(state.flush()).remove(0);
    assert_eq!((verdict.cause, verdict.upstream.upstream_pid), (Cause::EmptyReply, None));
    state.handle(&behind(|_| {}), &clock(20));
    state.handle(&conn(), &clock(20));
    let verdict = told(state.flush()).remove(0);
    assert_eq!((verdict.cause, verdict.upstream.upstream_pid), (Cause::EmptyReply, Some(31)));
    // Taken once.
    state.handle(&conn(), &clock(30));
    assert_eq!(told(state.flush()).remove(0).upstream.upstream_pid, None);
}

#[test]
fn a_server_that_hung_up_and_dies_meanwhile_is_the_root_unless_it_had_begun_something_else() {
    for (turns, cause) in [(3, Cause::Crash), (4, Cause::EmptyReply)] {
        let mut state = state();
        state.handle(&behind(|_| {}), &clock(10));
        assert_eq!(told(state.handle(&conn(), &clock(10))), []);
        let verdict = told(state.handle(&death(turns), &clock(12))).remove(0);
        assert_eq!(verdict.cause, cause, "{turns} turns");
        assert_eq!(state.next_deadline(), None);
    }
}

#[test]
fn records_whose_connection_never_comes_make_room() {
    let mut waiting = Waiting::default();
    for conn in 0..1_000 {
        let Event::Behind(record) = behind(|record| record.conn = conn) else { unreachable!() };
        waiting.keep(&record);
    }
    assert_eq!(waiting.0.len(), MAX_WAITING);
}
