//! The records that a case wants, and the comparison with those that came.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, anyhow, bail, ensure};
use lab::{EDGE_C, Exchange, Lab, Seen, wait};
use serde_json::{Map, Value};

use crate::agent::Agent;

/// How long a record may take.
const TOLD_WITHIN: Duration = Duration::from_secs(3);
/// A port on which no case listens: its refusal, staged last, shows that all before it has been dealt with.
const FENCE: u16 = 9;

/// One record that must come: the cause and the values of its fields.
pub(crate) struct Want {
    cause: &'static str,
    fields: Map<String, Value>,
    /// What a line of the evidence holds.
    says: Vec<String>,
    /// What no line of it holds.
    keeps_quiet_of: Vec<String>,
}

impl Want {
    /// A failure seen by the edge, told under this cause, with this status (`null`: no 52x) and this symptom.
    pub(crate) fn new(exchange: &Exchange, cause: &'static str, edge_status: impl Into<Value>, symptom: &str) -> Self {
        let mut want = Self { cause, fields: Map::new(), says: Vec::new(), keeps_quiet_of: Vec::new() };
        want.set("cause", cause);
        want.set("edge_status", edge_status);
        want.set("symptom", symptom);
        want.set("peer_addr", exchange.from.ip().to_string());
        want.set("peer_port", exchange.from.port());
        want.set("local_addr", exchange.to.ip().to_string());
        want.set("local_port", exchange.to.port());
        want
    }

    /// The socket's owner must be named so.
    pub(crate) fn process(self, name: &str, pid: u32) -> Self {
        self.with("process", name).with("pid", pid)
    }

    /// A field must have this value.
    pub(crate) fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.set(field, value);
        self
    }

    /// A line of the evidence must hold this.
    pub(crate) fn saying(mut self, part: impl Into<String>) -> Self {
        self.says.push(part.into());
        self
    }

    /// No line of the evidence may hold this.
    pub(crate) fn not_saying(mut self, part: impl Into<String>) -> Self {
        self.keeps_quiet_of.push(part.into());
        self
    }

    fn set(&mut self, field: &str, value: impl Into<Value>) {
        self.fields.insert(field.to_owned(), value.into());
    }

    /// Which fields of the record are not as wanted.
    fn differences(&self, record: &Value) -> Vec<String> {
        let wrong =
            self.fields.iter().filter(|(field, value)| record.get(field.as_str()).unwrap_or(&Value::Null) != *value);
        let wrong = wrong.map(|(field, value)| format!("{field} is {}, wanted {value}", record[field]));
        let lines = record["evidence"].as_array().map_or(&[][..], Vec::as_slice);
        let said = |part: &str| lines.iter().any(|line| line.as_str().is_some_and(|line| line.contains(part)));
        let missing = self.says.iter().filter(|part| !said(part)).map(|part| format!("not a word of {part:?}"));
        let unwanted = self.keeps_quiet_of.iter().filter(|part| said(part)).map(|part| format!("it says {part:?}"));
        wrong.chain(missing).chain(unwanted).collect()
    }

    /// Whether this record is the one that is wanted, with all its fields.
    pub(crate) fn is_met(&self, record: &Value) -> bool {
        self.is_of(record) && self.differences(record).is_empty()
    }

    /// Why none of these records is.
    pub(crate) fn unmet(&self, records: &[Value]) -> String {
        let of_it = records.iter().find(|record| self.is_of(record));
        let wrong = of_it.map_or_else(|| vec!["no record".to_owned()], |record| self.differences(record));
        format!("{}: {}; came:{}", self.cause, wrong.join("; "), show(records))
    }

    fn is_of(&self, record: &Value) -> bool {
        let stream = self.fields.get("stream_id");
        ["peer_addr", "peer_port", "local_port"].iter().all(|&field| record[field] == self.fields[field])
            && stream.is_none_or(|stream| record["stream_id"] == *stream)
    }
}

/// Waits for the records, makes sure that none came beside them and that the counters agree, and leaves the agent to
/// the next case. Says what was told: `told CAUSE CERTAINTY`.
pub(crate) fn check(agent: Agent, lab: &Lab, wants: &[Want]) -> Result<()> {
    check_losing(agent, lab, wants, 0)
}

/// The same where the kernel may skip so many runs of programs, which must then be counted as lost.
pub(crate) fn check_losing(mut agent: Agent, lab: &Lab, wants: &[Want], most: u64) -> Result<()> {
    let outcome = compare(&mut agent, lab, wants, most);
    let told = outcome.map_err(|error| anyhow!("{error:#}\nthe agent's log:\n{}", agent.log()))?;
    told.iter().for_each(|told| println!("told {told}"));
    agent.leave();
    Ok(())
}

