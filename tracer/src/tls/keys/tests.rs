//! `testdata/tls-keys/NAME.txt` says in its first line how its connection was made. Both sides are OpenSSL's tools on
//! the loopback device of a network namespace, with a relay between them that wrote down what each side sent.

use std::{fs, path::Path};

use super::*;
use crate::tls::Alert;

/// One recorded connection.
pub(super) struct Fixture {
    pub(super) secrets: Secrets,
    pub(super) edge: Vec<u8>,
    pub(super) origin: Vec<u8>,
}

pub(super) const REQUEST: &[u8] =
    b"GET /a?q=1 HTTP/1.1\r\nHost: www.example.com\r\nCF-Ray: 7d1234567890abcd-LAX\r\nAccept: */*\r\n\r\n";
pub(super) const SECOND: &[u8] =
    b"GET /second HTTP/1.1\r\nHost: www.example.com\r\nCF-Ray: 7d1234567890abcd-LAX\r\nAccept: */*\r\n\r\n";
pub(super) const RESPONSE: usize = 2307;

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..][..2], 16).unwrap()).collect()
}

fn lines(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/tls-keys").join(format!("{name}.txt"));
    fs::read_to_string(path).unwrap()
}

pub(super) fn fixture(name: &str) -> Fixture {
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
pub(super) fn last(bytes: &[u8], back: usize) -> &[u8] {
    let ends: Vec<_> = records(bytes).map(|record| record.end as usize).collect();
    &bytes[ends[ends.len() - back - 1]..]
}

pub(super) fn opened(side: Side, bytes: &[u8], hint: u64, secrets: &Secrets) -> Opened {
    let look = match side {
        Side::Edge => http_request,
        Side::Origin => http_response,
    };
    open(side, &Sealed { kept: bytes, len: bytes.len() as u64, sequence_hint: hint, end: None }, secrets, look)
}

const AEAD: [&str; 6] =
    ["tls13_aes128gcm", "tls13_aes256gcm", "tls13_chacha", "tls12_aes128gcm", "tls12_aes256gcm", "tls12_chacha"];
const CBC: [&str; 10] = [
    "tls12_cbc128_sha1",
    "tls12_cbc128_sha1_etm",
    "tls12_cbc128_sha256",
    "tls12_cbc128_sha256_etm",
    "tls12_cbc256_sha1",
    "tls12_cbc256_sha1_etm",
    "tls12_cbc256_sha256",
    "tls12_cbc256_sha256_etm",
    "tls12_cbc256_sha384",
    "tls12_cbc256_sha384_etm",
];
const CLOSE_NOTIFY: Alert = Alert { fatal: false, description: 0 };

#[test]
fn whole_connections_are_read_from_the_first_byte() {
    for name in AEAD.into_iter().chain(CBC) {
        let Fixture { secrets, edge, origin } = fixture(name);
        let requests = opened(Side::Edge, &edge, 0, &secrets);
        assert_eq!(requests.outcome, Outcome::ByTag, "{name}: {requests:?}");
        assert_eq!(&*requests.text, [REQUEST, SECOND].concat(), "{name}");
        assert_eq!(requests.data.exact(), Some((REQUEST.len() + SECOND.len()) as u64), "{name}");
        assert!(requests.messages.finished, "{name}");
        assert_eq!(requests.alerts, [CLOSE_NOTIFY], "{name}");
        let responses = opened(Side::Origin, &origin, 0, &secrets);
        assert!(responses.text.starts_with(b"HTTP/1.1 200 OK\r\n"), "{name}: {responses:?}");
        assert_eq!((responses.text.len(), responses.data.exact()), (2 * RESPONSE, Some(2 * RESPONSE as u64)), "{name}");
        assert_eq!((responses.unopened, responses.cut), (0, Some(false)), "{name}");
        assert_eq!(responses.messages.tickets, if name.starts_with("tls13") { 2 } else { 0 }, "{name}");
    }
}

#[test]
fn a_request_in_the_middle_of_a_connection_is_read_cut_anywhere() {
    for name in AEAD.into_iter().chain(CBC) {
        let Fixture { secrets, edge, .. } = fixture(name);
        let kept = last(&edge, 3);
        let first = records(kept).next().unwrap().end as usize;
        let mut seen = 0;
        // Short of what a look needs, ChaCha20 is searched in vain through all numbers.
        for cut in (0..20).chain([40]).chain(50..=first) {
            let requests = opened(Side::Edge, &kept[..cut], 2, &secrets);
            assert!(REQUEST.starts_with(&requests.text), "{name} {cut}: {requests:?}");
            assert_eq!(requests.cut, if cut == 0 { None } else { Some(cut != first) }, "{name} {cut}");
            if cut == first {
                assert_eq!((requests.outcome, requests.text.len()), (Outcome::ByTag, REQUEST.len()), "{name}");
                assert_eq!(requests.sequence, Some(u64::from(name.starts_with("tls12"))), "{name}");
            } else if !requests.text.is_empty() {
                assert_eq!(requests.outcome, Outcome::ByLook, "{name} {cut}");
                assert!(requests.text.len() >= 32 && requests.text.len() >= seen, "{name} {cut}");
                seen = requests.text.len();
            }
        }
        // Of CBC only what can be no MAC.
        let all_but_tag = if name.contains("cbc") { REQUEST.len() - 16..REQUEST.len() } else { 89..90 };
        assert!(all_but_tag.contains(&seen), "{name}: {seen}");
    }
}

#[test]
fn a_response_is_read_from_the_bytes_that_were_kept() {
    for name in AEAD.into_iter().chain(CBC) {
        let Fixture { secrets, origin, .. } = fixture(name);
        let kept = last(&origin, 3);
        let sealed = Sealed { kept: &kept[..1900], len: 1_000_000, sequence_hint: 3, end: None };
        let responses = open(Side::Origin, &sealed, &secrets, http_response);
        assert!(
            responses.text.starts_with(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"),
            "{name}: {responses:?}"
        );
        assert!((1864..=1895).contains(&responses.text.len()), "{name}: {responses:?}");
        assert_eq!((responses.outcome, responses.cut), (Outcome::ByLook, None), "{name}");
        let Bounds { least, most } = responses.data;
        assert!(least.abs_diff(RESPONSE as u64) < 16 && (990_000..1_000_000).contains(&most), "{name}: {responses:?}");
        // The origin stopped in the middle of the record.
        let sealed = Sealed { len: 2000, ..sealed };
        let responses = open(Side::Origin, &sealed, &secrets, http_response);
        assert_eq!(responses.cut, Some(true), "{name}");
        assert!((1970..=1995).contains(&responses.data.least), "{name}: {responses:?}");
    }
}

#[test]
fn a_connection_is_joined_late_whatever_the_hint() {
    for (name, in_reach) in [
        ("late_tls13_chacha", true),
        ("late_tls13_aes128gcm", false),
        ("late_tls12_chacha", true),
        ("late_tls12_gcm", false),
        ("late_tls12_cbc", true),
    ] {
        let Fixture { secrets, edge, origin } = fixture(name);
        for hint in [1200, 0, 9_000].into_iter().chain((!in_reach).then_some(1 << 50)) {
            let requests = opened(Side::Edge, &edge, hint, &secrets);
            assert_eq!((requests.outcome, requests.alerts.as_slice()), (Outcome::ByTag, &[CLOSE_NOTIFY][..]), "{name}");
            assert!(requests.sequence.is_some_and(|number| number > 1000), "{name}: {requests:?}");
            assert_eq!(&*requests.text, [REQUEST, REQUEST].concat(), "{name}");
            let responses = opened(Side::Origin, &origin, hint, &secrets);
            assert!(responses.text.starts_with(b"HTTP/1.1 204 No Content\r\n"), "{name}: {responses:?}");
            assert_eq!(responses.unopened, 0, "{name}");
        }
    }
}

#[test]
fn a_record_of_cbc_whose_number_is_out_of_reach_is_read_by_its_look() {
    for name in ["tls12_cbc128_sha256", "tls12_cbc128_sha256_etm"] {
        let Fixture { secrets, origin, .. } = fixture(name);
        let responses = opened(Side::Origin, last(&origin, 3), 1 << 30, &secrets);
        assert_eq!((responses.outcome, responses.sequence), (Outcome::ByLook, None), "{name}: {responses:?}");
        assert_eq!(responses.text.len(), RESPONSE, "{name}: {responses:?}");
    }
}

#[test]
fn updated_keys_are_followed_whether_or_not_they_were_announced() {
    for name in ["key_update", "key_update_chacha"] {
        let Fixture { secrets, edge, origin } = fixture(name);
        let mut first = Secrets::new(secrets.suite);
        for label in [Side::Edge, Side::Origin].map(Label::Traffic) {
            assert!(secrets.of(label).count() > 1, "{name}");
            first.hold(label, secrets.of(label).next().unwrap().bytes());
        }
        for secrets in [&secrets, &first] {
            let requests = opened(Side::Edge, &edge, 0, secrets);
            let updated = String::from_utf8(REQUEST.to_vec()).unwrap().replace("/a?q=1", "/updated");
            assert_eq!(&*requests.text, [REQUEST, updated.as_bytes()].concat(), "{name}: {requests:?}");
            assert_eq!(requests.messages.key_updates, 1, "{name}");
            let responses = opened(Side::Origin, &origin, 0, secrets);
            assert_eq!(responses.text.len(), 3 * RESPONSE, "{name}: {responses:?}");
            assert_eq!(responses.messages.key_updates, 2, "{name}");
            // From behind the last KeyUpdate on, whole and cut.
            let kept = last(&edge, 2);
            assert_eq!(&*opened(Side::Edge, kept, 3, secrets).text, updated.as_bytes(), "{name}");
            let kept = last(&origin, 2);
            assert_eq!(opened(Side::Origin, kept, 9, secrets).text.len(), RESPONSE, "{name}");
        }
        // The KeyUpdate, and a part of what follows.
        let kept = last(&edge, 3);
        let requests = opened(Side::Edge, &kept[..27 + 5 + 80], 0, &first);
        assert!(requests.text.starts_with(b"GET /updated HTTP/1.1\r\n"), "{name}: {requests:?}");
    }
}

#[test]
fn padding_is_taken_off() {
    let Fixture { secrets, edge, origin } = fixture("padded");
    let requests = opened(Side::Edge, &edge, 0, &secrets);
    assert_eq!((&*requests.text, requests.alerts.as_slice()), (REQUEST, &[CLOSE_NOTIFY][..]), "{requests:?}");
    let responses = opened(Side::Origin, &origin, 0, &secrets);
    assert_eq!((responses.text.len(), responses.messages.tickets), (RESPONSE, 2), "{responses:?}");
}

#[test]
fn what_ends_a_handshake_is_read() {
    let Fixture { secrets, edge, origin } = fixture("client_certificate_missing");
    let requests = opened(Side::Edge, &edge, 0, &secrets);
    assert_eq!(requests.messages.certificate_empty, Some(true), "{requests:?}");
    assert!(requests.messages.finished);
    let responses = opened(Side::Origin, &origin, 0, &secrets);
    assert!(responses.messages.certificate_request, "{responses:?}");
    assert_eq!(responses.alerts, [Alert { fatal: true, description: 116 }]);

    let Fixture { secrets, edge, origin } = fixture("client_certificate");
    let requests = opened(Side::Edge, &edge, 0, &secrets);
    assert_eq!((requests.messages.certificate_empty, &*requests.text), (Some(false), REQUEST), "{requests:?}");
    assert!(opened(Side::Origin, &origin, 0, &secrets).alerts.iter().all(|alert| !alert.fatal));

    let Fixture { secrets, edge, origin } = fixture("edge_refuses");
    let requests = opened(Side::Edge, &edge, 0, &secrets);
    assert_eq!(requests.alerts, [Alert { fatal: true, description: 48 }], "in the clear: {requests:?}");
    let responses = opened(Side::Origin, &origin, 0, &secrets);
    assert_eq!(
        (responses.messages.certificate_empty, responses.messages.finished),
        (Some(false), true),
        "{responses:?}"
    );
}

#[test]
fn without_handshake_secrets_the_handshake_is_passed_over() {
    for name in ["tls13_aes128gcm", "tls13_chacha"] {
        let Fixture { secrets, edge, origin } = fixture(name);
        let mut traffic = Secrets::new(None);
        for label in [Side::Edge, Side::Origin].map(Label::Traffic) {
            traffic.hold(label, secrets.of(label).next().unwrap().bytes());
        }
        let requests = opened(Side::Edge, &edge, 0, &traffic);
        assert_eq!((requests.unopened, &*requests.text), (1, &[REQUEST, SECOND].concat()[..]), "{name}: {requests:?}");
        let responses = opened(Side::Origin, &origin, 0, &traffic);
        assert_eq!((responses.unopened, responses.text.len()), (4, 2 * RESPONSE), "{name}: {responses:?}");
        assert_eq!(responses.suite, secrets.suite, "{name}");
    }
}

#[test]
fn what_is_missing_is_told_apart() {
    let Fixture { secrets, edge, .. } = fixture("tls13_aes128gcm");
    assert_eq!(opened(Side::Edge, &[], 0, &secrets).outcome, Outcome::Nothing);
    assert_eq!(opened(Side::Edge, last(&edge, 3), 0, &Secrets::new(None)).outcome, Outcome::NoSecret);
    let mut early = secrets.clone();
    assert!(early.hold(Label::EarlyTraffic, &[7; 32]));
    assert!(opened(Side::Edge, &edge, 0, &early).early_data && !opened(Side::Edge, &edge, 0, &secrets).early_data);
    assert!(!early.hold(Label::Master, &[0; 32]) && !early.hold(Label::Traffic(Side::Edge), &[0; 33]));
    let shown = format!("{early:?} {:?}", opened(Side::Edge, &edge, 0, &secrets));
    assert!(!shown.contains("GET") && !shown.contains("71, 69, 84"), "{shown}");
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
        // A search through all numbers takes seconds without optimisation: for ChaCha20 one side does.
        let sides = [(Side::Edge, &edge), (Side::Origin, &origin)];
        for (side, bytes) in sides.into_iter().take(if name.ends_with("chacha") { 1 } else { 2 }) {
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
