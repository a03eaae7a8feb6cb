//! Records of answers of 5xx in, verdicts out: what waits for the end of a process, and what does not.

use tracer_common::{Header, LastSignal, ProcessRecord, Task, kinds, limits, pf, sig_flags};

use super::*;
use crate::{
    decode::Event,
    diagnose::origin::{OriginCause, OriginError},
    edge::EdgeRanges,
    state::Output,
};

const SERVER: Task =
    Task { tgid: 31, flags: 0, exit_code: 0, oom: 0, start_ns: 1_000, comm: *b"php-fpm8.2\0\0\0\0\0\0" };

fn clock(monotonic_ns: u64) -> Clock {
    Clock { monotonic_ns, wall: jiff::Timestamp::UNIX_EPOCH, tick_ns: 4_000_000 }
}

fn state() -> State {
    let mut state = State::new(EdgeRanges::builtin(), [].into(), [].into());
    state.set_sees_unix(true);
    state
}

/// nginx answered 502 after the process on a unix socket had hung up.
fn record(change: impl FnOnce(&mut OriginRecord)) -> Event {
    let mut record = OriginRecord {
        header: Header { kind: kinds::ORIGIN, size: 0, time_ns: 5_000_000 },
        status: 502,
        tries: 1,
        conn: tracer_common::Conn { owner: 7, owner_start_ns: 1, exchanges: 1, read_ns: 1, ..Default::default() },
        request: [0; limits::SMALL_REQUEST_LEN],
        upstream: Record {
            key: 64,
            flags: flag::UNIX | flag::CONNECTED | flag::SERVED | flag::SERVER_FIN,
            asked_ns: 2_000_000,
            ended_ns: 4_000_000,
            sent: 300,
            server: SERVER,
            server_turns: 3,
            ..Record::default()
        },
        behind: Record::default(),
    };
    record.upstream.path.as_flattened_mut()[..10].copy_from_slice(b"/run/a.sok");
    change(&mut record);
    Event::Origin(Box::new(record))
}

/// The process behind died of SIGKILL, at this time.
fn death(time_ns: u64, sender: u32, turns: u32) -> Event {
    Event::Process(ProcessRecord {
        header: Header { kind: kinds::PROCESS, size: 0, time_ns },
        turns,
        behind: 1,
        task: Task { flags: pf::EXITING, exit_code: 9, ..SERVER },
        signal: LastSignal { time_ns: time_ns - 1, target_start_ns: 1_000, signal: 9, sender, ..Default::default() },
    })
}

fn causes(outputs: Vec<Output>) -> Vec<OriginCause> {
    outputs.into_iter().map(|output| told(output).cause).collect()
}

fn told(output: Output) -> OriginError {
    match output {
        Output::OriginError(error) => *error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_process_that_died_before_its_socket_closed_is_the_cause_at_once() {
    let mut state = state();
    assert_eq!(causes(state.handle(&death(3_000_000, 5, 3), &clock(3_000_000))), []);
    let error = told(state.handle(&record(|_| {}), &clock(5_000_000)).remove(0));
    assert_eq!(error.cause, OriginCause::ProcessKilled);
    assert_eq!(error.upstream.upstream_addr.as_deref(), Some("unix:/run/a.sok"));
    assert_eq!(
        (error.upstream.upstream_process.as_deref(), error.upstream.upstream_pid),
        (Some("php-fpm8.2"), Some(31))
    );
}

#[test]
fn a_process_that_died_before_the_request_or_after_the_close_is_not() {
    for time_ns in [1_500_000, 4_500_000] {
        let mut state = state();
        state.handle(&death(time_ns, 5, 3), &clock(time_ns));
        assert_eq!(causes(state.handle(&record(|_| {}), &clock(5_000_000))), []);
        assert_eq!(causes(state.flush()), [OriginCause::UpstreamClosed]);
    }
}

#[test]
fn a_hangup_waits_for_the_end_of_a_process_that_unwinds() {
    let mut state = state();
    assert_eq!(causes(state.handle(&record(|_| {}), &clock(5_000_000))), []);
    assert!(state.next_deadline().is_some());
    let Event::Process(mut end) = death(6_000_000, 0, 3) else { unreachable!() };
    end.task.exit_code = 1 << 8;
    (end.signal.signal, end.signal.flags, end.signal.sender) = (6, sig_flags::MASTER, 5);
    assert_eq!(causes(state.handle(&Event::Process(end), &clock(6_000_000))), [OriginCause::SupervisorKill]);
    assert_eq!(state.next_deadline(), None);
}

#[test]
fn a_later_death_that_has_to_do_with_another_request_is_not_blamed() {
    // It had read another request since; or it was struck after it had hung up by itself.
    for (turns, sender) in [(4, 0), (3, 5)] {
        let mut state = state();
        state.handle(&record(|_| {}), &clock(5_000_000));
        assert_eq!(
            causes(state.handle(&death(6_000_000, sender, turns), &clock(6_000_000))),
            [OriginCause::UpstreamClosed]
        );
    }
}

#[test]
fn a_dying_closer_on_tcp_is_known_without_waiting() {
    let by_exit = record(|record| {
        record.upstream.flags = flag::CONNECTED | flag::SERVER_FIN | flag::CLOSED_BY;
        record.upstream.server = Task { flags: pf::EXITING, exit_code: 3 << 8, ..SERVER };
    });
    assert_eq!(causes(state().handle(&by_exit, &clock(5_000_000))), [OriginCause::ProcessExit]);
}

#[test]
fn attempts_are_told_by_how_they_ended() {
    let attempt = |err| {
        record(|record| {
            (record.upstream.flags, record.upstream.err) = (flag::NOT_CONNECTED, err);
            record.upstream.tuple.peer_addr = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 1, 1];
        })
    };
    for (err, cause) in [
        (ECONNREFUSED, OriginCause::UpstreamRefused),
        (113, OriginCause::UpstreamUnreachable),
        (0, OriginCause::UpstreamUnreachable),
    ] {
        assert_eq!(causes(state().handle(&attempt(err), &clock(5_000_000))), [cause], "{err}");
    }
}
