//! `tests/tls/NAME.edge.bin` and `NAME.origin.bin` are what the two sides of one connection sent. Both sides are Python
//! 3.11's `ssl` with OpenSSL 3.0.19, joined by two `MemoryBIO`s, but for these: the edge of `boring_…` is curl_cffi
//! 0.16.3 (BoringSSL as Chrome 136 has it: GREASE, X25519MLKEM768), that of `rustls_…` is rustls 0.23.46, and the
//! origins of `plain_http_…` are the plain HTTP servers of Node.js 20.20.2 and of Python's `http.server`. Certificates
//! are ECDSA P-256, valid until 2035; those of `…_expired` until 2025.

use super::*;

/// Bytes that are kept of each side.
const KEPT: usize = 2000;

struct Case {
    name: &'static str,
    edge: &'static [u8],
    origin: &'static [u8],
}

macro_rules! cases {
    ($($name:literal)*) => {
        [$(Case {
            name: $name,
            edge: include_bytes!(concat!("../../tests/tls/", $name, ".edge.bin")),
            origin: include_bytes!(concat!("../../tests/tls/", $name, ".origin.bin")),
        }),*]
    };
}

static CASES: [Case; 19] = cases! {
    "boring_tls13_client_certificate_missing"
    "no_shared_cipher"
    "no_shared_version"
    "plain_http_page"
    "plain_http_status"
    "rustls_tls13_client_certificate_missing"
    "rustls_tls13_expired"
    "tls12_client_certificate"
    "tls12_client_certificate_missing"
    "tls12_exchange"
    "tls12_expired"
    "tls12_resumed"
    "tls12_unknown_ca"
    "tls13_client_certificate"
    "tls13_client_certificate_missing"
    "tls13_exchange"
    "tls13_expired"
    "tls13_retry"
    "unrecognized_name"
};

fn case(name: &str) -> &'static Case {
    CASES.iter().find(|case| case.name == name).unwrap()
}

fn tail(bytes: &[u8]) -> [u8; 8] {
    let mut tail = [0; 8];
    let len = bytes.len().min(8);
    tail[8 - len..].copy_from_slice(&bytes[bytes.len() - len..]);
    tail
}

/// Reads two whole streams, of which the first bytes are kept.
fn read(edge: &[u8], origin: &[u8]) -> Handshake {
    let kept = |bytes: &[u8]| bytes.len().min(KEPT);
    let (edge_len, origin_len) = (edge.len() as u64, origin.len() as u64);
    Handshake::read(&edge[..kept(edge)], &origin[..kept(origin)], edge_len, origin_len, tail(origin))
}

fn check(name: &str, expected: &Handshake) {
    let case = case(name);
    assert_eq!(read(case.edge, case.origin), *expected, "{name}");
}

fn text(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn fatal(description: u8) -> Option<Alert> {
    Some(Alert { fatal: true, description })
}

/// What all the recorded hellos say, answered in TLS.
fn hello() -> Handshake {
    Handshake {
        hello: true,
        sni: Some("www.example.com".to_owned()),
        offered: vec![Version::Tls13, Version::Tls12],
        alpn: text(&["h2", "http/1.1"]),
        answer: Answer::Tls,
        ..Handshake::default()
    }
}

fn agreed(version: Version) -> Handshake {
    Handshake { agreed: Some(version), ..hello() }
}

/// A record, and a handshake message.
fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3], &(body.len() as u16).to_be_bytes()[..], body].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &(body.len() as u32).to_be_bytes()[1..], body].concat()
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &(body.len() as u16).to_be_bytes(), body].concat()
}

/// A ClientHello with one cipher suite.
fn client_hello(legacy: u16, extensions: &[u8]) -> Vec<u8> {
    let len = (extensions.len() as u16).to_be_bytes();
    let fields = [&legacy.to_be_bytes()[..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0], &len, extensions].concat();
    record(0x16, &message(1, &fields))
}

fn sni(name: &[u8]) -> Vec<u8> {
    let len = name.len() as u16;
    extension(0, &[&(len + 3).to_be_bytes()[..], &[0], &len.to_be_bytes(), name].concat())
}

/// The edge's and the origin's records of a TLS 1.3 handshake, hellos included, with encrypted records of these sizes.
fn sealed(edge: &[usize], origin: &[usize]) -> Handshake {
    let server = [&[3, 3][..], &[7; 32], &[0, 0x13, 1, 0, 0, 6], &extension(43, &[3, 4])].concat();
    let after = |hello: Vec<u8>, sizes: &[usize]| {
        let records = sizes.iter().flat_map(|size| record(0x17, &vec![0xee; *size]));
        hello.into_iter().chain(record(0x14, &[1])).chain(records).collect::<Vec<_>>()
    };
    read(&after(client_hello(0x303, &[]), edge), &after(record(0x16, &message(2, &server)), origin))
}

