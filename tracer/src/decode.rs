//! Bytes from the ring buffer → events. Foreign bytes: every length is checked, nothing panics.

use tracer_common::{
    AnswerRecord, AttemptConnRecord, AttemptRecord, BehindRecord, ConnRecord, Header, Heads, ListenRecord, OomRecord,
    OriginRecord, ProcessRecord, RefusedRecord, SmallConnRecord, kinds, limits,
};
use zerocopy::FromBytes;

/// One record of the kernel programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A connection that may have failed.
    Conn(Box<ConnRecord>),
    /// A SYN that was answered with RST.
    Refused(RefusedRecord),
    /// The end of a process that held edge connections, or served one that did.
    Process(ProcessRecord),
    /// An OOM kill.
    Oom(OomRecord),
    /// Packets of the edge that went missing in this host.
    Attempt(AttemptRecord),
    /// The same of a connection that is known.
    AttemptConn(Box<AttemptConnRecord>),
    /// A process begins to listen.
    Listen(ListenRecord),
    /// The origin's own answer of 5xx.
    Origin(Box<OriginRecord>),
    /// An answer inside TLS that may be one of 5xx.
    Answer(Box<AnswerRecord>),
    /// What lies behind the connection of the record that follows.
    Behind(Box<BehindRecord>),
}

/// A record that is not one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Shorter than its header or its kind says.
    Short,
    /// Of a kind that this version does not know.
    Kind(u32),
}

impl Event {
    /// Reads one record.
    ///
    /// # Errors
    /// [`Malformed`] where kind and length don't fit; the record is then counted as lost.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (header, _) = Header::read_from_prefix(bytes).map_err(|_| Malformed::Short)?;
        match header.kind {
            kinds::CONN => Ok(Self::Conn(Box::new(whole::<ConnRecord>(bytes)?))),
            kinds::REFUSED => Ok(Self::Refused(whole(bytes)?)),
            kinds::PROCESS => Ok(Self::Process(whole(bytes)?)),
            kinds::OOM => Ok(Self::Oom(whole(bytes)?)),
            kinds::SMALL_CONN => Ok(Self::Conn(Box::new(grown(&whole::<SmallConnRecord>(bytes)?)))),
            kinds::ATTEMPT => Ok(Self::Attempt(whole(bytes)?)),
            kinds::ATTEMPT_CONN => Ok(Self::AttemptConn(Box::new(whole(bytes)?))),
            kinds::LISTEN => Ok(Self::Listen(whole(bytes)?)),
            kinds::ORIGIN => Ok(Self::Origin(Box::new(whole(bytes)?))),
            kinds::ANSWER => Ok(Self::Answer(Box::new(whole(bytes)?))),
            kinds::BEHIND => Ok(Self::Behind(Box::new(whole(bytes)?))),
            kind => Err(Malformed::Kind(kind)),
        }
    }

    /// When it happened, `CLOCK_MONOTONIC` nanoseconds.
    #[must_use]
    pub fn time_ns(&self) -> u64 {
        match self {
            Self::Conn(record) => record.header.time_ns,
            Self::Refused(record) => record.header.time_ns,
            Self::Process(record) => record.header.time_ns,
            Self::Oom(record) => record.header.time_ns,
            Self::Attempt(record) => record.header.time_ns,
            Self::AttemptConn(record) => record.attempt.header.time_ns,
            Self::Listen(record) => record.header.time_ns,
            Self::Origin(record) => record.header.time_ns,
            Self::Answer(record) => record.header.time_ns,
            Self::Behind(record) => record.header.time_ns,
        }
    }
}

fn whole<T: FromBytes>(bytes: &[u8]) -> Result<T, Malformed> {
    T::read_from_prefix(bytes).map(|(record, _)| record).map_err(|_| Malformed::Short)
}

/// The full form of a record that came in the small one.
fn grown(small: &SmallConnRecord) -> ConnRecord {
    let size = u32::try_from(size_of::<ConnRecord>()).unwrap_or(u32::MAX);
    let mut heads = Heads { owner: 0, request: [0; limits::REQUEST_LEN], response: [0; limits::RESPONSE_LEN] };
    heads.request[..small.request.len()].copy_from_slice(&small.request);
    heads.response[..small.response.len()].copy_from_slice(&small.response);
    ConnRecord {
        header: Header { kind: kinds::CONN, size, ..small.header },
        trigger: small.trigger,
        rst_reason: small.rst_reason,
        signal: small.signal,
        conn: small.conn,
        heads,
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::IntoBytes as _;

    use super::*;

    #[test]
    fn every_prefix_of_every_record_is_refused_or_read_whole() {
        let mut oom = OomRecord::default();
        oom.header.kind = kinds::OOM;
        let mut refused = RefusedRecord::default();
        refused.header.kind = kinds::REFUSED;
        let mut process = ProcessRecord::default();
        process.header.kind = kinds::PROCESS;
        let mut attempt = AttemptRecord::default();
        attempt.header.kind = kinds::ATTEMPT;
        let mut conn = vec![0; size_of::<ConnRecord>()];
        conn[0] = u8::try_from(kinds::CONN).unwrap();
        let mut small = vec![0; size_of::<SmallConnRecord>()];
        small[0] = u8::try_from(kinds::SMALL_CONN).unwrap();
        let mut of_conn = vec![0; size_of::<AttemptConnRecord>()];
        of_conn[0] = u8::try_from(kinds::ATTEMPT_CONN).unwrap();
        let mut listen = ListenRecord::default();
        listen.header.kind = kinds::LISTEN;
        let mut origin = vec![0; size_of::<OriginRecord>()];
        origin[0] = u8::try_from(kinds::ORIGIN).unwrap();
        let mut behind = vec![0; size_of::<BehindRecord>()];
        behind[0] = u8::try_from(kinds::BEHIND).unwrap();
        let mut answer = vec![0; size_of::<AnswerRecord>()];
        answer[0] = u8::try_from(kinds::ANSWER).unwrap();
        let plain = [oom.as_bytes(), refused.as_bytes(), process.as_bytes(), attempt.as_bytes(), listen.as_bytes()];
        for bytes in plain.into_iter().chain([&conn[..], &small, &of_conn, &origin, &answer, &behind]) {
            for len in 0..bytes.len() {
                assert_eq!(Event::decode(&bytes[..len]), Err(Malformed::Short));
            }
            assert!(Event::decode(bytes).is_ok());
        }
    }

    #[test]
    fn an_unknown_kind_is_named() {
        let header = Header { kind: 77, size: 16, time_ns: 0 };
        assert_eq!(Event::decode(header.as_bytes()), Err(Malformed::Kind(77)));
    }
}
