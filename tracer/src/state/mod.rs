//! Bounded state between the events and the verdicts. Sans-I/O: takes values and the time, gives values; never blocks.

mod answers;
mod behind;
mod deaths;
mod ends;
mod gather;
mod inside;
mod origin;
mod processes;
mod streams;
mod told;
mod unwinding;

pub use answers::as_conn_record;
pub use processes::Facts;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use tracer_common::{ConnRecord, ProcessRecord, conn_flags, triggers};

use crate::{
    decode::Event,
    diagnose::{self, Around, Diagnosis, End, EndHow, Evidence, Limits, OomScope, Trigger, origin::OriginError},
    edge::EdgeRanges,
    tls::Said,
};
use behind::{Waiting, server};
use deaths::{Death, Deaths, Held, Server};
use processes::Processes;
use told::{Recent, StreamsTold};
use unwinding::{HeldOrigin, Unfinished};

/// How long a verdict waits to see whether the process that hung up is ending: one that unwinds (a handled signal, an
/// exception) closes its connections first and exits a few milliseconds later, or a quarter of a second on a busy host.
const HOLD: Duration = Duration::from_millis(500);
/// Verdicts held at once; beyond that the oldest is given at once.
const MAX_HELD: usize = 4096;
/// How long the kernel's word that its table of tracked connections is full explains drops: it says so every few
/// seconds.
const TABLE_FULL: Duration = Duration::from_secs(30);
/// OOM victims whose scope is remembered.
const MAX_SCOPES: usize = 256;
/// Sealed connections remembered of which a failure was told.
const MAX_TOLD: usize = 1024;

/// Ties the kernel's clock to the wall clock, at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub monotonic_ns: u64,
    pub wall: jiff::Timestamp,
    /// Length of a jiffy, nanoseconds.
    pub tick_ns: u64,
}

impl Clock {
    /// Wall-clock time of a moment in kernel time.
    #[must_use]
    pub fn at(&self, monotonic_ns: u64) -> jiff::Timestamp {
        let ago = i64::try_from(self.monotonic_ns.saturating_sub(monotonic_ns)).unwrap_or(i64::MAX);
        self.wall.checked_sub(jiff::SignedDuration::from_nanos(ago)).unwrap_or(self.wall)
    }
}

/// What comes out of the state.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    Failure(Box<Diagnosis>),
    /// The origin's own answer of 5xx.
    OriginError(Box<OriginError>),
    /// A process that held edge connections ended.
    ProcessEnd {
        process: String,
        how: EndHow,
    },
    /// The OOM killer took a process, whichever.
    OomKill {
        process: String,
    },
}

/// The state.
pub struct State {
    ranges: EdgeRanges,
    rst_reasons: BTreeMap<u32, String>,
    seeded_owners: BTreeMap<u64, (u32, String)>,
    processes: Processes,
    oom_scopes: VecDeque<(u32, OomScope)>,
    table_full_ns: Option<u64>,
    limits: Limits,
    around: Around,
    said: Option<Said>,
    /// Connections of which a sealed exchange was told: their key, and when they were opened.
    told: VecDeque<(u64, u64)>,
    streams_told: StreamsTold,
    answers_told: StreamsTold,
    /// Upstream connections whose failure was told with an answer: their key, and how often they had been used.
    failed_told: Recent<(u64, u32)>,
    held: VecDeque<Held>,
    held_origins: VecDeque<HeldOrigin>,
    behind: Waiting,
    deaths: Deaths,
    sees_unix: bool,
}

impl State {
    /// `rst_reasons`: the running kernel's names; `seeded_owners`: pid and name by socket inode.
    #[must_use]
    pub fn new(
        ranges: EdgeRanges,
        rst_reasons: BTreeMap<u32, String>,
        seeded_owners: BTreeMap<u64, (u32, String)>,
    ) -> Self {
        Self {
            ranges,
            rst_reasons,
            seeded_owners,
            processes: Processes::default(),
            oom_scopes: VecDeque::new(),
            table_full_ns: None,
            limits: Limits::default(),
            around: Around::default(),
            said: None,
            told: VecDeque::new(),
            streams_told: StreamsTold::default(),
            answers_told: StreamsTold::default(),
            failed_told: Recent::default(),
            held: VecDeque::new(),
            held_origins: VecDeque::new(),
            behind: Waiting::default(),
            deaths: Deaths::default(),
            sees_unix: false,
        }
    }

