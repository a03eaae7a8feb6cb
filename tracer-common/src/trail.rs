//! The trail of a connection that may speak HTTP/2 inside TLS: the most recent TLS records of both directions, as far
//! as they are kept.
//!
//! One such connection carries many requests at once, so that the first bytes of *the* current request and response say
//! little. What failed is found among the last records. Short records, which hold the header sections, are kept whole;
//! of long ones, which hold bodies, the first and the last bytes.

/// Pieces that are kept of either direction. A power of two.
pub const TRAIL_PIECES: usize = 256;

/// Parts of records that are looked at in one run of a program. A power of two.
pub const TRAIL_PARTS: usize = 16;

/// Bytes that are kept of what the edge says, and of what the origin says. Powers of two.
pub const EDGE_LEN: usize = 16 << 10;
pub const ORIGIN_LEN: usize = 32 << 10;

/// Content of the longest record that is kept whole, bytes.
pub const PIECE_LEN: usize = 4096;

/// Bytes that are kept of the beginning and of the end of a longer record.
pub const PIECE_HEAD_LEN: usize = 512;
pub const PIECE_END_LEN: usize = 64;

/// Trails that are kept. Beyond that the one that was used longest ago is dropped.
pub const TRAILS: u32 = 512;

/// A tick is two to this power of nanoseconds, 4 microseconds.
pub const TICK_SHIFT: u32 = 12;

/// How often the agent is asked what a connection speaks, until it answers, and after how many milliseconds again.
pub const HELLOS: u32 = 4;
pub const HELLO_AGAIN_MS: u32 = 50;

/// Records of short frames with which a stream may fail, and which are handed over although the last ones were sound,
/// of either direction. Beyond that, one in so many milliseconds.
pub const STREAM_QUESTIONS: u32 = 8;
pub const STREAM_AGAIN_MS: u32 = 1000;

/// A control frame is taken for a window update where as many bytes, which it may be due for, came the other way since
/// the last one.
pub const WINDOW_STEP: u32 = 8 << 10;

/// A request's records are shorter, so that only longer ones are taken for its body. A power of two.
pub const BODY_LEN: u32 = 1 << 10;

/// What the agent found a connection to speak.
pub mod spoken {
    /// HTTP/2. Above it, in steps of [`FOUND`], the number of failures that were found.
    pub const HTTP2: u32 = 1;
    /// Something else: its trail is of no use.
    pub const OTHER: u32 = 2;
    /// With [`HTTP2`]: sound responses end with a DATA frame without data.
    pub const APART: u32 = 4;
    /// One failure.
    pub const FOUND: u32 = 1 << 8;
}

shared! {
    /// Where a piece of a record's content lies among the bytes of its lane.
    #[derive(Default)]
    pub struct Piece {
        /// When it passed, ticks since the connection opened. Wraps around after 4.9 hours.
        pub ticks: u32,
        /// Number of its record among those of its direction since the trail began.
        pub record: u32,
        /// How many bytes of its direction were kept before it.
        pub pos: u32,
        /// Where it begins in the content of its record, bytes.
        pub at: u16,
        /// Length of that content.
        pub len: u16,
        /// Length of the piece.
        pub have: u16,
        /// 1: packets are missing before its record, so that an unknown number of records is.
        pub behind_gap: u16,
    }
    size: 20
}

shared! {
    /// A part of a record's content that lies in the packet at hand. Only the kernel programs use it.
    #[derive(Default)]
    pub struct Part {
        /// Where in the packet, bytes.
        pub offset: u32,
        /// Length of the part.
        pub here: u32,
        /// Bytes of the content that came before it.
        pub done: u32,
        /// Length of the content.
        pub len: u32,
        /// As in [`Piece`].
        pub record: u32,
        pub behind_gap: u32,
    }
    size: 24
}

shared! {
    /// What is known of one direction.
    pub struct Lane {
        /// Pieces made so far. The last [`TRAIL_PIECES`] of them are kept.
        pub made: u32,
        /// Bytes kept so far. The last [`EDGE_LEN`] or [`ORIGIN_LEN`] of them are still there.
        pub pos: u32,
        /// Records that have begun.
        pub records: u32,
        /// Sequence number of the next record's first byte.
        pub next_seq: u32,
        /// Sequence number after the last byte that was looked at.
        pub seen_seq: u32,
        /// Bytes that were looked at, and those among them of long records ([`BODY_LEN`]).
        pub bytes: u32,
        pub body: u32,
        /// Length of the current record's content.
        pub len: u32,
        /// First bytes of a record's header that lies across two packets, the first one lowest.
        pub part: u32,
        /// How many: 0 to 4.
        pub part_len: u32,
        /// 1: where the next record begins is known.
        pub in_step: u32,
        /// 1: packets are missing before the current record.
        pub gap: u32,
        /// How many bytes of the other direction a window update may be due for, at the last short control frame of
        /// this one.
        pub other_bytes: u32,
        /// Questions so far whether one of these was a reset, and when the last was asked, milliseconds since the
        /// connection opened.
        pub questions: u32,
        pub asked_ms: u32,
        /// Parts that one run of a program found in the packet at hand, and 1: there are more.
        pub parts_len: u32,
        pub has_more: u32,
        /// Which control frames may be in the packet at hand.
        pub controls: u32,
        /// Alerts of TLS 1.2, which look like alerts from outside.
        pub alerts: u32,
        /// Of the current record: all bits set, it holds data; 0, it belongs to the handshake or is an alert.
        pub is_data: u32,
        pub parts: [Part; TRAIL_PARTS],
        pub pieces: [Piece; TRAIL_PIECES],
    }
    size: 80 + TRAIL_PARTS * 24 + TRAIL_PIECES * 20
}

shared! {
    /// Both directions. Behind the bytes that are kept of each is room for one more piece, so that none wraps around.
    pub struct Trail {
        // The origin's first: of a copy that is made meanwhile, the requests must reach as far as the answers.
        pub origin: Lane,
        pub edge: Lane,
        pub origin_kept: [u8; ORIGIN_LEN + PIECE_LEN],
        pub edge_kept: [u8; EDGE_LEN + PIECE_LEN],
        /// How often the agent was asked what the connection speaks, and when last, milliseconds since it opened.
        pub hellos: u32,
        pub hello_ms: u32,
        /// 1: what may be a reset passed before it was known what the connection speaks.
        pub waiting: u32,
        /// Answers so far that were handed over for their size alone.
        pub samples: u32,
    }
    size: 16 + 2 * (size_of::<Lane>() + PIECE_LEN) + ORIGIN_LEN + EDGE_LEN
}
