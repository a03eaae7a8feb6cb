//! Which streams of which connections were told as failures: a later record of the connection shows them again.

use std::collections::{BTreeSet, VecDeque};

/// Connections remembered of which a stream was told, and streams of each.
const MAX_CONNECTIONS: usize = 1024;
const MAX_STREAMS: usize = 1024;

/// The last [`MAX_CONNECTIONS`] names of something.
#[derive(Default)]
pub(super) struct Recent<T>(VecDeque<T>);

impl<T: PartialEq> Recent<T> {
    /// Takes one in. `false`: it was there already.
    pub(super) fn insert(&mut self, name: T) -> bool {
        if self.0.contains(&name) {
            return false;
        }
        if self.0.len() >= MAX_CONNECTIONS {
            self.0.pop_front();
        }
        self.0.push_back(name);
        true
    }
}

/// Streams that were told, by connection: its key, and when it was opened.
#[derive(Default)]
pub(super) struct StreamsTold(VecDeque<((u64, u64), BTreeSet<u32>)>);

impl StreamsTold {
    /// Notes one. `false`: it was told before.
    pub(super) fn note(&mut self, connection: (u64, u64), stream: u32) -> bool {
        if let Some((_, streams)) = self.0.iter_mut().rev().find(|(known, _)| *known == connection) {
            if streams.len() >= MAX_STREAMS {
                streams.pop_first();
            }
            return streams.insert(stream);
        }
        if self.0.len() >= MAX_CONNECTIONS {
            self.0.pop_front();
        }
        self.0.push_back((connection, BTreeSet::from([stream])));
        true
    }

    pub(super) fn has(&self, connection: (u64, u64), stream: u32) -> bool {
        self.0.iter().rev().any(|(known, streams)| *known == connection && streams.contains(&stream))
    }
}
