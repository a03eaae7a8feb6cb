//! The documents say what the code does: causes, fields, metrics and hooks have one spelling everywhere.

#[path = "recorded/mod.rs"]
mod recorded;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use recorded::{events, names, replay};
use serde_json::{Map, Value};
use tracer::{
    config::Rotation,
    counts::{PortCounters, ProbeCounters, Snapshot, TableUse, TlsCounters},
    diagnose::{
        Cause, Certainty, Diagnosis, EndHow, FirewallHook, OomScope, ResetBy, Symptom,
        origin::{OriginCause, OriginError, OriginEvidence, origin_error},
    },
    http::Request,
    probes::{Attachment, HOOKS},
    sinks::{journal::MESSAGE_ID, metrics::Metrics},
};

const README: &str = include_str!("../../README.md");
const ARCHITECTURE: &str = include_str!("../../docs/architecture.md");
const EVENTS: &str = include_str!("../../docs/events.md");
const INSTALL: &str = include_str!("../../docs/install.md");
const ORIGIN_ERRORS: &str = include_str!("../../docs/origin-errors.md");
const METRICS: &str = include_str!("../../docs/metrics.md");

/// The documents of this repository that link to each other.
const DOCUMENTS: [&str; 5] = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "docs"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The rows of a page's tables whose first cell is a name, by that name: the cells after it.
fn rows(page: &'static str) -> BTreeMap<&'static str, Vec<&'static str>> {
    let cells = page.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |")?.split_once("` | "));
    let mut rows = BTreeMap::new();
    for (name, rest) in cells {
        assert!(rows.insert(name, rest.split(" | ").collect()).is_none(), "two rows for {name}");
    }
    rows
}

/// The part of a page under this heading.
fn section(page: &'static str, heading: &str) -> &'static str {
    let text = page.split_once(&format!("{heading}\n")).unwrap_or_else(|| panic!("no section {heading}")).1;
    text.split("\n#").next().unwrap_or_default()
}

/// The values that a list explains, in its order.
fn listed(page: &'static str, heading: &str) -> Vec<&'static str> {
    section(page, heading)
        .lines()
        .filter_map(|line| line.strip_prefix("* `")?.split_once("`: "))
        .map(|(v, _)| v)
        .collect()
}

/// Each recorded failure as the object that is written.
fn records() -> Vec<Map<String, Value>> {
    let told: Vec<_> = names().iter().flat_map(|name| replay(&events(name))).collect();
    assert!(told.len() > 100, "{} events", told.len());
    let object = |diagnosis| match serde_json::to_value(diagnosis) {
        Ok(Value::Object(object)) => object,
        other => panic!("no object: {other:?}"),
    };
    told.iter().map(object).collect()
}

#[test]
fn the_readme_lists_every_cause_with_its_status_and_no_other() {
    let listed = rows(README);
    let expected: BTreeSet<_> = Cause::ALL.iter().map(|cause| cause.name()).collect();
    assert_eq!(listed.keys().copied().collect::<BTreeSet<_>>(), expected);
    for cause in Cause::ALL {
        let status = cause.edge_statuses()[0].expect("the first is a number").to_string();
        assert_eq!(listed[cause.name()][0], status, "{cause}");
    }
}

#[test]
fn the_readme_stays_a_page_that_is_read() {
    assert!(README.lines().count() <= 150, "{} lines", README.lines().count());
    for command in ["./dev demo", "./dev test"] {
        assert!(README.contains(&format!("`{command}`")), "{command}");
    }
}

#[test]
fn the_architecture_names_every_hook_and_what_its_absence_blurs() {
    let listed = rows(section(ARCHITECTURE, "## Where it looks"));
    for hook in HOOKS {
        let cells = listed.get(hook.name).unwrap_or_else(|| panic!("{}: no row", hook.name));
        assert_eq!(cells.last().copied(), Some(hook.blurs), "{}", hook.name);
        let kind = if hook.attachment == Attachment::Tracepoint { "tracepoint" } else { "root cgroup" };
        assert!(cells[0].starts_with(kind), "{} is a {}", hook.name, cells[0]);
    }
    assert_eq!(listed.len(), HOOKS.len());
}

#[test]
fn the_install_page_names_the_journals_class_of_entries_and_the_rotation_in_force() {
    assert!(INSTALL.contains(&format!("MESSAGE_ID={MESSAGE_ID}`")));
    let Rotation { max_size, keep } = Rotation::default();
    let size = max_size.map(|bytes| format!("{}MiB", bytes >> 20)).unwrap_or_default();
    assert!(
        INSTALL.contains(&format!("`--events-max-size` ({size};"))
            && INSTALL.contains(&format!("`--events-keep` ({keep})"))
    );
}