#[test]
fn a_handshake_that_works_is_finished_and_has_no_alert() {
    let finished = |version| Handshake { edge_finished: true, certificate_requested: Some(false), ..agreed(version) };
    check("tls12_exchange", &finished(Version::Tls12));
    check("tls13_exchange", &finished(Version::Tls13));
    check("tls12_resumed", &Handshake { resumed: true, ..finished(Version::Tls12) });
    check("tls13_retry", &finished(Version::Tls13));
}

#[test]
fn a_client_certificate_is_seen_to_be_given() {
    for (name, version) in [("tls12_client_certificate", Version::Tls12), ("tls13_client_certificate", Version::Tls13)]
    {
        let expected = Handshake { edge_finished: true, certificate_requested: Some(true), ..agreed(version) };
        check(name, &expected);
    }
}

#[test]
fn a_client_certificate_that_is_missing_is_seen_and_so_is_the_refusal() {
    let missing = |version| Handshake {
        edge_finished: true,
        certificate_requested: Some(true),
        edge_certificate_empty: true,
        ..agreed(version)
    };
    let refused = Handshake { origin_alert: fatal(40), ..missing(Version::Tls12) };
    check("tls12_client_certificate_missing", &refused);
    let refused = Handshake { origin_alert_encrypted: true, ..missing(Version::Tls13) };
    check("tls13_client_certificate_missing", &refused);
    check("boring_tls13_client_certificate_missing", &refused);
    check("rustls_tls13_client_certificate_missing", &Handshake { alpn: Vec::new(), ..refused });
}

#[test]
fn an_edge_that_rejects_the_certificate_says_why_where_it_is_readable() {
    let told = |description, version| Handshake { edge_alert: fatal(description), ..agreed(version) };
    check("tls12_expired", &Handshake { certificate_requested: Some(false), ..told(45, Version::Tls12) });
    check("tls12_unknown_ca", &Handshake { certificate_requested: Some(false), ..told(48, Version::Tls12) });
    check("tls13_expired", &told(45, Version::Tls13));
    let sealed = Handshake { edge_alert_encrypted: true, alpn: Vec::new(), ..agreed(Version::Tls13) };
    check("rustls_tls13_expired", &sealed);
}

#[test]
fn an_origin_that_refuses_the_hello_says_why() {
    let only_13 = Handshake { offered: vec![Version::Tls13], ..hello() };
    check("no_shared_version", &Handshake { origin_alert: fatal(70), ..only_13 });
    check("no_shared_cipher", &Handshake { origin_alert: fatal(40), ..hello() });
    check("unrecognized_name", &Handshake { origin_alert: fatal(112), ..hello() });
}

#[test]
fn a_plain_http_answer_is_told_from_tls() {
    check("plain_http_status", &Handshake { answer: Answer::PlainHttp, ..hello() });
    check("plain_http_page", &Handshake { answer: Answer::PlainHttp, ..hello() });
    let of = |origin: &[u8]| read(&client_hello(0x303, &[]), origin).answer;
    assert_eq!(of(b""), Answer::Nothing);
    assert_eq!(of(b"HT"), Answer::Unknown);
    assert_eq!(of(b"\r\n<html>"), Answer::PlainHttp);
    for garbage in [&b"SSH-2.0-OpenSSH"[..], b"\0\0\x06\x04", b"\x17\x03\x03\0\x02hi"] {
        assert_eq!(of(garbage), Answer::Garbage);
    }
    assert_eq!(Handshake::read(&[], &[], 0, 9, [0; 8]).answer, Answer::Unknown);
}

#[test]
fn an_alert_beyond_the_kept_bytes_is_read_from_the_tail() {
    let case = case("tls12_client_certificate_missing");
    let of = |kept: usize, tail: [u8; 8]| {
        let (edge_len, origin_len) = (case.edge.len() as u64, case.origin.len() as u64);
        Handshake::read(case.edge, &case.origin[..kept], edge_len, origin_len, tail).origin_alert
    };
    assert_eq!(of(500, tail(case.origin)), fatal(40));
    assert_eq!(of(0, tail(case.origin)), fatal(40));
    assert_eq!(of(500, [0xee, 0x15, 3, 3, 0, 2, 1, 40]), None, "a warning after much else");
    assert_eq!(of(500, [0xee, 0x15, 3, 3, 0, 2, 2, 0]), None, "close_notify");
    assert_eq!(of(500, [0x15, 3, 3, 0, 2, 2, 40, 0xee]), None, "not at the end");
    assert_eq!(of(case.origin.len(), [0xee, 0x15, 3, 3, 0, 2, 2, 80]), fatal(40), "nothing is beyond");
}

