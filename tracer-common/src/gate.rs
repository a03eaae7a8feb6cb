//! Has a request on this connection failed? Decides whether the kernel hands a connection to the agent.
//!
//! Three situations, three questions. The origin sends FIN: does that leave a request without its response
//! ([`at_fin`])? The connection ends without the origin's FIN: is a request or a part of a response lost
//! ([`is_loss`])? The edge still waits, or leaves: what does the origin owe it, and for how long ([`owed`])? All three
//! read the snapshot in [`Conn::close`]. Where the bytes cannot be read (TLS, an unknown protocol), only their
//! direction, number and time count.
//!
//! Inside TLS, where the secrets are known (a *sealed* connection), only the lengths of records can be seen here. Then
//! the gate is generous: whatever may be a failure goes to the agent, which decrypts it and judges.
//!
//! The gate never has the last word. It runs in the kernel, on a part of what is known, and when in doubt it lets a
//! connection through; `diagnose` in the agent acquits. What the gate holds back nobody else sees, so a test in the
//! agent (`tests/gate.rs`) checks over random connections that `diagnose` finds no failure in any of those.

use crate::{
    Config, Conn, conn_flags as flag,
    limits::{FRESH_NS, LOST_RETRANSMITS, MAX_TLS_ALERT, READ_SLACK_PARTS, REQUEST_LEN, WRITE_SLACK_PARTS},
    origin_flags as origin, pf,
};

/// The judgement on a response, by the kernel programs' own parser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Cannot be decided from what was kept.
    Unknown = 0,
    /// Complete by its own framing.
    Whole = 1,
    /// Without framing: it ends when the connection does.
    UntilClose = 2,
    /// Incomplete by its own framing.
    Cut = 3,
    /// Not a valid HTTP/1 response, or framed in two contradicting ways: an edge rejects it.
    Odd = 4,
}

impl Verdict {
    /// The verdict with this number.
    #[inline(always)]
    #[must_use]
    pub const fn of(number: u32) -> Self {
        match number {
            1 => Self::Whole,
            2 => Self::UntilClose,
            3 => Self::Cut,
            4 => Self::Odd,
            _ => Self::Unknown,
        }
    }
}

/// What only the kept bytes of a connection tell. The kernel programs find them in a map.
pub trait Kept {
    /// Judges the current response, of which `total` bytes were written.
    fn verdict(&self, conn: &Conn, total: u32) -> Verdict;

    /// Where the header section of the current request ends, among the first `have` bytes of it and of those received
    /// with it. 0: not within them.
    fn first_request_end(&self, conn: &Conn, have: u32) -> u32;
}

/// What the origin's FIN means for the current request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtFin {
    /// No request fails by it.
    Harmless,
    /// A request fails.
    Failure,
    /// Some of the response is not on the wire yet (Nagle's algorithm, or the edge's window), and without it there is
    /// no verdict. [`after_fin`] judges once it has been sent.
    Later,
}

/// The origin sends its FIN first.
#[inline(always)]
pub fn at_fin(conn: &Conn, header_limit: u32, kept: &impl Kept) -> AtFin {
    let failure = |fails| if fails { AtFin::Failure } else { AtFin::Harmless };
    if conn.flags & flag::REPORTED != 0 {
        // Reported when the edge's timeout passed.
        AtFin::Harmless
    } else if unanswered(conn) {
        AtFin::Failure
    } else if is_sealed(conn) {
        // The agent needs the whole response in order to judge it.
        if is_held_back(conn) { AtFin::Later } else { AtFin::Failure }
    } else if conn.flags & flag::HTTP != 0 && conn.exchanges > 0 {
        let verdict = response_verdict(conn, header_limit, conn.close.response_bytes, kept);
        let open = verdict == Verdict::Unknown || verdict == Verdict::Cut && conn.origin_flags & origin::IN_HEAD != 0;
        if open && is_held_back(conn) { AtFin::Later } else { failure(fin_cuts(conn, verdict, kept)) }
    } else {
        failure(process_ends(conn))
    }
}

