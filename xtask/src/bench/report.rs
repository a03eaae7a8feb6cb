//! What the measurements say, as text, beside what was aimed at.

use std::fmt::Write as _;

use super::load::{BODY, CONNECTIONS, CORES, HANDSHAKES};
use super::statistics::{PROGRAMS, ProgramTimes};
use super::values::{Spread, thousands};
use super::{Args, Level, Outcome, Workload};

/// Resident memory of the agent, in bytes.
const RSS_LIMIT: f64 = 30e6;
/// Time to `/-/ready`, in seconds.
const READY_LIMIT: f64 = 0.5;

impl Workload {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::KeepAlive => "keep-alive",
            Self::Short => "one connection per request",
            Self::TlsKeepAlive => "TLS, keep-alive",
            Self::TlsShort => "TLS, one connection per request",
        }
    }

    /// What one request stands for.
    fn unit(self) -> &'static str {
        match self {
            Self::KeepAlive | Self::TlsKeepAlive => "exchange",
            Self::Short | Self::TlsShort => "connection",
        }
    }
}

impl Level {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Connections => "edge, --no-payload",
            Self::Payload => "edge",
            Self::StrangerConnections => "stranger, --no-payload",
            Self::StrangerPayload => "stranger",
            Self::Sight => "edge, --tls-sight",
        }
    }

    /// Most nanoseconds of BPF per request, net.
    pub(super) fn limit(self, workload: Workload) -> Option<f64> {
        match (self, workload) {
            (Self::Connections, Workload::KeepAlive) => Some(100.0),
            (Self::Connections, Workload::Short) => Some(1_500.0),
            (Self::Payload, Workload::KeepAlive) | (Self::Sight, Workload::TlsKeepAlive) => Some(400.0),
            (Self::Payload, Workload::Short) => Some(2_500.0),
            _ => None,
        }
    }
}

/// The figures of one workload at one level.
pub(super) struct Figures {
    pub(super) rate_off: Spread,
    pub(super) rate_on: Spread,
    pub(super) rate_ratio: Spread,
    pub(super) cpu_off: Spread,
    pub(super) cpu_on: Spread,
    pub(super) cpu_ratio: Spread,
    pub(super) gross: Spread,
    pub(super) net: Spread,
    pub(super) runs: Spread,
    /// Exchanges and connections counted per request.
    pub(super) exchanges: Spread,
    pub(super) connections: Spread,
    pub(super) hits: Spread,
    pub(super) load: Spread,
    pub(super) rss: Spread,
    pub(super) rss_peak: Spread,
    pub(super) failures: f64,
    pub(super) lost: f64,
    pub(super) paused: bool,
}

impl Figures {
    pub(super) fn of(outcome: &Outcome) -> Self {
        let pairs = |of: fn(&super::Pair) -> f64| Spread::of(outcome.pairs.iter().map(of));
        let programs = |of: fn(&ProgramTimes) -> f64| Spread::of(outcome.programs.iter().map(of));
        let agents = |of: fn(&super::Usage) -> f64| Spread::of(outcome.agents.iter().map(of));
        Self {
            rate_off: pairs(|pair| pair.off.rate()),
            rate_on: pairs(|pair| pair.on.rate()),
            rate_ratio: pairs(|pair| pair.on.rate() / pair.off.rate()),
            cpu_off: pairs(|pair| pair.off.server_us()),
            cpu_on: pairs(|pair| pair.on.server_us()),
            cpu_ratio: pairs(|pair| pair.on.server_us() / pair.off.server_us()),
            gross: programs(ProgramTimes::gross),
            net: programs(ProgramTimes::net),
            runs: programs(ProgramTimes::runs),
            exchanges: programs(|times| times.exchanges),
            connections: programs(|times| times.connections),
            hits: programs(|times| times.hits),
            load: agents(|agent| agent.load),
            rss: agents(|agent| agent.rss),
            rss_peak: agents(|agent| agent.rss_peak),
            failures: outcome.agents.iter().map(|agent| agent.failures).sum(),
            lost: outcome.agents.iter().map(|agent| agent.lost).sum(),
            paused: outcome.agents.iter().any(|agent| agent.paused),
        }
    }
}

