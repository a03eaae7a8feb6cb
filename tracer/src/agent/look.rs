//! What the agent reads as a record comes, and not later: of processes, and from the kernel's log.

use tracer_common::{Conn, Upstream};

use crate::{decode::Event, probes::proc, state::State};

/// What only the moment shows: the scope of an OOM kill, and a process not looked at before.
pub(super) fn look_at(event: &Event, state: &mut State, kernel_log: &mut Option<proc::KernelLog>) {
    if matches!(event, Event::Attempt(_) | Event::AttemptConn(_))
        && let Some(log) = kernel_log
    {
        read_log(log, state);
    }
    match event {
        Event::Conn(record) => {
            let (conn, closer) = (&record.conn, &record.conn.closer);
            if closer.oom != 0
                && let Some(log) = kernel_log
            {
                read_log(log, state);
            }
            learn_new(state, (closer.tgid, closer.start_ns));
            learn_new(state, (conn.owner, conn.owner_start_ns));
        }
        Event::Attempt(record) => learn_new(state, (record.listener_pid, record.listener.start_ns)),
        Event::AttemptConn(record) => {
            let (attempt, conn) = (&record.attempt, &record.conn);
            learn_new(state, (attempt.listener_pid, attempt.listener.start_ns));
            learn_new(state, (conn.owner, conn.owner_start_ns));
        }
        Event::Origin(record) => {
            if let Some(log) = kernel_log {
                read_log(log, state);
            }
            learn_upstreams(state, &record.conn, &[&record.upstream, &record.behind]);
        }
        Event::Behind(record) => {
            if record.upstream.server.oom | record.behind.server.oom != 0
                && let Some(log) = kernel_log
            {
                read_log(log, state);
            }
            learn_servers(state, &[&record.upstream, &record.behind]);
        }
        Event::Answer(record) => {
            if (record.upstream.key | record.failed.key) != 0
                && let Some(log) = kernel_log
            {
                read_log(log, state);
            }
            learn_upstreams(state, &record.conn, &[&record.upstream, &record.behind, &record.failed]);
        }
        Event::Refused(_) | Event::Process(_) | Event::Oom(_) | Event::Listen(_) => {}
    }
}

/// Looks at the owner of a connection, and at the processes behind it.
fn learn_upstreams(state: &mut State, conn: &Conn, upstreams: &[&Upstream]) {
    learn_new(state, (conn.owner, conn.owner_start_ns));
    learn_servers(state, upstreams);
}

/// Looks at the processes behind.
fn learn_servers(state: &mut State, upstreams: &[&Upstream]) {
    for upstream in upstreams.iter().filter(|upstream| upstream.key != 0) {
        learn_new(state, (upstream.server.tgid, upstream.server.start_ns));
    }
}

/// Looks at a process that a record is about, unless it was looked at before.
pub(super) fn learn_new(state: &mut State, process: (u32, u64)) {
    if process.0 != 0 && !state.unknown(&[process]).is_empty() {
        let _found = learn(state, process);
    }
}

/// Looks at a process. `false`: it is gone, or another one has its number.
pub(super) fn learn(state: &mut State, (pid, start_ns): (u32, u64)) -> bool {
    let Some((began_ns, facts)) = proc::facts(pid) else { return false };
    // The start of one that was there before the tracer is not in records.
    if start_ns != 0 && began_ns.abs_diff(start_ns) > proc::TICK_NS {
        return false;
    }
    state.learn((pid, if start_ns == 0 { began_ns } else { start_ns }), facts);
    true
}

fn read_log(log: &mut proc::KernelLog, state: &mut State) {
    for entry in log.news() {
        match entry {
            proc::News::OomKill(pid, scope) => state.oom_scope(pid, scope),
            proc::News::TableFull(time_ns) => state.table_full(time_ns),
        }
    }
}