/// The last of the data that was still unsent when the origin closed has gone out: whether a request has failed.
#[inline(always)]
pub fn after_fin(conn: &Conn, header_limit: u32, kept: &impl Kept) -> bool {
    conn.flags & flag::REPORTED == 0
        && (is_sealed(conn)
            || fin_cuts(conn, response_verdict(conn, header_limit, conn.close.response_bytes, kept), kept))
}

/// Whether the connection is inside TLS, with known secrets, and its first request has begun.
#[inline(always)]
pub const fn is_sealed(conn: &Conn) -> bool {
    conn.flags & flag::SEALED != 0
}

/// Whether the record of this connection is a question to the agent: a response has begun that only decryption can
/// judge. Such records may be many, and healthy; those for which this says no are failures by what is seen here. On a
/// connection that speaks HTTP/2 only decryption tells which streams have failed.
#[inline(always)]
pub const fn is_question(conn: &Conn) -> bool {
    conn.flags & flag::H2 != 0 || is_sealed(conn) && conn.close.response_bytes != 0 && !is_cut_in_record(conn)
}

/// Whether a sealed response stopped in the middle of a TLS record: it is cut short, whatever it says.
#[inline(always)]
const fn is_cut_in_record(conn: &Conn) -> bool {
    conn.origin_flags & origin::RECORDS_OUT != 0
        && !conn.is_awaited()
        && conn.chunk_at != conn.response_len
        && conn.response_len == conn.close.response_bytes
}

/// Whether the origin's FIN after a response with this verdict makes a request fail.
#[inline(always)]
fn fin_cuts(conn: &Conn, verdict: Verdict, kept: &impl Kept) -> bool {
    match verdict {
        Verdict::Cut | Verdict::Odd => true,
        Verdict::Whole => more_requests(conn, kept),
        Verdict::UntilClose | Verdict::Unknown => process_ends(conn),
    }
}

/// Whether an end without the origin's FIN (RST, or destroyed) loses a request or cuts its response short.
#[inline(always)]
pub fn is_loss(conn: &Conn, header_limit: u32, kept: &impl Kept) -> bool {
    // Reported when the edge's timeout passed.
    if conn.flags & flag::REPORTED != 0 {
        return false;
    }
    // The edge opens a connection in order to send a request at once.
    let fresh = conn.exchanges == 0 && conn.close.time_ns.wrapping_sub(conn.opened_ns) < FRESH_NS;
    if fresh || conn.close.accepted == 0 || unanswered(conn) || is_sealed(conn) {
        return true;
    }
    if conn.flags & flag::HTTP == 0 || conn.exchanges == 0 {
        return process_ends(conn);
    }
    // A reset discards what was written and not yet sent: only the bytes that were on the wire count.
    match response_verdict(conn, header_limit, conn.response_len.min(conn.close.response_bytes), kept) {
        Verdict::Whole => more_requests(conn, kept),
        Verdict::Unknown => process_ends(conn),
        Verdict::UntilClose | Verdict::Cut | Verdict::Odd => true,
    }
}

/// Whether the edge still waits for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owed {
    /// It does not, as far as can be seen.
    Nothing,
    /// It has waited for less than its timeout.
    Something,
    /// It has waited for its whole timeout; or it leaves because it got no valid response.
    Late,
}

/// Returns whether the edge waits, given a snapshot that was just made. `leaving`: it has sent FIN or RST; else it is
/// still there.
#[inline(always)]
pub fn owed(conn: &Conn, config: &Config, leaving: bool, kept: &impl Kept) -> Owed {
    if conn.close.bytes_received == 0 {
        return Owed::Nothing;
    }
    if is_lost(conn, config, leaving) {
        return Owed::Late;
    }
    match unwritten(conn, config, leaving, kept) {
        // All is written, and it may yet get lost.
        Owed::Nothing if conn.close.unacked > 0 => Owed::Something,
        owed => owed,
    }
}

/// Whether what was written gets lost on its way to the edge: for the whole timeout nothing of it was acknowledged,
/// though the edge's window is open. The clock of an edge that leaves may run from its request: then what was sent
/// again often enough counts, too.
#[inline(always)]
fn is_lost(conn: &Conn, config: &Config, leaving: bool) -> bool {
    let close = &conn.close;
    if close.unacked == 0 || close.stuck_jiffies == 0 {
        return false;
    }
    if !leaving {
        return close.stuck_jiffies >= config.read_jiffies;
    }
    close.stuck_jiffies >= less(config.read_jiffies, READ_SLACK_PARTS)
        || close.retransmits >= LOST_RETRANSMITS && close.received_jiffies_ago >= config.read_jiffies
}