/// Over all outcomes: time to ready and CPU until then.
pub(super) fn common(outcomes: &[Outcome]) -> [Spread; 2] {
    let agents = || outcomes.iter().flat_map(|outcome| &outcome.agents);
    [Spread::of(agents().map(|agent| agent.ready)), Spread::of(agents().map(|agent| agent.start_cpu))]
}

fn mark(met: bool) -> char {
    if met { '✓' } else { '✗' }
}

/// One program's medians.
pub(super) struct Share {
    pub(super) runs_per_request: f64,
    /// Per run, as the kernel shows them.
    pub(super) gross: f64,
    /// Per run of a program that returns at once in its place.
    pub(super) empty: f64,
}

impl Share {
    /// Of the program with this index in [`PROGRAMS`]; `None` where it did not run.
    fn of(outcome: &Outcome, index: usize) -> Option<Self> {
        let median = |of: &dyn Fn(&ProgramTimes) -> f64| Spread::of(outcome.programs.iter().map(of)).median;
        let runs_per_request = median(&|times| times.programs[index].runs);
        (runs_per_request > 0.0).then(|| Self {
            runs_per_request,
            gross: median(&|times| times.programs[index].nanos) / runs_per_request,
            empty: median(&|times| times.empty[index]),
        })
    }

    pub(super) fn all(outcome: &Outcome) -> impl Iterator<Item = (&'static str, Self)> {
        PROGRAMS.iter().enumerate().filter_map(|(index, name)| Some((*name, Self::of(outcome, index)?)))
    }
}

/// Tables for people.
pub(super) fn text(args: &Args, outcomes: &[Outcome]) -> String {
    let [ready, start_cpu] = common(outcomes);
    let mut out = format!(
        "nginx (1 worker, core {}, `return 200`, {BODY} bytes) and wrk (-t1 -c{CONNECTIONS}, for handshakes \
         -c{HANDSHAKES}, core {}) on loopback; \
         off and on in turn, {} pairs of {} s each; under BPF statistics, {} runs.\n\
         Median (least … most). Net is without what programs that return at once show in the same places, under the same load.\n\
         CPU and BPF time hold on a shared machine; requests/s only where their spread is small.\n\
         Both ends of a connection are on this host: the client's side runs the programs too, and costs a look-up each time.\n",
        CORES[0],
        CORES[1],
        outcomes.iter().map(|outcome| outcome.pairs.len()).max().unwrap_or_default(),
        args.seconds,
        outcomes.iter().map(|outcome| outcome.programs.len()).max().unwrap_or_default()
    );
    let mut workload = None;
    for outcome in outcomes {
        if workload.replace(outcome.workload) != Some(outcome.workload) {
            let _ = writeln!(out, "\n== {}", outcome.workload.name());
        }
        section(&mut out, outcome, outcomes);
    }
    let _ = writeln!(
        out,
        "\n== agent\n  ready in {:.0} ms ({:.0} … {:.0}), limit {:.0} {}; CPU until then {:.0} ms",
        ready.median * 1e3,
        ready.least * 1e3,
        ready.most * 1e3,
        READY_LIMIT * 1e3,
        mark(ready.median <= READY_LIMIT),
        start_cpu.median * 1e3,
    );
    out
}

/// Median BPF time of the origin's end alone, in nanoseconds per request: the client's end is not there on a real
/// origin. To the programs it is a stranger's, and of a stranger's connection both ends cost alike: half of that is
/// taken off.
pub(super) fn origins_end(outcome: &Outcome, outcomes: &[Outcome]) -> Option<f64> {
    let stranger = match outcome.level {
        Level::Connections => Level::StrangerConnections,
        Level::Payload | Level::Sight => Level::StrangerPayload,
        Level::StrangerConnections | Level::StrangerPayload => return None,
    };
    let same = |other: &&Outcome| other.workload == outcome.workload && other.level == stranger;
    let client = Figures::of(outcomes.iter().find(same)?).net.median / 2.0;
    Some(Figures::of(outcome).net.median - client)
}

