//! The kernel programs' parsers of responses, compiled for this machine.
//!
//! `parse` is the kernel crate's own source. [`Origin`] stands for what the kernel crate has around it in
//! `exchange/response.rs` and `exchange/section.rs`: there the bytes come from packets and lie in maps.

use std::array;

use tracer::http::{Chunks, Seen};
use tracer_common::{Conn, conn_flags, gate::Verdict, limits, origin_flags as origin};

use parse::{
    chunk_trail::{follow, may_begin},
    empty_line, fields,
    framing::{Judged, blanks, conclude, is_interim},
};

#[path = "../../../../tracer-ebpf/src/parse/mod.rs"]
pub mod parse;

const RESPONSE: usize = limits::RESPONSE_LEN;
const TAIL: usize = limits::TAIL_LEN;
/// Bytes at the end of the buffer that stay unused once it holds something.
const UNUSED: usize = 32;
/// Bytes of a large header section that are searched at a time, and the size of the buffer for them.
const CHUNK: usize = 4096;
const SCRATCH: usize = CHUNK + 8;
/// Interim responses in one packet that are passed over.
const INTERIMS: usize = 8;

/// How many bytes at the start of a packet are empty lines, as far as the kernel looks.
fn leading_blanks(packet: &[u8]) -> usize {
    blanks(u32::from_ne_bytes(array::from_fn(|index| packet.get(index).copied().unwrap_or(0)))) as usize
}

/// One response as the kernel sees it go out, packet by packet.
#[derive(Clone)]
pub struct Origin {
    conn: Conn,
    response: fields::Response,
    /// Sequence number of the next packet.
    seq: u32,
}

impl Origin {
    /// Before the first packet. The buffer holds what the response before left in it: `stale`, over and over.
    #[must_use]
    pub fn new(stale: &[u8]) -> Self {
        let mut bytes = stale.iter().copied().cycle();
        // Numbers wrap within the response.
        let seq = u32::MAX - 20;
        let response = array::from_fn(|_| bytes.next().unwrap_or(0));
        let response_tail = array::from_fn(|_| bytes.next().unwrap_or(0));
        let conn = Conn { flags: conn_flags::HTTP, response_seq: seq, response_tail, ..Conn::default() };
        Self { conn, response, seq }
    }

