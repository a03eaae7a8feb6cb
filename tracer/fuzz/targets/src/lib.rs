//! What must hold of foreign bytes, one function per fuzz target. Each panics where it does not hold.
//!
//! The fuzzer's own crate calls these; no fuzzer is needed to compile them or to run them on the seeds.

mod events;
pub mod framing;
mod http2;
pub mod kernel;
mod view;

use std::collections::BTreeMap;
use std::fmt::Debug;

use tracer::decode::Event;
use tracer::edge::EdgeRanges;
use tracer::host::servers::{block, judge_text};
use tracer::http::{Chunks, Exchange, Fields, Request, Seen};
use tracer::probes::tls::site;
use tracer::recording::{self, Recorder};
use tracer::state::{Clock, State};
use tracer::tls::keys::{self, End, Label, Sealed, Secrets, Side, Suite};
use tracer::tls::{Certificate, Handshake, KeyLog, distinguished_name};

pub use events::events;
pub use http2::http2;
pub use view::view;

/// A target's body.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const ALL: [(&str, Target); 15] = [
    ("certificate", certificate),
    ("events", events),
    ("framing", framing),
    ("http2", http2),
    ("http_exchange", http_exchange),
    ("http_request", http_request),
    ("ranges", ranges),
    ("record", record),
    ("recording", recording),
    ("server_config", server_config),
    ("tls_handshake", tls_handshake),
    ("tls_keylog", tls_keylog),
    ("tls_keys", tls_keys),
    ("tls_site", tls_site),
    ("view", view),
];

/// A server's certificate, or the name of an authority: no panic, and texts and names stay within their bounds.
pub fn certificate(bytes: &[u8]) {
    let _name = distinguished_name(bytes);
    let Some(read) = Certificate::read(bytes) else { return };
    assert!(read.names.len() <= 20 && (read.more_names == 0 || read.names.len() == 20), "{read:?}");
    assert!(read.names.iter().chain([&read.issuer]).all(|text| text.chars().count() <= 200), "{read:?}");
}

/// A response in two packets, and in packets as long as the first: where the kernel's parsers let the exchange pass
/// after any of them, the agent's see no failure.
pub fn framing(bytes: &[u8]) {
    let Some((first, rest)) = sides(bytes) else { return };
    framing::check([first, rest].into_iter());
    framing::check([first].into_iter().chain(rest.chunks(first.len().max(1))));
}

/// Requests and responses of one connection, as many bytes of each as there are. Whatever they hold, and whether or not
/// the kernel found the end of the header section: no panic; a response that has sent no byte has no status.
pub fn http_exchange(bytes: &[u8]) {
    let Some((requests, responses)) = sides(bytes) else { return };
    let (requested, len) = (requests.len() as u64, responses.len() as u64);
    let tail = &responses[responses.len().saturating_sub(8)..];
    if let Some(fields) = Fields::read(responses) {
        let all: u64 = fields.sizes.iter().map(|(_, size)| size).sum();
        // A line takes four bytes beside its name and value; one that is written tersely has as few as two.
        assert!(all <= len * 3 && fields.sizes.is_sorted_by(|a, b| a.1 >= b.1), "{fields:?}");
    }
    let found = responses.windows(4).position(|at| at == b"\r\n\r\n").map(|at| at as u64 + 4);
    let next = [0, len / 2, len, u64::MAX].map(Chunks::Next);
    for chunks in [Chunks::Unknown, Chunks::Last, Chunks::Broken].into_iter().chain(next) {
        for section in [None, found, Some(len + 1)] {
            // All was kept and sent; more was sent than kept; nothing was sent.
            for (head, len, sent) in [(responses, len, len), (responses, len * 2, len * 2), (&[], len, 0)] {
                let exchange = Exchange::read(
                    requests,
                    requested,
                    &Seen { head, section, tail, len, sent, chunks, ..Seen::default() },
                );
                assert!(!head.is_empty() || exchange.response.status.is_none(), "{exchange:?}");
            }
            let half = &requests[..requests.len() / 2];
            let _ = Exchange::read(
                half,
                requested,
                &Seen { head: responses, section, tail, len, sent: len, chunks, ..Seen::default() },
            );
        }
    }
}

/// The first bytes of a request: no panic, and the head that is written of what was read reads back as the same
/// request.
pub fn http_request(bytes: &[u8]) {
    let Some(request) = Request::read(bytes) else { return };
    assert_eq!(Request::read(&request.head()).as_ref(), Some(&request), "{}", request.head().escape_ascii());
}