#[test]
fn the_events_page_has_a_row_for_every_field_of_the_record_and_no_other() {
    let fields = rows(section(EVENTS, "## Fields"));
    for record in records() {
        let keys: BTreeSet<_> = record.keys().map(String::as_str).collect();
        assert_eq!(fields.keys().copied().collect::<BTreeSet<_>>(), keys);
        for (name, value) in &record {
            let (kind, null) = (fields[name.as_str()][0], fields[name.as_str()][1]);
            assert!(is_of(kind, value) || value.is_null() && null != "never", "{name} is {value}, not {kind} ({null})");
        }
    }
    for (name, cells) in fields {
        let [kind, _, meaning, example] = cells[..] else { panic!("{name}: {} cells", cells.len() + 1) };
        let example = example.trim_matches('`');
        let value = serde_json::from_str(example).unwrap_or_else(|error| panic!("{name}: {example}: {error}"));
        assert!(is_of(kind, &value) && !meaning.is_empty(), "{name}: {example} is not {kind}");
    }
}

/// Whether a value is of a type as the page names it.
fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "array of strings" => value.as_array().is_some_and(|values| values.iter().all(Value::is_string)),
        other => panic!("{other} is no type"),
    }
}

#[test]
fn the_events_page_lists_the_values_of_every_closed_field() {
    let closed: BTreeMap<_, BTreeSet<_>> = BTreeMap::from([
        ("certainty", Certainty::ALL.iter().map(|certainty| certainty.name()).collect()),
        ("symptom", Symptom::ALL.iter().map(|symptom| symptom.name()).collect()),
        ("firewall_hook", FirewallHook::ALL.iter().map(|hook| hook.name()).collect()),
        ("end_how", EndHow::ALL.iter().map(|how| how.name()).collect()),
        ("oom_scope", OomScope::ALL.iter().map(|scope| scope.name()).collect()),
        ("reset_by", ResetBy::ALL.iter().map(|by| by.name()).collect()),
    ]);
    for (field, values) in &closed {
        let listed: BTreeSet<_> = listed(EVENTS, &format!("### {field}")).into_iter().collect();
        assert_eq!(&listed, values, "{field}");
    }
    for record in records() {
        for (field, values) in &closed {
            let value = &record[*field];
            assert!(value.is_null() || values.contains(value.as_str().unwrap_or_default()), "{field} is {value}");
        }
    }
}

/// An answer of 502 behind which nothing is known.
fn no_upstream() -> OriginEvidence {
    OriginEvidence {
        time: jiff::Timestamp::UNIX_EPOCH,
        status: 502,
        peer: ([173, 245, 48, 10].into(), 1),
        local: ([10, 0, 0, 5].into(), 80),
        netns: None,
        exchanges: None,
        age: None,
        request: Request::default(),
        took: None,
        process: None,
        tries: 0,
        upstream: None,
        behind: None,
        sees_unix: true,
        stream: None,
        is_shared: false,
    }
}

#[test]
fn the_page_of_origin_errors_lists_every_cause_and_every_field() {
    let expected: Vec<_> = OriginCause::ALL.iter().map(|cause| cause.name()).collect();
    assert_eq!(listed(ORIGIN_ERRORS, "## Causes of an origin error"), expected);
    let fields = rows(section(ORIGIN_ERRORS, "## Fields of the record"));
    let Ok(Value::Object(record)) = serde_json::to_value(origin_error(&no_upstream())) else { panic!("no object") };
    assert_eq!(fields.keys().copied().collect::<BTreeSet<_>>(), record.keys().map(String::as_str).collect());
    for (name, cells) in fields {
        let [kind, null, meaning, example] = cells[..] else { panic!("{name}: {} cells", cells.len() + 1) };
        let value = serde_json::from_str(example.trim_matches('`')).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(is_of(kind, &value) && !meaning.is_empty(), "{name}: {example} is not {kind}");
        assert!(is_of(kind, &record[name]) || record[name].is_null() && null != "never", "{name}: {}", record[name]);
    }
}

/// Everything that is counted, once.
fn busy() -> String {
    let snapshot = || Snapshot {
        ports: vec![PortCounters { port: Some(80), ..PortCounters::default() }],
        resets_sent: vec![("unknown".into(), 1)],
        lost: vec![("ring_buffer", 0)],
        probes: vec![ProbeCounters {
            name: "kfree_skb".into(),
            attached: true,
            runs: Some(1),
            nanos: Some(1),
            skipped: Some(0),
        }],
        tables: vec![TableUse { name: "connections", entries: 0, capacity: 1 }],
        ranges_date_s: Some(0),
        tls: Some(TlsCounters::default()),
        ..Snapshot::default()
    };
    let metrics = Metrics::new(Arc::new(snapshot)).expect("names that are taken once");
    let failures: Vec<Diagnosis> = replay(&events("oom_worker_many"));
    metrics.failure(&failures[0]);
    metrics.origin_error(&origin_error(&no_upstream()));
    metrics.origin_error(&OriginError { cause: OriginCause::OomKill, ..origin_error(&no_upstream()) });
    metrics.process_end("nginx", EndHow::Exit);
    metrics.oom_kill("nginx");
    metrics.text().expect("the text")
}