/// What the origin has yet to read or to write. See [`owed`].
#[inline(always)]
fn unwritten(conn: &Conn, config: &Config, leaving: bool, kept: &impl Kept) -> Owed {
    let close = &conn.close;
    let after = |waited: u32, limit: u32| if waited >= limit { Owed::Late } else { Owed::Something };
    // The process reads nothing, the window is shut, and the edge cannot send the rest of its request.
    let write = if leaving { less(config.write_jiffies, WRITE_SLACK_PARTS) } else { config.write_jiffies };
    if close.unread > 0 && close.window == 0 && close.received_jiffies_ago >= write {
        return Owed::Late;
    }
    let quiet = close.sent_jiffies_ago.min(close.received_jiffies_ago);
    if is_sealed(conn) && !unanswered(conn) {
        return sealed_owes(conn, config, leaving, quiet);
    }
    if conn.flags & (flag::HTTP | flag::SEALED) != 0 {
        if unanswered(conn) {
            // The edge has yet to acknowledge earlier data: it is still receiving, and its timeout does not run.
            if close.unacked > 0 {
                return Owed::Something;
            }
            return after(quiet, config.read_jiffies);
        }
        return match response_verdict(conn, config.header_limit, close.response_bytes, kept) {
            Verdict::Odd if leaving => Owed::Late,
            // The rest is written, and the edge does not acknowledge it: the edge is slow, not the origin.
            Verdict::Cut if close.unacked > 0 => Owed::Something,
            // The edge's timeout may run from its request rather than from the last byte. Nothing was sent for nearly
            // all of it: that counts as the whole.
            Verdict::Cut if leaving && close.sent_jiffies_ago >= less(config.read_jiffies, READ_SLACK_PARTS) => {
                after(close.received_jiffies_ago, config.read_jiffies)
            }
            Verdict::Cut => after(quiet, config.read_jiffies),
            Verdict::Odd => Owed::Something,
            // Of several requests that came together, the next one waits.
            Verdict::Whole if quiet >= config.read_jiffies && close.unacked == 0 && more_requests(conn, kept) => {
                Owed::Late
            }
            Verdict::Whole if conn.flags & flag::PIPELINED != 0 => Owed::Something,
            Verdict::Whole | Verdict::UntilClose | Verdict::Unknown => Owed::Nothing,
        };
    }
    // The edge had no certificate and leaves, with no more than an alert since its last words were read.
    if leaving && conn.flags & flag::NO_CERTIFICATE != 0 && conn.exchanges <= 2 && close.since_read <= MAX_TLS_ALERT {
        return Owed::Late;
    }
    // A TLS handshake that was not completed.
    if conn.flags & flag::TLS != 0 && conn.exchanges == 0 {
        return if leaving { Owed::Late } else { after(close.received_jiffies_ago, config.read_jiffies) };
    }
    // The bytes cannot be read. A request is only assumed where enough came in and nothing was written since.
    if close.since_read > 0 || !conn.turn_may_be_request() {
        return Owed::Nothing;
    }
    // After the first exchange the last bytes in need not be a request (a goodbye, an acknowledgement of the
    // protocol). They count as one only if the edge leaves just when its timeout passes.
    let just_then = close.received_jiffies_ago <= config.read_jiffies + config.read_jiffies / READ_SLACK_PARTS;
    if conn.exchanges <= 1 || leaving && just_then {
        return after(close.received_jiffies_ago, config.read_jiffies);
    }
    Owed::Nothing
}

