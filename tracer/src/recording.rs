//! Recorded events: what the kernel said, for tests and bug reports, replayed through the same path as live.
//!
//! A recording is a sequence of records, each behind its length (32 bits, little endian), preceded by [`MAGIC`]. Before
//! a record is written, the heads that it carries are rewritten: of a request only method, path, Host and CF-Ray stay,
//! of a response its status line and its framing; everything else becomes padding of the same length. Of what was sent
//! inside TLS only the headers of the records stay, so that a key log that comes to light later opens nothing.

use std::io::{self, Read, Write};

use tracer_common::{ConnRecord, SEALED_RESPONSE_LEN, SealedEnd, Upstream, conn_flags, limits::UPSTREAM_HEAD_LEN};
use zerocopy::{FromBytes as _, IntoBytes as _};

use crate::{
    decode::Event,
    http::{Request, UpstreamAnswer},
};

/// First bytes of a recording; the digit is the version of the records' layout.
pub const MAGIC: &[u8; 8] = b"tracer\x002";
/// No record is longer.
const MAX_RECORD: usize = 64 * 1024;
/// Fields of a response that tell where it ends.
const FRAMING: [&[u8]; 2] = [b"content-length", b"transfer-encoding"];
/// Type of a TLS record that holds application data, and in TLS 1.3 whatever is encrypted (RFC 8446 §5.1).
const APPLICATION_DATA: u8 = 23;
/// Every type of a record.
const TYPES: std::ops::RangeInclusive<u8> = 20..=APPLICATION_DATA;

/// Writes events to a recording.
pub struct Recorder<W>(W);

impl<W: Write> Recorder<W> {
    /// Begins a recording.
    ///
    /// # Errors
    /// Where `out` can't be written to.
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(MAGIC)?;
        Ok(Self(out))
    }

    /// Writes one event, its heads rewritten.
    ///
    /// # Errors
    /// Where the recording can't be written to.
    pub fn write(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::Conn(record) => {
                let mut record = record.clone();
                scrub(&mut record);
                self.put(record.as_bytes())
            }
            Event::Refused(record) => self.put(record.as_bytes()),
            Event::Process(record) => self.put(record.as_bytes()),
            Event::Oom(record) => self.put(record.as_bytes()),
            Event::Listen(record) => self.put(record.as_bytes()),
            Event::Attempt(record) => self.put(record.as_bytes()),
            Event::AttemptConn(record) => {
                let mut record = record.clone();
                scrub_request(&mut record.request, record.conn.request_have);
                self.put(record.as_bytes())
            }
            Event::Origin(record) => {
                let mut record = record.clone();
                scrub_request(&mut record.request, record.conn.request_have);
                for upstream in [&mut record.upstream, &mut record.behind] {
                    scrub_answer(upstream);
                }
                self.put(record.as_bytes())
            }
            Event::Behind(record) => {
                let mut record = record.clone();
                for upstream in [&mut record.upstream, &mut record.behind] {
                    scrub_answer(upstream);
                }
                self.put(record.as_bytes())
            }
            // Without its ciphertext nothing can be told of it.
            Event::Answer(_) => Ok(()),
        }
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        self.0.write_all(&len.to_le_bytes())?;
        self.0.write_all(bytes)?;
        self.0.flush()
    }
}

/// Reads a recording.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] for what is no recording, or one of another version, or cut short.
pub fn read(mut from: impl Read) -> io::Result<Vec<Event>> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut magic = [0; MAGIC.len()];
    from.read_exact(&mut magic)?;
    if &magic != MAGIC {
        return Err(invalid("not a recording of this version"));
    }
    let mut events = Vec::new();
    loop {
        let mut len = [0; 4];
        match from.read_exact(&mut len) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(events),
            result => result?,
        }
        let len = u32::from_le_bytes(len) as usize;
        if len > MAX_RECORD {
            return Err(invalid("a record is longer than any can be"));
        }
        let mut bytes = vec![0; len];
        from.read_exact(&mut bytes)?;
        events.push(Event::decode(&bytes).map_err(|_| invalid("a record can't be read"))?);
    }
}

/// Takes out of an upstream's answer all but its status, and whether its header section is whole.
fn scrub_answer(upstream: &mut Upstream) {
    let have = usize::try_from(upstream.head_len).unwrap_or(usize::MAX).min(UPSTREAM_HEAD_LEN);
    let head = upstream.head.as_flattened_mut();
    let answer = UpstreamAnswer::read(&head[..have]);
    head.fill(0);
    let kept = answer.head();
    head[..kept.len()].copy_from_slice(&kept);
    upstream.head_len = u32::try_from(kept.len()).unwrap_or(0);
}

