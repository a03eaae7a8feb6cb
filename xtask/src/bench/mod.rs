//! `xtask bench`: what watching costs. nginx and wrk on loopback, the tracer off and on in turn.
//!
//! The same again over TLS, with sight inside it and without.
//!
//! Three kinds of run, none of which disturbs another: pairs of off and on for throughput and nginx' CPU time; runs
//! under the kernel's BPF statistics (which cost time themselves) for the programs' own time, each beside one of
//! programs that return at once; and recorded runs, which count the records that healthy load makes.

mod agent;
mod json;
mod load;
mod records;
mod report;
mod statistics;
mod values;
mod yardstick;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::setup::{self, For};
use crate::{build, sh};
use agent::{Agent, Usage};
use lab::Lab;
use load::{Bed, Segment};
use statistics::{Enabled, ProgramTimes};
use yardstick::Yardstick;

/// Length of a recorded run, in seconds: its count has to be 0, however long.
const RECORDED: u32 = 1;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Length of each measurement, in seconds
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// Pairs of off and on for each workload and level, and runs under BPF statistics
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Leave the pairs out: the programs' own time and the records only
    #[arg(long)]
    no_pairs: bool,
    /// The loads over TLS alone
    #[arg(long)]
    tls: bool,
    /// Write one JSON object in place of the tables
    #[arg(long)]
    json: bool,
    /// Use this binary instead of building one
    #[arg(long, value_name = "PATH")]
    tracer: Option<PathBuf>,
}

/// How the load uses its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Workload {
    /// Every connection carries requests for as long as the load lasts.
    KeepAlive,
    /// Every request opens a connection, which nginx then closes.
    Short,
    /// The same two over TLS 1.3.
    TlsKeepAlive,
    TlsShort,
}

/// How much the tracer sees of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    /// Loopback is an edge; connections only (`--no-payload`).
    Connections,
    /// Loopback is an edge; connections and bytes (the default).
    Payload,
    /// Loopback is outside the ranges; `--no-payload`.
    StrangerConnections,
    /// Loopback is outside the ranges; the default.
    StrangerPayload,
    /// Loopback is an edge; connections, bytes, and what they say inside TLS (`--tls-sight`).
    Sight,
}

impl Workload {
    const ALL: [Self; 4] = [Self::KeepAlive, Self::Short, Self::TlsKeepAlive, Self::TlsShort];

    fn is_tls(self) -> bool {
        matches!(self, Self::TlsKeepAlive | Self::TlsShort)
    }

    /// Whether each request has a connection of its own.
    fn is_short(self) -> bool {
        matches!(self, Self::Short | Self::TlsShort)
    }

    /// The levels at which it is measured.
    fn levels(self) -> &'static [Level] {
        if self.is_tls() { &Level::OVER_TLS } else { &Level::PLAIN }
    }
}

impl Level {
    const PLAIN: [Self; 4] = [Self::Connections, Self::Payload, Self::StrangerConnections, Self::StrangerPayload];
    /// What is to be compared is measured one after the other.
    const OVER_TLS: [Self; 3] = [Self::Payload, Self::Sight, Self::StrangerPayload];

    fn is_edge(self) -> bool {
        matches!(self, Self::Connections | Self::Payload | Self::Sight)
    }

    fn reads_payload(self) -> bool {
        matches!(self, Self::Payload | Self::StrangerPayload | Self::Sight)
    }
}

/// A segment without the tracer and the one after it, with it.
struct Pair {
    off: Segment,
    on: Segment,
}

/// Everything measured of one workload at one level.
struct Outcome {
    workload: Workload,
    level: Level,
    pairs: Vec<Pair>,
    agents: Vec<Usage>,
    programs: Vec<ProgramTimes>,
    records: u64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if !sh::is_root() {
        bail!("the benchmark loads BPF programs and makes a network namespace: run it as root");
    }
    setup::ensure(For::Bench)?;
    let tracer = args.tracer.clone().map_or_else(build::release, Ok)?;
    let yardstick = Yardstick::build()?;
    let lab = Lab::new()?;
    let bed = Bed::start(&lab)?;
    // A first run fills caches and tables.
    let workloads = Workload::ALL.into_iter().filter(|workload| workload.is_tls() || !args.tls);
    for workload in workloads.clone() {
        bed.load(workload, 1)?;
    }
    let mut outcomes: Vec<Outcome> = workloads
        .flat_map(|workload| workload.levels().iter().map(move |level| Outcome::new(workload, *level)))
        .collect();
    let pairs = if args.no_pairs { 0 } else { args.rounds };
    for round in 1..=pairs {
        for outcome in &mut outcomes {
            progress(&format!("pair {round} of {pairs}"), outcome);
            outcome.pair(&bed, &tracer, args.seconds)?;
        }
    }
    let statistics = Enabled::hold()?;
    for round in 1..=args.rounds {
        for outcome in &mut outcomes {
            progress(&format!("BPF statistics, run {round}"), outcome);
            outcome.programs(&bed, &tracer, args.seconds, &statistics, &yardstick)?;
        }
    }
    drop(statistics);
    for outcome in &mut outcomes {
        progress("records", outcome);
        outcome.records = records::count(&bed, &tracer, outcome.workload, outcome.level, RECORDED)?;
    }
    if args.json {
        println!("{:#}", json::object(args, &outcomes));
    } else {
        print!("{}", report::text(args, &outcomes));
    }
    Ok(())
}

impl Outcome {
    fn new(workload: Workload, level: Level) -> Self {
        Self { workload, level, pairs: Vec::new(), agents: Vec::new(), programs: Vec::new(), records: 0 }
    }

    fn pair(&mut self, bed: &Bed<'_>, tracer: &Path, seconds: u32) -> Result<()> {
        let off = bed.load(self.workload, seconds)?;
        let agent = Agent::start(tracer, self.level, bed)?;
        let on = bed.load(self.workload, seconds)?;
        self.agents.push(agent.finish()?);
        self.pairs.push(Pair { off, on });
        Ok(())
    }

    /// First the programs that return at once, then the tracer's: each alone, and close together in time.
    fn programs(
        &mut self,
        bed: &Bed<'_>,
        tracer: &Path,
        seconds: u32,
        statistics: &Enabled,
        yardstick: &Yardstick,
    ) -> Result<()> {
        let empty = yardstick.measure(statistics, self.level, || bed.load(self.workload, seconds).map(drop))?;
        let agent = Agent::start(tracer, self.level, bed)?;
        self.programs.push(statistics::run(statistics, bed, &agent, self.workload, seconds, empty)?);
        self.agents.push(agent.finish()?);
        Ok(())
    }
}

/// Progress goes to standard error: standard output is the result.
fn progress(what: &str, outcome: &Outcome) {
    eprintln!("bench: {what}: {}, {}", outcome.workload.name(), outcome.level.name());
}