#[test]
fn a_warning_counts_only_as_the_whole_answer() {
    let warning = record(0x15, &[1, 112]);
    let of = |origin: &[u8]| read(&client_hello(0x303, &[]), origin).origin_alert;
    assert_eq!(of(&warning), Some(Alert { fatal: false, description: 112 }));
    assert_eq!(of(&[&warning[..], &record(0x15, &[1, 0])].concat()).unwrap().description, 112);
    assert_eq!(of(&[&warning[..], case("tls12_exchange").origin].concat()), None);
    assert_eq!(of(&record(0x15, &[1, 0])), None);
    assert_eq!(of(&record(0x15, &[2, 0])), None);
    assert_eq!(of(&record(0x15, &[9, 40])), None);
}

#[test]
fn a_server_hello_after_a_warning_is_found() {
    let case = case("tls12_exchange");
    let both = read(case.edge, &[&record(0x15, &[1, 112]), case.origin].concat());
    assert_eq!(both, read(case.edge, case.origin));
}

#[test]
fn alerts_are_spelt_as_in_the_registry() {
    let name = |description| Alert { fatal: true, description }.to_string();
    assert_eq!(name(40), "handshake_failure");
    assert_eq!(name(116), "certificate_required");
    assert_eq!(name(200), "200");
}

#[test]
fn versions_read_as_people_write_them() {
    assert_eq!(Version::Tls13.to_string(), "TLS 1.3");
    assert_eq!(Version::Ssl3.to_string(), "SSL 3.0");
    assert_eq!(Version::Other(0x7f17).to_string(), "TLS 0x7f17");
    assert!(Version::Tls12 < Version::Tls13);
}

#[test]
fn a_hello_without_a_list_of_versions_implies_the_older_ones() {
    let offered = |legacy| read(&client_hello(legacy, &[]), &[]).offered;
    assert_eq!(offered(0x303), [Version::Tls12, Version::Tls11, Version::Tls10]);
    assert_eq!(offered(0x301), [Version::Tls10]);
    assert_eq!(offered(0x300), [Version::Ssl3]);
}

#[test]
fn grease_is_neither_a_version_nor_a_protocol() {
    let versions = extension(43, &[8, 0x5a, 0x5a, 3, 3, 3, 4, 0x7f, 0x17]);
    let alpn = extension(16, &[0, 14, 2, 0x5a, 0x5a, 2, b'h', b'2', 0, 2, 1, 2, 3, b'f', b'o', b'o']);
    let facts = read(&client_hello(0x303, &[versions, alpn].concat()), &[]);
    assert_eq!(facts.offered, [Version::Other(0x7f17), Version::Tls13, Version::Tls12]);
    assert_eq!(facts.alpn, ["h2", "foo"]);
}

#[test]
fn no_more_than_eight_protocols_are_listed() {
    let names: Vec<u8> = (b'a'..=b'z').flat_map(|letter| [1, letter]).collect();
    let facts = read(&client_hello(0x303, &extension(16, &[&[0, 52], &names[..]].concat())), &[]);
    assert_eq!(facts.alpn, ["a", "b", "c", "d", "e", "f", "g", "h"]);
}

#[test]
fn only_a_name_that_dns_could_hold_is_an_sni() {
    let of = |name: &[u8]| read(&client_hello(0x303, &sni(name)), &[]).sni;
    assert_eq!(of(b"a_b.Example-1.com").as_deref(), Some("a_b.Example-1.com"));
    assert_eq!(of(&[b'a'; 253]).map(|name| name.len()), Some(253));
    for name in [&b""[..], b"a b", b"x\x1b[2J", b"\xc3\xa4.de", b"a/b", &[b'a'; 254]] {
        assert_eq!(of(name), None);
    }
}

#[test]
fn an_extension_that_makes_no_sense_hides_no_other() {
    let broken = extension(43, &[9, 3, 4, 3]);
    let facts = read(&client_hello(0x303, &[broken, extension(22, &[1]), sni(b"host")].concat()), &[]);
    assert_eq!(facts.sni.as_deref(), Some("host"));
}

#[test]
fn a_cut_hello_tells_what_is_whole_and_claims_no_old_version() {
    let whole = client_hello(0x303, &[sni(b"host"), extension(43, &[2, 3, 4])].concat());
    let facts = read(&whole[..whole.len() - 1], &[]);
    assert_eq!(facts.sni.as_deref(), Some("host"));
    assert_eq!(facts.offered, []);
    assert_eq!(read(&whole, &[]).offered, [Version::Tls13]);
}

