//! `xtask soak`: mixed traffic from Cloudflare's addresses over real servers, most of it sound, some of it failing
//! in every way that their own configuration can bring about. tracer must tell each failure once, with its cause, and
//! nothing else; its counters must agree with the driver's own; its memory must stay flat.

mod agent;
mod answer;
mod book;
mod counts;
mod driver;
mod edge;
mod judge;
mod kinds;
mod memory;
mod report;
mod rng;
mod scenario;
mod server;
mod start;
mod tls;
mod traffic;

use std::collections::BTreeSet;
use std::fs;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::setup::{self, For};
use crate::{build, sh};
use agent::Agent;
use book::{Book, Entry, Expect};
use edge::SECRET;
use lab::{Lab, wait};
use report::Outcome;
use scenario::{SCENARIOS, Scenario};
use start::Servers;
use traffic::{Bell, Traffic};

/// Between two looks at tracer's memory.
const SAMPLE: Duration = Duration::from_secs(2);
const MINUTE: Duration = Duration::from_secs(60);
/// How long tracer may take to tell the last failures.
const SETTLE: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long the traffic lasts
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// Use this binary instead of building one
    #[arg(long, value_name = "PATH")]
    tracer: Option<PathBuf>,
    /// Makes the same plan of traffic again; a new one each time if not given
    #[arg(long)]
    seed: Option<u64>,
    /// Play these scenarios only (the sound traffic stays)
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// List the scenarios
    #[arg(long)]
    list: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let plan = plan(&args.only)?;
    if args.list {
        list(&plan);
        return Ok(());
    }
    if !sh::is_root() {
        bail!("the soak loads BPF programs and makes network namespaces: run it as root");
    }
    setup::ensure(For::Soak)?;
    let tracer = args.tracer.clone().map_or_else(build::release, Ok)?;
    let seed = args.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish() >> 32);
    println!("soak: {} min, {} scenarios, seed {seed}; {}", args.minutes, plan.len(), report::servers());
    let dir = std::env::temp_dir().join(format!("tracer-soak-{}", std::process::id()));
    fs::create_dir(&dir).with_context(|| format!("making {}", dir.display()))?;
    let outcome = soak(&tracer, &dir, &plan, args.minutes, seed);
    let problems = outcome.map(|outcome| {
        print!("{}", outcome.text());
        outcome.problems()
    });
    // What tracer wrote is what one looks at next.
    let kept = || format!("what tracer wrote is in {}", dir.display());
    let problems = problems.with_context(kept)?;
    ensure!(problems.is_empty(), "{}\n{}", problems.join("\n"), kept());
    fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
    println!("\nEvery failure was told once, and nothing else.");
    Ok(())
}

/// The scenarios of these names; all if none is given.
fn plan(only: &[String]) -> Result<Vec<&'static Scenario>> {
    for name in only {
        ensure!(SCENARIOS.iter().any(|scenario| scenario.name == name), "no scenario {name} (see --list)");
    }
    let wanted = |scenario: &&Scenario| only.is_empty() || only.iter().any(|name| name == scenario.name);
    Ok(SCENARIOS.iter().filter(wanted).collect())
}

fn list(plan: &[&Scenario]) {
    for scenario in plan {
        let causes = if scenario.fails() { scenario.causes.join(" or ") } else { "no failure".to_owned() };
        println!("{:<26} {:<10} {causes}", scenario.name, scenario.server.name);
    }
}

/// The whole soak; an error is a staging that failed, or a tracer that died.
fn soak(tracer: &Path, dir: &Path, plan: &[&'static Scenario], minutes: u64, seed: u64) -> Result<Outcome> {
    let lab = Lab::new()?;
    let edge = tls::Edge::with_certificate_in(lab.dir())?;
    let servers = Servers::start(&lab)?;
    let mut agent = Agent::start(tracer, dir, lab.origin().inode())?;
    let before = agent.scrape()?;
    let book = Book::default();
    let traffic = Traffic { lab: &lab, servers: &servers, tls: &edge, book: &book, plan, seed };
    traffic.run(|bell| watch(bell, &mut agent, &servers, &book, minutes))?;
    // Whoever is not told by then is missing, which the judgement says.
    let _late = wait::until("the last failures to be told", SETTLE, || {
        Ok((agent.events()?.len() >= book.counts().1).then_some(()))
    });
    let (after, told) = (agent.scrape()?, agent.events()?);
    // The way out tells what was still open to judgement.
    let end = agent.stop().err();
    let (entries, connections) = book.finish();
    Ok(Outcome {
        exchanges: entries.len(),
        judgement: judge::judge(&entries, &agent.events()?),
        counts: counts::counts((&entries, &connections), &told, &before, &after),
        memory: agent.memory(),
        unplayed: unplayed(plan, &entries),
        lost: after.sum("tracer_events_lost_total", &[]),
        leaked: agent.wrote(SECRET),
        end: end.map(|error| format!("{error:#}")),
        log: agent.log(),
    })
}

/// Looks after tracer and the servers while the traffic lasts, and says each minute how far it is.
fn watch(bell: &Bell, agent: &mut Agent, servers: &Servers, book: &Book, minutes: u64) -> Result<()> {
    let since = Instant::now();
    let mut minute = 0;
    for sample in 1.. {
        if minute >= minutes || !bell.wait_until(since + SAMPLE * sample) {
            break;
        }
        agent.check()?;
        servers.check()?;
        let rss = agent.sample()?;
        let passed = since.elapsed().as_secs() / MINUTE.as_secs();
        if passed > minute {
            minute = passed;
            report::progress(minute, minutes, book.counts(), agent.events()?.len(), rss);
        }
    }
    Ok(())
}

/// The plan's failures that never came about.
fn unplayed(plan: &[&'static Scenario], entries: &[Entry]) -> Vec<&'static str> {
    let staged: BTreeSet<&str> = entries
        .iter()
        .filter_map(|entry| if let Expect::Failure(scenario) = entry.expect { Some(scenario.name) } else { None })
        .collect();
    plan.iter().filter(|scenario| scenario.fails() && !staged.contains(scenario.name)).map(|s| s.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_has_the_named_scenarios_or_all() {
        assert_eq!(plan(&[]).unwrap().len(), SCENARIOS.len());
        let only = plan(&["caddy-abort".to_owned()]).unwrap();
        assert_eq!(only.len(), 1);
        assert!(plan(&["no-such".to_owned()]).is_err());
    }
}
