//! Two judges must agree: what the gate holds back in the kernel, no verdict of the agent may call a failure.
//!
//! Random connections, as the kernel programs could leave them, go through both: `tracer_common::gate`, which the
//! kernel programs run, and the agent's `State` with `diagnose`. What only the kernel's own parser tells (is the
//! response whole?) is answered here by the agent's parser; that those two agree is the matter of `kernel_parsers`.

use std::{collections::BTreeMap, fmt};

use proptest::{prelude::*, sample::select};
use tracer::{
    decode::Event,
    diagnose::{Diagnosis, Limits},
    edge::EdgeRanges,
    http::{Chunks, Progress, Response, Seen},
    probes::kernel_config,
    state::{Clock, Output, State},
};
use tracer_common::{
    Close, Conn, ConnRecord, Task, conn_flags as flag,
    errno::ECONNABORTED,
    gate::{AtFin, Kept, Owed, Verdict, at_fin, is_loss, owed},
    kinds, origin_flags as origin, pf, secret, triggers,
};
use zerocopy::FromBytes as _;

const TICK_NS: u64 = 4_000_000;

/// The agent's parser in the place of the kernel's, on the bytes of one record.
struct Agents<'a>(&'a ConnRecord);

impl Kept for Agents<'_> {
    fn verdict(&self, conn: &Conn, total: u32) -> Verdict {
        let heads = &self.0.heads;
        let open = origin::NOT_HTTP | origin::IN_HEAD;
        let seen = Seen {
            unread: false,
            head: &heads.response[..conn.response_have as usize],
            section: (conn.origin_flags & open == 0).then_some(conn.head_len.into()),
            unsearched: false,
            tail: &conn.response_tail,
            len: total.into(),
            sent: conn.response_len.into(),
            chunks: Chunks::Unknown,
        };
        // The response to the first of the requests that were kept.
        let method = if conn.flags & flag::HEAD != 0 { "HEAD" } else { "GET" };
        match Response::read(Some(method), &seen).progress {
            Progress::Whole | Progress::Upgraded => Verdict::Whole,
            Progress::UntilClose => Verdict::UntilClose,
            Progress::InHead | Progress::InBody => Verdict::Cut,
            Progress::Malformed => Verdict::Odd,
            Progress::Nothing | Progress::Unknown => Verdict::Unknown,
        }
    }

    fn first_request_end(&self, _: &Conn, have: u32) -> u32 {
        let kept = &self.0.heads.request[..have as usize];
        kept.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at as u32 + 4)
    }
}

const REQUESTS: [&[u8]; 4] = [
    b"",
    b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
    b"GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
];

const RESPONSES: [&[u8]; 7] = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nhello",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    b"SSH-2.0-x\r\n",
    b"\x15\x03\x03\x00\x02\x02\x28",
];

const FLAGS: [u32; 10] = [
    flag::SEEDED,
    flag::TLS_DATA,
    flag::BODYLESS,
    flag::WAS_HEAD,
    flag::PIPELINED,
    flag::INTERIM,
    flag::SPOKE_FIRST,
    flag::HEAD,
    flag::LEAVING,
    flag::UPGRADED,
];

/// Times around the edge's timeouts, in jiffies.
fn jiffies() -> impl Strategy<Value = u32> {
    let config = kernel_config(&Limits::default(), TICK_NS);
    let (read, write) = (config.read_jiffies, config.write_jiffies);
    let near =
        [0, 1, 50, write - 1, write, write + 1, read - read / 8, read - 1, read, read + 1, read + read / 8, 99_999];
    select(near.to_vec())
}

prop_compose! {
    fn flags()(
        protocol in select(vec![0, flag::SNIFFED, flag::SNIFFED | flag::HTTP, flag::SNIFFED | flag::TLS]),
        more in proptest::sample::subsequence(FLAGS.to_vec(), 0..4),
    ) -> u32 {
        more.iter().fold(protocol, |flags, bit| flags | bit)
    }
}

prop_compose! {
    fn close()(
        bytes in (select(vec![0_u64, 90, 5000]), select(vec![0_u64, 5000])),
        unread in select(vec![0_u32, 1, 300]),
        since_read in select(vec![0_u32, 1, 24, 31, 32, 5000]),
        held_back in select(vec![0_u32, 3]),
        ago in (jiffies(), jiffies()),
        unacked in select(vec![0_u32, 24, 31, 5000]),
        again in (select(vec![0_u8, 1, 2, 3, 15]), jiffies(), any::<bool>()),
        window in select(vec![0_u32, 65_535]),
        accepted in 0_u8..2,
        err in select(vec![0, ECONNABORTED]),
        time_ns in select(vec![1_u64, 500_000_000, 5_000_000_000]),
    ) -> Close {
        // No more bytes can lie unread, or make up a turn, than have come.
        let came = u32::try_from(bytes.0).expect("a small number");
        let unread = unread.min(came);
        Close {
            time_ns,
            bytes_received: bytes.0,
            bytes_sent: bytes.1,
            unread,
            since_read,
            response_bytes: held_back,
            received_jiffies_ago: ago.0,
            sent_jiffies_ago: ago.1,
            err,
            unacked: unacked.max(held_back),
            window,
            accepted,
            // Where nothing is unacknowledged, nothing is sent again; and what is, may be because of a shut window.
            retransmits: if unacked.max(held_back) > 0 { again.0 } else { 0 },
            stuck_jiffies: if unacked.max(held_back) > 0 && again.0 > 0 && again.2 { again.1 } else { 0 },
            ..Close::default()
        }
    }
}

