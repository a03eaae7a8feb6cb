//! On recorded connections, each of two exchanges and a `close_notify` of both sides, in records of their own.

use super::super::samples::{self, Recorded, record};
use super::*;

macro_rules! recorded {
    ($($name:literal),+ $(,)?) => {
        [$(($name, Recorded::read(include_str!(concat!("../../../testdata/tls-keys/", $name, ".txt"))))),+]
    };
}

fn aead() -> [(&'static str, Recorded); 6] {
    recorded![
        "tls13_aes128gcm",
        "tls13_aes256gcm",
        "tls13_chacha",
        "tls12_aes128gcm",
        "tls12_aes256gcm",
        "tls12_chacha"
    ]
}

fn cbc() -> [(&'static str, Recorded); 4] {
    recorded!["tls12_cbc128_sha1", "tls12_cbc128_sha256_etm", "tls12_cbc256_sha256", "tls12_cbc256_sha384_etm"]
}

/// Bytes of each response.
const RESPONSE: u64 = 2307;

/// Its two requests, its two responses, and its last words, by records counted from the end.
const REQUEST: std::ops::Range<usize> = 2..3;
const REQUESTS: std::ops::Range<usize> = 1..3;
const ANSWER: std::ops::Range<usize> = 2..3;
const ANSWERS: std::ops::Range<usize> = 1..3;
const LAST_ANSWER: std::ops::Range<usize> = 1..2;
const GOODBYE: std::ops::Range<usize> = 0..1;

#[test]
fn a_request_without_an_answer_is_read_in_every_suite() {
    for (name, recorded) in aead().into_iter().chain(cbc()) {
        let record = record(recorded.edge(REQUEST), &[]);
        let said = Said::read(&record, &recorded.session()).unwrap_or_else(|| panic!("{name}"));
        assert!(
            said.requests.starts_with(b"GET /a?q=1 HTTP/1.1\r\n") && said.requests.ends_with(b"\r\n\r\n"),
            "{name}"
        );
        assert_eq!(said.requested, said.requests.len() as u64, "{name}");
        let answer = said.answer.unwrap();
        assert_eq!((answer.head.len(), answer.sent.exact(), answer.closed), (0, Some(0), false), "{name}");
    }
}

#[test]
fn the_end_of_a_response_beyond_what_is_kept_gives_its_length_and_its_last_bytes() {
    for (name, recorded) in aead() {
        for (packets, closed) in [(&[LAST_ANSWER][..], false), (&[LAST_ANSWER, GOODBYE], true)] {
            let packets: Vec<_> = packets.iter().map(|range| recorded.origin(range.clone())).collect();
            let said = Said::read(&record(recorded.edge(REQUEST), &packets), &recorded.session()).unwrap();
            let answer = said.answer.unwrap();
            assert!(answer.head.starts_with(b"HTTP/1.1 200 OK\r\n"), "{name}: {answer:?}");
            assert_eq!((answer.sent.exact(), answer.cut), (Some(RESPONSE), false), "{name}: {answer:?}");
            assert_eq!((answer.closed, answer.alert), (closed, None), "{name}: {answer:?}");
            assert!(!answer.tail.is_empty(), "{name}: {answer:?}");
        }
    }
}

#[test]
fn of_a_cbc_suite_the_length_of_a_long_response_is_known_within_bounds_only() {
    for (name, recorded) in cbc() {
        let said =
            Said::read(&record(recorded.edge(REQUEST), &[recorded.origin(ANSWERS)]), &recorded.session()).unwrap();
        let answer = said.answer.unwrap();
        assert!(answer.head.starts_with(b"HTTP/1.1 200 OK\r\n"), "{name}: {answer:?}");
        assert_eq!(answer.sent.exact(), None, "{name}: {answer:?}");
        assert!(answer.sent.least <= 2 * RESPONSE && 2 * RESPONSE <= answer.sent.most, "{name}: {answer:?}");
    }
}

#[test]
fn two_exchanges_that_are_kept_behind_one_another_are_read_as_one_text() {
    for (name, recorded) in aead() {
        let record = record(recorded.edge(REQUESTS), &[recorded.origin(ANSWERS)]);
        let said = Said::read(&record, &recorded.session()).unwrap();
        let text = String::from_utf8_lossy(&said.requests);
        assert!(text.starts_with("GET /a?q=1 ") && text.contains("\r\n\r\nGET /second "), "{name}: {text}");
        assert_eq!(said.answer.unwrap().sent.exact(), Some(2 * RESPONSE), "{name}");
    }
}

#[test]
fn session_tickets_are_no_byte_of_a_response() {
    for (name, recorded) in aead().into_iter().filter(|(name, _)| name.starts_with("tls13")) {
        let read = |packets: &[&[u8]]| {
            let said = Said::read(&record(recorded.edge(REQUEST), packets), &recorded.session()).unwrap();
            said.answer.unwrap()
        };
        let alone = read(&[recorded.origin(3..5)]);
        assert_eq!((alone.head.len(), alone.sent.exact(), alone.cut), (0, Some(0), false), "{name}: {alone:?}");
        let before = read(&[recorded.origin(3..5), recorded.origin(ANSWER)]);
        assert!(before.head.starts_with(b"HTTP/1.1 200 OK\r\n"), "{name}: {before:?}");
        assert_eq!(before.sent.exact(), Some(RESPONSE), "{name}: {before:?}");
    }
}

#[test]
fn a_record_that_is_cut_is_told_as_such() {
    for (name, recorded) in aead() {
        let cut = &recorded.origin(ANSWER)[..2000];
        let answer = Said::read(&record(recorded.edge(REQUEST), &[cut]), &recorded.session()).unwrap().answer.unwrap();
        assert!(answer.cut && answer.sent.most < RESPONSE, "{name}: {answer:?}");
    }
}

#[test]
fn a_request_that_came_too_late_has_no_answer() {
    let [(_, recorded), ..] = aead();
    let mut late = record(recorded.edge(REQUEST), &[recorded.origin(ANSWER)]);
    (late.trigger, late.conn.late_len) = (triggers::LATE, late.conn.request_len);
    let said = Said::read(&late, &recorded.session()).unwrap();
    assert!(said.requests.starts_with(b"GET /a?q=1 ") && said.answer.is_none());
}

#[test]
fn wrong_secrets_none_and_a_connection_that_is_not_sealed_give_nothing() {
    let [(_, recorded), (_, other), ..] = aead();
    let sealed = record(recorded.edge(REQUEST), &[recorded.origin(ANSWER)]);
    assert!(Said::read(&sealed, &recorded.session()).is_some());
    assert!(Said::read(&sealed, &other.session()).is_none());
    assert!(Said::read(&sealed, &samples::session()).is_none());
    assert!(Said::read(&sealed, &Session::take(&mut zerocopy::FromZeros::new_zeroed())).is_none());
    let mut plain = sealed;
    plain.conn.flags &= !flag::SEALED;
    assert!(Said::read(&plain, &recorded.session()).is_none());
}

#[test]
fn what_was_said_is_shown_by_no_debug() {
    let [(_, recorded), ..] = aead();
    let said = Said::read(&record(recorded.edge(REQUEST), &[recorded.origin(ANSWER)]), &recorded.session()).unwrap();
    let shown = format!("{said:?}");
    assert!(!shown.contains("GET") && !shown.contains("71, 69, 84"), "{shown}");
}

#[test]
fn no_length_of_a_record_makes_a_panic() {
    let [(_, recorded), ..] = aead();
    let sound = record(recorded.edge(REQUEST), &[recorded.origin(LAST_ANSWER), recorded.origin(GOODBYE)]);
    for number in [0, 1, 4, 5, 1888, 1889, 2048, 65_536, u32::MAX] {
        for field in 0..7 {
            let mut hostile = sound;
            let conn = &mut hostile.conn;
            match field {
                0 => conn.request_have = number,
                1 => conn.request_len = number,
                2 => conn.response_have = number,
                3 => conn.response_len = number,
                4 => conn.chunk_at = number,
                5 => conn.exchanges = number,
                // Every number of the end: records, positions and lengths.
                _ => {
                    for at in (SEALED_RESPONSE_LEN..SEALED_RESPONSE_LEN + 32).step_by(4) {
                        let mut hostile = sound;
                        hostile.heads.response[at..at + 4].copy_from_slice(&number.to_ne_bytes());
                        let _read = Said::read(&hostile, &recorded.session());
                    }
                }
            }
            let _read = Said::read(&hostile, &recorded.session());
        }
    }
}
