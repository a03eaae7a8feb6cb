//! `docs/probe.md` says what the command writes.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read as _, Write as _},
    time::Duration,
};

use rcgen::date_time_ymd;
use serde_json::Value;

use crate::{
    asking::{HOST, Told, WOULD_FAIL, ask, free_port, head, run},
    certificates::{Authority, Tls},
};

const PAGE: &str = include_str!("../../../docs/probe.md");

/// The rows of the table that begins with this line: the first cell, and those after it.
fn rows(first: &str) -> BTreeMap<&'static str, Vec<&'static str>> {
    let table = PAGE.split_once(first).unwrap_or_else(|| panic!("no table {first}")).1;
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    let cells = rows.filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |")?.split_once("` | "));
    cells.map(|(name, rest)| (name, rest.split(" | ").collect())).collect()
}

/// Answers two requests on each connection, and hangs up on one that was idle for a second.
fn sound(mut stream: Tls) {
    stream.sock.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    while let Some(head) = head(&mut stream) {
        if head.starts_with(b"POST") {
            let length = String::from_utf8_lossy(&head).contains("Content-Length: 1\r\n");
            let _ = stream.read_exact(&mut [0, 0][..if length { 1 } else { 0 }]);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
    }
}

fn expired(authority: &Authority, json: bool) -> Told {
    let shown = authority.shown(|params| params.not_after = date_time_ymd(2021, 2, 3));
    let url = format!("https://127.0.0.1:{}/", shown.serve(sound));
    let words = [url.as_str(), "--host", HOST, "--ca-file", authority.file(), "--keep-alive", "10"];
    let extras = ["--large-head", "--expect-continue", "--slow-body", "1", "--json"];
    run(&[&words[..], if json { &extras } else { &[] }].concat())
}

/// Numbers with a unit of time behind them, and the address, as `N` and `A`.
fn without_measures(text: &str) -> Vec<String> {
    let line = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        let units = ["ms", "s", "days"].map(str::to_owned);
        let is_measure = |at: usize| {
            let next = words.get(at + 1).map(|next| next.trim_end_matches([';', ':', ',']).to_owned());
            words[at].parse::<f64>().is_ok() && next.is_some_and(|next| units.contains(&next))
        };
        let word = |(at, word): (usize, &&str)| match *word {
            _ if is_measure(at) => "N".to_owned(),
            _ if words[at.saturating_sub(1)..].first() == Some(&"at") && word.contains(':') => "A".to_owned(),
            other => other.to_owned(),
        };
        words.iter().enumerate().map(word).collect::<Vec<_>>().join(" ").replace(" ms", " s")
    };
    text.lines().map(line).collect()
}

#[test]
fn the_example_is_what_is_written() {
    let example = PAGE.split("```console\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let (command, example) = example.split_once('\n').unwrap();
    assert_eq!(command, format!("# tracer probe 203.0.113.5 --host {HOST} --keep-alive 900"));
    let told = expired(&Authority::new(), false);
    assert_eq!((told.status, told.err.as_str()), (WOULD_FAIL, ""));
    let written = told.out.replace("--ca-file trusts", "this system trusts");
    assert_eq!(without_measures(&written), without_measures(example));
}

#[test]
fn the_tables_have_a_row_for_every_finding_and_every_field_and_no_other() {
    let told = expired(&Authority::new(), true);
    let findings = told.report["findings"].as_array().unwrap();
    let mut names: BTreeSet<_> = findings.iter().map(|finding| finding["name"].as_str().unwrap()).collect();
    // Only where HTTP/2 is agreed upon.
    names.insert("HTTP/2 response header");
    assert_eq!(rows("| finding |").into_keys().collect::<BTreeSet<_>>(), names);
    let refused = ask("http", free_port(), "/", &[]);
    for report in [&told.report, &refused.report] {
        fields(report, "## In JSON\n");
        report["findings"].as_array().unwrap().iter().for_each(|finding| fields(finding, "Each finding has"));
    }
}

/// Each field has a row in the table behind `place`, and the type that it says.
fn fields(object: &Value, place: &str) {
    let table = PAGE.split_once(place).unwrap().1;
    let table = table.split_once("| field |").unwrap().1.lines().skip(2).take_while(|line| line.starts_with('|'));
    let cells = table.map(|line| line.trim_matches(['|', ' ']).split(" | ").collect::<Vec<_>>());
    let known: BTreeMap<_, _> = cells.map(|cells| (cells[0].trim_matches('`'), (cells[1], cells[2]))).collect();
    let object = object.as_object().unwrap();
    let keys: BTreeSet<_> = object.keys().map(String::as_str).collect();
    assert_eq!(known.keys().copied().collect::<BTreeSet<_>>(), keys, "{place}");
    for (key, value) in object {
        let (kind, null) = known[key.as_str()];
        let is_of_kind = match kind {
            "integer" => value.is_u64(),
            "boolean" => value.is_boolean(),
            "string" => value.is_string(),
            "object" => value.is_object(),
            "array of objects" => value.is_array(),
            other => panic!("{other} is no type"),
        };
        assert!(is_of_kind || value.is_null() && null != "never", "{key} is {value}, not {kind}");
    }
}