/// Takes out of a record's heads all that no verdict needs.
fn scrub(record: &mut ConnRecord) {
    let (conn, heads) = (&record.conn, &mut record.heads);
    if conn.flags & conn_flags::SEALED != 0 {
        empty_sealed(&mut heads.request);
        let (head, end) = heads.response.split_at_mut(SEALED_RESPONSE_LEN);
        empty_sealed(head);
        if let Ok((kept, _)) = SealedEnd::read_from_prefix(end) {
            let emptied = SealedEnd { before: [0; _], tail: [0; _], ..kept };
            end.copy_from_slice(emptied.as_bytes());
        }
        return;
    }
    if conn.flags & conn_flags::TLS != 0 {
        // A handshake says nothing of a request; what follows it may.
        for head in [&mut heads.request[..], &mut heads.response[..]] {
            empty_records(head, |kind| kind == APPLICATION_DATA);
        }
        return;
    }
    scrub_request(&mut heads.request, conn.request_have);
    let have = kept(conn.response_have, &heads.response);
    let response = without_fields(&heads.response[..have]);
    rewrite(&mut heads.response, have, &response);
}

/// Leaves of TLS records their headers alone; what is no record goes as a whole.
fn empty_sealed(head: &mut [u8]) {
    let records = empty_records(head, |_| true);
    head[records..].fill(0);
}

/// Zeroes the bodies of those records whose type is `emptied`, from the header of one on. Where the last one ends.
fn empty_records(head: &mut [u8], emptied: impl Fn(u8) -> bool) -> usize {
    let mut at = 0;
    while let Some([kind, 3, _, high, low]) = head.get(at..).and_then(<[u8]>::first_chunk).copied() {
        if !TYPES.contains(&kind) {
            break;
        }
        let body = at + 5;
        let end = head.len().min(body + usize::from(u16::from_be_bytes([high, low])));
        if emptied(kind) {
            head[body..end].fill(0);
        }
        at = end;
    }
    at
}

/// Leaves of a request's head what a record may name.
fn scrub_request(head: &mut [u8], have: u32) {
    let have = kept(have, head);
    let request = Request::read(&head[..have]).map(|request| request.head()).unwrap_or_default();
    rewrite(head, have, &request);
}

fn kept(have: u32, head: &[u8]) -> usize {
    (have as usize).min(head.len())
}

/// Puts `text` in place of the first `have` bytes, as far as it goes, then digits (a chunk's size begins with one), and
/// zeroes in place of the rest.
fn rewrite(head: &mut [u8], have: usize, text: &[u8]) {
    let text = &text[..text.len().min(have)];
    head[..text.len()].copy_from_slice(text);
    head[text.len()..have].fill(b'0');
    head[have..].fill(0);
}

/// A response's head with the values of all fields but those of its framing struck out; its length stays. What follows
/// the head goes.
fn without_fields(head: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(head.len());
    for (index, line) in head.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let text = line.trim_ascii_end();
        if text.is_empty() {
            out.extend(line);
            if !starts_another(&head[out.len()..]) {
                break;
            }
            continue;
        }
        let colon = text.iter().position(|byte| *byte == b':').filter(|_| index > 0 && !text.starts_with(b"HTTP/"));
        let name = colon.map(|colon| &text[..colon]);
        let keep = name.is_none_or(|name| FRAMING.iter().any(|framing| name.eq_ignore_ascii_case(framing)));
        match colon {
            Some(colon) if !keep => {
                out.extend(&text[..=colon]);
                out.extend(std::iter::repeat_n(b'x', text.len() - colon - 1));
                out.extend(&line[text.len()..]);
            }
            _ => out.extend(line),
        }
    }
    out
}

/// Whether an interim response is followed by another one.
fn starts_another(rest: &[u8]) -> bool {
    rest.starts_with(b"HTTP/1.")
}

#[cfg(test)]
mod tests {
    use tracer_common::limits::SEALED_TAIL_LEN;
    use zerocopy::FromZeros as _;

    use super::*;

    fn record(request: &[u8], response: &[u8]) -> ConnRecord {
        let bytes = vec![0; size_of::<ConnRecord>()];
        let mut record: ConnRecord = zerocopy::FromBytes::read_from_bytes(&bytes[..]).unwrap();
        record.header.kind = tracer_common::kinds::CONN;
        record.heads.request[..request.len()].copy_from_slice(request);
        record.conn.request_have = u32::try_from(request.len()).unwrap();
        record.heads.response[..response.len()].copy_from_slice(response);
        record.conn.response_have = u32::try_from(response.len()).unwrap();
        record
    }