/// [`unwritten`] for a sealed connection whose response has begun. `quiet`: for how long nothing came or went, jiffies.
#[inline(always)]
fn sealed_owes(conn: &Conn, config: &Config, leaving: bool, quiet: u32) -> Owed {
    let close = &conn.close;
    let cut = is_cut_in_record(conn);
    // It leaves as soon as it has seen what it takes for no response.
    let at_once = close.sent_jiffies_ago <= config.second_jiffies;
    if leaving && at_once {
        return Owed::Late;
    }
    // The rest is written, and the edge does not acknowledge it: the edge is slow, not the origin.
    if close.unacked > 0 {
        return Owed::Something;
    }
    if !leaving {
        return match cut {
            true if quiet >= config.read_jiffies => Owed::Late,
            true => Owed::Something,
            false => Owed::Nothing,
        };
    }
    // It leaves when its timeout passes, which may run from its request.
    let limit = less(config.read_jiffies, READ_SLACK_PARTS);
    let in_time =
        close.sent_jiffies_ago >= limit && quiet <= config.read_jiffies + config.read_jiffies / READ_SLACK_PARTS;
    if cut && close.sent_jiffies_ago >= limit || in_time { Owed::Late } else { Owed::Nothing }
}

/// A timeout less its slack of one in so many parts, jiffies.
#[inline(always)]
const fn less(jiffies: u32, parts: u32) -> u32 {
    jiffies - jiffies / parts
}

/// Whether a request has arrived to which not one byte of the final response was written.
#[inline(always)]
pub fn unanswered(conn: &Conn) -> bool {
    let close = &conn.close;
    if close.bytes_received == 0 && conn.flags & flag::SEEDED == 0 {
        return false;
    }
    if conn.flags & (flag::HTTP | flag::SEALED) != 0 {
        // Interim responses (1xx) do not count: the response begins after them.
        return close.response_bytes == 0;
    }
    // The edge's goodbye, which crossed the origin's, is no request.
    let goodbye = if conn.flags & flag::TLS != 0 && conn.exchanges > 0 { MAX_TLS_ALERT } else { 0 };
    // With a request that came early, the rest of the handshake is read in two turns that count as exchanges, if the
    // origin refuses the edge in between.
    let first = if conn.flags & flag::NO_CERTIFICATE != 0 { 2 } else { 1 };
    close.unread > goodbye
        || close.since_read == 0 && conn.turn_may_be_request()
        || conn.flags & flag::TLS != 0
            && (conn.exchanges == 0 || conn.exchanges <= first && close.since_read <= MAX_TLS_ALERT && !conn.was_left())
}

/// Whether the process closes the connection because it exits, after at least one request.
#[inline(always)]
fn process_ends(conn: &Conn) -> bool {
    conn.closer.flags & pf::EXITING != 0 && conn.exchanges > 0
}

/// Judges the response in progress, of which `total` bytes were written, on a connection that speaks HTTP. A header
/// section above `header_limit` bytes is more than an edge accepts.
#[inline(always)]
fn response_verdict(conn: &Conn, header_limit: u32, total: u32, kept: &impl Kept) -> Verdict {
    // None of it is on the wire yet; or the bytes written may be the rest of an earlier response.
    if conn.is_awaited() {
        return Verdict::Unknown;
    }
    if conn.head_len > header_limit {
        return Verdict::Odd;
    }
    if conn.heads == 0 {
        return Verdict::Unknown;
    }
    kept.verdict(conn, total)
}

/// Whether the origin has written bytes that have not been sent to the edge even once.
#[inline(always)]
const fn is_held_back(conn: &Conn) -> bool {
    conn.is_awaited() || conn.response_len < conn.close.response_bytes
}

/// Whether a second request was received together with the current one (pipelining): its response has not begun.
#[inline(always)]
fn more_requests(conn: &Conn, kept: &impl Kept) -> bool {
    if conn.flags & flag::PIPELINED != 0 {
        return true;
    }
    if conn.flags & flag::BODYLESS == 0 || conn.heads == 0 {
        return false;
    }
    let end = kept.first_request_end(conn, conn.request_have.min(REQUEST_LEN as u32));
    end != 0 && conn.request_len > end
}

