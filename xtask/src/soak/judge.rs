//! The comparison: what the driver provoked against what tracer told. Pure.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use super::book::{Arrives, Entry, Expect};
use super::server;

/// The failures of one server and cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) provoked: usize,
    /// Told once, as expected.
    pub(super) told: usize,
    /// Told, but otherwise.
    pub(super) wrong: usize,
    pub(super) missing: usize,
    /// Told of what was no failure, or told again.
    pub(super) extra: usize,
}

/// The result.
#[derive(Debug, Default)]
pub(super) struct Judgement {
    /// By server and cause.
    pub(super) rows: BTreeMap<(&'static str, String), Row>,
    pub(super) differences: Vec<Difference>,
    /// Exchanges that can't be judged, by server and what was planned.
    pub(super) unstaged: BTreeMap<(&'static str, &'static str), Vec<Difference>>,
}

/// One event that differs from what was expected, or the lack of one.
#[derive(Debug)]
pub(super) struct Difference {
    what: String,
    entry: Option<Entry>,
    event: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        if let Some(entry) = &self.entry {
            let Entry { server, ray, from, to, seen, took, .. } = entry;
            let took = took.as_secs_f64();
            write!(f, "\n    made: {} {from} → {to}, ray {ray:016x}, saw {seen:?} after {took:.3} s", server.name)?;
        }
        if let Some(event) = &self.event {
            write!(f, "\n    told: {event}")?;
        }
        Ok(())
    }
}

/// Finds for each event its exchange, and for each failure its event.
pub(super) fn judge(entries: &[Entry], events: &[Value]) -> Judgement {
    let mut told: Vec<Vec<&Value>> = vec![Vec::new(); entries.len()];
    let mut judgement = Judgement::default();
    let by_tuple = index(entries);
    for event in events {
        let candidates = tuple(event).and_then(|tuple| by_tuple.get(&tuple));
        match candidates.and_then(|candidates| find(entries, &told, candidates, event)) {
            Some(at) => told[at].push(event),
            None => judgement.extra("told of a connection that was not made", None, event),
        }
    }
    for (entry, told) in entries.iter().zip(told) {
        judgement.entry(entry, &told);
    }
    judgement
}

type Tuple = (SocketAddr, SocketAddr);

fn index(entries: &[Entry]) -> HashMap<Tuple, Vec<usize>> {
    let mut by_tuple: HashMap<Tuple, Vec<usize>> = HashMap::new();
    for (at, entry) in entries.iter().enumerate() {
        by_tuple.entry((entry.from, entry.to)).or_default().push(at);
    }
    by_tuple
}

fn tuple(event: &Value) -> Option<Tuple> {
    let end = |address: &str, port: &str| {
        let address: IpAddr = event[address].as_str()?.parse().ok()?;
        Some(SocketAddr::new(address, u16::try_from(event[port].as_u64()?).ok()?))
    };
    Some((end("peer_addr", "peer_port")?, end("local_addr", "local_port")?))
}

fn ray(event: &Value) -> Option<u64> {
    u64::from_str_radix(event["ray"].as_str()?.split('-').next()?, 16).ok()
}

/// The exchange of this connection that the event is about: the one with its ray, else a failure that is not told yet,
/// else the last.
fn find(entries: &[Entry], told: &[Vec<&Value>], candidates: &[usize], event: &Value) -> Option<usize> {
    let ray = ray(event);
    let by_ray = candidates.iter().find(|&&at| Some(entries[at].ray) == ray);
    let untold = |&&at: &&usize| matches!(entries[at].expect, Expect::Failure(_)) && told[at].is_empty();
    by_ray.or_else(|| candidates.iter().find(untold)).or(candidates.last()).copied()
}

impl Judgement {
    /// No difference.
    pub(super) fn is_clean(&self) -> bool {
        self.differences.is_empty()
    }

    fn entry(&mut self, entry: &Entry, told: &[&Value]) {
        match (entry.expect, told) {
            (Expect::Unstaged(name), told) => {
                let difference = Difference {
                    what: format!("{name}: not staged"),
                    entry: Some(*entry),
                    event: told.first().map(|&event| event.clone()),
                };
                self.unstaged.entry((entry.server.name, name)).or_default().push(difference);
            }
            (Expect::Nothing, told) => {
                for event in told {
                    self.extra("told of what was no failure", Some(entry), event);
                }
            }
            (Expect::Failure(scenario), []) => {
                let row = self.row(entry.server.name, scenario.causes[0]);
                row.provoked += 1;
                row.missing += 1;
                self.differ(format!("{}: not told", scenario.name), Some(entry), None);
            }
            (Expect::Failure(scenario), [first, more @ ..]) => {
                let row = self.row(entry.server.name, scenario.causes[0]);
                row.provoked += 1;
                let wrong = wrong(entry, first);
                *if wrong.is_empty() { &mut row.told } else { &mut row.wrong } += 1;
                if !wrong.is_empty() {
                    self.differ(format!("{}: {}", scenario.name, wrong.join("; ")), Some(entry), Some(first));
                }
                for event in more {
                    self.extra("told again", Some(entry), event);
                }
            }
        }
    }

    fn extra(&mut self, what: &str, entry: Option<&Entry>, event: &Value) {
        let cause = event["cause"].as_str().unwrap_or("?").to_owned();
        self.row(server::name_in(event), &cause).extra += 1;
        self.differ(format!("{cause}: {what}"), entry, Some(event));
    }

    fn row(&mut self, server: &'static str, cause: &str) -> &mut Row {
        self.rows.entry((server, cause.to_owned())).or_default()
    }

    fn differ(&mut self, what: String, entry: Option<&Entry>, event: Option<&Value>) {
        self.differences.push(Difference { what, entry: entry.copied(), event: event.cloned() });
    }
}

/// In what the event is not as the failure's scenario says.
fn wrong(entry: &Entry, event: &Value) -> Vec<String> {
    let Expect::Failure(scenario) = entry.expect else { return Vec::new() };
    let mut wrong = Vec::new();
    if (event["kind"] == "origin_error") != scenario.own {
        wrong.push(format!("of kind {}", event["kind"]));
    }
    let cause = event["cause"].as_str().unwrap_or_default();
    if !scenario.causes.contains(&cause) {
        wrong.push(format!("told as {cause}, wanted {}", scenario.causes.join(" or ")));
    }
    if !scenario.statuses.iter().any(|&status| Value::from(status) == event["edge_status"]) {
        wrong.push(format!("edge_status {}, wanted {:?}", event["edge_status"], scenario.statuses));
    }
    match ray(event) {
        Some(ray) if ray != entry.ray => wrong.push("the ray of another request".to_owned()),
        None if entry.arrives == Arrives::Yes => wrong.push("no ray".to_owned()),
        _ => {}
    }
    if event["process"].as_str().is_some_and(|process| !entry.server.processes.contains(&process)) {
        wrong.push(format!("process {}, wanted {}", event["process"], entry.server.processes.join(" or ")));
    }
    wrong
}

#[cfg(test)]
mod tests;