    #[test]
    fn secrets_never_reach_a_recording_and_the_framing_survives() {
        let request =
            b"GET /a?token=SECRET HTTP/1.1\r\nHost: h\r\nCookie: SECRET\r\nCF-Ray: 7d1234567890abcd-LAX\r\n\r\n";
        let response = b"HTTP/1.1 200 OK\r\nSet-Cookie: SECRET\r\nContent-Length: 6\r\n\r\nSECRET";
        let mut file = Vec::new();
        let mut recorder = Recorder::new(&mut file).unwrap();
        recorder.write(&Event::Conn(Box::new(record(request, response)))).unwrap();
        assert!(!file.windows(6).any(|at| at == b"SECRET"));
        let [Event::Conn(read)] = &read(&file[..]).unwrap()[..] else { panic!("one connection") };
        let head = Request::read(&read.heads.request[..read.conn.request_have as usize]).unwrap();
        assert_eq!(head.path.as_deref(), Some("/a"));
        assert_eq!(head.ray.as_deref(), Some("7d1234567890abcd-LAX"));
        let kept = &read.heads.response[..response.len()];
        let len = response.len() as u64;
        let seen = crate::http::Seen { head: kept, len, sent: len, ..Default::default() };
        let parsed = crate::http::Response::read(Some("GET"), &seen);
        assert_eq!(parsed.progress, crate::http::Progress::Whole);
        assert_eq!(parsed.header_bytes, Some(response.len() as u64 - 6));
    }

    /// A TLS record of this type.
    fn sealed(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind, 3, 3], &u16::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat()
    }

    fn recorded(record: ConnRecord) -> (Vec<u8>, Box<ConnRecord>) {
        let mut file = Vec::new();
        Recorder::new(&mut file).unwrap().write(&Event::Conn(Box::new(record))).unwrap();
        let Some(Event::Conn(read)) = read(&file[..]).unwrap().pop() else { panic!("no connection") };
        (file, read)
    }

    #[test]
    fn of_what_was_sent_inside_tls_the_headers_of_records_stay() {
        let [request, response] = [23, 22].map(|kind| [sealed(kind, b"SECRET"), sealed(23, &[b'S'; 4096])].concat());
        let mut sealed_conn = record(&request[..1_900], &response[..SEALED_RESPONSE_LEN]);
        sealed_conn.conn.flags = conn_flags::TLS | conn_flags::SEALED;
        let end = SealedEnd::new_zeroed();
        let end = SealedEnd { records: 2, tail_len: 6, tail: [b'S'; SEALED_TAIL_LEN], ..end };
        sealed_conn.heads.response[SEALED_RESPONSE_LEN..].copy_from_slice(end.as_bytes());
        let (file, read) = recorded(sealed_conn);
        assert!(!file.windows(6).any(|at| at == b"SECRET") && !file.windows(6).any(|at| at == [b'S'; 6]));
        assert_eq!(read.heads.request[..16], [&sealed(23, &[0; 6])[..], &[23, 3, 3, 16, 0]].concat());
        let kept = SealedEnd::read_from_prefix(&read.heads.response[SEALED_RESPONSE_LEN..]).unwrap().0;
        assert_eq!((kept.records, kept.tail_len, kept.tail), (2, 6, [0; SEALED_TAIL_LEN]));
    }

    #[test]
    fn what_is_inside_tls_and_no_record_goes_as_a_whole() {
        let mut sealed_conn = record(b"SECRET", &sealed(99, b"SECRET"));
        sealed_conn.conn.flags = conn_flags::TLS | conn_flags::SEALED;
        let (_, read) = recorded(sealed_conn);
        assert!(read.heads.request.iter().chain(&read.heads.response[..SEALED_RESPONSE_LEN]).all(|byte| *byte == 0));
    }

    #[test]
    fn of_a_handshake_that_failed_the_messages_stay_and_what_follows_them_goes() {
        let handshake = sealed(22, b"HELLO");
        let mut conn = record(&[&handshake[..], &sealed(23, b"SECRET")].concat(), b"HTTP/1.1 400 Bad Request");
        conn.conn.flags = conn_flags::TLS;
        let (file, read) = recorded(conn);
        assert!(!file.windows(6).any(|at| at == b"SECRET"));
        assert!(read.heads.request.starts_with(&handshake));
        assert!(read.heads.response.starts_with(b"HTTP/1.1 400 Bad Request"));
    }

    #[test]
    fn a_recording_cut_anywhere_is_an_error_or_shorter_never_a_panic() {
        let mut file = Vec::new();
        let mut recorder = Recorder::new(&mut file).unwrap();
        recorder
            .write(&Event::Oom(tracer_common::OomRecord {
                header: tracer_common::Header { kind: 4, size: 40, time_ns: 1 },
                ..Default::default()
            }))
            .unwrap();
        for len in 0..file.len() {
            let short = read(&file[..len]);
            assert!(short.is_err() || short.unwrap().is_empty(), "{len} bytes");
        }
        assert_eq!(read(&file[..]).unwrap().len(), 1);
    }
}
