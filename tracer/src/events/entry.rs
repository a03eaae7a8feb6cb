//! One entry of the journal, as `journalctl --output=json` prints it, as a record.

use serde_json::{Map, Value};

use super::record::{NoRecord, Record, event};

/// What the names of a record's fields begin with in the journal.
const PREFIX: &str = "TRACER_";

/// How the journal's text becomes a field's value.
enum Form {
    Plain,
    Number,
    Truth,
    List,
}

fn form(name: &str) -> Form {
    match name {
        "reused" => Form::Truth,
        "evidence" => Form::List,
        "schema"
        | "edge_status"
        | "peer_port"
        | "local_port"
        | "published_port"
        | "netns"
        | "exchanges"
        | "age_ms"
        | "idle_ms"
        | "request_age_ms"
        | "response_ms"
        | "bytes_received"
        | "bytes_sent"
        | "stream_id"
        | "response_status"
        | "response_header_bytes"
        | "pid"
        | "ns_pid"
        | "end_code"
        | "upstream_tries"
        | "upstream_pid"
        | "upstream_end_code"
        | "upstream_bytes_sent"
        | "upstream_bytes_received"
        | "upstream_status" => Form::Number,
        _ => Form::Plain,
    }
}

/// The record of an entry: of its fields `TRACER_…`, or of its message where that is an event as `--events -` writes
/// it. Most entries of a unit are neither.
///
/// # Errors
/// Why it is none.
pub fn record(line: &[u8]) -> Result<Record, NoRecord> {
    let Ok(Value::Object(entry)) = serde_json::from_slice(line) else { return Err(NoRecord::Json(1)) };
    if entry.contains_key("TRACER_CAUSE") {
        return Record::from_value(Value::Object(fields(&entry)));
    }
    match entry.get("MESSAGE") {
        Some(Value::String(message)) if message.starts_with("{\"schema\":") => event(message.as_bytes()),
        _ => Err(NoRecord::Other),
    }
}

/// The record's fields as an events file has them.
fn fields(entry: &Map<String, Value>) -> Map<String, Value> {
    let named = entry.iter().filter_map(|(name, value)| Some((name.strip_prefix(PREFIX)?.to_ascii_lowercase(), value)));
    let read = named.filter_map(|(name, value)| {
        let value = match (form(&name), value) {
            (Form::List, Value::String(_)) => Value::Array(vec![value.clone()]),
            (Form::List, Value::Array(_)) => value.clone(),
            (Form::Number | Form::Truth, Value::String(text)) => serde_json::from_str(text).ok()?,
            (_, Value::String(_)) => value.clone(),
            // Two values of what has one, bytes that are no text, a field that is too large.
            _ => return None,
        };
        Some((name, value))
    });
    read.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_by_its_fields_or_by_its_message() {
        let entry = r#"{"_PID":"1","MESSAGE":"520 crash","TRACER_SCHEMA":"1","TRACER_TIME":"2026-11-20T10:00:00.5Z",
            "TRACER_CAUSE":"crash","TRACER_EDGE_STATUS":"520","TRACER_AGE_MS":"12.4","TRACER_REUSED":"false",
            "TRACER_EVIDENCE":["one","two"],"TRACER_NEW":"7","TRACER_PATH":"/1"}"#;
        let found = record(entry.as_bytes()).unwrap();
        assert_eq!((found.cause.as_str(), found.edge_status, found.age_ms), ("crash", Some(520), Some(12.4)));
        assert_eq!((found.reused, found.path.as_deref(), found.evidence.len()), (Some(false), Some("/1"), 2));
        let one = r#"{"TRACER_TIME":"2026-11-20T10:00:00Z","TRACER_CAUSE":"crash","TRACER_EVIDENCE":"one"}"#;
        assert_eq!(record(one.as_bytes()).unwrap().evidence, ["one"]);
        let line = r#"{"MESSAGE":"{\"schema\":1,\"time\":\"2026-11-20T10:00:00Z\",\"cause\":\"crash\"}"}"#;
        assert_eq!(record(line.as_bytes()).unwrap().cause, "crash");
        assert_eq!(record(br#"{"MESSAGE":"ready; listening"}"#), Err(NoRecord::Other));
        assert_eq!(record(br#"{"MESSAGE":[1,2]}"#), Err(NoRecord::Other));
        assert_eq!(record(b"nonsense"), Err(NoRecord::Json(1)));
        assert!(record(br#"{"TRACER_CAUSE":"crash"}"#).is_err());
    }
}