#[test]
fn messages_that_span_records_read_the_same() {
    let whole = |edge: &[u8], origin: &[u8]| {
        Handshake::read(edge, origin, edge.len() as u64, origin.len() as u64, tail(origin))
    };
    for Case { name, edge, origin } in &CASES {
        for size in [1, 2, 3, 7, 100] {
            let facts = whole(&split(edge, size), &split(origin, size));
            assert_eq!(facts, whole(edge, origin), "{name} in records of {size}");
        }
    }
}

/// The stream with the handshake messages before the first encryption in records of `size` bytes.
fn split(bytes: &[u8], size: usize) -> Vec<u8> {
    let mut clear = true;
    let pieces = record::records(bytes).flat_map(|this| {
        clear &= matches!(this.kind.0, 0x15 | 0x16);
        let size = if clear && this.kind.0 == 0x16 { size } else { this.len };
        this.body.chunks(size).flat_map(|piece| record(this.kind.0, piece)).collect::<Vec<_>>()
    });
    let split: Vec<u8> = pieces.collect();
    if split.is_empty() { bytes.to_vec() } else { split }
}

#[test]
fn sizes_in_tls13_tell_what_the_edge_did() {
    let of = |sizes: &[usize]| {
        let facts = sealed(sizes, &[]);
        (facts.edge_finished, facts.certificate_requested, facts.edge_certificate_empty, facts.edge_alert_encrypted)
    };
    assert_eq!(of(&[]), (false, None, false, false));
    for finished in [53, 69] {
        assert_eq!(of(&[finished]), (true, Some(false), false, false));
        assert_eq!(of(&[finished, 19]), (true, Some(false), false, false), "close_notify");
        assert_eq!(of(&[25, finished]), (true, Some(true), true, false));
        assert_eq!(of(&[8 + finished]), (true, Some(true), true, false), "both in one record");
        assert_eq!(of(&[700, 96, finished, 300]), (true, Some(true), false, false));
    }
    assert_eq!(of(&[900, 300]), (true, Some(true), false, false), "certificate and Finished in one record");
    assert_eq!(of(&[25]), (false, Some(true), true, false));
    assert_eq!(of(&[19]), (false, None, false, true));
    assert_eq!(of(&[19, 53]), (false, None, false, true));
    assert_eq!(of(&[40]), (false, None, false, false));
    assert_eq!(of(&[60]), (true, None, false, false), "a padded one");
}

#[test]
fn a_record_that_was_not_sent_to_its_end_is_no_finished() {
    let case = case("tls13_exchange");
    let end = case.edge.len() - 5 - 58;
    assert!(read(&case.edge[..end], case.origin).edge_finished);
    assert!(!read(&case.edge[..end - 1], case.origin).edge_finished);
    // Sent and not kept is another matter.
    let cut = Handshake::read(&case.edge[..end - 60], case.origin, end as u64, case.origin.len() as u64, [0; 8]);
    assert!(cut.edge_finished);
}

#[test]
fn a_close_notify_after_tickets_or_data_is_no_refusal() {
    let refused = |origin: &[usize]| sealed(&[53], origin).origin_alert_encrypted;
    assert!(refused(&[38, 800, 96, 53, 19]));
    assert!(refused(&[1000, 19]), "the whole flight in one record");
    assert!(!refused(&[38, 800, 96, 53, 266, 19]));
    assert!(!refused(&[1000, 266, 19]));
    assert!(!refused(&[38, 800, 96, 53, 19, 57]));
    assert!(!refused(&[38, 2000, 96, 53, 19]), "out of sight");
    assert!(!refused(&[19]));
    assert!(!sealed(&[19], &[1000, 19]).origin_alert_encrypted, "the edge gave up first");
}

#[test]
fn early_data_leaves_the_sizes_without_a_meaning() {
    let edge = [client_hello(0x303, &extension(42, &[])), record(0x17, &[0; 53])].concat();
    let facts = read(&edge, case("tls13_exchange").origin);
    assert_eq!(facts.agreed, Some(Version::Tls13));
    assert_eq!((facts.edge_finished, facts.certificate_requested), (false, None));
}

