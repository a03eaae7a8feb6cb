//! The dashboard keeps the rules that make one portable: everything by variables, everything explained.

use std::collections::HashSet;

use serde_json::Value;

use crate::dashboard::{self, FILE, annotations, list, panel_queries, panels, read, text};
use crate::runbook::page_of;

/// The metrics that are not tracer's own by name.
const PROCESS: [&str; 3] = ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds"];
/// What every query must say of each metric that it selects.
const SELECTION: &str = r#"job=~"$job",instance=~"$instance""#;

#[test]
fn the_file_is_formatted_as_a_machine_would() {
    let formatted = serde_json::to_string_pretty(&read()).unwrap() + "\n";
    assert!(FILE == formatted, "not sorted or not indented: write it with `jq -S . FILE`");
}

#[test]
fn it_is_a_portable_read_only_dashboard() {
    let dashboard = read();
    assert_eq!(dashboard["schemaVersion"], 39);
    assert_eq!(dashboard["editable"], false);
    assert_eq!(dashboard["graphTooltip"], 1);
    assert!(dashboard.get("id").is_none(), "an id belongs to one Grafana");
    let uid = text(&dashboard, "/uid");
    assert!(!uid.is_empty() && uid.len() <= 40 && !text(&dashboard, "/title").is_empty());
    assert!(!FILE.contains("\"__inputs\"") && !FILE.contains("\"panelRefName\""), "it needs something from outside");
}

#[test]
fn its_variables_are_a_data_source_and_queries_with_many_values() {
    let dashboard = read();
    let variables = list(&dashboard, "/templating/list");
    let names: Vec<_> = variables.iter().map(|variable| text(variable, "/name")).collect();
    assert_eq!(names, ["datasource", "job", "instance", "port"]);
    assert_eq!(text(&variables[0], "/type"), "datasource");
    assert_eq!(text(&variables[0], "/query"), "prometheus");
    assert_eq!(text(&variables[0], "/label"), "Data source");
    for (variable, label) in variables[1..].iter().zip(["Job", "Instance", "Port"]) {
        assert_eq!(text(variable, "/type"), "query", "{label}");
        assert_eq!(text(variable, "/label"), label);
        assert_eq!(text(variable, "/allValue"), ".+", "{label}");
        assert_eq!(text(variable, "/datasource/uid"), "${datasource}", "{label}");
        assert!(variable["multi"] == true && variable["includeAll"] == true && variable["refresh"] == 2, "{label}");
        assert_eq!(text(variable, "/definition"), text(variable, "/query/query"), "{label}");
    }
    for (name, selector, label) in dashboard::variables(&dashboard) {
        assert!(name == label && selector.starts_with("tracer_"), "{name}: {selector}, {label}");
    }
}

#[test]
fn every_panel_is_explained_and_links_to_its_page() {
    let dashboard = read();
    let mut titles = HashSet::new();
    for panel in panels(&dashboard) {
        let title = text(panel, "/title");
        assert!(!title.is_empty() && titles.insert(title), "a panel without a title of its own: {title}");
        assert!(text(panel, "/description").ends_with('.'), "{title}: no description");
        assert!(!unit(panel).is_empty(), "{title}: no unit");
        assert_eq!(text(panel, "/datasource/uid"), "${datasource}", "{title}");
        assert!(!list(panel, "/targets").is_empty(), "{title}: no query");
        for target in list(panel, "/targets") {
            assert_eq!(text(target, "/datasource/uid"), "${datasource}", "{title}");
        }
        let link = text(panel, "/links/0/url");
        assert!(page_of(link).is_some(), "{title}: no page at {link}");
    }
    for annotation in list(&dashboard, "/annotations/list").iter().filter(|one| one["builtIn"] != 1) {
        assert_eq!(text(annotation, "/datasource/uid"), "${datasource}");
    }
}

/// A heat map's unit is its axis'; everybody else's is that of the values.
fn unit(panel: &Value) -> &str {
    let pointer = if panel["type"] == "heatmap" { "/options/yAxis/unit" } else { "/fieldConfig/defaults/unit" };
    text(panel, pointer)
}

#[test]
fn ids_are_unique_and_panels_do_not_overlap() {
    let dashboard = read();
    let rows = list(&dashboard, "/panels").iter().filter(|panel| panel["type"] == "row");
    let all: Vec<&Value> = panels(&dashboard).into_iter().chain(rows).collect();
    let ids: HashSet<_> = all.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), all.len());
    let mut cells = HashSet::new();
    for panel in all {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
        assert!(x + w <= 24, "{}: wider than the grid", text(panel, "/title"));
        for cell in (y..y + h).flat_map(|row| (x..x + w).map(move |column| (row, column))) {
            assert!(cells.insert(cell), "{} lies on another panel", text(panel, "/title"));
        }
    }
}

#[test]
fn every_query_selects_job_and_instance_and_counts_over_the_right_interval() {
    let dashboard = read();
    for query in panel_queries(&dashboard).iter().chain(&annotations(&dashboard)) {
        let (title, expr) = (query.title, query.expr);
        let selectors = expr.matches('{').count();
        assert_eq!(expr.matches(SELECTION).count(), selectors, "{title}: {expr}");
        let metrics =
            expr.matches("tracer_").count() + PROCESS.iter().map(|name| expr.matches(name).count()).sum::<usize>();
        assert_eq!(metrics, selectors, "{title}: a metric without a selector: {expr}");
        let counts = expr.contains("_total{") || expr.contains("_bucket{");
        assert_eq!(counts, expr.contains("rate(") || expr.contains("increase("), "{title}: {expr}");
        let wanted: &[&str] =
            if query.instant { &["[$__range]", "[$__rate_interval]"] } else { &["[$__rate_interval]"] };
        let ranges = wanted.iter().map(|range| expr.matches(range).count()).sum::<usize>();
        assert_eq!(expr.matches('[').count(), ranges, "{title}: another interval: {expr}");
    }
}

#[test]
fn failures_over_time_show_their_rays() {
    let dashboard = read();
    for query in
        panel_queries(&dashboard).iter().filter(|query| query.expr.contains("_failures_total{") && !query.instant)
    {
        assert!(query.exemplar, "{}: no exemplars", query.title);
    }
}
