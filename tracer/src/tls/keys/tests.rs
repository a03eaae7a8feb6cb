//! `testdata/tls-keys/NAME.txt` says in its first line how its connection was made. Both sides are OpenSSL's tools on the
//! loopback device of a network namespace, with a relay between them that wrote down what each side sent.

use std::{fs, path::Path};

use super::*;
use crate::tls::Alert;

/// One recorded connection.
struct Fixture {
    secrets: Secrets,
    edge: Vec<u8>,
    origin: Vec<u8>,
}

const REQUEST: &[u8] =
    b"GET /a?q=1 HTTP/1.1\r\nHost: www.example.com\r\nCF-Ray: 7d1234567890abcd-LAX\r\nAccept: */*\r\n\r\n";
const SECOND: &[u8] =
    b"GET /second HTTP/1.1\r\nHost: www.example.com\r\nCF-Ray: 7d1234567890abcd-LAX\r\nAccept: */*\r\n\r\n";
const RESPONSE: usize = 2307;

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..][..2], 16).unwrap()).collect()
}

fn lines(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/tls-keys").join(format!("{name}.txt"));
    fs::read_to_string(path).unwrap()
}

fn fixture(name: &str) -> Fixture {
    let text = lines(name);
    let fields = || text.lines().filter_map(|line| line.split_once(' '));
    let suite = fields().find(|(key, _)| *key == "suite").map(|(_, suite)| u16::from_str_radix(suite, 16).unwrap());
    let mut secrets = Secrets::new(suite.map(|suite| Suite::from_wire(suite).unwrap()));
    let (mut edge, mut origin) = (Vec::new(), Vec::new());
    for (key, value) in fields() {
        match (key, value.split_once(' ')) {
            ("secret", Some((label, secret))) => {
                assert!(secrets.hold(Label::parse(label.as_bytes()).unwrap(), &hex(secret)));
            }
            ("randoms", Some((client, server))) => {
                secrets.randoms(hex(client).try_into().unwrap(), hex(server).try_into().unwrap());
            }
            ("edge", None) => edge.extend(hex(value)),
            ("origin", None) => origin.extend(hex(value)),
            _ => {}
        }
    }
    Fixture { secrets, edge, origin }
}

/// What one side sent from its last records on, `back` of them.
fn last(bytes: &[u8], back: usize) -> &[u8] {
    let ends: Vec<_> = records(bytes).map(|record| record.end as usize).collect();
    &bytes[ends[ends.len() - back - 1]..]
}

fn opened(side: Side, bytes: &[u8], hint: u64, secrets: &Secrets) -> Opened {
    let look = match side {
        Side::Edge => http_request,
        Side::Origin => http_response,
    };
    open(side, &Sealed { kept: bytes, len: bytes.len() as u64, sequence_hint: hint }, secrets, look)
}

const AEAD: [&str; 6] =
    ["tls13_aes128gcm", "tls13_aes256gcm", "tls13_chacha", "tls12_aes128gcm", "tls12_aes256gcm", "tls12_chacha"];

#[test]
fn whole_connections_are_read_from_the_first_byte() {
    for name in AEAD {
        let Fixture { secrets, edge, origin } = fixture(name);
        let requests = opened(Side::Edge, &edge, 0, &secrets);
        assert_eq!(requests.outcome, Outcome::ByTag, "{name}: {requests:?}");
        assert_eq!(&*requests.text, [REQUEST, SECOND].concat(), "{name}");
        assert_eq!(requests.data.exact(), Some((REQUEST.len() + SECOND.len()) as u64), "{name}");
        assert!(requests.messages.finished, "{name}");
        assert_eq!(requests.alerts, [Alert { fatal: false, description: 0 }], "{name}");
        let responses = opened(Side::Origin, &origin, 0, &secrets);
        assert!(responses.text.starts_with(b"HTTP/1.1 200 OK\r\n"), "{name}: {responses:?}");
        assert_eq!((responses.text.len(), responses.data.exact()), (2 * RESPONSE, Some(2 * RESPONSE as u64)), "{name}");
        assert_eq!((responses.unopened, responses.cut), (0, Some(false)), "{name}");
        assert_eq!(responses.messages.tickets, if name.starts_with("tls13") { 2 } else { 0 }, "{name}");
    }
}

#[test]
fn a_request_in_the_middle_of_a_connection_is_read_cut_anywhere() {
    for name in AEAD {
        let Fixture { secrets, edge, .. } = fixture(name);
        let kept = last(&edge, 3);
        let first = records(kept).next().unwrap().end as usize;
        for hint in [0, 2, 700] {
            let mut seen = 0;
            for cut in 0..=first {
                let requests = opened(Side::Edge, &kept[..cut], hint, &secrets);
                assert!(REQUEST.starts_with(&requests.text), "{name} {cut}: {requests:?}");
                assert_eq!(requests.cut, if cut == 0 { None } else { Some(cut != first) }, "{name} {cut}");
                if cut == first {
                    assert_eq!((requests.outcome, requests.text.len()), (Outcome::ByTag, REQUEST.len()), "{name}");
                    let expected = u64::from(name.starts_with("tls12"));
                    assert_eq!(requests.sequence, Some(expected), "{name}");
                } else if !requests.text.is_empty() {
                    assert_eq!(requests.outcome, Outcome::ByLook, "{name} {cut}");
                    assert!(requests.text.len() >= 35 && requests.text.len() >= seen, "{name} {cut}");
                    seen = requests.text.len();
                }
            }
            assert_eq!(seen, REQUEST.len(), "{name}: all but the last byte of the tag");
        }
    }
}

#[test]
fn a_response_is_read_from_the_bytes_that_were_kept() {
    for name in AEAD {
        let Fixture { secrets, origin, .. } = fixture(name);
        let kept = last(&origin, 3);
        let sealed = Sealed { kept: &kept[..1900], len: 1_000_000, sequence_hint: 3 };
        let responses = open(Side::Origin, &sealed, &secrets, http_response);
        assert!(
            responses.text.starts_with(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"),
            "{name}: {responses:?}"
        );
        assert!((1887..=1895).contains(&responses.text.len()), "{name}: {responses:?}");
        assert_eq!((responses.outcome, responses.cut), (Outcome::ByLook, None), "{name}");
        assert!(responses.data.least == RESPONSE as u64 && responses.data.most > 990_000, "{name}: {responses:?}");
    }
}

#[test]
fn a_wrong_secret_opens_nothing() {
    for (name, other) in [
        ("tls13_aes128gcm", "key_update"),
        ("tls13_chacha", "key_update_chacha"),
        ("tls12_aes256gcm", "late_tls12_gcm"),
        ("tls12_chacha", "late_tls12_chacha"),
    ] {
        let Fixture { edge, origin, .. } = fixture(name);
        let Fixture { secrets, .. } = fixture(other);
        for (side, bytes) in [(Side::Edge, &edge), (Side::Origin, &origin)] {
            for (kept, outcome) in [
                (&bytes[..], Outcome::NoKeyFits),
                (last(bytes, 3), Outcome::NoKeyFits),
                (&last(bytes, 3)[..100], Outcome::Undecided),
            ] {
                let told = opened(side, kept, 1, &secrets);
                assert_eq!((told.outcome, told.text.len(), told.sequence), (outcome, 0, None), "{name}: {told:?}");
                assert!(!told.messages.finished && told.messages.tickets == 0, "{name}: {told:?}");
            }
        }
    }
}