/// Whether `after`, read from more bytes, says nothing else than `before`.
fn agree(before: &Handshake, after: &Handshake) -> bool {
    fn some<T: PartialEq>(before: &Option<T>, after: &Option<T>) -> bool {
        before.is_none() || before == after
    }
    fn list<T: PartialEq>(before: &[T], after: &[T]) -> bool {
        before.is_empty() || before == after
    }
    before.hello <= after.hello
        && some(&before.sni, &after.sni)
        && list(&before.offered, &after.offered)
        && list(&before.alpn, &after.alpn)
        && some(&before.agreed, &after.agreed)
        && some(&before.origin_alert, &after.origin_alert)
        && before.origin_alert_encrypted <= after.origin_alert_encrypted
        && some(&before.edge_alert, &after.edge_alert)
        && before.edge_alert_encrypted <= after.edge_alert_encrypted
        && before.edge_finished <= after.edge_finished
        && some(&before.certificate_requested, &after.certificate_requested)
        && before.edge_certificate_empty <= after.edge_certificate_empty
        && (matches!(before.answer, Answer::Unknown | Answer::Nothing) || before.answer == after.answer)
}

/// Reads ever longer prefixes and holds each against the one before.
fn grows(name: &str, len: usize, read: impl Fn(usize) -> Handshake) {
    let mut before = Handshake::default();
    for len in 0..=len {
        let after = read(len);
        assert!(agree(&before, &after), "{name}: {len} bytes turn {before:?} into {after:?}");
        before = after;
    }
}

#[test]
fn more_kept_bytes_never_take_a_fact_back() {
    for Case { name, edge, origin } in &CASES {
        let (edge_len, origin_len) = (edge.len() as u64, origin.len() as u64);
        let of = |e: usize, o: usize| Handshake::read(&edge[..e], &origin[..o], edge_len, origin_len, tail(origin));
        grows(name, edge.len(), |len| of(len, origin.len()));
        grows(name, origin.len(), |len| of(edge.len(), len));
        grows(name, edge.len().min(origin.len()), |len| of(len, len));
    }
}

#[test]
fn more_sent_bytes_never_take_a_fact_back() {
    for Case { name, edge, origin } in &CASES {
        grows(name, edge.len(), |len| read(&edge[..len], origin));
        grows(name, origin.len(), |len| read(edge, &origin[..len]));
        grows(name, edge.len().min(origin.len()), |len| read(&edge[..len], &origin[..len]));
    }
}

#[test]
fn any_byte_may_be_wrong() {
    for Case { edge, origin, .. } in &CASES {
        for mask in [0xff, 0x01] {
            for at in 0..edge.len().max(origin.len()) {
                let flipped = |bytes: &[u8]| {
                    let mut bytes = bytes.to_vec();
                    bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= mask);
                    bytes
                };
                for facts in [read(&flipped(edge), origin), read(edge, &flipped(origin))] {
                    assert!(facts.sni.is_none_or(|name| name.len() <= 253 && name.is_ascii()));
                    assert!(facts.alpn.len() <= 8);
                }
            }
        }
    }
}

#[test]
fn rubbish_is_no_handshake() {
    for bytes in
        [&b""[..], b"GET / HTTP/1.1\r\n\r\n", &[0x16; 2000], &[0xff; 2000], &[0; 2000], b"\x16\x03\x01\xff\xff\x01"]
    {
        let facts = read(bytes, bytes);
        assert_eq!((facts.hello, facts.agreed, facts.edge_finished), (false, None, false));
    }
    assert!(read(&[0x16, 3, 3, 0, 0].repeat(400), &[0x14, 3, 3, 0, 0].repeat(400)).sni.is_none());
}

#[test]
fn every_prefix_of_a_hello_says_how_much_of_it_is_missing() {
    for name in ["tls13_exchange", "boring_tls13_client_certificate_missing", "rustls_tls13_expired", "tls12_exchange"]
    {
        let edge = case(name).edge;
        let size = 5 + usize::from(u16::from_be_bytes([edge[3], edge[4]]));
        for len in 0..=size {
            let kept = &edge[..len.min(KEPT)];
            let cut = Handshake::read(kept, &[], len as u64, 0, [0; 8]).hello_cut;
            let expected = (9..size).contains(&len).then_some((len as u64, size as u64));
            assert_eq!(cut, expected, "{name}: {len} of {size} bytes");
        }
    }
}

#[test]
fn a_hello_over_several_records_ends_behind_the_last_of_their_headers() {
    // 520 bytes of message in records of 256: three of them.
    let edge = [0x16, 3, 1, 1, 0, 1, 0, 2, 4];
    assert_eq!(Handshake::read(&edge, &[], 261, 0, [0; 8]).hello_cut, Some((261, 535)));
    assert_eq!(Handshake::read(&edge, &[], 535, 0, [0; 8]).hello_cut, None);
}