/// A record that is printed without the bytes that it does not use.
struct Case(Box<ConnRecord>);

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (conn, heads) = (&self.0.conn, &self.0.heads);
        let request = heads.request[..conn.request_have as usize].escape_ascii();
        let response = heads.response[..conn.response_have as usize].escape_ascii();
        writeln!(f, "{conn:?}\n\"{request}\"\n\"{response}\"")
    }
}

prop_compose! {
    /// A connection as the kernel programs could leave it.
    fn connection()(
        flags in flags(),
        exchanges in 0_u32..4,
        turns in 0_u32..4,
        turn_out in select(vec![0_u32, 24, 31, 5000]),
        long in any::<bool>(),
        awaited in any::<bool>(),
        close in close(),
        request in select(REQUESTS.to_vec()),
        response in select(RESPONSES.to_vec()),
        cut in 0_usize..80,
        closer in (any::<bool>(), select(vec![0_u32, 9, 11, 1 << 8]), 0_u32..2),
        has_heads in any::<bool>(),
    ) -> Case {
        let bytes = vec![0; size_of::<ConnRecord>()];
        let mut record = Box::new(ConnRecord::read_from_bytes(&bytes[..]).expect("as many bytes as a record has"));
        let sent = if awaited { &[][..] } else { &response[..cut.min(response.len())] };
        let end = sent.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
        record.header.kind = kinds::CONN;
        record.header.time_ns = close.time_ns;
        record.heads.request[..request.len()].copy_from_slice(request);
        record.heads.response[..sent.len()].copy_from_slice(sent);
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).expect("a small number");
        // Where no buffer was left, nothing is kept.
        let kept = |bytes: &[u8]| if has_heads { len(bytes) } else { 0 };
        let origin_flags = match end {
            None if sent.len() >= 4 && !sent.starts_with(b"HTTP") => origin::NOT_HTTP,
            None => origin::IN_HEAD,
            Some(_) => 0,
        };
        // The kernel reads the method.
        let flags = match request.first() {
            Some(b'G') => flags & !flag::HEAD | flag::BODYLESS,
            Some(_) => flags & !(flag::BODYLESS | flag::HEAD),
            None => flags & !flag::HEAD,
        };
        // HTTP is known by a request's first bytes, which begin an exchange. Without a byte there is none.
        let http = flags & flag::HTTP != 0;
        let bytes_received = if http { close.bytes_received.max(90) } else { close.bytes_received };
        let exchanges = if http { exchanges.max(1) } else if bytes_received == 0 { 0 } else { exchanges };
        let close = Close { bytes_received, ..close };
        record.conn = Conn {
            flags,
            exchanges,
            turns,
            turn_out,
            origin_flags,
            request_end: u32::from(long && bytes_received > 0),
            asked: u16::from(awaited),
            request_len: len(request),
            request_have: kept(request),
            heads: u64::from(has_heads),
            response_len: len(sent),
            response_have: kept(sent),
            head_len: end.map_or(len(sent), |end| end as u32),
            close: Close { response_bytes: close.response_bytes + len(sent), ..close },
            closer: Task {
                tgid: 7, start_ns: 70,
                flags: if closer.0 { pf::EXITING } else { 0 },
                exit_code: if closer.0 { closer.1 } else { 0 },
                oom: if closer.0 { closer.2 } else { 0 },
                ..Task::default()
            },
            ..Conn::default()
        };
        Case(record)
    }
}

/// The agent's verdict on this record.
fn verdict(record: &ConnRecord, trigger: u32) -> Option<Box<Diagnosis>> {
    let mut state = State::new(EdgeRanges::builtin(), BTreeMap::new(), BTreeMap::new());
    let clock = Clock { monotonic_ns: record.header.time_ns, wall: jiff::Timestamp::UNIX_EPOCH, tick_ns: TICK_NS };
    let mut record = Box::new(*record);
    record.trigger = trigger;
    let mut outputs = state.handle(&Event::Conn(record), &clock);
    outputs.extend(state.flush());
    outputs.into_iter().find_map(|output| match output {
        Output::Failure(diagnosis) => Some(diagnosis),
        Output::OriginError(_) | Output::ProcessEnd { .. } | Output::OomKill { .. } => None,
    })
}