fn compare(agent: &mut Agent, lab: &Lab, wants: &[Want], most: u64) -> Result<BTreeSet<String>> {
    let came = wait::until("the records", TOLD_WITHIN, || {
        let records = own_records(agent, lab)?;
        Ok((records.len() >= wants.len()).then_some(records))
    });
    if let Err(error) = came {
        bail!("{error}: wanted {}, came:{}", wants.len(), show(&own_records(agent, lab)?));
    }
    let fence = lab.get(EDGE_C, FENCE, "/")?;
    ensure!(fence.seen == Seen::Refused, "somebody listens on port {FENCE}: {:?}", fence.seen);
    let fence = Want::new(&fence, "port_closed", 521, "refused");
    wait::until_true("the closed port's record", TOLD_WITHIN, || {
        own_records(agent, lab).is_ok_and(|records| records.iter().any(|record| fence.is_of(record)))
    })?;
    let all: Vec<&Want> = wants.iter().chain([&fence]).collect();
    check_counters(agent, &all, most)
        .map_err(|error| anyhow!("{error:#}; came:{}", show(&agent.events().unwrap_or_default())))?;
    // Nothing is open to judgement any more: now is the time to look for what should not be there.
    agent.close()?;
    check_records(&all, &own_records(agent, lab)?)
}

/// The causes that were told as wanted, with their certainties.
fn check_records(wants: &[&Want], records: &[Value]) -> Result<BTreeSet<String>> {
    let mut told = BTreeSet::new();
    let mut left: Vec<&Value> = records.iter().collect();
    for want in wants {
        let Some(at) = left.iter().position(|record| want.is_of(record)) else {
            bail!("no record of {} ({:?}) among:{}", want.cause, want.fields, show(records));
        };
        let record = left.remove(at);
        let differences = want.differences(record);
        ensure!(differences.is_empty(), "{}: {}; the record: {record}", want.cause, differences.join("; "));
        check_form(record)?;
        told.insert(format!("{} {}", want.cause, record["certainty"].as_str().unwrap_or_default()));
    }
    ensure!(
        left.is_empty(),
        "records of what is no failure:{}",
        left.iter().map(|record| format!("\n{record}")).collect::<String>()
    );
    Ok(told)
}

/// What every record must have.
fn check_form(record: &Value) -> Result<()> {
    ensure!(record["schema"] == 1, "no schema: {record}");
    ensure!(record["certainty"] == "certain" || record["certainty"] == "likely", "the certainty: {record}");
    ensure!(record["time"].as_str().is_some_and(|time| time.ends_with('Z')), "the time: {record}");
    ensure!(record["evidence"].as_array().is_some_and(|evidence| !evidence.is_empty()), "no evidence: {record}");
    ensure!(record["advice"].as_str().is_some_and(|advice| !advice.is_empty()), "no advice: {record}");
    Ok(())
}

fn check_counters(agent: &Agent, wants: &[&Want], most: u64) -> Result<()> {
    let metrics = agent.metrics()?;
    let names = ["tracer_events_lost_total", "tracer_probe_runs_skipped_total"];
    let lost = names.map(|name| metrics.above_zero(name));
    ensure!(names.iter().all(|name| metrics.count(name, &[]) <= most), "records were lost: {lost:?}");
    let total = metrics.count("tracer_failures_total", &[]);
    ensure!(total == wants.len() as u64, "tracer_failures_total is {total}, wanted {}", wants.len());
    for want in wants {
        let status = want.fields["edge_status"].as_u64().map_or("none".to_owned(), |status| status.to_string());
        let same =
            |other: &&&Want| other.cause == want.cause && other.fields["edge_status"] == want.fields["edge_status"];
        let wanted = wants.iter().filter(same).count() as u64;
        let counted = metrics.count("tracer_failures_total", &[("cause", want.cause), ("edge_status", &status)]);
        ensure!(counted == wanted, "tracer_failures_total of {} {status} is {counted}, wanted {wanted}", want.cause);
    }
    Ok(())
}

/// The records of this lab: the agent sees the whole host.
fn own_records(agent: &Agent, lab: &Lab) -> Result<Vec<Value>> {
    let mut records = agent.events()?;
    // An answer of 5xx is no failure.
    records.retain(|record| record["kind"] != "origin_error");
    records.retain(|record| record["netns"].as_u64().is_none_or(|netns| lab.serves_in(netns)));
    Ok(records)
}

fn show(records: &[Value]) -> String {
    records.iter().map(|record| format!("\n{record}")).collect()
}