    /// A packet goes out.
    pub fn send(&mut self, packet: &[u8]) {
        let begins = self.conn.origin_flags & (origin::NOT_HTTP | origin::IN_HEAD) == 0 && self.conn.response_len == 0;
        let behind_interim = self.conn.flags & conn_flags::INTERIM != 0 && self.conn.response_len == 0;
        let strips = behind_interim || begins && leading_blanks(packet) < packet.len();
        let packet = if strips { self.without_blanks(packet) } else { packet };
        if begins {
            let other = packet.len() >= 4 && !packet.starts_with(b"HTTP");
            self.conn.origin_flags |= if other { origin::NOT_HTTP } else { origin::IN_HEAD };
        }
        if packet.is_empty() {
            return;
        }
        let at = self.seq.wrapping_sub(self.conn.response_seq);
        let packet_seq = self.seq;
        self.seq = self.seq.wrapping_add(packet.len() as u32);
        if at == self.conn.response_have && (at as usize) < RESPONSE {
            self.conn.response_have += self.copy(packet, at as usize);
        }
        self.conn.response_len = self.seq.wrapping_sub(self.conn.response_seq);
        if self.conn.origin_flags & origin::IN_HEAD != 0 {
            self.section(packet, at);
        }
        if self.conn.origin_flags & origin::IN_CHUNKS != 0 {
            follow(&mut self.conn, packet_seq, packet.len() as u32, |at, len| {
                let mut line = [0; 16];
                line[..len as usize].copy_from_slice(packet.get(at as usize..(at + len) as usize)?);
                let (words, _) = line.as_chunks();
                Some([u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1])])
            });
        }
        if self.conn.response_len > self.conn.response_have {
            self.tail(packet, at);
        }
    }

    /// The kernel's judgement, if `total` bytes were written; `head`: it answers a HEAD request.
    #[must_use]
    pub fn verdict(&self, head: bool, total: u32) -> Verdict {
        if self.conn.origin_flags & origin::NOT_HTTP != 0 {
            return Verdict::Odd;
        }
        let flags = self.conn.flags | if head { conn_flags::HEAD } else { 0 };
        let judged = Judged::from_words(Judged::of(&self.conn, flags, total).to_words());
        let mut walk = judged.walk();
        for _ in 0..fields::WALK_PARTS {
            if fields::part(&self.response, &mut walk) != 0 {
                break;
            }
        }
        Verdict::of(conclude(&judged, &self.response, &walk) as u32)
    }

    /// What a record of it gives to the agent's parser.
    #[must_use]
    pub fn seen(&self, total: u32) -> Seen<'_> {
        let unfinished = origin::NOT_HTTP | origin::IN_HEAD;
        Seen {
            head: &self.response[..self.conn.response_have as usize],
            section: (self.conn.origin_flags & unfinished == 0).then_some(self.conn.head_len.into()),
            tail: &self.conn.response_tail,
            len: total.into(),
            sent: self.conn.response_len.into(),
            chunks: match self.conn.origin_flags & origin::CHUNKS {
                origin::IN_CHUNKS => Chunks::Next(self.conn.chunk_at.into()),
                origin::LAST_CHUNK => Chunks::Last,
                origin::NO_CHUNK => Chunks::Broken,
                _ => Chunks::Unknown,
            },
            ..Seen::default()
        }
    }

    /// Bytes of the final response that have gone out.
    #[must_use]
    pub const fn sent(&self) -> u32 {
        self.conn.response_len
    }

    /// Whether the chunks could be followed so far, if these are chunks.
    #[must_use]
    pub const fn follows_chunks(&self) -> bool {
        self.conn.origin_flags & origin::CHUNKS != 0
    }

    /// Size of the header section, or how much of it was searched.
    #[must_use]
    pub const fn section_len(&self) -> u32 {
        self.conn.head_len
    }

    /// Bytes of the response that are kept.
    #[must_use]
    pub const fn kept(&self) -> u32 {
        self.conn.response_have
    }

    fn copy(&mut self, bytes: &[u8], at: usize) -> u32 {
        let most = if at == 0 { RESPONSE } else { (RESPONSE - at) / UNUSED * UNUSED };
        let len = bytes.len().min(most);
        self.response[at..at + len].copy_from_slice(&bytes[..len]);
        len as u32
    }

    /// Takes off the empty lines in front of a response, which begins behind them.
    fn without_blanks<'a>(&mut self, packet: &'a [u8]) -> &'a [u8] {
        let blanks = leading_blanks(packet);
        self.seq = self.seq.wrapping_add(blanks as u32);
        self.conn.response_seq = self.seq;
        &packet[blanks..]
    }

    fn head_end(&self, searched: u32, have: u32) -> u32 {
        empty_line::in_parts(empty_line::go_on(searched), have, |at| empty_line::part(&self.response, at, have))
    }

    fn section(&mut self, packet: &[u8], at: u32) {
        let have = self.conn.response_have;
        let mut end = self.head_end(self.conn.head_len, have);
        let full = have as usize > RESPONSE - UNUSED;
        self.conn.head_len = self.conn.head_len.max(if full { have - TAIL as u32 } else { have });
        if end == 0 && full && self.conn.response_len > have {
            end = self.far_end(packet, at);
        }
        if end == 0 {
            return;
        }
        if is_interim(&self.response) && end as usize <= RESPONSE {
            return self.interim(packet, end, end.wrapping_sub(at));
        }
        self.conn.head_len = end;
        self.header_ended();
    }

    fn interim(&mut self, packet: &[u8], mut end: u32, mut skipped: u32) {
        self.conn.flags |= conn_flags::INTERIM;
        let mut rest = packet;
        for _ in 0..INTERIMS {
            self.conn.response_seq = self.conn.response_seq.wrapping_add(end);
            (self.conn.response_len, self.conn.response_have, self.conn.head_len) = (0, 0, 0);
            if skipped as usize >= rest.len() {
                return;
            }
            rest = &rest[skipped as usize..];
            let blanks = leading_blanks(rest);
            rest = &rest[blanks..];
            self.conn.response_seq = self.conn.response_seq.wrapping_add(blanks as u32);
            if rest.is_empty() {
                return;
            }
            self.conn.response_len = rest.len() as u32;
            self.conn.response_have = self.copy(rest, 0);
            let have = self.conn.response_have;
            end = self.head_end(0, have);
            skipped = end;
            if end == 0 {
                self.conn.head_len = have;
                return;
            }
            self.conn.head_len = end;
            if !is_interim(&self.response) {
                return self.header_ended();
            }
        }
        self.conn.origin_flags &= !origin::IN_HEAD;
    }

    fn header_ended(&mut self) {
        self.conn.origin_flags &= !origin::IN_HEAD;
        may_begin(&mut self.conn, &self.response);
    }

    fn far_end(&mut self, packet: &[u8], at: u32) -> u32 {
        let stop = at.wrapping_add(packet.len() as u32);
        let mut from = self.conn.head_len.max(at);
        while from < stop {
            let done = (from - at) as usize;
            let before =
                if done >= TAIL { array::from_fn(|index| packet[done - TAIL + index]) } else { self.before(at) };
            let piece = &packet[done..packet.len().min(done + CHUNK - TAIL)];
            let mut scratch = [0; SCRATCH];
            scratch[..TAIL].copy_from_slice(&before);
            scratch[TAIL..TAIL + piece.len()].copy_from_slice(piece);
            let have = (TAIL + piece.len()) as u32;
            let end = empty_line::in_parts(0, have, |at| empty_line::part(&scratch, at, have));
            if end != 0 {
                return from + end - TAIL as u32;
            }
            from += piece.len() as u32;
            self.conn.head_len = from;
        }
        0
    }

    /// The eight bytes before byte `at` of the response; zeros where it has fewer.
    fn before(&self, at: u32) -> [u8; TAIL] {
        if self.conn.response_have != at {
            return self.conn.response_tail;
        }
        let from = (at as usize).checked_sub(TAIL);
        from.map_or([0; TAIL], |from| array::from_fn(|index| self.response[from + index]))
    }

    fn tail(&mut self, packet: &[u8], at: u32) {
        let all = [&self.before(at), packet].concat();
        self.conn.response_tail.copy_from_slice(&all[all.len() - TAIL..]);
    }
}