/// What sight inside TLS adds to nginx' CPU time for a request, as ratios: on against on without it, and off against
/// off, which says how much of that is chance. Pairs of one round follow each other.
pub(super) fn added(outcome: &Outcome, outcomes: &[Outcome]) -> Option<[Spread; 2]> {
    let same = |other: &&Outcome| other.workload == outcome.workload && other.level == Level::Payload;
    let without = outcomes.iter().find(same).filter(|_| outcome.level == Level::Sight)?;
    let ratios = |of: fn(&super::Pair) -> f64| {
        Spread::of(outcome.pairs.iter().zip(&without.pairs).map(|(with, without)| of(with) / of(without)))
    };
    Some([ratios(|pair| pair.on.server_us()), ratios(|pair| pair.off.server_us())])
}

fn section(out: &mut String, outcome: &Outcome, outcomes: &[Outcome]) {
    let figures = Figures::of(outcome);
    let unit = outcome.workload.unit();
    let goal = outcome
        .level
        .limit(outcome.workload)
        .zip(origins_end(outcome, outcomes))
        .map_or_else(String::new, |(limit, own)| {
            format!("; the origin's end {own:.0}, limit {} {}", thousands(limit), mark(own <= limit))
        });
    let _ = writeln!(out, "\n{}", outcome.level.name());
    if !outcome.pairs.is_empty() {
        let _ = writeln!(
            out,
            "  requests/s     {} off, {} on: {}\n  nginx CPU      {:.2} µs/request off, {:.2} on: {}",
            thousands(figures.rate_off.median),
            thousands(figures.rate_on.median),
            figures.rate_ratio.as_change(),
            figures.cpu_off.median,
            figures.cpu_on.median,
            figures.cpu_ratio.as_change(),
        );
    }
    if let Some([on, off]) = added(outcome, outcomes).filter(|_| !outcome.pairs.is_empty()) {
        let _ = writeln!(
            out,
            "  --tls-sight    nginx CPU against without: {}; off against off: {}",
            on.as_change(),
            off.as_change()
        );
    }
    let _ = writeln!(
        out,
        "  BPF            {:.0} ns/{unit} net ({:.0} … {:.0}){goal}; {:.0} gross in {:.2} runs",
        figures.net.median, figures.net.least, figures.net.most, figures.gross.median, figures.runs.median,
    );
    for (name, share) in Share::all(outcome).filter(|(_, share)| share.runs_per_request >= 0.01) {
        let Share { runs_per_request, gross, empty } = share;
        let net = gross - empty;
        let _ = writeln!(
            out,
            "    {name:<22} {runs_per_request:>6.2} runs × {gross:>4.0} ns gross, {empty:>3.0} of an empty one, {net:>4.0} net",
        );
    }
    // Inside TLS, an origin that closes after a response is a question to the agent, and so is an edge that leaves
    // right after one, as wrk does at its end: up to 100 times a second and CPU.
    let asks = outcome.level == Level::Sight;
    let healthy = (asks || outcome.records == 0) && figures.failures == 0.0 && figures.lost == 0.0 && !figures.paused;
    let _ = writeln!(
        out,
        "  tracer saw     {:.3} exchanges, {:.3} connections and {:.3} hits per request; records {}, failures {}, \
         lost {} {}\n  \
         agent          CPU {:.2} % of a core, RSS {:.1} MB (most {:.1}), limit {:.0} {}",
        figures.exchanges.median,
        figures.connections.median,
        figures.hits.median,
        outcome.records,
        figures.failures,
        figures.lost,
        mark(healthy),
        figures.load.median * 100.0,
        figures.rss.median / 1e6,
        figures.rss_peak.most / 1e6,
        RSS_LIMIT / 1e6,
        mark(figures.rss.median <= RSS_LIMIT)
    );
}
