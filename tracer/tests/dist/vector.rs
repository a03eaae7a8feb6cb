//! The sample for Vector hangs together and leads to the table. Vector itself is not run.

use serde_json::Value;

use crate::clickhouse::SCHEMA;

const FILE: &str = include_str!("../../dist/vector/vector.yaml");
/// What Vector takes at least, in bytes.
const MIN_DISK_BUFFER: u64 = 268_435_488;

fn read() -> Value {
    serde_saphyr::from_str(FILE).unwrap_or_else(|error| panic!("no YAML: {error}"))
}

#[test]
fn every_input_is_there_and_of_a_kind_that_is_meant() {
    let config = read();
    let kinds = |part: &str| -> Vec<(String, String)> {
        let parts = config[part].as_object().unwrap_or_else(|| panic!("no {part}"));
        parts
            .iter()
            .map(|(name, value)| (name.clone(), value["type"].as_str().unwrap_or_default().to_owned()))
            .collect()
    };
    assert_eq!(kinds("sources"), [("tracer_events".to_owned(), "file".to_owned())]);
    assert_eq!(kinds("transforms"), [("tracer_failures".to_owned(), "remap".to_owned())]);
    assert_eq!(kinds("sinks"), [("clickhouse".to_owned(), "clickhouse".to_owned())]);
    assert_eq!(config["transforms"]["tracer_failures"]["inputs"][0], "tracer_events");
    assert_eq!(config["sinks"]["clickhouse"]["inputs"][0], "tracer_failures");
}

#[test]
fn events_reach_the_table_with_the_name_of_their_origin_and_nothing_else_of_vectors() {
    let config = read();
    let sink = &config["sinks"]["clickhouse"];
    let table = format!("{}.{}", sink["database"].as_str().unwrap(), sink["table"].as_str().unwrap());
    assert!(SCHEMA.contains(&format!("CREATE TABLE IF NOT EXISTS {table}\n")), "{table}");
    assert_eq!(sink["date_time_best_effort"], true, "times end in Z");
    let source = config["transforms"]["tracer_failures"]["source"].as_str().unwrap();
    assert_eq!(source, ". = object!(parse_json!(.message))\n.origin = get_hostname!()\n");
}

#[test]
fn what_the_database_does_not_take_waits_on_disk() {
    let config = read();
    let buffer = &config["sinks"]["clickhouse"]["buffer"];
    assert_eq!((buffer["type"].as_str(), buffer["when_full"].as_str()), (Some("disk"), Some("block")));
    assert!(buffer["max_size"].as_u64().unwrap() >= MIN_DISK_BUFFER);
}
