//! What was said lately on a connection inside TLS that may speak HTTP/2: the records of its trail, opened with the
//! connection's secrets.

use std::time::Duration;

use tracer_common::{
    Conn, conn_flags as flag,
    trail::{EDGE_LEN, Lane, ORIGIN_LEN, TICK_SHIFT, TRAIL_PIECES, Trail},
};

use super::{
    Session,
    keys::{self, Gap, Look, Part, Plaintext, Run, Side},
    said::secrets,
};

/// Both directions, oldest first. Has no bytes in its `Debug`.
#[derive(Debug, Default)]
pub struct Talk {
    pub edge: Vec<Run>,
    pub origin: Vec<Run>,
    /// The origin ended with `close_notify`: it says nothing more.
    pub is_closed: bool,
}

impl Talk {
    /// Opens what was kept. `look` judges the beginning of a text of the edge's. `None`: what one side said could not
    /// be opened.
    #[must_use]
    pub fn open(conn: &Conn, trail: &Trail, session: &Session, look: Look) -> Option<Self> {
        if conn.flags & flag::SEALED == 0 {
            return None;
        }
        let secrets = secrets(session.keys());
        let open = |side, (lane, kept, len): (&Lane, &[u8], usize), look| {
            let parts = parts(lane, kept, len);
            // What the origin said before the edge's first request is no part of its trail: session tickets.
            let from_start = parts.first().is_some_and(|part| part.record == 0 && part.at == 0 && !part.behind_gap);
            let (mut runs, is_closed) = keys::open_parts(side, &parts, &secrets, from_start, look)?;
            if lane.in_step == 0 && lane.made > 0 {
                let time = runs.last().map_or(Duration::ZERO, |run| run.time);
                runs.push(Run { time, gap: Gap::Unknown, text: Plaintext::default() });
            }
            Some((runs, is_closed))
        };
        let edge = (&trail.edge, &trail.edge_kept[..], EDGE_LEN);
        let origin = (&trail.origin, &trail.origin_kept[..], ORIGIN_LEN);
        let (edge, _) = open(Side::Edge, edge, look)?;
        let (origin, is_closed) = open(Side::Origin, origin, any)?;
        // In TLS 1.2 an alert is one by its outside.
        Some(Self { edge, origin, is_closed: is_closed || trail.origin.alerts > 0 })
    }
}

/// Any text may be the beginning of a frame.
const fn any(_: &[u8]) -> u32 {
    1
}

/// The pieces that are still there, in order.
fn parts<'a>(lane: &Lane, bytes: &'a [u8], len: usize) -> Vec<Part<'a>> {
    let count = lane.made.min(TRAIL_PIECES as u32);
    let all = (0..count).map(|number| lane.made.wrapping_sub(count).wrapping_add(number));
    let pieces = all.map(|made| &lane.pieces[made as usize % TRAIL_PIECES]);
    let kept = pieces.filter(|piece| lane.pos.wrapping_sub(piece.pos) <= len as u32);
    kept.filter_map(|piece| {
        let from = piece.pos as usize % len;
        Some(Part {
            record: piece.record,
            len: piece.len.into(),
            at: piece.at.into(),
            bytes: bytes.get(from..from + usize::from(piece.have))?,
            behind_gap: piece.behind_gap != 0,
            time: Duration::from_nanos(u64::from(piece.ticks) << TICK_SHIFT),
        })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use tracer_common::trail::{PIECE_LEN, Piece};
    use zerocopy::FromZeros as _;

    use super::*;

    /// Puts pieces of these lengths into a lane, as the kernel programs do; each consists of one byte, its number.
    fn filled(lens: &[usize]) -> Box<Trail> {
        let mut trail = Box::new(Trail::new_zeroed());
        for (number, len) in lens.iter().enumerate() {
            let lane = &mut trail.edge;
            let from = lane.pos as usize % EDGE_LEN;
            let slot = lane.made as usize % TRAIL_PIECES;
            lane.pieces[slot] = Piece { record: number as u32, pos: lane.pos, have: *len as u16, ..Piece::default() };
            lane.made += 1;
            lane.pos += *len as u32;
            trail.edge_kept[from..from + len].fill(number as u8);
        }
        trail
    }

    #[test]
    fn the_latest_pieces_are_found_whole_and_in_order() {
        for (len, count) in [(10, 100), (10, 129), (100, 300), (300, 200), (PIECE_LEN, 9), (4000, 50)] {
            let trail = filled(&vec![len; count]);
            let found = parts(&trail.edge, &trail.edge_kept, EDGE_LEN);
            let kept = count.min(TRAIL_PIECES).min(EDGE_LEN / len);
            assert_eq!(found.len(), kept, "{len}, {count}");
            for (number, part) in (count - kept..).zip(&found) {
                assert_eq!(part.record as usize, number);
                assert_eq!(part.bytes, vec![number as u8; len], "{len}, {count}");
            }
        }
    }

    #[test]
    fn a_trail_of_any_bytes_does_no_harm() {
        for byte in [0xff, 0x7f, 0x80, 1] {
            let mut trail = Box::new(Trail::new_zeroed());
            zerocopy::IntoBytes::as_mut_bytes(&mut *trail).fill(byte);
            let _any = parts(&trail.edge, &trail.edge_kept, EDGE_LEN);
            let _any = parts(&trail.origin, &trail.origin_kept, ORIGIN_LEN);
        }
    }
}