/// A list of the edge's ranges: no panic, and a list that is taken reads back as itself and holds the ends of its
/// ranges.
pub fn ranges(bytes: &[u8]) {
    let Ok(ranges) = EdgeRanges::parse(text(bytes), "list") else { return };
    let lines: String = ranges.iter().map(|range| format!("{range}\n")).collect();
    assert_eq!(EdgeRanges::parse(&lines, "list").as_ref(), Ok(&ranges));
    for range in ranges.iter() {
        for end in [range.network(), range.broadcast()] {
            assert!(ranges.range_of(end).is_some(), "{end} of {range}");
        }
    }
}

/// One record of the kernel programs: whatever it holds, it is refused or becomes an event, and neither the state nor
/// the verdict on it panics.
pub fn record(bytes: &[u8]) {
    let Ok(event) = Event::decode(bytes) else { return };
    let clock = clock(1_000_000_000_000);
    let mut state = state();
    // Twice: the second finds what the first left.
    for _ in 0..2 {
        let _ = state.handle(&event, &clock);
        let _ = state.expire(event.time_ns());
    }
    let _ = state.flush();
    assert_eq!(state.next_deadline(), None);
}

/// A recording: whatever it holds, it is refused or its events replay without a panic, and recording them again loses
/// none.
///
/// # Panics
/// Where it does not hold.
pub fn recording(bytes: &[u8]) {
    let Ok(events) = recording::read(bytes) else { return };
    let mut state = state();
    let mut again = Vec::new();
    let mut recorder = Recorder::new(&mut again).expect("memory takes every write");
    for event in &events {
        let clock = clock(event.time_ns());
        let _ = state.expire(clock.monotonic_ns);
        let _ = state.handle(event, &clock);
        recorder.write(event).expect("memory takes every write");
    }
    let _ = state.flush();
    let read = recording::read(&again[..]).expect("what was recorded can be read");
    assert_eq!(read.len(), events.len());
}

/// A web server's configuration file: no panic, whatever server it is taken for, and every directive has a line of the
/// file.
pub fn server_config(bytes: &[u8]) {
    let text = text(bytes);
    for style in [block::Style::Semicolons, block::Style::Lines] {
        if let Some(directives) = block::parse(text, "file", style) {
            check_lines(&directives, text.matches('\n').count() + 1);
        }
    }
    let _findings = judge_text(text);
}

fn check_lines(directives: &[block::Directive], most: usize) {
    for directive in directives {
        assert!((1..=most).contains(&directive.line), "{directive:?}");
        check_lines(directive.block.as_deref().unwrap_or_default(), most);
    }
}

/// The first bytes of both sides of a TLS connection: no panic, and what fewer kept bytes tell of the name that the
/// edge asked for, the version agreed and the origin's alert, more bytes never tell otherwise.
pub fn tls_handshake(bytes: &[u8]) {
    let Some((edge, origin)) = sides(bytes) else { return };
    let (edge_len, origin_len) = (edge.len() as u64, origin.len() as u64);
    let mut tail = [0; 8];
    let last = &origin[origin.len().saturating_sub(8)..];
    tail[8 - last.len()..].copy_from_slice(last);
    // An alert that only the last bytes show is a guess at where its record begins: without them for the comparison.
    let read = |edge, origin| Handshake::read(edge, origin, edge_len, origin_len, [0; 8]);
    let whole = read(edge, origin);
    for eighth in 0..8 {
        let (edge, origin) = (&edge[..edge.len() * eighth / 8], &origin[..origin.len() * eighth / 8]);
        let _ = Handshake::read(edge, origin, edge_len, origin_len, tail);
        let prefix = read(edge, origin);
        agree(prefix.sni.as_ref(), whole.sni.as_ref());
        agree(prefix.agreed.as_ref(), whole.agreed.as_ref());
        agree(prefix.origin_alert.as_ref(), whole.origin_alert.as_ref());
    }
}

/// A key log: no panic, no more sessions than lines, and as many as with the same bytes one by one.
pub fn tls_keylog(bytes: &[u8]) {
    let (mut whole, mut single) = (KeyLog::default(), KeyLog::default());
    whole.read(bytes);
    bytes.iter().for_each(|byte| single.read(&[*byte]));
    assert_eq!(whole.len(), single.len());
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
    assert!(whole.len() <= lines && whole.len() <= bytes.len() / 154, "{} of {lines} lines", whole.len());
}

