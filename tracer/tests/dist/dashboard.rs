//! The dashboard as its file says it: panels, variables and annotations with their queries.

use serde_json::Value;

/// The file.
pub(crate) const FILE: &str = include_str!("../../dist/grafana/tracer.json");

/// One query of a panel or an annotation, with Grafana's variables still in it.
pub(crate) struct Query<'a> {
    pub(crate) title: &'a str,
    pub(crate) expr: &'a str,
    /// Asked for one moment; otherwise over the time range.
    pub(crate) instant: bool,
    pub(crate) exemplar: bool,
}

/// The whole dashboard.
pub(crate) fn read() -> Value {
    serde_json::from_str(FILE).unwrap_or_else(|error| panic!("the dashboard is no JSON: {error}"))
}

/// A text, empty where there is none.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A list, empty where there is none.
pub(crate) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Every panel that is no row, those inside collapsed rows too.
pub(crate) fn panels(dashboard: &Value) -> Vec<&Value> {
    let mut found = Vec::new();
    for panel in list(dashboard, "/panels") {
        if panel["type"] == "row" {
            found.extend(list(panel, "/panels"));
        } else {
            found.push(panel);
        }
    }
    found
}

/// Every query of every panel.
pub(crate) fn panel_queries(dashboard: &Value) -> Vec<Query<'_>> {
    let of_panel = |panel| {
        list(panel, "/targets").iter().map(move |target: &Value| Query {
            title: text(panel, "/title"),
            expr: text(target, "/expr"),
            instant: target["instant"] == true,
            exemplar: target["exemplar"] == true,
        })
    };
    panels(dashboard).into_iter().flat_map(of_panel).collect()
}

/// Every annotation that asks Prometheus.
pub(crate) fn annotations(dashboard: &Value) -> Vec<Query<'_>> {
    let asked = list(dashboard, "/annotations/list").iter().filter(|one| one["builtIn"] != 1);
    asked
        .map(|one| Query { title: text(one, "/name"), expr: text(one, "/expr"), instant: false, exemplar: false })
        .collect()
}

/// The variables that ask Prometheus: name, selector and label of `label_values(selector, label)`.
pub(crate) fn variables(dashboard: &Value) -> Vec<(&str, &str, &str)> {
    let asked = list(dashboard, "/templating/list").iter().filter(|one| one["type"] == "query");
    let split = |one| {
        let query = text(one, "/query/query");
        let inside = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
        let (selector, label) = inside.and_then(|inside| inside.rsplit_once(", ")).unwrap_or((query, ""));
        (text(one, "/name"), selector, label)
    };
    asked.map(split).collect()
}
