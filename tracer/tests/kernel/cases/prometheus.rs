//! What is shipped for Prometheus and Grafana, proven by a real Prometheus: the rules, and every query of the dashboard.

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use aya::sys::{Stats, enable_stats};
use serde_json::Value;
use xtask::lab::wait;

use crate::agent::Agent;
use crate::prometheus::{Answer, Incident, OPTIONS, Prometheus, SOON, View, installed, promtool};
use crate::runner::{Case, cases};

pub(super) fn cases() -> Vec<Case> {
    cases![promtool_takes_the_rules_and_their_tests, prometheus_answers_every_query_of_the_dashboard]
}

/// Alerts that fire within the test: those that wait for nothing.
const FIRE: [&str; 2] = ["TracerOomKill", "TracerCrash"];

fn promtool_takes_the_rules_and_their_tests() -> Result<()> {
    installed()?;
    let rules = ["tracer.rules.yml", "tracer.alerts.yml"];
    promtool(&[&["check", "rules", "--lint=all", "--lint-fatal"], &rules[..]].concat())?;
    promtool(&["check", "config", "--lint=all", "--lint-fatal", "prometheus.yml"])?;
    promtool(&["test", "rules", "tests/failures.yml", "tests/itself.yml"])?;
    Ok(())
}

fn prometheus_answers_every_query_of_the_dashboard() -> Result<()> {
    installed()?;
    // The kernel measures its programs for as long as somebody holds this.
    let _measured = enable_stats(Stats::RunTime).context("enabling the kernel's statistics of BPF programs")?;
    let incident = Incident::prepare()?;
    let mut agent = Agent::fresh(&OPTIONS)?;
    let prometheus = Prometheus::start(agent.listen())?;
    let view = View::from_now(&prometheus);
    let asked = |expr: &str| prometheus.ask("query", &[("query", expr)]);
    // Counters of zero, without which the first failure is no increase.
    wait::until_true("the first scrapes", SOON, || {
        asked("min_over_time(tracer_failures_total[1m]) == 0").is_ok_and(|data| Answer::of(&data) == Answer::Flat)
    })?;
    incident.sound()?;
    let ray = incident.happen()?;
    incident.sound()?;
    view.every_cause_is_there().map_err(|error| anyhow!("{error:#}\nthe records:\n{:?}", agent.events()))?;
    let view = view.with_variables()?;
    view.panels()?;
    view.annotations()?;
    view.exemplars(&ray)?;
    rules(&prometheus)?;
    println!("every query ran against Prometheus {}", prometheus.version()?);
    agent.stop()
}

/// Every rule is loaded and evaluates, the recordings have values, and the alerts that wait for nothing fire.
fn rules(prometheus: &Prometheus) -> Result<()> {
    let loaded = || -> Result<Vec<Value>> {
        let data = prometheus.ask("rules", &[])?;
        let groups = data["groups"].as_array().into_iter().flatten();
        Ok(groups.flat_map(|group| group["rules"].as_array().into_iter().flatten()).cloned().collect())
    };
    let shipped = ["tracer.rules.yml", "tracer.alerts.yml"].map(|file| ["check", "rules", file]);
    let counts = shipped.iter().map(|args| -> Result<usize> {
        let said = promtool(args)?;
        let count = said.split("SUCCESS: ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
        count.with_context(|| format!("no number of rules: {said}"))
    });
    let wanted: usize = counts.sum::<Result<_>>()?;
    wait::until("every rule to be evaluated", SOON, || {
        let rules = loaded()?;
        ensure!(rules.len() == wanted, "{} rules are loaded, {wanted} are shipped", rules.len());
        if let Some(broken) = rules.iter().find(|rule| rule["health"] == "err") {
            bail!("a rule that fails: {broken}");
        }
        Ok(rules.iter().all(|rule| rule["health"] == "ok").then_some(()))
    })?;
    for record in loaded()?.iter().filter(|rule| rule["type"] == "recording") {
        let name = record["name"].as_str().context("a recording without a name")?;
        let data = prometheus.ask("query", &[("query", name)])?;
        ensure!(Answer::of(&data) == Answer::Moves, "{name} has no value: {data}");
    }
    for name in FIRE {
        wait::until(&format!("{name} to fire"), SOON, || {
            let firing = |rule: &Value| rule["name"] == name && rule["state"] == "firing";
            Ok(loaded()?.iter().any(firing).then_some(()))
        })?;
    }
    Ok(())
}
