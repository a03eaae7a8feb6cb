use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::{Compression, write::GzEncoder};

use super::*;

/// A folder of its own, removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tracer-events-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, lines: &[String]) -> PathBuf {
        let path = self.0.join(name);
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        if name.ends_with(".gz") {
            let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
            packed.write_all(text.as_bytes()).unwrap();
            fs::write(&path, packed.finish().unwrap()).unwrap();
        } else {
            fs::write(&path, text).unwrap();
        }
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An event of this minute, with this ray.
fn line(minute: u32, ray: &str) -> String {
    format!(
        r#"{{"schema":1,"time":"2026-11-20T10:{minute:02}:00Z","cause":"crash","edge_status":520,"local_port":80,
        "ray":"{ray}-AMS","host":"www.example.com","path":"/a?token=1","process":"nginx"}}"#
    )
    .replace('\n', " ")
}

fn rays(found: impl Iterator<Item = anyhow::Result<Record>>) -> Vec<String> {
    found.map(|record| record.unwrap().ray.unwrap()[..4].to_owned()).collect()
}

fn find(path: &Path) -> Events {
    Events::find(vec![Source::Path(path.to_owned())]).unwrap()
}

fn three_files(folder: &Folder) -> PathBuf {
    folder.write("events.ndjson.2.gz", &[line(1, "aaaa000000000000")]);
    folder.write("events.ndjson.1", &[line(2, "bbbb000000000000"), line(4, "dddd000000000000")]);
    folder.write("other.ndjson", &[line(3, "eeee000000000000")]);
    folder.write("ips.txt", &["10.0.0.0/8".to_owned()]);
    folder.write("events.ndjson", &[line(5, "ffff000000000000")])
}

#[test]
fn a_file_is_read_with_what_it_was_rotated_to_the_oldest_first() {
    let folder = Folder::new("rotated");
    let events = find(&three_files(&folder));
    assert_eq!(rays(events.read(&Filter::default())), ["aaaa", "bbbb", "dddd", "ffff"]);
    assert_eq!(events.notes().begins, Some("2026-11-20T10:01:00Z".parse().unwrap()));
    assert!(events.names().ends_with("events.ndjson (3 files)"), "{}", events.names());
}

#[test]
fn a_folder_is_read_in_time_order_and_what_is_no_events_file_is_named() {
    let folder = Folder::new("folder");
    let path = three_files(&folder);
    let twice = vec![Source::Path(folder.0.clone()), Source::Path(path)];
    let events = Events::find(twice).unwrap();
    assert_eq!(rays(events.in_time_order(&Filter::default())), ["aaaa", "bbbb", "eeee", "dddd", "ffff"]);
    let words = events.notes().in_words();
    assert!(words.len() == 1 && words[0].ends_with("ips.txt: holds no events and was passed over"), "{words:?}");
}

#[test]
fn records_that_were_written_late_come_by_their_time() {
    let folder = Folder::new("late");
    let path = folder.write("e", &[3, 1, 2, 5, 4].map(|minute| line(minute, &format!("{minute:04}000000000000"))));
    assert_eq!(rays(find(&path).in_time_order(&Filter::default())), ["0001", "0002", "0003", "0004", "0005"]);
}

#[test]
fn a_filter_takes_what_it_names_and_nothing_else() {
    let folder = Folder::new("filter");
    let events = find(&three_files(&folder));
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    let count = |filter: Filter| events.read(&filter).count();
    let time = |text: &str| Some(text.parse().unwrap());
    for (filter, expected) in [
        (Filter { since: time("2026-11-20T10:02:00Z"), ..Filter::default() }, 3),
        (Filter { since: time("2026-11-20T10:02:00.001Z"), ..Filter::default() }, 2),
        (Filter { until: time("2026-11-20T10:04:00Z"), ..Filter::default() }, 2),
        (Filter { ray: Ray::parse("DDDD000000000000"), ..Filter::default() }, 1),
        (Filter { ray: Ray::parse("0000000000000000"), ..Filter::default() }, 0),
        (Filter { causes: texts(&["crash", "x"]), hosts: texts(&["WWW.example.com"]), ..Filter::default() }, 4),
        (Filter { causes: texts(&["oom_kill"]), ..Filter::default() }, 0),
        (Filter { processes: texts(&["nginx"]), ports: vec![80], ..Filter::default() }, 4),
        (Filter { ports: vec![443], ..Filter::default() }, 0),
        (Filter { kind: Some(Kind::OriginError), ..Filter::default() }, 0),
    ] {
        let text = format!("{filter:?}");
        assert_eq!(count(filter), expected, "{text}");
    }
}

