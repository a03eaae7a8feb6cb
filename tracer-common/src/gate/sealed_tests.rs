//! Sealed connections: what the gate can see of them are the lengths of their records.

use super::*;
use crate::Close;

/// No byte of a sealed connection can be parsed.
struct Blind;

impl Kept for Blind {
    fn verdict(&self, _: &Conn, _: u32) -> Verdict {
        panic!("the gate looked at ciphertext")
    }

    fn first_request_end(&self, _: &Conn, _: u32) -> u32 {
        panic!("the gate looked at ciphertext")
    }
}

/// A read timeout of 800 jiffies, a write timeout of 200, and 100 jiffies a second.
const CONFIG: Config =
    Config { read_jiffies: 800, write_jiffies: 200, header_limit: 1000, missing_ms: 0, second_jiffies: 100 };

/// A request, and a response of so many bytes that was sent whole; its last record ends at `record_end`.
fn sealed(response: u32, record_end: u32) -> Conn {
    let close = Close {
        time_ns: 2 * FRESH_NS,
        bytes_received: 600,
        accepted: 1,
        response_bytes: response,
        received_jiffies_ago: 10,
        sent_jiffies_ago: 10,
        ..Close::default()
    };
    Conn {
        flags: flag::SNIFFED | flag::TLS | flag::TLS_DATA | flag::SEALED,
        origin_flags: origin::RECORDS_OUT,
        exchanges: 1,
        asked: 1,
        answered: u16::from(response > 0),
        response_len: response,
        chunk_at: record_end,
        heads: 1,
        close,
        ..Conn::default()
    }
}

fn whole() -> Conn {
    sealed(500, 500)
}

fn cut() -> Conn {
    sealed(500, 700)
}

fn reported(conn: Conn) -> Conn {
    Conn { flags: conn.flags | flag::REPORTED, ..conn }
}

/// The same with more written than was sent.
fn held_back(mut conn: Conn) -> Conn {
    conn.close.response_bytes += 100;
    conn
}

/// The same at so many jiffies since the last byte came, and since one went.
fn after(mut conn: Conn, received: u32, sent: u32) -> Conn {
    (conn.close.received_jiffies_ago, conn.close.sent_jiffies_ago) = (received, sent);
    conn
}

#[test]
fn a_fin_is_for_the_agent_to_judge_once_all_is_sent() {
    let at = |conn: &Conn| at_fin(conn, CONFIG.header_limit, &Blind);
    for conn in [sealed(0, 0), whole(), cut()] {
        assert_eq!(at(&conn), AtFin::Failure);
        assert_eq!(at(&reported(conn)), AtFin::Harmless);
        assert!(after_fin(&conn, CONFIG.header_limit, &Blind));
        assert!(!after_fin(&reported(conn), CONFIG.header_limit, &Blind));
    }
    assert_eq!(at(&held_back(whole())), AtFin::Later);
    // Written, and none of it on the wire.
    assert_eq!(at(&Conn { answered: 0, ..whole() }), AtFin::Later);
}

#[test]
fn an_end_without_a_fin_is_for_the_agent_to_judge() {
    for conn in [sealed(0, 0), whole(), cut(), held_back(cut())] {
        assert!(is_loss(&conn, CONFIG.header_limit, &Blind));
        assert!(!is_loss(&reported(conn), CONFIG.header_limit, &Blind));
    }
}

#[test]
fn only_what_decryption_alone_can_judge_is_a_question() {
    assert!(is_question(&whole()));
    // Written and not sent: where the last record ends is not known.
    assert!(is_question(&held_back(cut())) && is_question(&Conn { answered: 0, ..cut() }));
    // No byte, and a record cut in its middle, are failures whatever they say.
    assert!(!is_question(&sealed(0, 0)) && !is_question(&cut()));
    let lost_track = Conn { origin_flags: 0, ..cut() };
    assert!(is_question(&lost_track));
    assert!(!is_question(&Conn { flags: whole().flags & !flag::SEALED, ..whole() }));
}

#[test]
fn an_edge_that_gets_nothing_waits_for_its_timeout() {
    for leaving in [false, true] {
        let owed = |conn: Conn, received, sent| owed(&after(conn, received, sent), &CONFIG, leaving, &Blind);
        assert_eq!(owed(sealed(0, 0), 799, 900), Owed::Something);
        assert_eq!(owed(sealed(0, 0), 900, 799), Owed::Something);
        assert_eq!(owed(sealed(0, 0), 800, 800), Owed::Late);
        let mut slow = sealed(0, 0);
        slow.close.unacked = 9;
        assert_eq!(owed(slow, 900, 900), Owed::Something);
    }
}

#[test]
fn an_edge_that_stays_waits_only_for_the_rest_of_a_record() {
    let owed = |conn: Conn, received, sent| owed(&after(conn, received, sent), &CONFIG, false, &Blind);
    assert_eq!(owed(whole(), 9_000, 9_000), Owed::Nothing);
    assert_eq!(owed(cut(), 900, 799), Owed::Something);
    assert_eq!(owed(cut(), 800, 800), Owed::Late);
    let mut slow = cut();
    slow.close.unacked = 9;
    assert_eq!(owed(slow, 900, 900), Owed::Something);
}

#[test]
fn an_edge_that_leaves_may_mind_what_it_got_at_once_or_when_its_timeout_passes() {
    let owed = |conn: Conn, received, sent| owed(&after(conn, received, sent), &CONFIG, true, &Blind);
    for conn in [whole(), cut()] {
        // Within a second of the last byte.
        assert_eq!(owed(conn, 100, 100), Owed::Late);
        assert_eq!(owed(conn, 101, 101), Owed::Nothing);
        // From one part in eight before the timeout to one behind it.
        assert_eq!(owed(conn, 699, 699), Owed::Nothing);
        assert_eq!(owed(conn, 800, 700), Owed::Late);
        assert_eq!(owed(conn, 900, 900), Owed::Late);
    }
    assert_eq!(owed(whole(), 901, 901), Owed::Nothing);
    assert_eq!(owed(cut(), 901, 901), Owed::Late, "the rest of a record never came");
}