    /// Puts other ranges in force for naming an edge's range.
    pub fn set_ranges(&mut self, ranges: EdgeRanges) {
        self.ranges = ranges;
    }

    /// Puts other timeouts and limits of the edge in force.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Whether the kernel shows what is sent on unix sockets.
    pub fn set_sees_unix(&mut self, sees_unix: bool) {
        self.sees_unix = sees_unix;
    }

    /// The kernel said that its table of tracked connections is full.
    pub fn table_full(&mut self, now_ns: u64) {
        self.table_full_ns = Some(now_ns);
    }

    /// Which of these owners (tgid, start) nothing is known of yet.
    #[must_use]
    pub fn unknown(&self, owners: &[(u32, u64)]) -> Vec<(u32, u64)> {
        owners.iter().copied().filter(|owner| !self.processes.knows(*owner)).collect()
    }

    /// Remembers what /proc says of a process.
    pub fn learn(&mut self, owner: (u32, u64), facts: Facts) {
        self.processes.learn(owner, facts);
    }

    /// The same of a process that may come to hold connections of the edge.
    pub fn expect(&mut self, process: (u32, u64), facts: Facts) {
        self.processes.expect(process, facts);
    }

    /// Remembers which memory had run out when this process was chosen.
    pub fn oom_scope(&mut self, pid: u32, scope: OomScope) {
        if self.oom_scopes.len() == MAX_SCOPES {
            self.oom_scopes.pop_front();
        }
        self.oom_scopes.push_back((pid, scope));
    }

    /// What the host looked like when the next event happened.
    pub fn set_around(&mut self, around: Around) {
        self.around = around;
    }

    /// What was said inside TLS in the exchange that the next event is about, where it could be decrypted.
    pub fn set_said(&mut self, said: Option<Said>) {
        self.said = said;
    }

    /// Takes one event.
    pub fn handle(&mut self, event: &Event, clock: &Clock) -> Vec<Output> {
        match event {
            Event::Conn(record) => {
                let behind = self.behind.take(&record.conn);
                if self.was_told(record) {
                    return Vec::new();
                }
                let mut evidence = self.evidence(record, clock);
                let reader = (record.conn.owner, record.conn.owner_start_ns);
                self.deaths.explain(&mut evidence, reader, record.header.time_ns);
                evidence.behind = behind.as_ref().and_then(|behind| self.what_is_behind(behind, &record.conn));
                let server = evidence.behind.as_ref().zip(behind.as_ref()).and_then(|(seen, of)| server(seen, of));
                self.conclude(evidence, record, server, clock)
            }
            Event::Behind(record) => {
                self.behind.keep(record);
                Vec::new()
            }
            Event::Refused(record) => self.verdict(&self.refused(record, clock)),
            Event::Attempt(record) => self.verdict(&self.attempt(record, clock)),
            Event::AttemptConn(record) => self.verdict(&self.attempt_of(record, clock)),
            Event::Process(record) => self.process_end(record),
            Event::Origin(record) => self.origin_error(record, clock),
            // The one concerns the probes in its libraries alone, the other comes by `handle_answer`.
            Event::Listen(_) | Event::Answer(_) => Vec::new(),
            Event::Oom(record) => {
                let name = ends::name(&record.comm);
                let name = if name.is_empty() { self.processes.name(record.tgid) } else { Some(name) };
                vec![Output::OomKill { process: name.unwrap_or_else(|| "unknown".to_owned()) }]
            }
        }
    }

    /// Whether this is a request that met the close of a connection whose sealed exchange was told as a failure: its
    /// bytes are the rest of that. (Where the bytes can be read, the kernel knows.)
    fn was_told(&self, record: &ConnRecord) -> bool {
        record.trigger == triggers::LATE && self.told.contains(&(record.conn.key, record.conn.opened_ns))
    }

