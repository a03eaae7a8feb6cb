//! The status that a visitor most likely saw, where no record of the failure could be made.
//!
//! If the ring buffer is full, a failure can't be handed over. It is counted all the same, by this status and without a
//! cause, so that the sum of failures stays right.

use crate::{
    Attempt, Conn, attempt, conn_flags as flag, lost,
    origin_flags::{IN_HEAD, NOT_HTTP},
    taken, triggers,
};

/// The statuses, each in its slot of the counters. `None`: a body that was cut after its header section.
pub const STATUSES: [Option<u16>; 7] = [Some(520), Some(521), Some(522), Some(523), Some(524), Some(525), None];

const _: () = assert!(STATUSES.len() == (lost::SLOTS - lost::FAILURES) as usize);

const S520: u32 = 0;
/// The slot of a SYN that was refused.
pub const S521: u32 = 1;
const S522: u32 = 2;
const S523: u32 = 3;
const S524: u32 = 4;
const S525: u32 = 5;
const CUT: u32 = 6;

/// The slot of a connection that failed by `trigger`.
#[inline(always)]
pub const fn of_conn(conn: &Conn, trigger: u32) -> u32 {
    let http = conn.flags & flag::HTTP != 0;
    let begun = conn.close.response_bytes > 0 && !conn.is_awaited() && conn.origin_flags & (NOT_HTTP | IN_HEAD) == 0;
    match trigger {
        triggers::LATE => S520,
        _ if http && begun => CUT,
        _ if conn.flags & flag::TLS != 0 && conn.exchanges == 0 => S525,
        triggers::FIN | triggers::RST => S520,
        _ => S524,
    }
}

/// The slot of packets that the host took.
#[inline(always)]
pub const fn of_attempt(seen: &Attempt) -> u32 {
    match (seen.kind, seen.cause) {
        (attempt::DATA, taken::RESET) | (_, taken::QUEUE_RESET) => S520,
        (_, taken::RESET) => S521,
        (attempt::SYN | attempt::SYN_ACK, taken::ICMP) => S523,
        _ => S522,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Close;

    fn status(change: impl FnOnce(&mut Conn), trigger: u32) -> Option<u16> {
        let mut conn = Conn { flags: flag::HTTP, exchanges: 1, ..Conn::default() };
        change(&mut conn);
        STATUSES[of_conn(&conn, trigger) as usize]
    }

    #[test]
    fn a_lost_connection_counts_by_what_the_edge_saw_of_it() {
        let nothing = |conn: &mut Conn| conn.asked = 1;
        let head = |conn: &mut Conn| (conn.close.response_bytes, conn.origin_flags) = (30, IN_HEAD);
        let body = |conn: &mut Conn| conn.close = Close { response_bytes: 90, ..Close::default() };
        for end in [triggers::FIN, triggers::RST] {
            assert_eq!((status(nothing, end), status(head, end), status(body, end)), (Some(520), Some(520), None));
        }
        for waits in [triggers::EDGE_FIN, triggers::EDGE_RST, triggers::OVERDUE, triggers::SILENT] {
            assert_eq!(
                (status(nothing, waits), status(head, waits), status(body, waits)),
                (Some(524), Some(524), None)
            );
        }
        assert_eq!(status(body, triggers::LATE), Some(520));
        let handshake = |conn: &mut Conn| (conn.flags, conn.exchanges) = (flag::TLS, 0);
        assert_eq!(status(handshake, triggers::EDGE_FIN), Some(525));
    }

    #[test]
    fn lost_packets_count_by_how_they_were_taken() {
        let status = |kind, cause| STATUSES[of_attempt(&Attempt { kind, cause, ..Attempt::default() }) as usize];
        assert_eq!(status(attempt::SYN, taken::DROPPED), Some(522));
        assert_eq!(status(attempt::SYN, taken::RESET), Some(521));
        assert_eq!(status(attempt::SYN, taken::ICMP), Some(523));
        assert_eq!(status(attempt::DATA, taken::RESET), Some(520));
        assert_eq!(status(attempt::SYN, taken::QUEUE), Some(522));
        assert_eq!(status(attempt::DATA, taken::QUEUE_RESET), Some(520));
        assert_eq!(STATUSES[S521 as usize], Some(521));
    }
}
