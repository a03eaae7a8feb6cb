use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use super::*;
use crate::config::Rotation;
use crate::sinks::sample::diagnosis;

/// A directory of its own, removed in the end.
struct TempDir(PathBuf);

impl TempDir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tracer-stream-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn stream(&self, format: Format) -> (PathBuf, Stream) {
        let path = self.0.join("events");
        let stream = Stream::open(&file(&path), format).unwrap();
        (path, stream)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn file(path: &Path) -> Target {
    Target::File(path.to_owned(), Rotation::default())
}

fn written(format: Format, failures: &[Diagnosis], name: &str) -> String {
    let dir = TempDir::new(name);
    let (path, mut stream) = dir.stream(format);
    for failure in failures {
        stream.write(failure).unwrap();
    }
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn json_is_the_record_of_the_contract_one_object_a_line() {
    let text = written(Format::Json, &[diagnosis(), diagnosis()], "json");
    assert_eq!(text.lines().count(), 2);
    let line = text.lines().next().unwrap();
    assert!(
        line.starts_with(
            r#"{"schema":1,"time":"2026-11-20T10:00:00.123456789Z","cause":"empty_reply","edge_status":520,"#
        ),
        "{line}"
    );
    let record: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(record["peer_addr"], "173.245.48.10");
    assert_eq!(record["edge_range"], "173.245.48.0/20");
    assert_eq!(record["idle_ms"], 0.9);
    assert!(record["response_status"].is_null());
    for key in ["schema", "time", "cause", "edge_status", "certainty", "symptom", "local_port", "evidence", "advice"] {
        assert!(record.get(key).is_some(), "{key}");
    }
}

#[test]
fn unknown_edge_status_is_null() {
    let failure = Diagnosis { edge_status: None, ..diagnosis() };
    assert!(written(Format::Json, &[failure], "null").contains(r#""edge_status":null"#));
}

#[test]
fn text_is_a_headline_with_evidence_and_advice() {
    let text = written(Format::Text, &[diagnosis()], "text");
    let expected = "\
10:00:00.123Z  520 empty_reply  certain  GET www.example.com/api/users  ray 7d1234567890abcd-LAX
               nginx[1234] (nginx.service) on :80 ← 173.245.48.10:41234
               · the process read the request (182 bytes)
               · no response byte was sent
               · FIN sent by close() in pid 1234
               → Look at the server's error log at this time.
";
    assert_eq!(text, expected);
}

#[test]
fn advice_is_not_repeated_until_it_changes() {
    let other = Diagnosis { advice: "Other.".into(), ..diagnosis() };
    let text = written(Format::Text, &[diagnosis(), diagnosis(), other, diagnosis()], "advice");
    assert_eq!(text.matches("→ Look at").count(), 2);
    assert_eq!(text.matches("→ Other.").count(), 1);
}

#[test]
fn what_is_not_known_leaves_no_trace_in_the_text() {
    let failure = Diagnosis {
        edge_status: None,
        process: None,
        method: None,
        host: None,
        path: None,
        ray: None,
        evidence: vec![],
        ..diagnosis()
    };
    let text = written(Format::Text, &[failure], "bare");
    assert!(
        text.starts_with("10:00:00.123Z  cut empty_reply  certain\n               :80 ← 173.245.48.10:41234\n"),
        "{text}"
    );
}

#[test]
fn hostile_text_reaches_no_terminal() {
    let nasty = || Some("\x1b[2J\u{202e}\n\u{9b}evil".to_owned());
    let failure = Diagnosis {
        method: nasty(),
        host: nasty(),
        path: nasty(),
        ray: nasty(),
        process: nasty(),
        unit: nasty(),
        evidence: vec![nasty().unwrap()],
        advice: nasty().unwrap(),
        ..diagnosis()
    };
    for (format, lines) in [(Format::Json, 1), (Format::Text, 4)] {
        let text = written(format, std::slice::from_ref(&failure), "hostile");
        assert_eq!(text.lines().count(), lines, "{text}");
        assert!(!text.contains(['\x1b', '\u{202e}', '\u{9b}']), "{text:?}");
    }
}

#[test]
fn ipv4_mapped_peer_is_shown_as_ipv4_and_ipv6_in_brackets() {
    let mapped = Diagnosis { peer_addr: "::ffff:173.245.48.10".parse().unwrap(), ..diagnosis() };
    assert!(written(Format::Text, &[mapped], "mapped").contains("← 173.245.48.10:41234"));
    let v6 = Diagnosis { peer_addr: "2606:4700::1".parse().unwrap(), ..diagnosis() };
    assert!(written(Format::Text, &[v6], "v6").contains("← [2606:4700::1]:41234"));
}

#[test]
fn file_is_private_and_appended_to() {
    let dir = TempDir::new("file");
    let (path, mut stream) = dir.stream(Format::Json);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o137, 0, "no more than 0640");
    stream.write(&diagnosis()).unwrap();
    dir.stream(Format::Json).1.write(&diagnosis()).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
}

#[test]
fn file_that_was_moved_is_let_go_at_once_when_told_to_reopen() {
    let dir = TempDir::new("reopen");
    let (path, mut stream) = dir.stream(Format::Json);
    std::fs::rename(&path, dir.0.join("moved")).unwrap();
    stream.reopen().unwrap();
    assert!(path.exists());
    assert_eq!(std::fs::read_to_string(dir.0.join("moved")).unwrap(), "");
}

#[test]
fn reader_that_leaves_is_a_broken_pipe() {
    let (reader, writer) = io::pipe().unwrap();
    let dir = TempDir::new("pipe");
    let (_, mut stream) = dir.stream(Format::Json);
    stream.output = Output::Stdout(File::from(std::os::fd::OwnedFd::from(writer)));
    drop(reader);
    assert_eq!(stream.write(&diagnosis()).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn file_that_cannot_be_made_is_an_error() {
    let error = Stream::open(&file(Path::new("/nowhere/events")), Format::Json).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}
