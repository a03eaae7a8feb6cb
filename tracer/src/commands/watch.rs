//! `tracer watch`: one-shot, during an incident.

use std::{
    io::{self, Write as _},
    sync::atomic::Ordering,
};

use anyhow::{Context as _, Result};
use log::info;
use tokio::time::Instant;

use super::{runtime, start_log};
use crate::{
    agent::{Agent, Ended, Sink},
    cli::WatchArgs,
    config::{Target, WatchConfig},
    diagnose::{Diagnosis, EndHow, origin::OriginError},
    exit::DONE,
    sinks::{stream::Format, summary::Summary, writer::Writer},
};

/// Streams failures to standard output until the time, the count or a signal ends it, then sums up.
///
/// # Errors
/// Wrong use, a host that can't be traced, or a failure at run time.
pub fn run(args: &WatchArgs) -> Result<u8> {
    let config = args.check()?;
    start_log(&config.settings);
    runtime()?.block_on(watch(args, config))
}

async fn watch(args: &WatchArgs, config: WatchConfig) -> Result<u8> {
    let ranges = config.settings.edge_ranges()?;
    let mut agent = Agent::start(&config.settings, ranges)?;
    if let Some(path) = &config.record {
        agent.record(path).with_context(|| format!("recording to {}", path.display()))?;
    }
    info!("ready; watching; {}", agent.ready());
    let format = if config.json { Format::Json } else { Format::Text };
    let stream = Writer::open(&Target::Stdout, format).context("opening standard output")?;
    let summary = Summary::new(config.settings.reads_tls());
    let mut sink = WatchSink { stream, summary, count: config.count };
    let started = Instant::now();
    let until = config.duration.map(|duration| started + duration);
    let ended = agent.run(&mut sink, until, &|| Ok(args.check()?.settings)).await?;
    let shared = agent.shared();
    drop(agent);
    let (mut summary, shed) = (sink.summary, sink.stream.shed());
    match Writer::close([sink.stream]) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error).context("writing a failure"),
        Err(_) => return Ok(DONE),
        Ok(()) if ended == Ended::BrokenPipe => return Ok(DONE),
        Ok(()) => {}
    }
    (summary.exchanges, summary.lost) = shared.totals();
    summary.lost += shed.load(Ordering::Relaxed);
    summary.watched = started.elapsed();
    // With --json standard output is events only.
    let result = if config.json { write!(io::stderr(), "{summary}") } else { write!(io::stdout(), "{summary}") };
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("writing the summary"),
        _ => Ok(DONE),
    }
}

struct WatchSink {
    stream: Writer,
    summary: Summary,
    count: Option<u64>,
}

impl WatchSink {
    fn has_enough(&self) -> bool {
        self.count.is_some_and(|count| self.summary.failures() >= count)
    }
}

impl Sink for WatchSink {
    fn failure(&mut self, diagnosis: &Diagnosis) {
        if !self.has_enough() {
            self.summary.add(diagnosis);
            self.stream.write(diagnosis);
        }
    }

    fn origin_error(&mut self, error: &OriginError, in_detail: bool) {
        if self.has_enough() {
            return;
        }
        self.summary.add_origin(error);
        if in_detail {
            self.stream.write_origin(error);
        }
    }

    fn process_end(&mut self, _process: &str, _how: EndHow) {}

    fn oom_kill(&mut self, _process: &str) {}

    fn reopen(&mut self) {
        self.stream.reopen();
    }

    fn alive(&mut self) {}

    fn is_done(&mut self) -> io::Result<bool> {
        self.stream.failure().map_or(Ok(self.has_enough()), Err)
    }
}
