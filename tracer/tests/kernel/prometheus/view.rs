//! The dashboard's view of an incident: every query as Grafana would ask it, and what must come of it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail, ensure};
use jiff::Timestamp;
use lab::wait;
use serde_json::Value;

use super::{Answer, Prometheus, SOON, STAGED, substitute};
use crate::dashboard::{self, Query};

/// Grafana's intervals here: a rate over twenty scrapes, and a range that holds the whole test.
const RATE: &str = "5s";
const RANGE_S: &str = "120";
/// Panels that may show nothing but zeros, and why.
const FLAT: [(&str, &str); 5] = [
    ("Agent's CPU", "often less in that range than the hundredth of a second that the kernel counts in"),
    ("Unexplained", "every staged failure has a cause"),
    ("Missing probes", "all are attached on this kernel"),
    ("Records lost", "nothing is lost at this rate"),
    ("Records lost by place", "nothing is lost at this rate"),
];
/// Annotations that may be empty, and why.
const EMPTY: [(&str, &str); 1] = [("tracer restarts", "it is started once")];
/// The dashboard's view of the time since the start.
pub(crate) struct View<'a> {
    prometheus: &'a Prometheus,
    start: Timestamp,
    values: Vec<(&'static str, String)>,
}

impl<'a> View<'a> {
    /// What Prometheus knows from this moment on.
    pub(crate) fn from_now(prometheus: &'a Prometheus) -> Self {
        Self { prometheus, start: Timestamp::now(), values: Vec::new() }
    }

    /// Waits until every staged cause is counted and scraped.
    pub(crate) fn every_cause_is_there(&self) -> Result<()> {
        let counted = || -> Result<BTreeSet<String>> {
            let data = self.prometheus.ask("query", &[("query", "sum by (cause) (tracer_failures_total) > 0")])?;
            let series = data["result"].as_array().into_iter().flatten();
            Ok(series.filter_map(|one| one["metric"]["cause"].as_str().map(str::to_owned)).collect())
        };
        let all = wait::until("every staged cause", SOON, || {
            let causes = counted()?;
            Ok(STAGED.iter().all(|&cause| causes.contains(cause)).then_some(()))
        });
        let causes = counted()?;
        let missing: Vec<_> = STAGED.iter().filter(|&&cause| !causes.contains(cause)).collect();
        all.with_context(|| format!("not counted: {missing:?}"))
    }

    /// Asks for the variables' values and takes all of them, as the dashboard does at first.
    pub(crate) fn with_variables(mut self) -> Result<Self> {
        self.values.extend([("__rate_interval", RATE.to_owned()), ("__range", format!("{RANGE_S}s"))]);
        self.values.push(("__range_s", RANGE_S.to_owned()));
        let dashboard = dashboard::read();
        for (name, selector, label) in dashboard::variables(&dashboard) {
            let selector = self.substituted(selector);
            let found = self.prometheus.ask(&format!("label/{label}/values"), &[("match[]", &selector)])?;
            let found: Vec<&str> = found.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            ensure!(!found.is_empty(), "the variable {name} has no value: {selector}");
            let name =
                ["job", "instance", "port"].into_iter().find(|&known| known == name).context("a new variable")?;
            self.values.push((name, format!("({})", found.join("|"))));
        }
        Ok(self)
    }

    fn substituted(&self, text: &str) -> String {
        let values: Vec<_> = self.values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        substitute(text, &values)
    }

    fn ask(&self, query: &Query<'_>) -> Result<Value> {
        let expr = self.substituted(query.expr);
        ensure!(!expr.contains('$'), "{}: a variable without a value: {expr}", query.title);
        let [start, now] = [self.start, Timestamp::now()].map(|time| time.to_string());
        let parameters = [("query", expr.as_str()), ("start", &start), ("end", &now), ("step", "1s")];
        let answer = if query.instant {
            self.prometheus.ask("query", &parameters[..1])
        } else {
            self.prometheus.ask("query_range", &parameters)
        };
        answer.with_context(|| query.title.to_owned())
    }

    /// Waits until there is as much to draw as there must be. An error is one at once.
    fn drawn(&self, query: &Query<'_>, least: Answer) -> Result<()> {
        wait::until(&format!("{}: {}", query.title, self.substituted(query.expr)), SOON, || {
            Ok((Answer::of(&self.ask(query)?) >= least).then_some(()))
        })
    }

    pub(crate) fn panels(&self) -> Result<()> {
        let dashboard = dashboard::read();
        let queries = dashboard::panel_queries(&dashboard);
        known(&FLAT, &queries)?;
        for query in &queries {
            let flat = FLAT.iter().any(|(title, _)| *title == query.title);
            self.drawn(query, if flat { Answer::Flat } else { Answer::Moves })?;
        }
        Ok(())
    }

    pub(crate) fn annotations(&self) -> Result<()> {
        let dashboard = dashboard::read();
        let queries = dashboard::annotations(&dashboard);
        known(&EMPTY, &queries)?;
        for query in &queries {
            let empty = EMPTY.iter().any(|(title, _)| *title == query.title);
            self.drawn(query, if empty { Answer::Nothing } else { Answer::Moves })?;
        }
        Ok(())
    }

    /// The rays come back as exemplars, by the panels' own queries.
    pub(crate) fn exemplars(&self, ray: &str) -> Result<()> {
        let dashboard = dashboard::read();
        let queries = dashboard::panel_queries(&dashboard);
        let mut rays = BTreeMap::new();
        for query in queries.iter().filter(|query| query.exemplar) {
            let expr = self.substituted(query.expr);
            let [start, now] = [self.start, Timestamp::now()].map(|time| time.to_string());
            let parameters = [("query", expr.as_str()), ("start", &start), ("end", &now)];
            let found = self.prometheus.ask("query_exemplars", &parameters).with_context(|| query.title.to_owned())?;
            for series in found.as_array().into_iter().flatten() {
                let cause = series["seriesLabels"]["cause"].as_str().unwrap_or_default().to_owned();
                let of_series = series["exemplars"].as_array().into_iter().flatten();
                let of_series = of_series.filter_map(|one| one["labels"]["ray"].as_str().map(str::to_owned));
                rays.entry(cause).or_insert_with(BTreeSet::new).extend(of_series);
            }
        }
        let told = rays.get("empty_reply").is_some_and(|rays| rays.contains(ray));
        ensure!(told, "the ray {ray} is no exemplar of empty_reply: {rays:?}");
        ensure!(rays.len() > STAGED.len() / 2, "exemplars of few causes only: {rays:?}");
        Ok(())
    }
}

/// Every exception must be about something that is there.
fn known(exceptions: &[(&str, &str)], queries: &[Query<'_>]) -> Result<()> {
    let stale = exceptions.iter().find(|(title, _)| queries.iter().all(|query| query.title != *title));
    if let Some((title, why)) = stale { bail!("an exception for {title} ({why}), which is not there") } else { Ok(()) }
}