    /// When [`State::expire`] has something to do, kernel time.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        let first = self.held.front().map(|held| held.until_ns);
        let first_origin = self.held_origins.front().map(|held| held.until_ns);
        first.into_iter().chain(first_origin).min()
    }

    /// Gives the verdicts that have waited long enough.
    pub fn expire(&mut self, now_ns: u64) -> Vec<Output> {
        let mut outputs = Vec::new();
        while let Some(held) = self.held.pop_front_if(|held| held.until_ns <= now_ns) {
            outputs.extend(self.verdict(&held.evidence));
        }
        while let Some(held) = self.held_origins.pop_front_if(|held| held.until_ns <= now_ns) {
            if let (Some(Unfinished { connection, number }), Some(_)) = (held.unfinished, held.evidence.stream) {
                self.answers_told.note(connection, number);
            }
            outputs.push(self.tell_origin(&held.evidence));
        }
        outputs
    }

    /// Gives every verdict that still waits.
    pub fn flush(&mut self) -> Vec<Output> {
        self.expire(u64::MAX)
    }

    fn conclude(
        &mut self,
        evidence: Evidence,
        record: &ConnRecord,
        server: Option<Server>,
        clock: &Clock,
    ) -> Vec<Output> {
        let is_failure = diagnose::diagnose(&evidence).is_some();
        if is_failure {
            // Then it was no answer.
            let stream = evidence.stream.as_ref().map(|stream| stream.id);
            let failed = Unfinished::new(&record.conn, stream);
            self.held_origins.retain(|held| held.unfinished.as_ref() != Some(&failed));
        }
        if is_failure && record.conn.flags & conn_flags::ASKED != 0 {
            if self.told.len() == MAX_TOLD {
                self.told.pop_front();
            }
            self.told.push_back((record.conn.key, record.conn.opened_ns));
        }
        if !may_be_ending(&evidence) || !is_failure {
            return self.verdict(&evidence);
        }
        let hold = u64::try_from(HOLD.as_nanos()).unwrap_or(u64::MAX);
        let (conn, closer) = (&record.conn, &record.conn.closer);
        let origin_left = matches!(evidence.trigger, Trigger::Fin | Trigger::Rst) && !evidence.close_notify;
        self.held.push_back(Held {
            evidence,
            process: if origin_left { (closer.tgid, closer.start_ns) } else { (conn.owner, conn.owner_start_ns) },
            turns: conn.close.closer_turns,
            at_ns: conn.close.time_ns,
            until_ns: clock.monotonic_ns.saturating_add(hold),
            server,
        });
        if self.held.len() <= MAX_HELD {
            return Vec::new();
        }
        self.held.pop_front().map_or_else(Vec::new, |oldest| self.verdict(&oldest.evidence))
    }

    fn verdict(&self, evidence: &Evidence) -> Vec<Output> {
        let Some(mut diagnosis) = diagnose::diagnose(evidence) else { return Vec::new() };
        diagnosis.edge_range = self.ranges.range_of(diagnosis.peer_addr).map(|range| range.to_string());
        vec![Output::Failure(Box::new(diagnosis))]
    }

    fn process_end(&mut self, record: &ProcessRecord) -> Vec<Output> {
        let process = (record.task.tgid, record.task.start_ns);
        let death = Death::new(record, self.scope(record.task.tgid));
        let how = diagnose::classify_end(death.end, death.oom, death.signal.as_ref());
        let end = Output::ProcessEnd { process: ends::name(&record.task.comm), how };
        let mut outputs: Vec<_> = (record.behind == 0).then_some(end).into_iter().collect();
        let mut waiting = VecDeque::with_capacity(self.held.len());
        for mut held in std::mem::take(&mut self.held) {
            let server = held.server.filter(|server| server.process == process);
            if held.process == process {
                held.join(&death);
                outputs.extend(self.verdict(&held.evidence));
            } else if let Some(server) = server {
                if let Some(behind) = &mut held.evidence.behind {
                    unwinding::ended(&mut behind.upstream, server.turns, &death);
                }
                outputs.extend(self.verdict(&held.evidence));
            } else {
                waiting.push_back(held);
            }
        }
        self.held = waiting;
        for mut held in std::mem::take(&mut self.held_origins) {
            if held.server == Some(process) {
                held.join(&death);
                outputs.push(self.tell_origin(&held.evidence));
            } else {
                self.held_origins.push_back(held);
            }
        }
        self.deaths.remember(process, death);
        outputs
    }
}

/// Whether the process that closed the connection, or held it when the edge left, may be about to end.
fn may_be_ending(evidence: &Evidence) -> bool {
    let ends = matches!(
        evidence.trigger,
        Trigger::Fin | Trigger::Rst | Trigger::EdgeFin | Trigger::EdgeRst | Trigger::Overdue
    );
    evidence.end == End::Running && ends && !evidence.destroyed
}

#[cfg(test)]
mod tests;