#[test]
fn lines_of_others_and_of_later_versions_are_told_and_cost_nothing_else() {
    let folder = Folder::new("strange");
    let newer = r#"{"schema":2,"time":"2027-01-01T00:00:00Z","cause":"new_cause","new":{"a":[1]},"evidence":["x"]}"#;
    let kind = r#"{"schema":1,"kind":"weather","time":"2027-01-01T00:00:00Z","cause":"rain"}"#;
    let secret = r#"{"schema":1,"time":"2027-01-01T00:00:00Z","cause":"crash","pid":"hunter2"}"#;
    let lines = ["{", "[]", "null", newer, kind, secret].map(str::to_owned);
    let path = folder.write("e", &[&lines[..], &[line(1, "aaaa000000000000"), "x".repeat(MAX_LINE + 1)]].concat());
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"schema\":1,\"ti").unwrap();
    let events = find(&path);
    let mut records = events.read(&Filter::default());
    let found: Vec<_> = records.by_ref().map(Result::unwrap).collect();
    assert_eq!(found.iter().map(|record| record.cause.as_str()).collect::<Vec<_>>(), ["new_cause", "crash"]);
    assert_eq!(found[1].path.as_deref(), Some("/a"), "without the query");
    let notes = records.notes();
    assert_eq!((notes.bad, notes.too_long, notes.unknown_kind, notes.newer, notes.newest), (4, 1, 1, 1, 2));
    let words = notes.in_words().join("\n");
    assert!(words.contains("e:1: the line is cut off") && words.contains("schema 2"), "{words}");
    assert!(!words.contains("hunter2"), "{words}");
}

#[test]
fn a_packed_file_that_is_cut_off_is_read_as_far_as_it_goes_and_named() {
    let folder = Folder::new("cut");
    let lines: Vec<_> =
        (0..60_u64).map(|n| line(1, &format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)))).collect();
    let packed = folder.write("events.1.gz", &lines);
    let path = folder.write("events", &[line(2, "ffff000000000000")]);
    let bytes = fs::read(&packed).unwrap();
    for left in [bytes.len() - 1, bytes.len() / 2] {
        fs::write(&packed, &bytes[..left]).unwrap();
        let events = find(&path);
        let mut records = events.read(&Filter::default());
        let count = records.by_ref().map(Result::unwrap).count();
        assert!(count >= 1 && (left < bytes.len() - 1 || count == 61), "{count} of {left} bytes");
        let words = [events.notes().in_words(), records.notes().in_words()].concat().join("\n");
        assert!(words.contains("events.1.gz: "), "{words}");
        assert_eq!(events.without_ray().unwrap(), Some(0));
    }
}

#[test]
fn what_is_not_there_or_no_file_is_refused_by_name() {
    let refused = |path: &str| Events::find(vec![Source::Path(path.into())]).unwrap_err().to_string();
    assert!(refused("/nowhere/events").starts_with("/nowhere/events: No such file"));
    assert!(refused("/dev/zero").contains("neither a file nor a folder"));
}

#[test]
fn a_daemons_answer_is_read_by_time_and_anything_else_is_none() {
    let text = format!(
        r#"{{"schema":1,"begins":"2026-11-20T09:00:00Z","lost":{{"ring":2}},"records":[{},{},7]}}"#,
        line(2, "bbbb000000000000"),
        line(1, "aaaa000000000000")
    );
    let address = "127.0.0.1:1".parse().unwrap();
    let answer = daemon::read(text.as_bytes(), address).unwrap();
    assert_eq!((answer.records.len(), answer.lost["ring"]), (2, 2));
    assert_eq!(answer.records[0].ray.as_deref(), Some("aaaa000000000000-AMS"));
    assert!(daemon::read(b"{\"records\":1}", address).is_none() && daemon::read(b"<html>", address).is_none());
}