#[cfg(test)]
mod sealed_tests;
#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Close, Task};

    /// Kept bytes of which the parser says this, and in which the first request ends there.
    struct Says(Verdict, u32);

    impl Kept for Says {
        fn verdict(&self, _: &Conn, _: u32) -> Verdict {
            self.0
        }

        fn first_request_end(&self, _: &Conn, _: u32) -> u32 {
            self.1
        }
    }

    const CONFIG: Config =
        Config { read_jiffies: 800, write_jiffies: 200, header_limit: 1000, missing_ms: 0, second_jiffies: 100 };

    /// A plain request of 50 bytes on a connection that a process had accepted, with `written` bytes of a response.
    fn http(written: u32) -> Conn {
        let close = Close { bytes_received: 50, accepted: 1, response_bytes: written, ..Close::default() };
        let flags = flag::HTTP | flag::BODYLESS;
        Conn { flags, exchanges: 1, request_len: 50, response_len: written, heads: 1, close, ..Conn::default() }
    }

    /// Bytes that cannot be read, with a long record or read among the last ones or not, and what was written since.
    fn opaque(long: bool, since_read: u32) -> Conn {
        let close = Close { bytes_received: 300, accepted: 1, since_read, ..Close::default() };
        Conn { flags: flag::SNIFFED, exchanges: 1, request_end: u32::from(long), close, ..Conn::default() }
    }

    fn with(mut conn: Conn, change: impl FnOnce(&mut Conn)) -> Conn {
        change(&mut conn);
        conn
    }

    /// The same at the end of its process.
    fn dying(conn: Conn) -> Conn {
        Conn { closer: Task { flags: pf::EXITING, ..Task::default() }, ..conn }
    }

    const ALL: [Verdict; 5] = [Verdict::Unknown, Verdict::Whole, Verdict::UntilClose, Verdict::Cut, Verdict::Odd];

    #[test]
    fn inside_tls_the_edges_goodbye_after_its_only_answer_loses_nothing() {
        let at = |conn: &Conn| at_fin(conn, CONFIG.header_limit, &Says(Verdict::Unknown, 0));
        // Its first request was answered, and the process has read a goodbye, or has sent its own since.
        for since_read in [0, MAX_TLS_ALERT] {
            let tls = |flags| with(opaque(false, since_read), |conn| conn.flags = flag::TLS | flag::TLS_DATA | flags);
            assert_eq!(at(&tls(0)), AtFin::Failure);
            assert_eq!(at(&tls(flag::CLOSE_NOTIFY)), AtFin::Harmless);
        }
        // The request came with it.
        let tls = |conn: &mut Conn| conn.flags = flag::TLS | flag::TLS_DATA | flag::CLOSE_NOTIFY;
        assert_eq!(at(&with(opaque(true, 0), tls)), AtFin::Failure);
    }

    #[test]
    fn a_fin_fails_a_request_that_got_nothing_or_not_all() {
        let at = |conn: &Conn, verdict| at_fin(conn, CONFIG.header_limit, &Says(verdict, 0));
        for verdict in ALL {
            assert_eq!(at(&http(0), verdict), AtFin::Failure);
            let cut = matches!(verdict, Verdict::Cut | Verdict::Odd);
            let expected = if cut { AtFin::Failure } else { AtFin::Harmless };
            assert_eq!(at(&http(90), verdict), expected, "{verdict:?}");
            let expected = if verdict == Verdict::Whole { AtFin::Harmless } else { AtFin::Failure };
            assert_eq!(at(&dying(http(90)), verdict), expected, "{verdict:?}, and its process ends");
            let told = with(http(0), |conn| conn.flags |= flag::REPORTED);
            assert_eq!(at(&told, verdict), AtFin::Harmless);
        }
        let large = with(http(90), |conn| conn.head_len = 1001);
        assert_eq!(at(&large, Verdict::Whole), AtFin::Failure);
    }

    #[test]
    fn a_fin_before_the_rest_is_sent_waits_for_it() {
        let held_back = with(http(90), |conn| {
            conn.response_len = 30;
            conn.origin_flags = origin::IN_HEAD;
        });
        assert_eq!(at_fin(&held_back, 1000, &Says(Verdict::Cut, 0)), AtFin::Later);
        assert_eq!(at_fin(&held_back, 1000, &Says(Verdict::Odd, 0)), AtFin::Failure);
        assert!(after_fin(&held_back, 1000, &Says(Verdict::Cut, 0)));
        assert!(!after_fin(&held_back, 1000, &Says(Verdict::Whole, 0)));
    }

    #[test]
    fn a_second_request_that_came_with_the_first_is_owed_a_response() {
        assert_eq!(at_fin(&http(90), 1000, &Says(Verdict::Whole, 50)), AtFin::Harmless);
        assert_eq!(at_fin(&http(90), 1000, &Says(Verdict::Whole, 25)), AtFin::Failure);
        assert!(is_loss(&http(90), 1000, &Says(Verdict::Whole, 25)));
        let upload = with(http(90), |conn| conn.flags &= !flag::BODYLESS);
        assert_eq!(at_fin(&upload, 1000, &Says(Verdict::Whole, 25)), AtFin::Harmless, "the rest is its body");
    }

    #[test]
    fn a_reset_also_cuts_a_body_that_only_the_end_ends() {
        let old = |conn| with(conn, |conn| conn.close.time_ns = 2 * FRESH_NS);
        for verdict in ALL {
            let lost = is_loss(&old(http(90)), 1000, &Says(verdict, 0));
            assert_eq!(lost, !matches!(verdict, Verdict::Whole | Verdict::Unknown), "{verdict:?}");
        }
        assert!(is_loss(&old(http(0)), 1000, &Says(Verdict::Unknown, 0)));
        assert!(is_loss(&old(with(http(90), |conn| conn.close.accepted = 0)), 1000, &Says(Verdict::Whole, 0)));
        let idle = old(with(opaque(false, 0), |conn| (conn.exchanges, conn.close.bytes_received) = (0, 0)));
        assert!(!is_loss(&idle, 1000, &Says(Verdict::Unknown, 0)));
        let fresh = with(idle, |conn| conn.close.time_ns = FRESH_NS - 1);
        assert!(is_loss(&fresh, 1000, &Says(Verdict::Unknown, 0)));
    }

    #[test]
    fn the_edge_waits_as_long_as_its_timeouts() {
        let waits = |conn: Conn, received, sent, verdict, leaving| {
            let conn = with(conn, |conn| {
                (conn.close.received_jiffies_ago, conn.close.sent_jiffies_ago) = (received, sent);
            });
            owed(&conn, &CONFIG, leaving, &Says(verdict, 0))
        };
        for (received, sent, expected) in
            [(799, 900, Owed::Something), (800, 900, Owed::Late), (900, 799, Owed::Something)]
        {
            assert_eq!(waits(http(0), received, sent, Verdict::Unknown, false), expected);
            assert_eq!(waits(http(90), received, sent, Verdict::Cut, false), expected);
        }
        // Its clock may have begun with the request.
        assert_eq!(waits(http(90), 800, 700, Verdict::Cut, true), Owed::Late);
        assert_eq!(waits(http(90), 800, 699, Verdict::Cut, true), Owed::Something);
        assert_eq!(waits(http(90), 0, 0, Verdict::Odd, true), Owed::Late);
        assert_eq!(waits(http(90), 0, 0, Verdict::Odd, false), Owed::Something);
        for verdict in [Verdict::Whole, Verdict::UntilClose, Verdict::Unknown] {
            assert_eq!(waits(http(90), 900, 900, verdict, true), Owed::Nothing, "{verdict:?}");
        }
        let stuck = with(http(0), |conn| conn.close.unread = 10);
        assert_eq!(waits(stuck, 200, 0, Verdict::Unknown, false), Owed::Late);
        // Bytes came after its clock had begun.
        assert_eq!(waits(stuck, 150, 0, Verdict::Unknown, false), Owed::Something);
        assert_eq!(waits(stuck, 150, 0, Verdict::Unknown, true), Owed::Late);
        assert_eq!(waits(stuck, 149, 0, Verdict::Unknown, true), Owed::Something);
        assert_eq!(waits(opaque(true, 0), 800, 800, Verdict::Unknown, false), Owed::Late);
        assert_eq!(waits(opaque(false, 0), 800, 800, Verdict::Unknown, false), Owed::Nothing);
        assert_eq!(waits(opaque(true, 1), 800, 800, Verdict::Unknown, false), Owed::Nothing);
        let later = with(opaque(true, 0), |conn| conn.exchanges = 2);
        assert_eq!(waits(later, 900, 900, Verdict::Unknown, true), Owed::Late);
        assert_eq!(waits(later, 901, 901, Verdict::Unknown, true), Owed::Nothing);
        assert_eq!(waits(later, 900, 900, Verdict::Unknown, false), Owed::Nothing);
    }

    #[test]
    fn what_the_edge_does_not_acknowledge_is_lost_where_it_was_sent_again_and_slow_where_not() {
        let sent = |conn: Conn, received, retransmits, stuck| {
            with(conn, |conn| {
                conn.close.unacked = 60;
                (conn.close.received_jiffies_ago, conn.close.sent_jiffies_ago) = (received, 100);
                (conn.close.retransmits, conn.close.stuck_jiffies) = (retransmits, stuck);
            })
        };
        let owed = |conn: &Conn, leaving, verdict| owed(conn, &CONFIG, leaving, &Says(verdict, 0));
        for conn in [http(90), opaque(true, 90)] {
            for verdict in ALL {
                assert_eq!(owed(&sent(conn, 900, 2, 700), true, verdict), Owed::Late, "{verdict:?}");
                assert_eq!(owed(&sent(conn, 900, 3, 10), true, verdict), Owed::Late, "{verdict:?}");
                assert_eq!(owed(&sent(conn, 900, 2, 800), false, verdict), Owed::Late, "{verdict:?}");
            }
            // The edge takes it slowly, or its window is shut.
            for slow in [sent(conn, 9_000, 0, 0), sent(conn, 9_000, 5, 0)] {
                assert_ne!(owed(&slow, true, Verdict::Whole), Owed::Late);
                assert_eq!(owed(&slow, false, Verdict::Whole), Owed::Something);
            }
            // Not yet.
            assert_eq!(owed(&sent(conn, 900, 2, 799), false, Verdict::Whole), Owed::Something);
            assert_ne!(owed(&sent(conn, 799, 3, 699), true, Verdict::Whole), Owed::Late);
            assert_ne!(owed(&sent(conn, 900, 2, 699), true, Verdict::Whole), Owed::Late);
        }
    }

    #[test]
    fn where_bytes_cannot_be_read_enough_of_them_are_a_request() {
        assert!(unanswered(&opaque(true, 0)));
        assert!(!unanswered(&opaque(false, 0)));
        assert!(!unanswered(&opaque(true, 1)));
        assert!(unanswered(&with(opaque(false, 1), |conn| conn.close.unread = 1)));
        // The long one belongs to an earlier turn.
        assert!(!unanswered(&with(opaque(true, 0), |conn| conn.turn_copied = 1)));
        let tls = |exchanges: u32, since_read| {
            with(opaque(false, since_read), |conn| {
                (conn.flags, conn.exchanges) = (flag::SNIFFED | flag::TLS, exchanges)
            })
        };
        assert!(unanswered(&tls(0, 5000)) && unanswered(&tls(1, MAX_TLS_ALERT)));
        assert!(!unanswered(&tls(1, MAX_TLS_ALERT + 1)) && !unanswered(&tls(2, 0)));
        let refused = with(tls(2, 0), |conn| conn.flags |= flag::NO_CERTIFICATE);
        let leaves = |conn: Conn, leaving| owed(&conn, &CONFIG, leaving, &Says(Verdict::Unknown, 0));
        assert_eq!(leaves(with(refused, |conn| conn.close.since_read = MAX_TLS_ALERT), true), Owed::Late);
        assert_ne!(leaves(with(refused, |conn| conn.close.since_read = MAX_TLS_ALERT + 1), true), Owed::Late);
        assert_ne!(leaves(refused, false), Owed::Late);
        assert!(unanswered(&refused) && !unanswered(&with(refused, |conn| conn.exchanges = 3)));
        // The edge's close_notify lies unread when the origin closes after its response.
        let unread = |exchanges, unread| with(tls(exchanges, 1200), |conn| conn.close.unread = unread);
        assert!(!unanswered(&unread(1, MAX_TLS_ALERT)) && unanswered(&unread(1, MAX_TLS_ALERT + 1)));
        assert!(unanswered(&unread(0, 1)));
    }
}
