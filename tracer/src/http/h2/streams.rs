//! The streams of a connection, so many at most.

use std::collections::BTreeMap;
use std::time::Duration;

use super::stream::Stream;

/// Streams that are kept; of more, the latest. The edge opens up to 200 at once.
const MOST: usize = 256;

/// Streams by number.
#[derive(Default)]
pub(super) struct Streams {
    pub(super) kept: BTreeMap<u32, Stream>,
    /// How many there were beside these, as far as known.
    pub(super) dropped: u64,
    /// The highest that the edge opened, as far as known.
    pub(super) highest: u32,
}

impl Streams {
    /// The edge begins to open a stream, or to send trailers on it.
    pub(super) fn open(&mut self, number: u32, time: Duration) {
        if number <= self.highest {
            return;
        }
        self.highest = number;
        if self.kept.len() >= MOST && self.kept.pop_first().is_some() {
            self.dropped += 1;
        }
        self.kept.insert(number, Stream::requested(time));
    }

    pub(super) fn get(&mut self, number: u32) -> Option<&mut Stream> {
        self.kept.get_mut(&number)
    }

    /// The stream that the origin answers on, while it is not over. Its request may not have been kept.
    pub(super) fn answered(&mut self, number: u32) -> Option<&mut Stream> {
        if number.is_multiple_of(2) {
            return None;
        }
        if !self.kept.contains_key(&number) {
            if self.kept.len() >= MOST {
                return None;
            }
            self.kept.insert(number, Stream::default());
        }
        self.kept.get_mut(&number).filter(|stream| !stream.is_over())
    }
}
