//! For tests: connections inside TLS as the kernel programs keep them, recorded ones and ones made of any texts.

use hkdf::Hkdf;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sha2::Sha256;
use tracer_common::{
    ConnRecord, SEALED_RESPONSE_LEN, SealedEnd, TlsKeys, conn_flags as flag, kinds,
    limits::{REQUEST_LEN, SEALED_TAIL_LEN},
    origin_flags, secret, triggers,
};
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::{Session, record::records};

/// Types of records.
pub(crate) const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;
pub(crate) const DATA: u8 = 23;

/// A NewSessionTicket of four bytes, and two alerts.
pub(crate) const TICKET: &[u8] = &[4, 0, 0, 4, 1, 2, 3, 4];
pub(crate) const CLOSE_NOTIFY: &[u8] = &[1, 0];
pub(crate) const CERTIFICATE_REQUIRED: &[u8] = &[2, 116];

/// The secrets of a connection that was made up: TLS_AES_128_GCM_SHA256.
fn keys() -> TlsKeys {
    let mut keys = TlsKeys::new_zeroed();
    for slot in 0..secret::SLOTS {
        keys.secrets[slot][..32].fill(slot as u8 + 1);
        keys.lens[slot] = 32;
    }
    (keys.suite, keys.has_hellos) = ([0x13, 1], 1);
    keys
}

/// The session of that connection.
pub(crate) fn session() -> Session {
    Session::take(&mut keys())
}

/// The records of these types and texts, which are protected by the secret in this slot of [`keys`] under the numbers
/// from `first` on.
pub(crate) fn sealed(slot: usize, first: u64, texts: &[(u8, &[u8])]) -> Vec<u8> {
    let keys = keys();
    let secret = Hkdf::<Sha256>::from_prk(&keys.secrets[slot][..32]).unwrap();
    let (mut key, mut iv) = ([0; 16], [0; 12]);
    secret.expand(b"\x00\x10\x09tls13 key\x00", &mut key).unwrap();
    secret.expand(b"\x00\x0c\x08tls13 iv\x00", &mut iv).unwrap();
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).unwrap());
    let record = |(number, (kind, text)): (u64, &(u8, &[u8]))| {
        let mut inner = [text, &[*kind][..]].concat();
        let mut nonce = iv;
        nonce[4..].iter_mut().zip(number.to_be_bytes()).for_each(|(byte, number)| *byte ^= number);
        let len = u16::try_from(inner.len() + 16).unwrap().to_be_bytes();
        let header = [DATA, 3, 3, len[0], len[1]];
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(header), &mut inner).unwrap();
        [&header[..], &inner].concat()
    };
    (first..).zip(texts).flat_map(record).collect()
}

/// One request that the edge sent, as the first of its records.
pub(crate) fn request(text: &[u8]) -> Vec<u8> {
    sealed(secret::CLIENT_TRAFFIC, 0, &[(DATA, text)])
}

/// A response in records of this size.
pub(crate) fn response(text: &[u8], size: usize) -> Vec<u8> {
    let texts: Vec<_> = text.chunks(size).map(|part| (DATA, part)).collect();
    sealed(secret::SERVER_TRAFFIC, 0, &texts)
}

/// A record of a first exchange that the origin ended with FIN: what the edge sent, and the packets of the response.
/// As the kernel programs do, it keeps the first bytes of both sides and the end of the response.
pub(crate) fn record(requests: &[u8], packets: &[&[u8]]) -> ConnRecord {
    let mut record = ConnRecord::new_zeroed();
    let stream = packets.concat();
    let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap();
    let (asked, kept) =
        (&requests[..requests.len().min(REQUEST_LEN)], &stream[..stream.len().min(SEALED_RESPONSE_LEN)]);
    record.heads.request[..asked.len()].copy_from_slice(asked);
    record.heads.response[..kept.len()].copy_from_slice(kept);
    (record.header.kind, record.trigger) = (kinds::CONN, triggers::FIN);
    let conn = &mut record.conn;
    conn.flags = flag::SNIFFED | flag::TLS | flag::TLS_DATA | flag::RECORDS | flag::FINISHED | flag::SEALED;
    (conn.exchanges, conn.turns, conn.asked, conn.keyed) = (1, 2, 1, secret::TRAFFIC);
    conn.answered = u16::from(!stream.is_empty());
    (conn.request_len, conn.request_have) = (len(requests), len(asked));
    (conn.response_len, conn.response_have) = (len(&stream), len(kept));
    (conn.close.accepted, conn.close.response_bytes) = (1, len(&stream));
    (conn.close.bytes_received, conn.close.bytes_sent) = (900, 3000 + stream.len() as u64);
    conn.owner = 7;
    conn.owner_comm[..3].copy_from_slice(b"web");
    conn.origin_flags = origin_flags::RECORDS_OUT;
    let end = end(packets, &stream);
    conn.chunk_at = records(&stream).last().map_or(0, |last| u32::try_from(last.end).unwrap());
    record.heads.response[SEALED_RESPONSE_LEN..].copy_from_slice(end.as_bytes());
    record
}