/// Both sides of a TLS 1.2 handshake, with a request and its response behind it.
const TLS_EDGE: &[u8] = include_bytes!("tls/tls12_exchange.edge.bin");
const TLS_ORIGIN: &[u8] = include_bytes!("tls/tls12_exchange.origin.bin");

/// The same connection in a TLS handshake, of which so many bytes went each way.
fn shaking(mut record: Box<ConnRecord>, edge: usize, origin: usize) -> Box<ConnRecord> {
    record.heads.request[..edge].copy_from_slice(&TLS_EDGE[..edge]);
    record.heads.response[..origin].copy_from_slice(&TLS_ORIGIN[..origin]);
    let len = |bytes: usize| u32::try_from(bytes).expect("a small number");
    let conn = &mut record.conn;
    conn.flags = conn.flags & !(flag::HTTP | flag::HEAD | flag::BODYLESS) | flag::SNIFFED | flag::TLS;
    (conn.exchanges, conn.heads) = (0, 1);
    (conn.request_len, conn.request_have) = (len(edge), len(edge));
    (conn.response_len, conn.response_have, conn.close.response_bytes) = (len(origin), len(origin), len(origin));
    conn.close.bytes_received = edge as u64;
    conn.close.unread = conn.close.unread.min(len(edge));
    record
}

/// The same connection inside TLS, its secrets known to the kernel: what was kept is ciphertext, which the agent could
/// not decrypt. `end`: where the last record of the response ends, from the response's start.
fn sealed(mut record: Box<ConnRecord>, end: u32) -> Box<ConnRecord> {
    record.heads.request.fill(0x5a);
    record.heads.response.fill(0x5a);
    let conn = &mut record.conn;
    conn.flags &= !(flag::HTTP | flag::HEAD | flag::WAS_HEAD | flag::BODYLESS | flag::PIPELINED | flag::UPGRADED);
    conn.flags |= flag::SNIFFED | flag::TLS | flag::TLS_DATA | flag::FINISHED | flag::SEALED;
    conn.exchanges = conn.exchanges.max(1);
    conn.close.bytes_received = conn.close.bytes_received.max(90);
    (conn.origin_flags, conn.chunk_at, conn.keyed) = (origin::RECORDS_OUT, end, secret::TRAFFIC);
    // Bytes of the response, read on the wire or written, are bytes written since the request came.
    conn.close.since_read = conn.close.response_bytes;
    // Else nothing was sent since then, or session tickets in the same moment. That the edge has not even acknowledged
    // an earlier response shows it to be slow, and only where the bytes can be read the agent knows that.
    if conn.close.response_bytes == 0 {
        conn.close.sent_jiffies_ago = conn.close.sent_jiffies_ago.max(conn.close.received_jiffies_ago);
        (conn.close.unacked, conn.close.retransmits, conn.close.stuck_jiffies) = (0, 0, 0);
    }
    record
}

/// What the agent tells, and the gate holds back: the trigger and the verdict.
fn held_back(record: &ConnRecord) -> Option<(u32, Box<Diagnosis>)> {
    let conn = &record.conn;
    let kept = Agents(record);
    let config = kernel_config(&Limits::default(), TICK_NS);
    let leaves = owed(conn, &config, true, &kept) == Owed::Late;
    let lost = is_loss(conn, config.header_limit, &kept);
    let by_trigger = [
        (triggers::FIN, at_fin(conn, config.header_limit, &kept) != AtFin::Harmless),
        (triggers::RST, lost),
        (triggers::SILENT, lost),
        (triggers::EDGE_FIN, leaves),
        (triggers::EDGE_RST, leaves),
        (triggers::OVERDUE, owed(conn, &config, false, &kept) == Owed::Late),
    ];
    // A socket that nobody has accepted is reset when it is closed: it sends no FIN.
    let impossible = |trigger| trigger == triggers::FIN && conn.close.accepted == 0;
    let held = by_trigger.into_iter().filter(|(trigger, passes)| !passes && !impossible(*trigger));
    held.into_iter().find_map(|(trigger, _)| Some((trigger, verdict(record, trigger)?)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_the_agent_calls_a_failure_passes_the_gate(case in connection()) {
        prop_assert_eq!(held_back(&case.0), None);
    }

    #[test]
    fn a_handshake_that_the_agent_calls_broken_passes_the_gate(
        case in connection(),
        edge in 1..=TLS_EDGE.len(),
        origin in 0..=TLS_ORIGIN.len(),
    ) {
        prop_assert_eq!(held_back(&shaking(case.0, edge, origin)), None);
    }

    #[test]
    fn a_sealed_connection_that_could_not_be_decrypted_passes_the_gate(case in connection(), end in 0_u32..120) {
        prop_assert_eq!(held_back(&sealed(case.0, end)), None);
    }
}
