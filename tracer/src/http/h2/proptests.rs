//! Conversations cut, split and with holes, and hostile bytes: no panic, and never a claim that the whole denies.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::samples::*;
use super::*;
use crate::http::Progress;

fn whole(edge: &[u8], origin: &[u8]) -> Connection {
    Connection::read(&[piece(0, Gap::None, edge)], &[piece(1_000_000, Gap::None, origin)])
}

/// How a piece comes to be: where the text is cut before it, and what becomes of it.
type Cut = (Index, u8);

/// Splits a side where it is said; some pieces are not kept, some are but nobody knows how many bytes lie before.
fn split<'a>(text: &'a [u8], cuts: &[Cut], start: u64, has_holes: bool) -> Vec<Piece<'a>> {
    let mut at: Vec<_> = cuts.iter().map(|(index, what)| (index.index(text.len() + 1), *what)).collect();
    at.sort_unstable();
    at.push((text.len(), 1));
    let (mut from, mut gap, mut pieces) = (0, Gap::None, Vec::new());
    for (number, (end, what)) in (start..).zip(at) {
        let part = &text[from..end];
        from = end;
        if has_holes && what % 4 == 0 && !part.is_empty() {
            gap = match gap {
                Gap::None if what % 8 == 0 => Gap::Bytes(part.len() as u64),
                Gap::Bytes(len) if what % 8 == 0 => Gap::Bytes(len + part.len() as u64),
                _ => Gap::Unknown,
            };
            continue;
        }
        pieces.push(piece(number, gap, part));
        gap = Gap::None;
    }
    pieces.push(piece(start + 1000, gap, b""));
    pieces
}

/// What must hold of a connection of which less is known.
fn never_denied(less: &Connection, more: &Connection) {
    assert!(less.broken_by_origin.is_none() && less.broken_by_edge.is_none(), "{less:?}");
    for (id, stream) in &less.streams {
        let of = more.streams.get(id).unwrap_or_else(|| panic!("stream {id} was made up"));
        let (response, truth) = (&stream.response, &of.response);
        assert!(response.ended.is_none() || truth.ended.is_some(), "{id}: {stream:?}");
        assert!(
            stream.reset.is_none_or(|reset| of.reset.is_some_and(|truth| truth.by == reset.by)),
            "{id}: {stream:?}"
        );
        assert!(stream.reset.and_then(|reset| reset.code).is_none_or(|code| of.reset.unwrap().code == Some(code)));
        assert!(response.status.is_none() || response.status == truth.status, "{id}: {stream:?}");
        assert!(response.error.is_none() && response.body_bytes <= truth.body_bytes, "{id}: {stream:?}");
        let (Some(request), Some(true_request)) = (&stream.request, &of.request) else { continue };
        for (known, truth) in [
            (&request.method, &true_request.method),
            (&request.path, &true_request.path),
            (&request.host, &true_request.host),
            (&request.ray, &true_request.ray),
        ] {
            assert!(known.is_none() || known == truth, "{id}: {request:?}, {true_request:?}");
        }
    }
}

fn conversations() -> Vec<(&'static [u8], &'static [u8])> {
    STYLES.iter().map(|(_, edge)| (*edge, ORIGIN)).chain([LIBRARY]).collect()
}

#[test]
fn prefixes_of_both_sides_claim_nothing_that_the_whole_denies() {
    for (edge, origin) in conversations() {
        let more = whole(edge, origin);
        // Each of a conversation's first bytes, and some of the rest.
        let len = edge.len().max(origin.len());
        for end in (0..300).chain((300..=len).step_by(31)) {
            let (edge_end, origin_end) = (end.min(edge.len()), end.min(origin.len()));
            never_denied(&whole(edge, &origin[..origin_end]), &more);
            let rest = piece(2_000_000, Gap::Unknown, b"");
            let cut = [piece(0, Gap::None, &edge[..edge_end]), rest];
            never_denied(&Connection::read(&cut, &[piece(1_000_000, Gap::None, origin)]), &more);
        }
    }
}

#[test]
fn wherever_the_reading_begins_it_claims_nothing_that_the_whole_denies() {
    for (edge, origin) in [conversations()[2], LIBRARY] {
        let more = whole(edge, origin);
        for start in 1..edge.len().max(origin.len()) {
            let (from, of_edge) = (start.min(origin.len()), [piece(0, Gap::None, edge)]);
            let read = Connection::read(&of_edge, &[piece(1_000_000, Gap::Unknown, &origin[from..])]);
            never_denied(&read, &more);
            let from = start.min(edge.len());
            never_denied(&Connection::read(&[piece(0, Gap::Unknown, &edge[from..])], &[]), &more);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn a_split_makes_no_difference(
        number in 0..7usize,
        edge_cuts in vec(any::<Cut>(), 0..40),
        origin_cuts in vec(any::<Cut>(), 0..40),
    ) {
        let (edge, origin) = conversations()[number];
        let read =
            Connection::read(&split(edge, &edge_cuts, 0, false), &split(origin, &origin_cuts, 1_000_000, false));
        let more = whole(edge, origin);
        never_denied(&read, &more);
        never_denied(&more, &read);
    }

    #[test]
    fn holes_hide_and_never_invent(
        number in 0..7usize,
        edge_cuts in vec(any::<Cut>(), 0..40),
        origin_cuts in vec(any::<Cut>(), 0..40),
    ) {
        let (edge, origin) = conversations()[number];
        let more = whole(edge, origin);
        let read = Connection::read(&split(edge, &edge_cuts, 0, true), &split(origin, &origin_cuts, 1_000_000, true));
        never_denied(&read, &more);
        for (id, stream) in read.streams.iter().filter(|(_, stream)| stream.is_known) {
            // What is open for certain is open.
            let (response, truth) = (&stream.response, &more.streams[id].response);
            prop_assert_eq!(response.ended.is_some(), truth.ended.is_some(), "{}: {:?}", id, stream);
            prop_assert!(response.progress != Progress::Nothing || truth.progress == Progress::Nothing);
            prop_assert_eq!(stream.reset.is_some(), more.streams[id].reset.is_some(), "{}: {:?}", id, stream);
            if response.is_body_known {
                prop_assert_eq!(response.body_bytes, truth.body_bytes);
            }
        }
    }

    #[test]
    fn hostile_bytes_do_no_harm(
        number in 0..7usize,
        changes in vec((any::<Index>(), any::<u8>()), 1..8),
        edge_cuts in vec(any::<Cut>(), 0..10),
        origin_cuts in vec(any::<Cut>(), 0..10),
        noise in vec(any::<u8>(), 0..60),
    ) {
        let (edge, origin) = conversations()[number];
        let (mut edge, mut origin) = (edge.to_vec(), origin.to_vec());
        for (at, byte) in changes {
            let (at_edge, at_origin) = (at.index(edge.len()), at.index(origin.len()));
            (edge[at_edge], origin[at_origin]) = (byte, byte);
        }
        let at = usize::from(noise.first().copied().unwrap_or_default()) * 8 % origin.len();
        origin.splice(at..at, noise.iter().copied());
        let read = Connection::read(&split(&edge, &edge_cuts, 0, true), &split(&origin, &origin_cuts, 1_000_000, true));
        prop_assert!(read.streams.len() <= 256);
        let _ = Connection::read(&[piece(0, Gap::Unknown, &noise)], &[piece(0, Gap::Unknown, &noise)]);
    }
}