/// The end of a response in these packets.
fn end(packets: &[&[u8]], stream: &[u8]) -> SealedEnd {
    let mut end = SealedEnd::new_zeroed();
    let mut begins = 0;
    for record in records(stream) {
        (end.records, end.before_at, end.record_at) = (end.records + 1, end.record_at, begins);
        begins = u32::try_from(record.end).unwrap();
    }
    let mut seen = 0;
    for packet in packets {
        let kept = &packet[packet.len().saturating_sub(SEALED_TAIL_LEN)..];
        end.before_len = 0;
        if packet.len() < SEALED_TAIL_LEN {
            (end.before, end.before_len) = (end.tail, end.tail_len);
        }
        seen += u32::try_from(packet.len()).unwrap();
        end.tail[..kept.len()].copy_from_slice(kept);
        end.tail_len = u32::try_from(kept.len()).unwrap();
        end.tail_at = seen - end.tail_len;
    }
    end
}

/// A recorded connection of `testdata/tls-keys`: its secrets as the kernel keeps them, and all that each side sent.
pub(crate) struct Recorded {
    keys: TlsKeys,
    edge: Vec<u8>,
    origin: Vec<u8>,
}

impl Recorded {
    pub(crate) fn read(text: &str) -> Self {
        let mut recorded = Self { keys: TlsKeys::new_zeroed(), edge: Vec::new(), origin: Vec::new() };
        for line in text.lines() {
            let fields: Vec<_> = line.split(' ').collect();
            match fields[..] {
                ["suite", suite] => recorded.keys.suite = hex(suite).try_into().unwrap(),
                ["randoms", client, server] => {
                    recorded.keys.client_random = hex(client).try_into().unwrap();
                    recorded.keys.server_random = hex(server).try_into().unwrap();
                    recorded.keys.has_hellos = 1;
                }
                ["secret", label, secret] => recorded.hold(label, &hex(secret)),
                ["edge", bytes] => recorded.edge.extend(hex(bytes)),
                ["origin", bytes] => recorded.origin.extend(hex(bytes)),
                _ => {}
            }
        }
        recorded
    }

    fn hold(&mut self, label: &str, bytes: &[u8]) {
        let slot = match label {
            "CLIENT_RANDOM" => secret::MASTER,
            "CLIENT_HANDSHAKE_TRAFFIC_SECRET" => secret::CLIENT_HANDSHAKE,
            "SERVER_HANDSHAKE_TRAFFIC_SECRET" => secret::SERVER_HANDSHAKE,
            "CLIENT_TRAFFIC_SECRET_0" => secret::CLIENT_TRAFFIC,
            "SERVER_TRAFFIC_SECRET_0" => secret::SERVER_TRAFFIC,
            _ => return,
        };
        self.keys.is_master |= u8::from(label == "CLIENT_RANDOM");
        self.keys.secrets[slot][..bytes.len()].copy_from_slice(bytes);
        self.keys.lens[slot] = u8::try_from(bytes.len()).unwrap();
    }

    /// Its secrets.
    pub(crate) fn session(&self) -> Session {
        Session::take(&mut { self.keys })
    }

    /// These records of the edge's, counted from its last one back.
    pub(crate) fn edge(&self, back: std::ops::Range<usize>) -> &[u8] {
        from_the_end(&self.edge, &back)
    }

    /// These records of the origin's.
    pub(crate) fn origin(&self, back: std::ops::Range<usize>) -> &[u8] {
        from_the_end(&self.origin, &back)
    }
}

/// The records from `back.end` before the end up to `back.start` before it.
fn from_the_end<'a>(bytes: &'a [u8], back: &std::ops::Range<usize>) -> &'a [u8] {
    let ends: Vec<_> = std::iter::once(0).chain(records(bytes).map(|record| record.end as usize)).collect();
    &bytes[ends[ends.len() - 1 - back.end]..ends[ends.len() - 1 - back.start]]
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..][..2], 16).unwrap()).collect()
}
