//! The recorded connections of `testdata/tls-keys` once more, with the AES keys alone.

use super::super::proptests::seal;
use super::super::schedule::{expand_label, key_block};
use super::super::suite::Hash;
use super::super::tests::{Fixture, REQUEST, RESPONSE, SECOND, fixture, last, opened};
use super::super::*;
use super::*;

const GCM: [&str; 4] = ["tls13_aes128gcm", "tls13_aes256gcm", "tls12_aes128gcm", "tls12_aes256gcm"];

/// The AES keys that a server takes in the handshake of this suite, in its order, among others.
fn keys_of(secrets: &Secrets) -> Secrets {
    let suite = secrets.suite.unwrap();
    let len = suite.cipher.key_len();
    let mut keys = Secrets::new(secrets.suite);
    assert!(keys.hold(Label::AesKey, &vec![9; len]));
    if suite.tls13 {
        for label in [Label::HandshakeTraffic, Label::Traffic] {
            for side in [Side::Origin, Side::Edge] {
                let mut key = vec![0; len];
                assert!(expand_label(suite.hash, secrets.of(label(side)).next().unwrap(), "key", &mut key));
                assert!(keys.hold(Label::AesKey, &key));
            }
        }
    } else {
        let mut block = vec![0; 2 * len];
        key_block(suite.hash, secrets.of(Label::Master).next().unwrap(), &secrets.randoms.unwrap(), &mut block);
        for key in block.chunks(len) {
            assert!(keys.hold(Label::AesKey, key));
        }
    }
    // The generator of random numbers has one of another length, or of this one.
    assert!(keys.hold(Label::AesKey, &[8; 32]));
    keys
}

fn bare(name: &str) -> Fixture {
    let fixture = fixture(name);
    Fixture { secrets: keys_of(&fixture.secrets), ..fixture }
}

#[test]
fn whole_connections_are_read_from_the_first_byte_by_keys_alone() {
    for name in GCM {
        let Fixture { secrets, edge, origin } = bare(name);
        let requests = opened(Side::Edge, &edge, 0, &secrets);
        assert_eq!((requests.outcome, &*requests.text), (Outcome::ByTag, &*[REQUEST, SECOND].concat()), "{name}");
        assert!(requests.messages.finished && requests.alerts.len() == 1, "{name}: {requests:?}");
        let responses = opened(Side::Origin, &origin, 0, &secrets);
        assert!(responses.text.starts_with(b"HTTP/1.1 200 OK\r\n"), "{name}: {responses:?}");
        assert_eq!((responses.text.len(), responses.data.exact()), (2 * RESPONSE, Some(2 * RESPONSE as u64)), "{name}");
        assert_eq!((responses.unopened, responses.cut), (0, Some(false)), "{name}");
    }
}

#[test]
fn a_request_in_the_middle_of_a_connection_is_read_where_its_record_is_whole() {
    for name in GCM {
        let Fixture { secrets, edge, .. } = bare(name);
        let kept = last(&edge, 3);
        let first = records(kept).next().unwrap().end as usize;
        for cut in 0..first {
            let requests = opened(Side::Edge, &kept[..cut], 0, &secrets);
            assert!(requests.text.is_empty(), "{name} {cut}: {requests:?}");
        }
        let requests = opened(Side::Edge, &kept[..first], 0, &secrets);
        assert_eq!((requests.outcome, &*requests.text), (Outcome::ByTag, REQUEST), "{name}");
    }
}

#[test]
fn a_response_of_which_the_beginning_was_kept_is_read_by_its_status_line() {
    for name in GCM {
        let Fixture { secrets, origin, .. } = bare(name);
        let kept = last(&origin, 3);
        let response = opened(Side::Origin, &kept[..200], 1, &secrets);
        assert_eq!(response.outcome, Outcome::ByLook, "{name}: {response:?}");
        assert!(response.text.starts_with(b"HTTP/1.1 200 OK\r\n") && response.text.len() > 150, "{name}: {response:?}");
    }
}

#[test]
fn other_keys_open_nothing() {
    for name in GCM {
        let Fixture { secrets, edge, origin } = fixture(name);
        let mut other = Secrets::new(secrets.suite);
        for fill in 0..8 {
            assert!(other.hold(Label::AesKey, &vec![fill; secrets.suite.unwrap().cipher.key_len()]));
        }
        for (side, bytes) in [(Side::Edge, &edge), (Side::Origin, &origin)] {
            let told = opened(side, last(bytes, 3), 0, &other);
            assert!(told.text.is_empty() && told.outcome == Outcome::NoKeyFits, "{name}: {told:?}");
        }
    }
}

/// What was said in records of TLS 1.3 with a key alone, from record `first` on.
fn said(first: u64, pieces: &[&[u8]], kept: usize, hint: u64, side: Side) -> Opened {
    let suite = Suite::from_wire(0x1301).unwrap();
    let secret = [5; 32];
    let pieces: Vec<_> = pieces.iter().map(|piece| (piece.to_vec(), 0)).collect();
    let wire = seal(suite, &secret, first, &pieces).concat();
    let mut key = [0; 16];
    assert!(expand_label(Hash::Sha256, &Secret::new(&secret).unwrap(), "key", &mut key));
    let mut secrets = Secrets::new(Some(suite));
    assert!(secrets.hold(Label::AesKey, &key));
    let kept = &wire[..kept.min(wire.len())];
    let sealed = Sealed { kept, len: wire.len() as u64, sequence_hint: hint, end: None };
    open(side, &sealed, &secrets, [http_request, http_response][side as usize])
}

#[test]
fn what_goes_on_is_counted_where_its_nonce_is_not_known_and_read_where_it_is() {
    let (head, body) = (&b"POST /a/long/path HTTP/1.1\r\nHost: www.example.com\r\n\r\n"[..], [b'b'; 300]);
    let kept = head.len() + 22 + 100;
    let later = said(40, &[head, &body], kept, 7, Side::Edge);
    assert_eq!((&*later.text, later.data.exact()), (head, Some((head.len() + body.len()) as u64)));
    // The first request's record has the number 0.
    let first = said(0, &[head, &body], kept, 0, Side::Edge);
    assert_eq!(&*first.text, [head, &body[..95]].concat());
    assert_eq!(first.data.exact(), Some((head.len() + body.len()) as u64));
}

#[test]
fn the_text_of_a_record_that_holds_a_beginning_alone_is_read_by_guess() {
    let page = [b"GET / HTTP/1.1\r\nHost: www.example.com\r\nCookie: ", &[b'c'; 3000][..]].concat();
    let asked = said(9, &[&page], 1976, 4, Side::Edge);
    assert_eq!((asked.outcome, &*asked.text), (Outcome::ByLook, &page[..1971]));
    let none = said(9, &[&[b"GET /other", &page[5..]].concat()], 1976, 4, Side::Edge);
    assert_eq!((none.outcome, none.text.len()), (Outcome::Undecided, 0));
}

#[test]
fn a_response_that_follows_upon_another_one_is_read_by_guess() {
    let ok = &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"[..];
    let long = [b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n", &[b'x'; 9000][..]].concat();
    let both = said(2, &[ok, &long], 1000, 1, Side::Origin);
    assert_eq!(&*both.text, [ok, &long[..1000 - ok.len() - 22 - 5]].concat());
    assert_eq!(both.data.exact(), Some((ok.len() + long.len()) as u64));
}
