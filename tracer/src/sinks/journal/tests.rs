use std::collections::BTreeMap;
use std::io::{IoSliceMut, Read as _, Seek as _};
use std::path::PathBuf;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::*;
use crate::events;
use crate::sinks::sample::diagnosis;

/// A socket as journald has it, removed in the end.
struct Listener {
    path: PathBuf,
    socket: UnixDatagram,
}

impl Listener {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tracer-journal-{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        Self { socket: UnixDatagram::bind(&path).unwrap(), path }
    }

    /// The next entry: from the datagram, or from the file that came with an empty one.
    fn entry(&self) -> (BTreeMap<String, Vec<String>>, bool) {
        let mut bytes = vec![0; 1 << 20];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let length = recvmsg(&self.socket, &mut parts, &mut control, RecvFlags::empty()).unwrap().bytes;
        let fds = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        let is_file = fds.is_some();
        let text = match fds {
            Some(fd) => {
                assert_eq!(length, 0, "either bytes or a file");
                let seals = rustix::fs::fcntl_get_seals(&fd).unwrap();
                assert!(seals.contains(SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL));
                let (mut file, mut text) = (File::from(fd), String::new());
                file.rewind().unwrap();
                file.read_to_string(&mut text).unwrap();
                text
            }
            None => String::from_utf8(bytes[..length].to_vec()).unwrap(),
        };
        (parse(&text), is_file)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The text form of the protocol, by its rules.
fn parse(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut fields = BTreeMap::<_, Vec<_>>::new();
    for line in text.strip_suffix('\n').unwrap().split('\n') {
        let (name, value) = line.split_once('=').unwrap();
        assert!(name.len() <= 64 && name.starts_with(|c: char| c.is_ascii_uppercase()), "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'), "{name}");
        fields.entry(name.to_owned()).or_default().push(value.to_owned());
    }
    fields
}

fn sent(diagnosis: &Diagnosis, name: &str) -> (BTreeMap<String, Vec<String>>, bool) {
    let listener = Listener::new(name);
    Journal::open(&listener.path).unwrap().write(diagnosis).unwrap();
    listener.entry()
}

#[test]
fn a_failure_is_an_entry_with_a_field_for_all_that_is_known() {
    let (fields, _) = sent(&diagnosis(), "fields");
    let one = |name: &str| fields[name].join("|");
    assert_eq!((one("MESSAGE_ID").as_str(), one("PRIORITY").as_str()), (MESSAGE_ID, "3"));
    assert_eq!(one("SYSLOG_IDENTIFIER"), "tracer");
    assert_eq!(
        one("MESSAGE"),
        "520 empty_reply certain  GET www.example.com/api/users  ray 7d1234567890abcd-LAX  \
         nginx[1234] (nginx.service) on :80 ← 173.245.48.10:41234"
    );
    for (name, value) in [
        ("CAUSE", "empty_reply"),
        ("EDGE_STATUS", "520"),
        ("CERTAINTY", "certain"),
        ("RAY", "7d1234567890abcd-LAX"),
        ("HOST", "www.example.com"),
        ("PROCESS", "nginx"),
        ("PID", "1234"),
        ("REUSED", "false"),
        ("IDLE_MS", "0.9"),
        ("PEER_ADDR", "173.245.48.10"),
    ] {
        assert_eq!(one(&format!("TRACER_{name}")), value);
    }
    assert_eq!(fields["TRACER_EVIDENCE"].len(), 3);
    assert!(!fields.contains_key("TRACER_RESPONSE_STATUS"), "not known is not there");
}

#[test]
fn every_field_of_the_record_has_its_name_in_the_journal() {
    let Value::Object(record) = serde_json::to_value(diagnosis()).unwrap() else { panic!("no object") };
    let known: Vec<_> = record.iter().filter(|(_, value)| !value.is_null()).collect();
    let (fields, _) = sent(&diagnosis(), "names");
    for (name, _) in &known {
        assert!(fields.contains_key(&format!("TRACER_{}", name.to_uppercase())), "{name}");
    }
    assert_eq!(fields.keys().filter(|name| name.starts_with("TRACER_")).count(), known.len());
}

#[test]
fn an_entry_is_read_again_as_the_record_that_it_was() {
    let (fields, _) = sent(&diagnosis(), "again");
    let printed = fields.into_iter().map(|(name, values)| match <[String; 1]>::try_from(values) {
        Ok([value]) => (name, Value::String(value)),
        Err(values) => (name, values.into()),
    });
    let entry = serde_json::to_vec(&Value::Object(printed.collect())).unwrap();
    let line = serde_json::to_vec(&diagnosis()).unwrap();
    assert_eq!(events::journal_record(&entry).unwrap(), events::event(&line).unwrap());
}

#[test]
fn foreign_text_makes_no_field_and_reaches_no_terminal() {
    let nasty = || Some("a\nMESSAGE=forged\n\x1b[2J\u{202e}=\0".to_owned());
    let failure = Diagnosis { path: nasty(), host: nasty(), ray: nasty(), process: nasty(), ..diagnosis() };
    let (fields, _) = sent(&failure, "nasty");
    assert_eq!(fields["MESSAGE"].len(), 1);
    assert_eq!(fields["TRACER_PATH"], ["a\\nMESSAGE=forged\\n\\u{1b}[2J\\u{202e}=\\0"]);
    assert!(fields.values().flatten().all(|value| !value.contains(['\x1b', '\u{202e}', '\0'])));
}

#[test]
fn an_entry_too_large_for_a_datagram_comes_as_a_sealed_file() {
    let failure = Diagnosis { advice: "x".repeat(1 << 20), ..diagnosis() };
    let (fields, is_file) = sent(&failure, "large");
    assert!(is_file);
    assert_eq!(fields["TRACER_ADVICE"][0].len(), 1 << 20);
    assert!(!sent(&diagnosis(), "small").1);
}

#[test]
fn a_journal_that_is_gone_is_an_error_and_one_that_is_back_gets_the_next() {
    let listener = Listener::new("gone");
    let path = listener.path.clone();
    let journal = Journal::open(&path).unwrap();
    drop(listener);
    assert_eq!(journal.write(&diagnosis()).unwrap_err().kind(), io::ErrorKind::NotFound);
    let listener = Listener::new("gone");
    journal.write(&diagnosis()).unwrap();
    assert_eq!(listener.entry().0["TRACER_CAUSE"], ["empty_reply"]);
}

#[test]
fn no_journal_at_the_start_is_an_error() {
    assert_eq!(Journal::open(Path::new("/nowhere/socket")).unwrap_err().kind(), io::ErrorKind::NotFound);
}
