//! What the measurements say, as text and as JSON, beside what was aimed at.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::load::{BODY, CONNECTIONS, CORES};
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
        }
    }

    /// What one request stands for.
    fn unit(self) -> &'static str {
        match self {
            Self::KeepAlive => "exchange",
            Self::Short => "connection",
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
        }
    }

    /// Most nanoseconds of BPF per request, net.
    fn limit(self, workload: Workload) -> Option<f64> {
        match (self, workload) {
            (Self::Connections, Workload::KeepAlive) => Some(100.0),
            (Self::Connections, Workload::Short) => Some(1_500.0),
            (Self::Payload, Workload::KeepAlive) => Some(400.0),
            (Self::Payload, Workload::Short) => Some(2_500.0),
            _ => None,
        }
    }
}

/// The figures of one workload at one level.
struct Figures {
    rate_off: Spread,
    rate_on: Spread,
    rate_ratio: Spread,
    cpu_off: Spread,
    cpu_on: Spread,
    cpu_ratio: Spread,
    gross: Spread,
    net: Spread,
    runs: Spread,
    /// Exchanges and connections counted per request.
    exchanges: Spread,
    connections: Spread,
    load: Spread,
    rss: Spread,
    rss_peak: Spread,
    failures: f64,
    lost: f64,
}

impl Figures {
    fn of(outcome: &Outcome) -> Self {
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
            load: agents(|agent| agent.load),
            rss: agents(|agent| agent.rss),
            rss_peak: agents(|agent| agent.rss_peak),
            failures: outcome.agents.iter().map(|agent| agent.failures).sum(),
            lost: outcome.agents.iter().map(|agent| agent.lost).sum(),
        }
    }
}

/// Over all outcomes: time to ready and CPU until then.
fn common(outcomes: &[Outcome]) -> [Spread; 2] {
    let agents = || outcomes.iter().flat_map(|outcome| &outcome.agents);
    [Spread::of(agents().map(|agent| agent.ready)), Spread::of(agents().map(|agent| agent.start_cpu))]
}

fn mark(met: bool) -> char {
    if met { '✓' } else { '✗' }
}

/// One program's medians.
struct Share {
    runs_per_request: f64,
    /// Per run, as the kernel shows them.
    gross: f64,
    /// Per run of a program that returns at once in its place.
    empty: f64,
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

    fn all(outcome: &Outcome) -> impl Iterator<Item = (&'static str, Self)> {
        PROGRAMS.iter().enumerate().filter_map(|(index, name)| Some((*name, Self::of(outcome, index)?)))
    }
}

/// Tables for people.
pub(super) fn text(args: &Args, outcomes: &[Outcome]) -> String {
    let [ready, start_cpu] = common(outcomes);
    let mut out = format!(
        "nginx (1 worker, core {}, `return 200`, {BODY} bytes) and wrk (-t1 -c{CONNECTIONS}, core {}) on loopback; \
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
    for workload in Workload::ALL {
        let _ = writeln!(out, "\n== {}", workload.name());
        for outcome in outcomes.iter().filter(|outcome| outcome.workload == workload) {
            section(&mut out, outcome, origins_end(outcome, outcomes));
        }
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
fn origins_end(outcome: &Outcome, outcomes: &[Outcome]) -> Option<f64> {
    let stranger = match outcome.level {
        Level::Connections => Level::StrangerConnections,
        Level::Payload => Level::StrangerPayload,
        Level::StrangerConnections | Level::StrangerPayload => return None,
    };
    let same = |other: &&Outcome| other.workload == outcome.workload && other.level == stranger;
    let client = Figures::of(outcomes.iter().find(same)?).net.median / 2.0;
    Some(Figures::of(outcome).net.median - client)
}

fn section(out: &mut String, outcome: &Outcome, origins_end: Option<f64>) {
    let figures = Figures::of(outcome);
    let unit = outcome.workload.unit();
    let goal = outcome.level.limit(outcome.workload).zip(origins_end).map_or_else(String::new, |(limit, own)| {
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
    let healthy = outcome.records == 0 && figures.failures == 0.0 && figures.lost == 0.0;
    let _ = writeln!(
        out,
        "  tracer saw     {:.3} exchanges and {:.3} connections per request; records {}, failures {}, lost {} {}\n  \
         agent          CPU {:.2} % of a core, RSS {:.1} MB (most {:.1}), limit {:.0} {}",
        figures.exchanges.median,
        figures.connections.median,
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

/// Everything as one object; units are in the names.
pub(super) fn json(args: &Args, outcomes: &[Outcome]) -> Value {
    let [ready, start_cpu] = common(outcomes);
    json!({
        "seconds": args.seconds,
        "pairs": if args.no_pairs { 0 } else { args.rounds },
        "ready_seconds": ready.json(),
        "start_cpu_seconds": start_cpu.json(),
        "results": outcomes.iter().map(|outcome| object(outcome, origins_end(outcome, outcomes))).collect::<Vec<_>>(),
    })
}

fn object(outcome: &Outcome, origins_end: Option<f64>) -> Value {
    let figures = Figures::of(outcome);
    let programs = Share::all(outcome).map(|(name, Share { runs_per_request, gross, empty })| {
        let share =
            json!({ "runs_per_request": runs_per_request, "gross_ns_per_run": gross, "empty_ns_per_run": empty });
        (name.to_owned(), share)
    });
    json!({
        "workload": outcome.workload.name(),
        "level": outcome.level.name(),
        "requests_per_second_off": figures.rate_off.json(),
        "requests_per_second_on": figures.rate_on.json(),
        "requests_per_second_ratio": figures.rate_ratio.json(),
        "server_cpu_us_per_request_off": figures.cpu_off.json(),
        "server_cpu_us_per_request_on": figures.cpu_on.json(),
        "server_cpu_ratio": figures.cpu_ratio.json(),
        "bpf_net_ns_per_request": figures.net.json(),
        "bpf_net_ns_origins_end": origins_end,
        "bpf_net_ns_limit": outcome.level.limit(outcome.workload),
        "bpf_gross_ns_per_request": figures.gross.json(),
        "bpf_runs_per_request": figures.runs.json(),
        "bpf_programs": programs.collect::<serde_json::Map<_, _>>(),
        "exchanges_per_request": figures.exchanges.json(),
        "connections_per_request": figures.connections.json(),
        "records": outcome.records,
        "failures": figures.failures,
        "lost": figures.lost,
        "agent_cpu_seconds_per_second": figures.load.json(),
        "agent_rss_bytes": figures.rss.json(),
        "agent_rss_peak_bytes": figures.rss_peak.json(),
    })
}