/// Records and secrets: a suite (two bytes), a side, a secret of the handshake or a master secret, one of traffic, both
/// randoms, and what was kept; a side of 2 or more has AES keys in place of the secrets. No panic, no text without
/// proof, and none that was not kept.
pub fn tls_keys(bytes: &[u8]) {
    let Some((suite, rest)) = bytes.split_first_chunk() else { return };
    let Some(([side], rest)) = rest.split_first_chunk() else { return };
    let Some((handshake, rest)) = rest.split_first_chunk::<48>() else { return };
    let Some((traffic, rest)) = rest.split_first_chunk::<48>() else { return };
    let Some((client, rest)) = rest.split_first_chunk::<32>() else { return };
    let Some((server, kept)) = rest.split_first_chunk() else { return };
    let (side, is_bare) = (if side % 2 == 0 { Side::Edge } else { Side::Origin }, *side > 1);
    let number = u16::from_be_bytes(*suite);
    let mut secrets = Secrets::new(Suite::from_wire(number));
    let len = if number == 0x1302 { 48 } else { 32 };
    if is_bare {
        for key in [handshake, traffic].into_iter().flat_map(|keys| keys.chunks(16)) {
            secrets.hold(Label::AesKey, key);
        }
        secrets.hold(Label::AesKey, &handshake[..32]);
    } else {
        secrets.hold(Label::HandshakeTraffic(side), &handshake[..len]);
        secrets.hold(Label::Traffic(side), &traffic[..len]);
        if number >> 8 != 0x13 {
            secrets.hold(Label::Master, handshake);
        }
    }
    secrets.randoms(*client, *server);
    // What keys come into use behind: numbers begin at 0, and the fuzzer's time does not go into a search for them.
    let start: &[u8] = if number >> 8 == 0x13 { &[22, 3, 3, 0, 1, 2] } else { &[20, 3, 3, 0, 1, 1] };
    let from_start = [start, kept].concat();
    let look = [keys::http_request, keys::http_response][side as usize];
    for kept in [&from_start[..], &from_start[..from_start.len() / 2]] {
        for len in [0, kept.len() as u64 + 1, u64::MAX] {
            // Places by the hostile bytes as well.
            let place = |at: usize| u64::from(client[at]) << (client[at + 1] & 15);
            let end = Some(End {
                records: place(0),
                before_at: place(2),
                record_at: place(4),
                next_at: place(6),
                tail_at: place(8),
                tail: &kept[..kept.len().min(64)],
            });
            let told = keys::open(side, &Sealed { kept, len, sequence_hint: len, end }, &secrets, look);
            let is_opened = matches!(told.outcome, keys::Outcome::ByTag | keys::Outcome::ByLook);
            assert!(told.text.is_empty() || is_opened, "{told:?}");
            assert!(
                told.text.len() <= kept.len() && told.tail.len() <= 64 && told.data.least <= told.data.most,
                "{told:?}"
            );
        }
    }
}

/// A file that a process maps: no panic, and what is found is an instruction of the file, a short way behind the start
/// of its function; what is said to be emulated begins as such an instruction does.
pub fn tls_site(bytes: &[u8]) {
    let _extent = site::extent(bytes);
    let Ok(found) = site::find(bytes) else { return };
    let behind = found.offset.checked_sub(found.function).expect("a site behind its function's start");
    assert!(behind < 160 && (found.emulated || behind == 0), "{found:?}");
    let instruction = usize::try_from(found.offset).ok().and_then(|offset| bytes.get(offset..));
    let first = instruction.and_then(<[u8]>::first).expect("a site in the file");
    assert!(!found.emulated || matches!(first, 0x0f | 0x41 | 0x50..=0x57 | 0x70..=0x7f | 0x90 | 0xe9 | 0xeb));
}

fn agree<T: Debug + PartialEq>(prefix: Option<&T>, whole: Option<&T>) {
    assert!(prefix.is_none() || prefix == whole, "{prefix:?} of a prefix, {whole:?} of the whole");
}

/// One input for two sides of a connection: what the first sent, as long as the first two bytes (little endian) say,
/// and what the other one sent.
fn sides(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_le_bytes(*len)).min(rest.len()))
}

/// The text at the start of the bytes.
fn text(bytes: &[u8]) -> &str {
    bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid())
}

fn state() -> State {
    State::new(EdgeRanges::builtin(), BTreeMap::new(), BTreeMap::new())
}

fn clock(monotonic_ns: u64) -> Clock {
    Clock { monotonic_ns, wall: jiff::Timestamp::UNIX_EPOCH, tick_ns: 4_000_000 }
}
