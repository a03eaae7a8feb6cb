//! The table for a fleet's events has a column for every field of the record, of the type that the field has.
//!
//! Whether ClickHouse takes it is for `cargo xtask clickhouse`, which asks the real engine.

use std::collections::BTreeMap;

use serde_json::Value;
use tracer::config::{Rotation, Target};
use tracer::sinks::stream::{Format, Stream};

use crate::recorded::{events, names, replay};

pub(crate) const SCHEMA: &str = include_str!("../../dist/clickhouse/schema.sql");
const QUERIES: &str = include_str!("../../dist/clickhouse/queries.sql");
const RECORD: &str = include_str!("../../src/diagnose/diagnosis.rs");
const UPSTREAM: &str = include_str!("../../src/diagnose/upstream/fields.rs");
/// The columns that the shipper fills.
const SHIPPED: [&str; 1] = ["origin"];
/// Names the file that gets the recorded events as NDJSON, for a proof elsewhere.
const EVENTS: &str = "TRACER_RECORDED_EVENTS";

/// The columns of the table of failures, with their types.
fn columns() -> BTreeMap<&'static str, &'static str> {
    let table = SCHEMA.split("CREATE TABLE IF NOT EXISTS tracer.failures\n(").nth(1).expect("the table");
    let lines = table.split("\n)\n").next().unwrap_or_default().lines();
    let columns = lines.filter_map(|line| line.trim().strip_prefix('`')?.split_once("` "));
    let kind = |rest: &'static str| rest.split(" CODEC(").next().unwrap_or_default().trim_end_matches(',');
    columns.map(|(name, rest)| (name, kind(rest))).collect()
}

/// The fields of the record, with their types in Rust.
fn fields() -> BTreeMap<&'static str, &'static str> {
    let of = |source: &'static str, head: &str| -> &'static str {
        source.split(head).nth(1).and_then(|rest| rest.split("\n}").next()).expect("the record")
    };
    let (own, upstream) = (of(RECORD, "pub struct Diagnosis {"), of(UPSTREAM, "pub struct UpstreamFields {"));
    let lines = own.lines().chain(upstream.lines()).filter_map(|line| line.trim().strip_prefix("pub "));
    let fields = lines.map(|line| line.trim_end_matches(',').split_once(": ").expect("a field"));
    fields.filter(|(_, kind)| *kind != "UpstreamFields").collect()
}

/// The types that a column may have for a field of this type.
fn fitting(rust: &str) -> Vec<String> {
    if let Some(inner) = rust.strip_prefix("Option<").and_then(|rest| rest.strip_suffix('>')) {
        let nullable = |kind: String| match kind.strip_prefix("LowCardinality(") {
            Some(inner) => format!("LowCardinality(Nullable({inner})"),
            None => format!("Nullable({kind})"),
        };
        return fitting(inner).into_iter().map(nullable).collect();
    }
    let kinds: &[&str] = match rust {
        "bool" => &["Bool"],
        "u16" => &["UInt16"],
        "u32" => &["UInt32"],
        "u64" => &["UInt64"],
        "i32" => &["Int32"],
        "f64" => &["Float64"],
        "String" | "&'static str" => &["String", "LowCardinality(String)"],
        "Cause" | "Certainty" | "Symptom" | "EndHow" | "FirewallHook" | "OomScope" | "ResetBy" => {
            &["LowCardinality(String)"]
        }
        "Vec<String>" => &["Array(String)"],
        "IpAddr" => &["IPv6"],
        "jiff::Timestamp" => &["DateTime64(9, 'UTC')"],
        other => panic!("no column is known for {other}"),
    };
    kinds.iter().map(|&kind| kind.to_owned()).collect()
}

/// Whether the engine reads this value into a column of this type.
fn takes(kind: &str, value: &Value) -> bool {
    let inner = kind.trim_start_matches("LowCardinality(");
    let plain = inner.trim_start_matches("Nullable(").trim_end_matches(')');
    match value {
        Value::Null => inner.starts_with("Nullable("),
        Value::Bool(_) => plain == "Bool",
        Value::Number(number) if number.is_u64() => plain.contains("Int") || plain == "Float64",
        Value::Number(number) if number.is_i64() => plain.starts_with("Int") || plain == "Float64",
        Value::Number(_) => plain == "Float64",
        Value::String(text) if plain == "IPv6" => text.parse::<std::net::IpAddr>().is_ok(),
        Value::String(text) if plain.starts_with("DateTime64") => text.parse::<jiff::Timestamp>().is_ok(),
        Value::String(_) => plain == "String",
        Value::Array(_) => plain == "Array(String",
        Value::Object(_) => false,
    }
}

#[test]
fn every_field_has_a_column_of_its_type_and_every_column_a_field() {
    let (columns, fields) = (columns(), fields());
    for (name, rust) in &fields {
        let kind = columns.get(name).unwrap_or_else(|| panic!("{name}: no column"));
        assert!(fitting(rust).iter().any(|fit| fit == kind), "{name}: {kind} is not for {rust}");
    }
    let extra: Vec<_> = columns.keys().filter(|name| !fields.contains_key(*name)).copied().collect();
    assert_eq!(extra, SHIPPED);
}

#[test]
fn every_recorded_event_fits_the_table() {
    let columns = columns();
    let told: Vec<_> = names().iter().flat_map(|name| replay(&events(name))).collect();
    assert!(told.len() > 100, "{} events", told.len());
    for diagnosis in &told {
        let Ok(Value::Object(record)) = serde_json::to_value(diagnosis) else { panic!("no object: {diagnosis:?}") };
        assert_eq!(record.len() + SHIPPED.len(), columns.len());
        for (name, value) in &record {
            assert!(takes(columns[name.as_str()], value), "{name}: {} does not take {value}", columns[name.as_str()]);
        }
    }
    if let Some(path) = std::env::var_os(EVENTS) {
        let mut file = Stream::open(&Target::File(path.into(), Rotation::default()), Format::Json).expect("the file");
        for mut diagnosis in told {
            diagnosis.time = jiff::Timestamp::now();
            file.write(&diagnosis).expect("a line");
        }
    }
}

#[test]
fn the_questions_are_about_columns_that_there_are() {
    let counts = ["minute", "failures"];
    let columns = columns();
    for conditions in QUERIES.split("WHERE ").skip(1).map(|rest| rest.lines().next().unwrap_or_default()) {
        for condition in conditions.trim_end_matches(';').split(" AND ") {
            let name = condition.split(' ').next().unwrap_or_default();
            assert!(columns.contains_key(name) || counts.contains(&name), "{name}: {condition}");
        }
    }
    for cause in QUERIES.split("cause = '").skip(1).filter_map(|rest| rest.split('\'').next()) {
        assert!(tracer::diagnose::Cause::ALL.iter().any(|known| known.name() == cause), "{cause}");
    }
}
