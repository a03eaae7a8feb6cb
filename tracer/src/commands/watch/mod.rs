//! `tracer watch`: one-shot, during an incident. A live view on a terminal, lines everywhere else.

mod clipboard;
mod keep;
mod keys;
mod lines;
mod live;
mod log;
mod screen;

use std::{
    io::{self, Write as _},
    sync::Arc,
    time::Duration,
};

use ::log::info;
use anyhow::{Context as _, Result};
use tokio::time::Instant;

use super::{runtime, start_log, start_log_at};
use crate::{
    agent::{Agent, Ended, Shared},
    cli::WatchArgs,
    config::WatchConfig,
    exit::DONE,
    sinks::summary::Summary,
    view::{Listening, Numbers},
};

pub use self::{live::Live, log::LogLines};

/// Shows failures until the time, the count, a key or a signal ends it, then sums up.
///
/// # Errors
/// Wrong use, a host that can't be traced, or a failure at run time.
pub fn run(args: &WatchArgs) -> Result<u8> {
    let config = args.check()?;
    let log = (!config.json && !config.plain && screen::is_there()).then(LogLines::default);
    match &log {
        // A log that goes elsewhere is not in the view's way.
        Some(log) if screen::shows_errors() => start_log_at(&config.settings, Box::new(log.clone())),
        _ => start_log(&config.settings),
    }
    runtime()?.block_on(watch(args, config, log))
}

async fn watch(args: &WatchArgs, config: WatchConfig, log: Option<LogLines>) -> Result<u8> {
    let ranges = config.settings.edge_ranges()?;
    let mut agent = Agent::start(&config.settings, ranges)?;
    if let Some(path) = &config.record {
        agent.record(path).with_context(|| format!("recording to {}", path.display()))?;
    }
    info!("ready; watching; {}", agent.ready());
    let (started, shared) = (Instant::now(), agent.shared());
    let told = match log {
        Some(log) => live(args, &config, &mut agent, log).await?,
        None => lines(args, &config, &mut agent).await?,
    };
    drop(agent);
    let Some(mut summary) = told else { return Ok(DONE) };
    let (exchanges, lost) = shared.totals();
    (summary.exchanges, summary.lost) = (exchanges, summary.lost + lost);
    summary.watched = started.elapsed();
    // With --json standard output is events only.
    let result = if config.json { write!(io::stderr(), "{summary}") } else { write!(io::stdout(), "{summary}") };
    match result.map_err(screen::gone) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("writing the summary"),
        _ => Ok(DONE),
    }
}

/// Until the time is over that was asked for.
async fn end(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

/// Writes lines. `None`: nobody reads them any more.
async fn lines(args: &WatchArgs, config: &WatchConfig, agent: &mut Agent) -> Result<Option<Summary>> {
    let mut sink = lines::Lines::open(config).context("opening standard output")?;
    let ended = agent.run(&mut sink, end(config.duration), &|| Ok(args.check()?.settings)).await?;
    match sink.close() {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("writing a failure"),
        Err(_) => Ok(None),
        Ok(summary) => Ok((ended != Ended::BrokenPipe).then_some(summary)),
    }
}

/// Shows the live view. `None`: its terminal is gone.
async fn live(args: &WatchArgs, config: &WatchConfig, agent: &mut Agent, log: LogLines) -> Result<Option<Summary>> {
    let shared = agent.shared();
    let summary = Summary::new(config.settings.reads_tls());
    let mut sink = Live::open(summary, config.count, Box::new(move || numbers(&shared)), log)?;
    let quit = sink.quit();
    let until = async {
        tokio::select! {
            () = end(config.duration) => {}
            () = quit => {}
        }
    };
    let ended = agent.run(&mut sink, until, &|| Ok(args.check()?.settings)).await;
    // The terminal is given back before anything is said.
    let closed = sink.close();
    let ended = ended?;
    match closed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("showing the live view"),
        Err(_) => Ok(None),
        Ok(summary) => Ok((ended != Ended::BrokenPipe).then_some(summary)),
    }
}

/// What the view shows of the kernel's counters.
fn numbers(shared: &Arc<Shared>) -> Numbers {
    let (exchanges, lost) = shared.totals();
    let listening = shared.listening().into_iter().map(|(port, process)| Listening { port, process });
    Numbers { exchanges, lost, listening: listening.collect() }
}