#[test]
fn the_metrics_page_has_a_row_for_every_metric_with_its_type_and_labels_and_no_other() {
    let text = busy();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let served: BTreeMap<_, _> = types.map(|(name, kind)| (name, (kind, labels(&text, name)))).collect();
    let listed = rows(section(METRICS, "# Metrics"));
    let metrics = listed.iter().map(|(name, cells)| {
        let labels =
            cells[1].split(", ").filter(|label| *label != "none").map(|label| label.trim_matches('`')).collect();
        (*name, (cells[0], labels))
    });
    assert_eq!(metrics.collect::<BTreeMap<_, _>>(), served);
}

/// The labels of a metric's series, but for a histogram's own.
fn labels<'a>(text: &'a str, metric: &str) -> BTreeSet<&'a str> {
    let series = |line: &&str| ["", "_bucket"].iter().any(|end| line.starts_with(&format!("{metric}{end}{{")));
    let Some(line) = text.lines().find(series) else { return BTreeSet::new() };
    let inside = line.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(inside, _)| inside);
    inside.split(',').filter_map(|label| label.split('=').next()).filter(|label| *label != "le").collect()
}

#[test]
fn the_metrics_page_lists_the_values_of_every_label() {
    let labels: BTreeSet<_> = rows(section(METRICS, "## Values of labels")).into_keys().collect();
    let metrics = rows(section(METRICS, "# Metrics"));
    let used = metrics.values().flat_map(|cells| cells[1].split(", ")).map(|label| label.trim_matches('`'));
    let build = ["none", "version", "revision"];
    assert_eq!(labels, used.filter(|label| !build.contains(label)).collect());
}

/// The pages that link to each other, with their text.
fn pages() -> Vec<(PathBuf, String)> {
    let mut pages = Vec::new();
    for name in DOCUMENTS {
        let path = root().join(name);
        let files = if path.is_dir() {
            fs::read_dir(path).expect("the folder").map(|entry| entry.expect("a file").path()).collect()
        } else {
            vec![path]
        };
        for file in files {
            let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            pages.push((file, text));
        }
    }
    pages
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let words = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        words.chars().filter(|c| c.is_alphanumeric() || ['-', '_'].contains(c)).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn links_between_the_documents_lead_somewhere() {
    for (page, text) in pages() {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.starts_with("https://") {
                continue;
            }
            let (file, section) = target.split_once('#').map_or((target, None), |(file, at)| (file, Some(at)));
            let path = if file.is_empty() { page.clone() } else { page.with_file_name(file) };
            assert!(path.exists(), "{}: {target}", page.display());
            if let Some(section) = section {
                let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                assert!(anchors(&text).contains(section), "{}: {target}", page.display());
            }
        }
    }
}

#[test]
fn packages_bring_the_documents_that_the_readme_is_cut_into() {
    let manifest = include_str!("../Cargo.toml");
    for file in ["README.md", "CHANGELOG.md", "SECURITY.md", "docs/*.md"] {
        assert_eq!(manifest.matches(&format!("\"../{file}\"")).count(), 2, "{file}: in the .deb and in the .rpm");
    }
}

/// All Rust code of the repository's crates, one file after the other.
fn code() -> String {
    let mut folders = vec![root()];
    let mut code = String::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry")) {
            let (path, name) = (entry.path(), entry.file_name());
            let is_ours = !name.as_encoded_bytes().starts_with(b".") && name != "target";
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) && is_ours {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                code += &fs::read_to_string(&path).expect("code");
            }
        }
    }
    code
}

#[test]
fn every_test_and_fuzz_target_that_a_page_names_is_there() {
    let code = code();
    let mut named = 0;
    for page in ["SECURITY.md", "CONTRIBUTING.md"] {
        let text = fs::read_to_string(root().join(page)).expect("the page");
        for name in text.split('`').skip(1).step_by(2) {
            let is_test = name.matches('_').count() > 2 && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            if is_test && !name.starts_with("tracer_") {
                assert!(code.contains(&format!("fn {name}(")), "{page}: {name}");
                named += 1;
            }
        }
        for targets in text.split("fuzz target").skip(1).filter_map(|rest| rest.split([';', '|']).next()) {
            for target in targets.split('`').skip(1).step_by(2) {
                let file = root().join(format!("tracer/fuzz/fuzz_targets/{target}.rs"));
                assert!(file.exists(), "{page}: no target {target}");
            }
        }
    }
    assert!(named > 40, "only {named} tests are named");
}
